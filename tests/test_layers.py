"""Folders are promises: which of them import which, and no import goes in a circle."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import shoal

ROOT = Path(shoal.__file__).parent

BELOW = {
    "base": set(),
    "spec": {"base"},
    "theory": {"base", "spec"},
    "dynamics": {"base", "spec"},
    "verdicts": {"base"},
    "engine": {"base", "spec", "_core", "version"},
    "tasks": {"base", "spec", "engine"},
    "plot": {"base", "spec", "engine"},
    "sweep": {"base", "spec", "engine", "tasks", "_core", "version"},
    "claims": {"base", "spec", "tasks", "theory", "verdicts", "plot", "train", "predict", "engine"},
}
"""What each folder may import of shoal, also inside of functions and for types alone."""

DOORS = {("spec.init", "train"), ("spec.init", "pytorch")}
"""Init.draw trains no steps, and Explicit.from_torch reads modules: imports inside of functions, upwards."""


def imports(*, inside: bool) -> dict[str, set[str]]:
    """Return the modules that each module imports, also for types alone, and inside of functions if asked."""
    paths = {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
             for path in ROOT.rglob("*.py")}  # fmt: skip
    found: dict[str, set[str]] = {}
    for module, path in paths.items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        nodes = list(ast.walk(tree)) if inside else [*tree.body, *for_types(tree)]
        found[module] = set()
        for node in nodes:
            if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "shoal":
                parent = node.module.removeprefix("shoal").removeprefix(".")
                for name in node.names:
                    whole = f"{parent}.{name.name}".removeprefix(".")
                    found[module].add(whole if whole in paths else parent)
        found[module] -= {module, ""}
    return found


def for_types(tree: ast.Module) -> list[ast.stmt]:
    """Return what a module does while types are checked."""
    found = [node for node in tree.body if isinstance(node, ast.If)]
    return [one for node in found if ast.unparse(node.test) == "TYPE_CHECKING" for one in node.body]


def test_no_import_goes_in_a_circle() -> None:
    order = list(TopologicalSorter(imports(inside=False)).static_order())  # a CycleError names the circle
    assert len(order) > 100


def test_no_import_of_claims_goes_in_a_circle_for_types_alone() -> None:
    claims = {module: imported for module, imported in imports(inside=True).items() if module.startswith("claims.")}
    assert len(list(TopologicalSorter(claims).static_order())) > 50


@pytest.mark.parametrize("folder", BELOW)
def test_a_folder_imports_only_what_is_below_it(folder: str) -> None:
    for module, imported in imports(inside=True).items():
        if module.split(".")[0] != folder:
            continue
        for name in imported:
            allowed = name.split(".")[0] in BELOW[folder] | {folder} or (module, name) in DOORS
            assert allowed, f"shoal.{module} imports shoal.{name}"


def test_every_folder_says_what_it_is_for() -> None:
    for path in ROOT.rglob("__init__.py"):
        assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), path
