"""The checks that every specification makes of what it is given: which argument, what came, what is allowed.

What has the wrong type is a TypeError, what is out of range a ValueError. Messages begin with the ``name``.
"""

from __future__ import annotations

import math
import numbers
import os
from collections.abc import Collection, Iterable, Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray


def integer(name: str, value: object, *, least: int, most: int | None = None) -> int:
    """Return ``value`` as an int; neither a bool nor 3.0 is one."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name} must be an integer, got {value!r:.200} of type {type(value).__name__}")
    number = int(value)
    if number < least or (most is not None and number > most):
        allowed = f"at least {least}" if most is None else f"between {least} and {most}"
        raise ValueError(f"{name} must be {allowed}, got {number}")
    return number


def real(name: str, value: object, *, least: float = -math.inf, most: float = math.inf) -> float:
    """Return ``value`` as a finite float from ``least`` to ``most``."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a number, got {value!r} of type {type(value).__name__}")
    try:
        number = float(value)
    except OverflowError:  # an integer or a fraction beyond the largest float
        number = math.inf if value > 0 else -math.inf  # type: ignore[operator]
    if not math.isfinite(number):
        raise ValueError(f"{name} must be finite, got {number}")
    if not least <= number <= most:
        raise ValueError(f"{name} must lie between {least:g} and {most:g}, got {number}")
    return number


def positive(name: str, value: object) -> float:
    """Return ``value`` as a finite float above zero."""
    number = real(name, value)
    if number <= 0:
        raise ValueError(f"{name} must be positive, got {number}")
    return number


def not_negative(name: str, value: object) -> float:
    """Return ``value`` as a finite float, zero or above."""
    number = real(name, value)
    if number < 0:
        raise ValueError(f"{name} must not be negative, got {number}")
    return number


def kind(name: str, value: object, *kinds: type) -> None:
    """Raise a TypeError if ``value`` is of none of these public classes."""
    if not isinstance(value, kinds):
        names = [f"shoal.{one.__name__}" for one in kinds]
        wanted = f"one of {', '.join(names)}" if len(kinds) > 1 else f"a {names[0]}"
        raise TypeError(f"{name} must be {wanted}, got {value!r:.200} of type {type(value).__name__}")


def choice(name: str, value: object, allowed: Collection[str]) -> str:
    """Return ``value`` if it is one of the ``allowed`` strings."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be one of {', '.join(allowed)}, got {value!r} of type {type(value).__name__}")
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {value!r}")
    return value


def choices(name: str, values: object, allowed: Collection[str], what: str) -> tuple[str, ...]:
    """Return one or several of the ``allowed`` strings, none twice; ``what`` is the wording of what is wanted."""
    given = (values,) if isinstance(values, str) else values
    if not isinstance(given, (tuple, list)):
        raise TypeError(f"{name} must be {what}, got {values!r}")
    return distinct(name, [choice(name, value, allowed) for value in given])


def distinct(name: str, values: Sequence[Any], entry: str = "a name") -> tuple[Any, ...]:
    """Return ``values`` as a tuple, none of which may come twice."""
    if len(set(values)) < len(values):
        raise ValueError(f"{name} must not repeat {entry}, got {tuple(values)}")
    return tuple(values)


def real_array(
    name: str, values: ArrayLike, *, dimensions: int, shape: str, flags: bool = False
) -> NDArray[np.float64]:
    """Return a read-only float64 C-ordered copy of ``values``, all finite and not empty.

    ``shape`` is the wording of the wanted shape, such as "(samples, inputs)"; ``flags`` says whether bools are taken.
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


def vector(name: str, values: ArrayLike, each: str, count: int, *, flags: bool = False) -> NDArray[np.float64]:
    """Return a ``real_array`` of one number for ``each`` of so many things."""
    array = real_array(name, values, dimensions=1, shape=f"({each}s,)", flags=flags)
    if len(array) != count:
        raise ValueError(f"{name} must have one entry per {each}, {count}, got {len(array)}")
    return array


def real_numbers(name: str, values: ArrayLike, shape: str = "", *, flags: bool = False) -> NDArray[np.float64]:
    """Return ``values`` as float64, of any shape, NaN and infinity included; see ``real_array``."""
    given = plain(name, values, shape)
    if given.dtype.kind not in ("buif" if flags else "uif"):
        raise TypeError(f"{name} must hold real numbers, got dtype {given.dtype}{_remedy(given)}")
    with np.errstate(over="ignore"):  # a wider float beyond the largest float64 is infinite
        return np.asarray(given, dtype=np.float64)


def sequence(name: str, values: object, what: str) -> list[Any]:
    """Return the entries of ``values``; ``what`` is the wording of what is wanted."""
    try:
        if isinstance(values, (str, bytes)):
            raise TypeError
        return [*cast(Iterable[Any], values)]
    except TypeError as error:
        raise TypeError(f"{name} must be {what}, got {values!r:.200}") from error


def pair(name: str, values: object, what: str) -> tuple[Any, Any] | None:
    """Return the two entries of a tuple or list, or None if that is given."""
    if values is None:
        return None
    if not isinstance(values, (tuple, list)) or len(values) != 2:
        raise TypeError(f"{name} must be a pair {what} or None, got {values!r:.200}")
    return values[0], values[1]


def path(name: str, value: object) -> str:
    """Return a path as a string."""
    if not isinstance(value, (str, os.PathLike)):
        raise TypeError(f"{name} must be a path, got {value!r:.200} of type {type(value).__name__}")
    given = os.fsdecode(value)
    if "\0" in given:
        raise ValueError(f"{name} must be a path, which has no null byte, got {given!r:.200}")
    return given


def dataset(value: object) -> Any:
    """Return ``value`` if it is an xarray.Dataset."""
    import xarray  # takes longer to import than the rest of shoal together

    if not isinstance(value, xarray.Dataset):
        raise TypeError(f"data must be an xarray.Dataset that train returned, got {type(value).__name__}")
    return value


def flag(name: str, value: object) -> bool:
    """Return ``value`` if it is True or False."""
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False, got {value!r:.200}")
    return value


def plain(name: str, values: ArrayLike, shape: str = "") -> NDArray[Any]:
    """Return ``values`` as an array that means what it holds: nothing masked, rows of one length."""
    if _masked(values):
        raise TypeError(
            f"{name} must not be masked: leave out what is masked, or fill it with .filled(...); "
            "if nothing is masked, give np.ma.getdata(...)"
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
        return ": give an array of floats, such as .to_numpy(dtype=float) of a table without missing values"
    return ": give 0 and 1, or -1 and +1, for what they mean" if given.dtype.kind == "b" else ""


def same_order(names: tuple[str, str], first: object, second: object) -> None:
    """Raise a ValueError if two tables label their rows differently, since only values are taken, row by row."""
    labels = [_row_labels(first), _row_labels(second)]
    if labels[0] is None or labels[1] is None or np.array_equal(labels[0], labels[1]):
        return
    raise ValueError(
        f"{names[0]} and {names[1]} must have the same labels in the same order along samples: "
        "align them, or give their .values if only the order counts"
    )


def _row_labels(values: object) -> NDArray[Any] | None:
    dims = getattr(values, "dims", None)
    if isinstance(dims, tuple) and dims:  # of xarray
        index = getattr(values, "indexes", {}).get(dims[0])
    else:
        index = getattr(values, "index", None)  # of pandas; a method of lists
    return None if index is None or callable(index) else np.asarray(index)
