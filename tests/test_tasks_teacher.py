"""Tasks labelled by a teacher follow their distribution; what a teacher does not separate is refused."""

from __future__ import annotations

import math
import re
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

import shoal
from shoal import tasks
from shoal.engine import memory
from shoal.tasks import teacher as of_teacher

EPS = np.finfo(float).eps
LAWS = [tasks.separable_gaussian, tasks.separable_sphere]
both = pytest.mark.parametrize("law", LAWS, ids=["gaussian", "sphere"])
entry = st.floats(-1, 1).filter(lambda value: value == 0 or abs(value) > 1e-3)


def wrong(task: shoal.Task, teacher: object) -> NDArray[np.bool_]:
    return np.asarray(task.labels * (task.inputs @ np.asarray(teacher, float)) < 0)


def assert_normal(points: NDArray[np.float64]) -> None:
    """Mean 0 and identity covariance, within four standard errors of each entry."""
    n, d = points.shape
    assert np.abs(points.mean(axis=0)).max() <= 4 / np.sqrt(n)
    error = np.sqrt((1 + np.eye(d)) / n)  # of a product of two independent unit normals, and of a square
    assert (np.abs(points.T @ points / n - np.eye(d)) <= 4 * error).all()


def test_gaussian_samples_and_test_samples_are_standard_normal() -> None:
    task = tasks.separable_gaussian(40_000, 5, teacher=(1, -2, 0, 3, 1), test_samples=30_000, seed=2)
    assert task.test is not None
    assert_normal(task.inputs)
    assert_normal(task.test.inputs)
    assert stats.kstest(task.inputs.ravel(), "norm").pvalue > 6e-5  # four standard deviations


def test_labels_are_the_side_of_the_plane_and_tell_nothing_else() -> None:
    n, teacher = 40_000, np.array([3, 0, -4])
    task = tasks.separable_gaussian(n, 3, teacher=teacher, seed=5)
    assert task.labels.tolist() == np.sign(task.inputs @ teacher).tolist()
    assert abs(task.labels.mean()) <= 4 / np.sqrt(n)
    mean = (task.labels[:, None] * task.inputs).mean(axis=0)
    along = mean @ teacher / 5
    assert abs(along - np.sqrt(2 / np.pi)) <= 4 * np.sqrt((1 - 2 / np.pi) / n)
    across = mean - along * teacher / 5
    assert np.linalg.norm(across) <= 4 * np.sqrt(2 / n)  # two components of variance 1/n


def test_without_a_teacher_it_is_the_first_axis() -> None:
    task = tasks.separable_gaussian(100, 4, test_samples=50)
    assert task.labels.tolist() == np.sign(task.inputs[:, 0]).tolist()
    assert task.test is not None
    assert task.test.labels.tolist() == np.sign(task.test.inputs[:, 0]).tolist()


@pytest.mark.parametrize(("inputs", "radius"), [(1, 1.0), (2, 0.3), (100, 10.0), (7, 1e-150), (7, 1e150)])
def test_samples_of_the_sphere_have_its_radius(inputs: int, radius: float) -> None:
    task = tasks.separable_sphere(2000, inputs, radius=radius, test_samples=500, seed=1)
    assert task.test is not None
    for points in (task.inputs, task.test.inputs):
        norms = np.linalg.norm(points / radius, axis=1)
        np.testing.assert_allclose(norms, 1, rtol=0, atol=(inputs + 8) * EPS)  # two norms are summed on the way


def test_samples_are_spread_evenly_over_the_sphere() -> None:
    n, d, radius = 40_000, 6, 2.0
    points = tasks.separable_sphere(n, d, radius=radius, seed=3).inputs / radius
    assert np.abs(points.mean(axis=0)).max() <= 4 * np.sqrt(1 / (n * d))
    squares = 2 * (d - 1) / (d**2 * (d + 2))  # variance of the square of a component
    error = np.sqrt(np.where(np.eye(d), squares, 1 / (d * (d + 2))) / n)
    assert (np.abs(points.T @ points / n - np.eye(d) / d) <= 4 * error).all()
    # In three dimensions every projection is uniform.
    ball = tasks.separable_sphere(n, 3, seed=4).inputs
    for direction in np.eye(3):
        assert stats.kstest(ball @ direction, "uniform", args=(-1, 2)).pvalue > 6e-5


