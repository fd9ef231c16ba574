"""Numbers and times as a reader would write them."""

from __future__ import annotations

import math

from markupsafe import Markup

__all__ = ["duration", "number"]

_MINUS = "\N{MINUS SIGN}"


def number(value: float, digits: int) -> Markup:
    """Return a number as a reader would write it: powers of ten with a raised exponent, and a true minus."""
    if math.isnan(value):
        return Markup('<span title="not a number">\N{EN DASH}</span>')
    if math.isinf(value):
        return Markup("<span>{}</span>").format("\N{INFINITY}" if value > 0 else f"{_MINUS}\N{INFINITY}")
    mantissa, _, exponent = f"{value:.{digits}g}".replace("-", _MINUS).partition("e")
    if not exponent:
        return Markup("<span>{}</span>").format(mantissa)
    power = str(int(exponent.replace(_MINUS, "-"))).replace("-", _MINUS)
    times = "\N{THIN SPACE}\N{MULTIPLICATION SIGN}\N{THIN SPACE}"
    return Markup("<span>{}{}10<sup>{}</sup></span>").format(mantissa, times, power)


def duration(seconds: float) -> str:
    """Return a time as a reader would say it: 0.4 s, 34 s, 2 min 5 s, 1 h 12 min."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min"
