"""A sample of weight 0 is measured and not learnt: it changes no bit of the training, whatever its loss is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray

import reference
import shoal
from support import ACTIVATIONS, LOSSES, same_bits, size_of_weights, started

STEPS = 30
OF_SAMPLES = ("margin", "pattern")
MEASURES = ("loss", "error", "soft_error", "margin", "layer_norm", "balance", "trajectory", "weights")


def tasks(outputs: int = 1, huge: float = 1.0, samples: int = 9) -> tuple[shoal.Task, shoal.Task, np.ndarray]:
    """Return a task, the same with samples of weight 0 among its own, and which of those are learnt."""
    generator = np.random.default_rng(3)
    points = generator.standard_normal((samples, 3))
    labels = generator.choice([-1, 1], samples) if outputs == 1 else generator.integers(outputs, size=samples)
    learnt = generator.permutation(np.arange(samples) % 3 > 0)
    learnt[0] = False
    points[~learnt] *= huge
    weights = np.where(learnt, np.arange(samples) % 4 + 1.0, 0.0)
    few = shoal.Task(points[learnt], labels[learnt], weights[learnt])
    return few, shoal.Task(points, labels, weights), learnt


def assert_learns_the_same(all_of_it: xarray.Dataset, few: xarray.Dataset, learnt: np.ndarray) -> None:
    """Assert that two trainings have the same bits in all but the samples that one of them lacks."""
    common = [name for name in few if name not in OF_SAMPLES]
    same_bits(all_of_it[common], few[common])
    for name in OF_SAMPLES:
        if name in few:
            ours = all_of_it[name].isel(sample=np.flatnonzero(learnt)).transpose(*few[name].dims)
            assert ours.values.tobytes() == few[name].values.tobytes(), name


def arguments(task: shoal.Task, outputs: int = 1, **changed: Any) -> dict[str, Any]:
    given = {
        "network": shoal.Network((3, 7, 4, outputs), bias=True),
        "task": task,
        "init": shoal.Gaussian(0.8),
        "method": shoal.GradientDescent(0.1, STEPS),
        "record": shoal.Record(measure=MEASURES, steps=[0, 7, STEPS]),
        "networks": 21,
        "condense": False,
    }
    return {**given, **changed}


def test_a_sample_of_weight_0_whose_loss_is_infinite_ends_nothing() -> None:
    task = shoal.Task([[1.0], [-1000.0]], [1, 1], sample_weight=[1, 0])
    init = shoal.Explicit([[[[1.0]]]])
    method, record = shoal.GradientDescent(0.1, 2), shoal.Record(measure=("loss", "margin"))
    data = shoal.train(shoal.Network((1, 1)), task, init, loss="exponential", method=method, record=record)
    np.testing.assert_allclose(data.loss[0], [0.368, 0.355, 0.342], atol=5e-4)
    assert data.status.item() == 0
    np.testing.assert_allclose(data.margin[0, 0], [1.0, -1000.0])


@pytest.mark.parametrize("huge", [1.0, 1e160, 1e300])
@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_samples_of_weight_0_change_no_bit(activation: str, huge: float) -> None:
    few, every, learnt = tasks(huge=huge)
    for loss in LOSSES:
        init = shoal.Gaussian(0.8 * size_of_weights(activation))
        given = {"network": shoal.Network((3, 7, 4, 1), activation, bias=True), "init": init, "loss": loss}
        together = shoal.train(**arguments(every, **given))
        assert_learns_the_same(together, shoal.train(**arguments(few, **given)), learnt)
        assert (together.status == 0).any()


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("outputs", [1, 3])
def test_samples_of_weight_0_change_no_bit_of_classes_and_parametrisations(outputs: int) -> None:
    few, every, learnt = tasks(outputs, huge=1e200)
    for penalties in ({}, {"weight_decay": 0.01, "spectral_decoupling": 0.1}):
        network = shoal.Network((3, 7, outputs), bias=True, scales=(0.5, 2.0), rates=(1.0, 3.0), centred=True)
        given = {"outputs": outputs, "network": network, "dtype": "float64", **penalties}
        assert_learns_the_same(shoal.train(**arguments(every, **given)), shoal.train(**arguments(few, **given)), learnt)


@pytest.mark.usefixtures("engine")
def test_many_samples_of_weight_0_change_no_bit() -> None:
    few, every, learnt = tasks(samples=1500)
    given = {"network": shoal.Network((3, 7, 1)), "networks": 3, "threads": 2}
    assert_learns_the_same(shoal.train(**arguments(every, **given)), shoal.train(**arguments(few, **given)), learnt)


@pytest.mark.parametrize("rule", ["fitted", "satisfied", "dead"])
@pytest.mark.usefixtures("engine")
def test_samples_of_weight_0_move_no_rule(rule: str) -> None:
    few, every, learnt = tasks(huge=1e200)
    given = {"loss": "hinge", "method": shoal.GradientDescent(0.5, 300, stop=rule), "networks": 40}
    given |= {"network": shoal.Network((3, 7, 1)), "record": shoal.Record(measure=MEASURES, steps=[0, 300])}
    together = shoal.train(**arguments(every, **given))
    assert_learns_the_same(together, shoal.train(**arguments(few, **given)), learnt)


@pytest.mark.usefixtures("engine")
def test_samples_of_weight_0_are_measured() -> None:
    _, every, _ = tasks()
    record = shoal.Record(measure=("loss", "margin", "pattern", "unit_active", "active", "weights"), steps=[0, STEPS])
    given = arguments(every, record=record, init=shoal.Gaussian(0.8))
    data = shoal.train(**given)
    setup = reference.problem(given["network"], every, shoal.CrossEntropy())
    drawn = shoal.train(
        **{**given, "method": shoal.GradientDescent(0.1, 0), "record": shoal.Record(measure=("weights",))}
    )
    for k in range(3):
        init = shoal.Explicit(
            [drawn[f"weights_{n}"].values[[k]] for n in (1, 2, 3)],
            [drawn[f"biases_{n}"].values[[k]] for n in (1, 2, 3)],
        )
        oracle = reference.train(setup, started(init, 0), 0.1, [0, STEPS])
        np.testing.assert_allclose(data.margin[k].values, oracle["margin"], rtol=1e-9)
        np.testing.assert_array_equal(data.pattern[k].values, oracle["pattern"])
        np.testing.assert_allclose(data.unit_active[k].values, oracle["unit_active"], rtol=1e-12)


@pytest.mark.parametrize("condense", [True, "auto"])
def test_samples_of_weight_0_change_no_bit_of_a_condensed_task(condense: bool | str) -> None:
    few, every, _ = tasks(samples=24)

    def thrice(task: shoal.Task) -> shoal.Task:
        copies = 3 * [*range(task.samples)]
        return shoal.Task(task.inputs[copies], task.labels[copies], task.sample_weight[copies])

    given = {"network": shoal.Network((3, 7, 1)), "condense": condense, "weight_decay": 1e-3}
    together, alone = (shoal.train(**arguments(thrice(task), **given)) for task in (every, few))
    assert together.attrs["condensed"] != alone.attrs["condensed"]
    names = ["loss", "error", "weights_1", "weights_2", "trajectory_1"]
    same_bits(together[names], alone[names])
