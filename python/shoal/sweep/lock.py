"""One process at a time on a store: a lock that the system takes away with the process that holds it."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path


def beside(store: Path) -> Path:
    """Return the file whose lock is that of a store; beside it, for readers of Zarr warn of files within."""
    return store.with_name(f".{store.name}.shoal-lock")


def holder(store: Path) -> Path:
    """Return the file that says who holds the lock, which cannot be read itself on every system."""
    return store.with_name(f".{store.name}.shoal-holder")


@contextlib.contextmanager
def locked(store: Path) -> Iterator[None]:
    """Hold the lock of a store.

    Raises
    ------
    RuntimeError
        Another process holds it: which one, and on which machine.
    """
    import filelock

    lock = filelock.FileLock(beside(store), timeout=0)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise RuntimeError(f"store {store} is in use by {_told(store)}: wait for it, or end it") from None
    try:
        holder(store).write_text(json.dumps({"pid": os.getpid(), "host": socket.gethostname()}))
        yield
    finally:
        for file in (holder(store), beside(store)):
            with contextlib.suppress(OSError):  # not every system removes a file that is open
                file.unlink()
        lock.release()


def _told(store: Path) -> str:
    try:
        told = json.loads(holder(store).read_text())
        return f"process {told['pid']} on {told['host']}"
    except (OSError, ValueError, KeyError):  # it has only just taken the lock
        return "another process"
