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
from shoal.claims.hinge_mean_field.lazy_rich.fit import Fit, fit_rows
from shoal.claims.hinge_mean_field.lazy_rich.picture import picture
from shoal.claims.outcome import Row, Setting
from shoal.claims.shared.limits import Limit, measure_sizes, stacked
from shoal.claims.shared.movement import crossing, kernel_along, movement, own_unsatisfied
from shoal.claims.shared.teacher import Condition, nodes
from shoal.claims.trial import Trial
from shoal.theory.mean_field.tangent_kernel import mean_field_kernel, mean_field_movement
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
        steps = STEPS // shrink
        return Condition(
            SAMPLES // shrink, INPUTS, NODES // shrink, self.time / steps, 5 * steps, self.alpha, centred=True
        )


@claim(
    "lazy-rich",
    "A large output scale makes training lazy, a small one rich: the crossover is at alpha = 2 sqrt(d) h.",
    source="arXiv:2006.11209; docs/theory.md section 7",
)
def lazy_rich(run: Trial) -> Figure:
    """Compare time, movement and kernel movement at nine scales, and small training sets fitted."""
    datasets = run.networks(full=32, quick=12)
    points = [Point(float(scale)) for scale in (SCALES[::2] if run.quick else SCALES)]
    found = [_limits(point, datasets, run.setting, number) for number, point in enumerate(points)]
    time, moved, kernel = (stacked(limits) for limits in zip(*found, strict=True))
    rich = sum(point.scale <= KERNEL_SCALES * (1 + 1e-9) for point in points)
    fit = Fit.run(run.setting, part=1 + len(points) * 7 * datasets)
    run.row("time to half of the samples satisfied, over the theory's, at each alpha", time.compare(1.0))
    run.row("movement of the parameters then, over the theory's", moved.compare(1.0))
    run.row("movement of the kernel then, along the theory's, up to the crossover", kernel.at(slice(rich)).compare(1.0))
    run.rows.append(_slope_row("lazy end, in the limit -1", moved, points, (-2, -1)))
    run.rows.append(_slope_row("rich end, in the limit -1/2", moved, points, (0, 1)))
    run.rows += fit_rows(fit)
    data = _data(points, time, moved, kernel).merge(fit.data)
    run.notes += _notes(run.setting, fit)
    run.save(data)
    return picture(data, _curves())


def _limits(point: Point, datasets: int, setting: Setting, number: int) -> list[Limit]:
    """Return time, movement and kernel movement of one scale, each over the theory's."""
    change, due, way = point.change, point.time, point.movement

    def measure(condition: Condition, factor: int, part: int) -> Sequence[Floats]:
        coarse = np.arange(0, condition.steps + 1, max(1, 4 // factor))
        times = np.asarray(coarse * condition.rate, np.float64)
        data = condition.train(setting, steps=coarse, measure=("margin", "trajectory"), networks=NETWORKS, part=part)
        output, incoming = nodes(data)[0], np.asarray(data["trajectory_1"].values)
        at = int(np.argmin(np.abs(times - due)))
        start, end = ((output[:, k], incoming[:, k]) for k in (0, at))
        own = own_unsatisfied(condition, start, data["inputs"].values[:, 0], times)
        unsatisfied = np.asarray((data["margin"].values < condition.threshold).mean(axis=2))
        reached, expected = (crossing(times, share.mean(axis=0), LEFT) for share in (unsatisfied, own))
        return [
            np.asarray(reached / expected),
            np.asarray(movement(start, end).mean() / way),
            np.asarray(kernel_along(start, end, POINTS, change).mean()),
        ]

    sizes = measure_sizes(point.condition(setting.quick), setting, datasets, measure, part=1 + number * 7 * datasets)
    return [Limit.of(values) for values in sizes]


def _slope_row(end: str, moved: Limit, points: Sequence[Point], ends: tuple[int, int]) -> Row:
    """Return the comparison of the exponent between two neighbouring scales with that of the theory there."""
    first, second = (points[k] for k in ends)
    step = np.log(second.scale / first.scale)
    values = np.array([moved.value[k] * points[k].movement for k in ends])
    errors = np.array([moved.standard_error[k] / moved.value[k] for k in ends]) / step
    expected = float(np.log(second.movement / first.movement) / step)
    held = compare_estimate(
        np.log(values[1] / values[0]) / step,
        expected,
        standard_error=np.hypot(*errors),
        freedom=freedom_of_sum(errors, moved.freedom[list(ends)]),
        bias=sum(float(moved.bias[k] / moved.value[k]) for k in ends) / step,
        networks=moved.runs,
    )
    return Row(f"slope of movement in alpha, {end}: {expected:.3f}", held)


def _data(points: Sequence[Point], time: Limit, moved: Limit, kernel: Limit) -> xr.Dataset:
    """Return measured and predicted numbers against the scale."""
    laws = {
        "time": (time, [point.time for point in points]),
        "movement": (moved, [point.movement for point in points]),
        "kernel": (kernel, [point.kernel for point in points]),
    }
    variables: dict[str, tuple[str, Floats | NDArray[np.bool_]]] = {}
    for name, (limit, law) in laws.items():
        variables[name] = ("scale", limit.value * law)
        variables[f"{name}_error"] = ("scale", limit.standard_error * law)
        variables[f"{name}_predicted"] = ("scale", np.asarray(law))
    scale = np.array([point.scale for point in points])
    variables["kernel_shown"] = ("scale", scale <= KERNEL_SCALES * (1 + 1e-9))
    return xr.Dataset(variables, coords={"scale": scale})


def _curves() -> xr.Dataset:
    """Return the formulas on a fine grid of scales."""
    points = [Point(float(scale)) for scale in np.geomspace(SCALES[0], SCALES[-1], 41)]
    return xr.Dataset(
        {name: ("scale", [getattr(point, name) for point in points]) for name in ("time", "movement", "kernel")},
        coords={"scale": [point.scale for point in points]},
    )


def _notes(setting: Setting, fit: Fit) -> tuple[str, ...]:
    """Say how the numbers were got and what they do not show."""
    sizes = Point(1.0).condition(setting.quick)
    return (
        f"Centred networks, alpha (f(x, t) - f(x, 0)), d={INPUTS}; N={sizes.samples}, M={sizes.nodes} and a half and a"
        " quarter of both, at rates as much larger: what is compared is the limit of the three sizes.",
        "Rich: gamma and the time to fit grow like a logarithm of 1/alpha, the parameters like alpha^-1/2, the kernel"
        " like 1/alpha. Lazy: gamma and the time fall like 1/alpha. The kernel of an infinitely wide network then moves"
        " in the second order of gamma only; at finite width there is noise of the first order, gamma/sqrt(M), which"
        " the kernel's component along the theory's change averages out.",
        *fit.notes,
    )
