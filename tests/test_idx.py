"""Tasks from IDX files: every type, plain and compressed, and every fault named with its file."""

from __future__ import annotations

import gzip
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from shoal import tasks
from shoal.tasks import idx_file as idx

# The code of each type, and how struct writes one value of it in big-endian order.
TYPES = {0x08: "B", 0x09: "b", 0x0B: "h", 0x0C: "i", 0x0D: "f", 0x0E: "d"}
VALUES = {
    0x08: (0, 255, 7, 130, 1, 2),
    0x09: (-128, 127, -1, 0, 5, -6),
    0x0B: (-32768, 32767, 256, -2, 1, 0),
    0x0C: (-(2**31), 2**31 - 1, 65536, -1, 0, 1),
    0x0D: (0.5, -1.25, 1e30, 0.0, 3.0, -7.0),
    0x0E: (0.1, -1e300, 1e-300, 2.0, 3.0, 4.0),
}


def head(code: int, *sizes: int) -> bytes:
    return bytes([0, 0, code, len(sizes)]) + b"".join(struct.pack(">I", size) for size in sizes)


def content(code: int, values: tuple[float, ...]) -> bytes:
    return struct.pack(f">{len(values)}{TYPES[code]}", *values)


def written(path: Path, held: bytes) -> Path:
    path.write_bytes(held)
    return path


# Six images of 1 x 2 pixels, of the labels 3, 7, 3, 9, 7, 3.
PIXELS = (0, 51, 102, 153, 204, 255, 255, 0, 10, 20, 30, 51)
SHOWN = (3, 7, 3, 9, 7, 3)
IMAGES = head(0x08, 6, 1, 2) + bytes(PIXELS)
LABELS = head(0x08, 6) + bytes(SHOWN)


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    return written(tmp_path / "images", IMAGES), written(tmp_path / "labels", LABELS)


@pytest.mark.parametrize("code", TYPES)
@pytest.mark.parametrize("packed", [False, True])
def test_every_type_is_read_plain_and_compressed(tmp_path: Path, code: int, packed: bool) -> None:
    held = head(code, 3, 2) + content(code, VALUES[code])
    found = idx.read(written(tmp_path / "file", gzip.compress(held) if packed else held))
    assert found.dtype.isnative
    assert (found.dtype.kind, found.dtype.itemsize) == (np.dtype(TYPES[code]).kind, struct.calcsize(f">{TYPES[code]}"))
    expected = struct.unpack(f">6{TYPES[code]}", content(code, VALUES[code]))
    assert found.tolist() == [list(expected[i : i + 2]) for i in (0, 2, 4)]


def test_the_last_index_runs_fastest_in_three_dimensions(tmp_path: Path) -> None:
    found = idx.read(written(tmp_path / "file", head(0x08, 2, 2, 3) + bytes(range(12))))
    assert found.tolist() == [[[0, 1, 2], [3, 4, 5]], [[6, 7, 8], [9, 10, 11]]]


def test_two_classes_become_plus_and_minus_one_in_the_order_given(files: tuple[Path, Path]) -> None:
    task = tasks.idx(*files, classes=(7, 3))
    assert task.labels.tolist() == [-1, 1, -1, 1, -1]
    rows = [(0, 51), (102, 153), (204, 255), (10, 20), (30, 51)]
    np.testing.assert_array_equal(task.inputs, np.array(rows) / 255)


def test_more_classes_are_numbered_in_the_order_given(files: tuple[Path, Path]) -> None:
    assert tasks.idx(*files, classes=(9, 3, 7)).labels.tolist() == [1, 2, 1, 0, 2, 1]


def test_without_classes_all_of_the_file_are_numbered_smallest_first(files: tuple[Path, Path]) -> None:
    assert tasks.idx(*files).labels.tolist() == [0, 1, 0, 2, 1, 0]


def test_without_classes_two_in_the_file_are_plus_and_minus_one(tmp_path: Path, files: tuple[Path, Path]) -> None:
    two = written(tmp_path / "two", head(0x0C, 6) + content(0x0C, (-5, 8, 8, -5, -5, 8)))
    assert tasks.idx(files[0], two).labels.tolist() == [1, -1, -1, 1, 1, -1]


def test_names_of_files_may_be_strings_and_say_nothing_of_compression(tmp_path: Path, files: tuple[Path, Path]) -> None:
    packed = written(tmp_path / "images.idx", gzip.compress(IMAGES))
    one, same = tasks.idx(*files), tasks.idx(str(packed), str(files[1]))
    assert one.inputs.tobytes() == same.inputs.tobytes()


