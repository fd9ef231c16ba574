"""Trainings at three rates or side by side, records that no kink spoils, crossing times, trends, seeds."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import xarray as xr

from shoal import GradientDescent, Init, Loss, Network, Record, Task, compare_rates
from shoal.claims.trial import Trial
from shoal.engine.threads import thread_count
from shoal.verdicts.comparison import Comparison, Values
from shoal.verdicts.layout import Flags, Floats

Found = TypeVar("Found")


def far_seed(seed: int, part: int) -> int:
    """Return the seed of another part of the claim, part x 2^32 further on, which no seed near by shares."""
    return (seed + part * 2**32) % 2**64


@dataclass(frozen=True)
class Plan:
    """One training, to be repeated at several rates with records at the same times.

    ``steps, every``: updates, and updates between records, at ``rate``, the coarsest.
    """

    network: Network
    task: Task
    init: Init
    loss: str | Loss
    rate: float
    steps: int
    every: int
    measure: tuple[str, ...]

    @property
    def times(self) -> Floats:
        """Times at which every run is recorded."""
        return np.asarray(np.arange(0, self.steps + 1, self.every) * self.rate, np.float64)

    def train(self, run: Trial, networks: int, *, refine: int = 1, seed: int | None = None) -> xr.Dataset:
        """Return the first networks of a seed, the run's own if left out, trained at ``rate / refine``."""
        data = run.train(
            self.network,
            self.task,
            self.init,
            loss=self.loss,
            method=GradientDescent(learning_rate=self.rate / refine, steps=self.steps * refine),
            record=Record(steps=np.arange(0, self.steps * refine + 1, self.every * refine), measure=self.measure),
            networks=networks,
            seed=run.seed if seed is None else seed,
        )
        return data.assign_coords(time=self.times)

    def three(self, run: Trial, networks: int) -> Runs:
        """Return the training at rate, rate/2 and rate/4."""
        return Runs(*(self.train(run, networks, refine=refine) for refine in (1, 2, 4)))


@dataclass(frozen=True)
class Runs:
    """The same networks at rate, rate/2 and rate/4, recorded at the same times."""

    full: xr.Dataset
    half: xr.Dataset
    quarter: xr.Dataset

    def stack(self, name: str) -> Floats:
        """(3, networks, times, ...) float64: a variable of the three runs."""
        return np.stack([np.asarray(run[name].values, float) for run in (self.full, self.half, self.quarter)])

    def compare(self, name: str, predicted: Values, where: Flags | None = None) -> Comparison:
        """Return the exact comparison of a variable with its prediction."""
        first, second, fourth = self.stack(name)
        return compare_rates(first, second, fourth, predicted, where=where)

    def smooth(self) -> Flags:
        """(networks, times) bool: no neuron changes sides here, nor between here and the neighbouring records.

        A neuron that dies is a kink in time; where the three runs have it on different sides no extrapolation in the
        rate holds. Needs the measure ``active``.
        """
        active = self.stack("active")
        agree = (active == active[0]).all(axis=(0, -1))
        steady = agree[:, 1:] & agree[:, :-1] & (active[0, :, 1:] == active[0, :, :-1]).all(axis=-1)
        smooth = agree.copy()
        smooth[:, 1:] &= steady
        smooth[:, :-1] &= steady
        return np.asarray(smooth)


def extrapolate(three: Floats) -> Floats:
    """Return what measurements at rate, rate/2 and rate/4 (first axis) tend to as the rate vanishes, to third order."""
    first, second, fourth = three
    return np.asarray((8 * fourth - 6 * second + first) / 3)


def extrapolated_error(errors: Floats) -> Floats:
    """Return the most that errors of the three measurements (first axis) can make up in `extrapolate`."""
    first, second, fourth = errors
    return np.asarray((8 * fourth + 6 * second + first) / 3)


def crossing_times(times: Floats, series: Floats, level: float, *, above: int = 3) -> tuple[Floats, Floats]:
    """Return when each positive, rising series (..., times) first reaches a level, and how far that may be off.

    The time is read off the polynomial through log(series) at six records, ``above`` of which lie at or above the
    level. With 0 the series is continued from below, which is right if it stops there, as under the hinge loss. It may
    be off by the larger distance from the polynomials through the nearest five and four. Raises ValueError for a series
    that does not reach the level, or has too few records before or after it.
    """
    flat = series.reshape(-1, series.shape[-1])
    # A margin that stays at the threshold of a hinge is there to rounding.
    reached = flat >= level - 64 * np.finfo(np.float64).eps * abs(level)
    first = reached.argmax(axis=1)
    if not reached.any(axis=1).all() or (first < 6 - above).any() or (first + above > flat.shape[1]).any():
        raise ValueError(
            f"series must each reach level={level} with {6 - above} records before it and {above} from it on, "
            f"got {int((~reached.any(axis=1)).sum())} of {len(flat)} that do not reach it"
        )
    index = first[:, None] + np.arange(above - 6, above)
    values = np.log(np.take_along_axis(flat, index, axis=1) / level)
    best, fewer, least = (_inverse(values[:, drop:], times[index[:, drop:]]) for drop in (0, 1, 2))
    error = np.maximum(np.abs(best - fewer), np.abs(best - least))
    return best.reshape(series.shape[:-1]), error.reshape(series.shape[:-1])


def _inverse(values: Floats, times: Floats) -> Floats:
    """Return Lagrange's polynomial, time as a function of the value, at the value 0; one row per series."""
    result = np.zeros(len(values))
    for i in range(values.shape[1]):
        others = np.delete(values, i, axis=1)
        result += times[:, i] * np.prod(others / (others - values[:, i : i + 1]), axis=1)
    return result


def rank_trend(values: Floats) -> Floats:
    """Return Kendall's tau (splits,) of values (fractions, splits) against the fraction, ties counting 0."""
    later, earlier = np.triu_indices(len(values), 1)[::-1]
    return np.asarray(np.sign(values[later] - values[earlier]).mean(axis=0))


def side_by_side(measure: Callable[[int], Found], count: int, threads: int | None = None) -> list[Found]:
    """Return what ``measure(number)`` gives for 0..count-1, in their order, as many at a time as there are threads.

    For trainings of fewer networks than one thread has lanes: each by itself has no work for a second thread.
    """
    with ThreadPoolExecutor(thread_count(threads)) as pool:
        return list(pool.map(measure, range(count)))
