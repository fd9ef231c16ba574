"""Claim: a frequent feature keeps the gradient from a rarer one that is as informative.

Networks with separate neurons for each feature: see ``separate.py``.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.optimize import brentq

from shoal import Hinge, Loss, plot
from shoal.claims.claim import claim
from shoal.claims.shared.connected import DEPTHS, compare_aligned, measure_ordinary, predict_depths
from shoal.claims.shared.figures import key, legends
from shoal.claims.shared.flows import TOLERANCE
from shoal.claims.shared.runs import far_seed
from shoal.claims.shared.separate import (
    CONFIDENCE,
    LEVEL,
    NEURONS,
    Signed,
    confidence_when_fit,
    equal_strengths,
    separate_init,
    train_margins,
)
from shoal.claims.trial import Trial
from shoal.verdicts.catch import smallest_bound
from shoal.verdicts.comparison import Comparison, compare_flow
from shoal.verdicts.layout import Floats

TIMES = np.concatenate([[0.0], np.geomspace(1.0, 200.0, 120)])
TYPES = ((0, 1), (0,))
"""Feature 0 in every sample, feature 1 in a fraction of them."""
FRACTIONS = (0.1, 0.3, 0.5, 0.7, 0.9)
NORMS_TOGETHER = (1.0, 0.75)
"""Norms of two features that are both in every sample."""
LOSSES: dict[str, str | Loss] = {
    "cross-entropy": "cross_entropy",
    "hinge": Hinge(threshold=LEVEL),
    "squared": "squared",
    "exponential": "exponential",
}
START = 0.03
"""Initial strength of each feature in the curves that are drawn; root mean square logit of connected ones."""


def random_strengths(networks: int, seed: int) -> Floats:
    """Return strengths (networks, 2) of neurons whose weights are N(0, 0.1^2): sums of squares, feature by feature."""
    weights = np.random.default_rng([seed, 4]).normal(0.0, 0.1, (networks, 2, NEURONS))
    return np.asarray((weights**2).sum(axis=2), float)


def rare(fraction: float) -> Signed:
    """Return the task with feature 1 in a fraction of the samples, unit norms."""
    return Signed((1.0, 1.0), TYPES, (fraction, 1 - fraction))


@claim(
    "starvation",
    "A frequent feature starves a rarer one: once it fits the samples, no gradient is left for the other.",
    source="arXiv:1809.06848; theory book, chapter 6",
)
def starvation(run: Trial) -> Figure:
    """Compare networks with separate neurons exactly; measure connected ones."""
    run.note(
        f"A training set is fit when every sample of it has confidence {CONFIDENCE:g}. Random initialisations that are"
        f" not fit by time {TIMES[-1]:g} have no confidence then, and are left out of the mean on both sides."
    )
    run.note(
        "Separate neurons are an assumption of the theory. Features of either sign make it hold in a fully connected"
        " network of two layers; no such arrangement is known to us for three or more, so the lines of three and four"
        " layers with separate neurons are theory alone."
    )
    run.note(
        "Neurons shared by both features, as in a fully connected network, starve the rare one less. Relative to its"
        " growth, a deeper network turns more slowly (1/layers) and keeps the direction of its initialisation longer:"
        " from equal strengths that favours the rare feature; from an initialisation that leans to the frequent one"
        " it need not."
    )
    separate = _together(run), _fractions(run), _crowd(run), _hinge(run)
    connected = compare_aligned(run, FRACTIONS, TIMES, START), measure_ordinary(run, FRACTIONS, TIMES, START)
    run.say("predicting one to four layers")
    parts = (*separate, *connected, predict_depths(START, LEVEL))
    return _figure(run.save(xr.merge(parts, combine_attrs="drop")))


def _together(run: Trial) -> xr.Dataset:
    """Compare networks with both features in every sample: one power law under every loss."""
    signed = Signed(NORMS_TOGETHER, ((0, 1),), (1.0,))
    initial = random_strengths(run.networks(full=256, quick=32), run.seed)
    network, init = separate_init(signed.norms, initial, run.seed)
    logs = []
    for label, loss in LOSSES.items():
        margins = train_margins(run, network, signed.task, init, TIMES, loss=loss)
        logs.append(np.log(margins[..., -2:] / initial[:, None]))
        first, second = np.moveaxis(logs[-1], -1, 0)
        power = signed.norms[1] / signed.norms[0]
        run.compare_flow(f"power law of two features, {label}", second, power * first, tolerance=TOLERANCE)
        run.must_fail("norm 2% larger", compare_flow(second, 1.02 * power * first, tolerance=TOLERANCE))
        run.must_fail("both grow alike", compare_flow(second, first, tolerance=TOLERANCE))
    table = {"together_log": (("loss", "time", "feature"), np.stack(logs)[:, 0])}
    return xr.Dataset(table, coords={"time": TIMES, "loss": list(LOSSES)})


def _fractions(run: Trial) -> xr.Dataset:
    """Compare networks with feature 1 in a fraction of the samples: every curve, and the confidence when fit."""
    initial = equal_strengths(run.networks(full=32, quick=6), run.seed)
    initial[0] = START
    network, init = separate_init((1.0, 1.0), initial, run.seed)
    curves, lines, reached, expected = [], [], [], []
    for fraction in FRACTIONS:
        signed = rare(fraction)
        trained = signed.task.sample_weight > 0
        margins = train_margins(run, network, signed.task, init, TIMES)
        predicted = signed.predicted(initial, TIMES)
        run.compare_flow(f"margins, feature 2 in {fraction:g} of the samples", margins, predicted, tolerance=TOLERANCE)
        more = rare(1.02 * fraction).predicted(initial, TIMES)
        run.must_fail("fraction 2% larger", compare_flow(margins, more, tolerance=TOLERANCE))
        reached.append(confidence_when_fit(margins, trained, -1))
        expected.append(confidence_when_fit(predicted, trained, -1))
        curves.append(margins[0, :, -2:])
        lines.append(predicted[0, :, -2:])
    when = compare_flow(np.stack(reached, axis=1)[:, None], np.stack(expected, axis=1)[:, None], tolerance=TOLERANCE)
    run.row("confidence on points with feature 2 alone when training is fit", when)
    table = {
        "strength": (("fraction", "time", "feature"), np.stack(curves)),
        "strength_predicted": (("fraction", "time", "feature"), np.stack(lines)),
        "confidence_separate": (("fraction",), np.stack(reached)[:, 0]),
    }
    return xr.Dataset(table, coords={"time": TIMES, "fraction": list(FRACTIONS)})


def _crowd(run: Trial) -> xr.Dataset:
    """Compare random balanced initialisations: the bound at every time of every network, and the mean confidence."""
    initial = random_strengths(run.networks(full=10_000, quick=1_000), far_seed(run.seed, 1))
    others = random_strengths(run.networks(full=128, quick=32), far_seed(run.seed, 2))
    network, init = separate_init((1.0, 1.0), initial, run.seed)
    logs, reached, expected = np.empty((len(initial), len(TIMES), len(FRACTIONS), 2)), [], []
    for index, fraction in enumerate(FRACTIONS):
        signed = rare(fraction)
        trained = signed.task.sample_weight > 0
        margins = train_margins(run, network, signed.task, init, TIMES)
        logs[:, :, index] = np.log(margins[..., -2:] / initial[:, None])
        reached.append(confidence_when_fit(margins, trained, -1))
        expected.append(confidence_when_fit(signed.predicted(others, TIMES), trained, -1))
    found, drawn = np.stack(reached, axis=1), np.stack(expected, axis=1)
    # An initialisation with hardly any of feature 1 may not be fit in time: left out of both samples.
    drawn = drawn[np.isfinite(drawn).all(axis=1)]
    bound = replace(_bounded(logs, 1.0), catches=smallest_bound(lambda factor: _bounded(logs, factor).passed))
    run.row(f"u2/u20 <= (u1/u10)^fraction, {len(initial)} random networks, all times", bound)
    run.must_fail("exponent 2% smaller", _bounded(logs, 1.02))
    statement = f"mean confidence with feature 2 alone when fit, {len(initial)} random networks"
    run.compare_samples(statement, found, drawn)
    table = {"confidence": (("network", "fraction"), found)}
    return xr.Dataset(table, coords={"fraction": list(FRACTIONS)}).rename(network="crowd")


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


def _hinge(run: Trial) -> xr.Dataset:
    """Compare the same initialisations under the hinge: feature 2 stops for good where cross-entropy goes on slowly."""
    fraction = FRACTIONS[2]
    signed, threshold = rare(fraction), Hinge(threshold=LEVEL)
    initial = equal_strengths(run.networks(full=32, quick=6), run.seed)
    initial[0] = START
    network, init = separate_init(signed.norms, initial, run.seed)
    margins = train_margins(run, network, signed.task, init, TIMES, loss=threshold)
    predicted = signed.predicted(initial, TIMES, threshold)
    stop = np.array([signed.theory(one, threshold).time(0, LEVEL) for one in initial], float)
    after = TIMES >= stop[:, None]
    gained = margins[..., -1] - margins[np.arange(len(initial)), after.argmax(axis=1), -1][:, None]
    level = np.array([frozen_strength(one, fraction) for one in initial[:, 0]])
    run.compare_flow("margins under the hinge", margins, predicted, tolerance=TOLERANCE)
    soft = signed.predicted(initial, TIMES)
    run.must_fail("formula of cross-entropy", compare_flow(margins, soft, tolerance=TOLERANCE))
    statement = "hinge: strength at which feature 2 stops, u0 (u1/u0)^fraction at the threshold"
    run.compare_flow(statement, margins[:, -1:, -1], level[:, None], tolerance=TOLERANCE)
    statement = "hinge: what feature 2 gains once its samples are satisfied"
    run.compare_flow(statement, gained, np.zeros_like(gained), where=after, tolerance=TOLERANCE)
    table = {
        "hinge_strength": (("time", "feature"), margins[0, :, -2:]),
        "hinge_strength_predicted": (("time", "feature"), predicted[0, :, -2:]),
    }
    return xr.Dataset(table, coords={"time": TIMES})


def _figure(data: xr.Dataset) -> Figure:
    made, (power, curves, separate, connected) = plot.figure(
        (
            "Both features in every sample",
            f"Feature 2 in {FRACTIONS[2]:g} of the samples",
            "When fit: separate neurons",
            "When fit: fully connected",
        ),
        width=5.0,
    )
    _draw_power(power, data)
    _draw_curves(curves, data)
    fractions, lines = np.array(FRACTIONS), data["line_fraction"].values
    for layers, colour, marker in zip(DEPTHS, plot.COLOURS, "os^D", strict=False):
        part, label = data.sel(layers=layers), f"{layers} layer{'s'[: layers - 1]}, theory"
        style = {"color": colour, "label": label}
        # Dashed where no training realises the theory.
        plot.theory(separate, lines, part["confidence_separate_predicted"], ls="-" if layers < 3 else "--", **style)
        plot.theory(connected, lines, part["confidence_shared_predicted"], **style)
        plot.points(connected, fractions, part["confidence_aligned"], color=colour, fmt=marker)
        kept = part["ordinary"].values
        error = 4 * np.nanstd(kept, axis=1, ddof=1) / np.sqrt(np.isfinite(kept).sum(axis=1))
        plot.points(connected, fractions + 0.03, np.nanmean(kept, axis=1), error=error, color=colour, fmt="x")
    key(connected, "trained, parallel neurons")
    key(connected, "ordinary initialisations, mean ±4 s.e.", fmt="x")
    plot.points(separate, fractions, data["confidence_aligned"].sel(layers=1), color=plot.COLOURS[0])
    plot.points(separate, fractions, data["confidence_separate"], color=plot.COLOURS[1], fmt="s")
    key(separate, "trained (dashed: theory alone)")
    crowd = data["confidence"].values
    crowd = crowd[np.isfinite(crowd).all(axis=1)]
    plot.band(separate, fractions, crowd, color=plot.COLOURS[1], label="2 layers, 90% of initialisations")
    for axes in (separate, connected):
        axes.axhline(CONFIDENCE, color="0.5", lw=1.2, ls=":")
        axes.set(xlabel="fraction of samples with feature 2", ylim=(0.48, 1.02), xlim=(0, 1))
        axes.set_ylabel("confidence, feature 2 alone")
    connected.plot([], [], color="0.5", lw=1.2, ls=":", label="training samples, at least")
    legends((power, curves, separate, connected), fontsize=9.5)
    return made


def _draw_power(axes: Axes, data: xr.Dataset) -> None:
    logs = data["together_log"].values
    for log, label, colour, marker in zip(logs, LOSSES, plot.COLOURS, "os^D", strict=False):
        # Equal steps along the path, another phase for each loss, so that no marker hides another.
        reach = np.arange(0.2 * "os^D".index(marker), log[-1, 0], 0.8)
        shown = np.minimum(np.searchsorted(log[:, 0], reach), len(log) - 1)
        plot.points(axes, np.exp(log[shown, 0]), np.exp(log[shown, 1]), color=colour, fmt=marker, label=label)
    span = np.linspace(0, logs[..., 0].max(), 50)
    power = NORMS_TOGETHER[1] / NORMS_TOGETHER[0]
    label = f"theory: power {power:g}"
    plot.theory(axes, np.exp(span), np.exp(power * span), color="0.3", lw=1.5, zorder=2, label=label)
    axes.set(xscale="log", yscale="log", xlabel="growth of feature 1, u1/u10", ylabel="growth of feature 2, u2/u20")


def _draw_curves(axes: Axes, data: xr.Dataset) -> None:
    chosen = data.sel(fraction=FRACTIONS[2])
    for name, label, colour in (("", "cross-entropy", plot.COLOURS[0]), ("hinge_", "hinge", plot.COLOURS[1])):
        measured, predicted = chosen[f"{name}strength"].values, chosen[f"{name}strength_predicted"].values
        for feature, style, marker in ((0, "--", "s"), (1, "-", "o")):
            plot.points(axes, TIMES[1::5], measured[1::5, feature], color=colour, fmt=marker)
            words = f"{label}, feature {feature + 1}"
            plot.theory(axes, TIMES[1:], predicted[1:, feature], color=colour, ls=style, label=words)
    key(axes)
    axes.set(xscale="log", yscale="log", xlabel="time", ylabel="strength u")
