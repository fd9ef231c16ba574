"""Blocks that end within a second are put on the disk and marked together: what is marked is on the disk."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import zarr

import shoal
from shoal.sweep import store as stores
from shoal.sweep.made import Chunk
from shoal.sweep.plan import trained
from test_sweep import GRID, RECORDS, swept
from test_sweep_cluster import plan_of


@RECORDS
def test_a_block_takes_a_wait_for_each_of_its_files_and_no_folder(
    tmp_path: Path, record: shoal.Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Folders are waited for once for each group of blocks."""
    waits: list[str] = []
    monkeypatch.setattr(stores, "SOON", 1e9)
    monkeypatch.setattr(os, "fsync", lambda handle: waits.append(os.readlink(f"/proc/self/fd/{handle}")))
    plan = plan_of(record=record)
    blocks = plan.conditions.count * len(plan.ranges)
    swept(tmp_path / "s", record, over=GRID)
    variables = len(Chunk.of(plan))
    filled = [wait for wait in waits if "/s/" in wait and "c." in wait]
    assert len(filled) == blocks * (variables + 1)
    folders = [wait for wait in waits if "c." not in wait and wait.startswith(f"{tmp_path}/s")]
    assert len(folders) == variables + 2  # the store, and at last that of the marks


@RECORDS
def test_blocks_are_marked_after_a_second_and_at_the_end(
    tmp_path: Path, record: shoal.Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, now = plan_of(record=record), [0.0]
    monkeypatch.setattr(stores.time, "monotonic", lambda: now[0])
    with stores.Store.opened(tmp_path / "s", plan) as store:
        for number, block in enumerate(list(plan.blocks(store.there))[:6]):
            now[0] += 0.4
            store.write(block, trained(plan.runs[block.condition], block.begin, block.end, 1, None))
            marked = len(list((tmp_path / "s" / "done").glob("c.*")))
            assert marked == 4 * ((number + 1) // 4)
    assert len(list((tmp_path / "s" / "done").glob("c.*"))) == 6


def test_zarr_writes_the_same_files(tmp_path: Path) -> None:
    """Byte for byte: of every type, with rows that are missing before and behind."""
    plan = plan_of(record=shoal.Record(steps=[0, 20], measure=("loss", "pattern", "weights")), over=None)
    swept(tmp_path / "s", shoal.Record(steps=[0, 20], measure=("loss", "pattern", "weights")))
    group = zarr.open_group(tmp_path / "s", mode="r")
    copy = zarr.open_group(tmp_path / "copy", mode="w")
    for name, chunk in Chunk.of(plan).items():
        array = group[name]
        assert isinstance(array, zarr.Array)
        made = copy.create_array(
            name, shape=array.shape, chunks=array.chunks, dtype=array.dtype, fill_value=array.fill_value,
            compressors=array.compressors, chunk_key_encoding={"name": "default", "separator": "."},
            config={"write_empty_chunks": True},
        )  # fmt: skip
        made[...] = np.asarray(array[...])
        for number in range(len(plan.ranges)):
            assert (tmp_path / "s" / chunk.key((number,))).read_bytes() == (
                tmp_path / "copy" / chunk.key((number,))
            ).read_bytes()
