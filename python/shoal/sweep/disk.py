"""The files of a store: read and written through no symbolic link, and waited for until the disk has them."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

PARTIAL = ".partial"
"""How the name of a file ends that is not whole yet."""
_AT_ONCE = 16


class Damage(ValueError):
    """A file of a store that is not what was written: which file, and what is wrong with it."""

    def __init__(self, file: Path, what: str) -> None:
        super().__init__(f"file {file} {what}")


class Link(Damage):
    """A symbolic link within a store, where sweep makes none."""

    def __init__(self, file: Path) -> None:
        super().__init__(file, "is a symbolic link, which sweep never makes: put what it stands for in its place")


def size(root: Path, key: str) -> int:
    """Return the bytes of a regular file below a store's folder.

    Raises
    ------
    Damage
        There is none, or something else; a Link if it is a symbolic link, or lies behind one.
    """
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
    """Return what a file below a store's folder holds.

    Raises
    ------
    Damage
        As of ``size``.
    OSError
        It cannot be read: the error names the file, also where the system names none.
    """
    size(root, key)
    try:
        return (root / key).read_bytes()
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(root / key)) from error


def write(root: Path, key: str, content: bytes) -> None:
    """Put a file with this content in its place below a store's folder, whatever is there; no link is followed.

    Raises
    ------
    OSError
        It cannot be written, or a symbolic link leads there.
    """
    os.replace(partial(root, key, content), root / key)


def partial(root: Path, key: str, content: bytes) -> Path:
    """Return a file with the content of ``key``, that is not in its place yet."""
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


def all_to_disk(paths: Sequence[Path]) -> None:
    """Wait until files, and names in folders, are on the disk: it takes many at once for little more than one."""
    with ThreadPoolExecutor(min(_AT_ONCE, max(1, len(paths)))) as pool:
        for _ in pool.map(to_disk, paths):
            pass


def folders_of(root: Path, files: Iterable[Path]) -> list[Path]:
    """Return the folders in ``root`` that lead to files, and itself: the deepest first."""
    folders = {folder for file in files for folder in file.parents if folder.is_relative_to(root)}
    return sorted(folders, key=lambda folder: (-len(folder.parts), folder))


def remove_partial(root: Path) -> None:
    """Remove files that a process left that ended while it wrote them."""
    for folder, _, files in os.walk(root):
        for name in files:
            if name.endswith(PARTIAL):
                (Path(folder) / name).unlink(missing_ok=True)


@contextlib.contextmanager
def clear_errors(store: Path) -> Iterator[None]:
    """Say in errors of the system which store, and which file of it, could not be written."""
    try:
        yield
    except OSError as error:
        file = error.filename2 or error.filename
        told = f"{error.strerror or error}{f': {os.fsdecode(file)}' if file else ''}"
        raise OSError(
            error.errno,
            f"store {store} could not be written ({told}); "
            "what it holds is whole, and the same call goes on from there",
        ) from error
