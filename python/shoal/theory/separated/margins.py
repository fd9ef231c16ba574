"""Margins and neuron deaths of separated two-layer ReLU networks, exact, neurons that die included.

| symbol | meaning | name | shape |
|---|---|---|---|
| W_1, z | weights of the two layers | ``weights`` | (networks, h, d), (networks, 1, h) |
| m_s(t) | margins | - | (networks, times, samples) |
| t_d | when a neuron dies | ``death_time`` | (networks, h) |

Source: theory book, chapters 2 and 3.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shoal.base import checks
from shoal.spec.loss import Loss
from shoal.theory.domains import times_until
from shoal.theory.geometry import SupportsTask, check_weights, settle, task_modes
from shoal.theory.residual import residual_of
from shoal.theory.separated.neurons import Neurons

Array = NDArray[np.float64]
Index = NDArray[np.int64]
Flags = NDArray[np.bool_]

BLOCK = 400_000
"""Margins in one block of networks, so that its working arrays take at most some hundred megabytes."""
LATEST = 1e290


@dataclass(frozen=True)
class NeuronDeaths:
    """What becomes of every neuron and every mode.

    Attributes
    ----------
    mode_of_sample
        (samples,) int64, the mode of each sample; modes are numbered in the order in which the task first shows them.
    served
        (networks, h) int64, the mode on which a neuron is active at initialisation, -1 on none.
    serves
        (networks, h) int64, the same at the end.
    death_time
        (networks, h) float64, time at which a neuron leaves the mode it served; infinite where it does not, or only
        after 1e296 units of its mode's clock.
    failed
        (networks, modes) bool, no live neuron is left whose margin can rise above 0: the error of the mode remains 1/2.

    Notes
    -----
    Source: formulas (2.3) and (2.4) of the theory book.
    """

    mode_of_sample: Index
    served: Index
    serves: Index
    death_time: Array
    failed: Flags


def separated_margins(weights: Sequence[ArrayLike], task: SupportsTask, loss: str | Loss, times: ArrayLike) -> Array:
    """Return the margins (networks, times, samples) of two-layer ReLU networks under gradient flow, exactly.

    Every neuron is active on one mode at most, modes being distinct inputs that are pairwise orthogonal or antipodal.
    A neuron that dies on a mode leaves its sums; on antipodal data it comes alive on the other side where the loss
    drives it that way. At a = 0 the ReLU has slope 0, and a neuron that both sides drive to a = 0 stays there.

    Parameters
    ----------
    weights
        Two arrays, (networks, h, d) and (networks, 1, h), float64: the initial weights. The network's scales and rates
        are 1.
    task
        Anything with ``inputs`` (samples, d), ``labels`` (samples,) of -1/+1 and ``sample_weight`` (samples,).
    loss
        Name or loss object.
    times
        (times,) float64 in any order, from 0 to 1e290.

    Returns
    -------
    ndarray of float64, (networks, times, samples)
        Exact to about 1e-11 of rho sum |a zt|, the size of the terms of a margin.

    Raises
    ------
    TypeError
        The loss is neither a name nor a loss.
    ValueError
        Inputs are not as above, equal inputs have different labels, a neuron is active on two modes (the message names
        the first network and neuron; any component above 0 counts, rounding errors too), shapes do not fit, or a time
        is negative or not finite.

    Notes
    -----
    Cost: per network and mode some tens of panels, per margin some hundred operations; no Python loop over networks.

    Source: formulas (1.3), (1.9), (2.3) and (2.4) of the theory book.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> import numpy as np
    >>> task = SimpleNamespace(inputs=np.eye(2), labels=np.array([1, -1]), sample_weight=np.array([0.5, 0.5]))
    >>> first = np.array([[[0.1, -0.2], [-0.2, 0.1]]])
    >>> last = np.array([[[0.1, -0.1]]])
    >>> separated_margins([first, last], task, "hinge", [0.0, 4.0, 40.0])[0].round(6)
    array([[0.01    , 0.01    ],
           [0.545982, 0.545982],
           [1.      , 1.      ]])
    """
    modes, residual = task_modes(task), residual_of(loss)
    first, last = check_weights(weights, modes.directions.shape[1])
    asked = times_until(times, LATEST)
    order = np.argsort(asked, kind="stable")
    networks = len(first)
    out = np.empty((networks, len(asked), len(modes.mode_of_sample)))
    size = max(1, BLOCK // (modes.count * max(1, len(asked), first.shape[1])))
    for begin in range(0, networks, size):
        block = slice(begin, begin + size)
        neurons = Neurons(*settle(first[block], last[block], modes, begin), modes, residual)
        margins = neurons.run(float(np.max(asked, initial=0.0)), asked[order])
        margins = margins.reshape(len(first[block]), modes.count, len(asked))[:, modes.mode_of_sample]
        out[block, order] = margins.transpose(0, 2, 1)
    return out


def separated_deaths(
    weights: Sequence[ArrayLike], task: SupportsTask, loss: str | Loss, t_end: float = math.inf
) -> NeuronDeaths:
    """Return which neurons die, and when, and which modes fail, by time ``t_end``.

    Parameters
    ----------
    weights, task, loss
        As for :func:`separated_margins`.
    t_end
        Time, positive; infinite for the limit of infinite time.

    Returns
    -------
    NeuronDeaths

    Raises
    ------
    TypeError
        The loss is neither a name nor a loss, or ``t_end`` is not a number.
    ValueError
        As for :func:`separated_margins`, or ``t_end`` is not positive.

    Notes
    -----
    Source: formulas (2.1), (2.3) and (2.4) of the theory book.
    """
    end = math.inf if isinstance(t_end, float) and t_end == math.inf else checks.positive("t_end", t_end)
    modes, residual = task_modes(task), residual_of(loss)
    first, last = check_weights(weights, modes.directions.shape[1])
    networks, hidden = first.shape[:2]
    served, serves = (np.empty((networks, hidden), dtype=np.int64) for _ in range(2))
    death_time = np.empty((networks, hidden))
    failed = np.empty((networks, modes.count), dtype=np.bool_)
    size = max(1, BLOCK // (modes.count * max(1, hidden)))
    for begin in range(0, networks, size):
        block = slice(begin, begin + size)
        served[block], a, zt = settle(first[block], last[block], modes, begin)
        neurons = Neurons(served[block], a, zt, modes, residual)
        neurons.run(end)
        if end == math.inf:
            neurons.bury_doomed()
        serves[block], death_time[block] = neurons.home, neurons.death_time
        failed[block] = neurons.hopeless().reshape(-1, modes.count)
    return NeuronDeaths(modes.mode_of_sample, served, serves, death_time, failed)
