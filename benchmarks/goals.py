"""What shoal is meant to reach, and whether the results of a run say that it did.

A goal of speed is a ratio to the best peer, a fraction of the measured multiply-add peak, or both. A ratio counts as
reached if its median is at least the goal and every round was faster than the peer.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import Any

from benchmarks.report import band, median_and_band, verdict
from benchmarks.sheets import Sheet
from benchmarks.sweep import outside

Result = dict[str, Any]
Band = tuple[float, float, float]


@dataclass(frozen=True)
class Goal:
    """Least fraction of the peak, and least ratio to the best peer, if there is one."""

    share: float
    ratio: float | None = None


CASES = {
    "avx512": {"paper": Goal(0.85), "wide": Goal(0.90), "deep": Goal(0.80), "tiny": Goal(0.65, 2.5)},
    "avx2": {"paper": Goal(0.65), "wide": Goal(0.65), "deep": Goal(0.65), "tiny": Goal(0.45, 2.5)},
}
"""Of many networks in float64 with all threads, by instruction set."""

SINGLE_RATIO, SINGLE_SHARE = 2.0, 0.75
"""Of one small network; either is enough."""

WIDE_SHARE, DESCENT_RATIO = 0.75, 8.0
"""Of a step of one wide network on which every sample pulls; of its whole descent."""

FLOWS = {"smooth": 3.0, "modes": 5.0, "tiny": 4.0}
"""diffrax's time over shoal's at the worst error of shoal's rtol 1e-8."""

COSTS = {"biases": 1.05, "101 records, each network": 1.3, "101 records, statistics": 1.3}
"""The most that a training may take with these over the time without."""

TWO_THREADS = 1.95
IMPORT_SECONDS = 0.25
CALL_SECONDS = 0.001
"""Of a call that does almost nothing."""
LINEAR = 0.05
"""How far from 1 the exponent of time over networks may be."""

SWEEP_OVERHEAD = 0.03
"""What a sweep may take beyond the time of the core, as a fraction of it."""
SWEEP_BYTES = 300e6
"""The most memory of a process that sweeps, with all that it imports."""


def goal_of(case: str, dtype: str, isa: str) -> Goal | None:
    """Return the goal of a case of many networks, if it has one."""
    return CASES.get(isa, CASES["avx2"]).get(case) if dtype == "float64" else None


def judged(values: Band, goal: float, wins: bool = True) -> str:
    """Return median and band with what they come to."""
    reached = values[0] >= goal and (not wins or verdict(*values[1:]) == "win")
    return f"{band(values)} {'reached' if reached else 'missed'}"


def most(values: Band, goal: float) -> str:
    """Return median and band of what may be at most the goal, with what they come to."""
    return f"{band(values)} {'reached' if values[0] <= goal else 'missed'}"


def percent(values: Band, goal: float) -> str:
    """Return a fraction of the peak and what it comes to."""
    low, high = 100 * values[1], 100 * values[2]
    return f"{100 * values[0]:.0f}% ({low:.0f}..{high:.0f}) {'reached' if values[0] >= goal else 'missed'}"


def isa_of(result: Result, name: str) -> str:
    """Return the instruction set of shoal as a contender is named."""
    return name.split(", ")[1] if ", " in name else str(result["versions"]["isa"])


def kernel_rows(result: Result) -> list[tuple[str, ...]]:
    """Return a row for each case that has a goal, at the largest number of threads."""
    threads = max((case["threads"] for case in result["cases"]), default=1)
    rows: list[tuple[str, ...]] = []
    for case in result["cases"]:
        for found in case["summaries"] if case["threads"] == threads else ():
            isa = isa_of(result, found["name"])
            goal = goal_of(found["case"], found["dtype"], isa)
            if goal is None or "share_of_peak" not in found:
                continue
            peer, against = found.get("best_peer"), ("-", "-", "-")
            if goal.ratio is not None:
                told = judged(tuple(peer["ratio"]), goal.ratio) if peer else "no peer ran"
                against = (f"{goal.ratio:g}", told, f"{peer['contender']}, {peer['way']}" if peer else "-")
            share = (f"{100 * goal.share:.0f}%", percent(tuple(found["share_of_peak"]), goal.share))
            rows.append((f"{found['case']}, {found['dtype']}, {isa}, {threads} threads", *against, *share))
    return rows


def single_rows(result: Result) -> list[tuple[str, ...]]:
    """Return a row for each case of one small network."""
    rows: list[tuple[str, ...]] = []
    for case in result["cases"]:
        for found in case["summaries"]:
            peer = found.get("best_peer")
            if not peer or "share_of_peak" not in found:
                continue
            ratio, share = tuple(peer["ratio"]), tuple(found["share_of_peak"])
            name = f"{found['case']}, {found['dtype']}, {isa_of(result, found['name'])}, {found['threads']} thread"
            told = (f"{SINGLE_RATIO:g}", judged(ratio, SINGLE_RATIO), f"{peer['contender']}, {peer['way']}")
            rows.append((name, *told, f"or {100 * SINGLE_SHARE:.0f}%", percent(share, SINGLE_SHARE)))
    return rows


