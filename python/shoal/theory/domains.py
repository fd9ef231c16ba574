"""Arrays of arguments of theory, checked: what a time, an angle or a start may be."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shoal import checks

Array = NDArray[np.float64]

LEAST, MOST = 1e-100, 1e100
"""Sizes that theory takes, those of a network's scales: products and powers of a few of them stay numbers."""


def size(name: str, value: object) -> float:
    """Return ``value`` as a float from 1e-100 to 1e100.

    Raises
    ------
    TypeError
        It is not a real number.
    ValueError
        It is NaN or lies outside that range.
    """
    number = checks.positive(name, value)
    if not LEAST <= number <= MOST:
        raise ValueError(f"{name} must lie from {LEAST:g} to {MOST:g}, got {number:g}")
    return number


def bounded(name: str, value: object) -> float:
    """Return ``value`` as a float of either sign, at most 1e100 in magnitude.

    Raises
    ------
    TypeError
        It is not a real number.
    ValueError
        It is NaN or larger.
    """
    number = checks.real(name, value)
    if abs(number) > MOST:
        raise ValueError(f"{name} must lie within {MOST:g} of 0, got {number:g}")
    return number


def numbers(name: str, values: ArrayLike) -> Array:
    """Return ``values`` as float64, of any shape.

    Raises
    ------
    TypeError
        They are not real numbers, or they are masked.
    """
    given = checks.plain(name, values)
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
    return _all(given >= 0, given, name, "not be negative or NaN")


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
    return _all(np.isfinite(given), given, name, "be finite")


def finite_not_negative(name: str, values: ArrayLike) -> Array:
    """Return ``values`` as float64, of any shape, zero or above.

    Raises
    ------
    TypeError
        They are not real numbers.
    ValueError
        One of them is negative, NaN or infinite.
    """
    given = numbers(name, values)
    return _all(np.isfinite(given) & (given >= 0), given, name, "be finite and not negative")


def _all(right: NDArray[np.bool_], given: Array, name: str, rule: str) -> Array:
    if not right.all():
        raise ValueError(f"{name} must {rule}, got {given[~right].flat[0]}")
    return given
