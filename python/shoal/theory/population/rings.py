"""A ring of nodes: their weights across the teacher have one length and a uniformly distributed direction.

| symbol | meaning | name | shape |
|---|---|---|---|
| d | inputs | ``inputs`` | scalar |
| c | cosine between a node and an input, both across the teacher | - | in [-1, 1] |
| s | w_par x_par / (w_perp x_perp), how far a ring leans to one side of an input | ``s`` | any, not negative |
| kappa | P(s + c > 0) - P(s + c < 0) | ``surplus`` | as ``s`` |
| L | E[c; s + c > 0] | ``lean`` | as ``s`` |
| v | E abs(s + c) = s kappa + 2 L | ``reach`` | as ``s`` |

c is one component of a random unit vector of d - 1 dimensions, of density proportional to (1 - c^2)^((d-4)/2). At
d = 2 it is -1 or +1.

Source: theory book, chapter 8.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc, gammaln

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Rings:
    """Averages over a ring of nodes, for inputs of one dimension d, at least 2.

    Source: formula (8.1) of the theory book.
    """

    inputs: int

    def surplus(self, s: Array) -> Array:
        """Return kappa, the fraction of a ring active on an input minus the fraction that is not, for s >= 0."""
        if self.inputs == 2:
            return np.asarray(s >= 1.0, dtype=np.float64)
        return np.asarray(betainc(0.5, 0.5 * self.inputs - 1.0, np.minimum(s, 1.0) ** 2), dtype=np.float64)

    def lean(self, s: Array) -> Array:
        """Return L, the mean of c over the active part of a ring, counted 0 over the rest, for s >= 0."""
        if self.inputs == 2:
            return np.asarray(0.5 * (s < 1.0), dtype=np.float64)
        below = np.maximum(1.0 - np.minimum(s, 1.0) ** 2, 0.0)
        return np.asarray(self.constant * below ** (0.5 * self.inputs - 1.0), dtype=np.float64)

    def reach(self, s: Array) -> Array:
        """Return v, the mean of abs(s + c), for s >= 0."""
        inside = s * self.surplus(s) + 2.0 * self.lean(s)
        return np.asarray(np.where(s < 1.0, inside, s), dtype=np.float64)

    @property
    def constant(self) -> float:
        """L at s = 0: Gamma((d-1)/2) / (2 sqrt(pi) Gamma(d/2))."""
        log = gammaln(0.5 * (self.inputs - 1)) - gammaln(0.5 * self.inputs)
        return float(np.exp(log) / (2.0 * np.sqrt(np.pi)))
