"""Claim: modes are learnt one after another from small initial weights; how small they must be depends on depth."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from scipy.optimize import brentq

from shoal import Explicit, GradientFlow, Network, Record, Task, claim, compare_flow, plot, theory
from shoal.claims.shared import linear as deep
from shoal.claims.shared.figures import key, legends, ticks
from shoal.claims.shared.flows import RTOL, TOLERANCE, arrival_error, compare_arrivals
from shoal.claims.shared.runs import crossing_times
from shoal.claims.trial import Trial
from shoal.verdicts.layout import Floats

DEPTHS = (2, 3, 5)
GAPS = np.array([0.4, 0.2, 0.1, 0.05, 0.025])  # 1 - s_2/s_1, where s_1 = 1
LEARNT, BEGUN = 0.9, 0.1  # mode 1 must be at 90% of its target before mode 2 is at 10% of its own
LARGEST = 0.04  # initial size at which a bisection begins: mode 2 is at 10% first
SECTIONS, STEPS = 31, 4  # sizes within an interval that are tried at once, and how often
RECORDS = 1501
SHOWN = 1e-3  # initial size of the networks whose curves are drawn
SHOWN_GAP = 0.2


def targets(gap: float) -> Floats:
    """Return what the two modes learn."""
    return np.array([1.0, 1.0 - gap])


def threshold(gap: float, lead: float, depth: int) -> float:
    """Return ln of the largest initial size from which, by theory, mode 1 is learnt before mode 2 has begun.

    Mode 1 starts at the size, mode 2 at ``lead`` times the size.
    """
    return float(brentq(lambda log: _late(log, gap, lead, depth), -225.0, np.log(LARGEST), xtol=1e-10))


def _late(log: float, gap: float, lead: float, depth: int) -> float:
    """Return ln of the time of mode 1 over that of mode 2, by theory."""
    first, second = (float(each) for each in _times(log, gap, lead, depth))
    return float(np.log(first / second))


def _times(log: float, gap: float, lead: float, depth: int) -> tuple[Floats, Floats]:
    """Return when, by theory, mode 1 is learnt and mode 2 has begun, from a size of this ln."""
    one, two = targets(gap)
    size = float(np.exp(log))
    learnt = theory.learning_time(LEARNT * one, size, one, depth, 1 / depth)
    return learnt, theory.learning_time(BEGUN * two, lead * size, two, depth, 1 / depth)


class Model(NamedTuple):
    """The model w = u^N of two modes: N balanced layers, whose rates are N, so that u' = -dl/du."""

    gap: float
    depth: int

    @property
    def network(self) -> Network:
        """A linear network of N layers, one unit per mode."""
        return Network((2,) * (self.depth + 1), "linear", rates=(float(self.depth),) * self.depth)

    @property
    def task(self) -> Task:
        """Targets of two modes."""
        return deep.whitened(np.diag(targets(self.gap)))

    def curves(self, run: Trial, initial: Floats, times: Floats) -> Floats:
        """Return both modes (networks, times, 2) of networks that start at strengths (networks, 2)."""
        weights = np.einsum("nk,kl->nkl", initial ** (1 / self.depth), np.eye(2))
        data = run.train(
            self.network, self.task, Explicit([weights] * self.depth), loss="squared", networks=len(initial),
            method=GradientFlow(float(times[-1]), rtol=RTOL, atol=0.0), record=Record(times=times, measure="output"),
        )  # fmt: skip
        return np.asarray(data["output"].values[:, :, [0, 1], [0, 1]] / np.sqrt(2))

    def arrivals(self, run: Trial, logs: Floats, leads: Floats) -> tuple[Floats, Floats]:
        """Return when mode 1 is learnt and mode 2 has begun, (2, networks), and how far the readings may be off.

        A mode 2 that has not begun when all first modes are learnt counts as infinitely late.
        """
        initial = np.exp(logs)[:, None] * np.stack([np.ones(len(leads)), leads], axis=1)
        # Theory only says how long to train: longer than the slowest mode 1 takes.
        longest = float(_times(float(logs.min()), self.gap, 1.0, self.depth)[0])
        times = np.linspace(0, 1.05 * longest, RECORDS)
        series = self.curves(run, initial, times) / (targets(self.gap) * [LEARNT, BEGUN])
        found, error = np.full((2, len(logs)), np.inf), np.zeros((2, len(logs)))
        for mode in range(2):
            done = series[:, -4, mode] >= 1
            if done.any():
                found[mode, done], error[mode, done] = crossing_times(times, series[done, :, mode], 1.0)
        return found, error


