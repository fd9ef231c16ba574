"""Claim: with K classes each is learnt on a clock of its own, that of two classes with another residual."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from shoal import Explicit, Gaussian, GradientDescent, Network, Record, Task, plot, theory
from shoal.claims.claim import claim
from shoal.claims.shared.balanced import balanced_init, initial_margins
from shoal.claims.shared.figures import key, legends
from shoal.claims.shared.flows import TOLERANCE, arrival_error, compare_arrivals, flow
from shoal.claims.shared.runs import crossing_times, far_seed
from shoal.claims.trial import Trial
from shoal.tasks import modes
from shoal.verdicts.comparison import compare_flow
from shoal.verdicts.layout import Floats
from shoal.verdicts.proportion import wilson

NUMBERS = tuple(range(2, 11))
"""K."""

SOFT_ERROR = 0.1
"""Soft error whose time of arrival is compared: margin ln(9 (K - 1))."""

CLOCK: Floats = np.linspace(0, 12, 121)
"""frequency x norm x sqrt(K/(K-1)) x time at which each class is recorded."""

STD = 0.1
"""Of the weights of random networks."""

STEP, STEPS = 0.05, 400
"""Steps of descent for these, in units of the clock."""


@dataclass(frozen=True)
class Classes:
    """A dataset of K classes, each one input along an axis of its own.

    ``norms, frequencies`` (K,): of the inputs.
    """

    norms: Floats
    frequencies: Floats

    @classmethod
    def equal(cls, number: int) -> Classes:
        """Return classes of norm 1, all as frequent."""
        return cls(np.ones(number), np.full(number, 1 / number))

    @classmethod
    def unequal(cls, number: int) -> Classes:
        """Return norms from 0.7 to 1.4; the longer an input, the rarer, down to half as frequent as the shortest."""
        frequencies = np.linspace(2, 1, number)
        return cls(np.linspace(0.7, 1.4, number), frequencies / frequencies.sum())

    @property
    def number(self) -> int:
        """K."""
        return len(self.norms)

    @property
    def task(self) -> Task:
        """The dataset, labels 0..K-1 also for two classes: the network has K outputs."""
        axes = modes(self.norms, self.frequencies)
        return Task(axes.inputs, np.arange(self.number), axes.sample_weight)

    @property
    def speeds(self) -> Floats:
        """(K,) float64: frequency x norm x sqrt(K/(K-1)), the pace of each class's clock."""
        return np.asarray(self.frequencies * self.norms * _stretch(self.number))

    @property
    def level(self) -> float:
        """The margin at which the soft error of a class is `SOFT_ERROR`."""
        return float(np.log((self.number - 1) * (1 / SOFT_ERROR - 1)))

    @property
    def directions(self) -> Floats:
        """(K, K) float64: unit vectors along e_k - (1/(K-1)) sum_j e_j, those of the output weights of class k."""
        along = (np.eye(self.number) * self.number - 1) / (self.number - 1)
        return np.asarray(along / np.linalg.norm(along, axis=1, keepdims=True))

    def init(self, margins: Floats, draw: np.random.Generator) -> Explicit:
        """Return balanced weights of initial margins (networks, K)."""
        return balanced_init(margins, self.norms * _stretch(self.number), self.directions, draw)

    def mode(self, k: int, margin: float) -> theory.Mode:
        """Return the theory of one class.

        Two softmax outputs are a single one of twice the slope, whose mode carries its sqrt(K/(K-1)) in the norm.
        """
        norm = float(self.norms[k]) * (_stretch(2) if self.number == 2 else 1.0)
        return theory.Mode(
            norm=norm, frequency=float(self.frequencies[k]), start_margin=float(margin), classes=self.number
        )


def _two_classes(margin: float) -> theory.Mode:
    return theory.Mode(norm=1.0, frequency=1.0, start_margin=float(margin), classes=2)


def _stretch(number: int) -> float:
    return float(np.sqrt(number / (number - 1)))


