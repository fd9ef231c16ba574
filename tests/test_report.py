"""The report: one page that holds all there is, is safe whatever is written in it, and needs nothing else."""

from __future__ import annotations

import base64
import itertools
import re
import struct
from dataclasses import replace
from importlib.resources import files
from io import BytesIO

import numpy as np
import pytest
import xarray as xr
from PIL import Image

from report_example import BEGUN, MACHINE, MADE, NASTY, Node, example, figure, read
from shoal import plot, report
from shoal.claims.claim import Claim, Setting
from shoal.claims.outcome import tightest_first
from shoal.report.describe import describe
from shoal.report.machine import cpu_model, here
from shoal.report.markup import duration, number
from shoal.report.terms import terms

TIMES, MINUS, THIN = "\N{MULTIPLICATION SIGN}", "\N{MINUS SIGN}", "\N{THIN SPACE}"


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> report.Run:
    return example(tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="module")
def page(run) -> Node:
    return read(report.render(run))


def test_the_page_needs_nothing_but_itself(page, run):
    assert not [one.tag for one in page.nodes() if one.tag in ("script", "iframe", "object", "base", "form", "video")]
    sources = [value for one in page.nodes() for name, value in one.attributes.items() if name in ("src", "srcset")]
    assert len(sources) == 4
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert not [name for one in page.nodes() for name in one.attributes if name.startswith("on")]
    assert all(one.attributes["href"].startswith("data:") for one in page.all("link"))
    outward = {one.attributes["href"] for one in page.all("a") if not one.attributes["href"].startswith("#")}
    assert outward == {"https://arxiv.org/abs/1809.06848", "https://arxiv.org/abs/2006.11209"}
    style = page.one("style").text
    assert style == files("shoal.report").joinpath("page.css").read_text(encoding="utf-8")
    assert "url(" not in style
    assert "@import" not in style
    policy = page.one("meta", **{"http-equiv": "Content-Security-Policy"}).attributes["content"]
    assert "default-src 'none'" in policy


def test_ids_are_unique_and_every_link_inside_leads_somewhere(page):
    ids = [one.attributes["id"] for one in page.nodes() if "id" in one.attributes]
    assert len(ids) == len(set(ids))
    named = [one.attributes["aria-labelledby"] for one in page.nodes() if "aria-labelledby" in one.attributes]
    inside = [one.attributes["href"][1:] for one in page.all("a") if one.attributes["href"].startswith("#")]
    assert inside
    assert set(inside) | set(named) <= set(ids)


def test_the_contents_strip_leads_to_every_claim_in_order_with_its_verdict_and_ratio(page, run):
    cards = [item.one("a") for item in page.one("nav").one("ol").all("li")]
    assert [card.words for card in cards[1:]] == ["second-one ✗ FAIL", "third ! ERROR", "fourth \N{EN DASH} NOT RUN"]
    assert cards[0].words == f"first ✓ PASS {run.entries[0].ratio:.2g}"
    sections = page.all("section", **{"class": "claim"})
    assert [card.attributes["href"][1:] for card in cards] == [one.attributes["id"] for one in sections]


