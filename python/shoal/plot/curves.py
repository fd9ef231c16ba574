"""Means over networks against time, with a band of their error or of their spread."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shoal.base import checks
from shoal.base.interval import DEVIATIONS
from shoal.engine.histogram import quantile
from shoal.plot import measured, style

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes


def curves(
    data: xarray.Dataset,
    measure: str,
    *,
    theory: ArrayLike | xarray.DataArray | None = None,
    along: str | None = None,
    quantiles: tuple[float, float] | None = None,
    axes: Axes | None = None,
) -> Axes:
    """Draw a measure's mean over networks against time, with a band, and theory as dashed lines.

    Networks that diverged or exhausted their steps are left out, as from statistics.

    Parameters
    ----------
    data : xarray.Dataset
        What ``train`` returned, with every network or statistics only; with ``along``, of several trainings.
    measure : str
        Such as ``"loss"``.
    theory : array_like, (times,) or (conditions, times), or DataArray, optional
        What the mean should be.
    along : str, optional
        A dimension with a curve for each entry, such as ``"init.std"`` or ``"sample"``.
    quantiles : tuple of float, optional
        The band lies between these quantiles over networks, for which statistics need a histogram of the measure.
        Without, it is the mean's error: four standard errors to either side.
    axes : Axes, optional
        Where; a figure of its own without.

    Returns
    -------
    Axes
        With a line and a band a curve, in the order of ``along``.

    Raises
    ------
    TypeError, ValueError
        Not a dataset, a name that it does not have, a dimension beside time and ``along`` with several entries,
        quantiles that do not increase within [0, 1] or have no histogram, or a theory of another shape.
    """
    measured.require_dataset(data)
    if axes is not None:
        style.require_axes(axes)
    dims = ["time"] if along is None else [along, "time"]
    values = None if along is None else measured.swept(data, "along", along)
    mean = measured.only(measured.statistic_of(data, "measure", measure, "mean"), dims)
    low, high = (measured.only(end, dims) for end in _band(data, measure, mean, quantiles))
    predicted = _theory(theory, mean)
    told = "band: 4 standard errors" if quantiles is None else f"band: quantiles {quantiles[0]:g} to {quantiles[1]:g}"
    if axes is None:
        axes = style.figure((f"{measure}, mean over networks",))[1][0]
    rows = np.atleast_2d(mean.values)
    colours = _colours(len(rows))
    labels = ["mean over networks"] if values is None else [measured.text(one) for one in values.values]
    if "time" not in mean.coords:
        raise ValueError(
            f"data must have one coordinate time, got {measure!r} at times that differ between networks or conditions"
        )
    times = mean.time.values
    for i, (row, below, above) in enumerate(
        zip(rows, np.atleast_2d(low.values), np.atleast_2d(high.values), strict=True)
    ):
        axes.fill_between(times, below, above, color=colours[i], alpha=0.22, lw=0, zorder=1)
        axes.plot(times, row, color=colours[i], lw=1.8, zorder=3, label=labels[i])
    for i, row in enumerate([] if predicted is None else np.atleast_2d(predicted)):
        style.theory(axes, times, row, color="black", lw=1.3, ls="--", label="theory" if i == 0 else None)
    axes.set_xlabel("time")
    axes.set_ylabel(measured.long_name(data[measure], measure))
    style.legend(axes, title=told if along is None else f"{along} ({told})", ncols=1 + (len(rows) > 8))
    return axes


def _band(
    data: xarray.Dataset, measure: str, mean: xarray.DataArray, quantiles: Any
) -> tuple[xarray.DataArray, xarray.DataArray]:
    if quantiles is None:
        error = measured.statistic_of(data, "measure", measure, "standard_error")
        return mean - DEVIATIONS * error, mean + DEVIATIONS * error
    ends = checks.real_array("quantiles", quantiles, dimensions=1, shape="(2,)")
    if len(ends) != 2 or not 0 <= ends[0] < ends[1] <= 1:
        raise ValueError(f"quantiles must be two that increase within [0, 1], got {quantiles}")
    if "network" in data[measure].dims:
        kept = measured.kept_networks(data, data[measure])
        found = data[measure].where(kept).quantile(ends, "network", skipna=True)
    elif f"{measure}_histogram" in data:
        found = quantile(data, measure, ends).value
    else:
        raise ValueError(
            f"quantiles need a histogram of {measure}: train with Statistics(distribution=({measure!r},)), got none"
        )
    return found.isel(quantile=0, drop=True), found.isel(quantile=1, drop=True)


def _theory(theory: Any, mean: xarray.DataArray) -> NDArray[np.float64] | None:
    """Return the prediction in the axes of the mean, or along time only."""
    import xarray

    if theory is None:
        return None
    if isinstance(theory, xarray.DataArray):
        dims = [dim for dim in mean.dims if dim in theory.dims]
        theory = measured.only(theory, dims).values
    found = np.asarray(theory, dtype=np.float64)
    if found.shape not in (mean.shape, mean.shape[-1:]):
        raise ValueError(f"theory must have the shape of the mean, {mean.shape}, or of its times, got {found.shape}")
    return found


def _colours(count: int) -> list[Any]:
    if count <= len(style.COLOURS):
        return list(style.COLOURS[:count])
    import matplotlib as mpl

    return list(mpl.colormaps["viridis"](np.linspace(0.0, 0.92, count)))  # its yellow end is pale on white
