"""Conditions on a grid or in a list, and the arguments of ``train`` at each."""

from __future__ import annotations

import dataclasses
import itertools
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.base import checks, former
from shoal.spec.encoding import canonical, encode
from shoal.spec.init import Init
from shoal.spec.loss import resolve_loss
from shoal.spec.network import Network

OBJECTS = ("network", "task", "init", "method", "loss")
NUMBERS = ("seed", "weight_decay", "spectral_decoupling")
SHAPES = ("network.width", "network.depth")
_FORM = "a mapping {field: values} or a sequence of mappings {field: value}"

_RATE = "method.learning_rate"
_TAKEN = {"network": "network_name", "loss": "loss_name"}  # coordinates, for a dimension and a measure have the names

Settings = dict[str, Any]


@dataclass(frozen=True)
class Axis:
    """One dimension of a sweep: the values of each field at its points, and their labels."""

    name: str
    values: dict[str, tuple[Any, ...]]
    labels: dict[str, tuple[Any, ...]]

    def coordinates(self) -> dict[str, NDArray[Any]]:
        """Return one array per field, shape (points,): numbers if all labels are, else texts."""
        arrays = {_TAKEN.get(field, field): _as_coordinate(labels) for field, labels in self.labels.items()}
        return arrays if self.name in arrays else {self.name: np.arange(len(next(iter(arrays.values())))), **arrays}


class Conditions:
    """All conditions of a sweep, the last axis fastest.

    ``names`` and ``shape`` are those of the dimensions, ``count`` is the number of conditions, ``fields`` are swept.
    """

    def __init__(self, axes: tuple[Axis, ...]) -> None:
        self.axes = axes
        self.names = tuple(axis.name for axis in axes)
        self.shape = tuple(len(next(iter(axis.labels.values()))) for axis in axes)
        self.count = math.prod(self.shape)
        self.fields = tuple(field for axis in axes for field in axis.labels)

    @classmethod
    def of(cls, over: object) -> Conditions:
        """Return the conditions of a grid, a list, or the one condition of None."""
        if over is None:
            return cls(())
        if isinstance(over, Mapping):
            if not over:
                raise ValueError("over must name at least one field, got an empty mapping")
            _check_names(over)
            return cls(tuple(_grid_axis(field, values) for field, values in over.items()))
        if isinstance(over, str) or not isinstance(over, Sequence):
            raise TypeError(f"over must be {_FORM}, got {over!r:.200}")
        return cls((_list_axis(over),))

    @property
    def settings(self) -> list[Settings]:
        """The fields that are set at each condition."""
        return _product(axis.values for axis in self.axes)

    @cached_property
    def labels(self) -> list[Settings]:
        """The label of each field at each condition."""
        return _product(axis.labels for axis in self.axes)

    @cached_property
    def told(self) -> list[str]:
        """A text for each condition, such as ``init.std=0.1``; of one without fields it is empty."""
        return [", ".join(f"{field}={label}" for field, label in labels.items()) for labels in self.labels]

    def over(self, networks: int) -> Any:
        """Return the argument that makes these conditions, with the learning rates of the first networks."""
        if not self.axes:
            return None
        first = {
            field: [first_rates(field, value, networks) for value in values]
            for axis in self.axes
            for field, values in axis.values.items()
        }
        if "condition" in self.names:
            return _points(first)
        # A list, whose order is that of the dimensions: JSON is written with sorted names.
        labels = {field: list(labels) for axis in self.axes for field, labels in axis.labels.items()}
        return {"fields": [[field, labels[field], values] for field, values in first.items()]}


def _points(columns: Mapping[str, Sequence[Any]]) -> list[Settings]:
    """Return the entries of columns at each point."""
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _product(axes: Iterable[Mapping[str, Sequence[Any]]]) -> list[Settings]:
    """Return the entries of all columns of axes at each condition."""
    return [
        {field: held for point in points for field, held in point.items()}
        for points in itertools.product(*map(_points, axes))
    ]


def regrid(told: Any) -> Any:
    """Return the argument ``over`` that ``Conditions.over`` returned, as it was given."""
    if not isinstance(told, Mapping):
        return told
    return {field: dict(zip(labels, values, strict=True)) for field, labels, values in told["fields"]}


