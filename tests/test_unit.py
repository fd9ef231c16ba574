"""Unit initialisations: directions uniform on the sphere, norms and output weights as they are given."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

import shoal
from reference import Array

NETWORKS = 4000
EPS = np.finfo(float).eps
FIVE_SIGMA = 2 * stats.norm.sf(5)


def task_of(dimension: int) -> shoal.Task:
    return shoal.Task(np.random.default_rng(0).standard_normal((4, dimension)), [1, -1, 1, -1])


def drawn(init: shoal.Init, dimension: int, units: int = 4, **given: Any) -> tuple[Array, Array]:
    """Return incoming weights (networks, units, dimension) and output weights (networks, units)."""
    network = shoal.Network((dimension, units, 1), **given)
    first, head = init.draw(network, task_of(dimension), networks=NETWORKS, seed=5).weights
    return first, head[:, 0]


def along_a_direction(units: Array) -> Array:
    """Return the components of (n, d) vectors along a direction that is no axis."""
    direction = np.arange(1.0, units.shape[1] + 1)
    return np.asarray(units @ (direction / np.linalg.norm(direction)))


@pytest.mark.parametrize("norm", [0.03, (0.5, 1e-3, 2.0, 7.0)], ids=str)
@pytest.mark.parametrize("dimension", [1, 2, 7])
def test_incoming_weights_have_the_given_norms(norm: Any, dimension: int) -> None:
    first, _ = drawn(shoal.Unit(norm), dimension)
    # A sum of squares, its root, a division and a product.
    np.testing.assert_allclose(
        np.linalg.norm(first, axis=2), np.broadcast_to(norm, (NETWORKS, 4)), rtol=(dimension + 8) * EPS
    )


@pytest.mark.parametrize("dimension", [2, 3, 7])
def test_directions_are_uniform_on_the_sphere(dimension: int) -> None:
    first, _ = drawn(shoal.Unit(1.0), dimension)
    flat = first.reshape(-1, dimension)
    n = len(flat)
    assert np.abs(flat.mean(axis=0)).max() <= 5 / np.sqrt(n * dimension)
    # <u u^T> = 1 / d; <u_i^4> = 3 / (d (d + 2)) and <u_i^2 u_j^2> = 1 / (d (d + 2)) bound the variances.
    off = np.abs(flat.T @ flat / n - np.eye(dimension) / dimension)
    assert off.max() <= 5 * np.sqrt(3 / (dimension * (dimension + 2)) / n)
    # A component t of a uniform direction: (1 + t) / 2 has the distribution Beta((d - 1) / 2, (d - 1) / 2).
    law = stats.beta((dimension - 1) / 2, (dimension - 1) / 2, loc=-1, scale=2)
    assert stats.kstest(along_a_direction(flat), law.cdf).pvalue > FIVE_SIGMA
    for j in range(dimension):
        assert stats.kstest(flat[:, j], law.cdf).pvalue > FIVE_SIGMA
    # So many directions do show that those of vectors with entries of another distribution are others.
    others = np.random.default_rng(1).laplace(size=flat.shape)
    assert stats.kstest(others[:, 0] / np.linalg.norm(others, axis=1), law.cdf).pvalue < FIVE_SIGMA


def test_directions_of_different_units_and_networks_are_independent() -> None:
    first, _ = drawn(shoal.Unit(1.0), 3)
    pairs = [(first[:, i], first[:, j]) for i in range(4) for j in range(i)] + [(first[1:, 0], first[:-1, 0])]
    for one, other in pairs:
        # The cosine of two uniform directions has the variance 1 / d.
        assert abs((one * other).sum(axis=1).mean()) <= 5 / np.sqrt(3 * len(one))


def test_in_one_dimension_directions_are_signs() -> None:
    first, _ = drawn(shoal.Unit(0.5), 1)
    assert set(np.unique(first)) == {-0.5, 0.5}
    assert abs(np.sign(first).mean()) <= 5 / np.sqrt(first.size)


def test_output_weights_are_balanced_with_fair_independent_signs() -> None:
    norms = np.array([0.5, 1e-3, 2.0, 7.0])
    for rates, factor in (((1, 1), 1.0), ((0.25, 1), 2.0)):
        first, head = drawn(shoal.Unit(norms), 3, rates=rates)
        np.testing.assert_array_equal(np.abs(head), np.broadcast_to(factor * norms, head.shape))
        signs = np.sign(head)
        assert np.abs(signs.mean(axis=0)).max() <= 5 / np.sqrt(NETWORKS)
        assert np.abs(signs.T @ signs / NETWORKS - np.eye(4)).max() <= 5 / np.sqrt(NETWORKS)
        for unit in range(4):
            directions = first[:, unit] / norms[unit]
            assert np.abs((signs[:, unit, None] * directions).mean(axis=0)).max() <= 5 / np.sqrt(3 * NETWORKS)


def test_every_balance_is_0_to_rounding() -> None:
    record = shoal.Record(measure=("balance",))
    network = shoal.Network((3, 4, 1), rates=(2, 0.5))
    data = shoal.train(
        network, task_of(3), shoal.Unit(1.0), method=shoal.GradientDescent(0.1, 0), record=record, networks=100
    )
    assert np.abs(data.balance).max() <= (sum(network.widths) + 8) * EPS


def test_output_weights_that_are_given_are_taken_as_they_are() -> None:
    first, head = drawn(shoal.Unit(0.1, (1.0, -2.0, 0.0, 0.5)), 3)
    np.testing.assert_array_equal(head, np.broadcast_to([1.0, -2.0, 0.0, 0.5], head.shape))
    np.testing.assert_array_equal(drawn(shoal.Unit(0.1, -0.3), 3)[1], np.full((NETWORKS, 4), -0.3))
    np.testing.assert_array_equal(first, drawn(shoal.Unit(0.1), 3)[0])


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_network_draws_the_same_wherever_it_is_and_train_begins_there(dtype: str, bias: bool) -> None:
    network, task, init = shoal.Network((3, 4, 1), bias=bias), task_of(3), shoal.Unit(0.3)
    every = init.draw(network, task, networks=50, seed=2, dtype=dtype, threads=3)
    some = init.draw(network, task, networks=5, seed=2, first_network=40, dtype=dtype)
    for one, other in zip(every.arrays.values(), some.arrays.values(), strict=True):
        np.testing.assert_array_equal(one[40:45], other)
    given: dict[str, Any] = {"method": shoal.GradientDescent(0.1, 20), "dtype": dtype}
    own = shoal.train(network, task, init, networks=5, seed=2, first_network=40, **given)
    np.testing.assert_array_equal(own.margin, shoal.train(network, task, some, **given).margin)
