"""The Zarr store of a sweep: what lies in it, made at once, filled block by block, read as far as it is filled.

An array has the dimensions of the conditions in front, then networks (a chunk is one block of one condition) or, of
statistics, blocks. A block's arrays are written first and reach the disk; then its mark, one byte, is renamed into
place. So a block has its mark only where all of it is there, and one without is trained again, to the same bits.
Each chunk carries a check sum, by which a damaged one is told from a sound one when it is read.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from shoal.sweep import lock, template
from shoal.sweep.encoding import canonical, differences, digest_of
from shoal.sweep.plan import Block, Plan, kept
from shoal.version import VERSION

if TYPE_CHECKING:
    import zarr

FORMAT = 1
DONE, GIVEN = "done", "given"
FIELDS = ("shoal_sweep", "specification", "shoal_version", "isa")


@dataclass(frozen=True)
class Store:
    """A store that holds a sweep of this plan."""

    path: Path
    plan: Plan
    arrays: Mapping[str, Any]

    @classmethod
    @contextlib.contextmanager
    def opened(cls, path: Path, plan: Plan) -> Iterator[Store]:
        """Hold the lock of the store of a plan, which is made where there is none.

        Raises
        ------
        ValueError
            There is something else in its place, or a store of another sweep: each difference.
        RuntimeError
            Another process works on it.
        OSError
            It cannot be written.
        """
        import zarr

        path = path.resolve()
        check(path)
        with contextlib.ExitStack() as held:
            with _clear_errors(path):
                held.enter_context(lock.locked(path))
                if not (path / "zarr.json").exists():
                    _create(path, plan)
            check_same(path, plan)
            with _clear_errors(path):
                _remove_unfinished(path)
            # Empty chunks are written, too, so that a block that is done has all its files.
            with zarr.config.set({"array.write_empty_chunks": True}):
                arrays = dict(_group(path).arrays())
            yield cls(path, plan, arrays)

    def done(self) -> NDArray[np.bool_]:
        """Return which blocks are done, shape (conditions, blocks)."""
        return marks(self.arrays[DONE], self.plan)

    def write(self, block: Block, result: Mapping[str, NDArray[Any]]) -> None:
        """Keep what a block has, then mark it as done.

        Raises
        ------
        OSError
            It cannot be written, as on a full disk. The block is then not marked, and no other is touched.
        """
        at = np.unravel_index(block.condition, self.plan.conditions.shape) if self.plan.conditions.shape else ()
        where = tuple(int(i) for i in at)
        files = []
        with _clear_errors(self.path):
            for name, values in result.items():
                array = self.arrays[name]
                if self.plan.reduced:
                    number = block.number
                    array[(*where, number)] = values
                else:
                    number = (block.begin + offset(self.plan)) // rows(self.plan)
                    first = block.begin + offset(self.plan)
                    # From the beginning of the chunk, so that nothing of it is read before it is written.
                    lead = first - number * rows(self.plan)
                    padding = np.full((lead, *values.shape[1:]), array.fill_value, values.dtype)
                    array[(*where, slice(first - lead, first + len(values)))] = np.concatenate([padding, values])
                key = array.metadata.encode_chunk_key((*where, number, *[0] * (array.ndim - len(where) - 1)))
                files.append(self.path / name / key)
                _to_disk(files[-1])
            _names_to_disk(self.path, files)
            self._mark((*where, block.number))

    def _mark(self, at: tuple[int, ...]) -> None:
        target = self.path / DONE / self.arrays[DONE].metadata.encode_chunk_key(at)
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f"{target.name}.partial")
        partial.write_bytes(b"\x01")
        _to_disk(partial)
        os.replace(partial, target)
        _names_to_disk(self.path, [target])


def offset(plan: Plan) -> int:
    """Return how many rows stand before the first network, so that chunks begin where blocks do."""
    return 0 if plan.reduced or len(plan.ranges) == 1 else plan.first % plan.block


def rows(plan: Plan) -> int:
    """Return how many networks a chunk has where each network is kept."""
    return plan.networks if len(plan.ranges) == 1 else plan.block


def marks(array: Any, plan: Plan) -> NDArray[np.bool_]:
    """Return which blocks are done, shape (conditions, blocks), from the array of marks."""
    done: NDArray[np.bool_] = np.asarray(array[...]).reshape(plan.conditions.count, len(plan.ranges)) == 1
    return done


def check(path: Path) -> None:
    """Raise a ValueError where something stands at ``path`` that is neither empty nor a sweep's store."""
    if not path.exists():
        if not path.parent.is_dir():
            raise ValueError(f"store must lie in a folder that exists, got {path}")
        return
    if not path.is_dir():
        raise ValueError(f"store must be a folder that sweep made, or a new one, got the file {path}")
    if any(path.iterdir()):
        attributes(path)


def attributes(path: Path) -> dict[str, Any]:
    """Return the attributes of a sweep's store.

    Raises
    ------
    ValueError
        There is none at ``path``, or one of another format.
    """
    try:
        attrs = json.loads((path / "zarr.json").read_text())["attributes"]
        number = attrs["shoal_sweep"]
        missing = [name for name in FIELDS if name not in attrs]
    except (OSError, ValueError, KeyError, TypeError):
        raise ValueError(f"store must be one that sweep made, got {path}, which is none") from None
    if number != FORMAT:
        raise ValueError(
            f"store must have format {FORMAT}, which shoal {VERSION} reads, got format {number} in {path}, "
            f"made by shoal {attrs.get('shoal_version')}"
        )
    if missing:
        raise ValueError(f"store must have its attributes, {path} lacks {', '.join(missing)}")
    return dict(attrs)


