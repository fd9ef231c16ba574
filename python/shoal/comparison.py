"""Hold a measurement against a prediction, with an allowance that the data themselves set.

Two kinds of comparison (two more, of counts, stand in proportion.py), and no tolerance tuned to a result:

* **exact** (three runs at rate, rate/2 and rate/4 are given): gradient descent M(rate) = F + c1 rate + c2 rate^2 + ...
  runs off the flow F that theory predicts. Romberg's extrapolation of the three runs removes c1 and c2; what is left
  must lie within the last correction that the extrapolation made, and halving the rate must halve the bias.
* **statistical**: the mean over networks must lie within four standard errors plus a stated bias.

Source: docs/theory.md section 0 (flow and descent).
"""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

__all__ = ["DEVIATIONS", "Comparison", "Values", "compare", "ratio_of"]

DEVIATIONS = 4.0
"""Standard errors that a statistical comparison allows."""

Values = ArrayLike | xr.DataArray
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Comparison:
    """What came out of holding a measurement against a prediction.

    Attributes
    ----------
    kind : {"exact", "statistical", "proportion", "majority"}
        How the allowance was found.
    measured, predicted : float
        Both values at the worst point (largest ratio of gap to allowance).
    gap, allowance : float
        |measured - predicted| there (its supremum over time where exact), and what was allowed.
    ratio : float
        gap / allowance; at most 1 for a pass.
    standard_error : float
        Standard error at the worst point; 0 where the comparison is exact.
    bias : float
        Exact: supremum of the first-order bias that the coarsest run was measured to have. Otherwise: the stated bias.
    order : float
        Measured order of convergence in the rate, log2 of the ratio of successive differences (median over networks);
        NaN where the comparison is not exact. It must round to 1.
    networks, left_out : int
        Networks compared, and networks left out because they diverged.
    points : int
        Values compared.
    """

    kind: Literal["exact", "statistical", "proportion", "majority"]
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
    standard_error: Values | None = None,
    bias: Values = 0.0,
) -> Comparison:
    """Return how far a measurement lies from a prediction, against what it may.

    Parameters
    ----------
    measured : array or DataArray, (networks, ...), float64
        The measurement, networks first (or a dimension called ``network``). The one axis of a one-dimensional array is
        time where the comparison is exact (one network) and networks where it is statistical.
    predicted : array or DataArray, float64
        Exact: the same shape, or one that broadcasts to it. Statistical: without the network axis, the expectation;
        with it (any number of networks), an *independent* sample whose mean is taken and whose error is added in
        quadrature.
    halved, quartered : like measured, optional
        The same networks at half and a quarter of the rate, at the same times. Given together they make the comparison
        exact: one allowance for each network and each index after the time axis (mode, sample), the supremum over time
        (axis 1, or the dimension ``time``) of the last correction of the extrapolation plus rounding.
    where : bool, like measured, optional
        Points to compare. Exact only: leave out points at which a kink (a neuron dies) lies between the three runs,
        because no extrapolation holds there.
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
        and `quartered`; `where` without them; fewer than two networks in a statistical comparison; nothing left to
        compare.

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
    """
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
            "got it without halved and quartered"
        )
    if standard_error is not None:
        return _mean(_values("measured", measured), standard_error, predicted, bias, networks=0, left_out=0)
    return _sample(measured, predicted, bias)


