"""One network with its gates written out: what the reference integration of flow_reference.py differentiates.

A *gate* is the derivative of a hidden unit on a sample (0 or the slope, and 1), or that of a hinge at a margin.
A *mode* fixes all gates. Inside a mode the field is smooth. A *surface* is the set on which one gate changes.
Surfaces of one unit whose samples are multiples of each other are one surface, a ``Group``: its members open and
close together.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class UndeterminedError(Exception):
    """The flow is not determined from here on, or this reference cannot decide it."""


@dataclass(frozen=True)
class Group:
    """Coincident surfaces: unit ``i`` of layer ``l``, samples with signs; of a margin ``l`` is -1, ``i`` the sample."""

    l: int  # noqa: E741
    i: int
    members: tuple[tuple[int, int], ...] = ()


@dataclass
class Mode:
    """All gates: of units, (samples, units) a layer, and of margins, (samples,), between 0 (closed) and 1 (open).

    Members of the groups ``sliding`` have gates 0 here, and ``at`` marks the units that are held at 0.
    """

    gates: list[Array]
    pulls: Array
    at: list[NDArray[np.bool_]]
    sliding: list[Group] = field(default_factory=list)

    def with_gates(self, groups: list[Group], values: Any) -> Mode:
        """Return the mode in which each group is open by so much."""
        gates, pulls = [gate.copy() for gate in self.gates], self.pulls.copy()
        for group, value in zip(groups, values, strict=True):
            if group.l < 0:
                pulls[group.i] = value
            for s, sign in group.members:
                gates[group.l][s, group.i] = value if sign > 0 else 1 - value
        return replace(self, gates=gates, pulls=pulls)


class Gated:
    """A network, its samples and its loss. Parameters are one flat vector."""

    def __init__(self, network: Any, task: Any, loss: str, threshold: float = 1.0) -> None:
        self.widths, self.layers, self.bias = network.widths, len(network.widths) - 1, network.bias
        self.kinked = network.activation in ("relu", "leaky_relu")
        self.activation = network.activation
        self.slope = network.slope if network.activation == "leaky_relu" else 0.0
        self.loss, self.threshold = loss, threshold
        # Equal samples of one label, or target, are one sample: the loss is the same.
        rows = np.column_stack([task.inputs, task.answers])
        distinct, which = np.unique(rows, axis=0, return_inverse=True)
        self.inputs, answers = distinct[:, : task.dimension].copy(), distinct[:, task.dimension :].copy()
        self.labels, self.targets = answers[:, 0], answers if task.answer == "targets" else None
        if self.widths[-1] > 1 and loss == "squared" and self.targets is None:
            self.targets = np.eye(self.widths[-1])[self.labels.astype(int)]
        self.shares = np.bincount(which.ravel(), task.sample_weight)
        self.task = task
        self.samples = len(self.inputs)
        self.hinged = loss in ("hinge", "squared_hinge")
        self.parts: list[tuple[slice, tuple[int, int], slice]] = []
        used = 0
        for before, after in zip(self.widths[:-1], self.widths[1:], strict=True):
            end = used + before * after
            self.parts.append((slice(used, end), (after, before), slice(end, end + after * self.bias)))
            used = end + after * self.bias
        self.parameters = used

    def unpacked(self, flat: Array) -> tuple[list[Array], list[Array]]:
        """Return views of the weights and biases of each layer."""
        weights = [flat[place].reshape(shape) for place, shape, _ in self.parts]
        return weights, [flat[place] for *_, place in self.parts] if self.bias else []

    def packed(self, weights: list[Array], biases: list[Array]) -> Array:
        """Return the flat vector of weights and biases."""
        flat = np.empty(self.parameters)
        for layer, (place, shape, offsets) in enumerate(self.parts):
            flat[place].reshape(shape)[:] = weights[layer]
            if self.bias:
                flat[offsets] = biases[layer]
        return flat

    def opened(self, gates: Array) -> Array:
        """Return the derivative of units whose gates are open by so much."""
        return self.slope + (1 - self.slope) * gates if self.slope else gates

    def forward(self, flat: Array, mode: Mode) -> tuple[list[Array], list[Array]]:
        """Return what enters each layer and what leaves it before the activation."""
        weights, biases = self.unpacked(flat)
        entering, leaving = [self.inputs], []
        for layer, weight in enumerate(weights):
            a = entering[-1] @ weight.T
            if self.bias:
                a += biases[layer]
            leaving.append(a)
            if layer + 1 < self.layers:
                if self.kinked:
                    h = self.opened(mode.gates[layer]) * a
                    h[mode.at[layer]] = 0.0
                else:
                    h = np.tanh(a) if self.activation == "tanh" else a
                entering.append(h)
        return entering, leaving

    def pull(self, outputs: Array, pulls: Array) -> Array:
        """Return minus the derivative of the loss by the outputs, (samples, outputs)."""
        if self.targets is not None:
            return self.shares[:, None] * (self.targets - outputs)
        if outputs.shape[1] > 1:
            raised = np.exp(outputs - outputs.max(axis=1, keepdims=True))
            soft = raised / raised.sum(axis=1, keepdims=True)
            return self.shares[:, None] * (np.eye(outputs.shape[1])[self.labels.astype(int)] - soft)
        m = self.labels * outputs[:, 0]
        if self.loss == "hinge":
            r = pulls
        elif self.loss == "squared_hinge":
            r = pulls * (self.threshold - m)
        elif self.loss == "squared":
            r = 1 - m
        elif self.loss == "exponential":
            r = np.exp(np.minimum(-m, 700.0))
        else:
            r = np.where(m >= 0, np.exp(-np.abs(m)), 1.0) / (1 + np.exp(-np.abs(m)))
        return (self.shares * self.labels * r)[:, None]

    def velocity(self, flat: Array, mode: Mode, passed: tuple[list[Array], list[Array]] | None = None) -> Array:
        """Return minus the gradient with these gates."""
        entering, leaving = passed or self.forward(flat, mode)
        weights, _ = self.unpacked(flat)
        delta = self.pull(leaving[-1], mode.pulls)
        out = np.empty(self.parameters)
        for layer in reversed(range(self.layers)):
            place, shape, offsets = self.parts[layer]
            np.matmul(delta.T, entering[layer], out=out[place].reshape(shape))
            if self.bias:
                delta.sum(axis=0, out=out[offsets])
            if layer:
                delta = (delta @ weights[layer]) * self.slopes(layer - 1, mode, entering[layer])
        return out

    def size(self, flat: Array, mode: Mode) -> float:
        """Return the length of the gradient if nothing in it cancelled and every margin pulled."""
        entering, leaving = self.forward(flat, mode)
        weights, _ = self.unpacked(flat)
        delta, total = np.abs(self.pull(leaving[-1], np.ones(self.samples))), 0.0
        for layer in reversed(range(self.layers)):
            total += float(((delta.T @ np.abs(entering[layer])) ** 2).sum())
            delta = delta @ np.abs(weights[layer])
        return float(np.sqrt(total))

    def slopes(self, layer: int, mode: Mode, after: Array) -> Array:
        """Return the derivatives of the units of a hidden layer, whose outputs are ``after``."""
        if self.kinked:
            return self.opened(mode.gates[layer])
        return 1 - after**2 if self.activation == "tanh" else np.ones_like(after)

    def normal(self, flat: Array, mode: Mode, group: Group, entering: list[Array]) -> Array:
        """Return the gradient of the function that is positive where the group is open."""
        weights, _ = self.unpacked(flat)
        margin = group.l < 0
        layer, s = (self.layers - 1, group.i) if margin else (group.l, group.members[0][0])
        sign = -self.labels[s] if margin else float(group.members[0][1])
        out = np.zeros(self.parameters)
        delta = np.zeros(self.widths[layer + 1])
        delta[0 if margin else group.i] = sign
        for below in reversed(range(layer + 1)):
            place, shape, offsets = self.parts[below]
            np.multiply(delta[:, None], entering[below][s], out=out[place].reshape(shape))
            if self.bias:
                out[offsets] = delta
            if below:
                delta = (delta @ weights[below]) * self.slopes(below - 1, mode, entering[below])[s]
        return out

    def heights(self, flat: Array, mode: Mode) -> Array:
        """Return, for every gate, the function that changes sign at its surface, all units first and then margins."""
        _, leaving = self.forward(flat, mode)
        parts = [a.ravel() for a in leaving[:-1]] if self.kinked else []
        if self.hinged:
            parts.append(self.threshold - self.labels * leaving[-1][:, 0])
        return np.concatenate([*parts, np.zeros(0)])

    def sides(self, mode: Mode) -> Array:
        """Return +1 for open gates, -1 for closed ones and 0 for those that slide, in the order of ``heights``."""
        parts = [np.where(at, 0.0, 2 * gate - 1).ravel() for gate, at in zip(mode.gates, mode.at, strict=True)]
        if self.hinged:
            pulls = 2 * mode.pulls - 1
            pulls[[group.i for group in mode.sliding if group.l < 0]] = 0.0
            parts.append(pulls)
        return np.concatenate([*parts, np.zeros(0)])

    def settle(self, flat: Array, mode: Mode) -> Mode:
        """Set the gates of units that see only units held at 0, by the direction in which those leave 0.

        Without biases a sample on which no unit of a layer is active is 0 in all layers behind. Where one unit is at 0
        for it and can open, the layers behind see a small positive multiple of that unit alone.
        """
        if not self.kinked or self.layers < 3 or self.bias:
            return mode
        weights, _ = self.unpacked(flat)
        for s in np.flatnonzero(np.any([at.any(axis=1) for at in mode.at], axis=0)):
            h, direction = self.inputs[s], None
            for layer in range(self.layers - 1):
                if direction is not None:
                    a = weights[layer] @ direction
                    mode.gates[layer][s], mode.at[layer][s] = a > 0, False
                    direction = np.where(a > 0, a, self.slope * a)
                    continue
                a, at = weights[layer] @ h, mode.at[layer][s]
                h = np.where(at, 0.0, self.opened(mode.gates[layer][s]) * a)
                if at.any() and not h.any() and layer + 2 < self.layers:
                    can_open = at & (mode.gates[layer][s] > 0)
                    if can_open.sum() > 1:  # those that open are ahead of those that slide
                        can_open = at & (mode.gates[layer][s] == 1)
                    if (can_open.sum() != 1 and (at & (mode.gates[layer][s] > 0)).any()) or self.slope:
                        raise UndeterminedError("not decided: several units of a layer open at once for a sample")
                    direction = can_open.astype(float)
        return mode

    def margins(self, flat: Array) -> Array:
        """Return the margins of the task's samples as the network itself has them; of a regression all outputs."""
        weights, biases = self.unpacked(flat)
        h = self.task.inputs
        for layer, weight in enumerate(weights):
            h = h @ weight.T + (biases[layer] if self.bias else 0.0)
            if layer + 1 < self.layers:
                kinked = np.where(h > 0, h, self.slope * h)
                h = kinked if self.kinked else np.tanh(h) if self.activation == "tanh" else h
        if self.task.answer == "targets":
            return h.ravel()
        if h.shape[1] == 1:
            return np.asarray(self.task.labels * h[:, 0])
        rows, others = np.arange(len(h)), h.copy()
        others[rows, self.task.labels] = -np.inf
        return np.asarray(h[rows, self.task.labels] - others.max(axis=1))