def test_samples_of_the_sphere_are_those_of_the_gaussian_law_brought_to_it() -> None:
    arguments: dict[str, Any] = {"teacher": (1, 2, 3), "flipped": 0.1, "test_samples": 20, "seed": 9}
    normal, sphere = (law(50, 3, **arguments) for law in LAWS)
    np.testing.assert_allclose(
        sphere.inputs, normal.inputs / np.linalg.norm(normal.inputs, axis=1, keepdims=True), rtol=8 * EPS
    )
    assert sphere.labels.tolist() == normal.labels.tolist()
    assert sphere.test.labels.tolist() == normal.test.labels.tolist()


@both
@pytest.mark.parametrize("flipped", [0.0, 0.001, 0.0035, 0.25, 0.5, 1.0])
def test_just_so_many_training_labels_are_wrong_and_no_test_label(law: Any, flipped: float) -> None:
    teacher = (1, 1, -1)
    task = law(1001, 3, teacher=teacher, flipped=flipped, test_samples=300, seed=6)
    assert wrong(task, teacher).sum() == round(flipped * 1001)
    assert not wrong(shoal.Task(*task.test), teacher).any()


@both
def test_flips_fall_on_all_samples_alike_and_move_nothing_else(law: Any) -> None:
    n = 20_000
    clean, few, many = (law(n, 2, flipped=flipped, seed=8) for flipped in (0, 0.02, 0.1))
    assert clean.inputs.tobytes() == few.inputs.tobytes() == many.inputs.tobytes()
    at_few, at_many = few.labels != clean.labels, many.labels != clean.labels
    assert (at_few <= at_many).all()
    # Of a draw without replacement: the count on one side of the plane, and the mean place.
    drawn, side = int(at_many.sum()), (clean.labels == 1).mean()
    rest = (n - drawn) / (n - 1)
    assert abs((at_many & (clean.labels == 1)).sum() - drawn * side) <= 4 * np.sqrt(drawn * side * (1 - side) * rest)
    assert abs(np.flatnonzero(at_many).mean() - (n - 1) / 2) <= 4 * n / np.sqrt(12 * drawn) * np.sqrt(rest)
    assert (law(n, 2, flipped=0.02, seed=9).labels != law(n, 2, seed=9).labels).nonzero()[0].tolist() != (
        at_few.nonzero()[0].tolist()
    )


@both
def test_the_seed_fixes_all_and_every_stream_stands_alone(law: Any) -> None:
    one, same, other = (law(200, 4, flipped=0.1, test_samples=100, seed=seed) for seed in (3, 3, 4))
    for name in ("inputs", "labels"):
        assert getattr(one, name).tobytes() == getattr(same, name).tobytes()
        assert getattr(one.test, name).tobytes() == getattr(same.test, name).tobytes()
        assert getattr(one, name).tobytes() != getattr(other, name).tobytes()
        assert getattr(one.test, name).tobytes() != getattr(other.test, name).tobytes()
    more = law(5000, 4, flipped=0.3, test_samples=100, seed=3)
    assert more.test.inputs.tobytes() == one.test.inputs.tobytes()
    assert more.test.labels.tobytes() == one.test.labels.tobytes()
    alone = law(200, 4, flipped=0.1, seed=3)
    assert alone.test is None
    assert alone.inputs.tobytes() == one.inputs.tobytes()
    assert alone.labels.tobytes() == one.labels.tobytes()


@both
def test_training_and_test_samples_have_nothing_to_do_with_each_other(law: Any) -> None:
    n, d = 10_000, 5
    task = law(n, d, test_samples=n, seed=11)
    there, here = (points.ravel() / points.std() for points in (task.inputs, task.test.inputs))
    assert abs(there @ here / (n * d)) <= 4 / np.sqrt(n * d)
    assert abs((task.labels * task.test.labels).mean()) <= 4 / np.sqrt(n)
    other = law(n, d, seed=12)
    assert abs(other.inputs.ravel() / other.inputs.std() @ there / (n * d)) <= 4 / np.sqrt(n * d)


@both
@settings(deadline=None, max_examples=60)
@given(
    direction=st.lists(entry, min_size=1, max_size=8).filter(any),
    exponent=st.integers(-300, 300),
    samples=st.integers(1, 40),
    flipped=st.floats(0, 1),
    seed=st.integers(0, 2**80),
)
def test_a_teacher_of_any_length_labels_by_its_direction(
    law: Any, direction: list[float], exponent: int, samples: int, flipped: float, seed: int
) -> None:
    teacher = np.array(direction) * 10.0**exponent
    task = law(samples, len(teacher), teacher=teacher, flipped=flipped, test_samples=3, seed=seed)
    # Every order of the sum gives the same side: here the exact sum.
    heights = [math.fsum(x * t for x, t in zip(row, direction, strict=True)) for row in task.inputs]
    assert sum(label * height < 0 for label, height in zip(task.labels, heights, strict=True)) == round(
        flipped * samples
    )
    assert 0 not in heights
    plain = law(samples, len(teacher), teacher=direction, flipped=flipped, test_samples=3, seed=seed)
    assert plain.labels.tolist() == task.labels.tolist()


