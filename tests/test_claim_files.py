"""Claims on the command line: files of one's own, those of installed packages, and what is refused."""

import re
import sys
import warnings

import pytest
from typer.testing import CliRunner

from shoal import claims
from shoal.claims import registry
from shoal.claims.registry import of_file
from shoal.cli import app

ONE = """
import shoal

@shoal.claim("{name}", "A coin that is fair shows heads half of the time [sic].", source="arXiv:1809.06848")
def test(run):
    run.compare_fraction("heads [of {name}]", {count}, 10_000, 0.5)
    run.must_fail("probability 0.45", shoal.compare_fraction({count}, 10_000, 0.45))
    run.note(f"seed {{run.seed}}, networks {{run.networks()}}")
"""


def shoal(*arguments):
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, list(map(str, arguments)))


def plain(text):
    return re.sub(r"[\s│╭╮╰╯─]+", " ", re.sub(r"\x1b\[[0-9;]*m", "", text))


@pytest.fixture
def coin(tmp_path):
    def write(name="coin", count=5_050, file="coin.py", more=""):
        path = tmp_path / file
        path.write_text(ONE.format(name=name, count=count) + more)
        return path

    return write


def test_a_file_is_run_by_its_path_and_leaves_what_it_made(coin, tmp_path):
    result = shoal("reproduce", coin(), "--seed", 3, "--networks", 7, "--out", tmp_path / "out")
    said = plain(result.output)
    assert result.exit_code == 0, result.output
    assert "coin: A coin that is fair shows heads half of the time [sic]." in said
    assert "heads [of coin]" in said
    assert "probability 0.45" in said
    assert "seed 3, networks 7" in said
    assert "PASS: all 1 claims" in said
    made = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert made == ["coin.json", "index.html", "summary.md", "verdicts.md"]
    assert "shoal reproduce coin.py --networks 7 --seed 3`" in (tmp_path / "out" / "verdicts.md").read_text()


