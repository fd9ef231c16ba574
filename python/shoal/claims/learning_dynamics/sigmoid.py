"""Claim: the error of a nonlinear network falls as the predicted sigmoid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from scipy.special import expit

from shoal import Network, Separated, claim, plot, tasks, theory
from shoal.claims.shared.figures import key, legends, standard_error, ticks
from shoal.claims.shared.flows import TOLERANCE, compare_slope, flow, shifted, spread
from shoal.claims.shared.runs import Plan, far_seed
from shoal.claims.trial import Trial
from shoal.verdicts.layout import Flags, Floats

TASK = tasks.modes(norms=(1.7, 0.9), frequencies=(0.6, 0.4))
NEURONS = 3  # hidden units that serve each mode
PLAN = Plan(
    Network((TASK.dimension, NEURONS * TASK.samples, 1)), TASK, Separated(0.05), "cross_entropy", rate=0.08, steps=800,
    every=10, measure=("error", "soft_error", "margin", "active"),
)  # fmt: skip


def predicted_margins(weights: Sequence[Floats], times: Floats, loss: str = "cross_entropy") -> Floats:
    """Return the margins that theory predicts from initial weights, (networks, times, samples) float64."""
    return np.asarray(theory.separated_margins(weights, TASK, loss, times), float)


def soft_error(margins: Floats) -> Floats:
    """Return the mean of 1 - sigmoid(margin) over the samples, (networks, times)."""
    return np.asarray(expit(-margins) @ TASK.sample_weight)


def zero_one_error(margins: Floats) -> Floats:
    """Return the 0-1 error, (networks, times); a margin of 0 is half an error."""
    return np.asarray(((margins < 0) + 0.5 * (margins == 0)) @ TASK.sample_weight)


@claim(
    "sigmoid",
    "The error of a nonlinear network falls as a sigmoid that its initial weights predict.",
    source="arXiv:1809.06848; theory book, chapters 1-3",
)
def sigmoid(run: Trial) -> Figure:
    """Compare network by network, and means over independent random networks."""
    count = run.networks(full=2000, quick=400)
    runs = PLAN.three(run, count)
    run.say(f"predicting {count} networks from their initial weights")
    weights = _initial_weights(run, count, run.seed)
    margins = predicted_margins(weights, PLAN.times)
    smooth = runs.smooth()
    # A mode that dies has a margin near 0 at a few records only, at which the last correction of the extrapolation can
    # vanish by accident: its supremum bounds the error where a mode is learnt. Gradient flow, below, has them all.
    learnt = np.asarray((runs.stack("margin")[:, :, -1] > 0).all(axis=0))
    of_modes = smooth[:, :, None] & learnt[:, None]
    some = np.asarray(of_modes.any(axis=2))
    run.row("margin of each network and mode that is learnt", runs.compare("margin", margins, of_modes))
    hinge = predicted_margins(weights, PLAN.times, "hinge")
    run.must_fail("formula of the hinge loss", runs.compare("margin", hinge, of_modes))
    run.row("soft error of each network", runs.compare("soft_error", soft_error(margins), some))
    faster = soft_error(predicted_margins(weights, 1.02 * PLAN.times))
    run.must_fail("clock 2% faster", runs.compare("soft_error", faster, some))

    # Gradient flow finds the times of death, so that no point is left out.
    flowing = flow(run, PLAN.network, TASK, PLAN.init, PLAN.times, networks=count, measure=("soft_error", "margin"))
    others = [predicted_margins(start, PLAN.times) for start in shifted(weights, TASK)]
    for name, words, read in (("margin", "margin", np.asarray), ("soft_error", "soft error", soft_error)):
        expected, bias = read(margins), spread(read(margins), *(read(other) for other in others))
        statement = f"{words}, gradient flow, deaths included"
        run.compare_flow(statement, flowing[name].values, expected, TOLERANCE, bias=bias)
    steady = smooth.all(axis=1)
    if steady.any():  # None of a few networks may be free of deaths, and then there is no slope to tell.
        slope = compare_slope(runs.stack("margin")[:, steady], flowing["margin"].values[steady])
        run.row("slope in the rate with which descent tends to flow", slope)

    table = _compare_random(run)
    left, dead = 1 - smooth.mean(), 1 - learnt.mean()
    run.note(
        f"Rows at three rates leave out {left:.1%} of the points, next to a neuron's death, and the {dead:.1%} of the"
        " modes that are not learnt. The rows of gradient flow leave out nothing.",
        f"The slope is of the {steady.mean():.0%} of networks in which no neuron changes sides.",
        "The initialisation is separated (each neuron active on one mode); this formula holds for no other.",
    )
    table["soft_error"] = (("network", "time"), runs.quarter["soft_error"].values)
    table["soft_error_predicted"] = (("network", "time"), soft_error(margins))
    data = run.save(xr.Dataset(table, coords={"time": PLAN.times}))
    gaps = np.where(smooth[:, :, None], np.abs(runs.stack("margin") - margins), 0).max(axis=2)
    return _figure(data, gaps, (margins[:, -1] == 0).any(axis=1))


def _compare_random(run: Trial) -> dict[str, Any]:
    """Compare means over independent random networks, and which modes die; return the means."""
    many, crowd = run.networks(full=10_000, quick=10_000), far_seed(run.seed, 1)
    coarse, fine = (PLAN.train(run, many, refine=refine, seed=crowd) for refine in (1, 2))
    run.say(f"predicting {many} other random networks")
    expected = predicted_margins(_initial_weights(run, many, far_seed(run.seed, 2)), PLAN.times)
    # The fall and not the error, which is near 1/2 in every network at first: a theory is not right by that. The bias
    # of the finer run is what halving the rate moved.
    table: dict[str, Any] = {}
    for name, words, read in (("soft_error", "soft", soft_error), ("error", "0-1", zero_one_error)):
        found, predicted = fine[name].values, read(expected)
        bias = np.abs(coarse[name].values.mean(axis=0) - found.mean(axis=0))
        statement = f"mean fall of the {words} error, {many} random networks"
        run.compare_samples(statement, 0.5 - found, 0.5 - predicted, bias=bias)
        table[f"mean_{name}"] = (("time",), found.mean(axis=0))
        table[f"mean_{name}_standard_error"] = (("time",), standard_error(found))
        table[f"mean_{name}_predicted"] = (("time",), predicted.mean(axis=0))

    last = fine["margin"].values[:, -1]
    decided = last >= 0
    fails = theory.separated_deaths(_initial_weights(run, many, crowd), TASK, "cross_entropy").failed
    wrong = (fails != (last == 0)) & decided
    statement = f"fraction of modes whose neuron deaths theory gets wrong, {many} random networks"
    run.compare_fraction(statement, int(wrong.sum()), int(decided.sum()), 0.0)
    run.note(
        f"A mode that has died is at margin exactly 0: {(last == 0).mean():.2%} have, and 4^-{NEURONS} is"
        f" {4.0**-NEURONS:.2%}. {1 - decided.mean():.2%} were undecided at the end: no row counts them."
    )
    return table


def _initial_weights(run: Trial, networks: int, seed: int) -> Sequence[Floats]:
    return PLAN.init.draw(PLAN.network, TASK, networks=networks, seed=seed, threads=run.threads).weights


def _figure(data: xr.Dataset, gaps: Floats, died: Flags) -> Figure:
    """Draw single networks, means, and the suprema over time of |margin - theory|, ``gaps`` (3, networks, samples)."""
    titles = ("Single networks fall as theory says", "So does the mean of random networks")
    made, (single, mean, bias) = plot.figure((*titles, "Descent's bias halves with the rate"), width=4.6, height=4.2)
    order = np.argsort(data["soft_error_predicted"].values[:, -1])
    quantiles = {0.05: "5% quantile", 0.5: "median", 0.9: "90% quantile", 1.0: "largest"}
    for colour, marker, (quantile, words) in zip(plot.COLOURS, "os^D", quantiles.items(), strict=False):
        network = order[int(quantile * (len(order) - 1))]
        label = f"final error: {words}" + ", a mode died" * bool(died[network])
        one = data.isel(network=network)
        plot.points(single, PLAN.times[::2], one["soft_error"].values[::2], color=colour, fmt=marker)
        plot.theory(single, PLAN.times, one["soft_error_predicted"], color=colour, label=label)
    key(single)
    single.set(xlabel="time (step x rate)", ylabel="soft error, 1 - sigmoid(margin)", ylim=(-0.02, 0.85))
    for colour, name, label in ((plot.COLOURS[0], "soft_error", "soft error"), (plot.COLOURS[1], "error", "0-1 error")):
        measured, error = (data[f"mean_{name}{end}"].values[::2] for end in ("", "_standard_error"))
        plot.points(mean, PLAN.times[::2], measured, error=4 * error, color=colour, label=f"{label}, ±4 s.e.")
        plot.theory(mean, PLAN.times, data[f"mean_{name}_predicted"], color=colour, label=f"{label}, theory")
    mean.set(xlabel="time (step x rate)", ylabel="mean error", ylim=(-0.02, None))
    rates = PLAN.rate / np.array([1, 2, 4])
    for colour, words, over in ((plot.COLOURS[1], "largest", np.max), (plot.COLOURS[0], "median", np.median)):
        measured = over(gaps, axis=(1, 2))
        plot.points(bias, rates, measured, color=colour, label=f"{words} over networks")
        plot.theory(bias, rates, measured[-1] * rates / rates[-1], color="0.3")
    plot.theory(bias, [], [], color="0.3", label="slope 1: halves with the rate")
    bias.set(xscale="log", yscale="log", xlabel="learning rate", ylabel="sup over time |margin - theory|")
    ticks(bias.xaxis, rates)
    legends((single, mean, bias), fontsize=10)
    return made
