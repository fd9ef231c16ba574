"""What every specification is: unchangeable, equal to its equals, the same after a copy, printed as its call."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from shoal.base.former import Knows


class Frozen(Knows):
    """Base of the specifications, each a frozen dataclass declared with ``eq=False, repr=False``.

    Two are equal if they are of one class and their fields are equal, arrays by shape and value. Equal ones have equal
    hashes. A copy, deep or not, is the specification itself; unpickled arrays are read-only again.
    """

    def __eq__(self, other: object) -> bool:
        """Return whether the other is of the same class and has equal fields."""
        if type(other) is not type(self):
            return NotImplemented
        return all(_equal(one, two) for one, two in zip(_values(self), _values(other), strict=True))

    def __hash__(self) -> int:
        """Return a hash of the class and the values of its fields."""
        return hash((type(self), *map(_hashable, _values(self))))

    def __repr__(self) -> str:
        """Return the call that makes it, with arrays abbreviated to their dtypes and shapes."""
        unsaid = self._unsaid
        given = {name: getattr(self, name) for name in _names(self)}
        said = {name: value for name, value in given.items() if name not in unsaid or value != unsaid[name]}
        called = getattr(self, "called", type(self).__name__)  # what makes it, where that is not the class itself
        return f"{called}({', '.join(f'{name}={_shown(value)}' for name, value in said.items())})"

    @property
    def _unsaid(self) -> Mapping[str, Any]:
        """Fields, with the values at which ``repr`` leaves them out."""
        return {}

    def __copy__(self) -> Self:
        """Return the specification itself."""
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Return the specification itself."""
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """Return how to make it again from the values of its fields."""
        return _restore, (type(self), *_values(self))

    def _fill(self, **fields: Any) -> None:
        """Set fields while the specification is made."""
        for name, value in fields.items():
            object.__setattr__(self, name, value)


def read_only(array: NDArray[Any]) -> NDArray[Any]:
    """Return the array, or a copy of one whose memory is another's, such that nobody can write to it."""
    kept = array if array.flags.owndata else array.copy()
    kept.flags.writeable = False
    return kept


def _names(specification: Any) -> list[str]:
    """Return the names of its fields; none of a class of a user's own that is no dataclass."""
    known = dataclasses.is_dataclass(specification)
    return [field.name for field in dataclasses.fields(specification)] if known else []


def _values(specification: Any) -> list[Any]:
    return [getattr(specification, name) for name in _names(specification)]


def _restore(kind: type[Frozen], *values: Any) -> Frozen:
    made = kind.__new__(kind)
    made._fill(**dict(zip(_names(kind), map(_sealed, values), strict=True)))
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


def _shown(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"<{value.dtype} {value.shape}>"
    if isinstance(value, tuple) and any(isinstance(held, np.ndarray) for held in value):
        inside = ", ".join(map(_shown, value))
        return f"({inside})" if hasattr(value, "_fields") else f"[{inside}]"
    return repr(value)
