"""Networks with separate neurons for each feature, for starvation and its remedies.

The theory of features needs separate neurons for each feature, but two features that share samples are as a rule learnt
by the same neurons. Here they stay apart, because every feature comes with both signs, equally often: a neuron along
+feature 1 is active on one half of the samples, on which the pulls along +feature 2 and -feature 2 cancel. So theory is
given half of each frequency.

If a sample carries only one of the features, this balance is unstable: a rounding error could turn a neuron of the
other feature towards it. The core keeps the balance, because each sum has one order: mirrored neurons have the same
bits, and their pulls cancel to exactly 0 for norms that are powers of 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit, logit

from shoal import Explicit, Init, Loss, Network, Task, theory
from shoal.claims.shared.flows import flow
from shoal.claims.trial import Trial
from shoal.verdicts.layout import Flags, Floats

NEURONS = 3
"""Neurons per feature and sign."""
CONFIDENCE = 0.95
"""The training set is fit when every sample of it has this confidence, sigmoid(margin)."""
LEVEL = float(logit(CONFIDENCE))
TIMES = np.concatenate([[0.0], np.geomspace(1.0, 200.0, 120)])
FRACTIONS = (0.1, 0.3, 0.5, 0.7, 0.9)
"""Of the samples with the starved feature, or with both."""
START = 0.03
"""Initial strength of each feature in the curves that are drawn."""


@dataclass(frozen=True)
class Signed:
    """Samples that are sums of features with either sign, all of one class, and a probe for each feature alone.

    ``types``: the features of each type of sample, whose frequency is divided among the combinations of signs.
    """

    norms: tuple[float, ...]
    types: tuple[tuple[int, ...], ...]
    frequencies: tuple[float, ...]

    @property
    def task(self) -> Task:
        """All combinations of signs, type by type, then for each feature a probe of weight 0: measured, not learnt."""
        rows, weights = [], []
        for held, frequency in zip(self.types, self.frequencies, strict=True):
            for signs in product((1.0, -1.0), repeat=len(held)):
                row = np.zeros(len(self.norms))
                row[list(held)] = np.array(signs) * np.array(self.norms)[list(held)]
                rows.append(row)
                weights.append(frequency / 2 ** len(held))
        inputs = np.concatenate([rows, np.diag(self.norms)])
        return Task(inputs, np.ones(len(inputs)), [*weights, *np.zeros(len(self.norms))])

    @property
    def members(self) -> Floats:
        """(samples, features): 1 where a sample carries a feature."""
        return np.asarray(np.abs(self.task.inputs) > 0, float)

    def theory(self, strengths: ArrayLike, loss: str | Loss = "cross_entropy", **penalty: Any) -> theory.Features:
        """Return the theory of networks with separate neurons of these initial strengths (features,)."""
        return theory.Features(
            norms=self.norms,
            types=self.types,
            frequencies=tuple(frequency / 2 for frequency in self.frequencies),
            starts=strengths,
            loss=loss,
            depth=2,
            **penalty,
        )

    def predicted(self, initial: Floats, times: Floats, loss: str | Loss = "cross_entropy", **penalty: Any) -> Floats:
        """Return the margins (networks, times, samples) that theory predicts from strengths (networks, features)."""
        strengths = [self.theory(one, loss, **penalty).strengths(times).T for one in initial]
        return np.asarray(np.stack(strengths) @ self.members.T, float)


def rare(fraction: float) -> Signed:
    """Return the task with feature 0 in every sample and feature 1 in a fraction of them, unit norms."""
    return Signed((1.0, 1.0), ((0, 1), (0,)), (fraction, 1 - fraction))


def separate_init(norms: Sequence[float], strengths: Floats, seed: int) -> tuple[Network, Explicit]:
    """Return the network and balanced weights of strengths (networks, features), divided among neurons at random.

    Each feature has `NEURONS` neurons along it and as many, with the same weights, along its negative.
    """
    networks, count = strengths.shape
    fraction = np.random.default_rng([seed, 1]).uniform(0.2, 1.0, (networks, count, NEURONS))
    fraction /= fraction.sum(axis=2, keepdims=True)
    size = np.sqrt(fraction * strengths[:, :, None] / np.asarray(norms)[:, None])
    incoming = np.zeros((networks, count, 2, NEURONS, count))
    outgoing = np.repeat(size[:, :, None, :], 2, axis=2)
    for feature in range(count):
        incoming[:, feature, 0, :, feature] = size[:, feature]
        incoming[:, feature, 1, :, feature] = -size[:, feature]
    units = 2 * count * NEURONS
    weights = [incoming.reshape(networks, units, count), outgoing.reshape(networks, 1, units)]
    return Network((count, units, 1)), Explicit(weights)


def train_margins(run: Trial, network: Network, task: Task, init: Init, times: Floats, **training: Any) -> Floats:
    """Return the margins (networks, times, samples) of a training by gradient flow."""
    return np.asarray(flow(run, network, task, init, times, **training)["margin"].values, float)


def equal_strengths(networks: int, seed: int) -> Floats:
    """Return strengths (networks, 2), the same for both features, log-uniform from 1e-3 to 1e-1."""
    drawn = np.exp(np.random.default_rng([seed, 2]).uniform(np.log(1e-3), np.log(1e-1), (networks, 1)))
    return np.repeat(drawn, 2, axis=1)


def confidence_when_fit(margins: Floats, trained: Flags, probe: int) -> Floats:
    """Return sigmoid(margin) of a probe when all trained samples are first fit, (networks,); NaN if they never are."""
    fit: Flags = np.asarray((margins[..., trained] >= LEVEL).all(axis=-1))
    at = fit.argmax(axis=1)
    found = expit(margins[np.arange(len(margins)), at, probe])
    return np.where(fit.any(axis=1), found, np.nan)