class Bisected(NamedTuple):
    """The end of a bisection over networks."""

    measured: Floats  # (networks,) ln of the largest size
    error: Floats  # (networks,)

    @classmethod
    def at_gaps(cls, run: Trial, depth: int, leads: Floats) -> list[Bisected]:
        """Bisect at every gap, each below the sizes of the gap before, which is larger."""
        found, above = [], np.full(len(leads), np.log(LARGEST))
        for gap in GAPS:
            found.append(cls.of(run, Model(float(gap), depth), leads, above))
            above = found[-1].measured
        return found

    @classmethod
    def of(cls, run: Trial, model: Model, leads: Floats, above: Floats) -> Bisected:
        """Bisect for each lead, below sizes that are too large; all networks of a step are one training."""
        high, further = above.copy(), 2.2 if model.depth == 2 else 1.4
        low, left = further * high, np.arange(len(leads))
        while len(left):  # until each has a size that is small enough
            learnt, begun = model.arrivals(run, low[left], leads[left])[0]
            left = left[learnt >= begun]
            high[left], low[left] = low[left], further * low[left]
        rows, reading = np.arange(len(leads)), np.zeros((2, 0))
        for step in range(STEPS):
            logs = np.linspace(low, high, SECTIONS + 2, axis=1)
            inner = logs[:, 1:-1]
            (learnt, begun), reading = model.arrivals(run, inner.ravel(), np.repeat(leads, SECTIONS))
            # The smallest of the sizes at which mode 1 is late; the largest is known to be one.
            late = np.append((learnt >= begun).reshape(inner.shape), np.ones((len(leads), 1), bool), axis=1)
            first = late.argmax(axis=1)
            # One section more on either side, but for the last time: a size near the largest may be misjudged while
            # sizes that differ much, and so take unequal times, are recorded at the same times.
            more = int(step < STEPS - 1)
            low, high = logs[rows, np.maximum(first - more, 0)], logs[rows, np.minimum(first + 1 + more, SECTIONS + 1)]
        most = reading.reshape(2, len(leads), SECTIONS).max(axis=2)
        return cls((low + high) / 2, (high - low) / 2 + _shift(model, low, leads, most))


def _shift(model: Model, logs: Floats, leads: Floats, reading: Floats) -> Floats:
    """Return how far ln(size) may be off because times are read and integrated within an error."""
    levels = targets(model.gap) * [LEARNT, BEGUN]
    velocity = model.depth**2 * levels ** (2 - 2 / model.depth) * (targets(model.gap) - levels)
    error = arrival_error(reading, levels[:, None], velocity[:, None]).sum(axis=0)
    step = 1e-4  # of ln(size): by how much, for its size, the two times move apart
    pairs = zip(logs, leads, strict=True)
    apart = [
        [float(np.subtract(*_times(log + sign * step, model.gap, lead, model.depth))) for sign in (-1, 1)]
        for log, lead in pairs
    ]
    return np.asarray(error / np.abs(np.diff(apart, axis=1)[:, 0] / (2 * step)))


@claim(
    "incremental",
    "Modes are learnt one after another: with two layers from exponentially small initial weights only, with more"
    " layers from polynomially small ones.",
    source="arXiv:1909.12051; theory book, chapter 9",
)
def incremental(run: Trial) -> Figure:
    """Bisect for the largest initial size at which modes are learnt one by one, at three depths and five gaps."""
    count = run.networks(full=12, quick=3)
    leads = np.random.default_rng(run.seed).uniform(0.8, 1.0, count)
    leads[0] = 1.0
    table = [_curves(run, leads)]
    for depth in DEPTHS:
        found = Bisected.at_gaps(run, depth, leads)
        measured, error = (np.stack(each, axis=1) for each in zip(*found, strict=True))
        predicted = np.array([[threshold(float(gap), lead, depth) for gap in GAPS] for lead in leads])
        run.row(f"N = {depth}: ln of the largest initial size", compare_arrivals(measured, predicted, error))
        run.must_fail("sizes larger by 1e-3", compare_arrivals(measured, predicted + 1e-3, error))
        _growth(run, depth, measured, leads)
        sizes = {"log_size": measured, "log_size_predicted": predicted}
        table.append(xr.Dataset({f"{name}_{depth}": (("network", "gap"), values) for name, values in sizes.items()}))
    run.note(
        f"Of two modes, the first must be at {LEARNT:.0%} of its target before the second is at {BEGUN:.0%}. Networks"
        " differ in the initial strength of mode 2, from 0.8 to 1 of that of mode 1. A bisection finds"
        f" the largest size; each of its steps trains {SECTIONS} sizes for each network at once.",
        "The model w = u^N is a deep linear network with balanced aligned layers, each at rate N. Random weights of"
        " more than one unit per mode are not covered.",
    )
    return _figure(run.save(xr.merge(table).assign_coords(gap=GAPS, lead=("network", leads))))


