"""Starts have the distribution that they promise, and each network draws its own."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import shoal
from reference import Array
from support import layers

NETWORKS = 4000
EPS = np.finfo(float).eps


def drawn(network: shoal.Network, init: shoal.Init, task: shoal.Task, **arguments: Any) -> list[Array]:
    """Return the weights, one array per layer, (networks, outputs, inputs), before any step."""
    record = shoal.Record(measure=("weights",))
    method = shoal.GradientDescent(0.1, 0)
    data = shoal.train(network, task, init, method=method, record=record, **{"networks": NETWORKS, **arguments})
    return layers(data, "weights")


def task_for(network: shoal.Network) -> shoal.Task:
    labels = np.arange(4) % network.outputs if network.outputs > 1 else [1, -1, 1, -1]
    return shoal.Task(np.random.default_rng(0).standard_normal((4, network.inputs)), labels)


def assert_normal(values: Array, scale: float) -> None:
    """Assert mean 0, the standard deviation, skewness 0 and kurtosis 3, each within 5 standard errors."""
    z = values.ravel() / scale
    n = z.size
    assert abs(z.mean()) <= 5 / np.sqrt(n)
    assert abs((z**2).mean() - 1) <= 5 * np.sqrt(2 / n)
    assert abs((z**3).mean()) <= 5 * np.sqrt(15 / n)
    assert abs((z**4).mean() - 3) <= 5 * np.sqrt(96 / n)


@pytest.mark.parametrize("init", [shoal.Gaussian(std=0.3), shoal.Gaussian(gain=1.5)], ids=["std", "gain"])
def test_gaussian_weights_are_normal_with_their_layers_deviation(init: shoal.Gaussian) -> None:
    network = shoal.Network((5, 4, 3))
    for weights, fan_in in zip(drawn(network, init, task_for(network)), (5, 4), strict=True):
        assert_normal(weights, 0.3 if init.std else 1.5 / np.sqrt(fan_in))


def test_draws_of_different_weights_networks_and_seeds_are_independent() -> None:
    network = shoal.Network((3, 4, 1))
    task = task_for(network)
    first, second = (
        np.concatenate([w.reshape(NETWORKS, -1) for w in drawn(network, shoal.Gaussian(1.0), task, seed=seed)], axis=1)
        for seed in (0, 1)
    )
    weights = first.shape[1]
    # Correlations of independent normals have a standard error of 1 / sqrt(n); squares catch a shared radius or sign.
    for a, b in itertools.chain(
        itertools.combinations(first.T, 2),
        zip(first.T, second.T, strict=True),
        ((first[:-1, i], first[1:, i]) for i in range(weights)),
    ):
        assert abs(np.mean(a * b)) <= 5 / np.sqrt(len(a))
        assert abs(np.mean((a**2 - 1) * (b**2 - 1))) <= 5 * 2 / np.sqrt(len(a))
    assert len(np.unique(first)) == first.size
    assert not np.isin(second, first).any()


def test_the_same_seed_draws_the_same_and_network_indices_are_where_draws_come_from() -> None:
    network = shoal.Network((3, 4, 1))
    task = task_for(network)
    every = drawn(network, shoal.Gaussian(1.0), task, networks=20)
    some = drawn(network, shoal.Gaussian(1.0), task, networks=5, first_network=7)
    for a, b in zip(every, some, strict=True):
        assert a[7:12].tobytes() == b.tobytes()


def test_indices_far_beyond_32_bits_draw_starts_of_their_own() -> None:
    network = shoal.Network((3, 4, 1))
    task = task_for(network)
    near, far = (drawn(network, shoal.Gaussian(1.0), task, networks=4, first_network=first)[0] for first in (0, 2**32))
    assert not np.isin(far, near).any()


@pytest.mark.parametrize("widths", [(5, 4, 1), (3, 6, 5, 4)], ids=str)
def test_balanced_units_have_outgoing_weights_of_the_norm_of_their_incoming_ones(widths: tuple[int, ...]) -> None:
    network = shoal.Network(widths)
    weights = drawn(network, shoal.Balanced(0.2), task_for(network))
    assert_normal(weights[0], 0.2)
    for before, after in itertools.pairwise(weights):
        incoming, outgoing = (before**2).sum(axis=2), (after**2).sum(axis=1)
        # Two norms of up to `inputs` squares, a square root and a division.
        np.testing.assert_allclose(outgoing, incoming, rtol=(sum(widths) + 8) * EPS)
        directions = np.moveaxis(after, 2, 1) / np.sqrt(outgoing)[..., None]
        n, d = directions[..., 0].size, directions.shape[-1]
        flat = directions.reshape(n, d)
        assert np.abs(flat.mean(axis=0)).max() <= 5 / np.sqrt(n * d)
        # An isotropic direction has <u u^T> = 1 / d, and each entry's square a variance of at most <u^4> <= 3 / d^2.
        assert np.abs(flat.T @ flat / n - np.eye(d) / d).max() <= 5 * np.sqrt(3 / n) / d


def test_balance_is_zero_at_a_balanced_start() -> None:
    network = shoal.Network((5, 4, 3, 1))
    record = shoal.Record(measure=("balance", "layer_norm"))
    data = shoal.train(
        network,
        task_for(network),
        shoal.Balanced(1.0),
        method=shoal.GradientDescent(0.1, 0),
        record=record,
        networks=100,
    )
    largest = float(data.layer_norm.max()) ** 2
    assert np.abs(data.balance).max() <= (sum(network.widths) + 8) * EPS * largest


@pytest.mark.parametrize(
    "inputs",
    [
        np.diag([1.7, 0.9, 0.4]),
        np.array([[1.5, 0, 0], [-1.5, 0, 0], [0, 2, 0]]),
        np.array([[1.0, 1, 0], [3, -3, 0], [2, 2, 0], [0, 0, -1]]),
    ],
    ids=["orthogonal", "antipodal", "rotated, one direction twice"],
)
def test_separated_units_are_active_on_their_own_mode_only(inputs: Array) -> None:
    rays = inputs / np.linalg.norm(inputs, axis=1)[:, None]
    modes = [k for k in range(len(rays)) if not any(rays[k] @ rays[j] > 0.5 for j in range(k))]
    network = shoal.Network((3, 8, 1))
    task = shoal.Task(inputs, np.ones(len(inputs)))
    first, second = drawn(network, shoal.Separated(0.2, output_std=0.5), task)
    assert_normal(second, 0.5)
    activity = first @ rays[modes].T
    # A component that was set to 0 is one of rounding, of the size of the weights.
    reach = 16 * EPS * np.abs(first).max()
    for unit in range(8):
        own = unit % len(modes)
        assert (activity[:, unit, own] > 0).all()
        for other in set(range(len(modes))) - {own}:
            assert (activity[:, unit, other] <= reach).all()
        # Reflecting a normal number keeps its square.
        assert_normal(activity[:, unit, own] * np.where(np.arange(NETWORKS) % 2, 1, -1), 0.2)


def test_biases_start_at_zero() -> None:
    network = shoal.Network((3, 4, 1), bias=True)
    data = shoal.train(
        network,
        task_for(network),
        shoal.Gaussian(1.0),
        method=shoal.GradientDescent(0.1, 0),
        record=shoal.Record(measure=("weights",)),
        networks=10,
    )
    assert not any(bias.any() for bias in layers(data, "biases"))
