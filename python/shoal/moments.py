"""Statistics over networks, gathered block by block in memory that does not grow with their number."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

STATISTICS = ("count", "mean", "variance", "standard_error", "min", "max")
_MOST_NETWORKS = 4096
_BLOCK_NUMBERS = 2**25


def block_size(numbers_per_network: int) -> int:
    """Return how many networks to train before their records are merged.

    It depends on what is recorded and on nothing else, so that the merged values do not depend on the machine.
    """
    return max(16, min(_MOST_NETWORKS, _BLOCK_NUMBERS // max(1, numbers_per_network)))


class Moments:
    """Count, mean, sum of squared deviations, minimum and maximum of records, element by element.

    Blocks are merged in the order in which they are added, with the update of Chan, Golub and LeVeque (1983).
    """

    def __init__(self) -> None:
        self.count = 0
        self._mean: dict[str, NDArray[np.float64]] = {}
        self._squares: dict[str, NDArray[np.float64]] = {}
        self._least: dict[str, NDArray[np.float64]] = {}
        self._most: dict[str, NDArray[np.float64]] = {}

    def add(self, records: Mapping[str, NDArray[np.floating]]) -> None:
        """Merge the records of one more block of networks; each array has shape (networks, ...)."""
        networks = len(next(iter(records.values())))
        for name, record in records.items():
            if networks == 0 and name in self._mean:
                continue
            self._merge(name, record.astype(np.float64, copy=False))
        self.count += networks

    def _merge(self, name: str, record: NDArray[np.float64]) -> None:
        networks = len(record)
        shape = record.shape[1:]
        if name not in self._mean:
            self._mean[name] = np.zeros(shape)
            self._squares[name] = np.zeros(shape)
            self._least[name] = np.full(shape, np.inf)
            self._most[name] = np.full(shape, -np.inf)
        if networks == 0:
            return
        # An infinite loss (exponential, far on the wrong side) makes an infinite mean and a NaN variance: the truth.
        with np.errstate(invalid="ignore", over="ignore"):
            mean = record.mean(axis=0)
            squares = ((record - mean) ** 2).sum(axis=0)
            both = self.count + networks
            gap = mean - self._mean[name]
            if self.count == 0:
                self._mean[name], self._squares[name] = mean, squares
            else:
                self._mean[name] = self._mean[name] + gap * (networks / both)
                self._squares[name] = self._squares[name] + squares + gap**2 * (self.count * networks / both)
        self._least[name] = np.minimum(self._least[name], record.min(axis=0))
        self._most[name] = np.maximum(self._most[name], record.max(axis=0))

    def result(self) -> dict[str, NDArray[np.float64]]:
        """Return one array a record, shape (statistics, ...), in the order of ``STATISTICS``.

        The variance is the unbiased one. What too few networks leave undefined is NaN.
        """
        result = {}
        for name, mean in self._mean.items():
            undefined = np.full_like(mean, np.nan)
            some, several = self.count >= 1, self.count >= 2
            variance = self._squares[name] / (self.count - 1) if several else undefined
            result[name] = np.stack(
                [
                    np.full_like(mean, self.count),
                    mean if some else undefined,
                    variance,
                    np.sqrt(variance / max(1, self.count)),
                    self._least[name] if some else undefined,
                    self._most[name] if some else undefined,
                ]
            )
        return result