def check_same(path: Path, plan: Plan) -> None:
    """Raise a ValueError where the store is not of this sweep, with every difference."""
    from shoal import _core

    attrs = attributes(path)
    lines = differences(json.loads(attrs["specification"]), json.loads(canonical(plan.told)))
    lines += differences({"shoal_version": attrs["shoal_version"]}, {"shoal_version": VERSION})
    if "baseline" in (attrs["isa"], _core.isa):  # it alone has other bits, for it lacks fused multiply-add
        lines += differences({"isa": attrs["isa"]}, {"isa": _core.isa})
    if lines:
        raise ValueError("\n".join([f"store {path} holds another sweep; name another store, or repeat it:", *lines]))


def read_plan(path: Path) -> Plan:
    """Return the plan of a store."""
    told = json.loads(attributes(path)["specification"])
    group = _group(path)

    def load(digest: str) -> NDArray[Any]:
        array: Any = group[f"{GIVEN}/{digest}"]
        values = np.asarray(array[...])
        if digest_of(values) != digest:
            raise ValueError(f"file {path / GIVEN / digest} is damaged: what it holds has another digest")
        return values

    return Plan.read(told, load)


def _create(path: Path, plan: Plan) -> None:
    """Make the store: beside its place, and then moved there, so that it is there as a whole or not at all."""
    new = path.with_name(f".{path.name}.shoal-new")
    shutil.rmtree(new, ignore_errors=True)  # of a process that ended while it made one
    try:
        _fill(new, plan)
        files = [file for file in new.rglob("*") if file.is_file()]
        for file in files:
            _to_disk(file)
        _names_to_disk(new, files)
        os.rename(new, path)
        _to_disk(path.parent)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _fill(path: Path, plan: Plan) -> None:
    import xarray
    import zarr

    from shoal import _core

    stacked = template.Stacked.of(plan.conditions, plan.templates)
    coordinates = dict(stacked.coordinates)
    if not plan.reduced:
        index = np.arange(plan.first - offset(plan), plan.first + plan.networks)
        coordinates["network"] = (("network",), index, dict(plan.templates[0].network.attrs))
    encoding = {name: {"compressors": _compressors()} for name in coordinates}
    xarray.Dataset(coords=coordinates).to_zarr(path, mode="w-", zarr_format=3, consolidated=False, encoding=encoding)
    group = zarr.open_group(path, mode="r+")
    names, shape = plan.conditions.names, plan.conditions.shape
    ones = (1,) * len(shape)
    if plan.reduced:
        _create_statistics(group, plan)
    else:
        for name, variable in plan.templates[0].data_vars.items():
            _create_array(
                group,
                str(name),
                (*names, *map(str, variable.dims)),
                (*shape, offset(plan) + plan.networks, *variable.shape[1:]),
                (*ones, rows(plan), *variable.shape[1:]),
                variable.dtype,
                dict(variable.attrs),
            )
    group.create_array(
        DONE,
        shape=(*shape, len(plan.ranges)),
        chunks=(*ones, 1),
        dtype="uint8",
        fill_value=0,
        compressors=None,
        dimension_names=(*names, "block"),
        attributes={"long_name": "1 where the block is done"},
    )
    given = group.create_group(GIVEN)
    for digest, values in plan.arrays.items():
        given.create_array(digest, data=np.ascontiguousarray(values))
    group.attrs.update(
        {
            "shoal_sweep": FORMAT,
            "specification": canonical(plan.told),
            "shoal_version": VERSION,
            "isa": _core.isa,
        }
    )


def _create_statistics(group: zarr.Group, plan: Plan) -> None:
    names, shape = plan.conditions.names, plan.conditions.shape
    for name, values in kept(template.of_statistics(plan.runs[0])).items():
        dims = tuple(f"{name}_{axis}" for axis in range(values.ndim))
        _create_array(
            group,
            name,
            (*names, "block", *dims),
            (*shape, len(plan.ranges), *values.shape),
            (*[1] * len(shape), 1, *values.shape),
            values.dtype,
            {},
        )


def _create_array(
    group: zarr.Group,
    name: str,
    dims: tuple[str, ...],
    shape: tuple[int, ...],
    chunks: tuple[int, ...],
    dtype: np.dtype[Any],
    attrs: dict[str, Any],
) -> None:
    group.create_array(
        name,
        shape=shape,
        chunks=tuple(max(1, size) for size in chunks),
        dtype=dtype,
        fill_value={"f": np.nan, "b": False}.get(dtype.kind, -1),
        compressors=_compressors(),
        dimension_names=dims,
        attributes=attrs,
    )


def _compressors() -> list[Any]:
    from zarr.codecs import Crc32cCodec, ZstdCodec

    return [ZstdCodec(level=1), Crc32cCodec()]


def _group(path: Path) -> zarr.Group:
    import zarr

    return zarr.open_group(path, mode="r+")


def _remove_unfinished(path: Path) -> None:
    """Remove files that a process left that ended while it wrote them."""
    for folder, _, files in os.walk(path):
        for name in files:
            if name.endswith(".partial"):
                (Path(folder) / name).unlink(missing_ok=True)


def _names_to_disk(root: Path, files: Iterable[Path]) -> None:
    """Wait until the names of files are on the disk, and those of the folders in ``root`` that lead to them."""
    folders = {folder for file in files for folder in file.parents if folder.is_relative_to(root)}
    for folder in sorted(folders, reverse=True):
        _to_disk(folder)


def _to_disk(path: Path) -> None:
    """Wait until a file, or a folder's names, are on the disk, so that no mark gets there before what it stands for."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def _clear_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OSError(
            error.errno,
            f"store {path} could not be written ({error.strerror or error}); "
            "what it holds is whole, and the same call goes on from there",
        ) from error
