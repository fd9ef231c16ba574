"""When a recorded series reaches a level, how steep it is at most, and how long its plateau lasts."""

import contextlib
import io
import math
import re
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.optimize import brentq

from shoal.dynamics import plateau, reach_time, steepest
from shoal.theory import Mode

MODES = [
    Mode(norm=1.7, frequency=0.6, start_margin=1e-3),
    Mode(norm=0.9, frequency=0.4, start_margin=0.05, imbalance=0.3),
]


def series(values, times):
    return xr.DataArray(np.atleast_2d(values), dims=("network", "time"), coords={"time": np.asarray(times, float)})


def logistic(times, *, middle=8.0, rate=1.0, height=1.0, base=0.0):
    return base + height / (1 + np.exp(-rate * (np.asarray(times) - middle)))


@pytest.mark.parametrize("loss", ["cross_entropy", "exponential", "squared"])
@pytest.mark.parametrize("scale", ["linear", "log"])
def test_the_time_to_a_margin_is_that_of_the_closed_form_within_its_own_error(loss, scale):
    for norm, frequency, init in [(1.7, 0.6, 1e-3), (0.9, 0.4, 0.05), (1.0, 1.0, 0.2)]:
        mode = Mode(norm=norm, frequency=frequency, start_margin=init, loss=loss)
        times = np.linspace(0, float(mode.time(0.8)) * 1.2, 121)
        levels = np.linspace(init * 1.1, 0.8, 30)
        read = reach_time(
            series(np.tile(mode.margin(times), (30, 1)), times), xr.DataArray(levels, dims="network"), scale=scale
        )
        off = np.abs(read.reached.values - mode.time(levels))
        assert (off <= read.error.values + 1e-9).all()
        assert read.error.values.max() < 0.02 * (times[1] - times[0])
        assert (read.before < read.reached).all()
        assert (read.reached <= read.after).all()


@pytest.mark.parametrize("points", [2, 3, 4, 5, 6, 8])
def test_the_order_of_the_time_is_the_number_of_points(points):
    levels = xr.DataArray(np.linspace(0.1, 0.9, 41), dims="network")
    true = 8 + np.log(levels.values / (1 - levels.values))

    def worst(count):
        times = np.linspace(0, 20, count)
        read = reach_time(series(np.tile(logistic(times), (41, 1)), times), levels, points=points)
        return np.abs(read.reached.values - true).max()

    order = math.log2(worst(41) / worst(81))
    assert points - 0.7 < order < points + 1.2


def test_a_pure_exponential_is_read_exactly_off_its_logarithm():
    times = np.geomspace(1, 50, 12)
    grown = np.exp(0.3 * times - 7)
    for rising, values in ((True, grown), (False, 1 / grown)):
        read = reach_time(series(values, times), 0.5, rising=rising, scale="log")
        exact = (7 + (1 if rising else -1) * math.log(0.5)) / 0.3
        assert read.reached.item() == pytest.approx(exact, rel=1e-13)
        assert read.error.item() < 1e-11


def test_what_is_reached_at_the_first_record_has_its_time_and_no_error():
    read = reach_time(series([[3.0, 2.0, 1.0]], [0.5, 1, 2]), 3.0)
    assert [read[name].item() for name in ("reached", "error", "before", "after")] == [0.5, 0.0, 0.5, 0.5]


def test_what_is_reached_at_a_record_has_the_time_of_that_record():
    read = reach_time(series([[0.0, 1.0, 4.0, 9.0]], [0, 1, 2, 3]), 4.0)
    assert read.reached.item() == pytest.approx(2.0, abs=1e-15)
    assert (read.before.item(), read.after.item()) == (1.0, 2.0)


def test_never_reached_is_infinite_and_never_known_is_nan():
    nan = np.nan
    rows = [[0, 1, 2, 3], [0, 1, nan, nan], [0, 9, nan, nan], [nan, nan, nan, nan], [0, nan, 9, 9], [0, 1, 2, np.inf]]
    read = reach_time(series(np.array(rows, float), [0, 1, 2, 3]), 5.0)
    expected = [np.inf, nan, 5 / 9, nan, nan, nan]
    np.testing.assert_allclose(read.reached, expected, rtol=1e-14)
    np.testing.assert_array_equal(read.before, [3, 1, 0, nan, 0, 2])
    np.testing.assert_array_equal(read.after, [np.inf, nan, 1, nan, nan, nan])
    assert np.isnan(read.error[[0, 1, 3, 4, 5]]).all()