def test_a_card_shows_the_first_panel_of_its_figure_in_small(page, run):
    cards = page.one("nav").one("ol").all("li")
    small = [base64.b64decode(card.one("img").attributes["src"].split(",")[1]) for card in cards[:2]]
    assert not cards[2].all("img") + cards[3].all("img")
    assert small == [entry.thumbnail for entry in run.entries[:2]]
    whole = np.asarray(Image.open(BytesIO(run.entries[0].picture)).convert("L"), float)
    shown = np.asarray(Image.open(BytesIO(small[0])).convert("L"), float)
    assert shown.shape[0] <= 240
    assert len(small[0]) < len(run.entries[0].picture)
    # The left of the figure, and not its middle: both have the same ink in the same quarters.
    left = whole[:, : whole.shape[0] * 6 // 5]
    assert quarters(shown) == pytest.approx(quarters(left), abs=1.0)
    assert quarters(shown) != pytest.approx(quarters(whole), abs=1.0)


def quarters(picture: np.ndarray) -> list[float]:
    """The mean grey of the quarters of a picture."""
    high, wide = picture.shape
    return [float(part.mean()) for half in np.split(picture, [high // 2]) for part in np.split(half, [wide // 2], 1)]


def test_terms_are_defined_before_they_are_used_and_linked_where_a_claim_first_uses_them(page):
    sections = page.one("main").all("section")
    assert sections[0].attributes["id"] == "terms"
    defined = [one.text for one in sections[0].all("dt")]
    assert defined == ["margin", "mode", "tolerance", "ratio", "catches"]
    assert all(len(one.text) > 30 for one in sections[0].all("dd"))
    note = page.one("section", id="claim-first").one("ul").all("li")[1]
    assert note.text == MADE[0].notes[1]
    assert [(one.text, one.attributes["href"]) for one in note.all("a")] == [
        ("Modes", "#term-mode"),
        ("margin", "#term-margin"),
    ]
    heads = page.all("table")[0].one("thead").all("a")
    assert [(one.text, one.attributes["href"]) for one in heads] == [
        ("tolerance", "#term-tolerance"),
        ("ratio", "#term-ratio"),
        ("catches", "#term-catches"),
        ("kind", "#reading"),
    ]


def test_every_term_of_a_claim_is_defined_where_it_occurs_and_only_there(run):
    entry = replace(run.entries[2], sentence="Margins of frequencies", notes=("separated modes", "remodel, marginal"))
    assert list(terms(replace(run, chosen=run.chosen[:1], entries=(entry,)))) == [
        "margin",
        "mode",
        "frequency",
        "separated",
    ]
    entry = replace(entry, sentence="remodel", notes=("marginal", "inseparated"))
    assert not terms(replace(run, chosen=run.chosen[:1], entries=(entry,)))


def test_what_fails_and_three_that_are_tightest_are_shown_and_the_others_are_folded(page):
    first, second = (page.one("section", id=f"claim-{name}") for name in ("first", "second-one"))
    for section, shown, said in (
        (first, 3, "3 more rows pass, with a ratio of at most"),
        (second, 5, "1 more row passes, with a ratio of at most"),
    ):
        folded = section.one("details")
        assert "open" not in folded.attributes
        assert folded.one("summary").words.startswith(said)
        assert [len(one.one("tbody").all("tr")) for one in section.all("table")] == [shown, 6 - shown]
        assert len(folded.one("tbody").all("tr")) == 6 - shown
    tags = [one.tag for one in first.nodes() if one.tag in ("figure", "table", "details", "ul")]
    assert tags == ["figure", "table", "details", "table", "ul"]
    verdicts = [row.all("td")[-1].text for row in second.all("table")[0].one("tbody").all("tr")]
    assert verdicts == ["✗ FAIL"] * 2 + ["✓ PASS"] * 3


def test_the_first_lines_say_what_came_out(page):
    header = page.one("header")
    said = "1 of 4 claims pass; failed: second-one; stopped by an error: third; 1 not run"
    assert page.one("title").text == f"shoal: {said}"
    assert header.one("strong").text == f"{said}."
    assert "12 comparisons" in header.text
    assert "2 min 17 s" in header.text
    assert header.one("time").text == "4 March 2026, 05:06 UTC"
    assert header.one("time").attributes["datetime"] == "2026-03-04T05:06:07+00:00"
    assert header.one("code").text == "shoal reproduce --quick --seed 17"


def test_a_run_in_which_all_pass_says_so(run):
    entry = run.entries[0]
    once = replace(run, chosen=run.chosen[:1], entries=(entry,))
    assert read(report.render(once)).one("title").text == "shoal: the claim passes"
    twice = replace(run, chosen=run.chosen[:2], entries=(entry, replace(entry, name="other")))
    assert read(report.render(twice)).one("title").text == "shoal: all 2 claims pass"


@pytest.mark.parametrize("at", [0, 1])
def test_every_row_of_a_table_is_there_with_its_numbers(page, run, at):
    section = page.all("section", **{"class": "claim"})[at]
    heads, again = ([head.text for head in table.all("th", scope="col")] for table in section.all("table"))
    assert heads == again
    assert heads == [
        "statement",
        "measured",
        "predicted",
        "tolerance",
        "ratio",
        "catches",
        "kind",
        "networks",
        "verdict",
    ]
    rows = [row for table in section.all("table") for row in table.one("tbody").all("tr")]
    assert len(rows) == len(MADE[at].rows)
    ratios = [made.comparison.ratio for made in tightest_first(MADE[at].rows)]
    assert ratios == sorted(ratios, reverse=True)
    for row, made in zip(rows, tightest_first(MADE[at].rows), strict=True):
        held = made.comparison
        assert row.one("th", scope="row").text == made.statement
        cells = row.all("td")
        assert [cell.attributes["data-label"] for cell in cells] == heads[1:]
        shown = [readable(cell.text) for cell in cells]
        expected = [held.measured, held.predicted, held.tolerance, held.ratio]
        assert [float(text) for text in shown[:4]] == pytest.approx(expected, rel=0.05)
        assert float(shown[0]) == pytest.approx(held.measured, rel=1e-5)
        assert shown[4:] == [
            str(held.catches),
            held.kind,
            str(held.networks),
            f"{'✓' if held.passed else '✗'} {held.verdict}",
        ]
    assert {one.text for one in page.one("section", id="reading").all("dt")} == {"statistical", "flow", "majority"}


def readable(text: str) -> str:
    """A number of the page as Python writes it."""
    text = text.strip().replace(MINUS, "-").replace(",", "").replace("∞", "inf")
    return re.sub(rf"\s{TIMES}\s10", "e", text)


def test_a_section_holds_sentence_source_keys_notes_command_and_time(page):
    section = page.one("section", id="claim-second-one")
    assert section.one("p", **{"class": "sentence"}).text == MADE[1].sentence
    source = section.one("p", **{"class": "source"})
    assert source.text == f"Source: {MADE[1].source} [tachet2018learning] [pellegrini2020analytic]\n".rstrip("\n")
    assert [item.text for item in section.one("ul").all("li")] == list(MADE[1].notes)
    assert section.one("code").text == "shoal reproduce second-one --quick --seed 17"
    assert "2 min 5 s" in section.text


def test_a_claim_that_was_stopped_shows_the_error_and_no_table(page):
    section = page.one("section", id="claim-third")
    assert section.all("code")[0].text == f"RuntimeError: {NASTY}"
    assert not section.all("table")
    assert not page.one("section", id="claim-fourth").all("table")
    assert "had not run" in page.one("section", id="claim-fourth").text


def test_words_are_shown_as_they_are_and_never_become_markup(page):
    # Statement, sentence, source, notes, error, CPU and title of a panel hold it; the tree that was read back has it as
    # text, and none of its elements.
    assert not page.all("b")
    assert page.text.count(NASTY) >= 6
    assert not [one for one in page.nodes() if "alert" in " ".join(one.attributes) or "b" in one.attributes]


def test_pictures_are_inside_with_their_size_and_what_they_show_in_words(page, run):
    images = page.one("main").all("img")
    for image, png in zip(images, [entry.picture for entry in run.entries[:2]], strict=True):
        assert png.startswith(b"\x89PNG")
        assert base64.b64decode(image.attributes["src"].split(",")[1]) == png
        wide, high = struct.unpack(">II", png[16:24])
        assert (int(image.attributes["width"]), int(image.attributes["height"])) == (wide // 2, high // 2)
        assert image.attributes["alt"] == describe(MADE[0].figure)


def test_a_figure_is_told_by_its_own_words():
    said = describe(figure())
    assert said.startswith("2 panels. Left panel: margin m_1 against time; shown are formula rho^2, trained. ")
    assert said.endswith(" Colours show fraction that fails.")
    assert describe(plot.figure(("Only",))[0]) == "Only."


def test_headings_stand_in_order_and_there_is_one_title(page):
    levels = [int(one.tag[1]) for one in page.nodes() if re.fullmatch(r"h[1-6]", one.tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))


def test_the_language_is_told_and_no_verdict_is_a_colour_only(page):
    assert page.attributes["lang"] == "en"
    badges = [one for one in page.all("span") if "badge" in one.attributes.get("class", "").split()]
    assert len(badges) == 4 + 4 + 12
    assert all(re.fullmatch("(✓ PASS|✗ FAIL|! ERROR|\N{EN DASH} NOT RUN)", one.text) for one in badges)


def test_references_name_what_the_claims_cite_and_shoal_and_hold_their_bibtex(page):
    entries = page.one("section", id="references").all("li")
    keys = [entry.attributes["id"].removeprefix("cite-") for entry in entries]
    assert keys == ["tachet2018learning", "pellegrini2020analytic", "shoal"]
    assert all(f"{{{key}," in entry.one("pre").text for key, entry in zip(keys, entries, strict=True))
    said = [entry.words.removesuffix(entry.one("details").words).strip() for entry in entries]
    assert said[0].startswith("[tachet2018learning] Tachet des Combes et al. (2018), On the Learning Dynamics of")
    assert said[0].endswith("Neural Networks, arXiv:1809.06848")
    assert said[1].startswith("[pellegrini2020analytic] Pellegrini and Biroli (2020), An analytic")
    assert said[2].startswith("[shoal] shoal developers, shoal: many small neural networks")


def test_where_it_ran_is_told(page, run):
    place = page.one("section", id="place")
    told = dict(zip((one.text for one in place.all("dt")), (one.text for one in place.all("dd")), strict=True))
    assert told == {**dict(MACHINE.lines()), "wall time": "2 min 17 s"}


def test_this_machine_is_told_with_the_versions_that_run():
    machine = here(threads=3)
    told = dict(machine.lines())
    assert told["threads"] == "3"
    assert told["numpy"] == np.__version__
    assert told["xarray"] == xr.__version__
    assert {"scipy", "matplotlib", "Python", "platform", "instruction set"} <= told.keys()
    assert machine.cpu == cpu_model() != ""


@pytest.mark.parametrize(
    ("setting", "everything", "isa", "expected"),
    [
        (Setting(), True, "", "shoal reproduce --seed 0"),
        (Setting(quick=True, seed=2**64 - 1), True, "", f"shoal reproduce --quick --seed {2**64 - 1}"),
        (Setting(networks=40, threads=2), False, "", "shoal reproduce a 'b c' --networks 40 --seed 0 --threads 2"),
        (Setting(), True, "avx2", "SHOAL_ISA=avx2 shoal reproduce --seed 0"),
    ],
)
def test_the_command_is_that_of_the_run(monkeypatch, setting, everything, isa, expected):
    monkeypatch.setenv("SHOAL_ISA", isa)
    chosen = tuple(Claim(name, "", "", lambda _: None) for name in ("a", "b c"))
    run = report.Run(chosen, setting, MACHINE, BEGUN, everything=everything)
    assert run.command() == expected
    assert run.command("a") == expected.replace(" a 'b c'", "").replace("reproduce", "reproduce a")


@pytest.mark.parametrize(
    ("value", "digits", "said"),
    [
        (0.0, 6, "0"),
        (0.460466123, 6, "0.460466"),
        (-1.5, 2, f"{MINUS}1.5"),
        (3.2e-5, 2, f"3.2 {TIMES} 10^{MINUS}5"),
        (-1.234567e12, 6, f"{MINUS}1.23457 {TIMES} 10^12"),
        (1e100, 2, f"1 {TIMES} 10^100"),
        (float("inf"), 2, "∞"),
        (float("-inf"), 2, f"{MINUS}∞"),
        (float("nan"), 2, "\N{EN DASH}"),
    ],
)
def test_numbers_are_written_as_a_reader_would(value, digits, said):
    assert re.sub(r"<[^>]+>", "", str(number(value, digits)).replace("<sup>", "^")).replace(THIN, " ") == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.6, "1 min 0 s"),
        (125, "2 min 5 s"),
        (3599.7, "1 h 0 min"),
        (4321, "1 h 12 min"),
    ],
)
def test_times_are_said_as_a_reader_would(seconds, said):
    assert duration(seconds) == said


def test_a_page_is_replaced_whole(run, tmp_path):
    (tmp_path / "index.html").write_text("an older page")
    path = report.write(run, tmp_path)
    assert path == tmp_path / "index.html"
    assert path.read_text(encoding="utf-8") == report.render(run)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["index.html", "summary.md", "verdicts.md"]


def palette(scheme: str) -> dict[str, str]:
    """The colours of the style, by name, in light or in dark."""
    style = files("shoal.report").joinpath("page.css").read_text(encoding="utf-8")
    light, dark = re.findall(r":root \{(.*?)\}", style, re.DOTALL)
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", light))
    assert colours.keys() == dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", dark)).keys()
    return colours | (dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", dark)) if scheme == "dark" else {})


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_stands_out_from_its_ground(scheme):
    colours = palette(scheme)
    pairs = [(text, ground) for text in ("ink", "quiet", "link") for ground in ("paper", "raised")]
    pairs += [(text, f"{text}-soft") for text in ("pass", "fail", "wait")]
    for text, ground in pairs:
        high, low = sorted((luminance(colours[text]), luminance(colours[ground])), reverse=True)
        assert (high + 0.05) / (low + 0.05) >= 4.5, (text, ground)
