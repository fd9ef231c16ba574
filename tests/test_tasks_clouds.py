"""Normal clouds, mixtures and moons follow their distributions."""

from __future__ import annotations

import re
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import shoal
from shoal import tasks
from shoal.engine import memory

MEANS = np.array([[3.0, 0, 0], [0, -2, 1], [0, 5, 5]])
LABELS = [1, -1, 1]


def nearest(points: np.ndarray) -> np.ndarray:
    return np.argmin(((points[:, None] - MEANS) ** 2).sum(axis=2), axis=1)


@pytest.mark.parametrize(
    ("samples", "dimension", "separation", "seed"), [(2, 1, 0.0, 0), (7, 3, 2.5, 9), (50, 10, 4, 1)]
)
def test_two_clouds_are_normal_numbers_of_the_seed_moved_along_the_first_axis(
    samples: int, dimension: int, separation: float, seed: int
) -> None:
    task = tasks.gaussian(samples, dimension, separation=separation, seed=seed)
    draws = np.random.Generator(np.random.PCG64(seed)).standard_normal((samples, dimension))
    signs = np.array([1, -1] * samples)[:samples]
    draws[:, 0] = draws[:, 0] + signs * separation / 2
    assert task.inputs.tobytes() == draws.tobytes()
    assert task.labels.tolist() == signs.tolist()


def test_clusters_of_a_mixture_have_their_weight_mean_spread_and_label() -> None:
    n, weights, spreads = 30_000, np.array([0.5, 0.2, 0.3]), np.array([0.1, 0.3, 0.2])
    task = tasks.mixture(n, MEANS, LABELS, spread=spreads, weights=weights * 7, test_samples=n, seed=1)
    assert task.test is not None
    for points, labels in ((task.inputs, task.labels), task.test):
        cluster = nearest(points)  # the centres are ten and more standard deviations apart
        assert labels.tolist() == np.array(LABELS)[cluster].tolist()
        shares = np.bincount(cluster) / n
        assert (np.abs(shares - weights) <= 4 * np.sqrt(weights * (1 - weights) / n)).all()
        for c, (mean, spread) in enumerate(zip(MEANS, spreads, strict=True)):
            z = (points[cluster == c] - mean) / spread
            count = len(z)
            assert np.abs(z.mean(axis=0)).max() <= 4 / np.sqrt(count)
            error = np.sqrt((1 + np.eye(3)) / count)
            assert (np.abs(z.T @ z / count - np.eye(3)) <= 4 * error).all()
    assert np.allclose(task.sample_weight, 1 / n)


def test_clusters_are_equally_frequent_and_of_spread_one_unless_told() -> None:
    n = 20_000
    far = 100 * MEANS
    task = tasks.mixture(n, far, [2, 0, 1], seed=4)
    cluster = nearest(task.inputs / 100)
    assert task.labels.tolist() == np.array([2, 0, 1])[cluster].tolist()
    assert (np.abs(np.bincount(cluster) / n - 1 / 3) <= 4 * np.sqrt(2 / 9 / n)).all()
    z = task.inputs - far[cluster]
    assert abs((z**2).mean() - 1) <= 4 * np.sqrt(2 / z.size)


def test_a_cluster_without_spread_is_a_point_and_one_without_weight_is_not_drawn() -> None:
    task = tasks.mixture(200, MEANS, LABELS, spread=[0, 0, 1], weights=[1, 1, 0], seed=2)
    cluster = nearest(task.inputs)
    assert set(cluster.tolist()) == {0, 1}
    assert task.inputs.tolist() == MEANS[cluster].tolist()


def test_a_mixture_of_two_clusters_is_two_clouds() -> None:
    n = 40_000
    one = tasks.mixture(n, [[1.25, 0], [-1.25, 0]], [1, -1], seed=3)
    other = tasks.gaussian(n, 2, separation=2.5, seed=3)
    gaps = [(task.labels[:, None] * task.inputs).mean(axis=0) for task in (one, other)]
    assert np.abs(gaps[0] - gaps[1]).max() <= 4 * np.sqrt(2 / n)


@pytest.mark.parametrize(
    "draw",
    [
        lambda samples, test, seed: tasks.mixture(samples, MEANS, LABELS, test_samples=test, seed=seed),
        lambda samples, test, seed: tasks.moons(samples, 0.2, test_samples=test, seed=seed),
    ],
    ids=["mixture", "moons"],
)
def test_the_seed_fixes_all_and_test_samples_stand_alone(draw: Any) -> None:
    one, same, other = (draw(60, 30, seed) for seed in (2**70, 2**70, 2**70 + 1))
    assert one.inputs.tobytes() == same.inputs.tobytes()
    assert one.test.inputs.tobytes() == same.test.inputs.tobytes()
    assert one.inputs.tobytes() != other.inputs.tobytes()
    assert one.test.inputs.tobytes() != other.test.inputs.tobytes()
    more = draw(90, 30, 2**70)
    assert more.test.inputs.tobytes() == one.test.inputs.tobytes()
    assert more.test.labels.tolist() == one.test.labels.tolist()
    alone = draw(60, 0, 2**70)
    assert alone.test is None
    assert alone.inputs.tobytes() == one.inputs.tobytes()
    assert not np.isin(one.inputs, one.test.inputs).any()


