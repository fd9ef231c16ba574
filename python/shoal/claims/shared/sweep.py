"""Two orthogonal modes in one dataset, one of them varied over decades: balanced networks, each on its own.

Source: docs/theory.md sections 1 and 3.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from shoal import Explicit, Network, Task, plot, theory
from shoal.claims.outcome import Setting
from shoal.claims.shared.flows import arrival_error, compare_arrivals, exponent_weights, flow
from shoal.claims.shared.runs import crossing_times
from shoal.tasks import modes
from shoal.verdicts.comparison import Comparison
from shoal.verdicts.layout import Floats

__all__ = [
    "CLOCK",
    "LEVEL",
    "Arrivals",
    "Pair",
    "Sweep",
    "balanced_init",
    "collapse_panel",
    "common_curve",
    "common_time",
    "start_margins",
]

LEVEL = 1.0
"""Margin whose time of arrival is measured."""

CLOCK: Floats = np.linspace(0, 14, 141)
"""frequency x norm x time at which each mode is recorded."""


@dataclass(frozen=True)
class Pair:
    """Two orthogonal modes with labels +1 and -1; the first is the varied one, the second keeps it company.

    ``norms, frequencies``: of the two inputs; the frequencies sum to 1.
    """

    norms: tuple[float, float]
    frequencies: tuple[float, float]

    @property
    def task(self) -> Task:
        """The dataset."""
        return modes(norms=self.norms, frequencies=self.frequencies)

    @property
    def speeds(self) -> Floats:
        """(2,) float64: frequency x norm of each mode, the pace of its clock."""
        return np.multiply(self.norms, self.frequencies)


def start_margins(networks: int, draw: np.random.Generator, lowest: float, highest: float) -> Floats:
    """Return log-uniform initial margins, (networks,) float64."""
    return np.asarray(np.exp(draw.uniform(np.log(lowest), np.log(highest), networks)))


def balanced_init(margins: Floats, pair: Pair, draw: np.random.Generator) -> Explicit:
    """Return separated balanced weights with two neurons a mode, which share its initial margin at random.

    ``margins`` (networks, 2): initial margin of each mode, positive. ``pair``: the dataset. ``draw``: for the
    fractions, and for the weights along the other mode: negative, so that the neuron is inactive there.
    """
    networks = len(margins)
    share = draw.uniform(0.1, 0.9, (networks, 2))
    incoming = -np.abs(draw.normal(0, 0.2, (networks, 4, 2)))
    outgoing = np.zeros((networks, 1, 4))
    for mode, (norm, label) in enumerate(zip(pair.norms, pair.task.labels, strict=True)):
        for unit, part in ((mode, share[:, mode]), (mode + 2, 1 - share[:, mode])):
            size = np.sqrt(part * margins[:, mode] / norm)
            incoming[:, unit, mode] = size
            outgoing[:, 0, unit] = label * size
    return Explicit([incoming, outgoing])


@dataclass(frozen=True)
class Sweep:
    """What is varied, and a dataset for each of its values.

    ``name``: what is varied. ``conditions`` (conditions,): its values. ``pairs``: one dataset a condition.
    """

    name: str
    conditions: Floats
    pairs: tuple[Pair, ...]

    @property
    def speeds(self) -> Floats:
        """(conditions, 2) float64: frequency x norm of each mode."""
        return np.array([pair.speeds for pair in self.pairs])

    def predict(self, starts: Floats, loss: str = "cross_entropy") -> Floats:
        """Return margins (networks, CLOCK, conditions, 2) float64 from initial margins (networks, conditions, 2)."""
        curves = [
            theory.Mode(
                norm=pair.norms[mode], frequency=pair.frequencies[mode], start_margin=float(start[at, mode]), loss=loss
            ).margin(CLOCK / pair.speeds[mode])
            for start in starts
            for at, pair in enumerate(self.pairs)
            for mode in range(2)
        ]
        return np.moveaxis(np.reshape(curves, (*starts.shape, len(CLOCK))), -1, 1)

    def train(self, starts: Floats, draw: np.random.Generator, setting: Setting, loss: str = "cross_entropy") -> Floats:
        """Return margins (networks, CLOCK, conditions, 2) float64 of trained networks, each mode on its own clock."""
        found = []
        for at, pair in enumerate(self.pairs):
            init = balanced_init(starts[:, at], pair, draw)
            own = CLOCK[:, None] / pair.speeds
            times, index = np.unique(own, return_inverse=True)
            data = flow(
                Network((2, 4, 1)), pair.task, init, times, setting, networks=len(starts), seed=setting.seed, loss=loss
            )
            rows = index.reshape(own.shape)
            found.append(data["margin"].values[:, rows, np.arange(2)])
        return np.stack(found, axis=2)


def common_curve(starts: Floats, loss: str) -> Floats:
    """Return margins (networks, CLOCK, 1, 1) float64: the curve of a mode of norm 1 and frequency 1.

    It is that of every mode which starts at the same margins (networks,), whatever its norm and frequency.
    """
    curves = [
        theory.Mode(norm=1.0, frequency=1.0, start_margin=float(start), loss=loss).margin(CLOCK) for start in starts
    ]
    return np.asarray(curves)[:, :, None, None]


def common_time(starts: Floats) -> Floats:
    """Return frequency x norm x time to `LEVEL` from initial margins of any shape, the same shape."""
    times = [theory.Mode(norm=1.0, frequency=1.0, start_margin=float(start)).time(LEVEL) for start in starts.ravel()]
    return np.reshape(times, starts.shape)


@dataclass(frozen=True)
class Arrivals:
    """When the modes of balanced networks arrive at `LEVEL`, on their own clocks.

    ``clock, error`` (networks, conditions, 2): frequency x norm x time of arrival, and how far it may be off.
    """

    clock: Floats
    error: Floats

    @classmethod
    def of(cls, margins: Floats, predicted: Floats) -> Arrivals:
        """Read them off margins as from `Sweep.train`, with the largest margin of the prediction as their scale."""
        clock, reading = crossing_times(CLOCK, np.moveaxis(margins, 1, -1), LEVEL)
        velocity = float(theory.Mode(norm=1.0, frequency=1.0, start_margin=LEVEL).velocity(LEVEL))
        return cls(clock, arrival_error(reading, predicted.max(axis=1), velocity))

    def compare(self, predicted: Floats) -> Comparison:
        """Return the comparison with arrivals on the same clock, which broadcast to (networks, conditions, 2)."""
        return compare_arrivals(self.clock, np.broadcast_to(predicted, self.clock.shape), self.error)

    def compare_exponent(self, sweep: Sweep, predicted: Floats | float) -> Comparison:
        """Return the comparison of each network's exponent of the varied mode's time in the condition."""
        weights = exponent_weights(sweep.conditions)
        measured = np.log(self.clock[..., 0] / sweep.speeds[:, 0]) @ weights
        error = (self.error / self.clock)[..., 0] @ np.abs(weights)
        return compare_arrivals(measured, np.broadcast_to(predicted, measured.shape), error)


def collapse_panel(axes: Axes, sweep: Sweep, margins: Floats, curve: Floats) -> None:
    """Draw one network's varied mode at every other condition, (CLOCK, conditions), on its one predicted curve."""
    for order, at in enumerate(range(0, len(sweep.conditions), 2)):
        shown = slice(3 * order, None, 15)
        label = f"{sweep.name} {sweep.conditions[at]:.2g}"
        plot.points(axes, CLOCK[shown], margins[shown, at], color=plot.COLOURS[order], fmt="os^Dv"[order], label=label)
    plot.theory(axes, CLOCK, curve, color="black", lw=1.5, zorder=2, label="theory, one curve")
    axes.set(yscale="log", xlabel="frequency x norm x time", ylabel="margin")
