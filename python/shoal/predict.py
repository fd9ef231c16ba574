"""Evaluate trained networks at any inputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shoal.base import checks
from shoal.spec.encoding import specification
from shoal.spec.forward import outputs
from shoal.spec.measures import REGISTRY
from shoal.spec.network import Network

if TYPE_CHECKING:
    import xarray

Floats = NDArray[np.float64]
Parameters = tuple[list[Floats], list[Floats]]
"""Weights (networks, outputs, inputs) and biases (networks, outputs), one array per layer; no biases: an empty list."""


def predict(data: xarray.Dataset, inputs: ArrayLike) -> xarray.DataArray:
    """Return the outputs f(x) of trained networks at any inputs, from their final weights.

    Parameters
    ----------
    data
        What ``train`` or ``resume`` returned, with the final weights of its networks:
        ``Record(measure=("weights", ...))``. Consecutive networks of it, or a single one, are enough.
    inputs : array_like, shape (points, inputs)
        Where to evaluate the networks.

    Returns
    -------
    xarray.DataArray
        Of dimensions (network, point) for one output, (network, point, output) for several; without ``network`` if
        ``data`` is a single network. Centred networks give f(x, t) - f(x, 0). Networks that have diverged give NaN.
        The outputs are computed in float64 for every dtype of the training.

    Raises
    ------
    TypeError
        An argument has the wrong type.
    ValueError
        ``inputs`` has the wrong shape or is not finite, ``data`` has no final weights, or as in ``specification``.

    Examples
    --------
    >>> import shoal
    >>> data = shoal.train(shoal.Network((2, 3, 1)), shoal.tasks.modes((1., 2.)), shoal.Gaussian(.1), networks=4,
    ...                    method=shoal.GradientDescent(.1, steps=50), record=shoal.Record(measure=("weights",)))
    >>> shoal.predict(data, [[1., 0.], [0., 1.], [1., 1.]]).sizes
    Frozen({'network': 4, 'point': 3})
    """
    import xarray

    data, single = with_networks(data)
    given = specification(data)
    network = given.network
    points = checks.real_array("inputs", inputs, dimensions=2, shape="(points, inputs)")
    if points.shape[1] != network.inputs:
        raise ValueError(f"inputs must have shape (points, {network.inputs}) for this network, got {points.shape}")
    values = outputs(network, *final_parameters(data, network), points)
    if network.centred:
        drawn = given.drawn()
        values -= outputs(network, drawn.weights, drawn.biases, points)
    dims, held = ("network", "output", "point"), {name: data[name] for name in ("network",) if name in data.coords}
    found = xarray.DataArray(values, dims=dims, coords=held, name="output", attrs={"long_name": "output f(x)"})
    found = found.transpose("network", "point", "output")
    if network.outputs == 1:
        found = found.isel(output=0)
    return found.isel(network=0) if single else found


def final_parameters(data: xarray.Dataset, network: Network) -> Parameters:
    """Return the final weights and biases of a dataset, or raise a ValueError if they were not recorded."""
    if "network" not in data.dims:
        raise ValueError(
            "data must keep each network, got statistics or a single network: select one with a list or slice"
        )
    return _final(data, network, "weights", "final weights")


def final_velocity(data: xarray.Dataset, network: Network) -> Parameters:
    """Return the final velocity of weights and biases, or raise a ValueError if it was not recorded."""
    return _final(data, network, "velocity", "final velocity of momentum")


def _final(data: xarray.Dataset, network: Network, measure: str, meaning: str) -> Parameters:
    kinds = REGISTRY[measure].arrays if network.bias else REGISTRY[measure].arrays[:1]
    names = [[f"{kind}_{layer}" for layer in range(1, network.layers + 1)] for kind in kinds]
    missing = [name for held in names for name in held if name not in data]
    if missing:
        raise ValueError(
            f"data must hold the {meaning}, recorded by measure=({measure!r}, ...): it lacks {', '.join(missing)}"
        )
    weights, *biases = [[np.asarray(data[name].values, np.float64) for name in held] for held in names]
    return weights, biases[0] if biases else []


def with_networks(data: Any) -> tuple[Any, bool]:
    """Return the data with a dimension of networks, and whether they are a single network without it."""
    single = "network" not in getattr(data, "dims", ()) and "network" in getattr(data, "coords", ())
    return (data.expand_dims("network"), True) if single else (data, False)
