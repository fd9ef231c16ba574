"""Compare means over networks: with an expectation, with an independent sample, or as an estimate with an error.

The tolerance is a number of standard errors plus a stated bias. The number is 4 if the standard error is known. If it
is estimated, it is Student's, at the same two-sided probability of 6.3e-5: 10,050 with two networks, 4.9 with 24.

Source: theory book, chapter 2 (formulas for Monte Carlo).
"""

from __future__ import annotations

import math

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike
from scipy.special import ndtr, stdtrit

from shoal.base.interval import DEVIATIONS
from shoal.verdicts.comparison import EPSILON, Comparison, with_catch, worst_point
from shoal.verdicts.layout import Floats, Values, broadcast, networks_first, rest_like, values_of

__all__ = ["compare_estimate", "compare_mean", "compare_samples", "deviations", "freedom_of_sum"]

PAIRED, ENOUGH = 0.99, 8
"""Correlation and number of networks from which two samples are not independent, but for a probability of 1e-6."""


def deviations(freedom: ArrayLike) -> Floats:
    """Return the standard errors that Student's t allows with these degrees of freedom, as rarely as 4 when normal.

    Examples
    --------
    >>> [round(float(each), 2) for each in deviations([1, 23, 1000, np.inf])]
    [10050.44, 4.88, 4.02, 4.0]
    """
    return np.asarray(-stdtrit(freedom, ndtr(-DEVIATIONS)), np.float64)


def freedom_of_sum(errors: Floats, freedoms: ArrayLike) -> Floats:
    """Return the degrees of freedom of a sum of independent estimates, by Welch and Satterthwaite.

    `errors`, (terms, ...), are the standard errors with their weights; `freedoms` broadcast to them from the left.
    """
    squares = np.square(np.asarray(errors, np.float64))
    each = np.asarray(freedoms, np.float64)
    each = each.reshape(each.shape + (1,) * (squares.ndim - each.ndim))
    spread = (squares**2 / each).sum(axis=0)
    return np.where(spread > 0, squares.sum(axis=0) ** 2 / np.where(spread > 0, spread, 1.0), np.inf)


def compare_mean(measured: Values, expected: Values, *, bias: Values = 0.0) -> Comparison:
    """Return how a mean over networks compares with an expectation.

    Parameters
    ----------
    measured : array or DataArray, (networks, ...), float64
        Independent networks (or datasets) first, or a dimension called ``network``. Networks with a value that is not
        finite are left out and counted.
    expected : array or DataArray, (...), float64
        The expectation, without the network axis; a number, or a shape that broadcasts.
    bias : float or array, same unit as measured
        Stated bias, added to the tolerance.

    Returns
    -------
    Comparison

    Raises
    ------
    ValueError
        Fewer than two finite networks; an expectation with a network axis; shapes or coordinates that do not agree; an
        expectation or a bias that is not finite, or a negative bias.

    Examples
    --------
    >>> found = compare_mean([0.9, 1.1, 1.0, 1.2, 0.8] * 20, 1.0)
    >>> found.verdict, str(found.catches)
    ('PASS', '20%')
    >>> compare_mean([0.9, 1.1, 1.0, 1.2, 0.8] * 20, 1.1).verdict
    'FAIL'
    """
    mean, error, alive, networks = _summary("measured", measured)
    if _has_networks(measured, expected):
        raise ValueError(
            "expected must have no network axis, for it is an expectation, got one: compare_flow and compare_rates"
            " compare network by network, compare_samples compares the means of two independent samples"
        )
    target = rest_like("expected", expected, measured, mean.shape)
    return _judge(
        mean, error, alive - 1.0, target, rest_like("bias", bias, measured, mean.shape), alive, networks - alive
    )


def compare_samples(measured: Values, independent: Values, *, bias: Values = 0.0) -> Comparison:
    """Return how the means over the networks of two independent samples compare.

    The standard errors add in quadrature; the degrees of freedom follow Welch and Satterthwaite.

    Parameters
    ----------
    measured, independent : array or DataArray, (networks, ...), float64
        As in `compare_mean`, any number of networks each. `independent` is what theory predicts for other networks;
        predictions for the very networks that were measured are refused, for they are compared network by network.
    bias : float or array, same unit as measured
        Stated bias, added to the tolerance.

    Returns
    -------
    Comparison

    Raises
    ------
    ValueError
        Fewer than two finite networks in either sample; samples that are not independent, correlated by more than 0.99
        over eight networks or more; shapes or coordinates that do not agree; a bias that is not finite, or negative.
    """
    mean, error, alive, networks = _summary("measured", measured)
    other, its_error, others, _ = _summary("independent", independent)
    _refuse_paired(measured, independent)
    target, its_error = (
        rest_like("independent", _without_networks(independent, values), measured, mean.shape)
        for values in (other, its_error)
    )
    errors = np.stack([error, its_error])
    freedom = freedom_of_sum(errors, [alive - 1.0, others - 1.0])
    extra = rest_like("bias", bias, measured, mean.shape)
    return _judge(mean, np.hypot(*errors), freedom, target, extra, alive, networks - alive)


