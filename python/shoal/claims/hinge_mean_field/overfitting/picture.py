"""The figure of `overfitting`: both errors against time, where they end, and the early formula."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from shoal import plot
from shoal.claims.shared.figures import draw_mean

SHOWN = 0.9
"""The early formula is drawn while the theory has so large a fraction unsatisfied."""


def picture(data: xr.Dataset, curves: xr.Dataset) -> Figure:
    """Return the figure of what `overfitting.run` found."""
    made, (course, end, early) = plot.figure(
        ("Test error, ±4 s.e., and training error", "In the end", "Early: the formula of finite M and N")
    )
    times = data["time"].values
    seen = curves["unsatisfied"].values > SHOWN
    for k, count in enumerate(data["samples"].values):
        colour = plot.COLOURS[k]
        one = data.sel(samples=count)
        test, train = one["test_error"].values[:, ::2], one["train_error"].values.mean(axis=0)
        draw_mean(course, times[::2], test, color=colour, ms=4, lw=1, label=f"N = {count}")
        course.plot(times, np.where(train > 0, train, np.nan), color=colour, ls=":", lw=1.8)
        plot.theory(course, curves["time"].values[seen], curves["law"].sel(samples=count).values[seen], color=colour)
    course.plot(curves["time"], curves["mean_field"], color="0.45", ls="--", lw=1.5, label="mean field, all samples")
    plot.theory(course, [], [], color="0.3", label="early formula")
    course.plot([], [], color="0.3", ls=":", lw=1.8, label="training error")
    course.set(xscale="log", xlabel="time (step x rate)", xlim=(0.08, None))
    course.set(yscale="log", ylabel="error", ylim=(1e-3, 0.6))
    sizes = data["samples"].values
    for name, words, colour, marker in (
        ("test_error", "test", plot.COLOURS[0], "o"),
        ("train_error", "training", plot.COLOURS[1], "s"),
    ):
        last = data[name].values[:, :, -1].T
        draw_mean(end, sizes, last, color=colour, fmt=f"{marker}-", lw=1, label=f"{words}, ±4 s.e.")
    end.set(xscale="log", xlabel="training samples N", ylabel="error at the end", ylim=(-0.005, None))
    plot.theory(early, [0, data["early_time"].values[-1] * 1.05], [1, 1], color="0.3", label="theory")
    style = {"color": plot.COLOURS[2], "label": "limit of three sizes, ±4 s.e.", "zorder": 5}
    plot.points(early, data["early_time"], data["early_ratio"], error=4 * data["early_ratio_error"], **style)
    early.set(xlabel="time (step x rate)", ylabel="test error, measured over formula", ylim=(0.5, 1.5))
    for axes, place in ((course, "lower left"), (end, "upper right"), (early, "lower right")):
        plot.legend(axes, loc=place, fontsize=9.5)
    return made
