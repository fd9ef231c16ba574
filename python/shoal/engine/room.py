"""Whether a run fits into memory, asked before it trains."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from shoal.engine import memory
from shoal.engine.histogram import bins
from shoal.engine.run import Run
from shoal.spec.measures import REDUCIBLE, REGISTRY, any_of
from shoal.spec.method import Method
from shoal.spec.network import Network
from shoal.spec.task import Task


class Need(NamedTuple):
    """Bytes of what is recorded, bytes in which the core trains, and the threads on which it does."""

    records: int
    work: int
    threads: int


def require(run: Run, networks: int, threads: int, available: int | None = None) -> None:
    """Refuse to train so many networks at once where there is too little memory.

    Parameters
    ----------
    available
        Bytes there are; when left out, those that this process can still take.

    Raises
    ------
    ValueError
        With what is needed, what is available, and what would need less.
    """
    need = need_of(run, networks, threads)
    total = need.records + need.work
    available = memory.less_than(total) if available is None else available
    if available is None or available >= total:
        return
    measures, reduced = run.training.record.measure, run.training.record.reduce is not None
    block = min(networks, run.cut.cell * run.cut.stretch)
    statistics = f" and statistics of {block} networks per thread at a time (reduce='moments')" if reduced else ""
    if need.work > need.records:
        remedy = "use fewer threads or smaller networks" if need.threads > 1 else "use smaller networks"
    elif reduced or networks == 1:
        remedy = "record fewer times or measures"
    elif not set(measures) <= set(REDUCIBLE) or networks <= block:
        remedy = "train fewer networks at once, or record fewer times or measures"
    else:
        remedy = "train fewer networks at once, record fewer times or measures, or use Record(reduce='moments')"
    size = memory.gigabytes
    raise ValueError(
        f"networks={networks} of widths {run.training.network.widths} with {len(run.training.records)} recorded times "
        f"of {', '.join(measures)} needs {size(total)} of memory, {size(available)} is available: "
        f"{size(need.records)} for records{statistics}, {size(need.work)} to train in on threads={need.threads}; "
        f"{remedy}"
    )


def need_of(run: Run, networks: int, threads: int) -> Need:
    """Return what it takes to train so many networks at once."""
    training, reduced = run.training, run.training.record.reduce is not None
    at_once = min(networks, threads * run.cut.cell * run.cut.stretch) if reduced else networks
    started, work = _work(run, networks, threads)
    records = run.record_bytes(at_once)
    if reduced:
        records += _merged_bytes(run, networks, started)
        work += started * task_bytes(run.condensed.task, run.itemsize)  # each thread's own copy
    elif training.method.rates is not None:
        records += 8 * networks * len(training.records)  # the times of each network
    if run.functions:
        records += _custom_bytes(run, networks)
    return Need(records, work, started)


def _merged_bytes(run: Run, networks: int, threads: int) -> int:
    """Return the bytes of the statistics of a call, thrice while they are merged, and of histograms."""
    numbers = run.record_bytes(1) // run.itemsize
    training, times = run.training, len(run.training.records)
    counted = sum(REGISTRY[name].bytes(training.network, training.task, times, 1) for name in run.kept.distribution)
    histograms = counted * bins(run.kept.resolution)
    return 3 * 8 * _cells(run, networks) * (4 + len(run.kept.covariance)) * numbers + 8 * (threads + 2) * histograms


def _custom_bytes(run: Run, networks: int) -> int:
    """Return the bytes of custom statistics, and of the weights of which they are taken at once."""
    times, blocks = len(run.training.records), run.blocks
    each = 8 * times * sum(math.prod(shape) for shape in run.custom_shapes.values())
    held = min(networks, blocks.call) * times * run.training.network.parameters * run.itemsize
    if run.training.record.reduce is None:
        return held + networks * each
    return held + (min(networks, max(run.cut.cell, blocks.call)) + 3 * 4 * _cells(run, networks)) * each


def _cells(run: Run, networks: int) -> int:
    """Return the cells of which one call of the core has statistics."""
    return min(run.cut.call, -(-networks // run.cut.cell) + 1)


def _work(run: Run, networks: int, threads: int) -> tuple[int, int]:
    """Return how many threads the core starts, and the bytes in which they train."""
    from shoal import _core

    training, network, task, itemsize = run.training, run.condensed.network, run.condensed.task, run.itemsize
    lanes = _core.lanes(training.dtype)
    keeps = bool(run.functions) or any_of(training.record.measure, "layers")
    span, beside = run.condensed.bytes_beside(network.widths[1], keeps, lanes)
    of_gradient, of_init = (any_of(training.record.measure, trait) for trait in ("of_gradient", "of_init"))
    copies = (of_gradient + of_init) * network.parameters * itemsize  # of the parameters of one network
    if run.engine == "wide":
        sizes = (task.samples, task.test_samples, networks, threads)
        wide = _core.wide_bytes(network.widths, network.bias, network.centred, *sizes, training.dtype)
        return threads, wide + task_bytes(task, itemsize) + span + min(threads, networks) * (beside + copies)
    started = min(threads, -(-networks // lanes))  # the core starts no thread that would have no pack
    passes = [task.samples, *([task.test_samples] if task.test else []), *([task.samples] if of_gradient else [])]
    pack = sum(_core.pack_bytes(network.widths, samples, training.dtype) for samples in passes)
    work = work_bytes(network, task, training.method, pack, passes, lanes, started, itemsize)
    return started, work + span + started * (beside + copies * lanes)


def work_bytes(
    network: Network,
    task: Task,
    method: Method,
    pack: int,
    passes: Sequence[int],
    lanes: int,
    threads: int,
    itemsize: int,
) -> int:
    """Return the bytes in which the core trains: the task in its dtype, and a working set for each thread.

    ``passes`` are the samples of each of its passes: those of the task, the test samples, and those of the task once
    more where the norm of the gradient is recorded. ``pack`` is the core's count of parameters, gradient and the values
    of a block of samples, all without biases, of all passes. Beside them there are the biases and their gradient, a
    count for each hidden unit and the initial weights of one network in float64, three numbers per sample, and what the
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
    each = pack + numbers * itemsize + 8 * (network.parameters + network.units * lanes)
    each += method.kink_bytes(network, task.samples, lanes)
    return threads * each + task_bytes(task, itemsize)


def task_bytes(task: Task, itemsize: int) -> int:
    """Return the bytes of the core's copy of the task, in its dtype."""
    return (task.samples + task.test_samples) * (task.dimension * itemsize + itemsize + 8 + 8 + 4)
