"""Images and labels in a pair of IDX files, as `shoal.tasks.idx` takes them."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shoal.base import checks
from shoal.tasks import idx_file
from shoal.tasks.chosen import Groups, Rows

__all__ = ["Collection", "Path"]

Path = str | os.PathLike[str]


@dataclass(frozen=True, eq=False)
class Collection:
    """Two files that belong together: the labels, read, and what the header of the images states.

    Attributes
    ----------
    images, labels : str or PathLike
        The files.
    shown : ndarray of int, shape (samples,)
        The labels.
    header : shoal.tasks.idx_file.Header
        Shape and type of the images, which are not read yet.
    """

    images: Path
    labels: Path
    shown: NDArray[np.integer]
    header: idx_file.Header

    @classmethod
    def opened(cls, images: Path, labels: Path, names: tuple[str, str] = ("images", "labels")) -> Collection:
        """Return the collection in two files; ``names`` are those of the arguments that name them.

        Raises
        ------
        TypeError, OSError, ValueError
            What `shoal.idx` refuses; counts that differ.
        """
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
        """Return a class for each label there is, the smallest first.

        Raises
        ------
        ValueError
            There is only one.
        """
        found = np.unique(self.shown).tolist()
        if len(found) < 2:
            raise ValueError(f"{self.labels} must hold two or more different labels, got only {found[0]}")
        return [[label] for label in found]

    def require_each(self, groups: Groups) -> None:
        """Raise a ValueError where a label of a class has no image."""
        missing = sorted({label for group in groups for label in group} - set(np.unique(self.shown).tolist()))
        if missing:
            raise ValueError(f"{self.labels} must hold an image of each class, got none of class {missing[0]}")

    def require_like(self, other: Collection, groups: Groups, *, scaled: bool, chosen: bool) -> None:
        """Raise where these cannot be test images of a training on another collection.

        Parameters
        ----------
        other
            What is trained on.
        groups
            Its classes.
        scaled
            Whether the caller says by what values are divided, so that types may differ.
        chosen
            Whether the caller says which classes, so that images of others are left out.

        Raises
        ------
        ValueError
            No image of the classes, a label that is not trained on, another number of pixels, another type.
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
        """Return the images of each choice of rows over the divisor, (rows, pixels) of float64.

        Raises
        ------
        OSError, ValueError
            What `shoal.idx` refuses; a value that is not finite.
        """
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
