"""The log of a sweep: one line of JSON for each block, written as the block ends."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Log:
    """An open log; a line is one call of the system, so a process that is killed leaves whole lines."""

    handle: int

    @classmethod
    @contextmanager
    def opened(cls, path: Path) -> Iterator[Log]:
        """Open a log at its end."""
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            size = os.fstat(handle).st_size
            if size and os.pread(handle, 1, size - 1) != b"\n":  # a disk was full: the next line stands by itself
                os.write(handle, b"\n")
            yield cls(handle)
        finally:
            os.close(handle)

    def write(self, line: Mapping[str, Any]) -> None:
        """Add a line.

        Raises
        ------
        OSError
            It cannot be written as a whole, as on a full disk.
        """
        text = json.dumps(line, allow_nan=False).encode() + b"\n"
        while text:
            text = text[os.write(self.handle, text) :]


def check(path: Path) -> None:
    """Raise a ValueError where no log can be written, before anything is made."""
    if path.is_dir():
        raise ValueError(f"--log must be a file, got the folder {path}")
    if not path.absolute().parent.is_dir():
        raise ValueError(f"--log must lie in a folder that exists, got {path}")
    if not os.access(path if path.exists() else path.absolute().parent, os.W_OK):
        raise ValueError(f"--log must be a file that can be written, got {path}")
