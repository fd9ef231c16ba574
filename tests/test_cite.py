"""Citations: valid BibTeX, the right papers, the version of shoal that was used."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
import xarray as xr
from typer.testing import CliRunner

import shoal
from shoal import claims
from shoal.cite import PAPERS, paper, references, software
from shoal.cli import app

ROOT = Path(__file__).parent.parent


def entries(text: str) -> dict[str, dict[str, str]]:
    """Read BibTeX as BibTeX does: an entry is @kind{key, name = {value with balanced braces}, ...}."""
    found: dict[str, dict[str, str]] = {}
    at = 0
    while at < len(text):
        head = re.compile(r"\s*@(\w+)\{([^\s,{}]+),").match(text, at)
        assert head, f"no entry at {text[at : at + 40]!r}"
        kind, key = head[1], head[2]
        assert key not in found
        found[key] = {"kind": kind}
        at = head.end()
        while not (end := re.compile(r"\s*\}\s*").match(text, at)):
            name = re.compile(r"\s*(\w+)\s*=\s*\{").match(text, at)
            assert name, f"no field at {text[at : at + 40]!r}"
            start = at = name.end()
            depth = 1
            while depth:
                depth += {"{": 1, "}": -1}.get(text[at], 0)
                at += 1
            assert name[1] not in found[key]
            found[key][name[1]] = text[start : at - 1]
            comma = re.compile(r"\s*,").match(text, at)
            assert comma, f"no comma at {text[at : at + 40]!r}"
            at = comma.end()
        at = end.end()
    return found


@pytest.fixture(scope="module")
def data() -> xr.Dataset:
    return shoal.train(
        shoal.Network((2, 3, 1)),
        shoal.tasks.modes((1.0, 2.0)),
        shoal.Gaussian(0.1),
        method=shoal.GradientDescent(0.1, 2),
    )


def test_every_entry_and_field_of_the_bibliography_is_read() -> None:
    text = Path(shoal.__file__).with_name("papers.bib").read_text(encoding="utf-8")
    assert text.count("\n@") + 1 == len(PAPERS)
    assert text.count("\n  ") == sum(len(known.fields) + 1 for known in PAPERS)  # and the label
    assert len({known.key for known in PAPERS}) == len({known.label for known in PAPERS}) == len(PAPERS)


def test_nothing_gives_shoal_in_its_version() -> None:
    (entry,) = entries(shoal.cite()).values()
    assert entry["kind"] == "misc"
    assert entry["note"] == f"Version {shoal.__version__}"
    assert entry["author"] == "{shoal developers}"


def test_a_dataset_gives_shoal_in_the_version_that_made_it(data: xr.Dataset) -> None:
    assert shoal.cite(data) == shoal.cite()
    old = data.assign_attrs(shoal_version="0.0.7")
    assert entries(shoal.cite(old))["shoal"]["note"] == "Version 0.0.7"


def test_a_claim_gives_its_papers_and_shoal_whatever_names_it() -> None:
    outcome = claims.run("modes", networks=4, quick=True)
    by_name = shoal.cite("modes")
    assert shoal.cite(claims.find("modes")) == shoal.cite(outcome) == by_name
    found = entries(by_name)
    assert list(found) == ["tachet2018learning", "shoal"]
    assert found["tachet2018learning"] == {
        "kind": "misc",
        "author": "{Tachet des Combes}, Remi and Pezeshki, Mohammad and Shabanian, Samira and Courville, Aaron and "
        "Bengio, Yoshua",
        "title": "{On the Learning Dynamics of Deep Neural Networks}",
        "year": "2018",
        "eprint": "1809.06848",
        "archiveprefix": "arXiv",
        "url": "https://arxiv.org/abs/1809.06848",
    }


def test_many_are_cited_together_each_paper_once_and_shoal_last(data: xr.Dataset) -> None:
    found = entries(shoal.cite("S13", data, "modes", "arXiv:1312.6120", "sigmoid"))
    assert list(found) == ["saxe2013exact", "tachet2018learning", "shoal"]


@pytest.mark.parametrize("known", PAPERS, ids=lambda known: known.label)
def test_every_known_paper_is_valid_bibtex_under_each_of_its_names(known) -> None:
    (entry, _) = entries(shoal.cite(known.label)).values()
    for name in (known.key, f"arXiv:{known.arxiv}", f"arXiv:{known.arxiv}v2", known.arxiv):
        assert paper(name) is known
    assert all(re.fullmatch(r"(\{[^{}]+\}|[^,]+), [^,]+", author) for author in entry["author"].split(" and "))
    assert re.fullmatch(r"\{[^{}]+\}", entry["title"])
    assert re.fullmatch(r"\d{4}\.\d{4,5}", entry["eprint"])
    assert entry["url"] == f"https://arxiv.org/abs/{entry['eprint']}"
    assert str(known).isascii()


def test_the_year_of_a_paper_is_no_earlier_than_its_first_version() -> None:
    for known in PAPERS:
        assert 0 <= int(dict(known.fields)["year"]) - (2000 + int(known.arxiv[:2])) <= 1


@pytest.mark.checkout
def test_the_papers_are_those_that_the_theory_book_names() -> None:
    page = (ROOT / "docs" / "theory" / "index.md").read_text(encoding="utf-8")
    named = dict(re.findall(r"\*\*\[(\w+)\]\*\*[^\[]*?arXiv:(\d{4}\.\d{5}|\d{4}\.\d{4})", page))
    assert named["T18"] == "1809.06848"
    assert named.items() <= {known.label: known.arxiv for known in PAPERS}.items()


def test_every_source_of_a_claim_names_a_paper_that_is_known() -> None:
    for name in claims.list():
        found = references(claims.find(name).source)
        assert found
        assert set(found) <= set(PAPERS), name


def test_a_source_is_read_in_its_order_by_number_and_by_label() -> None:
    found = references("[P21]; arXiv:1809.06848v2; theory book, chapter 6; ARXIV: 2011.09468; [sic]; [Xy99]")
    assert [known.label for known in found] == ["P21", "T18"]
    assert references("theory book, chapter 1") == ()


def test_a_paper_that_is_not_known_is_cited_by_its_number() -> None:
    claim = replace(claims.find("modes"), source="arXiv:2401.00001; theory book, chapter 1")
    found = entries(shoal.cite(claim))
    assert list(found) == ["arxiv2401.00001", "shoal"]
    assert found["arxiv2401.00001"]["url"] == "https://arxiv.org/abs/2401.00001"


@pytest.mark.parametrize(
    ("about", "kind", "message"),
    [
        ("gravity", ValueError, r"about must name a claim \(sigmoid, .*\) or a paper \(T18, .*\), got 'gravity'"),
        (3, TypeError, "about must be a dataset, a claim, its outcome or a name, got 3 of type int"),
        (None, TypeError, "got None of type NoneType"),
        (xr.Dataset(), ValueError, "it has no attribute 'shoal_version'"),
    ],
)
def test_what_cannot_be_cited_is_told(about: object, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        shoal.cite(about)


def test_datasets_of_two_versions_are_not_cited_as_one(data: xr.Dataset) -> None:
    with pytest.raises(ValueError, match=r"one version of shoal to be cited together, got 0.0.7, "):
        shoal.cite(data.assign_attrs(shoal_version="0.0.7"), data)


@pytest.mark.checkout
def test_the_citation_file_says_what_the_entries_say() -> None:
    told = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {shoal.__version__}\n" in told
    title = dict(software().fields)["title"].strip("{}")
    assert f'title: "{title}"' in told.splitlines()
    for number in re.findall(r'value: "arXiv:([\d.]+)"', told):
        fields = dict(paper(number).fields)
        assert f'title: "{fields["title"].strip("{}")}"\n    year: {fields["year"]}\n' in told
        families = [author.split(",")[0].strip("{}") for author in fields["author"].split(" and ")]
        block = told.split(f'title: "{fields["title"].strip("{}")}"')[1].split("identifiers:")[0]
        assert [name.strip('"') for name in re.findall(r"family-names: (.+)", block)] == families


def test_the_command_prints_what_the_function_returns() -> None:
    for names in ([], ["modes"], ["S13", "digits"]):
        result = CliRunner().invoke(app, ["cite", *names])
        assert result.exit_code == 0
        assert result.output == shoal.cite(*names) + "\n"


def test_the_command_refuses_a_name_that_is_not_known() -> None:
    result = CliRunner().invoke(app, ["cite", "gravity"])
    assert result.exit_code == 2
    assert "gravity" in result.output
