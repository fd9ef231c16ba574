"""The theory book: its formulas are numbered, docstrings and chapters link each other, and every check exists."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from shoal import theory

pytestmark = pytest.mark.checkout

ROOT = Path(__file__).parent.parent
CODE = ROOT / "python" / "shoal" / "theory"
CHAPTERS = {path.stem[0]: path.read_text(encoding="utf-8") for path in (ROOT / "docs" / "theory").glob("[0-9]-*.md")}
LABEL = re.compile(r"^\$\$ \((.+)\)$", re.MULTILINE)
FORMULAS = re.compile(r"\b[Ff]ormulas?\s+((?:\(\d\.\d+\)(?:,|\s+and)?\s*)+)")
PAGES = re.compile(r"theory\s+book,\s+chapters?\s+((?:\d(?:,|\s+and|\s+to)?\s*)+)|chapters?\s+(\d)\s+of\s+the\s+theory")
LABELS = [label for text in CHAPTERS.values() for label in LABEL.findall(text)]


def cited(text: str) -> set[str]:
    """Return the formulas that a docstring names."""
    return {number for found in FORMULAS.finditer(text) for number in re.findall(r"\d\.\d+", found[1])}


def documented() -> Iterator[tuple[str, str]]:
    """Yield the name by which the book calls each class and function of shoal.theory, and its docstring."""

    def walk(node: ast.AST, module: str, name: str = "") -> Iterator[tuple[str, str]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.ClassDef):
                inner = f"{name}.{child.name}".lstrip(".")
                public = inner.split(".")[0] in theory.__all__
                yield inner if public else f"{module}.{inner}", ast.get_docstring(child) or ""
                yield from walk(child, module, inner)

    for path in sorted(CODE.rglob("*.py")):
        yield from walk(
            ast.parse(path.read_text(encoding="utf-8")), ".".join(path.relative_to(CODE).with_suffix("").parts)
        )


def rows(number: str, heading: str) -> list[list[str]]:
    """Return the rows of the table under a heading of a chapter."""
    section = CHAPTERS[number].split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in section.strip().splitlines()[2:]]


def formulas(cell: str) -> set[str]:
    return set(re.findall(r"{eq}`([^`]+)`", cell))


@pytest.mark.parametrize("number", sorted(CHAPTERS))
def test_the_formulas_of_a_chapter_are_numbered_in_their_order(number: str) -> None:
    found = LABEL.findall(CHAPTERS[number])
    assert found == [f"{number}.{count}" for count in range(1, len(found) + 1)]
    assert len(found) == CHAPTERS[number].count("\n$$\n")


@pytest.mark.parametrize("number", sorted(CHAPTERS))
def test_a_chapter_links_formulas_that_exist(number: str) -> None:
    assert formulas(CHAPTERS[number]) <= set(LABELS)


def test_the_index_has_every_chapter() -> None:
    text = (ROOT / "docs" / "theory" / "index.md").read_text(encoding="utf-8")
    listed = [path.stem for path in sorted((ROOT / "docs" / "theory").glob("[0-9]-*.md"))]
    assert re.findall(r"^([0-9]-[\w-]+)$", text, re.MULTILINE) == listed
    assert re.findall(r"\[\d\. [^\]]+\]\(([0-9]-[\w-]+)\.md\)", text) == listed


@pytest.mark.parametrize("name", theory.__all__)
def test_a_public_function_names_a_formula_or_a_chapter(name: str) -> None:
    text = inspect.getdoc(getattr(theory, name)) or ""
    chapters = {number for found in PAGES.findall(text) for number in re.findall(r"\d", "".join(found))}
    assert cited(text) or chapters
    assert cited(text) <= set(LABELS)
    assert chapters <= set(CHAPTERS)


@pytest.mark.parametrize("number", sorted(CHAPTERS))
def test_functions_and_formulas_link_each_other(number: str) -> None:
    """What a docstring names is in the table of its chapter, and nothing else is."""
    named = {
        name: here
        for name, text in documented()
        if (here := {one for one in cited(text) if one.startswith(f"{number}.")})
    }
    linked = {}
    for function, implemented in rows(number, "Functions"):
        public = re.fullmatch(r"{py:obj}`([\w.]+) <shoal\.theory\.\1>`", function)
        linked[public[1] if public else function.strip("`")] = formulas(implemented)
        assert bool(public) == (public is not None and public[1].split(".")[0] in theory.__all__)
    assert linked == named


def test_every_formula_in_a_docstring_exists() -> None:
    assert not {f"{name}: {one}" for name, text in documented() for one in cited(text) if one not in LABELS}


@pytest.mark.parametrize("number", sorted(CHAPTERS))
def test_every_formula_has_a_check_and_every_check_is_a_test(number: str) -> None:
    checked = set()
    for compared, reference, test in rows(number, "Checks"):
        path, _, name = test.strip("`").partition("::")
        tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
        assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, test
        assert reference
        checked |= formulas(compared)
    assert checked >= {label for label in LABELS if label.startswith(f"{number}.")}
