"""Weight decay and spectral decoupling: the oracle step by step, what is known in closed form, and bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray

import reference
import rounding
import shoal
from reference import Parameters
from shoal.spec.loss import resolve_loss
from support import ALL_MEASURES, layers, random_init, random_task, same_bits, started

PENALTIES: dict[str, Any] = {"weight_decay": 0.25, "spectral_decoupling": 0.5}  # that float32 holds exactly
RATE = 0.25
CASES = {
    "gated": (shoal.Network((3, 5, 1), bias=True), "squared_hinge"),
    "homogeneous, two hidden layers": (shoal.Network((3, 5, 4, 1), "leaky_relu", 0.1), "hinge"),
    "no hidden layer": (shoal.Network((3, 1), bias=True), "exponential"),
    "deep tanh": (shoal.Network((3, 5, 4, 1), "tanh", bias=True), "cross_entropy"),
    "three classes": (shoal.Network((3, 6, 3), "softplus", bias=True), "cross_entropy"),
}


def along(data: xarray.Dataset, k: int, record: int) -> Parameters:
    """Return the parameters of network k at one record of a trajectory, in float64."""
    return Parameters(
        [array[k, record].astype(np.float64) for array in layers(data, "trajectory")],
        [array[k, record].astype(np.float64) for array in layers(data, "trajectory_bias")],
    )


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("case", CASES)
def test_every_step_is_the_oracles_to_rounding(case: str, dtype: str, generator: np.random.Generator) -> None:
    network, loss = CASES[case]
    task = random_task(11, 3, network.outputs, generator, "float32")
    init = random_init(network, 5, generator, "float32", scale=0.8)
    setup = reference.problem(network, task, resolve_loss(loss), **PENALTIES)
    eps = float(np.finfo(dtype).eps)
    data = shoal.train(
        network,
        task,
        init,
        method=shoal.GradientDescent(RATE, 12),
        loss=loss,
        record=shoal.Record(measure=("loss", "trajectory")),
        dtype=dtype,
        **PENALTIES,
    )
    clear = 0
    for k in range(5):
        for w, s in zip(along(data, k, 0).weights, started(init, k).weights, strict=True):
            np.testing.assert_array_equal(w, s)
        for step in range(12):
            before, after = along(data, k, step), along(data, k, step + 1)
            plain = reference.measures(setup, before)["loss"]
            assert abs(float(data.loss[k, step]) - plain) <= 1e3 * eps * (1 + plain), "the loss alone is recorded"
            if not rounding.clear_of_kinks(setup, before, eps):
                continue
            clear += 1
            expected = reference.descend(setup, before, RATE)
            bound = rounding.step_bounds(setup, before, RATE, eps)
            for w, e, b in zip(
                [*after.weights, *after.biases],
                [*expected.weights, *expected.biases],
                [*bound.weights, *bound.biases],
                strict=True,
            ):
                assert (np.abs(w - e) <= b).all()
    assert clear > 50


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_weight_decay_alone_shrinks_every_weight_and_bias_by_the_same_factor(activation: str) -> None:
    """Where the loss is flat (hinge, every margin far beyond it) only the decay is left."""
    network = shoal.Network((2, 3, 1), activation, bias=True)
    weights = [np.full((1, 3, 2), 2.0), np.full((1, 1, 3), 3.0)]
    init = shoal.Explicit(weights, [np.full((1, 3), 0.5), np.full((1, 1), 0.25)])
    data = shoal.train(
        network,
        shoal.Task([[1.0, 2.0]], [1]),
        init,
        loss=shoal.Hinge(0.01),
        method=shoal.GradientDescent(0.125, 8),
        weight_decay=0.5,
        record=shoal.Record(measure=("trajectory", "margin")),
    )
    assert (data.margin > 0.01).all()
    factor = (1 - 0.125 * 0.5) ** np.arange(9)  # has an exact square, and so on up to 53 bits
    for name, values in (("trajectory_1", weights[0]), ("trajectory_2", weights[1])):
        expected = values[:, None] * factor[None, :, None, None]
        np.testing.assert_allclose(data[name], expected, rtol=16 * np.finfo(float).eps)
    np.testing.assert_allclose(data.trajectory_bias_1[0, :, 1], 0.5 * factor, rtol=16 * np.finfo(float).eps)
    np.testing.assert_allclose(data.trajectory_bias_2[0, :, 0], 0.25 * factor, rtol=16 * np.finfo(float).eps)


def linear_model(method: shoal.GradientDescent | shoal.GradientFlow, record: shoal.Record) -> xarray.Dataset:
    """Train f = w x with the squared loss on one sample of input 2: its objective is a parabola in w."""
    init = shoal.Explicit([np.array([[[-0.5]], [[0.75]]])])
    task, network = shoal.Task([[2.0]], [1]), shoal.Network((1, 1))
    return shoal.train(network, task, init, method=method, loss="squared", record=record, **PENALTIES)


RESTING = 2.0 / (4.0 * (1 + PENALTIES["spectral_decoupling"]) + PENALTIES["weight_decay"])
SPEED = 4.0 * (1 + PENALTIES["spectral_decoupling"]) + PENALTIES["weight_decay"]


def test_both_penalties_move_the_minimum_of_a_parabola_to_where_it_must_be() -> None:
    data = linear_model(shoal.GradientDescent(0.125, 200), shoal.Record(measure=("weights", "loss")))
    np.testing.assert_allclose(data.weights_1.values.ravel(), RESTING, rtol=4 * np.finfo(float).eps)
    np.testing.assert_allclose(data.loss[:, -1], (1 - 2 * RESTING) ** 2 / 2, rtol=1e-14)


def test_a_flow_with_penalties_is_the_exponential_of_a_parabola() -> None:
    times = np.linspace(0, 1.5, 16)
    data = linear_model(shoal.GradientFlow(t_end=1.5, rtol=1e-10), shoal.Record(times=times, measure=("trajectory",)))
    for k, w0 in enumerate((-0.5, 0.75)):
        expected = RESTING + (w0 - RESTING) * np.exp(-SPEED * times)
        np.testing.assert_allclose(data.trajectory_1.values[k].ravel(), expected, rtol=0, atol=1e-9)


def arguments(network: shoal.Network, **changed: Any) -> dict[str, Any]:
    classes = 2 if network.outputs == 1 else network.outputs
    return {
        "network": network,
        "task": shoal.tasks.modes((1.7, 0.9, 1.2), (3, 2, 1), classes=classes),
        "init": shoal.Gaussian(0.4),
        "method": shoal.GradientDescent(0.1, 25),
        "record": shoal.Record(steps=[0, 1, 13, 25], measure=(*ALL_MEASURES, "trajectory", "pattern")),
        "networks": 300,
        **PENALTIES,
        **changed,
    }


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    "network", [shoal.Network((3, 4, 1)), shoal.Network((3, 9, 5, 1), "tanh"), shoal.Network((3, 6, 3), "leaky_relu")]
)
def test_penalised_networks_keep_their_bits_whatever_the_threads_and_the_company(
    network: shoal.Network, dtype: str
) -> None:
    given = arguments(network, dtype=dtype)
    together = shoal.train(**given, threads=1)
    same_bits(shoal.train(**given, threads=3), together)
    for i in (0, 7, 150, 299):
        alone = shoal.train(**{**given, "first_network": i, "networks": 1})
        same_bits(alone, together.sel(network=[i]))
    assert not np.array_equal(together.loss, shoal.train(**{**given, "spectral_decoupling": 0.0}).loss)


def test_penalties_of_zero_are_none() -> None:
    network = shoal.Network((3, 9, 5, 1), bias=True)
    without = {name: value for name, value in arguments(network).items() if name not in PENALTIES}
    same_bits(shoal.train(**arguments(network, weight_decay=0, spectral_decoupling=0)), shoal.train(**without))
