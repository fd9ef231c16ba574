"""Statistics of a user's own, of the weights of some networks at every record.

The core records the weights of a block of networks; the functions are called at each record; the weights are dropped.
Networks of one block have the same quotient of index and block size, which depends only on how much is recorded. So a
function sees the same networks together whatever the threads, and however a training is cut.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.spec.init import Explicit
from shoal.spec.method import OUTCOMES
from shoal.spec.record import Function
from shoal.spec.training import Training

Floats = NDArray[np.float64]
Arrays = list[NDArray[Any]]

TRAJECTORY = ("trajectory", "trajectory_bias")
_LOST = [OUTCOMES.index(name) for name in ("diverged", "exhausted")]
_PROBED = 3
_MOST_BLOCK = 256
_BLOCK_NUMBERS, _CALL_NUMBERS = 2**22, 2**24


def key(name: str) -> str:
    """Return the name of a custom statistic among the arrays of the core."""
    return f"custom_{name}"


def shapes(training: Training) -> dict[str, tuple[int, ...]]:
    """Return the shape of each custom statistic of one network and time, from the initial weights of a few."""
    if not training.record.functions:
        return {}
    few = training.part(0, min(training.networks, _PROBED))
    init = few.init if isinstance(few.init, Explicit) else few.drawn(threads=1)
    zeros = [np.zeros(array.shape[:2]) for array in init.weights if few.network.bias]
    weights, biases = ([_as(array, few.dtype) for array in held] for held in (init.weights, init.biases or zeros))
    found = {}
    for name, function in few.record.functions:
        found[name] = _called(name, function, weights, biases, None).shape[1:]
        if few.networks > 1:  # one network fewer: reveals functions that return one row per unit
            _called(name, function, [one[1:] for one in weights], [one[1:] for one in biases], found[name])
    return found


@dataclass(frozen=True)
class Blocks:
    """How networks are cut: ``block`` are shown to a function together, ``call`` are trained together."""

    block: int
    call: int

    @classmethod
    def of(cls, numbers: int) -> Blocks:
        """Return the cut of networks whose weights at all records are so many numbers."""
        block = call = _MOST_BLOCK
        while block > 1 and block * numbers > _BLOCK_NUMBERS:
            block = call = block // 2
        while call < 2**20 and 2 * call * numbers <= _CALL_NUMBERS:
            call *= 2
        return cls(block, call)


def evaluated(
    functions: Sequence[tuple[str, Function]],
    shape_of: Mapping[str, tuple[int, ...]],
    arrays: Mapping[str, Any],
    blocks: Sequence[tuple[int, int]],
) -> dict[str, Floats]:
    """Return the statistics of networks, (networks, times, ...) each, from their weights at every record.

    ``blocks`` are ranges of rows. Networks whose weights are not finite are passed with weights of 0 and get NaN.
    """
    trajectory, biases = arrays["trajectory"], arrays.get("trajectory_bias", [])
    networks, times = trajectory[0].shape[:2]
    found = {name: np.empty((networks, times, *shape_of[name])) for name, _ in functions}
    for begin, end in blocks:
        for time in range(times):
            held = [[np.ascontiguousarray(array[begin:end, time]) for array in of] for of in (trajectory, biases)]
            rows = [array.reshape(end - begin, -1) for of in held for array in of]
            lost = ~np.all([np.isfinite(row).all(axis=1) for row in rows], axis=0)
            for array in (*held[0], *held[1]):
                array[lost] = 0.0
                array.flags.writeable = False  # the next function gets it too
            for name, function in functions:
                with np.errstate(all="ignore") if lost.any() else nullcontext():
                    values = _called(name, function, held[0], held[1], shape_of[name])
                found[name][begin:end, time] = values
                found[name][begin:end, time][lost] = np.nan
    return found


def _called(name: str, function: Function, weights: Arrays, biases: Arrays, shape: tuple[int, ...] | None) -> Floats:
    """Return the statistic of some networks, (networks, ...); its ``shape`` per network may be known."""
    networks = len(weights[0])
    try:
        given = np.asarray(function(list(weights), list(biases)))
    except Exception as error:
        raise RuntimeError(f"custom[{name!r}] raised {type(error).__name__}: {error}") from error
    if given.dtype.kind not in "biuf":
        raise TypeError(f"custom[{name!r}] must return real numbers, got dtype {given.dtype}")
    wanted = given.shape[1:] if shape is None else shape
    if given.ndim == 0 or given.shape != (networks, *wanted):
        allowed = ", ".join(map(str, (networks, *(shape if shape is not None else ("...",)))))
        raise ValueError(
            f"custom[{name!r}] must return one row of numbers per network, shape ({allowed}), got {given.shape}"
        )
    return given.astype(np.float64)


def filled(whole: dict[str, Any], part: Mapping[str, Any], at: slice, networks: int) -> None:
    """Put the core's arrays of some networks into the arrays of all, which the first part makes."""
    for name, given in part.items():
        arrays = given if isinstance(given, list) else [given]
        if name not in whole:
            made = [np.empty((networks, *array.shape[1:]), array.dtype) for array in arrays]
            whole[name] = made if arrays is given else made[0]
        for held, array in zip(whole[name] if arrays is given else [whole[name]], arrays, strict=True):
            held[at] = array


def _as(array: NDArray[Any], dtype: str) -> NDArray[Any]:
    made = np.array(array, dtype)
    made.flags.writeable = False
    return made


def moments(values: Floats, status: NDArray[Any], cells: Sequence[tuple[int, int]]) -> Floats:
    """Return mean, sum of squared deviations, least and largest of each cell, (cells, 4, times, ...).

    Over the networks that neither diverged nor exhausted their steps; ``cells`` are ranges of rows.
    """
    found = np.zeros((len(cells), 4, *values.shape[1:]))
    found[:, 2], found[:, 3] = np.inf, -np.inf
    for cell, (begin, end) in zip(found, cells, strict=True):
        kept = values[begin:end][~np.isin(status[begin:end], _LOST)]
        if not len(kept):
            continue
        with np.errstate(invalid="ignore", over="ignore"):  # of infinite numbers
            cell[0] = kept.sum(axis=0) / len(kept)
            cell[1] = ((kept - cell[0]) ** 2).sum(axis=0)
        cell[2], cell[3] = kept.min(axis=0), kept.max(axis=0)
    return found


def variables(
    functions: Sequence[tuple[str, Function]], arrays: Mapping[str, NDArray[Any]], leading: str
) -> dict[str, Any]:
    """Return the variables of a dataset; ``leading`` is the first dimension, "network" or "statistic"."""
    made: dict[str, Any] = {}
    for name, function in functions:
        values = arrays[key(name)]
        dims = (leading, "time", *(f"{name}_{axis}" for axis in range(values.ndim - 2)))
        defined = getattr(function, "__qualname__", None)
        place = f"{function.__module__}.{defined}" if defined else repr(function)
        about = {"long_name": f"{name}, custom statistic", "units": "1", "function": place}
        made[name] = (dims, values, about)
    return made
