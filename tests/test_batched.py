"""The oracle of many networks at a time is that of one at a time, and its bounds are those of ``rounding``."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import batched
import batched_measures
import reference
import rounding
import shoal
from batched import Format, State, exactly
from reference import Parameters, Problem
from shoal.spec.loss import resolve_loss
from shoal.spec.measures import REGISTRY
from support import ACTIVATIONS, LOSSES, random_init, random_task, started

EPS = float(np.finfo(float).eps)
FORM = Format.of("float64")
NETWORKS, RATE = 7, 0.3
MEASURES = (
    *("loss", "error", "soft_error", "margin", "output", "residual", "layer_norm"),
    *("balance", "active", "unit_active", "pattern"),
)


def setting(
    activation: str, loss: str, outputs: int, generator: np.random.Generator, given: dict[str, Any]
) -> tuple[Problem, shoal.Explicit, State]:
    network = shoal.Network((3, 5, 4, outputs), activation, bias=True, **given)
    task = random_task(6, 3, outputs, generator, regression=loss == "regression")
    init = random_init(network, NETWORKS, generator)
    penalties = {"weight_decay": 0.25, "spectral_decoupling": 0.5} if given else {}
    loss = "squared" if loss == "regression" else loss
    setup = reference.problem(network, task, resolve_loss(loss), **penalties)
    state = State([exactly(w) for w in init.weights], [exactly(b) for b in init.biases])
    return setup, init, state


@pytest.mark.parametrize("parametrised", [False, True])
@pytest.mark.parametrize(
    ("loss", "outputs"),
    [*((loss, 1) for loss in LOSSES), ("cross_entropy", 3), ("squared", 3), ("regression", 1), ("regression", 3)],
)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_values_and_bounds_are_those_of_one_network_at_a_time(
    activation: str, loss: str, outputs: int, parametrised: bool, generator: np.random.Generator
) -> None:
    given: dict[str, Any] = {"scales": (0.7, 1.6, 0.8), "rates": (1.5, 0.4, 0.9)} if parametrised else {}
    setup, start, state = setting(activation, loss, outputs, generator, given)
    run = batched.forward(setup, state, exactly(setup.inputs), FORM)
    slope = batched.gradient(setup, state, run, FORM)
    after = batched.descend(setup, state, slope, RATE, FORM)
    found = batched_measures.all_measures(setup, state, run, FORM)
    names = [name for name in MEASURES if setup.labels is not None or not REGISTRY[name].of_labels]
    names = [name for name in names if setup.loss == "squared" or not REGISTRY[name].of_squares]
    assert sorted(found) == sorted(names)
    for k in range(NETWORKS):
        parameters = started(start, k)
        expected, bound = reference.descend(setup, parameters, RATE), rounding.step_bounds(setup, parameters, RATE, EPS)
        clear = rounding.clear_of_kinks(setup, parameters, EPS)
        assert clear == (not run.near_kinks(setup)[k])
        pairs = zip(after.arrays(), [*expected.weights, *expected.biases], [*bound.weights, *bound.biases], strict=True)
        for ball, value, allowed in pairs:
            assert (np.abs(ball.mid[k] - value) <= ball.rad[k]).all()
            if clear:  # not looser by more than the rounding of leaky_relu's slope
                assert (ball.rad[k] <= 1.1 * allowed + EPS**2).all()
        expected_measures = reference.measures(setup, parameters)
        for name in names:
            assert (np.abs(found[name].mid[k] - 1.0 * expected_measures[name]) <= found[name].rad[k]).all(), name


@pytest.mark.parametrize("loss", ["cross_entropy", "squared"])
def test_norms_are_those_of_one_network_at_a_time(loss: str, generator: np.random.Generator) -> None:
    setup, start, state = setting("tanh", loss, 1, generator, {"rates": (1.5, 0.4, 0.9)})
    both = State(
        *([exactly(np.stack([a.mid, 0.8 * a.mid], axis=1)) for a in held] for held in (state.weights, state.biases))
    )
    run = batched.forward(setup, both, exactly(setup.inputs), FORM)
    found = batched_measures.of_norms(both, batched.gradient(setup, both, run, FORM), FORM)
    assert {*found, *MEASURES} == {"gradient_norm", "distance", *MEASURES}
    for k in range(NETWORKS):
        first = started(start, k)
        later = Parameters([0.8 * w for w in first.weights], [0.8 * b for b in first.biases])
        for step, parameters in enumerate((first, later)):
            right = reference.measures(setup, parameters, first)
            for name, ball in found.items():
                assert np.abs(ball.mid[k, step] - right[name]) <= ball.rad[k, step] <= 1e-11 * max(1.0, right[name]), (
                    name
                )


def test_a_centred_network_is_less_what_it_was_at_its_start(generator: np.random.Generator) -> None:
    setup, start, state = setting("tanh", "hinge", 1, generator, {})
    moved = State([w.times(1.25) for w in state.weights], state.biases)
    first = batched.forward(setup, state, exactly(setup.inputs), FORM).leaving[-1]
    found = batched.forward(setup, moved, exactly(setup.inputs), FORM, first).leaving[-1]
    for k in range(NETWORKS):
        centred = replace(setup, start=started(start, k))
        later = Parameters([1.25 * w[k] for w in start.weights], [b[k] for b in start.biases])
        expected = reference.forward(centred, later)[1][-1]
        np.testing.assert_allclose(found.mid[k], expected, rtol=0, atol=float(found.rad[k].max()))
        assert (found.rad[k] <= 1.001 * rounding.bounds(centred, later, EPS).outputs + 1e-300).all()


def test_at_a_kink_both_slopes_are_allowed_and_an_exact_zero_is_off() -> None:
    setup = Problem("relu", 0.0, "squared", 1.0, np.array([[1.0, 1.0]]), np.array([1]), np.array([1.0]))
    weights = [np.array([[0.1 + 0.2, -0.3], [0.0, 0.0], [2.0, 1.0]]), np.array([[1.0, 1.0, 1.0]])]
    state = State([exactly(w) for w in weights], [])
    run = batched.forward(setup, state, exactly(setup.inputs), FORM)
    slope = batched.slopes(setup, run.leaving[0], FORM)
    np.testing.assert_array_equal(slope.rad[0] >= 1, [True, False, False])
    np.testing.assert_array_equal(slope.mid[0, 1:], [0, 1])
    np.testing.assert_array_equal(run.near_kinks(setup), True)
    pattern = batched_measures.all_measures(setup, state, run, FORM)["pattern"]
    np.testing.assert_array_equal(pattern.rad[:, 0], [1, 0, 0])


def test_what_may_overflow_can_be_anything() -> None:
    setup = Problem("linear", 0.0, "squared", 1.0, np.array([[1e30, 1e30]]), np.array([1]), np.array([1.0]))
    state = State([exactly(np.array([[1e10, -1e10]]))], [])
    for dtype, bounded in (("float64", True), ("float32", False)):
        run = batched.forward(setup, state, exactly(setup.inputs), Format.of(dtype))
        assert np.isfinite(run.leaving[-1].rad).all() == bounded
