"""A store grows by the same call with more networks or conditions, and then has the bits of one call from the start."""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray

import shoal
import sweep_child
from shoal.sweep import made
from shoal.sweep import store as stores
from shoal.sweep.plan import ranges_of
from support import random_init
from test_sweep import GRID, NETWORK, RAW, RECORDS, REDUCED, swept
from test_sweep_ends import ended, started

SLOW = pytest.mark.slow
LARGER = {"init.std": [0.05, 0.1, 0.2, 0.4], "network.width": [5, 2]}


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that gets how many networks are trained at a time in blocks from now on."""
    sweeping, networks = importlib.import_module("shoal.sweep.sweep"), []
    train = sweeping.trained

    def counted(run: Any, begin: int, end: int, *rest: Any) -> Any:
        networks.append(end - begin)
        return train(run, begin, end, *rest)

    monkeypatch.setattr(sweeping, "trained", counted)
    return networks


def assert_grown(store: Path, record: shoal.Record, trained: list[int], kept: int, **changed: Any) -> None:
    """Assert that a call grows a store into one with the bits of one call, and trains all but ``kept`` networks."""
    trained.clear()
    data = swept(store, record, **changed).load()
    new = sum(trained)
    whole = swept(None, record, **changed)
    conditions = int(np.prod([size for dim, size in whole.sizes.items() if dim in ("condition", *GRID)]))
    assert new == conditions * changed.get("networks", 700) - kept
    for one in (data, whole):
        one.attrs["specification"] = re.sub('"block": [0-9]+', "", one.attrs["specification"])
    assert_same_data(data, whole)
    assert not [name for name in os.listdir(store.parent) if "shoal" in name]
    trained.clear()
    swept(store, record, **changed)
    assert not trained


def began(done: int) -> Any:
    """Return a progress function that stops once so much is done."""

    def progress(now: int, total: int) -> None:
        if now >= done:
            raise KeyboardInterrupt

    return progress


@RECORDS
@pytest.mark.parametrize(("block", "first"), [(None, 0), pytest.param(None, 768, marks=SLOW), (256, 512)])
def test_networks(tmp_path: Path, record: shoal.Record, block: int | None, first: int, trained: list[int]) -> None:
    """Several times, also from one block. Of statistics 700 - 512 networks of each condition are trained again."""
    told: dict[str, Any] = {"over": GRID, "block": block, "first_network": first}
    kept = 0
    for networks in (10, 700, 701, 1500):
        assert_grown(tmp_path / "s", record, trained, kept, networks=networks, **told)
        kept = 4 * (networks if record is RAW else networks // 256 * 256)


@RECORDS
def test_values_in_the_middle_of_an_axis(tmp_path: Path, record: shoal.Record, trained: list[int]) -> None:
    """In the order in which the new call gives them."""
    swept(tmp_path / "s", record, over=GRID)
    assert_grown(tmp_path / "s", record, trained, 4 * 700, over=LARGER)


@RECORDS
def test_networks_and_values_at_once_while_incomplete(tmp_path: Path, record: shoal.Record, trained: list[int]) -> None:
    with pytest.raises(KeyboardInterrupt):
        swept(tmp_path / "s", record, over=GRID, progress=began(30_000))
    held = shoal.open_sweep(tmp_path / "s")
    count = int((held.status == 0).sum()) if record is RAW else int((held.networks // 256 * 256).sum())
    assert count >= 700
    assert_grown(tmp_path / "s", record, trained, count, over=LARGER, networks=1500)


@RECORDS
def test_stopped_between_two_growths(tmp_path: Path, record: shoal.Record, trained: list[int]) -> None:
    """Blocks of which a part is there remain so, and show what they have."""
    swept(tmp_path / "s", record, over=GRID)
    with pytest.raises(KeyboardInterrupt):
        swept(tmp_path / "s", record, over=GRID, networks=900, progress=began(0))
    half = shoal.open_sweep(tmp_path / "s").load()
    assert half.attrs["complete"] == 0
    if record is RAW:
        assert (half.status.values[..., :700] == 0).all()
        assert (half.status.values[..., 700:] == -1).all()
        assert np.isnan(half.loss.values[..., 700:, :]).all()
    else:
        assert (half.networks.values == 512).all()
    assert_grown(tmp_path / "s", record, trained, 4 * (700 if record is RAW else 512), over=GRID, networks=1500)


@RECORDS
def test_a_list_of_conditions(tmp_path: Path, record: shoal.Record, trained: list[int]) -> None:
    """With given arrays, whose digests tell which are the same."""
    inits = [random_init(NETWORK, 300, np.random.default_rng(seed)) for seed in range(3)]
    few = [{"init": inits[0], "seed": 3}, {"init": inits[1], "seed": 4}]
    swept(tmp_path / "s", record, init=inits[0], over=few, networks=300)
    more = [{"seed": 5, "init": inits[2]}, few[1], {"init": inits[0], "seed": 4}, few[0]]
    assert_grown(tmp_path / "s", record, trained, 600, init=inits[0], over=more, networks=300)


def test_other_differences_are_refused(tmp_path: Path) -> None:
    """Fewer networks or values, other fields, an order alone; and growth together with another difference."""
    store = tmp_path / "s"
    swept(store, over=GRID)
    for changed, line in (
        ({"networks": 699}, "networks: was 700, is 699"),
        ({"over": {**GRID, "init.std": [0.1, 0.3, 0.5]}}, "over.fields: was "),
        ({"over": {**GRID, "init.std": [0.4, 0.1]}}, "over.fields: was "),
        ({"over": {"init.std": [0.1, 0.2, 0.4]}}, "over.fields: was "),
        ({"over": {**LARGER, "init.std": [0.1]}}, "over.fields: was "),
        ({"over": None}, "over: was "),
        ({"networks": 900, "seed": 1}, "seed: was 0, is 1"),
        ({"networks": 900, "block": 512}, "block: was 256, is 512"),
    ):
        with pytest.raises(ValueError, match=f"holds another sweep(.|\n)*{line}"):
            swept(store, **{"over": GRID, **changed})
    assert shoal.open_sweep(store).attrs["complete"] == 1


def test_a_damaged_block_is_not_taken_over(tmp_path: Path) -> None:
    """The error names it, and the store remains as it is."""
    swept(tmp_path / "s", over=GRID)
    (tmp_path / "s" / "sum_loss" / "c.0.1.1.0.0").write_bytes(b"rubbish")
    marks = [file.name for file in (tmp_path / "s" / "done").iterdir()]
    with pytest.raises(ValueError, match=r"sum_loss/c\.0\.1\.1\.0\.0 is damaged.* remove .*done/c\.0\.1\.1 and repeat"):
        swept(tmp_path / "s", over=LARGER)
    assert [file.name for file in (tmp_path / "s" / "done").iterdir()] == marks
    assert not [name for name in os.listdir(tmp_path) if "shoal" in name]


@pytest.mark.parametrize("record", [pytest.param(RAW, marks=SLOW, id="raw"), pytest.param(REDUCED, id="reduced")])
def test_killed_between_any_two_files(tmp_path: Path, record: shoal.Record, generator: np.random.Generator) -> None:
    """The store is as before, or as after; the same call ends with the same bits."""
    name, folder = ("raw" if record is RAW else "reduced"), tmp_path / "stores"
    folder.mkdir()
    sweep_child.grown(tmp_path / "whole", name)
    whole = shoal.open_sweep(tmp_path / "whole").load()
    sweep_child.short(folder / "0", name)
    assert ended(started(sweep_child.killed_growing_at, folder / "0", name, 0, tmp_path / "told")) == 0
    count = int((tmp_path / "told").read_text())
    renames = [int(at) for at in (tmp_path / "renames").read_text().split()]
    between = 0
    for at in sorted({*renames, *map(int, generator.integers(1, count, 2))}):
        store = folder / f"{at}"
        sweep_child.short(store, name)
        few = shoal.open_sweep(store).load()
        killed = started(sweep_child.killed_growing_at, store, name, at, tmp_path / "told")
        assert ended(killed) == -signal.SIGKILL
        between += not store.exists()
        now = shoal.open_sweep(store).load().sel({name: few[name] for name in GRID})
        if record is RAW:
            there = now.isel(network=slice(300)).status >= 0  # but for a block that is just continued
            assert there.isel(network=slice(256)).all()
            xarray.testing.assert_equal(now.loss.isel(network=slice(300)), few.loss.where(there))
        else:
            assert (now.networks.values >= 256).all()
        assert_same_data(sweep_child.grown(store, name).load(), whole)
        assert not [left for left in os.listdir(folder) if "shoal" in left]
    assert between  # the smaller store has left its place, and the larger has not taken it yet


def assert_same_data(data: xarray.Dataset, whole: xarray.Dataset) -> None:
    """Assert that two sweeps are the same, also of types and bits."""
    xarray.testing.assert_identical(data, whole)
    for name in whole.data_vars:
        assert data[name].values.tobytes() == whole[name].values.tobytes(), name


def test_who_has_it_open_is_told_to_open_it_again(tmp_path: Path) -> None:
    """Arrays that are read when they are used are not there any more: the error does not ask to remove marks."""
    swept(tmp_path / "s", RAW, over=GRID)
    data = shoal.open_sweep(tmp_path / "s")
    swept(tmp_path / "s", RAW, over=LARGER)
    with pytest.raises(ValueError, match=r"store .*s has grown since it was opened: open it again"):
        data.loss.load()


def test_a_store_that_grows_between_the_checks_and_the_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process may have let it grow in other steps, with other blocks."""
    swept(tmp_path / "s", networks=300)
    earlier = made.before(tmp_path / "s")
    swept(tmp_path / "s", networks=600)
    swept(tmp_path / "s", networks=900)
    monkeypatch.setattr(made, "before", lambda path: earlier)
    with pytest.raises(RuntimeError, match=r"store .*s has grown since this call began: repeat it"):
        swept(tmp_path / "s", networks=900)


