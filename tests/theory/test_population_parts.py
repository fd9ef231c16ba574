"""The parts of MeanFieldPopulation: rings, matrices of integrals, Gauss points; velocities anew; refusals."""

import math
from itertools import pairwise

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.stats import beta as beta_law
from scipy.stats import chi

from shoal.theory import MeanFieldPopulation
from shoal.theory.population.latitudes import Latitudes
from shoal.theory.population.moments import PopulationMoments
from shoal.theory.population.rings import Rings
from shoal.theory.population.starts import chi_points, normal_points


def ring_averages(inputs, s):
    """Return P(s + c > 0) and E[c; s + c > 0] for s of any sign: (1 + c)/2 is beta distributed, two points at d = 2."""
    if inputs == 2:
        active = np.array([s > -1.0, s > 1.0])
        return active.mean(axis=0), (active * np.array([[1.0], [-1.0]])).mean(axis=0)
    half = 0.5 * inputs - 1.0
    place = np.clip((1.0 - s) / 2.0, 0.0, 1.0)
    above = beta_law.sf(place, half, half)
    # E[b; b > p] of a beta distribution is half the probability of one with one more in its first parameter.
    return above, beta_law.sf(place, half + 1.0, half) - above


@pytest.mark.parametrize("inputs", [2, 3, 4, 9, 100])
def test_rings_are_averages_over_a_component_of_a_random_direction(inputs):
    s = np.array([0.0, 0.1, 0.6, 0.999, 1.5])
    share, lean = ring_averages(inputs, s)
    rings = Rings(inputs)
    assert np.allclose(rings.surplus(s), 2 * share - 1, atol=1e-13)
    assert np.allclose(rings.lean(s), lean, atol=1e-13)
    assert np.allclose(rings.reach(s), s * (2 * share - 1) + 2 * lean, atol=1e-13)


def pieces(function, cuts):
    """Return the integral of a function that is smooth between the cuts."""
    return sum(quad(function, a, b, epsabs=1e-14, epsrel=1e-12, limit=200)[0] for a, b in pairwise(cuts))


@pytest.mark.parametrize("inputs", [2, 3, 4, 30, 100])
@pytest.mark.parametrize("psi", [1e-4, 0.3, 1.1, 1.5607])
def test_the_matrices_agree_with_adaptive_quadrature(inputs, psi):
    grid, kink = Latitudes(inputs), math.pi / 2 - psi
    rings = Rings(inputs)

    def excess(phi):
        return np.cos(3 * phi) + 0.5 * np.exp(-2 * (math.pi / 2 - phi) ** 2)

    def lean(phi):
        return math.tan(kink) / math.tan(phi) if phi > kink else 1.0

    def along(phi):
        return (
            grid.density(phi)
            * math.cos(phi)
            * (rings.surplus(np.asarray(lean(phi))) if phi > kink else 1)
            * excess(phi)
        )

    def across(phi):
        return 2 * grid.density(phi) * math.sin(phi) * rings.lean(np.asarray(lean(phi))) * excess(phi)

    near = [min(kink * 2.0**j, 1.5) for j in range(12)] + [math.pi / 2 - psi * 2.0**-j for j in range(8)]
    cuts = np.unique([1e-300, *near, math.pi / 2])
    found = np.concatenate(grid.pulls(grid.place(np.array([psi])), excess(grid.phi)))
    assert np.allclose(found, [pieces(along, cuts), pieces(across, cuts)], atol=1e-12)


