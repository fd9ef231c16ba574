"""The table of measures; and the two of it that are norms: of the gradient, and of the way from the initialisation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray

import reference
import rounding
import shoal
from reference import Array, Parameters
from shoal.spec.loss import resolve_loss
from shoal.spec.measures import MEASURES, REDUCIBLE, REGISTRY
from support import layers, random_init, random_task, same_bits, started
from test_train import norm_bounds

NORMS = ("gradient_norm", "distance")
PENALTIES: dict[str, Any] = {"weight_decay": 0.25, "spectral_decoupling": 0.5}  # that float32 holds exactly
SETTINGS: dict[str, dict[str, Any]] = {
    "one hidden layer": {"network": shoal.Network((3, 6, 1)), "loss": "squared_hinge"},
    "no hidden layer": {"network": shoal.Network((3, 1), bias=True), "loss": "squared"},
    "penalties": {"network": shoal.Network((3, 5, 4, 1), "leaky_relu", bias=True), **PENALTIES},
    "rates and scales": {
        "network": shoal.Network((3, 5, 4, 1), "tanh", bias=True, scales=(0.7, 1.6, 0.8), rates=(4.0, 0.25, 0.5)),
        **PENALTIES,
    },
    "rates, centred": {"network": shoal.Network.mean_field(3, 7, centred=True), "loss": "hinge"},
    "three classes": {"network": shoal.Network((3, 6, 4, 3), "softplus", bias=True), **PENALTIES},
}


def trained(case: str, generator: np.random.Generator, networks: int = 5, **changed: Any) -> dict[str, Any]:
    """Return the arguments of a training with weights that float32 holds."""
    given = {"loss": "cross_entropy", **SETTINGS[case]}
    network = given["network"]
    return {
        "task": random_task(11, 3, network.outputs, generator, "float32"),
        "init": random_init(network, networks, generator, "float32", scale=0.8),
        "method": shoal.GradientDescent(0.25, 12),
        "record": shoal.Record(measure=(*NORMS, "trajectory")),
        **given,
        **changed,
    }


def along(data: xarray.Dataset, k: int, record: int) -> Parameters:
    """Return the parameters of network k at one record of a trajectory, in float64."""
    parts = (
        [array[k, record].astype(float) for array in layers(data, name)] for name in ("trajectory", "trajectory_bias")
    )
    return Parameters(*parts)


def assert_norms_of_the_trajectory(data: xarray.Dataset, given: dict[str, Any], eps: float) -> None:
    """Assert that both norms are the oracle's at the weights that are recorded beside them."""
    penalties = {name: given[name] for name in PENALTIES if name in given}
    setup = reference.problem(given["network"], given["task"], resolve_loss(given["loss"]), **penalties)
    clear = 0
    for k in range(data.sizes["network"]):
        initial = started(given["init"], k)
        for record in range(data.sizes["time"]):
            here = along(data, k, record)
            if not rounding.clear_of_kinks(setup.started(initial), here, eps):
                continue
            clear += 1
            norms, allowed = norm_bounds(setup.started(initial), here, initial, eps)
            for name, norm in norms.items():
                assert abs(float(data[name][k, record]) - norm) <= allowed[name], (name, k, record)
    assert 2 * clear > data.sizes["network"] * data.sizes["time"], "flows may slide along kinks, but not most"


@pytest.mark.parametrize("outputs", [1, 3])
def test_every_measure_of_the_table_is_a_variable_with_its_dimensions_and_meaning(outputs: int) -> None:
    network = shoal.Network((3, 5, 4, outputs), bias=True)
    labels = [1, -1, 1] if outputs == 1 else [1, 2, 0]
    task = shoal.Task(np.eye(3), labels, test=(np.ones((2, 3)), [1, 1]))
    record = shoal.Record(steps=[0, 1, 4], measure=MEASURES)
    data = shoal.train(
        network, task, shoal.Gaussian(0.5), method=shoal.GradientDescent(0.1, 4, momentum=0.5), loss="squared",
        record=record, networks=7,
    )  # fmt: skip
    for name, measure in REGISTRY.items():
        assert f"``{name}``" in str(shoal.Record.__doc__)
        leading = (7, 3) if measure.timed else (7,)
        if measure.layers:
            for array, meaning in measure.layers:
                assert data[f"{array}_1"].attrs["long_name"] == f"{meaning} of layer 1"
                assert data[f"{array}_1"].shape[: len(leading)] == leading
            continue
        assert data[name].dims == ("network", "time", *measure.dims_of(network))
        assert data[name].shape == (*leading, *measure.shape(network, task))
        assert data[name].attrs["long_name"] == measure.meaning
        assert (data[name].dtype == bool) == measure.flags


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("case", SETTINGS)
def test_norms_are_the_oracles_of_the_weights_at_each_record(
    case: str, dtype: str, generator: np.random.Generator
) -> None:
    given = trained(case, generator, dtype=dtype)
    assert_norms_of_the_trajectory(shoal.train(**given), given, float(np.finfo(dtype).eps))


