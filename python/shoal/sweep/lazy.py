"""The arrays of stores in which each network is kept, of which only the blocks that are used are read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray
from numpy.typing import NDArray
from xarray.backends import BackendArray
from xarray.core.indexing import ExplicitIndexer, IndexingSupport, LazilyIndexedArray, explicit_indexing_adapter

from shoal.sweep.plan import Block
from shoal.sweep.store import Store


def variable(stores: Sequence[Store], name: str) -> xarray.Variable:
    """Return a variable of the stores of ranges of networks that follow each other."""
    plan = stores[0].plan
    dims, _, attrs = plan.templates[0].variables[name]
    return xarray.Variable((*plan.conditions.names, *dims), LazilyIndexedArray(_Blocks(stores, name)), attrs)


class _Blocks(BackendArray):
    def __init__(self, stores: Sequence[Store], name: str) -> None:
        self.stores, self.name, self.chunk = stores, name, stores[0].chunks[name]
        self.conditions = stores[0].plan.conditions.shape
        self.shape = (*self.conditions, sum(one.plan.networks for one in stores), *self.chunk.shape[1:])
        self.dtype = self.chunk.dtype

    def __getitem__(self, key: ExplicitIndexer) -> Any:
        return explicit_indexing_adapter(key, self.shape, IndexingSupport.OUTER, self._read)

    def _read(self, key: tuple[Any, ...]) -> NDArray[Any]:
        """Return the values at integers, slices and arrays of indices, each along its own axis."""
        asked = [np.arange(size)[index] for size, index in zip(self.shape, key, strict=True)]
        indices = [np.atleast_1d(one) for one in asked]
        found = np.full([len(one) for one in indices], self.chunk.fill_value, self.dtype)
        axis = len(self.conditions)
        networks, rest = indices[axis], indices[axis + 1 :]
        for place in np.ndindex(found.shape[:axis]):
            at = tuple(one[i] for one, i in zip(indices, place, strict=False))
            condition = int(np.ravel_multi_index(at, self.conditions)) if at else 0
            for store, block, first in self._blocks(condition, networks):
                rows = np.flatnonzero((networks >= first) & (networks < first + block.end - block.begin))
                values = store.block(block, [self.name])[self.name]
                found[(*place, rows)] = values[np.ix_(networks[rows] - first, *rest)]
        return found[tuple(0 if one.ndim == 0 else slice(None) for one in asked)]

    def _blocks(self, condition: int, networks: NDArray[np.int64]) -> list[tuple[Store, Block, int]]:
        """Return the blocks that have some of these networks, and the first of each, counted over all stores."""
        found, before = [], 0
        for store in self.stores:
            inside = networks[(networks >= before) & (networks < before + store.plan.networks)] - before
            for number in np.unique(np.searchsorted(store.plan.ranges[:, 0], inside, side="right") - 1).tolist():
                begin = int(store.plan.ranges[number, 0])
                there = int(store.there[condition, number])
                found.append((store, Block(condition, number, begin, begin + there), before + begin))
            before += store.plan.networks
        return [one for one in found if one[1].end > one[1].begin]
