"""What a sweep cannot do is said before anything is made: which argument, what came, what is allowed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import shoal
from shoal.sweep.plan import Plan
from support import random_start
from test_sweep import METHOD, NETWORK, RAW, RECORDS, REDUCED, START, TASK, assert_same, swept

UNITS = shoal.Record(steps=[0], measure=("loss", "unit_active"))
MANY = shoal.tasks.modes((1.7, 0.9, 0.5))


@pytest.mark.parametrize(
    ("over", "kind", "message"),
    [
        (3, TypeError, "over must be a mapping"),
        ("start.scale", TypeError, "over must be a mapping"),
        ({}, ValueError, "at least one field, got an empty mapping"),
        ([], ValueError, "at least one condition, got an empty sequence"),
        ([3], TypeError, "got 3 at index 0"),
        ([{}], ValueError, "same fields in each condition"),
        ([{"seed": 1}, {"seed": 2, "start.scale": 1.0}], ValueError, "same fields in each condition, got seed at"),
        ([{"seed": 1}, {"seed": 1}], ValueError, "must not repeat a value, got that of index 1 twice"),
        ({"seed": []}, ValueError, r"over\['seed'\] must hold at least one value"),
        ({"seed": 4}, TypeError, r"over\['seed'\] must be a sequence"),
        ({"loss": "hinge"}, TypeError, r"over\['loss'\] must be a sequence"),
        ({"seed": [1, 2, 1]}, ValueError, r"over\['seed'\] must not repeat a value, got 1 twice"),
        ({"start.scale": [1, 1.0]}, ValueError, "must not repeat a value"),
        ({3: [1]}, TypeError, "must name fields by texts"),
        ({"start.scael": [0.1]}, ValueError, "must name what can be swept here, .*start.scale.*got 'start.scael'"),
        ({"loss.margin": [0.1]}, ValueError, "got 'loss.margin'"),
        ({"record": [RAW]}, ValueError, "got 'record'"),
        ({"start": [START], "start.scale": [0.1]}, ValueError, "'start' together with its field 'start.scale'"),
        ({"network": [NETWORK], "network.width": [3]}, ValueError, "'network' together with its field 'network.width'"),
        ({"network.widths": [(2, 3, 1)], "network.depth": [1]}, ValueError, "'network.widths' together with"),
        ({"start.scale": [0.1, -1.0]}, ValueError, "over: at start.scale=-1.0: scale must be positive, got -1.0"),
        ({"network.width": [2.5]}, TypeError, "over: at network.width=2.5: network.width must be an integer"),
        ({"network.depth": [0]}, ValueError, "network.depth must be at least 1, got 0"),
        ({"task": [START]}, TypeError, "task must be a shoal.Task"),
        ({"task": {(1,): TASK}}, TypeError, "must have texts or numbers as labels"),
        ({"start.gain": [1.0]}, ValueError, "either scale or gain"),
        ({"seed": [0, -1]}, ValueError, "over: at seed=-1: seed must be between 0"),
    ],
)
def test_over(tmp_path: Path, over: Any, kind: type[Exception], message: str) -> None:
    """Each wrong way to name what is swept."""
    with pytest.raises(kind, match=message):
        swept(tmp_path / "s", over=over)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"record": UNITS, "over": {"network.width": [2, 3]}},
         "'unit_active' has time 1, unit 2 at network.width=2 and time 1, unit 3 at network.width=3; leave 'unit_act"),
        ({"record": shoal.Record(measure=("weights",)), "over": {"network.depth": [1, 2]}},
         "'weights' has unit_2 1, unit_1 4 at network.depth=1 and unit_2 4, unit_1 4 at network.depth=2; leave 'wei"),
        ({"over": {"method.steps": [20, 9]}}, "over: at method.steps=9: steps must not exceed the 9 steps"),
        ({"over": {"task": [TASK, MANY]}}, "over: at task=.*: inputs must have the 2 columns"),
        ({"record": RAW, "over": {"task": {"few": TASK, "many": shoal.Task([[1, 0]], [1])}}},
         "'margin' has .*sample 2 at task=few and .*sample 1 at task=many; leave 'margin' out"),
        ({"record": shoal.Record(), "over": {"method.steps": [5, 9]}}, "time 6 at method.steps=5 and time 10 at"),
        ({"record": shoal.Record(times=[0, 1]), "over": {"method": [METHOD, shoal.Flow(2.0)]}},
         "sweep methods of one kind"),
        ({"networks": 0}, "networks must be between 1"),
        ({"block": 300}, "block must be 256 networks times a power of two, got 300; the nearest are 256 and 512"),
        ({"block": 64}, "block must be 256 networks times a power of two, got 64; the nearest is 256"),
        ({"first": 100}, "first must be a multiple of 256, .* got 100; the nearest are 0 and 256"),
        ({"threads": 0}, "threads must be between 1"),
        ({"dtype": "float16"}, "dtype must be one of"),
        ({"network": shoal.Network.ntk((2, 4, 1)), "over": {"network.width": [2, 3]}}, "widths of a network with scal"),
        ({"network": shoal.Network((2, 1)), "over": {"network.width": [2, 3]}}, "network.width needs a network with"),
        ({"network": shoal.Network((2, 3, 4, 1)), "over": {"network.depth": [2]}}, "hidden layers of one width, got"),
    ],
)  # fmt: skip
def test_values(tmp_path: Path, changed: Any, message: str) -> None:
    """Values out of range, and conditions whose arrays do not fit together."""
    with pytest.raises(ValueError, match=message):
        swept(tmp_path / "s", **changed)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"store": 3}, "store must be the path of a folder, got 3"),
        ({"store": None}, "store must be the path of a folder, got None"),
        ({"block": 256.0}, "block must be an integer"),
        ({"networks": None, "start": START}, "networks must be an integer"),
        ({"progress": 3}, "progress must be a function"),
        ({"network": 3}, "network must be a shoal.Network"),
        ({"method": 3}, "method must be one of"),
        ({"record": "moments"}, "record must be a shoal.Record"),
        ({"loss": 3}, "loss must be one of"),
    ],
)
def test_types(tmp_path: Path, changed: Any, message: str) -> None:
    """Values of a wrong type."""
    with pytest.raises(TypeError, match=message):
        swept(**{"store": tmp_path / "s", **changed})
    assert not list(tmp_path.iterdir())


def test_ranges_of_starts_that_are_given(tmp_path: Path) -> None:
    """An explicit start is cut like the networks, and kept in the store."""
    generator = np.random.default_rng(0)
    starts = {name: random_start(NETWORK, 40, generator) for name in ("one", "two")}
    for record in (RAW, REDUCED):
        block = 16 if record is RAW else 256
        data = swept(
            tmp_path / f"{block}", record, start=starts["one"], over={"start": starts}, networks=40, block=block
        )
        for name, start in starts.items():
            alone = shoal.train(NETWORK, TASK, start, method=METHOD, record=record)
            assert_same(alone, data.sel(start=name))
    assert data.start_weights_1.dims == ("start", "start_network", "unit_1", "unit_0")


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
    told: Any = {"network": NETWORK, "task": TASK, "start": START, "loss": "hinge", "record": REDUCED, "over": None}
    told |= {"weight_decay": 0.0, "spectral_decoupling": 0.0, "seed": 0, "first": 0, "networks": 10**7}
    told |= {"engine": "auto", "condense": "auto", "dtype": "float64"}
    sizes = [Plan.of(**told, method=shoal.Descent(0.1, steps)).block for steps in (20, 1000, 10**6, 10**9)]
    assert sizes == [2**22, 2**19, 2**9, 256]
    assert Plan.of(**{**told, "networks": 700}, method=METHOD).block == 1024


def test_a_sweep_is_not_one_training(tmp_path: Path) -> None:
    """Its specification says so."""
    data = swept(tmp_path / "s", over={"seed": [1, 2]})
    with pytest.raises(ValueError, match="data must be of one training, got a sweep over seed"):
        shoal.specification(data)
