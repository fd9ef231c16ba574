"""Classes of many points: two-layer ReLU networks by the order parameters of each class.

| symbol | meaning | name | shape |
|---|---|---|---|
| W_1, z | weights of the two layers at time 0 | ``weights`` | (networks, h, d), (networks, 1, h) |
| m_s(t) | margins | ``margins`` | (networks, times, samples) |
| Phi_c | propagator of class c, a Lorentz transformation | - | (r_c + 1, r_c + 1) |
| Q_c | sum of q q^T over the neurons of class c, q = (w, z) | - | (r_c + 1, r_c + 1) |

Source: theory book, chapter 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shoal.spec.loss import Loss
from shoal.theory.domains import times_until
from shoal.theory.geometry import SupportsTask, check_weights
from shoal.theory.order_parameters.adaptive import attempt, first_crossing, resize
from shoal.theory.order_parameters.carriers import Carriers
from shoal.theory.order_parameters.classes import TaskClasses, task_classes
from shoal.theory.residual import Residual, residual_of

Array = NDArray[np.float64]
Index = NDArray[np.int64]
Flags = NDArray[np.bool_]

BLOCK = 2_000_000
"""Components in the stages of one block of networks, so that they take at most some tens of megabytes."""
MOST_STEPS = 20_000
"""Steps after which a network is given up, like one that slides."""
LATEST = 1e12


@dataclass(frozen=True)
class ClassFlow:
    """The flow of networks on classes of points.

    Attributes
    ----------
    margins
        (networks, times, samples) float64; NaN after ``valid_until``.
    valid_until
        (networks,) float64, infinite unless the flow comes to slide along a kink or takes more than 20,000 steps, see
        :class:`OrderParameters`.
    leave_time
        (networks, h) float64, when a neuron that was active on all of one class and nothing else first ceases to be;
        infinite where it does not, 0 where it never was.
    death_time
        (networks, h) float64, when a neuron becomes inactive on every sample; infinite where it does not, 0 where it
        starts so.

    Notes
    -----
    Source: theory book, chapter 3.
    """

    margins: Array
    valid_until: Array
    leave_time: Array
    death_time: Array


@dataclass(frozen=True)
class OrderParameters:
    """Two-layer ReLU networks under gradient flow on classes of points, by a system that the width does not enlarge.

    Samples form classes: products within a class are positive, those of opposite labels are not, and classes of equal
    label are orthogonal. All neurons that are active on one whole class and on nothing else move by one common linear
    map, so that the class is a two-layer linear network described by sums over them. A neuron that leaves its class,
    one sample after the other, or that starts on another set of samples is followed by itself, through every change of
    its activity.

    Parameters
    ----------
    task
        Anything with ``inputs`` (samples, d), ``labels`` (samples,) of -1/+1 and ``sample_weight`` (samples,).
    loss
        Name or loss object.

    Raises
    ------
    TypeError
        The loss is neither a name nor a loss.
    ValueError
        The samples do not form such classes; the message names two of them.

    Notes
    -----
    Accuracy: about 1e-11 of the largest margin while the residual clock is of order one, from steps of relative error
    1e-12. Under a residual that is not negative no neuron slides along a kink, for any initialisation. A hinge may hold
    a margin at its threshold when a neuron is active on two classes, and the squared loss above margin 1 may hold a
    neuron at the edge of its activity: that network is given up there, with NaN, and ``valid_until`` says when.
    Cost: some hundred steps of an eighth-order method while margins grow, some thousand to t = 1e5; the squared loss,
    whose rest is stiff, takes steps in proportion to the time. A step has (r + classes)(r + 1) components, r being the
    sum of the ranks of the classes, and r + 1 more for each neuron that is followed by itself.

    Source: formulas (3.3), (3.4) and (3.5) of the theory book; the data are those called orthogonally separable by M.
    Phuong and C. H. Lampert, *The inductive bias of ReLU networks on orthogonally separable data*, ICLR 2021.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> import numpy as np
    >>> inputs = np.array([[1.0, 0.5, 0.0], [0.5, 1.0, 0.0], [-0.5, -0.5, 1.0]])
    >>> task = SimpleNamespace(inputs=inputs, labels=np.array([1, 1, -1]), sample_weight=np.full(3, 1 / 3))
    >>> first, last = np.array([[[0.1, 0.2, -0.1], [-0.1, -0.1, 0.1]]]), np.array([[[0.1, -0.2]]])
    >>> OrderParameters(task, "cross_entropy").margins([first, last], [0.0, 8.0])[0].round(6)
    array([[0.02    , 0.025   , 0.04    ],
           [1.710732, 1.770491, 0.705793]])
    """

    task: SupportsTask
    loss: str | Loss = "cross_entropy"

    def __post_init__(self) -> None:
        """Check the task and the loss."""
        task_classes(self.task)
        residual_of(self.loss)

    def margins(self, weights: Sequence[ArrayLike], times: ArrayLike) -> Array:
        """Return the margins (networks, times, samples) float64, formula (3.5) of the theory book; see :meth:`flow`."""
        return self.flow(weights, times).margins

    def flow(self, weights: Sequence[ArrayLike], times: ArrayLike) -> ClassFlow:
        """Return the flow from given weights, as far as the largest of ``times``.

        Parameters
        ----------
        weights
            Two arrays, (networks, h, d) and (networks, 1, h), float64: the initial weights.
        times
            (times,) float64 in any order, from 0 to 1e12.

        Returns
        -------
        ClassFlow

        Raises
        ------
        TypeError
            A weight is not a real number.
        ValueError
            Shapes do not fit, a weight is not finite, or a time is out of range.

        Notes
        -----
        Source: formulas (3.2), (3.3) and (3.5) of the theory book.
        """
        classes, residual = task_classes(self.task), residual_of(self.loss)
        first, last = check_weights(weights, classes.inputs.shape[1])
        asked = times_until(times, LATEST)
        order = np.argsort(asked, kind="stable")
        rank = len(classes.basis)
        size = max(1, BLOCK // (13 * (rank + classes.count + first.shape[1]) * (rank + len(classes.labels))))
        parts = [
            _Run(first[begin : begin + size], last[begin : begin + size], classes, residual).to(asked[order])
            for begin in range(0, len(first), size)
        ]
        margins = np.empty((len(first), len(asked), len(classes.labels)))
        margins[:, order] = np.concatenate([part.margins for part in parts])
        return ClassFlow(
            margins,
            np.concatenate([part.valid_until for part in parts]),
            np.concatenate([part.leave_time for part in parts]),
            np.concatenate([part.death_time for part in parts]),
        )


class _Run:
    """A block of networks, each with its own time and step, from one change of activity to the next."""

    def __init__(self, first: Array, last: Array, classes: TaskClasses, residual: Residual) -> None:
        self.carriers = Carriers(first, last, classes, residual)
        networks = len(first)
        self.time = np.zeros(networks)
        self.step = np.full(networks, 1e-3)
        self.valid_until = np.full(networks, np.inf)
        self.leave_time = np.where(self.carriers.member >= 0, np.inf, 0.0)
        self.death_time = np.where(self.carriers.active.any(axis=2), np.inf, 0.0)

    def to(self, times: Array) -> ClassFlow:
        """Advance through sorted ``times``; every network ends a step at each of them."""
        networks, samples = len(self.time), len(self.carriers.classes.labels)
        out = np.full((networks, len(times), samples), np.nan)
        following = np.zeros(networks, dtype=np.int64)
        ends = np.append(times, np.inf)
        for _ in range(MOST_STEPS + len(times)):
            there = np.flatnonzero((self.time >= ends[following]) & np.isinf(self.valid_until))
            if len(there):
                out[there, following[there]] = self.carriers.margins(there, self.carriers.state[there])
                following[there] += 1
                continue
            rows = np.flatnonzero((following < len(times)) & np.isinf(self.valid_until))
            if len(rows) == 0:
                break
            self._advance(rows, ends[following[rows]])
        self.valid_until = np.where((following < len(times)) & np.isinf(self.valid_until), self.time, self.valid_until)
        return ClassFlow(out, self.valid_until, self.leave_time, self.death_time)

    def _advance(self, rows: Index, end: Array) -> None:
        """Take one step with every network of ``rows``, at most to ``end``, at most to its next change of activity."""
        carriers, left = self.carriers, end - self.time[rows]
        step = np.minimum(self.step[rows], left)
        state, allowed = carriers.state[rows], carriers.allowed[rows]
        first = carriers.slope(rows, state)
        after, _, error = attempt(lambda y: carriers.slope(rows, y), state, first, step, allowed)
        good = error <= 1.0
        grown = resize(step, error)
        # A step cut short by ``end`` does not shorten the next one.
        self.step[rows] = np.where(good & (step < self.step[rows]), np.maximum(self.step[rows], grown), grown)
        crossed = np.zeros(len(rows), dtype=np.bool_)
        crossed[good] = (self._switches(rows[good], after[good]) > 0).any(axis=1)
        smooth = good & ~crossed
        done = rows[smooth]
        carriers.state[done] = after[smooth]
        self.time[done] = np.where(step[smooth] >= left[smooth], end[smooth], self.time[done] + step[smooth])
        if crossed.any():
            self._cross(rows[crossed], state[crossed], first[crossed], step[crossed], allowed[crossed])

    def _switches(self, rows: Index, state: Array) -> Array:
        """Return the functions of all switches, (rows, switches), positive if one has switched."""
        neurons, hinges = self.carriers.violation(rows, state)
        return np.concatenate([neurons.reshape(len(rows), np.prod(neurons.shape[1:], dtype=int)), hinges], axis=1)

    def _cross(self, rows: Index, state: Array, first: Array, step: Array, allowed: Array) -> None:
        """Step just past the next change of activity and apply it."""

        def stepped(length: Array) -> Array:
            return attempt(lambda y: self.carriers.slope(rows, y), state, first, length, allowed)[0]

        length = first_crossing(lambda h: self._switches(rows, stepped(h)), step)
        self.carriers.state[rows] = stepped(length)
        self.time[rows] += length
        neurons, hinges = self.carriers.violation(rows, self.carriers.state[rows])
        members = self.carriers.member[rows] >= 0
        awake = self.carriers.active[rows].any(axis=2)
        slides = self.carriers.flip(rows, neurons > 0, hinges > 0)
        now = self.time[rows][:, None]
        left = members & (self.carriers.member[rows] < 0)
        self.leave_time[rows] = np.where(left, now, self.leave_time[rows])
        died = awake & ~self.carriers.active[rows].any(axis=2)
        self.death_time[rows] = np.where(died, now, self.death_time[rows])
        self.valid_until[rows] = np.where(slides, self.time[rows], self.valid_until[rows])
