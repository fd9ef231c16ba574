"""What a newcomer does first: each example takes at most ten lines, runs as it stands, and says what is true."""

from __future__ import annotations

import ast
import importlib.util
import os
import re
from pathlib import Path

import pytest

from support import python

ROOT = Path(__file__).parent.parent
RECIPES = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")
EXAMPLES = sorted(ROOT / "examples" / name for name in re.findall(r"^```\{example\} (\S+)$", RECIPES, re.MULTILINE))
SAYS = {
    "deep_linear": r"largest change of an invariant: \d\.\de-\d\d$",
    "digits": r"error: 0\.0\d+ \+- 0\.0\d+\ntest_error: 0\.0\d+ \+- 0\.0\d+$",
    "mode_against_theory": r"PASS \(flow\)",
    "own_claim": r"(?s).*PASS: all 1 claims",
    "pytorch": r"\[-1\.0, 1\.0, 1\.0, -1\.0\] \[-1, 1, 1, -1\]$",
    "regression": r"\[\[-2\.    0\.76  0\.7\d\]\n",
    "sharpness": r"(at rate 0\.\d+: [56]\.\d, in the end (20\.\d|13\.\d|(9|10)\.\d), the edge \d\d\.\d\n){3}$",
    "starvation": r"PASS \(flow\)",
    "tangent_kernel": r"alpha   1: .*\nalpha  10: .*\nalpha 100: .* 1 - cosine \d\.\de-0[4-9]$",
    "xor_failure": r"0\.8\d+ \(0\.\d{4} to 0\.\d{4}\)$",
}


def test_there_are_fourteen() -> None:
    assert len(EXAMPLES) == 14


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_takes_at_most_ten_lines(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    rest = [node for node in tree.body[1:] if not isinstance(node, (ast.Import, ast.ImportFrom))]
    assert ast.get_docstring(tree)
    assert sum((node.end_lineno or 0) - node.lineno + 1 for node in rest) <= 10


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs_as_it_stands(path: Path, tmp_path: Path) -> None:
    if path.stem == "pytorch" and importlib.util.find_spec("torch") is None:
        pytest.skip("needs torch")
    python([os.fspath(ROOT / "examples" / "data.py")], folder=tmp_path)
    command = (
        ["-c", "from shoal.cli import app; app()", "reproduce", os.fspath(path), "--quick"]
        if path.stem == "own_claim"
        else [os.fspath(path)]
    )
    done = python(command, {"MPLBACKEND": "Agg"}, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert re.match(SAYS.get(path.stem, ""), done.stdout), done.stdout
