"""A sweep's store as it is read: blocks that are done, each checked, and nothing of those that are not."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from zarr.codecs import Crc32cCodec
from zarr.storage import LocalStore, WrapperStore

if TYPE_CHECKING:
    from zarr.abc.store import ByteRequest
    from zarr.core.buffer import Buffer, BufferPrototype

_SUM = Crc32cCodec()


class Checked(WrapperStore[LocalStore]):
    """The files of a store, of which chunks without their block's mark are not there, and damaged ones an error.

    Zarr itself takes a missing chunk for one of fill values, and reads whatever a crash left of a block that has no
    mark; its error about a check sum names no file. ``done`` has shape (conditions..., blocks), as read when the store
    was opened, so that all variables show the same blocks while others are written. ``names`` are the variables that
    are cut into blocks.
    """

    def __init__(self, store: LocalStore, done: NDArray[np.bool_], names: Collection[str]) -> None:
        super().__init__(store)
        self.done, self.names = done, frozenset(names)

    @classmethod
    def at(cls, path: Path, done: NDArray[np.bool_], names: Collection[str]) -> Checked:
        """Return the files in a folder, to be read only."""
        return cls(LocalStore(path, read_only=True), done, names)

    def _with_store(self, store: LocalStore) -> Checked:
        return type(self)(store, self.done, self.names)

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        """Return what a file holds, or None where there is none or its block is not done.

        Raises
        ------
        ValueError
            A file of a block that is done is missing or damaged: which, and what to do.
        """
        name, _, chunk = key.partition("/c/")
        if name not in self.names or not chunk:
            return await super().get(key, prototype, byte_range)
        at = tuple(map(int, chunk.split("/")))[: self.done.ndim]
        if not self.done[at]:
            return None
        held = await super().get(key, prototype, byte_range)
        if held is None:
            raise ValueError(self._told(key, at, "is missing"))
        if byte_range is None:
            spec: Any = SimpleNamespace(prototype=prototype)  # all of it that this codec reads
            try:
                await _SUM.decode([(held, spec)])
            except ValueError as error:
                raise ValueError(self._told(key, at, "is damaged: its checksum differs")) from error
        return held

    def _told(self, key: str, at: tuple[int, ...], what: str) -> str:
        root = self._store.root
        mark = root.joinpath("done", "c", *map(str, at))
        return f"file {root / key} {what}; to have its block trained again, remove {mark} and repeat the sweep"
