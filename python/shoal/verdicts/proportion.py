"""Compare counts with a probability: Wilson intervals of four deviations.

Source: theory book, chapter 2 (formulas for Monte Carlo).
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from shoal.base import checks
from shoal.base.interval import wilson
from shoal.verdicts.catch import UNKNOWN, Catch, smallest_bound, smallest_probability
from shoal.verdicts.comparison import Comparison, ratio_of

__all__ = ["compare_fraction", "compare_least", "compare_majority", "wilson"]


def compare_fraction(count: int, total: int, probability: float, *, bias: float = 0.0) -> Comparison:
    """Return how a counted fraction compares with a probability.

    Parameters
    ----------
    count, total : int
        0 <= count <= total, total >= 1; independent trials.
    probability : float
        In [0, 1].
    bias : float
        Stated bias, a probability, added to the tolerance.

    Returns
    -------
    Comparison
        The tolerance is the distance from the measured fraction to the end of its Wilson interval on the side of the
        prediction, plus the bias.

    Raises
    ------
    TypeError
        A count that is not an integer, a probability or a bias that is not a number.
    ValueError
        Counts or a probability outside their range; a negative bias.

    Examples
    --------
    >>> found = compare_fraction(5_050, 10_000, 0.5)
    >>> found.verdict, str(found.catches)
    ('PASS', '5%')
    >>> compare_fraction(5_500, 10_000, 0.5).verdict
    'FAIL'
    """
    total = checks.integer("total", _one("total", total), least=1)
    count = checks.integer("count", _one("count", count), least=0, most=total)
    probability = checks.real("probability", _one("probability", probability), least=0.0, most=1.0)
    bias = checks.not_negative("bias", _one("bias", bias))
    low, high = wilson(count, total)
    fraction = count / total
    error = math.sqrt(fraction * (1 - fraction) / total)

    def judge(expected: float) -> Comparison:
        reach = (high - fraction if expected >= fraction else fraction - low) + bias
        gap = abs(fraction - expected)
        ratio = float(ratio_of(np.float64(gap), np.float64(reach)))
        return Comparison("fraction", fraction, float(expected), gap, reach, ratio, error, bias, math.nan, total, 0, 1)

    catches = smallest_probability(lambda wrong: judge(wrong).passed, probability)
    return replace(judge(probability), catches=catches)


def _one(name: str, given: Any) -> object:
    """Return the entry of an array without axes, such as of a dataset's variable; anything else as it is."""
    return checks.plain(name, given).item() if np.ndim(given) == 0 else given


def compare_least(count: int, total: int, least: float) -> Comparison:
    """Return whether a fraction is at least `least`, in [0, 1], or below it by less than its Wilson interval.

    Other arguments as in `compare_fraction`. A bound can be wrong one way only: `catches` is by how much larger it
    fails.
    """

    def judge(bound: float) -> Comparison:
        return replace(compare_fraction(count, total, max(count / total, bound)), predicted=bound)

    return replace(judge(least), catches=smallest_bound(lambda factor: judge(min(factor * least, 1.0)).passed))


def compare_majority(count: int, total: int) -> Comparison:
    """Return whether more than half of what was counted are successes: the Wilson interval must lie above one half.

    `predicted` is 1/2, which has to be exceeded. `gap` is how far the interval reaches below the measured fraction,
    `tolerance` how far that fraction lies above 1/2; sixteen or fewer cannot pass. `catches` is the lower end of the
    interval: every theory by which at most so many succeed is refuted. Arguments and errors as in `compare_fraction`.
    """
    low, _ = wilson(count, total)
    fraction = count / total
    reach, room = fraction - low, max(fraction - 0.5, 0.0)
    ratio = reach / room if room > 0 else math.inf
    error = math.sqrt(fraction * (1 - fraction) / total)
    # At a ratio of exactly 1 the interval still touches one half: no majority is shown.
    ratio = math.inf if low <= 0.5 else ratio
    catches = Catch("majority", low) if ratio <= 1 else UNKNOWN
    return Comparison("majority", fraction, 0.5, reach, room, ratio, error, 0.0, math.nan, total, 0, 1, catches)
