"""Histograms over networks: the bins of the core, and quantiles with their error.

A bin holds numbers to a relative width of 2**-resolution: 2**resolution of them to an octave, from 2**-32 to 2**32, for
either sign. What is smaller in magnitude shares one bin with 0; what is larger has one for each sign.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shoal.base import checks, imports
from shoal.base.interval import DEVIATIONS

if TYPE_CHECKING:
    import xarray

OCTAVES = 32


def bins(resolution: int) -> int:
    """Return how many bins there are."""
    return 2 * (2 * OCTAVES << resolution) + 3


def edges(resolution: int) -> NDArray[np.float64]:
    """Return where bins begin and end, shape (bins + 1,), float64, from -infinity to infinity."""
    each = np.arange(1 << resolution) / (1 << resolution)
    octave = np.arange(-OCTAVES, OCTAVES, dtype=np.float64)
    positive = np.append((2.0 ** octave[:, None] * (1 + each)).ravel(), 2.0**OCTAVES)
    return np.concatenate([[-np.inf], -positive[::-1], positive, [np.inf]])


def quantile(data: xarray.Dataset, name: str, q: ArrayLike) -> xarray.Dataset:
    """Return quantiles over networks from a histogram, with the error of its bins and of the finite sample.

    Parameters
    ----------
    data
        What ``train`` or ``open_sweep`` returned with ``Record(reduce=Statistics(distribution=...))``.
    name
        A measure of ``distribution``, or ``stopped_at`` of descent with rules to stop.
    q : array_like, shape (quantiles,)
        Probabilities, in [0, 1].

    Returns
    -------
    xarray.Dataset
        ``value`` is the middle of the bin that holds the quantile of these networks; ``bin_low`` and ``bin_high`` are
        its ends. ``low`` and ``high`` enclose the quantile of the distribution of networks, whatever it is, but for a
        probability of 6.3e-5, as for four standard deviations. They are infinite if there are too few networks. The
        dimension ``quantile`` replaces ``bin``. All are NaN if no network was counted, or if a network that was counted
        has no number there.

    Raises
    ------
    ValueError
        There is no histogram of that name, or a probability lies outside [0, 1].

    Notes
    -----
    The number of n independent networks below the quantile of probability q is binomial, B(n, q). The ends are the
    order statistics whose ranks that distribution exceeds on either side with half of the probability.

    Examples
    --------
    >>> import shoal
    >>> data = shoal.train(shoal.Network((2, 8, 1)), shoal.tasks.modes((1.7, 0.9)), shoal.Gaussian(0.5), networks=200,
    ...                    method=shoal.GradientDescent(0.05, 400), record=shoal.Record(
    ...                        steps=[0, 400], reduce=shoal.Statistics(distribution=("loss",))))
    >>> shoal.quantile(data, "loss", [0.1, 0.5]).value.dims
    ('quantile', 'time')
    """
    import xarray

    checks.dataset(data)
    variable = f"{name}_histogram"
    if variable not in data:
        kept = [str(one).removesuffix("_histogram") for one in data if str(one).endswith("_histogram")]
        raise ValueError(f"name must have a histogram, of which there are {', '.join(kept) or 'none'}, got {name!r}")
    wanted = checks.real_array("q", np.atleast_1d(checks.plain("q", q)), dimensions=1, shape="(quantiles,)")
    if (wanted < 0).any() or (wanted > 1).any():
        raise ValueError(f"q must lie in [0, 1], got {wanted[(wanted < 0) | (wanted > 1)][0]:g}")
    counted = data[variable].fillna(0).astype(np.int64).transpose("bin", ...)  # conditions not yet run have NaN
    ends = np.append(data.bin_low.values, data.bin_high.values[-1])
    upto = np.cumsum(counted.values, axis=0)
    total = upto[-1]
    parts = ("value", "bin_low", "bin_high", "low", "high")
    found = {part: np.full((len(wanted), *total.shape), np.nan) for part in parts}
    for i, probability in enumerate(wanted.tolist()):
        least, most = _ranks(probability, total)
        rank = np.clip(np.ceil(probability * total), 1, np.maximum(total, 1))  # from 1, of the network at the quantile
        at, first, last = (_bin(upto, one) for one in (rank, least, most))
        found["bin_low"][i], found["bin_high"][i] = ends[at], ends[at + 1]
        found["low"][i] = np.where(least < 1, -np.inf, ends[first])
        found["high"][i] = np.where(most > total, np.inf, ends[last + 1])
    middle = 0.5 * (found["bin_low"] + found["bin_high"])
    found["value"] = np.where(np.isfinite(middle), middle, np.where(np.isfinite(found["bin_low"]), np.inf, -np.inf))
    dims = ("quantile", *counted.dims[1:])
    undefined = total == 0
    if "statistic" in data.get(name, counted).dims:
        undefined |= total < data[name].sel(statistic="count").transpose(*counted.dims[1:]).values
    empty = np.broadcast_to(undefined, middle.shape)
    coordinates = {key: value for key, value in counted.coords.items() if "bin" not in value.dims}
    return xarray.Dataset(
        {part: (dims, np.where(empty, np.nan, values)) for part, values in found.items()},
        coords={"quantile": wanted, **coordinates},
        attrs={"of": name},
    )


def _ranks(probability: float, total: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the ranks that enclose the distribution's quantile; 0, or more than there are, if none bounds it."""
    special, stats = imports.whole("scipy.special", "scipy.stats")
    outside = float(special.ndtr(-DEVIATIONS))
    counts, place = np.unique(total, return_inverse=True)
    least = stats.binom.ppf(outside, counts, probability)
    most = stats.binom.isf(outside, counts, probability) + 1
    low, high = (rank.astype(np.int64)[place].reshape(total.shape) for rank in (least, most))
    return low, high


def _bin(upto: NDArray[np.int64], rank: NDArray[Any]) -> NDArray[np.int64]:
    """Return the first bin up to which there are ``rank`` networks."""
    return np.asarray(np.minimum((upto < rank).sum(axis=0), len(upto) - 1), dtype=np.int64)
