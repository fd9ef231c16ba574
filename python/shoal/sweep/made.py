"""A store as it is made: laid out for Zarr beside its place, and moved there whole, new or grown from a smaller one.

A process that is killed meanwhile leaves the smaller store, in its place or beside it, where every call finds it.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.spec.encoding import canonical
from shoal.sweep import disk, template
from shoal.sweep.disk import GROUP, Sealed, check_sum
from shoal.sweep.plan import Before, Block, Plan
from shoal.version import VERSION

DONE = "done"
GIVEN = "given"
SEPARATOR = "."
"""Separates the numbers in a chunk's name: all chunks of an array are in one folder, synced to the disk at once."""
COUNT = struct.Struct("<Q")
ENTRY = struct.Struct(f"<Q{disk.BYTES}s")
"""One entry of a mark, which holds a checksum of the rest, the number of networks, and one entry per variable: size and
checksum of its file, or zeros."""
_LEVEL = 1  # of compression
_SUM = 4  # bytes of a CRC32C, behind the content
Sizes = tuple[int, ...]
_KEYS: Any = {"name": "default", "separator": SEPARATOR}


@dataclass(frozen=True)
class Chunk:
    """The chunks of one variable: one per block, with values of ``shape``, of which ``rows`` are networks if not 0.

    Zarr itself would take milliseconds for each of them.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    rows: int

    @classmethod
    def of(cls, plan: Plan) -> dict[str, Chunk]:
        """Return the chunks of all variables of a plan, by name."""
        if plan.reduced:
            return {name: cls(name, held.shape, held.dtype, 0) for name, held in plan.statistics.items()}
        rows = _rows(plan)
        variables = plan.templates[0].variables.items()
        return {name: cls(name, (rows, *held.shape[1:]), held.dtype, rows) for name, (_, held, _) in variables}

    @property
    def fill_value(self) -> Any:
        """Stands for a value that is not there."""
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
        packed: bytes = Zstd(_LEVEL).encode(np.ascontiguousarray(values, self.dtype.newbyteorder("<")))
        return packed + int(value(packed)).to_bytes(_SUM, "little")

    def decoded(self, content: bytes) -> NDArray[Any]:
        """Return the values of a file, whose content is known to be sound."""
        from numcodecs.zstd import Zstd

        whole: NDArray[Any] = np.frombuffer(Zstd().decode(content[:-_SUM]), self.dtype.newbyteorder("<"))
        return whole.reshape(self.shape)


def offset(plan: Plan) -> int:
    """Return the number of rows before the first network, so that chunks begin with blocks."""
    return 0 if plan.reduced or len(plan.ranges) == 1 else plan.first_network % plan.block


def lead(plan: Plan, block: Block) -> int:
    """Return the number of rows of a chunk before the first network of its block."""
    return 0 if plan.reduced else block.begin + offset(plan) - block.number * _rows(plan)


def _rows(plan: Plan) -> int:
    return plan.networks if len(plan.ranges) == 1 else plan.block


def mark_length(variables: int) -> int:
    """Return the bytes of the mark of a block."""
    return disk.BYTES + COUNT.size + ENTRY.size * variables


def fill(path: Path, plan: Plan) -> None:
    """Make all files of a store but those of the blocks."""
    import xarray
    import zarr
    from zarr.codecs import Crc32cCodec, ZstdCodec

    from shoal import _core

    compressors: Any = [ZstdCodec(level=_LEVEL), Crc32cCodec()]
    coordinates = template.stacked(plan.conditions, plan.templates)
    encoding = {name: {"compressors": compressors} for name in coordinates}
    xarray.Dataset(coords=coordinates).to_zarr(path, mode="w-", zarr_format=3, consolidated=False, encoding=encoding)
    group = zarr.open_group(path, mode="r+")
    names, shape = plan.conditions.names, plan.conditions.shape

    def add(name: str, sizes: Sizes, chunks: Sizes, dims: tuple[str, ...], **rest: Any) -> None:
        group.create_array(
            name,
            shape=(*shape, *sizes),
            chunks=(*(1 for _ in shape), *(max(1, size) for size in chunks)),
            dimension_names=(*names, *dims),
            chunk_key_encoding=_KEYS,
            **rest,
        )

    variables = Chunk.of(plan)
    for name, chunk in variables.items():
        kind: Any = {"dtype": chunk.dtype, "fill_value": chunk.fill_value, "compressors": compressors}
        if plan.reduced:
            dims: tuple[str, ...] = ("block", *(f"{name}_{axis}" for axis in range(len(chunk.shape))))
            add(name, (len(plan.ranges), *chunk.shape), (1, *chunk.shape), dims, **kind)
        else:
            dims, _, attrs = plan.templates[0].variables[name]
            rows = offset(plan) + plan.networks
            add(name, (rows, *chunk.shape[1:]), chunk.shape, dims, attributes=attrs, **kind)
    length = mark_length(len(variables))
    about = {"long_name": f"marks of blocks, {length} bytes each; 0 where a block is not done"}
    kind = {"dtype": "uint8", "fill_value": 0, "compressors": None, "attributes": about}
    add(DONE, (length * len(plan.ranges),), (length,), ("done_byte",), **kind)
    given = group.create_group(GIVEN)
    specification, arrays = plan.specification(plan.networks)
    for digest, values in arrays.items():
        given.create_array(digest, shape=values.shape, dtype=values.dtype)[...] = values
    told: dict[str, Any] = {"specification": canonical(specification), "shoal_version": VERSION, "isa": _core.isa}
    told["cuts"] = list(plan.cuts)
    if not plan.reduced:
        told["network_of_row_0"] = plan.first_network - offset(plan)
    disk.close(path, told)


def place(path: Path) -> Path:
    """Return the folder of a store, which is beside its place if a process was killed while a larger one took it."""
    return path if path.exists() or not _smaller(path).exists() else _smaller(path)


def recover(path: Path) -> None:
    """Put a store back into its place, or remove one that a larger one has replaced."""
    smaller = _smaller(path)
    if path.exists():
        shutil.rmtree(smaller, ignore_errors=True)
    elif smaller.exists():
        os.rename(smaller, path)


def _smaller(path: Path) -> Path:
    return path.with_name(f".{path.name}.shoal-old")


def put(path: Path, make: Callable[[Path], None]) -> None:
    """Put a store that ``make`` makes in a folder into its place, for a smaller one if there is one."""
    with _beside(path, make) as new:
        disk.tree_to_disk(new, (file for file in new.rglob("*") if file.is_file()))
        if (path / GROUP).exists():
            os.rename(path, _smaller(path))
        os.rename(new, path)
        disk.to_disk(path.parent)
    recover(path)


def mend(held: Sealed, damaged: Mapping[str, disk.Damage], plan: Plan) -> None:
    """Make damaged files again that were made with the store."""
    if not damaged:
        return
    with _beside(held.path, lambda new: fill(new, plan)) as new:
        for key, damage in damaged.items():
            content = (new / key).read_bytes() if (new / key).is_file() else b""
            if check_sum(key, content).hex() != held.sums[key]:  # other versions of libraries may write other bytes
                raise ValueError(
                    f"{damage}, and it is not the same when it is made again: "
                    "restore it from a copy, or repeat the sweep into another store"
                ) from damage
            disk.write(held.path, key, content)
    disk.tree_to_disk(held.path, (held.path / key for key in damaged))


@contextlib.contextmanager
def _beside(path: Path, make: Callable[[Path], None]) -> Iterator[Path]:
    new = path.with_name(f".{path.name}.shoal-new")
    shutil.rmtree(new, ignore_errors=True)  # of a process that ended while it made one
    try:
        make(new)
        yield new
    finally:
        shutil.rmtree(new, ignore_errors=True)


def before(path: Path) -> Before | None:
    """Return the part of a store that a sweep into it keeps; None if there is no store."""
    try:
        return Sealed.read(place(path.resolve())).before
    except ValueError:  # which is raised again when the store is opened
        return None


def growth(was: Mapping[str, Any], plan: Plan) -> list[int] | None:
    """Return the number that each condition of a smaller sweep has in a plan; None if it does not grow into it."""
    networks = was["networks"]
    # If each network has a learning rate, only those of the networks that both have must be equal.
    now = json.loads(canonical(plan.specification(min(networks, plan.networks))[0]))
    axes, wider = _axes(was["over"]), _axes(now["over"])
    if {**was, "over": None} != {**now, "over": None} or [one[0] for one in axes] != [one[0] for one in wider]:
        return None
    places = []
    for (_, points), (_, more) in zip(axes, wider, strict=True):
        if not set(points) <= set(more):
            return None
        places.append([more.index(point) for point in points])
    shape = tuple(len(more) for _, more in wider)
    if plan.networks == networks and shape == tuple(map(len, places)):
        return None
    if not shape:
        return [0]
    found: list[int] = np.ravel_multi_index(np.meshgrid(*places, indexing="ij"), shape).ravel().tolist()
    return found


def _axes(over: Any) -> list[tuple[Any, list[str]]]:
    """Return the fields of each dimension, and a text for each of its points."""
    if over is None:
        return []
    if isinstance(over, list):
        return [(sorted(over[0]), [canonical({name: _plain(held) for name, held in one.items()}) for one in over])]
    return [(field, [canonical(_plain(held)) for held in values]) for field, _, values in over["fields"]]


def _plain(value: Any) -> Any:
    """Return numbers that are equal as the same, whatever their type."""
    return float(value) if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**53 else value