@pytest.mark.parametrize("inputs", [2, 3, 5, 12, 100])
def test_the_output_on_the_grid_is_that_of_the_nodes(inputs):
    # A panel's polynomial rounds off the kinks of five rings, which are of order d/2 in the angle.
    random = np.random.default_rng(1)
    nodes = np.stack([random.normal(size=5), random.normal(size=5), np.sqrt(random.chisquare(inputs - 1, 5))])
    off = []
    for refine in (1, 3):
        moments = PopulationMoments(np.full(5, 0.2), inputs, 1.0, 1.0, refine)
        plus, minus = moments.sides(nodes)
        phi, weights = moments.grid.phi, moments.grid.weights
        expected = moments.even(nodes, np.cos(phi), np.sin(phi))
        off.append(weights @ np.abs(0.5 * (plus - minus) - expected))
        assert weights @ np.abs(expected) > 1e-3
        assert np.allclose(0.5 * (plus + minus), moments.odd(nodes) * np.cos(phi), rtol=1e-9, atol=1e-12)
    assert off[1] < max(off[0] / 3, 1e-13)
    assert off[0] < 1e-5


def reference_velocity(population, norms, points):
    """Return sqrt(d)/beta times the velocity at time 0 by x_par and abs(x_perp), cut at the roots of y f = h."""
    d, scale = population.inputs, population.alpha / math.sqrt(population.inputs)
    share = population.weights / population.weights.sum()
    xi, weights = np.polynomial.legendre.leggauss(points)
    levels, level_weights = np.polynomial.legendre.leggauss(norms)
    total = np.zeros((3, len(share)))

    def hidden(x_par, norm):
        across = np.outer(population.w_perp, np.ones_like(x_par)) * norm
        along = np.outer(population.w_par, x_par)
        active, lean = ring_averages(d, along / across)
        return active, lean, along * active + across * lean

    # The distribution of abs(x_perp) as integral over a norm in which its density has no root at 0.
    top = chi.isf(1e-17, d - 1)
    levels = 0.5 * top * (levels + 1)
    chances = 0.5 * top * level_weights * chi.pdf(levels, d - 1)
    for norm, chance in zip(levels, chances, strict=True):
        for y in (1.0, -1.0):

            def excess(x, y=y, norm=norm):
                output = scale * (share * population.a) @ hidden(np.atleast_1d(x), norm)[2]
                return y * output - population.threshold

            kinks = norm * population.w_perp / np.maximum(np.abs(population.w_par), 1e-9)
            ends = np.unique([0.0, *np.linspace(0.3, 9.0, 30), *kinks[kinks < 9.0]])
            signs = excess(y * ends) < 0
            change = np.flatnonzero(signs[1:] != signs[:-1])
            roots = [brentq(lambda x, y=y: excess(y * x)[0], ends[i], ends[i + 1], xtol=1e-14) for i in change]
            ends = np.unique([*ends, *roots])
            # Averages over rings are not smooth at kinks: this map of a panel onto itself takes them away at both ends.
            part, width = 0.5 * (xi + 1), np.diff(ends)[:, None]
            x = y * (ends[:-1, None] + width * part**2 * (3 - 2 * part)).ravel()
            measure = (width * 3 * part * (1 - part) * weights).ravel() * np.exp(-0.5 * x**2) / math.sqrt(2 * math.pi)
            measure = measure * (excess(x) < 0) * y * chance
            active, lean, relu = hidden(x, norm)
            total += np.stack(
                [relu @ measure, population.a * (active @ (measure * x)), population.a * (lean @ measure) * norm]
            )
    return total


@pytest.mark.parametrize("inputs", [4, 20])
def test_velocities_agree_with_an_integral_over_the_two_components_of_an_input(inputs):
    size, alpha = math.sqrt(inputs - 1), 1.5 * math.sqrt(inputs)
    population = MeanFieldPopulation(
        [2.0, 1.5, -1.0], [0.3, -0.8, 1.0], [1.1 * size, 0.6 * size, size], [1.0, 2.0, 1.0], inputs=inputs, alpha=alpha
    )
    moments = PopulationMoments(population.weights / 4.0, inputs, alpha, 1.0, 1)
    found = moments.velocity(np.stack([population.a, population.w_par, population.w_perp]))
    coarse, fine = reference_velocity(population, 40, 8), reference_velocity(population, 120, 16)
    assert np.abs(fine[2]).min() > 0.02
    # That integral converges slowly, for the roots come and go as abs(x_perp) grows: its own change is the measure.
    assert np.abs(found - fine).max() < np.abs(coarse - fine).max() < 2e-3


