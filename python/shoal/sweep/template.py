"""The records of conditions before anything is trained: shapes, coordinates, and whether they fit together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.engine import custom, dataset
from shoal.engine.histogram import bins
from shoal.engine.merged import Merged
from shoal.engine.run import Run
from shoal.spec.init import Explicit
from shoal.spec.measures import REGISTRY
from shoal.spec.method import OUTCOMES, STOP_RULES, GradientDescent
from shoal.sweep.conditions import Conditions

Labelled = tuple[tuple[str, ...], NDArray[Any], dict[str, Any]]
"""Dimensions, values and attributes, as xarray takes them."""
_ENDS = {"status": "i1", "stopped_at": "i8", "stopped_time": "f8", "accepted": "i8", "rejected": "i8", "gave_up": "i1"}


@dataclass(frozen=True)
class Template:
    """The record of a condition: the variables of one network, all zeros, or statistics; and its coordinates."""

    variables: dict[str, Labelled]
    coordinates: dict[str, Labelled]

    @classmethod
    def of(cls, run: Run) -> Template:
        """Return what a training will record: one network, or statistics of none."""
        if run.training.record.reduce is not None:
            return cls.of_merged(run, of_statistics(run))
        return cls._of(run, run.variables(_arrays(run)) | initial(run, 0, 1), np.zeros(1, np.int64))

    @classmethod
    def of_merged(cls, run: Run, merged: Merged) -> Template:
        """Return statistics of a training."""
        return cls._of(run, run.statistics(merged) | dataset.initial(run.training.init, "init_network"), None)

    @classmethod
    def _of(cls, run: Run, variables: Mapping[str, Any], index: NDArray[np.int64] | None) -> Template:
        labelled = {name: (dims, np.asarray(values), attrs) for name, (dims, values, attrs) in variables.items()}
        training = run.training
        if training.method.rates is not None:  # coordinates of one network: many learning rates have many times
            training = training.part(0, 1)
        return cls(labelled, dataset.coordinates(training, variables, index))


def initial(run: Run, begin: int, end: int) -> dict[str, Any]:
    """Return the variables of the arrays from which networks ``begin`` to ``end`` - 1 start, if they are given."""
    init = run.training.init
    return dataset.initial(init.block(begin, end), "network") if isinstance(init, Explicit) else {}


def _arrays(run: Run) -> dict[str, Any]:
    """Return the arrays of one network as those of the core, all zeros."""
    network, times = run.training.network, len(run.training.records)
    arrays: dict[str, Any] = {name: np.zeros(1, dtype) for name, dtype in _ENDS.items()}
    shapes = list(zip(network.widths[1:], network.widths[:-1], strict=True))
    for measure in (REGISTRY[name] for name in run.training.record.measure):
        leading = (1, times) if measure.timed else (1,)
        if measure.layers:
            weights, biases = measure.arrays
            arrays[weights] = [_zeros((*leading, *shape), run.training.dtype) for shape in shapes]
            if network.bias:
                arrays[biases] = [_zeros((*leading, outputs), run.training.dtype) for outputs, _ in shapes]
        else:
            dtype = "bool" if measure.flags else run.training.dtype
            arrays[measure.name] = _zeros((*leading, *_sizes(run, measure.name)), dtype)
    shaped = run.custom_shapes.items()
    return arrays | {custom.key(name): _zeros((1, times, *shape), "float64") for name, shape in shaped}


def of_statistics(run: Run) -> Merged:
    """Return statistics of no networks, with the shapes of those of the training, in its given samples."""
    times, kept = len(run.training.records), run.kept
    histogram = bins(kept.resolution)
    sums: dict[str, NDArray[Any]] = {"kept": np.zeros(1, np.int64)}
    for name in run.training.record.measure:
        sums[name] = np.zeros((1, 4, times, *_sizes(run, name)))
    sums |= {custom.key(name): np.zeros((1, 4, times, *shape)) for name, shape in run.custom_shapes.items()}
    sums |= {f"pair_{i}": np.zeros((1, times)) for i in range(len(kept.covariance))}
    counts = {"status": np.zeros(len(OUTCOMES), np.int64)}
    counts |= {f"event_{i}": np.zeros(times, np.int64) for i in range(len(kept.events))}
    counts |= {
        f"histogram_{name}": np.zeros((times, *_sizes(run, name), histogram), np.int64) for name in kept.distribution
    }
    if isinstance(run.training.method, GradientDescent) and run.training.method.stop:
        sums |= {"stopped": np.zeros((1, 3), np.int64), "stop_moments": np.zeros((1, 3, 4))}
        counts["stop_histogram"] = np.zeros((3, histogram), np.int64)
    return Merged(sums, counts, 0, 0, kept.covariance)  # type: ignore[arg-type]


def stacked(conditions: Conditions, templates: Sequence[Template]) -> dict[str, Labelled]:
    """Return the coordinates that conditions share, or that differ along some of their dimensions."""
    coordinates: dict[str, Labelled] = {}
    for axis in conditions.axes:
        for name, values in axis.coordinates().items():
            coordinates[name] = ((axis.name,), values, {})
    for name in templates[0].coordinates:
        held = [template.coordinates[name] for template in templates if name in template.coordinates]
        alike = len({(dims, values.shape) for dims, values, _ in held}) == 1 and len(held) == len(templates)
        if not alike or {"network", "init_network"} & set(held[0][0]):
            continue  # of tasks of other sizes, or of each network: they are in the specification
        dims, values = along(conditions, held)
        # xarray keeps the name of a dimension for coordinates along it alone.
        told = "times" if name == "time" and len(dims) > 1 else name
        coordinates[told] = (dims, values, dict(held[0][2]))
    return coordinates


def along(conditions: Conditions, held: Sequence[Labelled]) -> tuple[tuple[str, ...], NDArray[Any]]:
    """Return dimensions and values of an array of each condition, without the axes along which it does not change."""
    kinds: dict[tuple[str, bytes], int] = {}
    seen: dict[int, int] = {}
    firsts: list[NDArray[Any]] = []
    for _, values, _ in held:
        if id(values) not in seen:  # large arrays that conditions share are looked at once
            bits = repr(values.tolist()).encode() if values.dtype == object else values.tobytes()
            seen[id(values)] = kind = kinds.setdefault((values.dtype.str, bits), len(kinds))
            firsts += [values] if kind == len(firsts) else []
    grid = np.reshape([seen[id(values)] for _, values, _ in held], conditions.shape)
    dims: list[str] = []
    for axis, name in reversed(list(enumerate(conditions.names))):
        first = np.take(grid, [0], axis=axis)
        if (grid == first).all():
            grid = np.take(grid, 0, axis=axis)
        else:
            dims.insert(0, name)
    return (*dims, *held[0][0]), np.stack(firsts)[grid]


def check_alike(told: Sequence[str], templates: Sequence[Template]) -> None:
    """Raise a ValueError if two conditions record a measure in different shapes."""
    first = _sizes_of(templates[0])
    for text, template in zip(told, templates, strict=True):
        sizes = _sizes_of(template)
        for name in sorted({*first, *sizes}) if sizes != first else ():
            here, there = first.get(name), sizes.get(name)
            if here != there:
                raise ValueError(
                    f"over must leave the shape of what is recorded as it is: {_measure(name)!r} has {_said(here)} at "
                    f"{told[0]} and {_said(there)} at {text}; {_remedy(name)}"
                )


def _sizes_of(template: Template) -> dict[str, dict[str, int]]:
    return {name: dict(zip(dims, held.shape, strict=True)) for name, (dims, held, _) in template.variables.items()}


def _said(sizes: Mapping[Any, int] | None) -> str:
    if sizes is None:
        return "no array"
    return ", ".join(f"{dim} {size}" for dim, size in sizes.items() if dim != "network") or "one number per network"


def _measure(name: str) -> str:
    for prefix, measure in (("weights_", "weights"), ("biases_", "weights"), ("trajectory_", "trajectory")):
        if name.startswith(prefix):
            return measure
    return name.removesuffix("_histogram")


def _remedy(name: str) -> str:
    if name.startswith("init_"):
        return "initialisations given by arrays must all have the same widths"
    if name in ("diverged_at", "stopped_at", "accepted", "rejected", "gave_up", "exhausted", *STOP_RULES):
        return "sweep methods of one kind, with the same rules to stop"
    return (
        f"leave {_measure(name)!r} out of Record(measure=...), give all conditions the same times, "
        "or sweep each shape into a store of its own"
    )


def _sizes(run: Run, name: str) -> tuple[int, ...]:
    """Return the lengths of a measure's last axes, behind network and time."""
    return REGISTRY[name].shape(run.training.network, run.training.task)


def _zeros(shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
    """Return zeros that take no memory."""
    return np.broadcast_to(np.zeros((), dtype), shape)
