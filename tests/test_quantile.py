"""Bins hold the numbers they say they hold, and quantiles lie where they say they lie."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import xarray
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, ndtri

import shoal
from shoal.engine.histogram import bins, edges

FOUR = float(ndtr(-4.0))  # beyond four deviations, on one side
RESOLUTIONS = (0, 1, 5, 10)
ANY = st.floats(allow_nan=False, allow_infinity=False, width=64)
LIKELY = st.floats(-10, 10) | st.sampled_from([0.0, -0.0, 5e-324, -5e-324, 2.0**-32, -(2.0**-32), 2.0**32, -(2.0**32)])


def counted(margins: ArrayLike, resolution: int = 5) -> xarray.Dataset:
    """Return what is kept of networks with these margins: one weight, one sample, no step."""
    weights = np.asarray(margins, dtype=np.float64).reshape(-1, 1, 1)
    reduce = shoal.Statistics(distribution=("margin",), resolution=resolution)
    return shoal.train(
        shoal.Network((1, 1)),
        shoal.Task([[1]], [1]),
        shoal.Explicit([weights]),
        method=shoal.GradientDescent(0.1, 0),
        record=shoal.Record(steps=[0], measure=("margin",), reduce=reduce),
        threads=1,
    ).isel(time=0, sample=0)


def by_hand(counts: NDArray[np.int64], resolution: int) -> xarray.Dataset:
    """Return a histogram that no training made, shape (rows, bins)."""
    ends = edges(resolution)
    return xarray.Dataset(
        {"loss_histogram": (("row", "bin"), counts)},
        coords={"row": np.arange(len(counts)), "bin_low": (("bin",), ends[:-1]), "bin_high": (("bin",), ends[1:])},
    )


@pytest.mark.parametrize("resolution", range(11))
def test_bins_lie_side_by_side_and_are_as_wide_as_the_resolution_says(resolution: int) -> None:
    ends = edges(resolution)
    assert len(ends) == bins(resolution) + 1
    assert (np.diff(ends) > 0).all()
    np.testing.assert_array_equal(ends, -ends[::-1])
    positive = ends[(ends > 0) & (ends < np.inf)]
    assert (positive[0], positive[-1]) == (2.0**-32, 2.0**32)
    assert (positive[1:] / positive[:-1] <= 1 + 2.0**-resolution).all()


@pytest.mark.parametrize("resolution", RESOLUTIONS)
def test_the_core_finds_the_bins_that_the_coordinates_name(resolution: int) -> None:
    """A bin holds its end that is nearer to 0, and not the other; the one around 0 holds neither."""
    ends = edges(resolution)[1:-1]
    chosen = ends if resolution < 6 else np.concatenate([ends[:999], ends[len(ends) // 2 - 999 :][:1998], ends[-999:]])
    special = [0.0, -0.0, 5e-324, -5e-324, 1e-310, np.finfo(float).max, -np.finfo(float).max]
    values = np.concatenate([chosen, np.nextafter(chosen, np.inf), np.nextafter(chosen, -np.inf), special])
    ends = edges(resolution)
    at = np.where(values < 0, np.searchsorted(ends, values, "left"), np.searchsorted(ends, values, "right")) - 1
    at[np.abs(values) < 2.0**-32] = bins(resolution) // 2
    expected = np.bincount(at, minlength=bins(resolution))
    np.testing.assert_array_equal(counted(values, resolution).margin_histogram, expected)


@given(value=ANY | LIKELY, resolution=st.sampled_from(RESOLUTIONS))
def test_every_float_lies_in_its_bin(value: float, resolution: int) -> None:
    data = counted([value], resolution)
    at = int(data.margin_histogram.argmax("bin"))
    assert int(data.margin_histogram.sum()) == 1
    assert data.bin_low[at] <= value <= data.bin_high[at]


@given(
    values=st.lists(ANY | LIKELY, min_size=1, max_size=40),
    sixteenths=st.lists(st.integers(0, 16), min_size=1, max_size=4),
    resolution=st.sampled_from(RESOLUTIONS),
)
def test_a_quantile_is_bracketed_by_its_bin(values: list[float], sixteenths: list[int], resolution: int) -> None:
    q = [i / 16 for i in sixteenths]
    found = shoal.quantile(counted(values, resolution), "margin", q)
    for i, sixteenth in enumerate(sixteenths):
        rank = max(1, math.ceil(Fraction(sixteenth, 16) * len(values)))
        exact = sorted(values)[rank - 1]
        one = found.isel(quantile=i)
        assert one.low <= one.bin_low <= exact <= one.bin_high <= one.high
        assert one.bin_low <= one.value <= one.bin_high


def test_a_quantile_is_told_to_the_relative_width_of_the_bins(generator: np.random.Generator) -> None:
    values = np.exp(3 * generator.standard_normal(1001))
    for resolution in (0, 5, 10):
        found = shoal.quantile(counted(values, resolution), "margin", [0.01, 0.5, 0.99])
        exact = np.quantile(values, [0.01, 0.5, 0.99], method="inverted_cdf")
        assert (np.abs(found.value - exact) <= 2.0**-resolution * exact).all()


def outside(n: int, q: Fraction, least: int, most: int) -> tuple[float, float]:
    """Return how likely the order statistic of rank ``least`` lies above the quantile, and ``most`` below it."""
    law = [math.comb(n, k) * q**k * (1 - q) ** (n - k) for k in range(n + 1)]
    return float(sum(law[:least])), float(sum(law[most:]))


@pytest.mark.parametrize("n", [1, 2, 17, 60, 200])
@pytest.mark.parametrize("sixteenths", [1, 4, 8, 15])
def test_the_ends_are_the_order_statistics_that_four_deviations_leave_out(n: int, sixteenths: int) -> None:
    """Of networks with margins 1, 2, ... the ends tell their ranks; no rank nearer would be far enough out."""
    q = Fraction(sixteenths, 16)
    found = shoal.quantile(counted(np.arange(1, n + 1), 10), "margin", [float(q)]).isel(quantile=0)
    least = 0 if found.low == -np.inf else int(found.low)
    most = n + 1 if found.high == np.inf else int(np.ceil(found.high)) - 1
    below, above = outside(n, q, least, most)
    assert below < FOUR
    assert above < FOUR
    assert outside(n, q, least + 1, most)[0] >= FOUR
    assert outside(n, q, least, most - 1)[1] >= FOUR


def test_few_networks_bound_no_quantile() -> None:
    found = shoal.quantile(counted([1.0, 2.0, 3.0]), "margin", [0.0, 0.5, 1.0])
    assert (found.low[:2] == -np.inf).all()
    assert (found.high[1:] == np.inf).all()
    # The least of all that there could be lies below the least of these, for certain.
    assert found.high[0] == found.bin_high[0]
    assert found.low[2] == found.bin_low[2]


def test_low_and_high_cover_the_true_quantile(generator: np.random.Generator) -> None:
    """Of a normal distribution in 4000 repetitions at five probabilities.

    Each misses with a probability of at most 2 FOUR = 6.3e-5, so 20,000 miss 1.3 times at most on average, and 8 times
    or more with a probability below 1e-4.
    """
    ends, repetitions, n = edges(4), 4000, 80
    drawn = generator.standard_normal((repetitions, n))
    at = np.searchsorted(ends, drawn) - 1 + len(ends) * np.arange(repetitions)[:, None]
    counts = np.bincount(at.ravel(), minlength=repetitions * len(ends)).reshape(repetitions, -1)[:, :-1]
    q = np.array([0.05, 0.2, 0.5, 0.7, 0.95])
    found = shoal.quantile(by_hand(counts, 4), "loss", q)
    truth = ndtri(q)[:, None]
    missed = (found.low.values > truth) | (found.high.values < truth)
    assert missed.sum() < 8
    # What the networks at hand tell for certain is narrower than what chance allows, and misses often.
    assert ((found.bin_low.values > truth) | (found.bin_high.values < truth)).mean() > 0.1


def test_what_no_network_was_counted_of_has_no_quantile() -> None:
    counts = np.zeros((2, bins(3)), dtype=np.int64)
    counts[1, 700] = 5
    found = shoal.quantile(by_hand(counts, 3), "loss", 0.5)
    assert found.isel(row=0).to_array().isnull().all()
    assert found.isel(row=1).to_array().notnull().all()
    # A condition that has not been trained yet has NaN in place of counts.
    later = shoal.quantile(by_hand(counts, 3).reindex(row=[1, 5]), "loss", 0.5)
    xarray.testing.assert_identical(later.sel(row=1), found.sel(row=1))
    assert later.sel(row=5, drop=True).to_array().isnull().all()


def test_quantiles_keep_the_other_dimensions_and_their_coordinates(generator: np.random.Generator) -> None:
    task = shoal.Task(generator.standard_normal((4, 2)), [1, -1, 1, -1])
    data = shoal.train(
        shoal.Network((2, 3, 1)),
        task,
        shoal.Gaussian(1.0),
        method=shoal.GradientDescent(0.1, 20, stop="fitted"),
        networks=50,
        record=shoal.Record(steps=[0, 9], reduce=shoal.Statistics(distribution=("margin", "loss"))),
    )
    margin = shoal.quantile(data, "margin", [0.25, 0.75])
    assert margin.value.dims == ("quantile", "time", "sample")
    np.testing.assert_array_equal(margin["quantile"], [0.25, 0.75])
    np.testing.assert_array_equal(margin.step, [0, 9])
    assert margin.attrs["of"] == "margin"
    assert shoal.quantile(data, "stopped_at", 0.5).value.dims == ("quantile", "rule")


def test_a_quantile_refuses_what_it_cannot_tell() -> None:
    data = counted([1.0, 2.0])
    with pytest.raises(ValueError, match="name must have a histogram, of which there are margin, got 'loss'"):
        shoal.quantile(data, "loss", 0.5)
    with pytest.raises(ValueError, match="name must have a histogram, of which there are none, got 'loss'"):
        shoal.quantile(data.drop_vars("margin_histogram"), "loss", 0.5)
    for q, told in ((1.5, "1.5"), ([0.5, -0.25], "-0.25")):
        with pytest.raises(ValueError, match=rf"q must lie in \[0, 1\], got {told}"):
            shoal.quantile(data, "margin", q)
    with pytest.raises(ValueError, match="q must be finite, got nan"):
        shoal.quantile(data, "margin", float("nan"))
    with pytest.raises(ValueError, match=r"q must have shape \(quantiles,\)"):
        shoal.quantile(data, "margin", [[0.5]])