class Told(np.random.Generator):
    """A generator that draws what it is told."""

    def __init__(self, *draws: object) -> None:
        super().__init__(np.random.PCG64(0))
        self.draws = [np.array(draw, float) for draw in draws]

    def standard_normal(self, size: Any = None, *_: Any, **__: Any) -> Any:
        draw = self.draws.pop(0)
        assert draw.shape == size
        return draw


@pytest.mark.parametrize("radius", [None, 2.0])
def test_samples_in_the_plane_are_drawn_again_until_they_have_a_side(radius: float | None) -> None:
    generator = Told([[0, 5], [1, 0], [1e-17, 1], [0, 0]], [[3, 4], [0, 1], [-1, 0]], [[-4, 3]])
    points, labels = of_teacher._labelled(generator, 4, np.array([1.0, 0.0]), radius)
    assert generator.draws == []
    expected = np.array([[3, 4], [1, 0], [-4, 3], [-1, 0]], float)
    if radius is not None:
        expected *= radius / np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(points, expected, rtol=4 * EPS)
    assert labels.tolist() == [1, 1, -1, -1]


@both
def test_a_large_task_takes_twice_its_inputs(law: Any) -> None:
    tracemalloc.start()
    try:
        task = law(20_000, 100, flipped=0.1, test_samples=10_000)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # What was drawn and the task's copy, a byte each for the check that all is finite, and what samples have beside.
    assert peak <= (task.samples + task.test_samples) * (100 * (8 + 8 + 1) + 64)


ANY: dict[str, Any] = {"samples": 10, "inputs": 3}
BAD = [
    ({"samples": 0}, ValueError, "samples must be at least 1, got 0"),
    ({"samples": 2.0}, TypeError, "samples must be an integer, got 2.0 of type float"),
    ({"inputs": 0}, ValueError, "inputs must be at least 1, got 0"),
    ({"inputs": True}, TypeError, "inputs must be an integer, got True"),
    ({"test_samples": -1}, ValueError, "test_samples must be at least 0, got -1"),
    ({"test_samples": None}, TypeError, "test_samples must be an integer, got None"),
    ({"seed": -1}, ValueError, "seed must be at least 0, got -1"),
    ({"seed": 0.5}, TypeError, "seed must be an integer, got 0.5"),
    ({"flipped": -0.1}, ValueError, "flipped must lie between 0 and 1, got -0.1"),
    ({"flipped": 1.0001}, ValueError, "flipped must lie between 0 and 1, got 1.0001"),
    ({"flipped": float("nan")}, ValueError, "flipped must be finite, got nan"),
    ({"flipped": "half"}, TypeError, "flipped must be a number, got 'half'"),
    ({"teacher": (0, 0, 0)}, ValueError, "teacher must not be zero, got a direction whose entries are all 0"),
    ({"teacher": (1, 2)}, ValueError, "teacher must have one entry per input, 3, got 2"),
    ({"teacher": [[1, 2, 3]]}, ValueError, "teacher must have shape (inputs,), none of them zero, got shape (1, 3)"),
    ({"teacher": 1.0}, ValueError, "teacher must have shape (inputs,), none of them zero, got shape ()"),
    ({"teacher": (1, float("inf"), 0)}, ValueError, "teacher must be finite, got inf at index (1,)"),
    ({"teacher": ("a", "b", "c")}, TypeError, "teacher must hold real numbers, got dtype <U1"),
    ({"samples": 10**12}, ValueError, "a task must fit into memory, got 1000000000000 samples of 3 inputs, which need"),
    ({"inputs": 10**14}, ValueError, "a task must fit into memory, got 10 samples of 100000000000000 inputs"),
    (
        {"test_samples": 10**30},
        ValueError,
        f"got 10 samples and {10**30} test samples of 3 inputs, which need 1.15e+23",
    ),
]


