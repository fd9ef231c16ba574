"""Claim: how far a network is from its mean-field limit falls like one over the root of its width."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import norm

from shoal import Task, claim, plot, theory
from shoal.claims.shared.figures import standard_error, ticks
from shoal.claims.shared.limits import Measured
from shoal.claims.shared.runs import far_seed
from shoal.claims.shared.teacher import Condition, nodes
from shoal.claims.shared.widths import limit, trend
from shoal.claims.trial import Trial
from shoal.verdicts.layout import Floats, Integers
from shoal.verdicts.means import compare_estimate

QUICK = Condition(samples=2000, inputs=10, nodes=400, rate=0.25, steps=64, test_samples=2000)
FULL = Condition(samples=4000, inputs=10, nodes=1600, rate=0.25, steps=64, test_samples=4000)
WIDTHS = (25, 50, 100, 200, 400, 800, 1600)
"""M, up to that of the condition."""
NETWORKS = {"full": 96, "quick": 64}
"""Of the widest; twice as many of half the width, and so on up to `MOST` times; on twice the samples half as many."""
MOST = 8
BOUNDARIES = (3.0, 1.0, 0.6)
"""x_c at which deviations are compared: nothing satisfied yet, half way, and most of the samples satisfied."""
PART = 8000
"""Of the seeds, as in `far_seed`."""


@claim(
    "finite-width",
    "A network of M nodes deviates from its mean-field limit by an amount that falls like 1/sqrt(M).",
    source="arXiv:2006.11209; theory book, chapter 7",
)
def finite_width(run: Trial) -> Figure:
    """Compare deviations of nodes, output and test error over widths."""
    condition = QUICK if run.quick else FULL
    networks = run.networks(**NETWORKS)
    steps = steps_at(condition)
    condition = replace(condition, steps=int(steps[-1]))
    widths = [count for count in WIDTHS if count <= condition.nodes]
    found = {}
    for part, count in enumerate(widths):
        many = networks * min(MOST, condition.nodes // count)
        found[count] = train(run, replace(condition, nodes=count), many, steps, part)
    twice, few = replace(condition, samples=2 * condition.samples), max(2, networks // 2)
    doubled = train(run, twice, few, steps, part=len(widths) - 1, samples_part=len(WIDTHS))
    run.note(
        f"N = {condition.samples} samples, d = {condition.inputs}, {networks} networks of the largest width and up to"
        f" {MOST} times as many of the others. The samples are"
        " stratified: they stand for an infinite number, which the last row tests.",
        "Deviations are from the mean-field limit of descent at the same rate; it differs from gradient flow's by the"
        " rate's own bias, which does not depend on the width.",
        f"The distribution of f is that of nodes on their curves and is compared at x_c = {BOUNDARIES[0]:g}, where"
        " training has corrected next to nothing of the noise; that of the test error counts in what it corrects, to"
        f" first order, and is drawn but not compared at x_c = {BOUNDARIES[2]:g}.",
    )
    compare(run, condition, found, doubled)
    return _figure(run.save(_data(condition, found, doubled, steps)), condition)


def train(
    run: Trial, condition: Condition, networks: int, steps: Integers, part: int, samples_part: int | None = None
) -> Measured:
    """Train networks on one stratified dataset, drawn with the seed of `part` unless another part is given.

    ``node`` (networks, times): mean square over nodes of (a - a_theory)^2 + (w_par - w_theory)^2. ``output`` (networks,
    times): mean square over fresh samples of f - f_theory. ``error`` (networks, times): test error.
    """
    run.say(f"training {networks} networks of {condition.nodes} nodes on {condition.samples} samples")
    seed = far_seed(run.seed, PART + (part if samples_part is None else samples_part))
    measure = ("trajectory", "test_margin", "test_error")
    task = stratified(condition, seed)
    data = condition.train(run, steps=[0, *steps], measure=measure, networks=networks, part=PART + part, task=task)
    output, along = nodes(data)
    up, down = (values[None, :, None] for values in condition.descent(steps))
    # Descent's own mean field, so that the rate is no part of the deviation.
    rising, falling = (output + along)[:, :1] * up, (output - along)[:, :1] * down
    off = (output[:, 1:] - (rising + falling) / 2) ** 2 + (along[:, 1:] - (rising - falling) / 2) ** 2
    slope = condition.alpha * (up**2 - down**2) / (4 * np.sqrt(condition.inputs))
    missed = data["test_margin"].values[:, 1:] - slope * np.abs(data["test_inputs"].values[:, 0])
    return {
        "node": off.mean(axis=-1),
        "output": np.mean(missed**2, axis=-1),
        "error": np.asarray(data["test_error"].values[:, 1:]),
    }


def stratified(condition: Condition, seed: int) -> Task:
    """Return Gaussian samples, training and fresh ones, whose own noise is next to nothing.

    |x_par| runs through the quantiles of its distribution; each x comes with its three images under x -> -x and
    x_perp -> -x_perp, so that the means over samples of y x_perp and of all that is odd are exactly 0.
    """
    generator = np.random.default_rng(seed)

    def images(quarter: int) -> tuple[Floats, Integers]:
        sizes = norm.isf((np.arange(quarter) + 0.5) / (2 * quarter))
        across = generator.standard_normal((quarter, condition.inputs - 1))
        points = np.concatenate([np.column_stack([s * sizes, t * across]) for s in (1, -1) for t in (1, -1)])
        return points, np.where(points[:, 0] > 0, 1, -1)

    return Task(*images(condition.samples // 4), test=images(condition.test_samples // 4))


def steps_at(condition: Condition) -> Integers:
    """Return the steps next to which the boundary passes each of `BOUNDARIES`."""
    return np.rint(condition.theory.satisfaction_time(np.array(BOUNDARIES)) / condition.rate).astype(np.int64)


def compare(run: Trial, condition: Condition, found: dict[int, Measured], doubled: Measured) -> None:
    """Compare how deviations fall with the width, what variance and error tend to, and whether the samples matter."""
    widths, steps = np.array(list(found), float), steps_at(condition)
    span = f"M = {widths[0]:g}..{widths[-1]:g}"
    networks = sum(len(width["node"]) for width in found.values())
    for name, what, first in (("node", "a_i, w_par,i", 1), ("output", "f on fresh samples", 0)):
        slope, error = trend(widths, [width[name] for width in found.values()])
        for at in range(first, len(BOUNDARIES)):
            counts = {"freedom": networks - 3 * len(found), "networks": networks}
            statement = f"deviation of {what} ~ M^-1/2, {span}, at x_c = {BOUNDARIES[at]:g}"
            run.row(statement, compare_estimate(slope[at], -0.5, standard_error=error[at], **counts))
            run.must_fail("1/M", compare_estimate(slope[at], -1.0, standard_error=error[at], **counts))

    clock = float(np.log(condition.descent(steps[:1])[0][0]))
    variances, errors = [], []
    for count, width in found.items():
        alone = replace(condition, nodes=count)
        noise = theory.TrainedNoise(alone.theory)
        variances.append(width["output"][:, :1] / alone.deviation(1.0, clock) ** 2)

        def error_at(up: Floats, _: Floats, noise: theory.TrainedNoise = noise) -> Floats:
            return noise.error(noise.clean.time(np.log(up)))

        shift = alone.rate_shift(steps[:2], error_at)
        errors.append((width["error"][:, :2] - shift) / noise.error(steps[:2] * condition.rate))
    # The theory of the error leaves out what is 1/d smaller, however wide the network.
    for what, ratios, bias in (("variance of f", variances, 0.0), ("test error", errors, 1 / condition.inputs)):
        counts = {"freedom": networks - 2 * len(found), "networks": networks}
        for boundary, value, error in zip(BOUNDARIES, *limit(widths, ratios), strict=False):
            statement = f"{what} over its theory, extrapolated to 1/M = 0 from {span}, at x_c = {boundary:g}"
            run.row(statement, compare_estimate(value, 1.0, standard_error=error, bias=bias, **counts))
    # On the same initialisations, so that little but the samples differs.
    shift = np.log(doubled["node"][:, 1:] / found[condition.nodes]["node"][: len(doubled["node"]), 1:])
    what = "ln of mean square deviation of nodes, change when the samples are doubled"
    run.compare_mean(f"M = {condition.nodes}: {what}", shift, 0.0)


def _data(condition: Condition, found: dict[int, Measured], doubled: Measured, steps: Integers) -> xr.Dataset:
    table, trained, times = {}, [*found.values(), doubled], steps * condition.rate
    for name in ("node", "output"):
        squares = [width[name] for width in trained]
        mean = np.array([square.mean(axis=0) for square in squares])
        table[name] = np.sqrt(mean)
        table[f"{name}_error"] = np.array([standard_error(square) for square in squares]) / (2 * np.sqrt(mean))
    table["test_error"] = np.array([width["error"].mean(axis=0) for width in trained])
    table["test_error_error"] = np.array([standard_error(width["error"]) for width in trained])
    widths = [*found, condition.nodes]
    limits = [replace(condition, nodes=count).theory for count in widths]
    table["test_error_predicted"] = np.array([theory.TrainedNoise(each).error(times) for each in limits])
    table["test_error_clean"] = np.array([each.error(times) for each in limits])
    coords = {
        "nodes": ("run", widths),
        "samples": ("run", [condition.samples] * len(found) + [2 * condition.samples]),
        "boundary": list(BOUNDARIES),
        "time": ("boundary", times),
    }
    return xr.Dataset({name: (("run", "boundary"), values) for name, values in table.items()}, coords=coords)


def _figure(data: xr.Dataset, condition: Condition) -> Figure:
    titles = (r"Nodes deviate as $1/\sqrt{M}$", r"So does the output $f$", "The test error falls as predicted")
    made, (off, output, error) = plot.figure(titles, width=4.3, height=4.4)
    widths = data["nodes"].values[:-1]
    for at, boundary in enumerate(BOUNDARIES):
        style = {"color": plot.COLOURS[at], "fmt": "os^"[at], "label": rf"boundary $x_c$ = {boundary:g}"}
        one, colour = data.isel(boundary=at), plot.COLOURS[at]
        if at > 0:
            _draw_deviation(off, one["node"].values, one["node_error"].values, widths, style)
            plot.theory(error, widths, one["test_error_clean"][:-1], color=colour, ls=":", lw=1.4)
        _draw_deviation(output, one["output"].values, one["output_error"].values, widths, style, guide=at > 0)
        plot.theory(error, widths, one["test_error_predicted"][:-1], color=colour)
        seen = one["test_error"][:-1]
        style["label"] += ", not compared" if at == len(BOUNDARIES) - 1 else ""
        plot.points(error, widths, seen, error=4 * one["test_error_error"].values[:-1], **style)
    clock = condition.theory.gamma(float(data["time"][0]))
    predicted = condition.deviation(1.0, clock) * np.sqrt(condition.nodes / widths)
    plot.theory(output, widths, predicted, color=plot.COLOURS[0], label="theory, nothing satisfied")
    for axes in (off, output):
        plot.theory(axes, [], [], color="0.4", lw=1.2, ls="--", label="slope -1/2")
        plot.points(axes, [], [], color="0.4", fmt="x", label="twice the samples")
    plot.theory(error, [], [], color="0.4", label="theory")
    plot.theory(error, [], [], color="0.4", ls=":", label="theory, nothing corrected")
    off.set_ylabel(r"rms of $a_i, w_{\parallel,i}$ - theory, ±4 s.e.")
    output.set_ylabel(r"rms of $f$ - theory, ±4 s.e.")
    error.set_ylabel("test error, ±4 s.e.")
    for axes, room in ((off, 4), (output, 5), (error, 8)):
        axes.set(xscale="log", yscale="log", xlabel="nodes M")
        low, high = axes.get_ylim()
        axes.set_ylim(low / room, high)
        ticks(axes.xaxis, widths)
        ticks(axes.yaxis, (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1), low / room, high)
        plot.legend(axes, loc="lower left")
    return made


def _draw_deviation(
    axes: Axes, found: Floats, error: Floats, widths: Floats, style: dict[str, Any], guide: bool = True
) -> None:
    """Draw deviations of each width and, beside the widest, of twice the samples; and a guide of slope -1/2."""
    plot.points(axes, widths, found[:-1], error=4 * error[:-1], **style)
    plot.points(axes, widths[-1:] * 1.12, found[-1:], error=4 * error[-1:], color="0.4", fmt="x")
    middle = np.exp(np.log(found[:-1] * np.sqrt(widths)).mean())
    if guide:
        plot.theory(axes, widths, middle / np.sqrt(widths), color=style["color"], lw=1.2, ls="--")
