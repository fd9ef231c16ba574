"""What ready-made tasks share: streams of random numbers, room in memory, proportions of samples."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shoal.base import checks
from shoal.engine import memory
from shoal.spec.task import Task

__all__ = ["generator", "proportions", "require_room", "streams", "trained_and_tested"]

Drawn = tuple[NDArray[np.float64], NDArray[np.int64]]

_PER_SAMPLE = 64
"""Bytes per sample beside its inputs: labels, projections, norms, weights, an order, masks."""


def generator(seed: int) -> np.random.Generator:
    """Return the generator of a task that draws once."""
    return np.random.Generator(np.random.PCG64(checks.integer("seed", seed, least=0)))


def streams(seed: int, count: int) -> list[np.random.Generator]:
    """Return independent generators of one seed: how much is drawn from one does not move another."""
    root = np.random.SeedSequence(checks.integer("seed", seed, least=0))
    return [np.random.Generator(np.random.PCG64(child)) for child in root.spawn(count)]


def trained_and_tested(samples: int, test_samples: int, draw: Callable[[int, int], Drawn]) -> Task:
    """Return a task of what ``draw`` gives for streams 0 and 1 and these numbers of samples."""
    test = draw(1, test_samples) if test_samples else None
    return Task(*draw(0, samples), test=test)


def require_room(samples: int, inputs: int, test_samples: int = 0, *, arrays: int = 2, beside: int = 0) -> None:
    """Raise a ValueError if a task of this size would not fit into the memory that this process can still take.

    ``arrays`` of float64 are in memory together, such as what is drawn and the copy that the task keeps, and so many
    bytes ``beside`` them. Nothing is allocated before.
    """
    rows = samples + test_samples
    needed = rows * (inputs * (8 * arrays + 1) + _PER_SAMPLE) + beside
    available = memory.less_than(needed)
    if available is not None:
        size = f"{samples} samples" + (f" and {test_samples} test samples" if test_samples else "")
        raise ValueError(
            f"a task must fit into memory, got {size} of {inputs} inputs, which need {memory.gigabytes(needed)};"
            f" {memory.gigabytes(available)} is available"
        )


def proportions(name: str, values: ArrayLike | None, count: int, each: str) -> NDArray[np.float64]:
    """Return a number for ``each`` ("sample"), not negative nor all zero, as they are given; ones when left out."""
    given = checks.vector(name, np.full(count, 1.0) if values is None else values, each, count)
    if (given < 0).any() or not (given > 0).any():
        raise ValueError(f"{name} must not be negative nor all zero, got {given}")
    return given
