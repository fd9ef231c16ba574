"""The command line: exit codes, what is printed, what is written."""

import re

import pytest
from typer.testing import CliRunner

from shoal import claims, theory
from shoal.cli import app

QUICK = ["reproduce", "modes", "--quick", "--networks", "4"]


def shoal(*arguments):
    return CliRunner().invoke(app, list(arguments))


def plain(text):
    """What a reader sees: no colours, no borders, line breaks as spaces."""
    return re.sub(r"[\s│╭╮╰╯─]+", " ", re.sub(r"\x1b\[[0-9;]*m", "", text))


def test_a_claim_that_passes_exits_with_zero_and_leaves_its_files(tmp_path):
    result = shoal(*QUICK, "--out", str(tmp_path / "made" / "here"))
    assert result.exit_code == 0, result.output
    for word in ("measured", "predicted", "allowance", "ratio", "verdict", "PASS: all 1 claims"):
        assert word in plain(result.output)
    assert sorted(path.name for path in (tmp_path / "made" / "here").iterdir()) == [
        "modes.json",
        "modes.png",
        "modes.zarr",
    ]


def test_a_claim_that_fails_exits_with_one_and_is_named(tmp_path, monkeypatch):
    true = theory.Mode
    monkeypatch.setattr(theory, "Mode", lambda **given: true(**(given | {"norm": 1.05 * given["norm"]})))
    result = shoal(*QUICK, "--out", str(tmp_path))
    assert result.exit_code == 1, result.output
    assert "FAIL: modes (0 of 1 passed)" in plain(result.output)
    assert (tmp_path / "modes.png").exists()


@pytest.fixture
def no_work(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("work was done")

    monkeypatch.setattr(claims, "run", refuse)


def test_an_unknown_claim_names_the_known_ones(no_work):
    result = shoal("reproduce", "modes", "gravity")
    assert result.exit_code == 2
    assert "no claim 'gravity'; there are sigmoid, modes, losses, digits" in plain(result.output)


def test_an_out_that_is_a_file_is_refused_before_any_work(no_work, tmp_path):
    taken = tmp_path / "taken"
    taken.write_text("")
    result = shoal(*QUICK, "--out", str(taken))
    assert result.exit_code == 2
    assert "is a file; a folder is needed" in plain(result.output)


def test_an_out_below_a_file_is_refused_before_any_work(no_work, tmp_path):
    taken = tmp_path / "taken"
    taken.write_text("")
    result = shoal(*QUICK, "--out", str(taken / "below"))
    assert result.exit_code == 2
    assert "cannot write to" in plain(result.output)


@pytest.mark.parametrize(
    "wrong", [["--networks", "1"], ["--seed", "-1"], ["--seed", str(2**64)], ["--threads", "0"], ["--networks", "many"]]
)
def test_a_bad_number_is_bad_usage(no_work, wrong):
    assert shoal("reproduce", *wrong).exit_code == 2


def test_help_says_where_threads_come_from():
    said = plain(shoal("reproduce", "--help").output)
    assert "SHOAL_NUM_THREADS" in said
    assert said.index("SHOAL_NUM_THREADS") < said.index("OMP_NUM_THREADS") < said.index("all CPUs")


def test_list_shows_every_claim():
    result = shoal("list")
    assert result.exit_code == 0
    for name in claims.list():
        assert name in result.output


def test_info_says_what_runs():
    result = shoal("info")
    assert result.exit_code == 0
    assert "isa" in result.output.lower()


def test_without_a_command_help_is_shown():
    result = shoal()
    assert "reproduce" in result.output
