"""How a number is distributed over networks, from a histogram that was kept or from the networks themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from shoal.base import checks
from shoal.base.interval import wilson_interval
from shoal.engine.histogram import edges
from shoal.plot import measured, style

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes

_FINE = 10  # the resolution of the counts if every network was kept


def distribution(data: xarray.Dataset, name: str, *, time: int = -1, axes: Axes | None = None) -> Axes:
    """Draw the density of a number over networks, with bars of four deviations (Wilson's interval of each count).

    Bins are merged to about 2 n^(1/3) of equal width for n networks. The axis is logarithmic, and the density that per
    octave, if all numbers but those that count as 0 are positive and span three octaves or more. The legend then says
    which fraction of the networks is at 0.

    Parameters
    ----------
    data : xarray.Dataset
        What ``train`` returned, with every network or with a histogram of that name.
    name : str
        A measure, or ``stopped_at`` of descent with rules to stop.
    time : int
        Index of the record, from the end if negative.
    axes : Axes, optional
        Default: a new figure of pyplot, which a notebook and ``plt.show()`` show.

    Returns
    -------
    Axes
        With the density as stairs.

    Raises
    ------
    TypeError, ValueError
        Not a dataset, a name that has neither networks nor a histogram, a time that it does not have, a dimension with
        several entries, or no network at all.
    """
    checks.dataset(data)
    style.require_axes(axes)
    counts, ends = _counted(data, name, time)
    total = int(counts.sum())
    if not total:
        raise ValueError(
            f"name must be of a number that some network has at that time, got {name!r}, of which none has"
        )
    bars = Bars.of(counts, ends)
    axes = axes or style.panel()
    width = np.diff(np.log2(bars.edges) if bars.logarithmic else bars.edges)
    low, high = wilson_interval(bars.counts, total)
    density = bars.counts / total / width
    axes.stairs(density, bars.edges, fill=True, color=style.COLOURS[0], alpha=0.3, label=bars.label(total))
    low_end, high_end = bars.edges[:-1], bars.edges[1:]
    centres = np.sqrt(low_end * high_end) if bars.logarithmic else 0.5 * (low_end + high_end)
    error = np.maximum([density - low / width, high / width - density], 0.0)  # rounding leaves -1e-17
    style.points(axes, centres, density, error=error, color=style.COLOURS[0], ms=3.0, label="4 standard deviations")
    if bars.logarithmic:
        axes.set_xscale("log", base=10)
    axes.set_ylim(0.0, 1.3 * float((high / width).max()))  # room for the legend above the bars
    axes.set_xlabel(measured.long_name(data[name], name) if name in data else name)
    axes.set_ylabel("density per octave" if bars.logarithmic else "density")
    style.legend(axes)
    return axes


@dataclass(frozen=True)
class Bars:
    """Counts between edges, and counts that have no bar: of networks at 0 and beyond the last bins."""

    counts: NDArray[np.int64]
    edges: NDArray[np.float64]
    logarithmic: bool
    at_zero: int
    beyond: int

    @classmethod
    def of(cls, counts: NDArray[np.int64], ends: NDArray[np.float64]) -> Bars:
        """Merge the bins of a histogram to bars of about equal width."""
        beyond = int(counts[0] + counts[-1])
        inner, ends = counts[1:-1], ends[1:-1]
        zero = len(inner) // 2
        positive = ends[zero + 1 :][:-1][inner[zero + 1 :] > 0]
        logarithmic = not inner[:zero].any() and measured.spans_octaves(positive)
        at_zero = int(inner[zero]) if logarithmic else 0
        if logarithmic:
            inner, ends = inner[zero + 1 :], ends[zero + 1 :]
        held = np.flatnonzero(inner)
        if not len(held):
            return cls(np.zeros(1, np.int64), np.array([-1.0, 1.0]), False, at_zero, beyond)
        first, last = int(held[0]), int(held[-1]) + 1
        wanted = max(1, round(2 * float(inner.sum()) ** (1 / 3)))
        scaled = np.log2(ends) if logarithmic else ends
        even = np.linspace(scaled[first], scaled[last], wanted + 1)
        # Bins are not divided: each bar begins with the bin whose end is nearest.
        after = np.clip(np.searchsorted(scaled, even), first + 1, last)
        at = np.where(even - scaled[after - 1] <= scaled[after] - even, after - 1, after)
        chosen = np.unique(np.concatenate([[first], at, [last]]))
        summed = np.add.reduceat(inner, chosen[:-1])
        return cls(summed, ends[chosen], logarithmic, at_zero, beyond)

    def label(self, total: int) -> str:
        """Return the label, with the fraction of what is not drawn."""
        apart = ((self.at_zero, "at 0"), (self.beyond, "beyond $2^{32}$"))
        return "\n".join([f"{total} networks", *(f"{n / total:.3g} of them {where}" for n, where in apart if n)])


def _counted(data: xarray.Dataset, name: str, time: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return how many networks lie in each bin, and where bins end."""
    if f"{name}_histogram" in data:
        counts = measured.only(measured.at_time(data[f"{name}_histogram"], time), ("bin",))
        return counts.fillna(0).values.astype(np.int64), np.append(data.bin_low.values, data.bin_high.values[-1])
    raw = [str(one) for one in data if "network" in data[one].dims and data[one].dtype.kind == "f"]
    raw += ["stopped_at"] if "network" in data.dims and "stopped_at" in data else []
    histograms = [str(one).removesuffix("_histogram") for one in data if str(one).endswith("_histogram")]
    given = data[checks.choice("name", name, [*histograms, *raw])]
    values = measured.only(measured.at_time(given, time), ("network",)).values.astype(np.float64)
    if name == "stopped_at":
        values = values[values >= 0]
    elif "status" in data:
        values = values[measured.kept_networks(data, given).values]
    ends = edges(_FINE)
    at = np.searchsorted(ends, values[~np.isnan(values)], "right") - 1
    return np.bincount(np.minimum(at, len(ends) - 2), minlength=len(ends) - 1), ends
