"""Predictions, and initial weights that are drawn by themselves, are those of the trained networks."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

import reference
import shoal
from shoal.spec import forward
from shoal.spec.activation import ACTIVATIONS

GENERATOR = np.random.default_rng(5)
POINTS = GENERATOR.standard_normal((7, 3))
ONE = shoal.Task(GENERATOR.standard_normal((5, 3)), [1, -1, 1, 1, -1])
FOUR = shoal.Task(GENERATOR.standard_normal((5, 3)), [0, 1, 2, 3, 1])
RECORD = shoal.Record(steps=[0, 30], measure=("margin", "weights"))


def trained(network: shoal.Network, task: shoal.Task = ONE, **given: Any) -> Any:
    method = shoal.GradientDescent(0.05, 30)
    made = {"method": method, "record": RECORD, "networks": 6, "seed": 4, **given}
    return shoal.train(network, task, made.pop("init", shoal.Gaussian(0.7)), **made)


def networks() -> list[shoal.Network]:
    plain = [shoal.Network((3, 4, 5, 1), kind, bias=bool(k % 2)) for k, kind in enumerate(ACTIVATIONS)]
    scaled = shoal.Network((3, 4, 1), "leaky_relu", 0.3, True, scales=(0.5, 3.0), rates=(1.0, 2.0))
    return [*plain, scaled, shoal.Network((3, 1)), shoal.Network((3, 6, 4)), shoal.Network((3, 4), bias=True)]


@pytest.mark.parametrize("network", networks(), ids=str)
def test_predictions_are_those_of_the_oracle(network: shoal.Network) -> None:
    task = ONE if network.outputs == 1 else FOUR
    data = trained(network, task)
    found = shoal.predict(data, POINTS)
    setup = reference.problem(network, shoal.Task(POINTS, task.labels[[0, 1, 2, 3, 4, 0, 1]]), data_loss(data))
    for k in range(6):
        layers = range(1, network.layers + 1)
        biases = [data[f"biases_{layer}"].values[k] for layer in layers] if network.bias else []
        held = reference.Parameters([data[f"weights_{layer}"].values[k] for layer in layers], biases)
        right = reference.forward(setup, held)[1][-1]
        np.testing.assert_allclose(found.values[k], right.reshape(found.values[k].shape), rtol=1e-12, atol=1e-13)


def data_loss(data: Any) -> Any:
    return shoal.specification(data).loss


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("init", [shoal.Gaussian(0.7), shoal.Balanced(0.6)], ids=str)
def test_predictions_at_the_samples_of_centred_networks_are_their_margins(init: Any, dtype: str) -> None:
    network = shoal.Network((3, 8, 1), bias=True, scales=(1.0, 4.0), centred=True)
    data = trained(network, init=init, first_network=11, dtype=dtype)
    margins = ONE.labels * shoal.predict(data, ONE.inputs).values
    tolerance = 1e-12 if dtype == "float64" else 2e-5
    np.testing.assert_allclose(margins, data.margin.values[:, -1], rtol=tolerance, atol=tolerance)
    resumed = shoal.resume(data, steps=10)
    margins = ONE.labels * shoal.predict(resumed, ONE.inputs).values
    np.testing.assert_allclose(margins, resumed.margin.values[:, -1], rtol=tolerance, atol=tolerance)


def test_some_networks_and_a_single_one() -> None:
    data = trained(shoal.Network((3, 8, 1), centred=True))
    whole = shoal.predict(data, POINTS)
    assert whole.dims == ("network", "point")
    np.testing.assert_array_equal(shoal.predict(data.isel(network=slice(2, 5)), POINTS), whole[2:5])
    single = shoal.predict(data.isel(network=3), POINTS)
    assert single.dims == ("point",)
    np.testing.assert_array_equal(single, whole[3])


def test_many_networks_are_evaluated_block_by_block(monkeypatch: pytest.MonkeyPatch) -> None:
    data = trained(shoal.Network((3, 8, 1)))
    whole = shoal.predict(data, POINTS)
    monkeypatch.setattr(forward, "_BLOCK", 2 * 7 * 8)
    np.testing.assert_array_equal(shoal.predict(data, POINTS), whole)


def test_networks_that_have_diverged_are_no_number() -> None:
    data = trained(shoal.Network((3, 8, 1), "linear"), loss="squared", method=shoal.GradientDescent(100.0, 30))
    assert (data.status == 1).all()
    assert np.isnan(shoal.predict(data, POINTS)).all()


@pytest.mark.parametrize(
    "init",
    [shoal.Gaussian(0.7), shoal.Gaussian(gain=1.0), shoal.Balanced(0.5), shoal.Symmetric(shoal.Balanced(0.5))],
    ids=str,
)
@pytest.mark.parametrize("bias", [False, True])
def test_drawn_weights_are_those_from_which_training_starts(init: Any, bias: bool) -> None:
    network = shoal.Network((3, 8, 4, 1), bias=bias)
    drawn = init.draw(network, ONE, networks=6, seed=4, first_network=2)
    own, given = trained(network, init=init, first_network=2), trained(network, init=drawn)
    np.testing.assert_array_equal(own.margin, given.margin)
    np.testing.assert_array_equal(own.weights_2, given.weights_2)


def test_separated_weights_are_drawn_for_a_task() -> None:
    task, network = shoal.tasks.modes((1.7, 0.9)), shoal.Network((2, 6, 1))
    drawn = shoal.Separated(0.1).draw(network, task, networks=5, seed=3)
    again = shoal.Separated(0.1).draw(network, task, networks=2, seed=3, first_network=3)
    np.testing.assert_array_equal(drawn.weights[0][3:], again.weights[0])
    assert drawn.draw(network, task) == drawn


@pytest.mark.parametrize("init", [shoal.Gaussian(0.7), shoal.Separated(0.1)], ids=str)
def test_weights_are_drawn_for_a_regression_as_for_labels(init: Any) -> None:
    network, labels = shoal.Network((2, 6, 1)), shoal.tasks.modes((1.7, 0.9))
    targets = shoal.Task.regression(labels.inputs, [0.3, -2.0])
    drawn, other = (init.draw(network, task, networks=5, seed=3) for task in (targets, labels))
    np.testing.assert_array_equal(drawn.weights[0], other.weights[0])


def test_what_cannot_be_predicted_is_refused() -> None:
    data = trained(shoal.Network((3, 8, 1)))
    with pytest.raises(ValueError, match=r"inputs must have shape \(points, 3\) for this network, got \(4, 2\)"):
        shoal.predict(data, np.ones((4, 2)))
    with pytest.raises(ValueError, match="inputs must have shape"):
        shoal.predict(data, np.ones(3))
    with pytest.raises(ValueError, match=r"inputs must be finite, got nan at index \(0, 1\)"):
        shoal.predict(data, [[1.0, np.nan, 0.0]])
    with pytest.raises(ValueError, match="final weights"):
        shoal.predict(data.drop_vars("weights_1"), POINTS)
    with pytest.raises(ValueError, match="statistics"):
        shoal.predict(trained(shoal.Network((3, 8, 1)), record=shoal.Record(reduce="moments")), POINTS)
    with pytest.raises(TypeError, match="data must be"):
        shoal.predict(3, POINTS)  # type: ignore[arg-type]


def test_pytorch_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    data = trained(shoal.Network((3, 8, 1)))
    with pytest.raises(ImportError, match="to_torch needs PyTorch, which is not installed: pip install torch"):
        shoal.to_torch(data, 0)
    with pytest.raises(ImportError, match=r"Explicit.from_torch needs PyTorch"):
        shoal.Explicit.from_torch([])