@dataclass(frozen=True)
class Trained:
    """Balanced networks of one K, each class on its own clock.

    ``margins, predicted`` (networks, CLOCK, K): measured, and what theory says. ``arrivals, formula, error`` (networks,
    K): clock at which the soft error is reached, what theory says, and how far the first may be off. ``two_classes``
    (networks, CLOCK, K): what the theory of two classes says, at the same pace.
    """

    margins: Floats
    predicted: Floats
    arrivals: Floats
    formula: Floats
    error: Floats
    two_classes: Floats

    @classmethod
    def of(cls, run: Trial, classes: Classes, initial: Floats, draw: np.random.Generator) -> Trained:
        """Train from initial margins (networks, K) and predict each class of each network."""
        number = classes.number
        own = CLOCK[:, None] / classes.speeds
        times, index = np.unique(own, return_inverse=True)
        network = Network((number, 2 * number, number))
        data = flow(run, network, classes.task, classes.init(initial, draw), times)
        margins = data["margin"].values[:, index.reshape(own.shape), np.arange(number)]
        theories = [[classes.mode(k, margin) for k, margin in enumerate(row)] for row in initial]
        predicted = np.array([[each.margin(own[:, k]) for k, each in enumerate(row)] for row in theories])
        formula = np.array([[each.time(classes.level) for each in row] for row in theories]) * classes.speeds
        arrivals, reading = crossing_times(CLOCK, np.moveaxis(margins, 1, -1), classes.level)
        velocity = np.array([float(each.velocity(classes.level)) for each in theories[0]]) / classes.speeds
        error = arrival_error(reading, predicted.max(axis=-1), velocity)
        alone = [[_two_classes(margin).margin(CLOCK) for margin in row] for row in initial]
        predicted, two = (np.moveaxis(curves, -1, 1) for curves in (predicted, np.array(alone)))
        return cls(margins, predicted, arrivals, formula, error, two)


@claim(
    "classes",
    "With K classes each is learnt on its own clock, at a pace set by frequency, norm and sqrt(K/(K-1)).",
    source="arXiv:1809.06848; theory book, chapter 5",
)
def classes(run: Trial) -> Figure:
    """Compare balanced networks class by class, and measure what random networks do."""
    many = run.networks(full=2_000, quick=200)
    count = min(many, 6 if run.quick else 24)
    draw = np.random.default_rng(run.seed)
    base = initial_margins(count, draw, 2e-3, 1e-1)
    alike, unlike = [], []
    for number in NUMBERS:
        equal, unequal = Classes.equal(number), Classes.unequal(number)
        alike.append(Trained.of(run, equal, np.broadcast_to(base[:, None], (count, number)), draw))
        # The same weights at every K and in every class: the margin carries the norm and sqrt(K/(K-1)).
        unlike.append(Trained.of(run, unequal, base[:, None] * unequal.norms * _stretch(number), draw))
    for held, words in (
        (alike, "equal classes, equal initial margins"),
        (unlike, "unequal classes, equal initial weights"),
    ):
        measured, predicted, arrivals, formula, error, two = (
            np.concatenate([getattr(one, field.name) for one in held], axis=-1) for field in fields(Trained)
        )
        run.compare_flow(f"margin of each class, K = 2..10, {words}", measured, predicted, tolerance=TOLERANCE)
        run.must_fail("residual of two classes", compare_flow(measured, two, tolerance=TOLERANCE))
        statement = f"clock at soft error {SOFT_ERROR:g}, K = 2..10, {words}"
        run.row(statement, compare_arrivals(arrivals, formula, error))
        run.must_fail("2% later", compare_arrivals(arrivals, 1.02 * formula, error))
    table = _one_class(alike, base) | _random(run, many)
    data = run.save(xr.Dataset(table, coords={"classes": list(NUMBERS), "clock": CLOCK}))
    median, fraction = data["random_time"].values, data["random_share"].values
    run.note(
        "K outputs also for K = 2. With equally frequent classes the frequency is 1/K; what is left once the clock is"
        " divided out falls with K: as the other classes share what is wrong, the residual lasts longer."
    )
    run.note(
        f"No theory is known for Gaussian initialisations; measured on {many} networks a K of scale {STD:g}, by"
        f" descent: a fraction of {fraction[0]:.3f} at K = 2 to {fraction[-1]:.3f} at K = 10 learn all classes; the"
        f" median time at which these reach soft error {SOFT_ERROR:g} goes from {median[0]:.1f} to {median[-1]:.1f}."
    )
    run.note("Orthogonal inputs, one a class: overlapping classes are not covered.")
    return _figure(data)


