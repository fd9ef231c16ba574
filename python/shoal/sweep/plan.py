"""A sweep whose arguments are checked: its conditions, its blocks of networks, and the arrays of a block."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.base import checks
from shoal.engine import room
from shoal.engine.condense import Condensed
from shoal.engine.merged import Merged
from shoal.engine.run import Progress, Run
from shoal.spec.encoding import encode
from shoal.spec.loss import resolve_loss
from shoal.spec.method import GradientDescent, GradientFlow
from shoal.spec.training import Training
from shoal.spec.validate import check_progress, check_types
from shoal.sweep import template
from shoal.sweep.conditions import NUMBERS, Conditions, applied, check_fields, first_rates
from shoal.sweep.template import Template

_BLOCK_WORK = 2**34
"""Parameters x samples x gradients of a default block: some seconds on one core, and less on more."""
_MINUTES = 2**5
"""How many times that work a block may hold, so that a sweep of many conditions has no more than ``_BLOCKS``."""
_BLOCKS = 2**11  # each of which takes some hundredths of a second to write
_FLOW_GRADIENTS = 2**11  # a guess of those of a network's flow, which only sizes blocks
_BLOCK_BYTES = 2**26  # of a default block's records if each network is kept
_CHUNK_BYTES = 2**31 - 2**20  # a chunk's compressor takes no more
_MOST = 2**22
_MOST_BLOCKS = 2**20  # of all conditions: each has a file for each variable
_OBJECTS = ("network", "task", "init", "method", "record")


@dataclass(frozen=True)
class Block:
    """Networks ``begin`` to ``end`` - 1, counted from the first, of one condition: block ``number`` of it."""

    condition: int
    number: int
    begin: int
    end: int


@dataclass(frozen=True)
class Before:
    """The part of a store that a sweep into it keeps: networks per block, networks, and from how many it has grown."""

    block: int
    networks: int
    cuts: tuple[int, ...]


class Plan:
    """All that fixes the result of a sweep, and the blocks into which it is cut.

    ``given`` are its arguments; ``cuts`` are the numbers of networks from which its store has grown. ``reduced`` says
    that statistics are kept, and not each network. Blocks hold whole multiples of ``cell`` networks, so that a cut
    changes no bit.
    """

    def __init__(
        self, conditions: Conditions, runs: Sequence[Run], given: Mapping[str, Any], block: int, cuts: tuple[int, ...]
    ) -> None:
        self.conditions, self.runs, self.given, self.block, self.cuts = conditions, runs, given, block, cuts
        first = runs[0].training
        self.networks, self.first_network = first.networks, first.first_network
        self.reduced = first.record.reduce is not None
        self.cell = max(run.cut.cell for run in runs) if self.reduced else block

    @classmethod
    def of(
        cls,
        *,
        over: object,
        block: int | None = None,
        progress: object = None,
        before: Before | None = None,
        **arguments: Any,
    ) -> Plan:
        """Return the sweep of these arguments of ``sweep``, checked but for its threads, store and memory."""
        check_types(*(arguments[name] for name in _OBJECTS))
        check_progress(progress)
        if arguments["networks"] is None:
            rates = arguments["method"].rates
            arguments["networks"] = arguments["init"].networks or (None if rates is None else len(rates))
        checks.integer("networks", arguments["networks"], least=1, most=2**62)
        arguments["loss"] = resolve_loss(arguments["loss"])
        conditions = Conditions.of(over)
        check_fields(conditions, arguments)
        if conditions.count > _MOST_BLOCKS:
            raise ValueError(f"over must make at most {_MOST_BLOCKS:,} conditions, got {conditions.count:,}")
        runs = []
        condensed: dict[Any, Condensed] = {}
        for number, settings in enumerate(conditions.settings):
            try:
                training = Training(**applied(arguments, settings))
                key = _condensed_alike(training)
                run = Run.of(training, condensed.get(key))
                condensed[key] = run.condensed
                _ = run.training.records  # raises if the method ends before them
            except (TypeError, ValueError) as error:
                raise (type(error)(f"over: at {conditions.told[number]}: {error}") if settings else error) from error
            runs.append(run)
        first = runs[0].training  # its numbers are checked, and of Python's types
        size = _block(runs, block, before)
        cuts = () if before is None else before.cuts
        if before is not None and before.networks < first.networks:
            cuts = (*cuts, before.networks)
        fixed = {name: getattr(first, name) for name in ("networks", "first_network", "dtype")}
        fixed |= {name: getattr(first, name) for name in NUMBERS if name not in conditions.fields}
        fixed["record"] = replace(first.record, custom=())  # a specification cannot hold functions
        plan = cls(conditions, runs, {**arguments, **fixed, "block": size}, size, cuts)
        plan._check_blocks()
        template.check_alike(conditions.told, plan.templates)
        return plan

    def specification(self, networks: int) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Return the arguments of the sweep of the first networks, as JSON can hold them, and arrays by digest."""
        method = first_rates("method", self.given["method"], networks)
        changed = {"networks": networks, "method": method, "over": self.conditions.over(networks)}
        arrays: dict[str, NDArray[Any]] = {}
        return encode({**self.given, **changed}, arrays), arrays

    @cached_property
    def told(self) -> dict[str, Any]:
        """The specification."""
        return self.specification(self.networks)[0]

    @cached_property
    def ranges(self) -> NDArray[np.int64]:
        """Begin and end of each block, counted from the first network; shape (blocks, 2)."""
        return ranges_of(self.first_network, self.networks, self.block, self.cell, self.cuts)

    @cached_property
    def continued(self) -> list[int]:
        """Numbers of blocks of which a store may have some networks, because it has grown from within them."""
        if self.reduced:
            return []
        ends = {self.first_network + cut for cut in self.cuts if cut < self.networks}
        first = self.first_network // self.block
        return sorted({end // self.block - first for end in ends if end % self.block})

    @cached_property
    def statistics(self) -> dict[str, NDArray[Any]]:
        """The arrays of a block of statistics of no networks."""
        return _kept(template.of_statistics(self.runs[0]))

    @cached_property
    def templates(self) -> list[Template]:
        """The record of each condition."""
        return [Template.of(run) for run in self.runs]

    @property
    def sizes(self) -> NDArray[np.int64]:
        """Networks of each block."""
        return self.ranges[:, 1] - self.ranges[:, 0]

    def blocks(self, there: NDArray[Any]) -> Iterator[Block]:
        """Return the missing parts of blocks; ``there`` are the networks that each has, shape (conditions, blocks)."""
        for condition in range(self.conditions.count):
            for number in np.flatnonzero(there[condition] < self.sizes).tolist():
                begin, end = self.ranges[number].tolist()
                yield Block(condition, number, begin + int(there[condition, number]), end)

    @cached_property
    def total_work(self) -> int:
        """The total that is reported to progress."""
        return self.networks * sum(run.training.method.work for run in self.runs)

    def work(self, block: Block) -> int:
        """Return the part of a block in the total that is reported to progress."""
        return (block.end - block.begin) * self.runs[block.condition].training.method.work

    def told_of(self, block: Block) -> str:
        """Return a text that names a block: its number, its networks, and its condition."""
        networks = f"networks {self.first_network + block.begin} to {self.first_network + block.end - 1}"
        at = self.conditions.told[block.condition]
        return f"block {block.number} ({networks}){f' at {at}' if at else ''}"

    def require(self, threads: int, available: int | None = None, where: str = "this machine") -> None:
        """Raise a ValueError if a block needs more memory than there is, or than the ``available`` bytes."""
        most = int(self.sizes.max())
        for at, run in zip(self.conditions.told, self.runs, strict=True):
            try:
                room.require(run, most, threads, available)
            except ValueError as error:
                where = f"{where} at {at}" if at else where
                raise ValueError(f"block={self.block} is too large for {where}: {error}") from error

    def _check_blocks(self) -> None:
        """Refuse too many blocks, a first network within a cell, and blocks that are too large for a chunk."""
        full = self.networks // self.block
        count = self.conditions.count * (full if full > _MOST_BLOCKS else len(self.ranges))
        if count > _MOST_BLOCKS:
            at = f" at each of {self.conditions.count:,} conditions" if self.conditions.axes else ""
            raise ValueError(
                f"block must be larger: {self.networks:,} networks{at} in blocks of {self.block:,} are {count:,} "
                f"blocks, each with files of its own; a store can have {_MOST_BLOCKS:,}"
            )
        before = self.first_network % self.cell
        if self.reduced and before:
            below = self.first_network - before
            raise ValueError(
                f"first_network must be a multiple of {self.cell}, the networks whose statistics are taken together, "
                f"got {self.first_network}; the nearest are {below} and {below + self.cell}"
            )
        rows = min(self.block, self.networks)
        for name, (_, values, _) in () if self.reduced else self.templates[0].variables.items():
            if rows * values.nbytes > _CHUNK_BYTES:
                raise ValueError(
                    f"block must be smaller: {rows} networks of {name!r} have {rows * values.nbytes} bytes, "
                    f"of which a chunk can have {_CHUNK_BYTES}"
                )


Result = dict[str, NDArray[Any]]
Execute = Callable[[Plan, Iterable[Block]], Generator[tuple[Block, Result], None, None]]
"""Trains blocks and yields each with its arrays, in any order; each is written before the next is asked for.

It is closed when the sweep ends, however that ends.
"""


def trained(run: Run, begin: int, end: int, threads: int, progress: Progress | None) -> Result:
    """Train networks ``begin`` to ``end`` - 1 of a condition and return the arrays of their block, by name.

    Of statistics ``sum_NAME`` and ``count_NAME``; else the variables that ``train`` returns, networks first.
    """
    if run.training.record.reduce is not None:
        return _kept(run.expanded(run.merged(begin, end, threads, progress)))
    arrays = run.condensed.expand(run.arrays(begin, end, threads, progress))
    variables = run.variables(arrays) | template.initial(run, begin, end)
    return {name: np.asarray(values) for name, (_, values, _) in variables.items()}


def _kept(merged: Merged) -> Result:
    sums = {f"sum_{name}": array[0] for name, array in merged.sums.items()}
    return {**sums, **{f"count_{name}": array for name, array in merged.counts.items()}}


def ranges_of(first: int, networks: int, block: int, cell: int, cuts: Sequence[int]) -> NDArray[np.int64]:
    """Return begin and end of each block of networks, counted from the first; shape (blocks, 2).

    Each ends where the whole ends or at a multiple of its size, counted from network 0. Most have ``block`` networks.
    The blocks before and behind them halve down to ``cell`` networks. Each is one branch of the tree of indices, so
    ranges that are trained apart have the bits of the whole when merged. Networks that have grown from each number of
    ``cuts`` keep the blocks of fewer, but for the last that is not a multiple of ``cell``.
    """
    end = first + networks
    grown = {(first + cut) // cell * cell for cut in cuts}
    ends = [first, *sorted(at for at in grown if first < at < end), end]
    begins = []
    for low, high in itertools.pairwise(ends):
        above = min(high, -(-low // block) * block)
        below = max(above, high // block * block)
        begins += [_halved(low, above, block, cell), np.arange(above, below, block), _halved(below, high, block, cell)]
    bounds = np.concatenate([*begins, np.array([end])]) - first
    return np.stack([bounds[:-1], bounds[1:]], axis=1)


def _halved(at: int, end: int, block: int, cell: int) -> NDArray[np.int64]:
    """Return the begins of blocks from ``at`` to ``end``, each the largest that fits."""
    begins = []
    while at < end:
        begins.append(at)
        size = block
        while size > cell and (at % size or at + size > end):
            size //= 2
        at = min(end, (at // size + 1) * size)
    return np.array(begins, np.int64)


def _block(runs: list[Run], asked: object, before: Before | None) -> int:
    """Return the networks per block: the number asked for, or one that follows from sizes alone, and never a clock.

    Such a block takes some seconds at the costliest condition; minutes, if there would be too many blocks. Rules to
    stop may end networks long before the last step, and then blocks would take less time to train than to write.
    """
    reduced = runs[0].training.record.reduce is not None
    # A function of custom statistics sees the same networks together however they are cut.
    together = [run.cut.cell for run in runs] if reduced else [run.blocks.block for run in runs if run.functions]
    least = max(together, default=1)
    if asked is None and before is not None and before.block >= least:
        return before.block
    if asked is not None:
        block = checks.integer("block", asked, least=1, most=2**62)
        below = 1 << (block.bit_length() - 1)
        if block < least or block != below:
            near = (least,) if block < least else (below, 2 * below)
            raise ValueError(
                f"block must be {least} networks times a power of two, got {block}; "
                f"the nearest {'is' if len(near) == 1 else 'are'} {' and '.join(map(str, near))}"
            )
        return block
    work = max(_work(run) for run in runs)
    few = -(-runs[0].training.networks * len(runs) // _BLOCKS)
    most = max(1, _BLOCK_WORK // work, min(1 << (few - 1).bit_length(), _MINUTES * _BLOCK_WORK // work))
    if not reduced:
        most = min(most, *(max(1, _BLOCK_BYTES // run.record_bytes(1)) for run in runs))
    enough = 1 << max(0, runs[0].training.networks - 1).bit_length()
    return max(least, min(_MOST, enough, 1 << (most.bit_length() - 1)))


def _condensed_alike(training: Training) -> Any:
    """Return a key of trainings that are condensed alike; tasks by identity, for they may be large."""
    flows, decays = isinstance(training.method, GradientFlow), training.weight_decay != 0
    return id(training.task), training.network, flows, decays, training.condense, training.dtype


def _work(run: Run) -> int:
    """Return parameters x samples x gradients of a network that no rule stops."""
    method = run.training.method
    gradients = max(1, method.steps) if isinstance(method, GradientDescent) else _FLOW_GRADIENTS
    return run.training.network.parameters * run.condensed.task.samples * gradients
