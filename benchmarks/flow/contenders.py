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
    tried : (networks,) int64
        Steps tried, accepted or not, each of six gradients: the first of seven is the last of the step before.
    finished : bool
        Whether every network arrived.
    """

    margins: Array
    tried: NDArray[np.int64]
    finished: bool

    @property
    def gradients(self) -> float:
        """Gradients a network, on average: six for each step tried, and that of the initialisation."""
        return float(np.mean(6 * self.tried + 1))


Solve = Callable[[float], Solution]
"""Solves the case at a relative tolerance and waits until the margins are there."""

Variants = dict[str, Callable[[], Solve]]
