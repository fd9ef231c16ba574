"""Going on where a dataset ended is one longer training: of descent to the bit, of a flow within its tolerance."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray

import shoal
from support import random_init

MEASURES = ("loss", "error", "margin", "active", "weights")
TASK = shoal.Task(
    [[1.0, 0.3, 0.0], [-0.4, 1.1, 0.2], [0.2, -0.9, 1.0], [0.8, 0.8, -0.5]],
    [1, -1, 1, -1],
    test=([[0.5, 0.1, -0.2], [0.3, 0.2, 0.9]], [1, -1]),
)
CENTRED = shoal.Network.mean_field(3, 12, alpha=3.0, centred=True)


def settings() -> dict[str, dict[str, Any]]:
    biased = shoal.Network((3, 5, 4, 1), "tanh", bias=True, centred=True)
    one = {"network": CENTRED, "init": shoal.Gaussian(1.0), "method": shoal.GradientDescent(0.05, 60)}
    return {
        "plain": {**one, "network": shoal.Network((3, 6, 1)), "init": shoal.Balanced(0.4)},
        "centred": one,
        "centred from some network on": {**one, "first_network": 41, "seed": 9},
        "centred, with biases and depth": {**one, "network": biased},
        "centred, float32": {**one, "dtype": "float32"},
        "centred, alone": {**one, "engine": "alone"},
        "centred, penalised": {**one, "weight_decay": 0.01, "spectral_decoupling": 0.1},
        "centred, weights given": {
            **one,
            "init": random_init(CENTRED, 20, np.random.default_rng(1)),
        },
        "centred, rules to stop": {**one, "method": shoal.GradientDescent(0.01, 60, stop=("fitted", "dead"))},
        "diverging": {
            **one,
            "network": shoal.Network((3, 6, 1), "linear"),
            "loss": "squared",
            "init": shoal.Gaussian(1.0),
            "method": shoal.GradientDescent(0.35, 60),
        },
    }


def whole_and_resumed(
    name: str, pieces: tuple[int, ...] = (25, 35), measures: tuple[str, ...] = MEASURES
) -> tuple[xarray.Dataset, xarray.Dataset]:
    given = {"task": TASK, "networks": 20, **settings()[name]}
    method = given.pop("method")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHOAL_ENGINE", given.pop("engine", "auto"))
        whole = shoal.train(**given, method=method, record=shoal.Record(measure=measures))
        first = shoal.GradientDescent(method.learning_rate, pieces[0], stop=method.stop)
        data = shoal.train(**given, method=first, record=shoal.Record(measure=measures))
        for more in pieces[1:]:
            data = shoal.resume(data, steps=more)
    return whole, data


def assert_same_tail(whole: xarray.Dataset, data: xarray.Dataset) -> None:
    tail = whole.isel(time=np.isin(whole.step, data.step))
    assert tail.sizes["time"] == data.sizes["time"]
    assert set(tail) == set(data)
    for name in tail.variables:
        if name != "training":
            np.testing.assert_array_equal(data[name].values, tail[name].values, err_msg=str(name))


@pytest.mark.parametrize("name", list(settings()))
def test_a_resumed_descent_has_the_bits_of_a_longer_one(name: str) -> None:
    whole, data = whole_and_resumed(name, measures=(*MEASURES, "test_margin"))
    assert data.step.values[[0, -1]].tolist() == [25, 60]
    assert_same_tail(whole, data)
    if name == "diverging":
        assert 0 < int((data.status == 1).sum()) < 20
    if name == "centred, rules to stop":
        early = int(((whole.stopped_at >= 0) & (whole.stopped_at < 25)).sum())
        assert 0 < early < int((whole.stopped_at >= 25).sum()) + early


def test_resuming_twice_is_resuming_once() -> None:
    whole, data = whole_and_resumed("centred", (10, 20, 30))
    assert_same_tail(whole, data)


def test_the_specification_of_what_was_resumed_is_the_longer_training() -> None:
    _whole, data = whole_and_resumed("centred")
    told = shoal.specification(data)
    assert told.method == shoal.GradientDescent(0.05, 60)
    again = shoal.train(told)
    for name in data:
        np.testing.assert_array_equal(again[name].values, data[name].values)


def test_final_weights_given_to_a_centred_network_begin_another_training() -> None:
    """What resume is for: the loss is that of outputs that count as 0 again."""
    _whole, data = whole_and_resumed("centred")
    given = {"task": TASK, **settings()["centred"]}
    half = shoal.train(
        **{**given, "method": shoal.GradientDescent(0.05, 25)}, networks=20, record=shoal.Record(measure=MEASURES)
    )
    given["init"] = shoal.Explicit([half.weights_1.values, half.weights_2.values])
    other = shoal.train(**{**given, "method": shoal.GradientDescent(0.05, 35)})
    assert abs(other.loss[:, 0] - np.log(2)).max() < 1e-12
    assert abs(data.loss[:, 0] - half.loss[:, -1]).max() == 0


def test_some_networks_are_resumed_as_themselves() -> None:
    whole, _ = whole_and_resumed("centred")
    given = {"task": TASK, **settings()["centred"], "method": shoal.GradientDescent(0.05, 25)}
    data = shoal.train(**given, networks=20, record=shoal.Record(measure=MEASURES)).isel(network=slice(6, 9))
    resumed = shoal.resume(data, steps=35, record=shoal.Record(steps=[40, 60], measure=("loss", "weights")))
    np.testing.assert_array_equal(resumed.network, [6, 7, 8])
    np.testing.assert_array_equal(resumed.loss.values, whole.sel(network=[6, 7, 8]).isel(time=[40, 60]).loss.values)
    with pytest.raises(ValueError, match="data must hold consecutive networks"):
        shoal.resume(data.isel(network=[0, 2]), steps=1)


def test_condensed_inputs_are_resumed_to_rounding() -> None:
    generator = np.random.default_rng(5)
    inputs = generator.standard_normal((40, 3)) @ generator.standard_normal((3, 50)) / 7
    task = shoal.Task(inputs, np.where(inputs[:, 0] > 0, 1, -1))
    given = {"network": shoal.Network.ntk((50, 8, 1), centred=True), "task": task, "init": shoal.Gaussian(1.0)}
    record = shoal.Record(measure=("loss", "weights"))
    whole = shoal.train(**given, method=shoal.GradientDescent(0.1, 40), networks=6, record=record)
    assert '"inputs": [50, 3]' in whole.condensed
    data = shoal.train(**given, method=shoal.GradientDescent(0.1, 15), networks=6, record=record)
    resumed = shoal.resume(data, steps=25)
    np.testing.assert_allclose(resumed.loss, whole.loss.isel(time=slice(15, None)), rtol=1e-12)
    np.testing.assert_allclose(resumed.weights_1, whole.weights_1, rtol=0, atol=1e-12)


@pytest.mark.parametrize("centred", [False, True])
def test_a_resumed_flow_agrees_with_a_longer_one(centred: bool) -> None:
    given = {
        "network": shoal.Network.ntk((3, 6, 1), "tanh", centred=centred),
        "task": TASK,
        "init": shoal.Gaussian(1.0),
    }
    record = shoal.Record(times=[0.0, 2.0, 3.0, 5.0], measure=("loss", "margin", "weights"))
    whole = shoal.train(**given, method=shoal.GradientFlow(5.0), networks=8, record=record)
    data = shoal.train(
        **given, method=shoal.GradientFlow(2.0), networks=8, record=shoal.Record(measure=("loss", "weights"))
    )
    later = shoal.Record(times=[2.0, 3.0, 5.0], measure=("margin",))
    resumed = shoal.resume(data, t_end=5.0, record=later)
    assert resumed.time.values.tolist() == [2.0, 3.0, 5.0]
    np.testing.assert_allclose(resumed.margin, whole.margin.isel(time=slice(1, None)), rtol=1e-6, atol=1e-8)
    assert shoal.specification(resumed).method == shoal.GradientFlow(5.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({}, "steps must be given for a training by GradientDescent"),
        ({"t_end": 3.0}, "steps must be given for a training by GradientDescent"),
        ({"steps": -1}, "steps must be at least 0"),
        ({"steps": 5, "record": shoal.Record(steps=[3, 12])}, "record must lie from the end of data on, 10, got 3"),
        ({"steps": 5, "record": shoal.Record(reduce="moments")}, "record must keep each network"),
    ],
)
def test_refusals(change: dict[str, Any], message: str) -> None:
    given = {"task": TASK, **settings()["plain"], "method": shoal.GradientDescent(0.05, 10)}
    data = shoal.train(**given, networks=2, record=shoal.Record(measure=("loss", "weights")))
    with pytest.raises(ValueError, match=message):
        shoal.resume(data, **change)


def test_data_without_final_weights_is_refused() -> None:
    given = {"task": TASK, **settings()["plain"]}
    with pytest.raises(ValueError, match=r"data must hold the final weights, .* it lacks weights_1, weights_2"):
        shoal.resume(shoal.train(**given, networks=2), steps=1)
    with pytest.raises(ValueError, match="data must keep each network"):
        shoal.resume(shoal.train(**given, networks=2, record=shoal.Record(reduce="moments")), steps=1)
