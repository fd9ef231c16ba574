"""What was measured, as tables for people and as JSON for programs."""

import statistics
from dataclasses import asdict
from typing import Any

from rich.table import Table

from benchmarks.flow.run import NOMINAL, STATISTICS, Curve, Measured, time_at
from benchmarks.report import band, median_and_band, verdict


def find(measured: Measured, name: str) -> list[Curve]:
    """Return a contender's curves."""
    return [curve for curve in measured.curves if curve.contender == name and curve.seconds]


def against(times: list[float], peers: list[float]) -> dict[str, Any]:
    """Return median times and the ratio peer / shoal of each round."""
    ratio = median_and_band([peer / mine for mine, peer in zip(times, peers, strict=True)])
    return {
        "shoal_seconds": statistics.median(times),
        "diffrax_seconds": statistics.median(peers),
        "ratio": ratio,
        "verdict": verdict(*ratio[1:]),
    }


def comparisons(measured: Measured) -> list[dict[str, Any]]:
    """Return the comparisons of a case: at the nominal tolerance, and at the errors that each reaches with it.

    An error that one of the two does not reach within its tolerances is out of reach: nothing is extrapolated.
    """
    pair = [find(measured, "shoal"), find(measured, "diffrax")]
    if not all(pair):
        return []
    at = measured.rtols.index(NOMINAL)
    mine, peer = (quickest([[row[at] for row in curve.seconds] for curve in curves]) for curves in pair)
    found = [{"at": f"rtol {NOMINAL:g} of both", "statistic": None, "error": None, **against(mine, peer)}]
    for of in pair:
        for statistic in STATISTICS:
            error = min(float(curve.points[at][statistic]) for curve in of)
            head = {"at": f"error of {of[0].contender} at {NOMINAL:g}", "statistic": statistic, "error": error}
            mine, peer = (quickest([times_at(curve, statistic, error) for curve in curves]) for curves in pair)
            short = [curves[0].contender for curves, times in zip(pair, (mine, peer), strict=True) if not times]
            found.append(head | ({"out_of_reach": short} if short else against(mine, peer)))
    return found


def quickest(columns: list[list[float]]) -> list[float]:
    """Return the times of the curve whose median is the smallest, of those that have any."""
    return min((column for column in columns if column), key=statistics.median, default=[])


def times_at(curve: Curve, statistic: str, error: float) -> list[float]:
    """Return each round's time at an error, or nothing where the contender's tolerances do not reach it."""
    errors = [point[statistic] for point in curve.points]
    times = [time_at(error, errors, row) for row in curve.seconds]
    return [time for time in times if time is not None]


def contenders_table(results: list[Measured], clock: str) -> Table:
    """Return one line for each contender and tolerance at each case."""
    about = "Error reached, of a network: largest gap over its largest margin"
    table = Table(title=f"{about}; {clock} time: median of the rounds")
    for name in ("case", "contender", "way"):
        table.add_column(name)
    for name in ("rtol", "median error", "worst error", "ms (band)", "networks/s", "gradients a network", "compile s"):
        table.add_column(name, justify="right")
    for result in results:
        for curve in result.curves:
            head = (result.case.name, f"{curve.contender} @{result.threads}")
            if curve.way is None:
                table.add_row(*head, "[red]no way gave the right answer[/red]")
                continue
            for index, (rtol, point) in enumerate(zip(result.rtols, curve.points, strict=True)):
                seconds = median_and_band([row[index] for row in curve.seconds])
                milliseconds = (1e3 * seconds[0], 1e3 * seconds[1], 1e3 * seconds[2])
                table.add_row(
                    *(head if index == 0 else ("", "")),
                    curve.way if index == 0 else "",
                    f"{rtol:.0e}",
                    f"{point['median']:.1e}",
                    f"{point['worst']:.1e}",
                    band(milliseconds, 0),
                    f"{result.case.networks / seconds[0]:,.0f}",
                    f"{point['gradients']:.0f}",
                    f"{curve.ways[curve.way]['compile_seconds']:.1f}" if index == 0 else "",
                )
        table.add_section()
    return table


def comparison_table(results: list[Measured], clock: str) -> Table:
    """Return one line for each comparison of each case."""
    table = Table(title=f"diffrax's {clock} time over shoal's: median (band) of the ratios round by round")
    for name in ("case", "d-h-1, n, networks, until", "compared at"):
        table.add_column(name)
    for name in ("error", "shoal ms", "diffrax ms", "ratio"):
        table.add_column(name, justify="right")
    for result in results:
        for index, found in enumerate(comparisons(result)):
            case = (result.case.name, result.case.shape) if index == 0 else ("", "")
            at = found["at"] + (f", {found['statistic']}" if found["statistic"] else "")
            error = f"{found['error']:.1e}" if found["error"] is not None else "-"
            if "out_of_reach" in found:
                table.add_row(*case, at, error, "-", "-", f"out of reach of {', '.join(found['out_of_reach'])}")
                continue
            times = (f"{1e3 * found[f'{name}_seconds']:.0f}" for name in ("shoal", "diffrax"))
            table.add_row(*case, at, error, *times, f"{band(found['ratio'])} {found['verdict']}")
        table.add_section()
    return table


def numbers(results: list[Measured]) -> list[dict[str, Any]]:
    """Return everything measured, every round included, as JSON takes it."""
    return [{**asdict(result), "comparisons": comparisons(result)} for result in results]


def tables(results: list[Measured], clock: str, claims: bool) -> list[Table]:
    """Return the tables; the comparison only where it is meant."""
    found = [contenders_table(results, clock)]
    if claims and any(comparisons(result) for result in results):
        found.append(comparison_table(results, clock))
    return found


def note(results: list[Measured]) -> str:
    """Return what has to be said with the tables."""
    doubts = ", ".join(f"{result.case.name} {result.doubt:.0e}" for result in results)
    return (
        f"Errors are those of 64 networks, or all where there are fewer; the references may be off by {doubts}. A step "
        "tried is six gradients, of Dopri8 13. shoal's time is that of the whole call. Compilation is not in diffrax's."
    )