def test_a_scale_replaces_that_of_bytes_and_other_types_are_not_scaled(
    tmp_path: Path, files: tuple[Path, Path]
) -> None:
    np.testing.assert_array_equal(tasks.idx(*files, scale=51).inputs.ravel(), np.array(PIXELS) / 51)
    wide = written(tmp_path / "wide", head(0x0B, 6, 2) + content(0x0B, PIXELS))
    np.testing.assert_array_equal(tasks.idx(wide, files[1]).inputs.ravel(), PIXELS)


def test_images_are_drawn_by_the_seed_keep_their_order_and_their_labels(files: tuple[Path, Path]) -> None:
    whole = tasks.idx(*files)
    drawn = {tasks.idx(*files, samples=4, seed=seed).inputs.tobytes() for seed in range(20)}
    assert len(drawn) > 5
    task, same = (tasks.idx(*files, samples=4, seed=3) for _ in range(2))
    assert task.inputs.tobytes() == same.inputs.tobytes()
    at = [int(np.flatnonzero((whole.inputs == row).all(axis=1))[0]) for row in task.inputs]
    assert at == sorted(set(at))
    assert task.labels.tolist() == whole.labels[at].tolist()


def test_images_are_centred_and_standardised_over_the_chosen_classes(tmp_path: Path) -> None:
    pixels = bytes([10, 7, 30, 7, 200, 9, 50, 7])
    images = written(tmp_path / "images", head(0x08, 4, 2) + pixels)
    labels = written(tmp_path / "labels", head(0x08, 4) + bytes([1, 2, 3, 1]))
    centred = tasks.idx(images, labels, classes=(1, 2), centre=True).inputs
    np.testing.assert_allclose(centred[:, 0] * 255, [-20, 0, 20], rtol=1e-14, atol=1e-13)
    standard = tasks.idx(images, labels, classes=(1, 2), standardise=True).inputs
    np.testing.assert_allclose(standard[:, 0], np.array([-1, 0, 1]) * np.sqrt(3 / 2), rtol=1e-14, atol=1e-14)
    assert (standard[:, 1] == 0).all()  # 7 in each image that was chosen


def test_a_task_from_files_is_the_task_of_digits_from_the_same_images(tmp_path: Path) -> None:
    whole = tasks.digits(tuple(range(10)))
    pixels = (whole.inputs * 16).astype(np.uint8)
    images = written(tmp_path / "images", head(0x08, len(pixels), 8, 8) + pixels.tobytes())
    labels = written(tmp_path / "labels", head(0x08, len(pixels)) + bytes(whole.labels.tolist()))
    for chosen in ({"classes": (3, 8)}, {"classes": (1, 5, 9), "samples": 100, "seed": 4, "standardise": True}):
        ours, theirs = tasks.idx(images, labels, scale=16, **chosen), tasks.digits(**chosen)
        assert ours.inputs.tobytes() == theirs.inputs.tobytes()
        assert ours.labels.tolist() == theirs.labels.tolist()


FAULTS = {
    b"": "is not an IDX file: it must start with two zero bytes, got ''",
    b"\0\0\x08": "is not an IDX file",
    b"\x89PNG" + bytes(100): "is not an IDX file: it must start with two zero bytes, got '89 50 4e 47'",
    head(0x0A, 2, 1) + bytes(2): "type that IDX does not have: it must be one of 0x08, .*, 0x0e, got 0x0a",
    head(0x0F, 2, 1) + bytes(2): "got 0x0f",
    bytes([0, 0, 8, 0, 1]): "has no dimensions",
    bytes([0, 0, 8, 3]) + bytes(7): "is truncated: 12 bytes of sizes are stated, it ends after 7",
    head(0x08, 0, 28, 28): "is empty: no dimension may have size 0, got shape (0, 28, 28)",
    IMAGES[:-1]: "is truncated: its header states shape (6, 1, 2) of uint8, 12 bytes, but it has 11",
    IMAGES + b"\0": "has extra bytes at its end",
    head(0x0E, 2, 2) + bytes(31): "is truncated: its header states shape (2, 2) of float64, 32 bytes, but it has 31",
}


@pytest.mark.parametrize("held", FAULTS)
@pytest.mark.parametrize("packed", [False, True])
def test_a_faulty_file_is_named_with_its_fault(tmp_path: Path, held: bytes, packed: bool) -> None:
    path = written(tmp_path / "faulty", gzip.compress(held) if packed else held)
    with pytest.raises(ValueError, match=f"^{path} ") as caught:
        idx.read(path)
    parts = FAULTS[held].split(".*")
    assert all(part in str(caught.value) for part in parts), caught.value


LYING = head(0x0E, *[2**32 - 1] * 4)


