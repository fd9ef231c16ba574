"""Weights from PyTorch and back are the same functions, to rounding. Left out without PyTorch: it is no dependency."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import shoal
from shoal.spec.activation import ACTIVATIONS

torch = pytest.importorskip("torch")
nn = torch.nn
GENERATOR = np.random.default_rng(6)
POINTS = GENERATOR.standard_normal((9, 3))
TASK = shoal.Task(GENERATOR.standard_normal((5, 3)), [1, -1, 1, 1, -1])


def evaluated(module: Any) -> Any:
    with torch.no_grad():
        return module(torch.from_numpy(POINTS)).numpy()


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("bias", [False, True])
def test_a_module_computes_what_the_network_does(activation: str, bias: bool) -> None:
    slope = {"slope": 0.2} if activation == "leaky_relu" else {}
    network = shoal.Network((3, 5, 4, 1), activation, bias=bias, scales=(0.5, 2.0, 3.0), **slope)
    data = shoal.train(
        network, TASK, shoal.Gaussian(0.8), method=shoal.GradientDescent(0.02, 20), networks=4, first_network=7,
        record=shoal.Record(measure=("weights",)),
    )  # fmt: skip
    for number in (7, 10):
        right = shoal.predict(data, POINTS).sel(network=number).values
        np.testing.assert_allclose(evaluated(shoal.to_torch(data, number))[:, 0], right, rtol=1e-12, atol=1e-13)
    single = shoal.to_torch(data.isel(network=3), 10)
    np.testing.assert_array_equal(evaluated(single), evaluated(shoal.to_torch(data, 10)))


def test_weights_of_modules_are_trained_as_they_are() -> None:
    torch.manual_seed(3)
    modules = [
        nn.Sequential(nn.Linear(3, 6), nn.ReLU(), nn.Linear(6, 1)).to(torch.float64 if k else torch.float32)
        for k in range(3)
    ]
    init = shoal.Explicit.from_torch(modules)
    assert init.networks == 3
    network = shoal.Network((3, 6, 1), bias=True)
    record = shoal.Record(measure=("weights",))
    data = shoal.train(network, TASK, init, method=shoal.GradientDescent(0.05, 40), record=record)
    for k, module in enumerate(modules):
        module.to(torch.float64)
        x, y = torch.tensor(TASK.inputs), torch.tensor(TASK.labels, dtype=torch.float64)
        optimiser = torch.optim.SGD(module.parameters(), lr=0.05)
        for _ in range(40):
            optimiser.zero_grad()
            nn.functional.softplus(-y * module(x)[:, 0]).mean().backward()
            optimiser.step()
        np.testing.assert_allclose(shoal.predict(data, POINTS)[k], evaluated(module)[:, 0], rtol=1e-10, atol=1e-12)
    assert shoal.Explicit.from_torch(shoal.to_torch(data, 1)).weights[0].shape == (1, 6, 3)


def test_modules_that_are_no_networks_are_refused() -> None:
    first = nn.Sequential(nn.Linear(3, 6), nn.ReLU(), nn.Linear(6, 1))
    with pytest.raises(ValueError, match=r"modules\[1\] must have the layers of modules\[0\]"):
        shoal.Explicit.from_torch([first, nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 1))])
    with pytest.raises(ValueError, match=r"modules\[0\] must have torch.nn.Linear layers"):
        shoal.Explicit.from_torch(nn.Sequential(nn.ReLU()))
    with pytest.raises(ValueError, match="biases in all layers or in none"):
        shoal.Explicit.from_torch(nn.Sequential(nn.Linear(3, 6), nn.Linear(6, 1, bias=False)))
    with pytest.raises(ValueError, match="modules must hold at least one"):
        shoal.Explicit.from_torch([])
    for wrong in (3, [3]):
        with pytest.raises(TypeError, match="modules"):
            shoal.Explicit.from_torch(wrong)


def test_networks_that_no_module_can_be_are_refused() -> None:
    given: dict[str, Any] = {"method": shoal.GradientDescent(0.02, 20), "record": shoal.Record(measure=("weights",))}
    data = shoal.train(shoal.Network((3, 4, 1)), TASK, shoal.Gaussian(0.8), networks=4, **given)
    with pytest.raises(ValueError, match=r"network must be one of 0\.\.3 that data holds, got 4"):
        shoal.to_torch(data, 4)
    centred = shoal.train(shoal.Network((3, 4, 1), centred=True), TASK, shoal.Gaussian(0.8), networks=4, **given)
    with pytest.raises(ValueError, match="network must not be centred"):
        shoal.to_torch(centred, 0)


@pytest.mark.parametrize("activation", ["relu", "tanh", "erf", "quadratic"])
@pytest.mark.parametrize("outputs", [1, 2])
def test_modules_of_a_regression_train_as_shoal_does(activation: str, outputs: int) -> None:
    """From the initial weights on, by autograd: half the squared error, the mean over samples."""
    targets = np.random.default_rng(11).standard_normal((5, outputs))
    task = shoal.Task.regression(TASK.inputs, targets if outputs > 1 else targets[:, 0])
    network = shoal.Network((3, 5, outputs), activation, bias=True, scales=(0.7, 1.0))
    given = {"loss": "squared", "record": shoal.Record(measure=("weights", "loss")), "networks": 2}
    start = shoal.train(network, task, shoal.Gaussian(0.5), method=shoal.GradientDescent(0.02, 0), **given)
    right = shoal.train(network, task, shoal.Gaussian(0.5), method=shoal.GradientDescent(0.02, 30), **given)
    x, y = torch.tensor(task.inputs), torch.tensor(targets)
    for number in range(2):
        module = shoal.to_torch(start, number)
        # A module holds scale x weight: the rate of shoal's weight is scale^2 of that product's.
        groups = [
            {"params": [layer.weight], "lr": 0.02 * s**2}
            for layer, s in zip(linear(module), network.scales, strict=True)
        ]
        groups += [{"params": [layer.bias], "lr": 0.02} for layer in linear(module)]
        optimiser = torch.optim.SGD(groups, lr=0.02)
        for _ in range(30):
            optimiser.zero_grad()
            (0.5 * (module(x) - y) ** 2).sum(dim=1).mean().backward()
            optimiser.step()
        found = evaluated(module)
        np.testing.assert_allclose(evaluated(shoal.to_torch(right, number)), found, rtol=1e-10, atol=1e-12)
        predicted = shoal.predict(right, POINTS).sel(network=number).values.reshape(len(POINTS), outputs)
        np.testing.assert_allclose(predicted, found, rtol=1e-10, atol=1e-12)


def linear(module: Any) -> list[Any]:
    return [layer for layer in module if isinstance(layer, nn.Linear)]
