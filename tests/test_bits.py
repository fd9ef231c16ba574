"""A network has the same bits whatever threads, other networks, engine, and instruction set that has FMA."""

from __future__ import annotations

import hashlib
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray

import shoal
from support import ACTIVATIONS, ALL_MEASURES, ENGINES, FUSED, LOSSES, on, same_bits, train_on

NETWORKS = 1000
RECORDED = Path(__file__).with_name("bits.json")
INITS: dict[str, dict[str, Any]] = {
    "gaussian": {"init": shoal.Gaussian(0.4)},
    "balanced": {"init": shoal.Balanced(0.4)},
    "separated": {"init": shoal.Separated(0.4)},
    "unit": {"init": shoal.Unit(0.4)},
    "symmetric": {"init": shoal.Symmetric(shoal.Balanced(0.4)), "network": shoal.Network((3, 5, 8, 1))},
}


def arguments(activation: str = "relu", loss: str = "cross_entropy", **changed: Any) -> dict[str, Any]:
    return {
        "network": shoal.Network((3, 7, 1), activation),
        "task": shoal.tasks.modes((1.7, 0.9, 1.2), (3, 2, 1)),
        "init": shoal.Gaussian(0.4),
        "loss": loss,
        "method": shoal.GradientDescent(0.1, 25),
        "record": shoal.Record(steps=[0, 1, 13, 25], measure=ALL_MEASURES),
        "networks": NETWORKS,
        **changed,
    }


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_threads_do_not_change_a_bit(activation: str, dtype: str) -> None:
    runs = [shoal.train(**arguments(activation, dtype=dtype), threads=threads) for threads in (1, 2, 5)]
    for run in runs[1:]:
        same_bits(run, runs[0])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("init", INITS)
def test_a_network_alone_is_the_same_as_among_a_thousand(init: str, dtype: str) -> None:
    given = arguments(**INITS[init], dtype=dtype)
    together = shoal.train(**given)
    for i in (0, 1, 7, 8, 500, 999):
        alone = shoal.train(**{**given, "first_network": i, "networks": 1})
        same_bits(alone, together.sel(network=[i]))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_engine_does_not_change_a_bit(activation: str, dtype: str) -> None:
    one, other = (train_on(engine, **arguments(activation, dtype=dtype), threads=2) for engine in ENGINES)
    same_bits(one, other)


@pytest.mark.parametrize("cut", [1, 3, 8, 15, 16, 17, 500])
def test_a_batch_split_in_two_is_the_same_as_whole(cut: int) -> None:
    whole = shoal.train(**arguments())
    parts = [
        shoal.train(**arguments(first_network=begin, networks=end - begin))
        for begin, end in ((0, cut), (cut, NETWORKS))
    ]
    same_bits(xarray.concat(parts, "network", data_vars="minimal"), whole)


def test_what_is_measured_does_not_change_what_is_trained() -> None:
    every = shoal.train(**arguments())
    for name in ALL_MEASURES[:-1]:
        record = shoal.Record(steps=[25], measure=(name, "weights"))
        few = shoal.train(**arguments(record=record))
        same_bits(few, every[list(few)].sel(time=few.time))


def test_statistics_do_not_depend_on_the_threads() -> None:
    record = shoal.Record(measure=ALL_MEASURES[:-1], reduce="moments")
    runs = [shoal.train(**arguments(record=record, networks=5000), threads=threads) for threads in (1, 2, 5)]
    for run in runs[1:]:
        same_bits(run, runs[0])


