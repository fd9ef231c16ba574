"""The gallery: a page for every claim and every example that there is, made while the site is built."""

from __future__ import annotations

import inspect
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from docutils import nodes
from formulas import linked
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from examples import EXAMPLES, FIGURES, ROOT, run, said
from shoal.claims import Claim
from shoal.claims.registry import of_package

PAGES = ROOT / "docs" / "gallery"
RESULTS: list[Path] = []
"""The folder of the results, when it is known."""
MADE: set[str] = set()
"""The pages that were made so far."""


def make(app: Sphinx) -> None:
    """Write the pages, from the claims' results in ``SHOAL_DOCS_RUN`` or else from a quick run of all of them."""
    FIGURES.mkdir(parents=True, exist_ok=True)
    results = Path(os.environ.get("SHOAL_DOCS_RUN") or reproduced())
    RESULTS.append(results)
    programs = [path for path in sorted(EXAMPLES.glob("*.py")) if path.stem != "data"]
    with ThreadPoolExecutor(2) as pool:  # each is a process of its own; pages find the results in the cache
        list(pool.map(run, [path for path in programs if not written(path).exists()]))
    cards: dict[str, list[str]] = {}
    for claim in of_package().values():
        result = json.loads((results / f"{claim.name}.json").read_text(encoding="utf-8"))
        shutil.copyfile(results / f"{claim.name}.png", FIGURES / f"{claim.name}.png")
        write(f"{claim.name}.md", page_of(claim, result))
        folder = claim.test.__module__.split(".")[2]
        cards.setdefault(folder, []).append(card(claim.name, claim.name, result["sentence"], f"{claim.name}.png"))
    for path in programs:
        cards.setdefault("examples", []).append(example(path, said(path)[0]))
    write("index.md", index(cards))
    for path in PAGES.glob("*.md"):
        if path.name not in MADE:  # of a claim or an example that had this name before
            path.unlink()


def reproduced() -> Path:
    """Run all claims quickly, and return where the results are."""
    out = ROOT / "build" / "docs-run"
    shutil.rmtree(out, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "shoal", "reproduce", "--quick", "--out", out], check=True)
    return out


TITLES = {
    "learning_dynamics": "Learning dynamics of deep networks (Tachet des Combes et al. 2018, arXiv:1809.06848)",
    "hinge_mean_field": "Shallow networks with a hinge loss (Pellegrini and Biroli 2020, arXiv:2006.11209)",
    "neighbours": "Neighbouring papers",
    "examples": "Examples",
}


GRID = "::::{{grid}} 1 2 3 3\n:class-container: gallery\n:gutter: 3\n\n{}\n::::"


def index(cards: dict[str, list[str]]) -> str:
    """Return the page of thumbnails."""
    parts = [
        "# Gallery",
        "Every claim has a page with the sentence of its paper, the setup, the formula, the figure, the verdict, its "
        "limitations, and the code. Each figure and verdict comes from the run that built this site.",
    ]
    for kind, made in cards.items():
        parts += [f"## {TITLES.get(kind, kind.replace('_', ' '))}", GRID.format("\n".join(made))]
    parts.append("```{toctree}\n:hidden:\n:glob:\n\n*\n```")
    return "\n\n".join(parts)


def card(link: str, title: str, words: str, picture: str) -> str:
    """Return a thumbnail."""
    image = f"\n:img-top: images/{picture}\n:img-alt: {title}" if picture else ""
    return f":::{{grid-item-card}} {title}\n:link: {link}\n:link-type: doc{image}\n\n{words}\n:::"


