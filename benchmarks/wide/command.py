"""Command line and report of the benchmark of wide networks: ``python -m benchmarks wide --help``."""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.table import Table

from benchmarks.options import choice, console, contenders, counts, cpus, share, size_of
from benchmarks.report import band, held, median_and_band, tell
from benchmarks.results import Result
from benchmarks.run import Worker
from benchmarks.wide.cases import CASES, WideCase
from benchmarks.wide.contenders import WAYS

FIGURE_STEPS = 2000
"""Steps of Figure 1."""

ROUNDS = {"smoke": 1, "quick": 3, "full": 5}

Say = Callable[[str], None]
Measure = Callable[[str, list[Worker], Path, Say], dict[str, Any]]
"""Of a dtype, by these workers, with a folder for what they hand on."""

Tables = Callable[[list[dict[str, Any]], bool], Table]

Prepared = tuple[dict[str, Any], list[tuple[Worker, dict[str, Any]]]]
"""What is told of a run, and the worker of each of its entries."""


class WideWorker(Worker):
    """A process that trains one wide network."""

    module = "benchmarks.wide.worker"


def arguments(words: list[str]) -> argparse.Namespace:
    """Parse the command line."""
    about = "Time one wide network against torch: the step of Figure 1 of arXiv:2006.11209, every sample active."
    parser = argparse.ArgumentParser(prog="python -m benchmarks wide", description=about)
    parser.add_argument("--dtype", type=choice(("float64", "float32")), default=["float64"], help="default: float64")
    parser.add_argument("--threads", type=counts, default=[min(2, cpus())], help="such as 1,2; default: 2")
    parser.add_argument("--steps", type=int, default=8, help="steps of a round, default: 8")
    parser.add_argument("--ways", type=int, help="of torch that are tried, default: all")
    share(parser, clock=True, rounds=ROUNDS["full"])
    return parser.parse_args(words)


def prepare(case: WideCase, dtype: str, workers: list[Worker], options: argparse.Namespace, say: Any) -> Prepared:
    """Check all ways, and choose the right ones that are kept.

    Of each contender the fastest is kept, and the fastest of those that take all samples at once: blocks of samples are
    work that the user of a library does by hand.
    """
    found: dict[str, Any] = {"case": asdict(case), "dtype": dtype, "threads": workers[0].threads, "entries": []}
    found["ways"] = {}
    running: list[tuple[Worker, dict[str, Any]]] = []
    for worker in workers:
        say(f"{dtype}: warming {worker.label}")
        ways = worker.ask("prepare", case=asdict(case), dtype=dtype, most=options.ways, clock=options.clock)
        right = {name: way["step_seconds"] for name, way in ways.items() if way.get("passed")}
        found["ways"][worker.name] = ways
        plain = [name for name in right if "blocks" not in name]
        kept = {min(names, key=right.__getitem__): None for names in (list(right), plain) if names}
        entries: list[dict[str, Any]] = [{"contender": worker.name, "way": way} for way in kept]
        found["entries"] += entries
        running += [(worker, entry) for entry in entries]
    return found, running


def measure(case: WideCase, dtype: str, workers: list[Worker], options: argparse.Namespace, say: Any) -> dict[str, Any]:
    """Time steps on which every sample is active, in rounds of alternating order."""
    found, running = prepare(case, dtype, workers, options, say)
    for entry in found["entries"]:
        entry["gflops"] = []
    found["peaks"] = []
    for number in range(options.rounds):
        say(f"{dtype}: round {number + 1} of {options.rounds}")
        if workers[0].name == "shoal":
            peak = workers[0].ask("peak", dtype=dtype, seconds=0.2, clock=options.clock)
            found["peaks"].append(peak["gflops"])
        for worker, entry in running if number % 2 == 0 else running[::-1]:
            seconds = worker.ask("round", way=entry["way"], steps=options.steps, clock=options.clock)["seconds"]
            threads = worker.threads if options.clock == "cpu" else 1
            entry["gflops"].append(case.flops * options.steps * threads / seconds * 1e-9)
    return found


