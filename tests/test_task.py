"""A task takes whatever holds numbers, and keeps float64 copies that nobody changes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import shoal

POINTS = np.array([[1, 2, 3], [4, 5, 6]])


def read_only() -> np.ndarray:
    array = POINTS.astype(float)
    array.flags.writeable = False
    return array


@pytest.mark.parametrize(
    "inputs",
    [
        POINTS,
        POINTS.tolist(),
        POINTS.astype(np.float32),
        POINTS.astype(np.uint8),
        POINTS.astype(">f8"),
        np.asfortranarray(POINTS.astype(float)),
        np.repeat(POINTS.astype(float), 2, axis=1)[:, ::2],
        POINTS.astype(float)[::-1][::-1],
        read_only(),
    ],
    ids=["integer", "list", "float32", "uint8", "big-endian", "Fortran", "strided", "negative strides", "read-only"],
)
def test_inputs_of_every_kind_become_the_same_array(inputs: object) -> None:
    task = shoal.Task(inputs, [1, -1])  # type: ignore[arg-type]
    assert task.inputs.dtype == np.float64
    assert task.inputs.flags.c_contiguous
    assert task.inputs.dtype.isnative
    np.testing.assert_array_equal(task.inputs, POINTS)


@pytest.mark.parametrize("labels", [[1, -1], [1.0, -1.0], np.array([1, -1], np.int8), [0, 1], (4, 0)])
def test_labels_become_int64(labels: object) -> None:
    task = shoal.Task(POINTS, labels)  # type: ignore[arg-type]
    assert task.labels.dtype == np.int64
    assert task.labels.tolist() == [int(label) for label in labels]  # type: ignore[attr-defined]


def test_a_task_keeps_copies_that_cannot_be_written() -> None:
    inputs, labels, weights = POINTS.astype(float), np.array([1, -1]), np.array([0.25, 0.75])
    task = shoal.Task(inputs, labels, weights)
    inputs[:], labels[:], weights[:] = 0, 0, 0
    np.testing.assert_array_equal(task.inputs, POINTS)
    assert task.labels.tolist() == [1, -1]
    assert task.sample_weight.tolist() == [0.25, 0.75]
    for array in (task.inputs, task.labels, task.sample_weight):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


def test_the_repr_of_a_task_names_its_shapes() -> None:
    assert repr(shoal.Task(POINTS, [1, -1])) == (
        "Task(inputs=<float64 (2, 3)>, labels=<int64 (2,)>, sample_weight=<float64 (2,)>)"
    )


def test_test_samples_are_kept_as_a_pair_of_read_only_copies() -> None:
    inputs, labels = [[1, 0, 2]], np.array([1.0])
    task = shoal.Task(POINTS, [1, -1], test=(inputs, labels))
    assert task.test is not None
    assert task.test.inputs.tolist() == inputs
    assert task.test.inputs.dtype == np.float64
    assert task.test.labels.tolist() == [1]
    assert task.test.labels.dtype == np.int64
    assert (task.samples, task.test_samples) == (2, 1)
    for array in task.test:
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
    again = shoal.Task(task.inputs, task.labels, task.sample_weight, task.test)
    assert again.test is not None
    assert again.test.inputs.tolist() == inputs
    assert shoal.Task(POINTS, [1, -1]).test is None
    assert shoal.Task(POINTS, [1, -1]).test_samples == 0


def test_the_repr_of_a_task_names_its_test_samples() -> None:
    assert repr(shoal.Task(POINTS, [1, -1], test=(POINTS, [1, 1]))).endswith(
        "sample_weight=<float64 (2,)>, test=(<float64 (2, 3)>, <int64 (2,)>))"
    )


@given(st.lists(st.floats(0, 1e308, allow_subnormal=True), min_size=1, max_size=40).filter(any))
def test_weights_sum_to_one_and_taking_them_again_does_not_move_a_bit(given_weights: list[float]) -> None:
    inputs, labels = np.ones((len(given_weights), 1)), np.ones(len(given_weights))
    once = shoal.Task(inputs, labels, given_weights).sample_weight
    again = shoal.Task(inputs, labels, once).sample_weight
    # One rounding an element, and the sum is exact: fsum rounds once.
    assert abs(once.sum() - 1) <= len(once) * np.finfo(float).eps
    assert once.tobytes() == again.tobytes()
