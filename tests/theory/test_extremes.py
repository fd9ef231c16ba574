"""Formulas far from where they are used: the right number, infinity where that is right, or a clear refusal."""

import math

import mpmath
import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from shoal.spec.loss import Hinge
from shoal.theory import Chain, MeanFieldHinge, Mode, linear_mode, power_mode, starved_strength

mpmath.mp.dps = 40


@pytest.mark.parametrize(("strengths", "time"), [((1e-6,) * 5, 1e18), ((1e-8,) * 4, 1e16)])
def test_a_hinge_that_is_met_from_a_tiny_start_ends_the_clock(strengths, time):
    """Balanced layers: a^(2-N) falls by (N-2) t, so that a = 1 comes at (a_0^(2-N) - 1)/(N-2)."""
    count, first = len(strengths), mpmath.mpf(strengths[0])
    chain = Chain(strengths, loss="hinge")
    arrives = (first ** (2 - count) - 1) / (count - 2)
    assert float(chain.time(1.0)) == pytest.approx(float(arrives), rel=1e-12)
    early = arrives / 2
    expected = (first ** (2 - count) - (count - 2) * early) ** (mpmath.mpf(count) / (2 - count))
    assert float(chain.margin(float(early))) == pytest.approx(float(expected), rel=1e-10)
    if time > arrives:
        assert chain.margin([time, 1e290]).tolist() == [1.0, 1.0]


def fallen_in(start, target, rate, depth, margin):
    """Return the time of m' = -rate m^(2 - 2/N) (m - h) from far above to ``margin``, by its integral in y = h/m."""
    gamma = 1 - mpmath.mpf(2) / depth
    edges = mpmath.linspace(target / mpmath.mpf(start), target / mpmath.mpf(margin), 3)
    return float(mpmath.quad(lambda y: y**gamma / (1 - y), edges) / rate / mpmath.mpf(target) ** (1 + gamma))


def test_a_margin_far_above_the_target_falls_to_it():
    mode = Mode(1.0, 0.5, 1e17, depth=3, loss="squared")
    margin = float(mode.margin(1.0))
    assert fallen_in(1e17, 1.0, 1.5, 3, margin) == pytest.approx(1.0, rel=1e-9)
    assert fallen_in(1e17, 1.0, 1.5, 3, 3e9) == pytest.approx(float(mode.time(3e9)), rel=1e-9)
    for start in (1e5, 1e20, 1e90):
        mode = Mode(1.0, 0.5, start, depth=4, loss="squared")
        margins = mode.margin([0.0, 1e-200, 1e-9, 1.0, 50.0, 1e300])
        assert (np.diff(margins) <= 0).all()
        assert margins[-1] == 1.0
        assert np.allclose(mode.time(margins[2:4]), [1e-9, 1.0], rtol=1e-8)


def test_a_chain_that_falls_from_far_above_is_the_mode_that_does():
    chain = Chain((1e12, 1e12), norm=0.05, frequency=0.002, loss="squared")
    mode = Mode(0.05, 0.002, 0.05e24, depth=2, loss="squared")
    times = [1e-20, 1e-6, 0.003, 10.0, 1e5]
    assert np.allclose(chain.margin(times), mode.margin(times), rtol=1e-10)


def test_a_logistic_time_beyond_the_doubles_is_infinite_and_one_within_is_right():
    assert float(Mode(1.0, 1.0, 1000.0, depth=1).time(1005.0)) == math.inf
    fast = Mode(1e50, 1.0, 0.0, depth=1)
    expected = (800 + mpmath.exp(800) - 1) / mpmath.mpf(10) ** 100
    assert float(fast.time(800.0)) == pytest.approx(float(expected), rel=1e-12)


@pytest.mark.parametrize(
    ("norm", "start", "time"), [(1e5, 1e-5, 1e300), (1.0, -40.0, 1e40), (1e50, 3.0, 1e280), (1.0, -1e12, 2.0)]
)
def test_a_logistic_margin_solves_its_equation(norm, start, time):
    margin = mpmath.mpf(float(Mode(norm, 1.0, start, depth=1).margin(time)))
    theta = mpmath.mpf(norm) ** 2 * mpmath.mpf(time) if norm > 1 else mpmath.mpf(time)
    left = theta + mpmath.mpf(start) + mpmath.exp(mpmath.mpf(start))
    off = (margin + mpmath.exp(margin) - left) / (1 + mpmath.exp(margin))
    assert abs(off) < 1e-15 * max(abs(start), abs(margin), 1)


def test_a_margin_that_crosses_zero_has_a_positive_time_however_small():
    mode = Mode(1.0, 1.0, -1e-170, imbalance=1e-5)
    # dm/dt = 2 r s with r = 1/2 and s = imbalance/2.
    assert float(mode.time(5e-171)) == pytest.approx(1.5e-170 / 5e-6, rel=1e-12)


