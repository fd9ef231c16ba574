"""The training of a dataset as text, and back: a saved dataset can be trained again, bit for bit."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from shoal.spec.encoding import decode, encode
from shoal.spec.init import Explicit
from shoal.spec.task import Task
from shoal.spec.training import Training

if TYPE_CHECKING:
    import xarray


def to_json(training: Training) -> str:
    """Return a training as JSON, but for its large arrays.

    The inputs, labels and sample weights, the test samples, the arrays of an ``Explicit`` initialisation, and learning
    rates of each network, are in the dataset instead. The numbers of samples and ``networks`` are in the JSON, so that
    a part of these arrays is not taken for the whole. JSON cannot hold the functions of ``Record(custom=...)``.
    """
    held = {field.name: getattr(training, field.name) for field in dataclasses.fields(training)}
    task = held.pop("task")
    held["record"] = dataclasses.replace(training.record, custom=())
    if isinstance(training.init, Explicit):
        del held["init"]
    encoded = {**encode(held, {}), "samples": task.samples, "test_samples": task.test_samples}
    if training.method.rates is not None:
        encoded["method"]["learning_rate"] = {"array": "learning_rate"}
    return json.dumps(encoded)


def fingerprint(text: str, task: Task) -> int:
    """Return a number of 31 bits, which NetCDF 3 holds, for what a training does, whichever networks it has.

    Two trainings that differ in anything but ``networks`` and ``first_network`` have equal numbers with a probability
    of 5e-10.
    """
    fixed = {name: value for name, value in json.loads(text).items() if name not in ("networks", "first_network")}
    digest = hashlib.blake2b(json.dumps(fixed, sort_keys=True).encode(), digest_size=8)
    tests = () if task.test is None else (task.test.inputs, task.test.labels)
    for array in (task.inputs, task.labels, task.sample_weight, *tests):
        digest.update(np.ascontiguousarray(array).tobytes())
    return int.from_bytes(digest.digest(), "little") >> 33


def specification(data: xarray.Dataset) -> Training:
    """Return the training that made a dataset; ``train(specification(data))`` repeats it.

    A training does not include threads and progress, which do not change the result. A dataset cannot hold the
    functions of ``Record(custom=...)``: add them by ``dataclasses.replace``.

    For consecutive networks of a dataset, such as ``data.isel(network=slice(10, 20))``, this is the training of these
    networks alone. For datasets of one training that were joined along ``network``, it is that of all their networks.

    Parameters
    ----------
    data
        What ``train`` returned, in memory or opened from a file that it was saved to.

    Raises
    ------
    TypeError
        Not an xarray dataset.
    ValueError
        The dataset has no specification, that of another version of shoal, or that of a sweep over some field; it lacks
        the arrays that belong to it, or holds only a part of its samples. Its networks are not consecutive, or they
        are of several trainings, of other seeds for instance: no one call repeats them.

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
    encoded |= _networks(data, encoded)
    samples, tested = encoded.pop("samples"), encoded.pop("test_samples")
    task = _task(data, samples, tested)
    _check_one(data, attrs["specification"], task)
    init = encoded.pop("init", None)
    fields = decode(encoded, lambda name: _array(data, name))
    drawn = decode(init, lambda name: _array(data, name)) if init else _explicit(data, encoded["networks"])
    return Training(task=task, init=drawn, **fields)


def _array(data: xarray.Dataset, name: str) -> NDArray[Any]:
    """Return an array of the specification that is in the dataset by its name."""
    if name not in data:
        raise ValueError(f"data must hold the arrays of its specification, it lacks {name}")
    return np.atleast_1d(data[name].values)


def _networks(data: xarray.Dataset, encoded: dict[str, Any]) -> dict[str, int]:
    """Return which networks the dataset holds: all of its specification where it does not say."""
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


def _check_one(data: xarray.Dataset, text: str, task: Task) -> None:
    """Raise a ValueError if networks are of another training than the attributes."""
    if "training" in data.coords and (data["training"].values != fingerprint(text, task)).any():
        raise ValueError(
            "data must be of one training and its own attributes, got networks of another (another seed, task or "
            "method): take the specification of each dataset before they are joined"
        )


def _task(data: xarray.Dataset, samples: int, tested: int) -> Task:
    needed = ["inputs", "labels", "sample_weight", *(["test_inputs", "test_labels"] if tested else [])]
    missing = [name for name in needed if name not in data]
    if missing:
        raise ValueError(f"data must hold the arrays of its specification, it lacks {', '.join(missing)}")
    inputs, labels, weights, *test = (data[name].values for name in needed)
    _check_whole("samples", labels.size, samples)
    if tested:
        _check_whole("test samples", test[1].size, tested)
    return Task(inputs, labels, weights, (test[0], test[1]) if tested else None)


def _check_whole(name: str, found: int, expected: int) -> None:
    if found != expected:
        raise ValueError(f"data must hold the {expected} {name} of its specification, got {found}")


def _explicit(data: xarray.Dataset, networks: int) -> Explicit:
    layers = range(1, 1 + sum(str(name).startswith("init_weights_") for name in data))
    if not layers:
        raise ValueError("data must hold the arrays of its specification, it lacks init_weights_1")
    weights = [np.asarray(data[f"init_weights_{layer}"]) for layer in layers]
    biases = [np.asarray(data[f"init_biases_{layer}"]) for layer in layers if f"init_biases_{layer}" in data]
    init = Explicit(weights, biases or None)
    _check_whole("networks", init.networks, networks)
    return init
