"""Measurement: warmed workers, every tolerance in interleaved rounds of alternating order, times at equal error."""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.flow.cases import FlowCase
from benchmarks.flow.reference import Reference, reference
from benchmarks.run import Worker

Say = Callable[[str], None]

NOMINAL = 1e-8
"""The tolerance at which contenders are also compared by name, whatever error they reach."""

TOLERABLE = 1e3
"""An error beyond so many tolerances is not the price of many steps but another problem's answer."""

STATISTICS = ("median", "worst")
"""Of the errors of the networks."""


@dataclass(frozen=True)
class Settings:
    """How much is measured.

    Parameters
    ----------
    rounds : int
        Rounds a case; in each, every contender solves it once at each tolerance.
    rtols : tuple of float
        Tolerances, loosest first, `NOMINAL` among them.
    ways : int, optional
        Ways that a contender may try; all when left out.
    clock : str
        ``elapsed``, or ``cpu``: the time of the contender's own threads, for a machine that others use as well.
    """

    rounds: int = 5
    rtols: tuple[float, ...] = (1e-5, 1e-6, 1e-8, 1e-10, 1e-11)
    ways: int | None = None
    clock: str = "elapsed"

    def __post_init__(self) -> None:
        """Refuse what cannot be measured."""
        if self.rounds < 1:
            raise ValueError(f"rounds must be at least 1, got {self.rounds}")
        if len(self.rtols) < 2 or NOMINAL not in self.rtols or list(self.rtols) != sorted(self.rtols, reverse=True):
            raise ValueError(f"rtols must fall and include {NOMINAL:g}, got {self.rtols}")
        if self.ways is not None and self.ways < 1:
            raise ValueError(f"ways must be at least 1, got {self.ways}")
        if self.clock not in ("elapsed", "cpu"):
            raise ValueError(f"clock must be 'elapsed' or 'cpu', got {self.clock!r}")


class FlowWorker(Worker):
    """A process that solves flows."""

    module = "benchmarks.flow.worker"


@dataclass
class Curve:
    """One contender at one case: all its ways, a way that is kept, error and time at each tolerance.

    ``points`` holds the errors reached and the work, one entry a tolerance; ``seconds`` one row a round.
    """

    contender: str
    ways: dict[str, dict[str, Any]]
    way: str | None = None
    points: list[dict[str, Any]] = field(default_factory=list)
    seconds: list[list[float]] = field(default_factory=list)


@dataclass
class Measured:
    """All contenders at one case and thread count."""

    case: FlowCase
    threads: int
    rtols: tuple[float, ...]
    doubt: float
    curves: list[Curve]


def time_at(error: float, errors: Sequence[float], seconds: Sequence[float], beyond: bool = False) -> float | None:
    """Return the time at which an error is reached: straight lines in log time over log error.

    None where the error lies outside those measured, unless `beyond` extends the outermost lines, or where an error is
    not a positive number.
    """
    if not all(0 < e < math.inf for e in (error, *errors)):
        return None
    order = np.argsort(errors)
    x, y = np.log(np.asarray(errors)[order]), np.log(np.asarray(seconds)[order])
    at = math.log(error)
    if not beyond and not x[0] <= at <= x[-1]:
        return None
    right = int(np.clip(np.searchsorted(x, at), 1, len(x) - 1))
    run = x[right] - x[right - 1]
    slope = (y[right] - y[right - 1]) / run if run > 0 else 0.0
    return math.exp(y[right - 1] + slope * (at - x[right - 1]))


def wrong(point: dict[str, Any], rtol: float) -> bool:
    """Whether a run did not finish or its error is not that of its tolerance."""
    return not (point["finished"] and point["worst"] <= TOLERABLE * rtol)


def fastest(ways: dict[str, dict[str, Any]], aim: dict[str, Any] | None, statistic: str) -> str | None:
    """Return the way that first reaches the error of the point `aim`; with no aim, the first at its tolerances."""
    cost = {}
    for name, way in ways.items():
        if "error" in way or any(wrong(point, float(rtol)) for rtol, point in way["points"].items()):
            continue
        points = list(way["points"].values())
        seconds = [point["seconds"] for point in points]
        reached = [point[statistic] for point in points]
        at = None if aim is None else time_at(aim[statistic], reached, seconds, beyond=True)
        cost[name] = sum(seconds) if at is None else at
    return min(cost, key=cost.__getitem__, default=None)


def prepare(
    worker: FlowWorker, case: FlowCase, path: Path, settings: Settings, aim: dict[str, Any] | None
) -> list[Curve]:
    """Warm a contender's ways; keep the fastest right one to the median and to the worst error, and take its errors."""
    tried = sorted({NOMINAL, settings.rtols[-1]}, reverse=True)
    request = {"case": asdict(case), "reference": str(path), "rtols": tried, "most": settings.ways}
    ways = worker.ask("prepare", **request, clock=settings.clock)
    kept = dict.fromkeys(fastest(ways, aim, statistic) for statistic in STATISTICS)
    curves = [Curve(worker.name, ways, way) for way in kept]
    for curve in curves:
        if curve.way is not None:
            for rtol in settings.rtols:
                curve.points.append(worker.ask("measure", way=curve.way, rtol=rtol, reference=str(path)))
    return curves


def measure(case: FlowCase, workers: list[FlowWorker], settings: Settings, folder: Path, say: Say) -> Measured:
    """Run a case: prepare every worker in turn, then rounds in which each runs once, order alternating."""
    say(f"{case.name}: reference")
    right: Reference = reference(case)
    path = folder / f"{case.name}.npz"
    np.savez(path, chosen=right.chosen, margins=right.margins)
    result = Measured(case, workers[0].threads, settings.rtols, right.doubt, [])
    aim: dict[str, Any] | None = None
    running: list[tuple[FlowWorker, Curve]] = []
    for worker in workers:
        say(f"{case.name}: warming {worker.label}")
        curves = prepare(worker, case, path, settings, aim)
        result.curves += curves
        running += [(worker, curve) for curve in curves if curve.way is not None]
        if aim is None and curves[0].way is not None:
            aim = curves[0].points[settings.rtols.index(NOMINAL)]
    for number in range(settings.rounds):
        say(f"{case.name}: round {number + 1} of {settings.rounds}")
        for worker, curve in running if number % 2 == 0 else running[::-1]:
            answer = worker.ask("round", way=curve.way, rtols=settings.rtols, clock=settings.clock)
            curve.seconds.append(answer["seconds"])
    return result


def troubles(results: list[Measured]) -> list[str]:
    """Return one line for each way that failed, run that is wrong, and reference too blunt to judge by."""
    lines = []
    for result in results:
        for curve in result.curves:
            head = f"{result.case.name} {curve.contender}"
            # A contender with two curves has one list of ways.
            first = curve is next(c for c in result.curves if c.contender == curve.contender)
            for name, way in curve.ways.items() if first else ():
                if "error" in way:
                    lines.append(f"{head}, {name}: {way['error']}")
                    continue
                bad = {rtol: point for rtol, point in way["points"].items() if wrong(point, float(rtol))}
                lines += [f"{head}, {name}, rtol {rtol}: {json.dumps(point)}" for rtol, point in bad.items()]
            pairs = zip(result.rtols, curve.points, strict=False)
            lines += [f"{head}, rtol {r:g}: {json.dumps(point)}" for r, point in pairs if wrong(point, r)]
    return lines
