"""One mode: how the margin of one input direction grows under gradient flow, exactly.

| symbol | meaning | name | shape |
|---|---|---|---|
| rho | norm of the input | ``norm`` | scalar |
| p | frequency: the summed weight of the samples | ``frequency`` | scalar |
| m_0 | margin at time 0 | ``start_margin`` | scalar |
| c | imbalance, c^2 = E^2 - 4 Y^2 | ``imbalance`` | scalar |
| N | weight layers | ``depth`` | scalar |
| K | classes | ``classes`` | scalar |
| t | time of gradient flow (steps x rate of descent) | ``times`` | any |
| m(t) | margin | ``margin`` | as ``times`` |
| tau(t) | residual clock | ``tau`` | as ``times`` |
| u | path length N tau | - | - |

Source: theory book, chapters 1, 4 and 5.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.special import expit

from shoal.base.checks import real_numbers
from shoal.base.former import Knows
from shoal.spec.loss import Loss
from shoal.theory.clock import clock_of
from shoal.theory.domains import bounded, count, finite, not_negative, size
from shoal.theory.path import Hyperbola, Line, Path, Power
from shoal.theory.residual import Residual, residual_of

Array = NDArray[np.float64]

LARGE = 600.0
"""ln theta above which e^m is stored times a negative power of e, because it nears the largest double."""
LOWEST = -1e6
"""Least initial margin: below, rounding on the way to margin 0 leaves no digits near 0, which a loss that bends there
needs."""
FAINTEST = 1e-290
"""Smallest growing part of a margin; a smaller one underflows."""
MOST = 1e308


@dataclass(frozen=True)
class Mode(Knows):
    """One mode of a network under gradient flow: m' = N p rho^(2/N) r(m) V(m), solved through its clock.

    V(m) = sqrt(m^2 + (rho c / 2)^2) at depth 2 and m^(2 - 2/N) at other depths. With K > 2 classes (softmax, one
    direction per class, output weights along e_k - (1/(K-1)) sum_j e_j) rho stands for rho sqrt(K/(K-1)) and m for the
    margin against any other class.

    Parameters
    ----------
    norm
        rho, the norm of the input, from 1e-100 to 1e100.
    frequency
        p, the summed weight of the samples of this mode, from 1e-100 to 1e100.
    start_margin
        Margin m_0 at time 0, at most 1e100 in magnitude. Positive if depth > 1 and the imbalance is 0, at least 1e-290
        if depth > 2. Otherwise of any sign, but at depth 2 not below -1e6 for cross-entropy and the exponential loss.
    imbalance
        c = sqrt(E^2 - 4 Y^2), 0 to 1e100; 0 if depth is not 2 or classes > 2.
    depth
        Weight layers N, at least 1. Balanced layers.
    loss
        Name or loss object.
    classes
        2 for one output with labels -1/+1; K > 2 for K softmax outputs (cross-entropy, depth 2, balanced).

    Raises
    ------
    TypeError
        An argument is not a number, or the loss neither a name nor a loss.
    ValueError
        An argument is out of the range above.

    Notes
    -----
    Accuracy: 1e-10 relative, or that of the rounding of ``times`` itself where the margin depends on time more steeply
    than that (a deep network at the end of a long plateau), or that of the parts of a margin that crosses 0.
    Cost: a table of some tens of quadrature panels per call, then some hundred operations per time.

    Source: formulas (1.7), (4.1) and (5.4) of the theory book; arXiv:1809.06848, arXiv:1312.6120.

    Examples
    --------
    >>> mode = Mode(norm=1.0, frequency=0.5, start_margin=0.01)
    >>> round(float(mode.time(2.0)), 10)
    14.270481188
    >>> round(float(mode.margin(mode.time(2.0))), 10)
    2.0
    """

    norm: float
    frequency: float
    start_margin: float
    imbalance: float = 0.0
    depth: int = 2
    loss: str | Loss = "cross_entropy"
    classes: int = 2

    def __post_init__(self) -> None:
        """Check every argument; the class says what is allowed."""
        object.__setattr__(self, "norm", size("norm", self.norm))
        object.__setattr__(self, "frequency", size("frequency", self.frequency))
        object.__setattr__(self, "start_margin", bounded("start_margin", self.start_margin))
        object.__setattr__(self, "imbalance", bounded("imbalance", self.imbalance))
        object.__setattr__(self, "depth", count("depth", self.depth))
        object.__setattr__(self, "classes", count("classes", self.classes, 2))
        residual_of(self.loss, self.classes)
        if self.imbalance < 0:
            raise ValueError(f"imbalance must not be negative, got {self.imbalance}")
        if self.imbalance > 0 and self.depth != 2:
            raise ValueError(
                f"imbalance must be 0 when depth is not 2, got imbalance={self.imbalance}, depth={self.depth}"
            )
        if self.classes > 2 and (self.depth != 2 or self.imbalance > 0):
            raise ValueError(
                "depth must be 2 and imbalance 0 when classes > 2, "
                f"got depth={self.depth}, imbalance={self.imbalance}, classes={self.classes}"
            )
        if self.start_margin <= 0 and self.depth > 1 and self.imbalance == 0:
            raise ValueError(
                f"start_margin must be positive when depth > 1 and imbalance is 0, got {self.start_margin}"
            )
        if self.depth > 2 and self.start_margin < FAINTEST:
            raise ValueError(f"start_margin must be at least {FAINTEST:g} when depth > 2, got {self.start_margin:g}")
        spread = 0.5 * self.norm * self.imbalance
        if self.start_margin < 0 and self.depth == 2 and (spread / max(-self.start_margin, spread)) * spread < FAINTEST:
            raise ValueError(
                "imbalance must not be so small beside a start_margin below 0 that (norm imbalance / 2)^2 /"
                " |start_margin|"
                f" falls below {FAINTEST:g}, got imbalance={self.imbalance:g}, start_margin={self.start_margin:g}"
            )
        if self.start_margin < LOWEST and self.depth == 2 and self._residual.family == "exponential":
            raise ValueError(
                f"start_margin must be at least {LOWEST:g} for this loss at depth 2, got {self.start_margin:g}"
            )

    def margin(self, times: ArrayLike) -> Array:
        """Return the margin m(t).

        Parameters
        ----------
        times
            Any shape, float64, not negative; infinity gives the limit (infinity, or the target of the loss).

        Returns
        -------
        ndarray of float64, shape of ``times``

        Raises
        ------
        ValueError
            A time is negative or NaN.

        Notes
        -----
        Source: formulas (1.4), (1.9), (1.12), (1.13), (4.2), (4.3) and (5.4) of the theory book.
        """
        given = not_negative("times", times)
        flat = given.ravel()
        margins = np.full(flat.shape, self.start_margin)
        residual = self._residual
        direction = float(residual.direction(np.asarray(self.start_margin)))
        if direction == 0.0:
            return margins.reshape(given.shape)
        margins[np.isinf(flat)] = residual.target
        running = (flat > 0) & np.isfinite(flat)
        with np.errstate(divide="ignore"):
            logarithm = np.log(flat) + math.log(self._rate)
        # e^m is about theta times the speed, and that of the hyperbola may be large.
        fastest = math.log(max(self._path.spread, 1.0)) if isinstance(self._path, Hyperbola) else 0.0
        for group, shift in self._groups(logarithm + fastest):
            chosen = running & group
            if chosen.any():
                scaled = (
                    np.exp(logarithm[chosen] - shift)
                    if shift
                    else np.minimum(flat[chosen], MOST / max(self._rate, 1.0)) * self._rate
                )
                margins[chosen] = clock_of(self._path, residual, shift).margin(scaled)
        margins = np.maximum(margins, self.start_margin) if direction > 0 else np.minimum(margins, self.start_margin)
        return np.asarray(margins.reshape(given.shape), dtype=np.float64)

    def time(self, margin: ArrayLike) -> Array:
        """Return the time t at which the mode has a margin.

        Parameters
        ----------
        margin
            Any shape, float64. On the path of the mode: from the initial margin on, in the direction in which the
            loss drives it (upwards, except for the squared loss above margin 1).

        Returns
        -------
        ndarray of float64, shape of ``margin``
            Infinite at margins that are never reached, and where the time exceeds the largest double.

        Raises
        ------
        ValueError
            A margin is NaN, or before the initial one on the path, where the mode is at no time >= 0.

        Notes
        -----
        Source: formulas (1.9), (1.10), (1.11), (4.2), (4.4), (4.5), (4.6) and (5.4) of the theory book.
        """
        given = real_numbers("margin", margin)
        flat = given.ravel()
        residual = self._residual
        direction = float(residual.direction(np.asarray(self.start_margin)))
        ahead = (flat - self.start_margin) * (direction or 1.0)
        if not (ahead >= 0).all():
            worst = flat[~(ahead >= 0)][0]
            side = "at most" if direction < 0 else "at least"
            raise ValueError(f"margin must be {side} the initial margin {self.start_margin}, got {worst}")
        times = np.where(ahead > 0, np.inf, 0.0)
        on_way = (ahead > 0) & np.isfinite(flat) & (direction != 0.0)
        if residual.family == "step":
            on_way &= flat <= residual.target
        elif residual.family == "linear":
            on_way &= flat < residual.target if direction > 0 else flat > residual.target
        for group, shift in self._groups(flat):
            chosen = on_way & group
            if residual.family == "exponential":
                chosen &= flat < shift + 700.0
            if chosen.any():
                theta = clock_of(self._path, residual, shift).theta(flat[chosen])
                with np.errstate(over="ignore", divide="ignore"):
                    late = np.exp(np.log(theta) + (shift - math.log(self._rate)))
                    times[chosen] = late if shift else theta / self._rate
        return times.reshape(given.shape)

    def soft_error(self, times: ArrayLike) -> Array:
        """Return the soft error of the mode, of the shape of ``times``: 1 - sigmoid(m), or 1 - softmax_y for K classes.

        Notes
        -----
        Source: formulas (0.4) and (5.2) of the theory book.
        """
        return self._soft(self.margin(times))

    def loss_value(self, times: ArrayLike) -> Array:
        """Return the loss l(m(t)) of one sample of the mode, of the shape of ``times``, not weighted by the frequency.

        Notes
        -----
        Source: formula (0.1) of the theory book.
        """
        return self._residual.loss_value(self.margin(times))

    def tau(self, times: ArrayLike) -> Array:
        """Return the residual clock tau = int p rho^(2/N) r(m) dt, of the shape of ``times``; exact to 1e-14 absolute.

        The path m(tau) is the same for every loss. Negative where the margin falls. Source: formulas (1.2) and (4.2) of
        the theory book.
        """
        margins = self.margin(times)
        ended = np.isinf(margins)
        u = self._path.position(np.where(ended, self.start_margin, margins))
        limit = (
            1.0 / (self._path.gamma * self.start_margin**self._path.gamma) if isinstance(self._path, Power) else np.inf
        )
        return np.where(ended, limit, u) / self.depth

    def velocity(self, margin: ArrayLike) -> Array:
        """Return dm/dt at a finite margin, of the shape of ``margin``: N p rho^(2/N) r(m) V(m).

        Margins are not negative where depth > 2.

        Notes
        -----
        Source: formulas (1.7), (4.1) and (5.4) of the theory book.
        """
        given = finite("margin", margin)
        if isinstance(self._path, Power) and (given < 0).any():
            raise ValueError(f"margin must not be negative when depth > 2, got {given[given < 0].flat[0]}")
        with np.errstate(over="ignore"):
            return np.asarray(self._rate * self._residual(given) * self._path.speed(given), dtype=np.float64)

    def plateau(self) -> float:
        """Return how long the plateau of the soft error lasts: the time at which it falls most steeply.

        The plateau ends at the margin with the largest -d(soft error)/dt, among margins from 0 on, where the sample is
        classified correctly. The result is 0.0 if the mode starts there or beyond, stays at rest, or falls. For
        cross-entropy at depth 2, balanced, this margin is the root of m (2 - 3/(1 + e^m)) = 1, m = 0.8884, whatever
        norm, frequency and initial margin; so the plateau is ln(1/m_0)/(p rho) + O(1) as m_0 -> 0.

        Notes
        -----
        Source: formulas (1.15), (1.16) and (1.17) of the theory book.
        """
        if float(self._residual.direction(np.asarray(self.start_margin))) <= 0.0:
            return 0.0
        return float(self.time(self._steepest()))

    def _steepest(self) -> float:
        """Return the margin, at least 0 and the initial one, at which the soft error falls most steeply."""
        lowest = max(self.start_margin, 0.0)
        highest = max(lowest, min(self._residual.target, 60.0 + math.log(self.classes)))
        # Denser towards 0, where the hyperbola bends when the imbalance is small.
        grid = np.unique(np.concatenate([np.linspace(lowest, highest, 4001), np.geomspace(1e-6, 1.0, 601)]))
        grid = grid[(grid >= lowest) & (grid <= highest)]
        soft = self._soft(grid)
        # At the target of the hinge the residual has its value from the left.
        residual = np.ones_like(grid) if self._residual.family == "step" else self._residual(grid)
        steepness = soft * (1.0 - soft) * residual * self._path.speed(grid)
        best = int(np.argmax(steepness))
        if best == 0 or best == len(grid) - 1:
            return float(grid[best])
        return float(brentq(self._bend, grid[best - 1], grid[best + 1], xtol=1e-15, rtol=1e-14))

    def _bend(self, margin: float) -> float:
        """Return d/dm of the logarithm of the steepness: 0 at the inflection of the soft error."""
        point = np.asarray(margin)
        soft = float(self._soft(point))
        if isinstance(self._path, Hyperbola):
            grown = margin / (margin**2 + self._path.spread**2)
        else:
            grown = (1.0 + self._path.gamma) / margin if isinstance(self._path, Power) else 0.0
        residual = self._residual
        if residual.family == "linear":
            slowed = -1.0 / (residual.target - margin)
        elif residual.family == "step":
            slowed = 0.0
        else:
            slowed = float(self._residual(point)) - 1.0 if residual.offset else -1.0
        return grown + slowed - (1.0 - 2.0 * soft)

    def _soft(self, margin: Array) -> Array:
        return np.asarray(expit(math.log(self.classes - 1) - margin), dtype=np.float64)

    def _groups(self, margins: Array) -> list[tuple[NDArray[np.bool_], float]]:
        """Return the margins, known to within some tens, for each shift of the clock, so that nothing overflows."""
        if self._residual.family != "exponential":
            return [(np.ones(margins.shape, dtype=np.bool_), 0.0)]
        base = self.start_margin if self.start_margin > 0.5 * LARGE else 0.0
        number = np.ceil((np.clip(margins, LARGE, LARGE + 4000.0) - LARGE) / 400.0)
        return [(number == k, max(base, 400.0 * k)) for k in np.unique(number)]

    @property
    def _residual(self) -> Residual:
        return residual_of(self.loss, self.classes)

    @property
    def _path(self) -> Path:
        if self.depth == 1:
            return Line(self.start_margin)
        if self.depth == 2:
            return Hyperbola(self.start_margin, 0.5 * self.norm * self.imbalance)
        return Power(self.start_margin, 1.0 - 2.0 / self.depth)

    @property
    def _rate(self) -> float:
        """Return theta / t."""
        norm = self.norm * math.sqrt(self.classes / (self.classes - 1)) if self.classes > 2 else self.norm
        return self.depth * self.frequency * float(norm ** (2.0 / self.depth))
