"""The kernel regime: outputs against integrators and steps, kernels against quadrature, and trained networks."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.integrate import dblquad, quad, solve_ivp
from scipy.linalg import expm
from scipy.special import erf

import shoal
from shoal.theory import kernel_descent, kernel_flow, wide_kernel

TIMES = np.array([0.0, 0.3, 2.0, 11.0])


def problem(seed, samples=5, learnt=5, rank=None):
    """Return a random kernel, targets, weights that differ, of which the last are 0, and initial outputs."""
    draw = np.random.default_rng(seed)
    factor = draw.normal(size=(samples, rank or samples))
    weight = np.where(np.arange(samples) < learnt, draw.uniform(0.5, 1.5, samples), 0.0)
    return factor @ factor.T, draw.normal(size=samples), weight / weight.sum(), draw.normal(size=samples)


@pytest.mark.parametrize(("learnt", "rank"), [(5, None), (3, None), (5, 2), (3, 2)])
def test_outputs_follow_their_equation(learnt, rank):
    kernel, y, p, first = problem(learnt, learnt=learnt, rank=rank)
    run = solve_ivp(
        lambda _, f: -kernel @ (p * (f - y)), (0, 11), first, "DOP853", t_eval=TIMES, rtol=1e-12, atol=1e-13
    )
    assert_allclose(kernel_flow(kernel, y, p, TIMES, first), run.y.T, rtol=1e-9, atol=1e-10)


def test_learnt_samples_are_a_matrix_exponential():
    kernel, y, p, first = problem(1)
    expected = [y + expm(-kernel * p * t) @ (first - y) for t in TIMES]
    assert_allclose(kernel_flow(kernel, y, p, TIMES, first), expected, atol=1e-12)


@pytest.mark.parametrize("rate", [0.01, 0.3, 1.4])
@pytest.mark.parametrize("learnt", [5, 3])
def test_descent_is_its_steps(rate, learnt):
    kernel, y, p, f = problem(2, learnt=learnt)
    fastest = np.linalg.eigvals(kernel * p).real.max()
    eta, found = rate / fastest, [f]
    for _ in range(40):
        found.append(found[-1] - eta * kernel @ (p * (found[-1] - y)))
    steps = np.array([0, 1, 2, 7, 40])
    assert_allclose(kernel_descent(kernel, y, p, eta, steps, f), np.array(found)[steps], atol=1e-12)


def test_descent_beyond_the_largest_rate_grows_and_below_it_tends_to_the_flow():
    kernel, y, p, _ = problem(3)
    fastest = np.linalg.eigvals(kernel * p).real.max()
    assert np.abs(kernel_descent(kernel, y, p, 2.1 / fastest, [400])).max() > 1e6
    fine = kernel_descent(kernel, y, p, 1e-6, [1_000_000])
    assert_allclose(fine[0], kernel_flow(kernel, y, p, [1.0])[0], rtol=1e-4)


def test_kernels_of_several_networks_are_taken_at_once():
    problems = [problem(seed) for seed in range(3)]
    kernels, (_, y, p, _) = np.array([each[0] for each in problems]), problems[0]
    firsts = np.array([each[3] for each in problems])
    together = kernel_flow(kernels, y, p, TIMES, firsts)
    apart = [kernel_flow(kernel, y, p, TIMES, first) for kernel, first in zip(kernels, firsts, strict=True)]
    assert together.shape == (3, 4, 5)
    assert_allclose(together, apart, atol=1e-13)


def test_a_sample_of_weight_0_does_not_teach():
    kernel, y, p, first = problem(4, learnt=3)
    other = y + np.where(p > 0, 0.0, 7.0)
    assert_allclose(kernel_flow(kernel, y, p, TIMES, first), kernel_flow(kernel, other, p, TIMES, first), atol=1e-12)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"kernel": np.ones((2, 3))}, r"kernel must have shape \(.., 2, 2\), as many as targets, got \(2, 3\)"),
        ({"kernel": [[1.0, 0.5], [0.0, 1.0]]}, "kernel must be symmetric"),
        ({"kernel": [[1.0, 2.0], [2.0, 1.0]]}, "kernel must have no negative eigenvalue, got -0.5"),
        ({"kernel": [[np.nan, 0.0], [0.0, 1.0]]}, "kernel must lie between -1e.100 and 1e.100, got nan"),
        ({"sample_weight": [0.5, -0.5]}, "sample_weight must lie between 0 and 1e.100, got -0.5"),
        ({"sample_weight": [1.0]}, r"sample_weight must have shape \(2,\), as targets have, got \(1,\)"),
        ({"targets": [[1.0], [2.0]]}, r"targets must have shape \(targets,\), got shape \(2, 1\)"),
        ({"initial": np.ones(3)}, r"initial must have a shape that broadcasts to \(2,\), got \(3,\)"),
    ],
)
def test_what_is_no_kernel_is_refused(changed, message):
    given = {"kernel": np.eye(2), "targets": [1.0, 2.0], "sample_weight": [0.5, 0.5]} | changed
    with pytest.raises(ValueError, match=message):
        kernel_flow(**given, times=[1.0])
    with pytest.raises(ValueError, match=message):
        kernel_descent(**given, rate=0.1, steps=[1])


def test_times_and_steps_are_checked():
    with pytest.raises(ValueError, match=r"times must lie between 0 and 1e\+100, got -1"):
        kernel_flow(np.eye(1), [1.0], [1.0], [-1.0])
    with pytest.raises(ValueError, match=r"steps must be whole numbers, got 0\.5"):
        kernel_descent(np.eye(1), [1.0], [1.0], 0.1, [0.5])


POINTS = np.array([[1.0, 0.5, -0.3], [-0.4, 1.2, 0.8], [0.9, 0.2, -0.5], [-1.0, -0.3, 0.4]])
SLOPES = {"relu": 0.0, "leaky_relu": 0.3, "linear": 1.0}


def angular(power, covariance, function):
    """Return E[f(u) f(u')] of f homogeneous of this degree: the radius is done, the angle left to SciPy."""
    factor = np.linalg.cholesky(covariance + 1e-300 * np.eye(2))
    # E over the radius of r^(2 power): 1 for power 0, 2 for power 1.
    kinks = sorted({(np.arctan2(-row[0], row[1]) + k * np.pi) % (2 * np.pi) for row in factor for k in (0, 1)})

    def integrand(angle):
        return np.prod([function(row @ [np.cos(angle), np.sin(angle)]) for row in factor])

    edges = [0.0, *kinks, 2 * np.pi]
    total = sum(quad(integrand, low, high, epsabs=1e-13)[0] for low, high in pairwise(edges))
    return total * 2**power / (2 * np.pi)


def smooth(covariance, function):
    """Return E[f(u) f(u')] by quadrature over two independent normal variables."""
    root = np.linalg.cholesky(covariance)

    def integrand(b, a):
        u, other = root @ [a, b]
        return function(u) * function(other) * np.exp(-(a * a + b * b) / 2) / (2 * np.pi)

    return dblquad(integrand, -9, 9, -9, 9, epsabs=1e-9)[0]


def expected_means(activation, covariance):
    if activation in SLOPES:
        b = SLOPES[activation]
        return (
            angular(1, covariance, lambda u: max(u, b * u)),
            angular(0, covariance, lambda u: 1.0 if u > 0 else b),
        )
    function, derivative = {
        "erf": (erf, lambda u: 2 / np.sqrt(np.pi) * np.exp(-u * u)),
        "quadratic": (np.square, lambda u: 2 * u),
    }[activation]
    return smooth(covariance, function), smooth(covariance, derivative)


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "linear", "erf", "quadratic"])
def test_the_kernel_of_infinite_width_is_that_of_quadrature(activation):
    pair = POINTS[:2]
    covariance = kernel = pair @ pair.T / 3
    for layers in (1, 2):
        values, gates = np.empty((2, 2)), np.empty((2, 2))
        for i, j in ((0, 1), (0, 0), (1, 1)):
            one = covariance[np.ix_([i, j], [i, j])]
            # Of one point with itself the two variables are the same, to 1e-12.
            one = one + (i == j) * 1e-12 * np.eye(2) * one[0, 0]
            values[i, j], gates[i, j] = expected_means(activation, one)
            values[j, i], gates[j, i] = values[i, j], gates[i, j]
        covariance, kernel = values, kernel * gates + values
        found = wide_kernel(pair, layers, activation, slope=0.3)
        # Off the diagonal as good as the quadrature; gates on it jump at 0 and feel the 1e-12.
        assert_allclose(found, kernel, rtol=2e-6)
        assert_allclose(found[0, 1], kernel[0, 1], rtol=1e-6 if layers == 2 else 1e-8)