@settings(deadline=None, max_examples=40)
@given(
    samples=st.integers(1, 30),
    clusters=st.integers(1, 5),
    inputs=st.integers(1, 4),
    weights=st.lists(st.floats(0, 1e308), min_size=5, max_size=5),
    seed=st.integers(0, 2**64),
)
def test_a_point_mixture_holds_nothing_but_its_clusters(
    samples: int, clusters: int, inputs: int, weights: list[float], seed: int
) -> None:
    chances = np.array(weights[:clusters])
    chances[-1] = max(chances[-1], 1e-3)
    means = np.arange(clusters * inputs, dtype=float).reshape(clusters, inputs)
    task = tasks.mixture(samples, means, range(clusters), spread=0, weights=chances, test_samples=2, seed=seed)
    assert task.test is not None
    for points, labels in ((task.inputs, task.labels), task.test):
        assert points.tolist() == means[labels].tolist()
        assert (chances[labels] > 0).all()


def test_moons_without_noise_stand_evenly_on_two_half_circles() -> None:
    task = tasks.moons(41, 0.0, test_samples=41, seed=1)
    assert task.test is not None
    upper, lower = task.inputs[task.labels == 1], task.inputs[task.labels == -1]
    assert (len(upper), len(lower)) == (20, 21)
    angles = [np.arctan2(upper[:, 1], upper[:, 0]), np.arctan2(0.5 - lower[:, 1], 1 - lower[:, 0])]
    for points, centre, angle in ((upper, (0, 0), angles[0]), (lower, (1, 0.5), angles[1])):
        np.testing.assert_allclose(np.linalg.norm(points - centre, axis=1), 1, rtol=1e-14)
        np.testing.assert_allclose(np.sort(angle), np.linspace(0, np.pi, len(points)), atol=1e-14)
    assert len(set(np.sign(np.diff(angles[0])))) == 2  # in random order
    assert np.sort(task.test.inputs, axis=0).tolist() == np.sort(task.inputs, axis=0).tolist()


def test_noise_of_the_moons_is_normal_and_of_its_own_for_the_test_samples() -> None:
    n, noise = 20_000, 0.3
    still, moved = (tasks.moons(n, level, test_samples=n, seed=7) for level in (0, noise))
    assert moved.labels.tolist() == still.labels.tolist()
    assert still.test is not None
    assert moved.test is not None
    z = (moved.inputs - still.inputs) / noise
    fresh = (moved.test.inputs - still.test.inputs) / noise
    for draws in (z, fresh):
        assert np.abs(draws.mean(axis=0)).max() <= 4 / np.sqrt(n)
        assert (np.abs(draws.T @ draws / n - np.eye(2)) <= 4 * np.sqrt((1 + np.eye(2)) / n)).all()
    assert np.abs(z.T @ fresh / n).max() <= 4 / np.sqrt(n)


