"""Claim: a frequent feature keeps the gradient from a rarer one that is as informative."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from scipy.optimize import brentq

from shoal import Explicit, Hinge, Loss, Network, claim, compare_flow, plot
from shoal.claims.learning_dynamics.starvation import connected
from shoal.claims.shared import separate
from shoal.claims.shared.figures import key, legends
from shoal.claims.shared.flows import TOLERANCE
from shoal.claims.shared.runs import far_seed
from shoal.claims.shared.separate import CONFIDENCE, FRACTIONS, LEVEL, START, TIMES, Signed, rare, separate_init
from shoal.claims.trial import Trial
from shoal.verdicts.catch import smallest_bound
from shoal.verdicts.comparison import Comparison
from shoal.verdicts.layout import Floats

NORMS_TOGETHER = (1.0, 0.75)  # of two features that are both in every sample
LOSSES: dict[str, str | Loss] = {
    "cross-entropy": "cross_entropy",
    "hinge": Hinge(threshold=LEVEL),
    "squared": "squared",
    "exponential": "exponential",
}


def random_strengths(networks: int, seed: int) -> Floats:
    """Return strengths (networks, 2) of neurons whose weights are N(0, 0.1^2): sums of squares, feature by feature."""
    weights = np.random.default_rng([seed, 4]).normal(0.0, 0.1, (networks, 2, separate.NEURONS))
    return np.asarray((weights**2).sum(axis=2), float)


@claim(
    "starvation",
    "A frequent feature starves a rarer one: once it fits the samples, no gradient is left for the other.",
    source="arXiv:1809.06848; theory book, chapter 6",
)
def starvation(run: Trial) -> Figure:
    """Compare networks with separate neurons exactly; measure connected ones."""
    run.note(
        f"A training set is fit when every sample of it has confidence {CONFIDENCE:g}. Random initialisations that are"
        f" not fit by time {TIMES[-1]:g} have no confidence then, and are left out of the mean on both sides.",
        "Separate neurons are an assumption of the theory. Features of either sign make it hold in a fully connected"
        " network of two layers; no such arrangement is known for three or more, so the lines of three and four"
        " layers with separate neurons are theory alone.",
        "Neurons shared by both features, as in a fully connected network, starve the rare one less. Relative to its"
        " growth, a deeper network turns more slowly (1/layers) and keeps the direction of its initialisation longer:"
        " from equal strengths that favours the rare feature; from an initialisation that leans to the frequent one"
        " it need not.",
    )
    table = _together(run) | _fractions(run) | _crowd(run) | _hinge(run)
    table |= connected.compare_aligned(run) | connected.measure_ordinary(run)
    run.say("predicting one to four layers")
    coords = {"time": TIMES, "loss": list(LOSSES), "fraction": list(FRACTIONS), "layers": list(connected.DEPTHS)}
    table |= connected.predict_depths()
    return _figure(run.save(xr.Dataset(table, coords=coords | {"line_fraction": connected.LINE})))


def _together(run: Trial) -> dict[str, Any]:
    """Compare networks with both features in every sample: one power law under every loss."""
    signed = Signed(NORMS_TOGETHER, ((0, 1),), (1.0,))
    initial = random_strengths(run.networks(full=256, quick=32), run.seed)
    network, init = separate_init(signed.norms, initial, run.seed)
    power, logs = signed.norms[1] / signed.norms[0], []
    for label, loss in LOSSES.items():
        margins = separate.train_margins(run, network, signed.task, init, TIMES, loss=loss)
        logs.append(np.log(margins[..., -2:] / initial[:, None]))
        first, second = np.moveaxis(logs[-1], -1, 0)
        run.compare_flow(f"power law of two features, {label}", second, power * first, TOLERANCE)
        run.must_fail("norm 2% larger", compare_flow(second, 1.02 * power * first, TOLERANCE))
        run.must_fail("both grow alike", compare_flow(second, first, TOLERANCE))
    return {"together_log": (("loss", "time", "feature"), np.stack(logs)[:, 0])}


def _equal(run: Trial) -> tuple[Floats, Network, Explicit]:
    """Return equal strengths of two features of unit norm, the drawn network's first, and networks of them."""
    initial = separate.equal_strengths(run.networks(full=32, quick=6), run.seed)
    initial[0] = START
    return initial, *separate_init((1.0, 1.0), initial, run.seed)


