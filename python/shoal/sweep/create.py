"""A store as it is made: all files but those of the blocks, at once or not at all; lost ones are made again."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shoal.spec.encoding import canonical
from shoal.sweep import disk, sealed, template
from shoal.sweep.chunks import LEVEL, SEPARATOR, Chunk, offset
from shoal.sweep.marks import DONE, Marks
from shoal.sweep.plan import Plan
from shoal.sweep.sealed import Sealed
from shoal.version import VERSION

GIVEN = "given"
_KEYS: Any = {"name": "default", "separator": SEPARATOR}


def create(path: Path, plan: Plan) -> None:
    """Make the store: beside its place, and then moved there, so that it is there as a whole or not at all."""
    new = _beside(path)
    try:
        fill(new, plan)
        files = [file for file in new.rglob("*") if file.is_file()]
        disk.all_to_disk([*files, *disk.folders_of(new, files)])
        os.rename(new, path)
        disk.to_disk(path.parent)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def mend(held: Sealed, plan: Plan, damaged: Mapping[str, disk.Damage]) -> None:
    """Make the damaged ones of the files again that were made with the store: the plan says what they hold.

    Raises
    ------
    ValueError
        A symbolic link leads to one; or one is not the same when it is made again, as by other versions of libraries.
    """
    if not damaged:
        return
    for damage in damaged.values():
        if isinstance(damage, disk.Link):
            raise damage
    new = _beside(held.path)
    try:
        fill(new, plan)
        for key, damage in damaged.items():
            content = (new / key).read_bytes() if (new / key).is_file() else b""
            if sealed.check_sum(key, content).hex() != held.sums[key]:
                raise ValueError(
                    f"{damage}, and what would be made in its place is not the same: "
                    "restore it from a copy, or repeat the sweep into another store"
                ) from damage
            disk.write(held.path, key, content)
    finally:
        shutil.rmtree(new, ignore_errors=True)
    files = [held.path / key for key in damaged]
    disk.all_to_disk([*files, *disk.folders_of(held.path, files)])


def _beside(path: Path) -> Path:
    """Return the folder in which a store is made, without what a process left that ended while it made one."""
    new = path.with_name(f".{path.name}.shoal-new")
    shutil.rmtree(new, ignore_errors=True)
    return new


def fill(path: Path, plan: Plan) -> None:
    """Make all files but those of the blocks."""
    import xarray
    import zarr

    from shoal import _core

    coordinates = template.stacked(plan.conditions, plan.templates)
    encoding = {name: {"compressors": _compressors()} for name in coordinates}
    xarray.Dataset(coords=coordinates).to_zarr(path, mode="w-", zarr_format=3, consolidated=False, encoding=encoding)
    group = zarr.open_group(path, mode="r+")
    names, shape = plan.conditions.names, plan.conditions.shape
    ones = (1,) * len(shape)
    for name, chunk in Chunk.of(plan).items():
        attrs: dict[str, Any] = {}
        if plan.reduced:
            dims: tuple[str, ...] = ("block", *(f"{name}_{axis}" for axis in range(len(chunk.shape))))
            sizes, chunks = (len(plan.ranges), *chunk.shape), (1, *chunk.shape)
        else:
            dims, _, attrs = plan.templates[0].variables[name]
            sizes, chunks = (offset(plan) + plan.networks, *chunk.shape[1:]), chunk.shape
        group.create_array(
            name,
            shape=(*shape, *sizes),
            chunks=(*ones, *(max(1, size) for size in chunks)),
            dtype=chunk.dtype,
            fill_value=chunk.fill_value,
            compressors=_compressors(),
            dimension_names=(*names, *dims),
            attributes=attrs,
            chunk_key_encoding=_KEYS,
        )
    length = Marks.length(plan.names)
    group.create_array(
        DONE,
        shape=(*shape, length * len(plan.ranges)),
        chunks=(*ones, length),
        dtype="uint8",
        fill_value=0,
        compressors=None,
        dimension_names=(*names, "done_byte"),
        chunk_key_encoding=_KEYS,
        attributes={"long_name": f"marks of blocks, {length} bytes each; 0 where a block is not done"},
    )
    given = group.create_group(GIVEN)
    for digest, values in plan.arrays.items():
        given.create_array(digest, shape=values.shape, dtype=values.dtype)[...] = values
    told: dict[str, Any] = {"specification": canonical(plan.told), "shoal_version": VERSION, "isa": _core.isa}
    told["cuts"] = list(plan.cuts)
    if not plan.reduced:
        told["network_of_row_0"] = plan.first_network - offset(plan)
    sealed.close(path, told)


def _compressors() -> list[Any]:
    from zarr.codecs import Crc32cCodec, ZstdCodec

    return [ZstdCodec(level=LEVEL), Crc32cCodec()]
