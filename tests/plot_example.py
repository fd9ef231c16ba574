"""Trainings whose figures are tested, and what tests look at in a figure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import xarray
from matplotlib.axes import Axes

import shoal
from shoal import plot

SCALES, HIDDEN, NETWORKS = (0.1, 0.4, 1.6, 6.4), (1, 3, 6), 60
KEPT = shoal.Statistics(events=("error > 0", "loss > 100"), distribution=("loss", "margin"))


def trained(scale: float, hidden: int, reduce: shoal.Statistics | None, **changed: Any) -> xarray.Dataset:
    arguments: dict[str, Any] = {
        "task": shoal.Task([[1, 0], [0, 1], [-1, -0.5]], [1, -1, 1]),
        "method": shoal.GradientDescent(0.2, 60, stop="fitted"),
        "networks": NETWORKS,
        "seed": round(10 * scale) + hidden,
        **changed,
    }
    record = shoal.Record(steps=[0, 20, 60], measure=("loss", "error", "margin"), reduce=reduce)
    return shoal.train(shoal.Network((2, hidden, 1)), init=shoal.Gaussian(scale), record=record, **arguments)


def swept(reduce: shoal.Statistics | None, **changed: Any) -> xarray.Dataset:
    """Return trainings with their fields as dimensions in front."""
    rows = []
    for hidden in HIDDEN:
        row = [trained(scale, hidden, reduce, **changed) for scale in SCALES]
        rows.append(xarray.concat(row, xarray.IndexVariable("init.std", list(SCALES))))
    return xarray.concat(rows, xarray.IndexVariable("network.hidden", list(HIDDEN)))


RAW, REDUCED = swept(None), swept(KEPT)
GRID = {"x": "init.std", "y": "network.hidden"}
ONE = REDUCED.isel({"network.hidden": 0, "init.std": 0})


def labels(axes: Axes) -> list[str]:
    legend = axes.get_legend()
    return [] if legend is None else [text.get_text() for text in legend.get_texts()]


def saved(axes: Axes, folder: Path) -> None:
    """Assert that the picture can be written."""
    figure: Any = axes.get_figure()
    assert plot.save(figure, folder / "picture.png").read_bytes().startswith(b"\x89PNG")