def test_ranges_of_what_has_grown() -> None:
    """Blocks of fewer networks remain, all are whole branches, and every network is in one."""
    for first, cuts, networks in ((0, (10000,), 20000), (512, (10, 700, 700, 5000), 5001), (256, (256,), 300)):
        ranges = ranges_of(first, networks, 4096, 256, cuts).tolist()
        bounds = [begin for begin, _ in ranges] + [networks]
        assert [end for _, end in ranges] == bounds[1:]
        for begin, end in ranges:
            size = -(-(end - begin) // 256)
            assert size & (size - 1) == 0
            assert (first + begin) // 256 % size == 0
        for number, cut in enumerate(cuts):
            fewer = ranges_of(first, cut, 4096, 256, cuts[:number]).tolist()
            same = [one for one, other in zip(fewer, ranges, strict=False) if one == other]
            assert sum(end - begin for begin, end in same) >= cut // 256 * 256


def test_the_block_of_a_store_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where a call names none, whose own would be another one."""
    made: list[Any] = []
    opened = stores.Store.opened.__func__  # type: ignore[attr-defined]

    @contextlib.contextmanager
    def seen(cls: Any, path: Path, plan: Any) -> Iterator[Any]:
        made.append(plan.block)
        with opened(cls, path, plan) as store:
            yield store

    monkeypatch.setattr(stores.Store, "opened", classmethod(seen))
    for block, networks in ((256, 300), (None, 300), (None, 1000)):
        swept(tmp_path / "s", REDUCED, block=block, networks=networks)
    assert made == [256, 256, 256]
