"""Writes mean_field.json: times of angles of mean-field hinge training from mpmath, knowing nothing of shoal.

Run from anywhere: ``python make_mean_field.py`` (two minutes). Needs mpmath only. Every time is
t = int_0^g dq / q'(q) with q' = beta/(2 sqrt d) E[|x|; |x| < 2 sqrt(d) h/(alpha sinh 2q)], theory book, chapter 7;
the moment of the sphere is an incomplete Beta function here. Errors are E Phi(-|u| sqrt(d)/s), integrated over the
angle between an input and the teacher.
"""

import json
from pathlib import Path

from mpmath import asinh, beta, betainc, cos, exp, expm1, log, mp, mpf, ncdf, pi, quad, sin, sinh, sqrt

mp.dps = 25


def moment(law, d, radius):
    """Return E[|x|; |x| < c] as a function of c."""
    if law == "gaussian":
        return lambda c: -sqrt(2 / pi) * expm1(-c * c / 2)
    whole = beta(mpf(1) / 2, mpf(d - 1) / 2)

    def part(c):
        c = min(c / radius, mpf(1))
        return radius * betainc(1, mpf(d - 1) / 2, 0, c * c) / whole

    return part


def time(law, d, alpha, h, radius, angle):
    """Integrate over ln sinh 2q, after a stretch in which the moment is whole to 30 digits."""
    within = moment(law, d, radius)
    level = 2 * sqrt(mpf(d)) * h / alpha
    reach = mpf(12) if law == "gaussian" else mpf(radius)
    speed = within(reach) / (2 * sqrt(mpf(d)))
    start = asinh(level / reach) / 2
    if angle <= start:
        return angle / speed
    low, high = log(level / reach), log(sinh(2 * angle))
    pieces = int((high - low) / mpf("0.7")) + 2
    # Towards the start the moment of the sphere has a root: pieces shrink there.
    ends = sorted(
        {low + (high - low) * k / pieces for k in range(pieces + 1)}
        | {low + (high - low) / pieces * mpf(8) ** -k for k in range(1, 8)}
    )

    def pace(place):
        grown = exp(place)
        return grown / sqrt(1 + grown**2) / within(level / grown)

    return start / speed + sqrt(mpf(d)) * quad(pace, ends)


def misclassified(d, spread):
    """Return E Phi(-|cos| sqrt(d)/s) over angles with the density sin^(d-2)."""
    signal = sqrt(mpf(d)) / spread
    weight = lambda angle: sin(angle) ** (d - 2)  # noqa: E731
    width = min(pi / 2, 1 / signal)
    ends = sorted({mpf(0), pi / 2} | {max(pi / 2 - width * k, mpf(0)) for k in (1, 2, 4, 8, 16)})
    top = quad(lambda angle: weight(angle) * ncdf(-signal * cos(angle)), ends)
    return top / (beta(mpf(d - 1) / 2, mpf(1) / 2) / 2)


def main():
    """Write the file next to this script."""
    times, errors = [], []
    for law, radius in (("gaussian", 1), ("sphere", 1), ("sphere", mpf("2.5"))):
        for d in (1, 2, 3, 4, 30, 1000):
            if law == "sphere" and d == 1:
                continue
            for alpha, h in ((mpf(1), mpf(1)), (mpf(50), mpf("0.25")), (mpf(1) / 128, mpf(2))):
                start = asinh(2 * sqrt(mpf(d)) * h / alpha / (4 if law == "gaussian" else radius)) / 2
                for stretch in (mpf("0.5"), mpf("1.0625"), mpf("1.5"), mpf(3)):
                    angle = mpf(float(stretch * start))
                    row = {
                        "distribution": law,
                        "inputs": d,
                        "alpha": float(alpha),
                        "threshold": float(h),
                        "radius": float(radius),
                    }
                    found = time(law, d, alpha, h, radius, angle)
                    times.append({**row, "gamma": float(angle), "time": mp.nstr(found, 18)})
    for d in (2, 3, 4, 30, 1000):
        for spread in (mpf("1e-3"), mpf("0.05"), mpf(1), mpf(20)):
            errors.append({"inputs": d, "spread": float(spread), "error": mp.nstr(misclassified(d, spread), 18)})
    lines = [",\n".join(json.dumps(row) for row in rows) for rows in (times, errors)]
    text = f'{{"times": [\n{lines[0]}\n],\n"errors": [\n{lines[1]}\n]}}\n'
    Path(__file__).with_name("mean_field.json").write_text(text)


if __name__ == "__main__":
    main()
