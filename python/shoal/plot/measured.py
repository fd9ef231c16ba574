"""What figures show of a dataset: moments, fractions and histograms over networks, whether each was kept or not."""

from __future__ import annotations

import operator
from collections.abc import Hashable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shoal.base import checks
from shoal.base.interval import wilson_interval
from shoal.spec.measures import REDUCIBLE
from shoal.spec.method import OUTCOMES
from shoal.spec.statistics import Event

if TYPE_CHECKING:
    import xarray

_COMPARE: dict[str, Any] = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


class Fraction(NamedTuple):
    """How many of how many networks, and the ends of Wilson's interval of four deviations."""

    met: xarray.DataArray
    trials: xarray.DataArray
    low: xarray.DataArray
    high: xarray.DataArray

    @property
    def value(self) -> xarray.DataArray:
        """The fraction; NaN of no networks."""
        return self.met / self.trials.where(self.trials > 0)


def measure_of(data: xarray.Dataset, argument: str, name: object, *also: str) -> xarray.DataArray:
    """Return a measure, or one of the other variables named, by networks or statistics."""
    named = [one for one in (*REDUCIBLE, *also) if one in data]
    named += [str(one) for one in data.data_vars if "function" in data[one].attrs]  # custom statistics
    return data[checks.choice(argument, name, named)]


def statistic_of(data: xarray.Dataset, argument: str, name: object, statistic: str, *also: str) -> xarray.DataArray:
    """Return one statistic over the networks that were not lost, of one of ``STATISTICS``."""
    values = measure_of(data, argument, name, *also)
    if "statistic" in values.dims:
        return values.sel(statistic=statistic, drop=True)
    kept = values >= 0 if name == "stopped_at" else kept_networks(data, values)
    count = kept.sum("network")
    if statistic == "count":
        return count.astype(np.float64)
    if statistic in ("min", "max"):
        found: xarray.DataArray = getattr(values.where(kept).astype(np.float64), statistic)("network", skipna=True)
        return found
    mean = values.where(kept, 0).sum("network") / count.where(count > 0)
    if statistic == "mean":
        return mean
    squares = ((values - mean) ** 2).where(kept, 0).sum("network")
    variance = squares / (count - 1).where(count > 1)
    return variance if statistic == "variance" else (variance / count) ** 0.5


def fraction_of(data: xarray.Dataset, event: object) -> Fraction:
    """Return the fraction of networks that meet an event, such as "error > 0", or that ended with an outcome."""
    count, trials = _outcome(data, str(event)) if event in OUTCOMES else _event(data, event)
    low, high = wilson_interval(count.values, np.broadcast_to(trials.values, count.shape))
    return Fraction(count, trials, count.copy(data=low), count.copy(data=high))


def _outcome(data: xarray.Dataset, name: str) -> tuple[xarray.DataArray, xarray.DataArray]:
    if "outcome_count" in data:
        counts = data.outcome_count.fillna(0)
        return counts.isel(outcome=OUTCOMES.index(name)).astype(np.int64), counts.sum("outcome").astype(np.int64)
    if "status" not in data:
        raise ValueError(f"event={name!r} needs outcome_count or status in data, which has neither")
    count = (data.status == OUTCOMES.index(name)).sum("network")
    return count, data.status.notnull().sum("network")


def _event(data: xarray.Dataset, text: object) -> tuple[xarray.DataArray, xarray.DataArray]:
    if isinstance(text, str) and text.isidentifier():
        raise ValueError(f"event must be one of {', '.join(OUTCOMES)}, or a text such as 'error > 0', got {text!r}")
    event = Event.read(text)
    if "network" in data.dims:
        values = measure_of(data, "event", event.measure)
        counted = kept_networks(data, values)
        if "status" in data:
            counted = counted | (data.status == OUTCOMES.index("diverged"))
        above = event.relation in (">", ">=")  # a network counts as above once it has diverged (Statistics)
        met: xarray.DataArray = (
            _COMPARE[event.relation](values, event.threshold) | (above & values.isnull())
        ) & counted
        trials = counted.sum("network").broadcast_like(values.isel(network=0, drop=True))
        return met.sum("network"), trials.transpose(*met.isel(network=0).dims)
    held = [str(one) for one in data.event.values] if "event" in data.coords else []
    if str(event) not in held:
        raise ValueError(
            f"event must be one that was kept, of which there are {', '.join(held) or 'none'}, got {text!r}"
        )
    met = data.event_count.isel(event=held.index(str(event))).fillna(0).astype(np.int64)
    kept = statistic_of(data, "event", event.measure, "count").fillna(0).astype(np.int64)
    trials = kept + data.outcome_count.isel(outcome=OUTCOMES.index("diverged"), drop=True).fillna(0).astype(np.int64)
    return met, trials.transpose(*met.dims)


