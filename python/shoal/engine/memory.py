"""Whether a training fits into the memory there is, asked before it starts."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from shoal.engine.threads import cgroup_folders
from shoal.spec.measures import REDUCIBLE, REGISTRY
from shoal.spec.method import Method
from shoal.spec.network import Network
from shoal.spec.task import Task

STATUS_BYTES = 33
"""Of a network: its status, and when and after how many steps it stopped."""
_NEVER_SHORT = 2**18
"""Bytes below which nobody asks: a process that holds NumPy has as much, and reading what is free takes as long as
a short training."""


def available_bytes() -> int | None:
    """Return the bytes that this process can still take, or None where the system does not say.

    The machine's available memory, or what the cgroup still allows where that is less.
    """
    limits = [_machine_bytes(), *(_cgroup_bytes(folder) for folder in cgroup_folders("memory"))]
    known = [limit for limit in limits if limit is not None]
    return min(known) if known else None


def less_than(needed: int) -> int | None:
    """Return the bytes that this process can still take where they are fewer than ``needed``, else None."""
    available = available_bytes() if needed > _NEVER_SHORT else None
    return None if available is None or available >= needed else available


def record_bytes(
    network: Network, task: Task, measures: Sequence[str], networks: int, times: int, itemsize: int
) -> int:
    """Return the bytes of the arrays that a training hands back."""
    each = sum(REGISTRY[name].bytes(network, task, times, itemsize) for name in measures)
    return networks * (each + STATUS_BYTES)


def work_bytes(
    network: Network,
    task: Task,
    method: Method,
    pack: int,
    passes: Sequence[int],
    lanes: int,
    workers: int,
    itemsize: int,
) -> int:
    """Return the bytes in which the core trains: the task in its dtype, and a working set for each thread.

    ``passes`` are the samples of each of its passes: those of the task, the test samples, and those of the task once
    more where the norm of the gradient is recorded. ``pack`` is the core's count of parameters, gradient and the values
    of a block of samples, all without biases, of all passes. Beside them there are the biases and their gradient, a
    count for each hidden unit and the initial weights of one network in float64, three numbers a sample, and what the
    method keeps; of networks with scales or rates their scaled weights and three factors a parameter; of centred
    networks their first outputs.
    """
    biases = sum(network.widths[1:]) if network.bias else 0
    kept = method.packs * network.parameters
    numbers = (2 * len(passes) * biases + kept) * lanes + 3 * sum(passes)
    if set((*network.scales, *network.rates)) != {1.0}:
        numbers += len(passes) * network.parameters * (lanes + 3)
    if network.centred:
        numbers += sum(passes) * network.outputs * lanes
    worker = pack + numbers * itemsize + 8 * (network.parameters + network.units * lanes)
    worker += method.kink_bytes(network, task.samples, lanes)
    return workers * worker + task_bytes(task, itemsize)


def task_bytes(task: Task, itemsize: int) -> int:
    """Return the bytes of the core's copy of the task, in its dtype."""
    return (task.samples + task.test_samples) * (task.dimension * itemsize + itemsize + 8 + 8 + 4)


@dataclass(frozen=True)
class Need:
    """What a training asks of the memory, and what asks for it.

    ``records`` and ``work`` are bytes; ``block`` is how many networks ``reduce`` takes at a time (or would, where
    ``reduce`` is None). ``available`` are the bytes that there are, None for those of this process.
    """

    records: int
    work: int
    network: Network
    networks: int
    workers: int
    times: int
    measures: Sequence[str]
    reduce: str | None
    block: int
    available: int | None = None

    def require(self) -> None:
        """Raise when there is less memory than this.

        Raises
        ------
        ValueError
            With what is needed, what is available, and what would need less.
        """
        needed = self.records + self.work
        available = less_than(needed) if self.available is None else self.available
        if available is None or available >= needed:
            return
        each = (
            ""
            if self.reduce is None
            else f" and statistics of {self.block} networks a thread at a time (reduce={self.reduce!r})"
        )
        raise ValueError(
            f"networks={self.networks} of widths {self.network.widths} with {self.times} recorded times of "
            f"{', '.join(self.measures)} needs {gigabytes(needed)} of memory, {gigabytes(available)} is available: "
            f"{gigabytes(self.records)} for records{each}, {gigabytes(self.work)} to train in "
            f"on threads={self.workers}; {self._remedy()}"
        )

    def _remedy(self) -> str:
        if self.work > self.records:
            return "use fewer threads or smaller networks" if self.workers > 1 else "use smaller networks"
        if self.reduce is not None or self.networks == 1:
            return "record fewer times or measures"
        if not set(self.measures) <= set(REDUCIBLE) or self.networks <= self.block:
            return "train fewer networks at once, or record fewer times or measures"
        return "train fewer networks at once, record fewer times or measures, or use Record(reduce='moments')"


def gigabytes(size: int) -> str:
    """Return a size in words, however large."""
    return f"{min(size, 10**300) / 1e9:.3g} GB" if size >= 10**7 else "less than 0.01 GB"


def _machine_bytes() -> int | None:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None


def _cgroup_bytes(folder: Path) -> int | None:
    for limit_name, usage_name in (
        ("memory.max", "memory.current"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes"),
    ):
        try:
            limit = (folder / limit_name).read_text().strip()
            if limit == "max":
                return None
            used = int((folder / usage_name).read_text())
            return max(0, int(limit) - used + _reclaimable(folder))
        except (OSError, ValueError):
            continue
    return None


def _reclaimable(folder: Path) -> int:
    """Return the bytes of file cache counted as used, which the kernel gives back when asked."""
    for line in (folder / "memory.stat").read_text().splitlines():
        name, value = line.split()
        if name in ("inactive_file", "total_inactive_file"):
            return int(value)
    return 0
