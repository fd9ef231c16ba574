"""Continue a training from the end of its dataset."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from shoal.base import checks
from shoal.engine import custom, room
from shoal.engine.run import Progress, Run
from shoal.engine.threads import thread_count
from shoal.predict import Parameters, final_parameters, final_velocity
from shoal.spec import validate
from shoal.spec.encoding import specification
from shoal.spec.init import Explicit
from shoal.spec.measures import REGISTRY
from shoal.spec.method import OUTCOMES, GradientDescent, GradientFlow, Method
from shoal.spec.record import Record

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

    The result is that of one longer training for these records, to the bit for gradient descent;
    ``shoal.specification`` of the result is that longer training. The outputs of centred networks stay relative to
    their initial weights. Networks that have diverged or met a rule to stop stay as they are.

    Parameters
    ----------
    data
        What ``train`` or ``resume`` returned, in memory or opened from a file, with the final weights of its networks:
        ``Record(measure=("weights", ...))``; with momentum ``"velocity"`` too. Some consecutive networks are enough.
    steps
        For gradient descent: number of further updates. The schedule must be constant or ``"inverse_sqrt"``: others say
        nothing of them.
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
    TypeError, ValueError
        As in ``specification`` and ``train``; ``data`` has no final weights, or no velocity, or keeps statistics only;
        steps for a flow, a time for descent, or neither; an end or a record before the end of ``data``.

    Notes
    -----
    If inputs were condensed to the directions that they span (``train(condense=...)``), descent agrees to rounding, not
    to the bit, since the trained coordinates are computed from the final weights. A flow agrees within its tolerance,
    since its steps begin anew. A flow of centred networks is trained again from its initialisation.

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
    velocity = final_velocity(data, network) if method.momentum else None
    longer = _longer(method, steps, t_end)
    record = _record(record, given.record, method, longer)
    validate.check_progress(progress)
    run = Run.of(dataclasses.replace(given, method=longer, record=record))
    workers = thread_count(threads)
    room.require(run, given.networks, workers)
    if isinstance(method, GradientFlow) and network.centred:
        return run.dataset(workers, progress)
    going = _going(run, final, velocity, method)
    arrays = going.arrays(0, given.networks, workers, progress)
    return run.of_arrays(_carried(arrays, data, run, method))


def _longer(method: Method, steps: int | None, t_end: float | None) -> Method:
    """Return the method of the whole training."""
    given: dict[str, Any] = {"steps": steps, "t_end": t_end}
    name, other = method.length, "t_end" if method.length == "steps" else "steps"
    if given[name] is None or given[other] is not None:
        kind = type(method).__name__
        raise ValueError(
            f"{name} must be given for a training by {kind}, and {other} left out, got {other}={given[other]!r}"
        )
    if isinstance(method, GradientDescent):
        if isinstance(method.schedule, np.ndarray) or method.schedule not in (None, "inverse_sqrt"):
            raise ValueError(
                "data must be of a constant or inverse_sqrt schedule, which say how training goes on, got "
                f"{method.schedule!r:.100}"
            )
        return dataclasses.replace(method, steps=method.steps + checks.integer("steps", steps, least=0))
    end = checks.positive("t_end", t_end)
    if end <= method.t_end:
        raise ValueError(f"t_end must be after the end of data, {method.t_end:g}, got {end:g}")
    return dataclasses.replace(method, t_end=end)


def _record(record: Record | None, kept: Record, before: Method, longer: Method) -> Record:
    """Return when to measure in the whole training, from the end of ``data`` on."""
    if record is not None:
        checks.kind("record", record, Record)
    asked = record or Record(measure=kept.measure)
    if asked.reduce is not None:
        raise ValueError("record must keep each network to resume it, got reduce")
    first = _end(before)
    if asked.times is None and asked.steps is None:
        if isinstance(longer, GradientDescent):
            rest = dataclasses.replace(longer, steps=longer.steps - int(first))
            return dataclasses.replace(asked, steps=Record().at(rest) + int(first))
        return dataclasses.replace(asked, times=np.linspace(first, longer.t_end, 101))
    at = asked.at(longer)
    if at[0] < first:
        raise ValueError(f"record must lie from the end of data on, {first:g}, got {at[0]:g}")
    return asked


def _end(method: Method) -> Any:
    """Return the last step of descent, or the last time of a flow."""
    return getattr(method, method.length)


def _going(run: Run, final: Parameters, velocity: Parameters | None, before: Method) -> Run:
    """Return the training of what is left, from the final weights and velocity."""
    training, first = run.training, _end(before)
    left = _end(training.method) - first
    changed: dict[str, Any] = {before.length: left}
    if isinstance(training.method, GradientDescent) and training.method.factors is not None:
        changed["schedule"] = training.method.factors[first:] if left else None
    method = dataclasses.replace(training.method, **changed)
    at = np.minimum(training.records - first, left)  # a difference of times may be a rounding more
    asked: dict[str, Any] = {"times": None, "steps": None, "steps" if before.length == "steps" else "times": at}
    rest = dataclasses.replace(training, method=method, record=dataclasses.replace(training.record, **asked))
    moving = None if velocity is None else _explicit(velocity)
    return dataclasses.replace(run, training=rest, resumed=_explicit(final), velocity=moving)


def _explicit(held: Parameters) -> Explicit:
    """Return arrays as those to go on from; 0 for a network that has diverged: nothing of it is left to train."""
    weights, biases = ([np.where(np.isfinite(array), array, 0.0) for array in arrays] for arrays in held)
    return Explicit(weights, biases or None)


def _carried(arrays: dict[str, Any], data: xarray.Dataset, run: Run, before: Method) -> dict[str, Any]:
    """Return the core's arrays with the counts of the whole training, and the ends that networks had before."""
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
    """Return an array, or one per layer, in which lost networks have the weights they ended with, else no numbers."""
    if isinstance(given, list):
        return [_lost(array, lost, data, f"{name}_{layer}") for layer, array in enumerate(given, start=1)]
    array = np.array(given)
    final = name.startswith(("weights_", "biases_", "velocity_"))
    array[lost] = data[name].values[lost] if final else (False if array.dtype == np.bool_ else np.nan)
    return array
