"""Whatever happens to a file of a store, what is read of it is right, or an error that names the file."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray

import shoal
from shoal.sweep import disk
from test_sweep import files

RAW = shoal.Record(steps=[2], measure=("loss",))
REDUCED = shoal.Record(steps=[2], measure=("loss",), reduce=shoal.Statistics(events=("loss > 0.5",)))
KINDS = pytest.mark.parametrize("record", [RAW, REDUCED], ids=["raw", "reduced"])
NETWORKS = 6
FAULTS: dict[str, Callable[[bytes], bytes]] = {
    "cut": lambda held: held[: len(held) // 2],
    "empty": lambda held: b"",
    "longer": lambda held: held + b"\0",
    "flipped": lambda held: _flipped(held, len(held) // 2),
    "flipped at its begin": lambda held: _flipped(held, 0),
    "flipped at its end": lambda held: _flipped(held, len(held) - 1),
}


def _flipped(held: bytes, at: int) -> bytes:
    return held[:at] + bytes([held[at] ^ 1]) + held[at + 1 :]


def swept(store: Path, record: shoal.Record, **changed: Any) -> xarray.Dataset:
    """Sweep two conditions: of two blocks each where each network is kept, else of one."""
    block = 4 if record.reduce is None else 256
    told: dict[str, Any] = {"method": shoal.GradientDescent(0.1, 2), "networks": NETWORKS, "block": block, "threads": 1}
    network, task = shoal.Network((2, 2, 1)), shoal.tasks.modes((1.7, 0.9))
    over = {"init.std": [0.1, 0.4]}
    return shoal.sweep(network, task, shoal.Gaussian(0.5), record=record, over=over, store=store, **{**told, **changed})


@pytest.fixture
def made(tmp_path: Path, record: shoal.Record, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, xarray.Dataset]:
    """Return a finished store and what it holds."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)  # no disk is taken away here
    return tmp_path / "s", swept(tmp_path / "s", record).load()


def halved(store: Path) -> None:
    """Take the mark away from every second block; what a crash would have left of it stays."""
    for mark in sorted((store / "done").glob("c.*"))[1::2]:
        mark.unlink()


def put(store: Path, told: dict[str, bytes]) -> None:
    """Make a store hold these files and no others."""
    shutil.rmtree(store)
    for name, held in told.items():
        (store / name).parent.mkdir(parents=True, exist_ok=True)
        (store / name).write_bytes(held)


def assert_right(data: xarray.Dataset, whole: xarray.Dataset, *, complete: bool) -> None:
    """Assert that each network, or the statistics of each condition, is that of ``whole``, or said to be missing."""
    assert dict(data.attrs) | {"complete": 1} == whole.attrs
    assert data.attrs["complete"] == 1 or not complete
    for name in whole.coords:
        assert data[name].dims == whole[name].dims
        assert data[name].values.tolist() == whole[name].values.tolist()
    there = data.networks > 0 if "networks" in data else data.status >= 0
    assert bool(there.all()) == bool(data.attrs["complete"])
    for name in whole.data_vars:
        assert (data[name].dims, data[name].dtype) == (whole[name].dims, whole[name].dtype)
        assert data[name].where(there).equals(whole[name].where(there)), name
    if "networks" not in data:
        assert np.isnan(data.loss.where(~there, drop=True)).all()


def outcome(call: Callable[[], xarray.Dataset]) -> tuple[xarray.Dataset | None, str]:
    """Return what a call returns, or the text of its error."""
    try:
        return call(), ""
    except (ValueError, OSError) as error:
        return None, str(error)


def check(store: Path, record: shoal.Record, whole: xarray.Dataset, original: dict[str, bytes], *damaged: str) -> None:
    """Open a damaged store, then go on with it: either is right, or raises an error that names a damaged file."""
    for call in (shoal.open_sweep, lambda path: swept(path, record)):
        data, told = outcome(lambda call=call: call(store).load())
        if data is None:
            assert any(str(store / name) in told for name in damaged), f"{damaged}: {told}"
            assert len(told) < 1000
        else:
            assert_right(data, whole, complete=call is not shoal.open_sweep)
            assert call is shoal.open_sweep or files(store) == original


def every_fault(original: dict[str, bytes], store: Path) -> Iterator[tuple[str, tuple[str, ...], Callable[[], object]]]:
    """Return all that is done to a store: what it is called, to which files, and what does it."""
    elsewhere = store.parent / "elsewhere"
    for name, held in original.items():
        path = store / name
        yield "missing", (name,), path.unlink
        for fault, change in FAULTS.items():
            new = change(held)
            yield fault, (name,), lambda path=path, new=new: path.write_bytes(new)
        yield "linked", (name,), lambda path=path: linked(path, elsewhere)
        yield "folder", (name,), lambda path=path: (path.unlink(), path.mkdir())
    for one, other in itertools.combinations(original, 2):
        if len(original[one]) == len(original[other]) and original[one] != original[other]:
            yield "swapped", (one, other), lambda one=one, other=other: swapped(store / one, store / other)
    folders = {str(folder) for name in original for folder in Path(name).parents if folder != Path()}
    for folder in sorted(folders):
        yield "missing", (folder,), lambda folder=folder: shutil.rmtree(store / folder)
        yield "linked", (folder,), lambda folder=folder: linked(store / folder, elsewhere)


