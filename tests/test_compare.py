"""What compare allows, and what it does not."""

import math
import subprocess
import sys

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, norm

from shoal import plot
from shoal.comparison import DEVIATIONS, compare
from shoal.proportion import compare_majority, compare_proportion, wilson

TIMES = np.linspace(0, 3, 31)
FLOW = np.array([[1.0], [2.0], [0.1]]) * np.exp(-TIMES)


def descent(rate, *, first=0.3, second=0.5, third=0.2):
    """A run whose distance from FLOW is a known series in the rate."""
    shape = np.array([1.0, -2.0, 0.5])[:, None] * np.sin(TIMES)
    return FLOW + (first * rate + second * rate**2 + third * rate**3) * shape


def runs(**series):
    return {
        "measured": descent(0.1, **series),
        "halved": descent(0.05, **series),
        "quartered": descent(0.025, **series),
    }


def test_a_right_prediction_of_a_first_order_method_passes():
    result = compare(predicted=FLOW, **runs())
    assert result.verdict == "PASS"
    assert result.kind == "exact"
    assert result.networks == 3
    assert result.points == FLOW.size


def test_the_bias_that_is_reported_is_the_coarsest_runs():
    result = compare(predicted=FLOW, **runs())
    true = np.abs(descent(0.1) - FLOW).max()
    # What is left of the third order: c3 rate^3 / 8 times the largest shape.
    assert abs(result.bias - true) <= 0.2 * 0.1**3 / 8 * 2 * (1 + 1e-9)


def test_the_gap_is_what_extrapolation_leaves_of_the_third_order():
    result = compare(predicted=FLOW, **runs())
    at_one_network = {0.2 * 0.1**3 / 8 * size * np.sin(TIMES).max() for size in (1.0, 2.0, 0.5)}
    assert any(math.isclose(result.gap, gap, rel_tol=1e-6) for gap in at_one_network)


def test_the_order_of_a_first_order_method_is_one():
    assert compare(predicted=FLOW, **runs(second=0.0, third=0.0)).order == pytest.approx(1.0, abs=1e-9)


def test_a_prediction_off_by_a_thousandth_fails():
    assert compare(predicted=FLOW * 1.001, **runs()).verdict == "FAIL"


@given(st.integers(0, 2), st.integers(0, 30), st.sampled_from([-1, 1]))
def test_one_wrong_point_of_one_network_fails_and_is_named(network, time, sign):
    wrong = FLOW.copy()
    # Beyond any allowance here: the last correction is at most 0.5 rate^2 / 8 times the largest shape.
    wrong[network, time] += sign * 0.01
    result = compare(predicted=wrong, **runs())
    assert result.verdict == "FAIL"
    assert result.predicted == wrong[network, time]


def test_a_method_of_second_order_fails_because_its_gap_does_not_halve():
    result = compare(predicted=FLOW, **runs(first=0.0, third=0.0))
    assert result.ratio <= 1
    assert result.order == pytest.approx(2.0, abs=1e-6)
    assert result.verdict == "FAIL"


def test_a_bias_that_does_not_shrink_with_the_rate_fails():
    held = descent(0.1)
    assert compare(held, FLOW, halved=held, quartered=held).verdict == "FAIL"


def test_runs_that_equal_the_prediction_to_rounding_pass():
    assert compare(FLOW, FLOW * (1 + 2e-16), halved=FLOW, quartered=FLOW).verdict == "PASS"


def test_every_network_and_every_mode_has_its_own_allowance():
    large, small = 100 * FLOW[0], FLOW[2]
    stacked = [np.stack([run[0] * 100, run[2]], axis=-1)[None] for run in runs().values()]
    predicted = np.stack([large, small * 1.01], axis=-1)[None]
    result = compare(stacked[0], predicted, halved=stacked[1], quartered=stacked[2])
    assert result.verdict == "FAIL"
    assert result.predicted in predicted[..., 1]


def test_points_left_out_are_neither_compared_nor_counted():
    wrong = FLOW.copy()
    wrong[1, 7] += 1.0
    where = np.ones(FLOW.shape, bool)
    where[1, 7] = False
    result = compare(predicted=wrong, where=where, **runs())
    assert result.verdict == "PASS"
    assert result.points == FLOW.size - 1


def test_a_diverged_network_is_left_out_and_counted():
    given_runs = runs()
    given_runs["halved"][1, 20:] = np.nan
    result = compare(predicted=FLOW, **given_runs)
    assert (result.networks, result.left_out) == (2, 1)
    assert result.verdict == "PASS"


