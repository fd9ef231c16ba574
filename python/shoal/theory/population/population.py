"""Mean-field hinge classification from any initialisation that is symmetric about the teacher's axis.

| symbol | meaning | name | shape |
|---|---|---|---|
| a, w_par, w_perp | a node: output weight, weight along the teacher, length of those across | same | (nodes,) |
| q_i | fraction of a node in the population | ``weights`` | (nodes,) |
| d, alpha, h, beta | inputs, scale of the output, threshold of the hinge, rate | same | scalar |
| t | time of gradient flow | ``times`` | (times,) |

The nodes move by their own equations (:mod:`shoal.theory.population.moments`), driven by their common output.

Source: theory book, chapter 8; arXiv:2006.11209.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.integrate import solve_ivp

from shoal.base import checks
from shoal.theory.domains import MOST, between, bounded, size
from shoal.theory.population.flow import PopulationFlow, increasing_times
from shoal.theory.population.moments import PopulationMoments
from shoal.theory.population.starts import chi_points, normal_points, product

Array = NDArray[np.float64]

MOST_INPUTS, MOST_POINTS, MOST_NODES = 10**6, 1000, 10**6
"""The most inputs, Gauss points of one number, and nodes: with more, one velocity takes minutes."""
LONGEST = 1e6
"""Largest beta t, up to which explicit steps stay few."""


@dataclass(frozen=True, init=False, eq=False)
class MeanFieldPopulation:
    """A network of infinitely many nodes that learns a teacher's sign by the linear hinge, from other initialisations.

    The network f(x) = (alpha/M) sum_i a_i relu(w_i.x/sqrt d), M -> infinity, sees inputs x ~ N(0, I_d) with labels
    y = sign(w*.x) and follows, with U = [y f < h],

        a' = beta/sqrt d <U y relu(w.x)>,     w' = beta/sqrt d a <U y theta(w.x) x>.

    Every node here is a ring: all nodes of one a, one w_par = w.w*/abs(w*) and one length w_perp of the rest of
    w, whose direction is uniform across w*. Any initialisation whose distribution is symmetric under rotations about w*
    is a population of rings, and stays one. If it is also symmetric under (a, w_par) -> (-a, -w_par), the output is
    odd, w_perp stays and `MeanFieldHinge` has the solution in closed form; here it need not be.

    Parameters
    ----------
    a
        (nodes,) float, output weights at time 0; they and ``w_par`` at most 1e100 in magnitude.
    w_par
        (nodes,) float, weights along the teacher.
    w_perp
        (nodes,) float, lengths of the weights across the teacher, 0 to 1e100: about sqrt(d - 1) for standard normal
        weights.
    weights
        (nodes,) float, positive: what fraction of the population a node is, up to a common factor. Equal when left out.
    inputs
        d, from 2 to 1,000,000.
    alpha, threshold, beta
        Scale of the output, threshold h of the hinge, and rate; from 1e-100 to 1e100.

    Raises
    ------
    TypeError
        An argument is not a number or array of numbers.
    ValueError
        An argument is out of the range above, shapes differ, or a node has w_par = w_perp = 0 and no direction.

    Notes
    -----
    Exact, for any d: the reduction to rings, and the average over abs(x), which is a closed form. By quadrature: the
    average over the angle between x and the teacher. Kinks that single nodes make in the output are rounded off by it:
    at most 2e-7 of the largest weight at d = 2, 6e-9 at d = 3, 1e-10 from d = 5 on, in all cases measured
    (theory book, chapter 8).

    Cost: some tenths of a second once for each d; then 1 or 2 ms a velocity for up to 1,000 nodes, in proportion
    beyond, and some 200 to 500 velocities up to t = 20. At large alpha the even part of the output relaxes fast, which
    holds the time step down. Memory: some megabytes.

    Source: formulas (8.2) and (8.3) of the theory book; arXiv:2006.11209 for the mean-field limit.

    Examples
    --------
    All output weights are +1: the output starts positive everywhere, and one class has to be unlearnt.

    >>> flow = MeanFieldPopulation.fixed(10, (1.0,)).solve([0.0, 4.0, 16.0, 64.0])
    >>> flow.error.round(4)
    array([0.5   , 0.5   , 0.1679, 0.0024])
    >>> flow.unsatisfied.round(4)
    array([1.    , 0.9808, 0.7413, 0.2272])
    """

    a: Array
    w_par: Array
    w_perp: Array
    weights: Array
    inputs: int
    alpha: float
    threshold: float
    beta: float

    def __init__(
        self,
        a: ArrayLike,
        w_par: ArrayLike,
        w_perp: ArrayLike,
        weights: ArrayLike | None = None,
        *,
        inputs: int,
        alpha: float = 1.0,
        threshold: float = 1.0,
        beta: float = 1.0,
    ) -> None:
        """Check every argument; the class says what is allowed."""
        nodes = checks.real_array("a", a, dimensions=1, shape="(nodes,)")
        given = {"a": nodes}
        fractions = np.ones(len(nodes)) if weights is None else weights
        for name, values in (("w_par", w_par), ("w_perp", w_perp), ("weights", fractions)):
            given[name] = checks.real_array(name, values, dimensions=1, shape="(nodes,)")
            if given[name].shape != nodes.shape:
                raise ValueError(f"{name} must have one number per node, {len(nodes)}, got {len(given[name])}")
        if (given["w_perp"] < 0).any():
            raise ValueError(f"w_perp must not be negative, got {given['w_perp'].min()}")
        if not (given["weights"] > 0).all():
            raise ValueError(f"weights must be positive, got {given['weights'].min()}")
        idle = (given["w_par"] == 0) & (given["w_perp"] == 0)
        if idle.any():
            raise ValueError(
                f"w_par and w_perp must not both be 0, got a node without direction, {int(np.argmax(idle))}"
            )
        for name, array in given.items():
            between(name, array, -MOST, MOST)
            object.__setattr__(self, name, array)
        object.__setattr__(self, "inputs", checks.integer("inputs", inputs, least=2, most=MOST_INPUTS))
        for name, value in (("alpha", alpha), ("threshold", threshold), ("beta", beta)):
            object.__setattr__(self, name, size(name, value))

    @classmethod
    def gaussian(
        cls,
        inputs: int,
        *,
        mean: tuple[float, float] = (0.0, 0.0),
        std: tuple[float, float] = (1.0, 1.0),
        correlation: float = 0.0,
        points: tuple[int, int, int] = (16, 16, 8),
        alpha: float = 1.0,
        threshold: float = 1.0,
        beta: float = 1.0,
    ) -> MeanFieldPopulation:
        """Return a population with normal a and w, on Gauss points.

        Parameters
        ----------
        inputs
            d, from 2 to 1,000,000.
        mean
            Of a, and of w along the teacher (so that w has the mean ``mean[1]`` w*/abs(w*)).
        std
            Standard deviations of a and of each weight in w, positive.
        correlation
            Between a and w_par, in (-1, 1).
        points
            Gauss points for a, w_par and w_perp, each from 1 to 1000; their product, the number of nodes, is at most
            1,000,000. (Nodes of a weight below the doubles are left out.)
        alpha, threshold, beta
            As for the class.

        Raises
        ------
        TypeError
            An argument is not a number.
        ValueError
            An argument is out of the range above.

        Notes
        -----
        Source: theory book, chapter 8.
        """
        freedom = checks.integer("inputs", inputs, least=2, most=MOST_INPUTS) - 1
        a_mean, w_mean = (bounded(f"mean[{i}]", value) for i, value in enumerate(_several("mean", mean, "two")))
        a_std, w_std = (size(f"std[{i}]", value) for i, value in enumerate(_several("std", std, "two")))
        tilt = checks.real("correlation", correlation)
        if not -1 < tilt < 1:
            raise ValueError(f"correlation must lie between -1 and 1, both excluded, got {tilt}")
        number = _points(points, "three")
        rules = normal_points(number[0]), normal_points(number[1]), chi_points(number[2], freedom)
        (one, two, length), probabilities = product(*rules)
        w_par = w_mean + w_std * (tilt * one + np.sqrt(1.0 - tilt**2) * two)
        return cls(
            a_mean + a_std * one,
            w_par,
            w_std * length,
            probabilities,
            inputs=inputs,
            alpha=alpha,
            threshold=threshold,
            beta=beta,
        )

    @classmethod
    def fixed(
        cls,
        inputs: int,
        values: ArrayLike,
        *,
        mean: float = 0.0,
        std: float = 1.0,
        points: tuple[int, int] = (32, 8),
        alpha: float = 1.0,
        threshold: float = 1.0,
        beta: float = 1.0,
    ) -> MeanFieldPopulation:
        """Return a population with few values of a, all equally frequent, and normal w independent of a.

        Parameters
        ----------
        inputs
            d, from 2 to 1,000,000.
        values
            (values,) float, of a: ``(1.0,)`` for output weights of one sign, ``(-1.0, 1.0)`` for those of one size.
        mean
            Of w along the teacher.
        std
            Standard deviation of each weight in w, positive.
        points
            Gauss points for w_par and w_perp, each from 1 to 1000.
        alpha, threshold, beta
            As for the class.

        Raises
        ------
        TypeError
            An argument is not a number.
        ValueError
            An argument is out of the range above.

        Notes
        -----
        Source: theory book, chapter 8.
        """
        freedom = checks.integer("inputs", inputs, least=2, most=MOST_INPUTS) - 1
        sizes = checks.real_array("values", values, dimensions=1, shape="(values,)")
        between("values", sizes, -MOST, MOST)
        centre, width = bounded("mean", mean), size("std", std)
        number = _points(points, "two")
        rules = (sizes, np.ones(len(sizes))), normal_points(number[0]), chi_points(number[1], freedom)
        (a, w_par, length), probabilities = product(*rules)
        return cls(
            a,
            centre + width * w_par,
            width * length,
            probabilities,
            inputs=inputs,
            alpha=alpha,
            threshold=threshold,
            beta=beta,
        )

    def solve(self, times: ArrayLike, *, rtol: float = 1e-10, refine: int = 1) -> PopulationFlow:
        """Return where the nodes are at given times, and with them the output, loss and error.

        Parameters
        ----------
        times
            (times,) float64, not negative, increasing, the last at most 1e6 / beta.
        rtol
            Relative error of a time step, from 1e-13 to 0.1. The absolute one is 1e-2 of it, in units of the
            largest weight.
        refine
            How much finer than usual the angles are, 1 to 1000; a result that changes with it is not resolved.

        Raises
        ------
        TypeError
            An argument is not a number.
        ValueError
            An argument is out of the range above.
        RuntimeError
            The integration stopped before the last time; the message says why.

        Notes
        -----
        a^2 - w_par^2 - w_perp^2 of each node is constant: how far it moves is a check on the time steps.

        Source: formulas (8.3) and (8.7) of the theory book.
        """
        wanted = increasing_times(times)
        if not 1e-13 <= checks.real("rtol", rtol) <= 0.1:
            raise ValueError(f"rtol must lie from 1e-13 to 0.1, got {rtol}")
        if self.beta * wanted[-1] > LONGEST:
            raise ValueError(
                f"times must make beta x time at most {LONGEST:g}, got {wanted[-1]:g} with beta = {self.beta:g}"
            )
        checks.integer("refine", refine, least=1, most=1000)
        fractions = self.weights / self.weights.sum()
        moments = PopulationMoments(fractions, self.inputs, self.alpha, self.threshold, refine)
        start, rate = np.stack([self.a, self.w_par, self.w_perp]), self.beta / np.sqrt(self.inputs)

        def slope(_: float, state: Array) -> Array:
            return np.asarray(rate * moments.velocity(state.reshape(start.shape)).ravel(), dtype=np.float64)

        states = np.repeat(start.reshape(-1, 1), len(wanted), axis=1)
        if wanted[-1] > 0:
            found = solve_ivp(
                slope,
                (0.0, wanted[-1]),
                start.ravel(),
                method="DOP853",
                t_eval=wanted,
                rtol=rtol,
                atol=1e-2 * rtol * np.abs(start).max(),
            )
            if not found.success:
                raise RuntimeError(f"the integration stopped before the last of the times: {found.message}")
            states = found.y
        a, w_par, w_perp = states.reshape(*start.shape, len(wanted))
        return PopulationFlow(wanted, a, w_par, np.abs(w_perp), moments)


def _points(points: object, count: str) -> list[int]:
    """Return the number of Gauss points for each random number."""
    number = [
        checks.integer(f"points[{i}]", value, least=1, most=MOST_POINTS)
        for i, value in enumerate(_several("points", points, count))
    ]
    if math.prod(number) > MOST_NODES:
        raise ValueError(f"points must make at most {MOST_NODES} nodes, got {math.prod(number)}")
    return number


def _several(name: str, values: object, count: str) -> list[Any]:
    """Return ``values`` when there are as many as ``count`` says."""
    given = checks.sequence(name, values, f"{count} numbers")
    if len(given) != {"two": 2, "three": 3}[count]:
        raise ValueError(f"{name} must have {count} numbers, got {len(given)}")
    return given
