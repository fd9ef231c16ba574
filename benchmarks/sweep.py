"""What a sweep costs beyond its trainings: ``python -m benchmarks sweep``. shoal alone.

The tiny case for 1,000 steps, statistics at 11 times, into a store in a fresh folder of the system's temporary one.
Its time is held, round by round, against the core alone: the same networks with the same statistics, without store,
blocks and dataset. A process of its own then sweeps more of them, and tells how much of its time was not spent in
trainings, its peak of memory, what it wrote, and what it costs to call it again when all is done, or half.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from benchmarks.cases import CASES, training
from benchmarks.options import console, cpus, parsed, size_of
from benchmarks.report import band, median_and_band
from benchmarks.results import Result
from benchmarks.turns import in_turns

STEPS, TIMES = 1_000, 11

NETWORKS = {"smoke": (2_048, 10_000), "quick": (200_000, 1_000_000), "full": (1_000_000, 10_000_000)}
"""Networks of a round, and of the process of its own, by size."""
ROUNDS = {"smoke": 2, "quick": 5, "full": 9}


def arguments(networks: int) -> dict[str, Any]:
    """Return the arguments of ``shoal.sweep``, but for its store and threads."""
    steps = np.linspace(0, STEPS, TIMES).astype(int).tolist()
    return training(replace(CASES["tiny"], networks=networks), STEPS, {"steps": steps, "reduce": "moments"})


def core_seconds(networks: int, threads: int) -> float:
    """Return the seconds of the core alone: trainings and their statistics."""
    import shoal
    from shoal.engine.run import Run

    run = Run.of(shoal.Training(**arguments(networks)))
    begin = time.perf_counter()
    run.merged(0, networks, threads, None)
    return time.perf_counter() - begin


def sweep_seconds(networks: int, threads: int) -> float:
    """Return the seconds of the whole call, to the dataset."""
    import shoal

    told = arguments(networks)
    with tempfile.TemporaryDirectory(prefix="shoal-benchmarks-") as folder:
        begin = time.perf_counter()
        data = shoal.sweep(**told, threads=threads, store=Path(folder) / "store")
        seconds = time.perf_counter() - begin
    if int(data.networks) != networks:
        raise RuntimeError(f"a sweep of {networks} networks returned {int(data.networks)}")
    return seconds


def measure(networks: int, rounds: int, threads: int, say: Any) -> dict[str, list[float]]:
    """Return the seconds of core and sweep, round after round in alternating order, after one that warms up."""
    calls = {"core": core_seconds, "sweep": sweep_seconds}
    for call in calls.values():
        call(min(networks, 4_096), threads)
    return in_turns({name: partial(call, networks, threads) for name, call in calls.items()}, rounds, say)


def overheads(seconds: dict[str, list[float]]) -> list[float]:
    """Return what the sweep took beyond the core, as a fraction of it, round by round."""
    return [sweep / core - 1 for sweep, core in zip(seconds["sweep"], seconds["core"], strict=True)]


def in_a_process(networks: int, threads: int) -> dict[str, Any]:
    """Sweep in a process of its own and return what it found."""
    with tempfile.TemporaryDirectory(prefix="shoal-benchmarks-") as folder:
        command = [sys.executable, "-m", "benchmarks.sweep_child", str(networks), str(threads), folder]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parent.parent)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def outside(child: dict[str, Any]) -> float:
    """Return what a process of its own took outside of its trainings, as a fraction of them."""
    return float(child["seconds"] / child["training_seconds"] - 1)


def rounds_table(networks: int, seconds: dict[str, list[float]]) -> Table:
    """Return a line for the core and one for the sweep."""
    table = Table(title=f"{networks:,} networks of the tiny case, {STEPS:,} steps: median (band) of the rounds")
    table.add_column("what")
    for name in ("seconds", "ns a network-step", "beyond the core, %"):
        table.add_column(name, justify="right")
    for name, found in seconds.items():
        each = 1e9 * statistics.median(found) / (STEPS * networks)
        beyond = band(median_and_band([100 * one for one in overheads(seconds)])) if name == "sweep" else "-"
        table.add_row(name, band(median_and_band(found)), f"{each:.4g}", beyond)
    return table


def child_table(child: dict[str, Any]) -> Table:
    """Return what the process of its own told, a line each."""
    table = Table(title=f"{child['networks']:,} networks in a process of its own")
    table.add_column("what")
    table.add_column("value", justify="right")
    for name, text in (
        ("seconds", f"{child['seconds']:.4g}"),
        (
            "seconds outside of trainings",
            f"{child['seconds'] - child['training_seconds']:.3g} ({100 * outside(child):.2g}%)",
        ),
        ("MB of memory at most", f"{child['peak_bytes'] / 1e6:.0f}"),
        ("MB of memory before: Python, libraries, a first small sweep", f"{child['before_bytes'] / 1e6:.0f}"),
        ("blocks", f"{child['blocks']:,}"),
        ("networks a block", f"{child['block']:,}"),
        ("files", f"{child['files']:,}"),
        ("MB of files", f"{child['file_bytes'] / 1e6:.3g}"),
        ("ms until a block begins, half of them done", f"{1e3 * child['half_seconds']:.0f}"),
        ("ms of the same call when all is done", f"{1e3 * child['again_seconds']:.0f}"),
        ("ms of `shoal.open_sweep`", f"{1e3 * child['open_seconds']:.0f}"),
    ):
        table.add_row(name, text)
    return table


def main(words: list[str]) -> int:
    """Run the benchmark."""
    options = parsed("sweep", __doc__, words, ROUNDS["full"])
    size, threads = size_of(options), cpus()
    networks, more = NETWORKS[size]
    shown, result = console(), Result("sweep", words)
    with shown.status("starting") as status:
        seconds = measure(networks, options.rounds or ROUNDS[size], threads, status.update)
        status.update(f"{more:,} networks in a process of its own")
        child = in_a_process(more, threads)
    tables = [rounds_table(networks, seconds), child_table(child)]
    for table in tables:
        shown.print(table)
    overhead = median_and_band(overheads(seconds))
    result.save(
        options.json, tables, networks=networks, threads=threads, rounds=seconds, overhead=overhead, child=child
    )
    return 0
