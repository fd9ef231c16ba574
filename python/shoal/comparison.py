"""Hold a measurement against a prediction, with an allowance that the data themselves set.

Three kinds of comparison (two more, of counts, stand in proportion.py), and no tolerance tuned to a result:

* **exact** (three runs at rate, rate/2 and rate/4 are given): gradient descent M(rate) = F + c1 rate + c2 rate^2 + ...
  runs off the flow F that theory predicts. Romberg's extrapolation of the three runs removes c1 and c2; what is left
  must lie within the last correction that the extrapolation made, and halving the rate must halve the bias.
* **flow** (a tolerance is given): gradient flow integrated to a tolerance is the flow itself, so each series may lie
  that fraction of the largest value it is predicted to take off the prediction.
* **statistical**: the mean over networks must lie within four standard errors plus a stated bias.

Source: docs/theory.md section 0 (flow and descent).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from shoal import checks
from shoal.interval import DEVIATIONS
from shoal.layout import Floats, Layout, Values, broadcast, networks_first, values_of

__all__ = ["DEVIATIONS", "Comparison", "Values", "compare", "ratio_of"]

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Comparison:
    """What came out of holding a measurement against a prediction.

    Attributes
    ----------
    kind : {"exact", "flow", "statistical", "proportion", "majority"}
        How the allowance was found.
    measured, predicted : float
        Both values at the worst point (largest ratio of gap to allowance).
    gap, allowance : float
        |measured - predicted| there, and what was allowed.
    ratio : float
        gap / allowance; at most 1 for a pass.
    standard_error : float
        Standard error at the worst point; 0 where the comparison is exact, at three rates or under flow.
    bias : float
        Exact: supremum of the first-order bias that the coarsest run was measured to have. Otherwise: the stated bias.
    order : float
        Measured order of convergence in the rate, log2 of the ratio of successive differences (median over networks);
        NaN where the comparison is not one of three rates. It must round to 1.
    networks, left_out : int
        Networks compared, and networks left out because they diverged.
    points : int
        Values compared.
    """

    kind: Literal["exact", "flow", "statistical", "proportion", "majority"]
    measured: float
    predicted: float
    gap: float
    allowance: float
    ratio: float
    standard_error: float
    bias: float
    order: float
    networks: int
    left_out: int
    points: int

    @property
    def passed(self) -> bool:
        """Whether the gap lies within the allowance and, where exact, the measured order rounds to one."""
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
            f"gap {self.gap:.3g}, allowed {self.allowance:.3g}, ratio {self.ratio:.3g}, {self.networks} networks"
        )


def compare(
    measured: Values,
    predicted: Values,
    *,
    halved: Values | None = None,
    quartered: Values | None = None,
    where: Values | None = None,
    tolerance: float | None = None,
    standard_error: Values | None = None,
    bias: Values = 0.0,
) -> Comparison:
    """Return how far a measurement lies from a prediction, against what it may.

    Parameters
    ----------
    measured : array or DataArray, (networks, ...), float64
        The measurement, networks first (or a dimension called ``network``). The one axis of a one-dimensional array is
        time where the comparison is exact or of flow (one network) and networks where it is statistical.
    predicted : array or DataArray, float64
        Exact and flow: the same shape, or one that broadcasts to it. Statistical: without the network axis, the
        expectation; with it (any number of networks), an *independent* sample whose mean is taken and whose error is
        added in quadrature.
    halved, quartered : like measured, optional
        The same networks at half and a quarter of the rate, at the same times. Given together they make the comparison
        exact: one allowance for each network and each index after the time axis (mode, sample), the supremum over time
        (axis 1, or the dimension ``time``) of the last correction of the extrapolation plus rounding.
    where : bool, like measured, optional
        Points to compare, exact and flow only. At three rates: leave out points at which a kink (a neuron dies) lies
        between the runs, because no extrapolation holds there. Under flow: leave out points the prediction does not
        cover.
    tolerance : float, optional
        > 0, without unit. Given, it makes the comparison one of flow: one allowance for each network and each index
        after the time axis, `tolerance` times the supremum over the compared times of |predicted|, plus rounding.
        ``10 * rtol`` of the method is its meaning: the integrator's error a step, with a factor for what a run
        accumulates. A series predicted to be 0 at all times may be off by rounding (and `bias`) only.
    standard_error : array, optional
        Statistical only: `measured` is then already a mean (no network axis) with this standard error.
    bias : float or array, same unit as measured
        Stated bias, added to the allowance.

    Returns
    -------
    Comparison
        The worst point, its numbers and the verdict.

    Raises
    ------
    ValueError
        Shapes that do not agree; a prediction or a bias that is not finite, or a negative bias; only one of `halved`
        and `quartered`; `where` without them and without `tolerance`; a `tolerance` that is not positive, or that
        comes with `halved`, `quartered` or `standard_error`; fewer than two networks in a statistical comparison;
        nothing left to compare.
    TypeError
        A `tolerance` that is not a number.

    Notes
    -----
    With R1 = 2 M2 - M1 and R2 = 2 M4 - M2 the extrapolation is (4 R2 - R1)/3; its last correction, (R2 - R1)/3,
    estimates the error of R2 and bounds that of the extrapolation once the rates are small. That they are is
    tested: the measured order must round to one.

    Examples
    --------
    >>> rates = np.array([0.1, 0.05, 0.025])
    >>> runs = [np.array([[1.0, 1.0 + rate + rate**2]]) for rate in rates]
    >>> compare(runs[0], [[1.0, 1.0]], halved=runs[1], quartered=runs[2]).verdict
    'PASS'
    >>> compare(runs[0], [[1.0, 1.01]], halved=runs[1], quartered=runs[2]).verdict
    'FAIL'
    >>> compare([[1.0, 2.0]], [[1.0, 2.0 + 1e-8]], tolerance=1e-7).kind
    'flow'
    """
    if tolerance is not None:
        others = {"halved": halved, "quartered": quartered, "standard_error": standard_error}
        given = [name for name, value in others.items() if value is not None]
        if given:
            raise ValueError(f"tolerance must come without halved, quartered and standard_error, got {given[0]} too")
        return _flow(measured, predicted, checks.positive("tolerance", tolerance), where, bias)
    if (halved is None) != (quartered is None):
        raise ValueError(
            "halved and quartered must be given together for an exact comparison, "
            f"got {'quartered' if halved is None else 'halved'} only"
        )
    if halved is not None and quartered is not None:
        if standard_error is not None:
            raise ValueError("standard_error must be left out of an exact comparison, got it with halved and quartered")
        return _exact(measured, predicted, halved, quartered, where, bias)
    if where is not None:
        raise ValueError(
            "where must be left out of a statistical comparison, which leaves no point out, "
            "got it without halved and quartered and without tolerance"
        )
    if standard_error is not None:
        return _mean(values_of("measured", measured), standard_error, predicted, bias, networks=0, left_out=0)
    return _sample(measured, predicted, bias)


def _exact(
    coarse: Values, theory: Values, half: Values, quarter: Values, where: Values | None, bias: Values
) -> Comparison:
    """Romberg's extrapolation of three rates against theory, per network and per index after the time axis."""
    layout = Layout.of(coarse)
    runs = np.stack(
        [layout.put(*run, exact=True) for run in (("measured", coarse), ("halved", half), ("quartered", quarter))]
    )
    expected = layout.put("predicted", theory)
    extra = layout.put("bias", bias)
    networks = np.asarray(np.isfinite(runs).reshape(3, runs.shape[1], -1).all(axis=(0, 2)))
    keep = _kept("measured, halved and quartered", layout, networks, where)
    first, second, fourth = np.where(keep, runs, 0.0)
    twice = 2 * fourth - second
    flow = (4 * twice - (2 * second - first)) / 3
    # The weights of the three runs in the extrapolation, 8/3 + 2 + 1/3, add up to 5 roundings of the largest number
    # around: a margin near 0 is a difference of terms that are not.
    rounding = 5 * np.finfo(float).eps * float(np.max(np.abs(fourth)))
    allowed = np.where(keep, _supremum(flow - twice) + rounding + extra, 0.0)
    gaps = np.where(keep, np.abs(flow - expected), 0.0)
    ratios = ratio_of(gaps, allowed)
    at = _worst(ratios, keep)
    return Comparison(
        "exact", float(flow[at]), float(expected[at]), float(gaps[at]), float(allowed[at]), float(ratios[at]), 0.0,
        float(np.max(_supremum(first - flow))), _order(first - second, second - fourth, rounding),
        int(networks.sum()), int((~networks).sum()), int(keep.sum()),
    )  # fmt: skip