def first_rates(field: str, value: Any, networks: int) -> Any:
    """Return the value of a field, with the learning rates of the first networks only."""
    if field == "method":
        return value.block(0, networks)
    return value[:networks] if field == _RATE and isinstance(value, np.ndarray) else value


def applied(arguments: Mapping[str, Any], settings: Settings) -> dict[str, Any]:
    """Return the arguments of ``train`` with these settings in place."""
    new = {**arguments, **{name: value for name, value in settings.items() if "." not in name}}
    new["loss"] = resolve_loss(new["loss"])
    for owner in OBJECTS:
        prefix = f"{owner}."
        parts = {name.removeprefix(prefix): held for name, held in settings.items() if name.startswith(prefix)}
        if parts:
            new[owner] = _replaced(owner, new[owner], parts)
    return new


def check_fields(conditions: Conditions, arguments: Mapping[str, Any]) -> None:
    """Raise a ValueError for a field that cannot be swept."""
    allowed = [*OBJECTS, *NUMBERS, *SHAPES]
    for owner in OBJECTS:
        held: Any = resolve_loss(arguments[owner]) if owner == "loss" else arguments[owner]
        allowed += _fields_of(owner, held)
    for field in conditions.fields:
        if field not in allowed:
            now = f", which is now {former.FIELDS[field]!r}" if field in former.FIELDS else ""
            raise ValueError(f"over must name what can be swept here, {', '.join(allowed)}; got {field!r}{now}")


def _fields_of(owner: str, held: Any) -> list[str]:
    """Return the dotted names of the fields of an object, and of the initialisation in another one."""
    names = []
    for field in dataclasses.fields(held):
        names.append(f"{owner}.{field.name}")
        inner = getattr(held, field.name)
        names += _fields_of(names[-1], inner) if isinstance(inner, Init) else []
    return names


def _replaced(owner: str, base: Any, parts: Settings) -> Any:
    if owner != "network":
        nested: dict[str, Settings] = {}
        for name in [name for name in parts if "." in name]:
            outer, _, inner = name.partition(".")
            nested.setdefault(outer, {})[inner] = parts.pop(name)
        parts |= {outer: _replaced(outer, getattr(base, outer), inner) for outer, inner in nested.items()}
        return dataclasses.replace(base, **parts)
    shape = {name: parts.pop(name) for name in ("width", "depth") if name in parts}
    if shape:
        parts["widths"] = _widths(base, **shape)
    if "widths" in parts:
        for name in ("scales", "rates"):
            if name not in parts and set(getattr(base, name)) != {1.0}:
                raise ValueError(
                    f"over must not sweep widths of a network with {name}, which belong to its widths: "
                    "sweep 'network' with one network for each, such as Network.ntk(widths)"
                )
            parts.setdefault(name, None)
    return dataclasses.replace(base, **parts)


def _widths(base: Network, width: int | None = None, depth: int | None = None) -> tuple[int, ...]:
    hidden = base.widths[1:-1]
    if depth is not None:
        depth = checks.integer("network.depth", depth, least=1)
    elif not hidden:
        raise ValueError(f"network.width needs a network with hidden layers, got widths={base.widths}")
    if width is not None:
        width = checks.integer("network.width", width, least=1)
    elif len(set(hidden)) != 1:
        raise ValueError(f"network.depth needs hidden layers of one width, got widths={base.widths}")
    each = hidden[0] if width is None else width
    return (base.inputs, *[each] * (len(hidden) if depth is None else depth), base.outputs)


def _grid_axis(field: str, values: object) -> Axis:
    if isinstance(values, Mapping):
        held, labels = list(values.values()), list(values)
        _check_labels(f"over[{field!r}]", labels)
    elif isinstance(values, (str, bytes, bytearray)) or not (
        isinstance(values, Sequence) or (isinstance(values, np.ndarray) and values.ndim)
    ):
        raise TypeError(f"over[{field!r}] must be a sequence of values, or a mapping label -> value, got {values!r}")
    else:
        held = [_plain(field, value) for value in values]
        labels = _labels(held)
    if not held:
        raise ValueError(f"over[{field!r}] must hold at least one value, got none")
    _check_distinct(f"over[{field!r}]", held, labels)
    values = tuple(_plain(field, value) for value in held)
    return Axis(_TAKEN.get(field, field), {field: values}, {field: tuple(labels)})


