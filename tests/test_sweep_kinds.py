"""Sweeps of every kind of training: methods, engines, types, starts that are given, samples that are merged."""

from __future__ import annotations

import os
import re
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import shoal
from shoal.sweep.plan import Plan
from support import random_init
from test_sweep import METHOD, NETWORK, RAW, RECORDS, REDUCED, START, TASK, assert_same, swept


@pytest.mark.parametrize("reduce", [None, "moments"])
@pytest.mark.parametrize(
    ("method", "engine", "dtype"),
    [
        (shoal.GradientDescent(0.1, 9), "lanes", "float32"),
        (shoal.GradientDescent(0.1, 9, stop=("fitted", "dead")), "alone", "float64"),
        (shoal.GradientFlow(1.0), "auto", "float64"),
    ],
    indirect=["engine"],
)
@pytest.mark.usefixtures("engine")
def test_methods_engines_and_types(tmp_path: Path, method: Any, dtype: str, reduce: str | None) -> None:
    """Variables, attributes and coordinates are those of the training, but for its mark."""
    network = shoal.Network((2, 4, 1), bias=True)
    record = shoal.Record(measure=("loss", "margin", "layer_norm", "unit_active"), reduce=reduce)
    told: Any = {"method": method, "dtype": dtype, "record": record, "networks": 300}
    alone = shoal.train(network, TASK, START, **told)
    data = shoal.sweep(network, TASK, START, store=tmp_path / "s", **told)
    assert_same(alone, data)
    assert set(alone.coords) - {"training"} == set(data.coords)
    assert dict(alone.attrs) == {name: data.attrs[name] for name in alone.attrs}


@pytest.mark.parametrize("stored", [False, True])
@pytest.mark.parametrize("seeds", [[2**53, 2**53 + 1], [2**64 - 1, 2**64 - 2, 2]])
def test_seeds_that_no_float_tells_apart(tmp_path: Path, seeds: list[int], stored: bool) -> None:
    """They are different conditions, and the coordinate holds each exactly."""
    told: Any = {"method": METHOD, "record": RAW, "networks": 3}
    data = shoal.sweep(NETWORK, TASK, START, over={"seed": seeds}, store=tmp_path / "s" if stored else None, **told)
    assert data.seed.values.tolist() == seeds
    for i, seed in enumerate(seeds):
        assert_same(shoal.train(NETWORK, TASK, START, seed=seed, **told), data.isel(seed=i))


def test_ranges_of_starts_that_are_given(tmp_path: Path) -> None:
    """An explicit initialisation is cut like the networks, and kept in the store."""
    generator = np.random.default_rng(0)
    starts = {name: random_init(NETWORK, 40, generator) for name in ("one", "two")}
    for record in (RAW, REDUCED):
        block = 16 if record is RAW else 256
        data = swept(tmp_path / f"{block}", record, init=starts["one"], over={"init": starts}, networks=40, block=block)
        for name, init in starts.items():
            alone = shoal.train(NETWORK, TASK, init, method=METHOD, record=record)
            assert_same(alone, data.sel(init=name))
    assert data.init_weights_1.dims == ("init", "init_network", "unit_1", "unit_0")


@RECORDS
def test_samples_that_are_merged_are_told_apart_again(tmp_path: Path, record: shoal.Record) -> None:
    """Of conditions that merge a different number of samples, too."""
    inputs = np.repeat([[1.0, 0.0], [0.0, 2.0]], 20, axis=0)
    labels = np.repeat([1, -1], 20)
    same, other = shoal.Task(inputs, labels), shoal.Task(inputs + np.linspace(0, 1, 40)[:, None], labels)
    kept = shoal.Record(steps=[0, 9], measure=("margin", "error"), reduce=record.reduce and "moments")
    data = swept(tmp_path / "s", kept, over={"task": {"same": same, "other": other}}, networks=300)
    for name, task in (("same", same), ("other", other)):
        alone = shoal.train(NETWORK, task, START, method=METHOD, record=kept, networks=300)
        assert_same(alone, data.sel(task=name))
    assert data.inputs.dims == ("task", "sample", "input")
    assert data.labels.dims == ("sample",)


