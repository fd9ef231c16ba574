"""Wilson's score interval of a fraction that was counted: of four deviations, as everywhere in shoal.

Apart from the rules of verdicts, so that training imports none of what they need.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["DEVIATIONS", "wilson", "wilson_interval"]

DEVIATIONS = 4.0
"""Standard errors that a statistical comparison allows."""


def wilson(successes: int, trials: int, deviations: float = DEVIATIONS) -> tuple[float, float]:
    """Return Wilson's score interval (low, high) of a proportion, checked; ``deviations`` is its half width.

    Examples
    --------
    >>> low, high = wilson(50, 100, deviations=1.96)
    >>> round(low, 4), round(high, 4)
    (0.4038, 0.5962)
    """
    if trials < 1 or not 0 <= successes <= trials:
        raise ValueError(
            "successes must lie between 0 and trials, and trials must be at least 1, "
            f"got successes={successes}, trials={trials}"
        )
    if not (math.isfinite(deviations) and deviations > 0):
        raise ValueError(f"deviations must be finite and positive, got {deviations}")
    low, high = wilson_interval(np.array(successes), trials, deviations)
    return float(low), float(high)


def wilson_interval(
    successes: NDArray[np.int64], trials: int | NDArray[np.int64], deviations: float = DEVIATIONS
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the ends of the Wilson intervals of many counts, broadcast against ``trials``; 0 and 1 of no trials."""
    n = np.maximum(trials, 1).astype(float)  # twice an integer may overflow
    fraction, square = successes / n, deviations**2
    centre = (fraction + square / (2 * n)) / (1 + square / n)
    half = deviations / (1 + square / n) * np.sqrt(fraction * (1 - fraction) / n + square / (4 * n**2))
    low, high = np.maximum(0.0, centre - half), np.minimum(1.0, centre + half)
    none = np.equal(trials, 0)
    return np.where((successes == 0) | none, 0.0, low), np.where((successes == trials) | none, 1.0, high)
