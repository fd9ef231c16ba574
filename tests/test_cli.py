"""The command line: exit codes, what is printed, what is written."""

import html
import json
import re

import pytest
from typer.testing import CliRunner

from shoal import claims, theory
from shoal.cli import app
from shoal.version import VERSION
from support import python

QUICK = ["reproduce", "modes", "--quick", "--networks", "4"]


def shoal(*arguments):
    return CliRunner().invoke(app, list(arguments))


def written(folder):
    return (folder / "index.html").read_text(encoding="utf-8")


def plain(text):
    """What a reader sees: no colours, no borders, line breaks as spaces."""
    return re.sub(r"[\s│╭╮╰╯─]+", " ", re.sub(r"\x1b\[[0-9;]*m", "", text))


def test_a_claim_that_passes_exits_with_zero_and_leaves_its_files(tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    result = shoal(*QUICK, "--out", str(tmp_path / "made" / "here"))
    assert result.exit_code == 0, result.output
    for word in ("measured", "predicted", "tolerance", "ratio", "catches", "verdict", "5 comparisons: 5 with exact"):
        assert word in plain(result.output)
    assert "PASS: all 1 claims" in plain(result.output)
    assert sorted(path.name for path in (tmp_path / "made" / "here").iterdir()) == [
        "index.html",
        "modes.json",
        "modes.png",
        "modes.zarr",
        "summary.md",
        "verdicts.md",
    ]


def test_a_claim_that_fails_exits_with_one_and_is_named(tmp_path, monkeypatch):
    true = theory.Mode
    monkeypatch.setattr(theory, "Mode", lambda **given: true(**(given | {"norm": 1.05 * given["norm"]})))
    result = shoal(*QUICK, "--out", str(tmp_path))
    assert result.exit_code == 1, result.output
    assert "FAIL: modes (0 of 1 passed)" in plain(result.output)
    assert (tmp_path / "modes.png").exists()
    assert f"Report: {tmp_path / 'index.html'}" in result.output
    assert "<title>shoal: 0 of 1 claim passes; failed: modes</title>" in written(tmp_path)


def test_the_report_is_of_the_run_that_was_asked_for(tmp_path):
    result = shoal(*QUICK, "--seed", "5", "--threads", "1", "--out", str(tmp_path))
    assert result.exit_code == 0, result.output
    page = written(tmp_path)
    assert "<title>shoal: the claim passes</title>" in page
    assert "shoal reproduce modes --quick --networks 4 --seed 5 --threads 1\n" in re.sub("<[^>]+>", "", page)
    rows = json.loads((tmp_path / "modes.json").read_text(encoding="utf-8"))["rows"]
    for row in rows:
        assert f">{html.escape(row['statement'], quote=False)}<" in page
        assert f">{row['measured']:.6g}<" in page


def test_a_claim_that_raises_is_on_the_page_with_what_ran_before_and_the_error_goes_on(tmp_path, monkeypatch):
    true = claims.run

    def run(claim, *given):
        if claim.name == "losses":
            raise RuntimeError("no <memory> left")
        return true(claim, *given)

    monkeypatch.setattr(claims, "run", run)
    result = shoal("reproduce", "modes", "losses", "digits", "--quick", "--networks", "4", "--out", str(tmp_path))
    assert result.exit_code == 1
    assert isinstance(result.exception, RuntimeError)
    page = written(tmp_path)
    assert "<title>shoal: 1 of 3 claims pass; stopped by an error: losses; 1 not run</title>" in page
    assert "RuntimeError: no &lt;memory&gt; left" in page
    assert page.count("<img ") == 2  # the figure and its thumbnail


def test_ctrl_c_leaves_a_page_too(tmp_path, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(claims, "run", stop)
    result = shoal(*QUICK, "--out", str(tmp_path))
    assert result.exit_code != 0
    assert "KeyboardInterrupt" in written(tmp_path)


def test_the_page_is_there_while_later_claims_still_run(tmp_path, monkeypatch):
    true = claims.run
    seen = []

    def run(name, *given):
        seen.append(written(tmp_path) if (tmp_path / "index.html").exists() else "")
        return true("modes", *given)

    monkeypatch.setattr(claims, "run", run)
    shoal("reproduce", "modes", "losses", "--quick", "--networks", "4", "--out", str(tmp_path))
    assert seen[0] == ""
    assert "<title>shoal: 1 of 2 claims pass; 1 not run</title>" in seen[1]


@pytest.fixture
def no_work(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("work was done")

    monkeypatch.setattr(claims, "run", refuse)


def test_an_unknown_claim_names_the_known_ones(no_work):
    result = shoal("reproduce", "modes", "gravity")
    assert result.exit_code == 2
    assert f"no claim 'gravity'; there are {', '.join(claims.list())}" in plain(result.output)


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


def test_of_several_claims_failures_and_the_tightest_rows_are_shown_first(tmp_path, monkeypatch):
    true = theory.Mode
    monkeypatch.setattr(theory, "Mode", lambda **given: true(**(given | {"norm": 1.05 * given["norm"]})))
    monkeypatch.setenv("COLUMNS", "60")
    command = ["reproduce", "modes", "slowing-down", "--quick", "--networks", "4", "--out", str(tmp_path)]
    shown = shoal(*command).output
    assert max(map(len, shown.splitlines())) <= max(60, len(str(tmp_path)) + 30)
    verdicts = re.findall(r"PASS|FAIL", shown.split("slowing-down:")[0])
    assert "FAIL" in verdicts
    assert verdicts == sorted(verdicts)
    assert "measured" not in shown
    rows = sum(len(json.loads((tmp_path / f"{name}.json").read_text())["rows"]) for name in ("modes", "slowing-down"))
    everything = shoal(*command, "--verbose").output
    assert len(re.findall(r"(?:PASS|FAIL) +│", everything)) == rows
    assert len(re.findall(r"(?:PASS|FAIL) +│", shown)) <= rows


def test_a_name_that_is_nearly_right_is_offered():
    assert "did you mean norm?" in plain(shoal("reproduce", "nrm").output)


def test_the_version_is_printed():
    assert shoal("--version").output == f"shoal {VERSION}\n"


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


def test_python_m_shoal_is_the_command_line() -> None:
    done = python(["-m", "shoal", "info"])
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("version")
