"""The checks that every specification makes of what it is given: which argument, what came, what is allowed."""

from __future__ import annotations

import math
import numbers
from collections.abc import Collection, Iterable
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray


def integer(name: str, value: object, *, least: int, most: int | None = None) -> int:
    """Return ``value`` as an int.

    Raises
    ------
    TypeError
        It is not an integer (a bool is not one, nor is 3.0).
    ValueError
        It lies outside ``least``..``most``.
    """
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name} must be an integer, got {value!r} of type {type(value).__name__}")
    number = int(value)
    if number < least or (most is not None and number > most):
        allowed = f"at least {least}" if most is None else f"between {least} and {most}"
        raise ValueError(f"{name} must be {allowed}, got {number}")
    return number


def real(name: str, value: object) -> float:
    """Return ``value`` as a finite float.

    Raises
    ------
    TypeError
        It is not a real number.
    ValueError
        It is NaN or infinite.
    """
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a number, got {value!r} of type {type(value).__name__}")
    try:
        number = float(value)
    except OverflowError:  # an integer or a fraction beyond the largest float
        number = math.inf if value > 0 else -math.inf  # type: ignore[operator]
    if not math.isfinite(number):
        raise ValueError(f"{name} must be finite, got {number}")
    return number


def positive(name: str, value: object) -> float:
    """Return ``value`` as a finite float above zero.

    Raises
    ------
    TypeError
        It is not a real number.
    ValueError
        It is NaN, infinite, zero or negative.
    """
    number = real(name, value)
    if number <= 0:
        raise ValueError(f"{name} must be positive, got {number}")
    return number


def not_negative(name: str, value: object) -> float:
    """Return ``value`` as a finite float, zero or above.

    Raises
    ------
    TypeError
        It is not a real number.
    ValueError
        It is NaN, infinite or negative.
    """
    number = real(name, value)
    if number < 0:
        raise ValueError(f"{name} must not be negative, got {number}")
    return number


def choice(name: str, value: object, allowed: Collection[str]) -> str:
    """Return ``value`` when it is one of the ``allowed`` strings.

    Raises
    ------
    TypeError
        It is not a string.
    ValueError
        It is a string that is not allowed.
    """
    if not isinstance(value, str):
        raise TypeError(f"{name} must be one of {', '.join(allowed)}, got {value!r} of type {type(value).__name__}")
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {value!r}")
    return value


def real_array(name: str, values: ArrayLike, *, dimensions: int, shape: str) -> NDArray[np.float64]:
    """Return a read-only float64 C-ordered copy of ``values``, all finite and not empty.

    ``shape`` is how the message words the shape that is wanted, such as "(samples, inputs)".

    Raises
    ------
    TypeError
        The values are not real numbers.
    ValueError
        Ragged, empty, the wrong number of dimensions, or something in it is NaN or infinite.
    """
    given = real_numbers(name, values, shape)
    if given.ndim != dimensions or given.size == 0:
        raise ValueError(f"{name} must have shape {shape}, none of them zero, got shape {given.shape}")
    with np.errstate(over="ignore"):  # a wider float beyond the largest float64 is infinite, which is refused
        array = np.array(given, dtype=np.float64, order="C")
    broken = ~np.isfinite(array)
    if broken.any():
        at = tuple(int(i) for i in np.argwhere(broken)[0])
        raise ValueError(f"{name} must be finite, got {array[at]} at index {at} ({int(broken.sum())} such values)")
    array.flags.writeable = False
    return array


def sequence(name: str, values: object, what: str) -> list[Any]:
    """Return the entries of ``values``; ``what`` is how the message words what is wanted.

    Raises
    ------
    TypeError
        It is a string, or nothing that has entries.
    """
    try:
        if isinstance(values, (str, bytes)):
            raise TypeError
        return [*cast(Iterable[Any], values)]
    except TypeError as error:
        raise TypeError(f"{name} must be {what}, got {values!r:.200}") from error


def flag(name: str, value: object) -> bool:
    """Return ``value`` when it is True or False.

    Raises
    ------
    TypeError
        It is neither.
    """
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False, got {value!r:.200}")
    return value


def real_numbers(name: str, values: ArrayLike, shape: str) -> NDArray[Any]:
    """Return ``values`` as an array of whatever shape and real dtype they have.

    Raises
    ------
    TypeError
        The values are not real numbers.
    ValueError
        Ragged.
    """
    try:
        given = np.asarray(values)
    except ValueError as error:  # NumPy's own message does not say which argument was ragged
        raise ValueError(f"{name} must have shape {shape}, got rows of different lengths") from error
    except Exception as error:  # whatever an object's own conversion raises
        raise TypeError(f"{name} must hold real numbers, got an object of type {type(values).__name__}") from error
    if given.dtype.kind not in "buif":
        raise TypeError(f"{name} must hold real numbers, got dtype {given.dtype}")
    return given
