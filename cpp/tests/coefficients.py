"""Print the minimax coefficients that elementary.hpp holds: `python cpp/tests/coefficients.py` (needs mpmath).

Remez exchange on the Chebyshev grid, in 60 digits. Each polynomial minimises the error relative to the function that it
is part of.
"""

from __future__ import annotations

from collections.abc import Callable

import mpmath as mp

mp.mp.dps = 60
Function = Callable[[mp.mpf], mp.mpf]


def remez(function: Function, weight: Function, low: float, high: float, degree: int) -> tuple[list[mp.mpf], mp.mpf]:
    """Coefficients (lowest first) of the polynomial that minimises max |weight * (p - function)|, and that maximum."""
    low, high = mp.mpf(low), mp.mpf(high)
    count = degree + 2
    nodes = [(low + high) / 2 + (high - low) / 2 * mp.cos(mp.pi * (count - 1 - i) / (count - 1)) for i in range(count)]
    coefficients: list[mp.mpf] = []
    worst = mp.mpf(0)
    for _ in range(12):
        matrix = mp.matrix(count, count)
        right = mp.matrix(count, 1)
        for i, x in enumerate(nodes):
            for j in range(degree + 1):
                matrix[i, j] = x**j
            matrix[i, degree + 1] = (-1) ** i / weight(x)
            right[i] = function(x)
        solution = mp.lu_solve(matrix, right)
        coefficients = [solution[j] for j in range(degree + 1)]

        def error(x: mp.mpf, c: list[mp.mpf] = coefficients) -> mp.mpf:
            return weight(x) * (mp.polyval(c[::-1], x) - function(x))

        grid = [low + (high - low) * i / 2000 for i in range(2001)]
        values = [error(x) for x in grid]
        extrema = [
            i
            for i in range(2001)
            if (i == 0 or abs(values[i]) >= abs(values[i - 1]) or values[i] * values[i - 1] < 0)
            and (i == 2000 or abs(values[i]) >= abs(values[i + 1]) or values[i] * values[i + 1] < 0)
        ]
        chosen: list[int] = []
        for i in extrema:
            if chosen and values[i] * values[chosen[-1]] > 0:
                if abs(values[i]) > abs(values[chosen[-1]]):
                    chosen[-1] = i
            else:
                chosen.append(i)
        worst = max(abs(v) for v in values)
        if len(chosen) < count:
            break
        while len(chosen) > count:
            chosen.pop(0 if abs(values[chosen[0]]) < abs(values[chosen[-1]]) else -1)
        nodes = [grid[i] for i in chosen]
    return coefficients, worst


def rational(
    function: Function, weight: Function, highest: float, degree: int
) -> tuple[list[mp.mpf], list[mp.mpf], mp.mpf]:
    """Coefficients (lowest first, the first 1) of the p and q that minimise max |weight * (p/q / function - 1)|.

    Both are polynomials of a degree in x^2, for x up to ``highest``. Least squares on the linearised quotient; Lawson's
    weights turn them into the smallest maximum, which is returned as well.
    """
    count, highest = 160, mp.mpf(highest)
    grid = [highest / 2 * (1 - mp.cos(mp.pi * (i + mp.mpf(0.5)) / count)) for i in range(count)]
    squares, values, below = [(x / highest) ** 2 for x in grid], [function(x) for x in grid], [mp.mpf(1)] * count
    lawson, best = [mp.mpf(1)] * count, ([], [], mp.inf)
    for _ in range(40):
        matrix, right = mp.matrix(count, 2 * degree), mp.matrix(count, 1)
        for i, (x, y, value) in enumerate(zip(grid, squares, values, strict=True)):
            factor = mp.sqrt(lawson[i]) * weight(x) / (value * below[i])
            for j in range(degree):
                matrix[i, j], matrix[i, degree + j] = factor * y ** (j + 1), -factor * value * y ** (j + 1)
            right[i] = factor * (value - 1)
        solution = mp.lu_solve(matrix.T * matrix, matrix.T * right)
        p, q = ([mp.mpf(1), *solution[first : first + degree]] for first in (0, degree))
        below = [mp.polyval(q[::-1], y) for y in squares]
        errors = [
            abs(weight(x) * (mp.polyval(p[::-1], y) / low / value - 1))
            for x, y, low, value in zip(grid, squares, below, values, strict=True)
        ]
        worst = max(errors)
        if worst < best[2]:
            best = *([c / highest ** (2 * j) for j, c in enumerate(found)] for found in (p, q)), worst
        lawson = [old * (error + worst / 1000) for old, error in zip(lawson, errors, strict=True)]
        mean = mp.fsum(lawson) / count
        lawson = [old / mean for old in lawson]
    return best