def test_width_and_depth_together_where_shapes_allow(tmp_path: Path) -> None:
    """Every network of the surface, with what does not depend on its shape."""
    record = shoal.Record(steps=[0, 9], measure=("loss", "error"), reduce="moments")
    data = swept(tmp_path / "s", record, over={"network.width": [1, 3], "network.depth": [1, 3]}, networks=256)
    for width in (1, 3):
        for depth in (1, 3):
            network = shoal.Network((2, *[width] * depth, 1))
            alone = shoal.train(network, TASK, START, method=METHOD, record=record, networks=256)
            assert_same(alone, data.sel({"network.width": width, "network.depth": depth}))


def test_the_default_block_is_a_function_of_sizes() -> None:
    """It asks no clock: the same on every machine, smaller for more work."""
    told: Any = {"network": NETWORK, "task": TASK, "init": START, "loss": "hinge", "record": REDUCED, "over": None}
    told |= {"weight_decay": 0.0, "spectral_decoupling": 0.0, "seed": 0, "first_network": 0, "networks": 10**7}
    told |= {"condense": "auto", "dtype": "float64"}
    sizes = [Plan.of(**told, method=shoal.GradientDescent(0.1, steps)).block for steps in (20, 1000, 10**6, 10**9)]
    assert sizes == [
        2**22,
        2**19,
        2**13,
        256,
    ]  # of 10**6 steps more than the 2**9 of some seconds: 10**7 / 2**13 blocks
    assert Plan.of(**{**told, "networks": 700}, method=METHOD).block == 1024


def test_a_sweep_of_many_conditions_has_few_blocks() -> None:
    """Which would else take longer to write than to train, where rules stop most networks early."""
    told: Any = {
        "network": NETWORK,
        "task": TASK,
        "init": START,
        "loss": "hinge",
        "networks": 10**5,
        "dtype": "float64",
    }
    told |= {"weight_decay": 0.0, "spectral_decoupling": 0.0, "seed": 0, "first_network": 0}
    told |= {"condense": "auto", "method": shoal.GradientDescent(0.05, 4000, stop="fitted")}
    over = {"network.width": list(range(1, 33)), "network.depth": [1, 2, 3, 4, 5, 6]}
    reduced = shoal.Record(steps=[0, 4000], measure=("loss", "error"), reduce="moments")
    plan = Plan.of(**told, over=over, record=reduced)
    costliest = Plan.of(**told, over={"network.width": [32], "network.depth": [6]}, record=reduced)
    assert (costliest.block, plan.block) == (2**8, 2**13)
    large = shoal.Record(steps=range(1001), measure=("loss", "margin"))  # of each network, in little memory
    assert Plan.of(**told, over=over, record=large).block * 8 * 1001 * (1 + 2) <= 2**26


@pytest.mark.checkout
def test_the_examples_of_the_page_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In their order, each with what stood before it."""
    page = (Path(__file__).parents[1] / "docs" / "sweep.md").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for code in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(code, names)
    assert names["data"].event_fraction.dims == ("init.std", "network.width", "event", "time")
    assert int(names["whole"].networks) == 4096
    assert len(os.listdir(tmp_path)) == 6
    assert names["grown"].networks.values.tolist() == [3000] * 3


@pytest.mark.checkout
def test_the_failure_surface(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No network of one unit learns exclusive or, and of many units most do."""
    example = runpy.run_path(str(Path(__file__).parents[1] / "examples" / "failure_surface.py"))
    data = example["swept"](64, tmp_path / "s", widths=[1, 16], depths=[1], steps=2000)
    share = data.event_fraction.sel(event=example["EVENT"]).isel(time=-1).values
    assert share[0, 0] == 1
    assert share[1, 0] < 0.5
    assert "100.0%" in capsys.readouterr().out
