"""Means over networks against time, with a band of their error or of their spread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from shoal.base import checks
from shoal.base.interval import DEVIATIONS
from shoal.engine.histogram import quantile
from shoal.plot import measured, style

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes

Floats = NDArray[np.float64]


def curves(
    data: xarray.Dataset | Sequence[xarray.Dataset],
    measure: str = "loss",
    *,
    labels: Sequence[str] | None = None,
    theory: Any = None,
    along: str | None = None,
    quantiles: tuple[float, float] | None = None,
    singles: int = 0,
    axes: Axes | None = None,
) -> Axes:
    """Draw a measure's mean over networks against time, with a band, and theory as dashed lines.

    Networks that diverged or exhausted their steps are left out, as from statistics.

    Parameters
    ----------
    data : xarray.Dataset, or several
        What ``train`` returned, with every network or statistics only; with ``along``, of several trainings. Several
        datasets may have different times.
    measure : str
        Such as ``"loss"``, of one number per network and time.
    labels : sequence of str, optional
        A name for each of several datasets. Default: 1, 2, ....
    theory : array_like, (times,) or (conditions, times), or DataArray, optional
        Predicted mean; for several datasets a sequence, with one or None for each.
    along : str, optional
        A dimension with a curve for each entry, such as ``"init.std"`` or ``"sample"``.
    quantiles : tuple of float, optional
        The band lies between these quantiles over networks; statistics need a histogram of the measure for them.
        Default: four standard errors of the mean to either side.
    singles : int
        Number of single networks per curve, as thin lines: the first that were not left out, or all if there are fewer.
    axes : Axes, optional
        Default: a new figure of pyplot, which a notebook and ``plt.show()`` show.

    Returns
    -------
    Axes
        With a line and a band per curve, in the order of the datasets and of ``along``.

    Raises
    ------
    TypeError, ValueError
        Not a dataset, a name that it does not have, a dimension beside time and ``along`` with several entries,
        quantiles that do not increase within [0, 1] or have no histogram, single networks of statistics, labels or
        theories of another number than datasets, or a theory of another shape.
    """
    several = isinstance(data, (list, tuple))
    datasets: list[xarray.Dataset] = list(data) if several else [data]  # type: ignore[arg-type, list-item]
    if not datasets:
        raise ValueError("data must hold at least one dataset, got none")
    for one in datasets:
        checks.dataset(one)
    style.require_axes(axes)
    names = _each("labels", labels, len(datasets))
    if labels is None:
        names = list(map(str, range(1, len(datasets) + 1))) if several else [""]
    if unfit := [name for name in names if not isinstance(name, str)]:
        raise TypeError(f"labels must be texts, got {unfit[0]!r} of type {type(unfit[0]).__name__}")
    theories = _each("theory", theory, len(datasets)) if several else [theory]
    singles = checks.integer("singles", singles, least=0)
    found = [
        curve
        for one, name, predicted in zip(datasets, names, theories, strict=True)
        for curve in _curves(one, measure, name, predicted, along, quantiles, singles)
    ]
    axes = axes or style.panel()
    for curve, colour in zip(found, _colours(len(found)), strict=True):
        curve.draw(axes, colour)
    expected = [(curve.times, curve.theory) for curve in found if curve.theory is not None]
    for i, (times, theory_there) in enumerate(expected):
        style.theory(axes, times, theory_there, color="black", lw=1.3, ls="--", label=None if i else "theory")
    axes.set_xlabel("time")
    axes.set_ylabel(f"{measured.long_name(datasets[0][measure], measure)}, mean over networks")
    band = "band: 4 standard errors" if quantiles is None else f"band: quantiles {quantiles[0]:g} to {quantiles[1]:g}"
    title = band if along is None else f"{along} ({band})"
    style.legend(axes, title=title, ncols=1 + (len(found) > 8))
    return axes


@dataclass(frozen=True)
class _Curve:
    """A mean with its band, the single networks under it, (networks, times), and the predicted mean."""

    label: str
    times: Floats
    mean: Floats
    low: Floats
    high: Floats
    singles: Floats
    theory: Floats | None

    def draw(self, axes: Axes, colour: Any) -> None:
        """Draw all but the theory, which is drawn over all curves."""
        from matplotlib.collections import LineCollection

        if len(self.singles):
            lines = [np.column_stack([self.times, row]) for row in self.singles]
            axes.add_collection(LineCollection(lines, colors=[colour], linewidths=0.6, alpha=0.5, zorder=2))
            axes.autoscale_view()
        axes.fill_between(self.times, self.low, self.high, color=colour, alpha=0.22, lw=0, zorder=1)
        axes.plot(self.times, self.mean, color=colour, lw=1.8, zorder=3, label=self.label)


def _curves(
    data: xarray.Dataset, measure: str, name: str, theory: Any, along: str | None, quantiles: Any, singles: int
) -> list[_Curve]:
    """Return the curves of one dataset."""
    dims = ["time"] if along is None else [along, "time"]
    values = None if along is None else measured.swept(data, "along", along)
    mean = measured.only(measured.statistic_of(data, "measure", measure, "mean"), dims)
    low, high = (measured.only(end, dims) for end in _band(data, measure, mean, quantiles))
    thin = _singles(data, measure, along, singles, len(np.atleast_2d(mean.values)))
    predicted = _theory(theory, mean)
    rows = [np.atleast_2d(array.values) for array in (mean, low, high)]
    expected: list[Floats | None] = [None] * len(rows[0])
    if predicted is not None:  # one for all curves is drawn once
        expected[: 1 if predicted.ndim == 1 else None] = list(np.atleast_2d(predicted))
    said = [""] if values is None else [measured.text(one) for one in values.values]
    labels = [", ".join(filter(None, (name, one))) or "trained" for one in said]
    if "time" not in mean.coords:
        raise ValueError(
            f"data must have one coordinate time, got {measure!r} at times that differ between networks or conditions"
        )
    times = np.asarray(mean.time.values, np.float64)
    return [_Curve(label, times, *parts) for label, *parts in zip(labels, *rows, thin, expected, strict=True)]


def _singles(data: xarray.Dataset, measure: str, along: str | None, count: int, curves: int) -> list[Floats]:
    """Return the first networks of each curve that were not left out, (networks, times) each."""
    if not count:
        return [np.empty((0, 0))] * curves
    if "network" not in data[measure].dims:
        raise ValueError(f"singles must be 0 for statistics, which keep no single network, got {count}")
    kept = data[measure].where(measured.kept_networks(data, data[measure]))
    dims = ["network", "time"] if along is None else [along, "network", "time"]
    rows = measured.only(kept, dims).values.reshape(curves, -1, data.sizes["time"])
    return [row[~np.isnan(row).all(axis=1)][:count] for row in rows]


def _each(argument: str, given: Any, count: int) -> list[Any]:
    """Return what was given for each dataset."""
    if given is None:
        return [None] * count
    if not isinstance(given, (list, tuple)) or len(given) != count:
        raise ValueError(f"{argument} must be a sequence of {count}, one for each dataset, got {given!r:.200}")
    return list(given)


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
