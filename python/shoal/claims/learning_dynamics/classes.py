"""Claim: with K classes each is learnt on a clock of its own, that of two classes with another residual."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from shoal import Explicit, Gaussian, GradientDescent, Network, Record, Task, plot, theory, train
from shoal.claims.claim import claim
from shoal.claims.outcome import Setting
from shoal.claims.shared.flows import TOLERANCE, arrival_error, compare_arrivals, flow
from shoal.claims.shared.runs import crossing_times, far_seed
from shoal.claims.trial import Trial
from shoal.tasks import modes
from shoal.verdicts.layout import Floats
from shoal.verdicts.proportion import wilson

Table = dict[str, tuple[tuple[str, ...], Any]]

NUMBERS = tuple(range(2, 11))
"""K."""

SOFT_ERROR = 0.1
"""Soft error whose time of arrival is compared: margin ln(9 (K - 1))."""

CLOCK: Floats = np.linspace(0, 12, 121)
"""frequency x norm x sqrt(K/(K-1)) x time at which each class is recorded."""

SCALE = 0.1
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

    def mode(self, k: int, margin: float) -> theory.Mode:
        """Return the theory of one class.

        Two softmax outputs are a single one of twice the slope, whose mode carries its sqrt(K/(K-1)) in the norm.
        """
        norm = float(self.norms[k]) * (_stretch(2) if self.number == 2 else 1.0)
        return theory.Mode(
            norm=norm, frequency=float(self.frequencies[k]), start_margin=float(margin), classes=self.number
        )


def _stretch(number: int) -> float:
    return float(np.sqrt(number / (number - 1)))


def balanced_init(margins: Floats, classes: Classes, draw: np.random.Generator) -> Explicit:
    """Return balanced starts with two neurons a class, whose output weights lie along e_k - (1/(K-1)) sum_j e_j.

    ``margins`` (networks, K): initial margin of each class, positive. ``classes``: the dataset. ``draw``: for the
    fraction of either neuron, and for the weights along the inputs of other classes: negative, so that the neuron is
    inactive there.
    """
    networks, number = margins.shape
    share = draw.uniform(0.1, 0.9, (networks, number))
    incoming = -np.abs(draw.normal(0, 0.2, (networks, 2 * number, number)))
    outgoing = np.zeros((networks, number, 2 * number))
    directions = (np.eye(number) * number - 1) / (number - 1)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    for k in range(number):
        for unit, part in ((k, share[:, k]), (k + number, 1 - share[:, k])):
            size = np.sqrt(part * margins[:, k] / (classes.norms[k] * _stretch(number)))
            incoming[:, unit, k] = size
            outgoing[:, :, unit] = size[:, None] * directions[k]
    return Explicit([incoming, outgoing])


@dataclass(frozen=True)
class Trained:
    """Balanced networks of one K, each class on its own clock.

    ``margins, predicted`` (networks, CLOCK, K): measured, and what theory says. ``arrivals, law, error`` (networks, K):
    clock at which the soft error is reached, what theory says, and how far the first may be off.
    """

    margins: Floats
    predicted: Floats
    arrivals: Floats
    law: Floats
    error: Floats

    @classmethod
    def of(cls, classes: Classes, starts: Floats, draw: np.random.Generator, setting: Setting) -> Trained:
        """Train from initial margins (networks, K) and predict each class of each network."""
        number, networks = classes.number, len(starts)
        own = CLOCK[:, None] / classes.speeds
        times, index = np.unique(own, return_inverse=True)
        network, init = Network((number, 2 * number, number)), balanced_init(starts, classes, draw)
        data = flow(network, classes.task, init, times, setting, networks=networks, seed=setting.seed)
        margins = data["margin"].values[:, index.reshape(own.shape), np.arange(number)]
        theories = [[classes.mode(k, margin) for k, margin in enumerate(row)] for row in starts]
        predicted = np.array([[each.margin(own[:, k]) for k, each in enumerate(row)] for row in theories])
        law = np.array([[each.time(classes.level) for each in row] for row in theories]) * classes.speeds
        arrivals, reading = crossing_times(CLOCK, np.moveaxis(margins, 1, -1), classes.level)
        velocity = np.array([float(each.velocity(classes.level)) for each in theories[0]]) / classes.speeds
        error = arrival_error(reading, predicted.max(axis=-1), velocity)
        return cls(margins, np.moveaxis(predicted, -1, 1), arrivals, law, error)


@claim(
    "classes",
    "With K classes each is learnt on its own clock, at a pace set by frequency, norm and sqrt(K/(K-1)).",
    source="arXiv:1809.06848; docs/theory.md section 5",
)
def classes(run: Trial) -> Figure:
    """Compare balanced networks class by class, and what random networks do."""
    many = run.networks(full=2_000, quick=200)
    count = min(many, 6 if run.quick else 24)
    draw = np.random.default_rng(run.seed)
    base = np.exp(draw.uniform(np.log(2e-3), np.log(1e-1), count))
    alike, unlike = [], []
    for number in NUMBERS:
        equal, unequal = Classes.equal(number), Classes.unequal(number)
        starts = np.broadcast_to(base[:, None], (count, number))
        alike.append(Trained.of(equal, starts, draw, run.setting))
        # The same weights at every K and in every class: the margin carries the norm and sqrt(K/(K-1)).
        unlike.append(Trained.of(unequal, base[:, None] * unequal.norms * _stretch(number), draw, run.setting))
    for held, words in (
        (alike, "equal classes, equal initial margins"),
        (unlike, "unequal classes, equal initial weights"),
    ):
        measured, predicted, arrivals, law, error = (
            np.concatenate([getattr(one, name) for one in held], axis=-1)
            for name in ("margins", "predicted", "arrivals", "law", "error")
        )
        run.compare_flow(f"margin of each class, K = 2..10, {words}", measured, predicted, tolerance=TOLERANCE)
        statement = f"clock at soft error {SOFT_ERROR:g}, K = 2..10, {words}"
        run.row(statement, compare_arrivals(arrivals, law, error))
    data = xr.Dataset(
        _table(alike, base) | _random(many, run.setting), coords={"classes": list(NUMBERS), "clock": CLOCK}
    )
    median, share = data["random_time"].values, data["random_share"].values
    run.note(
        "K outputs also for K = 2. With equally frequent classes the frequency is 1/K; what is left once the clock is"
        " divided out falls with K: as the other classes share what is wrong, the residual lasts longer."
    )
    run.note(
        f"No theory is known for Gaussian initialisations; measured on {many} networks a K of scale {SCALE:g}, by"
        " descent:"
        f" a fraction of {share[0]:.3f} at K = 2 to {share[-1]:.3f} at K = 10 learn all classes; the median time at"
        " which these"
        f" reach soft error {SOFT_ERROR:g} goes from {median[0]:.1f} to {median[-1]:.1f}."
    )
    run.note("Orthogonal inputs, one a class: overlapping classes are not covered.")
    run.save(data)
    return _figure(data)


def _table(alike: list[Trained], base: Floats) -> Table:
    """Collect the first class of the network in the middle, at every K."""
    shown = int(np.argsort(base)[len(base) // 2])
    pace = np.array([Classes.equal(number).speeds[0] for number in NUMBERS])
    return {
        "margin": (("classes", "clock"), np.stack([one.margins[shown, :, 0] for one in alike])),
        "margin_predicted": (("classes", "clock"), np.stack([one.predicted[shown, :, 0] for one in alike])),
        "time": (("classes",), np.array([one.arrivals[shown, 0] for one in alike]) / pace),
        "time_predicted": (("classes",), np.array([one.law[shown, 0] for one in alike]) / pace),
        "start_margin": ((), base[shown]),
    }


def _random(many: int, setting: Setting) -> Table:
    """Measure networks of a Gaussian initialisation: how many learn all classes, and when these reach the soft error.

    By descent: every sample that a unit drops is a kink, and a network has dozens of them.
    """
    shares, times = [], []
    for at, number in enumerate(NUMBERS):
        classes, network = Classes.equal(number), Network((number, 2 * number, number))
        setting.say(f"training {many} networks of widths {network.widths} from a Gaussian initialisation")
        data = train(
            network,
            classes.task,
            Gaussian(std=SCALE),
            method=GradientDescent(learning_rate=STEP / float(classes.speeds[0]), steps=STEPS),
            record=Record(steps=np.arange(0, STEPS + 1, 4), measure=("soft_error", "error")),
            networks=many,
            seed=far_seed(setting.seed, 1 + at),
            threads=setting.threads,
        )
        right = 1 - data["soft_error"].values
        learnt = data["error"].values[:, -1] == 0
        shares.append((learnt.mean(), *wilson(int(learnt.sum()), many)))
        # In time for the three records from the level on by which an arrival is read.
        arrived = learnt & (right[:, -3] >= 1 - SOFT_ERROR)
        arrivals, _ = crossing_times(data["time"].values, right[arrived], 1 - SOFT_ERROR)
        times.append(np.quantile(arrivals, (0.5, 0.05, 0.95)))
    share, low, high = np.transpose(shares)
    median, early, late = np.transpose(times)
    table = {
        "share": share, "share_low": low, "share_high": high,
        "time": median, "time_early": early, "time_late": late,
    }  # fmt: skip
    return {f"random_{name}": (("classes",), values) for name, values in table.items()}


def _figure(data: xr.Dataset) -> Figure:
    """Draw one class's curve at some K, times against K, and how many random networks learn all classes."""
    made, (curves, times, shares) = plot.figure(
        (
            "One class of K, on its clock",
            f"Time to soft error {SOFT_ERROR:g}",
            "Gaussian initialisation, no theory known",
        )
    )
    for number, colour, marker in zip((2, 3, 5, 10), plot.COLOURS, "os^D", strict=False):
        chosen, shown = data.sel(classes=number), slice(2 * number % 9, None, 9)
        plot.points(curves, CLOCK[shown], chosen["margin"].values[shown], color=colour, fmt=marker)
        plot.theory(curves, CLOCK, chosen["margin_predicted"], color=colour, label=f"K = {number}")
    plot.points(curves, [], [], color="0.3", label="trained (line: theory)")
    curves.set(xlabel="frequency x norm x sqrt(K/(K-1)) x time", ylabel="margin over any other class", ylim=(-0.3, 9))
    plot.points(times, NUMBERS, data["time"], color=plot.COLOURS[0], label="balanced initialisation")
    plot.theory(times, NUMBERS, data["time_predicted"], color=plot.COLOURS[0], label="its theory")
    middle = data["random_time"].values
    spread = np.stack([middle - data["random_time_early"].values, data["random_time_late"].values - middle])
    plot.points(
        times,
        NUMBERS,
        middle,
        error=spread,
        color=plot.COLOURS[1],
        fmt="s",
        label="Gaussian initialisation: median, 90 %",
    )
    times.set(xlabel="classes K, equally frequent", ylabel="time", ylim=(0, None))
    share = data["random_share"].values
    reach = np.stack([share - data["random_share_low"].values, data["random_share_high"].values - share])
    label = "fraction of networks, Wilson ±4 s.d."
    plot.points(shares, NUMBERS, share, error=reach, color=plot.COLOURS[1], fmt="s", label=label)
    shares.set(xlabel="classes K", ylabel="networks that learn all classes", ylim=(0, 1.02))
    plot.legend(curves, loc="upper left", ncols=2)
    for axes in (times, shares):
        plot.legend(axes)
    return made
