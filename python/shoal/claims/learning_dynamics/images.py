"""Claim: on real images, a spurious bright background starves the shape of the digit.

Source: arXiv:1809.06848 (gradient starvation on images). The settings of that experiment are not known to us; this one
is in its spirit. No theory predicts these networks, so that what is tested is the direction of the effect.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from shoal import Gaussian, GradientDescent, Network, Record, Task, plot
from shoal.claims.claim import claim
from shoal.claims.shared.figures import draw_mean, legends, standard_error
from shoal.claims.shared.runs import side_by_side
from shoal.claims.shared.trend import rank_trend
from shoal.claims.trial import Trial
from shoal.tasks import digits
from shoal.verdicts.layout import Floats
from shoal.verdicts.proportion import compare_majority

CLASSES = (3, 8)
"""Label +1, of which images are made brighter, and label -1."""
TRAINED = 200
"""Images trained on; the others, 157, are held out and never made brighter."""
FRACTIONS = (0.0, 0.5, 0.75, 0.9, 1.0)
GAIN, RATE, STEPS = 0.3, 0.1, 600


@dataclass(frozen=True)
class Condition:
    """What is trained at every fraction: hidden units, brightness added to each pixel, spectral decoupling."""

    width: int
    brightness: float
    spectral_decoupling: float = 0.0

    @property
    def label(self) -> str:
        """The condition in words."""
        words = f"{self.width} units, +{self.brightness:g}"
        return words if self.spectral_decoupling == 0 else f"{words}, decoupling {self.spectral_decoupling:g}"


PLAIN = Condition(8, 0.5)
DECOUPLED = Condition(8, 0.5, 0.1)
CONDITIONS = (PLAIN, Condition(4, 0.5), Condition(16, 0.5), Condition(8, 0.25), DECOUPLED)
REMEDIED = 0.9
"""Fraction at which spectral decoupling is compared with training without it."""


@dataclass(frozen=True)
class Split:
    """Images in random order: the first `TRAINED` are trained on, the others held out.

    ``images`` (samples, 64): plain images. ``labels`` (samples,).
    """

    images: Floats
    labels: NDArray[np.int64]

    @classmethod
    def draw(cls, seed: int, number: int) -> Split:
        """Return split ``number`` of a seed."""
        task = digits(CLASSES)
        order = np.random.default_rng([seed, number]).permutation(task.samples)
        return cls(task.inputs[order], task.labels[order])

    def task(self, fraction: float, brightness: float) -> Task:
        """Return the training images, a fraction of those of label +1 brighter; more of them at a larger fraction."""
        images, labels = self.images[:TRAINED].copy(), self.labels[:TRAINED]
        first = np.flatnonzero(labels == 1)
        images[first[: round(fraction * len(first))]] += brightness
        return Task(images, labels)

    def margins(self, data: xr.Dataset) -> Floats:
        """Return the margins (networks, images) of trained networks on the held-out images, without the cue."""
        images, labels = self.images[TRAINED:], self.labels[TRAINED:]
        hidden = np.maximum(np.asarray(data["weights_1"].values, float) @ images.T, 0.0)
        return np.asarray((np.asarray(data["weights_2"].values, float) @ hidden)[:, 0] * labels)


def separation(margins: Floats, labels: NDArray[np.int64]) -> Floats:
    """Return how far apart the logits (networks, images) of the two classes lie, in standard deviations, (networks,).

    d' = (mean_+ - mean_-)/sqrt((variance_+ + variance_-)/2) of the logits. Unlike the error it does not see a shift or
    a scale of all logits. NaN for a network whose logits are all the same.
    """
    logits = margins * labels
    one, other = logits[:, labels == 1], logits[:, labels == -1]
    spread = np.sqrt((one.var(axis=1) + other.var(axis=1)) / 2)
    gap = one.mean(axis=1) - other.mean(axis=1)
    return np.asarray(np.divide(gap, spread, out=np.full(len(gap), np.nan), where=spread > 0))


@claim(
    "images",
    "On real images, too, a frequent spurious cue starves what there is to learn of the shape.",
    source="arXiv:1809.06848; theory book, chapter 6",
)
def images(run: Trial) -> Figure:
    """Compare error and separation on images without the cue, as the cue becomes more frequent."""
    splits, count = (24 if run.quick else 48), run.networks(full=8, quick=4)
    shape = (len(CONDITIONS), len(FRACTIONS), splits, count)
    table = {name: np.empty(shape) for name in ("train_error", "error", "separation")}

    def measure(number: int) -> None:
        split = Split.draw(run.seed, number)
        for i, condition in enumerate(CONDITIONS):
            for j, fraction in enumerate(FRACTIONS):
                data = _trained(run, split.task(fraction, condition.brightness), condition, number * count, count)
                margins = split.margins(data)
                table["train_error"][i, j, number] = data["error"].values[:, -1]
                table["error"][i, j, number] = ((margins < 0) + 0.5 * (margins == 0)).mean(axis=1)
                table["separation"][i, j, number] = separation(margins, split.labels[TRAINED:])

    side_by_side(measure, splits, run.threads)
    dimensions = ("condition", "fraction", "split", "network")
    data = xr.Dataset(
        {name: (dimensions, values) for name, values in table.items()},
        coords={"condition": [one.label for one in CONDITIONS], "fraction": list(FRACTIONS)},
    )
    _compare(run, data.mean("network"))
    run.notes += _notes(data)
    return _figure(run.save(data), run.seed)


def _trained(run: Trial, task: Task, condition: Condition, first: int, count: int) -> xr.Dataset:
    return run.train(
        Network((task.dimension, condition.width, 1)), task, Gaussian(gain=GAIN), method=GradientDescent(RATE, STEPS),
        record=Record(steps=(STEPS,), measure=("error", "weights")), networks=count, first_network=first,
        dtype="float32", spectral_decoupling=condition.spectral_decoupling,
    )  # fmt: skip


def _compare(run: Trial, means: xr.Dataset) -> None:
    """Ask questions of every split, whose networks are averaged first: they share their images."""
    splits = means.sizes["split"]
    for condition in CONDITIONS[:-1]:
        part = means.sel(condition=condition.label)
        for name, words, sign in (("error", "a larger error", 1), ("separation", "a smaller separation", -1)):
            values = sign * part[name].values
            change, trend = values[-1] - values[0], rank_trend(values)
            for question, effect in (
                ("at fraction 1 than at 0", change),
                ("the larger the fraction (Kendall's tau)", trend),
            ):
                statement = f"{condition.label}: splits with {words} {question} (> 1/2)"
                run.row(statement, compare_majority(int((effect > 0).sum()), splits))
                if condition == PLAIN:
                    run.must_fail("the cue helps", compare_majority(int((effect < 0).sum()), splits))
    chosen = means["separation"].sel(fraction=REMEDIED)
    gain = (chosen.sel(condition=DECOUPLED.label) - chosen.sel(condition=PLAIN.label)).values
    statement = f"{DECOUPLED.label}, fraction {REMEDIED:g}: splits with a larger separation than without (> 1/2)"
    run.row(statement, compare_majority(int((gain > 0).sum()), splits))


def _notes(data: xr.Dataset) -> tuple[str, ...]:

    def mean(name: str, condition: Condition, fraction: float) -> str:
        values = data[name].sel(condition=condition.label, fraction=fraction).mean("network").values
        return f"{values.mean():.4f} +- {standard_error(values):.4f}"

    measured = "; ".join(
        f"fraction {fraction:g}: error {mean('error', PLAIN, fraction)}, separation"
        f" {mean('separation', PLAIN, fraction)}, with decoupling {mean('error', DECOUPLED, fraction)} and"
        f" {mean('separation', DECOUPLED, fraction)}"
        for fraction in (0.0, REMEDIED, 1.0)
    )
    worst = float(data["train_error"].mean(("split", "network")).max())
    silent = int(np.isnan(data["separation"]).sum())
    return (
        "The settings of the paper's image experiment are not known to us. No theory is known for the size of the"
        " effect: the rows test its direction.",
        f"{PLAIN.label}, on held-out images without the cue (mean over splits, standard error): {measured}."
        f" Mean error on the training images is at most {worst:.4f} in any condition."
        f" {silent} of {data['separation'].size} networks give the same logit to all images: their error counts as 1/2,"
        " and they have no separation.",
        "Most of the rise in error is a shift: images without the cue are taken for the class that never has it. The"
        " separation of the logits, in standard deviations, does not see a shift: what it loses is missing of the"
        " shape.",
        "Decoupling raises the separation wherever some images of the class lack the cue, also without any cue at all:"
        " that is no proof that it mends starvation in particular. Where all carry the cue it lowers it.",
        "Digits, brightness, gain and length were chosen in pilot runs. Multiplying pixels instead of adding to them"
        " changed little: networks without biases are blind to it. The separation, and the fraction at which"
        " decoupling is tested, were chosen after a pilot.",
        f"Splits are of the same 357 images: the trials are {data.sizes['split']} random divisions, not new images.",
    )


def _figure(data: xr.Dataset, seed: int) -> Figure:
    made, (error, shape, remedy) = plot.figure(
        ("Error on images without the cue", "Separation: the shape alone", "Spectral decoupling")
    )
    for condition, colour, marker in zip(CONDITIONS[:-1], plot.COLOURS, "os^D", strict=False):
        _draw(error, data["error"], condition, colour, marker)
        _draw(shape, data["separation"], condition, colour, marker)
    plot.points(error, [], [], color="0.3", label="bars: ±4 s.e. over splits")
    kept = data["train_error"].sel(condition=PLAIN.label).mean(("split", "network")).values
    error.plot(FRACTIONS, kept, color="0.4", ls=":", label=f"training images, {PLAIN.label}")
    for condition, colour, marker in ((PLAIN, plot.COLOURS[0], "o"), (DECOUPLED, plot.COLOURS[1], "s")):
        _draw(remedy, data["separation"], condition, colour, marker)
        values = data["separation"].sel(condition=condition.label).mean("network").values.T
        plot.band(remedy, FRACTIONS, values, color=colour, label="90% of splits")
    for axes, words in ((error, "error"), (shape, "separation of logits, d'"), (remedy, "separation of logits, d'")):
        axes.set(xlabel=f"fraction of the {CLASSES[0]}s made brighter in training", ylabel=f"held-out {words}")
    error.set_ylim(-0.02, 0.8)
    plot.legend(error, fontsize=9.5, loc="upper left")
    legends((shape, remedy), fontsize=9.5)
    _examples(error, seed)
    return made


def _draw(axes: Axes, values: xr.DataArray, condition: Condition, colour: str, marker: str) -> None:
    """Draw the mean over splits with four standard errors; the line only leads the eye."""
    means = values.sel(condition=condition.label).mean("network").values.T
    draw_mean(axes, FRACTIONS, means, color=colour, fmt=f"{marker}-", lw=1, label=condition.label)


def _examples(axes: Axes, seed: int) -> None:
    split = Split.draw(seed, 0)
    plus, minus = (split.images[int(np.argmax(split.labels == label))] for label in (1, -1))
    shown = ((plus, f"{CLASSES[0]}"), (plus + PLAIN.brightness, f"{CLASSES[0]}, cue"), (minus, f"{CLASSES[1]}"))
    for place, (image, words) in enumerate(shown):
        inset = axes.inset_axes((0.03 + 0.17 * place, 0.30, 0.15, 0.2))
        inset.imshow(image.reshape(8, 8), cmap="gray", vmin=0, vmax=1 + PLAIN.brightness)
        inset.set_title(words, fontsize=9)
        inset.set_xticks([])
        inset.set_yticks([])
