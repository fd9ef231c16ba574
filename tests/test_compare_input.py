"""What comparisons take for numbers and counts, and what they refuse by the name of the argument."""

import math

import mpmath
import numpy as np
import pytest
import xarray as xr

import shoal
from shoal.verdicts.comparison import compare_flow
from shoal.verdicts.means import compare_mean
from shoal.verdicts.proportion import compare_fraction

FLOW = np.array([[1.0], [2.0], [0.1]])


@pytest.mark.parametrize(
    ("count", "total", "probability", "kind", "message"),
    [
        (5.5, 10, 0.5, TypeError, r"count must be an integer, got 5\.5 of type float"),
        (True, 10, 0.5, TypeError, "count must be an integer, got True"),
        ([1, 2], 10, 0.5, TypeError, r"count must be an integer, got \[1, 2\] of type list"),
        (5, math.inf, 0.5, TypeError, "total must be an integer, got inf"),
        (5, None, 0.5, TypeError, "total must be an integer, got None"),
        (0, 0, 0.5, ValueError, "total must be at least 1, got 0"),
        (11, 10, 0.5, ValueError, "count must be between 0 and 10, got 11"),
        (5, 10, [0.1, 0.2], TypeError, r"probability must be a number, got \[0\.1, 0\.2\] of type list"),
        (5, 10, np.ma.masked, TypeError, "probability must not be masked"),
    ],
)
def test_counts_are_integers_and_a_probability_is_one_number(count, total, probability, kind, message):
    with pytest.raises(kind, match=message):
        compare_fraction(count, total, probability)


def test_counts_may_be_entries_of_a_dataset_and_as_large_as_integers_are():
    assert compare_fraction(xr.DataArray(np.int64(5)), np.array(10), np.float32(0.5)).measured == 0.5
    assert compare_fraction(2**60, 2**62, 0.25).verdict == "PASS"
    assert compare_fraction(2**60, 2**62, 0.2500001).verdict == "FAIL"


def test_numbers_of_mpmath_are_taken():
    measured, exact = np.array([[1.0, 2.0]]), [mpmath.mpf(1), mpmath.mpf(2)]
    assert shoal.compare_flow(measured, exact, tolerance=1e-9) == shoal.compare_flow(measured, [1, 2], tolerance=1e-9)
    with pytest.raises(TypeError, match="predicted must hold real numbers, got dtype object"):
        shoal.compare_flow(measured, [mpmath.mpf(1), mpmath.mpc(2, 1)], tolerance=1e-9)


@pytest.mark.parametrize(
    ("wrong", "got"),
    [(FLOW + 1e-3j, "complex128"), (FLOW.astype(str), "<U32"), (None, "object"), ([None], "object")],
)
def test_what_is_no_real_number_is_named(wrong, got):
    with pytest.raises(TypeError, match=f"predicted must hold real numbers, got dtype {got}"):
        compare_flow(FLOW, wrong, 1e-6)
    with pytest.raises(TypeError, match=f"bias must hold real numbers, got dtype {got}"):
        compare_flow(FLOW, FLOW, 1e-6, bias=wrong)
    with pytest.raises(TypeError, match=f"expected must hold real numbers, got dtype {got}"):
        compare_mean(FLOW, wrong if np.ndim(wrong) < 2 else wrong[0])
