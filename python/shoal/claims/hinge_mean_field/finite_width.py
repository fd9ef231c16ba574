"""Claim: how far a network is from its mean-field limit falls like one over the root of its width."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.stats import norm

from shoal import Task, plot, theory
from shoal.claims.claim import claim
from shoal.claims.outcome import Row, Setting
from shoal.claims.shared.runs import far_seed
from shoal.claims.shared.teacher import Condition, nodes
from shoal.claims.trial import Trial
from shoal.verdicts.layout import Floats
from shoal.verdicts.means import compare_estimate, compare_mean

if TYPE_CHECKING:
    from matplotlib.axes import Axes

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


@dataclass(frozen=True)
class Width:
    """Networks of one width at the chosen times, network by network.

    ``node`` (networks, times): mean square over nodes of (a - a_theory)^2 + (w_par - w_theory)^2. ``output`` (networks,
    times): mean square over fresh samples of f - f_theory. ``error`` (networks, times): test error.
    """

    node: Floats
    output: Floats
    error: Floats

    @classmethod
    def train(
        cls,
        condition: Condition,
        setting: Setting,
        networks: int,
        steps: NDArray[np.int64],
        part: int,
        samples_part: int | None = None,
    ) -> Width:
        """Train networks on one stratified dataset, drawn with the seed of `part` unless another part is given."""
        setting.say(f"training {networks} networks of {condition.nodes} nodes on {condition.samples} samples")
        seed = far_seed(setting.seed, PART + (part if samples_part is None else samples_part))
        data = condition.train(
            setting,
            steps=[0, *steps],
            measure=("trajectory", "test_margin", "test_error"),
            networks=networks,
            part=PART + part,
            task=stratified(condition, seed),
        )
        output, along = nodes(data)
        up, down = (values[None, :, None] for values in condition.descent(steps))
        # Descent's own mean field, so that the rate is no part of the deviation.
        rising, falling = (output + along)[:, :1] * up, (output - along)[:, :1] * down
        off = (output[:, 1:] - (rising + falling) / 2) ** 2 + (along[:, 1:] - (rising - falling) / 2) ** 2
        slope = condition.alpha * (up**2 - down**2) / (4 * np.sqrt(condition.inputs))
        margins = data["test_margin"].values[:, 1:]
        predicted = slope * np.abs(data["test_inputs"].values[:, 0])
        return cls(
            off.mean(axis=-1),
            np.mean((margins - predicted) ** 2, axis=-1),
            np.asarray(data["test_error"].values[:, 1:]),
        )


def stratified(condition: Condition, seed: int) -> Task:
    """Return Gaussian samples, training and fresh ones, whose own noise is next to nothing.

    |x_par| runs through the quantiles of its distribution; each x comes with its three images under x -> -x and
    x_perp -> -x_perp, so that the means over samples of y x_perp and of all that is odd are exactly 0.
    """
    generator = np.random.default_rng(seed)
    points, fresh = (
        _images(count // 4, condition.inputs, generator) for count in (condition.samples, condition.test_samples)
    )
    return Task(points, _labels(points), test=(fresh, _labels(fresh)))


def _images(quarter: int, inputs: int, generator: np.random.Generator) -> Floats:
    sizes = norm.isf((np.arange(quarter) + 0.5) / (2 * quarter))
    across = generator.standard_normal((quarter, inputs - 1))
    return np.concatenate([np.column_stack([s * sizes, t * across]) for s in (1, -1) for t in (1, -1)])


def _labels(points: Floats) -> NDArray[np.int64]:
    return np.where(points[:, 0] > 0, 1, -1)


def steps_at(condition: Condition) -> NDArray[np.int64]:
    """Return the steps next to which the boundary passes each of `BOUNDARIES`."""
    return np.rint(condition.theory.satisfaction_time(np.array(BOUNDARIES)) / condition.rate).astype(np.int64)


def trend(widths: Floats, squares: list[Floats]) -> tuple[Floats, Floats]:
    """Return the slopes (times,) of ln of the root mean square over networks in ln M, and their standard errors.

    The fit is ln A - slope ln M + c / M, so that the next order in 1/M is no part of the slope. A logarithm of a mean
    of n squares of relative scatter s is low by s^2 / (2 n), which is added.
    """
    scatter, counts = _scatter(squares), _counts(squares)
    logs = np.log([square.mean(axis=0) for square in squares]) + scatter**2 / (2 * counts[:, None])
    weights, error = _least_squares([np.ones(len(widths)), np.log(widths), 1 / widths], counts, 1)
    return weights @ logs / 2, error * scatter / 2


def limit(widths: Floats, ratios: list[Floats]) -> tuple[Floats, Floats]:
    """Return the means (times,) over networks that 1/M -> 0 leads to, by a straight line in 1/M, and their errors."""
    weights, error = _least_squares([np.ones(len(widths)), 1 / widths], _counts(ratios), 0)
    means = np.array([ratio.mean(axis=0) for ratio in ratios])
    return weights @ means, error * _scatter(ratios) * means.mean(axis=0)


def _least_squares(columns: list[Floats], counts: Floats, which: int) -> tuple[Floats, float]:
    """Return what the widths' means are weighted with for one coefficient, and its error for networks of scatter 1."""
    root = np.sqrt(counts)
    weights = np.linalg.pinv(np.column_stack(columns) * root[:, None])[which] * root
    return weights, float(np.sqrt(np.sum(weights**2 / counts)))


