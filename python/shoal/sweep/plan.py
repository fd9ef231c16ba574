"""A sweep whose arguments are checked: its conditions, the blocks of networks, and what one block keeps."""

from __future__ import annotations

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
from shoal.spec.encoding import decode, encode
from shoal.spec.loss import resolve_loss
from shoal.spec.method import GradientDescent, GradientFlow
from shoal.spec.training import Training
from shoal.spec.validate import check_progress, check_types
from shoal.sweep import template
from shoal.sweep.conditions import NUMBERS, Conditions, applied, check_fields, first_rates, regrid
from shoal.sweep.ranges import Pieces
from shoal.sweep.template import Template

_BLOCK_WORK = 2**34
"""Parameters x samples x gradients of a default block: some seconds on one core, and less on more."""
_MINUTES = 2**5
"""How many times that work a block may hold, so that a sweep of many conditions has no more than ``_BLOCKS``."""
_BLOCKS = 2**11  # each of which takes some hundredths of a second to write
_FLOW_GRADIENTS = 2**11  # what a network's flow takes, as a guess that only sizes blocks
_BLOCK_BYTES = 2**26  # of a default block's records where each network is kept
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
    """What a sweep keeps of a store: networks of a block, how many there are, and from how many it has grown."""

    block: int
    networks: int
    cuts: tuple[int, ...]


