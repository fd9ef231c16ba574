"""Whatever stops a sweep, the same call goes on and has the bits of one that nothing stopped."""

from __future__ import annotations

import errno
import importlib
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray
import zarr

import shoal
from shoal.sweep import disk
from shoal.sweep.store import read_plan
from test_sweep import GRID, RAW, RECORDS, REDUCED, assert_same, cut, swept

CHILD = """
import os, sys
sys.path[:0] = {paths!r}
from pathlib import Path
import test_sweep
blocks = []
def progress(done, total):
    if done >= {at} and not blocks:
        blocks.append(done)
        print("here", flush=True)
        sys.stdin.readline()
test_sweep.swept(Path({store!r}), getattr(test_sweep, {record!r}), over=test_sweep.GRID, progress=progress)
"""


Undisturbed = Callable[[shoal.Record], xarray.Dataset]


@contextmanager
def child(store: Path, record: str, at: int) -> Iterator[subprocess.Popen[str]]:
    """Return a process that sweeps GRID and stands still within it, once ``at`` of 56,000 network-steps are done."""
    paths = [str(Path(__file__).parent), str(Path(shoal.__file__).parents[1])]
    code = CHILD.format(paths=paths, store=str(store), record=record, at=at)
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "here\n"
            yield process
        finally:
            process.kill()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """Return what gives a sweep of GRID that nothing stopped."""
    folder = tmp_path_factory.mktemp("undisturbed")

    @cache
    def of(reduced: bool) -> xarray.Dataset:
        return swept(folder / str(reduced), REDUCED if reduced else RAW, over=GRID)

    return lambda record: of(record.reduce is not None)


def raising_at(at: int, error: BaseException) -> Callable[[int, int], None]:
    """Return a progress function that raises once so much is done."""

    def progress(done: int, total: int) -> None:
        if done >= at:
            raise error

    return progress


@RECORDS
@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("told to stop")])
def test_what_progress_raises_leaves_the_blocks_before_it(
    tmp_path: Path, record: shoal.Record, error: BaseException, undisturbed: Undisturbed
) -> None:
    """Ctrl-C as well as an error goes on to the caller, and the sweep goes on later."""
    whole = undisturbed(record)
    store = tmp_path / "s"
    with pytest.raises(type(error)):
        swept(store, record, over=GRID, progress=raising_at(30_000, error))
    assert shoal.open_sweep(store).attrs["complete"] == 0
    told: list[int] = []
    data = swept(store, record, over=GRID, progress=lambda done, total: told.append(done))
    assert 0 < told[0] <= 30_000 + 256 * 20
    assert_same(whole, data)
    assert {file.name for file in tmp_path.iterdir()} == {"s"}


@RECORDS
def test_an_error_while_a_block_is_written(
    tmp_path: Path, record: shoal.Record, monkeypatch: pytest.MonkeyPatch, undisturbed: Undisturbed
) -> None:
    """As on a full disk: the error names the store, the block counts as not done, and is done again."""
    whole = undisturbed(record)
    calls, fsync = [0], os.fsync

    def full(handle: int) -> None:
        calls[0] += ".shoal-new" not in os.readlink(f"/proc/self/fd/{handle}")
        if calls[0] == 12:
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(handle)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"store .*s could not be written \(No space left on device\)") as caught:
        swept(tmp_path / "s", record, over=GRID)
    assert caught.value.errno == errno.ENOSPC
    assert shoal.open_sweep(tmp_path / "s").attrs["complete"] == 0
    assert_same(whole, swept(tmp_path / "s", record, over=GRID))


@pytest.mark.parametrize("record", ["RAW", "REDUCED"])
def test_a_killed_process(tmp_path: Path, record: str, undisturbed: Undisturbed) -> None:
    """SIGKILL in the middle: its lock goes with it, and the sweep goes on."""
    kept = RAW if record == "RAW" else REDUCED
    whole = undisturbed(kept)
    with child(tmp_path / "s", record, at=20_000) as process:
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    assert shoal.open_sweep(tmp_path / "s").attrs["complete"] == 0
    assert_same(whole, swept(tmp_path / "s", kept, over=GRID))


def test_a_second_process_is_refused(tmp_path: Path, undisturbed: Undisturbed) -> None:
    """The error names the first, whose work goes on."""
    with child(tmp_path / "s", "REDUCED", at=20_000) as process:
        with pytest.raises(RuntimeError, match=f"in use by process {process.pid} on {socket.gethostname()}"):
            swept(tmp_path / "s", over=GRID)
        assert shoal.open_sweep(tmp_path / "s").attrs["complete"] == 0
        process.communicate("\n")
        assert process.returncode == 0
    assert shoal.open_sweep(tmp_path / "s").attrs["complete"] == 1
    assert_same(undisturbed(REDUCED), swept(tmp_path / "s", over=GRID))


