"""Neurons of a small two-layer ReLU network before its output matters: hyperbolas between switches of the pattern.

| symbol | meaning | name | shape |
|---|---|---|---|
| w_i, z_i | weights into and out of neuron i | ``incoming``, ``outgoing`` | (.., times, h, d), (.., times, h) |
| r(0) | residual of the loss at output 0 | - | scalar |
| x_a(w) | sum_s p_s y_s r(0) x_s [w.x_s > 0], the pull on a neuron | ``pull`` | (neurons, d) |
| g | length of the pull | ``length`` | (neurons,) |
| a | w.x_a / g | ``along`` | (neurons,) |
| X = e^tau | of the clock tau = g t since the last switch | ``clock`` | (neurons, samples) |

Source: theory book, chapter 9 ("Early alignment").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shoal.spec.loss import Loss
from shoal.theory.domains import times_until
from shoal.theory.geometry import SupportsTask, arrays_of, check_weights
from shoal.theory.residual import residual_of

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

ROUNDING = 1e-13
"""A clock X within this of another, relative, is the same; a switch at 1 + this is now."""
MOST_SWITCHES = 10_000
LATEST = 600.0
"""e^(g t) is a double up to this."""


@dataclass(frozen=True, eq=False)
class EarlyAlignment:
    """Weights of the limit of small initial weights, which scale with them.

    Attributes
    ----------
    incoming, outgoing
        (networks, times, h, d) and (networks, times, h), float64: w_i and z_i.
    pattern
        (networks, times, h, samples) bool, whether w_i.x_s > 0.

    Notes
    -----
    Source: theory book, chapter 9.
    """

    incoming: Array
    outgoing: Array
    pattern: Flags

    @property
    def directions(self) -> Array:
        """w_i/|w_i|, (networks, times, h, d) float64: formula (9.16) of the theory book, if |z_i| = |w_i|."""
        return np.asarray(self.incoming / np.linalg.norm(self.incoming, axis=3, keepdims=True), np.float64)


def early_alignment(
    weights: Sequence[ArrayLike], task: SupportsTask, loss: str | Loss, times: ArrayLike
) -> EarlyAlignment:
    """Return the weights of two-layer ReLU networks under the flow with every residual held at r(0), exactly.

    That is the limit of small initial weights: from weights of order eps the flow follows it, divided by eps, with a
    gap of order eps^2 at each time. Each neuron moves alone, w' = z x_a(w), z' = w.x_a(w). While its pattern of active
    samples holds, that is a hyperbola in closed form; the switches of the pattern are roots of a quadratic equation.
    For balanced weights, |w| = |z|, the direction follows w' = s (1 - w w^T) x_a(w) with s the sign of z.

    Parameters
    ----------
    weights
        Two arrays, (networks, h, d) and (networks, 1, h), float64: the initial weights. The network's scales and rates
        are 1. No w_i is 0.
    task
        Anything with ``inputs`` (samples, d), ``labels`` (samples,) of -1/+1 and ``sample_weight`` (samples,).
    loss
        Name or loss object.
    times
        (times,) float64 in any order, from 0 to 600 / (r(0) sum_s p_s |x_s|).

    Raises
    ------
    TypeError
        The loss is neither a name nor a loss.
    ValueError
        Shapes do not fit, a w_i.x_s is 0 at initialisation, a time is out of range, or a neuron would slide along
        w.x_s = 0 because the pulls on both sides point towards it. No neuron slides if y_s y_t x_s.x_t > 0 for all
        pairs of samples and |z_i| >= |w_i|.

    Notes
    -----
    Cost: per switch some operations per neuron and sample, at all neurons at once; per time one hyperbola per neuron.

    Source: formulas (9.15), (9.17), (9.18) and (9.19) of the theory book; arXiv:1803.08367, arXiv:2307.12851.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> task = SimpleNamespace(inputs=np.eye(2), labels=np.array([1, -1]), sample_weight=np.array([0.5, 0.5]))
    >>> found = early_alignment([[[[0.6, 0.8]]], [[[1.0]]]], task, "hinge", [0.0, 1.0, 4.0])
    >>> found.directions[0, :, 0].round(6)
    array([[0.6     , 0.8     ],
           [0.969284, 0.245943],
           [1.      , 0.      ]])
    """
    inputs, labels, frequencies = arrays_of(task)
    first, last = check_weights(weights, inputs.shape[1])
    residual = float(residual_of(loss)(np.zeros(1))[0])
    pulls = (residual * frequencies * labels)[:, None] * inputs
    fastest = float(np.linalg.norm(pulls, axis=1).sum())
    asked = times_until(times, LATEST / fastest if fastest > 0 else LATEST)
    networks, units, _ = first.shape
    neurons = _Neurons(first.reshape(networks * units, -1), last.reshape(-1), inputs, pulls)
    order = np.argsort(asked, kind="stable")
    incoming = np.empty((len(asked), networks * units, inputs.shape[1]))
    outgoing = np.empty(incoming.shape[:2])
    pattern = np.empty((*incoming.shape[:2], len(inputs)), dtype=bool)
    for at in order:
        incoming[at], outgoing[at], pattern[at] = neurons.at(float(asked[at]))

    def shaped(values: NDArray[np.generic]) -> NDArray[np.generic]:
        return values.reshape(len(asked), networks, units, *values.shape[2:]).swapaxes(0, 1)

    return EarlyAlignment(
        np.asarray(shaped(incoming), float), np.asarray(shaped(outgoing), float), np.asarray(shaped(pattern), bool)
    )


class _Neurons:
    """All neurons, each with the weights and the pattern of its last switch and the time of its next."""

    def __init__(self, incoming: Array, outgoing: Array, inputs: Array, pulls: Array) -> None:
        """Start at time 0."""
        self.incoming, self.outgoing, self.inputs, self.pulls = incoming.copy(), outgoing.copy(), inputs, pulls
        sides = incoming @ inputs.T
        if (sides == 0).any():
            neuron, sample = np.argwhere(sides == 0)[0]
            raise ValueError(f"weights must have w.x_s other than 0, got 0 at neuron {neuron} and sample {sample}")
        self.pattern = sides > 0
        self.since = np.zeros(len(incoming))
        self.next = np.empty(len(incoming))
        self.crossing = np.zeros(sides.shape, dtype=bool)  # which samples switch next
        self._plan(np.arange(len(incoming)), np.zeros(sides.shape, dtype=bool))

    def at(self, time: float) -> tuple[Array, Array, Flags]:
        """Return weights and pattern at a time that is not before the last one that was asked for."""
        for _ in range(MOST_SWITCHES):
            due = np.flatnonzero(self.next < time)
            if not len(due):
                incoming, outgoing = self._moved(np.arange(len(self.next)), time - self.since)
                return incoming, outgoing, self.pattern.copy()
            self._switch(due)
        raise ValueError(f"times must be reached within {MOST_SWITCHES} switches of each neuron, got {time:g}")

    def _pull(self, which: NDArray[np.intp]) -> tuple[Array, Array, Array]:
        """Return the pull on neurons as a length and a direction, and the component of w along it."""
        pull = self.pattern[which].astype(np.float64) @ self.pulls
        length = np.linalg.norm(pull, axis=1)
        unit = pull / np.where(length > 0, length, 1.0)[:, None]
        return length, unit, (self.incoming[which] * unit).sum(axis=1)

    def _moved(self, which: NDArray[np.intp], elapsed: Array) -> tuple[Array, Array]:
        """Return weights so long after the last switch: a hyperbolic rotation of a and z."""
        length, unit, along = self._pull(which)
        outgoing = self.outgoing[which]
        cosh, sinh = np.cosh(length * elapsed), np.sinh(length * elapsed)
        gained = along * (cosh - 1.0) + outgoing * sinh
        return self.incoming[which] + gained[:, None] * unit, outgoing * cosh + along * sinh

    def _switch(self, which: NDArray[np.intp]) -> None:
        """Bring neurons to their next switch and over it."""
        self.incoming[which], self.outgoing[which] = self._moved(which, self.next[which] - self.since[which])
        self.since[which] = self.next[which]
        crossed = self.crossing[which]
        self.pattern[which] ^= crossed
        # Behind the switch w.x_s has to move on, or to rest: z x_a.x_s has the side of the new pattern.
        pull = self.pattern[which].astype(np.float64) @ self.pulls
        velocity = self.outgoing[which][:, None] * (pull @ self.inputs.T)
        back = crossed & np.where(self.pattern[which], velocity < 0, velocity > 0)
        if back.any():
            at, sample = np.argwhere(back)[0]
            raise ValueError(
                f"neurons must cross w.x_s = 0, but neuron {which[at]} slides along it for sample {sample} from time "
                f"{self.since[which[at]]:g} on"
            )
        self._plan(which, crossed)

    def _plan(self, which: NDArray[np.intp], crossed: Flags) -> None:
        """Find when neurons switch next, and for which samples; they have just crossed those of ``crossed``.

        w.x_s = A + B (P X + Q/X) with X = e^tau, P = (a + z)/2, Q = (a - z)/2, B = x_a.x_s/g: a quadratic equation.
        """
        length, unit, along = self._pull(which)
        part, rest = (0.5 * (along + sign * self.outgoing[which])[:, None] for sign in (1, -1))
        slope = unit @ self.inputs.T
        offset = self.incoming[which] @ self.inputs.T - slope * along[:, None]
        grown, shrunk = slope * part, slope * rest
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            root = np.sqrt(offset**2 - 4.0 * grown * shrunk)
            sum_ = -0.5 * (offset + np.where(offset < 0, -root, root))
            clocks = np.stack([sum_ / grown, shrunk / sum_])
            # Of those just crossed one root is X = 1, and the product of both is Q/P.
            clocks[:, crossed] = np.broadcast_to(rest / part, crossed.shape)[crossed]
        clocks = np.where(np.isfinite(clocks) & (clocks > 1.0 + ROUNDING), clocks, np.inf).min(axis=0)
        # What has crossed within rounding of another has its root just below 1.
        now = (self.incoming[which] @ self.inputs.T > 0) != self.pattern[which]
        clocks[now & ~crossed & (length > 0)[:, None]] = 1.0
        earliest = clocks.min(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            wait = np.where(np.isfinite(earliest) & (length > 0), np.log(earliest) / length, np.inf)
        self.next[which] = self.since[which] + wait
        self.crossing[which] = (clocks <= earliest[:, None] * (1.0 + ROUNDING)) & np.isfinite(clocks)
