"""Sweeps in processes of their own, for tests that end them or take their disk away."""

from __future__ import annotations

import itertools
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import xarray

import shoal
from test_sweep import GRID, RAW, REDUCED, swept

KEPT = {"raw": RAW, "reduced": REDUCED}
LONG: dict[str, Any] = {"over": GRID, "networks": 1000, "method": shoal.GradientDescent(0.1, 2000), "threads": 1}
SHORT: dict[str, Any] = {"over": GRID, "networks": 300, "threads": 1}
_TOUCHED = ("open", "os.mkdir", "os.remove", "os.rename", "os.rmdir")


def long(store: Path, record: str) -> xarray.Dataset:
    """Sweep 16 blocks, several a second."""
    steps = shoal.Record(steps=[0, 400, 2000], reduce=KEPT[record].reduce)
    return swept(store, steps, **LONG)


def short(store: Path, record: str) -> xarray.Dataset:
    """Sweep 8 blocks."""
    return swept(store, KEPT[record], **SHORT)


def interruptible(store: Path, record: str, ready: Any) -> None:
    """Sweep, as one started at a terminal, and exit with 130 after Ctrl-C."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs are started to ignore it
    try:
        ready.set()
        long(store, record)
    except KeyboardInterrupt:
        sys.exit(130)


def killed_at(store: Path, record: str, at: int, told: Path) -> None:
    """Sweep and be killed just before the file is touched for the ``at``-th time; else write how often it was."""
    root, touched = str(store.parent), itertools.count(1)
    last = [0]

    def seen(event: str, arguments: tuple[Any, ...]) -> None:
        if event in _TOUCHED and isinstance(arguments[0], (str, os.PathLike)):
            if os.fspath(arguments[0]).startswith(root) and last[0] >= 0:
                last[0] = next(touched)
                if last[0] == at:
                    os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(seen)
    short(store, record)
    count, last[0] = last[0], -1
    told.write_text(str(count))


def grown(store: Path, record: str) -> xarray.Dataset:
    """Sweep what ``short`` does, with more networks and conditions."""
    return swept(store, KEPT[record], **{**SHORT, "over": {**GRID, "init.std": [0.1, 0.2, 0.4]}, "networks": 600})


def killed_growing_at(store: Path, record: str, at: int, told: Path) -> None:
    """As ``killed_at`` while a store grows, of which ``renames`` beside ``told`` says when it is moved."""
    moves: list[int] = []
    root, touched = str(store.parent), [0]

    def seen(event: str, arguments: tuple[Any, ...]) -> None:
        if event in _TOUCHED and isinstance(arguments[0], (str, os.PathLike)) and touched[0] >= 0:
            if os.fspath(arguments[0]).startswith(root):
                touched[0] += 1
                if event == "os.rename" and Path(os.fspath(arguments[0])).parent == store.parent:
                    moves.extend((touched[0], touched[0] + 1))
                if touched[0] == at:
                    os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(seen)
    grown(store, record)
    count, touched[0] = touched[0], -1
    told.write_text(str(count))
    told.with_name("renames").write_text(" ".join(map(str, moves)))


def refused(store: Path, record: str, told: Path) -> None:
    """Sweep and write what came of it."""
    try:
        long(store, record)
        told.write_text("done")
    except RuntimeError as error:
        told.write_text(str(error))


def small_disk(folder: Path) -> Callable[[int], object]:
    """Mount a disk of 16 KiB and return what gives it another size."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "none", folder], check=True, timeout=60)
    return lambda size: subprocess.run(["mount", "-o", f"remount,size={size}", folder], check=True, timeout=60)


def small_files(folder: Path) -> Callable[[int], object]:
    """Limit this process to files of 16 bytes and return what gives them another limit."""
    most = resource.getrlimit(resource.RLIMIT_FSIZE)[1]

    def limit(size: int) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, most))

    limit(16)
    return limit


def fill(folder: str, record: str, room: str, copy: str) -> None:
    """Sweep where there is no room, with more room after each error, and print the errors; keep a copy of the store."""
    size = {"disk": 2**14, "files": 16}[room]
    enlarge = {"disk": small_disk, "files": small_files}[room](Path(folder))
    said: list[tuple[int | None, str, bool]] = []
    store = Path(folder) / "s"
    while True:
        try:
            short(store, record)
        except OSError as error:
            said.append((error.errno, str(error), store.exists()))
        else:
            break
        size += size // 2
        enlarge(size)
    enlarge(2**24)
    shutil.copytree(store, copy)
    print(json.dumps(said))