def test_a_lock_whose_holder_gives_no_name(tmp_path: Path) -> None:
    """It has taken the lock and not said yet who it is."""
    with disk.locked(tmp_path / "s"):
        (tmp_path / ".s.shoal-holder").write_text("")
        with pytest.raises(RuntimeError, match="in use by another process"), disk.locked(tmp_path / "s"):
            pass
    assert not list(tmp_path.iterdir())


@RECORDS
@pytest.mark.parametrize("damage", [b"", b"rubbish", None])
def test_a_block_without_its_mark_is_done_again(
    tmp_path: Path, record: shoal.Record, damage: bytes | None, undisturbed: Undisturbed
) -> None:
    """Whatever of it a crash has left: empty files, rubbish, none, and files that were not renamed into place."""
    whole = undisturbed(record)
    store = tmp_path / "s"
    swept(store, record, over=GRID)
    (store / "done" / "c.1.0.2").unlink()
    for name in {file.name for file in store.iterdir() if file.is_dir()} - {"done"}:
        for chunk in (store / name).glob("c.1.0.2*"):
            chunk.unlink() if damage is None else chunk.write_bytes(damage)
    (store / "loss_half.partial").write_bytes(b"half")
    assert_same(whole, swept(store, record, over=GRID))
    assert not list(store.rglob("*.partial"))


def test_marks_come_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a block has its mark, all its files are on the disk, and the folders that name them."""
    order: list[str] = []
    fsync = os.fsync

    def seen(handle: int) -> None:
        order.append(os.readlink(f"/proc/self/fd/{handle}"))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", seen)
    cut(tmp_path / "s", RAW, blocks=1)
    new, store = tmp_path / ".s.shoal-new", tmp_path / "s"
    made = [path for path in map(Path, order) if path.is_relative_to(new)]
    in_place = order.index(str(tmp_path))
    assert order[:in_place] == [str(path) for path in made]  # all of the store, before the first block
    assert {path.relative_to(new) for path in made} >= {
        path.relative_to(store) for path in store.rglob("*") if "c." not in path.name
    }
    paths = [Path(path).relative_to(store) for path in order[in_place + 1 :]]
    marked = next(number for number, path in enumerate(paths) if path.parts[:1] == ("done",))
    block = paths[:marked]
    written = {path.parts[0] for path in block if path.parts}
    assert written == {"diverged_at", "error", "loss", "margin", "status"}
    for path in block:
        assert path == Path() or path.parent in block
    after = paths[marked:]
    assert [path.name for path in after] == ["c.0.0.0.partial", "done"]


def chunk_of(array: Path) -> Path:
    """Return the file of the second block of the second condition."""
    (file,) = array.glob("c.0.1.1*")
    return file


@RECORDS
@pytest.mark.parametrize("damage", ["flipped", "cut", "empty", "missing"])
def test_a_damaged_block_is_an_error_that_says_what_to_do(
    tmp_path: Path, record: shoal.Record, damage: str, undisturbed: Undisturbed
) -> None:
    """Each chunk has a check sum: one flipped bit is no wrong number. What the error tells mends it."""
    whole, store = undisturbed(record), tmp_path / "s"
    swept(store, record, over=GRID)
    chunk = chunk_of(store / ("loss" if record is RAW else "sum_loss"))
    held = bytearray(chunk.read_bytes())
    held[len(held) // 2] ^= 1
    chunk.unlink()
    if damage != "missing":
        chunk.write_bytes({"flipped": held, "cut": held[: len(held) // 2], "empty": b""}[damage])
    what = "is missing" if damage == "missing" else "is damaged: its checksum differs"
    with pytest.raises(ValueError, match=f"file {re.escape(str(chunk))} {what}; to have") as caught:
        shoal.open_sweep(store).load()
    if record is RAW:
        data = shoal.open_sweep(store)
        sound = {"network": slice(256)}
        assert data.loss.isel(sound).values.tobytes() == whole.loss.isel(sound).values.tobytes()
    told = re.search(r"remove (.*) and repeat the sweep", str(caught.value))
    assert told is not None
    assert Path(told[1]) == store / "done" / "c.0.1.1"
    Path(told[1]).unlink()
    assert_same(whole, swept(store, record, over=GRID))


@RECORDS
def test_what_a_crash_left_of_a_block_is_not_read(tmp_path: Path, record: shoal.Record) -> None:
    """A store that is opened before it is gone on with shows such networks as not trained, in every variable."""
    whole, cut_short, store = tmp_path / "whole", tmp_path / "cut", tmp_path / "s"
    swept(whole, record, over=GRID)
    cut(cut_short, record, blocks=4)
    cut(store, record, blocks=5)
    (store / "done" / "c.0.1.1").unlink()  # its files are whole, but for one
    chunk = chunk_of(store / ("loss" if record is RAW else "sum_loss"))
    chunk.write_bytes(chunk.read_bytes()[:7])
    assert_same(shoal.open_sweep(cut_short), shoal.open_sweep(store))
    assert_same(shoal.open_sweep(whole), swept(store, record, over=GRID))


def test_a_damaged_task_is_an_error(tmp_path: Path) -> None:
    """It is known by its digest."""
    swept(tmp_path / "s")
    array = zarr.open_group(tmp_path / "s" / "given", mode="r+")
    name = min(array.array_keys())
    array[name][...] = np.asarray(array[name][...]) + 1
    with pytest.raises(ValueError, match=f"file .*{name}/c/0.* is damaged: .*; repeat the sweep, which makes it again"):
        shoal.open_sweep(tmp_path / "s")


def test_a_store_that_was_being_made_is_made_anew(tmp_path: Path) -> None:
    """A process killed meanwhile leaves a folder of another name."""
    left = tmp_path / ".s.shoal-new"
    left.mkdir()
    (left / "zarr.json").write_text("{}")
    swept(tmp_path / "s")
    assert [file.name for file in tmp_path.iterdir()] == ["s"]


def test_another_specification_is_refused_with_its_differences(tmp_path: Path) -> None:
    """Field by field; and nothing of the store changes."""
    store = tmp_path / "s"
    swept(store, over=GRID)
    before = {file: file.read_bytes() for file in store.rglob("*") if file.is_file()}
    other = shoal.tasks.modes((1.7, 0.8))
    with pytest.raises(ValueError, match=r"holds another sweep") as caught:
        swept(
            store,
            over={"init.std": [0.1], "network.width": [2, 5]},
            method=shoal.GradientDescent(0.2, 20),
            task=other,
        )
    lines = str(caught.value).splitlines()[1:]
    assert "method.learning_rate: was 0.1, is 0.2" in lines
    assert any(line.startswith("over.fields: was [[") for line in lines)
    assert any(line.startswith("task.inputs.array: was ") for line in lines)
    assert len(lines) == 3
    for changed, line in (
        ({"networks": 699}, "networks: was 700, is 699"),
        ({"seed": 1}, "seed: was 0, is 1"),
        ({"block": 512}, "block: was 256, is 512"),
        ({"init": shoal.Balanced(0.5)}, "init: was "),
    ):
        with pytest.raises(ValueError, match=line):
            swept(store, over=GRID, **changed)
    assert before == {file: file.read_bytes() for file in store.rglob("*") if file.is_file()}
    swept(store, over={**GRID, "init.std": np.array([0.1, 0.4])}, threads=1)


def test_a_store_of_another_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It can be read, and not gone on with: other versions may have other bits."""
    store = tmp_path / "s"
    with monkeypatch.context() as patched:
        for name in ("made", "store"):  # where one is written, and where it is compared
            patched.setattr(importlib.import_module(f"shoal.sweep.{name}"), "VERSION", "9.0")
        whole = swept(store)
    with pytest.raises(ValueError, match=r"shoal_version: was 9\."):
        swept(store)
    assert whole.attrs["shoal_version"] == "9.0"
    assert_same(whole, shoal.open_sweep(store))
    told = (store / "zarr.json").read_text()
    (store / "zarr.json").write_text(told.replace('"shoal_sweep": 4', '"shoal_sweep": 3'))
    for call in (swept, shoal.open_sweep):
        with pytest.raises(
            ValueError, match=r"store must have format 4, .* got format 3 in .*zarr\.json, .* another store"
        ):
            call(store)


