"""One process at a time on a store: a lock that the system takes away with the process that holds it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path


def beside(store: Path) -> Path:
    """Return the file whose lock is that of a store; beside it, for readers of Zarr warn of files within."""
    return store.with_name(f".{store.name}.shoal-lock")


@contextlib.contextmanager
def locked(store: Path) -> Iterator[None]:
    """Hold the lock of a store.

    Raises
    ------
    RuntimeError
        Another process holds it: which one, and on which machine.
    """
    file = beside(store)
    handle = _taken(store, file)
    try:
        os.ftruncate(handle, 0)
        os.pwrite(handle, json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode(), 0)
        yield
    finally:
        file.unlink(missing_ok=True)
        os.close(handle)  # which gives the lock back


def _taken(store: Path, file: Path) -> int:
    """Return an open file that stands in its place and is locked."""
    while True:
        handle = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _holder(handle)
            os.close(handle)
            raise RuntimeError(f"store {store} is in use by {holder}: wait for it, or end it") from None
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(handle), os.stat(file)):
                return handle
        os.close(handle)  # its last holder removed it between the opening and the lock


def _holder(handle: int) -> str:
    try:
        told = json.loads(os.pread(handle, 4096, 0))
        return f"process {told['pid']} on {told['host']}"
    except (ValueError, KeyError):  # it has only just taken the lock
        return "another process"
