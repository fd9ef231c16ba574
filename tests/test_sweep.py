"""A sweep has the bits of its trainings, whatever cut it, and says what is wrong before it makes anything."""

from __future__ import annotations

import itertools
import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray
import zarr

import shoal
from shoal.engine import memory
from shoal.sweep import store as stores
from shoal.sweep import template
from shoal.sweep.plan import Plan, trained

NETWORK = shoal.Network((2, 4, 1))
TASK = shoal.tasks.modes((1.7, 0.9))
START = shoal.Gaussian(0.5)
METHOD = shoal.GradientDescent(0.1, 20)
RAW = shoal.Record(steps=[0, 5, 20])
REDUCED = shoal.Record(
    steps=[0, 5, 20],
    reduce=shoal.Statistics(covariance=(("loss", "error"),), events=("loss > 0.5",), distribution=("loss",)),
)
RECORDS = pytest.mark.parametrize("record", [RAW, REDUCED], ids=["raw", "reduced"])
GRID = {"init.std": [0.1, 0.4], "network.width": [2, 5]}
NAMES = ("network", "task", "init")


def swept(store: Path | None, record: shoal.Record = REDUCED, **changed: Any) -> xarray.Dataset:
    """Return a small sweep."""
    told = {"network": NETWORK, "task": TASK, "init": START, "method": METHOD, "networks": 700, "block": 256}
    told |= {"record": record, "store": store, **changed}
    return shoal.sweep(**told)


def assert_same(one: xarray.Dataset, other: xarray.Dataset) -> None:
    """Assert that the second has the variables of the first, with their dimensions, types and bits."""
    for name in one.data_vars:
        assert one[name].dims == other[name].dims
        assert one[name].dtype == other[name].dtype
        assert one[name].values.tobytes() == other[name].values.tobytes(), name
    assert not set(other.data_vars) - set(one.data_vars) - {"networks"}


def files(store: Path) -> dict[str, bytes]:
    """Return all files of a store."""
    return {str(file.relative_to(store)): file.read_bytes() for file in store.rglob("*") if file.is_file()}


@RECORDS
def test_each_point_of_a_grid_has_the_bits_of_its_training(tmp_path: Path, record: shoal.Record) -> None:
    """Two swept fields are two dimensions in front, named by the fields."""
    data = swept(tmp_path / "s", record, over=GRID)
    assert data.loss.dims[:2] == ("init.std", "network.width")
    assert data.attrs["complete"] == 1
    for scale in GRID["init.std"]:
        for width in GRID["network.width"]:
            network = shoal.Network((2, int(width), 1))
            alone = shoal.train(network, TASK, shoal.Gaussian(scale), method=METHOD, record=record, networks=700)
            assert_same(alone, data.sel({"init.std": scale, "network.width": width}))


@RECORDS
def test_a_list_of_conditions_is_one_dimension(tmp_path: Path, record: shoal.Record) -> None:
    """With a coordinate for each field, and whole objects by label."""
    flows = [{"init": shoal.Balanced(0.2), "seed": 3}, {"init": shoal.Gaussian(0.3), "seed": 4}]
    data = swept(tmp_path / "s", record, over=flows)
    assert data.loss.dims[0] == "condition"
    assert data.seed.values.tolist() == [3, 4]
    assert data.init.values.tolist() == ["Balanced(std=0.2)", "Gaussian(std=0.3, gain=None)"]
    for i, settings in enumerate(flows):
        given: Any = {"init": START, **settings}
        alone = shoal.train(NETWORK, TASK, given.pop("init"), method=METHOD, record=record, networks=700, **given)
        assert_same(alone, data.isel(condition=i))


@RECORDS
def test_without_fields_it_is_the_training_itself(tmp_path: Path, record: shoal.Record) -> None:
    """Coordinates and specification too, but for the mark of a training: the dataset can be trained again."""
    data = swept(tmp_path / "s", record)
    alone = shoal.train(NETWORK, TASK, START, method=METHOD, record=record, networks=700)
    alone = alone.drop_vars("training", errors="ignore")
    assert_same(alone, data)
    assert set(alone.coords) == set(data.coords)
    for name in alone.coords:
        assert data[name].values.tolist() == alone[name].values.tolist()
    again = shoal.train(shoal.specification(data))
    assert_same(alone, again)


