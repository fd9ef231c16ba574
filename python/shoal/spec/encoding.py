"""Specifications as plain values that JSON can hold, and back; arrays are kept apart, by their digest.

A saved dataset holds its training in this form, so it can be trained again, bit for bit.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from shoal.spec.drawn import INITS
from shoal.spec.init import Explicit
from shoal.spec.loss import LOSSES
from shoal.spec.method import METHODS
from shoal.spec.network import Network
from shoal.spec.record import Record
from shoal.spec.statistics import Statistics
from shoal.spec.task import Regression, Task
from shoal.spec.training import Training

if TYPE_CHECKING:
    import xarray

_KINDS: dict[str, type[Any]] = {
    kind.__name__: kind for kind in (Network, Task, Regression, Record, Statistics, *INITS, *METHODS, *LOSSES.values())
}

_PLAIN = frozenset({type(None), bool, int, float, str})


def encode(value: Any, arrays: dict[str, NDArray[Any]]) -> Any:
    """Return ``value`` as what JSON can hold; its arrays are put into ``arrays``, named by a digest of their bits."""
    if type(value) in _PLAIN:
        return value
    if type(value).__name__ in _KINDS:
        fields = {field.name: encode(getattr(value, field.name), arrays) for field in dataclasses.fields(value)}
        return {"kind": type(value).__name__, **fields}
    if isinstance(value, Mapping):
        return {name: encode(held, arrays) for name, held in value.items()}
    if isinstance(value, (tuple, list)):
        return [encode(held, arrays) for held in value]
    if isinstance(value, np.ndarray):
        digest = digest_of(value)
        arrays[digest] = value
        return {"array": digest, "shape": list(value.shape)}
    return value.item() if isinstance(value, np.generic) else value


def decode(encoded: Any, load: Callable[[str], NDArray[Any]]) -> Any:
    """Return what ``encode`` made ``encoded`` of; ``load`` gives the array of a digest, and sequences become tuples."""
    if isinstance(encoded, list):
        return tuple(decode(held, load) for held in encoded)
    if not isinstance(encoded, dict):
        return encoded
    if "array" in encoded:
        return load(encoded["array"])
    held = {name: decode(value, load) for name, value in encoded.items() if name != "kind"}
    return _KINDS[encoded["kind"]](**held) if "kind" in encoded else held


def canonical(encoded: Any) -> str:
    """Return JSON that is the same text for the same values."""
    return json.dumps(encoded, sort_keys=True, allow_nan=False)


def differences(was: Any, now: Any, name: str = "") -> list[str]:
    """Return a line for each field that differs: its dotted name, what it was and what it is."""
    if isinstance(was, dict) and isinstance(now, dict) and was.get("kind") == now.get("kind"):
        lines = []
        for key in sorted({*was, *now}):
            dotted = f"{name}.{key}" if name else key
            lines += differences(was.get(key, "not there"), now.get(key, "not there"), dotted)
        return lines
    return [] if was == now else [f"{name}: was {_short(was)}, is {_short(now)}"]


def _short(encoded: Any) -> str:
    text = encoded if isinstance(encoded, str) else canonical(encoded)
    return text if len(text) <= 120 else f"{text[:117]}..."


def digest_of(array: NDArray[Any]) -> str:
    """Return the digest of an array's bits, with its dtype and shape."""
    head = f"{array.dtype.str} {array.shape} ".encode()
    return hashlib.sha256(head + np.ascontiguousarray(array).tobytes()).hexdigest()


def to_json(training: Training) -> str:
    """Return a training as JSON, but for its large arrays and the functions of ``Record(custom=...)``.

    The samples, the arrays of an ``Explicit`` initialisation and learning rates of each network are in the dataset
    instead. The numbers of samples and ``networks`` are in the JSON, so that a part of these arrays is not taken for
    the whole.
    """
    held = {field.name: getattr(training, field.name) for field in dataclasses.fields(training)}
    task = held.pop("task")
    if training.record.functions:
        held["record"] = dataclasses.replace(training.record, custom=())
    if isinstance(training.init, Explicit):
        del held["init"]
    encoded = {**encode(held, {}), "samples": task.samples, "test_samples": task.test_samples}
    if training.method.rates is not None:
        encoded["method"]["learning_rate"] = {"array": "learning_rate"}
    if isinstance(training.method.schedule, np.ndarray):
        encoded["method"]["schedule"] = training.method.schedule.tolist()
    return json.dumps(encoded)


