"""Claim: the scale of the output decides between lazy and rich training; the crossover is at alpha = 2 sqrt(d) h."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from numpy.typing import NDArray

from shoal import theory
from shoal.claims.claim import claim
from shoal.claims.hinge_mean_field.lazy_rich import fit
from shoal.claims.hinge_mean_field.lazy_rich.picture import picture
from shoal.claims.shared.limits import Limit, measure_sizes, stacked
from shoal.claims.shared.movement import crossing, kernel_along, movement, own_unsatisfied
from shoal.claims.shared.teacher import Condition, nodes
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
NETWORKS = 4
"""Initialisations per dataset."""
POINTS = np.random.default_rng(20200611).standard_normal((48, INPUTS))
"""Where the kernel is taken."""


@dataclass(frozen=True)
class Point:
    """One scale of the output, and what the theory says of it.

    ``scale``: alpha / (2 sqrt(d) h).
    """

    scale: float

    @property
    def alpha(self) -> float:
        """The scale of the output, h = 1."""
        return float(2 * np.sqrt(INPUTS) * self.scale)

    @property
    def gamma(self) -> float:
        """Angle at which the boundary is `EDGE`: sinh 2 gamma = 2 sqrt(d) h / (alpha x_c)."""
        return float(np.arcsinh(1 / (self.scale * EDGE)) / 2)

    @property
    def time(self) -> float:
        """Time at which the theory gets there."""
        return float(theory.MeanFieldHinge(NODES, INPUTS, self.alpha).time(self.gamma))

    @property
    def movement(self) -> float:
        """Distance from the initialisation over the size of the initialisation, there."""
        return float(mean_field_movement(self.gamma, INPUTS))

    @property
    def change(self) -> Floats:
        """Change of the kernel between `POINTS`, there."""
        return mean_field_kernel(POINTS, self.gamma) - mean_field_kernel(POINTS, 0.0)

    @property
    def kernel(self) -> float:
        """Norm of that change over the norm of the kernel at initialisation."""
        return float(np.linalg.norm(self.change) / np.linalg.norm(mean_field_kernel(POINTS, 0.0)))

    def condition(self, quick: bool) -> Condition:
        """Return the training of the largest size: five times as long as the theory needs; small ones are slower."""
        shrink = 2 if quick else 1
        samples, nodes, steps = (size // shrink for size in (SAMPLES, NODES, STEPS))
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
    time, moved, kernel = (stacked(limits) for limits in zip(*found, strict=True))
    rich = sum(point.scale <= KERNEL_SCALES * (1 + 1e-9) for point in points)
    small = fit.fitted(run, part=1 + len(points) * 7 * datasets)
    for name, limit, statement in (
        ("time", time, "time to half of the samples satisfied, over the theory's, at each alpha"),
        ("movement", moved, "movement of the parameters then, over the theory's"),
        ("kernel", kernel.at(slice(rich)), "movement of the kernel then, along the theory's, up to the crossover"),
    ):
        run.row(statement, limit.compare(1.0))
        if name != "kernel":
            # What theory says at alpha where it takes half of it for alpha.
            later = [getattr(Point(point.scale / 2), name) / getattr(point, name) for point in points]
            run.must_fail("crossover at twice the alpha", limit.compare(later))
    for ends, statement, other in (
        ((-2, -1), "lazy end, in the limit -1", -0.5),
        ((0, 1), "rich end, in the limit -1/2", -1.0),
    ):
        expected = slope_of(points, ends)
        run.row(
            f"slope of movement in alpha, {statement}: {expected:.3f}", compare_slope(moved, points, ends, expected)
        )
        run.must_fail(f"slope {other:g}", compare_slope(moved, points, ends, other))
    fit.compare(run, small)
    sizes = Point(1.0).condition(run.quick)
    run.note(
        f"Centred networks, alpha (f(x, t) - f(x, 0)), d={INPUTS}; N={sizes.samples}, M={sizes.nodes} and a half and a"
        " quarter of both, at rates as much larger: what is compared is the limit of the three sizes."
    )
    run.note(
        "Rich: gamma and the time to fit grow like a logarithm of 1/alpha, the parameters like alpha^-1/2, the kernel"
        " like 1/alpha. Lazy: gamma and the time fall like 1/alpha. The kernel of an infinitely wide network then moves"
        " in the second order of gamma only; at finite width there is noise of the first order, gamma/sqrt(M), which"
        " the kernel's component along the theory's change averages out."
    )
    run.notes += fit.notes(small)
    data = run.save(_data(points, time, moved, kernel).merge(small))
    return picture(data, _curves())


def measure_point(run: Trial, point: Point, datasets: int, number: int) -> list[Limit]:
    """Return time, movement and kernel movement of one scale, each over the theory's."""
    change, due, way = point.change, point.time, point.movement

    def measure(condition: Condition, factor: int, part: int) -> Sequence[Floats]:
        coarse = np.arange(0, condition.steps + 1, max(1, 4 // factor))
        times = np.asarray(coarse * condition.rate, np.float64)
        data = condition.train(run, steps=coarse, measure=("margin", "trajectory"), networks=NETWORKS, part=part)
        output, incoming = nodes(data)[0], np.asarray(data["trajectory_1"].values)
        at = int(np.argmin(np.abs(times - due)))
        before, after = ((output[:, k], incoming[:, k]) for k in (0, at))
        own = own_unsatisfied(condition, before, data["inputs"].values[:, 0], times)
        unsatisfied = np.asarray((data["margin"].values < condition.threshold).mean(axis=2))
        reached, expected = (crossing(times, fraction.mean(axis=0), LEFT) for fraction in (unsatisfied, own))
        return [
            np.asarray(reached / expected),
            np.asarray(movement(before, after).mean() / way),
            np.asarray(kernel_along(before, after, POINTS, change).mean()),
        ]

    sizes = measure_sizes(run, point.condition(run.quick), datasets, measure, part=1 + number * 7 * datasets)
    return [Limit.of(values) for values in sizes]


def slope_of(points: Sequence[Point], ends: tuple[int, int]) -> float:
    """Return the theory's exponent of the movement in alpha between two neighbouring scales."""
    first, second = (points[k] for k in ends)
    return float(np.log(second.movement / first.movement) / np.log(second.scale / first.scale))


def compare_slope(moved: Limit, points: Sequence[Point], ends: tuple[int, int], expected: float) -> Comparison:
    """Return the comparison of the exponent between two neighbouring scales."""
    chosen = list(ends)
    step = np.log(points[ends[1]].scale / points[ends[0]].scale)
    values = np.array([moved.value[k] * points[k].movement for k in ends])
    errors = np.array([moved.standard_error[k] / moved.value[k] for k in ends]) / step
    return compare_estimate(
        np.log(values[1] / values[0]) / step,
        expected,
        standard_error=np.hypot(*errors),
        freedom=freedom_of_sum(errors, moved.freedom[chosen]),
        bias=sum(float(moved.bias[k] / moved.value[k]) for k in ends) / step,
        networks=moved.runs,
    )


def _data(points: Sequence[Point], time: Limit, moved: Limit, kernel: Limit) -> xr.Dataset:
    table: dict[str, Floats | NDArray[np.bool_]] = {}
    for name, limit in (("time", time), ("movement", moved), ("kernel", kernel)):
        predicted = np.array([getattr(point, name) for point in points])
        table[name], table[f"{name}_error"] = limit.value * predicted, limit.standard_error * predicted
        table[f"{name}_predicted"] = predicted
    scale = np.array([point.scale for point in points])
    table["kernel_shown"] = scale <= KERNEL_SCALES * (1 + 1e-9)
    return xr.Dataset({name: ("scale", values) for name, values in table.items()}, coords={"scale": scale})


def _curves() -> xr.Dataset:
    points = [Point(float(scale)) for scale in np.geomspace(SCALES[0], SCALES[-1], 41)]
    return xr.Dataset(
        {name: ("scale", [getattr(point, name) for point in points]) for name in ("time", "movement", "kernel")},
        coords={"scale": [point.scale for point in points]},
    )
