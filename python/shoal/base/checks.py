"""The checks that every specification makes of what it is given: which argument, what came, what is allowed."""

from __future__ import annotations

import math
import numbers
import os
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
        raise TypeError(f"{name} must be an integer, got {value!r:.200} of type {type(value).__name__}")
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


def real_array(
    name: str, values: ArrayLike, *, dimensions: int, shape: str, flags: bool = False
) -> NDArray[np.float64]:
    """Return a read-only float64 C-ordered copy of ``values``, all finite and not empty.

    ``shape`` is how the message words the shape that is wanted, such as "(samples, inputs)"; ``flags`` says whether
    bools are taken, as 0 and 1.

    Raises
    ------
    TypeError
        The values are not real numbers, or they are masked.
    ValueError
        Ragged, empty, the wrong number of dimensions, or something in it is NaN or infinite.
    """
    given = real_numbers(name, values, shape, flags=flags)
    if given.ndim != dimensions or given.size == 0:
        raise ValueError(f"{name} must have shape {shape}, none of them zero, got shape {given.shape}")
    array = np.array(given, order="C")
    broken = ~np.isfinite(array)
    if broken.any():
        at = tuple(int(i) for i in np.argwhere(broken)[0])
        raise ValueError(f"{name} must be finite, got {array[at]} at index {at} ({int(broken.sum())} such values)")
    array.flags.writeable = False
    return array


def real_numbers(name: str, values: ArrayLike, shape: str = "", *, flags: bool = False) -> NDArray[np.float64]:
    """Return ``values`` as float64, of any shape, NaN and infinity included; ``flags`` says whether bools are taken.

    Raises
    ------
    TypeError
        They are not real numbers, or they are masked.
    ValueError
        They are ragged; ``shape`` words the shape that is wanted.
    """
    given = plain(name, values, shape)
    if given.dtype.kind not in ("buif" if flags else "uif"):
        raise TypeError(f"{name} must hold real numbers, got dtype {given.dtype}{_remedy(given)}")
    with np.errstate(over="ignore"):  # a wider float beyond the largest float64 is infinite
        return np.asarray(given, dtype=np.float64)


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


def path(name: str, value: object) -> str:
    """Return a path as a string.

    Raises
    ------
    TypeError
        It is neither a string nor a PathLike.
    ValueError
        It has a null byte.
    """
    if not isinstance(value, (str, os.PathLike)):
        raise TypeError(f"{name} must be a path, got {value!r:.200} of type {type(value).__name__}")
    given = os.fsdecode(value)
    if "\0" in given:
        raise ValueError(f"{name} must be a path, which has no null byte, got {given!r:.200}")
    return given


def dataset(value: object) -> Any:
    """Return ``value`` when it is an xarray.Dataset.

    Raises
    ------
    TypeError
        It is none.
    """
    import xarray  # takes longer to import than the rest of shoal together

    if not isinstance(value, xarray.Dataset):
        raise TypeError(f"data must be an xarray.Dataset that train returned, got {type(value).__name__}")
    return value


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


def plain(name: str, values: ArrayLike, shape: str = "") -> NDArray[Any]:
    """Return ``values`` as an array that means what it holds.

    Raises
    ------
    TypeError
        A masked array, by itself or in a sequence: its numbers under the mask would be taken for data. Or an object
        whose own conversion to an array fails.
    ValueError
        Rows of different lengths.
    """
    if _masked(values):
        raise TypeError(
            f"{name} must not be masked: leave out what is masked, or fill it with .filled(...); "
            "where nothing is masked, give np.ma.getdata(...)"
        )
    try:
        return np.asarray(values)
    except ValueError as error:  # NumPy's own message does not say which argument was ragged
        wanted = f"have shape {shape}" if shape else "be an array"
        raise ValueError(f"{name} must {wanted}, got rows of different lengths") from error
    except Exception as error:  # whatever an object's own conversion raises
        raise TypeError(f"{name} must hold real numbers, got an object of type {type(values).__name__}") from error


def _masked(values: object, depth: int = 3) -> bool:
    if isinstance(values, (list, tuple)) and depth:
        return any(_masked(value, depth - 1) for value in values)
    # A DataArray or a Series may hold one as its data.
    held = values if isinstance(values, (np.ndarray, np.generic)) else getattr(values, "data", None)
    return isinstance(held, np.ma.MaskedArray)


def _remedy(given: NDArray[Any]) -> str:
    if given.dtype.kind == "O":
        return ": give an array of floats, of a table without missing values for instance .to_numpy(dtype=float)"
    return ": give 0 and 1, or -1 and +1, for what they mean" if given.dtype.kind == "b" else ""


def same_order(names: tuple[str, str], first: object, second: object) -> None:
    """Raise a ValueError where two tables label their rows, and label them differently.

    Only values are taken: rows that belong together by their labels would be paired by their place.
    """
    labels = [_row_labels(first), _row_labels(second)]
    if labels[0] is None or labels[1] is None or np.array_equal(labels[0], labels[1]):
        return
    raise ValueError(
        f"{names[0]} and {names[1]} must have the same labels in the same order along samples: "
        "align them, or give their .values where only the order counts"
    )


def _row_labels(values: object) -> NDArray[Any] | None:
    dims = getattr(values, "dims", None)
    if isinstance(dims, tuple) and dims:  # of xarray
        index = getattr(values, "indexes", {}).get(dims[0])
    else:
        index = getattr(values, "index", None)  # of pandas; a method of lists
    return None if index is None or callable(index) else np.asarray(index)
