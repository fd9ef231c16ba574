"""How the time of a call grows: ``python -m benchmarks scaling``. shoal alone, the whole call, records reduced.

Each curve varies one size and holds the others. A curve that has to be a power law in the limit of many is fitted: the
exponent is the slope of log time over log size, by least squares, once of the times as they are and once after the time
of a call that does almost nothing (one network, one step) is taken off, which every call pays.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
from rich.table import Table

from benchmarks.cases import Case, training
from benchmarks.options import console, cpus, parsed, size_of
from benchmarks.report import band, median_and_band
from benchmarks.results import Result

LINEAR_FROM = 1000
"""Networks from which on the time must be linear."""

FULL: dict[str, tuple[int, ...]] = {
    "networks": (1_000, 10_000, 100_000, 1_000_000, 10_000_000),
    "width": (2, 4, 8, 16, 32, 64, 128, 256),
    "depth": (1, 2, 3, 4, 6, 8),
    "samples": (4, 8, 16, 32, 64, 128, 256, 512, 1024),
    "steps": (1, 10, 100, 1_000, 10_000),
    "threads": (1, 2, 4, 8, 16, 32, 64, 128),
}
"""Values of each curve; threads go as far as there are CPUs."""

SMALL: dict[str, tuple[int, ...]] = {
    "networks": (100, 1_000),
    "width": (2, 8),
    "depth": (1, 2),
    "samples": (4, 16),
    "steps": (1, 10),
}
MOST = {"smoke": 0, "quick": 1_000_000, "full": 10_000_000}
"""Networks of the largest run, by size; none: the values of `SMALL`."""

ROUNDS = {"smoke": 2, "quick": 3, "full": 5}
LONG = 10.0
"""A point that takes more seconds is measured twice, however many rounds there are."""


@dataclass(frozen=True)
class Point:
    """One run: what varies and its value, the job, its steps and threads."""

    curve: str
    value: int
    case: Case
    steps: int
    threads: int

    @property
    def flops(self) -> float:
        """Operations of the run, by the rule of all benchmarks."""
        return float(self.case.flops * self.steps)


def points(curve: str, values: Sequence[int], threads: int) -> list[Point]:
    """Return the runs of a curve."""
    tiny = Case("tiny", inputs=2, hidden=(4,), samples=8, networks=LINEAR_FROM)
    paper = Case("paper", inputs=10, hidden=(20,), samples=50, networks=512)
    found = []
    for value in values:
        case, steps, used = paper, 100, threads
        if curve == "networks":
            case, steps = replace(tiny, networks=value), 50
        elif curve == "width":
            case = replace(paper, hidden=(value,))
        elif curve == "depth":
            case = replace(paper, hidden=(16,) * value)
        elif curve == "samples":
            case = replace(paper, samples=value)
        elif curve == "steps":
            steps = value
        elif curve == "threads":
            case, used = replace(paper, networks=1024), value
        else:
            raise ValueError(f"curve must be one of {', '.join(FULL)}, got {curve!r}")
        found.append(Point(curve, value, case, steps, used))
    return found


def seconds_of(point: Point) -> float:
    """Return the seconds of the call."""
    import shoal

    given = training(point.case, point.steps, {"steps": [point.steps], "measure": ("loss",), "reduce": "moments"})
    begin = time.perf_counter()
    shoal.train(**given, threads=point.threads)
    return time.perf_counter() - begin


def exponent(sizes: Sequence[float], seconds: Sequence[float]) -> float:
    """Return the slope of log seconds over log sizes by least squares: 1 where time is linear in size.

    Raises
    ------
    ValueError
        Fewer than two sizes, sizes that are all the same, or a number that is not positive.
    """
    x, y = np.asarray(sizes, dtype=np.float64), np.asarray(seconds, dtype=np.float64)
    if x.shape != y.shape or len(set(x.tolist())) < 2:
        raise ValueError(f"sizes must be two or more different ones, as many as seconds, got {sizes} and {seconds}")
    if not ((x > 0) & (y > 0)).all():
        raise ValueError(f"sizes and seconds must be positive, got {sizes} and {seconds}")
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])


def measure(runs: list[Point], rounds: int, say: object) -> list[list[float]]:
    """Return the seconds of each run, round after round in alternating order, after one that warms up."""
    found: list[list[float]] = [[] for _ in runs]
    seconds_of(runs[0])
    for number in range(rounds):
        for index in range(len(runs)) if number % 2 == 0 else range(len(runs))[::-1]:
            if number >= 2 and min(found[index]) > LONG:
                continue
            if callable(say):
                say(f"{runs[index].curve} {runs[index].value:,}, round {number + 1} of {rounds}")
            found[index].append(seconds_of(runs[index]))
    return found


def about(runs: list[Point], medians: list[float], fixed: float) -> dict[str, float]:
    """Return the exponents of a curve: of the times as they are, and without the call that does almost nothing."""
    kept = [(run.value, s) for run, s in zip(runs, medians, strict=True) if s > fixed]
    if len(kept) < 2:
        return {}
    sizes, seconds = zip(*kept, strict=True)
    return {"as_is": exponent(sizes, seconds), "beyond_fixed": exponent(sizes, [s - fixed for s in seconds])}


def curve_table(runs: list[Point], seconds: list[list[float]]) -> Table:
    """Return a line for each run of a curve."""
    first = runs[0]
    table = Table(title=f"Time against {first.curve}: median (band) of the rounds, float64")
    table.add_column(first.curve, justify="right")
    table.add_column("d, hidden, n, networks")
    for name in ("steps", "threads", "seconds", "ns a network-step", "GFLOP/s"):
        table.add_column(name, justify="right")
    for run, times in zip(runs, seconds, strict=True):
        middle = statistics.median(times)
        table.add_row(
            f"{run.value:,}",
            run.case.shape,
            f"{run.steps:,}",
            str(run.threads),
            band(median_and_band(times), 4),
            f"{1e9 * middle / (run.steps * run.case.networks):.4g}",
            f"{run.flops / middle * 1e-9:.1f}",
        )
    return table


def values_of(size: str) -> dict[str, tuple[int, ...]]:
    """Return the values of each curve."""
    values = dict(FULL) if MOST[size] else dict(SMALL)
    values["networks"] = tuple(n for n in values["networks"] if n <= (MOST[size] or n))
    values["threads"] = tuple(n for n in FULL["threads"] if n <= cpus())
    return values


def main(words: list[str]) -> int:
    """Run the benchmark."""
    options = parsed("scaling", __doc__, words, ROUNDS["full"])
    size, threads = size_of(options), cpus()
    rounds = options.rounds or ROUNDS[size]
    shown, result = console(), Result("scaling", words)
    tables, curves, notes = [], [], []
    with shown.status("starting") as status:
        nothing = replace(points("networks", (1,), threads)[0], steps=1)
        fixed = statistics.median(measure([nothing], max(rounds, 3), status.update)[0])
        for curve, values in values_of(size).items():
            runs = points(curve, values, threads)
            seconds = measure(runs, rounds, status.update)
            tables.append(curve_table(runs, seconds))
            shown.print(tables[-1])
            medians = [statistics.median(times) for times in seconds]
            found = about(runs, medians, fixed) if curve != "threads" else {}
            if found:
                notes.append(
                    f"time ~ {curve}^{found['as_is']:.3f}; without the {1e3 * fixed:.1f} ms of a call that does almost "
                    f"nothing, {curve}^{found['beyond_fixed']:.3f}"
                )
            listed = [asdict(run) | {"flops": run.flops, "seconds": s} for run, s in zip(runs, seconds, strict=True)]
            curves.append({"curve": curve, "points": listed, "exponents": found})
    shown.print(*notes, sep="\n")
    result.save(options.json, tables, notes, fixed_seconds=fixed, curves=curves)
    return 0
