"""The tangent kernel is that of the oracle's gradients, on every engine, and says how outputs move."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import reference
import shoal
from reference import Parameters
from shoal.spec.loss import resolve_loss
from support import ACTIVATIONS, ENGINES, layers, same_bits, train_on

BOTH = ("tangent_kernel", "kernel_distance")
NETWORKS = [
    shoal.Network((3, 6, 1)),
    shoal.Network((3, 5, 4, 1), "tanh", bias=True),
    shoal.Network((3, 4, 5, 3), "leaky_relu", bias=True, scales=(0.7, 1.4, 0.9), rates=(1.5, 0.6, 1.1)),
    shoal.Network((3, 2), bias=True),
    shoal.Network((3, 5, 1), "erf", centred=True, scales=(1.0, 0.5)),
    shoal.Network((3, 5, 1), "quadratic"),
    shoal.Network((3, 5, 1), "softplus", bias=True),
]


def arguments(network: shoal.Network, generator: np.random.Generator, **changed: Any) -> dict[str, Any]:
    """Return a regression of which two samples are only measured, and the core takes them in another order."""
    targets = generator.normal(size=(6, network.outputs))
    task = shoal.Task.regression(generator.normal(size=(6, 3)), targets, sample_weight=[0, 1, 2, 0, 1, 1])
    measure = (*BOTH, "trajectory", "residual", "gradient_norm")
    given = {"network": network, "task": task, "init": shoal.Gaussian(0.4), "networks": 5, "loss": "squared"}
    return {
        **given,
        "method": shoal.GradientDescent(0.03, 8),
        "record": shoal.Record(steps=[0, 3, 8], measure=measure),
        **changed,
    }


def jacobian(network: shoal.Network, task: Any, here: Parameters) -> NDArray[np.float64]:
    """Return the derivatives (samples, outputs, parameters), each the oracle's gradient where the residual is 1."""
    whole = reference.problem(network, task, resolve_loss("squared"))
    plain = replace(whole, centred=False)
    rows = []
    for s in range(task.samples):
        one = replace(plain, inputs=whole.inputs[s : s + 1], weights=np.ones(1))
        outputs = np.atleast_2d(reference.forward(one, here)[1][-1]).reshape(1, -1)
        for k in range(network.outputs):
            targets = outputs - np.eye(network.outputs)[k]
            aimed = replace(one, targets=targets if whole.targets.ndim == 2 else targets[:, 0])
            slope = reference.gradient(aimed, here)
            rows.append(np.concatenate([array.ravel() for array in (*slope.weights, *slope.biases)]))
    return np.reshape(rows, (task.samples, network.outputs, -1))


def rates(network: shoal.Network, here: Parameters) -> NDArray[np.float64]:
    arrays = (here.weights, here.biases)
    return np.concatenate([np.full(array.size, network.rates[i]) for held in arrays for i, array in enumerate(held)])


def at(data: Any, k: int, time: int) -> Parameters:
    return Parameters(*([array[k, time] for array in layers(data, name)] for name in ("trajectory", "trajectory_bias")))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("network", NETWORKS, ids=repr)
def test_it_is_that_of_the_oracles_gradients(
    network: shoal.Network, engine: str, generator: np.random.Generator
) -> None:
    given = arguments(network, generator)
    data = train_on(engine, **given)
    assert data.tangent_kernel.dims == ("network", "time", "sample", "other_sample")
    for k in range(5):
        kernels = []
        for time in range(3):
            here = at(data, k, time)
            slopes = jacobian(network, given["task"], here)
            expected = np.einsum("skp,p,tkp->st", slopes, rates(network, here), slopes)
            kernels.append(expected)
            scale = np.abs(expected).max()
            np.testing.assert_allclose(data.tangent_kernel[k, time], expected, rtol=0, atol=1e-12 * scale)
            first = kernels[0]
            cosine = (expected * first).sum() / np.sqrt((expected**2).sum() * (first**2).sum())
            np.testing.assert_allclose(data.kernel_distance[k, time], 1 - cosine, rtol=0, atol=1e-14)
    assert (data.kernel_distance[:, 0] == 0).all()


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_it_says_how_fast_the_loss_falls(activation: str, generator: np.random.Generator) -> None:
    """|gradient|^2 = sum_st p_s r_s K_st p_t r_t for one output."""
    given = arguments(shoal.Network((3, 5, 4, 1), activation, bias=True), generator, init=shoal.Gaussian(0.2))
    data = shoal.train(**given)
    assert (data.status == 0).all()
    pulls = data.residual * data.sample_weight
    squares = (data.tangent_kernel * pulls * pulls.rename(sample="other_sample")).sum(("sample", "other_sample"))
    np.testing.assert_allclose(squares, data.gradient_norm**2, rtol=1e-10)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_engine_threads_and_neighbours_change_no_bit(dtype: str, generator: np.random.Generator) -> None:
    network = shoal.Network((3, 4, 5, 2), bias=True)
    given = arguments(network, generator, networks=60, dtype=dtype)
    whole = shoal.train(**given, threads=2)
    for engine in ENGINES:
        same_bits(train_on(engine, **given, threads=1), whole)
    same_bits(shoal.train(**{**given, "networks": 2, "first_network": 37}), whole.isel(network=slice(37, 39)))


