"""Two-layer ReLU networks on classes of points: the carriers of their state, and its equations of motion.

| symbol | meaning | name | shape |
|---|---|---|---|
| q_i | (E w_i, z_i) of neuron i | ``start_vectors`` | (networks, h, r + classes) |
| Phi_c | propagator of class c, q_i(t) = Phi_c q_i(0) | the first carriers' columns | (networks, r + classes, r + 1) |
| Q_c | sum of q_i(0) q_i(0)^T over the members of class c | ``moments`` | (networks, r + classes, r + classes) |
| v, z | components of a carrier | ``state`` | (networks, carriers, r + 1) |
| u_s | w.x_s of a carrier, ``offset`` + k_s.v | - | (networks, carriers, n) |

A *member* of a class is active on all of it and on nothing else. All members of a class move by the same linear map
Phi_c. The columns of Phi_c are the carriers of the class, whatever the number of members, which enter through Q_c. A
*loose* neuron is active on another set of samples and is its own carrier.

Source: theory book, chapter 3.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from shoal.theory.order_parameters.classes import TaskClasses
from shoal.theory.residual import Residual

Array = NDArray[np.float64]
Index = NDArray[np.int64]
Flags = NDArray[np.bool_]


class Carriers:
    """The state of a block of networks between two changes of activity.

    Parameters
    ----------
    first, last
        (networks, h, d) and (networks, h) weights at time 0.
    classes
        The task's classes.
    residual
        The loss.

    Attributes
    ----------
    state
        (networks, carriers, r + 1) float64.
    active
        (networks, h, n) bool: which neuron is active on which sample.
    driven
        (networks, n) bool: whether a sample's margin is below the target of a hinge; true for other losses.
    """

    def __init__(self, first: Array, last: Array, classes: TaskClasses, residual: Residual) -> None:
        self.classes, self.residual = classes, residual
        networks, neurons = last.shape
        samples, rank, count = len(classes.labels), len(classes.basis), classes.count
        self.rank, self.fixed = rank, rank + count
        self.home_samples: Flags = classes.class_of_sample == np.arange(count)[:, None]
        self.start_u = first @ classes.inputs.T
        self.active: Flags = self.start_u > 0
        self.last = last
        full = (self.active[:, :, None, :] == self.home_samples).all(axis=3)
        self.member = np.where(full.any(axis=2), full.argmax(axis=2), -1)
        # One carrier per basis vector, then one per class for z.
        carrier_class = np.concatenate([classes.class_of_basis, np.arange(count)])
        self.start_vectors = np.concatenate(
            [first @ classes.basis.T, np.repeat(last[..., None], count, axis=2)], axis=2
        )
        self.start_vectors *= self.member[..., None] == carrier_class
        unit = np.zeros((self.fixed, rank + 1))
        unit[np.arange(rank), np.arange(rank)] = 1.0
        unit[rank:, rank] = 1.0
        self.state = np.repeat(unit[None], networks, axis=0)
        self.start_carried = unit[:, :rank] @ classes.coordinates.T
        self.pattern = np.repeat(self.home_samples[carrier_class][None].astype(np.float64), networks, axis=0)
        self.offset = np.zeros((networks, self.fixed, samples))
        self.allowed = np.ones((networks, self.fixed))
        self.slot = np.full((networks, neurons), -1)
        self.used = np.zeros(networks, dtype=np.int64)
        self.moments = self._moments(np.arange(networks))
        self.driven = np.ones((networks, samples), dtype=np.bool_)
        loose = np.argwhere((self.member < 0) & self.active.any(axis=2))
        self._free(loose[:, 0], loose[:, 1], self.start_u[loose[:, 0], loose[:, 1]], last[loose[:, 0], loose[:, 1]])
        if self.hinged:
            self.driven = self.margins(np.arange(networks), self.state) < residual.target

    @property
    def hinged(self) -> bool:
        """Whether the residual has a kink or a jump at its target."""
        return bool(np.isfinite(self.residual.target)) and not self.residual.both_sides

    def margins(self, rows: Index, state: Array) -> Array:
        """Return the margins (rows, n) of the networks ``rows`` in ``state``."""
        u, weight = self._read(rows, state)
        return np.asarray(
            self.classes.labels * np.einsum("bkn,bk->bn", u * self.pattern[rows], weight), dtype=np.float64
        )

    def slope(self, rows: Index, state: Array) -> Array:
        """Return d state/dt: v' = z sum_s g_s k_s and z' = sum_s g_s u_s over active samples, g = p y r(m)."""
        u, weight = self._read(rows, state)
        pattern = self.pattern[rows]
        margins = self.classes.labels * np.einsum("bkn,bk->bn", u * pattern, weight)
        pull = pattern * (self.classes.force * self._pull(rows, margins))[:, None, :]
        return np.concatenate(
            [state[..., -1:] * (pull @ self.classes.own), (pull * u).sum(axis=2, keepdims=True)], axis=2
        )

    def margin_slope(self, rows: Index, state: Array) -> Array:
        """Return dm/dt (rows, n)."""
        change, pattern = self.slope(rows, state), self.pattern[rows]
        u, weight = self._read(rows, state)
        grown, heavier = self._read(rows, change)
        grown = grown - self.offset[rows]
        rates = np.einsum("bkn,bk->bn", grown * pattern, weight) + np.einsum("bkn,bk->bn", u * pattern, heavier)
        return np.asarray(self.classes.labels * rates, dtype=np.float64)

    def components(self, rows: Index, state: Array) -> Array:
        """Return w_i.x_s, (rows, h, n)."""
        carried = state[..., :-1] @ self.classes.coordinates.T
        moved = np.einsum("bha,ban->bhn", self.start_vectors[rows], carried[:, : self.fixed] - self.start_carried)
        slot = self.slot[rows]
        places = np.maximum(slot, 0)[..., None]
        alone = np.take_along_axis(self.offset[rows] + carried, places, axis=1)
        return np.where(slot[..., None] >= 0, alone, self.start_u[rows] + moved)

    def violation(self, rows: Index, state: Array) -> tuple[Array, Array]:
        """Return by how much each activity (rows, h, n) and hinge (rows, n) is on the wrong side; <= 0: it is right."""
        u = self.components(rows, state)
        asleep = ~self.active[rows].any(axis=2, keepdims=True)
        wrong = np.where(asleep, -1.0, np.where(self.active[rows], -u, u))
        if not self.hinged:
            return wrong, np.full((len(rows), wrong.shape[2]), -1.0)
        beyond = self.margins(rows, state) - self.residual.target
        return wrong, np.where(self.driven[rows], beyond, -beyond)

    def flip(self, rows: Index, neurons: Flags, hinges: Flags) -> Flags:
        """Change the wrong activities (rows, h, n) and hinges (rows, n); return where the flow drives them back.

        A switch that is driven back from both sides slides along its kink, which these equations cannot follow.
        """
        changed = np.argwhere(neurons.any(axis=2))
        network, neuron = rows[changed[:, 0]], changed[:, 1]
        u = self.components(rows, self.state[rows])[changed[:, 0], neuron]
        vectors = self.start_vectors[network, neuron]
        output = np.einsum("ia,ia->i", vectors, self.state[network, : self.fixed, -1])
        carried = self.slot[network, neuron]
        output = np.where(carried >= 0, self.state[network, np.maximum(carried, 0), -1], output)
        self.active[rows] ^= neurons
        self.driven[rows] ^= hinges
        self._free(network, neuron, u, output)
        slope = self.slope(rows, self.state[rows])
        du = np.take_along_axis(
            slope[..., :-1] @ self.classes.coordinates.T, np.maximum(self.slot[rows], 0)[..., None], 1
        )
        awake = self.active[rows]
        back = (neurons & np.where(awake, du < 0, du > 0)).any(axis=(1, 2))
        if self.hinged and self.residual.family == "step":
            dm = self.margin_slope(rows, self.state[rows])
            back |= (hinges & np.where(self.driven[rows], dm > 0, dm < 0)).any(axis=1)
        return np.asarray(back, dtype=np.bool_)

    def _read(self, rows: Index, state: Array) -> tuple[Array, Array]:
        """Return every carrier's u (rows, carriers, n) and its weight in the margin (rows, carriers)."""
        u = self.offset[rows] + state[..., :-1] @ self.classes.coordinates.T
        z = state[..., -1]
        shared = np.einsum("bac,bc->ba", self.moments[rows], z[:, : self.fixed])
        return u, np.concatenate([shared, z[:, self.fixed :]], axis=1)

    def _pull(self, rows: Index, margins: Array) -> Array:
        """Return the residual, on the side of its kink that belongs to the stretch."""
        if not self.hinged:
            return self.residual(margins)
        if self.residual.family == "step":
            return np.where(self.driven[rows], 1.0, 0.0)
        return np.where(self.driven[rows], self.residual.target - margins, 0.0)

    def _moments(self, rows: Index) -> Array:
        """Return Q_c of the members, as blocks of one matrix (rows, r + classes, r + classes)."""
        vectors = self.start_vectors[rows]
        return np.asarray(np.einsum("bha,bhc->bac", vectors, vectors), dtype=np.float64)

    def _free(self, network: Index, neuron: Index, u: Array, output: Array) -> None:
        """Make neurons their own carriers: members leave their class, loose ones take their new pattern."""
        new = self.slot[network, neuron] < 0
        if new.any():
            self._add(network[new], neuron[new], u[new], output[new])
        slot = self.slot[network, neuron]
        self.pattern[network, slot] = self.active[network, neuron]

    def _add(self, network: Index, neuron: Index, u: Array, output: Array) -> None:
        order = np.argsort(network, kind="stable")
        network, neuron, u, output = network[order], neuron[order], u[order], output[order]
        begins = np.searchsorted(network, network)
        slot = self.fixed + self.used[network] + np.arange(len(network)) - begins
        np.add.at(self.used, network, 1)
        missing = int(self.used.max()) + self.fixed - self.state.shape[1]
        if missing > 0:
            self.state, self.pattern, self.offset = (
                np.pad(array, ((0, 0), (0, missing), (0, 0))) for array in (self.state, self.pattern, self.offset)
            )
            self.allowed = np.pad(self.allowed, ((0, 0), (0, missing)), constant_values=1.0)
        self.slot[network, neuron] = slot
        self.state[network, slot] = 0.0
        self.state[network, slot, -1] = output
        self.offset[network, slot] = u
        lengths = np.linalg.norm(self.classes.inputs, axis=1)
        size = np.maximum(np.max(np.abs(u) / lengths, axis=1), np.abs(output))
        self.allowed[network, slot] = np.where(size > 0, size, 1.0)
        self.member[network, neuron] = -1
        self.start_vectors[network, neuron] = 0.0
        left = np.unique(network)
        self.moments[left] = self._moments(left)
