"""A sweep without a store is the same dataset: variables, dimensions, coordinates, attributes, bits."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray

import shoal
from shoal.engine import memory
from shoal.engine.condense import Condensed
from shoal.spec.training import Training
from support import python, random_init
from test_sweep import GRID, METHOD, NETWORK, RAW, RECORDS, REDUCED, TASK, swept


def both(store: Path, record: shoal.Record, **changed: Any) -> None:
    """Assert that a sweep is the same in memory and in a store."""
    held, kept = swept(None, record, **changed), swept(store, record, **changed).load()
    xarray.testing.assert_identical(held, kept)
    for name in held.variables:
        one, other = held[name].values, kept[name].values
        assert one.dtype == other.dtype
        assert one.dtype == object or one.tobytes() == other.tobytes(), name


@RECORDS
@pytest.mark.parametrize(
    "changed",
    [
        {"over": GRID, "first_network": 512},
        {"over": [{"init": shoal.Balanced(0.2), "seed": 3}, {"init": shoal.Gaussian(0.3), "seed": 4}]},
        {"over": {"method.learning_rate": [0.1, 0.05]}},
        {"over": {"task": {"easy": TASK, "hard": shoal.tasks.modes((1.7, 0.1))}}},
        {"over": None, "method": shoal.GradientDescent(0.1, 20, stop=("fitted", "dead"))},
    ],
    ids=["grid", "list", "rates", "tasks", "one"],
)
def test_it_is_the_dataset_of_a_store(tmp_path: Path, record: shoal.Record, changed: dict[str, Any]) -> None:
    both(tmp_path / "s", record, **changed)


@pytest.mark.parametrize("reduce", [None, "moments"])
def test_flows(tmp_path: Path, reduce: str | None) -> None:
    record = shoal.Record(times=[0, 1], measure=("loss", "margin"), reduce=reduce)
    both(tmp_path / "s", record, over={"method.t_end": [2.0, 2.1]}, method=shoal.GradientFlow(2.0))


@RECORDS
def test_given_initialisations_and_layers(tmp_path: Path, record: shoal.Record) -> None:
    """Weights by layer, and initialisations that are arrays."""
    inits = {name: random_init(NETWORK, 40, np.random.default_rng(seed)) for seed, name in enumerate(("a", "b"))}
    measures = ("loss", "layer_norm", "active") if record.reduce else ("weights", "trajectory", "pattern")
    told = shoal.Record(steps=[0, 20], measure=measures, reduce=record.reduce and "moments")
    block = 256 if record.reduce else 16
    both(tmp_path / "s", told, init=inits["a"], over={"init": inits}, networks=40, block=block)
    both(tmp_path / "t", told, init=inits["a"], over={"seed": [1, 2]}, networks=40, block=block)


def test_it_needs_neither_a_folder_nor_zarr(tmp_path: Path) -> None:
    code = f"""
import os, sys
os.chdir({str(tmp_path)!r})
sys.modules["zarr"] = None
import shoal
task, method = shoal.tasks.modes((1.7, 0.9)), shoal.GradientDescent(0.1, 20)
over = {{"init.std": [0.1, 0.4]}}
data = shoal.sweep(shoal.Network((2, 4, 1)), task, shoal.Gaussian(0.5), method=method, over=over, networks=7)
print(data.loss.shape, data.attrs["complete"], os.listdir())
"""
    done = python(["-c", code])
    assert done.stdout == "(2, 7, 21) 1 []\n", done.stderr


@RECORDS
def test_too_little_memory_is_an_error_before_anything_is_trained(
    record: shoal.Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of all that is recorded, and of a block beside it."""
    kept = 4 * (2**20 * (3 * 8 * (1 + 1 + 2) + 1 + 8) if record is RAW else 0)
    told: Any = {"networks": 2**20, "over": GRID, "progress": lambda *_: pytest.fail("it trains")}
    monkeypatch.setattr(memory, "available_bytes", lambda: 2**20 if kept else 2**11)
    monkeypatch.setattr(memory, "_NEVER_SHORT", 0)
    with pytest.raises(ValueError, match=r"memory"):
        swept(None, record, **told)
    if kept:
        monkeypatch.setattr(memory, "available_bytes", lambda: kept - 1)
        with pytest.raises(ValueError, match=r"networks=1048576 at each of 4 conditions record 0\.\d+ GB, .*store"):
            swept(None, record, **told)
        monkeypatch.setattr(memory, "available_bytes", lambda: kept + 1000)
        with pytest.raises(ValueError, match=r"block=256 is too large for this machine, beside what is recorded at"):
            swept(None, record, **told)


def test_conditions_share_what_they_are_trained_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """A task is condensed once for all conditions that do so alike, however many there are."""
    condensed: list[Training] = []
    of = Condensed.of.__func__  # type: ignore[attr-defined]

    def counted(cls: type[Condensed], training: Training) -> Condensed:
        condensed.append(training)
        return of(cls, training)  # type: ignore[no-any-return]

    monkeypatch.setattr(Condensed, "of", classmethod(counted))
    rates = [float(rate) for rate in np.linspace(0.01, 0.1, 20)]
    swept(None, RAW, over={"method.learning_rate": rates}, networks=3)
    assert len(condensed) == 1
    swept(None, RAW, over={"network.width": [2, 3], "weight_decay": [0.0, 0.1, 0.2]}, networks=3)
    assert len(condensed) == 1 + 4


def test_progress_and_interrupts(tmp_path: Path) -> None:
    """Progress grows to the whole; what it raises ends the sweep."""
    told: list[tuple[int, int]] = []
    swept(None, over=GRID, progress=lambda *done: told.append(done))
    assert told == sorted(told)
    assert told[-1] == (4 * 700 * METHOD.steps,) * 2

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        swept(None, REDUCED, over=GRID, progress=stop)
    assert not os.listdir(tmp_path)