def _counts(samples: list[Floats]) -> Floats:
    return np.array([len(sample) for sample in samples], np.float64)


def _scatter(samples: list[Floats]) -> Floats:
    """Return the standard deviation over networks over the mean, (times,), from all widths together.

    Squares are skewed: a width whose mean falls low by chance would also seem too certain.
    """
    return np.asarray(
        np.sqrt(np.mean([each.var(axis=0, ddof=1) / each.mean(axis=0) ** 2 for each in samples], axis=0)), np.float64
    )


def rows(condition: Condition, found: dict[int, Width], doubled: Width) -> list[Row]:
    """Return what is compared."""
    widths = np.array(list(found), float)
    span = f"{widths[0]:g}..{widths[-1]:g}"
    networks = sum(len(width.node) for width in found.values())
    steps, result = steps_at(condition), []
    for name, what, first in (("node", "a_i, w_par,i", 1), ("output", "f on fresh samples", 0)):
        slope, error = trend(widths, [getattr(width, name) for width in found.values()])
        for at in range(first, len(BOUNDARIES)):
            statement = f"deviation of {what} ~ M^-1/2, M = {span}, at x_c = {BOUNDARIES[at]:g}"
            held = compare_estimate(
                slope[at], -0.5, standard_error=error[at], freedom=networks - 3 * len(found), networks=networks
            )
            result.append(Row(statement, held))
    steps = steps_at(condition)
    clock = float(np.log(condition.descent(steps[:1])[0][0]))
    alone = [replace(condition, nodes=nodes) for nodes in found]
    noises = [theory.TrainedNoise(each.theory) for each in alone]
    expected = np.array([noise.error(steps[:2] * condition.rate) for noise in noises])

    def wrong(up: Floats, down: Floats) -> Floats:
        return np.stack([noise.error(noise.clean.time(np.log(up))) for noise in noises])

    variances = [
        each.output[:, :1] / one.deviation(1.0, clock) ** 2 for one, each in zip(alone, found.values(), strict=True)
    ]
    shifts = condition.rate_shift(steps[:2], wrong)
    errors = [(each.error[:, :2] - off) / law for off, law, each in zip(shifts, expected, found.values(), strict=True)]

    def at_limit(what: str, estimate: Floats, error: Floats, bias: float = 0.0) -> list[Row]:
        freedom = networks - 2 * len(found)
        return [
            Row(
                f"{what} over its theory, extrapolated to 1/M = 0 from M = {span}, at x_c = {boundary:g}",
                compare_estimate(one, 1.0, standard_error=its, freedom=freedom, bias=bias, networks=networks),
            )
            for boundary, one, its in zip(BOUNDARIES, estimate, error, strict=False)
        ]

    # On the same initialisations, so that little but the samples differs.
    shift = np.log(doubled.node[:, 1:] / found[condition.nodes].node[: len(doubled.node), 1:])
    return [
        *result,
        *at_limit("variance of f", *limit(widths, variances)),
        # The theory leaves out what is 1/d smaller, however wide the network.
        *at_limit("test error", *limit(widths, errors), bias=1 / condition.inputs),
        Row(
            f"M = {condition.nodes}: ln of mean square deviation of nodes, change when the samples are doubled",
            compare_mean(shift, 0.0),
        ),
    ]


