"""Test samples are measured as samples of a task are, and change nothing in the training."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray

import reference
import shoal
from shoal.spec.loss import resolve_loss
from support import ALL_MEASURES, final, layers, random_task, same_bits

TESTED = {"test_loss": "loss", "test_error": "error", "test_soft_error": "soft_error", "test_margin": "margin"}
NETWORKS = {
    "relu": shoal.Network((3, 6, 1), bias=True),
    "deep tanh": shoal.Network((3, 5, 4, 1), "tanh"),
    "three classes": shoal.Network((3, 4, 3), "leaky_relu", bias=True),
}
METHODS = {"descent": shoal.GradientDescent(0.1, 20), "flow": shoal.GradientFlow(t_end=2.0, rtol=1e-6, max_steps=3000)}


def split_task(network: shoal.Network, generator: np.random.Generator, tested: int = 700) -> shoal.Task:
    """Return a task of 9 samples, and more test samples than one block holds."""
    task, test = (random_task(n, 3, network.outputs, generator, "float32") for n in (9, tested))
    return shoal.Task(task.inputs, task.labels, task.sample_weight, (test.inputs, test.labels))


def arguments(network: shoal.Network, generator: np.random.Generator, **changed: Any) -> dict[str, Any]:
    return {
        "network": network,
        "task": split_task(network, generator),
        "init": shoal.Gaussian(0.7),
        "method": METHODS["descent"],
        "record": shoal.Record(times=[0, 0.5, 2.0], measure=(*ALL_MEASURES, "trajectory", *TESTED)),
        "networks": 11,
        **changed,
    }


@pytest.mark.parametrize(("method", "dtype"), [("descent", "float64"), ("descent", "float32"), ("flow", "float64")])
@pytest.mark.parametrize("name", NETWORKS)
def test_what_is_measured_of_test_samples_is_what_a_task_of_them_measures(
    name: str, method: str, dtype: str, generator: np.random.Generator
) -> None:
    given = arguments(NETWORKS[name], generator, dtype=dtype, method=METHODS[method])
    data = shoal.train(**given)
    inputs, labels = given["task"].test
    data = data.isel(network=np.flatnonzero(data.status == 0))  # random labels: a flow may slide along a kink
    assert data.sizes["network"] >= 4
    for i in range(3):
        at = shoal.Explicit(
            [array[:, i] for array in layers(data, "trajectory")],
            [array[:, i] for array in layers(data, "trajectory_bias")] or None,
        )
        record = shoal.Record(measure=tuple(TESTED.values()))
        there = shoal.train(
            NETWORKS[name],
            shoal.Task(inputs, labels),
            at,
            method=shoal.GradientDescent(0.1, 0),
            record=record,
            dtype=dtype,
        )
        for tested, plain in TESTED.items():
            assert data[tested].values[:, i].tobytes() == there[plain].values[:, 0].tobytes(), tested


@pytest.mark.parametrize("name", NETWORKS)
def test_test_samples_are_measured_as_the_oracle_does(name: str, generator: np.random.Generator) -> None:
    network = NETWORKS[name]
    given = arguments(network, generator)
    data = shoal.train(**given)
    setup = reference.problem_of_test(network, given["task"], resolve_loss("cross_entropy"))
    for k in range(11):
        expected = reference.measures(setup, final(data, k))
        for tested, plain in TESTED.items():
            np.testing.assert_allclose(data[tested].values[k, -1], expected[plain], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", NETWORKS)
def test_test_samples_measure_what_samples_of_weight_zero_do(name: str, generator: np.random.Generator) -> None:
    network = NETWORKS[name]
    given = arguments(network, generator, record=shoal.Record(measure=("margin", "test_margin", "weights")))
    data = shoal.train(**given)
    task = given["task"]
    together = shoal.Task(
        np.concatenate([task.inputs, task.test.inputs]),
        np.concatenate([task.labels, task.test.labels]),
        np.concatenate([task.sample_weight, np.zeros(task.test_samples)]),
    )
    measured = shoal.Record(measure=("margin", "weights"))
    joined = shoal.train(**{**given, "task": together, "record": measured})
    np.testing.assert_array_equal(joined.margin.values[..., :9], data.margin)
    np.testing.assert_array_equal(joined.margin.values[..., 9:], data.test_margin)
    for one, other in zip(layers(joined, "weights"), layers(data, "weights"), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", NETWORKS)
def test_test_samples_do_not_change_what_is_trained(name: str, method: str, generator: np.random.Generator) -> None:
    given = arguments(NETWORKS[name], generator, method=METHODS[method], spectral_decoupling=0.1)
    task = given["task"]
    without = shoal.Task(task.inputs, task.labels, task.sample_weight)
    record = shoal.Record(times=given["record"].times, measure=(*ALL_MEASURES, "trajectory"))
    same_bits(shoal.train(**{**given, "task": without, "record": record}), shoal.train(**given).drop_vars(list(TESTED)))
    # Nor does it that they are there and not asked for.
    same_bits(shoal.train(**{**given, "task": without, "record": record}), shoal.train(**{**given, "record": record}))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", NETWORKS)
def test_threads_and_company_do_not_change_a_bit(name: str, dtype: str, generator: np.random.Generator) -> None:
    given = arguments(NETWORKS[name], generator, dtype=dtype, networks=150)
    together = shoal.train(**given, threads=1)
    same_bits(shoal.train(**given, threads=3), together)
    for i in (0, 77, 149):
        same_bits(shoal.train(**{**given, "first_network": i, "networks": 1}), together.sel(network=[i]))


def test_statistics_of_test_samples_are_those_over_networks(generator: np.random.Generator) -> None:
    network = NETWORKS["relu"]
    measures = (*TESTED, "unit_active")
    every = shoal.train(**arguments(network, generator, record=shoal.Record(measure=measures)))
    generator = np.random.default_rng(20180918)
    reduced = shoal.train(**arguments(network, generator, record=shoal.Record(measure=measures, reduce="moments")))
    for name in measures:
        assert reduced[name].dims == ("statistic", *every[name].dims[1:])
        np.testing.assert_allclose(reduced[name].sel(statistic="mean"), every[name].mean("network"), atol=1e-14)
        np.testing.assert_array_equal(reduced[name].sel(statistic="max"), every[name].max("network"))


def test_a_network_that_diverges_has_no_test_error(generator: np.random.Generator) -> None:
    network = NETWORKS["relu"]
    record = shoal.Record(steps=[0, 200], measure=(*TESTED, "trajectory", "unit_active", "pattern"))
    given = arguments(network, generator, method=shoal.GradientDescent(50.0, 200), record=record, loss="squared")
    data = shoal.train(**given)
    lost = (data.status == 1).values
    assert lost.any()
    for name in (*TESTED, "unit_active", "trajectory_1", "trajectory_2", "trajectory_bias_1", "trajectory_bias_2"):
        assert np.isfinite(data[name].values[:, 0]).all(), name
        assert np.isnan(data[name].values[lost, 1]).all(), name
    assert not data.pattern.values[lost, 1].any()
    assert data.pattern.values[lost, 0].any()


def test_the_dataset_names_the_test_samples(generator: np.random.Generator) -> None:
    given = arguments(NETWORKS["three classes"], generator)
    data: xarray.Dataset = shoal.train(**given)
    inputs, labels = given["task"].test
    assert data.test_margin.dims == ("network", "time", "test_sample")
    assert data.test_margin.shape == (11, 3, 700)
    assert data.test_error.dims == ("network", "time")
    np.testing.assert_array_equal(data.test_inputs, inputs)
    np.testing.assert_array_equal(data.test_labels, labels)
