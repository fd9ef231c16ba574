"""What is swept: conditions on a grid or in a list, and the arguments of ``train`` at each."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.base import checks, former
from shoal.spec.encoding import canonical, encode
from shoal.spec.loss import resolve_loss
from shoal.spec.network import Network

OBJECTS = ("network", "task", "init", "method", "loss")
NUMBERS = ("seed", "weight_decay", "spectral_decoupling")
SHAPES = ("network.width", "network.depth")
_FORM = "a mapping {field: values} or a sequence of mappings {field: value}"

_RATE = "method.learning_rate"
_TAKEN = {"network": "network_name", "loss": "loss_name"}  # a dimension and a measure have these names

Settings = dict[str, Any]


@dataclass(frozen=True)
class Axis:
    """One dimension of a sweep: the settings at each of its points, and the coordinate of each field."""

    name: str
    points: tuple[Settings, ...]
    labels: dict[str, tuple[Any, ...]]

    def coordinates(self) -> dict[str, NDArray[Any]]:
        """Return one array a field, shape (points,): numbers where all are, else texts."""
        arrays = {coordinate_of(field): _as_coordinate(labels) for field, labels in self.labels.items()}
        return arrays if self.name in arrays else {self.name: np.arange(len(self.points)), **arrays}


@dataclass(frozen=True)
class Conditions:
    """All conditions of a sweep, the last axis fastest."""

    axes: tuple[Axis, ...]

    @classmethod
    def of(cls, over: object) -> Conditions:
        """Return the conditions of a grid, a list, or the one condition of None.

        Raises
        ------
        TypeError
            Neither a mapping nor a sequence of mappings, or values that are no sequence.
        ValueError
            Nothing to sweep, a value given twice, or fields that say the same thing twice.
        """
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
    def names(self) -> tuple[str, ...]:
        """Names of the dimensions."""
        return tuple(axis.name for axis in self.axes)

    @property
    def shape(self) -> tuple[int, ...]:
        """Points of each dimension."""
        return tuple(len(axis.points) for axis in self.axes)

    @property
    def count(self) -> int:
        """How many conditions there are."""
        return math.prod(self.shape)

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of what is swept."""
        return tuple(field for axis in self.axes for field in axis.labels)

    def settings(self) -> list[Settings]:
        """Return what is set at each condition."""
        return [{k: v for point in chosen for k, v in point.items()} for chosen in self._chosen()]

    def told(self) -> list[str]:
        """Return a text for each condition, such as ``init.std=0.1``; of one without fields it is empty."""
        labels = [[{f: axis.labels[f][i] for f in axis.labels} for i in range(len(axis.points))] for axis in self.axes]
        chosen = itertools.product(*labels)
        return [", ".join(f"{field}={label}" for part in parts for field, label in part.items()) for parts in chosen]

    def labelled(self, condition: int) -> dict[str, Any]:
        """Return the label of each field at a condition."""
        at = np.unravel_index(condition, self.shape) if self.axes else ()
        chosen = zip(self.axes, at, strict=True)
        return {field: labels[int(i)] for axis, i in chosen for field, labels in axis.labels.items()}

    def over(self, networks: int) -> Any:
        """Return the argument that makes these conditions, with the learning rates of the first so many networks."""
        if not self.axes:
            return None
        if "condition" in self.names:
            points = self.axes[0].points
            return [{field: first_rates(field, held, networks) for field, held in point.items()} for point in points]
        return {  # "fields" in their order, which is that of the dimensions: JSON is written with sorted names
            "fields": [
                [field, list(labels), [first_rates(field, point[field], networks) for point in axis.points]]
                for axis in self.axes
                for field, labels in axis.labels.items()
            ]
        }

    def _chosen(self) -> itertools.product[tuple[Settings, ...]]:
        return itertools.product(*(axis.points for axis in self.axes))


def coordinate_of(field: str) -> str:
    """Return the name of a field's coordinate: the field itself, but for two whose names are taken."""
    return _TAKEN.get(field, field)


def regrid(told: Any) -> Any:
    """Return the argument ``over`` from what ``Conditions.over`` told."""
    if not isinstance(told, Mapping):
        return told
    return {field: dict(zip(labels, values, strict=True)) for field, labels, values in told["fields"]}


def first_rates(field: str, value: Any, networks: int) -> Any:
    """Return the value of a field, of learning rates of each network only the first ones."""
    if field == "method":
        return value.block(0, networks)
    return value[:networks] if field == _RATE and isinstance(value, np.ndarray) else value