def compare_estimate(
    estimate: ArrayLike,
    expected: ArrayLike,
    *,
    standard_error: ArrayLike,
    freedom: ArrayLike = math.inf,
    bias: ArrayLike = 0.0,
    networks: int = 0,
) -> Comparison:
    """Return how estimates with known standard errors, such as exponents, compare with what is expected.

    Parameters
    ----------
    estimate : (...), float64
        Such as exponents, or limits that were extrapolated.
    expected, standard_error, bias, freedom : float64, broadcast to estimate
        `expected` and `bias` as in `compare_mean`; degrees of freedom behind the standard error, infinite if it is
        known.
    networks : int
        How many networks are behind it, for the table.

    Returns
    -------
    Comparison

    Raises
    ------
    ValueError
        Numbers that are not finite; an error or a bias that is negative; shapes that do not broadcast.
    """
    value = values_of("estimate", estimate)
    error, target, extra = (
        broadcast(name, values_of(name, given), value.shape)
        for name, given in (("standard_error", standard_error), ("expected", expected), ("bias", bias))
    )
    return _judge(value, error, np.asarray(freedom, np.float64), target, extra, networks, 0)


def _judge(
    mean: Floats, error: Floats, freedom: ArrayLike, expected: Floats, bias: Floats, networks: int, left_out: int
) -> Comparison:
    """Return the comparison of means whose standard errors are known."""
    rounding = 5 * EPSILON * float(np.max(np.abs(mean)))
    allowed = deviations(np.broadcast_to(freedom, mean.shape)) * error + bias + rounding

    def judge(target: Floats) -> Comparison:
        counts = (networks, left_out, mean.size)
        return worst_point("statistical", mean, target, allowed, error=error, bias=bias, counts=counts)

    return with_catch(judge, expected)


def _summary(name: str, given: Values) -> tuple[Floats, Floats, int, int]:
    """Return mean over finite networks and its standard error, how many those are, and how many networks."""
    sample = networks_first(name, given)
    if sample.ndim == 0 or sample.shape[0] < 2:
        raise ValueError(f"{name} must hold at least two networks on the first axis, got shape {sample.shape}")
    finite = np.isfinite(sample).reshape(sample.shape[0], -1).all(axis=1)
    alive = int(finite.sum())
    if alive < 2:
        raise ValueError(f"{name} must hold at least two finite networks, got {alive} of {len(sample)}")
    kept = sample[finite]
    return np.asarray(kept.mean(axis=0)), np.asarray(kept.std(axis=0, ddof=1) / math.sqrt(alive)), alive, len(sample)


def _has_networks(measured: Values, expected: Values) -> bool:
    """Return whether an expectation has an axis of networks: by name, else by its number of axes."""
    if isinstance(expected, xr.DataArray):
        return "network" in expected.dims
    return np.ndim(expected) >= np.ndim(measured)


def _without_networks(sample: Values, values: Floats) -> Values:
    """Return a mean over networks with the names and coordinates of its sample."""
    if not isinstance(sample, xr.DataArray):
        return values
    rest = sample.transpose("network", ...).isel(network=0, drop=True)
    return rest.copy(data=values)


def _refuse_paired(measured: Values, independent: Values) -> None:
    """Refuse predictions for the very networks that were measured: their mean hides what single networks show."""
    one, other = (networks_first("", each) for each in (measured, independent))
    if one.shape != other.shape or len(one) < ENOUGH:
        return
    finite = np.isfinite(one).reshape(len(one), -1).all(axis=1) & np.isfinite(other).reshape(len(one), -1).all(axis=1)
    if finite.sum() < ENOUGH:
        return
    pair = [each[finite].reshape(int(finite.sum()), -1).mean(axis=1) for each in (one, other)]
    if min(each.std() for each in pair) == 0:
        return
    correlation = float(np.corrcoef(*pair)[0, 1])
    if correlation > PAIRED:
        raise ValueError(
            f"independent must be of other networks than measured, got a correlation of {correlation:.4g} over them:"
            " compare_flow and compare_rates compare a prediction with the network it is for"
        )
