"""From the arrays of the core to a labelled dataset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from shoal.moments import STATISTICS
from shoal.network import Network
from shoal.start import Explicit, Start
from shoal.task import Task

if TYPE_CHECKING:
    import xarray

# The last dimensions of each measure, after (network or statistic, time), and what it is.
_MEASURES: dict[str, tuple[tuple[str, ...], str]] = {
    "loss": ((), "loss, weighted over samples"),
    "error": ((), "0-1 classification error, weighted over samples"),
    "soft_error": ((), "1 - probability of the label, weighted over samples"),
    "margin": (("sample",), "margin y f(x), or label's output less the largest other"),
    "layer_norm": (("layer",), "Frobenius norm of the weight matrix"),
    "balance": (("unit",), "squared norm of incoming less that of outgoing weights"),
    "active": (("hidden_layer",), "fraction of (sample, unit) pairs with positive input"),
}


def measured(network: Network, arrays: Mapping[str, Any], measures: Sequence[str], leading: str) -> dict[str, Any]:
    """Return the variables of the measures; ``leading`` is the first dimension, "network" or "statistic"."""
    variables: dict[str, Any] = {}
    for name in measures:
        if name == "weights":
            variables |= layer_variables("weights", arrays["weights"], "final weights")
            if network.bias:
                variables |= layer_variables("biases", arrays["biases"], "final biases")
        else:
            last, meaning = _MEASURES[name]
            variables[name] = ((leading, "time", *last), arrays[name], _attrs(meaning))
    return variables


def status(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """Return the variables that say which networks diverged, and when."""
    return {
        "status": (("network",), arrays["status"], _attrs("0 trained to the end, 1 diverged")),
        "diverged_at": (("network",), arrays["diverged_at"], _attrs("first step with a weight not finite, or -1")),
    }


def layer_variables(
    name: str, arrays: Sequence[NDArray[Any]], meaning: str, leading: str = "network"
) -> dict[str, Any]:
    """Return one variable a layer, numbered from 1: weights (.., unit_l, unit_l-1) or biases (.., unit_l)."""
    return {
        f"{name}_{layer}": (
            (leading, f"unit_{layer}", f"unit_{layer - 1}")[: array.ndim],
            array,
            _attrs(f"{meaning} of layer {layer}"),
        )
        for layer, array in enumerate(arrays, start=1)
    }


def assemble(
    network: Network,
    task: Task,
    start: Start,
    *,
    variables: Mapping[str, Any],
    steps: NDArray[np.int64],
    rate: float,
    index: NDArray[np.int64] | None,
    attrs: Mapping[str, str],
) -> xarray.Dataset:
    """Return the dataset: the variables, the coordinates that they use, and the big arrays of the specification.

    ``index`` holds the network indices, or is None for statistics over networks.
    """
    import xarray  # takes longer to import than the rest of shoal together

    coordinates: dict[str, Any] = {
        "time": (("time",), steps * rate, {"long_name": "training time, step x rate", "units": "1"}),
        "step": (("time",), steps, _attrs("number of updates")),
        "inputs": (("sample", "input"), task.inputs, _attrs("inputs of the task")),
        "labels": (("sample",), task.labels, _attrs("labels of the task")),
        "sample_weights": (("sample",), task.weights, _attrs("weights of the samples in the loss")),
    }
    if index is None:
        # Python strings: NumPy's fixed-length ones have no settled form in Zarr.
        names = np.array(STATISTICS, dtype=object)
        coordinates["statistic"] = (("statistic",), names, {"long_name": "statistic over networks"})
    else:
        coordinates["network"] = (("network",), index, _attrs("index from which the network's start is drawn"))
    used = {dimension for dimensions, *_ in variables.values() for dimension in dimensions}
    if "layer" in used:
        coordinates["layer"] = (("layer",), np.arange(1, network.layers + 1), _attrs("weight layer"))
    if "hidden_layer" in used:
        coordinates["hidden_layer"] = (("hidden_layer",), np.arange(1, network.layers), _attrs("hidden layer"))
    if "unit" in used:
        layers = np.repeat(np.arange(1, network.layers), network.widths[1:-1])
        coordinates["unit_layer"] = (("unit",), layers, _attrs("hidden layer of the unit"))
    explicit: dict[str, Any] = {}
    if isinstance(start, Explicit):
        leading = "network" if index is not None else "start_network"
        explicit |= layer_variables("start_weights", start.weights, "starting weights", leading)
        explicit |= layer_variables("start_biases", start.biases, "starting biases", leading)
    return xarray.Dataset({**variables, **explicit}, coords=coordinates, attrs=dict(attrs))


def _attrs(long_name: str) -> dict[str, str]:
    return {"long_name": long_name, "units": "1"}
