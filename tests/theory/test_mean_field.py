"""MeanFieldHinge: mpmath, an independent integration, its own nodes, its limits."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from scipy.integrate import quad, solve_ivp
from scipy.special import gamma as gamma_function
from scipy.stats import norm

from shoal.theory import MeanFieldHinge

REFERENCES = json.loads((Path(__file__).parent / "references" / "mean_field.json").read_text())
LAWS = [("gaussian", 30), ("gaussian", 2), ("sphere", 2), ("sphere", 3), ("sphere", 40)]


def density(law, inputs):
    """Return the density of |x_par|, and where it ends."""
    if law == "gaussian":
        return (lambda x: math.sqrt(2 / math.pi) * math.exp(-x * x / 2)), math.inf
    scale = 2 * gamma_function(inputs / 2) / (math.sqrt(math.pi) * gamma_function((inputs - 1) / 2))
    return (lambda x: scale * (1 - x * x) ** ((inputs - 3) / 2)), 1.0


def test_times_and_angles_agree_with_mpmath():
    assert len(REFERENCES["times"]) == 192
    for row in REFERENCES["times"]:
        theory = MeanFieldHinge(
            1, row["inputs"], row["alpha"], row["threshold"], distribution=row["distribution"], radius=row["radius"]
        )
        assert float(theory.time(row["gamma"])) == pytest.approx(float(row["time"]), rel=1e-11, abs=0)
        assert float(theory.gamma(float(row["time"]))) == pytest.approx(row["gamma"], rel=1e-11, abs=0)


@pytest.mark.parametrize(("law", "inputs"), LAWS)
@pytest.mark.parametrize("alpha", [0.3, 20.0])
def test_gamma_solves_its_equation(law, inputs, alpha):
    theory = MeanFieldHinge(1, inputs, alpha, 0.7, 1.3, law)
    weight, end = density(law, inputs)
    whole = quad(lambda x: x * weight(x), 0, end)[0]

    def slope(_, state):
        reach = 2 * math.sqrt(inputs) * 0.7 / (alpha * math.sinh(2 * state[0])) if state[0] > 0 else math.inf
        if law == "gaussian":
            fraction = -math.expm1(-0.5 * reach**2)
        else:
            fraction = 1 - (1 - min(reach, 1.0) ** 2) ** ((inputs - 1) / 2)
        return [1.3 / (2 * math.sqrt(inputs)) * whole * fraction]

    times = np.geomspace(0.01, 1e6, 30)
    # The right side has a corner where the first input of a sphere is satisfied: begin there.
    first = math.asinh(2 * math.sqrt(inputs) * 0.7 / alpha) / 2 if law == "sphere" else 0.0
    begin = first / slope(0, [0.0])[0]
    later = times[times > begin]
    solved = solve_ivp(slope, (begin, 1.1e6), [first], "DOP853", t_eval=later, rtol=1e-11, atol=1e-14)
    assert solved.success
    assert np.allclose(theory.gamma(later), solved.y[0], rtol=1e-8, atol=0)
    assert np.allclose(theory.gamma(times[times <= begin]), times[times <= begin] * slope(0, [0.0])[0], rtol=1e-12)


@pytest.mark.parametrize(("law", "inputs"), LAWS)
def test_moments_are_integrals_over_the_density(law, inputs):
    theory = MeanFieldHinge(1, inputs, 1.0, 0.7, 1.3, law)
    weight, end = density(law, inputs)
    for time in theory.satisfaction_time(np.array([0.9, 0.4, 0.01])):
        reach, slope = float(theory.boundary(time)), 0.7 / float(theory.boundary(time))
        assert reach < end
        within = [quad(lambda x, k=k: x**k * weight(x), 0, reach, epsabs=0, epsrel=1e-11)[0] for k in (0, 1)]
        assert float(theory.unsatisfied(time)) == pytest.approx(within[0], rel=1e-9)
        assert float(theory.velocity(time)) == pytest.approx(1.3 / (2 * math.sqrt(inputs)) * within[1], rel=1e-9)
        assert float(theory.loss(time)) == pytest.approx(0.7 * within[0] - slope * within[1], rel=1e-8)


@pytest.mark.parametrize("time", [3.0, 40.0])
def test_the_output_is_that_of_the_nodes(time):
    """E[a relu(w.x/sqrt d)] over nodes on their curves: Gauss-Hermite, the rest of w in closed form."""
    theory = MeanFieldHinge(1, 5, 2.0)
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    weights = weights / weights.sum()
    a0, w0 = np.meshgrid(nodes, nodes, indexing="ij")
    a, w = theory.trajectories(a0, w0, time)
    across = 1.7
    for along in (-1.2, 0.05, 0.8):
        mean, noise = w * along, across
        relu = mean * norm.cdf(mean / noise) + noise * norm.pdf(mean / noise)
        output = 2.0 / math.sqrt(5) * (weights[:, None] * weights * a * relu).sum()
        assert output == pytest.approx(float(theory.output(along, time)), rel=1e-7)


@pytest.mark.parametrize(("law", "inputs"), LAWS)
def test_the_loss_falls_by_the_squared_gradient(law, inputs):
    """Gradient flow at the rate beta M/alpha: dL/dt = -(alpha/beta) E[a'^2 + w'^2] = -2 (alpha/beta) cosh(2g) g'^2."""
    theory = MeanFieldHinge(1, inputs, 1.5, 0.7, 1.3, law)
    times = theory.satisfaction_time(np.array([0.95, 0.5, 0.05]))
    step = 1e-4 * times
    slope = (theory.loss(times + step) - theory.loss(times - step)) / (2 * step)
    expected = -2 * 1.5 / 1.3 * np.cosh(2 * theory.gamma(times)) * theory.velocity(times) ** 2
    assert np.allclose(slope, expected, rtol=1e-6, atol=0)


