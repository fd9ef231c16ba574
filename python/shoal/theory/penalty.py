"""Where weight decay and spectral decoupling bring the flow to rest.

| symbol | meaning | name | shape |
|---|---|---|---|
| lambda | weight decay: + lambda/2 abs(theta)^2 | ``weight_decay`` | scalar |
| zeta | spectral decoupling: + zeta/2 sum_s p_s f(x_s)^2 | ``spectral_decoupling`` | scalar |
| rho, p | norm and frequency of a mode | ``norm``, ``frequency`` | scalar |
| N | weight layers, gamma = 1 - 2/N | ``depth`` | scalar |
| psi(m) | m^gamma (r(m) - zeta m) | - | - |
| m_-, m_+ | margins at rest, unstable and stable | ``unstable``, ``stable`` | scalar |
| xi | margin of a decoupled sample, r(xi) = zeta xi | ``decoupled_margin`` | as ``spectral_decoupling`` |

Source: theory book, chapter 6 ("Penalties").
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.special import lambertw

from shoal.spec.loss import Loss
from shoal.theory.domains import LEAST, MOST, between, count, penalties, size
from shoal.theory.residual import Residual, residual_of

Array = NDArray[np.float64]

CLOSEST = 4.0 * float(np.finfo(np.float64).eps)


def decoupled_margin(spectral_decoupling: ArrayLike, loss: str | Loss = "cross_entropy") -> Array:
    """Return the margin xi at which spectral decoupling brings a sample to rest: r(xi) = zeta xi.

    It depends neither on the inputs, nor on the frequency of the sample, nor on the depth, wherever the network can set
    the margins of its samples one by one. Hinge: the residual jumps at h, and xi = min(1/zeta, h).

    Parameters
    ----------
    spectral_decoupling
        zeta, any shape, float64, from 1e-100 to 1e100.
    loss
        Name or loss object.

    Returns
    -------
    ndarray of float64, shape of ``spectral_decoupling``

    Raises
    ------
    TypeError
        The loss is neither a name nor a loss.
    ValueError
        A zeta is out of that range.

    Notes
    -----
    Source: formula (6.18) of the theory book; arXiv:2011.09468.

    Examples
    --------
    >>> float(decoupled_margin(0.1).round(9))
    1.63350617
    """
    zeta = between("spectral_decoupling", spectral_decoupling, LEAST, MOST)
    residual = residual_of(loss)
    if residual.family == "step":
        return np.minimum(1.0 / zeta, residual.target)
    if residual.family == "linear":
        return residual.target / (1.0 + zeta)
    xi = np.asarray(np.real(lambertw(1.0 / zeta)), dtype=np.float64)
    if residual.offset:
        # Newton for zeta xi (1 + e^xi) = 1, which is convex in xi; both bounds are to the right of the root.
        xi = np.minimum(xi, 0.5 / zeta)
        for _ in range(12):
            grown = 1.0 + np.exp(xi)
            xi = xi - (xi * grown - 1.0 / zeta) / (grown + xi * (grown - 1.0))
    return xi


@dataclass(frozen=True)
class PenalisedMode:
    """One balanced mode with penalties: where its margin comes to rest, and from which initial margins.

    m' = N p rho^(2/N) m^(2-2/N) [r(m) - zeta m] - N lambda m is at rest at m = 0 (depth > 1) and where
    psi(m) = m^gamma (r(m) - zeta m) equals lambda/(p rho^(2/N)).

    Parameters
    ----------
    norm, frequency
        rho and p of the mode, from 1e-100 to 1e100.
    weight_decay, spectral_decoupling
        lambda and zeta, each 0 or from 1e-100 to 1e100, not both 0.
    depth
        Weight layers N, at least 1.
    loss
        Name or loss object. The hinge rests on its threshold where the jump of its residual holds it.

    Raises
    ------
    TypeError
        An argument is not a number, or the loss neither a name nor a loss.
    ValueError
        An argument is out of the range above.

    Notes
    -----
    Margins are exact to about 1e-14, save next to the threshold of decay, where m_- and m_+ meet like a square root.

    Source: formulas (6.14) and (6.15) of the theory book.

    Examples
    --------
    >>> shallow = PenalisedMode(norm=1.0, frequency=1.0, weight_decay=0.1)
    >>> round(shallow.stable, 6), shallow.unstable, shallow.largest_decay
    (2.197225, 0.0, 0.5)
    >>> deep = PenalisedMode(norm=1.0, frequency=1.0, weight_decay=0.1, depth=4)
    >>> round(deep.stable, 6), round(deep.unstable, 6), round(deep.largest_decay, 6)
    (2.745273, 0.041722, 0.277859)
    """

    norm: float
    frequency: float
    weight_decay: float = 0.0
    spectral_decoupling: float = 0.0
    depth: int = 2
    loss: str | Loss = "cross_entropy"

    def __post_init__(self) -> None:
        """Check every argument; the class says what is allowed."""
        object.__setattr__(self, "norm", size("norm", self.norm))
        object.__setattr__(self, "frequency", size("frequency", self.frequency))
        decay, decoupling = penalties(self.weight_decay, self.spectral_decoupling)
        object.__setattr__(self, "weight_decay", decay)
        object.__setattr__(self, "spectral_decoupling", decoupling)
        if self.weight_decay == 0 and self.spectral_decoupling == 0:
            raise ValueError("weight_decay or spectral_decoupling must be positive, got 0 for both")
        object.__setattr__(self, "depth", count("depth", self.depth))
        residual_of(self.loss)

    @cached_property
    def largest_decay(self) -> float:
        """The weight decay from which on no margin above 0 is at rest and the mode is never learnt.

        p rho^(2/N) times the maximum of psi: p rho r(0) at depth 2, infinite at depth 1.

        Source: formulas (6.16) and (6.17) of the theory book.
        """
        if self.depth == 1:
            return math.inf
        return self._scale * self._psi(self._peak)

    @cached_property
    def stable(self) -> float:
        """The margin m_+ above 0 at which a learnt mode comes to rest; 0.0 where there is none.

        Source: formulas (6.15) and (6.16) of the theory book.
        """
        if self.weight_decay >= self.largest_decay:
            return 0.0
        low, high = self._peak, self._furthest
        # At the jump of the hinge the force on its left still pushes upwards.
        if self._residual.family == "step" and self._force(high) >= 0.0:
            return high
        if self.weight_decay == 0.0:
            return high
        return float(brentq(self._force, low, high, xtol=1e-300, rtol=CLOSEST))

    @cached_property
    def unstable(self) -> float:
        """The initial margin m_- above which the mode is learnt, and below which it decays to 0.

        0.0 at depth 2 and, without weight decay, above: every positive initial margin is learnt; -inf at depth 1,
        where every one is; inf where none is. Source: formula (6.15) of the theory book.
        """
        if self.weight_decay >= self.largest_decay:
            return math.inf
        if self.depth < 3 or self.weight_decay == 0.0:
            return 0.0 if self.depth > 1 else -math.inf
        level = math.log(self.weight_decay / self._scale)

        def excess(logarithm: float) -> float:
            return self._gamma * logarithm + math.log(self._drive(math.exp(logarithm))) - level

        # psi is at most m^gamma times the drive at 0, so that the root is above this.
        lowest = (level - math.log(self._drive(0.0))) / self._gamma
        if excess(lowest) >= 0.0:
            return math.exp(lowest)
        return math.exp(float(brentq(excess, lowest, math.log(self._peak), xtol=1e-16, rtol=CLOSEST)))

    @property
    def _residual(self) -> Residual:
        return residual_of(self.loss)

    @property
    def _gamma(self) -> float:
        return 1.0 - 2.0 / self.depth

    @property
    def _scale(self) -> float:
        return self.frequency * float(self.norm ** (2.0 / self.depth))

    @property
    def _furthest(self) -> float:
        """The margin at which the drive vanishes, the largest that can be at rest; at most where r underflows."""
        if self.spectral_decoupling > 0.0:
            return float(decoupled_margin(self.spectral_decoupling, self.loss))
        return min(self._residual.target, 740.0)

    @cached_property
    def _peak(self) -> float:
        """The margin at which psi is largest: 0 up to depth 2."""
        if self.depth < 3:
            return 0.0
        if self._residual.family == "step":
            if self.spectral_decoupling == 0.0:
                return self._furthest
            return min(self._furthest, self._gamma / ((1.0 + self._gamma) * self.spectral_decoupling))

        def bend(margin: float) -> float:
            return self._gamma * self._drive(margin) + margin * self._slope(margin)

        # Cross-entropy has its peak at m sigmoid(m) = gamma < 1, the exponential loss at m = gamma; zeta lowers it.
        highest = min(self._furthest, 2.0) if self._residual.family == "exponential" else self._furthest
        return float(brentq(bend, 0.0, highest, xtol=1e-300, rtol=CLOSEST))

    def _drive(self, margin: float) -> float:
        """Return r(m) - zeta m; at the threshold of a hinge its limit from the left."""
        step = self._residual.family == "step"
        pull = 1.0 if step else float(self._residual(np.asarray(margin)))
        return pull - self.spectral_decoupling * margin

    def _slope(self, margin: float) -> float:
        """Return the derivative of the drive."""
        residual = self._residual
        if residual.family == "linear":
            return -1.0 - self.spectral_decoupling
        pull = float(residual(np.asarray(margin)))
        return -(pull * (1.0 - pull) if residual.offset else pull) - self.spectral_decoupling

    def _psi(self, margin: float) -> float:
        return float(margin**self._gamma) * self._drive(margin) if margin > 0.0 else self._drive(0.0)

    def _force(self, margin: float) -> float:
        """Return m'/(N m) times a positive factor, finite at 0 at every depth."""
        if self.depth == 1:
            return self._scale * self._drive(margin) - self.weight_decay * margin
        return self._scale * self._psi(margin) - self.weight_decay
