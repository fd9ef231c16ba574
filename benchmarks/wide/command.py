"""Command line and report of the benchmark of wide networks: ``python -m benchmarks wide --help``."""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.options import choice, contenders, counts, cpus
from benchmarks.report import band, machine, median_and_band, verdict
from benchmarks.run import Worker
from benchmarks.wide.cases import CASES, WideCase
from benchmarks.wide.contenders import WAYS

FIGURE_STEPS = 2000
"""Steps of Figure 1."""


Prepared = tuple[dict[str, Any], list[tuple[Worker, dict[str, Any]]]]
"""What is told of a run, and the worker of each of its entries."""


class WideWorker(Worker):
    """A process that trains one wide network."""

    module = "benchmarks.wide.worker"


def arguments(words: list[str]) -> argparse.Namespace:
    """Parse the command line."""
    about = "Time shoal's wide engine against torch: the step of Figure 1 of arXiv:2006.11209, every sample active."
    parser = argparse.ArgumentParser(prog="python -m benchmarks wide", description=about)
    parser.add_argument("--dtype", type=choice(("float64", "float32")), default=["float64"], help="default: float64")
    parser.add_argument("--threads", type=counts, default=[min(2, cpus())], help="such as 1,2; default: 2")
    parser.add_argument("--rounds", type=int, default=5, help="default: 5")
    parser.add_argument("--steps", type=int, default=8, help="steps of a round, default: 8")
    parser.add_argument("--descent", action="store_true", help="shoal makes a whole descent, on fewer samples")
    parser.add_argument("--full", action="store_true", help="that of the figure: minutes a round")
    parser.add_argument("--ways", type=int, help="of torch that are tried, default: all")
    clocks = ("elapsed", "cpu")
    parser.add_argument("--clock", choices=clocks, default="elapsed", help="cpu: where others use the machine as well")
    parser.add_argument("--smoke", action="store_true", help="seconds only: small sizes, answers, no claims")
    parser.add_argument("--json", type=Path, metavar="FILE", help="save everything, every round")
    options = parser.parse_args(words)
    if options.full and not options.descent:
        parser.error("--full is for --descent")
    return options


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


def measure_descent(
    case: WideCase, dtype: str, workers: list[Worker], options: argparse.Namespace, say: Any, folder: Path
) -> dict[str, Any]:
    """Time shoal's whole descents, and steps of the others at the start and at its end, in rounds.

    What a step costs the others does not depend on how many samples are satisfied, so some of them stand for all.
    """
    found, running = prepare(case, dtype, workers, options, say)
    end = str(folder / f"end-{dtype}.npz")
    running.sort(key=lambda pair: pair[0].name != "shoal")
    for _, entry in running:
        entry["descents"], entry["at_start"], entry["at_end"] = [], [], []
    for number in range(options.rounds):
        say(f"{dtype}: round {number + 1} of {options.rounds}")
        for worker, entry in running if number % 2 == 0 else running[::-1]:
            given = {"way": entry["way"], "clock": options.clock}
            if worker.name == "shoal":
                seconds = worker.ask("round", steps=case.steps, end=end, **given)["seconds"]
            else:
                for name, begin in (("at_start", ""), ("at_end", end)):
                    spent = worker.ask("round", steps=options.steps, begin=begin, **given)["seconds"]
                    entry[name].append(spent / options.steps)
                seconds = float(case.steps or 0) * (entry["at_start"][-1] + entry["at_end"][-1]) / 2
            entry["descents"].append(seconds)
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
    for name in ("GFLOP/s", "share of peak", "ms a step", "2,000 steps, min", "shoal over it"):
        table.add_column(name, justify="right")
    for result in results:
        flops = 4.0 * case["samples"] * case["inputs"] * case["nodes"]
        mine: list[float] = next((entry["gflops"] for entry in result["entries"] if entry["contender"] == "shoal"), [])
        for entry in result["entries"]:
            speeds = entry["gflops"]
            middle = statistics.median(speeds)
            shares = [speed / peak for speed, peak in zip(speeds, result["peaks"], strict=False)]
            ratio = "-"
            if claims and mine and entry["contender"] != "shoal":
                ratios = median_and_band([a / b for a, b in zip(mine, speeds, strict=True)])
                ratio = f"{band(ratios)} {verdict(*ratios[1:])}"
            seconds = flops / middle * 1e-9
            table.add_row(
                result["dtype"],
                f"{entry['contender']} @{result['threads']}",
                entry["way"],
                band(median_and_band(speeds), 1),
                band(median_and_band(shares)) if shares else "-",
                f"{1e3 * seconds:.1f}",
                f"{FIGURE_STEPS * seconds / 60:.1f}" if claims else "-",
                ratio,
            )
    return table


def table_of_descents(results: list[dict[str, Any]], claims: bool) -> Table:
    """Return a line for each contender of each run of whole descents."""
    case = results[0]["case"]
    sizes = f"{case['inputs']}-{case['nodes']}-1, {case['samples']:,} samples, {case['steps']} steps"
    table = Table(title=f"One network {sizes}, hinge loss, a whole descent: medians (bands) of the rounds")
    for name in ("dtype", "contender", "way"):
        table.add_column(name)
    for name in ("s, all steps", "ms a step at the start", "at the end", "shoal over it"):
        table.add_column(name, justify="right")
    for result in results:
        mine: list[float] = next(
            (entry["descents"] for entry in result["entries"] if entry["contender"] == "shoal"), []
        )
        for entry in result["entries"]:
            ratio = "-"
            if claims and mine and entry["contender"] != "shoal":
                ratios = median_and_band([b / a for a, b in zip(mine, entry["descents"], strict=True)])
                ratio = f"{band(ratios)} {verdict(*ratios[1:])}"
            ends = [[1e3 * seconds for seconds in entry[name]] for name in ("at_start", "at_end")]
            table.add_row(
                result["dtype"],
                f"{entry['contender']} @{result['threads']}",
                entry["way"],
                band(median_and_band(entry["descents"])),
                *(band(median_and_band(end), 1) if end else "-" for end in ends),
                ratio,
            )
    return table


def case_of(options: argparse.Namespace) -> WideCase:
    """Return what is to be run."""
    if not options.descent:
        return CASES["smoke" if options.smoke else "figure"]
    return CASES["descent, smoke" if options.smoke else "descent, full" if options.full else "descent"]


def main(words: list[str]) -> int:
    """Run the benchmark; the exit status is 1 when an answer is wrong or a way to train failed."""
    options = arguments(words)
    console = Console(width=None if sys.stdout.isatty() else 190)
    case = case_of(options)
    if options.smoke:
        options.rounds, options.steps = 1, 2
        options.ways = options.ways or 1
    names = contenders(list(WAYS), console)
    before = machine()
    results: list[dict[str, Any]] = []
    with console.status("starting") as status:
        for threads in options.threads:
            with ExitStack() as stack:
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="shoal-benchmarks-")))
                workers: list[Worker] = [WideWorker(name, threads, threads, folder) for name in names]
                for worker in workers:
                    stack.callback(worker.close)
                for dtype in options.dtype:
                    given = (case, dtype, workers, options, status.update)
                    results.append(measure_descent(*given, folder) if options.descent else measure(*given))
    table = table_of_descents if options.descent else table_of
    console.print(table(results, claims=not options.smoke))
    wrong = troubles(results)
    for line in wrong:
        console.print(f"[red]not right:[/red] {line}")
    if options.json is not None:
        options.json.write_text(json.dumps({"machine": before, "runs": results}, indent=1) + "\n")
    return 1 if wrong else 0