def test_no_hidden_layer_is_the_linear_model_and_linear_layers_multiply_it():
    base = POINTS @ POINTS.T / 3
    for layers in range(4):
        assert_allclose(wide_kernel(POINTS, layers, "linear"), (layers + 1) * base, rtol=1e-13)
    assert_allclose(wide_kernel(POINTS, 0), base, rtol=1e-13)


def test_wide_kernels_have_no_negative_eigenvalue():
    for activation in ("relu", "leaky_relu", "erf", "quadratic"):
        for layers in (1, 2, 3):
            assert np.linalg.eigvalsh(wide_kernel(POINTS, layers, activation)).min() > 0


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"activation": "tanh"}, "activation must be"),
        ({"hidden_layers": -1}, "hidden_layers must be"),
        ({"points": [[0.0, 0.0]]}, "points must have rows with a largest entry"),
        ({"points": [1.0, 2.0]}, "points must have shape"),
        ({"slope": 2.0}, "slope must"),
    ],
)
def test_arguments_of_the_wide_kernel_are_checked(changed, message):
    with pytest.raises(ValueError, match=message):
        wide_kernel(**({"points": POINTS} | changed))


def record_kernels(hidden, activation, networks, seed):
    task = shoal.Task.regression(POINTS, np.zeros(4))
    network = shoal.Network.ntk((3, *hidden, 1), activation, slope=0.3 if activation == "leaky_relu" else 0.01)
    data = shoal.train(
        network, task, shoal.Gaussian(std=1.0), method=shoal.GradientDescent(1.0, steps=0), loss="squared",
        record=shoal.Record(steps=[0], measure=("tangent_kernel",)), networks=networks, seed=seed,
    )  # fmt: skip
    return data["tangent_kernel"].values[:, 0]


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "linear", "erf", "quadratic"])
def test_the_mean_kernel_is_exact_with_one_hidden_layer_and_off_by_one_over_the_width_with_two(activation):
    wide = wide_kernel(POINTS, 1, activation, slope=0.3)
    found = record_kernels((16,), activation, 20_000, 5)
    comparison = shoal.compare_mean(found, wide)
    assert comparison.passed
    assert not shoal.compare_mean(found, 1.05 * wide).passed
    if activation == "quadratic":
        deep, gaps = np.diag(wide_kernel(POINTS, 2, activation)), []
        for width in (8, 16):
            each = np.diagonal(record_kernels((width, width), activation, 100_000, 6), axis1=1, axis2=2)
            gaps.append((each.mean(axis=0) / deep - 1).mean())
        assert gaps[0] / gaps[1] == pytest.approx(2, rel=0.1)
    scatter = [record_kernels((width,), activation, 4000, 7).std(axis=0).mean() for width in (16, 64)]
    assert scatter[0] / scatter[1] == pytest.approx(2, rel=0.1)


