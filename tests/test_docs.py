"""The documentation is complete and true: every public name is in the reference, every block of Python code runs."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

import shoal
from shoal import claims, dynamics, plot, tasks, theory
from support import python

pytestmark = pytest.mark.checkout

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(path for path in DOCS.rglob("*.md") if "gallery" not in path.parts)]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)  # notebooks run when the site is built
MODULES = ("claims", "dynamics", "plot", "tasks", "theory", "__version__")


def blocks(page: Path) -> list[str]:
    return BLOCK.findall(page.read_text(encoding="utf-8"))


def test_every_public_name_is_in_the_reference() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in DOCS.glob("reference/*.md"))
    listed = set(re.findall(r"^\.\. auto\w+:: (\S+)", text, re.MULTILINE))
    public = {f"shoal.{name}" for name in shoal.__all__ if name not in MODULES}
    for module in (claims, dynamics, plot, tasks, theory):
        public |= {f"{module.__name__}.{name}" for name in module.__all__}
    assert not public - listed
    assert all(importlib.util.find_spec(name.rpartition(".")[0]) for name in listed)


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)], ids=lambda path: path.stem)
def test_the_code_of_a_page_runs(page: Path, tmp_path: Path) -> None:
    """All its blocks, one after another, as a reader would paste them; a block may need a package that is not here."""
    code = []
    for block in blocks(page):
        needs = re.match(r"# skip: needs (\w+)\n", block)
        if needs is None or importlib.util.find_spec(needs[1]) is not None:
            code.append(block)
    alone = [block for block in code if "__main__" in block]  # programs, which start processes of their own
    for program in ["\n".join(block for block in code if block not in alone), *alone]:
        (tmp_path / "page.py").write_text(program, encoding="utf-8")
        done = python(["page.py"], {"MPLBACKEND": "Agg"}, folder=tmp_path)
        assert done.returncode == 0, done.stderr


WORDS = {
    r"\b(?:one|two|three|number|numbers|array|arrays|entry|row|rows|networks|units|inputs|file|page) an? "
    r"(?:network|layer|sample|mode|unit|thread|time|lane|claim|condition|class|pair|variable)\b(?! of| time)": "per",
    r"[0-9)] an? (?:step|norm|class|fraction|depth|layer|unit|network|sample|mode|rate|width|K)\b": "per",
    r"\bheld? against\b": "compare with",
    r"\ballowance\b": "tolerance",
    r"\bgo(?:es)? on\b": "resume, continue",
    r"\bstands?\b": "is",
    r"\bchances?\b": "probability",
    r"\b(?:a|the|its|that|of) shares? (?:of|in)\b": "fraction",
    r"\bknown to us\b": "known",
}
"""What the documentation does not say, and what it says in its place."""


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_a_page_speaks_the_terms_of_the_field(page: Path) -> None:
    if page.stem == "changelog":
        return
    text = page.read_text(encoding="utf-8")
    found = [f"{match[0]!r}: {better}" for wrong, better in WORDS.items() for match in re.finditer(wrong, text)]
    assert not found