@both
@pytest.mark.parametrize(("changed", "kind", "message"), BAD)
def test_bad_arguments_are_told_before_anything_is_drawn(
    law: Any, changed: dict[str, Any], kind: type[Exception], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(of_teacher, "_labelled", lambda *_: pytest.fail("something was drawn"))
    tracemalloc.start()
    try:
        with pytest.raises(kind, match=re.escape(message)):
            law(**{**ANY, **changed})
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("radius", "kind", "message"),
    [
        (0, ValueError, "radius must be positive, got 0.0"),
        (-1, ValueError, "radius must be positive, got -1.0"),
        (float("inf"), ValueError, "radius must be finite, got inf"),
        ("1", TypeError, "radius must be a number, got '1'"),
    ],
)
def test_a_radius_that_no_sphere_has_is_told(radius: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=re.escape(message)):
        tasks.separable_sphere(10, 3, radius=radius)


def test_memory_is_asked_for_what_is_drawn_and_what_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    needed = 1500 * (20 * 17 + 64)
    monkeypatch.setattr(memory, "available_bytes", lambda: needed)
    assert tasks.separable_gaussian(1000, 20, test_samples=500).samples == 1000
    monkeypatch.setattr(memory, "available_bytes", lambda: needed - 1)
    with pytest.raises(ValueError, match="a task must fit into memory, got 1000 samples and 500 test samples of 20"):
        tasks.separable_gaussian(1000, 20, test_samples=500)
    monkeypatch.setattr(memory, "available_bytes", lambda: None)
    assert tasks.separable_gaussian(1000, 20, test_samples=500).samples == 1000


def test_a_teacher_separates_by_the_distance_from_its_plane() -> None:
    task = shoal.Task([[3, 4], [0, -2], [5, 0]], [1, -1, 1])
    np.testing.assert_allclose(tasks.separated_by(task, (3, 4)), [5, 1.6, 3], rtol=4 * EPS)
    np.testing.assert_allclose(tasks.separated_by(task, np.array([3, 4]) * 1e300), [5, 1.6, 3], rtol=4 * EPS)


@both
def test_a_separable_task_is_separated_by_its_teacher_and_a_flipped_one_is_not(law: Any) -> None:
    teacher = np.array([0.3, -2, 1])
    distances = tasks.separated_by(law(500, 3, teacher=teacher, test_samples=20, seed=1), teacher)
    assert distances.shape == (500,)
    assert distances.min() > 0
    task = law(500, 3, teacher=teacher, flipped=0.014, seed=1)
    first = int(np.flatnonzero(wrong(task, teacher))[0])
    told = f"got 7 of 500 samples on the wrong side of its plane or in it, the first at index {first}: label"
    with pytest.raises(ValueError, match=re.escape(told)):
        tasks.separated_by(task, teacher)


def test_without_a_teacher_the_first_axis_has_to_separate() -> None:
    task = tasks.separable_gaussian(50, 3)
    assert tasks.separated_by(task).tolist() == np.abs(task.inputs[:, 0]).tolist()
    with pytest.raises(ValueError, match="got 1 of 2 samples on the wrong side"):
        tasks.separated_by(shoal.Task([[1, 1], [-1, -2]], [1, 1]))


def test_the_first_sample_on_the_wrong_side_is_shown_and_the_plane_itself_is_no_side() -> None:
    task = shoal.Task([[1, 0], [0, 7], [2, 1]], [1, -1, -1])
    with pytest.raises(ValueError, match=re.escape("got 2 of 3 samples on the wrong side of its plane or in it")):
        tasks.separated_by(task, (1, 0))
    with pytest.raises(ValueError, match=re.escape("the first at index 2: label -1, teacher . x/|teacher| = 2") + "$"):
        tasks.separated_by(task, (1, -1e-9))


@pytest.mark.parametrize(
    ("task", "teacher", "kind", "message"),
    [
        ([[1.0]], (1,), TypeError, "task must be a shoal.Task, got [[1.0]] of type list"),
        (shoal.Task([[1], [2]], [0, 1]), (1,), ValueError, "task must have labels -1/+1, got 0, 1"),
        (shoal.Task([[1], [2]], [1, 1]), (1, 0), ValueError, "teacher must have one entry per input, 1, got 2"),
        (shoal.Task([[1], [2]], [1, 1]), (0,), ValueError, "teacher must not be zero"),
        (shoal.Task([[1], [2]], [1, 1]), (None,), TypeError, "teacher must hold real numbers, got dtype object"),
    ],
)
def test_what_cannot_be_asked_of_a_teacher_is_told(
    task: Any, teacher: Any, kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=re.escape(message)):
        tasks.separated_by(task, teacher)
