"""Writes modes.json: times and margins of modes from mpmath at 30 digits, by quadrature that knows nothing of shoal.

Run from anywhere: ``python make_modes.py`` (some minutes). Needs mpmath only. Every value is
t = int_{m0}^{m} dq / (rate r(q) V(q)), theory book, chapters 1, 4 and 5.
"""

import json
import random
from pathlib import Path

from mpmath import asinh, exp, fabs, log, mp, mpf, quad, sinh, sqrt

mp.dps = 30
RESIDUALS = {
    "cross_entropy": lambda m, k: 1 / (1 + exp(m) / (k - 1)),
    "exponential": lambda m, k: exp(-m),
    "hinge": lambda m, k: mpf(1),
    "squared": lambda m, k: 1 - m,
    "squared_hinge": lambda m, k: 1 - m,
}


def time(case, margin):
    """Integrate over u = asinh(q/s), ln q or q, cut into short pieces."""
    rho, p, m0, c = (mpf(case[name]) for name in ("norm", "frequency", "start_margin", "imbalance"))
    depth, classes = case["depth"], case["classes"]
    residual = RESIDUALS[case["loss"]]
    m = mpf(margin)
    if classes > 2:
        rho *= sqrt(mpf(classes) / (classes - 1))
    rate = depth * p * rho ** (mpf(2) / depth)
    s = rho * c / 2
    if depth == 1:
        back, forth, jacobian = (lambda x: x), (lambda q: q), (lambda q: mpf(1))
    elif s > 0:
        back, forth, jacobian = (lambda x: s * sinh(x)), (lambda q: asinh(q / s)), (lambda q: mpf(1))
    else:
        power = 1 - mpf(2) / depth
        back, forth, jacobian = exp, log, (lambda q: q**-power)
    x0, x1 = forth(m0), forth(m)
    pieces = max(2, int(fabs(x1 - x0) / 2) + int(fabs(m - m0) / 6))
    ends = {x0 + (x1 - x0) * k / pieces for k in range(pieces + 1)}
    if case["loss"].startswith("squared"):
        # Pieces that shrink towards the end, where the residual vanishes.
        ends |= {x0 + (x1 - x0) * (1 - mpf(4) ** -k) for k in range(14)}
    ends = sorted(ends)
    if x1 < x0:
        ends = ends[::-1]
    return quad(lambda x: jacobian(back(x)) / residual(back(x), classes), ends) / rate


def cases():
    """Yield parameters over decades, and margins on the way."""
    draw = random.Random(1809)
    for loss in RESIDUALS:
        for _ in range(14):
            depth = draw.choice([1, 2, 2, 2, 3, 4, 7])
            imbalance = draw.choice([0.0, 1e-9, 1e-3, 0.3, 10.0]) if depth == 2 else 0.0
            start = draw.choice([1e-12, 1e-6, 1e-2, 0.3, 0.9, 3.0, 30.0])
            if (imbalance > 0 or depth == 1) and draw.random() < 0.4:
                start = -start
            classes = draw.choice([2, 4, 10]) if loss == "cross_entropy" and depth == 2 and imbalance == 0 else 2
            if loss in ("hinge", "squared_hinge") and start >= 1:
                start = 0.05
            yield {
                "norm": 10 ** draw.uniform(-2, 2),
                "frequency": 10 ** draw.uniform(-3, 0),
                "start_margin": start,
                "imbalance": imbalance,
                "depth": depth,
                "loss": loss,
                "classes": classes,
            }


def margins(case):
    """Return margins just past the start, on the way and late."""
    m0 = case["start_margin"]
    if case["loss"] in ("cross_entropy", "exponential"):
        return [m for m in (m0 + abs(m0) * 1e-7, m0 + abs(m0) * 0.5, 0.5, 2.0, 35.0, 120.0) if m > m0]
    if case["loss"] == "hinge":
        return [m for m in (m0 + abs(m0) * 1e-7, 0.2, 0.999, 1.0) if m0 < m <= 1]
    if m0 > 1:
        return [m0 * (1 - 1e-7), 1 + (m0 - 1) / 2, 1.0000001]
    return [m for m in (m0 + abs(m0) * 1e-7, 0.2, 0.95, 0.9999999) if m0 < m < 1]


def main():
    """Write the file next to this script."""
    rows = []
    for case in cases():
        for margin in margins(case):
            rows.append({**case, "margin": margin, "time": mp.nstr(time(case, margin), 20)})
    Path(__file__).with_name("modes.json").write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")


if __name__ == "__main__":
    main()
