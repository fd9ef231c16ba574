"""Statistics over the networks of a random training are those of the very networks."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray

import shoal
from fuzz_cases import Case
from fuzz_checks import DIVERGED
from reference import Array
from shoal.spec.measures import OF_TIME
from shoal.spec.method import STOP_RULES
from test_statistics import bin_of, histogram

EPS = float(np.finfo(np.float64).eps)
_LARGEST = float(np.finfo(np.float64).max)
_ROOT = float(np.sqrt(_LARGEST))


def asked(case: Case, every: xarray.Dataset) -> shoal.Statistics:
    """Return random statistics of what the case measures."""
    draw, names = case.draw, [name for name in OF_TIME if name in case.reducible]

    def some(values: Any, most: int) -> list[Any]:
        return [values[int(k)] for k in draw.choice(len(values), min(most, len(values)), replace=False)]

    events = []
    for name in some(names, 3):
        values = every[name].values[np.isfinite(every[name].values)].astype(np.float64)
        threshold = float(draw.choice(values)) if len(values) and draw.uniform() < 0.7 else float(draw.normal())
        events.append(f"{name} {draw.choice(['<', '<=', '>', '>='])} {threshold!r}")
    pairs = [(a, b) for a in names for b in names]
    of = [name for name in case.reducible if name not in ("margin", "output", "residual", "unit_active")]
    return shoal.Statistics(
        covariance=some(pairs, 2), events=events, distribution=some(of, 2), resolution=int(draw.integers(6))
    )


def statistics(case: Case) -> None:
    """Compare everything that is kept of networks with the networks, whatever the threads."""
    every = case.train(shoal.Record(steps=case.steps, measure=case.reducible))
    wanted = asked(case, every)
    record = shoal.Record(steps=case.steps, measure=case.reducible, reduce=wanted)
    reduced = case.train(record, threads=int(case.draw.integers(1, 4)))
    status = every.status.values
    kept = every.isel(network=np.flatnonzero(status != DIVERGED))
    with np.errstate(all="ignore"):  # sums of numbers that nearly overflow
        np.testing.assert_array_equal(reduced.outcome_count, np.bincount(status, minlength=6), str(case))
        for name in case.reducible:
            moments(kept[name].values.astype(np.float64), reduced[name], f"{name}\n{case}")
        for pair, found in zip(wanted.covariance, reduced.covariance if wanted.covariance else (), strict=True):
            covariance(*(kept[name].values.astype(np.float64) for name in pair), found.values, f"{pair}\n{case}")
        for event, found in zip(wanted.read_events(), reduced.event_count if wanted.events else (), strict=True):
            values = every[event.measure].values.astype(np.float64)
            compare = {"<": np.less, "<=": np.less_equal, ">": np.greater, ">=": np.greater_equal}[event.relation]
            met = compare(np.where(np.isnan(values), np.inf, values), event.threshold)
            np.testing.assert_array_equal(found, met.sum(axis=0), f"{event}\n{case}")
        for name in wanted.distribution:
            found, values = reduced[f"{name}_histogram"], kept[name].values
            if not np.isnan(values).any():
                counted = histogram(np.clip(values, -_LARGEST, _LARGEST), wanted.resolution)
                np.testing.assert_array_equal(found, counted, f"{name}\n{case}")
        stops(case, every.stopped_at.values if case.method.stop else status, status, reduced, wanted.resolution)


def stops(case: Case, stopped_at: Array, status: Array, reduced: xarray.Dataset, resolution: int) -> None:
    """Compare the steps at which rules were met."""
    for rule in case.method.stop or ():
        steps = stopped_at[status == STOP_RULES[rule]].astype(np.float64)
        moments(steps, reduced.stopped_at.sel(rule=rule), f"{rule}\n{case}")
        counted = np.bincount(bin_of(steps, resolution), minlength=reduced.sizes["bin"])
        np.testing.assert_array_equal(reduced.stopped_at_histogram.sel(rule=rule), counted, f"{rule}\n{case}")


def moments(values: Array, found: xarray.DataArray, what: str) -> None:
    """Compare moments: sums of n numbers, by any tree and NumPy's, are off by n roundings of their size."""
    n = len(values)
    part = {str(name): found.sel(statistic=name).values for name in found.statistic.values}
    assert (part["count"] == n).all(), what
    if n == 0:
        assert all(np.isnan(part[name]).all() for name in part if name != "count"), what
        return
    sure = ~np.isnan(values).any(axis=0)  # a test sample may overflow, and the difference of two norms
    for name in ("mean", "min", "max"):
        assert np.isnan(part[name][~sure]).all(), f"{name} of {what}"
    for name, expected in (("min", values.min(axis=0)), ("max", values.max(axis=0))):
        np.testing.assert_array_equal(part[name][sure], expected[sure], f"{name} of {what}")
    most = np.abs(values).max(axis=0)
    sure &= most < _ROOT / n  # so that no square overflows
    spread, off = values.max(axis=0) - values.min(axis=0), 2 * n * EPS * most
    assert (np.abs(part["mean"] - values.mean(axis=0)) <= off)[sure].all(), f"mean of {what}"
    if n == 1:
        assert np.isnan(part["variance"]).all(), what
        return
    bound = 2 * n * EPS * (spread + off) ** 2 + 4 * off * spread + 2 * off**2 + n * np.finfo(float).tiny
    assert (np.abs(part["variance"] - values.var(axis=0, ddof=1)) <= bound)[sure].all(), f"variance of {what}"
    np.testing.assert_array_equal(part["standard_error"], np.sqrt(part["variance"] / n), what)


def covariance(one: Array, two: Array, found: Array, what: str) -> None:
    n = len(one)
    if n < 2:
        assert np.isnan(found).all(), what
        return
    sizes = [np.abs(values).max(axis=0) for values in (one, two)]
    sure = (sizes[0] < _ROOT / n) & (sizes[1] < _ROOT / n)
    direct = ((one - one.mean(axis=0)) * (two - two.mean(axis=0))).sum(axis=0) / (n - 1)
    bound = 8 * n * EPS * sizes[0] * sizes[1] + n * np.finfo(float).tiny
    assert (np.abs(found - direct) <= bound)[sure].all(), f"covariance of {what}"


RELATIONS = (statistics,)