def test_nodes_turn_on_hyperbolas():
    theory = MeanFieldHinge(7, 30)
    draw = np.random.default_rng(0)
    a0, w0 = draw.normal(size=(2, 4, 3))
    times = np.array([[0.0, 1.0], [10.0, 1e4]])
    a, w = theory.trajectories(a0, w0, times)
    assert a.shape == w.shape == (4, 3, 2, 2)
    assert np.array_equal(a[..., 0, 0], a0)
    assert np.array_equal(w[..., 0, 0], w0)
    assert np.allclose(a**2 - w**2, (a0**2 - w0**2)[..., None, None], atol=1e-12 * np.exp(2 * theory.gamma(1e4)))
    turned = np.arctanh((a - a0[..., None, None]) / (w + w0[..., None, None])) * 2
    assert np.allclose(turned, np.broadcast_to(theory.gamma(times), turned.shape), rtol=1e-9)


@pytest.mark.parametrize(("law", "inputs"), LAWS)
def test_an_input_is_satisfied_when_its_output_reaches_the_threshold(law, inputs):
    theory = MeanFieldHinge(1, inputs, 0.4, 0.6, distribution=law)
    projections = np.array([-0.9, 0.5, 0.013, 1e-5])
    times = theory.satisfaction_time(projections)
    assert np.allclose(np.abs(np.diagonal(theory.output(projections, times))), 0.6, rtol=1e-12, atol=0)
    assert np.allclose(theory.boundary(times), np.abs(projections), rtol=1e-12, atol=0)
    assert math.isinf(theory.satisfaction_time(0.0))


def test_a_sphere_in_three_dimensions_is_solved_in_closed_form():
    """There E[|x|; |x| < c] = c^2/2, and the time is an integral of sinh^2."""
    theory = MeanFieldHinge(1, 3, 0.8, 0.6, 1.1, "sphere", 2.0)
    level = 2 * math.sqrt(3) * 0.6 / 0.8 / 2.0
    speed = 1.1 * 2.0 / 2 / (2 * math.sqrt(3))
    first = math.asinh(level) / 2
    angles = first + np.array([1e-9, 1e-3, 0.1, 1.0, 5.0])

    def primitive(angle):
        return (np.sinh(4 * angle) / 8 - angle / 2) / level**2

    expected = (first + primitive(angles) - primitive(first)) / speed
    assert np.allclose(theory.time(angles), expected, rtol=1e-12, atol=0)
    assert np.allclose(theory.gamma(expected), angles, rtol=1e-12, atol=0)


def test_a_sphere_in_one_dimension_is_satisfied_all_at_once():
    theory = MeanFieldHinge(9, 1, 0.5, 1.5, distribution="sphere", radius=2.0)
    end = math.asinh(2 * 1.5 / 0.5 / 2.0) / 2
    when = end / (2.0 / 2)
    assert np.allclose(theory.gamma([0, when / 2, when, 9 * when, math.inf]), [0, end / 2, end, end, end], rtol=1e-14)
    assert float(theory.satisfaction_time(-2.0)) == pytest.approx(when, rel=1e-14)
    assert np.array_equal(theory.unsatisfied([0.9 * when, 2 * when]), [1.0, 0.0])
    assert float(theory.velocity(2 * when)) == 0.0
    assert math.isinf(theory.time(end * 1.01))
    assert float(theory.tail(1e3)) == pytest.approx(end, rel=1e-14)


@pytest.mark.parametrize(("law", "inputs"), LAWS)
def test_beginning_and_end(law, inputs):
    theory = MeanFieldHinge(50, inputs, distribution=law)
    ends = [0.0, math.inf]
    assert np.array_equal(theory.gamma(ends), ends)
    assert np.array_equal(theory.time(ends), ends)
    assert np.array_equal(theory.boundary(ends), ends[::-1])
    assert np.array_equal(theory.unsatisfied(ends), [1.0, 0.0])
    assert np.array_equal(theory.loss(ends), [1.0, 0.0])
    assert np.array_equal(theory.error(ends), [0.5, 0.0])
    times = np.concatenate([np.geomspace(1e-300, 1.0, 100), np.geomspace(2.0, 1e300, 400)])
    angles = theory.gamma(times)
    assert (np.diff(angles) > 0).all()
    # Rounding of gamma, up to 173 here, moves the time by four times as much.
    assert np.allclose(theory.time(angles), times, rtol=1e-12, atol=0)