def test_two_records_are_joined_by_a_line_whose_error_is_the_bracket():
    read = reach_time(series([[0.0, 4.0]], [0, 1]), 1.0)
    assert (read.reached.item(), read.error.item()) == (pytest.approx(0.25, abs=1e-15), pytest.approx(0.75, abs=1e-15))


def test_the_first_of_several_arrivals_counts():
    times = np.linspace(0, 20, 201)
    assert reach_time(series(np.sin(times), times), 0.5).reached.item() == pytest.approx(math.pi / 6, abs=1e-5)
    read = reach_time(series(np.cos(times), times), 0.5, rising=False)
    assert read.reached.item() == pytest.approx(math.pi / 3, abs=1e-5)


def test_a_logarithm_of_what_is_not_positive_leaves_the_bracket_only():
    read = reach_time(series([[-1.0, 0.5, 2.0, 3.0, 4.0]], range(5)), 1.0, scale="log")
    assert np.isnan(read.reached.item())
    assert (read.before.item(), read.after.item()) == (1.0, 2.0)


@given(arrays.arrays(float, (4, 9), elements=st.floats(-2, 2)), st.floats(-2, 2), st.integers(2, 8))
def test_the_time_lies_in_its_bracket_whatever_the_series(values, level, points):
    times = np.array([0, 0.1, 0.3, 1, 1.5, 4, 4.1, 9, 20])
    read = reach_time(series(values, times), level, points=points)
    for row, (reached, before, after) in zip(
        values, zip(read.reached, read.before, read.after, strict=True), strict=True
    ):
        beyond = np.flatnonzero(row >= level)
        if not len(beyond):
            assert reached == np.inf
        else:
            assert after == times[beyond[0]]
            assert before == times[max(beyond[0] - 1, 0)]
            assert before <= reached <= after


@given(arrays.arrays(float, (3, 8), elements=st.floats(-2, 2)), st.floats(-2, 2))
def test_a_fall_is_a_rise_upside_down(values, level):
    rise = reach_time(series(values, range(8)), level)
    fall = reach_time(series(-values, range(8)), -level, rising=False)
    assert fall.identical(rise)


def test_levels_go_with_their_series_by_name_and_dimensions_stay():
    times = np.linspace(0, 1, 11)
    values = xr.DataArray(
        times[:, None, None] * np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]),
        dims=("time", "network", "sample"),
        coords={"time": times, "step": ("time", np.arange(11)), "network": [7, 8, 9], "labels": ("sample", [1, -1])},
    )
    levels = xr.DataArray([[0.1, 0.4, 0.9], [0.2, 0.8, 1.2]], dims=("sample", "network"), coords={"network": [7, 8, 9]})
    read = reach_time(values, levels)
    assert read.reached.dims == ("network", "sample")
    assert set(read.coords) == {"network", "labels"}
    np.testing.assert_allclose(read.reached, levels.T / [[1, 2], [3, 4], [5, 6]], rtol=1e-12)
    half = reach_time(values, 0.5 * values.isel(time=-1))
    np.testing.assert_allclose(half.reached, 0.5, rtol=1e-12)


def test_a_level_that_is_not_known_is_reached_at_no_known_time():
    given = series([[0.0, 1.0, 2.0]] * 2, range(3))
    read = reach_time(given, xr.DataArray([np.nan, 1.5], dims="network"))
    for name in ("reached", "error", "before", "after"):
        assert np.isnan(read[name]).values.tolist() == [True, False]


@pytest.mark.parametrize("mode", MODES)
def test_the_steepest_fall_of_the_soft_error_is_where_the_theory_has_it(mode):
    times = np.linspace(0, 3 * mode.plateau(), 301)
    read = steepest(series(mode.soft_error(times), times))
    assert abs(read["at"].item() - mode.plateau()) <= read.at_error.item() < 0.01
    margin = float(mode.margin(mode.plateau()))
    sigmoid = 1 / (1 + math.exp(margin))
    slope = -sigmoid * (1 - sigmoid) * float(mode.velocity(margin))
    assert abs(read.slope.item() - slope) <= read.slope_error.item() < 1e-4 * abs(slope)
    assert read.value.item() == pytest.approx(sigmoid, abs=abs(slope) * read.at_error.item())
    assert read.inside.item()