def test_trained_networks_come_to_it_in_the_first_order_and_their_cosine_in_the_second():
    y, weight = np.array([1.0, -1.0, 0.5, 0.0]), np.array([1.0, 1.0, 1.0, 0.0])
    task, times = shoal.Task.regression(POINTS, y, weight), np.linspace(0, 20, 11)
    gaps, distances = [], []
    for alpha in (200.0, 400.0):
        plain = shoal.Network.ntk((3, 12, 1), "tanh")
        network = shoal.Network(
            (3, 12, 1), "tanh", centred=True, rates=[alpha**-2] * 2, scales=(plain.scales[0], alpha * plain.scales[1])
        )
        data = shoal.train(
            network, task, shoal.Gaussian(std=1.0), method=shoal.GradientFlow(t_end=20, rtol=1e-12, atol=1e-12),
            record=shoal.Record(times=times, measure=("output", "tangent_kernel", "kernel_distance")), networks=20,
            loss="squared", seed=3,
        )  # fmt: skip
        kernel = data["tangent_kernel"].values[:, 0]
        gaps.append(np.abs(data["output"].values - kernel_flow(kernel, y, task.sample_weight, times)).max(axis=(1, 2)))
        distances.append(data["kernel_distance"].values[:, -1])
    assert_allclose(gaps[0] / gaps[1], 2, rtol=0.02)
    assert_allclose(distances[0] / distances[1], 4, rtol=0.04)
    assert np.max(gaps) < 0.01
