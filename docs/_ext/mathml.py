"""Formulas as MathML, which browsers draw without scripts or fonts from elsewhere."""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx

NAMED = '<mi mathvariant="normal">[A-Za-z]{2,}</mi>'
BAR = '<mo stretchy="false" lspace="0" rspace="0">&#x0007C;</mo>'
SCRIPTED = "(?<!<msub>)(?<!<msup>)(?<!<munder>)(?<!<msubsup>)"
SPACE = '<mspace width="0.167em"/>'


def mathml(node: nodes.Node, display: str) -> str:
    """Return a formula with thin spaces around the names of functions and none around bars, as TeX has them."""
    made = convert(node.astext(), display=display)
    made = re.sub('<mo(?: stretchy="false")?>&#x0007C;</mo>', BAR, made)
    made = re.sub("<m([io])>([A-Za-z]{2,})</m\\1>|<mo>([A-Z])</mo>", r'<mi mathvariant="normal">\2\3</mi>', made)
    made = re.sub(f"{SCRIPTED}({NAMED})(?=<m(?!o))", rf"\1{SPACE}", made)
    return re.sub(f"(</m(?:i|n|frac|over|row|sub|sup|subsup)>)({NAMED})", rf"\1{SPACE}\2", made)


def inline(writer: Any, node: nodes.math) -> None:
    """Write a formula within a line."""
    writer.body.append(mathml(node, "inline"))
    raise nodes.SkipNode


def block(writer: Any, node: nodes.math_block) -> None:
    """Write a formula of its own, with its number."""
    anchors = "".join(f'<span id="{name}"></span>' for name in node.get("ids", ()))
    number = f'<span class="eqno">({node["number"]})</span>' if node.get("number") else ""
    writer.body.append(f'<div class="math">{anchors}{mathml(node, "block")}{number}</div>')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, Any]:
    """Add the renderer."""
    app.add_html_math_renderer("mathml", (inline, None), (block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
