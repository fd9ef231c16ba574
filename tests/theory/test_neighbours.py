"""Neighbouring formulas against their own equations, against mpmath, and against descent in the core."""

import itertools
import math

import mpmath
import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.optimize import brentq, minimize

import shoal
from shoal.theory import (
    descend_cycle,
    descend_mode,
    exponential_weight,
    learning_time,
    linear_mode,
    power_mode,
    separator,
)


@pytest.mark.parametrize("depth", [1, 2, 3, 5])
@pytest.mark.parametrize(("start", "target"), [(0.01, 2.0), (0.3, 0.4), (3.0, 1.5)])
def test_linear_modes_follow_their_equation(depth, start, target):
    times, constant = np.array([0.0, 0.2, 1.0, 3.0]), 0.7

    def slope(_, u):
        return depth * u ** (2 - 2 / depth) * (target - u) / constant

    expected = solve_ivp(slope, (0, 3), [start], method="DOP853", rtol=1e-13, atol=1e-15, t_eval=times).y[0]
    assert np.allclose(linear_mode(times, start, target, depth, constant), expected, rtol=1e-10)
    assert np.allclose(learning_time(expected[:2], start, target, depth, constant), times[:2], rtol=1e-9, atol=1e-12)
    assert linear_mode(math.inf, start, target, depth) == pytest.approx(target, rel=1e-14)


def test_depth_two_is_the_sigmoid_of_saxe():
    times, s, u0, tau = np.linspace(0, 5, 11), 1.7, 0.02, 1.3
    grown = np.exp(2 * s * times / tau)
    assert np.allclose(linear_mode(times, u0, s, 2, tau), s * grown / (grown - 1 + s / u0), rtol=1e-12)


@pytest.mark.parametrize("depth", [1, 3, 4, 6])
def test_learning_times_agree_with_mpmath(depth):
    with mpmath.workdps(30):
        power = mpmath.mpf(2) - mpmath.mpf(2) / depth
        pace = lambda u: 0.6 / (depth * u**power * (2 - u))  # noqa: E731
        expected = float(mpmath.quad(pace, [1e-3, 1e-2, 0.1, 0.5, 1, 1.9]))
    assert float(learning_time(1.9, 1e-3, 2.0, depth, 0.6)) == pytest.approx(expected, rel=1e-11)


@pytest.mark.parametrize("depth", [1, 2, 3, 5])
def test_power_modes_follow_their_equation(depth):
    times = np.array([0.0, 0.1, 0.5, 1.5])

    def slope(_, u):
        return depth * u ** (depth - 1) * (1.5 - u**depth)

    u = solve_ivp(slope, (0, 1.5), [0.05 ** (1 / depth)], method="DOP853", rtol=1e-13, atol=1e-15, t_eval=times).y[0]
    assert np.allclose(power_mode(times, 0.05, 1.5, depth), u**depth, rtol=1e-10)


@pytest.mark.parametrize(
    ("level", "start", "says"),
    [(0.0, 0.1, "at least start, 0.1, got 0.0"), ([2.5, 5.0], 3.0, "at most start, 3.0, got 5.0")],
)
def test_a_level_behind_the_start_is_refused_by_its_name(level, start, says):
    with pytest.raises(ValueError, match=f"level must be {says}"):
        learning_time(level, start, 2.0)


def test_learning_times_from_tiny_starts_have_their_leading_order():
    """The rest is a constant at depth 2, and above it falls like a power of the initial strength."""
    s, tau = 1.3, 0.7
    starts = [1e-40, 1e-80]
    rest = [learning_time(0.5, start, s, 2, tau) - tau / (2 * s) * math.log(1 / start) for start in starts]
    assert rest[0] == pytest.approx(rest[1], rel=1e-9)
    for depth in (3, 6):
        leading = tau / ((depth - 2) * s) * np.array(starts) ** -(1 - 2 / depth)
        times = [float(learning_time(0.5, start, s, depth, tau)) for start in starts]
        assert np.allclose(times, leading, rtol=1e-10)


