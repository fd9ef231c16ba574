"""A mean-field network whose training labels are partly wrong: the clock of clean labels, slowed and stopped.

| symbol | meaning | name | shape |
|---|---|---|---|
| q | fraction of the labels that are flipped | ``flipped`` | scalar |
| gamma(t) | angle by which every node has turned | ``gamma`` | as ``times`` |
| s(t) | time at which clean labels would have turned it as far | ``clean_time`` | as ``times`` |
| S(s) | gradient that is left with clean labels, E[abs(x_par); < x_c] / E abs(x_par) | - | as ``times`` |
| gamma* | angle at rest | ``rest`` | scalar |

Source: theory book, chapter 7; arXiv:2006.11209.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.integrate import solve_ivp
from scipy.optimize import brentq

from shoal.base import checks
from shoal.theory.domains import not_negative
from shoal.theory.mean_field.distributions import GaussianInputs, InputDistribution, SphereInputs
from shoal.theory.mean_field.hinge import MeanFieldHinge

Array = NDArray[np.float64]

CLOSE = 1e-13
"""Relative distance from rest at which the network counts as at rest."""


@dataclass(frozen=True)
class MislabelledHinge:
    """`MeanFieldHinge` with a fraction q of the training labels flipped, each with the same probability.

    A flipped sample has y f < 0: it is never satisfied, and pulls every node back with the whole of its gradient. By
    symmetry the mean gradient still lies along the teacher, so that every node turns by the same angle, with

        gamma' = beta/(2 sqrt d) {(1 - q) E[abs(x_par); abs(x_par) < x_c] - q E abs(x_par)}.

    The beginning is slower by 1 - 2q, and gamma comes to rest where S = q/(1 - q): for Gaussian inputs at
    x_c = sqrt(2 ln((1 - q)/(1 - 2q))). Measured by the clock of clean labels, ds/dt = 1 - q - q/S(s): wrong labels only
    slow the clock, and stop it; everything else is what clean labels give at the time s.

    Parameters
    ----------
    clean
        The network and the distribution of its inputs, with right labels.
    flipped
        q, from 0 to below 1/2.

    Raises
    ------
    TypeError
        ``clean`` is not a `MeanFieldHinge`, or ``flipped`` is not a number.
    ValueError
        ``flipped`` is negative, or 1/2 or more: such labels teach nothing, or the opposite.

    Notes
    -----
    Holds for infinitely many samples: a finite training set lets the network fit wrong labels one by one.
    Accuracy of gamma: 1e-10. Cost: milliseconds per call.

    Source: formulas (7.23), (7.24) and (7.25) of the theory book; arXiv:2006.11209.

    Examples
    --------
    >>> theory = MislabelledHinge(MeanFieldHinge(nodes=400, inputs=30), flipped=0.1)
    >>> theory.gamma([1.0, 20.0, 1e6]).round(6)
    array([0.058269, 1.157015, 1.905133])
    >>> round(theory.rest, 6)
    1.905133
    """

    clean: MeanFieldHinge
    flipped: float

    def __post_init__(self) -> None:
        """Check both arguments; the class says what is allowed."""
        if not isinstance(self.clean, MeanFieldHinge):
            raise TypeError(
                f"clean must be a MeanFieldHinge, got {self.clean!r:.200} of type {type(self.clean).__name__}"
            )
        object.__setattr__(self, "flipped", checks.not_negative("flipped", self.flipped))
        if self.flipped >= 0.5:
            raise ValueError(f"flipped must be below 0.5, got {self.flipped}")

    @cached_property
    def rest(self) -> float:
        """The angle gamma* at which the network comes to rest; infinite where no label is flipped.

        Source: formulas (7.4) and (7.24) of the theory book.
        """
        return math.asinh(self._level / self.rest_boundary) / 2 if self.flipped > 0 else math.inf

    @cached_property
    def rest_boundary(self) -> float:
        """The boundary x_c at rest, where S = q/(1 - q); 0 where no label is flipped.

        Source: formula (7.24) of the theory book.
        """
        if self.flipped == 0:
            return 0.0
        left = self.flipped / (1 - self.flipped)
        reach = self._inputs.reach
        return float(brentq(lambda edge: self._mean_fraction(edge) - left, 0.0, reach, xtol=1e-300, rtol=1e-14))

    def gamma(self, times: ArrayLike) -> Array:
        """Return the angle gamma(t).

        Parameters
        ----------
        times
            Any shape, float64, not negative; infinity gives ``rest``.

        Returns
        -------
        ndarray of float64, shape of ``times``

        Raises
        ------
        ValueError
            A time is negative or NaN.

        Notes
        -----
        Source: formula (7.23) of the theory book.
        """
        given = not_negative("times", times)
        if self.flipped == 0:
            return self.clean.gamma(given)
        asked, where = np.unique(given, return_inverse=True)
        return self._integrate(asked)[where].reshape(given.shape)

    def clean_time(self, times: ArrayLike) -> Array:
        """Return s(t), the time at which right labels would have turned the nodes by the same angle.

        Of the shape of ``times``. Raises as in ``gamma``. Source: formula (7.25) of the theory book.
        """
        return self.clean.time(self.gamma(times))

    def boundary(self, times: ArrayLike) -> Array:
        """Return x_c(t), of the shape of ``times``. Raises and source as in ``gamma``."""
        return self.clean.boundary(self.clean_time(times))

    def unsatisfied(self, times: ArrayLike) -> Array:
        """Return the fraction of training samples with y f < h: all flipped ones, and clean ones with abs(x_par) < x_c.

        Of the shape of ``times``. Raises and source as in ``gamma``.
        """
        return np.asarray((1 - self.flipped) * self.clean.unsatisfied(self.clean_time(times)) + self.flipped)

    def error(self, times: ArrayLike) -> Array:
        """Return the generalisation error, on right labels, of a network of M nodes; see `MeanFieldHinge.error`.

        Of the shape of ``times``. Raises and source as in ``gamma``.
        """
        return self.clean.error(self.clean_time(times))

    @property
    def _level(self) -> float:
        """x_c sinh 2 gamma."""
        return 2 * math.sqrt(self.clean.inputs) * self.clean.threshold / self.clean.alpha

    @property
    def _inputs(self) -> InputDistribution:
        clean = self.clean
        return (
            GaussianInputs(clean.inputs)
            if clean.distribution == "gaussian"
            else SphereInputs(clean.inputs, clean.radius)
        )

    def _mean_fraction(self, boundary: float) -> float:
        """Return S, the fraction of E abs(x_par) below a boundary."""
        return float(self._inputs.mean_fraction(np.asarray([boundary]))[0])

    def _integrate(self, asked: Array) -> Array:
        """Return gamma at increasing times, by its equation of motion until it has come to rest."""
        speed = self.clean.beta * self._inputs.mean / (2 * math.sqrt(self.clean.inputs))
        level, kept, lost, rest = self._level, 1 - self.flipped, self.flipped, self.rest

        def slope(_: float, angle: Array) -> Array:
            turned = math.sinh(2 * min(max(float(angle[0]), 0.0), rest))
            left = self._mean_fraction(level / turned) if turned > 0 else 1.0
            return np.asarray([speed * (kept * left - lost)])

        def distance(_: float, angle: Array) -> float:
            return float(rest * (1 - CLOSE) - angle[0])

        distance.terminal = True  # type: ignore[attr-defined]
        result = np.full(asked.shape, rest)
        finite = asked[np.isfinite(asked)]
        if len(finite) and finite[-1] > 0:
            solved = solve_ivp(
                slope, (0.0, finite[-1]), [0.0], "DOP853", t_eval=finite, rtol=1e-12, atol=1e-14, events=distance
            )
            # Nothing is recorded if the network comes to rest before the first requested time.
            result[: len(solved.t)] = solved.y[0] if len(solved.t) else rest
        result[asked == 0] = 0.0
        return np.asarray(np.minimum(result, rest))