def cost_rows(result: Result) -> list[tuple[str, ...]]:
    """Return a row for each cost that has a goal, and one for each case of few networks."""
    rows: list[tuple[str, ...]] = []
    for what, (without, with_it) in result["pairs"].items():
        goal = COSTS.get(what.split(":")[0])
        if goal is not None:
            ratio = median_and_band([b / a for a, b in zip(without, with_it, strict=True)])
            rows.append((what, f"at most {goal:g}", most(ratio, goal), "the same without", "-", "-"))
    for case, found in result["few"].items():
        medians = [statistics.median(times) for times in found.values()]
        rise = max(later / min(medians[:n]) for n, later in enumerate(medians) if n)
        word = "reached" if rise <= 1 else "missed"
        name = f"{case}: time per network, as networks are added"
        rows.append((name, "never rises", f"{rise:.2f} {word}", "fewer networks", "-", "-"))
    return rows


def thread_rows(result: Result) -> list[tuple[str, ...]]:
    """Return a row for what two threads bring over one, case by case in float64."""
    found = [s for case in result["cases"] for s in case["summaries"] if "scaling_from_one_thread" in s]
    return [
        (
            f"two threads against one: {one['case']}, {one['dtype']}",
            f"{TWO_THREADS:g}",
            judged(tuple(one["scaling_from_one_thread"]), TWO_THREADS),
            "itself",
            "-",
            "-",
        )
        for one in found
        if one["threads"] == 2 and one["name"] == "shoal" and one["dtype"] == "float64"
    ]


def wide_ratio(run: dict[str, Any]) -> tuple[Band, str, Band | None] | None:
    """Return the ratio to the best peer of a run of one wide network, that peer, and the fraction of the peak."""
    mine = next((entry["gflops"] for entry in run["entries"] if entry["contender"] == "shoal"), None)
    peers = [entry for entry in run["entries"] if entry["contender"] != "shoal" and entry["gflops"]]
    if not mine or not peers:
        return None
    best = max(peers, key=lambda entry: statistics.median(entry["gflops"]))
    ratio = median_and_band([a / b for a, b in zip(mine, best["gflops"], strict=True)])
    share = median_and_band([a / b for a, b in zip(mine, run["peaks"], strict=True)]) if run["peaks"] else None
    return ratio, f"{best['contender']}, {best['way']}", share


def wide_rows(result: Result) -> list[tuple[str, ...]]:
    """Return a row for each run of one wide network."""
    rows: list[tuple[str, ...]] = []
    for run in result["runs"]:
        found = wide_ratio(run)
        if found is not None:
            ratio, peer, share = found
            name = f"one wide network, {run['dtype']}, {run['threads']} threads"
            shared = percent(share, WIDE_SHARE) if share else "-"
            rows.append((name, "-", band(ratio), peer, f"{100 * WIDE_SHARE:.0f}%", shared))
    return rows


def descent_rows(result: Result) -> list[tuple[str, ...]]:
    """Return a row for each whole descent of one wide network, against the peer that is done first."""
    rows: list[tuple[str, ...]] = []
    for run in result["runs"]:
        mine = next((entry["descents"] for entry in run["entries"] if entry["contender"] == "shoal"), None)
        peers = [entry for entry in run["entries"] if entry["contender"] != "shoal" and entry["descents"]]
        if mine and peers:
            best = min(peers, key=lambda entry: statistics.median(entry["descents"]))
            ratio = median_and_band([b / a for a, b in zip(mine, best["descents"], strict=True)])
            name = f"one wide network, whole descent, {run['dtype']}, {run['threads']} threads"
            peer = f"{best['contender']}, {best['way']}"
            rows.append((name, f"{DESCENT_RATIO:g}", judged(ratio, DESCENT_RATIO), peer, "-", "-"))
    return rows


def flow_rows(result: Result) -> list[tuple[str, ...]]:
    """Return a row for each flow, at the worst error that shoal reaches with rtol 1e-8.

    Where diffrax reaches none as small, at the worst error that diffrax reaches with it.
    """
    rows: list[tuple[str, ...]] = []
    for case in result["cases"]:
        name = case["case"]["name"]
        if name not in FLOWS:
            continue
        goal, reached, at = FLOWS[name], "no error that both reach", ""
        worst = [one for one in case["comparisons"] if one["statistic"] == "worst" and "ratio" in one]
        for whose in ("diffrax", "shoal"):
            for one in worst:
                if one["at"].startswith(f"error of {whose}"):
                    reached, at = judged(tuple(one["ratio"]), goal), f", at the error of {whose}"
        rows.append((f"flow, {name} ({case['case']['activation']}){at}", f"{goal:g}", reached, "diffrax", "-", "-"))
    return rows