def test_a_flow_has_it_too(generator: np.random.Generator) -> None:
    network = shoal.Network((3, 6, 1))
    record = shoal.Record(times=[0.0, 0.5, 2.0], measure=(*BOTH, "trajectory"))
    given = arguments(network, generator, method=shoal.GradientFlow(2.0), record=record)
    data = shoal.train(**given)
    for k in range(5):
        here = at(data, k, 2)
        slopes = jacobian(network, given["task"], here)
        expected = np.einsum("skp,tkp->st", slopes, slopes)
        np.testing.assert_allclose(data.tangent_kernel[k, 2], expected, rtol=0, atol=1e-12 * np.abs(expected).max())


def test_a_linear_model_keeps_its_kernel(generator: np.random.Generator) -> None:
    data = shoal.train(**arguments(shoal.Network((3, 1)), generator))
    assert (data.kernel_distance == 0).all()
    np.testing.assert_allclose(data.tangent_kernel[0, 2], data.inputs.values @ data.inputs.values.T, rtol=1e-14)


def test_dead_networks_have_no_direction_of_it() -> None:
    weights = [np.full((1, 2, 1), -1.0), np.ones((1, 1, 2))]
    record = shoal.Record(steps=[0, 1], measure=BOTH)
    data = shoal.train(
        shoal.Network((1, 2, 1)), shoal.Task([[1.0], [2.0]], [1, -1]), shoal.Explicit(weights),
        method=shoal.GradientDescent(0.1, 1), record=record,
    )  # fmt: skip
    assert (data.tangent_kernel == 0).all()
    assert np.isnan(data.kernel_distance).all()


def test_networks_that_diverge_have_none(generator: np.random.Generator) -> None:
    given = arguments(shoal.Network((3, 5, 1), "quadratic"), generator, method=shoal.GradientDescent(30.0, 8))
    for engine in ENGINES:
        data = train_on(engine, **given)
        lost = data.diverged_at >= 0
        assert lost.any()
        assert np.isnan(data.tangent_kernel[lost, 2]).all()


@pytest.mark.parametrize("reduce", [None, "moments"])
def test_equal_samples_have_equal_rows(reduce: str | None, generator: np.random.Generator) -> None:
    inputs = np.repeat(generator.normal(size=(3, 40)), 20, axis=0)
    labels = np.repeat([1, -1, 1], 20)
    given: dict[str, Any] = {
        "network": shoal.Network((40, 5, 1)),
        "task": shoal.Task(inputs, labels),
        "init": shoal.Gaussian(0.2),
        "networks": 9,
        "method": shoal.GradientDescent(0.1, 5),
        "record": shoal.Record(steps=[0, 5], measure=BOTH, reduce=reduce),
    }
    condensed, plain = (shoal.train(**given, condense=flag) for flag in (True, False))
    assert condensed.tangent_kernel.shape == plain.tangent_kernel.shape
    np.testing.assert_allclose(condensed.tangent_kernel, plain.tangent_kernel, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(condensed.kernel_distance, plain.kernel_distance, rtol=1e-8, atol=1e-14)
    assert (plain.kernel_distance[:, 1] > 1e-4).any()


def test_the_distance_is_from_the_initialisation_also_after_resume(generator: np.random.Generator) -> None:
    given = arguments(shoal.Network((3, 6, 1)), generator)
    record = shoal.Record(measure=(*BOTH, "weights"))
    whole = shoal.train(**{**given, "record": record})
    half = shoal.train(**{**given, "record": record, "method": shoal.GradientDescent(0.03, 3)})
    rest = shoal.resume(half, steps=5)
    same_bits(rest, whole.sel(time=rest.time.values))
