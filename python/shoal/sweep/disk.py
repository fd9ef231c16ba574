"""The files of a store: locked, bound by checksums, read and written through no link, and waited for on the disk.

The group's ``zarr.json`` holds the specification, the checksum of every other file that is made with the store, and
its own, the *seal*. The checksums of blocks, in their marks, take the seal in. So no file passes for another one, nor
for the same file of a store with another specification, data type, shape, fill value or attribute.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import socket
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shoal.spec.encoding import canonical
from shoal.sweep.plan import Before
from shoal.version import VERSION

FORMAT = 4
GROUP = "zarr.json"
_FIELDS = ("shoal_sweep", "specification", "cuts", "shoal_version", "isa", "files", "seal")
BYTES = 16  # of a checksum
PARTIAL = ".partial"
"""End of the name of a file that is not whole yet."""
_AT_ONCE = 16


class Damage(ValueError):
    """A file of a store that is missing or has changed."""

    def __init__(self, file: Path, what: str) -> None:
        super().__init__(f"file {file} {what}")


class Link(ValueError):
    """A symbolic link within a store."""

    def __init__(self, file: Path) -> None:
        super().__init__(f"file {file} is a symbolic link, which sweep never makes: replace it by its target")


def size(root: Path, key: str) -> int:
    """Return the bytes of a regular file below a store's folder; raise Damage or Link if there is none."""
    path = str(root)
    try:
        for part in key.split("/"):
            path = os.path.join(path, part)
            found = os.lstat(path)
            if stat.S_ISLNK(found.st_mode):
                raise Link(Path(path))
    except (FileNotFoundError, NotADirectoryError):
        raise Damage(root / key, "is missing") from None
    if not stat.S_ISREG(found.st_mode):
        raise Damage(root / key, "is no regular file")
    return found.st_size


def read(root: Path, key: str) -> bytes:
    """Return the content of a file below a store's folder, as ``size``; an OSError names the file."""
    size(root, key)
    try:
        return (root / key).read_bytes()
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(root / key)) from error


def write(root: Path, key: str, content: bytes) -> None:
    """Put a file with this content in its place below a store's folder, whatever is there; follow no link."""
    os.replace(partial(root, key, content), root / key)


def partial(root: Path, key: str, content: bytes) -> Path:
    """Return a file with the content of ``key`` that is not in its place yet."""
    path = root
    for part in key.split("/")[:-1]:
        path = path / part
        with contextlib.suppress(FileExistsError):
            os.mkdir(path)
        if path.is_symlink():
            raise OSError(errno.ELOOP, f"{Link(path)}")
    beside = path / f"{Path(key).name}{PARTIAL}"
    beside.unlink(missing_ok=True)
    with open(beside, "xb") as file:
        file.write(content)
    return beside


def to_disk(path: Path) -> None:
    """Wait until a file, or a folder's names, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def all_to_disk(paths: Iterable[Path]) -> None:
    """Wait until files are on the disk: many at once take little longer than one."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for _ in pool.map(to_disk, paths):
            pass


def tree_to_disk(root: Path, files: Iterable[Path]) -> None:
    """Wait until files are on the disk, and the names in ``root`` and the folders that lead to them, deepest first."""
    files = list(files)
    folders = {folder for file in files for folder in file.parents if folder.is_relative_to(root)}
    all_to_disk([*files, *sorted(folders, key=lambda folder: (-len(folder.parts), folder))])


def remove_partial(root: Path) -> None:
    """Remove the unfinished files of a process that ended while it wrote them."""
    for folder, _, files in os.walk(root):
        for name in files:
            if name.endswith(PARTIAL):
                (Path(folder) / name).unlink(missing_ok=True)


@contextlib.contextmanager
def clear_errors(store: Path) -> Iterator[None]:
    """Name in errors of the system the store, and its file, that could not be written."""
    try:
        yield
    except OSError as error:
        file = error.filename2 or error.filename
        told = f"{error.strerror or error}{f': {os.fsdecode(file)}' if file else ''}"
        raise OSError(
            error.errno,
            f"store {store} could not be written ({told}); what it holds is whole, and the same call resumes it",
        ) from error


@contextlib.contextmanager
def locked(store: Path) -> Iterator[None]:
    """Hold the lock of a store; a RuntimeError names the process that has it."""
    import filelock

    # Beside the store: readers of Zarr warn of files within. The lock itself cannot be read on every system.
    file, holder = (store.with_name(f".{store.name}.shoal-{kind}") for kind in ("lock", "holder"))
    lock = filelock.FileLock(file, timeout=0)
    try:
        lock.acquire()
    except filelock.Timeout:
        try:
            told = json.loads(holder.read_text())
            name = f"process {told['pid']} on {told['host']}"
        except (OSError, ValueError, KeyError):  # it has only just taken the lock
            name = "another process"
        raise RuntimeError(f"store {store} is in use by {name}: wait for it, or end it") from None
    try:
        holder.write_text(json.dumps({"pid": os.getpid(), "host": socket.gethostname()}))
        yield
    finally:
        for left in (holder, file):
            with contextlib.suppress(OSError):  # not every system removes a file that is open
                left.unlink()
        lock.release()


