"""Images to test on, and classes of several digits or labels: of scikit-learn's images and of IDX files."""

from __future__ import annotations

import re
import struct
import tracemalloc
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits

import shoal
from shoal import tasks
from shoal.engine import memory

PIXELS, SHOWN = load_digits(return_X_y=True)
EVEN, ODD = (0, 2, 4, 6, 8), (1, 3, 5, 7, 9)
CODES = {np.dtype("u1"): 0x08, np.dtype(">i2"): 0x0B, np.dtype(">i4"): 0x0C, np.dtype(">f4"): 0x0D}


def written(path: Path, values: Any, dtype: str = "u1") -> Path:
    array = np.asarray(values).astype(dtype)
    sizes = b"".join(struct.pack(">I", size) for size in array.shape)
    path.write_bytes(bytes([0, 0, CODES[array.dtype], array.ndim]) + sizes + array.tobytes())
    return path


def rows(points: np.ndarray) -> list[list[float]]:
    return sorted(points.tolist())


@pytest.fixture
def files(tmp_path: Path) -> tuple[tuple[Path, Path], tuple[Path, Path]]:
    """Images of digits to train on, 1,200 of them, and the other 597 in files of their own."""
    images = PIXELS.reshape(-1, 8, 8)
    train = written(tmp_path / "train-images", images[:1200]), written(tmp_path / "train-labels", SHOWN[:1200])
    test = written(tmp_path / "test-images", images[1200:]), written(tmp_path / "test-labels", SHOWN[1200:])
    return train, test


# What digits and idx gave before they knew test samples, written out: the results of older runs stand on it.
@pytest.mark.parametrize("samples", [None, 100])
@pytest.mark.parametrize(("centre", "standardise"), [(False, False), (True, False), (False, True)])
def test_images_without_test_samples_are_the_same_bits_as_ever(
    files: tuple[tuple[Path, Path], ...], samples: int | None, centre: bool, standardise: bool
) -> None:
    asked: dict[str, Any] = {"samples": samples, "centre": centre, "standardise": standardise, "seed": 3}
    for task, shown, scaled in (
        (tasks.digits((8, 3), **asked), SHOWN, PIXELS / 16),
        (tasks.idx(*files[0], (8, 3), **asked), SHOWN[:1200], PIXELS[:1200] / 255),
    ):
        taken = np.flatnonzero((shown == 8) | (shown == 3))
        if samples is not None:
            taken = np.sort(np.random.Generator(np.random.PCG64(3)).permutation(taken)[:samples])
        inputs = scaled[taken]
        if centre or standardise:
            inputs = inputs - inputs.mean(axis=0)
        if standardise:
            spread = np.where(inputs.max(axis=0) > inputs.min(axis=0), inputs.std(axis=0), np.inf)
            inputs = inputs / spread
            inputs[:, np.isinf(spread)] = 0.0
        assert task.inputs.tobytes() == inputs.tobytes()
        assert task.labels.tolist() == np.where(shown[taken] == 8, 1, -1).tolist()
        assert task.test is None


def test_test_digits_are_the_images_that_are_not_trained_on() -> None:
    task = tasks.digits((3, 8), test_samples=150, seed=5)
    whole = tasks.digits((3, 8))
    assert task.test is not None
    assert (task.samples, task.test_samples) == (whole.samples - 150, 150)
    for label in (1, -1):
        parts = [task.inputs[task.labels == label], task.test.inputs[task.test.labels == label]]
        assert rows(np.concatenate(parts)) == rows(whole.inputs[whole.labels == label])
    for points in (task.inputs, task.test.inputs):  # in the order of the collection
        at = [int(np.flatnonzero((whole.inputs == point).all(axis=1))[0]) for point in points]
        assert at == sorted(at)


def test_neither_training_nor_test_images_depend_on_how_many_the_others_are() -> None:
    alone = tasks.digits((0, 1), samples=100, seed=2)
    one = tasks.digits((0, 1), samples=100, test_samples=60, seed=2)
    more = tasks.digits((0, 1), samples=300, test_samples=60, seed=2)
    other = tasks.digits((0, 1), samples=100, test_samples=60, seed=3)
    assert alone.inputs.tobytes() == one.inputs.tobytes() != other.inputs.tobytes()
    assert one.test is not None
    assert more.test is not None
    assert other.test is not None
    assert one.test.inputs.tobytes() == more.test.inputs.tobytes() != other.test.inputs.tobytes()
    assert one.test.labels.tolist() == more.test.labels.tolist()


