"""Whether a run fits into memory, asked before it trains."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from shoal.engine import memory
from shoal.engine.histogram import bins
from shoal.engine.run import Run, engine
from shoal.spec.measures import REDUCIBLE, REGISTRY, any_of
from shoal.spec.method import GradientFlow, Method
from shoal.spec.network import Network
from shoal.spec.task import Task


class Need(NamedTuple):
    """Bytes of what is recorded, bytes in which the core trains, and the threads on which it does."""

    records: int
    work: int
    threads: int


def require(run: Run, networks: int, threads: int, available: int | None = None) -> None:
    """Refuse to train so many networks at once in too little memory: ``available`` bytes, or what there is."""
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
    training, times = run.training, len(run.training.records)
    reduced = training.record.reduce is not None
    started, work = _work(run, networks, threads)
    records = run.record_bytes(min(networks, threads * run.cut.cell * run.cut.stretch) if reduced else networks)
    cells = min(run.cut.call, -(-networks // run.cut.cell) + 1)  # of which one call of the core has statistics
    if reduced:
        numbers = run.record_bytes(1) // run.itemsize
        counted = sum(REGISTRY[name].bytes(training.network, training.task, times, 1) for name in run.kept.distribution)
        records += 3 * 8 * cells * (4 + len(run.kept.covariance)) * numbers  # thrice while they are merged
        records += 8 * (started + 2) * counted * bins(run.kept.resolution)
        work += started * task_bytes(run.condensed.task, run.itemsize, run.targets)  # each thread's own copy
    elif training.method.rates is not None:
        records += 8 * networks * times  # the times of each network
    if run.functions:
        each, call = 8 * times * sum(math.prod(shape) for shape in run.custom_shapes.values()), run.blocks.call
        rows = min(networks, max(run.cut.cell, call)) + 3 * 4 * cells if reduced else networks
        # The custom statistics, and the weights of which they are taken at once.
        records += rows * each + min(networks, call) * times * training.network.parameters * run.itemsize
    return Need(records, work, started)


def _work(run: Run, networks: int, threads: int) -> tuple[int, int]:
    """Return how many threads the core starts, and the bytes in which they train."""
    from shoal import _core

    training, network, task, itemsize = run.training, run.condensed.network, run.condensed.task, run.itemsize
    lanes = _core.lanes(training.dtype)
    keeps = bool(run.functions) or any_of(training.record.measure, "layers")
    span, beside = run.condensed.bytes_beside(network.widths[1], keeps, lanes)
    of_gradient, of_init = (any_of(training.record.measure, trait) for trait in ("of_gradient", "of_init"))
    copies = (of_gradient + of_init) * network.parameters * itemsize  # of the parameters of one network
    flows, learnt = isinstance(training.method, GradientFlow), int(np.count_nonzero(task.sample_weight))
    beside += _kernel_numbers(training.record.measure, network, task.samples) * lanes * itemsize
    if any_of(training.record.measure, "of_hessian"):
        beside += _hessian_numbers(network, learnt) * lanes * itemsize + network.parameters * (8 + itemsize)
    alone = 0
    if threads:  # none where workers elsewhere train
        sizes = (network.widths, network.bias, learnt, networks, threads)
        alone = _core.networks_alone(*sizes, engine(training.method), flows, training.dtype)

    def by_themselves(count: int) -> int:
        counts = (task.samples, task.test_samples, count, threads)
        found = _core.alone_bytes(
            network.widths, network.bias, network.centred, *counts, training.dtype, network.activation
        )
        if training.method.momentum:  # the velocity, in rows of whole packs, and recorded
            found += min(threads, count) * 2 * itemsize * (network.parameters + lanes * (network.units + 1))
        return int(found + min(threads, count) * (beside + copies))

    work_alone = by_themselves(alone) + task_bytes(task, itemsize, run.targets) + span if alone else 0
    if alone == networks:
        return threads, work_alone
    started = min(threads, -(-(networks - alone) // lanes))  # the core starts no thread that would have no pack
    passes = [task.samples, *([task.test_samples] if task.test else []), *([task.samples] if of_gradient else [])]
    pack = sum(_core.pack_bytes(network.widths, samples, training.dtype, network.activation) for samples in passes)
    work = work_bytes(network, task, training.method, pack, passes, lanes, started, itemsize, run.targets)
    work += span + started * (beside + copies * lanes)
    if threads and not flows and engine(training.method) == "auto":  # the last networks of a pack may go on alone
        work += by_themselves(started)
    return started, max(work_alone, work)


def _kernel_numbers(measures: Sequence[str], network: Network, samples: int) -> int:
    """Return the numbers in which one network's tangent kernel is found, and that at initialisation."""
    pairs, units = samples * (samples + 1) // 2, 3 * sum(network.widths[1:])
    kernels = any_of(measures, "of_kernel") + ("kernel_distance" in measures)
    return kernels * (network.parameters + samples * units + pairs * (1 + network.layers))


def _hessian_numbers(network: Network, learnt: int) -> int:
    """Return the numbers in which one network's sharpness is found: of samples and units, vectors, Lanczos' matrix."""
    units, iterations = sum(network.widths[1:]), 1000
    of_sample = 4 * units + (1 + network.centred) * network.outputs
    return learnt * of_sample + 6 * network.parameters + 12 * units + 4 * iterations


def work_bytes(
    network: Network,
    task: Task,
    method: Method,
    pack: int,
    passes: Sequence[int],
    lanes: int,
    threads: int,
    size: int,
    targets: int = 0,
) -> int:
    """Return the bytes in which the core trains: the task in its dtype of ``size``, and a working set for each thread.

    ``passes`` are the samples of each of its passes: those of the task, the test samples, and those of the task once
    more if the norm of the gradient is recorded. ``pack`` is the core's count of parameters, gradient and the values
    of a block of samples, all without biases, of all passes. To these it adds the biases and their gradient, a count
    for each hidden unit and the initial weights of one network in float64, three numbers per sample and its targets,
    and what the method keeps; for networks with scales or rates their scaled weights and three factors per parameter;
    for centred networks their first outputs.
    """
    parameters = network.parameters
    numbers = 2 * len(passes) * (sum(network.widths[1:]) if network.bias else 0) * lanes + 3 * sum(passes)
    if set((*network.scales, *network.rates)) != {1.0}:
        numbers += len(passes) * parameters * (lanes + 3)
    if method.momentum:
        numbers += parameters * lanes  # the velocity
    if network.centred:
        numbers += sum(passes) * network.outputs * lanes
    each = pack + 8 * (parameters + network.units * lanes)
    if isinstance(method, GradientFlow):
        numbers += 9 * parameters * lanes  # seven slopes, a trial and a record
        # Six numbers for each kink and lane, and two velocities for each lane; normals of the surfaces along which one
        # network slides, twice, and their products.
        kinks, surfaces = task.samples * (network.units + 1), min(parameters, 512, max(1, 2**22 // parameters)) + 1
        each += 8 * (lanes * (6 * kinks + 2 * parameters) + surfaces * (2 * parameters + surfaces))
    return threads * (each + numbers * size) + task_bytes(task, size, targets)


def task_bytes(task: Task, itemsize: int, targets: int = 0) -> int:
    """Return the bytes of the core's copy of the task, in its dtype, with so many targets per sample."""
    return (task.samples + task.test_samples) * ((task.dimension + targets) * itemsize + itemsize + 8 + 8 + 4)