def check_sum(place: str, content: bytes, seal: bytes = b"") -> bytes:
    """Return the BLAKE2b of a file's content, bound to its place within the store and to the seal."""
    summed = hashlib.blake2b(place.encode() + b"\0", digest_size=BYTES, key=seal)
    summed.update(content)
    return summed.digest()


def sound(path: Path, key: str, summed: bytes, seal: bytes = b"") -> bytes:
    """Return the content of a file; raise Damage if its checksum is another."""
    content = read(path, key)
    if check_sum(key, content, seal) != summed:
        raise Damage(path / key, "is damaged: its checksum differs")
    return content


@dataclass(frozen=True)
class Sealed:
    """The description of a store, its seal unbroken.

    ``told`` is the specification, ``sums`` are the checksums of the files that were made with the store.
    """

    path: Path
    told: Mapping[str, Any]
    shoal_version: str
    isa: str
    cuts: Sequence[int]
    sums: Mapping[str, str]
    seal: bytes

    @classmethod
    def read(cls, path: Path) -> Sealed:
        """Return the description of the store at ``path``.

        Raises
        ------
        ValueError
            No store, one of another format, or a damaged description: the file, and what to do.
        """
        file = path / GROUP
        none = f"store must be one that sweep made, got {path}, which is none"
        try:
            content = read(path, GROUP)
        except Damage as damage:
            raise ValueError(f"{none}: {damage}") from None
        remedy = "restore it from a copy, or repeat the sweep into another store"
        try:
            told = json.loads(content, parse_constant=_refuse)
            attrs = told["attributes"]
            number, seal = attrs["shoal_sweep"], _seal_of(told)
        except (ValueError, KeyError, TypeError, RecursionError):
            raise ValueError(f"{none}: file {file} describes no sweep; if it did, {remedy}") from None
        if number != FORMAT:
            raise ValueError(
                f"store must have format {FORMAT}, which shoal {VERSION} reads, got format {number!r:.20} in {file}, "
                f"made by shoal {attrs.get('shoal_version')!s:.20}: repeat the sweep into another store"
            )
        missing = [name for name in _FIELDS if name not in attrs]
        if missing:
            raise ValueError(f"store must have its attributes, {file} lacks {', '.join(missing)}; {remedy}")
        if seal != attrs["seal"]:
            raise ValueError(f"file {file} is damaged: its checksum differs; {remedy}")
        specification, version, isa = (attrs[name] for name in ("specification", "shoal_version", "isa"))
        return cls(path, json.loads(specification), version, isa, attrs["cuts"], attrs["files"], bytes.fromhex(seal))

    @property
    def before(self) -> Before:
        """What a sweep into the store keeps of it."""
        return Before(self.told["block"], self.told["networks"], tuple(self.cuts))

    def content(self, key: str) -> bytes:
        """Return the content of a file that was made with the store; raise Damage if it has changed."""
        return sound(self.path, key, bytes.fromhex(self.sums[key]))

    def damaged(self) -> dict[str, Damage]:
        """Return the damage of files that were made with the store, by their places."""
        found = {}
        for key in self.sums:
            try:
                self.content(key)
            except Damage as damage:
                found[key] = damage
        return found


def close(path: Path, attributes: Mapping[str, Any]) -> None:
    """Seal a store that is made: give its group these attributes, the checksums of all other files, and its own."""
    files = sorted(str(file.relative_to(path).as_posix()) for file in path.rglob("*") if file.is_file())
    sums = {key: check_sum(key, read(path, key)).hex() for key in files if key != GROUP}
    told = json.loads(read(path, GROUP))
    told["attributes"] |= {"shoal_sweep": FORMAT, **attributes, "files": sums}
    told["attributes"]["seal"] = _seal_of(told)
    write(path, GROUP, json.dumps(told, indent=2, allow_nan=False).encode())


def _seal_of(told: Mapping[str, Any]) -> str:
    bare = {**told, "attributes": {name: held for name, held in told["attributes"].items() if name != "seal"}}
    return check_sum(GROUP, canonical(bare).encode()).hex()


def _refuse(constant: str) -> None:
    raise ValueError(f"JSON has no {constant}")
