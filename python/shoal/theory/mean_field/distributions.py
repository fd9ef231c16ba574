"""How inputs project on the teacher's direction: the two distributions of mean-field theory.

| symbol | meaning | name | shape |
|---|---|---|---|
| d | inputs | ``inputs`` | scalar |
| r | radius of the sphere | ``radius`` | scalar |
| x_par | projection of an input on the teacher's direction | - | - |
| E abs(x_par) | its mean size | ``mean`` | scalar |
| x_c | boundary: smaller projections are unsatisfied | ``boundary`` | any |
| S(x_c) | E[abs(x_par); abs(x_par) < x_c] / E abs(x_par) | ``mean_fraction`` | as ``boundary`` |
| P(x_c) | probability of abs(x_par) < x_c | ``fraction`` | as ``boundary`` |
| kappa, e_1 | 1/S = 1/(kappa x_c^2) + e_1 + O(x_c^2) | ``bend``, ``offset`` | scalar |
| R | ``reach``: S(R) = 1, to rounding | ``reach`` | scalar |
| eta | coordinate with x_c = R at 0, in which all is smooth | ``eta`` | any |

Source: theory book, chapter 7.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc, erf

Array = NDArray[np.float64]

FAR = 9.0
"""Gaussian projections beyond this contribute a fraction e^(-FAR^2/2) = 3e-18 of the mean, below the rounding of 1."""

ROUNDING = 1e-14
"""Relative rounding of a boundary computed from gamma: at least 2 gamma coth(2 gamma) times that of gamma."""


class InputDistribution(Protocol):
    """An isotropic distribution of inputs: what the theory needs to know of one projection."""

    @property
    def mean(self) -> float:
        """Mean size of a projection, E abs(x_par)."""

    @property
    def rms(self) -> float:
        """Root mean square of a projection."""

    @property
    def size(self) -> float:
        """Root mean square of the norm of an input."""

    @property
    def reach(self) -> float:
        """Boundary from which on S = 1, to rounding."""

    @property
    def bend(self) -> float:
        """The factor kappa in S ~ kappa x_c^2 at small boundaries; 0 where no projection is small."""

    @property
    def offset(self) -> float:
        """The next term e_1 of 1/S."""

    def mean_fraction(self, boundary: Array) -> Array:
        """Return S, from boundaries above 0."""

    def fraction(self, boundary: Array) -> Array:
        """Return the probability that a projection is smaller than each boundary."""

    def mean_fraction_at(self, eta: Array) -> Array:
        """Return S from the coordinate eta >= 0."""

    def log_rise(self, eta: Array) -> Array:
        """Return ln(R / x_c) at eta >= 0."""

    def rise_rate(self, eta: Array) -> Array:
        """Return d ln(R / x_c) / d eta."""

    def eta(self, log_rise: Array) -> Array:
        """Return the coordinate at which ln(R / x_c) is ``log_rise`` >= 0."""


@dataclass(frozen=True)
class GaussianInputs:
    """x ~ N(0, I_d), so that x_par ~ N(0, 1). Source: formula (7.5) of the theory book."""

    inputs: int

    @property
    def mean(self) -> float:
        """Mean size of a projection, sqrt(2/pi)."""
        return math.sqrt(2.0 / math.pi)

    @property
    def rms(self) -> float:
        """Root mean square of a projection."""
        return 1.0

    @property
    def size(self) -> float:
        """Root mean square of the norm, sqrt(d)."""
        return math.sqrt(self.inputs)

    @property
    def reach(self) -> float:
        """Boundary beyond which no projections are left, to rounding."""
        return FAR

    @property
    def bend(self) -> float:
        """The factor kappa in S ~ kappa x_c^2."""
        return 0.5

    @property
    def offset(self) -> float:
        """The next term of 1/S."""
        return 0.5

    def mean_fraction(self, boundary: Array) -> Array:
        """Return S = 1 - e^(-x_c^2/2)."""
        with np.errstate(over="ignore", under="ignore"):
            return np.asarray(-np.expm1(-0.5 * boundary * boundary), dtype=np.float64)

    def fraction(self, boundary: Array) -> Array:
        """Return erf(x_c / sqrt 2)."""
        return np.asarray(erf(boundary * math.sqrt(0.5)), dtype=np.float64)

    def mean_fraction_at(self, eta: Array) -> Array:
        """Return S at x_c = R e^-eta."""
        return self.mean_fraction(FAR * np.exp(-eta))

    def log_rise(self, eta: Array) -> Array:
        """Return ln(R / x_c) = eta."""
        return eta

    def rise_rate(self, eta: Array) -> Array:
        """Return 1."""
        return np.ones_like(eta)

    def eta(self, log_rise: Array) -> Array:
        """Return the coordinate, which is ``log_rise`` itself."""
        return log_rise


@dataclass(frozen=True)
class SphereInputs:
    """x uniform on the sphere of radius r in R^d, so that (x_par/r)^2 ~ Beta(1/2, (d-1)/2).

    With sin phi = sqrt(1 - (x_c/r)^2), S = 1 - sin^(d-1) phi has a root at x_c = r when d is even. With
    x_c = r sech eta, sin phi = tanh eta and S is smooth. Source: formula (7.5) of the theory book.
    """

    inputs: int
    radius: float

    @property
    def mean(self) -> float:
        """Mean size of a projection, r Gamma(d/2) / (sqrt(pi) Gamma((d+1)/2))."""
        return self.radius * mean_cosine(self.inputs)

    @property
    def rms(self) -> float:
        """Root mean square of a projection, r / sqrt(d)."""
        return self.radius / math.sqrt(self.inputs)

    @property
    def size(self) -> float:
        """Norm of every input."""
        return self.radius

    @property
    def reach(self) -> float:
        """Largest projection, r."""
        return self.radius

    @property
    def bend(self) -> float:
        """The factor kappa in S ~ kappa x_c^2, (d-1) / (2 r^2)."""
        return 0.5 * (self.inputs - 1) / self.radius**2

    @property
    def offset(self) -> float:
        """The next term of 1/S, (d-3) / (2 (d-1)); 0 at d = 1, where there is no such series."""
        return 0.5 * (self.inputs - 3) / (self.inputs - 1) if self.inputs > 1 else 0.0

    def mean_fraction(self, boundary: Array) -> Array:
        """Return S = 1 - (1 - (x_c/r)^2)^((d-1)/2), 1 from r on."""
        if self.inputs == 1:
            return self.fraction(boundary)
        part = np.minimum(boundary / self.radius, 1.0)
        with np.errstate(divide="ignore", under="ignore"):
            logarithm = np.where(part < 0.5, np.log1p(-(part * part)), np.log((1.0 - part) * (1.0 + part)))
            return np.asarray(-np.expm1(0.5 * (self.inputs - 1) * logarithm), dtype=np.float64)

    def fraction(self, boundary: Array) -> Array:
        """Return I(1/2, (d-1)/2) at (x_c/r)^2, an incomplete Beta function; 1 from r on."""
        return cosine_fraction(self.inputs, boundary / self.radius)

    def mean_fraction_at(self, eta: Array) -> Array:
        """Return S = 1 - tanh^(d-1) eta."""
        with np.errstate(divide="ignore", over="ignore"):
            logarithm = np.log1p(-2.0 / (np.exp(2.0 * eta) + 1.0))
        return np.asarray(-np.expm1((self.inputs - 1) * logarithm), dtype=np.float64)

    def log_rise(self, eta: Array) -> Array:
        """Return ln cosh eta."""
        return np.asarray(eta + np.log1p(np.exp(-2.0 * eta)) - math.log(2.0), dtype=np.float64)

    def rise_rate(self, eta: Array) -> Array:
        """Return tanh eta."""
        return np.asarray(np.tanh(eta), dtype=np.float64)

    def eta(self, log_rise: Array) -> Array:
        """Return arcosh(e^log_rise)."""
        return np.asarray(log_rise + np.log1p(np.sqrt(-np.expm1(-2.0 * log_rise))), dtype=np.float64)


def distribution_of(name: str, inputs: int, radius: float) -> InputDistribution:
    """Return the distribution of that name: ``"gaussian"`` or ``"sphere"``."""
    return GaussianInputs(inputs) if name == "gaussian" else SphereInputs(inputs, radius)


def mean_cosine(inputs: int) -> float:
    """Return E abs(u_1) = Gamma(d/2) / (sqrt(pi) Gamma((d+1)/2)) of a uniform direction u in R^d.

    Gamma functions themselves up to d = 200; beyond, where their logarithms would cancel, the series of
    ln Gamma(z + 1/2) - ln Gamma(z) in 1/z, exact to rounding.
    """
    half = 0.5 * inputs
    if inputs <= 200:
        return math.gamma(half) / (math.sqrt(math.pi) * math.gamma(half + 0.5))
    back = 1.0 / half
    series = back * (-1 / 8 + back**2 * (1 / 192 + back**2 * (-1 / 640 + back**2 * (17 / 14336))))
    return math.exp(-series) / math.sqrt(math.pi * half)


def cosine_fraction(inputs: int, cosine: Array) -> Array:
    """Return the probability that abs(u_1) < ``cosine`` (any shape, not negative) for a uniform direction u in R^d."""
    if inputs == 1:
        # gamma comes to rest where all inputs are satisfied, cosine = 1 to rounding.
        return np.where(cosine > 1.0 + ROUNDING, 1.0, 0.0)
    part = np.minimum(cosine, 1.0)
    return np.asarray(betainc(0.5, 0.5 * (inputs - 1), part * part), dtype=np.float64)
