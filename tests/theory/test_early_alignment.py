"""Early alignment: the closed form against integrations of its equations, and trained networks that tend to it."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.integrate import solve_ivp

import piecewise
import shoal
from shoal.theory import early_alignment

TIMES = np.linspace(0.0, 12.0, 49)


def cone(seed, inputs=3, samples=5):
    """Return samples with y_s y_t x_s.x_t > 0, so that no neuron slides."""
    draw = np.random.default_rng(seed)
    axis = np.ones(inputs) / np.sqrt(inputs)
    across = draw.normal(size=(samples, inputs))
    across -= np.outer(across @ axis, axis)
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    points = (axis + draw.uniform(0.2, 0.8, (samples, 1)) * across) * draw.uniform(0.6, 1.6, (samples, 1))
    labels = np.where(np.arange(samples) % 2 == 0, 1, -1)
    weight = draw.uniform(0.5, 1.5, samples)
    return SimpleNamespace(inputs=points * labels[:, None], labels=labels, sample_weight=weight / weight.sum())


def drawn(seed, inputs=3, units=6, imbalance=0.0):
    """Return weights of unit norm, and outputs that are larger in magnitude by up to the imbalance."""
    draw = np.random.default_rng([seed, 1])
    first = draw.normal(size=(1, units, inputs))
    first /= np.linalg.norm(first, axis=2, keepdims=True)
    return [first, draw.choice([-1.0, 1.0], (1, 1, units)) * (1 + imbalance * draw.uniform(size=(1, 1, units)))]


def pulls_of(task, residual):
    return (residual * task.sample_weight * task.labels)[:, None] * task.inputs


@pytest.mark.parametrize("imbalance", [0.0, 0.7])
@pytest.mark.parametrize("seed", range(4))
def test_neurons_follow_their_equation_from_switch_to_switch(seed, imbalance):
    task, (first, last) = cone(seed), drawn(seed, imbalance=imbalance)
    found, pulls = early_alignment([first, last], task, "cross_entropy", TIMES), pulls_of(task, 0.5)
    switched = 0
    for unit in range(6):
        start = np.append(first[0, unit], last[0, 0, unit])
        state = piecewise.integrate(
            lambda state, pattern: np.append(state[3] * (pattern @ pulls), state[:3] @ (pattern @ pulls)),
            lambda state, pattern: task.inputs @ state[:3],
            start, task.inputs @ start[:3] > 0, TIMES, rtol=1e-12, atol=1e-13,
        )  # fmt: skip
        assert_allclose(found.incoming[0, :, unit], state[:, :3], rtol=1e-9, atol=1e-9)
        assert_allclose(found.outgoing[0, :, unit], state[:, 3], rtol=1e-9, atol=1e-9)
        switched += int((found.pattern[0, 0, unit] != found.pattern[0, -1, unit]).sum())
    assert switched > 3


def test_directions_of_balanced_neurons_follow_the_equation_on_the_sphere():
    task, (first, last) = cone(5), drawn(5)
    found, pulls = early_alignment([first, last], task, "exponential", TIMES), pulls_of(task, 1.0)
    for unit, sign in enumerate(last[0, 0]):

        def slope(_, w, sign=sign):
            pull = (task.inputs @ w > 0) @ pulls
            return sign * (pull - w * (w @ pull))

        # Short steps, because the slope jumps where the pattern switches.
        run = solve_ivp(slope, (0, 12), first[0, unit], "DOP853", rtol=1e-9, atol=1e-9, t_eval=TIMES, max_step=2e-2)
        assert_allclose(found.directions[0, :, unit], run.y.T, atol=1e-6)


def test_the_norm_grows_by_the_part_of_the_pull_along_the_neuron():
    task, (first, last) = cone(2), drawn(2)
    times = np.linspace(0.0, 3.0, 3001)
    found, pulls = early_alignment([first, last], task, "hinge", times), pulls_of(task, 1.0)
    along = (found.directions * (found.pattern @ pulls)).sum(axis=3) * last[:, 0, None, :]
    grown = np.log(np.linalg.norm(found.incoming, axis=3))
    steps = times[1] * (along[:, 1:] + along[:, :-1]) / 2
    assert_allclose(grown[:, 1:], steps.cumsum(axis=1), atol=2e-3)
    assert_allclose(np.linalg.norm(found.incoming, axis=3), np.abs(found.outgoing), rtol=1e-10)


def test_samples_are_crossed_one_way_and_each_once():
    """In a cone w.x_s moves to the side of the sign of z times the label, unless the neuron dies."""
    task, (first, last) = cone(3, samples=3), drawn(3, units=60)
    found = early_alignment([first, last], task, "cross_entropy", np.linspace(0, 60, 601))
    wanted = np.sign(last[0, 0])[:, None] * task.labels > 0
    pattern = found.pattern[0]
    switches = (pattern[1:] != pattern[:-1]).sum(axis=0)
    assert switches.max() == 1
    dead = ~pattern[-1].any(axis=1)
    assert 0 < dead.sum() < 60
    assert (pattern[-1][~dead] == wanted[~dead]).all()


def test_the_gap_of_trained_networks_to_it_is_of_the_order_of_their_size_squared():
    given = cone(1)
    task, times = shoal.Task(given.inputs, given.labels, given.sample_weight), np.linspace(0.0, 10.0, 21)
    gaps = []
    for size in (4e-3, 2e-3):
        data = shoal.train(
            shoal.Network((3, 6, 1)), task, shoal.Unit(size), method=shoal.GradientFlow(10.0, rtol=1e-10, atol=1e-16),
            record=shoal.Record(times=times, measure=("trajectory",)), networks=8, threads=1,
        )  # fmt: skip
        first, last = (data[f"trajectory_{layer}"].values for layer in (1, 2))
        found = early_alignment([first[:, 0], last[:, 0]], task, "cross_entropy", times)
        gap = first / np.linalg.norm(first, axis=3, keepdims=True) - found.directions
        gaps.append(np.sqrt((gap**2).mean(axis=(1, 2, 3))))
    assert np.median(np.log2(gaps[0] / gaps[1])) == pytest.approx(2, abs=0.05)


def test_times_come_in_any_order_and_a_loss_counts_by_its_residual_at_0():
    task, weights = cone(0), drawn(0)
    mixed = np.random.default_rng(0).permutation(len(TIMES))
    ordered = early_alignment(weights, task, "cross_entropy", TIMES)
    assert np.array_equal(early_alignment(weights, task, "cross_entropy", TIMES[mixed]).incoming[:, np.argsort(mixed)],
                          ordered.incoming)  # fmt: skip
    for loss in ("hinge", "exponential", "squared"):
        assert_allclose(early_alignment(weights, task, loss, TIMES / 2).incoming, ordered.incoming, rtol=1e-12)


def test_samples_on_one_ray_switch_together_and_count_as_one():
    given = cone(4)
    parts = np.array([0.25, 0.75])
    split = SimpleNamespace(
        inputs=np.concatenate([given.inputs[:1] / 3, 5 * given.inputs[:1], given.inputs[1:]]),
        labels=np.concatenate([given.labels[:1], given.labels]),
        sample_weight=np.concatenate([given.sample_weight[0] * parts / [1 / 3, 5], given.sample_weight[1:]]),
    )
    weights = drawn(4, units=30)
    one, other = (early_alignment(weights, task, "hinge", TIMES).incoming for task in (given, split))
    assert_allclose(other, one, rtol=1e-9, atol=1e-10)


def test_a_neuron_that_would_slide_is_refused_with_its_sample():
    task = SimpleNamespace(
        inputs=np.array([[1.0, 0.0], [0.6, 0.8]]), labels=np.array([1, -1]), sample_weight=np.array([0.6, 0.4])
    )
    with pytest.raises(ValueError, match=r"must cross w\.x_s = 0, but neuron 0 slides along it for sample 1"):
        early_alignment([[[[0.6, -0.8]]], [[[1.0]]]], task, "hinge", [50.0])


@pytest.mark.parametrize(
    ("first", "times", "message"),
    [
        ([[[0.0, 1.0]]], [1.0], "w.x_s other than 0, got 0 at neuron 0 and sample 0"),
        ([[[1.0, 1.0]]], [-1.0], "times must"),
        ([[[1.0, 1.0]]], [601.0], "times must"),
        ([[[1.0, 1.0, 1.0]]], [1.0], "weights must have shapes"),
    ],
)
def test_refusals(first, times, message):
    task = SimpleNamespace(inputs=np.eye(2), labels=np.array([1, -1]), sample_weight=np.array([0.5, 0.5]))
    with pytest.raises(ValueError, match=message):
        early_alignment([first, [[[1.0]]]], task, "hinge", times)
