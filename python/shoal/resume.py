"""Continue a training where its dataset ended."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from shoal.base import checks
from shoal.engine import custom, room
from shoal.engine.run import Progress, Run
from shoal.engine.threads import thread_count
from shoal.predict import Parameters, final_parameters
from shoal.spec import validate
from shoal.spec.init import Explicit
from shoal.spec.measures import REGISTRY
from shoal.spec.method import OUTCOMES, GradientDescent, GradientFlow, Method
from shoal.spec.record import Record
from shoal.spec.specification import specification

if TYPE_CHECKING:
    import xarray

_COMPLETED, _DIVERGED, _EXHAUSTED = (OUTCOMES.index(name) for name in ("completed", "diverged", "exhausted"))


def resume(
    data: xarray.Dataset,
    *,
    steps: int | None = None,
    t_end: float | None = None,
    record: Record | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
) -> xarray.Dataset:
    """Continue a training from the end of its dataset, and return what was recorded from there on.

    The result is what one longer training would return for these records. Gradient descent gives the same bits, and
    ``shoal.specification`` of the result is that longer training. The outputs of centred networks stay relative to
    their initial weights. Networks that have diverged or met a rule to stop stay as they are.

    Parameters
    ----------
    data
        What ``train`` or ``resume`` returned, in memory or opened from a file, with the final weights of its networks:
        ``Record(measure=("weights", ...))``. Some consecutive networks of it are enough.
    steps
        For gradient descent: number of further updates.
    t_end
        For a flow: time at which training ends, later than the end of ``data``.
    record
        When and what to measure, in steps or times of the whole training, from the end of ``data`` on. By default the
        measures of ``data`` without custom statistics, at 101 steps or times spread evenly from its end to the new end.
    threads, progress
        As in ``train``.

    Returns
    -------
    xarray.Dataset
        As from ``train``. By default its first record is the last one of ``data``: leave out one of the two to join
        both datasets along ``time``.

    Raises
    ------
    TypeError
        An argument has the wrong type.
    ValueError
        ``data`` has no final weights, or keeps statistics only; steps of a flow, a time of descent, or neither; an end
        or a record before the end of ``data``; or as of ``specification`` and ``train``.

    Notes
    -----
    If inputs were condensed to the directions that they span (``train(condense=...)``), the trained coordinates are
    computed from the final weights, which rounds them once: descent then agrees to rounding, not to the bit. A flow
    agrees within its tolerance, since its steps begin anew. A flow of centred networks is trained again from its
    initialisation.

    Examples
    --------
    >>> import shoal
    >>> data = shoal.train(shoal.Network((2, 3, 1)), shoal.tasks.modes((1., 2.)), shoal.Gaussian(.1), networks=4,
    ...                    method=shoal.GradientDescent(.1, steps=50), record=shoal.Record(measure=("loss", "weights")))
    >>> shoal.resume(data, steps=100).step.values[[0, 1, -1]]
    array([ 50,  51, 150])
    """
    given = specification(data)
    network, method = given.network, given.method
    final = final_parameters(data, network)
    longer = _longer(method, steps, t_end)
    record = _record(record, given.record, method, longer)
    validate.check_progress(progress)
    run = Run.of(dataclasses.replace(given, method=longer, record=record))
    workers = thread_count(threads)
    room.require(run, given.networks, workers)
    if isinstance(method, GradientFlow) and network.centred:
        return run.dataset(workers, progress)
    going = _going(run, final, method)
    arrays = going.arrays(0, given.networks, workers, progress)
    return run.marked(run.of_arrays(_carried(arrays, data, run, method)))


def _longer(method: Method, steps: int | None, t_end: float | None) -> Method:
    """Return the method of the whole training."""
    if isinstance(method, GradientDescent):
        if steps is None or t_end is not None:
            raise ValueError(
                f"steps must be given for a training by GradientDescent, and t_end left out, got t_end={t_end!r}"
            )
        more = checks.integer("steps", steps, least=0)
        return dataclasses.replace(method, steps=method.steps + more)
    if t_end is None or steps is not None:
        raise ValueError(f"t_end must be given for a training by GradientFlow, and steps left out, got steps={steps!r}")
    end = checks.positive("t_end", t_end)
    if end <= method.t_end:
        raise ValueError(f"t_end must be after the end of data, {method.t_end:g}, got {end:g}")
    return dataclasses.replace(method, t_end=end)


def _record(record: Record | None, kept: Record, before: Method, longer: Method) -> Record:
    """Return when to measure in the whole training, from the end of what there is on."""
    if record is not None and not isinstance(record, Record):
        raise TypeError(f"record must be a shoal.Record, got {record!r} of type {type(record).__name__}")
    asked = record or Record(measure=kept.measure)
    if asked.reduce is not None:
        raise ValueError("record must keep each network to go on with it, got reduce")
    first = _end(before)
    if asked.times is None and asked.steps is None:
        if isinstance(longer, GradientDescent):
            rest = GradientDescent(longer.learning_rate, longer.steps - int(first))
            return dataclasses.replace(asked, steps=Record().at(rest) + int(first))
        return dataclasses.replace(asked, times=np.linspace(first, longer.t_end, 101))
    at = asked.at(longer)
    if at[0] < first:
        raise ValueError(f"record must lie from the end of data on, {first:g}, got {at[0]:g}")
    return asked


def _end(method: Method) -> float:
    """Return the last step of descent, or the last time of a flow."""
    return method.steps if isinstance(method, GradientDescent) else method.t_end


def _going(run: Run, final: Parameters, before: Method) -> Run:
    """Return the training of what is left, from the final weights."""
    # What has diverged has nothing left to train: 0 in its place, and its end is carried over.
    weights, biases = ([np.where(np.isfinite(array), array, 0.0) for array in held] for held in final)
    end = Explicit(weights, biases or None)
    training, first = run.training, _end(before)
    method, records = training.method, training.records
    if isinstance(method, GradientDescent):
        rest: Method = dataclasses.replace(method, steps=method.steps - int(first))
        record = dataclasses.replace(training.record, times=None, steps=records - int(first))
    else:
        rest = dataclasses.replace(method, t_end=method.t_end - first)
        times = np.minimum(records - first, rest.t_end)  # a difference may be a rounding more
        record = dataclasses.replace(training.record, steps=None, times=times)
    return dataclasses.replace(run, training=dataclasses.replace(training, method=rest, record=record), resumed=end)


def _carried(arrays: dict[str, Any], data: xarray.Dataset, run: Run, before: Method) -> dict[str, Any]:
    """Return the core's arrays with the counts of the whole training, and the ends of networks that had one before."""
    status = np.asarray(data["status"].values)
    held, ended = dict(arrays), status != _COMPLETED
    if isinstance(before, GradientDescent):
        at = np.asarray(arrays["stopped_at"])
        earlier = np.where(status == _DIVERGED, data["diverged_at"].values, data.get("stopped_at", data["diverged_at"]))
        held["stopped_at"] = np.where(ended, earlier, np.where(at >= 0, at + before.steps, at))
    else:
        at = np.asarray(arrays["stopped_time"])
        held["stopped_time"] = np.where(ended, data["stopped_at"].values, at + before.t_end)
        for name in ("accepted", "rejected"):
            held[name] = data[name].values + np.where(ended, 0, arrays[name])
    held["status"] = np.where(ended, status, arrays["status"]).astype(np.asarray(arrays["status"]).dtype)
    lost = np.isin(status, (_DIVERGED, _EXHAUSTED))
    if lost.any():
        parts = [part for name in run.training.record.measure for part in REGISTRY[name].arrays]
        for part in (*parts, *(custom.key(name) for name, _ in run.functions)):
            if part in held:
                held[part] = _lost(held[part], lost, data, part)
    return held


def _lost(given: Any, lost: NDArray[np.bool_], data: xarray.Dataset, name: str) -> Any:
    """Return an array, or one per layer, where networks that were lost have the weights they ended with, or nothing."""
    if isinstance(given, list):
        return [_lost(array, lost, data, f"{name}_{layer}") for layer, array in enumerate(given, start=1)]
    array = np.array(given)
    final = name.startswith(("weights_", "biases_"))
    array[lost] = data[name].values[lost] if final else (False if array.dtype == np.bool_ else np.nan)
    return array