@pytest.mark.parametrize(
    ("over", "point", "changed"),
    [
        ({"loss": ["hinge", "squared"]}, {"loss_name": "hinge"}, {"loss": "hinge"}),
        ({"loss.threshold": [0.5, 2.0]}, {"loss.threshold": 2.0}, {"loss": shoal.Hinge(2.0)}),
        ({"weight_decay": [0.0, 0.1]}, {"weight_decay": 0.1}, {"weight_decay": 0.1}),
        ({"network.depth": [1, 2]}, {"network.depth": 2}, {"network": shoal.Network((2, 4, 4, 1))}),
        (
            {"task": {"easy": TASK, "hard": shoal.tasks.modes((1.7, 0.1))}},
            {"task": "hard"},
            {"task": shoal.tasks.modes((1.7, 0.1))},
        ),
        (
            {"network": {"bent": shoal.Network((2, 3, 1), "tanh")}},
            {"network_name": "bent"},
            {"network": shoal.Network((2, 3, 1), "tanh")},
        ),
    ],
)
def test_fields_and_whole_objects(tmp_path: Path, over: Any, point: Any, changed: Any) -> None:
    """Each way to name what is swept trains what it says."""
    base = {"loss": "hinge"} if "loss.threshold" in over else {}
    data = swept(tmp_path / "s", over=over, **base)
    told: Any = {"network": NETWORK, "task": TASK, "init": START, "method": METHOD, "record": REDUCED, **changed}
    assert_same(shoal.train(**told, networks=700), data.sel(point))


@RECORDS
def test_times_that_differ_stand_beside_the_steps_they_share(tmp_path: Path, record: shoal.Record) -> None:
    """A swept rate leaves one axis of steps, and times of each condition."""
    data = swept(tmp_path / "s", record, over={"method.learning_rate": [0.1, 0.05]})
    assert data.step.dims == ("time",)
    assert data.times.dims == ("method.learning_rate", "time")
    assert data.times.values.tolist() == [[0.0, 0.5, 2.0], [0.0, 0.25, 1.0]]


@RECORDS
def test_blocks_and_threads_change_no_bit(tmp_path: Path, record: shoal.Record) -> None:
    """Not even where the first block is cut short by the first network."""
    first = 512 + 256
    whole = swept(tmp_path / "whole", record, networks=3000, block=4096, first_network=first, threads=1)
    for block in (256, 1024):
        data = swept(tmp_path / f"{block}", record, networks=3000, block=block, first_network=first, threads=2)
        assert_same(whole, data)


def test_statistics_of_ranges_are_those_of_the_whole_wherever_they_are_cut(tmp_path: Path) -> None:
    """At any multiple of the networks that are taken together, and in any order."""
    over = {"init.std": [0.1, 0.4]}
    whole = swept(tmp_path / "whole", over=over, networks=2400, block=1024)
    parts = []
    for begin, end in ((0, 768), (768, 1280), (1280, 2400)):
        parts.insert(0, tmp_path / f"{begin}")
        swept(parts[0], over=over, first_network=begin, networks=end - begin, block=512)
    merged = shoal.open_sweep(parts)
    assert_same(whole, merged)
    assert merged.networks.values.tolist() == [2400, 2400]


def test_networks_of_ranges_stand_one_after_the_other(tmp_path: Path) -> None:
    """Wherever they are cut."""
    whole = swept(tmp_path / "whole", RAW, over=GRID, networks=300, block=64)
    parts = []
    for begin, end in ((0, 77), (77, 300)):
        parts.append(tmp_path / f"{begin}")
        swept(parts[-1], RAW, over=GRID, first_network=begin, networks=end - begin, block=64)
    merged = shoal.open_sweep(parts)
    assert_same(whole, merged)
    assert merged.network.values.tolist() == list(range(300))


