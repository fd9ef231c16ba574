"""Sweeps whose process is ended from outside, or whose disk is full: the same call ends with the same bits."""

from __future__ import annotations

import errno
import itertools
import json
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import shoal
import sweep_child
from test_sweep import assert_same, files

KINDS = pytest.mark.parametrize("record", ["raw", "reduced"])

# Children are copies of one process that has everything imported, so that little else than the sweep is interrupted.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["sweep_child", "zarr"])


def started(work: Callable[..., object], *arguments: object) -> Any:
    """Return a process that does this work."""
    process = FORKS.Process(target=work, args=arguments)
    process.start()
    return process


def ended(process: Any) -> int:
    """Return how a process ended."""
    process.join(300)
    if process.exitcode is None:
        process.kill()
        pytest.fail("the process did not end in 300 s")
    return int(process.exitcode)


def assert_whole(store: Path, whole: Path) -> None:
    """Assert that two stores hold the same files with the same bits, and that nothing else was left beside them."""
    assert_same(shoal.open_sweep(whole), shoal.open_sweep(store))
    assert files(store) == files(whole)
    assert not [file.name for file in store.parent.iterdir() if "shoal" in file.name]


@pytest.mark.slow
@KINDS
def test_killed_at_random_moments(tmp_path: Path, record: str, generator: np.random.Generator) -> None:
    """From the making of the store to the last mark; whenever a sweep ends all the same, the next begins a new one."""
    whole, folder = tmp_path / "whole", tmp_path / "stores"
    folder.mkdir()
    assert ended(started(sweep_child.long, whole, record)) == 0  # which starts the process that is copied, too
    begin = time.perf_counter()
    assert ended(started(sweep_child.long, folder / "0", record)) == 0
    seconds = time.perf_counter() - begin
    kills, number, times = 0, 0, 20
    while kills < times:
        number += 1
        assert number < 100
        store, exit_code = folder / f"{number}", -signal.SIGKILL
        while exit_code:
            process = started(sweep_child.long, store, record)
            if kills < times:
                process.join(generator.uniform(0, seconds))
                process.kill()
            exit_code = ended(process)
            assert exit_code in (0, -signal.SIGKILL)
            kills += exit_code != 0
            if store.exists():
                assert np.isfinite(shoal.open_sweep(store).step).all()  # it can be read, however far it is
        assert_whole(store, whole)


@KINDS
def test_killed_between_any_two_files(tmp_path: Path, record: str, generator: np.random.Generator) -> None:
    """Wherever a file is about to be opened, renamed or removed: of the lock, the store, its blocks and marks."""
    whole, told = tmp_path / "whole", tmp_path / "told"
    folder = tmp_path / "stores"
    folder.mkdir()
    sweep_child.short(whole, record)
    assert ended(started(sweep_child.killed_at, folder / "0", record, 0, told)) == 0
    count = int(told.read_text())
    assert count > 200
    edges = np.linspace(1, count, 4)
    for low, high in itertools.pairwise(edges):
        at = int(generator.integers(int(low), int(high)))
        store = folder / f"{at}"
        assert ended(started(sweep_child.killed_at, store, record, at, told)) == -signal.SIGKILL
        sweep_child.short(store, record)
        assert_whole(store, whole)


@KINDS
@pytest.mark.parametrize("times", [2, pytest.param(10, marks=pytest.mark.slow)])
def test_interrupted_at_random_moments(tmp_path: Path, record: str, times: int, generator: np.random.Generator) -> None:
    """Ctrl-C ends the process at once with its own exception, and gives the lock back."""
    whole, store = tmp_path / "whole", tmp_path / "s"
    sweep_child.long(whole, record)
    interrupts = 0
    for _ in range(times):
        ready = FORKS.Event()
        process = started(sweep_child.interruptible, store, record, ready)
        assert ready.wait(300)
        process.join(generator.uniform(0, 0.5))
        if process.exitcode is None:
            os.kill(process.pid, signal.SIGINT)
        exit_code = ended(process)
        assert exit_code in (0, 130)
        interrupts += exit_code == 130
        assert not list(tmp_path.glob(".*.shoal-lock"))
    assert interrupts > 0
    sweep_child.long(store, record)
    assert_whole(store, whole)


def test_three_processes_at_once(tmp_path: Path) -> None:
    """Started together on a store that is not there yet: one makes and fills it, others are told who does."""
    whole, store = tmp_path / "whole", tmp_path / "s"
    sweep_child.long(whole, "reduced")
    told = [tmp_path / f"told_{i}" for i in range(3)]
    processes = [started(sweep_child.refused, store, "reduced", path) for path in told]
    for process in processes:
        assert ended(process) == 0
    said = [path.read_text() for path in told]
    assert "done" in said
    for text in said:
        assert text == "done" or re.search(r"store .*s is in use by (process \d+ on |another process)", text)
    assert_whole(store, whole)


def has_small_disks() -> bool:
    """Return whether this user may mount a disk that nobody else sees."""
    command = ["unshare", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "-o", "size=16k", "none", "/mnt"]
    try:
        return subprocess.run(command, capture_output=True, timeout=60).returncode == 0
    except OSError:
        return False


@KINDS
@pytest.mark.parametrize("room", ["disk", pytest.param("files", marks=pytest.mark.slow)])
def test_no_room(tmp_path: Path, record: str, room: str) -> None:
    """Each error names the store and the cause; with room for some more, the same call goes on from there.

    Where no disk may be mounted, files that may not grow stand in for a full one.
    """
    whole, copy, folder = tmp_path / "whole", tmp_path / "copy", tmp_path / "small"
    folder.mkdir()
    sweep_child.short(whole, record)
    command, causes = [sys.executable], {errno.EFBIG: "File too large"}
    if room == "disk" and has_small_disks():
        command, causes = ["unshare", "--map-root-user", "--mount", *command], {errno.ENOSPC: "No space left on device"}
    paths = [str(Path(__file__).parent), str(Path(shoal.__file__).parents[1])]
    room = "disk" if errno.ENOSPC in causes else "files"
    code = f"import sys; sys.path[:0] = {paths!r}; import sweep_child; sweep_child.fill(*sys.argv[1:])"
    words = [*command, "-c", code, str(folder), record, room, str(copy)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    errors = json.loads(done.stdout)
    for number, text, _ in errors:
        assert re.search(rf"store .*/s could not be written \({causes[number]}(: .*)?\); what it holds is whole", text)
    there = [one for _, _, one in errors]
    assert not there[0]  # while the store was made
    assert there[-1] or (room == "files" and record == "reduced")  # while it was filled; there, no file is as large
    assert_same(shoal.open_sweep(whole), shoal.open_sweep(copy))
    assert files(copy) == files(whole)
