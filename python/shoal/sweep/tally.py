"""What of a sweep is done, how fast, and how its networks ended: counted from blocks as they are written."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.spec.method import OUTCOMES, GradientFlow
from shoal.sweep.contents import Contents
from shoal.sweep.plan import Block, Plan


@dataclass(frozen=True)
class Outcome:
    """How some networks ended: how many with each status, and how many meet each event at the last time."""

    statuses: NDArray[np.int64]
    events: Mapping[str, int]

    @classmethod
    def of(cls, plan: Plan, block: Block, result: Mapping[str, NDArray[Any]]) -> Outcome:
        """Return how the networks of a block ended, from what it keeps."""
        if not plan.reduced:
            return cls(np.bincount(result["status"], minlength=len(OUTCOMES)), {})
        named = enumerate(plan.runs[block.condition].kept.events)
        return cls(result["count_status"], {str(event): int(result[f"count_event_{i}"][-1]) for i, event in named})

    @classmethod
    def kept(cls, held: Contents) -> Outcome:
        """Return how the networks of the blocks of a store ended that are done."""
        events = held.plan.runs[0].kept.events if held.plan.reduced else ()
        names = ["count_status", *(f"count_event_{i}" for i in range(len(events)))] if held.plan.reduced else ["status"]
        whole = cls(np.zeros(len(OUTCOMES), np.int64), dict.fromkeys(events, 0))
        for block in held.held():
            whole += cls.of(held.plan, block, held.block(block, names))
        return whole

    def named(self) -> dict[str, int]:
        """Return how many networks ended in each way."""
        return {name: int(count) for name, count in zip(OUTCOMES, self.statuses, strict=True)}

    def __add__(self, other: Outcome) -> Outcome:
        """Return how the networks of both ended."""
        events = {
            name: self.events.get(name, 0) + other.events.get(name, 0) for name in {**self.events, **other.events}
        }
        return Outcome(self.statuses + other.statuses, events)


@dataclass
class Tally:
    """Counts of a sweep while it runs; times are those of a monotonic clock, in seconds.

    ``networks`` and ``work`` are done, by earlier calls too; ``within`` is the part of the block that is trained now.
    """

    plan: Plan
    outcome: Outcome
    work: int
    networks: int
    clock: Callable[[], float] = time.monotonic
    within: int = 0
    begun: float = field(init=False)
    work_before: int = field(init=False)
    networks_before: int = field(init=False)

    def __post_init__(self) -> None:
        """Begin to count."""
        self.begun, self.work_before, self.networks_before = self.clock(), self.work, self.networks

    @classmethod
    def begin(cls, path: Path, work: int) -> Tally:
        """Return the counts with which a call begins."""
        held = Contents.read(path)
        networks = sum(block.end - block.begin for block in held.held())
        return cls(held.plan, Outcome.kept(held), work, networks)

    @property
    def all(self) -> int:
        """Networks of all conditions."""
        return self.plan.conditions.count * self.plan.networks

    def progress(self, done: int, block: Block) -> None:
        """Note how much work is done within a block."""
        each = self.plan.runs[block.condition].training.method.work
        self.within = min(block.end - block.begin, (done - self.work) // each) if each else 0

    def add(self, block: Block, outcome: Outcome) -> None:
        """Note that a block is written."""
        self.outcome += outcome
        self.networks += block.end - block.begin
        self.work += self.plan.work(block)
        self.within = 0

    @property
    def rate(self) -> float:
        """Networks a second since this call began; NaN before the first."""
        done, seconds = self.networks + self.within - self.networks_before, self.clock() - self.begun
        return done / seconds if done and seconds > 0 else math.nan

    def left(self, done: float) -> float:
        """Return the seconds that are left where ``done`` of the work is done; NaN where nothing tells."""
        total, seconds = self.plan.total_work, self.clock() - self.begun
        if not total:
            done, total, before = self.networks, self.all, self.networks_before
        else:
            before = self.work_before
        return seconds * (total - done) / (done - before) if done > before else math.nan

    def told(self, done: float) -> str:
        """Return a line that says where the sweep stands."""
        parts = [f"{self.networks + self.within:,} of {self.all:,} networks"]
        if math.isfinite(self.rate):
            parts.append(f"{self.rate:,.0f} networks/s")
        left = self.left(done)
        if self.networks < self.all:
            parts.append(f"{_clock(left)} left" if math.isfinite(left) else "time left unknown")
        named = self.outcome.named()
        parts.append(f"diverged {named['diverged']:,}")
        if any(isinstance(run.training.method, GradientFlow) for run in self.plan.runs):
            parts.append(f"exhausted {named['exhausted']:,}")
        parts += [f"{event}: {count:,}" for event, count in self.outcome.events.items()]
        return ", ".join(parts)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"
