"""An unbalanced chain: one mode through N weight layers of any strengths.

| symbol | meaning | name | shape |
|---|---|---|---|
| a_1 .. a_N | strengths of the layers along the mode, signs included | ``strengths``, ``layers`` | (N,), (N, times) |
| rho, p | norm and frequency of the input | ``norm``, ``frequency`` | scalar |
| m(t) | margin rho a_1 .. a_N | ``margin`` | as ``times`` |
| x | the smallest strength, with the sign of the margin | ``x`` | any |
| t | time of gradient flow (steps x rate of descent) | ``times`` | any |

a_l' = p rho r(m) prod_{k != l} a_k. The differences a_l^2 - a_k^2 are constant, so that x alone determines the state of
the chain, and its time is one quadrature (:mod:`shoal.theory.strand`).

Source: theory book, chapter 4.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shoal.base import checks
from shoal.base.checks import real_numbers
from shoal.spec.loss import Loss
from shoal.theory.domains import MOST, bounded, not_negative, size
from shoal.theory.mode import LOWEST, Mode
from shoal.theory.quadrature import QuadratureClock
from shoal.theory.residual import Residual, residual_of
from shoal.theory.strand import Driven, Free, Strand

Array = NDArray[np.float64]

LATEST = 1e300
"""Largest clock p rho t that differs from infinity."""
FURTHEST = 1e4
"""Initial margin above which no clock below LATEST moves it under a loss of the exponential family: r < e^-FURTHEST."""
LARGE = 600.0
"""Margin above which e^m is stored times a negative power of e, because it nears the largest double."""


@dataclass(frozen=True)
class Chain:
    """One mode through N weight layers of strengths a_1 .. a_N under gradient flow, balanced or not.

    The margin is m = rho a_1 .. a_N, the label's sign being part of a_N. A margin that starts negative rises to 0 as
    its smallest layer does. That layer goes through 0 and the chain recovers, unless two layers are equally small: then
    both decay and the margin tends to 0. In a ReLU network only the last layer may go through 0: when a hidden unit's
    layer gets there, the unit is inactive from then on and the margin stays at 0.

    Parameters
    ----------
    strengths
        (N,) float, a_1 .. a_N at time 0, N at least 1, each at most 1e100 in magnitude, and their margin from -1e6 to
        1e100. With ``activation="relu"`` those before the last are not negative.
    norm
        rho, the norm of the input, from 1e-100 to 1e100.
    frequency
        p, the summed weight of the samples of this mode, from 1e-100 to 1e100.
    loss
        Name or loss object.
    activation
        ``"linear"`` or ``"relu"``.

    Attributes
    ----------
    start_margin : float
        The margin at time 0.
    dies : bool
        Whether the margin ends at 0, reached or in the limit, because of its initialisation.

    Raises
    ------
    TypeError
        An argument is not a number, or the loss neither a name nor a loss.
    ValueError
        An argument is out of the range above, or the product of the strengths underflows.

    Notes
    -----
    Accuracy: 1e-10 relative, or that of the rounding of ``times`` itself where the margin depends on it more steeply;
    a time is good to 1e-15 of the time in which the margin changes by itself.
    Cost: a table of some hundred quadrature panels per call, then some hundred operations per time.

    Source: formulas (4.7) and (4.8) of the theory book.

    Examples
    --------
    >>> chain = Chain((0.5, 0.4, -0.1), norm=2.0, frequency=0.5)
    >>> chain.margin([0.0, 4.0, 8.0]).round(6)
    array([-0.04    ,  0.183485,  2.187554])
    >>> chain.layers([4.0])[:, 0].round(6)
    array([0.582597, 0.499419, 0.315309])
    """

    strengths: tuple[float, ...]
    norm: float = 1.0
    frequency: float = 1.0
    loss: str | Loss = "cross_entropy"
    activation: Literal["linear", "relu"] = "linear"

    def __post_init__(self) -> None:
        """Check every argument; the class says what is allowed."""
        given = checks.sequence("strengths", self.strengths, "a sequence of numbers")
        strengths = tuple(bounded(f"strengths[{i}]", value) for i, value in enumerate(given))
        if not strengths:
            raise ValueError("strengths must name at least one layer, got none")
        object.__setattr__(self, "strengths", strengths)
        object.__setattr__(self, "norm", size("norm", self.norm))
        object.__setattr__(self, "frequency", size("frequency", self.frequency))
        checks.choice("activation", self.activation, ("linear", "relu"))
        residual_of(self.loss)
        if self.activation == "relu" and min(strengths[:-1], default=0.0) < 0:
            raise ValueError(
                "strengths before the last must not be negative when activation is 'relu', "
                f"got {min(strengths[:-1])} in layer {int(np.argmin(strengths[:-1]))}"
            )
        if self.start_margin == 0 and all(strengths):
            raise ValueError(f"strengths must not be so small that their product underflows, got {strengths}")
        if not abs(self.start_margin) <= MOST:
            raise ValueError(
                f"strengths must make an initial margin within {MOST:g} of 0, got {self.start_margin:g} of {strengths}"
            )
        if self.start_margin < LOWEST:
            raise ValueError(
                f"strengths must make an initial margin of at least {LOWEST:g}, "
                f"got {self.start_margin:g} of {strengths}"
            )

    @property
    def depth(self) -> int:
        """Number of weight layers N."""
        return len(self.strengths)

    @property
    def start_margin(self) -> float:
        """The margin at time 0. Source: formula (4.8) of the theory book."""
        return self.norm * math.prod(self.strengths)

    @property
    def dies(self) -> bool:
        """Whether the margin ends at 0, reached or in the limit, because of its initialisation.

        An initialisation in which two layers are 0, or a hidden layer of a ReLU network, stays there and counts too.
        Whether the loss stops first does not matter; none does at a margin below 0. Source: theory book, chapter 4.
        """
        if self.depth == 1:
            return False
        if self.start_margin > 0:
            return False
        return self._strand.spread == 0 or (self.activation == "relu" and self._smallest != self.depth - 1)

    def margin(self, times: ArrayLike) -> Array:
        """Return the margin m(t).

        Parameters
        ----------
        times
            Any shape, float64, not negative; infinity gives the limit.

        Returns
        -------
        ndarray of float64, shape of ``times``

        Raises
        ------
        ValueError
            A time is negative or NaN, or the clock p rho t finite and above 1e300.

        Notes
        -----
        Source: formulas (4.8) and (4.10) of the theory book.
        """
        given = self._times(times)
        if self.depth == 1:
            return self._single.margin(given)
        x = self._x(given.ravel())
        margins = self._strand.margin(x) * self._mirror
        margins = np.maximum(margins, self.start_margin) if self._mirror > 0 else np.minimum(margins, self.start_margin)
        margins = np.where(given.ravel() == 0, self.start_margin, margins)
        return np.asarray(margins.reshape(given.shape), dtype=np.float64)

    def layers(self, times: ArrayLike) -> Array:
        """Return the strengths of the layers, signs included, (N, *shape of ``times``) float64.

        Parameters
        ----------
        times
            Any shape, float64, not negative; infinity gives the limit.

        Raises
        ------
        ValueError
            A time is negative or NaN, or the clock p rho t finite and above 1e300.

        Notes
        -----
        Source: formulas (4.7) and (4.8) of the theory book.
        """
        given = self._times(times)
        if self.depth == 1:
            return np.asarray(self._single.margin(given) / self.norm)[None]
        x = self._x(given.ravel())
        signs = np.where(np.asarray(self.strengths) < 0, -1.0, 1.0)
        strengths = signs[:, None] * np.sqrt(x**2 + self._gaps[:, None])
        others = float(np.prod(np.delete(signs, self._smallest)))
        strengths[self._smallest] = others * self._mirror * x
        return np.asarray(strengths.reshape(self.depth, *given.shape), dtype=np.float64)

    def time(self, margin: ArrayLike) -> Array:
        """Return the time at which the chain has a margin.

        Parameters
        ----------
        margin
            Any shape, float64. On the path of the chain: from the initial margin on, in the direction in which the
            loss drives it (upwards, except for the squared loss above margin 1).

        Returns
        -------
        ndarray of float64, shape of ``margin``
            Infinite at margins that are never reached, or only beyond a clock of 1e300.

        Raises
        ------
        ValueError
            A margin is NaN, or before the initial one on the path.

        Notes
        -----
        Source: formulas (4.8) and (4.10) of the theory book.
        """
        if self.depth == 1:
            return self._single.time(margin)
        given = real_numbers("margin", margin)
        flat, start, target = given.ravel() * self._mirror, self.start_margin * self._mirror, self._target
        if not (flat >= start).all():
            side = "at most" if self._mirror < 0 else "at least"
            worst = given.ravel()[~(flat >= start)][0]
            raise ValueError(f"margin must be {side} the initial margin {self.start_margin}, got {worst}")
        times = np.where(flat > start, np.inf, 0.0)
        reached = flat <= target if self._residual.family == "step" else flat < target
        on_way = (flat > start) & reached & np.isfinite(flat) & (not self._at_rest)
        if self.dies:
            on_way &= flat <= 0 if self._strand.spread > 0 else flat < 0
        for group, shift in self._groups(flat):
            chosen = on_way & group
            if chosen.any():
                # A margin just past the start may be just before it on the strand, by rounding.
                theta = np.maximum(self._clock(shift).theta(self._strand.position(flat[chosen])), 0.0)
                with np.errstate(divide="ignore", over="ignore"):
                    logarithm = np.log(theta) + shift
                    late = np.exp(logarithm - math.log(self._rate)) if shift else theta / self._rate
                times[chosen] = np.where(logarithm < math.log(LATEST), late, np.inf)
        return times.reshape(given.shape)

    def _times(self, times: ArrayLike) -> Array:
        given = not_negative("times", times)
        with np.errstate(over="ignore"):
            beyond = np.isfinite(given) & (given * self._rate > LATEST)
        if self.depth > 1 and beyond.any():
            raise ValueError(
                f"times must make a clock frequency x norm x time of at most {LATEST:g} or be infinite, "
                f"got {given[beyond].flat[0]:g} with frequency x norm = {self._rate:g}"
            )
        return given

    def _x(self, times: Array) -> Array:
        """Return the coordinate x (times,) of the strand."""
        start = np.full(times.shape, self._strand.start)
        if self._at_rest:
            return start
        end = 0.0 if self.dies else math.inf
        if self._residual.family != "exponential" and not self.dies:
            end = float(self._strand.position(np.asarray(self._target)))
        x = np.where(np.isinf(times), end, start)
        theta = self._rate * np.where(np.isinf(times), 0.0, times)
        moving = theta > 0
        arrives = self._strand.spread > 0 if self.dies else self._residual.family == "step"
        if arrives:
            last = float(self._clock(0.0).theta(np.asarray([end]))[0])
            moving &= theta < last
            x[(theta >= last) & (theta > 0)] = end
        if not self.dies and self._residual.family == "exponential":
            x[moving] = self._growing(theta[moving])
        elif moving.any():
            furthest = float(self._strand.v(np.asarray(end))) if arrives else math.inf
            x[moving] = self._clock(0.0).margin(theta[moving], furthest)
        return np.clip(x, self._strand.start, end)

    def _growing(self, theta: Array) -> Array:
        """Return x (times,) for the exponential family, each with the smallest shift of the clock that can hold it."""
        x, left, shift = np.empty(theta.shape), np.ones(theta.shape, dtype=np.bool_), self._base
        while left.any():
            furthest = float(self._strand.v(self._strand.position(np.asarray(shift + LARGE))))
            scaled = theta[left] * math.exp(-0.5 * shift) * math.exp(-0.5 * shift)  # where e^-shift alone would be 0
            x[left] = self._clock(shift).margin(scaled, furthest)
            left &= self._strand.margin(x) > shift + LARGE - 1.0
            shift += LARGE - 200.0
        return x

    @property
    def _rate(self) -> float:
        return self.frequency * self.norm

    @cached_property
    def _residual(self) -> Residual:
        return residual_of(self.loss)

    @cached_property
    def _single(self) -> Mode:
        """The mode that a chain of one layer is: a linear model, such as logistic regression."""
        return Mode(self.norm, self.frequency, self.start_margin, depth=1, loss=self.loss)

    @cached_property
    def _mirror(self) -> float:
        """-1 if the margin falls: its mirror image a_N -> -a_N, h -> -h rises."""
        return -1.0 if float(self._residual.direction(np.asarray(self.start_margin))) < 0 else 1.0

    @property
    def _target(self) -> float:
        return self._mirror * self._residual.target

    @cached_property
    def _at_rest(self) -> bool:
        if float(self._residual.direction(np.asarray(self.start_margin))) == 0 or (
            self.start_margin == 0 and self.dies
        ):
            return True
        return self._residual.family == "exponential" and self.start_margin > FURTHEST

    @cached_property
    def _smallest(self) -> int:
        return int(np.argmin(np.abs(self.strengths)))

    @cached_property
    def _gaps(self) -> Array:
        """Return a_l^2 minus the smallest, (N,): constants of motion."""
        sizes = np.abs(np.asarray(self.strengths))
        least = sizes[self._smallest]
        return np.asarray((sizes - least) * (sizes + least), dtype=np.float64)

    @cached_property
    def _strand(self) -> Strand:
        gaps = np.sort(np.delete(self._gaps, self._smallest))
        sign = math.copysign(1.0, self.start_margin) * self._mirror
        return Strand(
            start=sign * abs(self.strengths[self._smallest]),
            spread=math.sqrt(gaps[0]),
            rest=tuple(float(gap) for gap in gaps[1:]),
            norm=self.norm,
        )

    @property
    def _base(self) -> float:
        return self.start_margin if self._residual.family == "exponential" and self.start_margin > 0.5 * LARGE else 0.0

    def _groups(self, margins: Array) -> list[tuple[NDArray[np.bool_], float]]:
        """Return the margins for each shift of the clock, so that e^m does not overflow; none beyond 4,600."""
        if self._residual.family != "exponential":
            return [(np.ones(margins.shape, dtype=np.bool_), 0.0)]
        number = np.ceil((np.clip(margins - self._base, LARGE, LARGE + 4400.0) - LARGE) / 400.0)
        return [(number == k, self._base + 400.0 * k) for k in np.unique(number) if k < 11]

    def _clock(self, shift: float) -> QuadratureClock:
        if self._residual.family == "linear":
            return QuadratureClock(Driven(self._strand, self._target))
        return QuadratureClock(Free(self._strand, self._residual), shift)
