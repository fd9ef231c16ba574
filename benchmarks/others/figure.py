"""What a figure is here, and how far the curves of its two computations may lie apart."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from benchmarks.check import ROUNDOFFS, gamma

Array = NDArray[Any]
Curves = dict[str, Array]
"""Numbers by name, each (networks, ...)."""

MOVED = 2.0**-30
"""By how much initial weights are moved, relatively, to see how far a training carries it."""


@dataclass(frozen=True)
class Figure(ABC):
    """A figure of another paper, at some size; `steps` are the updates of each network."""

    steps: int

    name: ClassVar[str]
    dtype: ClassVar[str]
    """Of the authors' computation; shoal trains in the same one."""
    needs: ClassVar[str]
    """The library of the authors' computation."""
    differs: ClassVar[str]
    """Source, and the settings that are not the authors', for the page."""

    @property
    @abstractmethod
    def networks(self) -> int:
        """How many networks the figure has."""

    @property
    @abstractmethod
    def about(self) -> str:
        """What is trained, for a table."""

    @property
    @abstractmethod
    def terms(self) -> int:
        """An upper bound on the terms that one number of a step is summed from."""

    @abstractmethod
    def taken(self, sample: int) -> int:
        """Return how many networks a sample of this size is."""

    @abstractmethod
    def shoal(self, threads: int, sample: int | None = None, dtype: str | None = None) -> Curves:
        """Return the curves of all networks, or of a sample, as shoal trains them."""

    @abstractmethod
    def original(self, sample: int, dtype: str | None = None, moved: float = 0.0) -> Curves:
        """Return the curves of a sample as the authors train it; weights start at w (1 + moved z), z normal."""

    @abstractmethod
    def ways(self, threads: int, stack: ExitStack) -> dict[str, Callable[[int], Any]]:
        """Return the forms of the authors' computation, each a call with the size of the sample."""

    @abstractmethod
    def found(self, curves: Curves) -> str:
        """Return what the figure shows, in numbers."""


def nudged(weights: Array, moved: float, number: int) -> Array:
    """Return weights w (1 + moved z), z normal; the same array where nothing is moved."""
    return weights * (1 + moved * np.random.default_rng(number).standard_normal(weights.shape)) if moved else weights


def gap(mine: Curves, theirs: Curves) -> Curves:
    """Return the largest difference of each curve in units of its largest number, (networks,) by name."""
    found = {}
    for name, right in theirs.items():
        axes = tuple(range(1, right.ndim))
        found[name] = np.abs(mine[name] - right).max(axis=axes) / np.abs(right).max(axis=axes)
    return found


def compared(figure: Figure, sample: int, threads: int) -> dict[str, float]:
    """Return the largest gap of a sample and the largest ratio of a gap to its bound, in float64 and as timed."""
    right = figure.original(sample, "float64")
    carried = gap(figure.original(sample, "float64", MOVED), right)
    found = {"carried": largest(carried) / MOVED}
    for dtype, ending in (("float64", ""), (figure.dtype, "_timed")):
        theirs = right if dtype == "float64" else figure.original(sample, dtype)
        gaps = gap(figure.shoal(threads, sample, dtype), theirs)
        ratios = {name: gaps[name] / bound(figure, carried[name], dtype) for name in right}
        found |= {f"gap{ending}": largest(gaps), f"ratio{ending}": largest(ratios)}
    return found


def bound(figure: Figure, carried: Array, dtype: str) -> Array:
    """Return how far rounding can move a curve, network by network: ``steps x gamma(terms) x A``.

    Each step rounds, on both sides, as if the weights before it were moved by ``gamma(terms)`` of their size. A is how
    far the training carries such a move: `carried` of initial weights that are moved by `MOVED`, and at least 1, for
    moves near the end.
    """
    unit = figure.steps * gamma(figure.terms, 2 * ROUNDOFFS[dtype])
    return np.asarray(unit * np.maximum(1.0, carried / MOVED))


def largest(curves: Curves) -> float:
    """Return the largest number, or NaN if there is one."""
    return float(np.max([values.max() for values in curves.values()]))
