"""Momentum and schedules of the learning rate: the oracle's steps, the same bits, and how training goes on."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import xarray
from numpy.typing import NDArray

import reference
import shoal
from reference import Parameters
from shoal.spec.loss import resolve_loss
from support import ENGINES, layers, random_init, random_task, same_bits, started, train_on

MOVED = ("loss", "weights", "velocity")
GIVEN = np.linspace(1.5, 0.5, 40)


def method(steps: int = 40, **changed: Any) -> shoal.GradientDescent:
    return shoal.GradientDescent(**{"learning_rate": 0.3, "steps": steps, "momentum": 0.9, **changed})


def arguments(generator: np.random.Generator, network: shoal.Network, networks: int = 5) -> dict[str, Any]:
    return {
        "network": network,
        "task": random_task(7, network.inputs, network.outputs, generator),
        "init": random_init(network, networks, generator),
        "networks": networks,
    }


def parts(parameters: Parameters) -> list[NDArray[Any]]:
    return [*parameters.weights, *parameters.biases]


def oracle(given: dict[str, Any], how: shoal.GradientDescent, k: int) -> tuple[list[NDArray[Any]], list[NDArray[Any]]]:
    """Return network k's weights and velocity, by the oracle's gradient and three lines of algebra."""
    penalties = {name: given[name] for name in ("weight_decay", "spectral_decoupling") if name in given}
    setup = reference.problem(
        given["network"], given["task"], resolve_loss(given.get("loss", "cross_entropy")), **penalties
    )
    here = started(given["init"], k)
    setup = setup.started(here)
    rate = how.learning_rate if how.rates is None else how.rates[k]
    velocity = [np.zeros_like(array) for array in parts(here)]
    for step in range(how.steps):
        after = parts(reference.descend(setup, here, 1.0))
        slopes = [before - moved for before, moved in zip(parts(here), after, strict=True)]
        velocity = [how.momentum * v + slope for v, slope in zip(velocity, slopes, strict=True)]
        along = [slope + how.momentum * v if how.nesterov else v for v, slope in zip(velocity, slopes, strict=True)]
        factor = 1.0 if how.factors is None else how.factors[step]
        moved = [w - rate * factor * far for w, far in zip(parts(here), along, strict=True)]
        here = Parameters(moved[: len(here.weights)], moved[len(here.weights) :])
    return parts(here), velocity


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    "how",
    [
        method(),
        method(nesterov=True),
        method(momentum=0.0, schedule="cosine"),
        method(schedule="inverse_sqrt", nesterov=True),
        method(schedule=GIVEN),
        method(learning_rate=[0.1, 0.2, 0.3, 0.4, 0.5], schedule="cosine"),
    ],
    ids=["heavy ball", "nesterov", "cosine", "nesterov, inverse sqrt", "given", "rates, cosine"],
)
@pytest.mark.parametrize(
    ("network", "changed"),
    [
        (shoal.Network((3, 6, 1)), {"weight_decay": 0.05}),
        (shoal.Network((3, 5, 4, 1), "tanh", bias=True), {"spectral_decoupling": 0.1}),
        (shoal.Network((3, 5, 4, 3), "leaky_relu", bias=True), {}),
        (shoal.Network((3, 6, 1), bias=True, scales=(0.5, 2.0), rates=(2.0, 0.4), centred=True), {"loss": "squared"}),
        (shoal.Network((3, 1), "linear"), {"loss": "squared_hinge"}),
    ],
    ids=["relu, decay", "tanh, deep", "classes", "parametrised", "linear"],
)
def test_a_network_moves_as_the_oracle_moves_it(
    network: shoal.Network,
    changed: dict[str, Any],
    how: shoal.GradientDescent,
    engine: str,
    generator: np.random.Generator,
) -> None:
    given = arguments(generator, network) | changed
    measure = MOVED if how.momentum else MOVED[:2]
    data = train_on(engine, **given, method=how, record=shoal.Record(measure=measure), condense=False)
    for k in range(5):
        weights, velocity = oracle(given, how, k)
        found = [array[k] for name in ("weights", "biases") for array in layers(data, name)]
        for array, expected in zip(found, weights, strict=True):
            np.testing.assert_allclose(array, expected, rtol=0, atol=1e-11 * max(1, np.abs(expected).max()))
        found = [array[k] for name in ("velocity", "velocity_bias") for array in layers(data, name)]
        for array, expected in zip(found, velocity if found else [], strict=True):
            np.testing.assert_allclose(array, expected, rtol=0, atol=1e-11 * max(1, np.abs(expected).max()))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("how", [method(), method(nesterov=True, schedule="cosine")], ids=["heavy ball", "nesterov"])
def test_engine_threads_and_neighbours_change_no_bit(how: shoal.GradientDescent, dtype: str) -> None:
    given: dict[str, Any] = {
        "network": shoal.Network((3, 7, 1), bias=True),
        "task": shoal.tasks.modes((1.7, 0.9, 1.2), (3, 2, 1)),
        "init": shoal.Gaussian(0.4),
        "method": dataclasses.replace(how, stop=("fitted",)),
        "record": shoal.Record(steps=[0, 3, 40], measure=(*MOVED, "margin", "active")),
        "dtype": dtype,
    }
    whole = shoal.train(**given, networks=100, threads=2)
    assert (whole.status == 3).any()
    for engine in ENGINES:
        same_bits(train_on(engine, **given, networks=100, threads=1), whole)
    part = shoal.train(**given, networks=3, first_network=41)
    same_bits(part, whole.isel(network=slice(41, 44)))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("how", [method(), method(nesterov=True, schedule="inverse_sqrt")])
@pytest.mark.parametrize("centred", [False, True])
def test_resume_takes_the_velocity_along(
    how: shoal.GradientDescent,
    centred: bool,
    engine: str,
    monkeypatch: pytest.MonkeyPatch,
    generator: np.random.Generator,
) -> None:
    monkeypatch.setenv("SHOAL_ENGINE", engine)
    given = arguments(generator, shoal.Network((3, 6, 1), bias=True, centred=centred))
    record = shoal.Record(measure=(*MOVED, "distance"))
    whole = shoal.train(**given, method=how, record=record)
    half = shoal.train(**given, method=dataclasses.replace(how, steps=17), record=record)
    quarter = shoal.resume(half, steps=13)
    rest = shoal.resume(quarter, steps=10)
    assert shoal.specification(rest).method == how
    same_bits(rest, whole.sel(time=rest.time.values))


def test_resume_refuses_what_it_cannot_go_on_with(generator: np.random.Generator) -> None:
    given = arguments(generator, shoal.Network((3, 6, 1)))
    kept = shoal.train(**given, method=method(), record=shoal.Record(measure=("loss", "weights")))
    with pytest.raises(ValueError, match=r"data must hold the final velocity.*measure=.'velocity'"):
        shoal.resume(kept, steps=3)
    for schedule in ("cosine", GIVEN):
        data = shoal.train(**given, method=method(schedule=schedule), record=shoal.Record(measure=MOVED))
        with pytest.raises(ValueError, match="data must be of a constant or inverse_sqrt schedule"):
            shoal.resume(data, steps=3)


def test_a_network_whose_inputs_are_condensed_moves_as_one_whose_are_not(generator: np.random.Generator) -> None:
    inputs = generator.normal(size=(4, 30))
    task = shoal.Task(inputs, [1, -1, 1, -1])
    given: dict[str, Any] = {
        "network": shoal.Network((30, 6, 1)),
        "task": task,
        "init": shoal.Gaussian(0.2),
        "networks": 9,
    }
    record = shoal.Record(measure=MOVED)
    condensed, plain = (shoal.train(**given, method=method(), record=record, condense=flag) for flag in (True, False))
    for name in ("weights_1", "weights_2", "velocity_1", "velocity_2"):
        np.testing.assert_allclose(condensed[name], plain[name], rtol=0, atol=1e-12)
    half = shoal.train(**given, method=method(15), record=record, condense=True)
    rest = shoal.resume(half, steps=25)
    np.testing.assert_allclose(rest["weights_1"], condensed["weights_1"], rtol=0, atol=1e-12)


def test_small_rates_follow_the_flow_in_time_over_one_minus_momentum(generator: np.random.Generator) -> None:
    """The gap falls with the rate: halved three times, by about 8."""
    given = arguments(generator, shoal.Network((3, 6, 1), "tanh"))
    flow = shoal.train(**given, method=shoal.GradientFlow(4.0), record=shoal.Record(times=[4.0], measure=("margin",)))
    gaps = []
    for halvings in (4, 7):
        rate = 0.1 / 2**halvings
        how = method(round(4.0 / rate * 0.1), learning_rate=rate)  # t / (1 - 0.9) = 4
        data = shoal.train(**given, method=how, record=shoal.Record(steps=[how.steps], measure=("margin",)))
        gaps.append(np.abs(data.margin.values[:, -1] - flow.margin.values[:, -1]).max())
    assert 6 < gaps[0] / gaps[1] < 10


def test_time_is_the_sum_of_the_rates() -> None:
    factors = np.array([2.0, 1.0, 0.5, 0.25])
    how = shoal.GradientDescent(0.5, 4, schedule=factors)
    assert how.t_end == 0.5 * factors.sum()
    given: dict[str, Any] = {
        "network": shoal.Network((2, 3, 1)),
        "task": shoal.tasks.modes((1.0, 2.0)),
        "init": shoal.Gaussian(0.1),
    }
    data = shoal.train(**given, method=how, record=shoal.Record(measure=("loss",)), networks=2)
    assert data.time.values.tolist() == [0.0, 1.0, 1.5, 1.75, 1.875]
    timed = shoal.train(**given, method=how, record=shoal.Record(times=[0.0, 1.3, 1.85], measure=("loss",)), networks=2)
    assert timed.step.values.tolist() == [0, 2, 4]
    with pytest.raises(ValueError, match=r"times must not exceed the end of training, t_end=1\.875, got 1\.9"):
        shoal.Record(times=[1.9]).at(how)
    rates = dataclasses.replace(how, learning_rate=[0.5, 1.0])
    own = shoal.train(**given, method=rates, record=shoal.Record(measure=("loss",)), networks=2)
    assert own.times.values.tolist() == [[0.0, 1.0, 1.5, 1.75, 1.875], [0.0, 2.0, 3.0, 3.5, 3.75]]
    swept = shoal.sweep(
        **given,
        method=rates,
        record=shoal.Record(measure=("loss",)),
        networks=2,
        over={"init.std": [0.1, 0.2]},
        progress=None,
    )
    assert swept.times.values.tolist() == own.times.values.tolist()


@pytest.mark.parametrize("name", ["cosine", "inverse_sqrt"])
def test_named_schedules_are_their_formulas(name: str) -> None:
    steps = np.arange(7)
    expected = {"cosine": (1 + np.cos(np.pi * steps / 7)) / 2, "inverse_sqrt": 1 / np.sqrt(1 + steps)}[name]
    np.testing.assert_allclose(shoal.GradientDescent(0.1, 7, schedule=name).factors, expected, rtol=0, atol=1e-15)
    assert (shoal.GradientDescent(0.1, 10**6, schedule=name).factors > 0).all()
    assert shoal.GradientDescent(0.1, 7, schedule="constant") == shoal.GradientDescent(0.1, 7)


def test_a_dataset_holds_momentum_and_schedule(tmp_path: Any) -> None:
    how = method(schedule=GIVEN, nesterov=True)
    data = shoal.train(
        shoal.Network((2, 3, 1)), shoal.tasks.modes((1.0, 2.0)), shoal.Gaussian(0.1), method=how, networks=3,
        record=shoal.Record(measure=MOVED),
    )  # fmt: skip
    data.to_netcdf(tmp_path / "data.nc", engine="scipy")
    with xarray.open_dataset(tmp_path / "data.nc", engine="scipy") as opened:
        assert shoal.specification(opened).method == how
        same_bits(shoal.train(shoal.specification(opened)), data)
    given: dict[str, Any] = {"store": tmp_path / "run.zarr", "networks": 3, "progress": None}
    spec = shoal.specification(data)
    stored = shoal.sweep(
        spec.network,
        spec.task,
        spec.init,
        method=how,
        record=spec.record,
        over={"method.momentum": [0.5, 0.9]},
        **given,
    )
    same_bits(stored.isel({"method.momentum": 1}, drop=True)[list(data)], data)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"momentum": 1.0}, "momentum must be from 0 to 1, without 1, got 1.0"),
        ({"momentum": -0.1}, "momentum must not be negative, got -0.1"),
        ({"momentum": 0.0, "nesterov": True}, "nesterov must be left out without momentum"),
        ({"schedule": "linear"}, "schedule must be .*constant.*cosine.*inverse_sqrt.* got 'linear'"),
        ({"schedule": [1.0, 0.5]}, "schedule must have one factor per step, 40, got 2"),
        ({"schedule": np.r_[np.ones(39), 0.0]}, "schedule must be positive, got 0 at index 39"),
        ({"schedule": np.r_[np.ones(39), np.nan]}, "schedule must be finite"),
        ({"schedule": np.ones((40, 1))}, "schedule must have shape .steps,.*got shape .40, 1."),
        ({"schedule": "cosine", "steps": 10**9}, "schedule must be constant beyond 100000000 steps"),
    ],
)
def test_bad_momentum_and_schedules_are_refused(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        method(**changed)


def test_only_momentum_has_a_velocity() -> None:
    given: dict[str, Any] = {
        "network": shoal.Network((2, 3, 1)),
        "task": shoal.tasks.modes((1.0, 2.0)),
        "init": shoal.Gaussian(0.1),
    }
    for how in (shoal.GradientDescent(0.1, 5), shoal.GradientFlow(1.0)):
        with pytest.raises(ValueError, match="measure must not hold 'velocity' without momentum"):
            shoal.train(**given, method=how, record=shoal.Record(measure=MOVED))
    with pytest.raises(ValueError, match="schedule must lie within the range of float32"):
        shoal.train(**given, method=shoal.GradientDescent(0.1, 2, schedule=[1.0, 1e39]), dtype="float32")