def linked(path: Path, elsewhere: Path) -> None:
    """Move a file or folder away and leave a symbolic link to it."""
    shutil.rmtree(elsewhere, ignore_errors=True)
    elsewhere.mkdir()
    path.rename(elsewhere / path.name)
    path.symlink_to(elsewhere / path.name)


def swapped(one: Path, other: Path) -> None:
    """Let two files change places."""
    held, there = one.read_bytes(), other.read_bytes()
    one.write_bytes(there)
    other.write_bytes(held)


@KINDS
@pytest.mark.parametrize("state", ["finished", "half done"])
@pytest.mark.parametrize("every", [19, pytest.param(1, marks=pytest.mark.slow)])
def test_every_file_lost_or_changed(
    made: tuple[Path, xarray.Dataset], record: shoal.Record, state: str, every: int
) -> None:
    """Missing, cut, flipped, swapped with another one, behind a link: right numbers, or an error with its name."""
    store, whole = made
    finished = files(store)
    if state == "half done":
        halved(store)
    original = files(store)
    faults = list(every_fault(original, store))
    assert {fault for fault, _, _ in faults} == {*FAULTS, "missing", "linked", "folder", "swapped"}
    assert len(faults) > 400
    for fault, names, inflict in faults[::every]:
        put(store, original)
        inflict()
        try:
            check(store, record, whole, finished, *names)
        except Exception as error:
            raise AssertionError(f"{fault}: {', '.join(names)}") from error


@KINDS
def test_a_description_that_was_edited(made: tuple[Path, xarray.Dataset], record: shoal.Record) -> None:
    """Sound JSON that says something else: another data type, fill value, shape, unit, specification or version."""
    store, whole = made
    original = files(store)
    loss = "loss" if record is RAW else "sum_loss"
    for name, old, new in (
        (f"{loss}/zarr.json", '"float64"', '"int64"'),
        (f"{loss}/zarr.json", '"fill_value": "NaN"', '"fill_value": 0.0'),
        (f"{loss}/zarr.json", '"shape": [\n    2,', '"shape": [\n    1,'),
        (f"{loss}/zarr.json", '"bytes"', '"none"'),
        ("time/zarr.json", '"units": "1"', '"units": "s"'),
        ("zarr.json", '\\"seed\\": 0', '\\"seed\\": 1'),
        ("zarr.json", '\\"std\\": 0.5', '\\"std\\": 0.6'),
        ("zarr.json", '"isa": "', '"isa": "x'),
        ("zarr.json", '"shoal_version": "', '"shoal_version": "9.'),
        ("zarr.json", '"seal": "', '"seal": "0'),
        ("zarr.json", '"node_type": "group"', '"node_type": "array"'),
        ("zarr.json", '"shoal_sweep": 4', '"shoal_sweep": NaN'),
        ("zarr.json", "{", "[" * 10**5 + "{"),
    ):
        put(store, original)
        text = (store / name).read_text()
        assert old in text, (name, old, text)
        (store / name).write_text(text.replace(old, new, 1))
        if name == "zarr.json":
            for call in (shoal.open_sweep, lambda path: swept(path, record)):
                with pytest.raises(ValueError, match=re.escape(str(store / name))):
                    call(store)
        check(store, record, whole, original, name)


@KINDS
def test_blocks_of_another_sweep(made: tuple[Path, xarray.Dataset], record: shoal.Record, tmp_path: Path) -> None:
    """All files of a block with their mark, from a store that differs in its seed, are an error that names the mark."""
    store, whole = made
    original, other = files(store), tmp_path / "other"
    swept(other, record, seed=1)
    for name in original:
        if f"{name}/".startswith(("loss/c.1.0.", "status/c.1.0/", "diverged_at/c.1.0/", "done/c.1.0/")):
            shutil.copyfile(other / name, store / name)
        elif name.startswith(("sum_", "count_")) and "/c.1.0" in name:
            shutil.copyfile(other / name, store / name)
    check(store, record, whole, original, "done/c.1.0")
    put(store, {**original, "done/c.1.0": (other / "done/c.1.0").read_bytes()})
    with pytest.raises(ValueError, match=r"file .*done/c.1.0 is damaged: .* remove .*done/c.1.0 and repeat the sweep"):
        shoal.open_sweep(store).load()


