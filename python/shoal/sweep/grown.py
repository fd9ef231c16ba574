"""Sweeps that grow: a store gets more networks or conditions, and keeps the blocks that it has.

The larger store is made beside the smaller one and takes the place of it when the disk has it. A process that is killed
meanwhile leaves the smaller one, in its place or beside it, where every call finds it.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from shoal.spec.encoding import canonical
from shoal.sweep import disk
from shoal.sweep.plan import Before, Plan
from shoal.sweep.sealed import Sealed


@dataclass(frozen=True)
class Growth:
    """Where the conditions of a smaller sweep are in a larger one: of each the number that it has there."""

    places: tuple[int, ...]

    @classmethod
    def of(cls, was: Mapping[str, Any], plan: Plan) -> Growth | None:
        """Return how a specification grows into that of a plan; None if it does not, or in nothing."""
        networks = was["networks"]
        # Of learning rates of each network, those of the networks that are there must be the same.
        now = json.loads(canonical(plan.told_of_first(min(networks, plan.networks))))
        fixed, same = ({name: told[name] for name in told if name != "over"} for told in (was, now))
        axes, wider = _axes(was["over"]), _axes(now["over"])
        if fixed != same or [one[0] for one in axes] != [one[0] for one in wider]:
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
            return cls((0,))
        return cls(tuple(np.ravel_multi_index(np.meshgrid(*places, indexing="ij"), shape).ravel().tolist()))


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


def before(path: Path) -> Before | None:
    """Return what a sweep into a store keeps of it; None if there is no store."""
    path = place(path.resolve())
    try:
        sealed = Sealed.read(path)
    except ValueError:  # which says so when it is opened
        return None
    return Before(sealed.told["block"], sealed.told["networks"], tuple(sealed.cuts))


def place(path: Path) -> Path:
    """Return where a store is: beside its place, if a process was killed just when a larger one took it."""
    return path if path.exists() or not _smaller(path).exists() else _smaller(path)


def recover(path: Path) -> None:
    """Put a store back into its place, or remove what a larger one has replaced."""
    smaller = _smaller(path)
    if path.exists():
        shutil.rmtree(smaller, ignore_errors=True)
    elif smaller.exists():
        os.rename(smaller, path)


def grow(path: Path, make: Callable[[Path], None]) -> None:
    """Replace a store by the larger one that ``make`` makes in a folder beside it."""
    new, smaller = path.with_name(f".{path.name}.shoal-new"), _smaller(path)
    shutil.rmtree(new, ignore_errors=True)
    try:
        make(new)
        files = [file for file in new.rglob("*") if file.is_file()]
        disk.all_to_disk([*files, *disk.folders_of(new, files)])
        os.rename(path, smaller)
        os.rename(new, path)
        disk.to_disk(path.parent)
    finally:
        shutil.rmtree(new, ignore_errors=True)
    recover(path)


def _smaller(path: Path) -> Path:
    return path.with_name(f".{path.name}.shoal-old")