@pytest.mark.parametrize("standardise", [False, True])
def test_test_images_are_normalised_by_the_training_images(standardise: bool) -> None:
    asked: dict[str, Any] = {"samples": 40, "test_samples": 200, "seed": 1}
    raw, task = tasks.digits((1, 7), **asked), tasks.digits((1, 7), centre=True, standardise=standardise, **asked)
    assert raw.test is not None
    assert task.test is not None
    expected = raw.test.inputs - raw.inputs.mean(axis=0)
    if standardise:
        same = raw.inputs.min(axis=0) == raw.inputs.max(axis=0)
        assert (raw.test.inputs[:, same].max(axis=0) > raw.test.inputs[:, same].min(axis=0)).any()
        expected[:, same] = 0
        expected[:, ~same] /= raw.inputs.std(axis=0)[~same]
    np.testing.assert_allclose(task.test.inputs, expected, rtol=1e-13, atol=1e-15)
    assert abs(task.test.inputs.mean()) > 1e-6  # by their own means this would be 0 to rounding


def test_groups_of_digits_are_classes() -> None:
    parity = tasks.digits((EVEN, ODD), test_samples=300)
    whole = tasks.digits((range(0, 10, 2), np.array(ODD)))
    assert parity.test is not None
    assert (parity.samples, parity.test_samples, whole.samples) == (1497, 300, 1797)
    assert whole.labels.tolist() == (1 - 2 * (SHOWN % 2)).tolist()
    np.testing.assert_array_equal(whole.inputs * 16, PIXELS)
    three = tasks.digits((9, [1, 7], (0,)))
    shown = SHOWN[np.isin(SHOWN, (9, 1, 7, 0))]
    assert three.labels.tolist() == [{9: 0, 1: 1, 7: 1, 0: 2}[digit] for digit in shown.tolist()]
    assert tasks.digits(((4,), (2,)), 50).labels.tolist() == tasks.digits((4, 2), 50).labels.tolist()


@settings(deadline=None, max_examples=30)
@given(data=st.data())
def test_any_split_is_disjoint_and_of_the_sizes_asked_for(data: st.DataObject) -> None:
    wanted = data.draw(st.lists(st.integers(0, 9), min_size=2, max_size=10, unique=True))
    cut = data.draw(st.integers(1, len(wanted) - 1))
    classes = (wanted[:cut], wanted[cut:])
    there = int(np.isin(SHOWN, wanted).sum())
    tested = data.draw(st.integers(0, there - 1))
    trained = data.draw(st.one_of(st.none(), st.integers(1, there - tested)))
    task = tasks.digits(classes, trained, test_samples=tested, seed=data.draw(st.integers(0, 99)))
    assert (task.samples, task.test_samples) == (there - tested if trained is None else trained, tested)
    collection = Counter(map(tuple, PIXELS[np.isin(SHOWN, wanted)].tolist()))
    used = np.concatenate([task.inputs, task.test.inputs]) if task.test is not None else task.inputs
    assert Counter(map(tuple, (used * 16).tolist())) <= collection


def test_files_of_their_own_are_tested_on_whole_and_with_the_same_classes(
    files: tuple[tuple[Path, Path], tuple[Path, Path]],
) -> None:
    train, test = files
    task = tasks.idx(*train, (EVEN, (1, 3)), 200, test=test, scale=16)
    assert task.test is not None
    wanted = np.isin(SHOWN[1200:], (*EVEN, 1, 3))
    np.testing.assert_array_equal(task.test.inputs * 16, PIXELS[1200:][wanted])
    assert task.test.labels.tolist() == (1 - 2 * (SHOWN[1200:][wanted] % 2)).tolist()
    alone = tasks.idx(*train, (EVEN, (1, 3)), 200, scale=16)
    assert task.inputs.tobytes() == alone.inputs.tobytes()
    assert task.labels.tolist() == alone.labels.tolist()
    every = tasks.idx(*train, test=test)
    assert every.test is not None
    assert every.test.labels.tolist() == SHOWN[1200:].tolist()
    np.testing.assert_array_equal(every.test.inputs, PIXELS[1200:] / 255)


