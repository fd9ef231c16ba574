"""Specifications as plain values that JSON can hold, and back; arrays stand apart, by their digest."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.spec.init import INITS
from shoal.spec.loss import LOSSES
from shoal.spec.method import METHODS
from shoal.spec.network import Network
from shoal.spec.record import Record
from shoal.spec.statistics import Statistics
from shoal.spec.task import Task

_KINDS: dict[str, type[Any]] = {
    kind.__name__: kind for kind in (Network, Task, Record, Statistics, *INITS, *METHODS, *LOSSES.values())
}


def encode(value: Any, arrays: dict[str, NDArray[Any]]) -> Any:
    """Return ``value`` as what JSON can hold; its arrays are put into ``arrays``, named by a digest of their bits."""
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
