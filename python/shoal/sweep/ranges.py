"""The blocks of networks into which each condition of a sweep is cut, computed when they are asked for."""

from __future__ import annotations

import bisect
import itertools
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import overload


class _Blocks(Sequence[tuple[int, int]]):
    """Begins and ends by the number of a block, of which ``_at`` knows those from 0 on."""

    @overload
    def __getitem__(self, number: int) -> tuple[int, int]: ...
    @overload
    def __getitem__(self, number: slice) -> list[tuple[int, int]]: ...
    def __getitem__(self, number: int | slice) -> tuple[int, int] | list[tuple[int, int]]:
        """Return begin and end of a block, or of several."""
        if isinstance(number, slice):
            return [self[one] for one in range(*number.indices(len(self)))]
        if not -len(self) <= number < len(self):
            raise IndexError(f"there are {len(self)} blocks, got {number}")
        return self._at(int(number) % len(self))

    @abstractmethod
    def _at(self, number: int) -> tuple[int, int]: ...


@dataclass(frozen=True)
class Ranges(_Blocks):
    """Begin and end of each block of networks ``first`` to ``first + networks - 1``, counted from the first.

    Each ends where the whole ends or at a multiple of its size, counted from network 0. Most blocks have ``block``
    networks. If ``cell`` is smaller than that, the blocks before and behind them halve down to ``cell`` networks: each
    is one branch of the tree of indices, so ranges that are trained apart have the bits of the whole when merged.
    Memory: O(log(block)), however many blocks there are.
    """

    first: int
    networks: int
    block: int
    cell: int

    @property
    def end(self) -> int:
        """Index behind the last network."""
        return self.first + self.networks

    @cached_property
    def _head(self) -> list[int]:
        """Where blocks begin before the first multiple of the largest size, and that multiple or the end."""
        begins = [self.first]
        while begins[-1] < self.end and begins[-1] % self.block:
            begins.append(self._next(begins[-1]))
        return begins

    @cached_property
    def _full(self) -> int:
        """How many blocks of the largest size follow."""
        return (self.end - self._head[-1]) // self.block

    @cached_property
    def _tail(self) -> list[int]:
        """Where those end, where the blocks behind them begin, and the end."""
        begins = [self._head[-1] + self._full * self.block]
        while begins[-1] < self.end:
            begins.append(self._next(begins[-1]))
        return begins

    def _next(self, at: int) -> int:
        """Return where a block that begins at ``at`` ends."""
        size = self.block
        while size > self.cell and (at % size or at + size > self.end):
            size //= 2
        return min(self.end, (at // size + 1) * size)

    def __len__(self) -> int:
        """Return how many blocks there are."""
        return len(self._head) - 1 + self._full + len(self._tail) - 1

    def _at(self, number: int) -> tuple[int, int]:
        return self._begin(number) - self.first, self._begin(number + 1) - self.first

    def _begin(self, number: int) -> int:
        """Return the first network of a block; of the number of blocks, the end."""
        head = len(self._head) - 1
        if number < head:
            return self._head[number]
        if number <= head + self._full:
            return self._head[-1] + (number - head) * self.block
        return self._tail[number - head - self._full]

    @property
    def most(self) -> int:
        """Networks of the largest block."""
        smaller = [*itertools.pairwise(self._head), *itertools.pairwise(self._tail)]
        return self.block if self._full else max(end - begin for begin, end in smaller)


@dataclass(frozen=True)
class Pieces(_Blocks):
    """Begin and end of each block of ranges that follow each other, counted from the first network of the first."""

    pieces: tuple[Ranges, ...]

    @classmethod
    def of(cls, first: int, networks: int, block: int, cell: int, cuts: Sequence[int]) -> Pieces:
        """Return the blocks of networks that have grown from each number of ``cuts``: those of fewer remain.

        But for the last that is not a multiple of ``cell``.
        """
        ends = [(first + cut) // cell * cell for cut in cuts]
        begins = [first, *sorted({end for end in ends if first < end < first + networks})]
        ranges = itertools.pairwise([*begins, first + networks])
        return cls(tuple(Ranges(begin, end - begin, block, cell) for begin, end in ranges))

    @cached_property
    def _numbers(self) -> list[int]:
        return list(itertools.accumulate(map(len, self.pieces), initial=0))

    def __len__(self) -> int:
        """Return how many blocks there are."""
        return self._numbers[-1]

    def _at(self, number: int) -> tuple[int, int]:
        which = bisect.bisect_right(self._numbers, number) - 1
        piece = self.pieces[which]
        before = piece.first - self.pieces[0].first
        begin, end = piece[number - self._numbers[which]]
        return before + begin, before + end

    @property
    def most(self) -> int:
        """Networks of the largest block."""
        return max(piece.most for piece in self.pieces)