def fingerprint(text: str, task: Task) -> int:
    """Return a number of 31 bits, which NetCDF 3 holds, for what a training does, whichever networks it has.

    Two trainings that differ in anything but ``networks`` and ``first_network`` have equal numbers with a probability
    of 5e-10.
    """
    fixed = {name: value for name, value in json.loads(text).items() if name not in ("networks", "first_network")}
    digest = hashlib.blake2b(json.dumps(fixed, sort_keys=True).encode() + task.digest, digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 33


def specification(data: xarray.Dataset) -> Training:
    """Return the training that made a dataset; ``train(specification(data))`` repeats it.

    A training does not include threads and progress, which do not change the result. A dataset cannot hold the
    functions of ``Record(custom=...)``: add them by ``dataclasses.replace``.

    For consecutive networks of a dataset, such as ``data.isel(network=slice(10, 20))``, this is the training of these
    networks alone. For datasets of one training that were joined along ``network``, it is the training of all their
    networks.

    Parameters
    ----------
    data
        What ``train`` returned, in memory or opened from a file.

    Raises
    ------
    TypeError
        Not an xarray dataset.
    ValueError
        The dataset has no specification, or one of another version of shoal or of a sweep; it lacks the arrays of its
        specification, or holds only a part of its samples; its networks are not consecutive, or are of several
        trainings.

    Examples
    --------
    >>> import shoal
    >>> data = shoal.train(shoal.Network((2, 3, 1)), shoal.tasks.modes((1., 2.)), shoal.Gaussian(.1),
    ...                    method=shoal.GradientDescent(learning_rate=.1, steps=5), networks=4)
    >>> shoal.specification(data).init
    Gaussian(std=0.1, gain=None)
    """
    attrs = getattr(data, "attrs", None)
    if attrs is None:
        raise TypeError(f"data must be an xarray.Dataset that train returned, got {type(data).__name__}")
    if "specification" not in attrs:
        raise ValueError("data must be what train returned: it has no attribute 'specification'")
    encoded = json.loads(attrs["specification"])
    if "over" in encoded:
        swept = encoded["over"]
        fields = [one[0] for one in swept["fields"]] if isinstance(swept, dict) else list(swept[0])
        raise ValueError(f"data must be of one training, got a sweep over {', '.join(fields)}")
    if "kind" not in encoded.get("network", {}):
        raise ValueError("data must be of this version of shoal, got one of an earlier version: train it again")
    encoded |= _networks(data)
    task = _task(data, encoded.pop("samples"), encoded.pop("test_samples"))
    if "training" in data.coords and (data["training"].values != fingerprint(attrs["specification"], task)).any():
        raise ValueError(
            "data must be of one training and its own attributes, got networks of another (another seed, task or "
            "method): take the specification of each dataset before they are joined"
        )
    fields = decode(encoded, lambda name: np.atleast_1d(_held(data, name)[0]))
    init = fields.pop("init", None) or _explicit(data, encoded["networks"])
    return Training(task=task, init=init, **fields)


def _held(data: xarray.Dataset, *names: str) -> list[NDArray[Any]]:
    """Return arrays of the specification that are in the dataset by their names."""
    missing = [name for name in names if name not in data]
    if missing:
        raise ValueError(f"data must hold the arrays of its specification, it lacks {', '.join(missing)}")
    return [np.asarray(data[name].values) for name in names]


def _networks(data: xarray.Dataset) -> dict[str, int]:
    """Return which networks the dataset holds; nothing if it does not say, as with statistics."""
    if "network" not in data.coords:
        return {}
    held = np.atleast_1d(data["network"].values)
    if not len(held):
        raise ValueError("data must hold at least one network, got none")
    if (np.diff(held) != 1).any():
        at = int(np.argmax(np.diff(held) != 1))
        raise ValueError(
            f"data must hold consecutive networks, got {held[at]} before {held[at + 1]}: no one call of train makes "
            "these; take the specification of each dataset before they are joined, or of a slice of networks"
        )
    return {"networks": len(held), "first_network": int(held[0])}


def _task(data: xarray.Dataset, samples: int, tested: int) -> Task:
    kind = Regression if "targets" in data else Task
    tests = ("test_inputs", f"test_{kind.answer}") if tested else ()
    inputs, answers, weights, *test = _held(data, "inputs", kind.answer, "sample_weight", *tests)
    _check_whole("samples", weights.size, samples)
    if tested:
        _check_whole("test samples", len(np.atleast_2d(test[0])), tested)
    return kind(inputs, answers, weights, (test[0], test[1]) if tested else None)


def _check_whole(name: str, found: int, expected: int) -> None:
    if found != expected:
        raise ValueError(f"data must hold the {expected} {name} of its specification, got {found}")


def _explicit(data: xarray.Dataset, networks: int) -> Explicit:
    layers = range(1, 1 + max(1, sum(str(name).startswith("init_weights_") for name in data)))
    weights = _held(data, *(f"init_weights_{layer}" for layer in layers))
    biases = _held(data, *(name for layer in layers if (name := f"init_biases_{layer}") in data))
    init = Explicit(weights, biases or None)
    _check_whole("networks", init.networks, networks)
    return init