@claim(
    "finite-width",
    "A network of M nodes deviates from its mean-field limit by an amount that falls like 1/sqrt(M).",
    source="arXiv:2006.11209; docs/theory.md section 7",
)
def finite_width(run: Trial) -> Figure:
    """Compare deviations of nodes, output and test error over widths."""
    condition = QUICK if run.quick else FULL
    networks = run.networks(**NETWORKS)
    steps = steps_at(condition)
    condition = replace(condition, steps=int(steps[-1]))
    widths = [nodes for nodes in WIDTHS if nodes <= condition.nodes]
    found = {
        nodes: Width.train(
            replace(condition, nodes=nodes), run.setting, networks * min(MOST, condition.nodes // nodes), steps, part
        )
        for part, nodes in enumerate(widths)
    }
    doubled = Width.train(
        replace(condition, samples=2 * condition.samples),
        run.setting,
        max(2, networks // 2),
        steps,
        part=len(widths) - 1,
        samples_part=len(WIDTHS),
    )
    data = _data(condition, found, doubled, steps)
    run.note(
        f"N = {condition.samples} samples, d = {condition.inputs}, {networks} networks of the largest width and up to"
        f" {MOST} times as many of the others. The samples are"
        " stratified: they stand for an infinite number, which the last row tests."
    )
    run.note(
        "Deviations are from the mean-field limit of descent at the same rate; it differs from gradient flow's by the"
        " rate's own bias, which does not depend on the width."
    )
    run.note(
        f"The distribution of f is that of nodes on their curves and is compared at x_c = {BOUNDARIES[0]:g}, where"
        " training has"
        " corrected next to nothing of the noise; that of the test error counts in what it corrects, to first order,"
        f" and is drawn but not compared at x_c = {BOUNDARIES[2]:g}."
    )
    run.rows += rows(condition, found, doubled)
    run.save(data)
    return _figure(data, condition)


def _data(condition: Condition, found: dict[int, Width], doubled: Width, steps: NDArray[np.int64]) -> xr.Dataset:
    """Collect what the figure shows: root mean squares with their errors, test errors and their formula."""
    table = {}
    for name in ("node", "output"):
        squares = [getattr(width, name) for width in (*found.values(), doubled)]
        mean = np.array([square.mean(axis=0) for square in squares])
        error = np.array([square.std(axis=0, ddof=1) / np.sqrt(len(square)) for square in squares])
        table[name] = (("run", "boundary"), np.sqrt(mean))
        table[f"{name}_error"] = (("run", "boundary"), error / (2 * np.sqrt(mean)))
    errors = [width.error for width in (*found.values(), doubled)]
    table["test_error"] = (("run", "boundary"), np.array([each.mean(axis=0) for each in errors]))
    table["test_error_error"] = (
        ("run", "boundary"),
        np.array([each.std(axis=0, ddof=1) / np.sqrt(len(each)) for each in errors]),
    )
    widths = [*found, condition.nodes]
    limits = [replace(condition, nodes=nodes).theory for nodes in widths]
    table["test_error_predicted"] = (
        ("run", "boundary"),
        np.array([theory.TrainedNoise(each).error(steps * condition.rate) for each in limits]),
    )
    table["test_error_clean"] = (("run", "boundary"), np.array([each.error(steps * condition.rate) for each in limits]))
    coords = {
        "nodes": ("run", widths),
        "samples": ("run", [condition.samples] * len(found) + [2 * condition.samples]),
        "boundary": list(BOUNDARIES),
        "time": ("boundary", steps * condition.rate),
    }
    return xr.Dataset(table, coords=coords)


def _figure(data: xr.Dataset, condition: Condition) -> Figure:
    """Draw three deviations over the width."""
    titles = ("Nodes off their curves", "Output off its limit", "Test error of finite width")
    made, panels = plot.figure(titles, width=5.2, height=4.8)
    for axes, name, label in (
        (panels[0], "node", r"rms of $(a_i, w_{\parallel,i})$ - theory"),
        (panels[1], "output", "rms of f - theory, fresh samples"),
    ):
        _draw_deviation(axes, data, name)
        axes.set(ylabel=label)
    widths = data["nodes"].values[:-1]
    law = condition.deviation(1.0, condition.theory.gamma(float(data["time"][0]))) * np.sqrt(condition.nodes / widths)
    plot.theory(panels[1], widths, law, color=plot.COLOURS[0], label="theory, nothing satisfied")
    _draw_error(panels[2], data)
    for axes in panels:
        axes.set(xscale="log", yscale="log", xlabel="nodes M")
        axes.xaxis.set_ticks(widths, [str(width) for width in widths])
        axes.xaxis.set_ticks([], minor=True)
        plot.legend(axes, loc="lower left")
    return made


def _draw_deviation(axes: Axes, data: xr.Dataset, name: str) -> None:
    widths, doubled = data["nodes"].values[:-1], data["nodes"].values[-1:]
    for at, (boundary, colour, marker) in enumerate(zip(BOUNDARIES, plot.COLOURS, "os^", strict=False)):
        if name == "node" and at == 0:
            continue
        found, error = data[name].values[:, at], 4 * data[f"{name}_error"].values[:, at]
        label = rf"$x_c$ = {boundary:g}, 4 s.e."
        plot.points(axes, widths, found[:-1], error=error[:-1], color=colour, fmt=marker, label=label)
        plot.points(axes, doubled * 1.12, found[-1:], error=error[-1:], color="0.4", fmt="x")
        middle = np.exp(np.log(found[:-1] * np.sqrt(widths)).mean())
        if (name, at) != ("output", 0):
            plot.theory(axes, widths, middle / np.sqrt(widths), color=colour, lw=1.2, ls="--")
    plot.theory(axes, [], [], color="0.4", lw=1.2, ls="--", label=r"slope -1/2")
    plot.points(axes, [], [], color="0.4", fmt="x", label="twice the samples")


def _draw_error(axes: Axes, data: xr.Dataset) -> None:
    widths = data["nodes"].values[:-1]
    for at, (boundary, colour, marker) in enumerate(zip(BOUNDARIES, plot.COLOURS, "os^", strict=False)):
        error = 4 * data["test_error_error"].values[:-1, at]
        label = rf"$x_c$ = {boundary:g}, 4 s.e."
        plot.theory(axes, widths, data["test_error_predicted"].values[:-1, at], color=colour)
        if at > 0:
            plot.theory(axes, widths, data["test_error_clean"].values[:-1, at], color=colour, ls=":", lw=1.4)
        plot.points(
            axes, widths, data["test_error"].values[:-1, at], error=error, color=colour, fmt=marker, label=label
        )
    plot.theory(axes, [], [], color="0.4", label="theory")
    plot.theory(axes, [], [], color="0.4", ls=":", label="theory, nothing corrected")
    lowest = float(data["test_error"].values[:, -1].min())
    axes.set(ylabel="fraction of fresh samples misclassified", ylim=(lowest / 6, None))
