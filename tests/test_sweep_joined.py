"""Stores of ranges of networks that are opened together are one, of which only what is used is read."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray

import shoal
from shoal.sweep.joined import Joined


def test_any_index_finds_what_it_finds_in_the_whole() -> None:
    """Along every axis: numbers, slices either way, lists in any order and with repeats, and none at all."""
    rng = np.random.default_rng(0)
    whole = xarray.Variable(("init.std", "network", "time"), rng.normal(size=(2, 9, 3)), {"units": "1"})
    for cuts in ([], [4], [1, 2, 8]):
        parts = [whole[:, begin:end] for begin, end in itertools.pairwise([0, *cuts, 9])]
        joined = Joined.of(parts, "network")
        assert joined.attrs == whole.attrs
        assert (joined.dims, joined.shape, joined.dtype) == (whole.dims, whole.shape, whole.dtype)
        lists = [np.array(asked, int) for asked in ([8, 0, 4, 4], [2], [])]
        along = [3, -1, slice(None), slice(7, 2, -2), slice(5, 5), *lists, np.arange(9) % 2 == 0]
        for key in itertools.product((0, slice(None), [1, 0, 1]), along, (2, slice(None, None, -1), [0, 2])):
            index = dict(zip(whole.dims, key, strict=True))
            found, expected = joined.isel(index), whole.isel(index)
            assert found.dims == expected.dims, key
            np.testing.assert_array_equal(found.values, expected.values, err_msg=str(key))
    vectors = {"network": xarray.Variable("pair", [8, 0, 3]), "time": xarray.Variable("pair", [0, 2, 2])}
    np.testing.assert_array_equal(joined.isel(vectors).values, whole.isel(vectors).values)


def test_only_what_is_used_is_read(tmp_path: Path) -> None:
    """A file that is gone is an error of who asks for its networks, and of nobody else."""
    parts = [tmp_path / name for name in ("first", "second", "third")]
    told: dict[str, Any] = {"task": shoal.tasks.modes((1.7, 0.9)), "init": shoal.Gaussian(0.5)}
    told |= {"method": shoal.GradientDescent(0.1, 20), "record": shoal.Record(steps=[0, 20])}
    network = shoal.Network((2, 4, 1))
    for number, part in enumerate(parts):
        shoal.sweep(network, **told, networks=64, first_network=64 * number, block=32, store=part)
    merged = shoal.open_sweep(parts)
    for file in (parts[1] / "loss").glob("c.*"):
        file.unlink()
    whole = shoal.train(network, **told, networks=192)
    for wanted in (slice(0, 64), slice(130, 192), [0, 191, 5]):
        expected = whole.loss.isel(network=wanted).values
        assert merged.loss.isel(network=wanted).values.tobytes() == expected.tobytes()
    with pytest.raises(ValueError, match=r"second/loss/c\..* is missing"):
        merged.loss.isel(network=[0, 100]).load()
