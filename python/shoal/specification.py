"""The whole call of a training as text, and back: a saved dataset can be trained again, bit for bit."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np

from shoal.init import Balanced, Explicit, Gaussian, Init, Separated
from shoal.loss import Loss, resolve_loss
from shoal.method import METHODS, Method
from shoal.network import Network
from shoal.record import Record
from shoal.statistics import Statistics
from shoal.task import Task

if TYPE_CHECKING:
    import xarray

T = TypeVar("T")

_INITS: dict[str, type[Init]] = {kind.__name__: kind for kind in (Gaussian, Balanced, Separated)}
_METHODS: dict[str, type[Method]] = {kind.__name__: kind for kind in METHODS}


def to_json(
    *,
    network: Network,
    init: Init,
    loss: Loss,
    method: Method,
    record: Record,
    networks: int,
    seed: int,
    first_network: int,
    dtype: str,
    weight_decay: float,
    spectral_decoupling: float,
    engine: str,
    condense: str | bool,
    samples: int,
    test_samples: int,
) -> str:
    """Return all that fixes the result of a training but its big arrays, as JSON.

    The inputs, labels and sample weights, the test samples, and the arrays of an ``Explicit`` initialisation, stand in
    the dataset instead. How many samples and ``networks`` these have is told too, so that a part of them is not taken
    for the whole.
    """
    explicit = isinstance(init, Explicit)
    return json.dumps(
        {
            "network": dataclasses.asdict(network),
            "init": {"kind": type(init).__name__, **({} if explicit else _fields(init))},
            "loss": {"name": loss.name, **_fields(loss)},
            "method": {"kind": type(method).__name__, **dataclasses.asdict(method)},
            "record": dataclasses.asdict(record),
            "networks": networks,
            "seed": seed,
            "first_network": first_network,
            "dtype": dtype,
            "weight_decay": weight_decay,
            "spectral_decoupling": spectral_decoupling,
            "engine": engine,
            "condense": condense,
            "samples": samples,
            "test_samples": test_samples,
        }
    )


def fingerprint(told: str, task: Task) -> int:
    """Return a number of 31 bits, which NetCDF 3 holds, for what a training does, whichever networks it has.

    Two trainings that differ in anything but ``networks`` and ``first_network`` have equal numbers with a probability
    of 5e-10.
    """
    fixed = {name: value for name, value in json.loads(told).items() if name not in ("networks", "first_network")}
    digest = hashlib.blake2b(json.dumps(fixed, sort_keys=True).encode(), digest_size=8)
    tests = () if task.test is None else (task.test.inputs, task.test.labels)
    for array in (task.inputs, task.labels, task.sample_weight, *tests):
        digest.update(np.ascontiguousarray(array).tobytes())
    return int.from_bytes(digest.digest(), "little") >> 33


def specification(data: xarray.Dataset) -> dict[str, Any]:
    """Return the arguments of ``train`` that made a dataset, so that ``train(**specification(data))`` repeats it.

    Threads and progress are left out: they do not change the result. Of some consecutive networks of a training, such
    as ``data.isel(network=slice(10, 20))``, these are the arguments that train them alone. Of datasets of one training
    that are joined along ``network``, they are those of all their networks.

    Parameters
    ----------
    data
        What ``train`` returned, in memory or opened from a file that it was saved to.

    Raises
    ------
    TypeError
        Not an xarray dataset.
    ValueError
        The dataset has no specification or that of a sweep over some field, lacks the arrays that belong to it, or
        holds only a part of its samples. Its networks are not consecutive, or they are of several trainings, of other
        seeds for instance: no one call repeats them.

    Examples
    --------
    >>> import shoal
    >>> data = shoal.train(shoal.Network((2, 3, 1)), shoal.tasks.modes((1., 2.)), shoal.Gaussian(.1),
    ...                    method=shoal.GradientDescent(learning_rate=.1, steps=5), networks=4)
    >>> shoal.specification(data)["init"]
    Gaussian(std=0.1, gain=None)
    """
    attrs = getattr(data, "attrs", None)
    if attrs is None:
        raise TypeError(f"data must be an xarray.Dataset that train returned, got {type(data).__name__}")
    if "specification" not in attrs:
        raise ValueError("data must be what train returned: it has no attribute 'specification'")
    told = json.loads(attrs["specification"])
    if "start" in told:
        raise ValueError("data must be of this version of shoal: its specification has former names, train it again")
    if "over" in told:
        swept = told["over"]
        fields = [one[0] for one in swept["fields"]] if isinstance(swept, dict) else list(swept[0])
        raise ValueError(f"data must be of one training, got a sweep over {', '.join(fields)}")
    told |= _networks(data, told)
    loss, method = told["loss"], told["method"]
    task = _task(data, told)
    _check_one(data, attrs["specification"], task)
    return {
        "network": Network(**{**told["network"], "widths": tuple(told["network"]["widths"])}),
        "task": task,
        "init": _start(data, told),
        "loss": _rebuild(type(resolve_loss(loss["name"])), loss, "name"),
        "method": _rebuild(_METHODS[method["kind"]], method, "kind"),
        "record": _record(told["record"]),
        **{name: told[name] for name in ("networks", "seed", "first_network", "dtype")},
        **{name: told.get(name, 0.0) for name in ("weight_decay", "spectral_decoupling")},
        "engine": told.get("engine", "lanes"),
        "condense": told.get("condense", False),
    }


def _networks(data: xarray.Dataset, told: dict[str, Any]) -> dict[str, int]:
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


def _check_one(data: xarray.Dataset, told: str, task: Task) -> None:
    """Raise a ValueError where networks are not of the training that the attributes tell."""
    if "training" in data.coords and (data["training"].values != fingerprint(told, task)).any():
        raise ValueError(
            "data must be of one training and its own attributes, got networks of another (another seed, task or "
            "method): take the specification of each dataset before they are joined"
        )


def _record(told: dict[str, Any]) -> Record:
    reduce = told["reduce"]
    if not isinstance(reduce, dict):
        return Record(**told)
    pairs = tuple(tuple(pair) for pair in reduce["covariance"])
    return Record(**{**told, "reduce": Statistics(**{**reduce, "covariance": pairs})})


def _fields(instance: Init | Loss) -> dict[str, Any]:
    return {field.name: getattr(instance, field.name) for field in dataclasses.fields(cast(Any, instance))}


def _rebuild(kind: type[T], told: dict[str, Any], tag: str) -> T:
    return kind(**{name: value for name, value in told.items() if name != tag})


def _task(data: xarray.Dataset, told: dict[str, Any]) -> Task:
    tested = told.get("test_samples", 0)
    needed = ["inputs", "labels", "sample_weight", *(["test_inputs", "test_labels"] if tested else [])]
    missing = [name for name in needed if name not in data]
    if missing:
        raise ValueError(f"data must hold the arrays of its specification, it lacks {', '.join(missing)}")
    inputs, labels, weights, *test = (data[name].values for name in needed)
    _check_whole("samples", labels.size, told["samples"])
    if tested:
        _check_whole("test samples", test[1].size, tested)
    return Task(inputs, labels, weights, (test[0], test[1]) if tested else None)


def _start(data: xarray.Dataset, told: dict[str, Any]) -> Init:
    kind = told["init"]["kind"]
    if kind != "Explicit":
        return _rebuild(_INITS[kind], told["init"], "kind")
    init = _explicit(data)
    _check_whole("networks", init.networks, told["networks"])
    return init


def _check_whole(name: str, found: int, told: int) -> None:
    if found != told:
        raise ValueError(f"data must hold the {told} {name} of its specification, got {found}")


def _explicit(data: xarray.Dataset) -> Explicit:
    layers = range(1, 1 + sum(str(name).startswith("init_weights_") for name in data))
    if not layers:
        raise ValueError("data must hold the arrays of its specification, it lacks init_weights_1")
    weights = [np.asarray(data[f"init_weights_{layer}"]) for layer in layers]
    biases = [np.asarray(data[f"init_biases_{layer}"]) for layer in layers if f"init_biases_{layer}" in data]
    return Explicit(weights, biases or None)
