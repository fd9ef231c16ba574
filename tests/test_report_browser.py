"""The report in a real browser: whole, readable and without complaint, by day, by night, on a phone and on paper."""

from __future__ import annotations

import json
import re
import struct

import pytest

import chromium
from report_example import example
from shoal import report
from shoal.report.page import _COLUMNS

pytestmark = pytest.mark.slow

CONTRASTS = """
(() => {
  const parts = colour => colour.match(/[\\d.]+/g).map(Number);
  const light = colour => {
    const [r, g, b] = parts(colour).map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = element => {
    for (; element; element = element.parentElement) {
      const colour = getComputedStyle(element).backgroundColor;
      const [, , , opaque = 1] = parts(colour);
      if (opaque === 1) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const found = [];
  while (texts.nextNode()) {
    const text = texts.currentNode, element = text.parentElement;
    if (!text.data.trim()) continue;
    const [a, b] = [light(getComputedStyle(element).color), light(ground(element))];
    found.push([(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), text.data.slice(0, 60)]);
  }
  return found;
})()
"""
CUT = """
[...document.querySelectorAll("th, td, p, li, dt, dd, h1, h2, h3, .badge, figure, .command")]
  .filter(one => one.scrollWidth > one.clientWidth + 1 && getComputedStyle(one).display !== "inline")
  .filter(one => !one.closest("thead") || one.closest("thead").clientWidth > 1)
  .map(one => `${one.tagName}: ${one.textContent.slice(0, 60)}`)
"""
VIEWS = {
    "light": {},
    "dark": {"dark": True},
    "phone": {"width": 390, "height": 844},
    "phone, dark": {"width": 390, "height": 844, "dark": True},
    "print": {"media": "print", "width": 680},
    "print, dark": {"media": "print", "width": 680, "dark": True},
}


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    folder = tmp_path_factory.mktemp("browser") / "profile"
    folder.mkdir()
    with chromium.page(folder) as tab:
        yield tab


@pytest.fixture(scope="module")
def url(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("report")
    return report.write(example(folder), folder).as_uri()


@pytest.mark.parametrize("view", VIEWS)
def test_a_browser_shows_the_page_whole_and_without_complaint(browser, url, view):
    browser.open(url, **VIEWS[view])
    assert browser.complaints() == []
    assert browser.value("[...document.images].map(one => one.complete && one.naturalWidth > 0)") == [True] * 4
    assert browser.value("document.documentElement.scrollWidth <= innerWidth")
    assert browser.value(CUT) == []
    contrasts = browser.value(CONTRASTS)
    assert len(contrasts) > 150
    assert min(contrasts)[0] >= 4.5, min(contrasts)
    ground = browser.value("getComputedStyle(document.documentElement).backgroundColor")
    expected = {"light": "rgb(252, 251, 248)", "dark": "rgb(21, 23, 26)", "print": "rgba(0, 0, 0, 0)"}
    scheme = "print" if "print" in view else "dark" if "dark" in view else "light"
    assert ground == expected[scheme]


def test_the_checks_of_the_browser_find_what_is_wrong(browser, tmp_path):
    wrong = tmp_path / "wrong.html"
    wrong.write_text(
        "<!DOCTYPE html><meta name=viewport content='width=device-width'><style>p {white-space: nowrap}</style>"
        "<img src='data:image/png;base64,AAAA'><script>console.log('said')</script>"
        "<link rel=stylesheet href='http://127.0.0.1:9/style.css'>"
        f"<p style='color: #999; background: #fff'>{'wide ' * 500}</p>"
    )
    browser.open(wrong.as_uri())
    complaints = " ".join(browser.complaints())
    assert "said" in complaints
    assert "http://127.0.0.1:9/style.css" in complaints
    assert browser.value("[...document.images].map(one => one.complete && one.naturalWidth > 0)") == [False]
    assert not browser.value("document.documentElement.scrollWidth <= innerWidth")
    assert len(browser.value(CUT)) == 1
    assert browser.value(CONTRASTS)[-1][0] == pytest.approx(2.85, abs=0.01)


@pytest.mark.parametrize("width", [1280, 390])
def test_a_table_is_a_table_to_a_screen_reader_on_a_phone_too(browser, url, width):
    browser.open(url, width=width)
    for folds, tables, rows in ((False, 2, 8), (True, 4, 12)):
        browser.value(f"document.querySelectorAll('details').forEach(one => one.open = {json.dumps(folds)})")
        tree = browser.call("Accessibility.getFullAXTree")["nodes"]
        roles = [one["role"]["value"] for one in tree if not one["ignored"]]
        assert roles.count("table") == tables
        assert roles.count("row") == rows + tables
        assert roles.count("columnheader") == tables * len(_COLUMNS)
        assert roles.count("rowheader") == rows
        assert sum(role in ("cell", "gridcell") for role in roles) == (len(_COLUMNS) - 1) * rows


def test_folded_rows_are_whole_and_readable_too(browser, url):
    for view in VIEWS.values():
        browser.open(url, **view)
        browser.value("document.querySelectorAll('details').forEach(one => one.open = true)")
        assert browser.value("document.documentElement.scrollWidth <= innerWidth")
        assert browser.value(CUT) == []
        assert min(browser.value(CONTRASTS))[0] >= 4.5


def test_every_card_and_every_other_link_inside_leads_to_what_it_names(browser, url):
    browser.open(url)
    links = browser.value("[...document.querySelectorAll('a[href^=\"#\"]')].map(one => one.hash)")
    assert len(links) >= 4 + 2 + 4 * 4
    for link in dict.fromkeys(links):
        browser.value(f"document.querySelector('a[href=\"{link}\"]').click()")
        top = browser.value("document.querySelector(':target').getBoundingClientRect().top")
        assert 0 <= top < browser.value("innerHeight"), link


def test_the_page_prints_on_few_pages_which_hold_what_is_shown(browser, url):
    browser.open(url)
    pdf = browser.printed()
    assert pdf.startswith(b"%PDF")
    # Contents and terms, two claims with figures, two without, how to read, where it ran, references.
    assert len(re.findall(rb"/Type\s*/Page\b", pdf)) in (3, 4)
    browser.open(url, media="print", width=680)
    shown = "[...document.querySelectorAll('tbody tr')].filter(one => one.checkVisibility()).length"
    assert browser.value(shown) == 8
    assert browser.value("document.querySelector('.references pre').checkVisibility()") is False


def test_a_browser_takes_a_picture_of_the_page(browser, url):
    browser.open(url, width=390, scale=2)
    wide, high = struct.unpack(">II", browser.picture()[16:24])
    assert wide == 780
    assert high == pytest.approx(2 * browser.value("document.documentElement.scrollHeight"), abs=4)
