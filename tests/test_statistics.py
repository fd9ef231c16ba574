"""Statistics over networks are those of the very networks, which are trained once more and kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import xarray
from numpy.typing import NDArray
from scipy import stats
from scipy.special import ndtr

import shoal
from shoal.engine.histogram import edges
from shoal.spec.method import STOP_RULES
from support import random_init, random_task, same_bits, train_on

EPS = float(np.finfo(np.float64).eps)
RESOLUTION = 3
SCALARS = ("loss", "error", "soft_error")
MEASURES = (*SCALARS, "margin", "layer_norm", "balance", "active", "unit_active")
TESTED = ("test_loss", "test_error", "test_soft_error", "test_margin")
EVENTS = ("error > 0", "loss <= 0.5", "soft_error >= 0.4", "loss < 1e-3")
LOST = (1, 2)


@dataclass
class Both:
    """The same training with every network kept, and with statistics only."""

    raw: xarray.Dataset
    reduced: xarray.Dataset

    @property
    def kept(self) -> xarray.Dataset:
        """The networks that were not lost."""
        return self.raw.isel(network=np.flatnonzero(~np.isin(self.raw.status, LOST)))


def asked(measures: tuple[str, ...] = MEASURES) -> shoal.Statistics:
    return shoal.Statistics(
        covariance=(("loss", "error"), ("soft_error", "loss"), ("loss", "loss")),
        events=EVENTS,
        distribution=tuple(name for name in measures if name in ("loss", "margin", "layer_norm", "test_margin")),
        resolution=RESOLUTION,
    )


def scaled(init: shoal.Explicit, rows: Any, factor: float) -> shoal.Explicit:
    """Return an initialisation some networks of which are so large that they diverge."""
    weights = [array.copy() for array in init.weights]
    for array in weights:
        array[rows] *= factor
    return shoal.Explicit(weights)


def descents(generator: np.random.Generator) -> dict[str, dict[str, Any]]:
    one: dict[str, Any] = {
        "network": shoal.Network((3, 5, 1)),
        "task": random_task(6, 3, 1, generator),
        "init": shoal.Gaussian(0.5),
        "method": shoal.GradientDescent(0.1, 12),
        "networks": 600,
    }
    linear = {
        **one,
        "network": shoal.Network((3, 5, 1), "linear"),
        "loss": "squared",
        "method": shoal.GradientDescent(0.05, 40),
    }
    explicit = random_init(linear["network"], 530, generator, scale=0.5)
    tested = shoal.Task(
        one["task"].inputs, one["task"].labels, test=(generator.standard_normal((9, 3)), [1, -1, 1] * 3)
    )
    twins = np.repeat(generator.standard_normal((8, 3)), 5, axis=0)
    order = generator.permutation(40)
    narrow = {**one, "network": shoal.Network((3, 2, 1)), "task": random_task(3, 3, 1, generator)}
    hinge = {**narrow, "loss": "hinge", "method": shoal.GradientDescent(0.2, 200, stop=("satisfied", "dead"))}
    return {
        "several cells": one,
        "a first network inside a cell": {**one, "first_network": 205, "seed": 3},
        "fewer networks than a cell": {**one, "networks": 7, "first_network": 250},
        "one network": {**one, "networks": 1},
        "two networks of two cells": {**one, "networks": 2, "first_network": 255},
        "float32": {**one, "dtype": "float32"},
        "each network alone": {**one, "engine": "alone", "networks": 300},
        "rules to stop": {**narrow, "method": shoal.GradientDescent(0.1, 60, stop=("fitted", "dead"))},
        "rules of a hinge": hinge,
        "rules to stop, one network": {**hinge, "networks": 1},
        "rules to stop, each network alone": {**hinge, "engine": "alone", "networks": 300},
        "networks that diverge": {**linear, "init": scaled(explicit, [3, 255, 256, 529], 1e3), "networks": 530},
        "a cell that diverges": {**linear, "init": scaled(explicit, slice(0, 256), 1e3), "networks": 530},
        "all networks diverge": {**linear, "init": scaled(explicit, slice(None), 1e3), "networks": 530},
        "explicit initialisations": {**linear, "init": explicit, "networks": 530, "first_network": 100},
        "test samples": {**one, "task": tested},
        "three outputs": {
            **one,
            "network": shoal.Network((3, 4, 3), "tanh", bias=True),
            "task": random_task(5, 3, 3, generator),
        },
        "equal samples": {**one, "task": shoal.Task(twins[order], np.repeat([1, -1] * 4, 5)[order]), "condense": True},
    }


def run(arguments: dict[str, Any]) -> Both:
    tested = arguments["task"].test is not None
    measures = MEASURES + (TESTED if tested else ())
    until = arguments["method"].t_end
    times: dict[str, Any] = {"times": [0, until / 2, until], "measure": measures}
    given = dict(arguments)
    engine = given.pop("engine", "auto")
    return Both(
        train_on(engine, **given, record=shoal.Record(**times)),
        train_on(engine, **given, record=shoal.Record(**times, reduce=asked(measures))),
    )


NAMES = tuple(descents(np.random.default_rng(0)))


@pytest.fixture(scope="module", params=[*NAMES, "flow", "a flow that exhausts its steps"])
def both(request: pytest.FixtureRequest) -> Both:
    generator = np.random.default_rng(20180918)
    if request.param in NAMES:
        return run(descents(generator)[request.param])
    most = 60 if "exhausts" in request.param else 10**4
    arguments = {
        **descents(generator)["several cells"],
        "method": shoal.GradientFlow(5.0, max_steps=most),
        "networks": 300,
    }
    return run(arguments)


def test_the_cases_lose_and_stop_the_networks_they_are_named_for(generator: np.random.Generator) -> None:
    cases = descents(generator)
    lost = {name: int((run(cases[name]).raw.status == 1).sum()) for name in cases if "diverge" in name}
    assert lost == {"networks that diverge": 4, "a cell that diverges": 256, "all networks diverge": 530}
    assert set(run(cases["rules to stop"]).raw.status.values) == {0, 3, 5}
    assert set(run(cases["rules of a hinge"]).raw.status.values) == {0, 4, 5}
    flow = {**cases["several cells"], "method": shoal.GradientFlow(5.0, max_steps=60), "networks": 300}
    assert set(run(flow).raw.status.values) == {0, 2}
    told = run(cases["equal samples"]).reduced.attrs["condensed"]
    assert told.startswith('{"samples": [40, 8]')


def test_moments_are_those_of_the_networks_that_were_not_lost(both: Both) -> None:
    n = both.kept.sizes["network"]
    for name in set(both.reduced) & set(MEASURES + TESTED):
        values, found = both.kept[name].astype(np.float64), both.reduced[name]
        assert found.dims == ("statistic", *values.dims[1:])
        assert found.dtype == np.float64
        assert (found.sel(statistic="count") == n).all()
        if n == 0:
            assert found.drop_sel(statistic="count").isnull().all()
            continue
        # Sums of n numbers of that size, by any tree, are that far from the truth at most; NumPy's are too.
        most = float(np.abs(values).max())
        spread = float((values.max("network") - values.min("network")).max())
        mean = 2 * n * EPS * most
        np.testing.assert_allclose(found.sel(statistic="mean"), values.mean("network"), rtol=0, atol=mean)
        np.testing.assert_array_equal(found.sel(statistic="min"), values.min("network"))
        np.testing.assert_array_equal(found.sel(statistic="max"), values.max("network"))
        if n == 1:
            assert found.sel(statistic=["variance", "standard_error"]).isnull().all()
            continue
        variance, error = found.sel(statistic="variance"), found.sel(statistic="standard_error")
        bound = 2 * n * EPS * (spread + mean) ** 2 + 4 * mean * spread + 2 * mean**2
        np.testing.assert_allclose(variance, values.var("network", ddof=1), rtol=0, atol=bound)
        np.testing.assert_array_equal(error, np.sqrt(variance / n))


def test_covariances_are_those_of_the_networks(both: Both) -> None:
    kept, found = both.kept, both.reduced.covariance
    n = kept.sizes["network"]
    assert list(found.pair.values) == ["loss, error", "soft_error, loss", "loss, loss"]
    assert found.dims == ("pair", "time")
    if n < 2:
        assert found.isnull().all()
        return
    for pair, (one, two) in zip(found, (("loss", "error"), ("soft_error", "loss"), ("loss", "loss")), strict=True):
        x, y = kept[one].values.astype(np.float64), kept[two].values.astype(np.float64)
        direct = np.array([np.cov(x[:, t], y[:, t])[0, 1] for t in range(x.shape[1])])
        sizes = [float(np.abs(of).max()) for of in (x, y)]
        np.testing.assert_allclose(pair, direct, rtol=0, atol=8 * n * EPS * sizes[0] * sizes[1])
    own = both.reduced.loss.sel(statistic="variance")
    np.testing.assert_allclose(found.sel(pair="loss, loss"), own, rtol=4 * n * EPS)


def test_events_are_counted_with_the_wilson_interval_of_their_fraction(both: Both) -> None:
    reduced = both.reduced
    known = both.raw.isel(network=np.flatnonzero(both.raw.status != 2))  # diverged networks are above all thresholds
    met = {
        "error > 0": ~(known.error <= 0),
        "loss <= 0.5": known.loss <= 0.5,
        "soft_error >= 0.4": ~(known.soft_error < 0.4),
        "loss < 0.001": known.loss < 1e-3,
    }
    assert list(reduced.event.values) == list(met)
    for event, met_by in met.items():
        found = reduced.sel(event=event)
        np.testing.assert_array_equal(found.event_count, met_by.sum("network"))
        assert_fractions(found, "event", known.sizes["network"])
        assert "diverged is above every threshold" in reduced.event_fraction.attrs["long_name"]


def assert_fractions(found: xarray.Dataset, name: str, trials: int) -> None:
    """Compare fractions with SciPy's Wilson interval at the confidence of four deviations."""
    counts, confidence = found[f"{name}_count"].values, 1 - 2 * ndtr(-4.0)
    for at, count in np.ndenumerate(counts):
        fraction, low, high = (found[f"{name}_{part}"].values[at] for part in ("fraction", "low", "high"))
        if trials == 0:
            assert np.isnan(fraction)
            assert [low, high] == [0, 1]
            continue
        interval = stats.binomtest(int(count), trials).proportion_ci(confidence, method="wilson")
        assert fraction == count / trials
        np.testing.assert_allclose([low, high], [interval.low, interval.high], rtol=1e-10, atol=1e-14)


