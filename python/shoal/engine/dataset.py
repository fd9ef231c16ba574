"""From the arrays of the core to a labelled dataset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from shoal.base.interval import wilson_interval
from shoal.engine.histogram import edges
from shoal.spec.encoding import fingerprint
from shoal.spec.init import Explicit, Init
from shoal.spec.measures import REGISTRY
from shoal.spec.method import OUTCOMES, STOP_RULES, GradientFlow, Method
from shoal.spec.network import Network
from shoal.spec.statistics import STATISTICS, Statistics
from shoal.spec.training import Training

if TYPE_CHECKING:
    import xarray

EVENT_RULE = "one that has diverged is above every threshold, one that exhausted its steps does not count"
"""Which networks an event counts, by the rule of the claims, in which a network that diverges fails."""


def measured(network: Network, arrays: Mapping[str, Any], measures: Sequence[str], leading: str) -> dict[str, Any]:
    """Return the variables of the measures; ``leading`` is the first dimension, "network" or "statistic"."""
    variables: dict[str, Any] = {}
    for measure in (REGISTRY[name] for name in measures):
        before = (leading, "time") if measure.timed else (leading,)
        if not measure.layers:
            dims = (*before, *measure.dims_of(network))
            variables[measure.name] = (dims, arrays[measure.name], _attrs(measure.meaning))
        for name, meaning in measure.layers:
            if name in arrays:  # without biases there are none
                variables |= layer_variables(name, arrays[name], meaning, before)
    return variables


GAVE_UP = "0 did not, 1 tried all its steps, 2 needs steps too short for time to tell apart, 3 flow not determined"
"""Why a flow ended before its time."""


def status(method: Method, arrays: Mapping[str, Any]) -> dict[str, Any]:
    """Return the variables that say which networks were not trained to the end, and when, and a flow's steps."""
    flows = isinstance(method, GradientFlow)
    meaning = "0 completed: all steps taken, no rule met; 1 diverged" + (", 2 gave up" if flows else "")
    meaning += "".join(f", {code} {rule}" for rule, code in STOP_RULES.items() if rule in (method.stop or ()))
    held: dict[str, tuple[Any, str]] = {"status": (arrays["status"], meaning)}
    if flows:
        held["stopped_at"] = arrays["stopped_time"], "time at which it diverged or gave up"
        held["gave_up"] = arrays["gave_up"], GAVE_UP
        held["accepted"] = arrays["accepted"], "steps taken"
        held["rejected"] = arrays["rejected"], "steps tried and not taken"
    else:
        diverged, at = arrays["status"] == 1, arrays["stopped_at"]
        held["diverged_at"] = np.where(diverged, at, -1), "first step with a weight or the loss not finite, or -1"
        if method.stop:
            held["stopped_at"] = np.where(diverged, -1, at), "first step at which it meets a rule to stop, or -1"
    return {name: (("network",), values, _attrs(about)) for name, (values, about) in held.items()}


def moments(sums: Mapping[str, NDArray[Any]], measures: Sequence[str]) -> dict[str, NDArray[np.float64]]:
    """Return one array per measure, shape (statistics, times, ...), in the order of ``STATISTICS``, of the one node."""
    count = int(sums["kept"][0])
    return {name: _statistics(count, sums[name][0]) for name in measures}


