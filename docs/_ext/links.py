"""Every link within the site has its target: the page, and the place in it."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from sphinx.application import Sphinx
from sphinx.errors import SphinxError


class Page(HTMLParser):
    """The links of a page, and the places in it to which a link can lead."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.places = {""}
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """Collect links and places."""
        for name, value in attributes:
            if value is not None and name in ("href", "src"):
                self.links.add(value)
            elif value is not None and name in ("id", "name"):
                self.places.add(value)


def broken(site: Path) -> list[str]:
    """Return the links within a folder of pages that lead nowhere, as "page: link"."""
    pages = {path.resolve(): Page(path) for path in site.rglob("*.html")}
    found = []
    for path, page in pages.items():
        for link in sorted(page.links):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            place = unquote(parts.fragment)
            if not target.is_file() or (target in pages and place not in pages[target].places):
                found.append(f"{path.relative_to(site.resolve())}: {link}")
    return found


def check(app: Sphinx, failure: Exception | None) -> None:
    """Fail the build of a site with broken links."""
    if failure is None and app.builder.format == "html" and (found := broken(Path(app.outdir))):
        raise SphinxError("links that lead nowhere:\n" + "\n".join(found))


def setup(app: Sphinx) -> dict[str, Any]:
    """Check all links when everything is written."""
    app.connect("build-finished", check, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
