"""The Zarr store of a sweep: made at once, filled block by block, resumed by a later call.

An array has the dimensions of the conditions in front, then networks (a chunk is one block of one condition) or, of
statistics, blocks. The files of some blocks are written first and reach the disk; then their marks, which hold the
checksums, are renamed into place. So a block has its mark only if all of it is there. One without is trained again, to
the same bits.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.spec.encoding import canonical, decode, differences
from shoal.sweep import disk, made
from shoal.sweep.conditions import regrid
from shoal.sweep.disk import BYTES, GROUP, Sealed, check_sum, sound
from shoal.sweep.made import COUNT, DONE, ENTRY, GIVEN, SEPARATOR, Chunk, fill, lead, mark_length
from shoal.sweep.plan import Block, Plan, Result
from shoal.version import VERSION

SOON = 1.0
"""Seconds after which the next block commits those that were written, so that a crash loses no more."""
GROUP_BLOCKS = 256
Place = tuple[int, ...]
Sums = dict[str, tuple[int, bytes]]
"""Size and checksum of the files of a block, by variable."""


class Store:
    """A store that holds a sweep of this plan, to be read or filled.

    ``there`` are the networks of each block that is marked, shape (conditions, blocks), as read when the store was
    opened: all of them, or those of a smaller sweep from which the store has grown.
    """

    def __init__(self, plan: Plan, sealed: Sealed) -> None:
        self.plan, self.sealed, self.chunks = plan, sealed, Chunk.of(plan)
        self._written: dict[Place, tuple[int, Sums]] = {}
        self._since = 0.0
        self.there = self._marked() * plan.sizes
        for number in plan.continued:
            for condition in np.flatnonzero(self.there[:, number]).tolist():
                with contextlib.suppress(disk.Damage):  # which is raised when the block is read
                    networks, _ = self._mark(self.at(condition, number))
                    self.there[condition, number] = min(networks, plan.sizes[number])

    @classmethod
    def read(cls, path: Path) -> Store:
        """Return the store at ``path``."""
        sealed = Sealed.read(made.place(path.resolve()))
        return cls(plan_of(sealed), sealed)

    @classmethod
    @contextlib.contextmanager
    def opened(cls, path: Path, plan: Plan) -> Iterator[Store]:
        """Hold the lock of the store of a plan, which is made if there is none; of a finished one hold nothing."""
        path = path.resolve()
        check(path)
        finished = _finished(path, plan)
        if finished is not None:
            yield finished
            return
        with contextlib.ExitStack() as held:
            with disk.clear_errors(path):
                held.enter_context(disk.locked(path))
                made.recover(path)
                if not (path / GROUP).exists():
                    made.put(path, lambda new: fill(new, plan))
            sealed = Sealed.read(path)
            places = check_same(sealed, plan)
            if places is not None:
                with disk.clear_errors(path):
                    made.put(path, lambda new: _enlarge(new, plan, cls.read(path), places))
                sealed = Sealed.read(path)
            damaged = sealed.damaged()
            with disk.clear_errors(path):
                disk.remove_partial(path)
                made.mend(sealed, damaged, plan)
            store = cls(plan, sealed)
            with disk.clear_errors(path):
                for block in store.lost():
                    store.forget(block)
            try:
                yield store
            except BaseException:
                with contextlib.suppress(OSError):  # the error that ends the sweep is raised
                    store.commit()
                raise
            store.commit()

    @property
    def complete(self) -> bool:
        """Whether nothing is left to train."""
        return bool((self.there == self.plan.sizes).all())

    def held(self) -> Iterator[Block]:
        """Return the blocks that have a mark, with the networks that they have."""
        for condition, number in np.argwhere(self.there).tolist():
            begin = int(self.plan.ranges[number, 0])
            yield Block(condition, number, begin, begin + int(self.there[condition, number]))

    def at(self, condition: int, number: int) -> Place:
        """Return the place of a block in the arrays."""
        shape = self.plan.conditions.shape
        return (*(map(int, np.unravel_index(condition, shape)) if shape else ()), number)

    def _marked(self) -> NDArray[np.bool_]:
        """Return which blocks have a mark, whatever it holds; shape (conditions, blocks)."""
        shape = (*self.plan.conditions.shape, len(self.plan.ranges))
        found = np.zeros(shape, bool)
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            with os.scandir(self.sealed.path / DONE) as scan:
                entries = list(scan)
            for entry in entries:
                at = tuple(int(number) for number in entry.name.split(SEPARATOR)[1:] if number.isdecimal())
                if _mark_key(at) != f"{DONE}/{entry.name}" or len(at) != len(shape):
                    continue
                if entry.is_symlink():
                    raise disk.Link(self.sealed.path / DONE / entry.name)
                if all(number < most for number, most in zip(at, shape, strict=True)):
                    found[at] = True
        return found.reshape(self.plan.conditions.count, -1)

    def _mark(self, at: Place) -> tuple[int, Sums]:
        """Return the networks and files of a block; raise Damage if its mark is of another one, damaged or missing."""
        key = _mark_key(at)
        content = disk.read(self.sealed.path, key)
        summed, rest = content[:BYTES], content[BYTES:]
        if summed != check_sum(key, rest, self.sealed.seal) or len(content) != mark_length(len(self.chunks)):
            raise disk.Damage(self.sealed.path / key, "is damaged: its checksum differs")
        files = zip(self.chunks, ENTRY.iter_unpack(rest[COUNT.size :]), strict=True)
        return int(COUNT.unpack_from(rest)[0]), dict(files)

    def block(self, block: Block, names: Iterable[str] | None = None) -> Result:
        """Return the arrays of a block, or those with these names; a ValueError names a damaged file."""
        at, first, found, path = self.at(block.condition, block.number), lead(self.plan, block), {}, self.sealed.path
        try:
            _, sums = self._mark(at)
            for name in self.chunks if names is None else names:
                chunk = self.chunks[name]
                if chunk.empty:
                    found[name] = np.zeros(chunk.shape, chunk.dtype)
                    continue
                values = chunk.decoded(sound(path, chunk.key(at), sums[name][1], self.sealed.seal))
                found[name] = values[first : first + block.end - block.begin] if chunk.rows else values
        except disk.Damage as damage:
            if Sealed.read(path).seal != self.sealed.seal:
                raise ValueError(f"store {path} has grown since it was opened: open it again") from damage
            text = f"{damage}; to have its block trained again, remove {path / _mark_key(at)} and repeat the sweep"
            raise ValueError(text) from damage
        return found

    def lost(self) -> list[Block]:
        """Return the blocks whose mark is damaged, or one of whose files has gone or has another size."""
        return [block for block in self.held() if self._lost(self.at(block.condition, block.number))]

    def _lost(self, at: Place) -> bool:
        try:
            _, sums = self._mark(at)
            filled = (chunk for chunk in self.chunks.values() if not chunk.empty)
            return any(disk.size(self.sealed.path, chunk.key(at)) != sums[chunk.name][0] for chunk in filled)
        except disk.Damage:
            return True

    def forget(self, block: Block) -> None:
        """Remove the mark of a block, whose networks are then not there."""
        mark = self.sealed.path / _mark_key(self.at(block.condition, block.number))
        mark.unlink()
        disk.to_disk(mark.parent)
        self.there[block.condition, block.number] = 0

    def write(self, block: Block, result: Result) -> None:
        """Write a block, which is done when it is committed: here after a while, and at the end."""
        path, at, sums = self.sealed.path, self.at(block.condition, block.number), {}
        begin = int(self.plan.ranges[block.number, 0])
        with disk.clear_errors(path):
            if block.begin > begin:  # behind networks of a smaller sweep; they are trained again if this is not written
                there = self.block(replace(block, begin=begin, end=block.begin))
                self.forget(block)
                result = {name: np.concatenate([there[name], values]) for name, values in result.items()}
                block = replace(block, begin=begin)
            for name, values in result.items():
                chunk = self.chunks[name]
                if chunk.empty:
                    continue
                key, content = chunk.key(at), chunk.encoded(values, lead(self.plan, block))
                sums[name] = len(content), check_sum(key, content, self.sealed.seal)
                disk.write(path, key, content)
        if not self._written:
            self._since = time.monotonic()
        self._written[at] = block.end - block.begin, sums
        if time.monotonic() - self._since >= SOON or len(self._written) >= GROUP_BLOCKS:
            self.commit()

    def commit(self) -> None:
        """Mark the blocks that were written as done, once the disk has all of them."""
        written, self._written = self._written, {}
        if not written:
            return
        path, seal = self.sealed.path, self.sealed.seal
        with disk.clear_errors(path):
            keys = (self.chunks[name].key(at) for at, (_, sums) in written.items() for name in sums)
            disk.tree_to_disk(path, map(path.joinpath, keys))
            partial = {}
            for at, (networks, sums) in written.items():
                entries = (ENTRY.pack(*sums.get(name, (0, b""))) for name in self.chunks)
                rest, key = COUNT.pack(networks) + b"".join(entries), _mark_key(at)
                partial[path / key] = disk.partial(path, key, check_sum(key, rest, seal) + rest)
            disk.all_to_disk(partial.values())
            for mark, file in partial.items():
                os.replace(file, mark)
            disk.to_disk(path / DONE)


def _mark_key(at: Place) -> str:
    """Return the place of a block's mark, which in Zarr is a chunk of the array ``done``."""
    return f"{DONE}/{SEPARATOR.join(('c', *map(str, at)))}"


