"""Claim: on real images, a spurious bright background starves the shape of the digit.

No theory predicts these networks: the direction of the effect is tested.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from shoal import Gaussian, GradientDescent, Network, Record, Task, claim, plot, predict, tasks
from shoal.claims.shared.figures import draw_mean, legends, standard_error
from shoal.claims.shared.runs import rank_trend, side_by_side
from shoal.claims.trial import Trial
from shoal.verdicts.comparison import Comparison
from shoal.verdicts.layout import Floats, Integers
from shoal.verdicts.proportion import compare_majority

CLASSES = (3, 8)  # label +1, of which images are made brighter, and label -1
TRAINED = 200  # images trained on; the others, 157, are held out and never made brighter
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
        decoupling = f", decoupling {self.spectral_decoupling:g}" if self.spectral_decoupling else ""
        return f"{self.width} units, +{self.brightness:g}{decoupling}"


PLAIN, DECOUPLED = Condition(8, 0.5), Condition(8, 0.5, 0.1)
CONDITIONS = (PLAIN, Condition(4, 0.5), Condition(16, 0.5), Condition(8, 0.25), DECOUPLED)
REMEDIED = 0.9  # fraction at which spectral decoupling is compared with training without it


class Split:
    """Images (samples, 64) in random order: the first `TRAINED` are trained on, the others held out."""

    def __init__(self, seed: int, number: int) -> None:
        task = tasks.digits(CLASSES)
        order = np.random.default_rng([seed, number]).permutation(task.samples)
        self.images, self.labels = task.inputs[order], task.labels[order]

    def task(self, fraction: float, brightness: float) -> Task:
        """Return the training images, a fraction of those of label +1 brighter; more of them at a larger fraction."""
        images, labels = self.images[:TRAINED].copy(), self.labels[:TRAINED]
        first = np.flatnonzero(labels == 1)
        images[first[: round(fraction * len(first))]] += brightness
        return Task(images, labels)

    def margins(self, data: xr.Dataset) -> Floats:
        """Return the margins (networks, images) of trained networks on the held-out images, without the cue."""
        return np.asarray(predict(data, self.images[TRAINED:]).values * self.labels[TRAINED:])


def separation(margins: Floats, labels: Integers) -> Floats:
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
    names = ("train_error", "error", "separation")
    found = np.empty((len(names), len(CONDITIONS), len(FRACTIONS), splits, count))

    def measure(number: int) -> None:
        split = Split(run.seed, number)
        for i, j in np.ndindex(len(CONDITIONS), len(FRACTIONS)):
            condition, task = CONDITIONS[i], split.task(FRACTIONS[j], CONDITIONS[i].brightness)
            data = run.train(
                Network((task.dimension, condition.width, 1)), task, Gaussian(gain=GAIN),
                method=GradientDescent(RATE, STEPS), record=Record(steps=(STEPS,), measure=("error", "weights")),
                networks=count, first_network=number * count, dtype="float32",
                spectral_decoupling=condition.spectral_decoupling,
            )  # fmt: skip
            margins = split.margins(data)
            error = ((margins < 0) + 0.5 * (margins == 0)).mean(axis=1)
            apart = separation(margins, split.labels[TRAINED:])
            found[:, i, j, number] = data["error"].values[:, -1], error, apart

    side_by_side(measure, splits, run.threads)
    dimensions = ("condition", "fraction", "split", "network")
    coords = {"condition": [one.label for one in CONDITIONS], "fraction": list(FRACTIONS)}
    table = {name: (dimensions, values) for name, values in zip(names, found, strict=True)}
    data = run.save(xr.Dataset(table, coords=coords))
    _compare(run, data.mean("network"))

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
    run.note(
        "The settings of the paper's image experiment are not known. No theory is known for the size of the"
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
    return _figure(data, run.seed)


def _compare(run: Trial, means: xr.Dataset) -> None:
    """Ask questions of every split, whose networks are averaged first: they share their images."""
    splits = means.sizes["split"]

    def majority(effect: Floats) -> Comparison:
        return compare_majority(int((effect > 0).sum()), splits)

    for condition in CONDITIONS[:-1]:
        part = means.sel(condition=condition.label)
        for name, words, sign in (("error", "a larger error", 1), ("separation", "a smaller separation", -1)):
            values = sign * part[name].values
            for question, effect in (
                ("at fraction 1 than at 0", values[-1] - values[0]),
                ("the larger the fraction (Kendall's tau)", rank_trend(values)),
            ):
                run.row(f"{condition.label}: splits with {words} {question} (> 1/2)", majority(effect))
                if condition == PLAIN:
                    run.must_fail("the cue helps", majority(-effect))
    chosen = means["separation"].sel(fraction=REMEDIED)
    gain = (chosen.sel(condition=DECOUPLED.label) - chosen.sel(condition=PLAIN.label)).values
    statement = f"{DECOUPLED.label}, fraction {REMEDIED:g}: splits with a larger separation than without (> 1/2)"
    run.row(statement, majority(gain))


def _figure(data: xr.Dataset, seed: int) -> Figure:
    titles = ("A frequent cue raises the error", "The cue starves the shape", "Decoupling helps if some lack the cue")
    made, (error, shape, remedy) = plot.figure(titles, width=4.8, height=4.4)
    means = data.mean("network")
    for k, (condition, colour, marker) in enumerate(zip(CONDITIONS, plot.COLOURS, "os^Dv", strict=False)):
        part, at = means.sel(condition=condition.label), np.array(FRACTIONS) + 0.012 * (k - 1.5)
        # The line only leads the eye.
        style = {"color": colour, "fmt": f"{marker}-", "lw": 1, "label": condition.label}
        if condition != DECOUPLED:
            draw_mean(error, at, part["error"].values.T, **style)
            draw_mean(shape, at, part["separation"].values.T, **style)
        if condition in (PLAIN, DECOUPLED):
            draw_mean(remedy, FRACTIONS, part["separation"].values.T, **style)
            label = "bands: 90% of splits" if condition == DECOUPLED else None
            plot.band(remedy, FRACTIONS, part["separation"].values.T, color=colour, label=label)
    kept = means["train_error"].sel(condition=PLAIN.label).mean("split")
    error.plot(FRACTIONS, kept, color="0.4", ls=":", label=f"training images, {PLAIN.label}")
    for axes, words in ((error, "error"), (shape, "separation of logits, d'"), (remedy, "separation of logits, d'")):
        plot.points(axes, [], [], color="0.3", label="bars: ±4 s.e. over splits")
        axes.set(xlabel=f"fraction of {CLASSES[0]}s made brighter in training", ylabel=f"held-out {words}")
    error.set_ylim(-0.02, 0.9)
    plot.legend(error, fontsize=10, loc="upper left")
    legends((shape, remedy), fontsize=10)
    split = Split(seed, 0)
    plus, minus = (split.images[int(np.argmax(split.labels == label))] for label in (1, -1))
    shown = ((plus, f"{CLASSES[0]}"), (plus + PLAIN.brightness, f"{CLASSES[0]}, cue"), (minus, f"{CLASSES[1]}"))
    for place, (image, words) in enumerate(shown):
        inset = error.inset_axes((0.03 + 0.18 * place, 0.27, 0.15, 0.2))
        inset.imshow(image.reshape(8, 8), cmap="gray", vmin=0, vmax=1 + PLAIN.brightness)
        inset.set_title(words, fontsize=10)
        inset.set(xticks=[], yticks=[])
    return made