def test_modes_are_learnt_one_by_one_from_polynomially_small_starts_when_deep():
    # When s = 1 is half learnt, s_2 = 0.8 has u_0^(1 - s_2) x const at depth 2 and u_0 (1 - s_2)^-(L/(L-2)) beyond.
    starts = np.array([1e-8, 1e-10])
    for depth, exponent in ((2, 0.2), (3, 1.0), (4, 1.0), (6, 1.0)):
        second = [
            float(linear_mode(learning_time(0.5, start, 1.0, depth), start, 0.8, depth)) for start in starts.tolist()
        ]
        assert math.log(second[0] / second[1]) / math.log(100) == pytest.approx(exponent, abs=0.01)
        if depth > 2:
            limit = 0.2 ** (-depth / (depth - 2))
            # The corrections are of the order of limit u_0, and of u_0^(1 - 2/L) from the target's pull.
            room = 30 * starts[1] ** (1 - 2 / depth) + limit * starts[1]
            assert second[1] / starts[1] == pytest.approx(limit, rel=room)


def test_discrete_steps_are_those_of_the_core_to_rounding():
    rate, steps, norm = 0.15, 400, 1.25
    starts = np.array([0.01, 0.1, 0.4])
    a = np.sqrt(starts / norm)
    data = shoal.train(
        shoal.Network((2, 1, 1), activation="linear"),
        shoal.Task([[0.6 * norm, 0.8 * norm]], [-1]),
        shoal.Explicit([np.stack([0.6 * a, 0.8 * a], axis=1)[:, None, :], -a[:, None, None]]),
        method=shoal.GradientDescent(rate, steps),
        loss="squared",
        record=shoal.Record(steps=np.arange(0, steps + 1, 20), measure=["margin"]),
        threads=1,
    )
    expected = descend_mode(starts, target=1.0, rate=rate * norm, steps=steps)[::20].T
    measured = data["margin"].values[:, :, 0]
    # Each step rounds a, z and the residual: some ulps, which the pull to 1 forgets and the growth from m_0 keeps.
    assert np.abs(measured / expected - 1).max() < 8 * steps * np.finfo(float).eps


def test_descent_converges_up_to_its_largest_rate():
    target = 0.8
    near, off = (descend_mode(target * 1.001, target, rate / target, 400) for rate in (0.99, 1.01))
    assert abs(near[-1] / target - 1) < 1e-5
    assert abs(off[-1] / target - 1) > 2e-3


def test_discrete_steps_come_to_the_flow_in_proportion_to_the_rate():
    errors = []
    for rate in (0.02, 0.01, 0.005):
        steps = round(3 / rate)
        errors.append(abs(descend_mode(0.05, 1.0, rate, steps)[-1] - linear_mode(3.0, 0.05, 1.0)))
    assert errors[0] / errors[1] == pytest.approx(2, abs=0.1)
    assert errors[1] / errors[2] == pytest.approx(2, abs=0.1)


@pytest.mark.parametrize(("start", "norm", "frequency"), [(0.0, 1.0, 1.0), (-2.0, 1.0, 1.0), (0.7, 1.6, 0.3)])
def test_the_exponential_weight_is_a_logarithm(start, norm, frequency):
    times = np.array([0.0, 0.5, 40.0, 1e6, 1e30])
    with mpmath.workdps(40):
        expected = [
            float(mpmath.log(mpmath.mpf(frequency) * norm**2 * t + mpmath.exp(norm * start)) / norm) for t in times
        ]
    assert np.allclose(exponential_weight(times, start, norm, frequency), expected, rtol=1e-13, atol=1e-15)


def test_the_core_grows_like_the_logarithm_with_an_error_in_proportion_to_its_rate():
    errors = []
    for rate in (0.04, 0.02, 0.01):
        data = shoal.train(
            shoal.Network((2, 1), activation="linear"),
            shoal.Task([[1.0, 0.0]], [1]),
            shoal.Explicit([np.array([[[-0.5, 0.3]]])]),
            method=shoal.GradientDescent(rate, round(20 / rate)),
            loss="exponential",
            record=shoal.Record(times=[20.0], measure=["margin"]),
            threads=1,
        )
        errors.append(abs(float(data["margin"].values[0, 0, 0]) - float(exponential_weight(20.0, -0.5))))
    assert errors[0] < 0.04
    assert errors[0] / errors[1] == pytest.approx(2, abs=0.1)
    assert errors[1] / errors[2] == pytest.approx(2, abs=0.1)


def random_task(seed, samples=12, inputs=3):
    generator = np.random.default_rng(seed)
    points, hidden = generator.standard_normal((samples, inputs)), generator.standard_normal(inputs)
    return points, np.where(points @ hidden > 0, 1, -1)


