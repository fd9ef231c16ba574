"""The shortest w with y w.x >= 1 on every sample, in exact arithmetic.

| symbol | meaning | name | shape |
|---|---|---|---|
| A | rows y_s x_s, as integers | ``rows`` | (samples, d) |
| lambda | multipliers, not negative; w = A^T lambda | ``factors`` | (support,) |
| S | support: the samples whose multiplier is positive | ``support`` | - |

Floats are integers times a power of two, so that all of this is integer arithmetic. No tolerance has to decide whether
a w exists, nor how far a sample is from the margin.

Source: theory book, chapter 9.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular
from scipy.optimize import nnls

Array = NDArray[np.float64]
Integers = NDArray[np.object_]
Factors = dict[int, Fraction]

BITS, TIGHT, ROUNDS = 400, 120, 12
"""Binary digits of multipliers and of their residual, and the most corrections by floats."""


def shortest(signed: Array) -> Array | None:
    """Return the shortest w (d,) with signed @ w >= 1, each component rounded once; None where there is none.

    Lawson and Hanson's active set for min |A^T lambda|^2 / 2 - sum(lambda) over lambda >= 0.

    Parameters
    ----------
    signed
        (samples, d) float64, finite.

    Raises
    ------
    OverflowError
        A component exceeds the largest double.
    """
    rows, unit = _integers(signed)
    one = unit * unit  # 1 in units of the products of two rows
    support = _guess(signed)
    refined = _refine(rows, one, signed, support)
    if refined is not None:
        return np.asarray([float(Fraction(int(number), unit << BITS)) for number in refined], dtype=np.float64)
    solution = _solve(rows, one, support)
    factors: Factors = {}
    if isinstance(solution, list) and all(number > 0 for number in solution):
        factors = dict(zip(support, solution, strict=True))
    while True:
        w, common = _combination(rows, factors)
        short = one * common - rows @ w
        worst = int(np.argmax(short))
        if short[worst] <= 0:
            # Each row is a sample times ``unit``.
            return np.asarray([float(Fraction(int(number), common * unit)) for number in w], dtype=np.float64)
        factors[worst] = Fraction(0)
        if not _settle(rows, one, factors):
            return None


def _integers(values: Array) -> tuple[Integers, int]:
    """Return ``values`` times a power of two as Python integers, and that power."""
    ratios = [[float(value).as_integer_ratio() for value in row] for row in values]
    unit = max(over for row in ratios for _, over in row)
    scaled = [[number * (unit // over) for number, over in row] for row in ratios]
    whole = np.empty(values.shape, dtype=object)
    whole[...] = scaled
    return whole, unit


def _combination(rows: Integers, factors: Factors) -> tuple[Integers, int]:
    """Return sum_s lambda_s a_s as integers over a common denominator."""
    common = math.lcm(*(factor.denominator for factor in factors.values()))
    w = np.zeros(rows.shape[1], dtype=object)
    for sample, factor in factors.items():
        w = w + rows[sample] * int(factor * common)
    return w, common


def _guess(signed: Array) -> list[int]:
    """Return the support found in floats: that of the nonnegative factors of (y x, 1) that come nearest to (0, 1)."""
    cone = np.vstack([signed.T / np.abs(signed).max(), np.ones(len(signed))])
    try:
        found, _ = nnls(cone, np.append(np.zeros(signed.shape[1]), 1.0))
    except RuntimeError:  # too many steps
        return []
    return [int(sample) for sample in np.flatnonzero(found)]


def _refine(rows: Integers, one: int, signed: Array, support: list[int]) -> Integers | None:
    """Return w in units of 2^-BITS if the guess is certainly the support, at far less cost than the exact solution.

    Multipliers of BITS binary digits are corrected by floats until their exact residual is below 2^-TIGHT. If then all
    are positive and all other samples have margins above 1, |w| is within 2^(2 - TIGHT) of the least, which bounds the
    distance to w_hat by 2^(1 - TIGHT/2) of its length.
    """
    size = float(np.abs(signed).max())
    scale = 2.0 ** -np.floor(np.log2(size)) if 1e-100 < size < 1e100 else 0.0
    triangle = np.linalg.qr(signed[support].T * scale, mode="r") if support else np.zeros((0, 0))
    if not scale or not len(triangle) == len(support) or not (np.abs(np.diag(triangle)) > 1e-7).all():
        return None
    chosen, whole = rows[support], one << BITS
    factors, short = np.zeros(len(support), dtype=object), np.full(len(support), whole, dtype=object)
    for _ in range(ROUNDS):
        wanted = np.asarray([float(Fraction(int(number), whole)) for number in short])
        change = solve_triangular(triangle, solve_triangular(triangle, wanted, trans="T")) * scale**2
        factors = factors + np.asarray(
            [round(Fraction(float(number)) * (1 << BITS)) for number in change], dtype=object
        )
        w = factors @ chosen
        short = whole - chosen @ w
        if max(abs(number) for number in short) < whole >> TIGHT:
            others = np.delete(rows, support, axis=0) @ w
            sure = all(number > 0 for number in factors) and all(number >= whole for number in others)
            return w if sure else None
    return None


def _settle(rows: Integers, one: int, factors: Factors) -> bool:
    """Move ``factors`` to the minimum on their support, without the samples that leave it; False if there is none."""
    while True:
        support = list(factors)
        solution = _solve(rows, one, support)
        if isinstance(solution, list):
            if all(number > 0 for number in solution):
                factors.update(zip(support, solution, strict=True))
                return True
            change = [new - factors[sample] for sample, new in zip(support, solution, strict=True)]
        else:
            # A^T maps this direction to 0 while the sum grows, because the added sample is short of its margin.
            change = solution[0] if sum(solution[0]) > 0 else [-number for number in solution[0]]
            if all(number >= 0 for number in change):
                return False
        steps = [factors[sample] / -move for sample, move in zip(support, change, strict=True) if move < 0]
        step = min(steps)
        for sample, move in zip(support, change, strict=True):
            factors[sample] += step * move
            if factors[sample] == 0:
                del factors[sample]


def _solve(rows: Integers, one: int, support: list[int]) -> list[Fraction] | tuple[list[Fraction]]:
    """Return lambda with A_S A_S^T lambda = 1; if A_S^T has a kernel, a vector of it, in a tuple.

    It uses Bareiss's elimination, whose divisions leave no remainder.
    """
    count = len(support)
    chosen = rows[support]
    table: NDArray[Any] = np.empty((count, count + 1), dtype=object)
    table[:, :count] = chosen @ chosen.T
    table[:, count] = one
    previous = 1
    for k in range(count):
        pivot = table[k, k]  # a determinant of a Gram matrix: 0 where row k depends on those before it, never negative
        if pivot == 0:
            return (_back(table[:k, :k], -table[:k, k]) + [Fraction(1)] + [Fraction(0)] * (count - k - 1),)
        for i in range(k + 1, count):
            table[i, k + 1 :] = (table[i, k + 1 :] * pivot - table[i, k] * table[k, k + 1 :]) // previous
            table[i, k] = 0
        previous = pivot
    return _back(table[:, :count], table[:, count])


def _back(triangle: NDArray[Any], right: NDArray[Any]) -> list[Fraction]:
    solution: list[Fraction] = []
    for k in range(len(right) - 1, -1, -1):
        known = sum((int(triangle[k, k + 1 + i]) * number for i, number in enumerate(solution)), Fraction(0))
        solution.insert(0, (int(right[k]) - known) / int(triangle[k, k]))
    return solution
