"""Elements of a page. What is said in them is escaped when they are written, by the standard library."""

from __future__ import annotations

import math
from xml.etree.ElementTree import Element, tostring

__all__ = ["document", "duration", "node", "number"]

# A line break after one of these is no space that a reader sees.
_BLOCKS = frozenset(
    "html head meta link title style body header nav main section footer h1 h2 h3 p ol ul li dl div dt dd "
    "table caption thead tbody tr th td figure figcaption img pre".split()
)

_MINUS = "\N{MINUS SIGN}"


def node(tag: str, *content: Element | str, **attributes: str) -> Element:
    """Return an element with text and elements inside.

    Names of attributes are written with ``_`` for ``-`` and with a trailing ``_`` where Python claims the word; an
    attribute whose value is empty is left out, but for ``alt``.
    """
    made = Element(tag)
    for name, value in attributes.items():
        if value or name == "alt":
            made.set(name.rstrip("_").replace("_", "-"), value)
    for part in content:
        if isinstance(part, Element):
            made.append(part)
        elif len(made):
            made[-1].tail = (made[-1].tail or "") + part
        else:
            made.text = (made.text or "") + part
    return made


def document(page: Element) -> str:
    """Return a page as text, a block a line."""
    for element in page.iter():
        if element.tag in _BLOCKS and not element.tail:
            element.tail = "\n"
    return "<!DOCTYPE html>\n" + tostring(page, encoding="unicode", method="html") + "\n"


def number(value: float, digits: int) -> Element:
    """Return a number as a reader would write it: powers of ten with a raised exponent, and a true minus."""
    if math.isnan(value):
        return node("span", "\N{EN DASH}", title="not a number")
    if math.isinf(value):
        return node("span", "\N{INFINITY}" if value > 0 else f"{_MINUS}\N{INFINITY}")
    mantissa, _, exponent = f"{value:.{digits}g}".partition("e")
    mantissa = mantissa.replace("-", _MINUS)
    if not exponent:
        return node("span", mantissa)
    power = node("sup", str(int(exponent)).replace("-", _MINUS))
    return node("span", f"{mantissa}\N{THIN SPACE}\N{MULTIPLICATION SIGN}\N{THIN SPACE}10", power)


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
