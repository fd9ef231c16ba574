"""What comparisons allow, and what they do not."""

import math

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, norm, t

import shoal
from shoal import plot
from shoal.base.interval import DEVIATIONS, wilson
from shoal.verdicts.comparison import compare_flow, compare_rates
from shoal.verdicts.means import compare_estimate, compare_mean, compare_samples, deviations, freedom_of_sum
from shoal.verdicts.proportion import compare_fraction, compare_least, compare_majority

TIMES = np.linspace(0, 3, 31)
FLOW = np.array([[1.0], [2.0], [0.1]]) * np.exp(-TIMES)


def descent(rate, *, first=0.3, second=0.5, third=0.2):
    """A run whose distance from FLOW is a known series in the rate."""
    shape = np.array([1.0, -2.0, 0.5])[:, None] * np.sin(TIMES)
    return FLOW + (first * rate + second * rate**2 + third * rate**3) * shape


def runs(**series):
    return {
        "full": descent(0.1, **series),
        "half": descent(0.05, **series),
        "quarter": descent(0.025, **series),
    }


def test_a_right_prediction_of_a_first_order_method_passes():
    result = compare_rates(predicted=FLOW, **runs())
    assert result.verdict == "PASS"
    assert result.kind == "exact"
    assert result.networks == 3
    assert result.points == FLOW.size


def test_the_bias_that_is_reported_is_the_coarsest_runs():
    result = compare_rates(predicted=FLOW, **runs())
    true = np.abs(descent(0.1) - FLOW).max()
    # What is left of the third order: c3 rate^3 / 8 times the largest shape.
    assert abs(result.bias - true) <= 0.2 * 0.1**3 / 8 * 2 * (1 + 1e-9)


def test_the_gap_is_what_extrapolation_leaves_of_the_third_order():
    result = compare_rates(predicted=FLOW, **runs())
    at_one_network = {0.2 * 0.1**3 / 8 * size * np.sin(TIMES).max() for size in (1.0, 2.0, 0.5)}
    assert any(math.isclose(result.gap, gap, rel_tol=1e-6) for gap in at_one_network)


def test_the_order_of_a_first_order_method_is_one():
    assert compare_rates(predicted=FLOW, **runs(second=0.0, third=0.0)).order == pytest.approx(1.0, abs=1e-9)


def test_a_prediction_off_by_a_thousandth_fails():
    assert compare_rates(predicted=FLOW * 1.001, **runs()).verdict == "FAIL"


@given(st.integers(0, 2), st.integers(0, 30), st.sampled_from([-1, 1]))
def test_one_wrong_point_of_one_network_fails_and_is_named(network, time, sign):
    wrong = FLOW.copy()
    # Beyond any tolerance here: the last correction is at most 0.5 rate^2 / 8 times the largest shape.
    wrong[network, time] += sign * 0.01
    result = compare_rates(predicted=wrong, **runs())
    assert result.verdict == "FAIL"
    assert result.predicted == wrong[network, time]


def test_a_method_of_second_order_fails_because_its_gap_does_not_halve():
    result = compare_rates(predicted=FLOW, **runs(first=0.0, third=0.0))
    assert result.ratio <= 1
    assert result.order == pytest.approx(2.0, abs=1e-6)
    assert result.verdict == "FAIL"


def test_a_bias_that_does_not_shrink_with_the_rate_fails():
    held = descent(0.1)
    assert compare_rates(held, held, held, FLOW).verdict == "FAIL"


def test_runs_that_equal_the_prediction_to_rounding_pass():
    assert compare_rates(FLOW, FLOW, FLOW, FLOW * (1 + 2e-16)).verdict == "PASS"


def test_every_network_and_every_mode_has_its_own_allowance():
    large, small = 100 * FLOW[0], FLOW[2]
    stacked = [np.stack([run[0] * 100, run[2]], axis=-1)[None] for run in runs().values()]
    predicted = np.stack([large, small * 1.01], axis=-1)[None]
    result = compare_rates(*stacked, predicted)
    assert result.verdict == "FAIL"
    assert result.predicted in predicted[..., 1]


