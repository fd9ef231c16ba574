"""Two orthogonal modes in one dataset, one of them varied over decades: balanced networks, each on its own.

Source: theory book, chapters 1 and 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from shoal import Network, Task, compare_flow, plot, tasks
from shoal.claims.shared.balanced import balanced_init, mode_of
from shoal.claims.shared.figures import legends
from shoal.claims.shared.flows import TOLERANCE, arrival_error, compare_arrivals, exponent_weights, flow
from shoal.claims.shared.runs import crossing_times
from shoal.claims.trial import Trial
from shoal.verdicts.comparison import Comparison
from shoal.verdicts.layout import Floats

LEVEL = 1.0
"""Margin whose time of arrival is measured."""
CLOCK: Floats = np.linspace(0, 14, 141)
"""frequency x norm x time at which each mode is recorded."""


@dataclass(frozen=True)
class Pair:
    """Two orthogonal modes with labels +1 and -1, of which the first is varied; their frequencies sum to 1."""

    norms: tuple[float, float]
    frequencies: tuple[float, float]

    @property
    def task(self) -> Task:
        """The dataset."""
        return tasks.modes(norms=self.norms, frequencies=self.frequencies)

    @property
    def speeds(self) -> Floats:
        """(2,) float64: frequency x norm of each mode, the pace of its clock."""
        return np.multiply(self.norms, self.frequencies)


@dataclass(frozen=True)
class Sweep:
    """What is varied: its name, its values, and a dataset for each."""

    name: str
    conditions: Floats
    pairs: tuple[Pair, ...]

    @property
    def speeds(self) -> Floats:
        """(conditions, 2) float64: frequency x norm of each mode."""
        return np.array([pair.speeds for pair in self.pairs])

    def predict(self, margins: Floats) -> Floats:
        """Return margins (networks, CLOCK, conditions, 2) float64 from initial margins (networks, conditions, 2)."""
        curves = [
            mode_of(network[at, mode], pair.norms[mode], pair.frequencies[mode]).margin(CLOCK / pair.speeds[mode])
            for network in margins
            for at, pair in enumerate(self.pairs)
            for mode in range(2)
        ]
        return np.moveaxis(np.reshape(curves, (*margins.shape, len(CLOCK))), -1, 1)

    def train(self, run: Trial, margins: Floats, draw: np.random.Generator, loss: str = "cross_entropy") -> Floats:
        """Return margins (networks, CLOCK, conditions, 2) float64 of trained networks, each mode on its own clock."""
        found = []
        for at, pair in enumerate(self.pairs):
            init = balanced_init(margins[:, at], pair.norms, pair.task.labels[:, None], draw)
            own = CLOCK[:, None] / pair.speeds
            times, index = np.unique(own, return_inverse=True)
            data = flow(run, Network((2, 4, 1)), pair.task, init, times, networks=len(margins), loss=loss)
            found.append(data["margin"].values[:, index.reshape(own.shape), np.arange(2)])
        return np.stack(found, axis=2)


def common_curve(margins: Floats, loss: str = "cross_entropy", speed: float = 1.0) -> Floats:
    """Return margins (networks, CLOCK, 1, 1) of any mode from initial margins (networks,), its clock at a speed."""
    curves = [mode_of(margin, loss=loss).margin(speed * CLOCK) for margin in margins]
    return np.asarray(curves)[:, :, None, None]


def common_time(margins: Floats) -> Floats:
    """Return frequency x norm x time to `LEVEL` from initial margins of any shape, the same shape."""
    return np.reshape([mode_of(margin).time(LEVEL) for margin in margins.ravel()], margins.shape)


@dataclass(frozen=True)
class Balanced:
    """Balanced networks under every condition: margins as from `Sweep.train`, and what theory predicts for them."""

    sweep: Sweep
    margins: Floats
    predicted: Floats

    @cached_property
    def clock(self) -> Floats:
        """(networks, conditions, 2) float64: frequency x norm x time to `LEVEL`."""
        return self._read[0]

    @cached_property
    def error(self) -> Floats:
        """(networks, conditions, 2) float64: how far `clock` may be off."""
        return arrival_error(self._read[1], self.predicted.max(axis=1), float(mode_of(LEVEL).velocity(LEVEL)))

    @cached_property
    def _read(self) -> tuple[Floats, Floats]:
        return crossing_times(CLOCK, np.moveaxis(self.margins, 1, -1), LEVEL)

    def compare(self, predicted: Floats | None = None) -> Comparison:
        """Return the comparison of the margins with theory, or with another one."""
        return compare_flow(self.margins, self.predicted if predicted is None else predicted, TOLERANCE)

    def compare_clock(self, predicted: Floats) -> Comparison:
        """Return the comparison with arrivals on the same clock, which broadcast to (networks, conditions, 2)."""
        return compare_arrivals(self.clock, predicted, self.error)

    def compare_exponent(self, predicted: Floats | float) -> Comparison:
        """Return the comparison of each network's exponent of the varied mode's time in the condition."""
        weights = exponent_weights(self.sweep.conditions)
        measured = np.log(self.clock[..., 0] / self.sweep.speeds[:, 0]) @ weights
        error = (self.error / self.clock)[..., 0] @ np.abs(weights)
        return compare_arrivals(measured, predicted, error)


def compare_curves(run: Trial, sweep: Sweep, margins: Floats, draw: np.random.Generator) -> Balanced:
    """Compare networks whose modes have equal initial margins (networks,) with one curve, also under the hinge loss."""
    start = np.broadcast_to(margins[:, None, None], (len(margins), len(sweep.conditions), 2))
    found, hinge = (
        Balanced(sweep, sweep.train(run, start, draw, loss), common_curve(margins, loss))
        for loss in ("cross_entropy", "hinge")
    )
    run.row("margin against frequency x norm x time: one curve", found.compare())
    run.must_fail(f"{sweep.name} 2% larger", found.compare(common_curve(margins, speed=1.02)))
    run.must_fail("formula of the hinge loss", found.compare(hinge.predicted))
    run.row("the same under the hinge loss", hinge.compare())
    return found


def finish_panels(panels: Sequence[Axes], sweep: Sweep, data: xr.Dataset, ticks: list[float]) -> None:
    """Draw one network's varied mode at every other condition on its one predicted curve; label all three panels."""
    times, collapse, left = panels
    margins, conditions = data["margin"].values, sweep.conditions[::2]
    for order, (condition, colour, marker) in enumerate(zip(conditions, plot.COLOURS, "os^Dv", strict=False)):
        shown, style = slice(3 * order, None, 15), {"color": colour, "fmt": marker}
        plot.points(collapse, CLOCK[shown], margins[shown, 2 * order], **style, label=f"{sweep.name} {condition:.2g}")
    plot.theory(collapse, CLOCK, data["margin_predicted"], color="black", lw=1.5, zorder=2, label="theory, one curve")
    collapse.set(yscale="log", xlabel="frequency x norm x time", ylabel="margin")
    for axes in (times, left):
        axes.set(xscale="log", xlabel=f"{sweep.name} of the input")
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    times.set(yscale="log", ylabel="time to margin 1")
    left.set_ylabel("clock at margin 1, geometric mean")
    legends(panels)
