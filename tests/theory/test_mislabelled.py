"""Flipped labels in the mean-field theory: independent integration, the point of rest, limits, refusals."""

import math

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from shoal.theory.mean_field.hinge import MeanFieldHinge
from shoal.theory.mean_field.mislabelled import MislabelledHinge

TIMES = np.array([0.0, 0.3, 5.0, 20.0, 60.0, 300.0])


def integrated(inputs, alpha, threshold, beta, flipped, times):
    """gamma(t) by another integrator."""

    def slope(_, gamma):
        turned = math.sinh(2 * gamma[0])
        edge = 2 * math.sqrt(inputs) * threshold / (alpha * turned) if turned > 1e-3 else math.inf
        below = math.sqrt(2 / math.pi) * (1 - math.exp(-edge * edge / 2))
        return [beta / (2 * math.sqrt(inputs)) * ((1 - flipped) * below - flipped * math.sqrt(2 / math.pi))]

    return solve_ivp(slope, (0, times[-1]), [0.0], "LSODA", t_eval=times, rtol=1e-11, atol=1e-12).y[0]


@pytest.mark.parametrize("flipped", [0.003, 0.1, 0.45])
@pytest.mark.parametrize(("inputs", "alpha", "threshold", "beta"), [(30, 1.0, 1.0, 1.0), (5, 7.0, 0.4, 2.5)])
def test_gamma_agrees_with_an_independent_integration(inputs, alpha, threshold, beta, flipped):
    theory = MislabelledHinge(MeanFieldHinge(400, inputs, alpha, threshold, beta), flipped)
    assert theory.gamma(TIMES) == pytest.approx(
        integrated(inputs, alpha, threshold, beta, flipped, TIMES), rel=1e-8, abs=1e-10
    )


@pytest.mark.parametrize("law", ["gaussian", "sphere"])
def test_gamma_solves_its_equation_on_both_laws(law):
    """Its derivative is that of right labels at the same angle, less what the flipped ones pull back."""
    clean = MeanFieldHinge(50, 8, distribution=law, radius=1.0)
    theory, step = MislabelledHinge(clean, 0.07), 1e-3
    times = np.array([1.0, 10.0, 30.0, 90.0])
    slope = (theory.gamma(times + step) - theory.gamma(times - step)) / (2 * step)
    start = float(clean.velocity(0.0))
    assert slope == pytest.approx(0.93 * clean.velocity(theory.clean_time(times)) - 0.07 * start, rel=1e-6, abs=1e-9)


def test_it_comes_to_rest_where_the_two_pulls_balance():
    theory = MislabelledHinge(MeanFieldHinge(400, 30), 0.1)
    edge = math.sqrt(2 * math.log(0.9 / 0.8))
    assert theory.rest_boundary == pytest.approx(edge, rel=1e-13)
    assert theory.rest == pytest.approx(math.asinh(2 * math.sqrt(30) / edge) / 2, rel=1e-13)
    assert theory.gamma([1e5, np.inf]) == pytest.approx(theory.rest, rel=1e-12)
    assert theory.boundary(1e5) == pytest.approx(edge, rel=1e-9)
    assert theory.unsatisfied(1e5) == pytest.approx(0.9 * math.erf(edge / math.sqrt(2)) + 0.1, rel=1e-9)


def test_the_start_is_slower_by_twice_the_fraction():
    clean = MeanFieldHinge(400, 30)
    for flipped in (0.01, 0.2, 0.4):
        assert MislabelledHinge(clean, flipped).gamma(0.5) == pytest.approx((1 - 2 * flipped) * clean.gamma(0.5))


def test_right_labels_are_the_limit():
    clean = MeanFieldHinge(400, 30)
    none, few = MislabelledHinge(clean, 0), MislabelledHinge(clean, 1e-9)
    assert (none.gamma(TIMES) == clean.gamma(TIMES)).all()
    assert (none.error(TIMES) == clean.error(clean.time(clean.gamma(TIMES)))).all()
    assert few.gamma(TIMES) == pytest.approx(clean.gamma(TIMES), rel=1e-6)
    assert none.rest == math.inf
    assert none.rest_boundary == 0


def test_shapes_and_order_of_times_do_not_matter():
    theory = MislabelledHinge(MeanFieldHinge(400, 30), 0.1)
    times = np.array([[20.0, 1.0], [0.0, 20.0]])
    found = theory.gamma(times)
    assert found.shape == (2, 2)
    assert found[0, 0] == found[1, 1] == theory.gamma([1.0, 20.0])[1]
    assert found[1, 0] == 0
    assert theory.gamma(3.0).shape == ()


@pytest.mark.parametrize(
    ("clean", "flipped", "kind", "words"),
    [
        (None, 0.1, TypeError, "clean must be a MeanFieldHinge, got None"),
        (MeanFieldHinge(4, 3), -0.1, ValueError, "flipped must not be negative, got -0.1"),
        (MeanFieldHinge(4, 3), 0.5, ValueError, "flipped must be below 0.5, got 0.5"),
        (MeanFieldHinge(4, 3), "a", TypeError, "flipped must be a number, got 'a'"),
    ],
)
def test_refusals(clean, flipped, kind, words):
    with pytest.raises(kind, match=words):
        MislabelledHinge(clean, flipped)


@pytest.mark.parametrize("time", [-1.0, np.nan])
def test_times_must_be_times(time):
    with pytest.raises(ValueError, match="times must not be negative or NaN, got"):
        MislabelledHinge(MeanFieldHinge(4, 3), 0.1).gamma([1.0, time])
