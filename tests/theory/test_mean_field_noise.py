"""TrainedNoise: the equations of a perturbed population, its limits, refusals."""

import math

import mpmath
import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.special import erf

from shoal.theory import MeanFieldHinge, TrainedNoise


@pytest.mark.parametrize(("law", "inputs"), [("gaussian", 4), ("sphere", 3), ("sphere", 6)])
def test_noise_at_the_boundary_pulls_with_the_fraction_that_is_satisfied(law, inputs):
    """Density of |x_par| at x_c times E[x_perp^2/D] there is (1 - S) E|x_par|, for both distributions."""
    theory = MeanFieldHinge(1, inputs, distribution=law)
    step = 1e-5
    times = theory.satisfaction_time([0.4 - step, 0.4, 0.4 + step])
    below, _, above = theory.unsatisfied(times)
    across = 1.0 if law == "gaussian" else (1 - 0.4**2) / (inputs - 1)
    whole, now = theory.velocity([0.0, times[1]])
    assert (above - below) / (2 * step) * across == pytest.approx((whole - now) * 2 * math.sqrt(inputs), rel=1e-7)


def perturbed(theory, size, partner, times):
    """Return the output across the teacher over ``size`` (times,), of nodes that ``size`` correlates at initialisation.

    Moments Q of (a, w along the teacher, w across it), a' = (G.w) beta/(2 sqrt d), w' = a G beta/(2 sqrt d) with
    G = <U y x> in the plane of both, where f = alpha/(2 sqrt d) Q_aw.x: nothing is linearised here.
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    weights = weights / weights.sum()
    scale = theory.alpha / (2 * math.sqrt(theory.inputs))

    def slope(_, flat):
        q = flat.reshape(3, 3)
        along, across = scale * q[0, 1], scale * q[0, 2] * nodes
        if along <= 0:
            up = down = np.full(nodes.shape, np.inf)
        else:
            up = np.maximum((theory.threshold - across) / along, 0)
            down = np.maximum((theory.threshold + across) / along, 0)
        moment = -math.sqrt(0.5 / math.pi) * weights @ (np.expm1(-0.5 * up**2) + np.expm1(-0.5 * down**2))
        turned = 0.5 * weights @ (nodes * (erf(up / math.sqrt(2)) - erf(down / math.sqrt(2))))
        force = np.zeros((3, 3))
        force[0, 1:] = force[1:, 0] = np.array([moment, turned]) * theory.beta / (2 * math.sqrt(theory.inputs))
        return (force @ q + q @ force).ravel()

    start = np.eye(3)
    start[partner, 2] = start[2, partner] = size
    solved = solve_ivp(slope, (0, times[-1]), start.ravel(), "DOP853", times, rtol=1e-11, atol=1e-14)
    return solved.y.reshape(3, 3, -1)[0, 2] / size


def test_linear_noise_is_that_of_a_perturbed_population():
    """The distance to the equations linearised by hand falls like the square of the perturbation."""
    theory = MeanFieldHinge(1, 12, 1.5, 0.8, 1.2)
    times = np.array([2.0, 8.0, 14.0, 22.0])
    linear = TrainedNoise(theory).kinds(times)[0]
    gaps = []
    for size in (0.02, 0.01):
        moved = sum(perturbed(theory, size, partner, times) ** 2 for partner in (0, 1))
        gaps.append(0.5 * moved / np.cosh(2 * theory.gamma(times)) / linear - 1)
    assert linear[0] == pytest.approx(0.5, rel=1e-3)
    assert linear[-1] < 0.05
    assert np.abs(gaps[1]).max() < 1e-3
    assert np.allclose(gaps[0][1:] / gaps[1][1:], 4.0, rtol=0.1)


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("law", ["gaussian", "sphere"])
def test_noise_is_free_until_inputs_are_satisfied_and_then_falls(law, centred):
    clean = MeanFieldHinge(400, 30, distribution=law, centred=centred)
    trained = TrainedNoise(clean)
    first = float(clean.satisfaction_time(1.0 if law == "sphere" else 8.0))
    assert np.allclose(trained.remaining([0.0, 0.5 * first, first]), 1.0, rtol=1e-9)
    times = first * np.array([[2.0, 10.0], [100.0, 1e6]])
    kinds = trained.kinds(times)
    assert kinds.shape == (4, 2, 2)
    assert (np.diff(kinds.reshape(4, 4)[:3], axis=1) < 0).all()
    assert (kinds[3] == kinds[3, 0, 0]).all()
    assert np.allclose(trained.remaining(times) ** 2, kinds.sum(axis=0), rtol=1e-13)
    assert np.allclose(trained.spread(times), clean.spread(times) * trained.remaining(times), rtol=1e-13)
    assert np.allclose(trained.noise(times), clean.noise(times) * trained.remaining(times), rtol=1e-13)
    assert (trained.error(times) < clean.error(times)).all()
    assert trained.remaining([]).shape == (0,)


def test_fractions_of_the_noise_in_many_dimensions():
    fractions = TrainedNoise(MeanFieldHinge(400, 100_000)).kinds(0.0)
    assert np.allclose(fractions, [0.5, 1 / math.pi, 0.5 / math.pi, 0.5 - 1.5 / math.pi], rtol=1e-3)


def test_late_noise_has_a_limit_and_no_overflow():
    for alpha in (1e-200, 1.0, 1e6):
        trained = TrainedNoise(MeanFieldHinge(400, 30, alpha, centred=True))
        late = trained.remaining([1e290, math.inf])
        assert np.allclose(late, math.sqrt(trained.kinds(0.0)[3]), rtol=1e-3)


def test_refusals():
    with pytest.raises(TypeError, match="clean must be a MeanFieldHinge, got 3 of type int"):
        TrainedNoise(3)
    with pytest.raises(ValueError, match="clean must have at least 2 inputs, got 1"):
        TrainedNoise(MeanFieldHinge(400, 1))
    with pytest.raises(ValueError, match=r"times must not be negative or NaN, got -1\.0"):
        TrainedNoise(MeanFieldHinge(400, 30)).error(-1.0)


@pytest.mark.parametrize("inputs", [3, 4, 8, 80])
def test_kernels_of_the_noise_are_the_eigenvalues_that_the_docs_define(inputs):
    """Of E_w[|w.x||w.x'|] and E_w[sgn(w.x) sgn(w.x')] x.x' on degree 0 and 2, by Funk and Hecke's formula."""
    across = inputs - 1
    density = lambda t: (1 - t**2) ** (mpmath.mpf(across - 3) / 2)  # noqa: E731
    sine = lambda t: mpmath.asin(t)  # noqa: E731
    kernels = (
        lambda t: across * 2 / mpmath.pi * (mpmath.sqrt(1 - t**2) + t * sine(t)),
        lambda t: across * 2 / mpmath.pi * t * sine(t),
    )
    harmonics = (lambda t: mpmath.mpf(1), lambda t: (across * t**2 - 1) / (across - 1))
    whole = mpmath.quad(density, [-1, 0, 1])
    _, *found = TrainedNoise(MeanFieldHinge(400, inputs))._kinds()
    for kernel, values in zip(kernels, found, strict=True):
        for harmonic, value in zip(harmonics, values[1:], strict=True):
            mean = mpmath.quad(lambda t, k=kernel, p=harmonic: density(t) * k(t) * p(t), [-1, 0, 1]) / whole
            assert value == pytest.approx(float(mean), rel=1e-6)
