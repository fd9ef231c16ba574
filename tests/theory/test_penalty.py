"""Penalties: roots from mpmath, minima from SciPy, descent of real networks, the dual fixed point, refusals."""

from __future__ import annotations

import math
import re
from types import SimpleNamespace

import mpmath
import numpy as np
import pytest
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit

from shoal import Hinge, SquaredHinge
from shoal.theory import Features, PenalisedMode, decoupled_margin, penalised_linear

SMOOTH = ("cross_entropy", "exponential", "squared", "squared_hinge")
LOSSES = (*SMOOTH, "hinge")
VALUES = {
    "cross_entropy": lambda m: np.logaddexp(0.0, -m),
    "exponential": lambda m: np.exp(-m),
    "squared": lambda m: 0.5 * (1.0 - m) ** 2,
    "squared_hinge": lambda m: 0.5 * np.maximum(1.0 - m, 0.0) ** 2,
    "hinge": lambda m: np.maximum(1.0 - m, 0.0),
}
RESIDUALS = {
    "cross_entropy": lambda m: expit(-m),
    "exponential": lambda m: np.exp(-m),
    "squared": lambda m: 1.0 - m,
    "squared_hinge": lambda m: np.maximum(1.0 - m, 0.0),
}


@pytest.mark.parametrize("zeta", [1e-8, 1e-3, 0.1, 1.0, 50.0])
def test_decoupled_margins_solve_their_equation(zeta):
    with mpmath.workdps(30):
        ends = {"x0": (1e-4, 30.0), "solver": "anderson", "maxsteps": 200}
        logistic = mpmath.findroot(lambda x: mpmath.log(zeta * x) + mpmath.log(1 + mpmath.exp(x)), **ends)
        exponential = mpmath.findroot(lambda x: mpmath.log(zeta * x) + x, **ends)
    assert float(decoupled_margin(zeta)) == pytest.approx(float(logistic), rel=1e-14)
    assert float(decoupled_margin(zeta, "exponential")) == pytest.approx(float(exponential), rel=1e-14)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("zeta", [0.03, 0.7, 4.0])
def test_decoupled_margins_are_minima(loss, zeta):
    low = minimize_scalar(lambda m: VALUES[loss](m) + 0.5 * zeta * m**2, bounds=(-1, 10), options={"xatol": 1e-12})
    assert float(decoupled_margin([zeta], loss)[0]) == pytest.approx(low.x, abs=1e-7)


def test_decoupled_margins_know_thresholds():
    assert decoupled_margin([0.1, 2.0], Hinge(3.0)).tolist() == [3.0, 0.5]
    assert decoupled_margin(0.25, SquaredHinge(5.0)) == pytest.approx(4.0)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("depth", [1, 2, 3, 6])
@pytest.mark.parametrize(("decay", "zeta"), [(0.05, 0.0), (0.08, 0.3), (0.02, 2.0)])
def test_a_learnt_mode_rests_in_a_minimum_over_its_layers(loss, depth, decay, zeta):
    norm, share = 1.3, 0.7
    point = PenalisedMode(norm, share, decay, zeta, depth, loss)

    def height(layer):
        margin = norm * layer**depth
        return share * (VALUES[loss](margin) + 0.5 * zeta * margin**2) + 0.5 * decay * depth * layer**2

    barrier = max(point.unstable, 0.0)
    ends = (max(barrier, 1e-9) / norm) ** (1 / depth), (8.0 / norm) ** (1 / depth)
    low = minimize_scalar(height, bounds=ends, options={"xatol": 1e-12})
    assert point.stable == pytest.approx(norm * low.x**depth, abs=2e-6)
    # Golden sections find a minimum to the root of the rounding of its height; its height they find to rounding.
    assert height((point.stable / norm) ** (1 / depth)) <= low.fun + 1e-15
    if 0.0 < point.unstable < math.inf:
        top = minimize_scalar(lambda a: -height(a), bounds=(0.0, ends[0] * 1.5), options={"xatol": 1e-12})
        assert point.unstable == pytest.approx(norm * top.x**depth, rel=1e-5)


@pytest.mark.parametrize("loss", SMOOTH)
@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize(("decay", "decoupling"), [(0.05, 0.0), (0.0, 0.3), (0.1, 0.2)])
def test_penalties_bring_the_flow_to_their_fixed_point(loss, depth, decay, decoupling):
    point = PenalisedMode(1.3, 0.7, decay, decoupling, depth, loss)
    for start in (2.0, 0.1):
        flow = Features([1.3], [[0]], [0.7], start, loss, depth, decay, decoupling)
        assert flow.strengths(1e9) == pytest.approx(point.stable, rel=1e-12)


