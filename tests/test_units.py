"""Trajectories, and which hidden units are active on which samples."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray

import reference
import rounding
import shoal
from reference import Parameters
from support import ACTIVATIONS, layers, random_task, same_bits, size_of_weights

STEPS = [0, 3, 11, 30]
METHOD = shoal.GradientDescent(0.25, 30)


def arguments(network: shoal.Network, generator: np.random.Generator, *measures: str, **changed: Any) -> dict[str, Any]:
    return {
        "network": network,
        "task": random_task(13, 3, network.outputs, generator, "float32"),
        "init": shoal.Gaussian(0.6),
        "method": METHOD,
        "record": shoal.Record(steps=STEPS, measure=measures),
        "networks": 12,
        **changed,
    }


def at(data: xarray.Dataset, k: int, record: int) -> Parameters:
    return Parameters(
        [array[k, record].astype(np.float64) for array in layers(data, "trajectory")],
        [array[k, record].astype(np.float64) for array in layers(data, "trajectory_bias")],
    )


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("widths", [(3, 1), (3, 5, 1), (3, 5, 4, 2)])
def test_a_trajectory_holds_what_shorter_trainings_end_with(
    widths: tuple[int, ...], dtype: str, bias: bool, generator: np.random.Generator
) -> None:
    network = shoal.Network(widths, bias=bias)
    given = arguments(network, generator, "trajectory", dtype=dtype)
    data = shoal.train(**given)
    for i, step in enumerate(STEPS):
        shorter = {"method": shoal.GradientDescent(0.25, step), "record": shoal.Record(measure=("weights",))}
        ended = shoal.train(**{**given, **shorter})
        assert len(layers(ended, "biases")) == (len(widths) - 1) * bias
        for final, moving in (("weights", "trajectory"), ("biases", "trajectory_bias")):
            for one, other in zip(layers(ended, final), layers(data, moving), strict=True):
                assert one.dtype == dtype
                assert one.tobytes() == other[:, i].tobytes()


def test_a_trajectory_of_a_flow_ends_with_its_final_weights(generator: np.random.Generator) -> None:
    network = shoal.Network((3, 5, 1), bias=True)
    record = shoal.Record(times=[0.0, 1.0, 3.0], measure=("trajectory", "weights", "layer_norm"))
    given = arguments(network, generator, "trajectory")
    data = shoal.train(**{**given, "method": shoal.GradientFlow(t_end=3.0, max_steps=3000), "record": record})
    data = data.isel(network=np.flatnonzero(data.status == 0))  # random labels: some slide along a kink
    assert data.sizes["network"] >= 4
    for final, moving in (("weights", "trajectory"), ("biases", "trajectory_bias")):
        for one, other in zip(layers(data, final), layers(data, moving), strict=True):
            np.testing.assert_allclose(other[:, 2], one, rtol=0, atol=1e-12)
    for layer in (1, 2):
        norms = np.sqrt((data[f"trajectory_{layer}"] ** 2).sum((f"unit_{layer}", f"unit_{layer - 1}")))
        np.testing.assert_allclose(norms, data.layer_norm.sel(layer=layer), rtol=1e-14)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_active_units_are_the_oracles_to_rounding(
    activation: str, outputs: int, dtype: str, generator: np.random.Generator
) -> None:
    network = shoal.Network((3, 6, 5, outputs), activation, bias=outputs == 3)
    init = shoal.Gaussian(0.6 * size_of_weights(activation))
    given = arguments(network, generator, "trajectory", "pattern", "unit_active", "active", dtype=dtype, init=init)
    data = shoal.train(**given)
    assert data.pattern.dtype == bool
    assert data.pattern.dims == ("network", "time", "unit", "sample")
    assert data.unit_active.dims == ("network", "time", "unit")
    assert data.pattern.shape == (12, 4, 11, 13)
    assert data.unit_layer.values.tolist() == [1] * 6 + [2] * 5
    setup = reference.problem(network, given["task"], shoal.CrossEntropy())
    eps, sure = float(np.finfo(dtype).eps), 0
    for k in range(12):
        for i in range(len(STEPS)):
            there = at(data, k, i)
            inputs = np.concatenate([a.T for a in reference.forward(setup, there)[1][:-1]])
            off = np.concatenate([o.T for o in rounding.bounds(setup, there, eps).leaving[:-1]])
            clear = (np.abs(inputs) > off + 8 * eps) | (inputs == 0)  # exactly, where all units below are inactive
            found = data.pattern.values[k, i]
            np.testing.assert_array_equal(found[clear], reference.measures(setup, there)["pattern"][clear])
            sure += int(clear.sum())
    assert sure > 0.999 * data.pattern.size
    share = data.pattern.mean("sample")
    np.testing.assert_allclose(data.unit_active, share, rtol=2 * eps)
    by_layer = share.groupby("unit_layer").mean().values
    np.testing.assert_allclose(data.active.values, by_layer, rtol=4 * eps)
    assert 0.2 < float(data.unit_active.mean()) < 0.8


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("widths", [(3, 4, 1), (3, 9, 5, 1)])
def test_threads_company_and_blocks_do_not_change_a_bit(
    widths: tuple[int, ...], dtype: str, generator: np.random.Generator
) -> None:
    names = ("trajectory", "pattern", "unit_active")
    task = random_task(600, 3, 1, generator)
    given = arguments(shoal.Network(widths), generator, *names, networks=90, dtype=dtype, task=task)
    together = shoal.train(**given, threads=1)
    same_bits(shoal.train(**given, threads=3), together)
    for i in (0, 33, 89):
        same_bits(shoal.train(**{**given, "first_network": i, "networks": 1}), together.sel(network=[i]))
    for name in names:
        alone = shoal.train(**{**given, "record": shoal.Record(steps=STEPS, measure=(name,))})
        same_bits(alone, together[list(alone)])


def test_a_dead_unit_is_active_on_no_sample() -> None:
    weights = [np.array([[[1.0, 1.0], [-1.0, -1.0], [1.0, -1.0]]]), np.ones((1, 1, 3))]
    data = shoal.train(
        shoal.Network((2, 3, 1)),
        shoal.Task([[2.0, 1.0], [1.0, 2.0]], [1, 1]),
        shoal.Explicit(weights),
        method=shoal.GradientDescent(0.1, 0),
        record=shoal.Record(measure=("unit_active", "pattern")),
    )
    assert data.unit_active.values[0, 0].tolist() == [1.0, 0.0, 0.5]
    assert data.pattern.values[0, 0].tolist() == [[True, True], [False, False], [True, False]]


def test_a_model_without_hidden_layer_has_no_units(generator: np.random.Generator) -> None:
    data = shoal.train(**arguments(shoal.Network((3, 1)), generator, "unit_active", "pattern"))
    assert data.unit_active.shape == (12, 4, 0)
    assert data.pattern.shape == (12, 4, 0, 13)
