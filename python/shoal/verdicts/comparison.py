"""Compare a measurement with a prediction, by a rule that the caller names.

| rule | what is compared | tolerance |
|---|---|---|
| `compare_flow` | gradient flow, network by network | that of the integrator |
| `compare_rates` | gradient descent at three rates, network by network | the last correction of the extrapolation |
| `means.compare_mean` | the mean over networks with an expectation | standard errors, Student's t |
| `means.compare_samples` | the means of two independent samples | standard errors, Student's t |
| `proportion.compare_fraction` | a count with a probability | Wilson's interval |

Tolerances follow from the data and are never tuned. Every comparison also runs itself again with wrong predictions and
reports the smallest wrong amount that it catches. Source: theory book, chapter 0 (flow and descent).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from shoal.base import checks
from shoal.verdicts.catch import UNKNOWN, Catch, fewest, smallest
from shoal.verdicts.layout import Floats, Layout, Values

__all__ = ["Comparison", "Values", "compare_flow", "compare_rates", "ratio_of", "with_catch", "worst", "worst_point"]

Mask = NDArray[np.bool_]
Kind = Literal["flow", "exact", "statistical", "fraction", "majority"]
EPSILON = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class Comparison:
    """A measurement compared with a prediction: the worst point, which has the largest ratio of gap to tolerance.

    Attributes
    ----------
    kind : {"flow", "exact", "statistical", "fraction", "majority"}
        The rule: `compare_flow`, `compare_rates`, `compare_mean` or `compare_samples`, `compare_fraction`,
        `compare_majority`.
    measured, predicted, gap, tolerance, ratio : float
        At the worst point: both values, |measured - predicted|, the largest gap that passes, and gap / tolerance. A
        ratio of at most 1 passes.
    standard_error : float
        At the worst point; 0 for "exact" and "flow".
    bias : float
        The stated bias; for "exact", the largest first-order bias of the coarsest run.
    order : float
        For "exact", the measured order of convergence in the rate (median over networks), which must round to 1; else
        NaN.
    networks, left_out, points : int
        Networks compared, networks left out because they diverged, values compared.
    catches : Catch
        The smallest wrong theory that fails the same comparison.
    """

    kind: Kind
    measured: float
    predicted: float
    gap: float
    tolerance: float
    ratio: float
    standard_error: float
    bias: float
    order: float
    networks: int
    left_out: int
    points: int
    catches: Catch = UNKNOWN

    @property
    def passed(self) -> bool:
        """Whether the gap lies within the tolerance and, at three rates, the measured order rounds to one."""
        first_order = self.kind != "exact" or not math.isfinite(self.order) or 0.5 < self.order < 1.5
        return bool(self.ratio <= 1.0) and first_order

    @property
    def verdict(self) -> str:
        """``"PASS"`` or ``"FAIL"``."""
        return "PASS" if self.passed else "FAIL"

    def __str__(self) -> str:
        """Return one line with the verdict and the numbers behind it."""
        return (
            f"{self.verdict} ({self.kind}): measured {self.measured:.6g}, predicted {self.predicted:.6g}, "
            f"gap {self.gap:.3g}, allowed {self.tolerance:.3g}, ratio {self.ratio:.3g}, {self.networks} networks, "
            f"catches {self.catches}"
        )


def compare_flow(
    measured: Values, predicted: Values, tolerance: float, *, where: Values | None = None, bias: Values = 0.0
) -> Comparison:
    """Return how gradient flow compares with its theory, network by network.

    Parameters
    ----------
    measured : array or DataArray, (networks, times, ...), float64
        One run of gradient flow, networks first (or a dimension called ``network``), then time. The one axis of a
        one-dimensional array is time.
    predicted : array or DataArray, float64
        The same shape, or one that broadcasts to it.
    tolerance : float
        > 0, without unit, as a rule ``10 * rtol`` of the method: the error per step, with a factor for what a run
        accumulates. A series (a network and an index after the time axis) may be off by `tolerance` times its largest
        |predicted| over time, plus rounding.
    where : bool, like measured, optional
        Points to compare; the prediction need not cover the others.
    bias : float or array, same unit as measured
        Stated bias, added to the tolerance.

    Returns
    -------
    Comparison

    Raises
    ------
    TypeError, ValueError
        A `tolerance` that is no positive number; shapes or coordinates that do not agree; a prediction or a bias that
        is not finite, or a negative bias; nothing left to compare.

    Examples
    --------
    >>> compare_flow([[1.0, 2.0]], [[1.0, 2.0 + 1e-8]], tolerance=1e-7).verdict
    'PASS'
    >>> str(compare_flow([[1.0, 2.0]], [[1.0, 2.0 + 1e-8]], tolerance=1e-7).catches)
    '0.1%'
    """
    size = checks.positive("tolerance", tolerance)
    layout = Layout.of(measured)
    run = layout.put("measured", measured, exact=True)
    extra = layout.put("bias", bias)
    keep, counts = _kept("measured", layout, np.isfinite(run), where)
    values = np.where(keep, run, 0.0)
    # A margin near 0 is a difference of terms that are as large as the largest number around.
    rounding = 5 * EPSILON * float(np.max(np.abs(values)))

    def judge(expected: Floats) -> Comparison:
        allowed = np.where(keep, size * _supremum(np.where(keep, expected, 0.0)) + rounding + extra, 0.0)
        return worst_point("flow", values, expected, allowed, keep=keep, bias=extra, counts=counts)

    return with_catch(judge, layout.put("predicted", predicted))


def compare_rates(
    full: Values, half: Values, quarter: Values, predicted: Values, *, where: Values | None = None, bias: Values = 0.0
) -> Comparison:
    """Return how gradient descent at three learning rates compares with the theory of gradient flow.

    Parameters
    ----------
    full, half, quarter : array or DataArray, (networks, times, ...), float64
        The same networks at a rate, at half and at a quarter of it, recorded at the same times. Axes as in
        `compare_flow`.
    predicted : array or DataArray, float64
        The same shape, or one that broadcasts to it.
    where : bool, like full, optional
        Points to compare. No extrapolation holds where a kink (a neuron dies) lies between the runs.
    bias : float or array, same unit as full
        Stated bias, added to the tolerance.

    Returns
    -------
    Comparison

    Raises
    ------
    ValueError
        Shapes or coordinates that do not agree; a prediction or a bias that is not finite, or a negative bias; nothing
        left to compare.

    Notes
    -----
    Descent M(rate) = F + c1 rate + c2 rate^2 + ... deviates from the flow F that theory predicts. With R1 = 2 M2 - M1
    and R2 = 2 M4 - M2, Romberg's extrapolation is (4 R2 - R1)/3, free of c1 and c2. Its last correction, (R2 - R1)/3,
    estimates the error of R2 and bounds that of the extrapolation once the rates are small. The tolerance of each
    series is the supremum of this correction over time. The measured order must round to one, which tests that the
    rates are small.

    Examples
    --------
    >>> rates = np.array([0.1, 0.05, 0.025])
    >>> runs = [np.array([[1.0, 1.0 + rate + rate**2]]) for rate in rates]
    >>> compare_rates(*runs, [[1.0, 1.0]]).verdict
    'PASS'
    >>> compare_rates(*runs, [[1.0, 1.01]]).verdict
    'FAIL'
    """
    layout = Layout.of(full, "full")
    runs = np.stack([layout.put(*run, exact=True) for run in (("full", full), ("half", half), ("quarter", quarter))])
    extra = layout.put("bias", bias)
    keep, counts = _kept("full, half and quarter", layout, np.asarray(np.isfinite(runs).all(axis=0)), where)
    first, second, fourth = np.where(keep, runs, 0.0)
    twice = 2 * fourth - second
    flow = (4 * twice - (2 * second - first)) / 3
    # The weights of the three runs in the extrapolation, 8/3 + 2 + 1/3, add up to 5 roundings of the largest number
    # around: a margin near 0 is a difference of terms that are not.
    rounding = 5 * EPSILON * float(np.max(np.abs(fourth)))
    allowed = np.where(keep, _supremum(flow - twice) + rounding + extra, 0.0)
    first_bias, order = float(np.max(_supremum(first - flow))), _order(first - second, second - fourth, rounding)

    def judge(expected: Floats) -> Comparison:
        return worst_point(
            "exact", flow, expected, allowed, keep=keep, bias=np.broadcast_to(first_bias, flow.shape), order=order,
            counts=counts,
        )  # fmt: skip

    return with_catch(judge, layout.put("predicted", predicted))


def worst_point(
    kind: Kind,
    measured: Floats,
    predicted: Floats,
    allowed: Floats,
    *,
    counts: tuple[int, int, int],
    bias: Floats,
    error: Floats | None = None,
    order: float = math.nan,
    keep: Mask | None = None,
) -> Comparison:
    """Return the comparison at the largest ratio of the points kept; `counts` are networks, left out and points."""
    gaps = np.abs(measured - predicted)
    gaps = gaps if keep is None else np.where(keep, gaps, 0.0)
    ratios = ratio_of(gaps, allowed)
    at = np.unravel_index(int(np.argmax(ratios)), ratios.shape)
    if keep is not None and not keep[at]:  # all ratios are 0: the first point that was compared
        at = np.unravel_index(int(np.argmax(keep)), keep.shape)
    place, target, gap, tolerance, ratio = (float(each[at]) for each in (measured, predicted, gaps, allowed, ratios))
    spread = 0.0 if error is None else float(error[at])
    return Comparison(kind, place, target, gap, tolerance, ratio, spread, float(bias[at]), order, *counts)


def with_catch(judge: Callable[[Floats], Comparison], predicted: Floats) -> Comparison:
    """Return the comparison that `judge` makes with the prediction, and what it catches of wrong ones."""
    return replace(judge(predicted), catches=smallest(lambda wrong: judge(wrong).passed, predicted))


def worst(comparisons: Iterable[Comparison]) -> Comparison:
    """Return the comparison of the largest ratio, which catches what any of them catches.

    Of equal ratios, the one that measured least above its prediction.
    """
    held = list(comparisons)
    found = max(held, key=lambda each: (each.ratio, each.predicted - each.measured))
    return replace(found, catches=fewest(each.catches for each in held))


def ratio_of(gap: Any, allowed: Any) -> Floats:
    """Return gap over tolerance; 0/0 is agreement, a gap without a tolerance is infinite."""
    gap, allowed = np.broadcast_arrays(np.asarray(gap, float), np.asarray(allowed, float))
    safe = np.where(allowed > 0, allowed, 1.0)
    return np.where(allowed > 0, gap / safe, np.where(gap > 0, np.inf, 0.0))


def _kept(names: str, layout: Layout, finite: Mask, where: Values | None) -> tuple[Mask, tuple[int, int, int]]:
    """Return the points of finite networks that `where` keeps; networks compared, networks left out and points."""
    networks = finite.reshape(len(finite), -1).all(axis=1)
    alive = int(networks.sum())
    keep = np.zeros(layout.full, bool)
    keep[networks] = True if where is None else layout.put("where", where)[networks].astype(bool)
    if not keep.any():
        also = "" if where is None else " and where"
        raise ValueError(
            f"{names} must leave a finite point to compare, got {alive} finite networks of {networks.size}{also}"
        )
    return keep, (alive, networks.size - alive, int(keep.sum()))


def _order(coarse: Floats, fine: Floats, rounding: float) -> float:
    """Return the median over series of log2 |M1 - M2| / |M2 - M4|; NaN if the runs agree to rounding."""
    large, small = _supremum(coarse), _supremum(fine)
    clear = np.minimum(large, small) > 100 * rounding
    return float(np.median(np.log2(large[clear] / small[clear]))) if clear.any() else math.nan


def _supremum(series: Floats) -> Floats:
    """Return the largest absolute value over time, the axis kept."""
    return np.asarray(np.max(np.abs(series), axis=1, keepdims=True))