def other_rows(result: Result) -> list[tuple[str, ...]]:
    """Return rows of start-up and of scaling."""
    if result["benchmark"] == "startup":
        seconds = result["import_seconds"]["shoal"]
        word = "reached" if seconds <= IMPORT_SECONDS else "missed"
        return [("import shoal", f"{IMPORT_SECONDS:g} s", f"{seconds:.2f} s {word}", "-", "-", "-")]
    seconds = result["fixed_seconds"]
    word = "reached" if seconds <= CALL_SECONDS else "missed"
    goal = f"{1e3 * CALL_SECONDS:g} ms"
    rows: list[tuple[str, ...]] = [
        ("a call that does almost nothing", goal, f"{1e3 * seconds:.1f} ms {word}", "-", "-", "-")
    ]
    for curve in result["curves"]:
        if curve["curve"] == "networks" and curve["exponents"]:
            power = curve["exponents"]["beyond_fixed"]
            sizes = [point["value"] for point in curve["points"]]
            word = "reached" if abs(power - 1) <= LINEAR else "missed"
            name = f"time against networks, {min(sizes):,} to {max(sizes):,}"
            rows.append((name, "exponent 1", f"{power:.3f} {word}", "-", "-", "-"))
    return rows


def sweep_rows(result: Result) -> list[tuple[str, ...]]:
    """Return what a sweep takes beyond the core's time, by two measures, and its memory."""
    child, goal = result["child"], 100 * SWEEP_OVERHEAD
    values = [100 * number for number in result["overhead"]]
    word = "open" if values[1] < goal <= values[2] else "reached" if values[0] < goal else "missed"
    told = f"{values[0]:.1f}% ({values[1]:.1f}..{values[2]:.1f}) {word}"
    name = f"sweep of {result['networks']:,} tiny networks, time beyond the core's"
    rows: list[tuple[str, ...]] = [(name, f"< {goal:g}%", told, "the core alone", "-", "-")]
    name = f"sweep of {child['networks']:,} tiny networks"
    spent = 100 * outside(child)
    told = f"{spent:.1f}% {'reached' if spent < goal else 'missed'}"
    rows.append((f"{name}, time outside of trainings", f"< {goal:g}%", told, "its trainings", "-", "-"))
    peak, least = child["peak_bytes"] / 1e6, SWEEP_BYTES / 1e6
    word = "reached" if peak < least else "missed"
    return [*rows, (f"{name}, memory", f"< {least:g} MB", f"{peak:.0f} MB {word}", "-", "-", "-")]


ROWS = {
    "kernels": lambda result: kernel_rows(result) + thread_rows(result),
    "single": single_rows,
    "costs": cost_rows,
    "wide": wide_rows,
    "descent": descent_rows,
    "flow": flow_rows,
    "startup": other_rows,
    "scaling": other_rows,
    "sweep": sweep_rows,
}


def sheet(results: list[Result]) -> Sheet:
    """Return every goal beside what was reached."""
    rows = [row for result in results if result["benchmark"] in ROWS for row in ROWS[result["benchmark"]](result)]
    columns = ("what", "goal", "reached", "against", "goal, fraction of peak", "reached, fraction of peak")
    return Sheet("Goals", columns, (False, True, True, False, True, True), tuple(rows))


def not_won(results: list[Result]) -> Sheet:
    """Return every comparison with a peer in which shoal was not faster in every round."""
    rows: list[tuple[str, ...]] = []
    for result in results:
        if result["benchmark"] in ("kernels", "single"):
            for case in result["cases"]:
                for found in case["summaries"]:
                    peer = found.get("best_peer", {})
                    if peer.get("verdict", "win") != "win":
                        name = f"{found['case']}, {found['dtype']}, {found['threads']} threads, {found['name']}"
                        rows.append((name, f"{peer['contender']}, {peer['way']}", band(tuple(peer["ratio"]))))
        if result["benchmark"] == "wide":
            for run in result["runs"]:
                one = wide_ratio(run)
                if one is not None and verdict(*one[0][1:]) != "win":
                    rows.append((f"one wide network, {run['dtype']}", one[1], band(one[0])))
        if result["benchmark"] == "flow":
            for case in result["cases"]:
                for compared in case["comparisons"]:
                    if compared.get("verdict", "win") != "win":
                        at = ", ".join(filter(None, (compared["at"], compared["statistic"])))
                        rows.append((f"flow {case['case']['name']}, {at}", "diffrax", band(tuple(compared["ratio"]))))
        if result["benchmark"] == "others":
            for run in result["runs"]:
                ratio = median_and_band(run["speedups"])
                if verdict(*ratio[1:]) != "win":
                    rows.append((f"figure {run['figure']}", run["way"], band(ratio)))
    return Sheet("Not a win", ("what", "against", "ratio (band)"), (False, False, True), tuple(rows))