def test_points_left_out_are_neither_compared_nor_counted():
    wrong = FLOW.copy()
    wrong[1, 7] += 1.0
    where = np.ones(FLOW.shape, bool)
    where[1, 7] = False
    result = compare_rates(predicted=wrong, where=where, **runs())
    assert result.verdict == "PASS"
    assert result.points == FLOW.size - 1


def test_a_diverged_network_is_left_out_and_counted():
    given_runs = runs()
    given_runs["half"][1, 20:] = np.nan
    result = compare_rates(predicted=FLOW, **given_runs)
    assert (result.networks, result.left_out) == (2, 1)
    assert result.verdict == "PASS"


def test_dataarrays_are_aligned_by_name():
    labelled = {name: xr.DataArray(run.T, dims=("time", "network")) for name, run in runs().items()}
    predicted = xr.DataArray(FLOW, dims=("network", "time"))
    assert compare_rates(predicted=predicted, **labelled) == compare_rates(predicted=FLOW, **runs())


def test_a_dataarray_without_networks_is_one_series():
    labelled = {name: xr.DataArray(run[0], dims=("time",)) for name, run in runs().items()}
    assert compare_rates(predicted=xr.DataArray(FLOW[0], dims=("time",)), **labelled).networks == 1


def test_a_stated_bias_widens_the_allowance_by_itself():
    plain = compare_rates(predicted=FLOW + 0.01, **runs())
    widened = compare_rates(predicted=FLOW + 0.01, bias=0.02, **runs())
    assert plain.verdict == "FAIL"
    assert widened.verdict == "PASS"


def sample(networks, seed, shift=0.0):
    return np.random.default_rng(seed).normal(FLOW[0] + shift, 0.5, (networks, TIMES.size))


def test_a_mean_within_four_standard_errors_of_its_expectation_passes():
    result = compare_mean(sample(2000, 1), FLOW[0])
    assert result.verdict == "PASS"
    assert result.standard_error == pytest.approx(0.5 / math.sqrt(2000), rel=0.1)


def test_a_mean_six_standard_errors_off_fails():
    assert compare_mean(sample(2000, 1, shift=6 * 0.5 / math.sqrt(2000)), FLOW[0]).verdict == "FAIL"


def test_the_error_of_an_independent_sample_is_added_in_quadrature():
    measured, predicted = sample(400, 2), sample(100, 3)
    result = compare_samples(measured, predicted)
    errors = np.hypot(measured.std(0, ddof=1) / 20, predicted.std(0, ddof=1) / 10)
    assert np.isclose(errors, result.standard_error, rtol=1e-12).any()
    assert result.verdict == "PASS"


def test_a_given_standard_error_and_bias_set_the_allowance():
    assert compare_estimate([1.0], [1.5], standard_error=[0.1]).verdict == "FAIL"
    assert compare_estimate([1.0], [1.5], standard_error=[0.1], bias=0.2).verdict == "PASS"


def test_false_alarms_are_as_rare_as_four_deviations_say():
    alarms = sum(compare_mean(sample(50, seed), FLOW[0]).verdict == "FAIL" for seed in range(200))
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
    assert compare_fraction(160, 10_000, 1 / 64).verdict == "PASS"
    assert compare_fraction(160, 10_000, low * 0.999).verdict == "FAIL"
    assert compare_fraction(160, 10_000, high * 1.001).verdict == "FAIL"
    assert compare_fraction(160, 10_000, high * 1.001, bias=high * 0.01).verdict == "PASS"


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