def _exact(
    coarse: Values, theory: Values, half: Values, quarter: Values, where: Values | None, bias: Values
) -> Comparison:
    """Romberg's extrapolation of three rates against theory, per network and per index after the time axis."""
    layout = _Layout.of(coarse)
    runs = np.stack(
        [layout.put(*run, exact=True) for run in (("measured", coarse), ("halved", half), ("quartered", quarter))]
    )
    expected = layout.put("predicted", theory)
    extra = layout.put("bias", bias)
    networks = np.isfinite(runs).reshape(3, runs.shape[1], -1).all(axis=(0, 2))
    keep = np.zeros(expected.shape, bool)
    keep[networks] = True if where is None else layout.put("where", where)[networks].astype(bool)
    if not keep.any():
        raise ValueError(
            "measured, halved and quartered must leave a finite point to compare, got "
            f"{int(networks.sum())} finite networks of {networks.size}" + ("" if where is None else " and where")
        )
    first, second, fourth = np.where(keep, runs, 0.0)
    twice = 2 * fourth - second
    flow = (4 * twice - (2 * second - first)) / 3
    # The weights of the three runs in the extrapolation, 8/3 + 2 + 1/3, add up to 5 roundings of the largest number
    # around: a margin near 0 is a difference of terms that are not.
    rounding = 5 * np.finfo(float).eps * float(np.max(np.abs(fourth)))
    allowed = np.where(keep, _supremum(flow - twice) + rounding + extra, 0.0)
    gaps = np.where(keep, np.abs(flow - expected), 0.0)
    ratios = ratio_of(gaps, allowed)
    at = np.unravel_index(int(np.argmax(ratios)), ratios.shape)
    if not keep[at]:
        at = np.unravel_index(int(np.argmax(keep)), keep.shape)
    return Comparison(
        "exact", float(flow[at]), float(expected[at]), float(gaps[at]), float(allowed[at]), float(ratios[at]), 0.0,
        float(np.max(_supremum(first - flow))), _order(first - second, second - fourth, rounding),
        int(networks.sum()), int((~networks).sum()), int(keep.sum()),
    )  # fmt: skip


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
    sample = _networks_first("measured", measured)
    if sample.ndim == 0 or sample.shape[0] < 2:
        raise ValueError(f"measured must hold at least two networks on the first axis, got shape {sample.shape}")
    alive = np.isfinite(sample).reshape(sample.shape[0], -1).all(axis=1)
    if alive.sum() < 2:
        raise ValueError(f"measured must hold at least two finite networks, got {int(alive.sum())} of {alive.size}")
    mean, error = _mean_and_error(sample[alive])
    expected = _networks_first("predicted", predicted)
    if expected.ndim == sample.ndim:
        if expected.shape[0] < 2:
            raise ValueError(
                f"predicted must hold at least two networks where it is a sample, got shape {expected.shape}"
            )
        expected, other = _mean_and_error(expected)
        error = np.hypot(error, _broadcast("predicted", other, error.shape))
    return _mean(mean, error, expected, bias, networks=int(alive.sum()), left_out=int((~alive).sum()))


def _mean(mean: Floats, error: Values, expected: Values, bias: Values, *, networks: int, left_out: int) -> Comparison:
    """Compare a mean whose standard error is known; the worst point is the largest ratio."""
    errors = _broadcast("standard_error", _values("standard_error", error), mean.shape)
    target = _broadcast("predicted", _values("predicted", expected), mean.shape)
    extra = _broadcast("bias", _values("bias", bias), mean.shape)
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


@dataclass(frozen=True)
class _Layout:
    """Brings arrays and DataArrays into the order (network, time, rest) of the measurement."""

    dims: tuple[Hashable, ...] | None
    shape: tuple[int, ...]
    full: tuple[int, ...]

    @classmethod
    def of(cls, given: Values) -> _Layout:
        """Read the layout of the measurement: networks first, then time; a single axis is time."""
        if isinstance(given, xr.DataArray):
            named = [dim for dim in ("network", "time") if dim in given.dims]
            dims = (*named, *(dim for dim in given.dims if dim not in named))
            shape = tuple(given.sizes[dim] for dim in dims)
            full = (given.sizes.get("network", 1), given.sizes.get("time", 1), *shape[len(named) :])
            return cls(dims, shape, full)
        shape = np.shape(given)
        if not shape:
            raise ValueError("measured must have an axis of time for an exact comparison, got a scalar")
        return cls(None, shape, shape if len(shape) > 1 else (1, *shape))

    def put(self, name: str, given: Values, *, exact: bool = False) -> Floats:
        """Return `given` in this layout; with `exact`, its shape must be the measurement's, else it may broadcast."""
        if isinstance(given, xr.DataArray) and self.dims is not None:
            if not set(given.dims) <= set(self.dims):
                raise ValueError(f"{name} must have no dimensions but those of measured, {self.dims}, got {given.dims}")
            missing = [dim for dim in self.dims if dim not in given.dims]
            given = given.expand_dims(missing).transpose(*self.dims)
        values = _values(name, given)
        if exact and values.shape != self.shape:
            raise ValueError(f"{name} must have the shape of measured, {self.shape}, got {values.shape}")
        return _broadcast(name, values, self.shape).reshape(self.full)


def _values(name: str, given: Values) -> Floats:
    """Return the numbers as float64; a prediction must be finite, a bias or an error also not negative."""
    values = np.asarray(given, dtype=np.float64)
    if name in ("predicted", "bias", "standard_error") and not np.isfinite(values).all():
        raise ValueError(f"{name} must be finite, got {values[~np.isfinite(values)][0]}")
    if name in ("bias", "standard_error") and (values < 0).any():
        raise ValueError(f"{name} must not be negative, got {values.min()}")
    return values


def _broadcast(name: str, values: Floats, shape: tuple[int, ...]) -> Floats:
    """Broadcast to the shape of the measurement or say why not."""
    try:
        return np.broadcast_to(values, shape)
    except ValueError:
        raise ValueError(f"{name} must have a shape that broadcasts to {shape}, got {values.shape}") from None


def _networks_first(name: str, given: Values) -> Floats:
    """Return the numbers with the network dimension first where there is one."""
    if isinstance(given, xr.DataArray) and "network" in given.dims:
        given = given.transpose("network", ...)
    return _values(name, given)
