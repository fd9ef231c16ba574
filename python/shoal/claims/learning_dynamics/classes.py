"""Claim: with K classes each is learnt on a clock of its own, that of two classes with another residual."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from shoal import Explicit, Gaussian, GradientDescent, Network, Record, Task, claim, compare_flow, plot, tasks, theory
from shoal.claims.shared.balanced import balanced_init, initial_margins, mode_of
from shoal.claims.shared.deaths import proportion
from shoal.claims.shared.figures import key, legends
from shoal.claims.shared.flows import TOLERANCE, arrival_error, compare_arrivals, flow
from shoal.claims.shared.runs import crossing_times, far_seed
from shoal.claims.trial import Trial
from shoal.verdicts.layout import Floats

NUMBERS = tuple(range(2, 11))  # K
SOFT_ERROR = 0.1  # time to this is compared; the margin is ln(9 (K - 1))
CLOCK: Floats = np.linspace(0, 12, 121)  # frequency x norm x sqrt(K/(K-1)) x time of each class's records
STD = 0.1  # of the weights of random networks
STEP, STEPS = 0.05, 400  # of descent for these; the step in units of the clock


class Classes:
    """A dataset of K classes of given norms and frequencies (K,), each one input along an axis of its own."""

    def __init__(self, norms: Floats, frequencies: Floats) -> None:
        axes = tasks.modes(norms, frequencies)
        self.number, self.norms, self.frequencies = len(norms), norms, frequencies
        # Labels 0..K-1 also for two classes: the network has K outputs.
        self.task = Task(axes.inputs, np.arange(self.number), axes.sample_weight)
        self.speeds: Floats = frequencies * norms * _stretch(self.number)  # (K,): the pace of each class's clock
        self.level = float(np.log((self.number - 1) * (1 / SOFT_ERROR - 1)))  # the margin at SOFT_ERROR

    @classmethod
    def equal(cls, number: int) -> Classes:
        """Return classes of norm 1, all as frequent."""
        return cls(np.ones(number), np.full(number, 1 / number))

    @classmethod
    def unequal(cls, number: int) -> Classes:
        """Return norms from 0.7 to 1.4; the longer an input, the rarer, down to half as frequent as the shortest."""
        frequencies = np.linspace(2, 1, number)
        return cls(np.linspace(0.7, 1.4, number), frequencies / frequencies.sum())

    def init(self, margins: Floats, draw: np.random.Generator) -> Explicit:
        """Return balanced weights of initial margins (networks, K), output weights along e_k - (1/(K-1)) sum_j e_j."""
        along = (np.eye(self.number) * self.number - 1) / (self.number - 1)
        directions = along / np.linalg.norm(along, axis=1, keepdims=True)
        return balanced_init(margins, self.norms * _stretch(self.number), directions, draw)

    def mode(self, k: int, margin: float) -> theory.Mode:
        """Return the theory of one class."""
        # Two softmax outputs are a single one of twice the slope, whose mode carries its sqrt(K/(K-1)) in the norm.
        norm = self.norms[k] * (_stretch(2) if self.number == 2 else 1.0)
        return mode_of(margin, norm, self.frequencies[k], classes=self.number)


def _stretch(number: int) -> float:
    return float(np.sqrt(number / (number - 1)))


class Trained(NamedTuple):
    """Balanced networks of one K, each class on its own clock."""

    margins: Floats  # (networks, CLOCK, K), as the next two
    predicted: Floats
    two_classes: Floats  # predicted with the residual of two classes
    arrivals: Floats  # clock at the soft error, (networks, K)
    formula: Floats
    error: Floats  # of the arrivals

    @classmethod
    def of(cls, run: Trial, classes: Classes, initial: Floats, draw: np.random.Generator) -> Trained:
        """Train from initial margins (networks, K) and predict each class of each network."""
        own = CLOCK[:, None] / classes.speeds
        times, index = np.unique(own, return_inverse=True)
        network = Network((classes.number, 2 * classes.number, classes.number))
        data = flow(run, network, classes.task, classes.init(initial, draw), times)
        margins = data["margin"].values[:, index.reshape(own.shape), np.arange(classes.number)]
        theories = [[classes.mode(k, margin) for k, margin in enumerate(row)] for row in initial]
        predicted = np.array([[mode.margin(own[:, k]) for k, mode in enumerate(row)] for row in theories])
        two_classes = np.array([[mode_of(margin, classes=2).margin(CLOCK) for margin in row] for row in initial])
        arrivals, reading = crossing_times(CLOCK, np.moveaxis(margins, 1, -1), classes.level)
        formula = np.array([[mode.time(classes.level) for mode in row] for row in theories]) * classes.speeds
        velocity = np.array([float(mode.velocity(classes.level)) for mode in theories[0]]) / classes.speeds
        error = arrival_error(reading, predicted.max(axis=-1), velocity)
        return cls(margins, predicted.swapaxes(1, 2), two_classes.swapaxes(1, 2), arrivals, formula, error)


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
    equals, unequals = "equal classes, equal initial margins", "unequal classes, equal initial weights"
    for parts, words in ((alike, equals), (unlike, unequals)):
        found = Trained(*(np.concatenate(each, axis=-1) for each in zip(*parts, strict=True)))
        run.compare_flow(f"margin of each class, K = 2..10, {words}", found.margins, found.predicted, TOLERANCE)
        run.must_fail("residual of two classes", compare_flow(found.margins, found.two_classes, TOLERANCE))
        statement = f"clock at soft error {SOFT_ERROR:g}, K = 2..10, {words}"
        run.row(statement, compare_arrivals(found.arrivals, found.formula, found.error))
        run.must_fail("2% later", compare_arrivals(found.arrivals, 1.02 * found.formula, found.error))
    # The first class of the network in the middle, at every K.
    at = int(np.argsort(base)[count // 2])
    shown = Trained(*(np.stack([values[at, ..., 0] for values in each]) for each in zip(*alike, strict=True)))
    pace = np.array([Classes.equal(number).speeds[0] for number in NUMBERS])
    table = _random(run, many) | {
        "margin": (("classes", "clock"), shown.margins),
        "margin_predicted": (("classes", "clock"), shown.predicted),
        "time": (("classes",), shown.arrivals / pace),
        "time_predicted": (("classes",), shown.formula / pace),
        "start_margin": ((), base[at]),
    }
    data = run.save(xr.Dataset(table, coords={"classes": list(NUMBERS), "clock": CLOCK}))
    median, fraction = data["random_time"].values, data["random_share"].values
    run.note(
        "K outputs also for K = 2. With equally frequent classes the frequency is 1/K; what is left once the clock is"
        " divided out falls with K: as the other classes share what is wrong, the residual lasts longer.",
        f"No theory is known for Gaussian initialisations; measured on {many} networks a K of scale {STD:g}, by"
        f" descent: a fraction of {fraction[0]:.3f} at K = 2 to {fraction[-1]:.3f} at K = 10 learn all classes; the"
        f" median time at which these reach soft error {SOFT_ERROR:g} goes from {median[0]:.1f} to {median[-1]:.1f}.",
        "Orthogonal inputs, one a class: overlapping classes are not covered.",
    )
    return _figure(data)


def _random(run: Trial, many: int) -> dict[str, Any]:
    """Measure Gaussian initialisations: how many networks learn all classes, and when these reach the soft error."""
    # By descent: every sample that a unit drops is a kink, and a network has dozens of them.
    counts, times = [], []
    for at, number in enumerate(NUMBERS):
        classes, network = Classes.equal(number), Network((number, 2 * number, number))
        method = GradientDescent(learning_rate=STEP / float(classes.speeds[0]), steps=STEPS)
        record = Record(steps=np.arange(0, STEPS + 1, 4), measure=("soft_error", "error"))
        given, seed = (network, classes.task, Gaussian(std=STD)), far_seed(run.seed, 1 + at)
        data = run.train(*given, method=method, record=record, networks=many, seed=seed)
        right, learnt = 1 - data["soft_error"].values, data["error"].values[:, -1] == 0
        counts.append(learnt.sum())
        # In time for the three records from the level on by which an arrival is read.
        arrived = learnt & (right[:, -3] >= 1 - SOFT_ERROR)
        arrivals, _ = crossing_times(data["time"].values, right[arrived], 1 - SOFT_ERROR)
        times.append(np.quantile(arrivals, (0.5, 0.05, 0.95)))
    fractions = proportion("random_share", ("classes",), np.array(counts), np.full(len(counts), many))
    names = ("random_time", "random_time_early", "random_time_late")
    return fractions | {name: (("classes",), column) for name, column in zip(names, np.transpose(times), strict=True)}


def _figure(data: xr.Dataset) -> Figure:
    titles = ("The more classes, the steeper the rise", "Time grows nearly in proportion to K")
    made, panels = plot.figure((*titles, "The larger K, the fewer networks fail"), width=4.6, height=4.2)
    curves, times, learnt = panels
    for number, colour, marker in zip((2, 3, 5, 10), plot.COLOURS, "os^D", strict=False):
        chosen, shown = data.sel(classes=number), slice(2 * number % 9, None, 9)
        plot.points(curves, CLOCK[shown], chosen["margin"].values[shown], color=colour, fmt=marker)
        plot.theory(curves, CLOCK, chosen["margin_predicted"], color=colour, label=f"K = {number}")
    key(curves)
    curves.set(
        xlabel=r"frequency x norm x $\sqrt{K/(K-1)}$ x time", ylabel="margin over any other class", ylim=(-0.3, 10)
    )
    plot.points(times, NUMBERS, data["time"], color=plot.COLOURS[0], label="balanced initialisation")
    plot.theory(times, NUMBERS, data["time_predicted"], color=plot.COLOURS[0], label="its theory")
    for axes, name, low, high, label in (
        (times, "time", "early", "late", "Gaussian: median, 90% of networks"),
        (learnt, "share", "low", "high", "Gaussian, Wilson ±4 s.d. (no theory known)"),
    ):
        middle, least, most = (data[f"random_{name}{end}"].values for end in ("", f"_{low}", f"_{high}"))
        error = np.stack([middle - least, most - middle])
        plot.points(axes, NUMBERS, middle, error=error, color=plot.COLOURS[1], fmt="s", label=label)
    times.set(xlabel="classes K, equally frequent", ylabel=f"time to soft error {SOFT_ERROR:g}", ylim=(0, None))
    learnt.set(xlabel="classes K, equally frequent", ylabel="fraction that learns all classes", ylim=(0, 1.02))
    plot.legend(curves, loc="upper left", ncols=2)
    legends((times, learnt), fontsize=10)
    return made
