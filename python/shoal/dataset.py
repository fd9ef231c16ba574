"""From the arrays of the core to a labelled dataset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from shoal.method import STOP_RULES, Descent, Flow, Method
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
    "unit_active": (("unit",), "fraction of the samples on which the unit's input is positive"),
    "pattern": (("unit", "sample"), "whether the unit's input is positive on the sample"),
    "test_loss": ((), "loss, mean over test samples"),
    "test_error": ((), "0-1 classification error, mean over test samples"),
    "test_soft_error": ((), "1 - probability of the label, mean over test samples"),
    "test_margin": (("test_sample",), "margin y f(x), or label's output less the largest other, of test samples"),
}


def measured(network: Network, arrays: Mapping[str, Any], measures: Sequence[str], leading: str) -> dict[str, Any]:
    """Return the variables of the measures; ``leading`` is the first dimension, "network" or "statistic"."""
    variables: dict[str, Any] = {}
    for name in measures:
        if name == "weights":
            variables |= layer_variables("weights", arrays["weights"], "final weights")
            if network.bias:
                variables |= layer_variables("biases", arrays["biases"], "final biases")
        elif name == "trajectory":
            variables |= layer_variables("trajectory", arrays["trajectory"], "weights", ("network", "time"))
            if network.bias:
                given = arrays["trajectory_bias"]
                variables |= layer_variables("trajectory_bias", given, "biases", ("network", "time"))
        else:
            last, meaning = _MEASURES[name]
            variables[name] = ((leading, "time", *last), arrays[name], _attrs(meaning))
    return variables


def status(method: Method, arrays: Mapping[str, Any]) -> dict[str, Any]:
    """Return the variables that say which networks were not trained to the end, and when, and a flow's steps."""
    meaning = "0 trained to the end, 1 diverged" + (", 2 exhausted its steps" if isinstance(method, Flow) else "")
    if isinstance(method, Descent) and method.stop:
        meaning += "".join(f", {code} {rule}" for rule, code in STOP_RULES.items() if rule in method.stop)
    told = {"status": (("network",), arrays["status"], _attrs(meaning))}
    if isinstance(method, Descent):
        diverged = arrays["status"] == 1
        at = _attrs("first step with a weight not finite, or -1")
        told["diverged_at"] = (("network",), np.where(diverged, arrays["stopped_at"], -1), at)
        if method.stop:
            at = _attrs("first step at which it meets a rule to stop, or -1")
            told["stopped_at"] = (("network",), np.where(diverged, -1, arrays["stopped_at"]), at)
        return told
    return {
        **told,
        "stopped_at": (("network",), arrays["stopped_time"], _attrs("time at which it diverged or was exhausted")),
        "accepted": (("network",), arrays["accepted"], _attrs("steps taken")),
        "rejected": (("network",), arrays["rejected"], _attrs("steps tried and not taken")),
    }


def counted(method: Method, counts: Mapping[int, int]) -> dict[str, Any]:
    """Return the variables that count the networks of each status: those left out of statistics, and those stopped."""
    told = {"diverged": ((), counts.get(1, 0), _attrs("networks that diverged, left out"))}
    if isinstance(method, Flow):
        told["exhausted"] = ((), counts.get(2, 0), _attrs("networks that exhausted their steps, left out"))
        return told
    for rule in method.stop or ():
        told[rule] = ((), counts.get(STOP_RULES[rule], 0), _attrs(f"networks that stopped because they were {rule}"))
    return told


def layer_variables(
    name: str, arrays: Sequence[NDArray[Any]], meaning: str, leading: tuple[str, ...] = ("network",)
) -> dict[str, Any]:
    """Return one variable a layer, numbered from 1: weights (.., unit_l, unit_l-1) or biases (.., unit_l)."""
    return {
        f"{name}_{layer}": (
            (*leading, f"unit_{layer}", f"unit_{layer - 1}")[: array.ndim],
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
    method: Method,
    records: NDArray[Any],
    index: NDArray[np.int64] | None,
    attrs: Mapping[str, str],
) -> xarray.Dataset:
    """Return the dataset: the variables, the coordinates that they use, and the big arrays of the specification.

    ``records`` are the steps of descent, or times of a flow, of the time axis. ``index`` holds the network indices, or
    is None for statistics over networks.
    """
    import xarray  # takes longer to import than the rest of shoal together

    coordinates: dict[str, Any] = {
        **_clock(method, records),
        "inputs": (("sample", "input"), task.inputs, _attrs("inputs of the task")),
        "labels": (("sample",), task.labels, _attrs("labels of the task")),
        "sample_weights": (("sample",), task.weights, _attrs("weights of the samples in the loss")),
    }
    if task.test is not None:
        coordinates["test_inputs"] = (("test_sample", "input"), task.test.inputs, _attrs("inputs of the test samples"))
        coordinates["test_labels"] = (("test_sample",), task.test.labels, _attrs("labels of the test samples"))
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
        leading = ("network" if index is not None else "start_network",)
        explicit |= layer_variables("start_weights", start.weights, "starting weights", leading)
        explicit |= layer_variables("start_biases", start.biases, "starting biases", leading)
    return xarray.Dataset({**variables, **explicit}, coords=coordinates, attrs=dict(attrs))


def _clock(method: Method, records: NDArray[Any]) -> dict[str, Any]:
    if isinstance(method, Flow):
        return {"time": (("time",), records, _attrs("training time"))}
    return {
        "time": (("time",), records * method.rate, _attrs("training time, step x rate")),
        "step": (("time",), records, _attrs("number of updates")),
    }


def _attrs(long_name: str) -> dict[str, str]:
    return {"long_name": long_name, "units": "1"}
