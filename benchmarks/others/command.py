"""Command line and report: ``python -m benchmarks others --help``."""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from rich.table import Table

from benchmarks.options import choice, console, cpus, share, size_of
from benchmarks.others.figure import Figure, compared
from benchmarks.others.kink import Kink, Matrices
from benchmarks.others.moons import Moons
from benchmarks.others.rich import FullSize, Rich
from benchmarks.report import band, held, median_and_band, tell
from benchmarks.results import Result
from benchmarks.turns import in_turns

ROUNDS = {"smoke": 1, "quick": 2, "full": 3}
TRIED, TRIALS, NEAR = 40, 2, 2.0
"""Each way is tried for the steps over `TRIED`, so many times; of more than two, those near the fastest go on."""
NOTE = """Each figure is computed twice: as its authors do it, in code of our own after their published settings, and
by shoal. Data, initial weights, precision and steps are the same, and both draw the data and the weights within their
time. shoal trains all networks of the figure with all CPUs. The authors' way trains the number in the column
*trained*. If that is not all, its time is extrapolated in proportion to the number of networks, and the table says
so. On small networks one thread of torch is often faster than two. So PyTorch runs with one thread and with all,
and if the authors train in batches, in batches of two sizes. Of four ways, those run in the rounds that take at most
twice the time of the fastest for a fortieth of the steps. The one with the best median counts.

A gap is the largest difference between two curves divided by the largest number of the curve. Both sides train some
networks for it, in float64 and in the precision that is timed. Its bound is the number of steps x the rounding of one
step x A. A is by how much the training amplifies a small change of the initial weights, measured for each network,
and at least 1."""


@dataclass(frozen=True)
class Job:
    """A figure and the sizes of the samples that are checked and timed, as `Figure.taken` counts them."""

    figure: Figure
    checked: int
    timed: int


SMOKE = (
    Job(Rich(50, side=3, seeds=2), 2, 2),
    Job(FullSize(3, side=2, seeds=2), 1, 1),
    Job(Kink(40, count=64), 8, 8),
    Job(Matrices(40, count=64), 8, 8),
    Job(Moons(20, seeds=2, hidden=50, side=10), 1, 1),
)
QUICK = (
    Job(Rich(2_000), 1, 2),
    Job(FullSize(40), 1, 1),
    Job(Kink(800, count=10_000), 16, 128),
    Job(Matrices(800, count=10_000), 16, 128),
    Job(Moons(1_000), 1, 2),
)
FULL = (
    Job(Rich(2_000), 1, 2),
    Job(FullSize(100), 1, 1),
    Job(Kink(800), 16, 256),
    Job(Matrices(800), 16, 512),
    Job(Moons(1_000), 1, 10),
)
SIZES = {"smoke": SMOKE, "quick": QUICK, "full": FULL}
NAMES = tuple(job.figure.name for job in FULL)


def arguments(words: list[str]) -> argparse.Namespace:
    """Parse the command line."""
    about = "Compute figures of other papers as their authors do and with shoal, and compare curves and seconds."
    parser = argparse.ArgumentParser(prog="python -m benchmarks others", description=about)
    parser.add_argument("--figures", type=choice(NAMES), default=list(NAMES), help="default: all")
    share(parser, rounds=ROUNDS["full"])
    return parser.parse_args(words)


def seconds(call: Callable[[], Any]) -> float:
    """Return the time of a call."""
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


