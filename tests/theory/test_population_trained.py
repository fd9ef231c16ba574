"""Trained networks of finite width, on random samples, against MeanFieldPopulation."""

import numpy as np
import pytest

import shoal
from shoal.theory import MeanFieldPopulation

INPUTS, TIMES, NETWORKS, TASKS = 5, [0.0, 2.0, 6.0, 14.0], 8, 6


def trained(nodes, samples, rate, draw):
    """Return loss and error on new samples, (2, times, TASKS): networks of equal task, averaged."""
    network, rows = shoal.Network.mean_field(INPUTS, nodes), []
    for seed in range(TASKS):
        start = shoal.Explicit(draw(np.random.default_rng([seed, nodes]), nodes))
        data = shoal.train(
            network,
            shoal.tasks.separable_gaussian(samples, INPUTS, test_samples=2000, seed=seed),
            start,
            loss="hinge",
            method=shoal.GradientDescent(learning_rate=rate, steps=round(TIMES[-1] / rate)),
            record=shoal.Record(times=TIMES, measure=("test_loss", "test_error")),
            threads=1,
        )
        rows.append([data[name].mean("network").to_numpy() for name in ("test_loss", "test_error")])
    return np.moveaxis(rows, 0, -1)


def one_sign(random, nodes):
    return [random.standard_normal((NETWORKS, nodes, INPUTS)), np.ones((NETWORKS, 1, nodes))]


def mean_along_the_teacher(random, nodes):
    first = random.standard_normal((NETWORKS, nodes, INPUTS))
    first[:, :, 0] -= 1.5
    return [first, random.standard_normal((NETWORKS, 1, nodes))]


@pytest.mark.parametrize(
    ("draw", "population"),
    [
        (one_sign, MeanFieldPopulation.fixed(INPUTS, (1.0,))),
        (mean_along_the_teacher, MeanFieldPopulation.gaussian(INPUTS, mean=(0.0, -1.5), points=(10, 10, 5))),
    ],
)
def test_wide_networks_learn_like_the_population(draw, population):
    flow = population.solve(TIMES, rtol=1e-8)
    expected = np.stack([flow.loss, flow.error])
    small, large = trained(60, 300, 0.2, draw), trained(240, 1200, 0.05, draw)
    # Width, number of samples and rate bias the averages by O(1/M + 1/N + rate), so that what a network four times as
    # wide still has of it is a third of what it lost, up to the errors of both.
    bias = np.abs(small.mean(axis=-1) - large.mean(axis=-1)) / 3
    bars = [np.sqrt(part.var(axis=-1, ddof=1) / TASKS) for part in (small, large)]
    bar = np.hypot(4 / 3 * bars[1], bars[0] / 3)
    off = np.abs(large.mean(axis=-1) - expected)
    assert (off[:, 1:] <= 4 * bar[:, 1:] + bias[:, 1:]).all()
    # That of the symmetric initialisation, which makes no errors once t > 0, would fail.
    assert expected[1, 1] > 4 * bar[1, 1] + bias[1, 1]
