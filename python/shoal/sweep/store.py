"""The Zarr store of a sweep: made at once, filled block by block, gone on with by a later call.

An array has the dimensions of the conditions in front, then networks (a chunk is one block of one condition) or, of
statistics, blocks. A block's files are written first and reach the disk; then its mark is renamed into place, which
holds their checksums. So a block has its mark only where all of it is there, and one without is trained again, to the
same bits. The checksums bind each file to its place and to the store's description (sealed.py).
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.spec.encoding import canonical, differences
from shoal.sweep import disk, lock
from shoal.sweep.contents import Contents, marks_of, plan_of
from shoal.sweep.create import create, mend, offset, rows
from shoal.sweep.plan import Block, Plan
from shoal.sweep.sealed import GROUP, Sealed
from shoal.version import VERSION


@dataclass(frozen=True)
class Store:
    """A store that holds a sweep of this plan, to be filled."""

    held: Contents
    _on_disk: set[Path] = field(default_factory=set)
    """Folders that are known to be on the disk themselves."""

    @classmethod
    @contextlib.contextmanager
    def opened(cls, path: Path, plan: Plan) -> Iterator[Store]:
        """Hold the lock of the store of a plan, which is made where there is none; of a finished one nothing is held.

        Raises
        ------
        ValueError
            There is something else in its place, or a store of another sweep: each difference; or a file of it is
            damaged and cannot be made again: which, and what to do.
        RuntimeError
            Another process works on it.
        OSError
            It cannot be written.
        """
        path = path.resolve()
        check(path)
        finished = _finished(path, plan)
        if finished is not None:
            yield finished
            return
        with contextlib.ExitStack() as held:
            with disk.clear_errors(path):
                held.enter_context(lock.locked(path))
                if not (path / GROUP).exists():
                    create(path, plan)
            sealed = Sealed.read(path)
            check_same(sealed, plan)
            damaged = sealed.damaged()
            with disk.clear_errors(path):
                disk.remove_partial(path)
                mend(sealed, plan, damaged)
            marks = marks_of(sealed, plan)
            store = cls(Contents.of(plan, sealed, marks, marks.listed(), read_only=False))
            lost = store.lost()
            with disk.clear_errors(path):
                for at in lost:
                    (path / marks.key(at)).unlink()
                    store.held.files.done[at] = False
            yield store

    def done(self) -> NDArray[np.bool_]:
        """Return which blocks are done, shape (conditions, blocks)."""
        return self.held.done

    def lost(self) -> list[tuple[int, ...]]:
        """Return the places of blocks that are done and whose mark or one of whose files has gone or is too short."""
        marks, done = self.held.marks, self.held.files.done
        places = [tuple(map(int, at)) for at in np.argwhere(done)]
        return [at for at in places if marks.lost(at, {name: self._key(name, at) for name in self._filled()})]

    def write(self, block: Block, result: Mapping[str, NDArray[Any]]) -> None:
        """Keep what a block has, then mark it as done.

        Raises
        ------
        OSError
            It cannot be written, as on a full disk. The block is then not marked, and no other is touched.
        """
        held, plan, path = self.held, self.held.plan, self.held.sealed.path
        where, at = held.at(block.condition), (*held.at(block.condition), block.number)
        held.files.noted.clear()
        with disk.clear_errors(path):
            for name, values in result.items():
                array = held.arrays[name]
                if plan.reduced:
                    array[at] = values
                else:
                    first = block.begin + offset(plan)
                    # From the beginning of the chunk, so that nothing of it is read before it is written.
                    lead = first - block.number * rows(plan)
                    padding = np.full((lead, *values.shape[1:]), array.fill_value, values.dtype)
                    array[(*where, slice(first - lead, first + len(values)))] = np.concatenate([padding, values])
            mark = held.marks.made(at, held.files.noted)
            files = [path / self._key(name, at) for name in held.files.noted]
            for file in files:
                disk.to_disk(file)
            self._names_to_disk(files)
            disk.write(path, held.marks.key(at), mark, wait=True)
            self._names_to_disk([path / held.marks.key(at)])

    def _key(self, name: str, at: tuple[int, ...]) -> str:
        """Return the place of the file of a variable and block."""
        array = self.held.arrays[name]
        key: str = array.metadata.encode_chunk_key((*at, *[0] * (array.ndim - len(at))))
        return f"{name}/{key}"

    def _filled(self) -> list[str]:
        """Return the variables that have values, and so files."""
        return [name for name, array in self.held.arrays.items() if array.size]

    def _names_to_disk(self, files: list[Path]) -> None:
        """Wait until all names that lead to files are on the disk; a folder that has no new one is left out."""
        changed = {file.parent for file in files}
        for folder in disk.folders_of(self.held.sealed.path, files):
            if folder in self._on_disk and folder not in changed:
                continue
            disk.to_disk(folder)
            if folder not in self._on_disk:  # it may be new itself
                changed.add(folder.parent)
                self._on_disk.add(folder)


def _finished(path: Path, plan: Plan) -> Store | None:
    """Return the store of a plan if nothing is left to do: it may lie where nothing can be written."""
    if not path.exists() or not any(path.iterdir()):
        return None
    sealed = Sealed.read(path)
    check_same(sealed, plan)
    marks = marks_of(sealed, plan)
    listed = marks.listed()
    if not listed.all() or sealed.damaged():
        return None
    store = Store(Contents.of(plan, sealed, marks, listed))
    return None if store.lost() else store


def check(path: Path) -> None:
    """Raise a ValueError where something stands at ``path`` that is neither empty nor a sweep's store."""
    if not path.exists():
        if not path.parent.is_dir():
            raise ValueError(f"store must lie in a folder that exists, got {path}")
        return
    if not path.is_dir():
        raise ValueError(f"store must be a folder that sweep made, or a new one, got the file {path}")
    if any(path.iterdir()):
        Sealed.read(path)


def check_same(sealed: Sealed, plan: Plan) -> None:
    """Raise a ValueError where the store is not of this sweep, with every difference."""
    from shoal import _core

    lines = differences(sealed.told, json.loads(canonical(plan.told)))
    lines += differences({"shoal_version": sealed.shoal_version}, {"shoal_version": VERSION})
    if "baseline" in (sealed.isa, _core.isa):  # it alone has other bits, for it lacks fused multiply-add
        lines += differences({"isa": sealed.isa}, {"isa": _core.isa})
    if lines:
        head = f"store {sealed.path} holds another sweep; name another store, or repeat it:"
        raise ValueError("\n".join([head, *lines]))


def read_plan(path: Path) -> Plan:
    """Return the plan of a store."""
    return plan_of(Sealed.read(path.resolve()))
