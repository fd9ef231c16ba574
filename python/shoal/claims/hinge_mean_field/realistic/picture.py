"""The figure of `realistic`: nodes in the plane of output and incoming weight, the clock, and the departure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from shoal import plot
from shoal.claims.hinge_mean_field.realistic.images import Images
from shoal.claims.shared.figures import draw_mean
from shoal.claims.shared.teacher import clock

NODES = 12
REACH = 5.0
"""Of the panel of nodes, whose later parts lie outside."""
MARKERS = "os^"


def picture(found: Sequence[Images]) -> Figure:
    """Return the figure of trained networks, one set of images after the other."""
    made, (plane, pace, off) = plot.figure(
        (f"{found[0].name}: nodes and hyperbolas", "The clock", "Off the curves, over the way gone")
    )
    _plane(plane, found[0])
    for k, one in enumerate(found):
        colour, times = plot.COLOURS[k], one.data["time"].values
        for axes, values in ((pace, clock(one.output, one.along)), (off, one.astray())):
            draw_mean(axes, times[1:], values[:, 1:], color=colour, fmt=MARKERS[k], ms=5, label=one.name)
        early = one.early.all(axis=0)
        end = times[early][-1]
        line = np.geomspace(times[1], times[-1], 80)
        plot.theory(pace, line, one.speed * line, color=colour, lw=1.4)
        for axes in (pace, off):
            axes.axvline(end, color=colour, ls=":", lw=1.2, zorder=0)
    plot.theory(pace, [], [], color="0.3", lw=1.4, label=r"$|\langle yx\rangle|\,t/2\sqrt{d}$")
    for axes in (pace, off):
        axes.plot([], [], color="0.3", ls=":", lw=1.2, label="first image satisfied")
    for axes in (pace, off):
        axes.set(xscale="log", xlabel="time (step x rate)")
    pace.set(yscale="log", ylabel=r"$\gamma$ measured, ±4 s.e.", ylim=(None, 5))
    off.set(ylabel="fraction of the distance moved, ±4 s.e.", ylim=(-0.02, 0.8))
    plot.legend(pace, loc="lower right", fontsize=9.5)
    plot.legend(off, loc="upper left", fontsize=9.5)
    return made


def _plane(axes: Axes, images: Images) -> None:
    early = images.early[0]
    output, along = images.output[0], images.along[0]
    for node in range(min(NODES, output.shape[1])):
        colour = plot.COLOURS[node % len(plot.COLOURS)]
        angle = np.linspace(0, clock(output[None], along[None])[0, -1], 60)
        first, second = output[0, node], along[0, node]
        cosh, sinh = np.cosh(angle), np.sinh(angle)
        plot.theory(axes, second * cosh + first * sinh, first * cosh + second * sinh, color=colour, lw=1.2)
        for seen, fill in ((early, "white"), (~early, colour)):
            plot.points(axes, along[seen, node], output[seen, node], color=colour, mfc=fill, ms=4)
    plot.theory(axes, [], [], color="0.3", lw=1.2, label="hyperbola")
    plot.points(axes, [], [], color="0.3", ms=4, label="no image satisfied")
    plot.points(axes, [], [], color="0.3", mfc="0.3", ms=4, label="later")
    axes.set(xlabel=r"$w_i$ along $\langle yx\rangle$", ylabel=r"$a_i$", xlim=(-REACH, REACH), ylim=(-REACH, REACH))
    plot.legend(axes, fontsize=9.5)