@pytest.mark.parametrize("held", [LYING, gzip.compress(LYING + bytes(1000))], ids=["plain", "packed"])
def test_a_header_that_lies_takes_no_memory(tmp_path: Path, held: bytes) -> None:
    path = written(tmp_path / "lying", held)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="is truncated: its header states shape"):
            idx.read(path)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_a_compressed_header_that_lies_within_reason_takes_what_the_file_holds(tmp_path: Path) -> None:
    held = gzip.compress(head(0x08, 900_000_000) + bytes(2**20))
    path = written(tmp_path / "lying", held)
    path.write_bytes(held + b"\0" * 2**20)  # gzip allows padding; so large a file could hold what the header states
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=r"is truncated: .* 900000000 bytes, but it has 1048576"):
            idx.read(path)
        assert tracemalloc.get_traced_memory()[1] < 2**24
    finally:
        tracemalloc.stop()


def damaged(held: bytes) -> bytes:
    """The check sum of a compressed file, four bytes before its last four, with one bit turned."""
    return held[:-8] + bytes([held[-8] ^ 1]) + held[-7:]


@pytest.mark.parametrize(
    "spoil", [damaged, lambda held: held[:-9], lambda held: held[:12], lambda held: held + b"more"]
)
def test_damaged_compression_is_named_with_its_file(tmp_path: Path, spoil) -> None:
    path = written(tmp_path / "images.gz", spoil(gzip.compress(IMAGES)))
    with pytest.raises(ValueError, match=f"^{path} is not a whole gzip file: "):
        idx.read(path)


def test_counts_that_differ_name_both_files(tmp_path: Path, files: tuple[Path, Path]) -> None:
    five = written(tmp_path / "five", head(0x08, 5) + bytes(SHOWN[:5]))
    with pytest.raises(ValueError, match=f"{files[0]} and {five} must hold as many images as labels, got 6 and 5"):
        tasks.idx(files[0], five)


def test_a_class_without_images_is_named_with_the_file(files: tuple[Path, Path]) -> None:
    with pytest.raises(ValueError, match=f"{files[1]} must hold an image of each class, got none of class 4"):
        tasks.idx(*files, classes=(3, 4))


def test_a_file_of_one_label_cannot_be_learnt(tmp_path: Path, files: tuple[Path, Path]) -> None:
    same = written(tmp_path / "same", head(0x08, 6) + bytes([5] * 6))
    with pytest.raises(ValueError, match=f"{same} must hold two or more different labels, got only 5"):
        tasks.idx(files[0], same)


def test_images_and_labels_the_wrong_way_round_are_told(files: tuple[Path, Path]) -> None:
    with pytest.raises(ValueError, match=rf"{files[0]} must hold labels in 1 dimension, .* got shape \(6, 1, 2\)"):
        tasks.idx(files[1], files[0])
    with pytest.raises(ValueError, match=rf"{files[1]} must hold images in at least 2 dimensions, .* shape \(6,\)"):
        tasks.idx(files[1], files[1])


def test_labels_that_are_not_integers_are_told(tmp_path: Path, files: tuple[Path, Path]) -> None:
    floats = written(tmp_path / "floats", head(0x0D, 6) + content(0x0D, SHOWN))
    with pytest.raises(ValueError, match=f"{floats} must hold labels that are integers, got float32"):
        tasks.idx(files[0], floats)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_an_image_with_a_value_that_is_not_finite_names_its_file(
    tmp_path: Path, files: tuple[Path, Path], value: float
) -> None:
    images = written(tmp_path / "broken", head(0x0D, 6, 1) + content(0x0D, (1, 2, 3, value, 5, 6)))
    with pytest.raises(ValueError, match=f"{images} must hold finite values"):
        tasks.idx(images, files[1])
    assert tasks.idx(images, files[1], classes=(3, 7)).samples == 5  # the broken image is of class 9


def test_bad_arguments_are_told_before_a_file_is_opened(tmp_path: Path) -> None:
    none = tmp_path / "none"
    for wrong, kind, message in (
        ({"classes": (1,)}, ValueError, r"classes must be two or more different labels, got \(1,\)"),
        ({"classes": (1, 1)}, ValueError, r"classes must be two or more different labels, got \(1, 1\)"),
        ({"classes": (1, 2.0)}, TypeError, r"classes\[1\] must be an integer, got 2.0"),
        ({"scale": 0}, ValueError, "scale must be positive, got 0"),
        ({"seed": -1}, ValueError, "seed must be at least 0, got -1"),
    ):
        with pytest.raises(kind, match=message):
            tasks.idx(none, none, **wrong)
    with pytest.raises(FileNotFoundError, match=str(none)):
        tasks.idx(none, none)
    with pytest.raises(TypeError, match="path must be a path, got 3 of type int"):
        idx.read(3)


def test_more_samples_than_images_of_the_classes_are_told(files: tuple[Path, Path]) -> None:
    with pytest.raises(ValueError, match="samples must be between 1 and 5, got 6"):
        tasks.idx(*files, classes=(3, 7), samples=6)