def test_some_images_of_the_test_files_are_drawn_by_the_seed(
    files: tuple[tuple[Path, Path], tuple[Path, Path]],
) -> None:
    train, test = files
    whole = tasks.idx(*train, (1, 7), test=test).test
    one, same, other = (tasks.idx(*train, (1, 7), test=test, test_samples=40, seed=seed).test for seed in (0, 0, 1))
    assert whole is not None
    assert one is not None
    assert same is not None
    assert other is not None
    assert one.inputs.tobytes() == same.inputs.tobytes() != other.inputs.tobytes()
    at = [int(np.flatnonzero((whole.inputs == point).all(axis=1))[0]) for point in one.inputs]
    assert len(at) == 40
    assert at == sorted(set(at))
    assert one.labels.tolist() == whole.labels[at].tolist()
    assert tasks.idx(*train, (1, 7), test=test, test_samples=0).test is None


@pytest.mark.parametrize("standardise", [False, True])
def test_test_files_are_normalised_by_the_training_images(
    files: tuple[tuple[Path, Path], tuple[Path, Path]], standardise: bool
) -> None:
    train, test = files
    asked: dict[str, Any] = {"classes": (3, 5), "samples": 60, "test": test}
    raw, task = tasks.idx(*train, **asked), tasks.idx(*train, centre=True, standardise=standardise, **asked)
    assert raw.test is not None
    assert task.test is not None
    expected = raw.test.inputs - raw.inputs.mean(axis=0)
    if standardise:
        spread = raw.inputs.std(axis=0)
        varies = raw.inputs.min(axis=0) < raw.inputs.max(axis=0)
        expected = np.where(varies, expected / np.where(varies, spread, 1), 0)
    np.testing.assert_allclose(task.test.inputs, expected, rtol=1e-13, atol=1e-15)
    assert abs(task.test.inputs.mean()) > 1e-6


def test_without_test_files_test_images_come_from_the_others(tmp_path: Path) -> None:
    files = written(tmp_path / "images", PIXELS.reshape(-1, 8, 8)), written(tmp_path / "labels", SHOWN)
    for asked in ({"samples": 90, "test_samples": 70, "seed": 4}, {"test_samples": 300, "standardise": True}):
        ours, theirs = tasks.idx(*files, (4, 9), scale=16, **asked), tasks.digits((4, 9), **asked)
        assert ours.test is not None
        assert theirs.test is not None
        assert ours.inputs.tobytes() == theirs.inputs.tobytes()
        assert ours.test.inputs.tobytes() == theirs.test.inputs.tobytes()
        assert ours.test.labels.tolist() == theirs.test.labels.tolist()


DIGITS = [
    ({"test_samples": -1}, ValueError, "test_samples must be at least 0, got -1"),
    ({"test_samples": 2.0}, TypeError, "test_samples must be an integer, got 2.0"),
    ({"test_samples": 360}, ValueError, "test_samples must be between 0 and 359, got 360"),
    ({"samples": 300, "test_samples": 61}, ValueError, "test_samples must be between 0 and 60, got 61"),
    ({"seed": -1}, ValueError, "seed must be at least 0, got -1"),
    ({"classes": 5}, TypeError, "classes must be a sequence of digits or of groups of them, got 5"),
    ({"classes": "35"}, TypeError, "classes must be a sequence of digits or of groups of them, got '35'"),
    ({"classes": (1, "3")}, TypeError, "classes[1] must be an integer, got '3'"),
    ({"classes": ((1, 2), ())}, ValueError, "classes[1] must name one or more digits, got ()"),
    ({"classes": ((1, 2), (3, 10))}, ValueError, "classes[1][1] must be between 0 and 9, got 10"),
    ({"classes": ((1, 2), (3, 0.5))}, TypeError, "classes[1][1] must be an integer, got 0.5"),
    ({"classes": (EVEN,)}, ValueError, "two or more groups of different digits, got ((0, 2, 4, 6, 8),)"),
    ({"classes": ((1, 2), 2)}, ValueError, "two or more groups of different digits, got ((1, 2), (2,))"),
]  # fmt: skip


@pytest.mark.parametrize(("changed", "kind", "message"), DIGITS)
def test_bad_arguments_of_digits_are_told(changed: dict[str, Any], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=re.escape(message)):
        tasks.digits(**changed)


@pytest.mark.parametrize(
    ("changed", "kind", "message"),
    [
        ({"test": "ab"}, TypeError, "test must be a pair of paths (images, labels) or None, got 'ab'"),
        ({"test": ("a",)}, TypeError, "test must be a pair of paths (images, labels) or None, got ('a',)"),
        ({"test_samples": -1}, ValueError, "test_samples must be at least 0, got -1"),
        ({"test_samples": 1.0}, TypeError, "test_samples must be an integer, got 1.0"),
        ({"classes": ((1, 2), (2, 3))}, ValueError, "classes must be two or more groups of different labels"),
    ],
)
def test_bad_arguments_of_idx_are_told_before_a_file_is_opened(
    tmp_path: Path, changed: dict[str, Any], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=re.escape(message)):
        tasks.idx(tmp_path / "none", tmp_path / "none", **changed)