@dataclass(frozen=True)
class Plan:
    """All that fixes the result of a sweep, and the blocks into which it is cut.

    ``cuts`` are the numbers of networks from which its store has grown.
    """

    conditions: Conditions
    runs: tuple[Run, ...]
    given: Mapping[str, Any]
    block: int
    cuts: tuple[int, ...] = ()

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
        """Return the sweep that these arguments of ``sweep`` ask for, ``before`` of a store that there is.

        Raises
        ------
        TypeError, ValueError
            As of ``sweep``, but for its threads, store and memory.
        """
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
        for told, settings in zip(conditions.told(), conditions.settings(), strict=True):
            try:
                training = Training(**applied(arguments, settings))
                key = _condensed_alike(training)
                run = Run.of(training, condensed.get(key))
                condensed[key] = run.condensed
                _ = run.training.records  # which raises where the method ends before them
            except (TypeError, ValueError) as error:
                raise (type(error)(f"over: at {told}: {error}") if settings else error) from error
            runs.append(run)
        size = _block(runs, block, before)
        cuts = () if before is None else before.cuts
        if before is not None and before.networks < runs[0].training.networks:
            cuts = (*cuts, before.networks)
        first = runs[0].training  # whose numbers are checked, and Python's
        fixed = {name: getattr(first, name) for name in ("networks", "first_network", "record", "dtype")}
        fixed |= {name: getattr(first, name) for name in NUMBERS if name not in conditions.fields}
        fixed["record"] = replace(first.record, custom=())  # a specification cannot hold functions
        plan = cls(conditions, tuple(runs), {**arguments, **fixed, "block": size}, size, cuts)
        plan._check_count()
        template.check_alike(conditions.told(), plan.templates)
        plan._check_ranges()
        return plan

    @classmethod
    def read(cls, told: Mapping[str, Any], cuts: Sequence[int], load: Callable[[str], NDArray[Any]]) -> Plan:
        """Return the sweep of which ``told`` was written."""
        arguments = decode(told, load)
        before = Before(told["block"], told["networks"], tuple(cuts))
        return cls.of(**{**arguments, "over": regrid(arguments["over"])}, before=before)

    @cached_property
    def told(self) -> dict[str, Any]:
        """The specification: every argument, as JSON can hold it."""
        return self.told_of_first(self.networks)

    def told_of_first(self, networks: int) -> dict[str, Any]:
        """Return the specification of the same sweep with the first so many networks, and their learning rates."""
        return self._encoded(networks, {})

    @cached_property
    def arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays to which the specification refers, by their digests."""
        arrays: dict[str, NDArray[Any]] = {}
        self._encoded(self.networks, arrays)
        return arrays

    def _encoded(self, networks: int, arrays: dict[str, NDArray[Any]]) -> dict[str, Any]:
        method = first_rates("method", self.given["method"], networks)
        changed = {"networks": networks, "method": method, "over": self.conditions.over(networks)}
        told: dict[str, Any] = encode({**self.given, **changed}, arrays)
        return told

    @property
    def reduced(self) -> bool:
        """Whether statistics are kept, and not each network."""
        return self.runs[0].training.record.reduce is not None

    @property
    def networks(self) -> int:
        """Networks of each condition."""
        return self.runs[0].training.networks

    @property
    def first_network(self) -> int:
        """Index of the first network."""
        return self.runs[0].training.first_network

    @property
    def cell(self) -> int:
        """Networks of which blocks hold whole multiples, so that a cut changes no bit."""
        return max(run.cut.cell for run in self.runs) if self.reduced else 1

    @cached_property
    def ranges(self) -> Pieces:
        """Begin and end of each block, counted from the first network."""
        if self.reduced:
            return Pieces.of(self.first_network, self.networks, self.block, self.cell, self.cuts)
        return Pieces.of(self.first_network, self.networks, self.block, self.block, ())

    @cached_property
    def continued(self) -> list[int]:
        """Numbers of blocks of networks of which a store may have some: those that had an end where it has grown."""
        if self.reduced:
            return []
        ends = {self.first_network + cut for cut in self.cuts if cut < self.networks}
        first = self.first_network // self.block
        return sorted({end // self.block - first for end in ends if end % self.block})

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The variables that are cut into blocks: each has one file a block."""
        return tuple(self.statistics if self.reduced else self.templates[0].variables)

    @cached_property
    def statistics(self) -> dict[str, NDArray[Any]]:
        """What a block of statistics keeps, of no networks."""
        return kept(template.of_statistics(self.runs[0]))

    @cached_property
    def templates(self) -> list[Template]:
        """What each condition records."""
        return [Template.of(run) for run in self.runs]

    def blocks(self, done: NDArray[np.bool_], some: Mapping[tuple[int, int], int] | None = None) -> Iterator[Block]:
        """Return the blocks that are not done, condition by condition; ``done`` has shape (conditions, blocks).

        Of ``some``, by condition and number, begin behind the networks that are there.
        """
        for condition in range(self.conditions.count):
            for number in map(int, np.flatnonzero(~done[condition])):
                begin, end = self.ranges[number]
                yield Block(condition, number, begin + (some or {}).get((condition, number), 0), end)

    @cached_property
    def total_work(self) -> int:
        """The total that progress is told."""
        return self.networks * sum(run.training.method.work for run in self.runs)

    def work(self, block: Block) -> int:
        """Return what a block adds to the total that progress is told."""
        return (block.end - block.begin) * self.runs[block.condition].training.method.work

    def merged(self, condition: int, number: int, sums: Mapping[str, Any], counts: Mapping[str, Any]) -> Merged:
        """Return the statistics of a block from its arrays."""
        run = self.runs[condition]
        begin, end = self.ranges[number]
        cell = run.cut.cell
        level = (-(-(end - begin) // cell) - 1).bit_length()
        pairs = run.kept.covariance
        return Merged(dict(sums), dict(counts), (self.first_network + begin) // cell >> level, level, tuple(pairs))

    def told_of(self, block: Block) -> str:
        """Return a text that names a block: its number, its networks, and its condition."""
        networks = f"networks {self.first_network + block.begin} to {self.first_network + block.end - 1}"
        at = self.conditions.told()[block.condition]
        return f"block {block.number} ({networks}){f' at {at}' if at else ''}"

    def require(self, threads: int, available: int | None = None, where: str = "this machine") -> None:
        """Raise a ValueError where a block needs more memory than there is, or than the ``available`` bytes."""
        most = self.ranges.most
        for condition, run in enumerate(self.runs):
            try:
                room.require(run, most, threads, available)
            except ValueError as error:
                told = self.conditions.told()[condition]
                at = f" at {told}" if told else ""
                raise ValueError(f"block={self.block} is too large for {where}{at}: {error}") from error

    def _check_count(self) -> None:
        """Refuse more blocks than a folder can have files, and a call can look for when it goes on."""
        count = self.conditions.count * len(self.ranges)
        if count > _MOST_BLOCKS:
            at = f" at each of {self.conditions.count:,} conditions" if self.conditions.axes else ""
            raise ValueError(
                f"block must be larger: {self.networks:,} networks{at} in blocks of {self.block:,} are {count:,} "
                f"blocks, each with files of its own; a store can have {_MOST_BLOCKS:,}"
            )

    def _check_ranges(self) -> None:
        if self.reduced and self.first_network % self.cell:
            below = self.first_network - self.first_network % self.cell
            raise ValueError(
                f"first_network must be a multiple of {self.cell}, the networks whose statistics are taken together, "
                f"got {self.first_network}; the nearest are {below} and {below + self.cell}"
            )
        if self.reduced:
            return
        rows = min(self.block, self.networks)
        for name, (_, values, _) in self.templates[0].variables.items():
            if rows * values.nbytes > _CHUNK_BYTES:
                raise ValueError(
                    f"block must be smaller: {rows} networks of {name!r} have {rows * values.nbytes} bytes, "
                    f"of which a chunk can have {_CHUNK_BYTES}"
                )


Result = dict[str, NDArray[Any]]
Execute = Callable[[Plan, Iterable[Block]], Generator[tuple[Block, Result], None, None]]
"""Trains blocks and hands each back with what it keeps, in any order; each is written before the next is asked for.

It is closed when the sweep ends, however that ends.
"""


def trained(run: Run, begin: int, end: int, threads: int, progress: Progress | None) -> dict[str, NDArray[Any]]:
    """Train networks ``begin`` to ``end`` - 1 of a condition and return what its block keeps, by name.

    Of statistics ``sum_NAME`` and ``count_NAME``; else the variables that ``train`` returns, networks first.
    """
    if run.training.record.reduce is not None:
        merged = run.expanded(run.merged(begin, end, threads, progress))
        return kept(merged)
    arrays = run.condensed.expand(run.arrays(begin, end, threads, progress))
    variables = run.variables(arrays) | template.initial(run, begin, end)
    return {name: np.asarray(values) for name, (_, values, _) in variables.items()}


def kept(merged: Merged) -> dict[str, NDArray[Any]]:
    """Return the arrays of one node of statistics, by the names that they have in a store."""
    sums = {f"sum_{name}": array[0] for name, array in merged.sums.items()}
    return {**sums, **{f"count_{name}": array for name, array in merged.counts.items()}}


def _block(runs: list[Run], asked: object, before: Before | None) -> int:
    """Return how many networks a block has: what is asked, or what its sizes alone say, and never a clock.

    That is what takes some seconds at the costliest condition; minutes, where there would be too many blocks: rules to
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
    """Return what two trainings share that are condensed alike; tasks by identity, for they may be large."""
    flows, decays = isinstance(training.method, GradientFlow), training.weight_decay != 0
    return id(training.task), training.network, flows, decays, training.condense, training.dtype


def _work(run: Run) -> int:
    """Return parameters x samples x gradients of a network that no rule stops."""
    gradients = (
        max(1, run.training.method.steps) if isinstance(run.training.method, GradientDescent) else _FLOW_GRADIENTS
    )
    return run.training.network.parameters * run.condensed.task.samples * gradients
