"""What compare_flow allows a gradient flow that was integrated to a tolerance."""

import math

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from shoal.theory import Mode
from shoal.verdicts.comparison import compare_flow

TIMES = np.linspace(0, 3, 31)
FLOW = np.array([[1.0], [2.0], [0.1]]) * np.exp(-TIMES)


def integrated(*, norm=1.0):
    """A mode of cross-entropy by SciPy's integrator of order 8 at rtol 1e-10, one network."""
    solved = solve_ivp(
        lambda _, m: norm * m / (1 + np.exp(m)), (0, 40), [0.01], "DOP853", TIMES * 13, rtol=1e-10, atol=1e-14
    )
    return solved.y


def test_a_flow_integrated_by_scipy_agrees_with_the_closed_form():
    predicted = Mode(norm=1.0, frequency=0.5, start_margin=0.01).margin(TIMES * 13)
    result = compare_flow(integrated(), predicted, tolerance=1e-9)
    assert result.verdict == "PASS"
    assert (result.kind, result.networks, result.points) == ("flow", 1, TIMES.size)
    assert math.isnan(result.order)
    assert (result.standard_error, result.bias) == (0.0, 0.0)


def test_the_flow_of_a_mode_whose_norm_is_a_millionth_off_fails():
    predicted = Mode(norm=1.0 + 1e-6, frequency=0.5, start_margin=0.01).margin(TIMES * 13)
    assert compare_flow(integrated(), predicted, tolerance=1e-7).verdict == "FAIL"


def test_a_flow_has_one_allowance_a_network():
    result = compare_flow(FLOW, FLOW * [[1], [1], [1 + 5e-8]], tolerance=1e-7)
    largest = FLOW[2].max() * (1 + 5e-8)
    assert result.tolerance == pytest.approx(1e-7 * largest + 5 * np.finfo(float).eps * FLOW.max(), rel=1e-12)
    assert result.gap == pytest.approx(5e-8 * FLOW[2].max(), rel=1e-6)
    assert result.verdict == "PASS"


@given(st.integers(0, 2), st.integers(0, 30), st.sampled_from([-1, 1]))
def test_one_wrong_point_of_one_flow_fails_and_is_named(network, time, sign):
    wrong = FLOW.copy()
    wrong[network, time] *= 1 + sign * 1e-4
    result = compare_flow(FLOW, wrong, tolerance=1e-6)
    assert result.verdict == "FAIL"
    assert (result.measured, result.predicted) == (FLOW[network, time], wrong[network, time])


def test_a_small_mode_of_a_flow_is_not_covered_by_a_large_one():
    measured = np.stack([100 * FLOW[0], FLOW[2]], axis=-1)[None]
    result = compare_flow(measured, measured * [1.0, 1 + 1e-5], tolerance=1e-6)
    assert result.verdict == "FAIL"
    assert result.measured in measured[..., 1]


def test_points_left_out_of_a_flow_neither_fail_nor_widen_the_allowance():
    wrong = FLOW.copy()
    wrong[:, 7] = 1e9
    where = np.ones(FLOW.shape, bool)
    where[:, 7] = False
    assert compare_flow(FLOW, wrong, tolerance=1e-7, where=where).verdict == "PASS"
    wrong[1, 8] *= 1.001
    result = compare_flow(FLOW, wrong, tolerance=1e-7, where=where)
    assert result.verdict == "FAIL"
    assert result.points == FLOW.size - 3


def test_what_a_flow_is_predicted_to_leave_at_zero_may_be_off_by_rounding_only():
    measured = np.stack([FLOW[0], np.zeros_like(TIMES)], axis=-1)[None]
    predicted = measured.copy()
    measured[0, 3, 1] = 4e-16
    assert compare_flow(measured, predicted, tolerance=1e-7).verdict == "PASS"
    measured[0, 3, 1] = 4e-15
    assert compare_flow(measured, predicted, tolerance=1e-7).verdict == "FAIL"
    assert compare_flow(measured, predicted, tolerance=1e-7, bias=1e-14).verdict == "PASS"


def test_the_stated_bias_of_a_flow_is_reported():
    result = compare_flow(FLOW, FLOW + 0.01, tolerance=1e-7, bias=0.02)
    assert (result.verdict, result.bias) == ("PASS", 0.02)
    assert result.tolerance == pytest.approx(0.02, rel=1e-3)


def test_a_diverged_flow_is_left_out_and_counted():
    measured = FLOW.copy()
    measured[1, 20:] = np.nan
    result = compare_flow(measured, FLOW, tolerance=1e-7)
    assert (result.networks, result.left_out, result.points) == (2, 1, 2 * TIMES.size)
    assert result.verdict == "PASS"


def test_flows_are_aligned_by_name():
    measured = xr.DataArray(FLOW.T * (1 + 1e-8), dims=("time", "network"))
    predicted = xr.DataArray(FLOW, dims=("network", "time"))
    assert compare_flow(measured, predicted, tolerance=1e-7) == compare_flow(FLOW * (1 + 1e-8), FLOW, tolerance=1e-7)


def test_a_flow_that_is_the_prediction_itself_passes():
    result = compare_flow(FLOW, FLOW, tolerance=1e-7)
    assert (result.verdict, result.ratio) == ("PASS", 0.0)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            {"measured": 1.0, "predicted": 1.0, "tolerance": 1e-7},
            "measured must have an axis of time, got a scalar",
        ),
        ({"measured": FLOW, "predicted": FLOW, "tolerance": 0.0}, r"tolerance must be positive, got 0\.0"),
        ({"measured": FLOW, "predicted": FLOW, "tolerance": math.nan}, "tolerance must be finite, got nan"),
        (
            {"measured": FLOW * np.nan, "predicted": FLOW, "tolerance": 1e-7},
            "measured must leave a finite point to compare, got 0 finite networks of 3",
        ),
        (
            {"measured": FLOW, "predicted": FLOW, "tolerance": 1e-7, "where": FLOW > 9},
            "measured must leave a finite point to compare, got 3 finite networks of 3 and where",
        ),
        (
            {"measured": FLOW, "predicted": FLOW[:, :4], "tolerance": 1e-7},
            "predicted must have a shape that broadcasts to .*, got",
        ),
        ({"measured": FLOW, "predicted": FLOW * np.inf, "tolerance": 1e-7}, "predicted must be finite, got inf"),
    ],
)
def test_bad_input_is_named(arguments, words):
    with pytest.raises(ValueError, match=words):
        compare_flow(**arguments)


def test_a_tolerance_that_is_no_number_is_named():
    with pytest.raises(TypeError, match="tolerance must be a number, got '1e-7' of type str"):
        compare_flow(FLOW, FLOW, tolerance="1e-7")
