"""Mean-field theory of hinge-loss classification: a wide two-layer ReLU network learns a linear teacher.

| symbol | meaning | name | shape |
|---|---|---|---|
| M | hidden nodes | ``nodes`` | scalar |
| d | inputs | ``inputs`` | scalar |
| alpha | scale of the output | ``alpha`` | scalar |
| h | threshold of the hinge | ``threshold`` | scalar |
| beta | rate of the flow | ``beta`` | scalar |
| t | time | ``times`` | any |
| gamma(t) | angle by which every node has turned | ``gamma`` | as ``times`` |
| x_par | projection of an input on the teacher's direction | ``projections`` | any |
| x_c(t) | boundary: smaller projections are unsatisfied | ``boundary`` | as ``times`` |
| a_i, w_i | output weight of a node; its first-layer weight along the teacher | ``trajectories`` | nodes, then times |
| s(t) | noise of the boundary between classes, over the rms projection | ``spread`` | as ``times`` |

Source: theory book, chapter 7; arXiv:2006.11209.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shoal.base import checks
from shoal.base.former import Knows
from shoal.theory.domains import count, finite, not_negative, size
from shoal.theory.mean_field.clock import HingeClock
from shoal.theory.mean_field.distributions import InputDistribution, distribution_of
from shoal.theory.mean_field.error import misclassified, node_noise, noise_over_signal

Array = NDArray[np.float64]
DISTRIBUTIONS = ("gaussian", "sphere")


@dataclass(frozen=True)
class MeanFieldHinge(Knows):
    """The training of f(x) = (alpha/M) sum_i a_i relu(w_i.x / sqrt d) on y = sign(w*.x) with the loss <(h - y f)_+>.

    All a_i and w_ij are drawn from N(0, 1), x is isotropic, the number of samples infinite. Gradient flow at the rate
    beta M/alpha on both layers turns every node by the same angle gamma(t),

        a_i = a_i0 cosh gamma + w_i0 sinh gamma,   w_i = w_i0 cosh gamma + a_i0 sinh gamma   (w_i along the teacher),
        f(x) = alpha sinh(2 gamma) x_par / (2 sqrt d),   gamma' = beta/(2 sqrt d) E[abs(x_par); abs(x_par) < x_c],
        x_c = 2 sqrt(d) h / (alpha sinh 2 gamma),

    exact as M -> infinity. ``noise``, ``spread`` and ``error`` are what M nodes add to leading order.

    Parameters
    ----------
    nodes
        M, at least 1. Only ``noise``, ``spread`` and ``error`` depend on it.
    inputs
        d, at least 1.
    alpha, threshold, beta
        alpha, h, beta: positive. ``Network.mean_field`` under ``GradientDescent(learning_rate)`` has beta = 1 and t =
        steps x rate.
    distribution
        ``"gaussian"``: x ~ N(0, I_d); ``"sphere"``: uniform on the sphere of the given radius.
    radius
        r of the sphere, from 1e-100 to 1e100; 1 for Gaussian inputs.
    centred
        Whether the network's output is f(x, t) - f(x, 0). That changes what finite M adds, and nothing else.

    Raises
    ------
    TypeError
        An argument is not a number, ``distribution`` is not a string, ``centred`` is not a bool.
    ValueError
        An argument is out of the range above.

    Notes
    -----
    Accuracy of gamma(t) and of its inverse: 1e-12 relative, at all times that are doubles. Cost: a table of some
    hundred panels, made once per object, then some hundred operations per time.

    Source: formulas (7.1), (7.2), (7.3) and (7.4) of the theory book; arXiv:2006.11209.

    Examples
    --------
    >>> theory = MeanFieldHinge(nodes=400, inputs=30)
    >>> theory.gamma([1.0, 20.0, 1e6]).round(6)
    array([0.072837, 1.380826, 4.515717])
    >>> round(float(theory.time(theory.gamma(20.0))), 10)
    20.0
    """

    nodes: int
    inputs: int
    alpha: float = 1.0
    threshold: float = 1.0
    beta: float = 1.0
    distribution: Literal["gaussian", "sphere"] = "gaussian"
    radius: float = 1.0
    centred: bool = False

    def __post_init__(self) -> None:
        """Check every argument; the class says what is allowed."""
        object.__setattr__(self, "nodes", count("nodes", self.nodes))
        object.__setattr__(self, "inputs", count("inputs", self.inputs))
        for name in ("alpha", "threshold", "beta"):
            object.__setattr__(self, name, checks.positive(name, getattr(self, name)))
        object.__setattr__(self, "radius", size("radius", self.radius))
        checks.choice("distribution", self.distribution, DISTRIBUTIONS)
        if not 1e-300 <= self.threshold / self.alpha <= 1e300:
            raise ValueError(
                "threshold and alpha must make threshold / alpha lie from 1e-300 to 1e300, "
                f"got {self.threshold:g} and {self.alpha:g}"
            )
        if self.distribution == "gaussian" and self.radius != 1.0:
            raise ValueError(f"radius must be 1 when distribution is 'gaussian', which has none, got {self.radius}")
        checks.flag("centred", self.centred)

    def gamma(self, times: ArrayLike) -> Array:
        """Return the angle gamma(t).

        Parameters
        ----------
        times
            Any shape, float64, not negative; infinity gives the limit, which is infinite (on a sphere in one
            dimension, where all inputs are satisfied at once, it is not).

        Returns
        -------
        ndarray of float64, shape of ``times``

        Raises
        ------
        TypeError
            Times are not real numbers.
        ValueError
            A time is negative or NaN. So it is with every function of ``times`` below.

        Notes
        -----
        Source: formulas (7.5) and (7.8) of the theory book.
        """
        return self._angles(self._clock, times)

    def time(self, gamma: ArrayLike) -> Array:
        """Return the time t at which the nodes have turned by an angle; the inverse of ``gamma``.

        Parameters
        ----------
        gamma
            Any shape, float64, not negative.

        Returns
        -------
        ndarray of float64, shape of ``gamma``
            Infinite at angles that are never reached, and where the time exceeds the largest double.

        Raises
        ------
        ValueError
            An angle is negative or NaN.

        Notes
        -----
        Source: formulas (7.8) and (7.10) of the theory book.
        """
        given = not_negative("gamma", gamma)
        with np.errstate(over="ignore"):
            times = self._clock.theta(given.ravel()) / self._speed
        return np.asarray(times.reshape(given.shape), dtype=np.float64)

    def velocity(self, times: ArrayLike) -> Array:
        """Return dgamma/dt = beta E[abs(x_par); abs(x_par) < x_c] / (2 sqrt d), of the shape of ``times``.

        Notes
        -----
        Source: formula (7.5) of the theory book.
        """
        return np.asarray(self._speed * self._inputs.mean_fraction(self.boundary(times)), dtype=np.float64)

    def boundary(self, times: ArrayLike) -> Array:
        """Return x_c(t): inputs with abs(x_par) < x_c are unsatisfied. Of the shape of ``times``, infinite at time 0.

        Notes
        -----
        Source: formula (7.4) of the theory book.
        """
        with np.errstate(divide="ignore", over="ignore"):
            return np.asarray(self._level / np.sinh(2.0 * self.gamma(times)), dtype=np.float64)

    def unsatisfied(self, times: ArrayLike) -> Array:
        """Return the fraction of inputs with y f < h, of the shape of ``times``.

        Gaussian: erf(x_c / sqrt 2); sphere: an incomplete Beta function. Source: formula (7.4) of the theory book.
        """
        return self._inputs.fraction(self.boundary(times))

    def loss(self, times: ArrayLike) -> Array:
        """Return the mean hinge loss E[(h - abs(f))_+] = h [P(abs(x_par) < x_c) - E[abs(x_par); < x_c] / x_c].

        Of the shape of ``times``; h at time 0. Source: formula (7.7) of the theory book.
        """
        boundary = self.boundary(times)
        with np.errstate(divide="ignore", invalid="ignore"):
            moment = np.where(boundary > 0, self._inputs.mean * self._inputs.mean_fraction(boundary) / boundary, 0.0)
        return np.asarray(self.threshold * (self._inputs.fraction(boundary) - moment), dtype=np.float64)

    def trajectories(self, a0: ArrayLike, w0: ArrayLike, times: ArrayLike) -> tuple[Array, Array]:
        """Return output weights and first-layer weights along the teacher, of nodes with given initial weights.

        Parameters
        ----------
        a0, w0
            Any shape, the same for both, float64, finite: a_i and w_i.w*/|w*| at time 0.
        times
            Any shape, float64, not negative, finite.

        Returns
        -------
        tuple of two ndarray of float64, shape of ``a0`` followed by that of ``times``
            a_i(t) and w_i(t).

        Raises
        ------
        ValueError
            A time is negative or not finite, an initial weight is not finite, or ``a0`` and ``w0`` differ in shape.

        Notes
        -----
        a_i^2 - w_i^2 does not change. Source: formula (7.3) of the theory book.
        """
        first, second = finite("a0", a0), finite("w0", w0)
        if first.shape != second.shape:
            raise ValueError(f"w0 must have the shape of a0, {first.shape}, got {second.shape}")
        angle = self.gamma(finite("times", times))
        grown, turned = np.cosh(angle), np.sinh(angle)
        return (
            np.multiply.outer(first, grown) + np.multiply.outer(second, turned),
            np.multiply.outer(second, grown) + np.multiply.outer(first, turned),
        )

    def output(self, projections: ArrayLike, times: ArrayLike) -> Array:
        """Return f = h x_par / x_c = alpha sinh(2 gamma) x_par / (2 sqrt d) at inputs with given projections.

        Parameters
        ----------
        projections
            x_par = w*.x/|w*|, any shape, float64, finite; on the sphere at most r in size.
        times
            Any shape, float64, not negative, finite.

        Returns
        -------
        ndarray of float64, shape of ``projections`` followed by that of ``times``

        Raises
        ------
        ValueError
            A projection is not finite or longer than the radius, or a time is negative or not finite.

        Notes
        -----
        Source: formula (7.4) of the theory book.
        """
        angle = self.gamma(finite("times", times))
        slope = self.threshold / self._level * np.sinh(2.0 * angle)
        with np.errstate(over="ignore"):
            return np.asarray(np.multiply.outer(self._projections(projections), slope), dtype=np.float64)

    def satisfaction_time(self, projections: ArrayLike) -> Array:
        """Return when inputs are satisfied: the first time at which y f >= h, at gamma = arsinh(A / abs(x_par)) / 2.

        Here A = 2 sqrt(d) h / alpha.

        Parameters
        ----------
        projections
            x_par = w*.x/|w*|, any shape, float64, finite, of either sign; on the sphere at most r in size.

        Returns
        -------
        ndarray of float64, shape of ``projections``
            Infinite for x_par = 0.

        Raises
        ------
        ValueError
            A projection is not finite, or longer than the radius.

        Notes
        -----
        Once satisfied, an input stays so. Source: formula (7.6) of the theory book.
        """
        sizes = np.abs(self._projections(projections))
        with np.errstate(divide="ignore", over="ignore"):
            ratio = self._level / sizes
        return self.time(0.5 * np.arcsinh(ratio))

    def noise(self, times: ArrayLike) -> Array:
        """Return the standard deviation of f over networks of M nodes, at a typical input with x_par = 0.

        alpha |x| sqrt(cosh(2 gamma) / (2 M d)) with |x| = sqrt(d) for Gaussian inputs and r on the sphere; centred,
        alpha |x| sqrt(cosh gamma (cosh gamma - 1) / (M d)). Nodes on the curves of M -> infinity: what training does
        about the noise is left out, see ``error``. Of the shape of ``times``. Source: formulas (7.15) and (7.19) of the
        theory book.
        """
        size = self.alpha * self._inputs.size / math.sqrt(self.inputs * self.nodes)
        return np.asarray(size * node_noise(self.gamma(times), self.centred), dtype=np.float64)

    def spread(self, times: ArrayLike) -> Array:
        """Return s(t): noise of f over the output at an input with x_par = |x|/sqrt(d), whatever |x|.

        s = 2 sqrt(d) sqrt(cosh(2 gamma) / (2 M)) / sinh(2 gamma). Of the shape of ``times``; infinite at time 0, or
        where centred sqrt(d / (2 M)). Source: formulas (7.16) and (7.19) of the theory book.
        """
        ratio = noise_over_signal(self.gamma(times), self.centred)
        return np.asarray(math.sqrt(self.inputs / self.nodes) * ratio, dtype=np.float64)

    def error(self, times: ArrayLike) -> Array:
        """Return the generalisation error of a network of M nodes: the probability of sign f != y at a new input.

        f is its limit + Gaussian noise over networks, so that an input at an angle with cosine u to the teacher is
        misclassified with the probability Phi(-abs(u) sqrt(d) / s), here averaged over directions in R^d. That is
        arctan(s)/pi as d -> infinity, and the same function of gamma for both distributions of inputs. Of the shape of
        ``times``; 1/2 at time 0, unless centred.

        Leading order in 1/M, with nodes on the curves of M -> infinity. Training corrects the noise from when the
        first inputs are satisfied on: `TrainedNoise`. Source: formulas (7.17) and (7.18) of the theory book.
        """
        spread = self.spread(times)
        return misclassified(self.inputs, spread.ravel()).reshape(spread.shape)

    def early(self, times: ArrayLike) -> Array:
        """Return the early formula gamma = beta E abs(x_par) t / (2 sqrt d), of the shape of ``times``.

        For Gaussian inputs beta t / sqrt(2 pi d), too large by about e^(-x_c^2/2) tanh(2 gamma) / (2 x_c^2); on the
        sphere exact until x_c = r, when the first input is satisfied. Source: formula (7.11) of the theory book.
        """
        return np.asarray(self._speed * not_negative("times", times), dtype=np.float64)

    def tail(self, times: ArrayLike) -> Array:
        """Return the late formula gamma = ln(C t)/4, of the shape of ``times``; 0 where the logarithm is negative.

        C = 16 sqrt(d) h^2 beta rho / alpha^2, rho the density of abs(x_par) at 0: sqrt(2/pi) for Gaussian inputs,
        2 Gamma(d/2) / (sqrt(pi) r Gamma((d-1)/2)) on the sphere. The next term is of order ln(t)/t. On a sphere in one
        dimension gamma stops, and this is where. Source: formula (7.12) of the theory book.
        """
        given = not_negative("times", times)
        with np.errstate(over="ignore"):
            return self._clock.tail((self._speed * given).ravel()).reshape(given.shape)

    def lazy(self, times: ArrayLike) -> Array:
        """Return gamma(t) of the network linearised about its initialisation: sinh 2 gamma replaced by 2 gamma.

        What ``gamma`` tends to as alpha -> infinity with the other arguments fixed, as long as gamma is small: then
        gamma alpha is a function of t alpha. It ends like t^(1/3). Of the shape of ``times``. Source: formula (7.14) of
        the theory book.
        """
        return self._angles(HingeClock(self._inputs, self._level, lazy=True), times)

    @property
    def crossover(self) -> float:
        """The alpha, 2 sqrt(d) h / rms(x_par), at which an input of rms projection is satisfied at sinh 2 gamma = 1.

        2 sqrt(d) h for Gaussian inputs, 2 d h / r on the sphere. When typical inputs are satisfied, nodes have turned
        by gamma ~ crossover / (2 alpha), and hardly moved, much above it (lazy); by ln(2 crossover / alpha) / 2, and
        left their initialisations behind, much below it (rich). Source: formula (7.13) of the theory book.
        """
        return 2.0 * math.sqrt(self.inputs) * self.threshold / self._inputs.rms

    @cached_property
    def _inputs(self) -> InputDistribution:
        return distribution_of(self.distribution, self.inputs, self.radius)

    @cached_property
    def _clock(self) -> HingeClock:
        return HingeClock(self._inputs, self._level)

    @property
    def _level(self) -> float:
        """The factor A = x_c sinh 2 gamma."""
        return 2.0 * math.sqrt(self.inputs) * self.threshold / self.alpha

    @property
    def _speed(self) -> float:
        """Return dgamma/dt while all inputs are unsatisfied."""
        return 0.5 * self.beta * self._inputs.mean / math.sqrt(self.inputs)

    def _angles(self, clock: HingeClock, times: ArrayLike) -> Array:
        given = not_negative("times", times)
        with np.errstate(over="ignore"):
            theta = self._speed * given.ravel()
        return np.asarray(clock.gamma(theta).reshape(given.shape), dtype=np.float64)

    def _projections(self, projections: ArrayLike) -> Array:
        given = finite("projections", projections)
        far = np.abs(given) > (math.inf if self.distribution == "gaussian" else self.radius)
        if far.any():
            raise ValueError(f"projections must be at most the radius {self.radius} in size, got {given[far].flat[0]}")
        return given