def _flow(given: Values, theory: Values, tolerance: float, where: Values | None, bias: Values) -> Comparison:
    """One run of gradient flow against theory, per network and per index after the time axis."""
    layout = Layout.of(given)
    run = layout.put("measured", given, exact=True)
    expected = layout.put("predicted", theory)
    extra = layout.put("bias", bias)
    networks = np.asarray(np.isfinite(run).reshape(run.shape[0], -1).all(axis=1))
    keep = _kept("measured", layout, networks, where)
    measured = np.where(keep, run, 0.0)
    # As for three rates: a margin near 0 is a difference of terms that are as large as the largest number around.
    rounding = 5 * np.finfo(float).eps * float(np.max(np.abs(measured)))
    allowed = np.where(keep, tolerance * _supremum(np.where(keep, expected, 0.0)) + rounding + extra, 0.0)
    gaps = np.where(keep, np.abs(measured - expected), 0.0)
    ratios = ratio_of(gaps, allowed)
    at = _worst(ratios, keep)
    return Comparison(
        "flow", float(measured[at]), float(expected[at]), float(gaps[at]), float(allowed[at]), float(ratios[at]), 0.0,
        float(extra[at]), math.nan, int(networks.sum()), int((~networks).sum()), int(keep.sum()),
    )  # fmt: skip


