"""Numbers of the theory book: a formula's label is its number, and what cites it links to it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

CHAPTERS = {path.stem[0]: path.stem for path in (Path(__file__).parents[1] / "theory").glob("[0-9]-*.md")}
"""The page of each chapter, by its number."""


def _list(item: str) -> str:
    return rf"{item}(?:(?:,|\s+and|\s+to)\s+{item})*"


FORMULAS = re.compile(rf"\b[Ff]ormulas?\s+{_list(r'[(][0-9][.][0-9]+[)]')}")
PAGES = re.compile(
    rf"\btheory\s+book,\s+chapters?\s+{_list('[0-9]')}|\bchapters?\s+{_list('[0-9]')}\s+of\s+the\s+theory"
)


def assign(app: Sphinx, doctree: nodes.document) -> None:
    """Make the label of each formula of the book its number; Sphinx would count the formulas of all pages."""
    if app.env.docname.startswith("theory/"):
        equations = app.env.get_domain("math").data["objects"]
        for node in doctree.findall(nodes.math_block):
            node["number"] = node["label"]
            equations[node["label"]] = (app.env.docname, node["label"])


def linked(text: str, formula: str = r":eq:`\1`", page: str = ":doc:`{0} </theory/{1}>`") -> str:
    """Return a text with links to the formulas and chapters that it names, as reStructuredText or as given."""
    text = FORMULAS.sub(lambda found: re.sub(r"\(([0-9.]+)\)", formula, found[0]), text)
    return PAGES.sub(lambda found: re.sub("[0-9]", lambda one: page.format(one[0], CHAPTERS[one[0]]), found[0]), text)


def setup(app: Sphinx) -> dict[str, Any]:
    """Give a page its numbers when it has been read."""
    app.connect("doctree-read", assign)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
