"""Hold counts against a probability: Wilson intervals of four deviations.

* **proportion**: the prediction must lie within the interval of the measured share plus a stated bias.
* **majority**: the interval must lie wholly above one half.

Source: docs/theory.md section 2 (laws for Monte Carlo).
"""

from __future__ import annotations

import math

import numpy as np

from shoal.comparison import Comparison, ratio_of
from shoal.interval import wilson

__all__ = ["compare_majority", "compare_proportion", "wilson"]


def compare_proportion(successes: int, trials: int, predicted: float, *, bias: float = 0.0) -> Comparison:
    """Return how a counted proportion compares with a predicted probability.

    Parameters
    ----------
    successes, trials : int
        Counts, 0 <= successes <= trials, trials >= 1; the trials are independent.
    predicted : float
        Probability, in [0, 1].
    bias : float
        Stated bias, a probability, added to the allowance.

    Returns
    -------
    Comparison
        The allowance is the distance from the measured proportion to the end of its Wilson interval on the side of the
        prediction, plus the bias.

    Raises
    ------
    ValueError
        Counts or a probability outside their range; a negative bias.
    """
    low, high = wilson(successes, trials)
    if not 0.0 <= predicted <= 1.0:
        raise ValueError(f"predicted must lie between 0 and 1, got {predicted}")
    if not (math.isfinite(bias) and bias >= 0):
        raise ValueError(f"bias must be finite and not negative, got {bias}")
    share = successes / trials
    reach = (high - share if predicted >= share else share - low) + bias
    gap = abs(share - predicted)
    error = math.sqrt(share * (1 - share) / trials)
    ratio = float(ratio_of(np.float64(gap), np.float64(reach)))
    return Comparison("proportion", share, float(predicted), gap, reach, ratio, error, bias, math.nan, trials, 0, 1)


def compare_majority(successes: int, trials: int) -> Comparison:
    """Return whether more than half of what was counted are successes, beyond chance.

    Parameters
    ----------
    successes, trials : int
        Counts, 0 <= successes <= trials, trials >= 1; the trials are independent.

    Returns
    -------
    Comparison
        `predicted` is 1/2, which has to be exceeded: `gap` is how far the Wilson interval reaches below the measured
        share, `allowance` how far that share lies above 1/2. Sixteen trials or fewer cannot pass.

    Raises
    ------
    ValueError
        Counts out of range.
    """
    low, _ = wilson(successes, trials)
    share = successes / trials
    reach, room = share - low, max(share - 0.5, 0.0)
    ratio = reach / room if room > 0 else math.inf
    error = math.sqrt(share * (1 - share) / trials)
    # At a ratio of exactly 1 the interval still touches one half: no majority is shown.
    ratio = math.inf if low <= 0.5 else ratio
    return Comparison("majority", share, 0.5, reach, room, ratio, error, 0.0, math.nan, trials, 0, 1)