def _fractions(run: Trial) -> dict[str, Any]:
    """Compare networks with feature 1 in a fraction of the samples: every curve, and the confidence when fit."""
    initial, network, init = _equal(run)
    curves, confidences = [], []
    for fraction in FRACTIONS:
        signed = rare(fraction)
        trained, predicted = signed.task.sample_weight > 0, signed.predicted(initial, TIMES)
        margins = separate.train_margins(run, network, signed.task, init, TIMES)
        run.compare_flow(f"margins, feature 2 in {fraction:g} of the samples", margins, predicted, TOLERANCE)
        more = rare(1.02 * fraction).predicted(initial, TIMES)
        run.must_fail("fraction 2% larger", compare_flow(margins, more, TOLERANCE))
        confidences.append([separate.confidence_when_fit(each, trained, -1) for each in (margins, predicted)])
        curves.append([each[0, :, -2:] for each in (margins, predicted)])
    reached, expected = np.moveaxis(np.array(confidences), 0, -1)
    statement = "confidence on points with feature 2 alone when training is fit"
    run.compare_flow(statement, reached[:, None], expected[:, None], TOLERANCE)
    strengths, dims = np.array(curves), ("fraction", "time", "feature")
    return {
        "strength": (dims, strengths[:, 0]),
        "strength_predicted": (dims, strengths[:, 1]),
        "confidence_separate": (("fraction",), reached[0]),
    }


def _crowd(run: Trial) -> dict[str, Any]:
    """Compare random balanced initialisations: the bound at every time of every network, and the mean confidence."""
    initial = random_strengths(run.networks(full=10_000, quick=1_000), far_seed(run.seed, 1))
    others = random_strengths(run.networks(full=128, quick=32), far_seed(run.seed, 2))
    network, init = separate_init((1.0, 1.0), initial, run.seed)
    logs, reached, expected = np.empty((len(initial), len(TIMES), len(FRACTIONS), 2)), [], []
    for index, fraction in enumerate(FRACTIONS):
        signed = rare(fraction)
        trained = signed.task.sample_weight > 0
        margins = separate.train_margins(run, network, signed.task, init, TIMES)
        logs[:, :, index] = np.log(margins[..., -2:] / initial[:, None])
        reached.append(separate.confidence_when_fit(margins, trained, -1))
        expected.append(separate.confidence_when_fit(signed.predicted(others, TIMES), trained, -1))
    found, drawn = np.stack(reached, axis=1), np.stack(expected, axis=1)
    # An initialisation with hardly any of feature 1 may not be fit in time: left out of both samples.
    drawn = drawn[np.isfinite(drawn).all(axis=1)]
    bound = replace(_bounded(logs, 1.0), catches=smallest_bound(lambda factor: _bounded(logs, factor).passed))
    run.row(f"u2/u20 <= (u1/u10)^fraction, {len(initial)} random networks, all times", bound)
    run.must_fail("exponent 2% smaller", _bounded(logs, 1.02))
    run.compare_samples(f"mean confidence with feature 2 alone when fit, {len(initial)} random networks", found, drawn)
    return {"confidence": (("crowd", "fraction"), found)}


def _bounded(logs: Floats, factor: float) -> Comparison:
    """Return whether ln(u2/u20) stays below ln(u1/u10) fraction/factor; logs (networks, times, fractions, 2)."""
    excess = np.maximum(logs[..., 1] - np.array(FRACTIONS) / factor * logs[..., 0], 0.0)
    # What the flow may be off in a logarithm is its tolerance on the strength itself.
    return compare_flow(excess, np.zeros_like(excess), tolerance=TOLERANCE, bias=2 * TOLERANCE)


def frozen_strength(initial: float, fraction: float) -> float:
    """Return where the hinge leaves feature 2: u2 = u0 (u1/u0)^fraction at u1 + u2 = threshold.

    Until then every residual is 1, so that the bound holds with equality.
    """
    strongest = brentq(lambda u: u + initial * (u / initial) ** fraction - LEVEL, initial, LEVEL, xtol=1e-15)
    return float(LEVEL - strongest)


def _hinge(run: Trial) -> dict[str, Any]:
    """Compare the same initialisations under the hinge: feature 2 stops; under cross-entropy it never does."""
    fraction = FRACTIONS[2]
    signed, threshold = rare(fraction), Hinge(threshold=LEVEL)
    initial, network, init = _equal(run)
    margins = separate.train_margins(run, network, signed.task, init, TIMES, loss=threshold)
    predicted = signed.predicted(initial, TIMES, threshold)
    stop = np.array([signed.theory(one, threshold).time(0, LEVEL) for one in initial], float)
    after = TIMES >= stop[:, None]
    gained = margins[..., -1] - margins[np.arange(len(initial)), after.argmax(axis=1), -1][:, None]
    level = np.array([frozen_strength(one, fraction) for one in initial[:, 0]])
    run.compare_flow("margins under the hinge", margins, predicted, TOLERANCE)
    run.must_fail("formula of cross-entropy", compare_flow(margins, signed.predicted(initial, TIMES), TOLERANCE))
    statement = "hinge: strength at which feature 2 stops, u0 (u1/u0)^fraction at the threshold"
    run.compare_flow(statement, margins[:, -1:, -1], level[:, None], TOLERANCE)
    statement = "hinge: what feature 2 gains once its samples are satisfied"
    run.compare_flow(statement, gained, 0.0, TOLERANCE, where=after)
    names = {"hinge_strength": margins, "hinge_strength_predicted": predicted}
    return {name: (("time", "feature"), values[0, :, -2:]) for name, values in names.items()}


