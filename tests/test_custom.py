"""Statistics of a user's own: functions of the weights at every record, by network or reduced, the same however cut."""

from __future__ import annotations

import dataclasses
import inspect
import itertools
import json
import pickle
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import xarray

import shoal
from shoal import plot
from shoal.engine import custom
from shoal.engine.merged import together
from shoal.engine.run import Run
from shoal.spec.record import MEASURES, TAKEN

NETWORKS = 700
Weights = list[np.ndarray[Any, Any]]


def norm(weights: Weights, biases: Weights) -> Any:
    """Norm of the first layer, which a test can take of the trajectory."""
    return np.sqrt((weights[0] ** 2).sum(axis=(1, 2)))


def products(weights: Weights, biases: Weights) -> Any:
    """Outgoing times incoming weights of each unit, (networks, units, inputs)."""
    return weights[1][:, 0, :, None] * weights[0]


def bias_sum(weights: Weights, biases: Weights) -> Any:
    return sum(array.sum(axis=1) for array in biases) if biases else np.zeros(len(weights[0]))


DIVERGING: dict[str, Any] = {
    "network": shoal.Network((2, 3, 1), activation="linear"),
    "method": shoal.GradientDescent(1.0, 60),
    "loss": "squared",
    "init": shoal.Gaussian(1.2),
}
FUNCTIONS = {"norm": norm, "product": products}


def training(**changed: Any) -> shoal.Training:
    given: dict[str, Any] = {
        "network": shoal.Network((2, 3, 1)),
        "task": shoal.tasks.modes((1.7, 0.9)),
        "init": shoal.Gaussian(0.7),
        "method": shoal.GradientDescent(0.05, 20, stop=("dead",)),
        "networks": NETWORKS,
        "seed": 3,
        "first_network": 77,
        "record": shoal.Record(steps=[0, 7, 20], measure=("loss", "margin"), custom=FUNCTIONS),
        **changed,
    }
    return shoal.Training(**given)


def recorded(given: shoal.Training, **changed: Any) -> shoal.Training:
    return dataclasses.replace(given, record=dataclasses.replace(given.record, **changed))


DATA = shoal.train(training(), threads=1)
TRAJECTORY = shoal.train(recorded(training(), measure=("trajectory",), custom=None))


def direct(data: xarray.Dataset) -> dict[str, Any]:
    one, two = data.trajectory_1.values, data.trajectory_2.values
    return {"norm": np.sqrt((one**2).sum(axis=(2, 3))), "product": two[:, :, 0, :, None] * one}


def test_each_network_has_what_the_function_says_of_its_weights_at_every_record() -> None:
    assert DATA["norm"].dims == ("network", "time")
    assert DATA["product"].dims == ("network", "time", "product_0", "product_1")
    for name, expected in direct(TRAJECTORY).items():
        np.testing.assert_array_equal(DATA[name].values, expected)
    assert DATA["norm"].attrs["function"].endswith("test_custom.norm")
    assert not [name for name in DATA if "trajectory" in str(name)]
    plain = shoal.train(recorded(training(), custom=None))
    assert DATA.drop_vars(list(FUNCTIONS)).identical(plain)


def test_a_trajectory_that_was_asked_for_is_kept() -> None:
    both = shoal.train(recorded(training(), measure=("trajectory", "loss")))
    for name in ("trajectory_1", "trajectory_2"):
        np.testing.assert_array_equal(both[name].values, TRAJECTORY[name].values)
    np.testing.assert_array_equal(both["norm"].values, DATA["norm"].values)


