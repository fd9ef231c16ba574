"""Several arrays one behind the other, of which only what is used is read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray
from numpy.typing import NDArray
from xarray.backends import BackendArray
from xarray.core.indexing import ExplicitIndexer, IndexingSupport, LazilyIndexedArray, explicit_indexing_adapter


class Joined(BackendArray):
    """Variables of equal dimensions, type, and shape but along ``axis``, along which they follow each other."""

    def __init__(self, parts: Sequence[xarray.Variable], axis: int) -> None:
        self.parts, self.axis = list(parts), axis
        first = self.parts[0]
        self.ends = np.cumsum([part.shape[axis] for part in self.parts])
        self.shape = (*first.shape[:axis], int(self.ends[-1]), *first.shape[axis + 1 :])
        self.dtype = first.dtype

    @classmethod
    def of(cls, parts: Sequence[xarray.Variable], dim: str) -> xarray.Variable:
        """Return the variables as one, joined along ``dim``."""
        first = parts[0]
        joined = LazilyIndexedArray(cls(parts, first.get_axis_num(dim)))
        return xarray.Variable(first.dims, joined, first.attrs)

    def __getitem__(self, key: ExplicitIndexer) -> Any:
        """Return what an indexer of xarray asks for."""
        return explicit_indexing_adapter(key, self.shape, IndexingSupport.OUTER, self._read)

    def _read(self, key: tuple[Any, ...]) -> NDArray[Any]:
        """Return what integers, slices and arrays of indices, each along its own axis, ask for."""
        before, behind = key[: self.axis], key[self.axis + 1 :]
        asked = np.arange(self.shape[self.axis])[key[self.axis]]
        owner = np.searchsorted(self.ends, asked, side="right")
        if asked.ndim == 0:
            return self._part(int(owner), before, int(asked), behind)
        axis = sum(not isinstance(index, (int, np.integer)) for index in before)  # which integers before it leave
        numbers = np.unique(owner) if asked.size else [0]
        pieces = [self._part(int(number), before, asked[owner == number], behind) for number in numbers]
        order = np.argsort(np.argsort(owner, kind="stable"), kind="stable")
        return np.take(np.concatenate(pieces, axis=axis), order, axis=axis)

    def _part(self, number: int, before: tuple[Any, ...], asked: Any, behind: tuple[Any, ...]) -> NDArray[Any]:
        part = self.parts[number]
        inside = asked - (self.ends[number] - part.shape[self.axis])
        return np.asarray(part[(*before, _as_slice(inside), *behind)].values)


def _as_slice(indices: Any) -> Any:
    """Return neighbouring indices as a slice, of which no more is read than it holds."""
    if np.ndim(indices) == 0 or not indices.size or not np.array_equal(indices, indices[0] + np.arange(indices.size)):
        return indices
    return slice(int(indices[0]), int(indices[-1]) + 1)