def _figure(data: xr.Dataset) -> Figure:
    titles = ("One power law under every loss", "Once feature 1 fits, feature 2 is starved")
    fit = ("Separate neurons: depth starves more", "Shared neurons: depth starves less")
    made, (power, curves, alone, shared) = plot.figure((*titles, *fit), width=4.9, height=4.1, rows=2)
    logs = data["together_log"].values
    for k, (log, label, colour) in enumerate(zip(logs, LOSSES, plot.COLOURS, strict=False)):
        # Equal steps along the path, another phase for each loss, so that no marker hides another.
        shown = np.searchsorted(log[:, 0], np.arange(0.2 * k, log[-1, 0], 0.8)).clip(max=len(log) - 1)
        plot.points(power, *np.exp(log[shown]).T, color=colour, fmt="os^D"[k], label=label)
    span, exponent = np.linspace(0, logs[..., 0].max(), 50), NORMS_TOGETHER[1] / NORMS_TOGETHER[0]
    label = f"theory: power {exponent:g}"
    plot.theory(power, np.exp(span), np.exp(exponent * span), color="0.3", lw=1.5, zorder=2, label=label)
    power.set(xscale="log", yscale="log", xlabel="growth of feature 1, u1/u10", ylabel="growth of feature 2, u2/u20")
    half = data.sel(fraction=FRACTIONS[2])
    for name, label, colour in (("", "cross-entropy", plot.COLOURS[0]), ("hinge_", "hinge", plot.COLOURS[1])):
        measured, predicted = half[f"{name}strength"].values, half[f"{name}strength_predicted"].values
        for feature, line, marker in ((0, "--", "s"), (1, "-", "o")):
            plot.points(curves, TIMES[1::5], measured[1::5, feature], color=colour, fmt=marker)
            words = f"{label}, feature {feature + 1}"
            plot.theory(curves, TIMES[1:], predicted[1:, feature], color=colour, ls=line, label=words)
    key(curves)
    xlabel = f"time; feature 2 in {FRACTIONS[2]:.0%} of samples"
    curves.set(xscale="log", yscale="log", xlabel=xlabel, ylabel="strength u", ylim=(0.008, 12))
    fractions, lines = np.array(FRACTIONS), data["line_fraction"].values
    for layers, colour, marker in zip(connected.DEPTHS, plot.COLOURS, "os^D", strict=False):
        part, label = data.sel(layers=layers), f"{layers} layer{'s'[: layers - 1]}"
        # Dashed where no training realises the theory.
        style = {"color": colour, "ls": "-" if layers < 3 else "--", "label": label + ", theory" * (layers > 2)}
        plot.theory(alone, lines, part["confidence_separate_predicted"], **style)
        plot.theory(shared, lines, part["confidence_shared_predicted"], color=colour, label=label)
        plot.points(shared, fractions, part["confidence_aligned"], color=colour, fmt=marker)
        kept = part["ordinary"].values
        error = 4 * np.nanstd(kept, axis=1, ddof=1) / np.sqrt(np.isfinite(kept).sum(axis=1))
        plot.points(shared, fractions + 0.03, np.nanmean(kept, axis=1), error=error, color=colour, fmt="x")
    key(shared, "parallel neurons")
    key(shared, "ordinary, ±4 s.e.", fmt="x")
    plot.points(alone, fractions, data["confidence_aligned"].sel(layers=1), color=plot.COLOURS[0])
    plot.points(alone, fractions, data["confidence_separate"], color=plot.COLOURS[1], fmt="s")
    key(alone, "trained")
    crowd = data["confidence"].values
    crowd = crowd[np.isfinite(crowd).all(axis=1)]
    plot.band(alone, fractions, crowd, color=plot.COLOURS[1], label="90% of networks")
    alone.axhline(CONFIDENCE, color="0.5", lw=1.2, ls=":", label="training samples")
    for axes, place, limits in ((alone, "upper left", (0.48, 1.24)), (shared, "lower right", (0.4, 1.0))):
        axes.set(xlabel="fraction of samples with feature 2", ylabel="confidence on feature 2 alone")
        axes.set(xlim=(0, 1), ylim=limits, yticks=np.arange(0.5, 1.01, 0.1))
        plot.legend(axes, fontsize=10, loc=place, ncols=2)
    legends((power, curves), fontsize=10)
    return made
