"""Gradient descent beside a minimum: its steps along an eigenvector of the Hessian, and the edge of stability.

| symbol | meaning | name | shape |
|---|---|---|---|
| lambda | eigenvalue of the Hessian; the largest is the sharpness | ``sharpness`` | scalar |
| eta, beta | learning rate, momentum | ``rate``, ``momentum`` | scalar |
| x_k | distance from the minimum after k steps | :func:`descend_quadratic` | (steps + 1,) |
| lambda_max | sharpness up to which descent is stable | :func:`stable_sharpness` | scalar |

Source: chapter 9 of the theory book.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from shoal.base import checks
from shoal.theory.domains import size

__all__ = ["descend_quadratic", "stable_sharpness"]


def stable_sharpness(rate: float, momentum: float = 0.0, *, nesterov: bool = False) -> float:
    """Return the sharpness up to which gradient descent is stable beside a minimum: 2/rate without momentum.

    2 (1 + beta)/eta with heavy-ball momentum, 2 (1 + beta)/(eta (1 + 2 beta)) with Nesterov's. Beyond, the distance
    from the minimum along the sharpest direction changes sign at each step and grows.

    Parameters
    ----------
    rate
        eta, the learning rate, from 1e-100 to 1e100.
    momentum
        beta, from 0 to 1, without 1.
    nesterov
        Whether the momentum is Nesterov's, as in ``GradientDescent``.

    Raises
    ------
    TypeError
        An argument has another type.
    ValueError
        An argument is out of the range above; ``nesterov`` without momentum.

    Notes
    -----
    Source: Cohen et al. 2021, arXiv:2103.00065; formula (9.40) of the theory book.

    Examples
    --------
    >>> stable_sharpness(0.1), stable_sharpness(0.1, 0.5), stable_sharpness(0.1, 0.5, nesterov=True)
    (20.0, 30.0, 15.0)
    """
    eta, beta = _method(rate, momentum, nesterov)
    edge = 2 * (1 + beta)
    return edge / (1 + 2 * beta) / eta if nesterov else edge / eta


def descend_quadratic(
    start: float, sharpness: float, rate: float, steps: int, momentum: float = 0.0, *, nesterov: bool = False
) -> NDArray[np.float64]:
    """Return what gradient descent makes of the loss sharpness x^2/2 from ``start``, (steps + 1,) float64.

    x_{k+1} = (1 - c) x_k + b (x_k - x_{k-1}) with c = eta lambda, and b = beta with heavy-ball momentum, beta (1 - c)
    with Nesterov's. The first step is x_1 = (1 - c) x_0, with Nesterov's (1 - (1 + beta) c) x_0.

    Parameters
    ----------
    start
        x_0, finite.
    sharpness
        lambda, from 1e-100 to 1e100.
    rate
        eta, from 1e-100 to 1e100.
    steps
        Not negative.
    momentum, nesterov
        As in :func:`stable_sharpness`.

    Raises
    ------
    TypeError
        An argument has another type.
    ValueError
        An argument is out of the range above; ``nesterov`` without momentum.

    Notes
    -----
    Source: formula (9.39) of the theory book.

    Examples
    --------
    >>> descend_quadratic(1.0, sharpness=2.0, rate=0.75, steps=3).tolist()
    [1.0, -0.5, 0.25, -0.125]
    """
    eta, beta = _method(rate, momentum, nesterov)
    pull = eta * size("sharpness", sharpness)
    steps = checks.integer("steps", steps, least=0)
    back = beta * (1 - pull) if nesterov else beta
    found = np.empty(steps + 1)
    found[0] = checks.real("start", start)
    for step in range(steps):
        if step == 0:
            found[1] = (1 - (1 + beta if nesterov else 1) * pull) * found[0]
        else:
            found[step + 1] = (1 - pull) * found[step] + back * (found[step] - found[step - 1])
    return found


def _method(rate: float, momentum: float, nesterov: bool) -> tuple[float, float]:
    eta, beta = size("rate", rate), checks.not_negative("momentum", momentum)
    if beta >= 1:
        raise ValueError(f"momentum must be below 1, got {beta:g}")
    if checks.flag("nesterov", nesterov) and beta == 0:
        raise ValueError("nesterov needs a momentum above 0, got 0")
    return eta, beta