def measure(job: Job, rounds: int, threads: int, say: Callable[[str], Any]) -> dict[str, Any]:
    """Compare the curves of a figure, then time shoal and the authors' ways in turns; the fastest of these counts."""
    figure = job.figure
    say(f"{figure.name}: curves")
    answers = compared(figure, job.checked, threads)
    held_last: dict[str, Any] = {}

    def whole() -> None:
        held_last.update(figure.shoal(threads))

    with ExitStack() as stack:
        short = replace(figure, steps=max(1, figure.steps // TRIED))
        ways = {name: partial(seconds, partial(way, job.timed)) for name, way in short.ways(threads, stack).items()}
        tried = in_turns(ways, TRIALS, lambda text: say(f"{figure.name}: {text}"))
        # A trial on a busy machine may mislead: of two ways both run.
        near = near_best({name: min(times) for name, times in tried.items()}) if len(tried) > 2 else list(tried)
        ways = {name: partial(seconds, partial(way, job.timed)) for name, way in figure.ways(threads, stack).items()}
        calls = {"shoal": partial(seconds, whole), **{name: ways[name] for name in near}}
        spent = in_turns(calls, rounds, lambda text: say(f"{figure.name}: {text}"))
    best = min(near, key=lambda name: statistics.median(spent[name]))
    networks, trained = figure.networks, figure.taken(job.timed)
    return {
        "figure": figure.name,
        "about": figure.about,
        "dtype": figure.dtype,
        "networks": networks,
        "trained": trained,
        "way": best,
        "tried": tried,
        "ways": {name: spent[name] for name in near},
        "checked": figure.taken(job.checked),
        **answers,
        "passed": max(answers["ratio"], answers["ratio_timed"]) <= 1,
        "shoal": spent["shoal"],
        "original": spent[best],
        "speedups": speedups(spent["shoal"], spent[best], networks / trained),
        "found": figure.found(held_last),
    }


def near_best(spent: dict[str, float]) -> list[str]:
    """Return the ways whose time is at most `NEAR` times that of the fastest."""
    return [name for name, time in spent.items() if time <= NEAR * min(spent.values())]


def speedups(mine: list[float], theirs: list[float], scale: float) -> list[float]:
    """Return the authors' time for the whole figure, `scale` times that of the sample, over shoal's, by round."""
    return [scale * b / a for a, b in zip(mine, theirs, strict=True)]


def seconds_table(runs: list[dict[str, Any]], claims: bool) -> Table:
    """Return a line for each figure."""
    table = Table(title="Figures of others: seconds of the whole figure, median (band) of the rounds")
    for name in ("figure", "what", "dtype", "the authors' way"):
        table.add_column(name)
    for name in ("networks", "trained", "their way, s", "shoal, s", "theirs over shoal"):
        table.add_column(name, justify="right")
    for found in runs:
        scale = found["networks"] / found["trained"]
        theirs = band(median_and_band([scale * s for s in found["original"]]), 1)
        theirs += " extrapolated" if found["trained"] < found["networks"] else ""
        mine = band(median_and_band(found["shoal"]))
        numbers = f"{found['networks']:,}", f"{found['trained']:,}", theirs, mine, held(found["speedups"], claims)
        table.add_row(found["figure"], found["about"], found["dtype"], found["way"], *numbers)
    return table


def curves_table(runs: list[dict[str, Any]]) -> Table:
    """Return a line for each figure."""
    table = Table(title="Curves of both computations")
    table.add_column("figure")
    for name in ("networks checked", "gap, float64", "gap / bound", "gap, float32", "gap / bound, float32"):
        table.add_column(name, justify="right")
    for found in runs:
        timed = ("-", "-")
        if found["dtype"] == "float32":
            timed = f"{found['gap_timed']:.0e}", f"{found['ratio_timed']:.1g}"
        numbers = f"{found['checked']:,}", f"{found['gap']:.0e}", f"{found['ratio']:.1g}", *timed
        table.add_row(found["figure"], *numbers)
    return table


def main(words: list[str]) -> int:
    """Run the benchmark; the exit status is 1 when curves differ by more than rounding."""
    options = arguments(words)
    shown, result = console(), Result("others", words)
    rounds, runs = options.rounds or ROUNDS[size_of(options)], []
    jobs = [job for job in SIZES[size_of(options)] if job.figure.name in options.figures]
    absent = [job for job in jobs if importlib.util.find_spec(job.figure.needs) is None]
    if absent:
        shown.print(f"left out without torch: {', '.join(job.figure.name for job in absent)}")
    with shown.status("starting") as status:
        for job in jobs:
            if job not in absent:
                runs.append(measure(job, rounds, cpus(), status.update))
    tables = [seconds_table(runs, claims=not options.smoke), curves_table(runs)]
    for table in tables:
        shown.print(table)
    wrong = [
        f"{found['figure']}: other curves, {max(found['ratio'], found['ratio_timed']):.1e} of the bound"
        for found in runs
        if not found["passed"]
    ]
    about = [job.figure.differs for job in jobs if job.figure.differs]
    shown_by = [found["found"] for found in runs if found["found"]]
    for note in (NOTE, *about, *shown_by):
        shown.print(note)
    tell(shown, wrong)
    result.save(options.json, tables, [NOTE, *about, *shown_by, *wrong], runs=runs)
    return 1 if wrong else 0