def _finished(path: Path, plan: Plan) -> Store | None:
    """Return the store of a plan if nothing is left to do: it may lie where nothing can be written."""
    if not path.exists() or not any(path.iterdir()):
        return None
    sealed = Sealed.read(path)
    if check_same(sealed, plan) is not None:
        return None
    store = Store(plan, sealed)
    return store if store.complete and not sealed.damaged() and not store.lost() else None


def _enlarge(path: Path, plan: Plan, smaller: Store, places: list[int]) -> None:
    """Make the store of a plan with the blocks of a smaller one, whose conditions have these ``places``."""
    fill(path, plan)
    store = Store(plan, Sealed.read(path))
    for block in smaller.held():
        begin, end = plan.ranges[block.number].tolist()
        # Of statistics the last block may end within networks that are taken together.
        if begin == block.begin and (end == block.end or (not plan.reduced and block.end < end)):
            store.write(replace(block, condition=places[block.condition]), smaller.block(block))
    store.commit()


def check(path: Path) -> None:
    """Raise a ValueError if something is at ``path`` that is neither empty nor a sweep's store."""
    if not path.exists():
        if not path.parent.is_dir():
            raise ValueError(f"store must lie in a folder that exists, got {path}")
        return
    if not path.is_dir():
        raise ValueError(f"store must be a folder that sweep made, or a new one, got the file {path}")
    if any(path.iterdir()):
        Sealed.read(path)