def bin_of(values: NDArray[Any], resolution: int) -> NDArray[np.int64]:
    """Return the bins, which begin with their end that is nearer to 0."""
    ends = edges(resolution)
    at = np.where(values < 0, np.searchsorted(ends, values, "left"), np.searchsorted(ends, values, "right")) - 1
    zero = len(ends) // 2 - 1
    return np.where(np.abs(values) < 2.0**-32, zero, at)


def histogram(values: NDArray[Any], resolution: int) -> NDArray[np.int64]:
    """Return how many of the rows lie in each bin, shape (..., bins)."""
    at, count = bin_of(values.astype(np.float64), resolution), len(edges(resolution)) - 1
    rows = np.moveaxis(at, 0, -1).reshape(int(np.prod(at.shape[1:])), len(at))
    return np.array([np.bincount(row, minlength=count) for row in rows]).reshape(*at.shape[1:], count)


def test_histograms_count_the_networks(both: Both) -> None:
    kept, reduced = both.kept, both.reduced
    names = [name for name in ("loss", "margin", "layer_norm", "test_margin") if name in kept]
    for name in names:
        found = reduced[f"{name}_histogram"]
        assert found.dims == (*kept[name].dims[1:], "bin")
        np.testing.assert_array_equal(found, histogram(kept[name].values, RESOLUTION))
    np.testing.assert_array_equal(np.append(reduced.bin_low, np.inf), edges(RESOLUTION))
    np.testing.assert_array_equal(np.append(-np.inf, reduced.bin_high), edges(RESOLUTION))


