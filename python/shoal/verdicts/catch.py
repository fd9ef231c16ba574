"""How wrong a theory has to be for a comparison to fail: the same comparison, run again with wrong predictions."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["AMOUNTS", "UNKNOWN", "Catch", "fewest", "smallest", "smallest_bound", "smallest_probability"]

Floats = NDArray[np.float64]

AMOUNTS = (0.001, 0.01, 0.05, 0.2, 1.0)
"""By how much predictions are made wrong, in this order, until the comparison fails."""


@dataclass(frozen=True)
class Catch:
    """The smallest wrong theory that a comparison catches, of those that were tried.

    Attributes
    ----------
    kind : {"factor", "shift", "majority"}
        "factor": predictions are multiplied and divided by 1 + `amount`. "shift": all predictions are 0, and `amount`
        is added and subtracted, in the unit of the measurement. "majority": a theory by which at most a fraction
        `amount` are successes is caught.
    amount : float
        The smallest of `AMOUNTS` at which the comparison fails both ways; infinite if none fails, NaN if the comparison
        itself fails and so says nothing of wrong theories.
    """

    kind: Literal["factor", "shift", "majority"]
    amount: float

    @property
    def sharp(self) -> bool:
        """Whether a theory that is wrong by 20% is caught, or one by which a majority is none."""
        return self.amount > 0.5 if self.kind == "majority" else self.amount <= 0.2

    def __str__(self) -> str:
        """Return a few characters for a table: ``0.1%``, ``± 0.001``, ``≤ 81%``, ``nothing``."""
        if math.isnan(self.amount):
            return "-"
        if self.kind == "majority":
            return f"≤ {math.floor(100 * self.amount)}%"
        if math.isinf(self.amount):
            return "nothing"
        return f"{100 * self.amount:g}%" if self.kind == "factor" else f"± {self.amount:g}"


UNKNOWN = Catch("factor", math.nan)


def smallest(passes: Callable[[Floats], bool], predicted: Floats) -> Catch:
    """Return the smallest wrong theory that `passes`, from predictions to a verdict, refuses."""
    kind: Literal["factor", "shift"] = "factor" if np.any(predicted) else "shift"
    if not passes(predicted):
        return Catch(kind, math.nan)
    for amount in AMOUNTS:
        factor = 1 + amount
        wrong = (
            (predicted * factor, predicted / factor) if kind == "factor" else (predicted + amount, predicted - amount)
        )
        if not any(map(passes, wrong)):
            return Catch(kind, amount)
    return Catch(kind, math.inf)


def smallest_probability(passes: Callable[[float], bool], predicted: float) -> Catch:
    """Return the smallest wrong probability that a comparison of a count catches.

    The rarer of the event and its opposite is multiplied and divided: .98 is wrong by 5% at .979 and .981. A
    probability of 0 or 1 can be wrong one way only, by a shift.
    """
    right, common = min(predicted, 1 - predicted), predicted > 0.5

    def judge(wrong: Floats) -> bool:
        rare = float(wrong)
        return False if not 0 <= rare <= 1 else passes(1 - rare if common else rare)

    return smallest(judge, np.asarray(right, np.float64))


def smallest_bound(passes: Callable[[float], bool]) -> Catch:
    """Return by how much too strict a bound is caught, where `passes` takes a factor of at least 1 that tightens it.

    A bound that is too loose cannot be caught.
    """
    if not passes(1.0):
        return UNKNOWN
    return Catch("factor", next((amount for amount in AMOUNTS if not passes(1 + amount)), math.inf))


def fewest(catches: Iterable[Catch]) -> Catch:
    """Return the catch of a row that fails if any of its comparisons does: the smallest, of factors if any."""
    found = list(catches)
    if any(math.isnan(each.amount) for each in found):
        return UNKNOWN
    factors = [each for each in found if each.kind == "factor"]
    return min(factors or found, key=lambda each: each.amount)
