"""Weights to PyTorch and back, if it is installed: it is no dependency."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from shoal.base import checks
from shoal.predict import Floats, final_parameters, with_networks
from shoal.spec.activation import REGISTRY
from shoal.spec.encoding import specification
from shoal.spec.network import Network

if TYPE_CHECKING:
    import torch
    import xarray

_OWN = {"Erf": "erf", "Quadratic": "square"}
"""Modules of activations that ``torch.nn`` lacks, and the function of PyTorch that each applies."""


def to_torch(data: xarray.Dataset, network: int) -> torch.nn.Sequential:
    """Return one network with its final weights as a PyTorch module.

    The module maps float64 tensors of shape (points, inputs) to (points, outputs). The scales of the layers are
    multiplied into the weights. Activations that ``torch.nn`` lacks, ``erf`` and ``quadratic``, are modules of
    ``shoal.pytorch``. ``Explicit.from_torch`` is the way back.

    Parameters
    ----------
    data
        As of ``predict``.
    network
        Which network: its label in ``data.network``.

    Raises
    ------
    ImportError
        PyTorch is not installed; shoal does not bring it.
    TypeError
        An argument has the wrong type.
    ValueError
        There is no such network, it is centred (no module of layers subtracts its own initial outputs), or as of
        ``predict``.
    """
    torch = _torch("to_torch")
    data, _ = with_networks(data)
    number = checks.integer("network", network, least=0)
    shape: Network = specification(data).network
    if shape.centred:
        raise ValueError("network must not be centred: a module of layers does not subtract its initial outputs")
    held = data["network"].values if "network" in data.coords else np.arange(data.sizes["network"])
    at = np.flatnonzero(held == number)
    if not len(at):
        raise ValueError(f"network must be one of {held[0]}..{held[-1]} that data holds, got {number}")
    weights, biases = final_parameters(data.isel(network=[int(at[0])]), shape)
    layers: list[Any] = []
    for layer, (array, scale) in enumerate(zip(weights, shape.scales, strict=True)):
        linear = torch.nn.Linear(array.shape[2], array.shape[1], bias=shape.bias, dtype=torch.float64)
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(scale * array[0]))
            if shape.bias:
                linear.bias.copy_(torch.from_numpy(biases[layer][0]))
        layers.append(linear)
        if layer < shape.layers - 1 and shape.activation != "linear":
            name = REGISTRY[shape.activation].torch
            module = _own_module(name) if name in _OWN else getattr(torch.nn, name)
            layers.append(module(shape.slope) if shape.activation == "leaky_relu" else module())
    return torch.nn.Sequential(*layers)


def parameters_of_torch(modules: Any) -> tuple[list[Floats], list[Floats] | None]:
    """Return weights and biases of one module of ``Linear`` layers, or of several with the same layers."""
    torch = _torch("Explicit.from_torch")
    what = "a torch.nn.Module or a sequence of them"
    given = [modules] if isinstance(modules, torch.nn.Module) else checks.sequence("modules", modules, what)
    if not given:
        raise ValueError("modules must hold at least one module, got none")
    networks: list[Any] = []
    shapes: list[Any] = []
    for k, module in enumerate(given):
        if not isinstance(module, torch.nn.Module):
            raise TypeError(f"modules[{k}] must be a torch.nn.Module, got {type(module).__name__}")
        linear = [layer for layer in module.modules() if isinstance(layer, torch.nn.Linear)]
        if not linear:
            raise ValueError(f"modules[{k}] must have torch.nn.Linear layers, got {module}")
        networks.append(linear)
        shapes.append([(tuple(layer.weight.shape), layer.bias is not None) for layer in linear])
        if shapes[k] != shapes[0]:
            raise ValueError(f"modules[{k}] must have the layers of modules[0], {shapes[0]}, got {shapes[k]}")
    have = {bias for _, bias in shapes[0]}
    if len(have) == 2:
        raise ValueError("modules must have biases in all layers or in none, got some with and some without")

    def stacked(name: str) -> list[Floats]:
        held = (
            [getattr(layer, name).detach().cpu().numpy() for layer in layers] for layers in zip(*networks, strict=True)
        )
        return [np.stack(arrays).astype(np.float64) for arrays in held]

    return stacked("weight"), stacked("bias") if have == {True} else None


def __getattr__(name: str) -> Any:
    """Return a module of an activation; pickle finds it here, before ``to_torch`` has made any."""
    if name in _OWN:
        return _own_module(name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _own_module(name: str) -> Any:
    """Return the class of a module that applies a function of PyTorch, made when first asked for."""
    if name not in globals():
        torch = _torch(f"shoal.pytorch.{name}")
        function = getattr(torch, _OWN[name])
        said = {"__module__": __name__, "__doc__": f"Apply ``torch.{_OWN[name]}`` to each number."}
        globals()[name] = type(name, (torch.nn.Module,), {**said, "forward": lambda _, a: function(a)})
    return globals()[name]


def _torch(name: str) -> Any:
    try:
        import torch
    except ImportError as error:
        raise ImportError(f"{name} needs PyTorch, which is not installed: pip install torch") from error
    return torch