def test_what_is_no_store_stays_as_it_is(tmp_path: Path) -> None:
    """A file, a folder with something in it, another Zarr store, a place without a folder."""
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "note").write_text("mine")
    other = shoal.train(
        shoal.Network((2, 1)), shoal.tasks.modes((1.0, 1.0)), shoal.Gaussian(1.0), method=shoal.GradientDescent(0.1, 2)
    )
    other.to_zarr(tmp_path / "other", zarr_format=3, consolidated=False)
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    for name, message in (
        ("file", "got the file"),
        ("folder", "which is none"),
        ("other", "which is none"),
        ("nowhere/s", "in a folder that exists"),
    ):
        with pytest.raises(ValueError, match=f"store must .*{message}"):
            swept(tmp_path / name)
    for name in ("file", "folder", "other", "nowhere"):
        with pytest.raises(ValueError, match="store must be one that sweep made"):
            shoal.open_sweep(tmp_path / name)
    assert before == {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}


def test_blocks_may_come_in_any_order(tmp_path: Path, undisturbed: Undisturbed) -> None:
    """As from workers: what trains blocks may hand them back as they end."""
    from shoal.sweep.plan import Block, Plan, trained
    from shoal.sweep.sweep import carry_out

    def backwards(plan: Plan, blocks: Any) -> Iterator[tuple[Block, Any]]:
        for block in reversed(list(blocks)):
            yield block, trained(plan.runs[block.condition], block.begin, block.end, 1, None)

    whole = undisturbed(REDUCED)
    cut(tmp_path / "s", REDUCED, blocks=2)
    plan = read_plan(tmp_path / "s")
    carry_out(plan, tmp_path / "s", lambda before: backwards)
    assert_same(whole, shoal.open_sweep(tmp_path / "s"))
