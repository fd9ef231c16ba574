"""MeanFieldPopulation: the closed form where it holds, an explicit network where it does not, and exact relations."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from shoal.theory import MeanFieldHinge, MeanFieldPopulation

TIMES = np.array([0.0, 0.5, 3.0, 12.0, 60.0])


def hyperbolic_clock(inputs, alpha, half_sum, product, times):
    """Return g(t) from weights symmetric in (a, w_par), half_sum = E[a^2 + w_par^2]/2, product = E[a w_par]."""

    def slope(_, g):
        k = 0.5 * alpha / math.sqrt(inputs) * (half_sum * math.sinh(2 * g[0]) + product * math.cosh(2 * g[0]))
        share = -math.expm1(-0.5 / k**2) if k > 0 else 1.0
        return [share / math.sqrt(2 * math.pi * inputs)]

    return solve_ivp(slope, (0.0, times[-1]), [0.0], "DOP853", times, rtol=1e-12, atol=1e-14).y[0]


@pytest.mark.parametrize("inputs", [2, 3, 30, 100])
@pytest.mark.parametrize("alpha", [1.0, 20.0])
def test_the_gaussian_start_has_its_closed_form(inputs, alpha):
    population = MeanFieldPopulation.gaussian(inputs, points=(4, 4, 2), alpha=alpha, threshold=0.8, beta=1.5)
    theory = MeanFieldHinge(1, inputs, alpha=alpha, threshold=0.8, beta=1.5)
    flow = population.solve(TIMES, rtol=1e-11)
    for node, (a0, w0) in enumerate(zip(population.a, population.w_par, strict=True)):
        a, w_par = theory.trajectories(a0, w0, TIMES)
        assert np.abs(flow.a[node] - a.ravel()).max() < 1e-8
        assert np.abs(flow.w_par[node] - w_par.ravel()).max() < 1e-8
    assert np.abs(flow.w_perp - population.w_perp[:, None]).max() < 1e-8
    assert np.abs(flow.unsatisfied - theory.unsatisfied(TIMES)).max() < 1e-8
    assert np.abs(flow.output(1.3, 0.7) - theory.output(1.3, TIMES).ravel()).max() < 1e-8


def two_sided(a, w_par, w_perp):
    """Return the nodes and their mirror images (-a, -w_par)."""
    return np.concatenate([a, -a]), np.concatenate([w_par, -w_par]), np.concatenate([w_perp, w_perp])


@pytest.mark.parametrize("inputs", [2, 7])
def test_any_start_symmetric_in_sign_has_a_closed_form(inputs):
    random = np.random.default_rng(3)
    w_par = random.standard_t(3, 40)
    nodes = two_sided(0.4 * w_par + random.standard_t(3, 40), w_par, np.abs(random.standard_t(3, 40)))
    population = MeanFieldPopulation(*nodes, inputs=inputs, alpha=2.0)
    half_sum, product = np.mean(nodes[0] ** 2 + nodes[1] ** 2) / 2, np.mean(nodes[0] * nodes[1])
    g, flow = hyperbolic_clock(inputs, 2.0, half_sum, product, TIMES), population.solve(TIMES, rtol=1e-11)
    turned = population.a[:, None] * np.cosh(g) + population.w_par[:, None] * np.sinh(g)
    assert np.abs(flow.a - turned).max() < 1e-8
    assert np.abs(flow.w_perp - population.w_perp[:, None]).max() < 1e-8
    assert product > 0.1  # or the product would not have been put to the test


@pytest.mark.parametrize("inputs", [2, 3, 5, 30])
def test_a_correlated_gaussian_start_learns_nothing_until_its_slope_turns(inputs):
    population = MeanFieldPopulation.gaussian(inputs, correlation=-0.9, points=(8, 8, 2))
    turn = math.atanh(0.9) / 2  # sinh 2g = 0.9 cosh 2g
    rate = 1 / math.sqrt(2 * math.pi * inputs)
    flow = population.solve([0.9 * turn / rate, 1.1 * turn / rate], rtol=1e-10)
    assert flow.slope[0] < 0 < flow.slope[1]
    assert np.allclose(flow.error, [1.0, 0.0], atol=1e-6)


class Explicit:
    """A network of two inputs, node by node, on a grid of inputs: NumPy and nothing of the theory.

    At two inputs a ring is two nodes, w_perp and -w_perp. The inputs are the middles of cells of equal probability.
    """

    def __init__(self, population, angles, norms):
        turn = 2 * np.pi * (np.arange(angles) + 0.5) / angles
        norm = np.sqrt(-2 * np.log1p(-(np.arange(norms) + 0.5) / norms))
        self.x = np.stack([np.outer(norm, np.cos(turn)).ravel(), np.outer(norm, np.sin(turn)).ravel()], axis=1)
        self.y = np.sign(self.x[:, 0])
        self.population = population
        self.share = np.tile(population.weights, 2) / (2 * population.weights.sum())
        self.a = np.tile(population.a, 2)
        self.w = np.stack([np.tile(population.w_par, 2), np.append(population.w_perp, -population.w_perp)], axis=1)

    def margins(self, a, w):
        hidden = self.x @ w.T / math.sqrt(2)
        return self.y * (self.population.alpha * np.maximum(hidden, 0) @ (self.share * a)), hidden

    def velocity(self, a, w):
        margins, hidden = self.margins(a, w)
        pull = self.population.beta * (margins < self.population.threshold) * self.y / len(self.y)
        across = ((pull[:, None] * (hidden > 0)).T @ self.x) / math.sqrt(2)
        return pull @ np.maximum(hidden, 0), a[:, None] * across

    def run(self, until, steps):
        """Return the nodes by the classical Runge-Kutta method, and what is unsatisfied, the loss and the error."""
        a, w, dt = self.a, self.w, until / steps
        for _ in range(steps):
            one = self.velocity(a, w)
            two = self.velocity(a + dt / 2 * one[0], w + dt / 2 * one[1])
            three = self.velocity(a + dt / 2 * two[0], w + dt / 2 * two[1])
            four = self.velocity(a + dt * three[0], w + dt * three[1])
            a, w = (
                x + dt / 6 * (p + 2 * q + 2 * r + s)
                for x, p, q, r, s in zip((a, w), one, two, three, four, strict=True)
            )
        margins, left = self.margins(a, w)[0], self.population.threshold
        return a, w, np.array([np.mean(margins < left), np.mean(np.maximum(left - margins, 0)), np.mean(margins < 0)])


INITS = {
    "one sign": MeanFieldPopulation.fixed(2, (1.0,), points=(6, 1)),
    "a mean each": MeanFieldPopulation.gaussian(2, mean=(1.2, -0.5), points=(3, 3, 1), threshold=0.6),
    "two rings": MeanFieldPopulation([1.0, -0.5], [0.3, -0.4], [1.0, 0.7], [2.0, 1.0], inputs=2, alpha=3.0, beta=0.5),
}


@pytest.mark.parametrize("name", sorted(INITS))
def test_an_explicit_network_of_two_inputs_comes_to_the_same(name):
    population, until = INITS[name], 8.0
    number, flow = len(population.a), INITS[name].solve([8.0])
    expected = np.stack([flow.a, flow.w_par, flow.w_perp])[..., 0]
    off, measures = [], []
    for refine in (1, 3):
        a, w, measured = Explicit(population, 120 * refine, 20 * refine).run(until, 30)
        found = np.stack([a[:number], w[:number, 0], w[:number, 1]])
        assert np.allclose(w[number:], w[:number] * [1, -1], atol=1e-9)
        off.append(found - expected)
        measures.append(measured - [flow.unsatisfied[0], flow.loss[0], flow.error[0]])
    # The explicit network is wrong by the cells of its grid in which the hinge or a kink lies: by 1/refine.
    coarse, fine, between = (math.sqrt(np.mean(x**2)) for x in (*off, off[1] - off[0]))
    assert fine < coarse / 2
    assert fine < between
    moved = math.sqrt(np.mean((expected[2] - population.w_perp) ** 2))
    assert fine < moved / 20  # a theory in which w_perp stays would fail
    # The plane of errors has up to four edges, each of which may be off by half a cell.
    assert np.abs(measures[1]).max() < 2 / 360


@settings(max_examples=4)
@given(
    inputs=st.sampled_from([2, 3, 4, 12, 80]),
    seed=st.integers(0, 2**16),
    alpha=st.sampled_from([0.5, 4.0]),
)
def test_the_loss_falls_by_the_square_of_the_velocity(inputs, seed, alpha):
    # The flow is that of the loss, node by node: dL/dt = -(alpha/beta) E[a'^2 + abs(w')^2].
    random = np.random.default_rng(seed)
    nodes = random.normal(0.5, 1, 30), random.normal(-0.5, 1, 30), np.sqrt(random.chisquare(inputs - 1, 30))
    weights = random.uniform(0.5, 2, 30)
    population = MeanFieldPopulation(*nodes, weights, inputs=inputs, alpha=alpha, beta=1.7)
    middle, step = 6.0, 1e-3
    flow = population.solve(middle + step * np.arange(-2, 3), rtol=1e-10)
    stencil = np.array([1, -8, 0, 8, -1]) / (12 * step)
    speeds = np.stack([flow.a, flow.w_par, flow.w_perp]) @ stencil
    share = weights / weights.sum()
    expected = -alpha / 1.7 * np.sum(share * speeds**2)
    assert flow.loss @ stencil == pytest.approx(expected, rel=1e-5 if inputs == 2 else 1e-7, abs=1e-9)
    invariant = flow.a**2 - flow.w_par**2 - flow.w_perp**2
    assert np.allclose(invariant[:, -1], nodes[0] ** 2 - nodes[1] ** 2 - nodes[2] ** 2, atol=1e-7)


@pytest.mark.parametrize("inputs", [2, 5, 40])
def test_the_slope_of_the_loss_in_its_threshold_is_what_is_unsatisfied(inputs):
    def at_start(threshold):
        return MeanFieldPopulation.fixed(
            inputs, (2.0, -1.0, 3.0), mean=1.0, points=(9, 3), alpha=2.0, threshold=threshold
        )

    step, flow = 1e-4, at_start(0.7).solve([0.0])
    slope = (at_start(0.7 + step).solve([0.0]).loss - at_start(0.7 - step).solve([0.0]).loss) / (2 * step)
    assert slope == pytest.approx(flow.unsatisfied, rel=1e-6)
    assert 0.1 < flow.unsatisfied[0] < 0.9


@pytest.mark.parametrize("inputs", [2, 3, 15])
def test_random_inputs_have_the_same_averages(inputs):
    population, number = MeanFieldPopulation.gaussian(inputs, mean=(0.8, 0.6), points=(4, 4, 2)), 10_000
    flow = population.solve([7.0, 20.0], rtol=1e-8)
    random = np.random.default_rng(5)
    x_par, x_perp = random.standard_normal(number), np.sqrt(random.chisquare(inputs - 1, number))
    margins = np.sign(x_par) * flow.output(x_par, x_perp)
    left = np.maximum(1 - margins, 0)
    for measured, expected in ((margins < 1, flow.unsatisfied), (left, flow.loss), (margins < 0, flow.error)):
        bar = measured.std(axis=1) / math.sqrt(number)
        assert (np.abs(measured.mean(axis=1) - expected) < 4 * bar).all()


def test_the_mirror_image_of_a_start_learns_the_other_class_first():
    nodes = np.array([1.0, 0.5, -0.2]), np.array([-0.4, 0.8, 1.1]), np.array([1.0, 0.3, 2.0])
    one = MeanFieldPopulation(*nodes, inputs=4).solve([0.0, 9.0])
    two = MeanFieldPopulation(-nodes[0], -nodes[1], nodes[2], inputs=4).solve([0.0, 9.0])
    assert np.allclose(one.slope, two.slope, rtol=1e-12)
    assert np.allclose(one.loss, two.loss, rtol=1e-12)
    assert np.allclose(one.error, two.error, rtol=1e-9)
    assert np.allclose(one.output(0.6, 1.0), -two.output(-0.6, 1.0), rtol=1e-9)
    assert not np.allclose(one.output(0.6, 1.0), two.output(0.6, 1.0), rtol=1e-2)


def test_shares_may_be_split_and_units_exchanged():
    nodes = np.array([1.0, 0.5]), np.array([-0.4, 0.8]), np.array([1.0, 0.3])
    times = np.array([2.0, 9.0])
    whole = MeanFieldPopulation(*nodes, [1.0, 3.0], inputs=3, alpha=2.0).solve(times)
    split = MeanFieldPopulation(*(np.append(x, x[1]) for x in nodes), [1.0, 1.0, 2.0], inputs=3, alpha=2.0).solve(times)
    assert np.allclose(split.a, whole.a[[0, 1, 1]], rtol=1e-8)
    scaled = MeanFieldPopulation(*nodes, [2.0, 6.0], inputs=3, alpha=6.0, threshold=3.0, beta=0.5).solve(2 * times)
    assert np.allclose(scaled.a, whole.a, rtol=1e-8)
    assert np.allclose(scaled.loss, 3 * whole.loss, rtol=1e-8)


@pytest.mark.parametrize("inputs", [2, 3, 6, 20])
def test_finer_angles_change_nothing(inputs):
    population = MeanFieldPopulation.fixed(inputs, (1.0,), mean=-0.5, points=(16, 3))
    usual, finer = population.solve([10.0]), population.solve([10.0], refine=2)
    bound = {2: 1e-6, 3: 1e-7}.get(inputs, 1e-9)
    assert np.abs(usual.a - finer.a).max() < bound * np.abs(usual.a).max()
    assert np.abs(usual.unsatisfied - finer.unsatisfied).max() < bound
    assert np.abs(usual.error - finer.error).max() < bound


def test_gauss_points_converge_in_their_number():
    # The output has a kink where w.x = 0, so the order is that of a kink: 2.
    few, more, many = (
        MeanFieldPopulation.gaussian(10, mean=(0.5, 0.5), points=points).solve([10.0], rtol=1e-8).loss[0]
        for points in ((5, 5, 3), (10, 10, 6), (20, 20, 12))
    )
    assert abs(more - many) < abs(few - many) / 4
    assert abs(more - many) < 1e-4 * many


def test_output_weights_of_one_sign_leave_one_class_unlearnt_at_first():
    population = MeanFieldPopulation.fixed(20, (1.0,))
    flow = population.solve([0.0, 3.0, 100.0])
    assert flow.error[0] == pytest.approx(0.5, abs=1e-12)
    assert flow.error[1] == pytest.approx(0.5, abs=1e-3)
    assert flow.error[2] < 0.01
    # At time 0, f = E[a] E[relu(w.x)]/sqrt d = abs(x)/sqrt(2 pi d).
    x_par, x_perp = np.array([0.0, 0.4, -1.5]), np.array([3.0, 4.0, 5.0])
    expected = np.hypot(x_par, x_perp) / math.sqrt(2 * math.pi * 20)
    assert np.allclose(flow.output(x_par, x_perp)[0], expected, rtol=1e-6)
