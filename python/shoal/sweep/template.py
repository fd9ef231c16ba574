"""What a sweep's conditions record, before anything is trained: shapes, coordinates, and whether they fit together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from shoal.engine import dataset
from shoal.engine.histogram import bins
from shoal.engine.merged import Merged
from shoal.engine.run import Run
from shoal.spec.method import OUTCOMES, STOP_RULES, GradientDescent
from shoal.sweep.conditions import Conditions

if TYPE_CHECKING:
    import xarray

_OF_TASK = ("inputs", "labels", "sample_weight", "test_inputs", "test_labels")


def of_networks(run: Run) -> xarray.Dataset:
    """Return the dataset of one network of a training that keeps each, as ``train`` gives it but for the numbers."""
    network, times = run.training.network, len(run.training.records)
    arrays: dict[str, Any] = {
        "status": np.zeros(1, np.int8),
        "stopped_at": np.zeros(1, np.int64),
        "stopped_time": np.zeros(1),
        "accepted": np.zeros(1, np.int64),
        "rejected": np.zeros(1, np.int64),
        "gave_up": np.zeros(1, np.int8),
    }
    shapes = list(zip(network.widths[1:], network.widths[:-1], strict=True))
    layers: dict[str, list[tuple[int, ...]]] = {
        "weights": [(1, *shape) for shape in shapes],
        "biases": [(1, shape[0]) for shape in shapes],
        "trajectory": [(1, times, *shape) for shape in shapes],
        "trajectory_bias": [(1, times, shape[0]) for shape in shapes],
    }
    for name in run.training.record.measure:
        if name in layers:
            for of in (name, "biases" if name == "weights" else "trajectory_bias"):
                arrays[of] = [_zeros(shape, run.training.dtype) for shape in layers[of]]
        else:
            dtype = "bool" if name == "pattern" else run.training.dtype
            arrays[name] = _zeros((1, times, *_sizes(run, name)), dtype)
    return run.part(0, 1).of_expanded(arrays)


def of_statistics(run: Run) -> Merged:
    """Return statistics of no networks, with the shapes of those of the training, in its given samples."""
    times, kept = len(run.training.records), run.kept
    histogram = bins(kept.resolution)
    sums: dict[str, NDArray[Any]] = {"kept": np.zeros(1, np.int64)}
    for name in run.training.record.measure:
        sums[name] = np.zeros((1, 4, times, *_sizes(run, name)))
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


def of_run(run: Run) -> xarray.Dataset:
    """Return a dataset with the variables, dimensions and coordinates of a training, its networks but one left out."""
    return of_networks(run) if run.training.record.reduce is None else run.of_statistics(of_statistics(run))


@dataclass(frozen=True)
class Stacked:
    """The coordinates that conditions share or that stand along some of their dimensions."""

    coordinates: dict[str, tuple[tuple[str, ...], NDArray[Any], dict[str, Any]]]

    @classmethod
    def of(cls, conditions: Conditions, templates: Sequence[xarray.Dataset]) -> Stacked:
        """Return the coordinates of all conditions, whose templates stand in their order."""
        coordinates: dict[str, tuple[tuple[str, ...], NDArray[Any], dict[str, Any]]] = {}
        for axis in conditions.axes:
            for name, values in axis.coordinates().items():
                coordinates[name] = ((axis.name,), values, {})
        for name in map(str, templates[0].coords):
            held = [template.coords[name] for template in templates if name in template.coords]
            if name == "network" or len({(one.dims, one.shape) for one in held}) > 1 or len(held) < len(templates):
                continue  # of the task: it stands in the specification
            dims, values = along(conditions, held)
            told = name
            if told == "time" and len(dims) > 1:
                told = "times"  # xarray keeps the name of a dimension for coordinates along it alone
            coordinates[told] = (dims, values, dict(held[0].attrs))
        return cls(coordinates)


def along(conditions: Conditions, held: Sequence[xarray.DataArray]) -> tuple[tuple[str, ...], NDArray[Any]]:
    """Return dimensions and values of an array of each condition, without the axes along which it does not change."""
    kinds: dict[tuple[str, bytes], int] = {}
    # Arrays that conditions share are looked at once; they are held, so that no other can take their place in memory.
    seen: dict[tuple[int, str, tuple[int, ...]], tuple[int, NDArray[Any]]] = {}
    firsts: list[NDArray[Any]] = []
    which = np.zeros(len(held), np.int64)
    for i, one in enumerate(held):
        values = np.asarray(one.values)
        place = (values.ctypes.data, values.dtype.str, values.strides)
        if place not in seen:
            text = repr(values.tolist()).encode() if values.dtype == object else values.tobytes()
            kind = kinds.setdefault((values.dtype.str, text), len(kinds))
            seen[place] = kind, values
            if kind == len(firsts):
                firsts.append(values)
        which[i] = seen[place][0]
    grid = which.reshape(conditions.shape)
    dims: list[str] = []
    for axis, name in reversed(list(enumerate(conditions.names))):
        first = np.take(grid, [0], axis=axis)
        if (grid == first).all():
            grid = np.take(grid, 0, axis=axis)
        else:
            dims.insert(0, name)
    return (*dims, *map(str, held[0].dims)), np.stack(firsts)[grid]


def check_alike(told: Sequence[str], templates: Sequence[xarray.Dataset]) -> None:
    """Raise a ValueError where two conditions record a measure in different shapes."""
    first = templates[0]
    for text, template in zip(told, templates, strict=True):
        for name in sorted({*map(str, first), *map(str, template)}):
            here, there = (dict(one[name].sizes) if name in one else None for one in (first, template))
            if here != there:
                raise ValueError(
                    f"over must leave the shape of what is recorded as it is: {_measure(name)!r} has {_said(here)} at "
                    f"{told[0]} and {_said(there)} at {text}; {_remedy(name)}"
                )


def _said(sizes: Mapping[Any, int] | None) -> str:
    if sizes is None:
        return "no array"
    return ", ".join(f"{dim} {size}" for dim, size in sizes.items() if dim != "network") or "one number a network"


def _measure(name: str) -> str:
    for prefix, measure in (("weights_", "weights"), ("biases_", "weights"), ("trajectory_", "trajectory")):
        if name.startswith(prefix):
            return measure
    return name.removesuffix("_histogram")


def _remedy(name: str) -> str:
    if name.startswith("start_"):
        return "initialisations given by arrays must all have the same widths"
    if name in ("diverged_at", "stopped_at", "accepted", "rejected", "gave_up", "exhausted", *STOP_RULES):
        return "sweep methods of one kind, with the same rules to stop"
    return (
        f"leave {_measure(name)!r} out of Record(measure=...), give all conditions the same times, "
        "or sweep each shape into a store of its own"
    )


def _sizes(run: Run, name: str) -> tuple[int, ...]:
    """Return the lengths of a measure's last axes, behind network and time."""
    sizes: dict[str, Callable[[], int]] = {
        "sample": lambda: run.training.task.samples,
        "test_sample": lambda: run.training.task.test_samples,
        "layer": lambda: run.training.network.layers,
        "hidden_layer": lambda: run.training.network.layers - 1,
        "unit": lambda: run.training.network.units,
    }
    return tuple(sizes[dimension]() for dimension in dataset.last_dims(name))


def _zeros(shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
    """Return zeros that take no memory."""
    return np.broadcast_to(np.zeros((), dtype), shape)
