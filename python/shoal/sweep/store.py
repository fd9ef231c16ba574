"""The Zarr store of a sweep: made at once, filled block by block, gone on with by a later call.

An array has the dimensions of the conditions in front, then networks (a chunk is one block of one condition) or, of
statistics, blocks. The files of some blocks are written first and reach the disk; then their marks are renamed into
place, which hold the checksums. So a block has its mark only if all of it is there, and one without is trained again,
to the same bits. The checksums bind each file to its place and to the store's description (sealed.py).
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.spec.encoding import canonical, differences
from shoal.sweep import disk, grown, lock
from shoal.sweep.chunks import lead
from shoal.sweep.contents import Contents, plan_of
from shoal.sweep.create import create, fill, mend
from shoal.sweep.grown import Growth
from shoal.sweep.marks import DONE, Sums
from shoal.sweep.plan import Block, Plan
from shoal.sweep.sealed import GROUP, Sealed, check_sum
from shoal.version import VERSION

SOON = 1.0
"""Seconds after which the next block commits those that were written, so that a crash loses no more."""
GROUP_BLOCKS = 256


@dataclass
class Store:
    """A store that holds a sweep of this plan, to be filled.

    Files of blocks are written as they come. ``commit`` waits until the disk has those of all blocks that were written,
    which takes little longer than for one, and marks them as done.
    """

    held: Contents
    _written: dict[tuple[int, ...], tuple[int, Sums]] = field(default_factory=dict)
    _since: float = 0.0

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
                grown.recover(path)
                if not (path / GROUP).exists():
                    create(path, plan)
            sealed = Sealed.read(path)
            growth = check_same(sealed, plan)
            if growth is not None:
                with disk.clear_errors(path):
                    grown.grow(path, lambda new: _enlarged(new, plan, Contents.read(path), growth))
                sealed = Sealed.read(path)
            damaged = sealed.damaged()
            with disk.clear_errors(path):
                disk.remove_partial(path)
                mend(sealed, plan, damaged)
            store = cls(Contents.of(plan, sealed))
            with disk.clear_errors(path):
                for block in store.lost():
                    store.forget(block)
            try:
                yield store
            except BaseException:
                with contextlib.suppress(OSError):  # what ends the sweep is told
                    store.commit()
                raise
            store.commit()

    def done(self) -> NDArray[np.bool_]:
        """Return which blocks are done, shape (conditions, blocks)."""
        return self.held.done

    def lost(self) -> list[Block]:
        """Return the blocks whose mark is damaged, or one of whose files has gone or is too short."""
        filled = [chunk for chunk in self.held.chunks.values() if not chunk.empty]
        lost = []
        for block in self.held.held():
            at = (*self.held.at(block.condition), block.number)
            if self.held.marks.lost(at, {chunk.name: chunk.key(at) for chunk in filled}):
                lost.append(block)
        return lost

    def forget(self, block: Block) -> None:
        """Remove the mark of a block, which is then not done."""
        held = self.held
        mark = held.sealed.path / held.marks.key((*held.at(block.condition), block.number))
        mark.unlink()
        disk.to_disk(mark.parent)
        held.done[block.condition, block.number] = False
        held.some.pop((block.condition, block.number), None)

    def write(self, block: Block, result: Mapping[str, NDArray[Any]]) -> None:
        """Write what a block has. It is done when it is committed: here after a while, and at the end.

        Raises
        ------
        OSError
            It cannot be written, as on a full disk. No block is marked that is not on the disk.
        """
        held, path = self.held, self.held.sealed.path
        at, first = (*held.at(block.condition), block.number), lead(held.plan, block)
        sums: Sums = {}
        with disk.clear_errors(path):
            if block.begin > held.plan.ranges[block.number][0]:  # behind networks of a smaller sweep
                block, result = self._continued(block, result)
                first = lead(held.plan, block)
            for name, values in result.items():
                chunk = held.chunks[name]
                if chunk.empty:
                    continue
                key, content = chunk.key(at), chunk.encoded(values, first)
                sums[name] = len(content), check_sum(key, content, held.sealed.seal)
                disk.write(path, key, content)
        if not self._written:
            self._since = time.monotonic()
        self._written[at] = block.end - block.begin, sums
        if time.monotonic() - self._since >= SOON or len(self._written) >= GROUP_BLOCKS:
            self.commit()

    def _continued(self, block: Block, result: Mapping[str, NDArray[Any]]) -> tuple[Block, dict[str, NDArray[Any]]]:
        """Return a block with the networks that are there before it, which are trained again if this is not written."""
        begin, _ = self.held.plan.ranges[block.number]
        there = self.held.block(replace(block, begin=begin, end=block.begin))
        self.forget(block)
        whole = {name: np.concatenate([there[name], values]) for name, values in result.items()}
        return replace(block, begin=begin), whole

    def commit(self) -> None:
        """Mark the blocks that were written as done, once the disk has all of them.

        Raises
        ------
        OSError
            The disk does not take them: they are not done.
        """
        written, self._written = self._written, {}
        if not written:
            return
        held, path = self.held, self.held.sealed.path
        with disk.clear_errors(path):
            files = [path / held.chunks[name].key(at) for at, (_, sums) in written.items() for name in sums]
            disk.all_to_disk([*files, *disk.folders_of(path, files)])
            marks = {held.marks.key(at): held.marks.made(at, *one) for at, one in written.items()}
            partial = {key: disk.partial(path, key, mark) for key, mark in marks.items()}
            disk.all_to_disk(list(partial.values()))
            for key, file in partial.items():
                os.replace(file, path / key)
            disk.to_disk(path / DONE)


def _finished(path: Path, plan: Plan) -> Store | None:
    """Return the store of a plan if nothing is left to do: it may lie where nothing can be written."""
    if not path.exists() or not any(path.iterdir()):
        return None
    sealed = Sealed.read(path)
    if check_same(sealed, plan) is not None:
        return None
    store = Store(Contents.of(plan, sealed))
    return store if store.done().all() and not sealed.damaged() and not store.lost() else None


def _enlarged(path: Path, plan: Plan, smaller: Contents, growth: Growth) -> None:
    """Make the store of a plan with the blocks of a smaller one."""
    fill(path, plan)
    store = Store(Contents.of(plan, Sealed.read(path)))
    for block in smaller.held():
        begin, end = plan.ranges[block.number]
        # Of statistics the last block may end within networks that are taken together.
        if begin == block.begin and (end == block.end or (not plan.reduced and block.end < end)):
            store.write(replace(block, condition=growth.places[block.condition]), smaller.block(block))
    store.commit()


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


def check_same(sealed: Sealed, plan: Plan) -> Growth | None:
    """Return how the store has to grow, if it has to, or raise a ValueError with every difference."""
    from shoal import _core

    told = json.loads(canonical(plan.told))
    growth = Growth.of(sealed.told, plan)
    lines = [] if growth else differences(sealed.told, told)
    lines += differences({"shoal_version": sealed.shoal_version}, {"shoal_version": VERSION})
    if "baseline" in (sealed.isa, _core.isa):  # it alone has other bits, for it lacks fused multiply-add
        lines += differences({"isa": sealed.isa}, {"isa": _core.isa})
    if lines:
        head = f"store {sealed.path} holds another sweep; name another store, or repeat it:"
        raise ValueError("\n".join([head, *lines]))
    more = plan.networks > sealed.told["networks"]
    if plan.cuts != (*sealed.cuts, *([sealed.told["networks"]] if more else [])):
        raise RuntimeError(f"store {sealed.path} has grown since this call began: repeat it")
    return growth


def read_plan(path: Path) -> Plan:
    """Return the plan of a store."""
    return plan_of(Sealed.read(path.resolve()))