def test_test_files_that_do_not_fit_are_named_with_what_does_not(
    tmp_path: Path, files: tuple[tuple[Path, Path], tuple[Path, Path]]
) -> None:
    (images, labels), (test_images, test_labels) = files
    small = written(tmp_path / "small", PIXELS[1200:, :49])
    floats = written(tmp_path / "floats", PIXELS[1200:], ">f4")
    letters = written(tmp_path / "letters", SHOWN[1200:] + 5)
    for test, changed, message in (
        ((small, test_labels), {}, f"{small} must hold test images of the 64 pixels that those of {images} have,"
         " got 49"),
        ((floats, test_labels), {}, f"{floats} must hold values of type uint8 as {images} does, or scale must be given,"
         " got float32"),
        ((test_images, letters), {}, f"{letters} must hold labels that {labels} holds too, or classes must be given,"
         " got 10"),
        ((test_images, letters), {"classes": (1, 3)}, f"{letters} must hold an image of one of the classes, got none of"
         " [1, 3]"),
        ((test_images, labels), {}, f"{test_images} and {labels} must hold as many images as labels, got 597 and 1200"),
        ((test_labels, test_images), {}, f"{test_images} must hold labels in 1 dimension"),
        ((test_images, test_labels), {"test_samples": 598}, "test_samples must be between 0 and 597, got 598"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=re.escape(message)):
            tasks.idx(images, labels, test=test, **changed)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        tasks.idx(images, labels, test=(tmp_path / "nowhere", test_labels))
    with pytest.raises(TypeError, match=r"test\[0\] must be a path, got 3 of type int"):
        tasks.idx(images, labels, test=(3, test_labels))  # type: ignore[arg-type]
    scaled = tasks.idx(images, labels, test=(floats, test_labels), scale=16)
    assert scaled.test is not None
    np.testing.assert_array_equal(scaled.test.inputs * 16, PIXELS[1200:])


def test_a_test_image_with_a_value_that_is_not_finite_names_its_file(tmp_path: Path) -> None:
    labels = written(tmp_path / "labels", [1, 2, 1])
    images = written(tmp_path / "images", [[1.0], [2.0], [3.0]], ">f4")
    broken = written(tmp_path / "broken", [[1.0], [np.nan], [3.0]], ">f4")
    with pytest.raises(ValueError, match=f"{broken} must hold finite values"):
        tasks.idx(images, labels, test=(broken, labels))


@pytest.mark.parametrize("dtype", ["u1", ">i4"])
@pytest.mark.parametrize(
    "asked",
    [{"standardise": True}, {"test_samples": 1000}, {"samples": 1500}, {"samples": 30}, {"samples": 9, "test": 1}],
)
def test_images_that_do_not_fit_into_memory_are_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: str, asked: dict[str, Any]
) -> None:
    count = 3000
    shown = written(tmp_path / "images", np.random.default_rng(0).integers(0, 256, (count, 28, 28)), dtype)
    files = shown, written(tmp_path / "labels", np.arange(count) % 10)
    if "test" in asked:
        few = written(tmp_path / "few", np.zeros((10, 28, 28)), dtype), written(tmp_path / "ten", np.arange(10))
        files, asked = few, {**asked, "test": files}
    tasks.digits()  # what is imported at the first call is not the task's
    tracemalloc.start()
    try:
        tasks.idx(*files, **asked)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    monkeypatch.setattr(memory, "available_bytes", lambda: round(0.95 * peak))
    monkeypatch.setattr("shoal.tasks.idx_file.read_images", lambda path: pytest.fail(f"{path} was read"))
    with pytest.raises(ValueError, match=r"a task must fit into memory, got \d+ samples"):
        tasks.idx(*files, **asked)


def test_a_training_measures_the_test_images() -> None:
    task = tasks.digits((EVEN, ODD), 400, test_samples=300, centre=True)
    data = shoal.train(
        shoal.Network((64, 8, 1)), task, shoal.Gaussian(gain=0.5), method=shoal.GradientDescent(0.1, 20),
        record=shoal.Record(steps=(0, 20), measure=("error", "test_error")), networks=4, threads=1,
    )  # fmt: skip
    assert data.test_labels.values.tolist() == task.test.labels.tolist()  # type: ignore[union-attr]
    assert (data.test_error[:, -1] < data.test_error[:, 0]).all()