def check_same(sealed: Sealed, plan: Plan) -> list[int] | None:
    """Return the places of the store's conditions if it has to grow, or raise a ValueError with every difference."""
    from shoal import _core

    places = made.growth(sealed.told, plan)
    lines = [] if places else differences(sealed.told, json.loads(canonical(plan.told)))
    lines += differences({"shoal_version": sealed.shoal_version}, {"shoal_version": VERSION})
    if "baseline" in (sealed.isa, _core.isa):  # it alone has other bits, for it lacks fused multiply-add
        lines += differences({"isa": sealed.isa}, {"isa": _core.isa})
    if lines:
        head = f"store {sealed.path} holds another sweep; name another store, or repeat it:"
        raise ValueError("\n".join([head, *lines]))
    more = plan.networks > sealed.told["networks"]
    if plan.cuts != (*sealed.cuts, *([sealed.told["networks"]] if more else [])):
        raise RuntimeError(f"store {sealed.path} has grown since this call began: repeat it")
    return places


def plan_of(sealed: Sealed) -> Plan:
    """Return the sweep of a store; a ValueError if its specification or an array of it cannot be read."""
    import zarr

    def load(digest: str) -> NDArray[Any]:
        for key in (f"{GIVEN}/zarr.json", *(key for key in sealed.sums if key.startswith(f"{GIVEN}/{digest}/"))):
            try:
                sealed.content(key)
            except disk.Damage as damage:
                raise ValueError(f"{damage}; repeat the sweep, which makes it again") from damage
        array: Any = zarr.open_array(sealed.path / GIVEN / digest, mode="r")
        return np.asarray(array[...])

    try:
        given = decode(sealed.told, load)
        return Plan.of(**{**given, "over": regrid(given["over"])}, before=sealed.before)
    except (KeyError, TypeError) as error:
        raise ValueError(
            f"file {sealed.path / GROUP} holds a specification of shoal {sealed.shoal_version}, "
            f"which shoal {VERSION} cannot read ({error}): open it with that version"
        ) from error


def read_plan(path: Path) -> Plan:
    """Return the plan of a store."""
    return plan_of(Sealed.read(path.resolve()))
