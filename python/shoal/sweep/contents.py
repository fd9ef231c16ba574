"""What a store holds: its sweep, which of its blocks are done, and its arrays, each file checked as it is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from shoal.sweep.create import GIVEN
from shoal.sweep.marks import Marks
from shoal.sweep.plan import Plan
from shoal.sweep.sealed import GROUP, Sealed
from shoal.version import VERSION

if TYPE_CHECKING:
    from shoal.sweep.checked import Checked


@dataclass(frozen=True)
class Contents:
    """A store of a plan, read to where it is filled. ``done`` has shape (conditions, blocks)."""

    plan: Plan
    sealed: Sealed
    marks: Marks
    done: NDArray[np.bool_]
    files: Checked
    arrays: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path) -> Contents:
        """Return what the store at ``path`` holds.

        Raises
        ------
        ValueError
            It is no store of a sweep; a file of it is missing, damaged, or a symbolic link: which, and what to do.
        """
        sealed = Sealed.read(path.resolve())
        plan = plan_of(sealed)
        marks = marks_of(sealed, plan)
        return cls.of(plan, sealed, marks, marks.listed())

    @classmethod
    def of(
        cls, plan: Plan, sealed: Sealed, marks: Marks, listed: NDArray[np.bool_], *, read_only: bool = True
    ) -> Contents:
        """Return the contents of a store whose blocks with these marks count as done."""
        import zarr

        from shoal.sweep.checked import Checked

        files = Checked.of(sealed, marks, listed, read_only=read_only)
        # Empty chunks are written, too, so that a block that is done has all its files.
        with zarr.config.set({"array.write_empty_chunks": True}):
            group = zarr.open_group(files, mode="r" if read_only else "r+", use_consolidated=False)
            arrays: dict[str, Any] = {name: group[name] for name in plan.names}
        return cls(plan, sealed, marks, listed.reshape(plan.conditions.count, -1), files, arrays)

    def block(self, condition: int, number: int) -> dict[str, NDArray[Any]]:
        """Return what a block of statistics keeps."""
        at = (*self.at(condition), number)
        return {name: np.asarray(array[at]) for name, array in self.arrays.items()}

    def at(self, condition: int) -> tuple[int, ...]:
        """Return the place of a condition in front of the arrays."""
        shape = self.plan.conditions.shape
        return tuple(int(i) for i in np.unravel_index(condition, shape)) if shape else ()


def marks_of(sealed: Sealed, plan: Plan) -> Marks:
    """Return the marks of a store, as far as they are there."""
    return Marks(sealed.path, sealed.seal, plan.names, (*plan.conditions.shape, len(plan.ranges)))


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
    files = Checked.of(sealed, nothing, np.zeros((), bool), read_only=True)
    group = zarr.open_group(files, mode="r", use_consolidated=False)

    def load(digest: str) -> NDArray[Any]:
        array: Any = group[f"{GIVEN}/{digest}"]
        return np.asarray(array[...])

    try:
        return Plan.read(sealed.told, load)
    except (KeyError, TypeError) as error:
        raise ValueError(
            f"file {sealed.path / GROUP} holds a specification of shoal {sealed.shoal_version}, "
            f"which shoal {VERSION} cannot read ({error}): open it with that version"
        ) from error
