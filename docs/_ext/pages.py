"""Links of pages that are also read in the repository, and docstrings as reStructuredText."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from formulas import linked
from sphinx.application import Sphinx

PLACES = {
    "../README.md": "index.md",
    "../CHANGELOG.md": "changelog.md",
    "../CONTRIBUTING.md": "contributing.md",
    "claims/": "gallery/",
    "docs/": "",
}
"""Where links lead, as the repository has them and as the site does."""


WHOLE = {"changelog": "CHANGELOG.md", "contributing": "CONTRIBUTING.md"}
"""Pages that are a file of the repository's root."""


def relink(app: Sphinx, name: str, source: list[str]) -> None:
    """Turn links of the repository into links of the site."""
    if name in WHOLE:
        source[0] = (Path(app.srcdir).parent / WHOLE[name]).read_text(encoding="utf-8")
    for there, here in PLACES.items():
        source[0] = source[0].replace(f"]({there}", f"]({here}")


def plain(app: Sphinx, what: str, name: str, thing: object, options: object, lines: list[str]) -> None:
    """Escape bars, stars and trailing underscores outside of code, which docstrings mean literally; link formulas."""
    for at, line in enumerate(lines):
        if line.lstrip().startswith((">>>", "...")) or line.startswith("    " * 2):
            continue
        parts = re.split(r"(``.*?``|`.*?`)", line)
        parts[::2] = [re.sub(r"(\w)_(?=\W|$)", r"\1\\_", part) for part in parts[::2]]
        parts[::2] = [re.sub(r"(?<!\\)([|*])", r"\\\1", part) for part in parts[::2]]
        lines[at] = "".join(parts)
    lines[:] = linked("\n".join(lines)).split("\n")


def setup(app: Sphinx) -> dict[str, Any]:
    """Add both."""
    app.connect("source-read", relink)
    app.connect("autodoc-process-docstring", plain, priority=400)  # before numpydoc
    return {"parallel_read_safe": True, "parallel_write_safe": True}