def _list_axis(over: Sequence[object]) -> Axis:
    if not over:
        raise ValueError("over must hold at least one condition, got an empty sequence")
    points: list[Settings] = []
    for i, given in enumerate(over):
        if not isinstance(given, Mapping):
            raise TypeError(f"over must be {_FORM}, got {given!r:.200} at index {i}")
        points.append({field: _plain(field, value) for field, value in given.items()})
        if not given or set(given) != set(points[0]):
            raise ValueError(
                f"over must set the same fields in each condition, got {', '.join(map(str, points[0])) or 'none'} at "
                f"index 0 and {', '.join(map(str, given)) or 'none'} at index {i}"
            )
    _check_names(points[0])
    _check_distinct("over", points, [f"that of index {i}" for i in range(len(points))])
    columns = {field: tuple(point[field] for point in points) for field in points[0]}
    return Axis("condition", columns, {field: tuple(_labels(values)) for field, values in columns.items()})


def _check_names(fields: Mapping[Any, Any]) -> None:
    for field in fields:
        if not isinstance(field, str):
            raise TypeError(f"over must name fields by texts such as 'init.std', got {field!r}")
        owner = field
        while "." in owner:
            owner = owner.rpartition(".")[0]
            if owner in fields:
                raise ValueError(f"over must not sweep {owner!r} together with its field {field!r}")
    if "network.widths" in fields and any(name in fields for name in SHAPES):
        raise ValueError("over must not sweep 'network.widths' together with 'network.width' or 'network.depth'")


def _check_labels(name: str, labels: Sequence[object]) -> None:
    seen: set[str] = set()
    for label in labels:
        if not isinstance(label, (str, int, float)):
            raise TypeError(f"{name} must have texts or numbers as labels, got {label!r}")
        if not isinstance(label, str) and not abs(label) <= sys.float_info.max:
            raise ValueError(f"{name} must have finite numbers as labels, got {label!r:.200}")
        if str(label) in seen:
            raise ValueError(f"{name} must have labels that differ as texts, got {label} twice")
        seen.add(str(label))


def _check_distinct(name: str, values: Sequence[Any], labels: Sequence[Any]) -> None:
    seen: set[str] = set()
    for value, label in zip(values, labels, strict=True):
        text = _text(value)
        if text in seen:
            raise ValueError(f"{name} must not repeat a value, got {label} twice")
        seen.add(text)


def _text(value: Any) -> str:
    """Return a text that two values share only if they are the same."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        whole = isinstance(value, int) or value.is_integer()
        return hex(int(value)) if whole else repr(value)  # not as floats, for seeds have up to 64 bits
    try:
        return canonical(encode(value, {}))
    except (TypeError, ValueError):  # of a type that no field takes, which the field's own check reports
        return repr(value)


def _plain(field: Any, value: Any) -> Any:
    """Return NumPy's numbers as Python's, lists as tuples, and learning rates of each network as an array."""
    if isinstance(value, np.generic):
        return value.item()
    if field == _RATE and isinstance(value, (list, tuple, np.ndarray)):
        return checks.real_array(f"over[{field!r}]", value, dimensions=1, shape="(networks,)")
    return tuple(_plain(None, held) for held in value) if isinstance(value, list) else value


def _labels(values: Sequence[Any]) -> list[Any]:
    """Return a label for each value: numbers and texts themselves, else how they print, numbered if alike."""
    if all(isinstance(value, (int, float, str)) for value in values):
        return list(values)
    short = [f"<{value.dtype} {value.shape}>" if isinstance(value, np.ndarray) else value for value in values]
    texts = [value if isinstance(value, str) else repr(value) for value in short]
    return [f"{text} [{i}]" if texts.count(text) > 1 else text for i, text in enumerate(texts)]


def _as_coordinate(labels: Sequence[Any]) -> NDArray[Any]:
    flags = {isinstance(label, bool) for label in labels}
    if len(flags) == 1 and all(isinstance(label, (int, float)) for label in labels):
        whole = all(isinstance(label, int) and 0 <= label < 2**64 for label in labels)
        large = max(labels) >= 2**63  # such integers beside smaller ones would become floats
        return np.array(labels, dtype=np.uint64 if whole and large else np.float64 if large else None)
    return np.array([str(label) for label in labels], dtype=object)
