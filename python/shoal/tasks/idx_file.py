"""Arrays from IDX files, the format of the MNIST images and labels, plain or compressed by gzip.

Such a file is two zero bytes, a byte for the type, a byte for the number of dimensions, the size of each dimension as a
big-endian 32-bit number, and the values, big-endian, the last index running fastest.
"""

from __future__ import annotations

import gzip
import math
import os
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, NamedTuple, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from shoal.base import checks

__all__ = ["Header", "Values", "image_header", "read", "read_images", "read_labels"]

Values = NDArray[np.integer] | NDArray[np.floating]
_Found = TypeVar("_Found")

_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_GZIP = b"\x1f\x8b"
# Deflate spends at least one bit on 129 bytes, so a compressed file cannot hold more than this many times its size.
_MOST_COMPRESSION = 1032
_CHUNK = 2**20


class Header(NamedTuple):
    """What the first bytes of an IDX file state: the shape of its array, and the type in this machine's byte order."""

    shape: tuple[int, ...]
    dtype: np.dtype[np.integer] | np.dtype[np.floating]

    @property
    def length(self) -> int:
        """Bytes of the values."""
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def reading_bytes(self) -> int:
        """Bytes in which the array is read at most."""
        # Its own and an eighth, by which Python grows what it fills; a chunk; a copy if the bytes change their order.
        return self.length + self.length // 8 + _CHUNK + (self.length if self.dtype.itemsize > 1 else 0)

    def __str__(self) -> str:
        """Return what it states, for messages."""
        return f"its header states shape {self.shape} of {self.dtype}, {self.length} bytes"


def read(path: str | os.PathLike[str]) -> Values:
    """Return the array in an IDX file, in the byte order of this machine, or raise a ValueError that names the file.

    Nothing is allocated on the word of the header alone: the sizes that it states are compared with the size of the
    file first. A compressed file is recognised by its first bytes, not by its name. Memory is that of one copy of the
    values.
    """
    return _opened(path, _parse)


def image_header(path: str | os.PathLike[str]) -> Header:
    """Return the shape (samples, ...) and type of the images in an IDX file, without reading the images."""
    header = _opened(path, _head)
    if len(header.shape) < 2:
        raise ValueError(f"{path} must hold images in at least 2 dimensions, (samples, ...), got shape {header.shape}")
    return header


def read_images(path: str | os.PathLike[str]) -> Values:
    """Return the samples of an IDX file as rows, (samples, inputs): all dimensions after the first in one."""
    image_header(path)
    found = read(path)
    return found.reshape(len(found), -1)


def read_labels(path: str | os.PathLike[str]) -> NDArray[np.integer]:
    """Return the labels of an IDX file, (samples,)."""
    found = read(path)
    if found.ndim != 1:
        raise ValueError(f"{path} must hold labels in 1 dimension, (samples,), got shape {found.shape}")
    if found.dtype.kind not in "iu":
        raise ValueError(f"{path} must hold labels that are integers, got {found.dtype}")
    return cast("NDArray[np.integer]", found)


def _opened(path: str | os.PathLike[str], take: Callable[[Path, IO[bytes], int, bool], _Found]) -> _Found:
    """Return what ``take`` finds in a file, decompressed if it is compressed."""
    file = Path(checks.path("path", path))
    with file.open("rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        packed = stream.read(2) == _GZIP
        stream.seek(0)
        if not packed:
            return take(file, cast("IO[bytes]", stream), size, True)
        with gzip.GzipFile(fileobj=stream) as unpacked:
            try:
                return take(file, cast("IO[bytes]", unpacked), size * _MOST_COMPRESSION, False)
            except (gzip.BadGzipFile, EOFError, zlib.error) as error:
                raise ValueError(f"{file} is not a whole gzip file: {error}") from error


def _head(file: Path, stream: IO[bytes], most: int, exact: bool) -> Header:
    """Return the header of an open file that holds at most ``most`` bytes, or just so many if that is ``exact``."""
    start = stream.read(4)
    if len(start) < 4 or start[:2] != b"\0\0":
        raise ValueError(f"{file} is not an IDX file: it must start with two zero bytes, got {start[:4].hex(' ')!r}")
    code, dimensions = start[2], start[3]
    if code not in _TYPES:
        allowed = ", ".join(f"0x{known:02x}" for known in _TYPES)
        raise ValueError(f"{file} has a type that IDX does not have: it must be one of {allowed}, got 0x{code:02x}")
    if dimensions == 0:
        raise ValueError(f"{file} has no dimensions: its fourth byte must be at least 1, got 0")
    sizes = stream.read(4 * dimensions)
    if len(sizes) < 4 * dimensions:
        raise ValueError(f"{file} is truncated: {4 * dimensions} bytes of sizes are stated, it ends after {len(sizes)}")
    shape = tuple(int(size) for size in np.frombuffer(sizes, ">u4"))
    if 0 in shape:
        raise ValueError(f"{file} is empty: no dimension may have size 0, got shape {shape}")
    header = Header(shape, np.dtype(_TYPES[code]).newbyteorder("="))
    held = most - 4 - 4 * dimensions
    if held < header.length:
        found = f"it has {held}" if exact else f"compressed as it is it holds at most {held}"
        raise ValueError(f"{file} is truncated: {header}, but {found}")
    return header


def _parse(file: Path, stream: IO[bytes], most: int, exact: bool) -> Values:
    """Return the array in an open file; the arguments are those of `_head`."""
    header = _head(file, stream, most, exact)
    content = bytearray()
    while chunk := stream.read(min(_CHUNK, header.length - len(content))):  # memory grows with what comes
        content += chunk
    if len(content) < header.length:
        raise ValueError(f"{file} is truncated: {header}, but it has {len(content)}")
    if stream.read(1):
        raise ValueError(f"{file} has extra bytes at its end: {header}, but it has more")
    values = np.frombuffer(content, header.dtype.newbyteorder(">")).reshape(header.shape)
    return values.astype(header.dtype, copy=False)
