"""What every specification is: unchangeable, equal to its equals, the same after a copy."""

from __future__ import annotations

import dataclasses
from typing import Any, Self, cast

import numpy as np
from numpy.typing import NDArray

from shoal.base.former import Knows


class Frozen(Knows):
    """Base of the specifications, each a frozen dataclass declared with ``eq=False``.

    Two are equal where they are of one class and their fields are equal, arrays by shape and value. Equal ones have
    equal hashes. A copy, deep or not, is the specification itself, since nothing of it can change; what is pickled
    comes back with arrays that are read-only again.
    """

    def __eq__(self, other: object) -> bool:
        """Return whether the other is of the same class and has equal fields."""
        if type(other) is not type(self):
            return NotImplemented
        return all(_equal(one, two) for one, two in zip(_values(self), _values(other), strict=True))

    def __hash__(self) -> int:
        """Return a hash of the class and the values of its fields."""
        return hash((type(self), *map(_hashable, _values(self))))

    def __copy__(self) -> Self:
        """Return the specification itself."""
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Return the specification itself."""
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """Return how to make it again from the values of its fields."""
        return _restore, (type(self), *_values(self))


def read_only(array: NDArray[Any]) -> NDArray[Any]:
    """Return the array, or a copy of one whose memory is another's, such that nobody can write to it."""
    kept = array if array.flags.owndata else array.copy()
    kept.flags.writeable = False
    return kept


def _values(specification: Any) -> list[Any]:
    return [getattr(specification, field.name) for field in dataclasses.fields(specification)]


def _restore(kind: type[Frozen], *values: Any) -> Frozen:
    made = kind.__new__(kind)
    for field, value in zip(dataclasses.fields(cast(Any, kind)), values, strict=True):
        object.__setattr__(made, field.name, _sealed(value))
    return made


def _sealed(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return read_only(value)
    if isinstance(value, tuple):
        held = map(_sealed, value)
        return type(value)(*held) if hasattr(value, "_fields") else tuple(held)
    return value


def _equal(one: Any, two: Any) -> bool:
    if isinstance(one, np.ndarray) or isinstance(two, np.ndarray):
        return type(one) is type(two) and one.dtype == two.dtype and np.array_equal(one, two)
    if isinstance(one, tuple) and isinstance(two, tuple):
        return len(one) == len(two) and all(map(_equal, one, two))
    return bool(one == two)


def _hashable(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.shape, (value + value.dtype.type(0)).tobytes()  # -0 equals 0
    return tuple(map(_hashable, value)) if isinstance(value, tuple) else value