def test_statistics_over_networks_are_those_of_the_networks() -> None:
    reduced = shoal.train(recorded(training(), reduce="moments"))
    assert reduced["product"].dims == ("statistic", "time", "product_0", "product_1")
    for name, values in direct(TRAJECTORY).items():
        of = dict(zip(reduced.statistic.values, reduced[name].values, strict=True))
        np.testing.assert_array_equal(of["count"], np.full(values.shape[1:], NETWORKS))
        np.testing.assert_array_equal(of["min"], values.min(axis=0))
        np.testing.assert_array_equal(of["max"], values.max(axis=0))
        size = np.abs(values).max()
        bound = 2 * NETWORKS * np.finfo(float).eps * size
        np.testing.assert_allclose(of["mean"], values.mean(axis=0), rtol=0, atol=bound)
        np.testing.assert_allclose(of["variance"], values.var(axis=0, ddof=1), rtol=0, atol=8 * bound * size)
        np.testing.assert_array_equal(of["standard_error"], np.sqrt(of["variance"] / NETWORKS))
    plain = shoal.train(recorded(training(), reduce="moments", custom=None))
    assert reduced.drop_vars(list(FUNCTIONS)).identical(plain)


@pytest.mark.parametrize("block", [1, 16, 128])
def test_no_bit_depends_on_threads_or_on_how_the_networks_are_trained(
    block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    reduced = recorded(training(), reduce="moments")
    whole = shoal.train(reduced, threads=1)
    numbers = 3 * reduced.network.parameters
    monkeypatch.setattr(custom, "_BLOCK_NUMBERS", block * numbers)
    monkeypatch.setattr(custom, "_CALL_NUMBERS", 2 * block * numbers)
    assert custom.Blocks.of(numbers) == custom.Blocks(block, 2 * block)
    assert shoal.train(reduced, threads=2).identical(whole)
    assert shoal.train(training(), threads=2).identical(DATA)


def test_statistics_go_through_the_tree_of_the_indices() -> None:
    run = Run.of(recorded(training(), reduce="moments"))
    whole = run.merged(0, NETWORKS, 1, None)
    parts = [run.merged(begin, end, 2, None) for begin, end in ((0, 179), (179, 435), (435, 700))]
    merged = together(parts)
    for name in map(custom.key, FUNCTIONS):
        assert merged.sums[name].tobytes() == whole.sums[name].tobytes()
    assert run.of_merged(merged).identical(run.dataset(2, None))


def test_a_part_of_the_networks_has_the_numbers_of_the_whole() -> None:
    part = shoal.train(training().part(100, 130))
    assert part["product"].identical(DATA["product"].isel(network=slice(100, 130)).reset_coords(drop=True)) or (
        part["product"].values.tobytes() == DATA["product"].values[100:130].tobytes()
    )


def test_networks_that_diverged_are_shown_as_zeros_and_get_no_number() -> None:
    seen = []

    def count(weights: Weights, biases: Weights) -> Any:
        assert all(np.isfinite(array).all() for array in weights)
        seen.append(len(weights[0]))
        return (weights[0] > -np.inf).sum(axis=(1, 2))

    given = training(**DIVERGING)
    given = recorded(given, steps=[0, 20, 60], custom={"number": count})
    data = shoal.train(given)
    lost = ~np.isfinite(data.loss.values)
    assert 0 < lost[:, -1].sum() < NETWORKS
    np.testing.assert_array_equal(np.isnan(data["number"].values), lost)
    assert set(data["number"].values[~lost]) == {6.0}
    reduced = shoal.train(recorded(given, reduce="moments"))
    kept = NETWORKS - int(reduced.diverged)
    shown = reduced["number"].sel(statistic=["count", "mean", "min", "max"]).isel(time=0)
    assert shown.values.tolist() == [kept, 6, 6, 6]
    assert sum(seen) == 2 * 3 * NETWORKS + 2 * (3 + 2)  # every network at every record, and a few before training


def test_biases_are_shown_where_there_are_any_and_flows_and_float32_work() -> None:
    given = training(network=shoal.Network((2, 3, 1), bias=True), dtype="float32", networks=9)
    data = shoal.train(recorded(given, measure=("trajectory",), custom={"total": bias_sum}))
    expected = data.trajectory_bias_1.values.sum(axis=2) + data.trajectory_bias_2.values.sum(axis=2)
    np.testing.assert_array_equal(data["total"].values, expected.astype(np.float64))
    assert (data["total"].values[:, -1] != 0).any()
    flow = training(method=shoal.GradientFlow(2.0), networks=9, record=shoal.Record(times=[0, 1, 2], custom=FUNCTIONS))
    weights = shoal.train(recorded(flow, measure=("trajectory",)))
    np.testing.assert_array_equal(shoal.train(flow)["product"].values, direct(weights)["product"])
    assert shoal.train(training(networks=4, record=shoal.Record(custom={"total": bias_sum})))["total"].values.any() == 0


def test_progress_counts_both_trainings() -> None:
    for reduce in (None, "moments"):
        told: list[tuple[int, int]] = []
        shoal.train(
            recorded(training(), reduce=reduce), progress=lambda done, total, told=told: told.append((done, total))
        )
        assert told == sorted(told)
        assert {total for _, total in told} == {NETWORKS * 20 * (2 if reduce else 1)}
        assert told[-1][0] == told[-1][1]


def test_a_dataset_keeps_the_numbers_and_not_the_functions() -> None:
    given = shoal.specification(DATA)
    assert given == recorded(training(), custom=None)
    more = shoal.train(recorded(given, measure=("weights",), custom=FUNCTIONS))
    assert "custom" not in str(shoal.resume(more, steps=5))
    both = shoal.resume(more, steps=5, record=shoal.Record(steps=[20, 25], measure="weights", custom=FUNCTIONS))
    longer = training(method=shoal.GradientDescent(0.05, 25, stop=("dead",)))
    longer_data = shoal.train(recorded(longer, steps=[20, 25]))
    for name in FUNCTIONS:
        np.testing.assert_array_equal(both[name].values, longer_data[name].values)


def test_networks_that_had_diverged_get_no_number_when_they_are_resumed() -> None:
    given = training(**DIVERGING)
    data = shoal.train(recorded(given, steps=[60], measure=("weights",), custom=None))
    record = shoal.Record(steps=[60, 61], custom={"norm": norm})
    resumed = shoal.resume(data, steps=1, record=record)
    assert (data.status == 1).any()
    np.testing.assert_array_equal(np.isnan(resumed["norm"].values).all(axis=1), data.status.values == 1)


def test_records_with_functions_are_equal_hashable_and_picklable() -> None:
    record = shoal.Record(custom=FUNCTIONS)
    assert record == shoal.Record(custom=tuple(FUNCTIONS.items())) != shoal.Record()
    assert len({record, shoal.Record(custom=FUNCTIONS)}) == 1
    assert pickle.loads(pickle.dumps(record)) == record
    assert dataclasses.replace(record, measure="loss").custom == tuple(FUNCTIONS.items())


def test_figures_draw_them() -> None:
    axes = plot.curves(DATA, "norm", singles=3)
    np.testing.assert_allclose(axes.lines[0].get_ydata(), DATA["norm"].values.mean(axis=0), rtol=1e-12)
    assert axes.get_ylabel() == "norm, mean over networks"


def test_what_a_dataset_holds_is_no_name_for_them() -> None:
    task = shoal.Task([[1, 0], [0, 1]], [1, -1], test=([[1, 1]], [1]))
    names: set[str] = set(MEASURES)
    for reduce in (None, shoal.Statistics((("loss", "error"),), ("error > 0",), ("loss",))):
        measures = [
            name for name in MEASURES if not reduce or name not in ("weights", "velocity", "trajectory", "pattern")
        ]
        loss = "squared"  # which has every measure
        each = shoal.GradientDescent([0.1], 2, momentum=0.5)  # a learning rate for each network
        rules = shoal.GradientDescent(0.1, 2, momentum=0.5, stop=("fitted", "dead"))
        for method in (rules, each, shoal.GradientFlow(0.1)):
            for init in (shoal.Gaussian(0.1), shoal.Explicit([np.ones((1, 3, 2)), np.ones((1, 1, 3))])):
                kept = [name for name in measures if name != "velocity" or isinstance(method, shoal.GradientDescent)]
                record = shoal.Record(measure=kept, reduce=reduce)
                data = shoal.train(shoal.Network((2, 3, 1)), task, init, method=method, loss=loss, record=record)
                names |= {str(name) for name in (*data.variables, *data.dims)}
    assert len(names) > 50
    for name in sorted(names):
        with pytest.raises(ValueError, match=re.escape(f"a dataset has for nothing else, got {name!r}")):
            shoal.Record(custom={name: norm})
    assert sorted(names - TAKEN)  # those of layers are known by their numbers


@pytest.mark.parametrize("reduce", [None, "moments"])
def test_a_sweep_in_memory_has_what_train_gives_at_each_condition(reduce: str | None) -> None:
    given = recorded(training(first_network=256), reduce=reduce)
    fields = swept_arguments() | {"record": given.record, "first_network": 256}
    data = shoal.sweep(**fields, over={"init.std": [0.1, 0.4], "seed": [1, 2]})
    for std, seed in itertools.product((0.1, 0.4), (1, 2)):
        alone = shoal.train(dataclasses.replace(given, init=shoal.Gaussian(std), seed=seed))
        for name in FUNCTIONS:
            np.testing.assert_array_equal(data[name].sel({"init.std": std, "seed": seed}).values, alone[name].values)
            assert data[name].dims == ("init.std", "seed", *alone[name].dims)
    assert json.loads(data.attrs["specification"])["record"]["custom"] == []


def raising(weights: Weights, biases: Weights) -> Any:
    raise KeyError("no such thing")


class Later:
    """Wrong in training: the first two calls come before it."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, weights: Weights, biases: Weights) -> Any:
        self.calls += 1
        return np.zeros((len(weights[0]), 1 if self.calls <= 2 else 2))


def swept_arguments() -> dict[str, Any]:
    fields = {field.name: getattr(training(), field.name) for field in dataclasses.fields(shoal.Training)}
    return {name: value for name, value in fields.items() if name in inspect.signature(shoal.sweep).parameters}


def with_function(function: Any) -> Callable[[], object]:
    return lambda: shoal.train(training(record=shoal.Record(custom={"mine": function})))


CASES: list[tuple[Callable[[], object], type[Exception], str]] = [
    (lambda: shoal.Record(custom=5), TypeError, "custom must be a dict of names and functions such as"),  # type: ignore[arg-type]
    (lambda: shoal.Record(custom={5: norm}), TypeError, "custom must have names that are texts, got 5"),  # type: ignore[dict-item]
    (lambda: shoal.Record(custom={"a b": norm}), ValueError, "custom must have names that are identifiers"),
    (lambda: shoal.Record(custom={"norm": 5}), TypeError, "custom['norm'] must be a function of"),  # type: ignore[dict-item]
    (
        lambda: shoal.Record(custom=(("a", norm), ("a", norm))),
        ValueError,
        "custom must not repeat a name, got ('a', 'a')",
    ),
    (with_function(raising), RuntimeError, "custom['mine'] raised KeyError: 'no such thing'"),
    (
        with_function(lambda weights, biases: 1.0),
        ValueError,
        "custom['mine'] must return one row of numbers per network, shape (3, ...), got ()",
    ),
    (with_function(lambda weights, biases: weights[0][0]), ValueError, "per network, shape (2, 2), got (3, 2)"),
    (with_function(lambda weights, biases: ["a"] * 3), TypeError, "must return real numbers, got dtype <U1"),
    (with_function(Later()), ValueError, "per network, shape (179, 1), got (179, 2)"),
    (
        lambda: shoal.sweep(**swept_arguments(), over={"seed": [1, 2]}, store="nowhere.zarr"),
        ValueError,
        "record must have no custom statistics for a store, which cannot hold functions, got norm",
    ),
]


@pytest.mark.parametrize(("call", "kind", "message"), CASES, ids=[case[2][:40] for case in CASES])
def test_what_cannot_be_a_statistic_is_refused(call: Callable[[], object], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=re.escape(message)):
        call()


def test_more_numbers_than_memory_holds_are_refused_before_training() -> None:
    def many(weights: Weights, biases: Weights) -> Any:
        return np.zeros((len(weights[0]), 10**6))

    with pytest.raises(ValueError, match=r"networks=100000 of widths .* needs .* of memory"):
        shoal.train(training(networks=100_000, record=shoal.Record(custom={"many": many})))