def subsets_separator(points, labels):
    """Return the separator by trying every set of support vectors: the slow, obvious way."""
    signed, best = points * labels[:, None], None
    for count in range(1, points.shape[1] + 1):
        for subset in itertools.combinations(range(len(points)), count):
            w = np.linalg.pinv(signed[list(subset)]) @ np.ones(count)
            fits = (signed @ w >= 1 - 1e-9).all()
            if fits and (best is None or w @ w < best @ best):
                best = w
    return best


@pytest.mark.parametrize("seed", range(6))
def test_the_separator_is_the_shortest(seed):
    points, labels = random_task(seed)
    w = separator(points, labels)
    assert np.allclose(w, subsets_separator(points, labels), rtol=1e-9, atol=1e-9 * np.linalg.norm(w))
    assert (labels * (points @ w)).min() == pytest.approx(1.0, rel=1e-14)
    start = 2 * w
    signed = points * labels[:, None]
    found = minimize(
        lambda v: v @ v, start, jac=lambda v: 2 * v, constraints={"type": "ineq", "fun": lambda v: signed @ v - 1}
    )
    assert found.fun == pytest.approx(w @ w, rel=1e-6)


def test_the_flow_grows_along_the_separator_and_its_loss_falls_like_its_square_over_time():
    points, labels = np.array([[1.0, 0.1], [-0.2, 0.9], [-2.0, -2.2], [2.0, 2.5]]), np.array([1, 1, -1, 1])
    weights, w_hat = np.array([0.1, 0.3, 0.4, 0.2]), separator(points, labels)
    signed = points * labels[:, None]

    # Support vectors nearly orthogonal, or the corrections fall like a small power of t. In ln t the growth is steady.
    def slope(x, w):
        return math.exp(x) * (weights * np.exp(-signed @ w)) @ signed

    ends = np.log([1e5, 1e6, 1e7])
    run = solve_ivp(slope, (-9, ends[-1]), [0.5, -1.0], method="LSODA", rtol=1e-11, atol=1e-12, t_eval=ends).y.T
    step = (run[2] - run[1]) / math.log(10)
    assert np.allclose(step, w_hat, rtol=2e-3)
    losses = np.array([weights @ np.exp(-signed @ w) for w in run]) * np.exp(ends)
    errors = np.abs(losses / (w_hat @ w_hat) - 1)
    assert errors[2] < 1e-3
    assert (np.diff(errors) < 0).all()
    # The direction itself comes only like 1/ln t.
    angles = [1 - w @ w_hat / np.linalg.norm(w) / np.linalg.norm(w_hat) for w in run]
    assert angles[0] > angles[1] > angles[2]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: linear_mode([1.0], 0.1, -1.0), "target must be positive"),
        (lambda: linear_mode([1.0], 0.0, 1.0), "start must be positive when depth > 1"),
        (lambda: linear_mode([-1.0], 0.1, 1.0), "times must not be negative"),
        (lambda: learning_time(0.05, 0.1, 1.0), "level must be at least start, 0.1, got 0.05"),
        (lambda: power_mode([1.0], 0.1, 1.0, depth=0), "depth must be at least 1"),
        (lambda: descend_mode([-0.1], 1.0, 0.1, 5), "start must lie between 0 and"),
        (lambda: descend_mode(0.1, 1.0, 0.0, 5), "rate must be positive"),
        (lambda: exponential_weight([1.0], 0.0, norm=0.0), "norm must be positive"),
        (lambda: exponential_weight([1.0], 1e300), "start must lie within"),
        (lambda: exponential_weight([1.0], 1e60, norm=1e60), "start times norm must lie within"),
        (lambda: separator([[1.0], [2.0]], [1, -1]), "inputs must be separable"),
        (lambda: separator([[1.0], [2.0]], [1, 0]), "labels must be 2 values"),
        (lambda: separator([[0.0]], [1]), "inputs must be separable: they are all zero"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("small", [1e-5, 1e-6, 1e-20, 1e-150])
def test_a_separator_that_has_to_be_long_is_right(small):
    found = separator([[1.0, small], [-1.0, small]], [1, 1])
    assert found[1] == pytest.approx(1 / small, rel=1e-15)
    assert abs(found[0]) <= 1e-30


@pytest.mark.parametrize(
    ("inputs", "labels", "expected"),
    [
        ([[1.0, 1.0], [1.0, 1.0], [2.0, 2.0]], [1, 1, 1], [0.5, 0.5]),  # equal samples
        ([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]], [1, -1, 1], [1.0, 1.0]),  # antipodal ones
        ([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, 1.0, 0.0]], [1, 1, 1], [1.0, 1.0, 0.0]),  # a sum of two others
        ([[2.0, 0.0], [1.0, 1.0], [1.0, -1.0]], [1, 1, 1], [1.0, 0.0]),  # three at the margin of two directions
        ([[1e300, 1e-300], [-1e300, 1e-300]], [1, 1], [0.0, 1e300]),
    ],
)
def test_a_separator_where_samples_at_the_margin_depend_on_each_other(inputs, labels, expected):
    assert np.allclose(separator(inputs, labels), expected, rtol=1e-15, atol=1e-30)


