"""The kernel and the movement of mean-field nodes, against quadrature over the nodes, and their limits."""

import math

import numpy as np
import pytest
from scipy.special import ndtri
from scipy.stats import qmc

from shoal.theory.mean_field.tangent_kernel import mean_field_kernel, mean_field_movement


@pytest.fixture(scope="module")
def draws():
    """Output weight and four incoming ones of 2^17 nodes, evenly spread over N(0, 1)^5, and the same mirrored."""
    points = ndtri(qmc.Sobol(5, seed=0).random_base2(16))
    both = np.concatenate([points, -points])
    return both[:, 0], both[:, 1:]


def turned(draws, gamma):
    output, incoming = draws
    after = incoming.copy()
    after[:, 0] = incoming[:, 0] * math.cosh(gamma) + output * math.sinh(gamma)
    return output * math.cosh(gamma) + incoming[:, 0] * math.sinh(gamma), after


@pytest.mark.parametrize("gamma", [0.0, 0.4, 1.3])
def test_the_kernel_is_the_mean_over_nodes(draws, gamma):
    points = np.random.default_rng(1).standard_normal((5, 4))
    points = np.concatenate([points, -points[:1], 2 * points[1:2]])
    output, incoming = turned(draws, gamma)
    raised = incoming @ points.T / 2
    values, gates = np.maximum(raised, 0), (raised > 0) * output[:, None]
    expected = (values.T @ values + gates.T @ gates * (points @ points.T) / 4) / len(output)
    size = np.sqrt(np.outer(np.diag(expected), np.diag(expected)))
    assert mean_field_kernel(points, gamma) / size == pytest.approx(expected / size, abs=3e-3)


def test_the_kernel_of_the_start_is_that_of_arc_cosines():
    """E relu relu' + E theta theta' x.x'/d = |x||x'|/(2 pi d) (sin p + 2 (pi - p) cos p) at the angle p."""
    points = np.array([[1.0, 0.0, 0.0], [math.cos(0.7), 2 * 0.0, math.sin(0.7)]]) * [[2.0], [3.0]]
    value = 6 / (6 * math.pi) * (math.sin(0.7) + 2 * (math.pi - 0.7) * math.cos(0.7))
    assert mean_field_kernel(points, 0.0)[0, 1] == pytest.approx(value, rel=1e-13)


def test_the_kernel_moves_in_second_order():
    points = np.random.default_rng(2).standard_normal((6, 4))
    first, second = (mean_field_kernel(points, g) - mean_field_kernel(points, 0.0) for g in (1e-2, 2e-2))
    assert np.linalg.norm(second) / np.linalg.norm(first) == pytest.approx(4, rel=1e-3)


def test_the_kernel_is_positive():
    points = np.random.default_rng(3).standard_normal((30, 7))
    assert np.linalg.eigvalsh(mean_field_kernel(points, 2.0)).min() > 0


@pytest.mark.parametrize("gamma", [0.0, 0.4, 1.3])
def test_the_movement_is_that_of_the_nodes(draws, gamma):
    output, incoming = draws
    after, moved = turned(draws, gamma)
    distance = ((after - output) ** 2).mean() + ((moved - incoming) ** 2).sum(axis=1).mean()
    assert mean_field_movement(gamma, 4) == pytest.approx(math.sqrt(distance / 5), rel=2e-3, abs=1e-12)


def test_the_movement_at_small_and_large_angles():
    assert mean_field_movement(1e-9, 9) == pytest.approx(1e-9 * math.sqrt(2 / 10), rel=1e-9)
    assert mean_field_movement(20.0, 9) == pytest.approx(math.exp(20) / math.sqrt(10), rel=1e-8)


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (lambda: mean_field_movement(-1.0, 3), ValueError, "gamma must lie between 0 and 100, got -1.0"),
        (lambda: mean_field_movement(np.inf, 3), ValueError, "gamma must lie between 0 and 100, got inf"),
        (lambda: mean_field_movement(1.0, 0), ValueError, "inputs must be at least 1, got 0"),
        (lambda: mean_field_kernel([1.0, 2.0], 1.0), ValueError, "points must have shape"),
        (
            lambda: mean_field_kernel([[1.0], [0.0]], 1.0),
            ValueError,
            "points must have rows .* got 0 in row 1",
        ),
        (lambda: mean_field_kernel([[1.0]], -1.0), ValueError, "gamma must lie between 0 and 100, got -1.0"),
    ],
)
def test_refusals(call, kind, words):
    with pytest.raises(kind, match=words):
        call()