def kept_networks(data: xarray.Dataset, values: xarray.DataArray) -> xarray.DataArray:
    """Return which networks have statistics taken of them."""
    if "status" in data:
        lost: xarray.DataArray = data.status.isin([OUTCOMES.index("diverged"), OUTCOMES.index("exhausted")])
        known: xarray.DataArray = data.status.notnull()
        return known & ~lost
    known = values.notnull()
    return known


def at_time(array: xarray.DataArray, time: object) -> xarray.DataArray:
    """Return the record of index ``time``, counted from the end where negative."""
    if "time" not in array.dims:
        return array
    records = array.sizes["time"]
    return array.isel(time=checks.integer("time", time, least=-records, most=records - 1))


def drawn(array: xarray.DataArray, dims: Sequence[str], time: object) -> NDArray[np.float64]:
    """Return the numbers along these dimensions, at one time if that is not one of them."""
    chosen = array if "time" in dims else at_time(array, time)
    return np.asarray(only(chosen, dims).values, dtype=np.float64)


def only(array: xarray.DataArray, wanted: Iterable[Hashable]) -> xarray.DataArray:
    """Return the array with these dimensions in their order; others may have one entry."""
    dims = list(wanted)
    missing = [str(dim) for dim in dims if dim not in array.dims]
    if missing:
        there = ", ".join(map(str, array.dims))
        raise ValueError(f"data must vary along {', '.join(missing)} to be drawn so, got only {there or 'one number'}")
    more = [dim for dim in array.dims if dim not in dims and array.sizes[dim] > 1]
    if more:
        lengths = ", ".join(f"{dim} of {array.sizes[dim]}" for dim in more)
        call = f"{more[0]}=..." if str(more[0]).isidentifier() else f"{{{more[0]!r}: ...}}"
        raise ValueError(
            f"data must have one entry along what is not drawn, got {lengths}: select one with data.isel({call})"
        )
    return array.squeeze([dim for dim in array.dims if dim not in dims]).transpose(*dims)


def swept(data: xarray.Dataset, argument: str, dimension: object) -> xarray.DataArray:
    """Return the values of a dimension, which must be there."""
    named = [str(dim) for dim in data.dims if dim not in ("network", "statistic", "bin")]
    name = checks.choice(argument, dimension, named)
    return data[name]  # its indices if it has no coordinate


def long_name(array: xarray.DataArray, name: str) -> str:
    """Return what a variable says it is, in the few words before the first comma."""
    return str(array.attrs.get("long_name", name)).split(",")[0]


def text(value: Any) -> str:
    """Return the name of a swept value in a legend or on an axis."""
    return f"{value:.4g}" if isinstance(value, (float, np.floating)) else str(value)


def numeric(values: NDArray[Any]) -> bool:
    """Return whether these are numbers for an axis: finite, and in order."""
    if values.dtype.kind not in "iuf" or not np.isfinite(values).all():
        return False
    steps = np.diff(values.astype(np.float64))
    return bool((steps > 0).all() or (steps < 0).all())


def spans_octaves(values: NDArray[Any], octaves: float = 3.0) -> bool:
    """Return whether positive numbers span so many octaves that a logarithmic axis shows more of them."""
    return bool(len(values) and (values > 0).all() and values.max() >= 2.0**octaves * values.min())