def show(name: str, fit: tuple[list[mp.mpf], mp.mpf]) -> None:
    """Print one table, highest power first, as Horner's rule reads it."""
    coefficients, worst = fit
    print(f"{name}: largest relative error {mp.nstr(worst, 3)}")
    print("    " + ", ".join(float(c).hex() for c in coefficients[::-1]))


def series(function: Function, limit: mp.mpf) -> Function:
    """Return the function with its removable singularity at 0 filled in by its limit."""
    return lambda x: limit if abs(x) < mp.mpf(10) ** -25 else function(x)


half_log2 = mp.log(2) / 2 * mp.mpf("1.0001")
exp_tail = series(lambda r: (mp.expm1(r) - r) / r**2, mp.mpf(1) / 2)
atanh_tail = series(lambda q: (mp.atanh(mp.sqrt(q)) / mp.sqrt(q) - 1) / q, mp.mpf(1) / 3)
edge = ((mp.sqrt(2) - 1) / (mp.sqrt(2) + 1)) ** 2 * mp.mpf("1.0001")
half_pi = mp.pi / 2
erf_edge = mp.mpf("0.9")
erf_ratio = series(lambda q: mp.erf(mp.sqrt(q)) / mp.sqrt(q) - 1, 2 / mp.sqrt(mp.pi) - 1)
sin_ratio = series(lambda q: mp.sin(half_pi * mp.sqrt(q)) / mp.sqrt(q), half_pi)
cos_tail = series(lambda q: (mp.cos(half_pi * mp.sqrt(q)) - 1) / q, -(half_pi**2) / 2)

if __name__ == "__main__":
    for kind, exp_degree, log_degree in (("double", 9, 7), ("float", 4, 3)):
        show(
            f"expm1(r) = r + r^2 q(r), {kind}",
            remez(exp_tail, lambda r: abs(r) + mp.mpf("1e-9"), -half_log2, half_log2, exp_degree),
        )
        show(f"atanh(s) = s + s^3 q(s^2), {kind}", remez(atanh_tail, lambda q: q + mp.mpf("1e-9"), 0, edge, log_degree))
    for kind, highest, degree in (("double", 20, 6), ("float", 10, 3)):
        # An error of tanh(x/2) makes one that is 1/cosh(x) times as large of tanh(x).
        p, q, worst = rational(lambda x: mp.tanh(x / 2) / (x / 2), mp.sech, highest, degree)
        show(f"tanh(x/2) = x/2 (Q + y r(y))/Q, Q = 1 + y q(y), {kind}: q", (q[1:], worst))
        show("r", ([one - other for one, other in zip(p, q, strict=True)][1:], worst))
    for kind, near_degree, far_degree, end in (("double", 11, 18, 6), ("float", 6, 7, 4)):
        show(
            f"erf(x) = x + x q(x^2), |x| <= 0.9, {kind}",
            remez(erf_ratio, lambda q: 1 / (erf_ratio(q) + 1), 0, erf_edge**2 * mp.mpf("1.0001"), near_degree),
        )
        show(
            f"1 - erf(x) = e^-p(x), 0.9 <= x <= {end}, {kind}",
            remez(lambda x: -mp.log(mp.erfc(x)), mp.erfc, erf_edge, end, far_degree),
        )
    show("sin(pi/2 x) = x q(x^2), |x| <= 1/2", remez(sin_ratio, lambda q: 1 / sin_ratio(q), 0, 0.2501, 6))
    show("cos(pi/2 x) = 1 + x^2 q(x^2), |x| <= 1/2", remez(cos_tail, lambda q: q + mp.mpf("1e-9"), 0, 0.2501, 6))