def parallel_groups(layer: int, unit: int, samples: list[int], vectors: Array) -> list[Group]:
    """Return samples whose vectors are multiples of each other together, with the signs of the multiples."""
    groups: list[list[tuple[int, int]]] = []
    heads: list[Array] = []
    for s in samples:
        direction = vectors[s] / np.linalg.norm(vectors[s])
        for group, head in zip(groups, heads, strict=True):
            sign = 1 if head @ direction > 0 else -1
            if np.abs(direction - sign * head).max() < 1e-9:
                group.append((s, sign))
                break
        else:
            groups.append([(s, 1)])
            heads.append(direction)
    return [Group(layer, unit, tuple(group)) for group in groups]


def rays(vectors: Array) -> Array:
    """Return the unit vectors, in the span of ``vectors``, that are orthogonal to all but one dimension of them."""
    _, sizes, axes = np.linalg.svd(vectors)
    rank = int((sizes > 1e-9 * sizes[0]).sum())
    inside = vectors @ axes[:rank].T
    found = [np.ones((1, 1))] if rank == 1 else []
    for chosen in combinations(range(len(vectors)), rank - 1) if rank > 1 else ():
        _, some, across = np.linalg.svd(inside[list(chosen)])
        if some[-1] > 1e-9 * sizes[0]:
            found.append(across[-1:])
    directions = np.concatenate(found) @ axes[:rank]
    return np.concatenate([directions, -directions])