ONE = {"samples": 5, "means": MEANS, "labels": LABELS}
MIXTURES = [
    ({"samples": 0}, ValueError, "samples must be at least 1, got 0"),
    ({"test_samples": -2}, ValueError, "test_samples must be at least 0, got -2"),
    ({"seed": "a"}, TypeError, "seed must be an integer, got 'a'"),
    ({"means": [1, 2, 3]}, ValueError, "means must have shape (clusters, inputs), none of them zero, got shape (3,)"),
    ({"means": [[1], [2, 3]]}, ValueError, "means must have shape (clusters, inputs), got rows of different lengths"),
    ({"means": MEANS * np.nan}, ValueError, "means must be finite, got nan at index (0, 0)"),
    ({"labels": [1, -1]}, ValueError, "labels must have one entry per cluster, 3, got 2"),
    ({"labels": 1}, ValueError, "labels must have shape (clusters,), none of them zero, got shape ()"),
    ({"labels": [1, 0, -1]}, ValueError, "labels must be -1/+1 (one output) or 0..K-1 (K outputs), got -1, 0, 1"),
    ({"labels": [1, 1, 0.5]}, ValueError, "labels must be -1/+1 (one output) or 0..K-1 (K outputs), got 0.5, 1"),
    ({"labels": ["a", "b", "c"]}, TypeError, "labels must hold real numbers"),
    ({"spread": -1}, ValueError, "spread must not be negative, got -1"),
    ({"spread": [1, -0.5, 1]}, ValueError, "spread must not be negative, got -0.5"),
    ({"spread": [1, 1]}, ValueError, "spread must be one number or have one entry per cluster, 3, got 2"),
    ({"spread": np.eye(3)}, ValueError, "spread must have shape (clusters,) or be one number"),
    ({"spread": "wide"}, TypeError, "spread must be a number, got "),
    ({"spread": None}, TypeError, "spread must be a number, got None"),
    ({"spread": float("inf")}, ValueError, "spread must be finite, got inf"),
    ({"spread": [1, float("nan"), 1]}, ValueError, "spread must be finite, got nan at index (1,)"),
    ({"weights": [1, 1]}, ValueError, "weights must have one entry per cluster, 3, got 2"),
    ({"weights": [1, -1, 1]}, ValueError, "weights must not be negative nor all zero, got [ 1. -1.  1.]"),
    ({"weights": [0, 0, 0]}, ValueError, "weights must not be negative nor all zero, got [0. 0. 0.]"),
    ({"weights": [1, 1, float("inf")]}, ValueError, "weights must be finite, got inf"),
    ({"samples": 10**13}, ValueError, "a task must fit into memory, got 10000000000000 samples of 3 inputs"),
    ({"test_samples": 10**13}, ValueError, "got 5 samples and 10000000000000 test samples of 3 inputs"),
]
MOONS = [
    ({"samples": 1}, ValueError, "samples must be at least 2, got 1"),
    ({"samples": 4.0}, TypeError, "samples must be an integer, got 4.0"),
    ({"noise": -0.1}, ValueError, "noise must not be negative, got -0.1"),
    ({"noise": float("nan")}, ValueError, "noise must be finite, got nan"),
    ({"noise": None}, TypeError, "noise must be a number, got None"),
    ({"test_samples": -1}, ValueError, "test_samples must be at least 0, got -1"),
    ({"test_samples": 1.5}, TypeError, "test_samples must be an integer, got 1.5"),
    ({"seed": -1}, ValueError, "seed must be at least 0, got -1"),
    ({"samples": 10**13}, ValueError, "a task must fit into memory, got 10000000000000 samples of 2 inputs"),
]


@pytest.mark.parametrize(
    ("draw", "changed", "kind", "message"),
    [
        *((lambda **given: tasks.mixture(**{**ONE, **given}), *case) for case in MIXTURES),
        *((lambda **given: tasks.moons(**{"samples": 9, **given}), *case) for case in MOONS),
        (lambda **given: tasks.gaussian(**given), {"samples": 10**9, "dimension": 10**5, "separation": 1.0}, ValueError,
         "a task must fit into memory, got 1000000000 samples of 100000 inputs, which need 1.7e+06 GB"),
        (lambda **given: tasks.modes((1.0, 2.0), **given), {"dimension": 10**14}, ValueError, "got 2 samples of 1000"),
        (lambda **given: tasks.antipodal(**given), {"dimension": 10**14}, ValueError, "got 2 samples of 1000"),
        (lambda **given: tasks.features((1.0,), [(0,)], **given), {"dimension": 10**14}, ValueError, "got 1 samples"),
    ],
)  # fmt: skip
def test_bad_arguments_are_told_and_take_no_memory(
    draw: Any, changed: dict[str, Any], kind: type[Exception], message: str
) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(kind, match=re.escape(message)):
            draw(**changed)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "draw",
    [
        lambda: tasks.gaussian(50_000, 20, separation=1.0),
        lambda: tasks.mixture(50_000, np.eye(20), [1, -1] * 10, test_samples=5_000),
        lambda: tasks.moons(40_000, 0.1, test_samples=4_000),
        lambda: tasks.modes(np.ones(1500)),
        lambda: tasks.features(np.ones(1000), [(i,) for i in range(1000)], mirrored=True),
    ],
    ids=["gaussian", "mixture", "moons", "modes", "features"],
)
def test_a_task_takes_no_more_memory_than_is_asked_for(draw: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    draw()  # what is imported at the first call is not the task's
    tracemalloc.start()
    try:
        draw()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    monkeypatch.setattr(memory, "available_bytes", lambda: round(0.95 * peak))
    with pytest.raises(ValueError, match="a task must fit into memory"):
        draw()


def test_a_task_refuses_test_samples_of_another_width() -> None:
    task, other = (tasks.separable_gaussian(10, inputs) for inputs in (3, 4))
    with pytest.raises(ValueError, match="test inputs must have the 3 columns that inputs has, got 4"):
        shoal.Task(task.inputs, task.labels, test=(other.inputs, other.labels))