def test_a_margin_may_fall_and_its_time_is_the_first():
    flow = Features([1.0], [[0]], [1.0], 5.0, "cross_entropy", weight_decay=0.1)
    rest = PenalisedMode(1.0, 1.0, 0.1).stable
    assert flow.margins(flow.time(0, 3.0))[0] == pytest.approx(3.0)
    assert flow.time(0, [5.0, 5.1, rest - 0.01]).tolist() == [0.0, math.inf, math.inf]


@pytest.mark.parametrize("loss", SMOOTH)
@pytest.mark.parametrize("depth", [3, 4])
def test_a_deep_mode_learns_from_starts_above_the_unstable_margin_only(loss, depth):
    point = PenalisedMode(1.3, 0.7, 0.06, 0.1, depth, loss)

    def end(start):
        return float(Features([1.3], [[0]], [0.7], start, loss, depth, 0.06, 0.1).strengths(1e6)[0])

    assert 0.0 < point.unstable < point.stable
    assert end(point.unstable * (1 + 1e-6)) == pytest.approx(point.stable, rel=1e-12)
    assert end(point.unstable * (1 - 1e-6)) == pytest.approx(0.0, abs=1e-100)


@pytest.mark.parametrize("loss", SMOOTH)
@pytest.mark.parametrize("depth", [2, 3, 5])
def test_beyond_the_largest_decay_nothing_is_learnt(loss, depth):
    largest = PenalisedMode(0.8, 0.5, 0.1, 0.05, depth, loss).largest_decay

    def end(decay):
        flow = Features([0.8], [[0]], [0.5], 0.9, loss, depth, decay, 0.05)
        return float(flow.strengths(1e7)[0])

    below, beyond = (PenalisedMode(0.8, 0.5, largest * factor, 0.05, depth, loss) for factor in (0.99, 1.01))
    assert (beyond.stable, beyond.unstable) == (0.0, math.inf)
    assert end(beyond.weight_decay) < 1e-100
    assert end(below.weight_decay) == pytest.approx(below.stable, rel=1e-10)
    assert below.stable > 0


def test_largest_decays_of_two_layers_are_the_residual_at_zero():
    expected = {"cross_entropy": 0.5, "exponential": 1.0, "squared": 1.0, "squared_hinge": 1.0, "hinge": 1.0}
    for loss, residual in expected.items():
        assert PenalisedMode(1.5, 0.4, 0.1, loss=loss).largest_decay == pytest.approx(1.5 * 0.4 * residual)
    assert PenalisedMode(1.0, 1.0, 0.1, loss=SquaredHinge(3.0)).largest_decay == pytest.approx(3.0)
    assert PenalisedMode(1.0, 1.0, 0.1, depth=1).largest_decay == math.inf


def test_closed_forms():
    # Exponential loss: gamma is where psi is largest. Squared loss at depth 2: m = 1 - lambda/(p rho).
    deep = PenalisedMode(1.0, 1.0, 0.1, depth=4, loss="exponential")
    assert deep.largest_decay == pytest.approx(math.sqrt(0.5) * math.exp(-0.5))
    assert PenalisedMode(2.0, 0.5, 0.3, loss="squared").stable == pytest.approx(0.7)
    assert PenalisedMode(1.0, 1.0, 0.1).stable == pytest.approx(math.log(9.0))
    hinge = PenalisedMode(1.0, 1.0, 0.1, depth=4, loss="hinge")
    assert (hinge.stable, hinge.unstable) == (1.0, pytest.approx(0.01))
    assert PenalisedMode(1.0, 0.3, 0.0, 0.2, depth=5).stable == pytest.approx(float(decoupled_margin(0.2)))


