"""Where networks ended up, counted, and what theory says of it before any is trained.

| symbol | meaning | name |
|---|---|---|
| x | rate x frequency x norm x residual: a step turns the clock tau on by atanh(x) | - |
| 2 tau | residual clock of a descent, 2 sum atanh(x) | ``path`` |
| sigma_w/sigma_z | standard deviation of a first-layer weight over that of an output weight | ``ratio`` |

A step of gradient descent multiplies a + z by 1 + x and a - z by 1 - x, on the side of the data that the neuron is
active on. So it turns the clock of chapter 1 of the theory book on by atanh(x), and what chapter 2 says of deaths
holds at any rate with x < 1: the sign of a + z never changes.

Source: theory book, chapter 2.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit

from shoal.base.interval import wilson
from shoal.verdicts.layout import Floats, Integers

Table = dict[str, tuple[tuple[str, ...], Floats]]

EXPECTED = 10
"""Networks that a formula must expect, for a count to be compared with it. Below, three where 0.3 are expected lie
outside Wilson's interval of four deviations, and that happens once in 300 times."""


@dataclass(frozen=True)
class Counts:
    """How many of ``trials`` networks stood where at each time, by the signs of their margins.

    ``stuck``: no margin is below 0 and one is exactly 0, for no unit is active there. ``undecided``: a margin is below
    0, for some neuron has yet to die or to recover; or the network diverged.
    """

    stuck: Integers
    undecided: Integers
    trials: int

    @classmethod
    def of(cls, margins: Floats) -> Counts:
        """Return the counts behind margins (networks, times, samples)."""
        undecided = ~(margins >= 0).all(axis=2)
        stuck = ~undecided & (margins == 0).any(axis=2)
        return cls(stuck.sum(axis=0), undecided.sum(axis=0), len(margins))

    @property
    def failed(self) -> Integers:
        """(times,) int64: networks that have not learnt every sample, stuck or undecided."""
        return self.stuck + self.undecided

    def __add__(self, other: Counts) -> Counts:
        """Return the counts of both."""
        return Counts(self.stuck + other.stuck, self.undecided + other.undecided, self.trials + other.trials)


def least_path(size: float, steps: ArrayLike, pace: float) -> Floats:
    """Return a clock 2 tau that every neuron of a descent has at least run through, at each number of steps.

    While g = 1 + pace sigmoid(size) is the most by which a step multiplies a + z, no margin lies below -size or above
    size g^(2 steps), and no residual below the sigmoid of minus that. On antipodal data this holds for either side.
    ``size``: at least norm/4 times the sum over neurons of (|a| + |z|)^2 at initialisation. ``pace``: rate x frequency
    x norm, below 1.
    """
    asked = np.asarray(steps, np.int64)
    with np.errstate(over="ignore"):
        largest = size * (1 + pace * expit(size)) ** (2.0 * np.arange(asked.max(initial=0)))
    turned = 2 * np.arctanh(pace * expit(-largest))
    return np.asarray(np.concatenate([[0.0], np.cumsum(turned)])[asked])


def dead_probability(path: Floats, ratio: float) -> Floats:
    """Return the probability that a separated neuron has died by clock 2 tau: z0 < 0 and a0 < |z0| tanh tau."""
    return np.asarray(np.arctan(np.tanh(path / 2) / ratio) / np.pi)


def undecided_probability(path: Floats, ratio: float) -> Floats:
    """Return the probability that |a + z| is still below |a - z| at clock 2 tau, if initial signs are symmetric.

    That is z0 < 0 with |z0|/a0 between tanh tau and coth tau. The output weight of any other neuron helps.
    """
    with np.errstate(divide="ignore"):
        return np.asarray((np.arctan(ratio / np.tanh(path / 2)) - np.arctan(ratio * np.tanh(path / 2))) / np.pi)


def certain_failures(width: int, hidden_layers: int = 1) -> float:
    """Return a lower bound on the probability that training on two orthogonal classes fails, from symmetric weights.

    Training moves w.x of a first-layer unit only if the unit is active on x. So a class on which no unit is active is
    lost, and so is one of two classes on which the same unit alone is active: both get the same sign. That has the
    probability 1 - (1 - 2^-w)^2 + w 4^-w. Each further layer is inactive on both samples with a probability of at least
    4^-w, whatever the layers before it, and then no gradient is left.
    """
    inactive = 0.5**width
    first = 1 - (1 - inactive) ** 2 + width * inactive**2
    return float(1 - (1 - first) * (1 - inactive**2) ** (hidden_layers - 1))


def enough(trials: int, probability: float) -> bool:
    """Return whether enough networks are expected to do what has this probability for a count to say something."""
    return trials * probability >= EXPECTED


def proportion(name: str, dims: tuple[str, ...], counts: Integers, trials: Integers) -> Table:
    """Return fractions and the ends of their Wilson intervals (4 deviations), as variables of a dataset."""
    ends = [wilson(int(n), int(of)) for n, of in zip(counts.ravel(), trials.ravel(), strict=True)]
    low, high = np.array(ends).T.reshape(2, *counts.shape)
    return {name: (dims, counts / trials), f"{name}_low": (dims, low), f"{name}_high": (dims, high)}
