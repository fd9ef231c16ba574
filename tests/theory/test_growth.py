"""Growth on separable data: offset, exponent and pace against integrations, the separator against scikit-learn."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.integrate import solve_ivp
from sklearn.svm import LinearSVC

from shoal.claims.neighbours.max_margin.grown import separable
from shoal.theory import separable_growth, separator

SEEDS = range(3)


def integrate(task, start, layers, logs, residual):
    """Return w (times, d) at ln t of balanced layers: w' = |w|^(2-2/N) (g + (N-1) w w.g/|w|^2), by LSODA in ln t."""
    signed = task.inputs * task.labels[:, None]

    def slope(log, w):
        pull = (task.sample_weight * residual(signed @ w)) @ signed
        square = w @ w
        if layers > 1:
            pull = square ** (1 - 1 / layers) * (pull + (layers - 1) * w * (w @ pull) / square)
        return np.exp(log) * pull

    run = solve_ivp(slope, (-12.0, logs[-1]), start, "LSODA", rtol=1e-11, atol=1e-12, t_eval=logs)
    assert run.success
    return run.y.T


@pytest.mark.parametrize("residual", [lambda m: np.exp(-m), lambda m: 1 / (1 + np.exp(m))])
@pytest.mark.parametrize("seed", SEEDS)
def test_one_layer_comes_to_the_offset_from_any_start_with_the_exponent(seed, residual):
    task = separable(3, 10, seed, 0.5)
    growth, logs = separable_growth(task), np.log([1e7, 1e9])
    for start in ([0.5, -1.0, 0.2], [-0.3, 0.1, 1.5]):
        gaps = np.linalg.norm(integrate(task, start, 1, logs, residual) - growth.weights(logs), axis=1)
        assert gaps[1] < 1e-4 * np.linalg.norm(growth.offset)
        # At least with the exponent: a start may have none of the slowest part. Of the integrator 1e-9 is left.
        assert gaps[1] <= 1.2 * gaps[0] * 100**-growth.order + 1e-9


@pytest.mark.parametrize("seed", SEEDS)
def test_the_cotangent_of_the_angle_is_a_line_in_the_logarithm_of_time(seed):
    task = separable(3, 10, seed, 0.5)
    growth, logs = separable_growth(task), np.log([1e8, 1e9])
    unit = growth.separator / np.linalg.norm(growth.separator)
    w = integrate(task, [0.5, -1.0, 0.2], 1, logs, lambda m: np.exp(-m))
    along = w @ unit
    assert_allclose(along / np.linalg.norm(w - along[:, None] * unit, axis=1), growth.cotangent(logs), rtol=1e-3)


@pytest.mark.parametrize("layers", [2, 3])
def test_balanced_layers_take_the_path_of_one_at_a_pace_of_their_own(layers):
    task = separable(2, 10, 1, 0.75)
    growth, logs = separable_growth(task), np.log([1e10, 1e20])
    w = integrate(task, [0.3, -0.4], layers, logs, lambda m: np.exp(-m))
    losses = np.exp(-(w @ (task.inputs * task.labels[:, None]).T)) @ task.sample_weight
    size = np.linalg.norm(w, axis=1)
    gaps = np.linalg.norm(w - growth.weights(-np.log(losses * growth.margin**2)), axis=1)
    paces = np.abs(losses * np.exp(logs) * size ** (2 - 2 / layers) * layers * growth.margin**2 - 1)
    # Both gaps fall like 1/|w|.
    for gap in (gaps, paces):
        assert gap[1] / gap[0] == pytest.approx(size[0] / size[1], rel=0.15)
    assert paces[1] < 0.05


@pytest.mark.parametrize("seed", range(6))
def test_the_separator_is_that_of_scikit_learn(seed):
    task = separable(3, 12, seed, 0.0)
    growth = separable_growth(task)
    # Above the largest multiplier the soft margin is the hard one.
    machine = LinearSVC(C=1e3 * growth.dual.max(), loss="hinge", fit_intercept=False, tol=1e-10, max_iter=10_000_000)
    w = machine.fit(task.inputs, task.labels).coef_[0]
    assert_allclose(separator(task.inputs, task.labels), w, rtol=1e-5, atol=1e-5 * np.linalg.norm(w))
    assert growth.margin == pytest.approx((task.labels * (task.inputs @ w)).min() / np.linalg.norm(w), rel=1e-6)


def test_multipliers_make_the_separator_and_add_up_to_its_square():
    task = separable(3, 12, 7, 0.0)
    growth = separable_growth(task)
    assert_allclose((growth.dual * task.labels) @ task.inputs, growth.separator, rtol=1e-12)
    assert growth.dual.sum() == pytest.approx(growth.margin**-2, rel=1e-12)
    assert (growth.dual >= 0).all()


def test_more_layers_or_weights_of_samples_do_not_change_the_direction():
    task = separable(3, 12, 7, 0.0)
    equal = SimpleNamespace(inputs=task.inputs, labels=task.labels, sample_weight=np.full(12, 1 / 12))
    one, other = separable_growth(task), separable_growth(equal)
    assert np.array_equal(one.separator, other.separator)
    assert np.linalg.norm(one.offset - other.offset) > 0.01


@pytest.mark.parametrize(
    ("inputs", "labels", "weights", "message"),
    [
        ([[1.0, 0.0], [2.0, 1.0]], [1, 1], [0.5, 0.5], "as many independent support vectors as inputs, 2, got 1"),
        ([[1.0, 0.0], [0.0, 1.0]], [1, 1], [1.0, 0.0], "positive weight and multiplier"),
        ([[1.0], [1.0]], [1, -1], [0.5, 0.5], "inputs must be separable"),
    ],
)
def test_refusals(inputs, labels, weights, message):
    task = SimpleNamespace(inputs=np.array(inputs), labels=np.array(labels), sample_weight=np.array(weights))
    with pytest.raises(ValueError, match=message):
        separable_growth(task)