def test_ranges_that_do_not_belong_together(tmp_path: Path) -> None:
    """Each is refused with what is wrong."""
    for name, first in (("a", 0), ("b", 512), ("c", 1024), ("d", 256)):
        swept(tmp_path / name, first_network=first, networks=512)
    swept(tmp_path / "e", first_network=512, networks=512, init=shoal.Gaussian(0.7))
    with pytest.raises(ValueError, match=r"must leave out no networks between them, .*a ends with 511 and .*c begins"):
        shoal.open_sweep([tmp_path / "a", tmp_path / "c"])
    with pytest.raises(ValueError, match=r"must share no networks, .*a holds those up to 511 and .*d those from 256"):
        shoal.open_sweep([tmp_path / "a", tmp_path / "d"])
    with pytest.raises(ValueError, match=r"of the same sweep(.|\n)*init.std: was 0.5, is 0.7"):
        shoal.open_sweep([tmp_path / "a", tmp_path / "e"])
    with pytest.raises(ValueError, match="at least one store"):
        shoal.open_sweep([])
    with pytest.raises(TypeError, match="stores must be the path"):
        shoal.open_sweep(3)  # type: ignore[arg-type]


def test_a_store_of_networks_is_read_when_it_is_used(tmp_path: Path) -> None:
    """So that one larger than the memory can be opened."""
    data = swept(tmp_path / "s", RAW, over=GRID)
    assert not data.loss.variable._in_memory
    assert not data.isel({"init.std": 0, "network": slice(5)}).loss.variable._in_memory


@RECORDS
def test_a_store_can_be_opened_half_way(tmp_path: Path, record: shoal.Record) -> None:
    """What is there is there; what is missing is NaN, and counted."""
    cut(tmp_path / "s", record, blocks=4)
    data = shoal.open_sweep(tmp_path / "s")
    assert data.attrs["complete"] == 0
    first = {"init.std": 0.1, "network.width": 2}
    alone = shoal.train(shoal.Network((2, 2, 1)), TASK, shoal.Gaussian(0.1), method=METHOD, record=record, networks=700)
    assert_same(alone, data.sel(first))
    if record is RAW:
        partly = data.sel({"init.std": 0.1, "network.width": 5})
        assert (partly.status.values == np.where(np.arange(700) < 256, 0, -1)).all()
        assert np.isfinite(partly.loss.values[:256]).all()
        assert np.isnan(partly.loss.values[256:]).all()
    else:
        assert data.networks.values.tolist() == [[700, 256], [0, 0]]
        partly = shoal.train(
            shoal.Network((2, 5, 1)), TASK, shoal.Gaussian(0.1), method=METHOD, record=record, networks=256
        )
        assert_same(partly, data.sel({"init.std": 0.1, "network.width": 5}))
        assert np.isnan(data.loss.sel({"init.std": 0.4, "statistic": "mean"})).all()


def cut(store: Path, record: shoal.Record, blocks: int) -> None:
    """Write the first blocks of the sweep of GRID only."""
    told: Any = {"network": NETWORK, "task": TASK, "init": START, "method": METHOD, "networks": 700, "record": record}
    told |= {"loss": "cross_entropy", "weight_decay": 0.0, "spectral_decoupling": 0.0, "seed": 0, "first_network": 0}
    plan = Plan.of(**told, condense="auto", dtype="float64", over=GRID, block=256)
    with stores.Store.opened(store, plan) as held:
        for block in list(plan.blocks(held.there))[:blocks]:
            held.write(block, trained(plan.runs[block.condition], block.begin, block.end, 1, None))


