"""Blocks are computed when they are asked for: planning and opening cost nothing that grows with the networks."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
from hypothesis import given
from hypothesis import strategies as st

import shoal
from shoal.sweep.plan import ranges_of
from test_sweep import METHOD, NETWORK, START, TASK, files

BILLION = 10**9


def one_by_one(first: int, networks: int, block: int, cell: int) -> list[tuple[int, int]]:
    """Return begin and end of each block: the largest branch of the tree of indices that begins there and fits."""
    at, end, ranges = first, first + networks, []
    while at < end:
        size = block
        while size > cell and (at % size or at + size > end):
            size //= 2
        last = min(end, (at // size + 1) * size)
        ranges.append((at - first, last - first))
        at = last
    return ranges


@given(st.integers(0, 4), st.integers(0, 5), st.integers(0, 400), st.integers(1, 1500), st.booleans())
def test_ranges_are_those_found_one_by_one(cell: int, level: int, first: int, networks: int, reduced: bool) -> None:
    """From either end. Where each network is kept, they do not depend on the number from which a store has grown."""
    cell, block = 2**cell, 2 ** (cell + level)
    least = cell if reduced else block
    first *= cell if reduced else 1
    expected = one_by_one(first, networks, block, least)
    assert list(map(tuple, ranges_of(first, networks, block, least, ()).tolist())) == expected
    if not reduced:
        assert list(map(tuple, ranges_of(first, networks, block, least, (networks // 3,)).tolist())) == expected


def stopped(store: Path, **changed: Any) -> None:
    """Sweep a billion networks, each kept, and stop before the first block ends."""

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    told: dict[str, Any] = {"networks": BILLION, "record": shoal.Record(steps=[20]), "progress": stop, "threads": 1}
    with pytest.raises(KeyboardInterrupt):
        shoal.sweep(NETWORK, TASK, START, method=METHOD, store=store, **{**told, **changed})


def test_a_billion_networks_take_no_memory_and_no_files_before_they_are_trained(tmp_path: Path) -> None:
    """Neither when the sweep begins, nor when its store is opened, nor when some of them are read."""
    stopped(tmp_path / "small", networks=2)
    tracemalloc.start()
    try:
        stopped(tmp_path / "s", block=2**14)
        _, begun = tracemalloc.get_traced_memory()
        data = shoal.open_sweep(tmp_path / "s")
        some = data.isel(network=[0, 5, -1]).load()
        _, opened = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert max(begun, opened) < BILLION / 50
    assert files(tmp_path / "s").keys() == files(tmp_path / "small").keys()
    assert sum(map(len, files(tmp_path / "s").values())) < 50_000
    assert isinstance(data.indexes["network"], pandas.RangeIndex)
    assert data.sizes["network"] == BILLION
    assert some.network.values.tolist() == [0, 5, BILLION - 1]
    assert np.isnan(some.loss.values).all()
    assert (some.status.values == -1).all()


def test_a_billion_blocks_are_refused(tmp_path: Path) -> None:
    """Before anything is made; so are more conditions than that."""
    told: dict[str, Any] = {"method": METHOD, "networks": BILLION, "store": tmp_path / "s", "block": 1}
    with pytest.raises(
        ValueError, match=r"block must be larger: 1,000,000,000 networks in blocks of 1 are 1,000,000,0"
    ):
        shoal.sweep(NETWORK, TASK, START, **told)
    over = {"seed": range(2**11), "weight_decay": np.linspace(0, 1, 2**10)}
    with pytest.raises(ValueError, match=r"over must make at most 1,048,576 conditions, got 2,097,152"):
        shoal.sweep(NETWORK, TASK, START, **{**told, "networks": 1}, over=over)
    assert not list(tmp_path.iterdir())
