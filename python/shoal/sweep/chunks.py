"""The files of a block as Zarr lays them out, without Zarr, which takes milliseconds for each of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.sweep.plan import Block, Plan

SEPARATOR = "."
"""Of the numbers in a chunk's name: all chunks of an array are in one folder, whose names reach the disk at once."""
LEVEL = 1
_SUM = 4  # bytes of a CRC32C, behind the content


@dataclass(frozen=True)
class Chunk:
    """The chunks of one variable: one per block, with values of ``shape``, of which ``rows`` are networks if not 0."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    rows: int

    @classmethod
    def of(cls, plan: Plan) -> dict[str, Chunk]:
        """Return the chunks of all variables of a plan, by name."""
        if plan.reduced:
            return {name: cls(name, held.shape, held.dtype, 0) for name, held in plan.statistics.items()}
        count = rows(plan)
        variables = plan.templates[0].variables.items()
        return {name: cls(name, (count, *held.shape[1:]), held.dtype, count) for name, (_, held, _) in variables}

    @property
    def fill_value(self) -> Any:
        """What stands for a value that is not there."""
        return {"f": np.nan, "b": False}.get(self.dtype.kind, -1)

    @property
    def empty(self) -> bool:
        """Whether there are no values, and so no files."""
        return not math.prod(self.shape)

    def key(self, at: tuple[int, ...]) -> str:
        """Return the place of a chunk, ``at`` a condition and block."""
        rest = len(self.shape) - bool(self.rows)
        return f"{self.name}/c{SEPARATOR}{SEPARATOR.join(map(str, (*at, *[0] * rest)))}"

    def encoded(self, values: NDArray[Any], lead: int) -> bytes:
        """Return the file of values, of networks from row ``lead`` on."""
        from google_crc32c import value
        from numcodecs.zstd import Zstd

        if self.rows:
            whole = np.full(self.shape, self.fill_value, self.dtype)
            whole[lead : lead + len(values)] = values
            values = whole
        packed: bytes = Zstd(LEVEL).encode(np.ascontiguousarray(values, self.dtype.newbyteorder("<")))
        return packed + int(value(packed)).to_bytes(_SUM, "little")

    def decoded(self, content: bytes) -> NDArray[Any]:
        """Return the values of a file, whose content is known to be sound."""
        from numcodecs.zstd import Zstd

        whole: NDArray[Any] = np.frombuffer(Zstd().decode(content[:-_SUM]), self.dtype.newbyteorder("<"))
        return whole.reshape(self.shape)


def offset(plan: Plan) -> int:
    """Return how many rows are before the first network, so that chunks begin where blocks do."""
    return 0 if plan.reduced or len(plan.ranges) == 1 else plan.first_network % plan.block


def rows(plan: Plan) -> int:
    """Return how many networks a chunk has where each network is kept."""
    return plan.networks if len(plan.ranges) == 1 else plan.block


def lead(plan: Plan, block: Block) -> int:
    """Return how many rows of a chunk are before the first network of its block."""
    return 0 if plan.reduced else block.begin + offset(plan) - block.number * rows(plan)
