"""Samples of a network that trains alone and surely meet their hinge are not looked at, and no bit shows it.

A step at which something is recorded of the samples looks at all of them. So a training that records at every step is
what one that records nothing until its end has to repeat. That samples do rest is counted in cpp/tests/alone_test.cpp.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray

import shoal
from support import same_bits, train_on

STEPS = 200


def learnable(**changed: Any) -> dict[str, Any]:
    """Return a training of one hidden layer that most of its samples are satisfied with halfway."""
    return {
        "network": shoal.Network.mean_field(12, 40),
        "task": shoal.tasks.separable_gaussian(400, 12, flipped=0.01, seed=3),
        "init": shoal.Gaussian(std=1.0),
        "loss": "hinge",
        "method": shoal.GradientDescent(0.5, STEPS),
        **changed,
    }


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each network train alone."""
    monkeypatch.setenv("SHOAL_ENGINE", "alone")


def looked_at(given: dict[str, Any], **changed: Any) -> xarray.Dataset:
    """Train with all samples looked at in every step."""
    steps = given["method"].steps
    record = shoal.Record(steps=range(steps + 1), measure=("margin", "trajectory", "weights"))
    return shoal.train(**given, record=record, threads=1, **changed)


def assert_repeated(given: dict[str, Any], all_seen: xarray.Dataset, threads: tuple[int, ...] = (1, 2)) -> None:
    """Assert the same bits where the samples are looked at rarely, and where the parameters alone are recorded."""
    last = given["method"].steps
    names = [str(name) for name in all_seen]
    for count in threads:
        rare = shoal.train(
            **given, record=shoal.Record(steps=[last // 2, last], measure=("margin", "weights")), threads=count
        )
        few = all_seen[[name for name in names if not name.startswith("trajectory")]]
        same_bits(rare, few.sel(time=rare.time))
        alone = shoal.train(
            **given, record=shoal.Record(steps=range(last + 1), measure=("trajectory", "weights")), threads=count
        )
        same_bits(alone, all_seen[[name for name in names if name != "margin"]])


SCALED = shoal.Network((12, 40, 1), bias=True, scales=(0.3, 0.05), rates=(12.0, 20.0))
CHANGES: dict[str, dict[str, Any]] = {
    "as in the paper": {},
    "squared hinge": {"loss": shoal.SquaredHinge(0.4)},
    "another threshold": {"loss": shoal.Hinge(0.1)},
    "centred": {"network": shoal.Network.mean_field(12, 40, centred=True)},
    "biases, scales and rates": {"network": SCALED, "init": shoal.Gaussian(std=0.5)},
    "leaky": {
        "network": shoal.Network((12, 40, 1), "leaky_relu", slope=0.3),
        "method": shoal.GradientDescent(0.05, STEPS),
    },
    "linear": {"network": shoal.Network((12, 40, 1), "linear"), "method": shoal.GradientDescent(0.05, STEPS)},
    "large steps": {"method": shoal.GradientDescent(20.0, STEPS)},
    "weight decay": {"weight_decay": 1e-4},
    "many labels flipped": {"task": shoal.tasks.separable_gaussian(400, 12, flipped=0.2, seed=3)},
    "two layers": {"network": shoal.Network((12, 20, 10, 1)), "method": shoal.GradientDescent(0.1, STEPS)},
    "smooth": {"network": shoal.Network((12, 40, 1), "tanh"), "method": shoal.GradientDescent(0.1, STEPS)},
    "spectral decoupling": {"spectral_decoupling": 0.1},
    "samples without weight": {
        "task": shoal.Task(
            np.random.default_rng(4).standard_normal((600, 12)),
            np.where(np.arange(600) % 2, 1, -1),
            (np.arange(600) % 3 < 1).astype(float),
        )
    },
}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("change", CHANGES)
def test_resting_samples_change_no_bit(change: str, dtype: str) -> None:
    given = learnable(**CHANGES[change], dtype=dtype)
    all_seen = looked_at(given)
    final = shoal.Record(steps=[STEPS], measure=("margin", "weights"))
    lanes = train_on("lanes", **given, record=final)
    same_bits(train_on("alone", **given, record=final), lanes)
    margins = all_seen.margin.values[0]
    threshold = getattr(given["loss"], "threshold", 1.0)
    assert (margins[0] < threshold).mean() > 0.2
    assert (margins[STEPS // 2 :] > threshold).mean() > 0.1
    assert_repeated(given, all_seen)


def test_several_networks_rest_each_on_its_own() -> None:
    given = learnable(networks=3, method=shoal.GradientDescent(0.5, 100))
    assert_repeated(given, looked_at(given), threads=(1, 2, 5))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_margin_that_falls_back_to_its_threshold_wakes_its_sample_in_time(dtype: str) -> None:
    """Weight decay takes a satisfied network of one unit back, by just as much as the bound allows for."""
    given = learnable(
        network=shoal.Network((1, 1, 1)),
        task=shoal.Task(np.array([[1.0], [1.5], [0.75]]), [1, 1, 1]),
        init=shoal.Explicit([np.full((1, 1, 1), 2.0), np.full((1, 1, 1), 2.0)]),
        weight_decay=0.01,
        method=shoal.GradientDescent(0.05, 4000),
        dtype=dtype,
    )
    all_seen = looked_at(given)
    short = all_seen.margin.values[0] < 1
    assert not short[0].any()
    assert (np.diff(short[:, 2].astype(int)) != 0).sum() > 20, "the smallest falls to the threshold and is held there"
    assert_repeated(given, all_seen)


@pytest.mark.parametrize("size", [1e6, 1e12, 1e17])
def test_no_overflow_on_the_way_to_an_ordinary_output_is_passed_over(size: float) -> None:
    """Ordinary parameters under scales so unequal that nothing may rest from some size on."""
    inputs = np.random.default_rng(5).standard_normal((300, 6)) * size
    given = learnable(
        network=shoal.Network((6, 20, 1), scales=(size, 1 / size**2)),
        task=shoal.Task(inputs, np.where(inputs[:, 0] > 0, 1, -1)),
        init=shoal.Gaussian(std=0.5),
        method=shoal.GradientDescent(0.1, 100),
        dtype="float32",
    )
    all_seen = looked_at(given)
    assert 0.5 < (all_seen.margin.values[0, -1] > 1).mean() < 1
    assert_repeated(given, all_seen)


def test_a_network_that_diverges_after_its_samples_rest_is_marked_at_the_same_step() -> None:
    """Weight decay above 2/rate: all weights grow, first the margins with them, until nothing is finite."""
    given = learnable(weight_decay=5.0, method=shoal.GradientDescent(0.5, 2500))
    all_seen = looked_at(given)
    assert int(all_seen.status[0]) == 1
    assert_repeated(given, all_seen)
