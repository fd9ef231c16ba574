"""Stores of each network are read when they are used, also several as one, and only what is used."""

from __future__ import annotations

import itertools
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray

import shoal

TOLD: dict[str, Any] = {
    "network": shoal.Network((2, 4, 1)),
    "task": shoal.tasks.modes((1.7, 0.9)),
    "init": shoal.Gaussian(0.5),
    "method": shoal.GradientDescent(0.1, 20),
    "record": shoal.Record(steps=[0, 3, 20], measure=("loss", "margin", "weights")),
}


@pytest.mark.parametrize("over", [None, {"init.std": [0.1, 0.4]}])
@pytest.mark.parametrize("cuts", [[], [4], [1, 2, 8]])
def test_any_index_finds_what_it_finds_in_the_whole(tmp_path: Path, over: Any, cuts: list[int]) -> None:
    """Along every axis: numbers, slices either way, lists in any order and with repeats, and none at all."""
    for begin, end in itertools.pairwise([0, *cuts, 9]):
        store = tmp_path / f"{begin}"
        shoal.sweep(**TOLD, over=over, first_network=begin, networks=end - begin, block=2, store=store)
    data, whole = shoal.open_sweep(list(tmp_path.iterdir())), shoal.sweep(**TOLD, over=over, networks=9)
    assert not data.margin.variable._in_memory
    xarray.testing.assert_identical(
        pickle.loads(pickle.dumps(data)).load().drop_attrs(deep=False), whole.drop_attrs(deep=False)
    )
    lists = [np.array(asked, int) for asked in ([8, 0, 4, 4], [2], [])]
    along = [3, -1, slice(None), slice(7, 2, -2), slice(5, 5), *lists, np.arange(9) % 2 == 0]
    first: Any = (0, slice(None), [1, 0, 1]) if over else (None,)
    for condition, network, time in itertools.product(first, along, (2, slice(None, None, -1), [0, 2])):
        index = {"network": network, "time": time, **({"init.std": condition} if over else {})}
        found, expected = data.margin.variable.isel(index), whole.margin.variable.isel(index)
        assert found.dims == expected.dims, index
        np.testing.assert_array_equal(found.values, expected.values, err_msg=str(index))
    vectors = {"network": xarray.Variable("pair", [8, 0, 3]), "time": xarray.Variable("pair", [0, 2, 2])}
    xarray.testing.assert_equal(data.margin.variable.isel(vectors), whole.margin.variable.isel(vectors))


def test_only_what_is_used_is_read(tmp_path: Path) -> None:
    """A file that is gone is an error of who asks for its networks, and of nobody else."""
    parts = [tmp_path / name for name in ("first", "second", "third")]
    for number, part in enumerate(parts):
        shoal.sweep(**TOLD, networks=64, first_network=64 * number, block=32, store=part)
    merged = shoal.open_sweep(parts)
    for file in (parts[1] / "loss").glob("c.*"):
        file.unlink()
    whole = shoal.train(**TOLD, networks=192)
    for wanted in (slice(0, 64), slice(130, 192), [0, 191, 5]):
        expected = whole.loss.isel(network=wanted).values
        assert merged.loss.isel(network=wanted).values.tobytes() == expected.tobytes()
    with pytest.raises(ValueError, match=r"second/loss/c\..* is missing"):
        merged.loss.isel(network=[0, 100]).load()