def test_dataarrays_are_aligned_by_name():
    labelled = {name: xr.DataArray(run.T, dims=("time", "network")) for name, run in runs().items()}
    predicted = xr.DataArray(FLOW, dims=("network", "time"))
    assert compare(predicted=predicted, **labelled) == compare(predicted=FLOW, **runs())


def test_a_dataarray_without_networks_is_one_series():
    labelled = {name: xr.DataArray(run[0], dims=("time",)) for name, run in runs().items()}
    assert compare(predicted=xr.DataArray(FLOW[0], dims=("time",)), **labelled).networks == 1


def test_a_stated_bias_widens_the_allowance_by_itself():
    plain = compare(predicted=FLOW + 0.01, **runs())
    widened = compare(predicted=FLOW + 0.01, bias=0.02, **runs())
    assert plain.verdict == "FAIL"
    assert widened.verdict == "PASS"


def sample(networks, seed, shift=0.0):
    return np.random.default_rng(seed).normal(FLOW[0] + shift, 0.5, (networks, TIMES.size))


def test_a_mean_within_four_standard_errors_of_its_expectation_passes():
    result = compare(sample(2000, 1), FLOW[0])
    assert result.verdict == "PASS"
    assert result.standard_error == pytest.approx(0.5 / math.sqrt(2000), rel=0.1)


def test_a_mean_six_standard_errors_off_fails():
    assert compare(sample(2000, 1, shift=6 * 0.5 / math.sqrt(2000)), FLOW[0]).verdict == "FAIL"


def test_the_error_of_an_independent_sample_is_added_in_quadrature():
    measured, predicted = sample(400, 2), sample(100, 3)
    result = compare(measured, predicted)
    errors = np.hypot(measured.std(0, ddof=1) / 20, predicted.std(0, ddof=1) / 10)
    assert np.isclose(errors, result.standard_error, rtol=1e-12).any()
    assert result.verdict == "PASS"


def test_a_given_standard_error_and_bias_set_the_allowance():
    assert compare([1.0], [1.5], standard_error=[0.1]).verdict == "FAIL"
    assert compare([1.0], [1.5], standard_error=[0.1], bias=0.2).verdict == "PASS"


def test_false_alarms_are_as_rare_as_four_deviations_say():
    alarms = sum(compare(sample(50, seed), FLOW[0]).verdict == "FAIL" for seed in range(200))
    # Student's t with 49 degrees of freedom beyond 4: 2.1e-4 a point, 31 points: at most 1.3 of 200 expected.
    assert alarms <= 1.3 + 4 * math.sqrt(1.3)


@pytest.mark.parametrize(("successes", "trials"), [(50, 100), (1, 20), (0, 7), (7, 7), (9_998, 10_000)])
def test_wilson_agrees_with_scipy(successes, trials):
    confidence = 1 - 2 * norm.sf(DEVIATIONS)
    expected = binomtest(successes, trials).proportion_ci(confidence, method="wilson")
    assert wilson(successes, trials) == pytest.approx((expected.low, expected.high), rel=1e-9, abs=1e-15)


@given(st.integers(1, 500), st.floats(0, 1))
def test_wilson_holds_the_measured_share(trials, fraction):
    successes = round(fraction * trials)
    low, high = wilson(successes, trials)
    assert 0 <= low <= successes / trials <= high <= 1


def test_a_proportion_passes_within_its_interval_only():
    low, high = wilson(160, 10_000)
    assert compare_proportion(160, 10_000, 1 / 64).verdict == "PASS"
    assert compare_proportion(160, 10_000, low * 0.999).verdict == "FAIL"
    assert compare_proportion(160, 10_000, high * 1.001).verdict == "FAIL"
    assert compare_proportion(160, 10_000, high * 1.001, bias=high * 0.01).verdict == "PASS"


def test_a_majority_needs_its_whole_interval_above_one_half():
    assert compare_majority(32, 32).verdict == "PASS"
    assert compare_majority(16, 16).verdict == "FAIL"
    assert compare_majority(600, 1000).verdict == "PASS"
    assert compare_majority(560, 1000).verdict == "FAIL"
    assert compare_majority(100, 1000).verdict == "FAIL"


