"""Figures of the page of performance, in the house style: medians as points, the band of the rounds as bars."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

from shoal import plot

NAMES = ("shoal", "torch", "jax", "numba", "numpy")
"""Contenders, in the order of their colours."""

PANELS = (("networks", "width", "depth"), ("samples", "steps", "threads"))
"""Curves of each figure of scaling."""


def bars(values: list[float]) -> list[list[float]]:
    """Return how far the smallest and the largest lie from the median, as `Axes.errorbar` takes it."""
    middle = statistics.median(values)
    return [[middle - min(values)], [max(values) - middle]]


def best(case: dict[str, Any], contender: str) -> list[float] | None:
    """Return the speeds of the rounds of a contender's best way with all threads."""
    entries = [e for e in case["entries"] if e["contender"] == contender and e["threads"] == case["threads"]]
    speeds: list[list[float]] = [e["gflops"] for e in entries if e["gflops"]]
    return max(speeds, key=statistics.median, default=None)


def draw_speeds(result: dict[str, Any], path: Path) -> Path:
    """Draw the speed of every contender at each case, a panel a dtype, at the largest number of threads."""
    most = max(case["threads"] for case in result["cases"])
    cases = [case for case in result["cases"] if case["threads"] == most]
    dtypes = list(dict.fromkeys(case["dtype"] for case in cases))
    titles = tuple(f"{dtype}, {most} thread{'s' if most > 1 else ''}" for dtype in dtypes)
    figure, panels = plot.figure(titles, width=6.0)
    for axes, dtype in zip(panels, dtypes, strict=True):
        mine = [case for case in cases if case["dtype"] == dtype]
        for colour, name in enumerate(NAMES):
            label: str | None = name
            for place, case in enumerate(mine):
                speeds = best(case, name)
                if speeds is None:
                    continue
                x, y = [place + 0.12 * (colour - 2)], [statistics.median(speeds)]
                plot.points(axes, x, y, error=bars(speeds), color=plot.COLOURS[colour], label=label)
                label = None
        for place, case in enumerate(mine):
            if case["peaks"].get("shoal"):
                peak = statistics.median(case["peaks"]["shoal"])
                axes.plot([place - 0.4, place + 0.4], [peak] * 2, color="black", label=None if place else "peak")
        axes.set_xticks(range(len(mine)), [case["case"]["name"] for case in mine])
        axes.set_yscale("log")
        axes.set_ylabel("GFLOP/s")
    plot.legend(panels[-1], loc="center left", bbox_to_anchor=(1.0, 0.5))
    return plot.save(figure, path, dpi=110)


def draw_scaling(result: dict[str, Any], names: tuple[str, ...], path: Path) -> Path:
    """Draw the time of a call against one size a panel, on logarithmic axes, with a line of slope 1 (threads: -1)."""
    figure, panels = plot.figure(tuple(f"time against {name}" for name in names))
    curves = {curve["curve"]: curve["points"] for curve in result["curves"]}
    for axes, name in zip(panels, names, strict=True):
        found = curves.get(name, [])
        sizes = [point["value"] for point in found]
        middles = [statistics.median(point["seconds"]) for point in found]
        if found:
            ends = [bars(point["seconds"]) for point in found]
            error = [[end[0][0] for end in ends], [end[1][0] for end in ends]]
            plot.points(axes, sizes, middles, error=error, color=plot.COLOURS[0], label="shoal.train")
            power = -1 if name == "threads" else 1
            anchor = 0 if name == "threads" else -1
            line = [middles[anchor] * (size / sizes[anchor]) ** power for size in sizes]
            axes.plot(sizes, line, color="black", ls="--", lw=1.2, label=f"slope {power}")
            plot.legend(axes)
        if name in ("networks", "steps"):
            axes.set_xscale("log")
        else:
            axes.set_xscale("log", base=2)
            axes.set_xticks(sizes, list(map(str, sizes)))
        axes.set_yscale("log")
        axes.set_xlabel(name)
        axes.set_ylabel("seconds")
    return plot.save(figure, path, dpi=110)


def draw(result: dict[str, Any], folder: Path) -> list[Path]:
    """Draw the figures of a result into a folder that exists and return them."""
    return [draw_one(folder / name) for name, draw_one in figures_of(result).items()]


def figures_of(result: dict[str, Any]) -> dict[str, Any]:
    """Return the names of a result's figures, and how to draw each."""
    if result["benchmark"] == "kernels" and result["cases"]:
        return {"performance.png": lambda path: draw_speeds(result, path)}
    if result["benchmark"] == "scaling":
        return {
            f"performance_{names[0]}.png": lambda path, names=names: draw_scaling(result, names, path)
            for names in PANELS
        }
    return {}
