"""Whether a quantity rises with a fraction, asked of ranks alone."""

import numpy as np

from shoal.verdicts.layout import Floats

__all__ = ["rank_trend"]


def rank_trend(values: Floats) -> Floats:
    """Return Kendall's tau (splits,) of values (fractions, splits) against the fraction, ties counting 0."""
    later, earlier = np.triu_indices(len(values), 1)[::-1]
    return np.asarray(np.sign(values[later] - values[earlier]).mean(axis=0))
