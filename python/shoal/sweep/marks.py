"""The marks of blocks: which are done, and the size and checksum of each of their files."""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shoal.sweep import disk
from shoal.sweep.chunks import SEPARATOR
from shoal.sweep.sealed import BYTES, check_sum

DONE = "done"
_COUNT = struct.Struct("<Q")
_ENTRY = struct.Struct(f"<Q{BYTES}s")
Place = tuple[int, ...]
Sums = dict[str, tuple[int, bytes]]


@dataclass(frozen=True)
class Marks:
    """The marks in a store, one file per block: checksum of the rest, networks, and what each variable's file is.

    Of a file size and checksum. ``names`` are the variables, in the order of the entries; one that has no values has no
    file, and zeros.
    ``shape`` is (conditions..., blocks).
    """

    path: Path
    seal: bytes
    names: tuple[str, ...]
    shape: Place

    @staticmethod
    def length(names: Sequence[str]) -> int:
        """Return the bytes of a mark of so many variables."""
        return BYTES + _COUNT.size + _ENTRY.size * len(names)

    def key(self, at: Place) -> str:
        """Return the place of a block's mark, which in Zarr is a chunk of the array ``done``."""
        return f"{DONE}/{SEPARATOR.join(('c', *map(str, at)))}"

    def listed(self) -> NDArray[np.bool_]:
        """Return which blocks have a mark, whatever it holds; shape (conditions..., blocks).

        Raises
        ------
        disk.Link
            One of them, or a folder of them, is a symbolic link.
        """
        found = np.zeros(self.shape, bool)
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            for entry in os.scandir(self.path / DONE):
                numbers = entry.name.split(SEPARATOR)[1:]
                at = tuple(int(number) for number in numbers if number.isdecimal())
                if self.key(at) != f"{DONE}/{entry.name}" or len(at) != len(self.shape):
                    continue
                if entry.is_symlink():
                    raise disk.Link(self.path / DONE / entry.name)
                if all(number < most for number, most in zip(at, self.shape, strict=True)):
                    found[at] = True
        return found

    def made(self, at: Place, networks: int, sums: Sums) -> bytes:
        """Return the mark of a block from its files' sizes and checksums, by variable."""
        entries = _COUNT.pack(networks) + b"".join(_ENTRY.pack(*sums.get(name, (0, b""))) for name in self.names)
        return check_sum(self.key(at), entries, self.seal) + entries

    def read(self, at: Place) -> Sums:
        """Return the sizes and checksums of a block's files, by variable.

        Raises
        ------
        disk.Damage
            The mark is missing, damaged, or of another block or store.
        """
        entries = self._entries(at)[_COUNT.size :]
        return dict(zip(self.names, _ENTRY.iter_unpack(entries), strict=True))

    def networks(self, at: Place) -> int:
        """Return how many networks a block has.

        Raises
        ------
        disk.Damage
            As of ``read``.
        """
        return int(_COUNT.unpack_from(self._entries(at))[0])

    def _entries(self, at: Place) -> bytes:
        """Return what a mark holds behind its own checksum.

        Raises
        ------
        disk.Damage
            The mark is missing, damaged, or of another block or store.
        """
        content = disk.read(self.path, self.key(at))
        summed, entries = content[:BYTES], content[BYTES:]
        if summed != check_sum(self.key(at), entries, self.seal) or len(content) != self.length(self.names):
            raise disk.Damage(self.path / self.key(at), "is damaged: its checksum differs")
        return entries

    def content(self, at: Place, name: str, key: str, sums: Sums | None = None) -> bytes:
        """Return what the file of a block and variable holds, whose place is ``key``; ``sums`` if they were read.

        Raises
        ------
        disk.Damage
            The file or the mark is not what was written.
        """
        size, summed = (sums or self.read(at))[name]
        content = disk.read(self.path, key)
        if len(content) != size or check_sum(key, content, self.seal) != summed:
            raise disk.Damage(self.path / key, "is damaged: its checksum differs")
        return content

    def lost(self, at: Place, keys: Mapping[str, str]) -> bool:
        """Return whether a block's mark is damaged, or one of its files has gone or has another size.

        ``keys`` are the places of its files by variable.

        Raises
        ------
        disk.Link
            A symbolic link leads to one of them.
        """
        try:
            sums = self.read(at)
            return any(disk.size(self.path, key) != sums[name][0] for name, key in keys.items())
        except disk.Link:
            raise
        except disk.Damage:
            return True