def troubles(results: list[dict[str, Any]]) -> list[str]:
    """Return a line for each way whose answer is wrong or that failed."""
    return [
        f"{result['dtype']} {name}, {way}: {told.get('error') or 'gap {:.1e}'.format(told['gap'])}"
        for result in results
        for name, ways in result["ways"].items()
        for way, told in ways.items()
        if not told.get("passed")
    ]


def table_of(results: list[dict[str, Any]], claims: bool) -> Table:
    """Return a line for each contender of each run."""
    case = results[0]["case"]
    sizes = f"{case['inputs']}-{case['nodes']}-1, {case['samples']:,} samples"
    table = Table(title=f"One network {sizes}, hinge loss, every sample active: medians (bands) of the rounds")
    for name in ("dtype", "contender", "way"):
        table.add_column(name)
    for name in ("GFLOP/s", "fraction of peak", "ms a step", "2,000 steps, min", "shoal over it"):
        table.add_column(name, justify="right")
    for result in results:
        flops = 4.0 * case["samples"] * case["inputs"] * case["nodes"]
        mine: list[float] = next((entry["gflops"] for entry in result["entries"] if entry["contender"] == "shoal"), [])
        for entry in result["entries"]:
            speeds = entry["gflops"]
            middle = statistics.median(speeds)
            shares = [speed / peak for speed, peak in zip(speeds, result["peaks"], strict=False)]
            ratios = [a / b for a, b in zip(mine, speeds, strict=bool(mine))] if entry["contender"] != "shoal" else []
            seconds = flops / middle * 1e-9
            table.add_row(
                result["dtype"],
                f"{entry['contender']} @{result['threads']}",
                entry["way"],
                band(median_and_band(speeds), 1),
                band(median_and_band(shares)) if shares else "-",
                f"{1e3 * seconds:.1f}",
                f"{FIGURE_STEPS * seconds / 60:.1f}" if claims else "-",
                held(ratios, claims),
            )
    return table


def run(
    names: list[str], options: argparse.Namespace, measure_one: Callable[[str, list[Worker], Path], dict[str, Any]]
) -> list[dict[str, Any]]:
    """Measure every dtype at every number of threads; workers live as long as their number of threads."""
    results = []
    for threads in options.threads:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="shoal-benchmarks-")))
            workers: list[Worker] = [WideWorker(name, threads, threads, folder) for name in names]
            for worker in workers:
                stack.callback(worker.close)
            results += [measure_one(dtype, workers, folder) for dtype in options.dtype]
    return results


def carry_out(
    name: str,
    words: list[str],
    options: argparse.Namespace,
    rounds: dict[str, int],
    measure_one: Measure,
    table_of: Tables,
) -> int:
    """Run a command on one wide network, print and save what it found; 1 when an answer is wrong or a way failed."""
    shown, result = console(), Result(name, words)
    options.rounds = options.rounds or rounds[size_of(options)]
    if options.smoke:
        options.steps = 2
        options.ways = options.ways or 1
    names = contenders(list(WAYS), shown)
    with shown.status("starting") as status:
        results = run(names, options, lambda dtype, workers, folder: measure_one(dtype, workers, folder, status.update))
    table = table_of(results, not options.smoke)
    shown.print(table)
    wrong = troubles(results)
    tell(shown, wrong)
    result.save(options.json, [table], [f"not right: {line}" for line in wrong], runs=results)
    return 1 if wrong else 0


def main(words: list[str]) -> int:
    """Time the step of the figure."""
    options = arguments(words)
    case = CASES["smoke" if options.smoke else "figure"]

    def measured(dtype: str, workers: list[Worker], folder: Path, say: Say) -> dict[str, Any]:
        return measure(case, dtype, workers, options, say)

    return carry_out("wide", words, options, ROUNDS, measured, table_of)
