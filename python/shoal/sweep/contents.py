"""What a store holds: its sweep, which of its blocks are done, and its arrays, each file checked as it is read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from shoal.sweep import disk
from shoal.sweep.chunks import Chunk, lead
from shoal.sweep.create import GIVEN
from shoal.sweep.grown import place
from shoal.sweep.marks import Marks
from shoal.sweep.plan import Block, Plan
from shoal.sweep.sealed import GROUP, Sealed
from shoal.version import VERSION

if TYPE_CHECKING:
    from shoal.sweep.checked import Checked


@dataclass(frozen=True)
class Contents:
    """A store of a plan, read to where it is filled. ``done`` has shape (conditions, blocks).

    ``some`` says of blocks that are not done how many of their networks are there, by condition and number: those of a
    smaller sweep from which the store has grown.
    """

    plan: Plan
    sealed: Sealed
    marks: Marks
    done: NDArray[np.bool_]
    chunks: Mapping[str, Chunk]
    some: dict[tuple[int, int], int]

    @classmethod
    def read(cls, path: Path) -> Contents:
        """Return what the store at ``path`` holds.

        Raises
        ------
        ValueError
            It is no store of a sweep; a file of it is missing, damaged, or a symbolic link: which, and what to do.
        """
        sealed = Sealed.read(place(path.resolve()))
        return cls.of(plan_of(sealed), sealed)

    @classmethod
    def of(cls, plan: Plan, sealed: Sealed) -> Contents:
        """Return the contents of a store of a plan."""
        marks = Marks(sealed.path, sealed.seal, plan.names, (*plan.conditions.shape, len(plan.ranges)))
        done = marks.listed().reshape(plan.conditions.count, -1)
        held = cls(plan, sealed, marks, done, Chunk.of(plan), {})
        for number in plan.continued:
            begin, end = plan.ranges[number]
            for condition in np.flatnonzero(done[:, number]).tolist():
                try:
                    networks = marks.networks((*held.at(condition), number))
                except disk.Link:
                    raise
                except disk.Damage:
                    continue  # which is said when the block is read
                if networks < end - begin:
                    held.some[condition, number] = networks
                    done[condition, number] = False
        return held

    @property
    def marked(self) -> NDArray[np.bool_]:
        """Which blocks have a mark, done or not; shape (conditions, blocks)."""
        marked = self.done.copy()
        for at in self.some:
            marked[at] = True
        return marked

    @property
    def files(self) -> Checked:
        """The files as Zarr reads them."""
        from shoal.sweep.checked import Checked

        return Checked.of(self.sealed, self.marks, self.marked.reshape(self.marks.shape))

    def block(self, block: Block, names: Iterable[str] | None = None) -> dict[str, NDArray[Any]]:
        """Return what a block that is done keeps, or those of its variables with these names.

        Raises
        ------
        ValueError
            A file is missing or damaged: which, and what to do.
        """
        from shoal.sweep.checked import of_block

        at, sums, read = (*self.at(block.condition), block.number), None, {}
        first = lead(self.plan, block)
        for name in self.chunks if names is None else names:
            chunk = self.chunks[name]
            if chunk.empty:
                read[name] = np.zeros(chunk.shape, chunk.dtype)
                continue
            content = of_block(self.marks, at, name, chunk.key(at), sums)
            sums = sums or self.marks.read(at)
            values = chunk.decoded(content)
            read[name] = values[first : first + block.end - block.begin] if chunk.rows else values
        return read

    def held(self) -> Iterator[Block]:
        """Return the blocks that have a mark, with the networks that they have."""
        for block in self.plan.blocks(~self.marked):
            networks = self.some.get((block.condition, block.number), block.end - block.begin)
            yield replace(block, end=block.begin + networks)

    def at(self, condition: int) -> tuple[int, ...]:
        """Return the place of a condition in front of the arrays."""
        shape = self.plan.conditions.shape
        return tuple(int(i) for i in np.unravel_index(condition, shape)) if shape else ()


def plan_of(sealed: Sealed) -> Plan:
    """Return the sweep of which a store was made.

    Raises
    ------
    ValueError
        Its specification means nothing to this version of shoal; or an array of it is not as it was written.
    """
    import zarr

    from shoal.sweep.checked import Checked

    nothing = Marks(sealed.path, sealed.seal, (), ())
    files = Checked.of(sealed, nothing, np.zeros((), bool))
    group = zarr.open_group(files, mode="r", use_consolidated=False)

    def load(digest: str) -> NDArray[Any]:
        array: Any = group[f"{GIVEN}/{digest}"]
        return np.asarray(array[...])

    try:
        return Plan.read(sealed.told, sealed.cuts, load)
    except (KeyError, TypeError) as error:
        raise ValueError(
            f"file {sealed.path / GROUP} holds a specification of shoal {sealed.shoal_version}, "
            f"which shoal {VERSION} cannot read ({error}): open it with that version"
        ) from error
