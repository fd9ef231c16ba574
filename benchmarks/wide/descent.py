"""Command line and report of whole wide descents: ``python -m benchmarks descent --help``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from rich.table import Table

from benchmarks.options import choice, counts, cpus, share
from benchmarks.report import band, held, median_and_band
from benchmarks.run import Worker
from benchmarks.wide.cases import CASES, WideCase
from benchmarks.wide.command import Say, carry_out, prepare

ROUNDS = {"smoke": 1, "quick": 2, "full": 3}


def arguments(words: list[str]) -> argparse.Namespace:
    """Parse the command line."""
    about = "Time whole descents of one wide network, on which ever more samples are satisfied, against torch's steps."
    parser = argparse.ArgumentParser(prog="python -m benchmarks descent", description=about)
    parser.add_argument("--dtype", type=choice(("float64", "float32")), default=["float64"], help="default: float64")
    parser.add_argument("--threads", type=counts, default=[min(2, cpus())], help="such as 1,2; default: 2")
    parser.add_argument("--steps", type=int, default=8, help="steps of torch in a round, default: 8")
    parser.add_argument("--figure", action="store_true", help="at the size of Figure 1: minutes a round")
    parser.add_argument("--ways", type=int, help="of torch that are tried, default: all")
    share(parser, clock=True, rounds=ROUNDS["full"])
    return parser.parse_args(words)


def measure(
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


def table_of(results: list[dict[str, Any]], claims: bool) -> Table:
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
            spent = entry["descents"]
            ratios = [b / a for a, b in zip(mine, spent, strict=bool(mine))] if entry["contender"] != "shoal" else []
            ends = [[1e3 * seconds for seconds in entry[name]] for name in ("at_start", "at_end")]
            table.add_row(
                result["dtype"],
                f"{entry['contender']} @{result['threads']}",
                entry["way"],
                band(median_and_band(spent)),
                *(band(median_and_band(end), 1) if end else "-" for end in ends),
                held(ratios, claims),
            )
    return table


def main(words: list[str]) -> int:
    """Time whole descents."""
    options = arguments(words)
    case = CASES["descent, smoke" if options.smoke else "descent, full" if options.figure else "descent"]

    def measured(dtype: str, workers: list[Worker], folder: Path, say: Say) -> dict[str, Any]:
        return measure(case, dtype, workers, options, say, folder)

    return carry_out("descent", words, options, ROUNDS, measured, table_of)