def wide_cases() -> dict[str, dict[str, Any]]:
    """Return trainings of wide networks, on inputs whose bits no library decides."""
    sample, axis = np.indices((300, 20))
    inputs = ((7 * sample * sample + 5 * sample * axis + 3 * axis) % 307 - 153) / 128  # no two samples are equal
    labels = np.where(inputs[:, 0] + inputs[:, 1] * inputs[:, 2] > 0, 1, -1)
    task, classes = shoal.Task(inputs, labels), shoal.Task(inputs, np.arange(300) % 3)
    given = {"init": shoal.Gaussian(0.3), "networks": 2}
    return {
        f"wide {name}": arguments(**given, **changed)
        for name, changed in {
            "hinge": {"network": shoal.Network((20, 70, 1)), "task": task, "loss": "hinge"},
            "squared hinge": {"network": shoal.Network((20, 70, 1), bias=True), "task": task, "loss": "squared_hinge"},
            "deep": {"network": shoal.Network((20, 40, 24, 1), "leaky_relu"), "task": task},
            "tanh": {"network": shoal.Network((20, 70, 1), "tanh"), "task": task},
            "classes": {"network": shoal.Network((20, 70, 3)), "task": classes},
            "in shares": {"network": shoal.Network((20, 70, 60, 1), bias=True), "task": task},
            "mean field": {
                "network": shoal.Network.mean_field(20, 90, centred=True),
                "task": task,
                "loss": "hinge",
                "method": shoal.GradientDescent(0.5, 200),
                "record": shoal.Record(steps=[0, 20, 60, 200], measure=ALL_MEASURES),
            },
        }.items()
    }


def target_cases() -> dict[str, dict[str, Any]]:
    """Return trainings with targets in place of labels or made of them, with what is recorded of outputs."""
    sample, axis = np.indices((300, 20))
    inputs = ((7 * sample * sample + 5 * sample * axis + 3 * axis) % 307 - 153) / 128
    targets = ((11 * sample[:, :3] ** 2 + 3 * sample[:, :3] * axis[:, :3] + axis[:, :3]) % 293 - 146) / 64
    wide = shoal.Task.regression(inputs[:240], targets[:240, 0], test=(inputs[240:], targets[240:, 0]))
    few, several = (
        shoal.Task.regression(inputs[:9, :3], targets[:9, 0]),
        shoal.Task.regression(inputs[:9, :3], targets[:9]),
    )
    classes = shoal.tasks.modes((1.7, 0.9, 1.2), (3, 2, 1), classes=3)
    measure = ("loss", "output", "residual", "gradient_norm", "weights")
    given = {"loss": "squared", "record": shoal.Record(steps=[0, 1, 13, 25], measure=measure)}
    tested = shoal.Record(steps=[0, 1, 13, 25], measure=(*measure, "test_loss", "test_output", "test_residual"))
    penalised = {"weight_decay": 0.03125, "spectral_decoupling": 0.0625}
    cases = {f"regression {activation}": arguments(activation, task=few, **given) for activation in ACTIVATIONS}
    deep = shoal.Network((3, 9, 5, 3), "tanh", bias=True)
    return cases | {
        "regression, three outputs": arguments(network=deep, task=several, **given, **penalised),
        "regression, wide": arguments(
            network=shoal.Network((20, 70, 1)), task=wide, **{**given, "record": tested}, networks=2
        ),
        "squared, three classes": arguments(network=shoal.Network((3, 6, 3)), task=classes, **given, **penalised),
    }


