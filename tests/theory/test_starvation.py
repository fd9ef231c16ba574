"""The formulas of starvation: exact for features in every sample, bounds for rare ones, ceilings in depth, refusals."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest

from shoal.theory import Features, starved_strength

LOSSES = ("cross_entropy", "exponential", "hinge", "squared", "squared_hinge")


def pair(fraction, **more):
    """Feature 1 in every sample, feature 2 in a fraction of them."""
    return Features(types=((0,), (0, 1)), frequencies=(1.0 - fraction, fraction), **more)


@pytest.mark.parametrize("depth", [1, 2, 3, 5])
@pytest.mark.parametrize("loss", LOSSES)
def test_power_law_of_features_in_every_sample(depth, loss):
    flow = Features((1.0, 0.8), [[0, 1]], [1.0], (0.02, 0.03), loss, depth, spectral_decoupling=0.1 * (loss != "hinge"))
    u = flow.strengths(np.geomspace(0.1, 1e5, 30))
    assert u[1] == pytest.approx(starved_strength(u[0], (0.02, 0.03), (1.0, 0.8), depth=depth), rel=1e-12)


@pytest.mark.parametrize("depth", [1, 2, 3, 5])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("fraction", [0.1, 0.9])
def test_a_rare_feature_stays_below_its_bound(depth, loss, fraction):
    times = np.geomspace(0.1, 1e5, 30)
    u = pair(fraction, norms=(1.0, 0.8), starts=(0.02, 0.03), loss=loss, depth=depth).strengths(times)
    bound = starved_strength(u[0], (0.02, 0.03), (1.0, 0.8), fraction, depth)
    assert (u[1] <= bound * (1 + 1e-13)).all()
    assert u[1, -1] < bound[-1]
    # At the start, where margins are small, the residuals are all but equal and the bound all but reached.
    assert u[1, 0] > 0.98 * bound[0]
    shared = pair(fraction, norms=(1.0, 0.8), starts=(0.02, 0.001), loss=loss, depth=depth, neurons="shared")
    u = shared.strengths(times)
    assert (u[1] <= fraction * 0.8**2 * u[0] * (1 + 1e-13)).all()


@pytest.mark.parametrize("depth", [2, 3, 6])
def test_shared_neurons_turn_towards_their_gradient(depth):
    """(v_2/v_1)' = |v|^(2-2/N) (g_1/v_1) (g_2/g_1 - v_2/v_1), at any strengths."""
    norms, fraction = np.array([1.2, 0.7]), 0.3
    flow = pair(fraction, norms=norms, starts=(0.02, 0.001), depth=depth, neurons="shared")
    u = np.random.default_rng(depth).uniform(0.1, 2.0, (2, 20))
    v, change = u / norms[:, None], flow.velocity(u) / norms[:, None]
    both = fraction / (1 + np.exp(u.sum(axis=0)))
    g = norms[:, None] * np.array([(1 - fraction) / (1 + np.exp(u[0])) + both, both])
    turned = (change[1] - v[1] / v[0] * change[0]) / v[0]
    expected = np.hypot(*v) ** (2 - 2 / depth) * g[0] / v[0] * (g[1] / g[0] - v[1] / v[0])
    np.testing.assert_allclose(turned, expected, rtol=1e-11, atol=1e-13)


def test_above_two_layers_a_weak_feature_has_a_ceiling():
    ceiling = float(starved_strength(math.inf, (0.01, 0.01), (1.0, 0.5), depth=3))
    assert ceiling == pytest.approx(0.01 * (1 - 0.5 ** (2 / 3)) ** -3)
    u = Features((1.0, 0.5), [[0, 1]], [1.0], 0.01, "exponential", 3).strengths([1e6, 1e200])
    assert u[0, 1] > 100
    assert (u[1] < ceiling).all()
    assert u[1] == pytest.approx(starved_strength(u[0], (0.01, 0.01), (1.0, 0.5), depth=3), rel=1e-11)
    assert starved_strength(math.inf, (0.01, 0.01), depth=3) == math.inf


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"strength": 0.001}, "strength must be at least its initialisation 0.01, got 0.001"),
        ({"starts": (0.01,)}, "starts must have shape (2,)"),
        ({"starts": (0.01, 0.0)}, "starts must be positive when depth > 1"),
        ({"starts": (0.01, -1.0), "depth": 1}, "starts must have u_20 >= 0"),
        ({"norms": (1.0, 0.0)}, "norms must be positive"),
        ({"fraction": 1.5}, "fraction must be at most 1, got 1.5"),
        ({"fraction": 0.0}, "fraction must be positive"),
    ],
)
def test_the_law_refuses_what_it_cannot_mean(change, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        starved_strength(**({"strength": 1.0, "starts": (0.01, 0.01)} | change))