def test_a_network_of_three_layers_comes_to_rest_where_theory_says():
    decay, zeta, norm = 0.02, 0.1, 1.4
    # Two parallel neurons, then a second hidden layer of two, all balanced.
    unit, other = np.array([0.6, 0.8]), np.array([0.28, 0.96])
    size = 0.6
    layers = [size * np.outer(unit, [1.0, 0.0, 0.0]), size * np.outer(other, unit), size * other[None]]
    inputs = np.array([[norm, 0.0, 0.0], [-norm, 0.0, 0.0]])
    for _ in range(12_000):
        hidden = [inputs.T]
        for weights in layers[:-1]:
            hidden.append(np.maximum(weights @ hidden[-1], 0.0))
        output = layers[-1] @ hidden[-1]
        # The mirrored sample is in the other class and has no neuron of its own: only the first one is learnt.
        labels, shares = np.array([1.0, -1.0]), np.array([0.8, 0.2])
        back = shares * (labels * expit(-labels * output) - zeta * output)
        gradients = []
        for weights, h in zip(layers[::-1], hidden[::-1], strict=True):
            gradients.insert(0, back @ h.T)
            back = (weights.T @ back) * (h > 0)
        layers = [w + 0.1 * (g - decay * w) for w, g in zip(layers, gradients, strict=True)]
    point = PenalisedMode(norm, 0.8, decay, zeta, depth=3)
    assert float(output[0, 0]) == pytest.approx(point.stable, rel=1e-12)
    assert norm * size**3 > point.unstable


def random_task(samples, inputs, seed, equal=False):
    generator = np.random.default_rng(seed)
    shares = np.ones(samples) if equal else generator.uniform(0.2, 1.0, samples)
    return SimpleNamespace(
        inputs=generator.standard_normal((samples, inputs)),
        labels=generator.choice([-1, 1], samples),
        sample_weight=shares / shares.sum(),
    )


@pytest.mark.parametrize("loss", [*SMOOTH, SquaredHinge(0.4)])
@pytest.mark.parametrize(("samples", "inputs"), [(4, 7), (12, 3), (5, 5)])
@pytest.mark.parametrize(("decay", "zeta"), [(0.1, 0.0), (1e-3, 0.2), (0.0, 0.5)])
def test_penalised_linear_is_the_minimum(loss, samples, inputs, decay, zeta):
    task = random_task(samples, inputs, 7)
    rows = task.labels[:, None] * task.inputs
    name, target = ("squared_hinge", 0.4) if isinstance(loss, SquaredHinge) else (loss, 1.0)

    def value(w):
        margins = rows @ w
        lost = VALUES[name](margins / target) * target**2 if target != 1.0 else VALUES[name](margins)
        return task.sample_weight @ (lost + 0.5 * zeta * margins**2) + 0.5 * decay * w @ w

    def slope(w):
        margins = rows @ w
        residual = np.maximum(target - margins, 0.0) if name == "squared_hinge" else RESIDUALS[name](margins)
        return decay * w - rows.T @ (task.sample_weight * (residual - zeta * margins))

    rest = penalised_linear(task, decay, zeta, loss)
    low = minimize(value, np.zeros(inputs), jac=slope, method="BFGS", options={"gtol": 1e-10})
    assert value(rest.weights) <= low.fun + 1e-15
    assert rest.margins == pytest.approx(rows @ low.x, abs=1e-6)
    assert np.abs(slope(rest.weights)).max() < 1e-14


@pytest.mark.parametrize("penalty", [1e-40, 1e-50, 1e-100])
@pytest.mark.parametrize("loss", SMOOTH)
@pytest.mark.parametrize("penalised", ["weight_decay", "spectral_decoupling"])
def test_penalised_linear_reaches_minima_far_from_zero(loss, penalty, penalised):
    one = SimpleNamespace(inputs=np.ones((1, 1)), labels=np.ones(1), sample_weight=np.ones(1))
    margins = penalised_linear(one, **{penalised: penalty}, loss=loss).margins
    assert margins == pytest.approx(float(decoupled_margin(penalty, loss)), rel=1e-13)


@pytest.mark.parametrize("loss", SMOOTH)
def test_penalised_linear_knows_each_of_two_modes_of_very_different_norms(loss):
    norms = np.array([1.0, 1e-9])
    task = SimpleNamespace(inputs=np.diag(norms), labels=np.ones(2), sample_weight=np.full(2, 0.5))
    margins = penalised_linear(task, weight_decay=1e-90, loss=loss).margins
    each = [PenalisedMode(norm, 0.5, 1e-90, depth=1, loss=loss).stable for norm in norms]
    assert margins == pytest.approx(each, rel=1e-13)


@pytest.mark.parametrize(("samples", "inputs"), [(4, 7), (12, 3)])
def test_dual_fixed_point_in_the_convention_of_the_paper(samples, inputs):
    task = random_task(samples, inputs, 11, equal=True)
    decay = 0.03
    left, singular, _ = np.linalg.svd(task.labels[:, None] * task.inputs, full_matrices=False)
    margins = penalised_linear(task, decay).margins
    strengths = left.T @ margins
    paper = 1.0 / (samples * decay)
    assert paper * singular**2 * (left.T @ expit(-left @ strengths)) == pytest.approx(strengths, rel=1e-12)