@given(st.integers(1, 2000), st.floats(0, 1))
def test_majority_and_wilson_say_the_same(trials, fraction):
    successes = round(fraction * trials)
    assert compare_majority(successes, trials).passed == (wilson(successes, trials)[0] > 0.5)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            {"measured": FLOW, "predicted": FLOW, "halved": FLOW},
            "halved and quartered must be given together for an exact comparison, got halved only",
        ),
        (
            {"measured": FLOW, "predicted": FLOW, "where": FLOW > 0},
            "where must be left out of a statistical comparison",
        ),
        (
            {"measured": FLOW, "predicted": FLOW[:, :4], "halved": FLOW, "quartered": FLOW},
            "predicted must have a shape that broadcasts to .*, got",
        ),
        (
            {"measured": FLOW, "predicted": FLOW, "halved": FLOW[:2], "quartered": FLOW},
            "halved must have the shape of measured, .*, got",
        ),
        (
            {"measured": FLOW, "predicted": FLOW * np.nan, "halved": FLOW, "quartered": FLOW},
            "predicted must be finite, got nan",
        ),
        ({"measured": FLOW, "predicted": FLOW, "bias": -1.0}, r"bias must not be negative, got -1\.0"),
        (
            {"measured": FLOW[:1], "predicted": FLOW[0]},
            "measured must hold at least two networks on the first axis, got shape",
        ),
        (
            {"measured": FLOW * np.nan, "predicted": FLOW, "halved": FLOW, "quartered": FLOW},
            "measured, halved and quartered must leave a finite point to compare, got 0 finite networks of 3",
        ),
        (
            {"measured": 1.0, "predicted": 1.0, "halved": 1.0, "quartered": 1.0},
            "measured must have an axis of time for an exact comparison or one of flow, got a scalar",
        ),
        (
            {"measured": FLOW, "predicted": FLOW, "halved": FLOW, "quartered": FLOW, "standard_error": 1.0},
            "standard_error must be left out of an exact comparison, got it with halved and quartered",
        ),
        ({"measured": [FLOW[0]] * 2, "predicted": FLOW[:1]}, "predicted must hold at least two networks"),
        ({"measured": [[1.0], [np.nan]], "predicted": [1.0]}, "at least two finite networks, got 1 of 2"),
        ({"measured": [np.inf], "predicted": [1.0], "standard_error": [1.0]}, "measured must be finite .*, got inf"),
        (
            {
                "measured": xr.DataArray(FLOW, dims=("network", "time")),
                "predicted": xr.DataArray(FLOW, dims=("mode", "time")),
                "halved": FLOW,
                "quartered": FLOW,
            },
            r"predicted must have no dimensions but those of measured, \('network', 'time'\), got \('mode', 'time'\)",
        ),
        (
            {"measured": [1.0], "predicted": [1.0], "standard_error": [-1.0]},
            r"standard_error must not be negative, got -1\.0",
        ),
    ],
)
def test_bad_input_is_named(arguments, words):
    with pytest.raises(ValueError, match=words):
        compare(**arguments)


@pytest.mark.parametrize(("successes", "trials"), [(-1, 5), (6, 5), (0, 0)])
def test_impossible_counts_are_named(successes, trials):
    with pytest.raises(
        ValueError, match=f"successes must lie between 0 and trials, .* got successes={successes}, trials={trials}"
    ):
        wilson(successes, trials)


def test_a_probability_outside_its_range_is_named():
    with pytest.raises(ValueError, match=r"predicted must lie between 0 and 1, got 1\.5"):
        compare_proportion(1, 2, 1.5)


def test_a_bias_and_deviations_outside_their_range_are_named():
    with pytest.raises(ValueError, match="bias must be finite and not negative, got nan"):
        compare_proportion(1, 2, 0.5, bias=math.nan)
    with pytest.raises(ValueError, match="deviations must be finite and positive, got 0"):
        wilson(1, 2, deviations=0)


@pytest.mark.parametrize("coverage", [0, 1])
def test_a_coverage_outside_its_range_is_named(coverage):
    with pytest.raises(ValueError, match=f"coverage must lie between 0 and 1, both excluded, got {coverage}"):
        plot.band(plot.figure(("",))[1][0], [0.0], [[0.0]], coverage=coverage)


def test_one_axis_is_time_where_exact_and_networks_where_statistical():
    exact = compare(predicted=FLOW[0], **{name: run[0] for name, run in runs().items()})
    assert (exact.networks, exact.points) == (1, TIMES.size)
    statistical = compare([1.0, 2.0, 3.0], 2.0)
    assert (statistical.networks, statistical.points) == (3, 1)


def test_shoal_compare_is_the_function_whatever_was_imported_before():
    code = (
        "import shoal; from shoal.claims import modes; print(shoal.compare([1.0], [1.0], standard_error=0.1).verdict)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False)
    assert done.stdout == "PASS\n", done.stderr


def test_the_text_of_a_comparison_opens_with_the_verdict():
    assert str(compare(predicted=FLOW, **runs())).startswith("PASS (exact): measured ")