def _kept(names: str, layout: Layout, networks: Mask, where: Values | None) -> Mask:
    """Points of finite networks that `where` lets through; at least one."""
    keep = np.zeros(layout.full, bool)
    keep[networks] = True if where is None else layout.put("where", where)[networks].astype(bool)
    if not keep.any():
        raise ValueError(
            f"{names} must leave a finite point to compare, got "
            f"{int(networks.sum())} finite networks of {networks.size}" + ("" if where is None else " and where")
        )
    return keep


def _worst(ratios: Floats, keep: Mask) -> tuple[np.intp, ...]:
    """Index of the largest ratio; of the first compared point where all ratios are 0."""
    at = np.unravel_index(int(np.argmax(ratios)), ratios.shape)
    return at if keep[at] else np.unravel_index(int(np.argmax(keep)), keep.shape)


def _order(coarse: Floats, fine: Floats, rounding: float) -> float:
    """Median over series of log2 |M1 - M2| / |M2 - M4|; NaN where the runs agree to rounding."""
    large, small = _supremum(coarse), _supremum(fine)
    told = np.minimum(large, small) > 100 * rounding
    return float(np.median(np.log2(large[told] / small[told]))) if told.any() else math.nan


def _supremum(series: Floats) -> Floats:
    """Supremum over time, the axis kept."""
    return np.asarray(np.max(np.abs(series), axis=1, keepdims=True))


def _sample(measured: Values, predicted: Values, bias: Values) -> Comparison:
    """Mean over networks against an expectation or an independent sample."""
    sample = networks_first("measured", measured)
    if sample.ndim == 0 or sample.shape[0] < 2:
        raise ValueError(f"measured must hold at least two networks on the first axis, got shape {sample.shape}")
    alive = np.isfinite(sample).reshape(sample.shape[0], -1).all(axis=1)
    if alive.sum() < 2:
        raise ValueError(f"measured must hold at least two finite networks, got {int(alive.sum())} of {alive.size}")
    mean, error = _mean_and_error(sample[alive])
    expected = networks_first("predicted", predicted)
    if expected.ndim == sample.ndim:
        if expected.shape[0] < 2:
            raise ValueError(
                f"predicted must hold at least two networks where it is a sample, got shape {expected.shape}"
            )
        expected, other = _mean_and_error(expected)
        error = np.hypot(error, broadcast("predicted", other, error.shape))
    return _mean(mean, error, expected, bias, networks=int(alive.sum()), left_out=int((~alive).sum()))


def _mean(mean: Floats, error: Values, expected: Values, bias: Values, *, networks: int, left_out: int) -> Comparison:
    """Compare a mean whose standard error is known; the worst point is the largest ratio."""
    errors = broadcast("standard_error", values_of("standard_error", error), mean.shape)
    target = broadcast("predicted", values_of("predicted", expected), mean.shape)
    extra = broadcast("bias", values_of("bias", bias), mean.shape)
    if not np.isfinite(mean).all():
        raise ValueError(f"measured must be finite where it is a mean, got {mean[~np.isfinite(mean)][0]}")
    gaps = np.abs(mean - target)
    rounding = 5 * np.finfo(float).eps * float(np.max(np.abs(mean)))
    allowed = DEVIATIONS * errors + extra + rounding
    ratios = ratio_of(gaps, allowed)
    at = np.unravel_index(int(np.argmax(ratios)), ratios.shape)
    return Comparison(
        "statistical", float(mean[at]), float(target[at]), float(gaps[at]), float(allowed[at]), float(ratios[at]),
        float(errors[at]), float(extra[at]), math.nan, networks, left_out, int(gaps.size),
    )  # fmt: skip


def _mean_and_error(sample: Floats) -> tuple[Floats, Floats]:
    """Mean over the first axis and its standard error."""
    return np.asarray(sample.mean(axis=0)), np.asarray(sample.std(axis=0, ddof=1) / math.sqrt(sample.shape[0]))


def ratio_of(gap: Any, allowed: Any) -> Floats:
    """Return gap over allowance; 0/0 is agreement, a gap without an allowance is infinite."""
    gap, allowed = np.broadcast_arrays(np.asarray(gap, float), np.asarray(allowed, float))
    safe = np.where(allowed > 0, allowed, 1.0)
    return np.where(allowed > 0, gap / safe, np.where(gap > 0, np.inf, 0.0))