def test_a_file_that_fails_exits_with_one(coin, tmp_path):
    result = shoal("reproduce", coin(count=4_600), "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert "FAIL: coin (0 of 1 passed)" in plain(result.output)
    assert "not caught: probability 0.45" in plain(result.output)


def test_files_and_names_are_mixed_several_claims_a_file_and_each_runs_once(coin, tmp_path, monkeypatch):
    ran = []
    true = claims.run

    def run(claim, *given):
        ran.append(claim.name)
        return true(claim if claim.file else two, *given)

    path = coin(more=ONE.format(name="a-second", count=5_000).replace("def test", "def other"))
    two = of_file(path)[0]
    monkeypatch.setattr(claims, "run", run)
    result = shoal("reproduce", path, "modes", path, "modes", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert ran == ["coin", "a-second", "modes"]
    said = (tmp_path / "out" / "summary.md").read_text()
    assert "shoal reproduce coin.py modes --seed 0`" in said


def test_a_file_finds_the_modules_beside_it_and_not_the_claims_it_imports(coin, tmp_path):
    coin(name="imported", file="claim_beside.py")
    path = coin(more="from claim_beside import test as imported\n")
    assert [claim.name for claim in of_file(path)] == ["coin"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "does not exist"),
        ("", "makes no claim: decorate a function with @shoal.claim"),
        ("\n\n1 / 0\n", "raised ZeroDivisionError: division by zero (line 3)"),
        ("import sys\nsys.exit('no')\n", "raised SystemExit: no (line 2)"),
        ("def (:\n", "raised SyntaxError: invalid syntax"),
        ("import shoal\nshoal.claim('A', 'b', source='c')\n", "raised ValueError: name must be of lower case letters"),
        (ONE.format(name="coin", count=1) * 2, "each claim must have a name of its own, got two that are called coin"),
        (ONE.format(name="modes", count=1), "calls a claim modes, as one of shoal's own is called"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_before_any_work(text, words, tmp_path):
    path = tmp_path / "mine.py"
    if text is not None:
        path.write_text(text)
    result = shoal("reproduce", path, "--out", tmp_path / "out")
    assert result.exit_code == 2
    # Paths are broken anywhere: compare without spaces.
    assert words.replace(" ", "") in plain(result.output).replace(" ", "")
    assert "mine.py" in plain(result.output).replace(" ", "") or "two that are called" in words
    assert not (tmp_path / "out").exists()


def test_a_folder_and_a_file_of_another_kind_are_refused(tmp_path):
    with pytest.raises(ValueError, match="is a folder; a file is needed"):
        of_file(tmp_path)
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(ValueError, match=r"must be a Python file, such as claim\.py"):
        of_file(tmp_path / "notes.txt")


def test_two_files_with_claims_of_one_name_are_refused(coin, tmp_path):
    result = shoal("reproduce", coin(), coin(file="other.py"), "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert "got two that are called coin" in plain(result.output)


def test_a_claim_that_compares_nothing_is_an_error_with_its_name(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("import shoal\n@shoal.claim('empty', 'b', source='c')\ndef empty(run):\n    run.note('d')\n")
    result = shoal("reproduce", path, "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert "claim empty compared nothing" in str(result.exception)
    assert "claim empty compared nothing" in (tmp_path / "out" / "index.html").read_text()


def test_a_claim_of_shoal_is_listed_because_its_file_is_there_and_those_without_a_place_come_last(monkeypatch):
    assert tuple(registry.of_package()) == registry.ORDER
    monkeypatch.setattr(registry, "ORDER", tuple(name for name in registry.ORDER if name not in ("norm", "digits")))
    assert tuple(registry.of_package.__wrapped__()) == (*registry.ORDER, "digits", "norm")


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Put a distribution with entry points of claims where Python finds it."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(site)

    def add(package, text, points):
        monkeypatch.delitem(sys.modules, package, raising=False)
        (site / f"{package}.py").write_text(text)
        info = site / f"{package}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text("[shoal.claims]\n" + "".join(f"{point}\n" for point in points))

    return add


def test_claims_of_installed_packages_are_listed_and_run_by_name(install, tmp_path):
    two = ONE.format(name="thrown", count=5_050) + ONE.format(name="tossed", count=5_000).replace("test", "other")
    install("coins_of_others", two, ["all = coins_of_others"])
    install("coin_of_another", ONE.format(name="single", count=5_000), ["one = coin_of_another:test"])
    assert claims.list()[-3:] == ("thrown", "tossed", "single")
    assert len(claims.list()) == 31
    listed = plain(shoal("list").output)
    assert all(name in listed for name in ("thrown", "tossed", "single", "modes"))
    result = shoal("reproduce", "tossed", "single", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "shoal reproduce tossed single --seed 0`" in (tmp_path / "out" / "summary.md").read_text()
    assert claims.run("tossed").passed


@pytest.mark.parametrize(
    ("text", "point", "words"),
    [
        ("1 / 0", "a = broken_package", "ZeroDivisionError: division by zero"),
        ("import no_such_module", "a = broken_package", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("raise SystemExit('no')", "a = broken_package", "SystemExit: no"),
        ("", "a = broken_package:test", "AttributeError"),
        ("", "a = broken_package", "ValueError: broken_package has no claim"),
        (
            "test = 3",
            "a = broken_package:test",
            "TypeError: an entry point must name a claim or a module of claims",
        ),
        (ONE.format(name="modes", count=1), "a = broken_package", "ValueError: the name modes is taken"),
    ],
)
def test_a_package_whose_claims_cannot_be_had_is_a_warning(install, tmp_path, text, point, words):
    install("broken_package", text, [point])
    with pytest.warns(UserWarning, match=re.escape(f"no claims from broken_package ({point}): {words}")):
        assert len(claims.list()) == 28
    result = shoal("list")
    assert result.exit_code == 0
    assert f"warning: no claims from broken_package ({point})" in plain(result.output)
    assert "phase-diagram" in result.output


def test_without_installed_claims_nothing_is_said():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(claims.known()) == 28
