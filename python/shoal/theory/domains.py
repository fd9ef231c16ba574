"""Arrays of arguments of theory, checked: what a time, an angle or a start may be."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def numbers(name: str, values: ArrayLike) -> Array:
    """Return ``values`` as float64, of any shape.

    Raises
    ------
    TypeError
        They are not real numbers.
    """
    given = np.asarray(values)
    if given.dtype.kind not in "iuf":
        raise TypeError(f"{name} must hold real numbers, got dtype {given.dtype}")
    return np.asarray(given, dtype=np.float64)


def not_negative(name: str, values: ArrayLike) -> Array:
    """Return ``values`` as float64, of any shape, zero or above, infinity included.

    Raises
    ------
    TypeError
        They are not real numbers.
    ValueError
        One of them is negative or NaN.
    """
    given = numbers(name, values)
    wrong = ~(given >= 0)
    if wrong.any():
        raise ValueError(f"{name} must not be negative or NaN, got {given[wrong].flat[0]}")
    return given


def finite(name: str, values: ArrayLike) -> Array:
    """Return ``values`` as float64, of any shape and sign.

    Raises
    ------
    TypeError
        They are not real numbers.
    ValueError
        One of them is NaN or infinite.
    """
    given = numbers(name, values)
    wrong = ~np.isfinite(given)
    if wrong.any():
        raise ValueError(f"{name} must be finite, got {given[wrong].flat[0]}")
    return given