def _statistics(count: int, merged: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the statistics of ``count`` networks; what too few leave undefined is NaN."""
    mean, squares, least, most = merged
    undefined = np.full_like(mean, np.nan)
    some = count >= 1
    variance = squares / (count - 1) if count >= 2 else undefined
    error = np.sqrt(variance / max(1, count))
    rows = [mean if some else undefined, variance, error, least if some else undefined, most if some else undefined]
    return np.stack([np.full_like(mean, count), *rows])


def counted(method: Method, asked: Statistics, status: NDArray[np.int64]) -> dict[str, Any]:
    """Return the variables that count the networks of each status: those left out of statistics, and those stopped."""
    about = {"diverged": "networks that diverged, left out"}
    if isinstance(method, GradientFlow):
        about["exhausted"] = "networks whose flow gave up, left out"
    about |= {rule: f"networks that stopped because they were {rule}" for rule in method.stop or ()}
    variables: dict[str, Any] = {
        name: ((), int(status[OUTCOMES.index(name)]), _attrs(text)) for name, text in about.items()
    }
    variables["outcome_count"] = (("outcome",), status, _attrs(f"networks that ended so: {', '.join(OUTCOMES)}"))
    return variables | _fractions("outcome", ("outcome",), status, int(status.sum()), asked)


def kept(
    training: Training, asked: Statistics, sums: Mapping[str, NDArray[Any]], counts: Mapping[str, NDArray[np.int64]]
) -> dict[str, Any]:
    """Return the variables of what was kept beside moments, and of when networks met rules to stop."""
    count = int(sums["kept"][0])
    variables: dict[str, Any] = {}
    if asked.covariance:
        products = np.stack([sums[f"pair_{i}"][0] for i in range(len(asked.covariance))])
        covariance = products / (count - 1) if count >= 2 else np.full_like(products, np.nan)
        variables["covariance"] = (("pair", "time"), covariance, _attrs("covariance over networks"))
    if asked.events:
        met = np.stack([counts[f"event_{i}"] for i in range(len(asked.events))])
        variables["event_count"] = (("event", "time"), met, _attrs(f"networks that meet the event; {EVENT_RULE}"))
        known = int(counts["status"].sum() - counts["status"][OUTCOMES.index("exhausted")])
        variables |= _fractions("event", ("event", "time"), met, known, asked, f"; {EVENT_RULE}")
    for name in asked.distribution:
        dims = ("time", *REGISTRY[name].dims_of(training.network), "bin")
        about = _attrs(f"networks by {REGISTRY[name].meaning}")
        variables[f"{name}_histogram"] = (dims, counts[f"histogram_{name}"], about)
    if rules := [STOP_RULES[rule] - min(STOP_RULES.values()) for rule in training.method.stop or ()]:
        stopped = sums["stopped"][0]
        steps = np.stack([_statistics(int(stopped[rule]), sums["stop_moments"][0, rule]) for rule in rules], axis=1)
        variables["stopped_at"] = (("statistic", "rule"), steps, _attrs("first step at which the rule is met"))
        histogram = counts["stop_histogram"][rules]
        variables["stopped_at_histogram"] = (("rule", "bin"), histogram, _attrs("networks by the step of the rule"))
    return variables


def _fractions(
    name: str, dims: tuple[str, ...], met: NDArray[np.int64], count: int, asked: Statistics, rule: str = ""
) -> dict[str, Any]:
    """Return fractions of ``count`` networks, and the ends of their Wilson intervals; ``rule`` says which networks."""
    low, high = wilson_interval(met, count, asked.deviations)
    fraction = met / count if count else np.full(met.shape, np.nan)
    width = "of four standard deviations" if asked.confidence is None else f"at confidence {asked.confidence:g}"
    interval = f"end of the Wilson interval {width}"
    return {
        f"{name}_fraction": (dims, fraction, _attrs(f"fraction of the networks{rule}")),
        f"{name}_low": (dims, low, _attrs(f"lower {interval}{rule}")),
        f"{name}_high": (dims, high, _attrs(f"upper {interval}{rule}")),
    }


def layer_variables(
    name: str, arrays: Sequence[NDArray[Any]], meaning: str, leading: tuple[str, ...] = ("network",)
) -> dict[str, Any]:
    """Return one variable per layer, numbered from 1: weights (.., unit_l, unit_l-1) or biases (.., unit_l)."""
    variables = {}
    for layer, array in enumerate(arrays, start=1):
        dims = (*leading, f"unit_{layer}", f"unit_{layer - 1}")[: array.ndim]
        variables[f"{name}_{layer}"] = (dims, array, _attrs(f"{meaning} of layer {layer}"))
    return variables


def assemble(
    training: Training, variables: Mapping[str, Any], index: NDArray[np.int64] | None, attrs: Mapping[str, str]
) -> xarray.Dataset:
    """Return the dataset of a training: see ``coordinates`` for ``index``."""
    given = initial(training.init, "init_network" if index is None else "network")
    coords = coordinates(training, variables, index)
    if index is not None:
        numbers = np.full(len(index), fingerprint(attrs["specification"], training.task), np.int64)
        coords["training"] = (("network",), numbers, _attrs("number of the training that the network is of"))
    return labelled({**variables, **given}, coords, attrs)


def labelled(variables: Mapping[str, Any], coords: Mapping[str, Any], attrs: Mapping[str, str]) -> xarray.Dataset:
    """Return the dataset of variables and coordinates (dims, values, attrs).

    The constructor of ``Dataset`` would align and merge them, which takes longer than a short training. They fit
    already: first all are coordinates, then those that are none leave.
    """
    import xarray  # takes longer to import than the rest of shoal together

    held = {name: xarray.Variable(*given) for name, given in {**variables, **coords}.items()}
    indexes = {}
    for name, (dims, values, about) in coords.items():
        if dims == (name,):
            of_texts = values.dtype == object
            held[name], indexes[name] = (
                _of_texts(name, tuple(values), tuple(about.items())) if of_texts else _indexed(held[name])
            )
    dataset = xarray.Coordinates(held, indexes).to_dataset().reset_coords(list(variables))
    dataset.attrs = dict(attrs)
    return dataset


def _indexed(variable: xarray.Variable) -> tuple[xarray.Variable, xarray.indexes.PandasIndex]:
    """Return the coordinate of a dimension, and its index."""
    from xarray.indexes import PandasIndex

    index = PandasIndex(variable.values, (name := variable.dims[0]))
    return index.create_variables({name: variable})[name], index


@lru_cache(maxsize=64)
def _of_texts(
    name: str, texts: tuple[str, ...], attrs: tuple[tuple[str, str], ...]
) -> tuple[xarray.Variable, xarray.indexes.PandasIndex]:
    """Return a coordinate of texts. pandas looks at each of them, which takes as long as the rest of the dataset."""
    import xarray

    return _indexed(xarray.Variable((name,), np.array(texts, dtype=object), dict(attrs)))


def initial(init: Init, leading: str) -> dict[str, Any]:
    """Return the variables of the arrays of an ``Explicit`` initialisation."""
    if not isinstance(init, Explicit):
        return {}
    weights = layer_variables("init_weights", init.weights, "initial weights", (leading,))
    return weights | layer_variables("init_biases", init.biases, "initial biases", (leading,))


def coordinates(training: Training, variables: Mapping[str, Any], index: NDArray[np.int64] | None) -> dict[str, Any]:
    """Return the coordinates that variables of a training use, and the big arrays of its specification.

    ``index`` holds the network indices, or is None for statistics over networks.
    """
    network, task = training.network, training.task
    per_sample = ("output_unit",)[: task.answers.ndim - 1]
    named: dict[str, Any] = {
        **_clock(training.method, training.records, "network" if index is not None else "init_network"),
        "inputs": (("sample", "input"), task.inputs, _attrs("inputs of the task")),
        task.answer: (("sample", *per_sample), task.answers, _attrs(f"{task.answer} of the task")),
        "sample_weight": (("sample",), task.sample_weight, _attrs("weights of the samples in the loss")),
    }
    if task.test is not None:
        named["test_inputs"] = (("test_sample", "input"), task.test.inputs, _attrs("inputs of the test samples"))
        about = _attrs(f"{task.answer} of the test samples")
        named[f"test_{task.answer}"] = (("test_sample", *per_sample), task.test[1], about)
    if index is None:
        # Python strings: NumPy's fixed-length ones have no settled form in Zarr.
        names = np.array(STATISTICS, dtype=object)
        named["statistic"] = (("statistic",), names, {"long_name": "statistic over networks"})
    else:
        named["network"] = (("network",), index, _attrs("index from which the initial weights are drawn"))
    hidden, used = np.arange(1, network.layers), {dim for dims, *_ in variables.values() for dim in dims}
    if "layer" in used:
        named["layer"] = (("layer",), np.arange(1, network.layers + 1), _attrs("weight layer"))
    if "hidden_layer" in used:
        named["hidden_layer"] = (("hidden_layer",), hidden, _attrs("hidden layer"))
    if "unit" in used:
        named["unit_layer"] = (("unit",), np.repeat(hidden, network.widths[1:-1]), _attrs("hidden layer of the unit"))
    kept = training.record.kept or Statistics()
    texts = {
        "pair": [", ".join(pair) for pair in kept.covariance],
        "event": kept.events,
        "outcome": OUTCOMES,
        "rule": training.method.stop or (),
    }
    named |= {name: ((name,), np.array(given, dtype=object), {}) for name, given in texts.items() if name in used}
    if "bin" in used:
        ends = edges(kept.resolution)
        named["bin_low"] = (("bin",), ends[:-1], _attrs("where the bin begins"))
        named["bin_high"] = (("bin",), ends[1:], _attrs("where the bin ends"))
    return named


def _clock(method: Method, records: NDArray[Any], leading: str) -> dict[str, Any]:
    """Return steps and times; ``leading`` is the dimension of networks and their learning rates."""
    if isinstance(method, GradientFlow):
        return {"time": (("time",), records, _attrs("training time"))}
    step: dict[str, Any] = {"step": (("time",), records, _attrs("number of updates"))}
    clock = method.clock(records)
    about = _attrs(f"training time, {'step' if method.schedule is None else 'sum of factors'} x learning rate")
    if method.rates is None:
        return {"time": (("time",), clock * method.learning_rate, about), **step}
    step["learning_rate"] = ((leading,), method.rates, _attrs("learning rate of the network"))
    if leading == "network":
        # Not "time": xarray keeps the name of a dimension for coordinates along it alone.
        step["times"] = (("network", "time"), clock * method.rates[:, None], about)
    return step


def _attrs(long_name: str) -> dict[str, str]:
    return {"long_name": long_name, "units": "1"}
