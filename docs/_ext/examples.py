"""Programs of ``examples/`` that run while the site is built: their code, what they print, and their figures."""

from __future__ import annotations

import ast
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
FIGURES = ROOT / "docs" / "gallery" / "images"

_RUN = """
import runpy, sys
import matplotlib
matplotlib.use("Agg")
from matplotlib import pyplot
pyplot.show = lambda *given, **also: None
sys.argv = [sys.argv[1]]
runpy.run_path(sys.argv[0], run_name="__main__")
for number in pyplot.get_fignums():
    pyplot.figure(number).savefig(f"figure-{number}.png", dpi=130)
"""


@dataclass(frozen=True)
class Result:
    """What a program printed, and its figures; or which package it lacked."""

    printed: str
    figures: tuple[Path, ...]
    lacks: str = ""


@cache
def run(path: Path) -> Result:
    """Run a program in an empty folder with the data that examples/data.py makes, and keep its figures."""
    lacks = next((name for name in imported(path) if importlib.util.find_spec(name) is None), "")
    if lacks:
        return Result("", (), lacks)
    claim = "@shoal.claim" in path.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        subprocess.run([sys.executable, EXAMPLES / "data.py"], cwd=folder, check=True)
        command = ["-m", "shoal", "reproduce", path, "--quick"] if claim else ["-c", _RUN, path]
        environment = {**os.environ, "COLUMNS": "100", "MPLBACKEND": "Agg"}
        done = subprocess.run(
            [sys.executable, *command], cwd=folder, env=environment, capture_output=True, text=True, timeout=300
        )
        if done.returncode:
            raise RuntimeError(f"{path} failed:\n{done.stderr}")
        FIGURES.mkdir(parents=True, exist_ok=True)
        drawn = sorted(folder.rglob("*.png"))
        kept = [FIGURES / f"{path.stem}-{i}.png" for i in range(1, len(drawn) + 1)]
        for found, place in zip(drawn, kept, strict=True):
            shutil.copyfile(found, place)
    return Result(done.stdout.strip(), tuple(kept))


def imported(path: Path) -> list[str]:
    """Return the packages that a program imports."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module]
    return [name.split(".")[0] for name in names]


def said(path: Path) -> tuple[str, str]:
    """Return the docstring of a program, and its code without it."""
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    words = ast.get_docstring(tree) or ""
    return words, "\n".join(text.splitlines()[tree.body[0].end_lineno :]).strip()


class Example(SphinxDirective):
    """``{example} FILE.py``: its code, what it prints, its figures."""

    required_arguments = 1
    option_spec = {"caption": directives.unchanged}  # noqa: RUF012  docutils wants it so

    def run(self) -> list[nodes.Node]:
        """Return the nodes."""
        path = EXAMPLES / self.arguments[0]
        self.env.note_dependency(os.fspath(path))
        result = run(path)
        code = nodes.literal_block(text := said(path)[1], text, language="python")
        made: list[nodes.Node] = [code]
        if result.lacks:
            words = f"This site was built without {result.lacks}, so the output is not shown."
            return [*made, nodes.note("", nodes.paragraph("", words))]
        if result.printed:
            made.append(nodes.literal_block(result.printed, result.printed, language="text", classes=["output"]))
        for figure in result.figures:
            made.append(nodes.image(uri=f"/{figure.relative_to(ROOT / 'docs')}", alt=said(path)[0].split("\n")[0]))
        return made


def setup(app: Sphinx) -> dict[str, Any]:
    """Add the directive."""
    app.add_directive("example", Example)
    return {"parallel_read_safe": True, "parallel_write_safe": True}  # all have run before any page is read