THREE = {"full": FLOW, "half": FLOW, "quarter": FLOW}
NAMED = xr.DataArray(FLOW, dims=("network", "time"), coords={"time": TIMES})


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({**THREE, "predicted": FLOW[:, :4]}, "predicted must have a shape that broadcasts to .*, got"),
        ({**THREE, "half": FLOW[:2], "predicted": FLOW}, "half must have the shape of full, .*, got"),
        ({**THREE, "predicted": FLOW * np.nan}, "predicted must be finite, got nan"),
        (
            {**THREE, "full": FLOW * np.nan, "predicted": FLOW},
            "full, half and quarter must leave a finite point to compare, got 0 finite networks of 3",
        ),
        ({"full": 1.0, "half": 1.0, "quarter": 1.0, "predicted": 1.0}, "full must have an axis of time, got a scalar"),
        (
            {**THREE, "full": NAMED, "predicted": xr.DataArray(FLOW, dims=("mode", "time"))},
            r"predicted must have no dimensions but those of full, \('network', 'time'\), got \('mode', 'time'\)",
        ),
        (
            {**THREE, "full": NAMED, "predicted": NAMED.assign_coords(time=TIMES + 0.1)},
            r"predicted must be at the time of full, got 0\.1 in place of 0\.0",
        ),
    ],
)
def test_bad_input_to_three_rates_is_named(arguments, words):
    with pytest.raises(ValueError, match=words):
        compare_rates(**arguments)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"measured": FLOW, "expected": FLOW[0], "bias": -1.0}, r"bias must not be negative, got -1\.0"),
        (
            {"measured": FLOW[:1], "expected": FLOW[0]},
            "measured must hold at least two networks on the first axis, got shape",
        ),
        ({"measured": [[1.0], [np.nan]], "expected": [1.0]}, "at least two finite networks, got 1 of 2"),
        ({"measured": FLOW, "expected": FLOW}, "expected must have no network axis, for it is an expectation"),
        ({"measured": NAMED, "expected": NAMED}, "expected must have no network axis"),
        ({"measured": [1.0, 2.0], "expected": [1.0, 2.0]}, "expected must have no network axis"),
        ({"measured": NAMED[0], "expected": 1.0}, r"measured must have a dimension network, got \('time',\)"),
        ({"measured": NAMED, "expected": NAMED[0].assign_coords(time=2 * TIMES)}, "expected must be at the time of"),
    ],
)
def test_bad_input_to_a_mean_is_named(arguments, words):
    with pytest.raises(ValueError, match=words):
        compare_mean(**arguments)


def test_bad_input_to_samples_and_estimates_is_named():
    with pytest.raises(ValueError, match="independent must hold at least two networks"):
        compare_samples(FLOW, FLOW[:1])
    with pytest.raises(ValueError, match=r"estimate must be finite, got inf"):
        compare_estimate([np.inf], [1.0], standard_error=[1.0])
    with pytest.raises(ValueError, match=r"standard_error must not be negative, got -1\.0"):
        compare_estimate([1.0], [1.0], standard_error=[-1.0])


@pytest.mark.parametrize(("successes", "trials"), [(-1, 5), (6, 5), (0, 0)])
def test_impossible_counts_are_named(successes, trials):
    with pytest.raises(
        ValueError, match=f"successes must lie between 0 and trials, .* got successes={successes}, trials={trials}"
    ):
        wilson(successes, trials)


def test_a_probability_outside_its_range_is_named():
    with pytest.raises(ValueError, match=r"probability must lie between 0 and 1, got 1\.5"):
        compare_fraction(1, 2, 1.5)


def test_a_bias_and_deviations_outside_their_range_are_named():
    with pytest.raises(ValueError, match="bias must be finite, got nan"):
        compare_fraction(1, 2, 0.5, bias=math.nan)
    with pytest.raises(ValueError, match="deviations must be finite and positive, got 0"):
        wilson(1, 2, deviations=0)


@pytest.mark.parametrize("coverage", [0, 1])
def test_a_coverage_outside_its_range_is_named(coverage):
    with pytest.raises(ValueError, match=f"coverage must lie between 0 and 1, both excluded, got {coverage}"):
        plot.band(plot.figure(("",))[1][0], [0.0], [[0.0]], coverage=coverage)