@pytest.mark.parametrize("case", SETTINGS)
def test_norms_of_a_flow_are_those_of_its_weights(case: str, generator: np.random.Generator) -> None:
    given = trained(case, generator, method=shoal.GradientFlow(1.5))
    given["record"] = shoal.Record(times=[0.0, 0.3, 1.0, 1.5], measure=(*NORMS, "trajectory"))
    assert_norms_of_the_trajectory(shoal.train(**given), given, float(np.finfo(float).eps))


def test_the_first_distance_is_zero_and_a_step_is_as_long_as_the_gradient(generator: np.random.Generator) -> None:
    given = trained("penalties", generator)
    data = shoal.train(**given)
    assert (data.distance[:, 0] == 0).all()
    np.testing.assert_allclose(data.distance[:, 1], 0.25 * data.gradient_norm[:, 0], rtol=1e-13)


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_norms_have_the_same_bits_whatever_is_recorded_beside_them_and_whoever_is_trained(
    dtype: str, generator: np.random.Generator
) -> None:
    given = trained("rates and scales", generator, 40, dtype=dtype)
    given |= {"init": shoal.Gaussian(0.7), "networks": 40, "method": shoal.GradientDescent(0.25, 40)}
    given["record"] = shoal.Record(steps=[0, 3, 40], measure=(*NORMS, "weights"))
    data = shoal.train(**given, threads=1)
    same_bits(shoal.train(**given, threads=3), data)
    alone = shoal.train(**{**given, "networks": 1, "first_network": 17})
    same_bits(alone, data.isel(network=[17]))
    plain = shoal.train(**{**given, "record": shoal.Record(steps=[40], measure="weights")})
    for name in plain:
        assert plain[name].values.tobytes() == data[name].values.tobytes()
    for name in NORMS:
        few = shoal.train(**{**given, "record": shoal.Record(steps=[3, 40], measure=name)})
        assert few[name].values.tobytes() == np.ascontiguousarray(data[name].values[:, 1:]).tobytes()


@pytest.mark.usefixtures("engine")
def test_networks_that_stop_keep_their_norms_and_those_that_diverge_have_none() -> None:
    """Of 60 networks in the lanes of a few, so that lanes are refilled and records are held."""
    task = shoal.Task([[1.0, 0.3], [-0.4, 1.1], [0.2, -0.9]], [1, -1, 1])
    given: dict[str, Any] = {
        "network": shoal.Network((2, 9, 1)),
        "task": task,
        "init": shoal.Gaussian(1.0),
        "networks": 60,
    }
    rules = shoal.GradientDescent(0.05, 80, stop=("fitted", "dead"))
    record = shoal.Record(steps=range(0, 81, 7), measure=(*NORMS, "loss", "trajectory"))
    data = shoal.train(**given, method=rules, record=record)
    stopped = data.stopped_at.values
    assert ((stopped > 0) & (stopped < 77)).sum() > 20
    for k in np.flatnonzero((stopped >= 0) & (stopped < 70)):
        later = data.isel(network=k, time=data.step.values >= stopped[k])
        for name in NORMS:
            assert len(np.unique(later[name])) == 1
        exactly = shoal.train(
            **{**given, "networks": 1, "first_network": k},
            method=shoal.GradientDescent(0.05, int(stopped[k])),
            record=shoal.Record(steps=[int(stopped[k])], measure=NORMS),
        )
        for name in NORMS:
            assert float(later[name][0]) == float(exactly[name][0, 0])
    wild = shoal.train(
        **{**given, "network": shoal.Network((2, 9, 1), "linear")},
        loss="squared",
        method=shoal.GradientDescent(0.9, 600),
        record=shoal.Record(steps=range(0, 601, 50), measure=NORMS),
    )
    diverged = wild.diverged_at.values
    assert 0 < (diverged >= 0).sum()
    for k in range(60):
        lost = (wild.step.values >= diverged[k]) & (diverged[k] >= 0)
        for name in NORMS:
            assert (np.isnan(wild[name].values[k]) == lost).all()