def page_of(claim: Claim, result: dict[str, Any]) -> str:
    """Return the page of a claim; what docs/claims says of it stands in the middle."""
    told = ROOT / "docs" / "claims" / f"{claim.name}.md"
    text = told.read_text(encoding="utf-8") if told.exists() else ""
    body = text[text.find("\n## ") :] if "\n## " in text else ""
    file = inspect.getsourcefile(claim.test)
    code = Path(file or "").read_text(encoding="utf-8")
    source = re.sub(r"arXiv:(\d{4}\.\d{4,5})", r"[arXiv:\1](https://arxiv.org/abs/\1)", claim.source)
    source = linked(source, page="[{0}](../theory/{1}.md)")
    notes = "\n".join(f"- {note}" for note in result["notes"])
    return "\n\n".join(
        [
            f"# {claim.name}",
            f"> {claim.sentence}",
            f"Source: {source}. Verdict: **{result['verdict']}**. Run it: `shoal reproduce {claim.name} --quick`.",
            f"![{claim.sentence}](images/{claim.name}.png)",
            body.strip(),
            "## Verdict",
            "The tightest first. *Ratio* is gap over tolerance, *catches* the smallest wrong theory that fails.",
            verdict(result["rows"]),
            f"Notes of the run:\n\n{notes}" if notes else "",
            f"## Code\n\n```python\n{code.rstrip()}\n```",
        ]
    )


def verdict(rows: list[dict[str, Any]]) -> str:
    """Return the table of comparisons, the tightest first."""
    lines = [
        "```{list-table}\n:header-rows: 1\n:class: verdict\n",
        *item("comparison", "measured", "predicted", "tolerance", "ratio", "catches", "verdict"),
    ]
    for row in sorted(rows, key=lambda row: -(row["ratio"] or 0.0)):
        numbers = [f"{row[name]:.4g}" if row[name] is not None else "-" for name in ("measured", "predicted")]
        numbers += [f"{row[name]:.2g}" if row[name] is not None else "-" for name in ("tolerance", "ratio")]
        caught = "; ".join([row["catches"]["said"], *(wrong["wrong"] for wrong in row["must_fail"])])
        lines += item(row["statement"], *numbers, caught, row["verdict"])
    return "\n".join([*lines, "```"])


def item(*cells: str) -> list[str]:
    """Return a row of a list-table."""
    return [f"{'* -' if not at else '  -'} {cell.replace('|', chr(92) + '|')}" for at, cell in enumerate(cells)]


def written(path: Path) -> Path:
    """Return the page of an example that is written by hand, if it is there: the program takes too long to run here."""
    return ROOT / "docs" / f"{path.stem}.md"


def example(path: Path, words: str) -> str:
    """Write the page of an example, unless docs/ has one of its name, and return its thumbnail."""
    title, picture = path.stem.replace("_", " "), ROOT / "docs" / "images" / f"{path.stem}.png"
    if written(path).exists():
        shutil.copyfile(picture, FIGURES / picture.name)
        return card(f"../{path.stem}", title, words.split("\n")[0], picture.name)
    figures, link = run(path).figures, f"example-{path.stem}"  # a claim may have the name of an example
    write(f"{link}.md", example_page(path, words))
    return card(link, title, words.split("\n")[0], figures[0].name if figures else "")


def example_page(path: Path, words: str) -> str:
    """Return the page of an example."""
    return f"# {path.stem.replace('_', ' ')}\n\n{words}\n\n```{{example}} {path.relative_to(EXAMPLES)}\n```\n"


def write(name: str, text: str) -> None:
    """Write a page if it changed, so that Sphinx reads no other again; no two may have one name."""
    if name in MADE:
        raise RuntimeError(f"two pages of the gallery have the name {name}")
    MADE.add(name)
    path = PAGES / name
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


class VerdictCounts(SphinxDirective):
    """``{verdict-counts}``: how many comparisons of each kind there are, in the run that built the site."""

    def run(self) -> list[nodes.Node]:
        """Return a list."""
        results = [json.loads(file.read_text(encoding="utf-8")) for file in RESULTS[0].glob("*.json")]
        kinds = Counter(row["kind"] for result in results for row in result["rows"])
        about = {
            "flow": "exact, gradient flow network by network",
            "exact": "exact, gradient descent at three rates",
            "statistical": "statistical, means over networks",
            "fraction": "fractions with a probability",
            "majority": "majorities, no theory known",
        }
        items = [nodes.list_item("", nodes.paragraph("", f"{kinds[kind]}: {words}")) for kind, words in about.items()]
        return [nodes.bullet_list("", *items)]


def setup(app: Sphinx) -> dict[str, Any]:
    """Make the pages before any are read."""
    app.connect("builder-inited", make)
    app.add_directive("verdict-counts", VerdictCounts)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
