"""What ready-made tasks share: streams of random numbers, room in memory, proportions of samples."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shoal.base import checks
from shoal.engine import memory

__all__ = ["generator", "proportions", "require_room", "streams"]

_A_SAMPLE = 64
"""Bytes per sample beside its inputs: labels, projections, norms, weights, an order, masks."""


def generator(seed: int) -> np.random.Generator:
    """Return the generator of a task that draws once.

    Raises
    ------
    TypeError
        The seed is not an integer.
    ValueError
        It is negative.
    """
    return np.random.Generator(np.random.PCG64(checks.integer("seed", seed, least=0)))


def streams(seed: int, count: int) -> list[np.random.Generator]:
    """Return independent generators of one seed: how much is drawn from one does not move another.

    Raises
    ------
    TypeError
        The seed is not an integer.
    ValueError
        It is negative.
    """
    root = np.random.SeedSequence(checks.integer("seed", seed, least=0))
    return [np.random.Generator(np.random.PCG64(child)) for child in root.spawn(count)]


def require_room(samples: int, inputs: int, test_samples: int = 0, *, arrays: int = 2, beside: int = 0) -> None:
    """Raise where the task would not fit into the memory that this process can still take.

    Parameters
    ----------
    samples, inputs, test_samples
        Size of the task.
    arrays
        Arrays of float64 of that size that stand in memory together: what is drawn, and the copy that the task keeps.
    beside
        Bytes that stand in memory together with them.

    Raises
    ------
    ValueError
        With what is needed and what is available. Nothing is allocated before.
    """
    rows = samples + test_samples
    needed = rows * (inputs * (8 * arrays + 1) + _A_SAMPLE) + beside
    available = memory.less_than(needed)
    if available is not None:
        size = f"{samples} samples" + (f" and {test_samples} test samples" if test_samples else "")
        raise ValueError(
            f"a task must fit into memory, got {size} of {inputs} inputs, which need {memory.gigabytes(needed)};"
            f" {memory.gigabytes(available)} is available"
        )


def proportions(name: str, values: ArrayLike | None, count: int, each: str) -> NDArray[np.float64]:
    """Return ``count`` numbers that are not negative nor all zero as they are given; ones where they are left out.

    Raises
    ------
    TypeError
        They are not real numbers.
    ValueError
        Another count than one ``each`` ("sample"), not finite, negative or all zero.
    """
    if values is None:
        return np.full(count, 1.0)
    given = checks.real_array(name, values, dimensions=1, shape=f"({each}s,)")
    if len(given) != count:
        raise ValueError(f"{name} must have one entry per {each}, {count}, got {len(given)}")
    if (given < 0).any() or not (given > 0).any():
        raise ValueError(f"{name} must not be negative nor all zero, got {given}")
    return given
