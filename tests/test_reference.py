"""The oracle itself, compared with values and derivatives that do not come from it."""

from __future__ import annotations

import math

import numpy as np
import pytest

import reference
from reference import Parameters, Problem
from support import ACTIVATIONS, LOSSES


def one_sample(loss: str, label: int = 1, activation: str = "relu") -> Problem:
    return Problem(activation, 0.1, loss, 1.0, np.array([[2.0]]), np.array([label]), np.array([1.0]))


@pytest.mark.parametrize(
    ("loss", "value", "residual"),
    [
        ("cross_entropy", math.log(1 + math.exp(-0.5)), 1 / (1 + math.exp(0.5))),
        ("hinge", 0.5, 1.0),
        ("squared_hinge", 0.125, 0.5),
        ("exponential", math.exp(-0.5), math.exp(-0.5)),
        ("squared", 0.125, 0.5),
    ],
)
def test_losses_have_their_textbook_values_at_a_margin_of_one_half(loss: str, value: float, residual: float) -> None:
    setup = one_sample(loss)
    parameters = Parameters([np.array([[0.25]])], [])
    assert reference.objective(setup, parameters) == pytest.approx(value, rel=1e-15)
    assert reference.gradient(setup, parameters).weights[0] == pytest.approx(-2 * residual, rel=1e-15)


@pytest.mark.parametrize("kind", ACTIVATIONS)
def test_activations_have_their_derivative(kind: str) -> None:
    a = np.array([-3.0, -0.5, 0.25, 2.0])
    slope = np.imag(reference.activate(kind, 0.1, a + 1e-100j)) / 1e-100
    # Derivatives lie in 0..1, and 1 - tanh^2 is off by units of the 1.
    np.testing.assert_allclose(slope, reference.derivative(kind, 0.1, a), rtol=0, atol=4 * np.finfo(float).eps)


def test_the_derivative_of_relu_at_zero_is_zero() -> None:
    assert reference.derivative("relu", 0.0, np.array([0.0])) == 0


@pytest.mark.parametrize("loss", LOSSES)
def test_residuals_are_minus_the_derivative_of_the_loss(loss: str) -> None:
    m = np.array([-2.0, -0.1, 0.6, 3.0])
    slope = np.imag(reference.loss_of_margin(loss, 1.0, m + 1e-100j)) / 1e-100
    np.testing.assert_allclose(-slope, reference.residual_of_margin(loss, 1.0, m), rtol=8 * np.finfo(float).eps)


def test_softmax_measures_count_a_tie_as_its_chance() -> None:
    setup = Problem("relu", 0.0, "cross_entropy", 1.0, np.array([[1.0]]), np.array([0]), np.array([1.0]))
    measured = reference.measures(setup, Parameters([np.array([[1.0], [1.0], [1.0], [0.0]])], []))
    assert measured["margin"] == 0
    assert measured["error"] == pytest.approx(2 / 3, rel=1e-15)
    assert measured["soft_error"] == pytest.approx(1 - math.e / (3 * math.e + 1), rel=1e-15)


def test_one_output_is_wrong_by_half_at_a_tie() -> None:
    assert reference.measures(one_sample("hinge"), Parameters([np.array([[0.0]])], []))["error"] == 0.5
