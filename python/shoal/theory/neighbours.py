"""Formulas of neighbouring papers: deep linear modes, discrete steps, incremental learning, directions of growth.

| symbol | meaning | name | shape |
|---|---|---|---|
| u(t) | strength of a mode, the product of its layers | - | as ``times`` |
| s | strength that fits the data | ``target`` | scalar |
| L, N | weight layers | ``depth`` | scalar |
| tau | time constant | ``constant`` | scalar |
| eta | learning rate times p rho | ``rate`` | scalar |
| u_-, u_+ | cycle of two of descent | - | scalars |
| w_hat | separator of least norm with all margins at least 1 | ``separator`` | (d,) |

Source: theory book, chapter 9.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shoal.base import checks
from shoal.base.checks import real_numbers
from shoal.theory.domains import MOST, between, bounded, count, size
from shoal.theory.mode import Mode
from shoal.theory.shortest import shortest

Array = NDArray[np.float64]

MOST_NUMBERS = 10**8
"""Numbers that descent by steps returns at most: 0.8 GB."""


def linear_mode(times: ArrayLike, start: float, target: float, depth: int = 2, constant: float = 1.0) -> Array:
    """Return the strength u(t) of one mode of a balanced deep linear network: tau u' = L u^(2-2/L) (s - u).

    Squared loss and whitened inputs; ``target`` s is a singular value of the correlation between input and output. At
    depth 2, u = s e^(2st/tau)/(e^(2st/tau) - 1 + s/u_0).

    Parameters
    ----------
    times
        Any shape, float64, not negative.
    start
        u_0, positive, below or above the target (for depth 1 of any sign).
    target
        s, from 1e-100 to 1e100, and so s^(2 - 2/L)/tau.
    depth
        L, at least 1.
    constant
        tau, from 1e-100 to 1e100; 1/rate of a gradient flow in units in which time is rate x steps.

    Returns
    -------
    ndarray of float64, shape of ``times``

    Raises
    ------
    TypeError
        An argument is not a number.
    ValueError
        An argument is out of the range above.

    Notes
    -----
    u/s is the margin of :class:`Mode` under the squared loss, with p rho^(2/L) = s^(2-2/L)/tau.

    Source: formula (9.1) of the theory book; arXiv:1312.6120.

    Examples
    --------
    >>> linear_mode([0.0, 1.0, 4.0], start=0.01, target=2.0).round(6)
    array([0.01    , 0.430588, 1.999955])
    """
    mode, goal = _mode(start, target, depth, constant)
    return np.asarray(goal * mode.margin(times), dtype=np.float64)


def learning_time(level: ArrayLike, start: float, target: float, depth: int = 2, constant: float = 1.0) -> Array:
    """Return the time at which :func:`linear_mode` has the strength ``level`` (any shape), infinite if never.

    From a small initialisation it is about (tau/(2s)) ln(1/u_0) at depth 2 and (tau/((L-2) s)) u_0^-(1-2/L) beyond. By
    then another mode, s_2 < s, of equal initialisation has only come to the order of u_0^(1 - s_2/s) at depth 2, and to
    u_0 (1 - s_2/s)^-(L/(L-2)) beyond: modes are learnt one by one, and deeper networks need less small initialisations
    for it.

    Raises
    ------
    TypeError
        An argument is not a number.
    ValueError
        An argument is out of the range of :func:`linear_mode`, or a level lies behind the start.

    Notes
    -----
    Source: formulas (9.1), (9.2) and (9.4) of the theory book; arXiv:1312.6120, arXiv:1909.12051.

    Examples
    --------
    >>> float(learning_time(1.0, start=0.01, target=2.0).round(6))
    1.323326
    """
    mode, goal = _mode(start, target, depth, constant)
    levels, way = real_numbers("level", level), -1.0 if mode.start_margin > 1 else 1.0
    behind = ~(way * (levels / goal - mode.start_margin) >= 0)
    if behind.any():
        side = "at most" if way < 0 else "at least"
        raise ValueError(f"level must be {side} start, {float(start)}, got {levels[behind].flat[0]}")
    return mode.time(levels / goal)


def power_mode(times: ArrayLike, start: float, target: float, depth: int = 2) -> Array:
    """Return w(t) of the model w = u^N, u' = -dl/du with l = (w - w*)^2/2: w' = N^2 w^(2-2/N) (w* - w).

    The model of incremental learning: one parameter per mode and not one per layer, so that time runs N times as fast
    as in :func:`linear_mode` with tau = 1.

    Parameters
    ----------
    times
        Any shape, float64, not negative.
    start, target
        w(0) and w*, positive.
    depth
        N, at least 1.

    Returns
    -------
    ndarray of float64, shape of ``times``

    Raises
    ------
    TypeError
        An argument is not a number.
    ValueError
        An argument is out of the range above.

    Notes
    -----
    Source: formula (9.3) of the theory book; arXiv:1909.12051.

    Examples
    --------
    >>> power_mode([0.0, 1.0], start=0.01, target=2.0, depth=3).round(6)
    array([0.01    , 1.998823])
    """
    layers = count("depth", depth)
    return linear_mode(times, start, target, layers, 1.0 / layers)


def descend_mode(start: ArrayLike, target: float, rate: float, steps: int) -> Array:
    """Return u after 0, 1, .., ``steps`` steps of u <- u (1 + eta (s - u))^2, exact for gradient descent.

    Two balanced layers a = z of one mode, u = a z: descent on (s - u)^2/2 takes a to a (1 + eta (s - u)), and z with
    it. For a network of :func:`shoal.train` with squared loss, u is the margin, s = 1 and eta = rate p rho.

    Parameters
    ----------
    start
        u_0, any shape, float64, from 0 to 1e100.
    target
        s, at most 1e100 in magnitude.
    rate
        eta, from 1e-100 to 1e100.
    steps
        Number of steps, not negative, and so few that at most 100,000,000 numbers are returned.

    Returns
    -------
    ndarray of float64, (steps + 1, *shape of ``start``)
        Infinite from where descent diverges beyond the doubles.

    Raises
    ------
    TypeError
        An argument is not a number.
    ValueError
        An argument is out of the range above.

    Notes
    -----
    u converges to s when |1 - 2 eta s| < 1.

    Source: formulas (9.5) and (9.6) of the theory book; arXiv:1904.13262.

    Examples
    --------
    >>> descend_mode(0.5, target=1.0, rate=0.5, steps=2).round(6)
    array([0.5     , 0.78125 , 0.961494])
    """
    first = between("start", start, 0.0, MOST)
    goal, eta = bounded("target", target), size("rate", rate)
    number = checks.integer("steps", steps, least=0, most=MOST_NUMBERS // max(1, first.size) - 1)
    states = np.empty((number + 1, *first.shape))
    states[0] = first
    # The map has no closed form: its iterates are the formula. Where they diverge they end at infinity.
    with np.errstate(over="ignore"):
        for step in range(number):
            factor = 1.0 + eta * (goal - states[step])
            states[step + 1] = states[step] * factor * factor
    return states


def descend_cycle(target: float, rate: float) -> tuple[float, float]:
    """Return the two strengths, the smaller first, between which :func:`descend_mode` alternates at larger rates.

    u = (s + 1/eta -+ sqrt((s + 1/eta)^2 - 4/eta^2))/2: their sum is s + 1/eta, their product 1/eta^2. Both are s at
    eta s = 1. Other orbits come to the cycle while 1 < eta s < sqrt(5) - 1.

    Parameters
    ----------
    target
        s, from 1e-100 to 1e100.
    rate
        eta, from 1e-100 to 1e100, and eta s from 1 to 1e100.

    Raises
    ------
    TypeError
        An argument is not a number.
    ValueError
        An argument is out of the range above.

    Notes
    -----
    Source: formula (9.21) of the theory book.

    Examples
    --------
    >>> tuple(round(each, 6) for each in descend_cycle(1.0, rate=1.2))
    (0.534785, 1.298548)
    """
    goal, eta = size("target", target), size("rate", rate)
    product = size("rate times target", eta * goal)
    if product < 1:
        raise ValueError(f"rate times target must be at least 1, got {product:g}")
    # (eta s + 1)^2 - 4 = (eta s - 1)(eta s + 3); the smaller root from their product, which loses no digits.
    larger = (product + 1 + np.sqrt((product - 1) * (product + 3))) / 2
    return float(1 / larger / eta), float(larger / eta)


def exponential_weight(times: ArrayLike, start: float, norm: float = 1.0, frequency: float = 1.0) -> Array:
    """Return the weight w(t) of one linear unit on one input under the exponential loss: w' = p rho e^(-rho w).

    w = ln(p rho^2 t + e^(rho w_0))/rho: it grows like ln t and the loss falls like 1/t. With rho = p = 1, w =
    ln(t + e^w_0).

    Parameters
    ----------
    times
        Any shape, float64, not negative.
    start
        w_0; its product with the norm at most 1e100 in magnitude.
    norm, frequency
        rho and p, from 1e-100 to 1e100.

    Returns
    -------
    ndarray of float64, shape of ``times``

    Raises
    ------
    TypeError
        An argument is not a number.
    ValueError
        An argument is out of the range above.

    Notes
    -----
    Source: formula (9.9) of the theory book; arXiv:1710.10345.

    Examples
    --------
    >>> exponential_weight([0.0, 100.0], start=0.0).round(6)
    array([0.      , 4.615121])
    """
    length, begin = size("norm", norm), bounded("start", start)
    if abs(length * begin) > MOST:
        raise ValueError(f"start times norm must lie within {MOST:g} of 0, got start={begin:g}, norm={length:g}")
    mode = Mode(length, frequency, length * begin, depth=1, loss="exponential")
    return np.asarray(mode.margin(times) / length, dtype=np.float64)


def separator(inputs: ArrayLike, labels: ArrayLike) -> Array:
    """Return the shortest w_hat (d,) float64 with y_s w_hat.x_s >= 1 for all samples.

    The direction of a linear unit trained with an exponential tail: w(t) = w_hat ln t + O(1) for almost all data, and
    the exponential loss is |w_hat|^2/t + o(1/t), whatever the weights of the samples and the initialisation. 1/|w_hat|
    is the margin of the data.

    Parameters
    ----------
    inputs
        (samples, d) float64.
    labels
        (samples,) of -1/+1.

    Raises
    ------
    TypeError
        Something in an argument is not a real number.
    ValueError
        Shapes that do not fit, other labels, or samples that no w separates.

    Notes
    -----
    In exact arithmetic: no tolerance decides whether a w exists, and w_hat is right to rounding. Cost: about that of a
    thousand products of all inputs with w; where samples at the margin depend on each other or nearly so, some k^3
    operations on integers of 100 k digits for k of them, a second at k = 30.

    Source: formulas (9.7) and (9.8) of the theory book; arXiv:1710.10345.

    Examples
    --------
    >>> separator([[1.0, 1.0], [-1.0, 1.0], [0.0, 5.0]], [1, 1, 1]).round(12) + 0.0
    array([0., 1.])
    """
    points = checks.real_array("inputs", inputs, dimensions=2, shape="(samples, d)")
    signs = checks.real_array("labels", labels, dimensions=1, shape="(samples,)")
    if len(signs) != len(points) or not np.isin(signs, (-1.0, 1.0)).all():
        raise ValueError(f"labels must be {len(points)} values of -1 and +1, got shape {signs.shape}")
    signed = points * signs[:, None]
    if not signed.any():
        raise ValueError("inputs must be separable: they are all zero")
    try:
        direction = shortest(signed)
    except OverflowError as error:
        raise ValueError("inputs must not be so small that w_hat exceeds the largest double") from error
    if direction is None:
        raise ValueError("inputs must be separable: no w has y w.x > 0 on every sample")
    return direction


def _mode(start: float, target: float, depth: int, constant: float) -> tuple[Mode, float]:
    """Return the mode whose margin is u/s, and s."""
    goal, tau = size("target", target), size("constant", constant)
    layers, first = count("depth", depth), bounded("start", start)
    if first <= 0 and layers > 1:
        raise ValueError(f"start must be positive when depth > 1, got {first}")
    pace = size("target^(2 - 2/depth) / constant", goal ** (2.0 - 2.0 / layers) / tau)
    return Mode(norm=1.0, frequency=pace, start_margin=first / goal, depth=layers, loss="squared"), goal
