"""What a store's own description is, and the checksums that bind each of its files to its place and to the sweep.

The group's ``zarr.json`` holds the specification, the checksum of every other file that is made with the store, and
its own, the *seal*. The checksums of blocks (marks.py) take the seal in. So no file passes for another one, nor for
the same file of a store with another specification, data type, shape, fill value or attribute.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shoal.spec.encoding import canonical
from shoal.sweep import disk
from shoal.version import VERSION

FORMAT = 4
GROUP = "zarr.json"
FIELDS = ("shoal_sweep", "specification", "cuts", "shoal_version", "isa", "files", "seal")
BYTES = 16
"""Length of a checksum."""


def check_sum(place: str, content: bytes, seal: bytes = b"") -> bytes:
    """Return the BLAKE2b of a file's content, bound to its place within the store and to the seal."""
    summed = hashlib.blake2b(place.encode() + b"\0", digest_size=BYTES, key=seal)
    summed.update(content)
    return summed.digest()


@dataclass(frozen=True)
class Sealed:
    """A store's description, its seal found whole; ``sums`` are those of the files that were made with it."""

    path: Path
    specification: str
    shoal_version: str
    isa: str
    cuts: Sequence[int]
    sums: Mapping[str, str]
    seal: bytes

    @classmethod
    def read(cls, path: Path) -> Sealed:
        """Return the description of a sweep's store.

        Raises
        ------
        ValueError
            There is none at ``path``, one of another format, or a damaged one: the file, and what to do.
        """
        file = path / GROUP
        none = f"store must be one that sweep made, got {path}, which is none"
        try:
            content = disk.read(path, GROUP)
        except disk.Damage as damage:
            raise ValueError(f"{none}: {damage}") from None
        remedy = "restore it from a copy, or repeat the sweep into another store"
        try:
            told = json.loads(content, parse_constant=_refuse)
            attrs = told["attributes"]
            number, seal = attrs["shoal_sweep"], seal_of(told)
        except (ValueError, KeyError, TypeError, RecursionError):
            raise ValueError(f"{none}: file {file} describes no sweep; if it did, {remedy}") from None
        if number != FORMAT:
            raise ValueError(
                f"store must have format {FORMAT}, which shoal {VERSION} reads, got format {number!r:.20} in {file}, "
                f"made by shoal {attrs.get('shoal_version')!s:.20}: repeat the sweep into another store"
            )
        missing = [name for name in FIELDS if name not in attrs]
        if missing:
            raise ValueError(f"store must have its attributes, {file} lacks {', '.join(missing)}; {remedy}")
        if seal != attrs["seal"]:
            raise ValueError(f"file {file} is damaged: its checksum differs; {remedy}")
        texts = {name: attrs[name] for name in ("specification", "shoal_version", "isa")}
        return cls(path, **texts, cuts=attrs["cuts"], sums=attrs["files"], seal=bytes.fromhex(seal))

    @property
    def told(self) -> dict[str, Any]:
        """The specification: every argument of the sweep."""
        told: dict[str, Any] = json.loads(self.specification)
        return told

    def content(self, key: str) -> bytes:
        """Return what a file holds that was made with the store.

        Raises
        ------
        disk.Damage
            It is not as it was made.
        """
        content = disk.read(self.path, key)
        if check_sum(key, content).hex() != self.sums[key]:
            raise disk.Damage(self.path / key, "is damaged: its checksum differs")
        return content

    def damaged(self) -> dict[str, disk.Damage]:
        """Return which of the files that were made with the store are not as they were made."""
        found = {}
        for key in self.sums:
            try:
                self.content(key)
            except disk.Damage as damage:
                found[key] = damage
        return found


def close(path: Path, attributes: Mapping[str, Any]) -> None:
    """Seal a store that is made: give its group these attributes, the checksums of all other files, and its own."""
    files = sorted(str(file.relative_to(path).as_posix()) for file in path.rglob("*") if file.is_file())
    sums = {key: check_sum(key, disk.read(path, key)).hex() for key in files if key != GROUP}
    told = json.loads(disk.read(path, GROUP))
    told["attributes"] |= {"shoal_sweep": FORMAT, **attributes, "files": sums}
    told["attributes"]["seal"] = seal_of(told)
    disk.write(path, GROUP, json.dumps(told, indent=2, allow_nan=False).encode())


def seal_of(told: Mapping[str, Any]) -> str:
    """Return the checksum of a group's description without its seal."""
    bare = {**told, "attributes": {name: held for name, held in told["attributes"].items() if name != "seal"}}
    return check_sum(GROUP, canonical(bare).encode()).hex()


def _refuse(constant: str) -> None:
    raise ValueError(f"JSON has no {constant}")