def test_outcomes_are_counted(both: Both) -> None:
    reduced, status = both.reduced, both.raw.status.values
    np.testing.assert_array_equal(reduced.outcome_count, np.bincount(status, minlength=6))
    assert list(reduced.outcome.values) == ["completed", "diverged", "exhausted", *STOP_RULES]
    assert_fractions(reduced, "outcome", len(status))
    assert int(reduced.diverged) == (status == 1).sum()
    for rule, code in STOP_RULES.items():
        if rule in reduced:
            assert int(reduced[rule]) == (status == code).sum()
    if "exhausted" in reduced:
        assert int(reduced.exhausted) == (status == 2).sum()


@pytest.mark.parametrize("networks", [3, 600])
def test_who_has_diverged_is_what_the_status_says_whatever_else_is_no_number(networks: int) -> None:
    weights = [np.full((networks, 2, 1), 0.5), np.full((networks, 1, 2), 0.5)]
    weights[0][1], weights[1][1] = 1e160, 1e160  # its squares are infinite, their difference no number
    weights[0][2] = weights[1][2] = 1e308  # its output is infinite
    arguments: dict[str, Any] = {
        "network": shoal.Network((1, 2, 1), "linear"),
        "task": shoal.Task([[1e-200]], [1]),
        "init": shoal.Explicit(weights),
        "method": shoal.GradientDescent(1e-200, 1),
    }
    measures = ("loss", "layer_norm", "balance")
    raw = shoal.train(**arguments, record=shoal.Record(steps=[0], measure=measures))
    assert raw.status.values[:3].tolist() == [0, 0, 1]
    asked = shoal.Statistics(events=["loss > 1", "loss < 1"], distribution=("loss", "balance"))
    reduced = shoal.train(**arguments, record=shoal.Record(steps=[0], measure=measures, reduce=asked))
    np.testing.assert_array_equal(reduced.outcome_count, np.bincount(raw.status, minlength=6))
    np.testing.assert_array_equal(reduced.event_count.values[:, 0], [1, networks - 1])
    for name in measures:
        values = raw[name].values[raw.status != 1]
        assert np.isnan(values).any() == (name == "balance")
        assert (reduced[name].sel(statistic="count") == networks - 1).all()
        for statistic, expected in (("min", values.min(axis=0)), ("max", values.max(axis=0))):
            np.testing.assert_array_equal(reduced[name].sel(statistic=statistic), expected)
        np.testing.assert_array_equal(np.isnan(reduced[name].sel(statistic="mean")), np.isnan(values).any(axis=0))
    assert (reduced.balance_histogram.sum("bin") == networks - 2).all()
    assert np.isnan(shoal.quantile(reduced, "balance", 0.5).value).all()
    assert np.isfinite(shoal.quantile(reduced, "loss", 0.5).value).all()