@pytest.mark.parametrize("loss", ["exponential", "cross_entropy"])
@pytest.mark.parametrize("strong", [1e70, 1e100])
def test_a_margin_beyond_a_thousand_is_that_of_one_layer(strong, loss):
    times = np.array([1e100, 1e250, 1e300])  # the weak layer grows alone: m' = strong^2 r(m)
    with np.errstate(all="raise", under="ignore"):
        margins = Chain((strong, 1.0 / strong), loss=loss).margin(times)
    assert margins == pytest.approx(2.0 * math.log(strong) + np.log(times), rel=1e-12)


def test_a_hinge_far_beyond_the_start_is_reached_in_its_own_time():
    """Depth 2, balanced: m = m_0 e^(2 p rho t)."""
    mode = Mode(1.0, 0.5, 1e-60, loss=Hinge(1e90))
    assert float(mode.time(1e90)) == pytest.approx(float(150 * mpmath.log(10)), rel=1e-12)


WIDE = st.floats(-95, 95).map(lambda exponent: 10.0**exponent)
LOSSES = st.sampled_from(["cross_entropy", "exponential", "hinge", "squared", "squared_hinge"])
TIMES = st.lists(st.floats(-300, 300).map(lambda exponent: 10.0**exponent), min_size=3, max_size=3)


def made(kind, *arguments, **options):
    """Return what the arguments make; others are drawn where they are refused with a reason."""
    try:
        return kind(*arguments, **options)
    except ValueError as refused:
        if " must " not in str(refused):
            raise
    assume(False)
    return None


def check_the_way(law, times):
    """A margin goes one way, is never NaN, and the time of a margin is where it was read."""
    times = np.array([0.0, *sorted(times), math.inf])
    margins = law.margin(times)
    assert margins[0] == law.start_margin
    assert not np.isnan(margins).any()
    finite = margins[np.isfinite(margins)]
    slack = 1e-9 * np.maximum(np.abs(finite[1:]), np.abs(finite[:-1]))
    steps = np.diff(finite)
    assert (steps >= -slack).all() or (steps <= slack).all()
    back = law.time(finite)
    assert (back >= 0).all()


@settings(max_examples=20, suppress_health_check=[HealthCheck.filter_too_much], deadline=20_000)
@given(WIDE, WIDE, WIDE, st.sampled_from([1, 2, 3, 4, 7]), LOSSES, TIMES)
def test_modes_of_any_size_end_and_are_numbers(norm, frequency, start, depth, loss, times):
    check_the_way(Mode(norm, frequency, start, depth=depth, loss=loss), times)


@settings(max_examples=15, suppress_health_check=[HealthCheck.filter_too_much], deadline=20_000)
@given(WIDE, WIDE, st.floats(-1e6, 1e6), WIDE, LOSSES, TIMES)
def test_unbalanced_modes_of_any_size_end_and_are_numbers(norm, frequency, start, imbalance, loss, times):
    check_the_way(made(Mode, norm, frequency, start, imbalance, loss=loss), times)


@settings(max_examples=8, suppress_health_check=[HealthCheck.filter_too_much], deadline=60_000)
@given(st.lists(st.floats(-15, 3), min_size=2, max_size=5), st.sampled_from([-1.0, 1.0]), LOSSES, TIMES)
def test_chains_of_any_size_end_and_are_numbers(exponents, sign, loss, times):
    strengths = [10.0**exponent for exponent in exponents]
    strengths[-1] *= sign
    check_the_way(made(Chain, strengths, loss=loss), times)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((1e101, 1.0, 1.0), r"norm must lie from 1e-100 to 1e\+100, got 1e\+101"),
        ((1.0, 1e-101, 1.0), "frequency must lie from 1e-100"),
        ((1.0, 1.0, 1e200), r"start_margin must lie within 1e\+100 of 0"),
        ((1.0, 1.0, -350.0, 4e-150), "imbalance must not be so small beside a start_margin below 0"),
        ((1.0, 1.0, -1e7, 1.0), r"start_margin must be at least -1e\+06 for this loss at depth 2"),
    ],
)
def test_sizes_that_would_leave_no_digit_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Mode(*arguments)


def test_a_clock_beyond_the_doubles_is_refused_by_a_chain():
    with pytest.raises(ValueError, match=r"times must make a clock frequency x norm x time of at most 1e\+300"):
        Chain((1.0, 1.0), norm=1e50).margin(1e260)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: linear_mode([1.0], 0.1, 1e187), r"target must lie from 1e-100 to 1e\+100"),
        (
            lambda: linear_mode([1.0], 0.1, 1e80, depth=5, constant=1e-60),
            r"target\^\(2 - 2/depth\) / constant must lie",
        ),
        (lambda: power_mode([1.0], 1e204, 1.0), r"start must lie within 1e\+100 of 0"),
        (lambda: starved_strength(math.inf, (0.1, 0.1), (7.0, 1e-293)), "norms must lie from 1e-100"),
        (lambda: MeanFieldHinge(10, 5, 1e186, 1e-258), "threshold and alpha must make threshold / alpha lie from"),
    ],
)
def test_sizes_that_would_overflow_or_vanish_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_feature_that_nothing_starves_grows_for_ever():
    assert float(starved_strength(math.inf, (0.1, 0.1), (1e100, 1e-100))) == math.inf
