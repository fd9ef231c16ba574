"""The page on claims of one's own: its example runs as it is written, and prints what the page says."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from shoal import claims, theory
from shoal.claims.registry import of_file
from shoal.cli import app

PAGE = Path(__file__).parent.parent / "docs" / "own-claim.md"
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def block(kind, first=""):
    (found,) = [text for name, text in BLOCKS if name == kind and text.startswith(first)]
    return found


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = Path("inverse_norm.py")
    path.write_text(block("python"), encoding="utf-8")
    return path


def words(text):
    """The words of a text; in place of how long it took, of gaps that are rounding, and of the line's ends: nothing."""
    text = re.sub(r"[\d.]+ s\n", "", text)
    return [re.sub(r"^0\.00\d+$", "", word) for word in text.split()]


def test_the_example_prints_what_the_page_says(file, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    command, printed = block("", "$ ").split("\n", 1)
    assert command == "$ shoal reproduce inverse_norm.py --quick"
    result = CliRunner().invoke(app, command.split()[2:])
    assert result.exit_code == 0, result.output
    assert words(result.output) == words(printed)
    assert Path("shoal-out/inverse-norm.png").exists()


def test_the_example_fails_when_the_theory_is_wrong(file, monkeypatch):
    true = theory.Mode
    monkeypatch.setattr(theory, "Mode", lambda **given: true(**(given | {"norm": 1.001 * given["norm"]})))
    (claim,) = of_file(file)
    (row,) = claims.run(claim, quick=True).rows
    assert row.verdict == "FAIL"


def test_every_method_that_the_page_lists_is_one_of_a_run():
    listed = set(re.findall(r"`run\.(\w+)", PAGE.read_text(encoding="utf-8")))
    trial = claims.Trial()
    assert all(hasattr(trial, name) for name in listed)
    assert {name for name in vars(claims.Trial) if not name.startswith("_")} <= listed