@pytest.mark.parametrize("points", [6, 7, 8])
def test_the_order_of_the_slope_is_one_less_than_the_number_of_points(points):
    def worst(count):
        times = np.linspace(0, 20, count)
        middles = 7 + np.linspace(0, 1.1, 23)
        # Not symmetric about its steepest point, so that no order is gained by symmetry.
        values = np.array([np.exp(-np.exp(-(times - middle))) for middle in middles])
        return np.abs(steepest(series(values, times), points=points).slope.values - math.exp(-1)).max()

    order = math.log2(worst(61) / worst(121))
    assert points - 1.7 < order < points + 0.5


@pytest.mark.parametrize("points", [6, 7, 9])
def test_a_polynomial_of_degree_four_is_read_exactly(points):
    times = np.array([0, 0.3, 0.5, 1, 1.2, 1.9, 2.5, 3.1, 4])
    values = 2 + 3 * times**2 - 0.1 * times**3 - 0.1 * times**4
    place = brentq(lambda t: 6 - 0.6 * t - 1.2 * t**2, 0, 4, xtol=1e-15)
    slope = 6 * place - 0.3 * place**2 - 0.4 * place**3
    read = steepest(series(values, times), rising=True, points=points)
    assert read["at"].item() == pytest.approx(place, rel=1e-11)
    assert read.slope.item() == pytest.approx(slope, rel=1e-12)


def test_the_steepest_point_of_a_decay_is_its_start_and_not_inside():
    times = np.linspace(0, 5, 101)
    read = steepest(series([np.exp(-times), np.exp(times - 5)], times))
    np.testing.assert_allclose(read["at"], [0, 5], atol=1e-12)
    np.testing.assert_allclose(read.slope, [-1, 1], rtol=1e-5)
    assert not read.inside.any()


@pytest.mark.parametrize("last", [3, 20, 36])
def test_a_step_between_two_records_is_found_there_and_not_at_the_ends(last):
    times = np.arange(41.0)
    read = steepest(series(times > last, times))
    assert read["at"].item() == pytest.approx(last + 0.5, abs=1e-12)
    # No polynomial knows how steep it is in between; it must at least be as steep as the line.
    assert 1.0 <= read.slope.item() < 1.5
    assert read.slope_error.item() > 0.05
    lag = plateau(series(times > last, times))
    assert last < lag.length.item() < last + 1


def test_rise_and_fall_are_told_apart():
    times = np.linspace(0, 20, 401)
    values = logistic(times, middle=5) - logistic(times, middle=12, rate=2.0)
    one = {rising: steepest(series(values, times), rising=rising) for rising in (None, True, False)}
    assert one[None].identical(one[False])
    assert (one[True]["at"].item(), one[False]["at"].item()) == (
        pytest.approx(5, abs=2e-3),
        pytest.approx(12, abs=2e-3),
    )
    falling = steepest(series(-times, times), rising=True)
    assert np.isnan([falling[name].item() for name in ("slope", "at", "value", "slope_error", "at_error")]).all()
    assert not falling.inside.item()


@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_the_plateau_of_a_logistic_curve_is_that_of_its_formula(sign):
    times = np.linspace(0, 40, 401)
    middles, rates = np.array([6.0, 11.0, 17.0, 25.0]), np.array([0.5, 0.8, 1.1, 1.7])
    values = np.array(
        [logistic(times, middle=m, rate=k, height=0.4 * sign, base=0.5) for m, k in zip(middles, rates, strict=True)]
    )
    read = plateau(series(values, times))
    exact = middles - 2 / rates * np.tanh(rates * middles / 2)
    assert (np.abs(read.length - exact) <= read.length_error).all()
    np.testing.assert_allclose(read.length, exact, rtol=1e-3)
    np.testing.assert_allclose(read["at"], middles, atol=1e-3)
    np.testing.assert_allclose(read.slope, sign * 0.1 * rates, rtol=1e-3)


@given(st.floats(-3, 3).filter(lambda c: abs(c) > 0.01), st.floats(-3, 3), st.floats(0.1, 10), st.floats(-5, 5))
def test_the_plateau_stretches_with_time_and_not_with_the_unit_of_the_series(factor, shift, stretch, delay):
    times = np.linspace(0, 20, 101)
    values = np.exp(-np.exp(-(times - 7)))
    plain = plateau(series(values, times))
    other = plateau(series(factor * values + shift, stretch * times + delay))
    assert other.length.item() == pytest.approx(stretch * plain.length.item(), rel=1e-7)
    assert other.end.item() == pytest.approx(stretch * plain.end.item() + delay, rel=1e-7, abs=1e-6)
    assert other.slope.item() == pytest.approx(factor / stretch * plain.slope.item(), rel=1e-9)


