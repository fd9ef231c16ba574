"""What the recorded activity of the hidden units says: who died, when, and how often patterns changed.

Source: docs/dynamics.md; theory book, chapter 2 (neurons that die).
"""

from __future__ import annotations

from typing import cast

import numpy as np
import xarray as xr

from shoal.base import checks
from shoal.dynamics.series import labelled

__all__ = ["activation_patterns", "deaths"]


def deaths(data: xr.Dataset) -> xr.Dataset:
    """Return which hidden units died, and between which records.

    A unit is dead from the record on from which it is active on no sample, to the end of the records. A unit that is
    active nowhere for a while and then again was not dead.

    Parameters
    ----------
    data : Dataset
        With ``unit_active`` (network, time, unit), the fraction of the samples on which a unit is active, or else with
        ``pattern`` (network, time, unit, sample).

    Returns
    -------
    Dataset, (network, unit)
        - ``died`` (bool): active on some sample at the first record, and dead at the last.
        - ``at`` (float64): the time of the first record of its death; infinite for a unit that is active at the last
          record, NaN for one that is dead at all of them, and for networks that diverged.
        - ``after`` (float64): the last record at which it was active: the death lies in (after, at]. NaN if it never
          was.
        - ``inactive`` (bool): dead at all records, from initialisation on.

    Raises
    ------
    TypeError, ValueError
        Not a Dataset; neither measure recorded.

    Notes
    -----
    Dead means: on the samples of the task, including those of weight 0. Without biases and on all of a separated task
    it is for good: theory book, chapter 2. ``theory.separated_deaths`` predicts it. Cost: a few operations per
    number.

    Examples
    --------
    >>> active = xr.DataArray([[[0.5, 0.5, 0.0], [0.5, 0.0, 0.0], [0.5, 0.0, 0.0]]], dims=("network", "time", "unit"),
    ...                       coords={"time": [0.0, 1.0, 2.0]})
    >>> found = deaths(xr.Dataset({"unit_active": active}))
    >>> print(found.died.values, found["at"].values, found.after.values)
    [[False  True False]] [[inf  1. nan]] [[ 2.  0. nan]]
    """
    given = _variable(data, "unit_active", "pattern")
    if given.name == "pattern":
        given = given.any("sample").where(_alive(data))
    activity = given.transpose(..., "time")
    values, times = np.asarray(activity.values, np.float64), activity["time"].values.astype(np.float64)
    known = np.isfinite(values).all(axis=-1)
    active = values > 0
    ever = active.any(axis=-1)
    last = len(times) - 1 - active[..., ::-1].argmax(axis=-1)
    lives = ever & (last == len(times) - 1)
    following = np.where(lives, np.inf, times[np.minimum(last + 1, len(times) - 1)])
    return labelled(
        activity.isel(time=0, drop=True),
        {
            "died": (known & active[..., 0] & ~lives & ever, "active at the first record, dead at the last"),
            "at": (np.where(known & ever, following, np.nan), "first record from which the unit is dead"),
            "after": (np.where(known & ever, times[last], np.nan), "last record at which the unit is active"),
            "inactive": (np.asarray(known & ~ever), "dead at all records"),
        },
    )


def activation_patterns(data: xr.Dataset) -> xr.Dataset:
    """Return how often the pattern of each hidden unit changed, the set of samples on which it is active.

    Parameters
    ----------
    data : Dataset
        With ``pattern`` (network, time, unit, sample), bool.

    Returns
    -------
    Dataset, (network, unit), float64
        - ``changes``: records whose pattern differs from that of the record before.
        - ``flips``: samples that switched sides from one record to the next, summed over the records.
        - ``settled``: the time of the first record from which the pattern stays the same to the end.

        NaN for networks that diverged.

    Raises
    ------
    TypeError, ValueError
        Not a Dataset; the measure was not recorded.

    Notes
    -----
    Changes between two records that undo each other go unseen: these are lower bounds. From a separated initialisation
    (theory book, chapters 2 and 3) all changes are deaths, or units that go over to the antipodal sample. Cost: a few
    operations per number.
    """
    pattern = _variable(data, "pattern").transpose(..., "sample", "time")
    values, times = np.asarray(pattern.values, bool), pattern["time"].values.astype(np.float64)
    switched = values[..., 1:] != values[..., :-1]
    differs = switched.any(axis=-2)
    count = differs.shape[-1]
    last = np.where(differs.any(axis=-1), count - differs[..., ::-1].argmax(axis=-1), 0)
    made = labelled(
        pattern.isel(sample=0, time=0, drop=True),
        {
            "changes": (differs.sum(axis=-1).astype(np.float64), "records with another pattern than the one before"),
            "flips": (switched.sum(axis=(-2, -1)).astype(np.float64), "samples that switched sides, over all records"),
            "settled": (times[last], "first record from which the pattern stays"),
        },
    )
    return made.where(_alive(data))


def _variable(data: object, *names: str) -> xr.DataArray:
    """Return the first of the variables that is there."""
    given = checks.dataset(data)
    for name in names:
        if name in given:
            return cast("xr.DataArray", given[name])
    wanted = " or ".join(repr(name) for name in names)
    raise ValueError(f"data must hold {wanted}, got neither: record the measure {wanted}")


def _alive(data: xr.Dataset) -> xr.DataArray:
    """Whether a network trained to the end; patterns have no NaN to say so."""
    return data["status"] == 0 if "status" in data else xr.DataArray(True)
