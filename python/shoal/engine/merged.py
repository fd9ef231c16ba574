"""Statistics of some networks, merged by the tree of their indices.

The core takes the statistics of cells: the networks whose indices have the same quotient by the cell's size. Cells
whose numbers have the same quotient by two are merged, and so on: which networks are merged with which depends on their
indices alone, and a block of networks that begins and ends with a branch of the tree has the branch's bits. So neither
the blocks in which networks are trained, nor their order, nor who trains them changes a bit of the whole.

Two branches are merged by the update of Chan, Golub and LeVeque (1983).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]
Floats = NDArray[Any]

_COUNTS = ("kept", "stopped")
_MOST_NETWORKS, _LEAST_NETWORKS = 256, 16
_CELL_NUMBERS = 2**21
_STRETCH_NUMBERS, _MOST_CELLS = 2**18, 16
_CALL_NUMBERS, _MOST_CALL = 2**22, 2**12


@dataclass(frozen=True)
class Cut:
    """How networks of ``numbers`` recorded numbers each are cut: a function of that number alone.

    ``cell`` networks have their statistics taken together, which fixes their bits. A thread trains ``stretch`` cells
    at a time, and one call of the core ``call`` cells: those change no bit.
    """

    cell: int
    stretch: int
    call: int

    @classmethod
    def of(cls, numbers: int) -> Cut:
        """Return the cut of networks of so many numbers."""
        each = max(1, numbers)
        cell = _MOST_NETWORKS
        while cell > _LEAST_NETWORKS and cell * each > _CELL_NUMBERS:
            cell //= 2
        stretch = max(1, min(_MOST_CELLS, _STRETCH_NUMBERS // (cell * each)))
        call = 1
        while call < _MOST_CALL and 2 * call * 4 * each <= _CALL_NUMBERS:
            call *= 2
        return cls(cell, 1 << (stretch.bit_length() - 1), call)


def ranges(size: int, begin: int, end: int) -> Iterator[tuple[int, int]]:
    """Return ranges of networks that make up ``begin`` to ``end`` - 1, cut at the multiples of a size."""
    while begin < end:
        last = min(end, (begin // size + 1) * size)
        yield begin, last
        begin = last


@dataclass(frozen=True)
class Merged:
    """Statistics of the networks of one or more nodes of one level of the tree.

    ``sums`` holds, with the nodes as first axis, what has to be merged in order: ``kept``, the measures by name (nodes,
    4, ...) as mean, sum of squared deviations, least and largest, ``pair_I`` (nodes, ...) the sums of products of
    deviations, ``stopped`` and ``stop_moments``. ``counts`` holds what adds up: ``status``, ``event_I``,
    ``histogram_NAME``, ``stop_histogram``. ``first`` is the number of the first node, ``level`` how often cells were
    merged by twos; ``pairs`` are the measures of each pair.
    """

    sums: Arrays
    counts: Arrays
    first: int
    level: int
    pairs: tuple[tuple[str, str], ...]

    @classmethod
    def of_core(cls, arrays: Mapping[str, Any], cell: int, pairs: Sequence[tuple[str, str]]) -> Merged:
        """Return the statistics that the core took of cells; ``cell`` is the number of the first one."""
        added = {
            name for name in arrays if name in ("status", "stop_histogram") or name.startswith(("event_", "histogram_"))
        }
        sums = {name: array for name, array in arrays.items() if name not in added}
        return cls(sums, {name: arrays[name] for name in sorted(added)}, cell, 0, tuple(pairs))

    def up(self) -> Merged:
        """Return the nodes one level higher."""
        before, behind = self.first % 2, (self.first + len(self.sums["kept"])) % 2
        padded = self.sums
        if before or behind:
            padded = {
                name: np.concatenate([_nothing(name, array, before), array, _nothing(name, array, behind)])
                for name, array in self.sums.items()
            }
        left, right = ({name: array[i::2] for name, array in padded.items()} for i in (0, 1))
        return Merged(_merge(left, right, self.pairs), self.counts, self.first // 2, self.level + 1, self.pairs)

    def folded(self) -> Merged:
        """Return the one node that holds all of them."""
        node = self
        while len(node.sums["kept"]) > 1:
            node = node.up()
        return node

    def followed_by(self, later: Merged) -> Merged:
        """Return both: nodes of one level, of which the later directly follow the earlier."""
        sums = {name: np.concatenate([self.sums[name], later.sums[name]]) for name in self.sums}
        counts = {name: self.counts[name] + later.counts[name] for name in self.counts}
        return Merged(sums, counts, self.first, self.level, self.pairs)


def together(parts: Sequence[Merged]) -> Merged:
    """Return the one node of parts in the order of their networks; some networks may be missing between them.

    Each part must be a branch of the tree: all the networks of the whole from a multiple of cell x 2**k to the next,
    with its own k. Equal blocks are such parts, and so is what they are merged to.
    """
    if not parts:
        raise ValueError("parts must hold at least one, got none")
    for earlier, later in itertools.pairwise(parts):
        if _begin(later) < _end(earlier):
            raise ValueError(
                "parts must be branches of the tree in order, which share no cell, "
                f"got cells to {_end(earlier)}, then from {_begin(later)}"
            )
    waiting = list(parts)
    while len(waiting) > 1:
        level = min(part.level for part in waiting)
        joined: list[Merged] = []
        for part in waiting:
            last = joined[-1] if joined else None
            if part.level == level and last is not None and last.level == level and _end(last) == _begin(part):
                joined[-1] = last.followed_by(part)
            else:
                joined.append(part)
        waiting = [part.up() if part.level == level else part for part in joined]
    return waiting[0].folded()


def _begin(part: Merged) -> int:
    return part.first << part.level


def _end(part: Merged) -> int:
    return (part.first + len(part.sums["kept"])) << part.level


def _nothing(name: str, like: NDArray[Any], nodes: int) -> NDArray[Any]:
    """Return nodes of no networks."""
    empty = np.zeros((nodes, *like.shape[1:]), like.dtype)
    if name not in _COUNTS and not name.startswith("pair_"):
        _, _, least, most = np.moveaxis(empty, _moments_of(name)[1], 0)
        least[...], most[...] = np.inf, -np.inf
    return empty


def _moments_of(name: str) -> tuple[str, int]:
    """Return the name of the count of some moments, and the axis along which these are."""
    return ("stopped", -1) if name == "stop_moments" else ("kept", 1)


def _merge(left: Arrays, right: Arrays, pairs: Sequence[tuple[str, str]]) -> Arrays:
    """Merge nodes one by one with those that follow them."""
    merged: Arrays = {}
    # An infinite loss (exponential, far on the wrong side) correctly makes an infinite mean and a NaN variance.
    with np.errstate(invalid="ignore", over="ignore"):
        for name, array in left.items():
            other = right[name]
            if name in _COUNTS:
                merged[name] = array + other
            elif name.startswith("pair_"):
                one, two = pairs[int(name.removeprefix("pair_"))]
                gaps = (right[one][:, 0] - left[one][:, 0]) * (right[two][:, 0] - left[two][:, 0])
                merged[name] = _merge_products(left["kept"], array, right["kept"], other, gaps)
            else:
                count, axis = _moments_of(name)
                ours, theirs = np.moveaxis(array, axis, 0), np.moveaxis(other, axis, 0)
                merged[name] = np.moveaxis(_merge_moments(left[count], ours, right[count], theirs), 0, axis)
    return merged


def _counts(n: Floats, n_b: Floats, like: Floats) -> tuple[Floats, Floats, Floats]:
    """Return counts of nodes with as many axes as an array of theirs, and the fraction of the later."""
    n, n_b = (count.reshape(count.shape + (1,) * (like.ndim - count.ndim)).astype(np.float64) for count in (n, n_b))
    return n, n_b, n_b / np.maximum(n + n_b, 1)


def _merge_moments(count: Floats, moments: Floats, count_b: Floats, moments_b: Floats) -> Floats:
    mean, squares, least, most = moments
    mean_b, squares_b, least_b, most_b = moments_b
    n, n_b, part = _counts(count, count_b, mean)
    gap = mean_b - mean
    # An infinite mean stays infinite whichever side it is on; its gap would make it NaN.
    moved = np.where(np.isfinite(mean) & np.isfinite(mean_b), mean + gap * part, mean + mean_b)
    both_mean = np.where(n == 0, mean_b, np.where(n_b == 0, mean, moved))
    both_squares = _merge_products(count, squares, count_b, squares_b, gap * gap)
    return np.stack([both_mean, both_squares, np.minimum(least, least_b), np.maximum(most, most_b)])


def _merge_products(count: Floats, products: Floats, count_b: Floats, products_b: Floats, gaps: Floats) -> Floats:
    n, n_b, part = _counts(count, count_b, products)
    return np.where(n == 0, products_b, np.where(n_b == 0, products, products + products_b + gaps * (n * part)))
