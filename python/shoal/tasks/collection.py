"""Collections of labelled images: which are taken, what their labels become, how they are read and normalised."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shoal.base import checks
from shoal.tasks import idx_file
from shoal.tasks.draw import generator, streams

__all__ = ["Collection", "Groups", "Path", "Rows", "drawn", "grouped", "members", "normalised", "positions", "split"]

Path = str | os.PathLike[str]
Groups = list[list[int]]
"""The classes of a task: each is one label of the collection or several that count as one."""
Rows = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Collection:
    """Two IDX files that belong together: the labels, read, and the header of the images, which are not read yet."""

    images: Path
    labels: Path
    shown: NDArray[np.integer]
    header: idx_file.Header

    @classmethod
    def opened(cls, images: Path, labels: Path, names: tuple[str, str] = ("images", "labels")) -> Collection:
        """Return the collection in two files; ``names`` are the arguments that name them."""
        for name, path in zip(names, (images, labels), strict=True):
            checks.path(name, path)
        shown = idx_file.read_labels(labels)
        header = idx_file.image_header(images)
        if header.shape[0] != len(shown):
            raise ValueError(
                f"{images} and {labels} must hold as many images as labels, got {header.shape[0]} and {len(shown)}"
            )
        return cls(images, labels, shown, header)

    @property
    def pixels(self) -> int:
        """Pixels of an image."""
        return math.prod(self.header.shape[1:])

    def every_label(self) -> Groups:
        """Return a class for each label there is, the smallest first."""
        found = np.unique(self.shown).tolist()
        if len(found) < 2:
            raise ValueError(f"{self.labels} must hold two or more different labels, got only {found[0]}")
        return [[label] for label in found]

    def require_each(self, groups: Groups) -> None:
        """Raise a ValueError if a label of a class has no image."""
        missing = sorted(set(np.concatenate(groups).tolist()) - set(np.unique(self.shown).tolist()))
        if missing:
            raise ValueError(f"{self.labels} must hold an image of each class, got none of class {missing[0]}")

    def require_like(self, other: Collection, groups: Groups, *, scaled: bool, chosen: bool) -> None:
        """Raise a ValueError if these cannot be test images of a training on classes of another collection.

        Types may differ if values are ``scaled`` by a number that the caller gives; images of other classes are left
        out if the classes are ``chosen`` by the caller.
        """
        if self.pixels != other.pixels:
            raise ValueError(
                f"{self.images} must hold test images of the {other.pixels} pixels that those of {other.images} have,"
                f" got {self.pixels}"
            )
        if not scaled and self.header.dtype != other.header.dtype:
            raise ValueError(
                f"{self.images} must hold values of type {other.header.dtype} as {other.images} does, or scale must be"
                f" given, got {self.header.dtype}"
            )
        known = np.concatenate(groups)
        unknown = np.setdiff1d(self.shown, known)
        if not chosen and unknown.size:
            raise ValueError(
                f"{self.labels} must hold labels that {other.labels} holds too, or classes must be given,"
                f" got {unknown[0]}"
            )
        if not np.isin(self.shown, known).any():
            raise ValueError(f"{self.labels} must hold an image of one of the classes, got none of {known.tolist()}")

    def scaled(self, choices: Sequence[Rows], divisor: float) -> list[NDArray[np.float64]]:
        """Return the images of each choice of rows over the divisor, (rows, pixels) of float64, all finite."""
        held = idx_file.read_images(self.images)
        found = []
        for rows in choices:
            values = held[rows].astype(np.float64)
            with np.errstate(over="ignore"):
                values /= divisor
            if not np.isfinite(values).all():
                raise ValueError(
                    f"{self.images} must hold finite values, got NaN or infinite ones in the chosen images"
                )
            found.append(values)
        return found


def grouped(classes: Sequence[int | Sequence[int]], least: int, most: int, kind: str) -> Groups:
    """Return the classes as groups of labels from ``least`` to ``most``, which messages call ``kind`` ("digits")."""
    groups: Groups = []
    for i, entry in enumerate(checks.sequence("classes", classes, f"a sequence of {kind} or of groups of them")):
        if isinstance(entry, Iterable) and not isinstance(entry, str):
            several = checks.sequence(f"classes[{i}]", entry, f"one of the {kind} or a group of them")
            held = [checks.integer(f"classes[{i}][{j}]", k, least=least, most=most) for j, k in enumerate(several)]
        else:
            held = [checks.integer(f"classes[{i}]", entry, least=least, most=most)]
        if not held:
            raise ValueError(f"classes[{i}] must name one or more {kind}, got {entry!r}")
        groups.append(held)
    labels = [label for group in groups for label in group]
    if len(groups) < 2 or len(set(labels)) < len(labels):
        alone = len(labels) == len(groups)
        given = tuple(labels) if alone else tuple(tuple(group) for group in groups)
        words = f"different {kind}" if alone else f"groups of different {kind}"
        raise ValueError(f"classes must be two or more {words}, got {given}")
    return groups


def members(shown: NDArray[np.integer], groups: Groups) -> Rows:
    """Return the rows of the classes, in their order."""
    return np.flatnonzero(np.isin(shown, np.concatenate(groups)))


def positions(shown: NDArray[np.integer], groups: Groups) -> NDArray[np.int64]:
    """Return labels of a task: +1 and -1 for two classes, else the position of each label's group."""
    labels = np.concatenate(groups)
    owner = np.repeat(np.arange(len(groups), dtype=np.int64), [len(group) for group in groups])
    order = np.argsort(labels)
    position: NDArray[np.int64] = owner[order][np.searchsorted(labels, shown, sorter=order)]
    return 1 - 2 * position if len(groups) == 2 else position


def split(rows: Rows, samples: int | None, test_samples: int, seed: int) -> tuple[Rows, Rows]:
    """Return the rows to train on and those to test on, drawn without replacement, each in their order.

    Training rows are the first of a random order and test rows the last, so that neither depends on how many the
    others are. Without ``samples`` all other rows are trained on.
    """
    test_samples = checks.integer("test_samples", test_samples, least=0)
    if samples is None and test_samples == 0:
        return rows, rows[:0]
    least = 1 if samples is None else checks.integer("samples", samples, least=1, most=len(rows))
    checks.integer("test_samples", test_samples, least=0, most=len(rows) - least)
    order = generator(seed).permutation(rows)
    tested = len(rows) - test_samples
    return np.sort(order[: tested if samples is None else samples]), np.sort(order[tested:])


def drawn(rows: Rows, test_samples: int | None, seed: int) -> Rows:
    """Return rows to test on, of a collection that holds none to train on: all, or as many as are asked for."""
    if test_samples is None:
        return rows
    count = checks.integer("test_samples", test_samples, least=0, most=len(rows))
    return np.sort(streams(seed, 1)[0].permutation(rows)[:count])


def normalised(
    inputs: NDArray[np.float64], test: NDArray[np.float64], centre: bool, standardise: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return both less the means, and over the spreads, of ``inputs``, as asked; what does not vary there becomes 0."""
    for name, asked in (("centre", centre), ("standardise", standardise)):
        checks.flag(name, asked)
    varies = inputs.max(axis=0) > inputs.min(axis=0)
    if centre or standardise:
        mean = inputs.mean(axis=0)
        inputs, test = inputs - mean, test - mean
    if standardise:
        spread = inputs.std(axis=0)
        inputs, test = (np.divide(x, spread, out=np.zeros_like(x), where=varies) for x in (inputs, test))
    return inputs, test
