"""Starvation of one feature by another: formulas in the strengths alone, without time.

| symbol | meaning | name | shape |
|---|---|---|---|
| u_1 | strength of the strong or frequent feature | ``strength`` | any |
| u_2 | strength of the other one | returned | as ``strength`` |
| u_10, u_20 | strengths at initialisation | ``starts`` | (2,) |
| rho_1, rho_2 | norms | ``norms`` | (2,) |
| lambda | fraction of the samples with feature 1 that carry feature 2 as well | ``fraction`` | scalar |
| N | weight layers, gamma = 1 - 2/N | ``depth`` | scalar |

Source: theory book, chapter 6.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shoal.base import checks
from shoal.base.checks import real_numbers
from shoal.theory.domains import bounded, count, size

Array = NDArray[np.float64]


def starved_strength(
    strength: ArrayLike,
    starts: ArrayLike,
    norms: ArrayLike = (1.0, 1.0),
    fraction: float = 1.0,
    depth: int = 2,
) -> Array:
    """Return the strength of feature 2 when feature 1 has reached ``strength``: exact, or an upper bound.

    Feature 1 is in every sample, feature 2 in a ``fraction`` of them, neurons are separate. With fraction 1 the value
    is exact at all times and for every loss; below 1 it is a bound from above, for every loss with a residual that does
    not grow with the margin. With c = fraction x (rho_2/rho_1)^(2/N)

        N = 1:  u_2 - u_20 = c (u_1 - u_10)
        N = 2:  u_2/u_20 = (u_1/u_10)^c
        N > 2:  u_20^-gamma - u_2^-gamma = c (u_10^-gamma - u_1^-gamma)

    and <= for = below fraction 1. Above depth 2 feature 2 stays below a ceiling however strong feature 1 becomes,
    ``strength=inf``, if c u_10^-gamma < u_20^-gamma.

    Parameters
    ----------
    strength
        u_1, any shape, float64, not below its initial value; infinity gives the limit.
    starts
        (2,) u_10 and u_20; positive where depth > 1, u_20 >= 0 at depth 1.
    norms
        (2,) rho_1 and rho_2, from 1e-100 to 1e100.
    fraction
        lambda, above 0 and at most 1.
    depth
        Weight layers N, at least 1.

    Returns
    -------
    ndarray of float64, shape of ``strength``
        Infinite where the formula sets no ceiling that u_2 could not pass.

    Raises
    ------
    TypeError
        An argument is not a number.
    ValueError
        An argument is out of the range above.

    Notes
    -----
    With weight decay the formula does not hold; with spectral decoupling it does, at fraction 1.

    Source: formulas (6.6), (6.7), (6.8) and (6.9) of the theory book.

    Examples
    --------
    >>> float(starved_strength(10.0, starts=(0.001, 0.001), norms=(1.0, 0.5)).round(6))
    0.1
    >>> float(starved_strength(float("inf"), starts=(0.001, 0.001), norms=(1.0, 0.5), depth=4).round(6))
    0.011657
    """
    first = checks.real_array("starts", starts, dimensions=1, shape="(2,)")
    rho = checks.real_array("norms", norms, dimensions=1, shape="(2,)")
    for name, values in (("starts", first), ("norms", rho)):
        if len(values) != 2:
            raise ValueError(f"{name} must have shape (2,), got {values.shape}")
    if not (rho > 0).all():
        raise ValueError(f"norms must be positive, got {rho.tolist()}")
    rho = np.asarray([size("norms", length) for length in rho.tolist()])
    for strong in first.tolist():
        bounded("starts", strong)
    layers = count("depth", depth)
    if layers > 1 and not (first > 0).all():
        raise ValueError(f"starts must be positive when depth > 1, got {first.tolist()}")
    if first[1] < 0:
        raise ValueError(f"starts must have u_20 >= 0, got {first[1]}")
    fraction = checks.positive("fraction", fraction)
    if fraction > 1:
        raise ValueError(f"fraction must be at most 1, got {fraction}")
    u = real_numbers("strength", strength)
    if not (u >= first[0]).all():
        raise ValueError(f"strength must be at least its initialisation {first[0]}, got {u[~(u >= first[0])].flat[0]}")
    c = fraction * (rho[1] / rho[0]) ** (2.0 / layers)
    if layers == 1:
        return np.asarray(first[1] + c * (u - first[0]), dtype=np.float64)
    with np.errstate(over="ignore", divide="ignore"):
        climb = np.log(u) - np.log(first[0])
        if layers == 2:
            return np.asarray(first[1] * np.exp(c * climb), dtype=np.float64)
        gamma = 1.0 - 2.0 / layers
        left = 1.0 + c * (first[1] / first[0]) ** gamma * np.expm1(-gamma * climb)
        return np.asarray(first[1] * np.maximum(left, 0.0) ** (-1.0 / gamma), dtype=np.float64)
