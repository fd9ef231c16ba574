"""Descent beside a minimum: its steps in forty digits and in the core, and the sharpness up to which it is stable."""

import mpmath
import numpy as np
import pytest

import shoal
from shoal.theory import descend_quadratic, stable_sharpness

METHODS = [(0.0, False), (0.5, False), (0.9, False), (0.5, True), (0.9, True)]


@pytest.mark.parametrize(("momentum", "nesterov"), METHODS)
@pytest.mark.parametrize("factor", [0.1, 0.5, 1.0, 1.05])
def test_steps_are_those_of_weight_and_velocity(momentum, nesterov, factor):
    sharpness, rate, steps = factor * stable_sharpness(0.3, momentum, nesterov=nesterov), 0.3, 60
    with mpmath.workdps(40):
        x, v, exact = mpmath.mpf(0.7), mpmath.mpf(0), []
        for _ in range(steps + 1):
            exact.append(x)
            slope = mpmath.mpf(sharpness) * x
            v = momentum * v + slope
            x -= mpmath.mpf(rate) * (slope + momentum * v if nesterov else v)
    found = descend_quadratic(0.7, sharpness, rate, steps, momentum, nesterov=nesterov)
    expected = np.array([float(each) for each in exact])
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12 * np.abs(expected).max())


@pytest.mark.parametrize(("momentum", "nesterov"), METHODS)
def test_steps_are_those_of_the_core(momentum, nesterov):
    method = shoal.GradientDescent(0.3, 50, momentum=momentum, nesterov=nesterov)
    record = shoal.Record(steps=range(51), measure=("output", "sharpness"))
    data = shoal.train(
        shoal.Network((1, 1)), shoal.Task.regression([[1.5]], [0.0]), shoal.Explicit([np.full((1, 1, 1), 0.7)]),
        method=method, loss="squared", record=record,
    )  # fmt: skip
    expected = descend_quadratic(0.7, float(data.sharpness[0, 0]), 0.3, 50, momentum, nesterov=nesterov)
    np.testing.assert_allclose(data.output[0, :, 0] / 1.5, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("momentum", "nesterov"), METHODS)
def test_the_edge_is_where_a_root_leaves_the_unit_circle(momentum, nesterov):
    """The step of (x, v) as a matrix: theta <- theta - eta (g + beta v'), v' = beta v + g, or theta - eta v'."""
    edge = stable_sharpness(0.2, momentum, nesterov=nesterov)

    def radius(sharpness):
        kept = np.array([[0.0, 0.0], [sharpness, momentum]])
        used = momentum * kept[1] + np.array([sharpness, 0.0]) if nesterov else kept[1]
        return np.abs(np.linalg.eigvals(np.array([[1.0, 0.0] - 0.2 * used, kept[1]]))).max()

    assert radius((1 - 1e-6) * edge) < 1 < radius((1 + 1e-6) * edge)
    assert all(radius(share * edge) < 1 for share in (1e-3, 0.1, 0.5, 0.9))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (dict(rate=0.0), "rate must be"),
        (dict(rate=0.1, momentum=1.0), "momentum must be below 1, got 1"),
        (dict(rate=0.1, momentum=-0.1), "momentum must"),
        (dict(rate=0.1, nesterov=True), "nesterov needs a momentum above 0, got 0"),
    ],
)
def test_what_is_no_method_is_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        stable_sharpness(**arguments)
    with pytest.raises(ValueError, match=words):
        descend_quadratic(1.0, 1.0, steps=3, **arguments)
    with pytest.raises(TypeError, match="nesterov must be True or False, got 'yes'"):
        stable_sharpness(0.1, 0.5, nesterov="yes")
