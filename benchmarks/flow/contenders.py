"""What a contender offers: ``variants(case, threads)``, its ways to solve a case."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.cases import Array

MODULES = {name: f"benchmarks.flow.{name}_flow" for name in ("shoal", "diffrax")}
"""Module of each contender; its name is also the package it needs."""

ATOL = 1e-4
"""Absolute over relative tolerance, for all contenders: as in `GradientFlow`'s defaults, well below any weight here."""


@dataclass(frozen=True)
class Solution:
    """What one run of all networks gave.

    Parameters
    ----------
    margins : (networks, times, samples) float64
        y f(x) at the case's times.
    of_steps : (networks,) int64
        Gradients of all steps tried, accepted or not. The last of a step is the first of the next, and counts once.
    finished : bool
        Whether every network arrived.
    """

    margins: Array
    of_steps: NDArray[np.int64]
    finished: bool

    @property
    def gradients(self) -> float:
        """Gradients per network, on average: those of steps and that of the initialisation, none of records."""
        return float(np.mean(self.of_steps + 1))


Solve = Callable[[float], Solution]
"""Solves the case at a relative tolerance and waits until the margins are there."""

Variants = dict[str, Callable[[], Solve]]
