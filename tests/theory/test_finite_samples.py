"""What the draw of samples adds to the boundary: against the initial kernel, the tilt alone, and refusals."""

import math

import numpy as np
import pytest

from shoal.theory.mean_field.finite_samples import sample_spread
from shoal.theory.mean_field.tangent_kernel import mean_field_kernel


def test_at_the_start_it_is_the_variance_of_the_kernel():
    """f(x) grows by the mean of y' K(x, x') over samples: its variance at x_par = 0, over its slope there."""
    inputs = 6
    draw = np.random.default_rng(0)
    others = draw.standard_normal((1500, inputs))
    at = draw.standard_normal(inputs)
    at[0] = 0
    at *= math.sqrt(inputs) / np.linalg.norm(at)
    kernel = mean_field_kernel(np.concatenate([at[None], others]), 0.0)[0, 1:]
    slope = math.sqrt(2 / math.pi) / (2 * inputs)
    squares = (kernel / slope) ** 2
    error = squares.std() / math.sqrt(len(squares))
    assert abs(squares.mean() - float(sample_spread(0.0, inputs, 1)) ** 2) < 4 * error


def test_late_the_tilt_and_twice_the_gates_are_left():
    inputs, samples = 40, 500
    tilt = math.pi * (inputs - 1) / (2 * samples)
    late = float(sample_spread(30.0, inputs, samples)) ** 2
    assert tilt < late < 1.1 * tilt


def test_in_many_inputs_it_grows_in_proportion_to_them():
    """The next term is of order 1/d; at thousands of inputs Gauss points by the Gamma function were no numbers."""
    spread = np.array([float(sample_spread(0.5, 10**power, 1000)) / 10**power for power in (3, 4, 5, 6, 9)])
    assert np.all(np.abs(spread[:-1] / spread[-1] - 1) < 10.0 / 10.0 ** np.array([3, 4, 5, 6]))


def test_it_falls_like_the_root_of_the_samples():
    gamma = np.array([[0.0, 0.5], [1.0, 3.0]])
    assert sample_spread(gamma, 10, 100) == pytest.approx(2 * sample_spread(gamma, 10, 400), rel=1e-14)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ((-0.1, 10, 10), "gamma must lie between 0 and 1e.100, got -0.1"),
        ((0.1, 1, 10), "inputs must be at least 2, got 1"),
        ((0.1, 10, 0), "samples must be at least 1, got 0"),
    ],
)
def test_refusals(given, words):
    with pytest.raises(ValueError, match=words):
        sample_spread(*given)
