"""A learning rate for each network of a call: the bits of each alone at its rate, and specifications that hold them."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray

import shoal
from support import MEASURES, REDUCIBLE, random_task, same_bits

NETWORKS, STEPS = 43, 120
RATES = np.geomspace(0.01, 0.9, NETWORKS)[np.random.default_rng(5).permutation(NETWORKS)]


def given(generator: np.random.Generator, **changed: Any) -> dict[str, Any]:
    """Return a training in which networks stop at many steps, so that lanes are refilled."""
    task = random_task(6, 3, 1, generator)
    return {
        "network": shoal.Network((3, 7, 1), bias=True),
        "task": shoal.Task(task.inputs, task.labels, task.sample_weight, test=(task.inputs[:2], task.labels[:2])),
        "init": shoal.Gaussian(0.6),
        "loss": "hinge",
        "method": shoal.GradientDescent(RATES, STEPS),
        "record": shoal.Record(steps=[0, 1, 50, STEPS], measure=MEASURES),
        "first_network": 11,
        **changed,
    }


def one_by_one(arguments: dict[str, Any]) -> list[xarray.Dataset]:
    """Return the dataset of each network, trained alone at its rate."""
    method = arguments["method"]
    return [
        shoal.train(
            **{
                **arguments,
                "method": shoal.GradientDescent(float(rate), method.steps, stop=method.stop),
                "first_network": arguments["first_network"] + k,
                "networks": 1,
            }
        )
        for k, rate in enumerate(method.learning_rate)
    ]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("stop", [None, ("satisfied", "dead")])
def test_each_network_has_the_bits_that_it_has_alone_at_its_rate(
    stop: Any, dtype: str, generator: np.random.Generator
) -> None:
    arguments = given(generator, dtype=dtype, method=shoal.GradientDescent(RATES, STEPS, stop=stop))
    together = shoal.train(**arguments)
    for threads in (1, 3):
        same_bits(shoal.train(**arguments, threads=threads), together)
    for k, alone in enumerate(one_by_one(arguments)):
        same_bits(alone, together.isel(network=[k]))
    if stop:
        assert len(np.unique(together.stopped_at)) > 10


def test_deep_networks_without_stops_have_the_bits_of_each_alone(generator: np.random.Generator) -> None:
    network = shoal.Network((3, 5, 4, 1), "tanh", rates=(2.0, 0.5, 1.0), centred=True)
    arguments = given(generator, network=network, loss="cross_entropy", weight_decay=0.01)
    together = shoal.train(**arguments)
    for k, alone in enumerate(one_by_one(arguments)):
        same_bits(alone, together.isel(network=[k]))


def test_rates_that_are_all_equal_are_one_rate(generator: np.random.Generator) -> None:
    arguments = given(generator, networks=NETWORKS)
    many, one = (
        shoal.train(**{**arguments, "method": shoal.GradientDescent(rate, STEPS)})
        for rate in (np.full(NETWORKS, 0.3), 0.3)
    )
    same_bits(many, one)


def test_times_have_the_dimensions_of_networks_and_records(generator: np.random.Generator) -> None:
    data = shoal.train(**given(generator))
    assert "time" not in data.coords
    assert data.loss.dims == ("network", "time")
    assert data.step.dims == ("time",)
    assert data.times.dims == ("network", "time")
    np.testing.assert_array_equal(data.times, data.step.values * RATES[:, None])
    np.testing.assert_array_equal(data.learning_rate, RATES)
    assert data.learning_rate.dims == ("network",)
    assert shoal.train(**given(generator, record=None)).sizes["time"] == 101


@pytest.mark.usefixtures("engine")
def test_statistics_are_those_of_the_networks_whatever_the_blocks(generator: np.random.Generator) -> None:
    count = 700
    rates = np.random.default_rng(3).uniform(0.01, 0.4, count)
    arguments = given(generator, method=shoal.GradientDescent(rates, 20), network=shoal.Network((3, 4, 1)))
    single = shoal.train(**{**arguments, "record": shoal.Record(steps=[0, 20], measure=REDUCIBLE)})
    record = shoal.Record(steps=[0, 20], measure=REDUCIBLE, reduce=shoal.Statistics(events=("error > 0",)))
    kept = shoal.train(**{**arguments, "record": record})
    same_bits(shoal.train(**{**arguments, "record": record}, threads=3), kept)
    assert (single.status == 0).all()
    for name in REDUCIBLE:
        values = single[name].values
        np.testing.assert_array_equal(kept[name].sel(statistic="max"), values.max(axis=0), err_msg=name)
        scale = np.abs(values).max(initial=1.0)
        np.testing.assert_allclose(kept[name].sel(statistic="mean"), values.mean(axis=0), atol=1e-13 * scale)
    np.testing.assert_array_equal(kept.event_count[0], (single.error > 0).sum("network"))
    np.testing.assert_array_equal(kept.learning_rate, rates)
    assert kept.learning_rate.dims == ("init_network",)
    same_bits(shoal.train(shoal.specification(kept)), kept)


def test_a_dataset_is_trained_again_whole_in_part_and_joined(tmp_path: Path, generator: np.random.Generator) -> None:
    data = shoal.train(**given(generator))
    told = shoal.specification(data)
    assert told.method == shoal.GradientDescent(RATES, STEPS)
    assert "array" in data.attrs["specification"]
    assert str(RATES[0]) not in data.attrs["specification"]
    same_bits(shoal.train(told), data)
    data.to_netcdf(tmp_path / "saved.nc")
    with xarray.open_dataset(tmp_path / "saved.nc") as saved:
        assert shoal.specification(saved) == told
    part = data.isel(network=slice(10, 20))
    assert shoal.specification(part).method == shoal.GradientDescent(RATES[10:20], STEPS)
    assert shoal.specification(part) == told.part(10, 20)
    same_bits(shoal.train(told.part(10, 20)), part)
    single = shoal.specification(data.isel(network=3))
    assert single.method == shoal.GradientDescent(RATES[3:4], STEPS)
    halves = [shoal.train(told.part(0, 20)), shoal.train(told.part(20, NETWORKS))]
    joined = xarray.concat(halves, "network", data_vars="minimal")
    assert shoal.specification(joined) == told
    same_bits(joined, data)
    with pytest.raises(ValueError, match="data must hold the arrays of its specification, it lacks learning_rate"):
        shoal.specification(data.drop_vars("learning_rate"))


@pytest.mark.usefixtures("engine")
def test_resumed_networks_go_on_at_their_rates(generator: np.random.Generator) -> None:
    measure = ("loss", "distance", "weights")
    arguments = given(generator, record=shoal.Record(steps=[0, 50, 80, STEPS], measure=measure))
    whole = shoal.train(**arguments)
    half = shoal.train(
        **{**arguments, "method": shoal.GradientDescent(RATES, 50), "record": shoal.Record(steps=[50], measure=measure)}
    )
    later: dict[str, Any] = {"steps": STEPS - 50, "record": shoal.Record(steps=[50, 80, STEPS], measure=measure)}
    resumed = shoal.resume(half, **later)
    same_bits(resumed, whole.isel(time=slice(1, None)))
    np.testing.assert_array_equal(resumed.times, resumed.step.values * RATES[:, None])
    assert shoal.resume(half, steps=STEPS - 50).step.values[[0, -1]].tolist() == [50, STEPS]
    few = shoal.resume(half.isel(network=slice(4, 9)), **later)
    same_bits(few, resumed.isel(network=slice(4, 9)))


def test_a_method_with_rates_is_a_value() -> None:
    method = shoal.GradientDescent([0.1, 0.2, 0.3], 5)
    assert method == shoal.GradientDescent(np.array([0.1, 0.2, 0.3]), 5)
    assert hash(method) == hash(shoal.GradientDescent(np.array([0.1, 0.2, 0.3]), 5))
    assert method != shoal.GradientDescent([0.1, 0.2, 0.4], 5)
    assert method != shoal.GradientDescent(0.1, 5)
    assert repr(method) == "GradientDescent(learning_rate=<float64 (3,)>, steps=5, stop=None)"
    assert (
        repr(shoal.GradientDescent(0.1, 5, stop="dead"))
        == "GradientDescent(learning_rate=0.1, steps=5, stop=('dead',))"
    )
    np.testing.assert_array_equal(method.t_end, 5 * np.array([0.1, 0.2, 0.3]))
    assert copy.deepcopy(method) is method
    again = pickle.loads(pickle.dumps(method))
    assert again == method
    for one in (method, again):
        with pytest.raises(ValueError, match="read-only"):
            one.learning_rate[0] = 1.0


def test_the_number_of_networks_is_that_of_the_rates(generator: np.random.Generator) -> None:
    assert shoal.Training(**given(generator)).networks == NETWORKS


BAD: tuple[tuple[Any, type[Exception], str], ...] = (
    ([], ValueError, r"learning_rate must have shape \(networks,\), none of them zero, got shape \(0,\)"),
    ([[0.1, 0.2]], ValueError, r"learning_rate must have shape \(networks,\), none of them zero, got shape \(1, 2\)"),
    ([0.1, 0.0], ValueError, "learning_rate must be positive, got 0 at index 1"),
    ([0.1, -2.0], ValueError, "learning_rate must be positive, got -2 at index 1"),
    ([0.1, np.nan], ValueError, r"learning_rate must be finite, got nan at index \(1,\)"),
    ([np.inf, 0.1], ValueError, r"learning_rate must be finite, got inf at index \(0,\)"),
    (["fast", "slow"], TypeError, "learning_rate must hold real numbers, got dtype <U4"),
    ([[0.1], [0.2, 0.3]], ValueError, r"learning_rate must have shape \(networks,\), got rows of different lengths"),
    (np.ma.masked_array([0.1, 0.2], [0, 1]), TypeError, "learning_rate must not be masked"),
    ("fast", TypeError, "learning_rate must be a number, got 'fast'"),
    (np.array(0.1), TypeError, r"learning_rate must be a number, got array\(0.1\)"),
    (None, TypeError, "learning_rate must be a number, got None"),
)


@pytest.mark.parametrize(("rates", "kind", "message"), BAD)
def test_what_is_no_rate_of_each_network_is_refused(rates: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        shoal.GradientDescent(rates, 5)


def test_rates_that_do_not_fit_the_training_are_refused(generator: np.random.Generator) -> None:
    arguments = given(generator)
    wanted = r"learning_rate must be one number, or one for each network, shape \(40,\), got shape \(43,\)"
    with pytest.raises(ValueError, match=wanted):
        shoal.train(**arguments, networks=40)
    late = shoal.GradientDescent([0.1, 1e-60], 5)
    with pytest.raises(ValueError, match=r"learning_rate must lie within the range of float32, .* got 1e-60"):
        shoal.train(**{**arguments, "method": late, "dtype": "float32"})
    with pytest.raises(ValueError, match="times must be left out if each network has its own learning_rate"):
        shoal.train(**{**arguments, "record": shoal.Record(times=[0.0, 1.0])})
    data = shoal.train(**arguments)
    with pytest.raises(ValueError, match="data must have one coordinate time, got 'loss' at times that differ"):
        shoal.plot.curves(data, "loss")
