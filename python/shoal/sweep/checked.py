"""A sweep's store as Zarr reads it: each file checked as it is read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from zarr.abc.store import OffsetByteRequest, RangeByteRequest
from zarr.storage import LocalStore, WrapperStore

from shoal.sweep import disk
from shoal.sweep.chunks import SEPARATOR
from shoal.sweep.marks import Marks, Place, Sums
from shoal.sweep.sealed import GROUP, Sealed

if TYPE_CHECKING:
    from zarr.abc.store import ByteRequest
    from zarr.core.buffer import Buffer, BufferPrototype


class Checked(WrapperStore[LocalStore]):
    """The files of a store, of which chunks without their block's mark are not there, and damaged ones an error.

    Zarr itself takes a missing chunk for one of fill values, reads whatever a crash left of a block that has no mark,
    and binds no file to its place. ``done`` has shape (conditions..., blocks), as read when the store was opened, so
    that all variables show the same blocks while others are written.
    """

    def __init__(self, store: LocalStore, sealed: Sealed, marks: Marks, done: NDArray[np.bool_]) -> None:
        super().__init__(store)
        self.sealed, self.marks, self.done = sealed, marks, done

    @classmethod
    def of(cls, sealed: Sealed, marks: Marks, done: NDArray[np.bool_]) -> Checked:
        """Return the files of a store."""
        return cls(LocalStore(sealed.path, read_only=True), sealed, marks, done)

    def _with_store(self, store: LocalStore) -> Checked:
        return type(self)(store, self.sealed, self.marks, self.done)

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        """Return what a file holds, or None where there is none or its block is not done.

        Raises
        ------
        ValueError
            The file is missing or damaged: which, and what to do.
        """
        if key == GROUP:
            return await super().get(key, prototype, byte_range)
        name, _, chunk = key.partition(f"/c{SEPARATOR}")
        if chunk and name in self.marks.names:
            at = tuple(map(int, chunk.split(SEPARATOR)))[: self.done.ndim]
            if not self.done[at]:
                return None
            content = await asyncio.to_thread(of_block, self.marks, at, name, key)
        elif key in self.sealed.sums:
            content = await asyncio.to_thread(self._of_store, key)
        else:
            return None
        return prototype.buffer.from_bytes(content if byte_range is None else _part(content, byte_range))

    def _of_store(self, key: str) -> bytes:
        try:
            return self.sealed.content(key)
        except disk.Link:
            raise
        except disk.Damage as damage:
            raise ValueError(f"{damage}; repeat the sweep, which makes it again") from damage

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """Return the names in a folder that were made with the store: what else lies there is not of it."""
        inside = f"{prefix.rstrip('/')}/" if prefix else ""
        for name in dict.fromkeys(
            key.removeprefix(inside).partition("/")[0] for key in (GROUP, *self.sealed.sums) if key.startswith(inside)
        ):
            yield name


def of_block(marks: Marks, at: Place, name: str, key: str, sums: Sums | None = None) -> bytes:
    """Return ``marks.content``, or raise a ValueError that says what to do."""
    try:
        return marks.content(at, name, key, sums)
    except disk.Link:
        raise
    except disk.Damage as damage:
        if Sealed.read(marks.path).seal != marks.seal:
            raise ValueError(f"store {marks.path} has grown since it was opened: open it again") from damage
        mark = marks.path / marks.key(at)
        text = f"{damage}; to have its block trained again, remove {mark} and repeat the sweep"
        raise ValueError(text) from damage


def _part(content: bytes, asked: ByteRequest) -> bytes:
    """Return the bytes of a file that are asked for."""
    if isinstance(asked, RangeByteRequest):
        return content[asked.start : asked.end]
    begin = asked.offset if isinstance(asked, OffsetByteRequest) else max(0, len(content) - asked.suffix)
    return content[begin:]