@KINDS
def test_what_is_lost_is_made_again(made: tuple[Path, xarray.Dataset], record: shoal.Record) -> None:
    """By the next call, without a hand: coordinates, descriptions, given arrays, marks, files of blocks."""
    store, whole = made
    original = files(store)
    lost = ["labels/c/0", "time/c/0", "init.std/c/0", "step/zarr.json", "done/c.1.0"]
    lost += ["loss/c.0.0.0" if record is RAW else "sum_loss/c.0.0.0.0", min(original, key=lambda n: "given/" not in n)]
    for change in (Path.unlink, lambda path: path.write_bytes(path.read_bytes()[:9])):
        for name in lost:
            change(store / name)
        assert_right(swept(store, record).load(), whole, complete=True)
        assert files(store) == original


@KINDS
def test_pipes_are_not_waited_for(made: tuple[Path, xarray.Dataset], record: shoal.Record) -> None:
    """A pipe in the place of a file is an error, and mended like any other."""
    store, whole = made
    original = files(store)
    for name in ("loss/c.0.0.0" if record is RAW else "sum_loss/c.0.0.0.0", "done/c.0.0", "given/zarr.json"):
        put(store, original)
        (store / name).unlink()
        os.mkfifo(store / name)
        check(store, record, whole, original, name)


@KINDS
def test_nothing_is_written_through_a_link(
    made: tuple[Path, xarray.Dataset], record: shoal.Record, tmp_path: Path
) -> None:
    """Of a block that is to be trained again: what the link leads to stays as it is, and the error names the link."""
    store, _ = made
    halved(store)
    name = "loss" if record is RAW else "sum_loss"
    linked(store / name, tmp_path / "elsewhere")
    before = files(tmp_path / "elsewhere")
    with pytest.raises((OSError, ValueError), match=f"{re.escape(str(store / name))} is a symbolic link"):
        swept(store, record)
    assert files(tmp_path / "elsewhere") == before


@KINDS
def test_a_link_to_the_store_itself_is_followed(
    made: tuple[Path, xarray.Dataset], record: shoal.Record, tmp_path: Path
) -> None:
    """As where it lies on another disk."""
    store, whole = made
    (tmp_path / "link").symlink_to(store)
    halved(store)
    assert_right(swept(tmp_path / "link", record).load(), whole, complete=True)
    assert_right(shoal.open_sweep(tmp_path / "link").load(), whole, complete=True)


def test_a_disk_that_fails_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system's own error of a failed reading names none."""
    store = tmp_path / "s"
    swept(store, REDUCED)
    failing = store / "sum_loss" / "c.0.0.0.0"
    read = Path.read_bytes

    def broken(path: Path) -> bytes:
        if path == failing:
            raise OSError(errno.EIO, "Input/output error")
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", broken)
    with pytest.raises(OSError, match=f"Input/output error: '{re.escape(str(failing))}'"):
        shoal.open_sweep(store)


def has_mounts() -> bool:
    """Return whether this user may mount a folder where nobody else sees it."""
    command = ["unshare", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"]
    try:
        return subprocess.run(command, capture_output=True).returncode == 0
    except OSError:
        return False


READ_ONLY = 'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" && exec "$2" -c "$3"'
CALLS = """
import sys; sys.path[:0] = {paths!r}
from pathlib import Path
import test_sweep_damage as tests
for name, record in (("raw", tests.RAW), ("reduced", tests.REDUCED)):
    data = tests.swept(Path({folder!r}, name), record).load()
    print(name, int(data.complete), data.loss.values.tobytes().hex())
    try:
        tests.swept(Path({folder!r}, name + "_half"), record)
    except OSError as error:
        print(error)
"""


def test_a_finished_store_that_cannot_be_written(tmp_path: Path) -> None:
    """On a file system that is mounted read-only: it is returned; one that is not finished is an error."""
    expected = []
    for name, record in (("raw", RAW), ("reduced", REDUCED)):
        whole = swept(tmp_path / name, record).load()
        swept(tmp_path / f"{name}_half", record)
        halved(tmp_path / f"{name}_half")
        expected.append(f"{name} 1 {whole.loss.values.tobytes().hex()}")
        expected.append(f"[Errno 30] store {tmp_path / name}_half could not be written (Read-only file system")
    paths = [str(Path(__file__).parent), str(Path(shoal.__file__).parents[1])]
    if not has_mounts():
        pytest.skip("no folder may be mounted here")
    words = [str(tmp_path), sys.executable, CALLS.format(paths=paths, folder=str(tmp_path))]
    command = ["unshare", "--map-root-user", "--mount", "sh", "-c", READ_ONLY, "sh", *words]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for line, start in zip(done.stdout.splitlines(), expected, strict=True):
        assert line.startswith(start)


@KINDS
def test_a_finished_store_takes_no_lock(
    made: tuple[Path, xarray.Dataset], record: shoal.Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So it may lie where nothing can be written, and be used by many at once."""
    store, whole = made

    @contextlib.contextmanager
    def refused(path: Path) -> Iterator[None]:
        raise OSError(errno.EROFS, "Read-only file system", str(path))
        yield

    monkeypatch.setattr(disk, "locked", refused)
    assert_right(swept(store, record).load(), whole, complete=True)
    halved(store)
    with pytest.raises(OSError, match=f"store {store} could not be written .Read-only file system"):
        swept(store, record)