@pytest.mark.parametrize("seed", range(5))
def test_few_more_points_than_dimensions_are_told_apart_exactly(seed):
    """Rounded by no one: points that a sum of others takes to 0 are not separable, and one unit moved they are."""
    generator = np.random.default_rng(seed)
    points = generator.integers(-5, 6, (4, 3)).astype(np.float64)
    opposite = -points.sum(axis=0, keepdims=True)
    with pytest.raises(ValueError, match="no w has"):
        separator(np.concatenate([points, opposite]), np.ones(5))
    lifted = np.concatenate([points, opposite])
    lifted = np.column_stack([lifted, np.full(5, 2.0**-40)])
    w = separator(lifted, np.ones(5))
    assert (lifted @ w).min() >= 1 - 1e-3
    assert w[3] == pytest.approx(2.0**40, rel=1e-12)


@pytest.mark.parametrize(("target", "rate"), [(1.0, 1.1), (0.5, 2.2), (3.0, 0.9), (1.0, 1.0 + 1e-9)])
def test_the_cycle_of_two_is_where_two_steps_lead_back(target, rate):
    found = descend_cycle(target, rate)
    with mpmath.workdps(40):
        s, eta = mpmath.mpf(target), mpmath.mpf(rate)
        step = lambda u: u * (1 + eta * (s - u)) ** 2  # noqa: E731
        middle = (s + 1 / eta) / 2
        apart = mpmath.sqrt(middle**2 - 1 / eta**2)
        low, high = middle - apart, middle + apart
        assert abs(step(low) - high) < 1e-15
        assert abs(step(high) - low) < 1e-15
    assert found == pytest.approx((float(low), float(high)), rel=1e-14)
    if 1.05 < rate * target < 1.2:
        assert np.sort(descend_mode(0.1 * target, target, rate, 400)[-2:]) == pytest.approx(found, rel=1e-12)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((1.0, 0.9), "rate times target must be at least 1, got 0.9"),
        ((0.0, 1.0), "target must be positive, got 0"),
        ((1e60, 1e60), "rate times target must lie from 1e-100 to 1e[+]100, got 1e[+]120"),
    ],
)
def test_a_cycle_that_is_not_there_is_refused(arguments, says):
    with pytest.raises(ValueError, match=says):
        descend_cycle(*arguments)


def test_descent_is_bounded_up_to_twice_its_largest_rate():
    start = np.linspace(1e-3, 2.0, 400)  # at 2 itself rounding leads out of the interval
    assert descend_mode(start, 1.0, 1.99, 2000).max() <= 3.99 / 1.99
    assert descend_mode(start[:100], 1.0, 1.5, 2000).max() <= 3.5 / 1.5
    assert np.isinf(descend_mode(start, 1.0, 2.1, 2000)[-1]).mean() > 0.99
    assert np.isinf(descend_mode(1.01 * 3.5 / 1.5, 1.0, 1.5, 50)[-1])


@pytest.mark.parametrize("depth", [2, 3, 5])
def test_the_largest_initial_size_falls_exponentially_or_as_a_power(depth):
    gaps, lead = np.array([0.08, 0.04, 0.02]), 0.9 if depth == 2 else 1.0

    def apart(log, gap):
        first = learning_time(0.9, math.exp(log), 1.0, depth)
        return float(first / learning_time(0.1 * (1 - gap), lead * math.exp(log), 1 - gap, depth)) - 1

    logs = np.array([brentq(apart, -229.0, math.log(0.02), args=(gap,), xtol=1e-9) for gap in gaps])
    if depth == 2:
        scaled = -gaps * logs
        assert 2 * scaled[-1] - scaled[-2] == pytest.approx(2 * math.log(9) + math.log(lead), rel=1e-3)
    else:
        slopes = np.diff(logs) / np.diff(np.log(gaps))
        assert 2 * slopes[-1] - slopes[-2] == pytest.approx(depth / (depth - 2), rel=5e-3)
