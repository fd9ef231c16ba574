"""The modes of a task, and which mode each neuron of a separated network is active on.

| symbol | meaning | name | shape |
|---|---|---|---|
| x_k | distinct inputs | ``directions`` (unit vectors) | (modes, inputs) |
| rho_k | their norms | ``norms`` | (modes,) |
| p_k | their frequencies, summed over equal samples | ``frequencies`` | (modes,) |
| y_k | their labels | ``labels`` | (modes,) |
| - | mode in the direction -x_k, or -1 | ``opposite`` | (modes,) |
| a_i | w_i.x/rho of the mode on which neuron i is active | ``a`` | (networks, neurons) |
| zt_i | y z_i | ``zt`` | (networks, neurons) |

Source: theory book, chapters 1 to 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shoal.base import checks
from shoal.base.checks import real_numbers
from shoal.theory.domains import MOST, lengths

Array = NDArray[np.float64]
Index = NDArray[np.int64]

ROUNDING = 1e-12
"""Cosines between inputs within this of 0 or +-1 count as exactly 0 or +-1."""


class SupportsTask(Protocol):
    """What the theory needs of a task: anything with these three arrays."""

    @property
    def inputs(self) -> NDArray[np.float64]:
        """(samples, inputs)."""

    @property
    def labels(self) -> NDArray[np.int64]:
        """(samples,), -1 or +1."""

    @property
    def sample_weight(self) -> NDArray[np.float64]:
        """(samples,), not negative, with a sum of 1."""


@dataclass(frozen=True)
class TaskModes:
    """The distinct inputs of a task, pairwise orthogonal or antipodal."""

    directions: Array
    norms: Array
    frequencies: Array
    labels: Array
    opposite: Index
    mode_of_sample: Index

    @property
    def count(self) -> int:
        """Number of modes."""
        return len(self.norms)


def arrays_of(task: SupportsTask) -> tuple[Array, Array, Array]:
    """Return inputs, labels and sample weights as float64.

    Raises
    ------
    TypeError
        One of them is missing, masked, or holds what is not a real number.
    ValueError
        Shapes that do not fit, a number that is not finite, labels other than -1/+1, or a negative weight.
    """
    try:
        given = task.inputs, task.labels, task.sample_weight
    except AttributeError as error:
        raise TypeError(
            "task must have inputs, labels and sample_weight, as a shoal.Task has, "
            f"got {task!r:.200} of type {type(task).__name__}"
        ) from error
    inputs = checks.real_array("task.inputs", given[0], dimensions=2, shape="(samples, inputs)")
    labels = checks.real_array("task.labels", given[1], dimensions=1, shape="(samples,)")
    weights = checks.real_array("task.sample_weight", given[2], dimensions=1, shape="(samples,)")
    for name, values in (("labels", labels), ("sample_weight", weights)):
        if len(values) != len(inputs):
            raise ValueError(f"task.{name} must have one entry per sample, {len(inputs)}, got {len(values)}")
    if not np.isin(labels, (-1.0, 1.0)).all():
        raise ValueError(f"task must have labels -1 and +1, got {np.unique(labels)[:6]}")
    if (weights < 0).any():
        raise ValueError(f"task.sample_weight must not be negative, got {weights.min()}")
    return inputs, labels, weights


def task_modes(task: SupportsTask) -> TaskModes:
    """Return the modes of a task; equal samples of equal label merge and their weights add up.

    Raises
    ------
    ValueError
        Labels are not -1/+1, an input is zero, two inputs are neither equal, orthogonal nor antipodal, or equal inputs
        have different labels.
    """
    inputs, labels, weights = arrays_of(task)
    norms = lengths("task.inputs", inputs)
    units = inputs / norms[:, None]
    first: list[int] = []
    mode_of_sample = np.empty(len(inputs), dtype=np.int64)
    for sample in range(len(inputs)):
        cosines = units[first] @ units[sample]
        same = np.flatnonzero(cosines >= 1.0 - ROUNDING)
        other = (np.abs(cosines) > ROUNDING) & (cosines > -1.0 + ROUNDING)
        other[same] = False
        if other.any():
            _refuse(first[int(np.argmax(other))], sample, "neither equal, orthogonal nor antipodal")
        if len(same) == 0:
            mode_of_sample[sample] = len(first)
            first.append(sample)
            continue
        known = first[int(same[0])]
        if abs(norms[known] - norms[sample]) > ROUNDING * norms[known]:
            _refuse(known, sample, "parallel with different norms")
        if labels[known] != labels[sample]:
            _refuse(known, sample, "equal with different labels")
        mode_of_sample[sample] = same[0]
    directions = units[first]
    antipodes = directions @ directions.T <= -1.0 + ROUNDING
    opposite = np.where(antipodes.any(axis=1), antipodes.argmax(axis=1), -1)
    frequencies = np.zeros(len(first))
    np.add.at(frequencies, mode_of_sample, weights)
    return TaskModes(directions, norms[first], frequencies, labels[first], opposite, mode_of_sample)


def _refuse(first: int, second: int, what: str) -> None:
    raise ValueError(
        "task must have distinct inputs that are pairwise orthogonal or antipodal: "
        f"samples {first} and {second} are {what}"
    )


def check_weights(weights: Sequence[ArrayLike], inputs: int) -> tuple[Array, Array]:
    """Return the first layer (networks, neurons, inputs) and the output weights (networks, neurons).

    Raises
    ------
    TypeError
        A weight is not a real number.
    ValueError
        Not two layers of these shapes with one output, or a weight is not finite.
    """
    layers = checks.sequence("weights", weights, "two layers, (networks, h, d) and (networks, 1, h)")
    if len(layers) != 2:
        raise ValueError(
            f"weights must hold two layers, (networks, h, d) and (networks, 1, h), got {len(layers)} layers"
        )
    first, last = (real_numbers(f"weights[{i}]", layer) for i, layer in enumerate(layers))
    if first.ndim != 3 or first.shape[2] != inputs or last.shape != (first.shape[0], 1, first.shape[1]):
        raise ValueError(
            f"weights must have shapes (networks, h, {inputs}) and (networks, 1, h), got {first.shape} and {last.shape}"
        )
    for layer, values in enumerate((first, last)):
        far = ~(np.abs(values) <= MOST)
        if far.any():
            where = tuple(int(i) for i in np.argwhere(far)[0])
            rule = f"lie within {MOST:g} of 0" if np.isfinite(values[where]) else "be finite"
            raise ValueError(f"weights[{layer}] must {rule}, got {values[where]:g} at index {where}")
    return first, last[:, 0, :]


def settle(first: Array, last: Array, modes: TaskModes, offset: int = 0) -> tuple[Index, Array, Array]:
    """Return the mode (networks, neurons) on which each neuron is active, or -1, and its a and zt.

    ``offset`` is the number of the first network, for the message.

    Raises
    ------
    ValueError
        A neuron is active on more than one mode.
    """
    components = first @ modes.directions.T
    # No tolerance: a component above 0, however small, makes the neuron active there, and the flow lets it grow.
    active = components > 0
    crowded = active.sum(axis=2) > 1
    if crowded.any():
        network, neuron = (int(i) for i in np.argwhere(crowded)[0])
        on = np.flatnonzero(active[network, neuron])
        raise ValueError(
            "weights must be separated, each neuron active on at most one mode: "
            f"network {network + offset}, neuron {neuron} is active on modes {on.tolist()}"
        )
    home = np.where(active.any(axis=2), active.argmax(axis=2), -1)
    a = np.where(home >= 0, np.max(components, axis=2), 0.0)
    return home, a, modes.labels[home] * last
