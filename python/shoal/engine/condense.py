"""Fewer samples and inputs for the same training: equal samples once, inputs in coordinates of what they span."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.spec.measures import REGISTRY
from shoal.spec.method import GradientFlow
from shoal.spec.network import Network
from shoal.spec.task import Task
from shoal.spec.training import Training

OF_SAMPLES = tuple(name for name, measure in REGISTRY.items() if measure.of_samples)
_LEAST = 32  # samples, or inputs: below, "auto" has nothing to gain


@dataclass(frozen=True)
class Condensed:
    """A network and a task that are trained in place of the given ones.

    ``span`` (rank, inputs) holds orthonormal directions that all inputs span; the inputs of ``task`` are coordinates
    along them, or the inputs themselves if it has no rows. ``sample_of`` (samples,) is the row of ``task`` for each
    sample, None if they are the same; ``repeats`` (rows,) is the number of samples of each row.
    """

    network: Network
    task: Task
    whole: Task
    span: NDArray[np.float64]
    sample_of: NDArray[np.int64] | None
    repeats: NDArray[np.float64]

    @classmethod
    def of(cls, training: Training) -> Condensed:
        """Condense as the training says.

        Equal samples are equal kinks of a flow, which therefore merges them however few they are. With weight decay
        inputs stay as they are: the part of the weights that no input meets would shrink.
        """
        network, task, how = training.network, training.task, training.condense
        flows = isinstance(training.method, GradientFlow)
        merged, sample_of = _merge(task, True if how == "auto" and flows else how)
        repeats = np.ones(task.samples) if sample_of is None else np.bincount(sample_of).astype(np.float64)
        span, turned = np.zeros((0, task.dimension)), None
        if how is not False and training.weight_decay == 0:
            turned = _turn(merged, how, training.dtype)
        if turned is None:
            return cls(network, merged, task, span, sample_of, repeats)
        span, merged = turned
        network = replace(network, widths=(len(span), *network.widths[1:]))
        return cls(network, merged, task, span, sample_of, repeats)

    def expand(self, arrays: Mapping[str, Any], prefix: str = "", behind: int = 0) -> dict[str, Any]:
        """Return arrays with the measures of all samples, from those of the rows of the task.

        ``behind`` is the number of axes behind the measures' own.
        """
        if self.sample_of is None:
            return dict(arrays)
        expanded = dict(arrays)
        for name in OF_SAMPLES:
            if (key := f"{prefix}{name}") in arrays:
                dims = REGISTRY[name].dims_of(self.network)
                for axis in (at - len(dims) - behind for at, of in enumerate(dims) if of in ("sample", "other_sample")):
                    expanded[key] = np.take(expanded[key], self.sample_of, axis=axis)
        return expanded

    def sizes(self) -> str:
        """Return how many samples and inputs there were and are, as JSON."""
        samples, inputs = (self.whole.samples, self.task.samples), (self.whole.dimension, self.task.dimension)
        return json.dumps({"samples": samples, "inputs": inputs})

    def bytes_beside(self, outputs: int, keeps_weights: bool, lanes: int) -> tuple[int, int]:
        """Return the bytes of the span, and of what each thread keeps of weights that no input meets."""
        if not len(self.span):
            return 0, 0
        drawn = outputs * self.whole.dimension
        return self.span.nbytes, 8 * (drawn + outputs * (lanes + 1) + (drawn * lanes if keeps_weights else 0))


def _merge(task: Task, how: str | bool) -> tuple[Task, NDArray[np.int64] | None]:
    """Return the task with each sample once, in the order in which they first come, and the row of each sample.

    Samples of weight 0 come behind the others and do not decide whether it is worth it: they are measured, not learnt.
    """
    learnt = int(np.count_nonzero(task.sample_weight))
    if how is False or (how == "auto" and learnt < _LEAST):
        return task, None
    most = learnt // 2 if how == "auto" else task.samples - 1
    order = np.argsort(task.sample_weight == 0, kind="stable")
    parts = [array.reshape(task.samples, -1).view(np.uint64) for array in (task.inputs, task.answers)]

    def too_many(first: NDArray[np.int64]) -> bool:
        return (int(np.count_nonzero(first < learnt)) if how == "auto" else len(first)) > most

    of_inputs, of_answers = np.split(_multipliers(sum(part.shape[1] for part in parts)), [task.dimension])
    found = _groups((parts[0] @ of_inputs + parts[1] @ of_answers)[order])
    if too_many(found[0]):  # rows of different sums differ
        return task, None
    keys = np.column_stack(parts)[order]
    if (keys[found[0]][found[1]] != keys).any():
        found = _groups(np.ascontiguousarray(keys).view(np.dtype((np.void, keys.itemsize * keys.shape[1])))[:, 0])
    first, place = found
    if too_many(first):
        return task, None
    row = np.empty_like(place)
    row[order] = place
    weights = np.bincount(row, weights=task.sample_weight)
    kept = order[first]
    return type(task)(task.inputs[kept], task.answers[kept], weights, task.test), row


def _groups(keys: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the first index of each distinct key, ascending, and the place among them of every key."""
    _, first, group = np.unique(keys, return_index=True, return_inverse=True)
    order = np.argsort(first)
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    return first[order].astype(np.int64), place[group]


def _multipliers(count: int) -> NDArray[np.uint64]:
    """Return odd numbers whose bits look random: powers of one, modulo 2**64."""
    return np.multiply.accumulate(np.full(count, 0x9E3779B97F4A7C15, dtype=np.uint64))


def _turn(task: Task, how: str | bool, dtype: str) -> tuple[NDArray[np.float64], Task] | None:
    """Return the directions that all inputs span, and the task in coordinates of them, or None if not worth it."""
    from shoal import _core

    dimension = task.dimension
    if dimension < (_LEAST if how == "auto" else 2):
        return None
    inputs = task.inputs if task.test is None else np.concatenate([task.inputs, task.test.inputs])
    found = _core.span(inputs, dimension // 2 if how == "auto" else dimension - 1)
    if found is None or len(found[0]) == 0 or not np.abs(found[1]).max() <= np.finfo(dtype).max:
        return None
    span, coordinates = found
    test = None if task.test is None else (coordinates[task.samples :], task.test[1])
    return span, type(task)(coordinates[: task.samples], task.answers, task.sample_weight, test)