def test_gauss_points_have_the_moments_of_their_laws():
    places, chances = normal_points(9)
    assert np.allclose(
        [chances @ places**k for k in range(0, 18, 2)], [math.prod(range(1, k, 2)) for k in range(0, 18, 2)]
    )
    for freedom in (1, 2, 99, 999):
        lengths, chances = chi_points(6, freedom)
        moments = [math.prod(freedom + 2.0 * j for j in range(k)) for k in range(12)]
        assert np.allclose([chances @ lengths ** (2 * k) for k in range(12)], moments, rtol=1e-10)


def test_ready_made_starts():
    one = MeanFieldPopulation.gaussian(30, mean=(0.5, -2.0), std=(0.3, 1.5), correlation=0.4, points=(6, 5, 4))
    share = one.weights / one.weights.sum()
    assert share @ one.a == pytest.approx(0.5)
    assert share @ one.w_par == pytest.approx(-2.0)
    assert share @ (one.a - 0.5) ** 2 == pytest.approx(0.09)
    assert share @ ((one.a - 0.5) * (one.w_par + 2.0)) == pytest.approx(0.4 * 0.3 * 1.5)
    assert share @ one.w_perp**2 == pytest.approx(29 * 2.25)
    two = MeanFieldPopulation.fixed(3, (-1.0, 1.0), mean=0.5, std=2.0, points=(4, 3))
    assert sorted(set(two.a)) == [-1.0, 1.0]
    assert len(two.a) == 24
    assert np.average(two.w_par, weights=two.weights) == pytest.approx(0.5)
    assert np.average(two.w_perp**2, weights=two.weights) == pytest.approx(8.0)


def test_a_node_of_no_weight_to_speak_of_follows_the_others():
    random = np.random.default_rng(2)
    nodes = random.normal(size=8), random.normal(size=8), np.abs(random.normal(size=8)) + 0.1
    alone = MeanFieldPopulation(*nodes, inputs=6).solve([5.0])
    probe = MeanFieldPopulation(*(np.append(x, x[0]) for x in nodes), [1.0] * 8 + [1e-14], inputs=6).solve([5.0])
    assert probe.a[8] == pytest.approx(alone.a[0], rel=1e-9)


@pytest.mark.parametrize("inputs", [2, 3, 30])
def test_nodes_and_inputs_on_the_axis_stay_there(inputs):
    flow = MeanFieldPopulation([1.0, -2.0], [0.5, -1.0], [0.0, 0.0], inputs=inputs).solve([0.0, 4.0])
    assert (flow.w_perp == 0).all()
    x_par, hidden = np.array([1.5, -0.7]), np.maximum(flow.w_par[:, :, None] * [1.5, -0.7], 0)
    expected = (flow.a[:, :, None] * hidden).mean(axis=0) / math.sqrt(inputs)
    assert np.allclose(flow.output(x_par, 0.0), expected, rtol=1e-12)
    # Both nodes see one side each, so that the clock of either side runs by itself: here a rotation each.
    assert np.allclose(flow.a**2 - flow.w_par**2, [[0.75], [3.0]], rtol=1e-8)