def test_of_networks_that_met_a_rule_the_steps_are_kept(both: Both) -> None:
    if "rule" not in both.reduced.dims:
        assert "stopped_at" not in both.reduced
        return
    for rule in both.reduced.rule.values:
        steps = both.raw.stopped_at.values[both.raw.status.values == STOP_RULES[rule]].astype(np.float64)
        found = both.reduced.stopped_at.sel(rule=rule)
        counted = np.bincount(bin_of(steps, RESOLUTION), minlength=both.reduced.sizes["bin"])
        np.testing.assert_array_equal(both.reduced.stopped_at_histogram.sel(rule=rule), counted)
        assert found.sel(statistic="count") == len(steps)
        if not len(steps):
            assert found.drop_sel(statistic="count").isnull().all()
            continue
        size = 2 * len(steps) * EPS * steps.max()
        assert found.sel(statistic="min") == steps.min()
        assert found.sel(statistic="max") == steps.max()
        np.testing.assert_allclose(found.sel(statistic="mean"), steps.mean(), rtol=0, atol=size)
        if len(steps) > 1:
            variance = steps.var(ddof=1)
            np.testing.assert_allclose(
                found.sel(statistic="variance"), variance, rtol=0, atol=4 * size * (steps.max() + size)
            )


@pytest.mark.parametrize("name", ["several cells", "each network alone", "rules of a hinge", "networks that diverge"])
def test_no_bit_depends_on_the_threads(name: str, generator: np.random.Generator) -> None:
    arguments = descents(generator)[name]
    engine = arguments.pop("engine", "auto")
    record = shoal.Record(measure=MEASURES, reduce=asked())
    one = train_on(engine, **arguments, record=record, threads=1)
    for threads in (2, 5):
        same_bits(train_on(engine, **arguments, record=record, threads=threads), one)


def test_moments_is_the_short_name_of_no_more_than_moments(generator: np.random.Generator) -> None:
    arguments = descents(generator)["several cells"]
    short = shoal.train(**arguments, record=shoal.Record(reduce="moments"))
    same_bits(short, shoal.train(**arguments, record=shoal.Record(reduce=shoal.Statistics())))
    assert not {"event", "pair", "bin"} & set(short.dims)


@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.999])
def test_intervals_have_the_confidence_that_is_asked_for(confidence: float) -> None:
    reduce = shoal.Statistics(events=("error > 0",), confidence=confidence)
    data = shoal.train(
        shoal.Network((2, 3, 1)), shoal.tasks.modes((1.0, 2.0)), shoal.Gaussian(1.0), networks=300,
        method=shoal.GradientDescent(0.1, 40), record=shoal.Record(measure=("error",), reduce=reduce),
    )  # fmt: skip
    for name in ("event", "outcome"):
        for count, low, high in zip(
            *(data[f"{name}_{what}"].values.ravel() for what in ("count", "low", "high")), strict=True
        ):
            right = stats.binomtest(int(count), 300).proportion_ci(confidence, method="wilson")
            assert [low, high] == pytest.approx([right.low, right.high], abs=1e-12)
    assert f"confidence {confidence:g}" in data.event_low.attrs["long_name"]
    assert shoal.specification(data).record.reduce == reduce


def test_a_confidence_that_is_none_is_refused() -> None:
    for wrong in (0.0, 1.0, 95, np.nan):
        with pytest.raises(ValueError, match="confidence must"):
            shoal.Statistics(confidence=wrong)