def applied(arguments: Mapping[str, Any], settings: Settings) -> dict[str, Any]:
    """Return the arguments of ``train`` with these settings in place.

    Raises
    ------
    TypeError, ValueError
        A field that the swept object does not have, or a value that it does not take.
    """
    new = {**arguments, **{name: value for name, value in settings.items() if "." not in name}}
    new["loss"] = resolve_loss(new["loss"])
    for owner in OBJECTS:
        parts = {
            name.removeprefix(f"{owner}."): held for name, held in settings.items() if name.startswith(f"{owner}.")
        }
        if parts:
            new[owner] = _replaced(owner, new[owner], parts)
    return new


def check_fields(conditions: Conditions, arguments: Mapping[str, Any]) -> None:
    """Raise a ValueError for a field that cannot be swept."""
    allowed = [*OBJECTS, *NUMBERS, *SHAPES]
    for owner in OBJECTS:
        held: Any = resolve_loss(arguments[owner]) if owner == "loss" else arguments[owner]
        allowed += [f"{owner}.{field.name}" for field in dataclasses.fields(held)]
    for field in conditions.fields:
        if field not in allowed:
            now = f", which is now {former.FIELDS[field]!r}" if field in former.FIELDS else ""
            raise ValueError(f"over must name what can be swept here, {', '.join(allowed)}; got {field!r}{now}")


def _replaced(owner: str, base: Any, parts: Settings) -> Any:
    if owner != "network":
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
    """Return the widths of a network with ``depth`` hidden layers of ``width`` units."""
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
        for label in labels:
            if not isinstance(label, (str, int, float)):
                raise TypeError(f"over[{field!r}] must have texts or numbers as labels, got {label!r}")
    elif isinstance(values, str) or not isinstance(values, (Sequence, np.ndarray)):
        raise TypeError(f"over[{field!r}] must be a sequence of values, or a mapping label -> value, got {values!r}")
    else:
        held = [_plain(field, value) for value in values]
        labels = _labels(held)
    if not held:
        raise ValueError(f"over[{field!r}] must hold at least one value, got none")
    _check_distinct(f"over[{field!r}]", held, labels)
    return Axis(coordinate_of(field), tuple({field: _plain(field, value)} for value in held), {field: tuple(labels)})


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
    labels = {field: tuple(_labels([point[field] for point in points])) for field in points[0]}
    return Axis("condition", tuple(points), labels)


def _check_names(fields: Mapping[Any, Any]) -> None:
    for field in fields:
        if not isinstance(field, str):
            raise TypeError(f"over must name fields by texts such as 'init.std', got {field!r}")
        owner = field.partition(".")[0]
        if owner != field and owner in fields:
            raise ValueError(f"over must not sweep {owner!r} together with its field {field!r}")
    if "network.widths" in fields and any(name in fields for name in SHAPES):
        raise ValueError("over must not sweep 'network.widths' together with 'network.width' or 'network.depth'")


def _check_distinct(name: str, values: Sequence[Any], labels: Sequence[Any]) -> None:
    seen: set[str] = set()
    for value, label in zip(values, labels, strict=True):
        text = _text(value)
        if text in seen:
            raise ValueError(f"{name} must not repeat a value, got {label} twice")
        seen.add(text)


def _text(value: Any) -> str:
    """Return a text that two values share only where they are the same."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return repr(float(value))
    try:
        return canonical(encode(value, {}))
    except (TypeError, ValueError):  # of no type that a field takes: the field's own check will say so
        return repr(value)


def _plain(field: Any, value: Any) -> Any:
    """Return NumPy's numbers as Python's, lists as tuples, and learning rates of each network as an array."""
    if isinstance(value, np.generic):
        return value.item()
    if field == _RATE and isinstance(value, (list, tuple, np.ndarray)):
        return checks.real_array(f"over[{field!r}]", value, dimensions=1, shape="(networks,)")
    return tuple(_plain(None, held) for held in value) if isinstance(value, list) else value


def _labels(values: Sequence[Any]) -> list[Any]:
    """Return a label for each value: numbers and texts themselves, else how they print, numbered where alike."""
    if all(isinstance(value, (int, float, str)) for value in values):
        return list(values)
    texts = [value if isinstance(value, str) else _printed(value) for value in values]
    return [f"{text} [{i}]" if texts.count(text) > 1 else text for i, text in enumerate(texts)]


def _printed(value: Any) -> str:
    return f"<{value.dtype} {value.shape}>" if isinstance(value, np.ndarray) else repr(value)


def _as_coordinate(labels: Sequence[Any]) -> NDArray[Any]:
    if all(isinstance(label, bool) for label in labels):
        return np.array(labels)
    if all(isinstance(label, (int, float)) and not isinstance(label, bool) for label in labels):
        return np.array(labels)
    return np.array([str(label) for label in labels], dtype=object)