def test_one_axis_is_time_where_exact_and_networks_where_statistical():
    exact = compare_rates(predicted=FLOW[0], **{name: run[0] for name, run in runs().items()})
    assert (exact.networks, exact.points) == (1, TIMES.size)
    statistical = compare_mean([1.0, 2.0, 3.0], 2.0)
    assert (statistical.networks, statistical.points) == (3, 1)


def test_the_text_of_a_comparison_opens_with_the_verdict():
    assert str(compare_rates(predicted=FLOW, **runs())).startswith("PASS (exact): measured ")


def paired():
    """Flows of 200 networks that start apart, and the theory of each."""
    size = np.random.default_rng(5).lognormal(0.0, 0.5, (200, 1))
    return xr.DataArray(size * np.exp(-TIMES), dims=("network", "time"), coords={"time": TIMES})


def test_a_theory_four_per_cent_off_fails_under_every_rule_that_takes_networks_on_both_sides():
    measured, wrong = paired(), 1.04 * paired()
    assert compare_flow(measured, wrong, tolerance=1e-7).verdict == "FAIL"
    assert compare_rates(measured, measured, measured, wrong).verdict == "FAIL"
    with pytest.raises(ValueError, match="expected must have no network axis"):
        compare_mean(measured, wrong)
    with pytest.raises(ValueError, match=r"independent must be of other networks than measured, .* correlation of 1 "):
        compare_samples(measured, wrong)


def test_shoal_compare_is_gone_and_says_what_took_its_place():
    with pytest.raises(AttributeError, match=r"compare_flow .* compare_rates .* compare_mean .* compare_samples"):
        shoal.compare  # noqa: B018


def test_an_expectation_is_aligned_by_name_and_not_by_its_place():
    square = np.random.default_rng(3).normal(size=(400, 4, 4)) * 0.01 + np.arange(16.0).reshape(4, 4)
    measured = xr.DataArray(square, dims=("network", "time", "sample"))
    expected = xr.DataArray(np.arange(16.0).reshape(4, 4).T, dims=("sample", "time"))
    assert compare_mean(measured, expected).passed
    assert not compare_mean(measured, expected.rename(sample="time", time="sample")).passed


@pytest.mark.parametrize("networks", [2, 3, 5, 24])
def test_few_networks_raise_a_false_alarm_as_rarely_as_four_deviations(networks):
    # 2 Phi(-4) is 6.3e-5: of 250,000 experiments 16, give or take 4. Four standard errors failed 16% at n = 2.
    draws = np.random.default_rng(networks).normal(size=(networks, 250_000))
    mean, error = draws.mean(axis=0), draws.std(axis=0, ddof=1) / math.sqrt(networks)
    alarms = int((np.abs(mean) > deviations(networks - 1) * error).sum())
    expected = 2 * norm.sf(4) * 250_000
    assert abs(alarms - expected) <= 4 * math.sqrt(expected)


def test_two_networks_that_miss_by_a_thousand_of_their_errors_do_not_fail_and_catch_nothing():
    found = compare_mean([1.0, 1.0002], 1.1)
    assert found.verdict == "PASS"
    assert not found.catches.sharp


def test_the_freedom_of_a_sum_is_that_of_welch():
    assert freedom_of_sum(np.array([1.0, 0.0]), [7.0, 3.0]) == 7
    assert freedom_of_sum(np.array([1.0, 1.0]), [7.0, 7.0]) == 14
    assert np.isinf(freedom_of_sum(np.zeros(2), [7.0, 7.0]))


def test_the_error_of_a_mean_grows_with_the_freedom_that_is_missing():
    sure, unsure = (compare_estimate(1.0, 1.0, standard_error=0.01, freedom=n).tolerance for n in (math.inf, 5))
    assert sure == pytest.approx(0.04, rel=1e-9)
    assert unsure == pytest.approx(0.01 * t.isf(norm.sf(4), 5), rel=1e-9)


def test_a_bound_fails_only_below():
    assert compare_least(50, 100, 0.4).passed
    assert compare_least(50, 100, 0.6).passed
    assert not compare_least(50, 100, 0.8).passed