def test_a_series_that_falls_from_the_start_has_no_plateau():
    times = np.linspace(0, 5, 101)
    assert plateau(series(np.exp(-times), times)).length.item() == pytest.approx(0.0, abs=1e-12)


def test_series_that_stand_still_or_break_off_have_neither_slope_nor_plateau():
    times = np.arange(6.0)
    values = np.array([np.full(6, 0.5), [0, 1, 2, 3, 4, np.nan], times])
    read = plateau(series(values, times))
    assert np.isnan(read.length[:2]).all()
    assert read.length[2] == pytest.approx(0.0, abs=1e-12)
    np.testing.assert_allclose(steepest(series(values, times)).slope, [np.nan, np.nan, 1.0], rtol=1e-13)


@pytest.mark.parametrize("asked", [plateau, steepest, lambda one: reach_time(one, 0.3)])
def test_a_series_is_read_the_same_whatever_stands_beside_it(asked):
    times = np.linspace(0, 20, 64)
    values = np.array([logistic(times, middle=m) for m in np.linspace(3, 15, 11)])
    together = asked(series(values, times))
    order = np.random.default_rng(0).permutation(11)
    assert asked(series(values[order], times)).identical(together.isel(network=order))
    assert asked(series(values[4], times)).identical(together.isel(network=[4]))


LINE = series(np.arange(6.0), range(6))


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (lambda: reach_time(np.arange(6.0), 1.0), TypeError, "series must be an xarray.DataArray .*, got ndarray"),
        (lambda: reach_time(LINE.rename(time="step"), 1.0), ValueError, "series must have a dimension 'time' .*, got"),
        (
            lambda: reach_time(LINE.drop_vars("time"), 1.0),
            ValueError,
            "series must have a dimension 'time' with its coord",
        ),
        (lambda: reach_time(LINE[:, :1], 1.0), ValueError, "series must have at least 2 times, got 1"),
        (lambda: steepest(LINE[:, :5]), ValueError, "series must have at least 6 times, got 5"),
        (lambda: plateau(LINE[:, ::-1]), ValueError, "series must have finite times that increase strictly"),
        (lambda: reach_time(LINE.astype(complex), 1.0), TypeError, "series must be real numbers, got dtype complex128"),
        (lambda: reach_time(LINE, "1"), TypeError, "level must be a number, got '1' of type str"),
        (lambda: reach_time(LINE, math.nan), ValueError, "level must be finite, got nan"),
        (lambda: reach_time(LINE, xr.DataArray([math.inf], dims="network")), ValueError, "level must not be infinite"),
        (lambda: reach_time(LINE, xr.DataArray([1.0], dims="mode")), ValueError, "level must have no dimensions but"),
        (
            lambda: reach_time(LINE.assign_coords(network=[3]), xr.DataArray([1.0], coords={"network": [4]})),
            ValueError,
            "level must have the labels of the series along",
        ),
        (
            lambda: reach_time(LINE, xr.DataArray(["a"], dims="network")),
            TypeError,
            "level must be real numbers, got dtype",
        ),
        (lambda: reach_time(LINE, 0.0, scale="log"), ValueError, r"level must be positive with scale='log', got 0\.0"),
        (lambda: reach_time(LINE, 1.0, scale="cubic"), ValueError, "scale must be one of linear, log, got 'cubic'"),
        (lambda: reach_time(LINE, 1.0, points=9), ValueError, "points must be between 2 and 8, got 9"),
        (lambda: reach_time(LINE, 1.0, rising=1), TypeError, "rising must be True or False, got 1"),
        (lambda: steepest(LINE, points=5), ValueError, "points must be between 6 and 9, got 5"),
        (lambda: plateau(LINE, rising="up"), TypeError, "rising must be True, False or None, got 'up'"),
    ],
)
def test_bad_input_is_named(call, kind, words):
    with pytest.raises(kind, match=words):
        call()


@pytest.mark.checkout
def test_the_examples_of_the_page_print_what_it_says():
    page = (Path(__file__).parents[1] / "docs" / "dynamics.md").read_text(encoding="utf-8")
    for code in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        told = re.findall(r"^print\(.*\)  # (.*)$", code, re.MULTILINE)
        assert len(told) == code.count("print(") > 0
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(code, {})
        assert printed.getvalue().splitlines() == told
