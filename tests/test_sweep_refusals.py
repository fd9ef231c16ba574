"""What a sweep cannot do is said before anything is made: which argument, what came, what is allowed."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import shoal
from test_sweep import METHOD, NETWORK, RAW, START, TASK, swept

UNITS = shoal.Record(steps=[0], measure=("loss", "unit_active"))
MANY = shoal.tasks.modes((1.7, 0.9, 0.5))


@pytest.mark.parametrize(
    ("over", "kind", "message"),
    [
        (3, TypeError, "over must be a mapping"),
        ("init.std", TypeError, "over must be a mapping"),
        ({}, ValueError, "at least one field, got an empty mapping"),
        ([], ValueError, "at least one condition, got an empty sequence"),
        ([3], TypeError, "got 3 at index 0"),
        ([{}], ValueError, "same fields in each condition"),
        ([{"seed": 1}, {"seed": 2, "init.std": 1.0}], ValueError, "same fields in each condition, got seed at"),
        ([{"seed": 1}, {"seed": 1}], ValueError, "must not repeat a value, got that of index 1 twice"),
        ({"seed": []}, ValueError, r"over\['seed'\] must hold at least one value"),
        ({"seed": 4}, TypeError, r"over\['seed'\] must be a sequence"),
        ({"loss": "hinge"}, TypeError, r"over\['loss'\] must be a sequence"),
        ({"seed": [1, 2, 1]}, ValueError, r"over\['seed'\] must not repeat a value, got 1 twice"),
        ({"init.std": [1, 1.0]}, ValueError, "must not repeat a value"),
        ({3: [1]}, TypeError, "must name fields by texts"),
        ({"init.sdt": [0.1]}, ValueError, "must name what can be swept here, .*init.std.*got 'init.sdt'"),
        ({"loss.threshold": [0.1]}, ValueError, "got 'loss.threshold'"),
        ({"record": [RAW]}, ValueError, "got 'record'"),
        ({"init": [START], "init.std": [0.1]}, ValueError, "'init' together with its field 'init.std'"),
        ({"network": [NETWORK], "network.width": [3]}, ValueError, "'network' together with its field 'network.width'"),
        ({"network.widths": [(2, 3, 1)], "network.depth": [1]}, ValueError, "'network.widths' together with"),
        ({"init.std": [0.1, -1.0]}, ValueError, "over: at init.std=-1.0: std must be positive, got -1.0"),
        ({"network.width": [2.5]}, TypeError, "over: at network.width=2.5: network.width must be an integer"),
        ({"network.depth": [0]}, ValueError, "network.depth must be at least 1, got 0"),
        ({"task": [START]}, TypeError, "task must be a shoal.Task"),
        ({"task": {(1,): TASK}}, TypeError, "must have texts or numbers as labels"),
        ({"init.gain": [1.0]}, ValueError, "either std or gain"),
        ({"seed": [0, -1]}, ValueError, "over: at seed=-1: seed must be between 0"),
        ({"init.std": [10**400]}, ValueError, "std must be finite, got inf"),
        ({"network.width": [10**400]}, ValueError, "widths must make a network of at most"),
        ({"init.std": b"ab"}, TypeError, r"over\['init.std'\] must be a sequence of values, .* got b'ab'"),
        ({"init.std": np.array(0.1)}, TypeError, r"over\['init.std'\] must be a sequence of values, .* got array"),
        ({"init.std": {math.nan: 0.1}}, ValueError, r"over\['init.std'\] must have finite numbers as labels, got nan"),
        ({"init.std": {10**400: 0.1}}, ValueError, "must have finite numbers as labels, got 1000"),
        ({"init.std": {"1": 0.1, 1: 0.2}}, ValueError, "must have labels that differ as texts, got 1 twice"),
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
        ({"record": shoal.Record(times=[0, 1]), "over": {"method": [METHOD, shoal.GradientFlow(2.0)]}},
         "sweep methods of one kind"),
        ({"networks": 0}, "networks must be between 1"),
        ({"block": 300}, "block must be 256 networks times a power of two, got 300; the nearest are 256 and 512"),
        ({"block": 64}, "block must be 256 networks times a power of two, got 64; the nearest is 256"),
        ({"first_network": 100}, "first_network must be a multiple of 256, .* got 100; the nearest are 0 and 256"),
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
        ({"block": 256.0}, "block must be an integer"),
        ({"networks": None, "init": START}, "networks must be an integer"),
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


def test_a_sweep_is_not_one_training(tmp_path: Path) -> None:
    """Its specification says so."""
    data = swept(tmp_path / "s", over={"seed": [1, 2]})
    with pytest.raises(ValueError, match="data must be of one training, got a sweep over seed"):
        shoal.specification(data)