def test_norms_in_condensed_inputs_and_samples_are_those_of_the_whole(generator: np.random.Generator) -> None:
    basis, rows = generator.standard_normal((3, 40)), generator.standard_normal((20, 3))
    task = shoal.Task(np.repeat(rows @ basis, 2, axis=0), np.repeat(generator.choice([-1, 1], 20), 2))
    for method in (shoal.GradientDescent(0.01, 50), shoal.GradientFlow(0.3)):
        # A flow of ReLUs slides along kinks, within rounding of them, where the gradient is that of either side.
        activation = "relu" if isinstance(method, shoal.GradientDescent) else "tanh"
        given: dict[str, Any] = {
            "network": shoal.Network((40, 7, 1), activation, bias=True),
            "task": task,
            "networks": 9,
        }
        given |= {"init": shoal.Gaussian(0.3), "method": method, "record": shoal.Record(measure=NORMS)}
        whole, condensed = (shoal.train(**given, condense=how) for how in (False, True))
        assert '"inputs": [40, 3]' in condensed.condensed
        allowed = 1e-12 if isinstance(method, shoal.GradientDescent) else 1e-8  # the flow's tolerance of each weight
        for name in NORMS:
            np.testing.assert_allclose(condensed[name], whole[name], rtol=allowed, atol=1e-14)
        if isinstance(method, shoal.GradientDescent):
            given |= {"method": shoal.GradientDescent(0.01, 20), "record": shoal.Record(measure=(*NORMS, "weights"))}
            resumed = shoal.resume(shoal.train(**given, condense=True), steps=30)
            for name in NORMS:
                np.testing.assert_allclose(resumed[name], whole[name][:, 20:], rtol=1e-12)


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("case", ["rates, centred", "penalties", "three classes"])
def test_a_resumed_descent_counts_from_the_initialisation(case: str, generator: np.random.Generator) -> None:
    given = trained(case, generator, record=shoal.Record(measure=(*NORMS, "weights")))
    whole = shoal.train(**given)
    half = shoal.train(**{**given, "method": shoal.GradientDescent(0.25, 5)})
    same_bits(shoal.resume(half, steps=7), whole.isel(time=slice(5, None)))


def test_a_resumed_flow_counts_from_the_initialisation(generator: np.random.Generator) -> None:
    given = trained("penalties", generator, method=shoal.GradientFlow(1.0))
    given["record"] = shoal.Record(times=[0.0, 0.5], measure=(*NORMS, "weights"))
    half = shoal.train(**{**given, "method": shoal.GradientFlow(0.5)})
    resumed = shoal.resume(half, t_end=1.0, record=shoal.Record(times=[0.5, 1.0], measure=(*NORMS, "trajectory")))
    for k in range(5):
        for record in range(2):
            gap = reference.difference(along(resumed, k, record), started(given["init"], k))
            assert float(resumed.distance[k, record]) == pytest.approx(float(reference.norm(gap)), rel=1e-13)
    np.testing.assert_allclose(resumed.distance[:, 0], half.distance[:, 1], rtol=1e-15)
    np.testing.assert_allclose(resumed.gradient_norm[:, 0], half.gradient_norm[:, 1], rtol=1e-12)


def test_squares_neither_overflow_nor_vanish() -> None:
    """Of f = w x with a hinge far away the gradient is x, and the first step as long as the rate times x."""
    for size, rate in ((1e-170, 1.0), (1e170, 1e-165), (1e-10, 1e170)):
        data = shoal.train(
            shoal.Network((1, 1)),
            shoal.Task([[size]], [1]),
            shoal.Explicit([np.zeros((1, 1, 1))]),
            loss=shoal.Hinge(1e200),
            method=shoal.GradientDescent(rate, 1),
            record=shoal.Record(measure=NORMS),
        )
        assert data.gradient_norm.values.tolist() == [[size, size]]
        assert data.distance.values.tolist() == [[0.0, rate * size]]


def test_statistics_of_norms_are_those_of_the_networks(generator: np.random.Generator) -> None:
    given = trained("penalties", generator, init=shoal.Gaussian(0.5), networks=300)
    single = shoal.train(**{**given, "record": shoal.Record(measure=NORMS)})
    asked = shoal.Statistics(
        covariance=(NORMS,), events=("gradient_norm < 0.1", "distance > 0.5"), distribution=("distance",)
    )
    kept = shoal.train(**{**given, "record": shoal.Record(measure=NORMS, reduce=asked)})
    for name in NORMS:
        values: Array = single[name].values
        np.testing.assert_allclose(kept[name].sel(statistic="mean"), values.mean(axis=0), rtol=1e-12)
        np.testing.assert_array_equal(kept[name].sel(statistic="max"), values.max(axis=0))
    np.testing.assert_array_equal(kept.event_count[0], (single.gradient_norm < 0.1).sum("network"))
    np.testing.assert_array_equal(kept.event_count[1], (single.distance > 0.5).sum("network"))
    assert set(NORMS) <= set(REDUCIBLE)