def _one_class(alike: list[Trained], base: Floats) -> dict[str, Any]:
    """Collect the first class of the network in the middle, at every K."""
    shown = int(np.argsort(base)[len(base) // 2])
    pace = np.array([Classes.equal(number).speeds[0] for number in NUMBERS])
    return {
        "margin": (("classes", "clock"), np.stack([one.margins[shown, :, 0] for one in alike])),
        "margin_predicted": (("classes", "clock"), np.stack([one.predicted[shown, :, 0] for one in alike])),
        "time": (("classes",), np.array([one.arrivals[shown, 0] for one in alike]) / pace),
        "time_predicted": (("classes",), np.array([one.formula[shown, 0] for one in alike]) / pace),
        "start_margin": ((), base[shown]),
    }


def _random(run: Trial, many: int) -> dict[str, Any]:
    """Measure networks of a Gaussian initialisation: how many learn all classes, and when these reach the soft error.

    By descent: every sample that a unit drops is a kink, and a network has dozens of them.
    """
    fractions, times = [], []
    for at, number in enumerate(NUMBERS):
        classes, network = Classes.equal(number), Network((number, 2 * number, number))
        data = run.train(
            network,
            classes.task,
            Gaussian(std=STD),
            method=GradientDescent(learning_rate=STEP / float(classes.speeds[0]), steps=STEPS),
            record=Record(steps=np.arange(0, STEPS + 1, 4), measure=("soft_error", "error")),
            networks=many,
            seed=far_seed(run.seed, 1 + at),
        )
        right = 1 - data["soft_error"].values
        learnt = data["error"].values[:, -1] == 0
        fractions.append((learnt.mean(), *wilson(int(learnt.sum()), many)))
        # In time for the three records from the level on by which an arrival is read.
        arrived = learnt & (right[:, -3] >= 1 - SOFT_ERROR)
        arrivals, _ = crossing_times(data["time"].values, right[arrived], 1 - SOFT_ERROR)
        times.append(np.quantile(arrivals, (0.5, 0.05, 0.95)))
    names = ("share", "share_low", "share_high", "time", "time_early", "time_late")
    columns = (*np.transpose(fractions), *np.transpose(times))
    return {f"random_{name}": (("classes",), values) for name, values in zip(names, columns, strict=True)}


def _figure(data: xr.Dataset) -> Figure:
    titles = ("One class of K, on its clock", f"Time to soft error {SOFT_ERROR:g}")
    made, (curves, times, learnt) = plot.figure((*titles, "Gaussian initialisation, no theory known"))
    for number, colour, marker in zip((2, 3, 5, 10), plot.COLOURS, "os^D", strict=False):
        chosen, shown = data.sel(classes=number), slice(2 * number % 9, None, 9)
        plot.points(curves, CLOCK[shown], chosen["margin"].values[shown], color=colour, fmt=marker)
        plot.theory(curves, CLOCK, chosen["margin_predicted"], color=colour, label=f"K = {number}")
    key(curves)
    curves.set(xlabel="frequency x norm x sqrt(K/(K-1)) x time", ylabel="margin over any other class", ylim=(-0.3, 9))
    plot.points(times, NUMBERS, data["time"], color=plot.COLOURS[0], label="balanced initialisation")
    plot.theory(times, NUMBERS, data["time_predicted"], color=plot.COLOURS[0], label="its theory")
    for axes, name, low, high, label in (
        (times, "time", "early", "late", "Gaussian initialisation: median, 90 %"),
        (learnt, "share", "low", "high", "fraction of networks, Wilson ±4 s.d."),
    ):
        middle, least, most = (data[f"random_{name}{end}"].values for end in ("", f"_{low}", f"_{high}"))
        error = np.stack([middle - least, most - middle])
        plot.points(axes, NUMBERS, middle, error=error, color=plot.COLOURS[1], fmt="s", label=label)
    times.set(xlabel="classes K, equally frequent", ylabel="time", ylim=(0, None))
    learnt.set(xlabel="classes K", ylabel="networks that learn all classes", ylim=(0, 1.02))
    plot.legend(curves, loc="upper left", ncols=2)
    legends((times, learnt))
    return made