def test_dual_fixed_point_with_unequal_weights_and_both_penalties():
    task = random_task(6, 9, 3)
    rest = penalised_linear(task, 0.02, 0.1, "exponential")
    margins = rest.samples @ rest.strengths
    pulled = task.sample_weight * (np.exp(-margins) - 0.1 * margins)
    assert rest.singular**2 * (rest.samples.T @ pulled) / 0.02 == pytest.approx(rest.strengths, rel=1e-12)
    assert rest.margins == pytest.approx(margins)
    assert (rest.inputs * rest.singular) @ np.diag(1 / rest.singular**2) @ rest.strengths == pytest.approx(rest.weights)


def test_spectral_decoupling_does_not_see_the_singular_values():
    narrow, wide = random_task(5, 8, 1), random_task(5, 8, 2)
    wide.inputs *= np.geomspace(1.0, 1e3, 8)
    for task in (narrow, wide):
        assert penalised_linear(task, 0.0, 0.2).margins == pytest.approx(float(decoupled_margin(0.2)), rel=1e-10)
    assert np.ptp(penalised_linear(narrow, 0.1).margins) > 0.1


def test_linear_features_flow_to_the_fixed_point():
    norms, types, shares = (1.2, 0.7, 1.0), [[0], [0, 1], [1, 2]], np.array([0.5, 0.3, 0.2])
    inputs = np.array([[k in kind for k in range(3)] for kind in types]) * norms
    task = SimpleNamespace(inputs=inputs, labels=np.ones(3), sample_weight=shares)
    for loss in SMOOTH:
        flow = Features(norms, types, shares, -0.1, loss, depth=1, weight_decay=0.02, spectral_decoupling=0.1)
        rest = penalised_linear(task, 0.02, 0.1, loss)
        assert flow.margins(1e9) == pytest.approx(rest.margins, rel=1e-12)


def test_a_sample_of_weight_zero_is_measured_and_not_learnt():
    task = random_task(5, 4, 9)
    known = SimpleNamespace(inputs=task.inputs[:4], labels=task.labels[:4], sample_weight=task.sample_weight[:4])
    task.sample_weight[4] = 0.0
    with_it, without = penalised_linear(task, 0.1), penalised_linear(known, 0.1)
    assert with_it.weights == pytest.approx(without.weights, rel=1e-12)
    assert with_it.margins.shape == (5,)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: decoupled_margin([0.1, 0.0]), "spectral_decoupling must lie between 1e-100 and 1e+100, got 0.0"),
        (lambda: decoupled_margin(math.inf), "spectral_decoupling must lie between 1e-100 and 1e+100, got inf"),
        (lambda: PenalisedMode(1.0, 1.0), "weight_decay or spectral_decoupling must be positive"),
        (lambda: PenalisedMode(0.0, 1.0, 0.1), "norm must be positive"),
        (lambda: PenalisedMode(1.0, -1.0, 0.1), "frequency must be positive"),
        (lambda: PenalisedMode(1.0, 1.0, -0.1), "weight_decay must not be negative, got -0.1"),
        (lambda: PenalisedMode(1.0, 1.0, 0.1, depth=0), "depth must be at least 1"),
        (lambda: PenalisedMode(1.0, 1.0, 0.1, loss="huber"), "loss must be one of"),
        (lambda: penalised_linear(random_task(3, 2, 0)), "weight_decay or spectral_decoupling must be positive"),
        (lambda: penalised_linear(random_task(3, 2, 0), -1.0), "weight_decay must not be negative, got -1.0"),
        (lambda: penalised_linear(random_task(3, 2, 0), 0.1, 0.0, "hinge"), "loss must not be the hinge"),
        (
            lambda: penalised_linear(SimpleNamespace(inputs=[[1.0]], labels=[2], sample_weight=[1.0]), 0.1),
            "task must have labels -1 and +1, got [2.]",
        ),
        (
            lambda: penalised_linear(SimpleNamespace(inputs=[[0.0]], labels=[1], sample_weight=[1.0]), 0.1),
            "task must have an input that is not 0",
        ),
    ],
)
def test_refuses_what_it_cannot_mean(call, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        call()