ONE = {"a": [1.0], "w_par": [0.5], "w_perp": [1.0], "inputs": 3}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"a": [[1.0]]}, r"a must have shape \(nodes,\), none of them zero, got shape \(1, 1\)"),
        ({"w_par": [math.nan]}, "w_par must be finite"),
        ({"w_par": [1.0, 2.0]}, "w_par must have one number per node, 1, got 2"),
        ({"w_perp": [-0.5]}, "w_perp must not be negative, got -0.5"),
        ({"w_perp": [0.0], "w_par": [0.0]}, "w_par and w_perp must not both be 0, got a node without direction, 0"),
        ({"weights": [0.0]}, "weights must be positive, got 0.0"),
        ({"inputs": 1}, "inputs must be between 2 and 1000000, got 1"),
        ({"alpha": 0.0}, "alpha must be positive, got 0"),
        ({"threshold": -1.0}, "threshold must be positive, got -1"),
        ({"beta": math.inf}, "beta must be finite, got inf"),
    ],
)
def test_what_a_population_refuses(change, message):
    with pytest.raises(ValueError, match=message):
        MeanFieldPopulation(**(ONE | change))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: MeanFieldPopulation(**ONE).solve([]), r"times must have shape \(times,\)"),
        (lambda: MeanFieldPopulation(**ONE).solve([-1.0]), "times must not be negative, got -1"),
        (lambda: MeanFieldPopulation(**ONE).solve([1.0, 1.0]), "times must increase, got 1.0 after 1.0"),
        (lambda: MeanFieldPopulation(**ONE).solve([1.0], rtol=0.0), "rtol must lie from 1e-13 to 0.1, got 0"),
        (lambda: MeanFieldPopulation(**ONE).solve([1.0], rtol=0.5), "rtol must lie from 1e-13 to 0.1, got 0.5"),
        (lambda: MeanFieldPopulation(**ONE).solve([1.0], refine=0), "refine must be between 1 and 1000, got 0"),
        (lambda: MeanFieldPopulation(**ONE).solve([0.0]).output(1.0, -1.0), "x_perp must not be negative, got -1"),
        (lambda: MeanFieldPopulation(**ONE).solve([0.0]).output(math.nan, 1.0), "x_par must be finite, got nan"),
        (lambda: MeanFieldPopulation.gaussian(1), "inputs must be between 2 and 1000000, got 1"),
        (lambda: MeanFieldPopulation.gaussian(3, mean=(0.0, math.inf)), r"mean\[1\] must be finite, got inf"),
        (lambda: MeanFieldPopulation.gaussian(3, mean=(0.0,)), "mean must have two numbers, got 1"),
        (lambda: MeanFieldPopulation.gaussian(3, std=(0.0, 1.0)), r"std\[0\] must be positive, got 0"),
        (lambda: MeanFieldPopulation.gaussian(3, correlation=1.0), "correlation must lie between -1 and 1"),
        (lambda: MeanFieldPopulation.fixed(3, [1e101]), "values must lie between"),
        (lambda: MeanFieldPopulation.gaussian(3, points=(200, 200, 200)), "points must make at most 1000000 nodes"),
        (lambda: MeanFieldPopulation(**ONE).solve([1.0, 2e6]), "times must make beta x time at most 1e.06, got 2e.06"),
        (lambda: MeanFieldPopulation.gaussian(3, points=(4, 0, 4)), r"points\[1\] must be between 1 and 1000, got 0"),
        (lambda: MeanFieldPopulation.gaussian(3, points=(4, 4)), "points must have three numbers, got 2"),
        (lambda: MeanFieldPopulation.fixed(3, []), r"values must have shape \(values,\)"),
        (lambda: MeanFieldPopulation.fixed(3, [1.0], std=-1.0), "std must be positive, got -1"),
        (lambda: MeanFieldPopulation.fixed(3, [1.0], points=(4,)), "points must have two numbers, got 1"),
    ],
)
def test_what_starts_and_calls_refuse(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_types_are_named():
    with pytest.raises(TypeError, match=r"inputs must be an integer, got 3\.0 of type float"):
        MeanFieldPopulation(**(ONE | {"inputs": 3.0}))
    with pytest.raises(TypeError, match="a must hold real numbers"):
        MeanFieldPopulation(**(ONE | {"a": ["x"]}))