def test_the_early_law_and_its_error():
    """By parts: int e^-y dg = e^-y tanh(2g)/(4y) [1 - (1 + sech^2(2g)/2)/y + ..], y = x_c^2/2, dy/dg = -4 y coth 2g."""
    theory = MeanFieldHinge(1, 30)
    for boundary in (3.5, 5.0, 7.0):
        time = theory.satisfaction_time(boundary)
        gap, angle = float(theory.early(time) - theory.gamma(time)), float(theory.gamma(time))
        ratio = gap / (math.exp(-(boundary**2) / 2) * math.tanh(2 * angle) / (2 * boundary**2))
        # The next term of the alternating series is 2/y^2 = 8/x_c^4, and half as much for the tanh.
        assert abs(ratio - 1 + (2 + 1 / math.cosh(2 * angle) ** 2) / boundary**2) < 12 / boundary**4
    sphere = MeanFieldHinge(1, 30, distribution="sphere")
    first = float(sphere.satisfaction_time(1.0))
    assert float(sphere.gamma(first)) == pytest.approx(float(sphere.early(first)), rel=1e-14)
    assert float(sphere.gamma(1.2 * first)) < float(sphere.early(1.2 * first)) * (1 - 1e-12)


@pytest.mark.parametrize(("law", "inputs"), LAWS)
def test_the_tail_and_its_next_order(law, inputs):
    """4 theta (tail - gamma) = (e_1 - 1/(2 kappa A^2)) gamma + C: the remainder falls like ln^2(t)/t."""
    theory = MeanFieldHinge(1, inputs, 1.3, 0.8, 0.9, law)
    kappa = 0.5 if law == "gaussian" else (inputs - 1) / 2
    next_term = 0.5 if law == "gaussian" else (inputs - 3) / (2 * (inputs - 1))
    slope = next_term - 1 / (2 * kappa * (4 * inputs * 0.8**2 / 1.3**2))
    times = np.array([1e4, 1e5, 1e6])
    angles = theory.gamma(times)
    drift = np.abs(np.diff(4 * theory.early(times) * (theory.tail(times) - angles) - slope * angles))
    assert drift[1] < 0.1 * (math.log(1e6) / math.log(1e4)) ** 2 * drift[0]


def test_lazy_is_the_limit_of_large_alpha():
    """Gamma alpha at equal t alpha: the distance to the linearised network falls like 1/alpha^2."""
    gaps = []
    for alpha in (200.0, 400.0, 800.0):
        theory = MeanFieldHinge(1, 30, alpha)
        time = 4000.0 / alpha
        gaps.append(float(theory.gamma(time) / theory.lazy(time) - 1))
    assert gaps[0] < 0
    assert np.allclose(np.array(gaps[:-1]) / gaps[1:], 4.0, rtol=0.05)
    lazy = MeanFieldHinge(1, 30, 200.0).lazy([1e12, 8e12])
    assert lazy[1] / lazy[0] == pytest.approx(2.0, rel=1e-5)


def test_what_the_arguments_scale():
    times = np.array([0.3, 4.0, 60.0, 1e5])
    base = MeanFieldHinge(1, 30).gamma(times)
    assert np.allclose(MeanFieldHinge(1, 30, beta=7.0).gamma(times / 7), base, rtol=1e-13)
    assert np.allclose(MeanFieldHinge(1, 30, alpha=5.0, threshold=5.0).gamma(times), base, rtol=1e-13)
    sphere = MeanFieldHinge(1, 30, distribution="sphere").gamma(times)
    other = MeanFieldHinge(1, 30, threshold=3.0, distribution="sphere", radius=3.0).gamma(times / 3)
    assert np.allclose(other, sphere, rtol=1e-13)


def test_the_sphere_of_radius_sqrt_d_tends_to_gaussian_inputs():
    times = np.array([1.0, 50.0, 4e3, 1e6])
    gaps = []
    for inputs in (1000, 4000, 16000):
        sphere = MeanFieldHinge(1, inputs, distribution="sphere", radius=math.sqrt(inputs)).gamma(times)
        gaps.append(np.abs(sphere / MeanFieldHinge(1, inputs).gamma(times) - 1).max())
    assert np.allclose(np.array(gaps[:-1]) / gaps[1:], 4.0, rtol=0.5)


def test_the_crossover():
    for theory in (
        MeanFieldHinge(1, 30, threshold=0.6),
        MeanFieldHinge(1, 30, threshold=0.6, distribution="sphere", radius=2.0),
    ):
        rms = 1.0 if theory.distribution == "gaussian" else 2.0 / math.sqrt(30)
        there = MeanFieldHinge(1, 30, theory.crossover, 0.6, distribution=theory.distribution, radius=theory.radius)
        assert float(there.gamma(there.satisfaction_time(rms))) == pytest.approx(math.asinh(1) / 2, rel=1e-12)
