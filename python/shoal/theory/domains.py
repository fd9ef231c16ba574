"""Checks of the arguments of theory: the allowed ranges of times, angles, weights and scales."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shoal.base import checks
from shoal.base.checks import real_numbers

Array = NDArray[np.float64]

LEAST, MOST = 1e-100, 1e100
"""Sizes that theory accepts, as for a network's scales: products and powers of a few of them neither over- nor
underflow."""


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


def count(name: str, value: object, least: int = 1) -> int:
    """Return a number of layers, nodes, inputs as an int from ``least`` to 2^53, which is exact as a float.

    Raises
    ------
    TypeError
        It is not an integer.
    ValueError
        It lies outside that range.
    """
    checks.integer(name, value, least=least)  # first, because its message is shorter
    return checks.integer(name, value, least=least, most=2**53)


def penalties(weight_decay: object, spectral_decoupling: object) -> tuple[float, float]:
    """Return both penalties as floats, each 0 or from 1e-100 to 1e100.

    Raises
    ------
    TypeError
        One is not a real number.
    ValueError
        One is negative, or neither 0 nor in that range.
    """
    named = {"weight_decay": weight_decay, "spectral_decoupling": spectral_decoupling}
    decay, decoupling = (checks.not_negative(name, value) and size(name, value) for name, value in named.items())
    return decay, decoupling


def not_negative(name: str, values: ArrayLike) -> Array:
    """Return ``values`` as float64, of any shape, zero or above, infinity included.

    Raises
    ------
    TypeError
        They are not real numbers.
    ValueError
        One of them is negative or NaN.
    """
    given = real_numbers(name, values)
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
    given = real_numbers(name, values)
    return _all(np.isfinite(given), given, name, "be finite")


def between(name: str, values: ArrayLike, least: float, most: float) -> Array:
    """Return ``values`` as float64, of any shape, from ``least`` to ``most``.

    Raises
    ------
    TypeError
        They are not real numbers.
    ValueError
        One of them is NaN or lies outside that range.
    """
    given = real_numbers(name, values)
    return _all((given >= least) & (given <= most), given, name, f"lie between {least:g} and {most:g}")


def times_until(times: ArrayLike, latest: float) -> Array:
    """Return times (times,) as float64, from 0 to ``latest``.

    Raises
    ------
    TypeError
        They are not real numbers.
    ValueError
        They have another number of dimensions, or one of them is NaN or lies outside that range.
    """
    given = between("times", times, 0.0, latest)
    if given.ndim != 1:
        raise ValueError(f"times must have shape (times,), got shape {given.shape}")
    return given


def lengths(name: str, rows: Array) -> Array:
    """Return the norms (rows,) of finite rows, none of them 0.

    Raises
    ------
    ValueError
        A row is 0, or its largest entry lies outside 1e-100 to 1e100.
    """
    largest = np.abs(rows).max(axis=1)
    wrong = ~((largest >= LEAST) & (largest <= MOST))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise ValueError(
            f"{name} must have rows with a largest entry from {LEAST:g} to {MOST:g}, got {largest[row]:g} in row {row}"
        )
    return np.asarray(largest * np.linalg.norm(rows / largest[:, None], axis=1), dtype=np.float64)


def _all(right: NDArray[np.bool_], given: Array, name: str, rule: str) -> Array:
    if not right.all():
        raise ValueError(f"{name} must {rule}, got {given[~right].flat[0]}")
    return given
