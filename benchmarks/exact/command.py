"""Command line and report: ``python -m benchmarks exact --help``."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
from rich.table import Table

import shoal
from benchmarks.exact.cases import JOBS, Job
from benchmarks.options import choice, console, share, size_of
from benchmarks.report import band, held, median_and_band, tell
from benchmarks.results import Result
from benchmarks.turns import in_turns
from shoal import _core

CHECKED_STEPS = 10
ROUNDS = {"smoke": 1, "quick": 3, "full": 5}
ALLOWED = 2**12 * 2.0**-53
"""Of the largest number: rounding of so few steps."""


def arguments(words: list[str]) -> argparse.Namespace:
    """Parse the command line."""
    about = "Time the same training with and without the work that need not be done, on one thread, in CPU time."
    parser = argparse.ArgumentParser(prog="python -m benchmarks exact", description=about)
    parser.add_argument("--cases", type=choice(tuple(JOBS)), default=list(JOBS), help="default: all")
    share(parser, rounds=ROUNDS["full"])
    return parser.parse_args(words)


@contextmanager
def never_retiring() -> Iterator[None]:
    """Train, within, as if no network could be done before its last step."""
    train = _core.train

    def without(**given: Any) -> Any:
        return train(**{**given, "method": {**given["method"], "retire": False}})

    _core.train = without
    try:
        yield
    finally:
        _core.train = train


def trained(job: Job, saving: bool, networks: int, steps: int) -> Any:
    """Return the dataset of a job, with or without what it can save."""
    given = {**job.make(networks, steps), "threads": 1}
    if job.saves == "condense":
        return shoal.train(**given, condense=saving)
    if saving:
        return shoal.train(**given, condense=False)
    with never_retiring():
        return shoal.train(**given, condense=False)


def gap_of(job: Job, networks: int, steps: int) -> float:
    """Return by how much answers differ: 0 where to the bit, else in units of the largest number of a measure."""
    steps = min(steps, CHECKED_STEPS) if job.saves == "condense" else steps
    with_it, without = (trained(job, saving, networks, steps) for saving in (True, False))
    gap = 0.0
    for name in without:
        a, b = with_it[name].values, without[name].values
        if job.saves == "retire" and a.tobytes() != b.tobytes() and not np.array_equal(a, b, equal_nan=True):
            return float("inf")
        if job.saves == "condense":
            gap = max(gap, float(np.abs(a - b).max() / max(1.0, np.abs(b).max())))
    return gap


def seconds_of(job: Job, saving: bool, networks: int, steps: int) -> float:
    """Return the CPU time of one call."""
    begun = time.process_time()
    trained(job, saving, networks, steps)
    return time.process_time() - begun


def measure(name: str, options: argparse.Namespace, say: Any) -> dict[str, Any]:
    """Check the answers of a job, then time it with and without in turns, whose order alternates."""
    job = JOBS[name]
    networks, steps = (8, 100) if options.smoke else (job.networks, job.steps)
    say(f"{name}: answers")
    gap = gap_of(job, networks, steps)
    found: dict[str, Any] = {"case": name, "about": job.about, "networks": networks, "steps": steps, "gap": gap}
    calls = {
        way: partial(seconds_of, job, saving, networks, steps) for way, saving in (("with", True), ("without", False))
    }
    return {**found, "passed": gap <= ALLOWED, **in_turns(calls, options.rounds, lambda text: say(f"{name}: {text}"))}


def table_of(results: list[dict[str, Any]], claims: bool) -> Table:
    """Return a line for each job."""
    table = Table(title="The same training with and without what need not be done: medians (bands) of the rounds")
    for name in ("case", "what", "answers"):
        table.add_column(name)
    for name in ("with, s", "without, s", "without over with"):
        table.add_column(name, justify="right")
    for result in results:
        ratios = [b / a for a, b in zip(result["with"], result["without"], strict=True)]
        same = "same bits" if result["gap"] == 0 else f"gap {result['gap']:.1e}"
        spent = [band(median_and_band(result[key]), 3) for key in ("with", "without")]
        table.add_row(result["case"], result["about"], same, *spent, held(ratios, claims))
    return table


def main(words: list[str]) -> int:
    """Run the benchmark; the exit status is 1 when an answer differs by more than rounding."""
    options = arguments(words)
    shown, result = console(), Result("exact", words)
    options.rounds = options.rounds or ROUNDS[size_of(options)]
    with shown.status("starting") as status:
        results = [measure(name, options, status.update) for name in options.cases]
    table = table_of(results, claims=not options.smoke)
    shown.print(table)
    wrong = [f"{found['case']}: another answer, gap {found['gap']:.1e}" for found in results if not found["passed"]]
    tell(shown, wrong)
    result.save(options.json, [table], wrong, runs=results)
    return 1 if wrong else 0
