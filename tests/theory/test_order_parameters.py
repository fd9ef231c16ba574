"""OrderParameters: full ReLU networks integrated directly, separated networks, the trainer, kinks, refusals."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.special import expit

import piecewise
import shoal
from shoal.theory import OrderParameters, separated_deaths, separated_margins

RESIDUALS = {
    "cross_entropy": lambda m: expit(-m),
    "exponential": lambda m: np.exp(-m),
    "hinge": lambda m: np.where(m < 1, 1.0, 0.0),
    "squared": lambda m: 1 - m,
    "squared_hinge": lambda m: np.maximum(1 - m, 0.0),
}


def task_of(inputs, labels, weights=None):
    count = len(labels)
    weights = np.full(count, 1 / count) if weights is None else np.asarray(weights, dtype=float)
    return SimpleNamespace(inputs=np.asarray(inputs, dtype=float), labels=np.asarray(labels), sample_weight=weights)


def opposed(seed, samples=7, inputs=4):
    """Two classes about e and -e: every product within one is positive, every one across negative."""
    generator = np.random.default_rng(seed)
    labels = np.where(np.arange(samples) % 2, 1, -1)
    points = labels[:, None] * np.eye(inputs)[0] + 0.25 * generator.uniform(-1, 1, (samples, inputs))
    weights = generator.uniform(0.5, 2.0, samples)
    return task_of(points * generator.uniform(0.7, 1.4, (samples, 1)), labels, weights / weights.sum())


def orthogonal(seed):
    """Three classes of three points each in planes of their own, two of the same label."""
    generator = np.random.default_rng(seed)
    points = np.zeros((9, 6))
    for number in range(3):
        points[3 * number : 3 * number + 3, 2 * number : 2 * number + 2] = generator.uniform(0.2, 1.0, (3, 2))
    return task_of(points, np.repeat([1, -1, 1], 3))


def start_of(seed, networks, neurons, inputs, scale=0.3):
    generator = np.random.default_rng(seed)
    first = scale * generator.standard_normal((networks, neurons, inputs))
    return [first, scale * generator.standard_normal((networks, 1, neurons))]


def slopes(first, last, task, residual):
    """Return dW/dt (networks, h, d), dz/dt (networks, h) and the margins (networks, samples)."""
    u = first @ task.inputs.T
    active = u > 0
    margins = task.labels * np.einsum("bhs,bh->bs", u * active, last)
    pull = (task.sample_weight * task.labels * residual(margins))[:, None, :] * active
    return last[..., None] * (pull @ task.inputs), (pull * u).sum(axis=2), margins


def direct(weights, task, residual, times, step):
    """Return the margins (networks, times, samples) by fixed steps of classical Runge-Kutta on all weights."""
    first, last = weights[0].copy(), weights[1][:, 0].copy()
    out, every = [], round((times[1] - times[0]) / step)
    for _ in range(len(times)):
        out.append(slopes(first, last, task, residual)[2])
        for _ in range(every):
            k1 = slopes(first, last, task, residual)
            k2 = slopes(first + 0.5 * step * k1[0], last + 0.5 * step * k1[1], task, residual)
            k3 = slopes(first + 0.5 * step * k2[0], last + 0.5 * step * k2[1], task, residual)
            k4 = slopes(first + step * k3[0], last + step * k3[1], task, residual)
            first = first + step / 6 * (k1[0] + 2 * k2[0] + 2 * k3[0] + k4[0])
            last = last + step / 6 * (k1[1] + 2 * k2[1] + 2 * k3[1] + k4[1])
    return np.stack(out, axis=1)


def scipy_margins(weights, task, loss, times, rtol=1e-10):
    """Return the margins (times, samples) of the first network by SciPy, from switch to switch of units and hinges."""
    shape, size = weights[0][0].shape, weights[0][0].size
    units = len(weights[0][0]) * len(task.labels)
    smooth = {"hinge": np.ones_like, "squared_hinge": lambda m: 1 - m}.get(loss, RESIDUALS[loss])

    def parts(state, pattern):
        first, last = state[:size].reshape(shape), state[size:]
        u = first @ task.inputs.T
        active = pattern[:units].reshape(u.shape)
        return first, last, u, active, task.labels * (last @ (u * active))

    def slope(state, pattern):
        _, last, u, active, margins = parts(state, pattern)
        pull = task.sample_weight * task.labels * pattern[units:] * smooth(margins) * active
        return np.concatenate([(last[:, None] * (pull @ task.inputs)).ravel(), (pull * u).sum(axis=1)])

    def gates(state, pattern):
        _, _, u, _, margins = parts(state, pattern)
        return np.concatenate([u.ravel(), 1 - margins if "hinge" in loss else np.ones_like(margins)])

    start = np.concatenate([weights[0][0].ravel(), weights[1][0, 0]])
    active = weights[0][0] @ task.inputs.T > 0
    margins = slopes(weights[0][:1], weights[1][:1, 0], task, RESIDUALS[loss])[2][0]
    pattern = np.concatenate([active.ravel(), margins < 1 if "hinge" in loss else np.ones(len(margins), dtype=bool)])
    states = piecewise.integrate(slope, gates, start, pattern, times, rtol=rtol, atol=1e-2 * rtol, longest=0.2)
    return np.array(
        [slopes(state[:size].reshape(1, *shape), state[None, size:], task, RESIDUALS[loss])[2][0] for state in states]
    )


@pytest.mark.parametrize("make", [opposed, orthogonal])
@pytest.mark.parametrize("loss", ["cross_entropy", "squared_hinge"])
def test_margins_are_those_of_the_full_networks(make, loss):
    task = make(3)
    weights, times = start_of(11, 16, 5, task.inputs.shape[1]), np.linspace(0.0, 6.0, 3)
    flow = OrderParameters(task, loss).flow(weights, times)
    assert np.isinf(flow.valid_until).all()
    assert np.isfinite(flow.leave_time[flow.leave_time > 0]).any()
    errors = []
    for step in (0.12, 0.015):
        errors.append(np.abs(direct(weights, task, RESIDUALS[loss], times, step) - flow.margins).mean())
    # A fixed step over a jump of the slope errs in proportion to its length, with scatter: 8 times less is expected. A
    # wrong flow would leave an error that no step removes.
    assert errors[0] / errors[1] > 3.0
    assert errors[1] < 1e-4


@pytest.mark.parametrize(("loss", "seed"), [("cross_entropy", 1), ("exponential", 2), ("hinge", 1), ("squared", 1)])
def test_margins_agree_with_scipy_to_nine_digits(loss, seed):
    task, times = opposed(seed), np.linspace(0.0, 5.0, 6)
    weights = start_of(seed, 1, 5, 4)
    flow = OrderParameters(task, loss).flow(weights, times)
    assert np.isinf(flow.valid_until).all()
    assert np.allclose(flow.margins[0], scipy_margins(weights, task, loss, times), rtol=0, atol=2e-8)


def test_members_that_stay_agree_with_scipy_to_eleven_digits():
    # Every output weight helps its class: no kink, and SciPy is as exact as the reduction.
    task, times = orthogonal(5), np.linspace(0.0, 20.0, 5)
    generator = np.random.default_rng(2)
    first = np.full((1, 6, 6), -0.1)
    for neuron in range(6):
        home = neuron // 2
        first[0, neuron, 2 * home : 2 * home + 2] = generator.uniform(0.05, 0.4, 2)
    last = np.array([1, 1, -1, -1, 1, 1]) * generator.uniform(0.05, 0.4, 6)
    weights = [first, last[None, None]]
    for loss in ("cross_entropy", "squared"):
        flow = OrderParameters(task, loss).flow(weights, times)
        assert np.isinf(flow.leave_time).all()
        expected = scipy_margins(weights, task, loss, times, rtol=1e-13)
        assert np.allclose(flow.margins[0], expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("loss", sorted(RESIDUALS))
def test_classes_of_one_point_are_separated_modes_and_their_deaths(loss):
    generator = np.random.default_rng(7)
    inputs = np.diag([1.0, 1.3, 0.6])[[0, 1, 2, 0]] * [[1.0], [1.0], [1.0], [-1.0]]
    task = task_of(inputs, [1, -1, 1, -1], [0.3, 0.2, 0.3, 0.2])
    home = generator.integers(0, 4, (30, 5))
    units = inputs / np.linalg.norm(inputs, axis=1, keepdims=True)
    first = 0.3 * np.abs(generator.standard_normal((30, 5, 1))) * units[home]
    weights = [first, 0.3 * generator.standard_normal((30, 1, 5))]
    times = np.linspace(0.0, 20.0, 6)
    flow = OrderParameters(task, loss).flow(weights, times)
    assert np.allclose(flow.margins, separated_margins(weights, task, loss, times), rtol=0, atol=1e-10)
    deaths = separated_deaths(weights, task, loss, t_end=20.0).death_time
    assert np.isfinite(deaths).sum() > 15
    # Either may follow its last stretch a little beyond 20.
    within = np.minimum(deaths, flow.leave_time) < 19.5
    assert np.allclose(flow.leave_time[within], deaths[within], rtol=1e-9)


def test_a_neuron_leaves_its_class_point_by_point_and_then_dies_or_changes_sides():
    task = orthogonal(4)
    weights = start_of(5, 30, 4, 6)
    weights[0][:, :, 2:] = -np.abs(weights[0][:, :, 2:])
    weights[0][:, :, :2] = np.abs(weights[0][:, :, :2])
    flow = OrderParameters(task, "cross_entropy").flow(weights, [0.0, 60.0])
    left = np.isfinite(flow.leave_time)
    assert 12 < left.sum() < 60
    # Orthogonal classes: nothing else wakes a neuron that has left.
    dead = np.isfinite(flow.death_time)
    assert (dead <= left).all()
    assert (flow.death_time[dead] > flow.leave_time[dead]).all()
    assert (weights[1][:, 0][left] < 0).all()
    # With negative products across opposite labels it is driven towards the other class, and most arrive there.
    moved = OrderParameters(opposed(4), "cross_entropy").flow(start_of(5, 30, 4, 4), [0.0, 15.0])
    left = (moved.leave_time > 0) & np.isfinite(moved.leave_time)
    dead = (moved.death_time > 0) & np.isfinite(moved.death_time)
    assert 0 < dead.sum() < 0.5 * left.sum()


def test_with_falling_residuals_no_start_slides():
    flow = OrderParameters(opposed(8), "cross_entropy").flow(start_of(9, 20, 5, 4), [0.0, 12.0])
    assert np.isinf(flow.valid_until).all()
    assert np.isfinite(flow.margins).all()


def test_a_network_that_slides_along_a_kink_is_given_up_there():
    task, times = opposed(0), np.linspace(0.0, 6.0, 13)
    weights = [np.concatenate(layers) for layers in zip(*(start_of(seed, 1, 5, 4) for seed in range(3)), strict=True)]
    flow = OrderParameters(task, "hinge").flow(weights, times)
    slides = np.isfinite(flow.valid_until)
    assert slides[0]
    assert slides.sum() < 3
    after = times[None] > flow.valid_until[:, None]
    assert np.array_equal(np.isnan(flow.margins), np.repeat(after[:, :, None], len(task.labels), axis=2))
    # Until then it is the flow; afterwards fixed steps chatter about the threshold and no limit is claimed.
    network = 0
    until = times[times < flow.valid_until[network]]
    one = [layer[network : network + 1] for layer in weights]
    expected = scipy_margins(one, task, "hinge", until)
    assert np.allclose(flow.margins[network, : len(until)], expected, rtol=0, atol=2e-8)
    held = direct(one, task, RESIDUALS["hinge"], np.array([0.0, flow.valid_until[network] + 0.5]), 2e-3)
    assert np.abs(held[0, -1] - 1.0).min() < 0.05


def test_the_width_enters_only_through_sums():
    task, weights, times = opposed(6), start_of(2, 3, 4, 4), [0.0, 2.0, 5.0]
    halves = [np.repeat(weights[0], 2, axis=1) / np.sqrt(2), np.repeat(weights[1], 2, axis=2) / np.sqrt(2)]
    solve = OrderParameters(task, "cross_entropy").margins
    assert np.allclose(solve(weights, times), solve(halves, times), rtol=0, atol=1e-10)
    order = [2, 0, 1]
    shuffled = solve(weights, np.asarray(times)[order])
    assert np.allclose(shuffled, solve(weights, times)[:, order], rtol=0, atol=1e-10)


def test_descent_comes_closer_in_proportion_to_its_rate():
    task = opposed(2)
    weights = start_of(4, 20, 5, 4)
    expected = OrderParameters(task, "cross_entropy").margins(weights, [4.0])[:, 0]
    errors = []
    for rate in (0.02, 0.01, 0.005):
        data = shoal.train(
            shoal.Network((4, 5, 1)),
            shoal.Task(task.inputs, task.labels, task.sample_weight),
            shoal.Explicit(weights),
            method=shoal.GradientDescent(rate, round(4.0 / rate)),
            loss="cross_entropy",
            record=shoal.Record(measure=["margin"], steps=[round(4.0 / rate)]),
            threads=1,
        )
        errors.append(np.abs(data["margin"].values[:, -1] - expected).mean())
    assert errors[0] / errors[1] == pytest.approx(2.0, abs=0.1)
    assert errors[1] / errors[2] == pytest.approx(2.0, abs=0.1)


@pytest.mark.parametrize(
    ("inputs", "labels", "message"),
    [
        ([[1, 0], [1, 1]], [1, -1], "samples 0 and 1 have opposite labels and a positive product"),
        ([[1, 0.2], [0.2, 1], [-0.3, 1]], [1, 1, 1], "samples 0 and 2 belong to one class"),
        ([[1, 0], [-1, 0]], [1, 1], "samples 0 and 1 have equal labels, belong to two classes"),
        ([[1, 0], [0, 0]], [1, -1], "got 0 in row 1"),
        ([[1, 0], [0, 1]], [0, 2], "labels -1 and"),
    ],
)
def test_data_outside_the_theory_are_refused(inputs, labels, message):
    with pytest.raises(ValueError, match=message):
        OrderParameters(task_of(inputs, labels))


def test_refused_starts_times_and_losses():
    solve = OrderParameters(task_of(np.eye(2), [1, -1])).margins
    good = [np.ones((1, 3, 2)), np.ones((1, 1, 3))]
    with pytest.raises(ValueError, match="weights must hold two layers"):
        solve(good[:1], [0.0])
    with pytest.raises(ValueError, match=r"weights must have shapes \(networks, h, 2\)"):
        solve([np.ones((1, 3, 5)), good[1]], [0.0])
    with pytest.raises(ValueError, match=r"weights\[1\] must be finite"):
        solve([good[0], np.full((1, 1, 3), np.nan)], [0.0])
    with pytest.raises(ValueError, match="times must lie between 0"):
        solve(good, [-1.0])
    with pytest.raises(ValueError, match=r"times must have shape \(times,\)"):
        solve(good, 1.0)
    with pytest.raises(ValueError, match="huber"):
        OrderParameters(task_of(np.eye(2), [1, -1]), "huber")
