"""Claim: the scale of the output decides between lazy and rich training; the crossover is at alpha = 2 sqrt(d) h."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from shoal import claim, plot, theory
from shoal.claims.hinge_mean_field.lazy_rich import fit
from shoal.claims.hinge_mean_field.lazy_rich.movement import kernel_along, movement, own_unsatisfied, weights
from shoal.claims.shared.figures import draw_mean, shade
from shoal.claims.shared.limits import NETWORKS, Limit, Measured, measure_limits, stacked
from shoal.claims.shared.teacher import Condition, crossing
from shoal.claims.trial import Trial
from shoal.theory.mean_field.tangent_kernel import mean_field_kernel, mean_field_movement
from shoal.verdicts.comparison import Comparison
from shoal.verdicts.layout import Floats
from shoal.verdicts.means import compare_estimate, freedom_of_sum

INPUTS = 5
SAMPLES, NODES, STEPS = 1024, 256, 64
"""Of the largest size; `STEPS` are the steps until the theory has half of the samples satisfied."""
SCALES = 10.0 ** np.arange(-2, 2.1, 0.5)
"""alpha over the crossover: four decades."""
LEFT = 0.5
"""Fraction of the samples that is unsatisfied at the moment of comparison."""
EDGE = 0.6744897501960817
"""x_c at which erf(x_c / sqrt 2) is `LEFT`."""
KERNEL_SCALES = 1.0
"""Up to here the kernel moves enough, beside the noise of finite width, to be compared with the theory."""
POINTS = np.random.default_rng(20200611).standard_normal((48, INPUTS))
"""Where the kernel is taken."""


class Point:
    """One scale of the output, alpha / (2 sqrt(d) h), and the theory of when half of the samples are satisfied.

    ``gamma``: the angle, sinh 2 gamma = 2 sqrt(d) h / (alpha x_c). ``time``: when. ``movement``: distance from the
    initialisation over its size. ``change``: of the kernel between `POINTS`. ``kernel``: its norm over that of the
    kernel at initialisation.
    """

    def __init__(self, scale: float) -> None:
        initial = mean_field_kernel(POINTS, 0.0)
        self.scale, self.alpha = scale, float(2 * np.sqrt(INPUTS) * scale)
        self.gamma = float(np.arcsinh(1 / (scale * EDGE)) / 2)
        self.time = float(theory.MeanFieldHinge(NODES, INPUTS, self.alpha).time(self.gamma))
        self.movement = float(mean_field_movement(self.gamma, INPUTS))
        self.change = mean_field_kernel(POINTS, self.gamma) - initial
        self.kernel = float(np.linalg.norm(self.change) / np.linalg.norm(initial))

    def condition(self, quick: bool) -> Condition:
        """Return the training of the largest size: five times as long as the theory needs; small ones are slower."""
        samples, nodes, steps = (size // (2 if quick else 1) for size in (SAMPLES, NODES, STEPS))
        return Condition(samples, INPUTS, nodes, self.time / steps, 5 * steps, self.alpha, centred=True)


@claim(
    "lazy-rich",
    "A large output scale makes training lazy, a small one rich: the crossover is at alpha = 2 sqrt(d) h.",
    source="arXiv:2006.11209; theory book, chapter 7",
)
def lazy_rich(run: Trial) -> Figure:
    """Compare time, movement and kernel movement at nine scales, and small training sets fitted."""
    datasets = run.networks(full=32, quick=12)
    points = [Point(float(scale)) for scale in (SCALES[::2] if run.quick else SCALES)]
    found = [measure_point(run, point, datasets, number) for number, point in enumerate(points)]
    limits = {name: stacked([one[name] for one in found]) for name in found[0]}
    small = fit.fitted(run, part=1 + len(points) * 7 * datasets)
    compare(run, points, limits)
    fit.compare(run, small)
    sizes = Point(1.0).condition(run.quick)
    run.note(
        f"Centred networks, alpha (f(x, t) - f(x, 0)), d={INPUTS}; N={sizes.samples}, M={sizes.nodes} and a half and a"
        " quarter of both, at rates as much larger: what is compared is the limit of the three sizes.",
        "Rich: gamma and the time to fit grow like a logarithm of 1/alpha, the parameters like alpha^-1/2, the kernel"
        " like 1/alpha. Lazy: gamma and the time fall like 1/alpha. The kernel of an infinitely wide network then moves"
        " in the second order of gamma only; at finite width there is noise of the first order, gamma/sqrt(M), which"
        " the kernel's component along the theory's change averages out.",
    )
    fit.add_notes(run, small)
    curves = [Point(float(scale)) for scale in np.geomspace(SCALES[0], SCALES[-1], 41)]
    return _figure(run.save(_data(points, limits).merge(small)), _theory(curves))


def measure_point(run: Trial, point: Point, datasets: int, number: int) -> dict[str, Limit]:
    """Return ``time``, ``movement`` and ``kernel`` movement of one scale, each over the theory's."""

    def measure(condition: Condition, factor: int, part: int) -> Measured:
        coarse = np.arange(0, condition.steps + 1, max(1, 4 // factor))
        times = np.asarray(coarse * condition.rate, np.float64)
        data = condition.train(run, steps=coarse, measure=("margin", "trajectory"), networks=NETWORKS, part=part)
        before, after = (weights(data, at) for at in (0, int(np.argmin(np.abs(times - point.time)))))
        own = own_unsatisfied(condition, before, data["inputs"].values[:, 0], times)
        unsatisfied = (data["margin"].values < condition.threshold).mean(axis=2)
        reached, expected = (crossing(times, fraction.mean(axis=0), LEFT) for fraction in (unsatisfied, own))
        return {
            "time": np.asarray(reached / expected),
            "movement": movement(before, after).mean() / point.movement,
            "kernel": kernel_along(before, after, POINTS, point.change).mean(),
        }

    return measure_limits(run, point.condition(run.quick), datasets, measure, first=1 + number * 7 * datasets)


def compare(run: Trial, points: Sequence[Point], limits: dict[str, Limit]) -> None:
    """Compare time and movements with the theory's, and the exponents of the movement in alpha at both ends."""
    rich = sum(point.scale <= KERNEL_SCALES * (1 + 1e-9) for point in points)
    for name, statement in (
        ("time", "time to half of the samples satisfied, over the theory's, at each alpha"),
        ("movement", "movement of the parameters then, over the theory's"),
    ):
        run.row(statement, limits[name].compare(1.0))
        # What theory says at alpha where it takes half of it for alpha.
        later = [getattr(Point(point.scale / 2), name) / getattr(point, name) for point in points]
        run.must_fail("crossover at twice the alpha", limits[name].compare(later))
    statement = "movement of the kernel then, along the theory's, up to the crossover"
    run.row(statement, limits["kernel"].at(slice(rich)).compare(1.0))
    for ends, statement, other in (
        ([-2, -1], "lazy end, in the limit -1", -0.5),
        ([0, 1], "rich end, in the limit -1/2", -1.0),
    ):
        pair, moved = [points[k] for k in ends], limits["movement"].at(ends)
        expected = _slope(pair, 1.0)
        run.row(f"slope of movement in alpha, {statement}: {expected:.3f}", compare_slope(moved, pair, expected))
        run.must_fail(f"slope {other:g}", compare_slope(moved, pair, other))


def _slope(pair: Sequence[Point], factors: Floats | float) -> float:
    """Return the exponent in alpha of factors times the theory's movement, between two scales."""
    first, second = factors * np.array([point.movement for point in pair])
    return float(np.log(second / first) / np.log(pair[1].scale / pair[0].scale))


def compare_slope(moved: Limit, pair: Sequence[Point], expected: float) -> Comparison:
    """Return the comparison of the exponent between two scales, of the movement over the theory's."""
    step = np.log(pair[1].scale / pair[0].scale)
    errors = moved.standard_error / moved.value / step
    return compare_estimate(
        _slope(pair, moved.value),
        expected,
        standard_error=np.hypot(*errors),
        freedom=freedom_of_sum(errors, moved.freedom),
        bias=float((moved.bias / moved.value).sum()) / step,
        networks=moved.runs,
    )


def _data(points: Sequence[Point], limits: dict[str, Limit]) -> xr.Dataset:
    predicted, data = _theory(points), xr.Dataset()
    for name, limit in limits.items():
        formula = predicted[name]
        data = data.assign(
            {name: limit.value * formula, f"{name}_error": limit.standard_error * formula, f"{name}_predicted": formula}
        )
    return data.assign(kernel_shown=data["scale"] <= KERNEL_SCALES * (1 + 1e-9))


def _theory(points: Sequence[Point]) -> xr.Dataset:
    return xr.Dataset(
        {name: ("scale", [getattr(point, name) for point in points]) for name in ("time", "movement", "kernel")},
        coords={"scale": [point.scale for point in points]},
    )


def _figure(data: xr.Dataset, curves: xr.Dataset) -> Figure:
    titles = ("Lazy networks fit sooner", "Rich networks move further", "Only a rich network's kernel moves")
    made, panels = plot.figure((*titles, "Plain lazy networks err more"), width=4.4, height=3.9, rows=2)
    time, moved, kernel, fitted = panels
    for axes, name, label in (
        (time, "time", "time until half are satisfied"),
        (moved, "movement", r"movement $|\theta(t)-\theta(0)|\,/\,|\theta(0)|$"),
        (kernel, "kernel", r"kernel movement $|K(t)-K(0)|\,/\,|K(0)|$"),
    ):
        seen = data.isel(scale=np.flatnonzero(data["kernel_shown"])) if name == "kernel" else data
        style = {"color": plot.COLOURS[1], "label": "trained, ±4 s.e.", "zorder": 5}
        plot.theory(axes, curves["scale"], curves[name], color=plot.COLOURS[0], label="theory")
        plot.points(axes, seen["scale"], seen[name], error=4 * seen[f"{name}_error"].values, **style)
        axes.set(yscale="log", ylabel=label)
    scale, formula = curves["scale"].values, curves["movement"].values
    for end, slope, words in ((0, -0.5, "slope -1/2"), (-1, -1.0, "slope -1")):
        x = scale[np.abs(np.log10(scale / scale[end])) < 1.3]
        y = 2.2 * formula[end] * (x / scale[end]) ** slope
        moved.plot(x, y, color="0.4", ls="--", lw=1.2)
        middle = (x[len(x) // 2], y[len(x) // 2])
        moved.annotate(words, middle, xytext=(4, 6), textcoords="offset points", fontsize=11, color="0.3")
    shown = data["scale"].values[data["kernel_shown"].values].max()
    shade(kernel, 1.3 * shown, 2 * scale[-1])
    for model, colour, marker in (("plain", plot.COLOURS[1], "s"), ("centred", plot.COLOURS[0], "o")):
        values, label = data["fit_test_error"].sel(model=model).values.T, f"{model}, ±4 s.e."
        draw_mean(fitted, data["fit_scale"], values, color=colour, fmt=f"{marker}-", lw=1, label=label)
    fitted.set(ylabel="test error of fitted networks", ylim=(0, None))
    for axes in panels:
        axes.axvline(1.0, color="0.6", ls=":", lw=1.2, zorder=0, label="crossover")
        axes.set(xscale="log", xlabel=r"output scale $\alpha\,/\,2\sqrt{d}\,h$", xlim=(scale[0] / 2, scale[-1] * 2))
        plot.legend(axes, loc="upper left" if axes is fitted else "lower left", fontsize=10)
    return made
