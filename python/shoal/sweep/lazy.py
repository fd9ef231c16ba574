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


def variables(stores: Sequence[Store]) -> dict[str, xarray.Variable]:
    """Return the variables of the stores of ranges of networks that follow each other."""
    plan, found = stores[0].plan, {}
    first = np.cumsum([0, *(one.plan.networks for one in stores)])
    begins = np.concatenate([one.plan.ranges[:, 0] + before for one, before in zip(stores, first, strict=False)])
    for name, (dims, _, attrs) in plan.templates[0].variables.items():
        array = LazilyIndexedArray(_Blocks(stores, name, int(first[-1]), begins))
        found[name] = xarray.Variable((*plan.conditions.names, *dims), array, attrs)
    return found


class _Blocks(BackendArray):
    """One variable; ``begins`` are the first networks of the blocks of all stores."""

    def __init__(self, stores: Sequence[Store], name: str, networks: int, begins: NDArray[np.int64]) -> None:
        self.stores, self.name, self.begins, self.chunk = stores, name, begins, stores[0].chunks[name]
        self.counts = np.cumsum([len(one.plan.ranges) for one in stores])
        self.conditions = stores[0].plan.conditions.shape
        self.shape = (*self.conditions, networks, *self.chunk.shape[1:])
        self.dtype = self.chunk.dtype

    def __getitem__(self, key: ExplicitIndexer) -> Any:
        return explicit_indexing_adapter(key, self.shape, IndexingSupport.OUTER, self._read)

    def _read(self, key: tuple[Any, ...]) -> NDArray[Any]:
        """Return the values at integers, slices and arrays of indices, each along its own axis."""
        asked = [_numbers(index, size) for index, size in zip(key, self.shape, strict=True)]
        indices = [np.atleast_1d(one) for one in asked]
        found = np.full([len(one) for one in indices], self.chunk.fill_value, self.dtype)
        axis = len(self.conditions)
        networks, rest = indices[axis], indices[axis + 1 :]
        owner = np.searchsorted(self.begins, networks, side="right") - 1
        order = np.argsort(owner, kind="stable")
        numbers, starts = np.unique(owner[order], return_index=True)
        for place in np.ndindex(found.shape[:axis]):
            at = tuple(one[i] for one, i in zip(indices, place, strict=False))
            condition = int(np.ravel_multi_index(at, self.conditions)) if at else 0
            for number, rows in zip(numbers.tolist(), np.split(order, starts[1:]), strict=False):
                values = self._block(condition, number)
                inside = networks[rows] - self.begins[number]
                there = inside < len(values)
                found[(*place, rows[there])] = values[np.ix_(inside[there], *rest)]
        return found[tuple(0 if one.ndim == 0 else slice(None) for one in asked)]

    def _block(self, condition: int, number: int) -> NDArray[Any]:
        """Return the values of the networks that a block has, of which ``number`` counts those of all stores."""
        which = int(np.searchsorted(self.counts, number, side="right"))
        store = self.stores[which]
        number -= int(self.counts[which]) - len(store.plan.ranges)
        begin, there = int(store.plan.ranges[number, 0]), int(store.there[condition, number])
        if not there:
            return np.zeros((0, *self.chunk.shape[1:]), self.dtype)
        return store.block(Block(condition, number, begin, begin + there), [self.name])[self.name]


def _numbers(index: Any, size: int) -> NDArray[np.int64]:
    """Return the numbers that an integer, a slice or an array asks for out of ``size``, without making all of them."""
    if isinstance(index, slice):
        return np.arange(*index.indices(size))
    asked = np.asarray(index, np.int64)
    return np.where(asked < 0, asked + size, asked)
