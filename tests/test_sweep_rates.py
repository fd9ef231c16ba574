"""A sweep takes a learning rate for each network as `train` does: each block trains its networks at their own rates."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray

import shoal
from shoal.engine import memory
from shoal.sweep.file import read
from test_sweep import GRID, METHOD, NETWORK, RAW, RECORDS, START, TASK, assert_same, swept
from test_sweep_in_memory import both

RATES = np.random.default_rng(7).uniform(0.01, 0.4, 1500)
STOPS = ("fitted", "dead")


def method(networks: int = 700, begin: int = 0) -> shoal.GradientDescent:
    """Return a descent at a rate for each network, which stops networks at many steps."""
    return shoal.GradientDescent(RATES[begin : begin + networks], 20, stop=STOPS)


def trained(record: shoal.Record, **changed: Any) -> xarray.Dataset:
    """Return one call of `train`."""
    told: dict[str, Any] = {"network": NETWORK, "task": TASK, "init": START, "method": method(), "record": record}
    return shoal.train(**{**told, **changed}).drop_vars("training", errors="ignore")


def assert_whole(one: xarray.Dataset, data: xarray.Dataset) -> None:
    """Assert that a condition has the variables and coordinates of a training, to the bit."""
    assert_same(one, data)
    for name in one.coords:
        assert one[name].dims == data[name].dims, name
        assert one[name].values.tolist() == data[name].values.tolist(), name


@RECORDS
@pytest.mark.parametrize("first", [0, 512])
@pytest.mark.parametrize("stored", [False, True])
def test_each_condition_has_the_bits_of_its_training(
    tmp_path: Path, record: shoal.Record, first: int, stored: bool
) -> None:
    """Whatever the blocks: row k is network ``first_network`` + k."""
    store = tmp_path / "s" if stored else None
    data = swept(store, record, over=GRID, method=method(), first_network=first)
    assert "time" not in data.coords
    assert data.learning_rate.dims == (("network",) if record is RAW else ("init_network",))
    for std in GRID["init.std"]:
        for width in GRID["network.width"]:
            changed = {"network": shoal.Network((2, int(width), 1)), "init": shoal.Gaussian(std)}
            alone = trained(record, **changed, first_network=first)
            assert_whole(alone, data.sel({"init.std": std, "network.width": width}).drop_vars(GRID))
    if record is RAW:
        assert len(np.unique(data.stopped_at)) > 10


@RECORDS
def test_without_fields_it_is_the_training_itself(tmp_path: Path, record: shoal.Record) -> None:
    """The number of networks is that of the rates, and the dataset can be trained again."""
    data = swept(tmp_path / "s", record, method=method(), networks=None)
    assert_whole(trained(record), data)
    assert shoal.specification(data).method == method()
    assert_same(trained(record), shoal.train(shoal.specification(data)))


OWN, OTHER = RATES[:700], RATES[700:1400]


@RECORDS
@pytest.mark.parametrize(
    ("over", "points"),
    [
        (
            {"method.learning_rate": {"own": OWN, "other": OTHER.tolist(), "one": 0.1}},
            {("own",): {"rate": OWN}, ("other",): {"rate": OTHER}, ("one",): {"rate": 0.1}},
        ),
        (
            {"seed": [1, 2], "method.learning_rate": {"one": 0.1, "own": OWN}},
            {(1, "one"): {"rate": 0.1, "seed": 1}, (2, "own"): {"rate": OWN, "seed": 2}},
        ),
        (
            {"method": {"other": shoal.GradientDescent(OTHER, 20), "own": shoal.GradientDescent(OWN, 40)}},
            {("other",): {"rate": OTHER}, ("own",): {"rate": OWN, "steps": 40}},
        ),
        (
            [{"method.learning_rate": tuple(OWN), "seed": 4}, {"method.learning_rate": 0.2, "seed": 3}],
            {(0,): {"rate": OWN, "seed": 4}, (1,): {"rate": 0.2, "seed": 3}},
        ),
        ({"method.steps": [20, 40]}, {(20,): {"rate": OWN}, (40,): {"rate": OWN, "steps": 40}}),
    ],
    ids=["labelled", "grid", "methods", "list", "steps"],
)
def test_rates_are_swept(tmp_path: Path, record: shoal.Record, over: Any, points: Any) -> None:
    """Beside one rate for all, too: coordinates then have the dimension of the condition."""
    record = shoal.Record(steps=[0, 5, 20], reduce=record.reduce)
    both(tmp_path / "s", record, over=over, method=shoal.GradientDescent(OWN, 20))
    data = shoal.open_sweep(tmp_path / "s")
    dims = ["condition"] if isinstance(over, list) else list(over)
    assert data.learning_rate.dims[-1] == ("network" if record.reduce is None else "init_network")
    for labels, settings in points.items():
        there = data.sel(dict(zip(dims, labels, strict=True)))
        own = {"steps": 20, "seed": 0, **settings}
        given = shoal.GradientDescent(own["rate"], own["steps"])
        assert_same(trained(record, method=given, networks=700, seed=own["seed"]), there)
        rates = np.broadcast_to(own["rate"], 700)
        np.testing.assert_array_equal(there.learning_rate, rates)
        if record.reduce is None:
            assert there.times.dims == ("network", "time")
            np.testing.assert_array_equal(there.times, np.array([0, 5, 20]) * rates[:, None])


@RECORDS
def test_a_stopped_sweep_resumes_at_the_same_rates(tmp_path: Path, record: shoal.Record) -> None:
    """The store holds them: other rates are another sweep, and the same ones in another form are not."""

    def stop(done: int, total: int) -> None:
        if done >= total / 2:
            raise KeyboardInterrupt

    told: dict[str, Any] = {"over": {"init.std": [0.1, 0.4]}}
    with pytest.raises(KeyboardInterrupt):
        swept(tmp_path / "s", record, **told, method=method(), progress=stop)
    assert shoal.open_sweep(tmp_path / "s").attrs["complete"] == 0
    for rates, line in (
        (RATES[1:701], r"method\.learning_rate\.array: was \w{64}, is \w{64}"),
        (0.1, r"method\.learning_rate: was \{.*\}, is 0\.1"),
    ):
        with pytest.raises(ValueError, match=f"holds another sweep(.|\n)*{line}"):
            swept(tmp_path / "s", record, **told, method=shoal.GradientDescent(rates, 20, stop=STOPS))
    same = shoal.GradientDescent(RATES[:700].tolist(), 20, stop=STOPS)
    data = swept(tmp_path / "s", record, **told, method=same)
    xarray.testing.assert_identical(swept(None, record, **told, method=method()), data.load())


@RECORDS
@pytest.mark.parametrize("block", [256, 1024])
def test_a_sweep_grows_with_rates_for_the_new_networks(tmp_path: Path, record: shoal.Record, block: int) -> None:
    """Those of the networks that are there must be the same; the error of too few says how many are wanted."""
    told: dict[str, Any] = {"over": {"init.std": [0.1, 0.4], "seed": [1]}, "block": block}
    swept(tmp_path / "s", record, **told, method=method(300), networks=300)
    wanted = r"learning_rate must be one number, or one for each network, shape \(700,\), got shape \(300,\)"
    with pytest.raises(ValueError, match=wanted):
        swept(tmp_path / "s", record, **told, method=method(300))
    with pytest.raises(ValueError, match=r"another sweep(.|\n)*learning_rate.array: was(.|\n)*networks: was 300, is 7"):
        swept(tmp_path / "s", record, **told, method=method(700, 1))
    for networks in (700, 1100):
        told["over"] = {"init.std": [0.1, 0.4], "seed": range(1, networks // 300)}
        data = swept(tmp_path / "s", record, **told, method=method(networks), networks=networks).load()
        whole = swept(None, record, **told, method=method(networks), networks=networks)
        xarray.testing.assert_identical(data, whole)
        for name in whole.data_vars:
            assert data[name].values.tobytes() == whole[name].values.tobytes(), name
    with pytest.raises(ValueError, match="networks: was 1100, is 700"):
        swept(tmp_path / "s", record, **told, method=method())


@pytest.mark.parametrize(
    "over",
    [
        lambda networks: {"method.learning_rate": {"a": RATES[:networks], "b": RATES[::-1][:networks]}},
        lambda networks: [{"method": shoal.GradientDescent(rate, 20)} for rate in (RATES[:networks], 0.1)],
    ],
    ids=["fields", "methods"],
)
def test_swept_rates_grow(tmp_path: Path, over: Any) -> None:
    """Those of each condition, given as fields or within methods."""
    swept(tmp_path / "s", RAW, over=over(300), networks=300)
    with pytest.raises(ValueError, match=r"holds another sweep(.|\n)*over"):
        swept(tmp_path / "s", RAW, over=over(200), networks=200)
    data = swept(tmp_path / "s", RAW, over=over(700))
    xarray.testing.assert_identical(data.load(), swept(None, RAW, over=over(700)))


@RECORDS
def test_stores_of_ranges_are_refused(tmp_path: Path, record: shoal.Record) -> None:
    """Datasets of each network can be joined, as those of `train`."""
    for first in (0, 512):
        swept(tmp_path / f"{first}", record, method=method(512, first), networks=512, first_network=first)
    paths = [tmp_path / "0", tmp_path / "512"]
    with pytest.raises(ValueError, match=r"stores must not be several of networks with learning rates of their own"):
        shoal.open_sweep(paths)
    if record is RAW:
        joined = xarray.concat([shoal.open_sweep(path) for path in paths], "network", data_vars="minimal")
        assert_whole(trained(record, method=method(1024)), joined)


@pytest.mark.parametrize(
    ("changed", "kind", "message"),
    [
        ({"method": method(40)}, ValueError, r"or one for each network, shape \(700,\), got shape \(40,\)"),
        ({"over": {"method.learning_rate": [RATES[:40]]}}, ValueError, r"over: at method.learning_rate=<float64 \(40"),
        ({"over": {"method.learning_rate": {"a": [[0.1]]}}}, ValueError, r"over\['method.learning_rate'\] must have"),
        ({"over": {"method.learning_rate": [["fast"]]}}, TypeError, r"over\['method.learning_rate'\] must hold real"),
        ({"over": {"method.learning_rate": [RATES[:700]] * 2}}, ValueError, "must not repeat a value, got <float64"),
        ({"over": {"method.learning_rate": {"a": -RATES[:700]}}}, ValueError, "at method.learning_rate=a: learning_r"),
        ({"record": shoal.Record(times=[0, 1]), "method": method()}, ValueError, "times must be left out if each"),
    ],
)
def test_what_is_no_rate_of_each_network(tmp_path: Path, changed: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        swept(tmp_path / "s", **changed)
    assert not list(tmp_path.iterdir())


def test_the_labels_of_rates_are_short(tmp_path: Path) -> None:
    data = swept(None, RAW, over={"method.learning_rate": [RATES[:700], RATES[700:1400], 0.1]})
    assert data["method.learning_rate"].values.tolist() == ["<float64 (700,)> [0]", "<float64 (700,)> [1]", "0.1"]


def test_times_count_as_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a store: with them there is too little, without them enough."""
    record = shoal.Record(steps=range(21), measure=("loss",))
    told: dict[str, Any] = {"networks": 700, "block": 1}
    available = 700 * (8 * 21 + 30) + 10_000
    monkeypatch.setattr(memory, "available_bytes", lambda: available)
    monkeypatch.setattr(memory, "_NEVER_SHORT", 0)
    monkeypatch.setattr("shoal.engine.room.require", lambda *_: None)
    swept(None, record, **told, method=METHOD)
    with pytest.raises(ValueError, match=r"networks=700 record .* of memory is available: sweep into a store"):
        swept(None, record, **told, method=shoal.GradientDescent(RATES[:700], 20))


def test_rates_in_a_file(tmp_path: Path) -> None:
    """As an array of numbers, of the method and of conditions."""
    text = """
        networks = 3
        network = {widths = [2, 4, 1]}
        task = {kind = "modes", norms = [1.7, 0.9]}
        init = {kind = "gaussian", std = 0.5}
        method = {kind = "gradient_descent", learning_rate = [0.1, 0.2, 0.3], steps = 20}
        over = {"method.learning_rate" = {own = [0.1, 0.2, 0.3], one = 0.1}}
    """
    file = tmp_path / "s.toml"
    file.write_text(re.sub("\n +", "\n", text))
    told = read(file)
    assert told["method"] == shoal.GradientDescent([0.1, 0.2, 0.3], 20)
    data = shoal.sweep(**{**told, "store": tmp_path / "s"})
    np.testing.assert_array_equal(data.learning_rate, [[0.1, 0.2, 0.3], [0.1] * 3])