@pytest.mark.parametrize(
    ("method", "record"),
    [
        (METHOD, shoal.Record(measure=("loss", "margin", "layer_norm", "balance", "active", "unit_active", "pattern"))),
        (
            shoal.GradientDescent(0.1, 9, stop=("fitted", "dead")),
            shoal.Record(measure=("error", "weights", "trajectory")),
        ),
        (shoal.GradientFlow(1.0), shoal.Record(measure=("test_loss", "test_margin", "soft_error"))),
    ],
)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_what_is_foretold_of_a_training_is_what_it_returns(method: Any, record: shoal.Record, dtype: str) -> None:
    """The arrays of a store are made before the first block, so their shapes and types are known without training."""
    if isinstance(method, shoal.GradientFlow):
        dtype = "float64"
    task = shoal.Task(TASK.inputs, TASK.labels, test=(TASK.inputs, TASK.labels))
    network = shoal.Network((2, 3, 2, 1), bias=True)
    told: Any = {"method": method, "record": record, "dtype": dtype, "networks": 1}
    data = shoal.train(network, task, START, **told)
    rest: Any = {
        "loss": "cross_entropy",
        "weight_decay": 0.0,
        "spectral_decoupling": 0.0,
        "seed": 0,
        "first_network": 0,
    }
    plan = Plan.of(network=network, task=task, init=START, **told, **rest, condense="auto", over=None)
    foretold = template.Template.of(plan.runs[0]).variables
    assert list(foretold) == list(data)
    for name, (dims, values, attrs) in foretold.items():
        one = data[name]
        assert (dims, values.shape, values.dtype, attrs) == (one.dims, one.shape, one.dtype, one.attrs)


def test_comparisons_take_what_open_returns(tmp_path: Path) -> None:
    """One condition with other networks of the same, and with a mean that is 10% larger."""
    swept(tmp_path / "s", over={"init.std": [0.1, 0.4]}, record=RAW)
    data = shoal.open_sweep(tmp_path / "s")
    alone = shoal.train(NETWORK, TASK, shoal.Gaussian(0.4), method=METHOD, record=RAW, networks=700, seed=1)
    one = data.sel({"init.std": 0.4}).isel(time=slice(1, None))
    same = alone.loss.isel(time=slice(1, None))
    assert shoal.compare_samples(one.loss, same).passed
    assert not shoal.compare_mean(one.loss, 1.1 * same.mean("network")).passed


def test_a_clock_that_jumps_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No time is read on the way."""
    whole = swept(tmp_path / "one", over=GRID)
    jumps = iter(float((-1) ** i * i * 1e7) for i in range(10**6))
    monkeypatch.setattr(time, "time", lambda: next(jumps))
    monkeypatch.setattr(time, "monotonic", lambda: 0.0)
    cut(tmp_path / "two", REDUCED, blocks=5)
    stamps = itertools.cycle((0.0, 4e9))  # 1970 and 2096
    for file in (tmp_path / "two").rglob("*"):
        os.utime(file, (next(stamps),) * 2)
    assert_same(whole, swept(tmp_path / "two", over=GRID))


def test_progress_covers_the_whole_sweep(tmp_path: Path) -> None:
    """It grows to the end, and what an earlier call did counts as done."""
    cut(tmp_path / "s", REDUCED, blocks=5)
    told: list[tuple[int, int]] = []
    swept(tmp_path / "s", over=GRID, progress=lambda done, total: told.append((done, total)))
    total = 4 * 700 * 20
    assert {one[1] for one in told} == {total}
    done = [one[0] for one in told]
    assert done == sorted(done)
    assert done[0] >= 20 * (700 + 512)
    assert done[-1] == total


def test_too_little_memory_is_an_error_before_anything_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the block."""
    monkeypatch.setattr(memory, "available_bytes", lambda: 2**20)
    with pytest.raises(ValueError, match=r"block=1048576 is too large for this machine: .* needs .* of memory"):
        swept(tmp_path / "s", RAW, networks=2**20, block=2**20)
    assert not list(tmp_path.iterdir())


def test_a_store_says_what_it_holds(tmp_path: Path) -> None:
    """Its attributes tell the whole call, and other programs read its arrays."""
    swept(tmp_path / "s", RAW, over=GRID)
    attrs = zarr.open_group(tmp_path / "s", mode="r").attrs
    told = json.loads(str(attrs["specification"]))
    assert told["networks"] == 700
    assert told["over"]["fields"][0] == ["init.std", [0.1, 0.4], [0.1, 0.4]]
    plain = xarray.open_zarr(tmp_path / "s", chunks=None, consolidated=False)
    assert plain.loss.sizes["network"] == 700