def _growth(run: Trial, depth: int, measured: Floats, leads: Floats) -> None:
    """Compare how the size falls with the gap: like e^(-c/gap) at depth 2, like gap^(N/(N - 2)) beyond."""
    if depth == 2:
        # gap ln(1/size) is a series in the gap: two of them free it of the first order, which bounds what is left.
        half, full = (-GAPS * measured)[:, -1], (-GAPS * measured)[:, -2]
        error, predicted = np.abs(half - full), 2 * np.log(9) + np.log(leads)
        words, found = "N = 2: gap x ln(1/size) at gap 0 = 2 ln 9 + ln(lead)", 2 * half - full
        run.row(words, compare_arrivals(found, predicted, error))
        run.must_fail("5% larger", compare_arrivals(found, 1.05 * predicted, error))
    else:
        # From equal sizes. Slopes of ln(size) in ln(gap) are a series in the gap too.
        slopes = (np.diff(measured[0]) / np.diff(np.log(GAPS)))[None]
        half, full = slopes[:, -1], slopes[:, -2]
        error, found = np.abs(half - full), 2 * half - full
        words = f"N = {depth}: exponent of the size in the gap = N/(N - 2)"
        run.row(words, compare_arrivals(found, depth / (depth - 2), error))
        run.must_fail("that of one layer more", compare_arrivals(found, (depth + 1) / (depth - 1), error))


def _curves(run: Trial, leads: Floats) -> xr.Dataset:
    """Compare the modes' curves from one initial size; return those of the first network."""
    initial = SHOWN * np.stack([np.ones(len(leads)), leads], axis=1)
    goals, table = targets(SHOWN_GAP), dict[str, Any]()
    for depth in DEPTHS:
        end = float(theory.learning_time(BEGUN + 0.85, SHOWN, 1.0, depth, 1 / depth))
        times = np.linspace(0, 1.6 * end, 201)
        found = Model(SHOWN_GAP, depth).curves(run, initial, times)

        def predicted(layers: int, times: Floats = times) -> Floats:
            curves = [
                [theory.power_mode(times, u, s, layers) for u, s in zip(each, goals, strict=True)] for each in initial
            ]
            return np.asarray(curves).swapaxes(1, 2)

        run.compare_flow(f"N = {depth}: both modes", found, predicted(depth), TOLERANCE)
        run.must_fail("one layer more", compare_flow(found, predicted(depth + 1), TOLERANCE))
        table[f"time_{depth}"] = (("record",), times)
        table[f"mode_{depth}"] = (("record", "mode"), found[0])
    return xr.Dataset(table)


def _figure(data: xr.Dataset) -> Figure:
    titles = ("Equal sizes: depth parts the modes", "Deeper: a power of the gap", "Two layers: exponentially small")
    made, (curves, powers, exponentials) = plot.figure(titles, width=4.9, height=4.3)
    for depth, colour, marker in zip(DEPTHS, plot.COLOURS, "os^", strict=False):
        times, found = data[f"time_{depth}"].values, data[f"mode_{depth}"].values
        learnt = float(theory.learning_time(LEARNT, SHOWN, 1.0, depth, 1 / depth))
        line = np.linspace(0, times[-1], 800)
        for mode, (goal, style) in enumerate(zip(targets(SHOWN_GAP), ("-", "--"), strict=True)):
            label = f"N = {depth}: mode {mode + 1}"
            plot.points(curves, times[::4] / learnt, found[::4, mode], color=colour, fmt=marker)
            right = theory.power_mode(line, SHOWN, goal, depth)
            plot.theory(curves, line / learnt, right, color=colour, ls=style, label=label)
        gaps = np.geomspace(GAPS[-1], GAPS[0], 25 if depth == 2 else 9)
        sizes = np.exp([threshold(float(gap), 1.0, depth) for gap in gaps])
        measured = np.exp(data[f"log_size_{depth}"].values[0])
        words = "exponential" if depth == 2 else f"power {Fraction(depth, depth - 2)}"
        for axes, x, at in ((powers, gaps, GAPS), (exponentials, 1 / gaps, 1 / GAPS)):
            plot.points(axes, at, measured, color=colour, fmt=marker)
            plot.theory(axes, x, sizes, color=colour, label=f"N = {depth}: {words}")
    curves.set(xlabel="time / time at which mode 1 is at 90%", ylabel=f"mode, from size {SHOWN:g}", xlim=(0.4, 1.5))
    curves.set(ylim=(-0.03, 1.6))
    powers.set(xscale="log", yscale="log", ylim=(1e-9, 10), xlabel="gap $1 - s_2/s_1$", ylabel="largest initial size")
    ticks(powers.xaxis, GAPS)
    exponentials.set(yscale="log", xlabel="1 / gap", ylabel="largest initial size")
    for axes in (curves, powers, exponentials):
        key(axes)
    plot.legend(curves, fontsize=10, ncols=2, loc="upper left")
    plot.legend(powers, fontsize=10, ncols=2, loc="upper left")
    legends((exponentials,), fontsize=10, loc="lower left")
    return made