def digests() -> dict[str, str]:
    """Return a digest of the bits of every activation, loss, initialisation, depth, width and dtype, by name."""
    one = shoal.tasks.modes((1.7, 0.9, 1.2), (3, 2, 1))
    several = shoal.tasks.modes((1.7, 0.9, 1.2), (3, 2, 1), classes=3)
    cases: dict[str, dict[str, Any]] = {}
    for activation, loss in itertools.product(ACTIVATIONS, LOSSES):
        cases[f"{activation} {loss}"] = arguments(activation, loss)
    for activation in ACTIVATIONS:
        deep = shoal.Network((3, 9, 5, 1), activation, bias=True)
        cases[f"{activation} deep with biases"] = arguments(network=deep)
        classes = shoal.Network((3, 6, 3), activation)
        cases[f"{activation} three classes"] = arguments(network=classes, task=several)
    for name, changed in INITS.items():
        cases[f"{name} initialisation"] = arguments(**changed, task=one)
    cases["linear model"] = arguments(network=shoal.Network((3, 1)))
    sample, axis = np.indices((40, 64))
    repeated = ((7 * sample * sample + 5 * sample * axis + 3 * axis) % 307 - 153)[np.arange(40) % 20] / 128
    condensed = shoal.Task(repeated, np.where(np.arange(40) % 20 < 10, 1, -1))
    cases["condensed"] = arguments(network=shoal.Network((64, 7, 1)), task=condensed)
    cases |= wide_cases()
    norms = shoal.Record(steps=[0, 1, 13, 25], measure=("gradient_norm", "distance"))
    penalised = {"weight_decay": 0.03125, "spectral_decoupling": 0.0625, "record": norms}
    cases["norms"] = arguments("tanh", network=shoal.Network((3, 9, 5, 1), "tanh", bias=True), **penalised)
    cases["norms, condensed"] = {**cases["condensed"], "record": norms}
    cases["norms, wide"] = {**cases["wide squared hinge"], **penalised}
    curved = {"record": shoal.Record(steps=[0, 1, 13, 25], measure=("sharpness",))}
    cases["sharpness"] = {**cases["norms"], **curved}
    cases["sharpness, condensed"] = {**cases["condensed"], **curved}
    cases["sharpness, wide"] = {**cases["wide classes"], **curved}
    rates = {"method": shoal.GradientDescent(0.1 * (1 + np.arange(40) / 40), 25), "networks": 40}
    cases["learning rates"], cases["learning rates, wide"] = (
        {**cases[name], **rates, "network": shoal.Network((inputs, 9, 1))}
        for name, inputs in (("relu hinge", 3), ("wide hinge", 20))
    )
    cases["learning rates, wide"] |= {"networks": 2, "method": shoal.GradientDescent([0.05, 0.2], 25)}
    times = {"record": shoal.Record(times=[0, 0.3, 1, 4], measure=ALL_MEASURES), "networks": 40}
    for activation in ("relu", "tanh"):  # with kinks, and smooth
        cases[f"{activation} flow"] = {**arguments(activation), "method": shoal.GradientFlow(4.0), **times}
    cases |= target_cases()
    found = {}
    for (name, case), dtype in itertools.product(cases.items(), ("float64", "float32")):
        if dtype == "float32" and name.endswith(" flow"):
            continue  # refused
        given = {**case, "networks": min(case["networks"], 40), "dtype": dtype}
        data = train_on("auto", **given) if name.endswith(" flow") else shoal.train(**given)  # flows have one engine
        digest = hashlib.sha256()
        for variable in sorted(map(str, data)):
            values = np.ascontiguousarray(data[variable].values)
            # Which NaN a measure holds after a divergence is no part of the promise.
            kept = (
                np.where(np.isnan(values), np.nan, values).astype(values.dtype) if values.dtype.kind == "f" else values
            )
            digest.update(kept.astype(kept.dtype.newbyteorder("<")).tobytes())
        found[f"{name} {dtype}"] = digest.hexdigest()[:16]
    return found


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("isa", FUSED)
def test_every_instruction_set_with_fma_gives_the_recorded_bits(isa: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compare the bits of each engine and each set of this CPU with those in bits.json.

    The file names the set that it was made on. So all sets are compared with each other, those too that no one CPU has.
    Where the arithmetic changes on purpose, run this file as a script to record anew.
    """
    on(isa, monkeypatch)
    recorded = json.loads(RECORDED.read_text())["digests"]
    found = digests()
    assert found.keys() == recorded.keys()
    assert [name for name in found if found[name] != recorded[name]] == []


if __name__ == "__main__":
    RECORDED.write_text(json.dumps({"recorded on": shoal._core.isa, "digests": digests()}, indent=1) + "\n")
