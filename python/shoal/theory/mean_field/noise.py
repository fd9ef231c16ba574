"""The effect of training on the noise of M nodes: each kind of noise grows with the nodes and is pulled back.

| symbol | meaning | name | shape |
|---|---|---|---|
| gamma | angle by which all nodes have turned | ``gamma`` | any |
| S | remaining fraction of the gradient | - | as ``gamma`` |
| (1 - S)/S | gradient along the boundary over the gradient that turns the nodes | ``pull`` | scalar |
| D | dimensions across the teacher, d - 1 | ``across`` | scalar |
| K_a, K_w | eigenvalues of the kernels of both layers | ``output_kernel``, ``input_kernel`` | (kinds,) |
| p, q | noise of one kind: p of its initialisation in a_i, q of its initialisation in w_i | ``state`` | (4, kinds) |

Source: theory book, chapter 7.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.integrate import solve_ivp

from shoal.theory.mean_field.distributions import distribution_of, mean_cosine
from shoal.theory.mean_field.error import misclassified
from shoal.theory.mean_field.hinge import MeanFieldHinge

Array = NDArray[np.float64]

FURTHEST = 10.0
"""Angle after the first satisfied input at which only permanent noise is left: time has grown by e^40."""
TOLERANCE = 1e-9


@dataclass(frozen=True)
class TrainedNoise:
    """The noise of M nodes while they train, to first order in 1/sqrt(M) and leading order in d^(-1/2).

    `MeanFieldHinge.noise` lets the nodes follow the curves of M -> infinity. But noise moves the boundary of the
    unsatisfied inputs, and the flow answers with a gradient against it. Noise is linear in the input (1/2), alike
    for all inputs (1/pi), quadratic (1/(2 pi)), or of higher even degree (the rest). The first two kinds go within a
    time ~ sqrt(d)/beta once inputs are satisfied, the third after one longer by a factor ~ d, the rest stays.

    Parameters
    ----------
    clean
        The network and the distribution of its inputs, of at least 2 inputs.

    Raises
    ------
    TypeError
        ``clean`` is not a `MeanFieldHinge`.
    ValueError
        It has one input, hence no noise across the teacher.

    Notes
    -----
    Holds while the noise is small beside the threshold, for infinitely many samples and many nodes: M well above d for
    linear noise, above d^2/2 for quadratic noise, which falls faster otherwise. Theory book,
    chapter 7, has how far simulations agree. Accuracy of the equations' solution: 1e-7. Cost: one stiff integration in
    gamma per call, a quarter of a second.

    Source: formulas (7.20) and (7.21) of the theory book.

    Examples
    --------
    >>> trained = TrainedNoise(MeanFieldHinge(nodes=400, inputs=30))
    >>> trained.error([5.0, 20.0, 60.0]).round(4)
    array([0.1574, 0.038 , 0.0091])
    """

    clean: MeanFieldHinge

    def __post_init__(self) -> None:
        """Check the argument; the class says what is allowed."""
        if not isinstance(self.clean, MeanFieldHinge):
            raise TypeError(f"clean must be a MeanFieldHinge, got {self.clean!r} of type {type(self.clean).__name__}")
        if self.clean.inputs < 2:
            raise ValueError(f"clean must have at least 2 inputs, got {self.clean.inputs}")

    def kinds(self, times: ArrayLike) -> Array:
        """Return the variance that each kind of noise still has, over the variance of nodes on the curves.

        Parameters
        ----------
        times
            Any shape, float64, not negative.

        Returns
        -------
        ndarray of float64, shape (4,) followed by that of ``times``
            Linear, constant, quadratic, the rest. Their sum is 1 until the first input is satisfied.

        Raises
        ------
        ValueError
            A time is negative or NaN.

        Notes
        -----
        Source: formulas (7.21) and (7.22) of the theory book.
        """
        gamma = self.clean.gamma(times)
        angles, place = np.unique(gamma.ravel(), return_inverse=True)
        return self._variances(angles)[:, place].reshape(4, *gamma.shape)

    def remaining(self, times: ArrayLike) -> Array:
        """Return the noise over that of nodes on the curves of M -> infinity, of the shape of ``times``.

        1 until inputs are satisfied, then less: the root of the sum of ``kinds``. Source: formula (7.22) of the theory
        book.
        """
        return np.asarray(np.sqrt(self.kinds(times).sum(axis=0)), dtype=np.float64)

    def noise(self, times: ArrayLike) -> Array:
        """Return the standard deviation of f where x_par = 0, of the shape of ``times``: see `MeanFieldHinge.noise`.

        Source: formulas (7.15) and (7.22) of the theory book.
        """
        return np.asarray(self.clean.noise(times) * self.remaining(times), dtype=np.float64)

    def spread(self, times: ArrayLike) -> Array:
        """Return s(t), of the shape of ``times``: see `MeanFieldHinge.spread`.

        Source: formulas (7.16) and (7.22) of the theory book.
        """
        return np.asarray(self.clean.spread(times) * self.remaining(times), dtype=np.float64)

    def error(self, times: ArrayLike) -> Array:
        """Return the generalisation error, of the shape of ``times``: see `MeanFieldHinge.error`.

        Source: formulas (7.17) and (7.22) of the theory book.
        """
        spread = self.spread(times)
        return misclassified(self.clean.inputs, spread.ravel()).reshape(spread.shape)

    def _kinds(self) -> tuple[Array, Array, Array]:
        """Return fractions of the noise, K_a and K_w: linear, constant, quadratic (kinds,)."""
        across = self.clean.inputs - 1
        square = mean_cosine(across) ** 2
        constant = 0.5 * across * square
        quadratic = constant * (across - 1) * (across + 2) / (2.0 * (across + 1) ** 2)
        fractions = np.asarray([0.5, constant, quadratic])
        output_kernel = np.asarray([1.0, across**2 * square, across**2 * square / (across + 1) ** 2])
        input_kernel = np.asarray([1.0, across * square, across * square * (2 * across + 1) / (across + 1) ** 2])
        return fractions, output_kernel, input_kernel

    def _variances(self, angles: Array) -> Array:
        """Return the variances (4, points) over that without training, at ascending angles (points,)."""
        clean, (fractions, output_kernel, input_kernel) = self.clean, self._kinds()
        inputs, begun = distribution_of(clean.distribution, clean.inputs, clean.radius), float(clean.centred)
        level = 2.0 * math.sqrt(clean.inputs) * clean.threshold / clean.alpha
        first = 0.5 * math.asinh(level / inputs.reach)
        last = min(float(angles[-1]) if angles.size else first, first + FURTHEST)

        def slope(gamma: float, state: Array) -> Array:
            """All numbers are times e^-gamma, so that none overflows; p is relative to its initial value if centred."""
            p, p_w, q, q_w = state.reshape(4, -1)
            rise = math.sinh(2.0 * gamma)
            fraction = float(inputs.mean_fraction(np.asarray(level / rise)))
            pull = (1.0 - fraction) / fraction
            own = pull * (output_kernel / rise + input_kernel / math.tanh(2.0 * gamma)) + 1.0
            cross = pull * input_kernel - 1.0
            source = begun * math.exp(-gamma)
            return np.concatenate([p_w - own * p, source - cross * p - p_w, q_w - own * q, -cross * q - q_w])

        kept = np.ones((len(fractions), angles.size))
        late = angles > first
        if late.any():
            places = np.minimum(angles[late], last)
            start, table = np.stack(_free(np.asarray(first), begun)), np.unique(places)
            solved = solve_ivp(
                slope, (first, last), np.repeat(start, len(fractions)), "LSODA", table, rtol=TOLERANCE, atol=1e-13
            )
            p, _, q, _ = solved.y.reshape(4, len(fractions), -1)[..., np.searchsorted(table, places)]
            free_p, _, free_q, _ = _free(places, begun)
            kept[:, late] = (p**2 + q**2) / (free_p**2 + free_q**2)
        rest = np.full((1, angles.size), 1.0 - fractions.sum())
        return np.concatenate([fractions[:, None] * kept, rest])


def _free(gamma: Array, begun: float) -> tuple[Array, Array, Array, Array]:
    """Return p, p_w, q, q_w without training, times e^-gamma."""
    even, odd = 0.5 * (1.0 + np.exp(-2.0 * gamma)), -0.5 * np.expm1(-2.0 * gamma)
    return even - begun * np.exp(-gamma), odd, odd, even
