"""Neither sizes that the compiler knows nor the machine's caches show in any bit of a training."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
import xarray

import shoal
from shoal import _core
from shoal.spec.network import ACTIVATIONS
from support import LOSSES, MEASURES, QUICK_MEASURES, same_bits, train_on

KIB = 1024
USUAL = (32 * KIB, 512 * KIB)
SHAPES = [(inputs, units, 1) for inputs, units in _core.fixed_shapes()]


def trained(
    monkeypatch: pytest.MonkeyPatch, tuning: tuple[int, int, bool], engine: str = "lanes", **given: Any
) -> xarray.Dataset:
    """Return what a training gives that is told its caches (L1 and L2, in bytes) and whether to use fixed shapes."""
    kernel = _core.load(_core.choice.isa)
    with monkeypatch.context() as patch:
        patch.setattr(_core, "train", partial(kernel.train, tuning=tuning))
        return train_on(engine, **given)


def task(generator: np.random.Generator, inputs: int, samples: int, classes: int = 2) -> shoal.Task:
    points = generator.standard_normal((samples + 40, inputs))
    labels = np.arange(samples + 40) % classes if classes > 2 else 1 - 2 * (np.arange(samples + 40) % 2)
    return shoal.Task(points[:samples], labels[:samples], test=(points[samples:], labels[samples:]))


@pytest.mark.parametrize("widths", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_shape_of_the_list_has_the_bits_of_the_general_passes(
    widths: tuple[int, ...], dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _core.is_fixed(widths, "relu")
    for number, loss in enumerate(LOSSES):
        given = {
            "network": shoal.Network(widths, bias=number % 2 == 1),
            "task": task(np.random.default_rng(number), widths[0], 37),
            "init": shoal.Gaussian(0.7),
            "loss": loss,
            "method": shoal.GradientDescent(0.05, 60),
            "record": shoal.Record(measure=MEASURES, steps=[0, 7, 60]),
            "networks": 70,  # packs of four registers a number where those exist, and lanes that stay empty
            "dtype": dtype,
            "threads": 1,
        }
        with_shape, without = (trained(monkeypatch, (*USUAL, fixed), **given) for fixed in (True, False))
        same_bits(with_shape, without)
        same_bits(with_shape, shoal.train(**given))


def test_a_flow_through_a_shape_of_the_list_has_the_bits_of_the_general_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    for widths in SHAPES[:3]:
        given = {
            "network": shoal.Network(widths),
            "task": task(np.random.default_rng(3), widths[0], 12),
            "init": shoal.Gaussian(0.7),
            "method": shoal.GradientFlow(0.5),
            "record": shoal.Record(measure=MEASURES, times=[0, 0.25, 0.5]),
            "networks": 5,
        }
        same_bits(*(trained(monkeypatch, (*USUAL, fixed), **given) for fixed in (True, False)))


def test_no_other_network_takes_a_shape_of_the_list() -> None:
    inputs, units, _ = SHAPES[0]
    for activation in ACTIVATIONS:
        assert _core.is_fixed((inputs, units, 1), activation) == (activation == "relu")
    for widths in [(inputs, units, 2), (inputs, units, units, 1), (inputs, 1), (37, 41, 1)]:
        assert not _core.is_fixed(widths, "relu")


NETWORKS: dict[str, dict[str, Any]] = {
    "one layer": {"network": shoal.Network((5, 9, 1), bias=True)},
    "hinges that are met": {
        "network": shoal.Network((5, 30, 1)),
        "loss": "hinge",
        "method": shoal.GradientDescent(0.5, 200),
    },
    "deep": {"network": shoal.Network((5, 9, 7, 1), "tanh", bias=True), "loss": "squared"},
    "classes": {"network": shoal.Network((5, 9, 3), "softplus", bias=True)},
    "tiny": {"network": shoal.Network((2, 4, 1)), "loss": "exponential"},
    "float32": {"network": shoal.Network((5, 40, 1), "leaky_relu"), "dtype": "float32"},
    "alone": {"network": shoal.Network((5, 90, 70, 1)), "networks": 2, "engine": "alone"},
    "alone, hinges that are met": {
        "network": shoal.Network((40, 90, 1)),
        "networks": 2,
        "engine": "alone",
        "loss": "hinge",
        "method": shoal.GradientDescent(0.5, 200),
    },
    "alone, classes": {"network": shoal.Network((5, 90, 70, 3), "tanh"), "networks": 2, "engine": "alone"},
}


@pytest.mark.parametrize("changed", NETWORKS.values(), ids=NETWORKS)
def test_caches_of_any_size_give_the_same_bits(changed: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    given = {
        "init": shoal.Gaussian(0.7),
        "method": shoal.GradientDescent(0.05, 40),
        "record": shoal.Record(measure=QUICK_MEASURES, steps=[0, 7, 40]),
        "networks": 70,
        "threads": 2,
        **changed,
    }
    network = given["network"]
    points = task(np.random.default_rng(1), network.widths[0], 500, network.widths[-1])
    engine = given.pop("engine", "lanes")
    expected = train_on(engine, task=points, **given)
    for nearest, second in [(KIB, KIB), (16 * KIB, 128 * KIB), (48 * KIB, 2048 * KIB), (2**30, 2**30)]:
        same_bits(trained(monkeypatch, (nearest, second, True), engine, task=points, **given), expected)


def test_the_caches_of_this_machine_are_known_within_reason() -> None:
    nearest, second = _core.caches()
    assert 16 * KIB <= nearest <= 256 * KIB
    assert 128 * KIB <= second <= 4096 * KIB
