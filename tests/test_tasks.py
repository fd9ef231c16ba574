"""The tasks that come with shoal."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits

from shoal import tasks


def test_modes_are_orthogonal_with_the_norms_and_frequencies_given_and_alternate_labels() -> None:
    task = tasks.modes((1.7, 0.9, 0.5), (3, 2, 1), dimension=5)
    np.testing.assert_array_equal(task.inputs @ task.inputs.T, np.diag(np.square((1.7, 0.9, 0.5))))
    assert task.labels.tolist() == [1, -1, 1]
    np.testing.assert_allclose(task.sample_weight, [1 / 2, 1 / 3, 1 / 6], rtol=1e-15)
    assert task.dimension == 5


def test_modes_of_several_classes_are_numbered() -> None:
    assert tasks.modes((1, 1, 1, 1), classes=3).labels.tolist() == [0, 1, 2, 0]


def test_an_antipodal_pair_has_opposite_inputs_and_labels() -> None:
    task = tasks.antipodal(1.5, dimension=3, frequency=0.25)
    np.testing.assert_array_equal(task.inputs, [[1.5, 0, 0], [-1.5, 0, 0]])
    assert task.labels.tolist() == [1, -1]
    assert task.sample_weight.tolist() == [0.25, 0.75]


def test_exclusive_or_is_true_where_signs_differ() -> None:
    task = tasks.xor(2.0, dimension=3)
    np.testing.assert_array_equal(np.abs(task.inputs), [[2, 2, 0]] * 4)
    assert len({tuple(point) for point in task.inputs.tolist()}) == 4
    np.testing.assert_array_equal(task.labels, -np.sign(task.inputs[:, 0] * task.inputs[:, 1]))
    for given in ({"scale": 0.0}, {"dimension": 1}):
        with pytest.raises(ValueError, match=next(iter(given))):
            tasks.xor(**given)  # type: ignore[arg-type]


def test_features_add_up_in_a_sample() -> None:
    task = tasks.features((1, 2), [(0, 1), (0,)], (0.1, 0.9))
    np.testing.assert_array_equal(task.inputs, [[1, 2], [1, 0]])
    assert task.labels.tolist() == [1, 1]
    np.testing.assert_allclose(task.sample_weight, [0.1, 0.9], rtol=1e-15)


def test_mirrored_features_have_a_second_class_of_half_the_weight() -> None:
    task = tasks.features((1, 2), [(0, 1), (0,)], (0.1, 0.9), mirrored=True)
    np.testing.assert_array_equal(task.inputs, [[1, 2], [1, 0], [-1, -2], [-1, 0]])
    assert task.labels.tolist() == [1, 1, -1, -1]
    np.testing.assert_allclose(task.sample_weight, [0.05, 0.45, 0.05, 0.45], rtol=1e-15)


def test_gaussian_classes_have_the_separation_asked_for() -> None:
    n = 20_000
    task = tasks.gaussian(n, 3, separation=2.5, seed=1)
    means = [task.inputs[task.labels == label].mean(axis=0) for label in (1, -1)]
    error = np.sqrt(2 * 2 / n)  # of the difference of two means of n / 2 unit normals
    np.testing.assert_allclose(means[0] - means[1], [2.5, 0, 0], atol=4 * error)
    assert abs(task.inputs[:, 1].var() - 1) <= 4 * np.sqrt(2 / n)


def test_gaussian_samples_follow_the_seed() -> None:
    one, same, other = (tasks.gaussian(10, 2, separation=1.0, seed=seed) for seed in (3, 3, 4))
    assert one.inputs.tobytes() == same.inputs.tobytes()
    assert not (one.inputs == other.inputs).any()


def test_digits_are_the_images_of_scikit_learn_divided_by_sixteen() -> None:
    task = tasks.digits((3, 5))
    pixels, shown = load_digits(return_X_y=True)
    rows = (shown == 3) | (shown == 5)
    np.testing.assert_array_equal(task.inputs * 16, pixels[rows])
    np.testing.assert_array_equal(task.labels, np.where(shown[rows] == 3, 1, -1))


def test_digits_of_several_classes_are_numbered_in_the_order_given() -> None:
    task = tasks.digits((7, 0, 2))
    shown = load_digits(return_X_y=True)[1]
    shown = shown[np.isin(shown, (7, 0, 2))]
    np.testing.assert_array_equal(np.array([7, 0, 2])[task.labels], shown)


def test_digits_are_drawn_by_the_seed_without_repeats() -> None:
    one, same, other = (tasks.digits((0, 1), samples=50, seed=seed) for seed in (0, 0, 1))
    assert one.inputs.tobytes() == same.inputs.tobytes()
    assert one.inputs.tobytes() != other.inputs.tobytes()
    assert len(np.unique(tasks.digits((0, 1), samples=360).inputs, axis=0)) == len(
        np.unique(tasks.digits((0, 1)).inputs, axis=0)
    )


@pytest.mark.parametrize("standardise", [False, True])
def test_digits_are_centred_and_standardised(standardise: bool) -> None:
    inputs = tasks.digits((0, 1), centre=True, standardise=standardise).inputs
    # Means of some hundred numbers of size one.
    np.testing.assert_allclose(inputs.mean(axis=0), 0, atol=len(inputs) * np.finfo(float).eps * np.abs(inputs).max())
    if standardise:
        spread = inputs.std(axis=0)
        np.testing.assert_allclose(spread[spread > 0], 1, rtol=len(inputs) * np.finfo(float).eps)
        assert (spread == 0).any()
