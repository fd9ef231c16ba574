"""The page of a report: what its template ``page.html`` is filled with."""

from __future__ import annotations

import base64
import math
import re
import struct
from collections.abc import Iterable
from datetime import UTC
from importlib.resources import files

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup, escape

from shoal.cite import Reference, references, software
from shoal.claims.outcome import Row, split, tightest_first
from shoal.report.markup import duration, number
from shoal.report.report import Entry, Run
from shoal.report.terms import KINDS, explained, terms

__all__ = ["render"]

_ICON = (
    "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'>"
    "<path d='M1 3c8 0 6 10 14 10' fill='none' stroke='#0072b2' stroke-width='2.5' stroke-linecap='round'/></svg>"
)
_MARKS = {"PASS": "\N{CHECK MARK}", "FAIL": "\N{BALLOT X}", "ERROR": "!", "NOT RUN": "\N{EN DASH}"}
_COLUMNS = ("statement", "measured", "predicted", "tolerance", "ratio", "catches", "kind", "networks", "verdict")
_PLAIN = ("statement", "kind", "verdict")  # all others are columns of numbers
_TIGHTEST = 3  # rows of a claim that are shown besides those that fail; the others are folded


def render(run: Run) -> str:
    """Return the page of a run as HTML.

    It needs neither script nor network: pictures are inside, the style too. All text is escaped.
    """
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined)
    cited = dict.fromkeys(paper for entry in run.listed for paper in references(entry.source))
    rows = [row for entry in run.entries for row in entry.rows]
    return environment.from_string(_file("page.html")).render(
        run=run,
        rows=rows,
        terms=terms(run),
        begun=run.begun.astimezone(UTC),
        verdict=_verdict(run),
        place=dict(run.machine.lines()) | {"wall time": duration(run.seconds)},
        kinds={kind: said for kind, said in KINDS.items() if kind in {row.comparison.kind for row in rows}},
        papers=[*cited, software(run.machine.shoal)],
        style=Markup(_file("page.css")),
        icon=_data("image/svg+xml", _ICON.encode()),
        marks=_MARKS,
        columns=_COLUMNS,
        plain=_PLAIN,
        infinity=math.inf,
        anchor=_anchor,
        by=_by,
        data=_data,
        explained=explained,
        files={claim.name: claim.file for claim in run.chosen},
        duration=duration,
        linked=_linked,
        number=number,
        parted=_parted,
        references=references,
        size=lambda png: struct.unpack(">II", png[16:24]),
        split=split,
    )


def _file(name: str) -> str:
    return files("shoal.report").joinpath(name).read_text(encoding="utf-8")


def _linked(source: str) -> Markup:
    """Return a source with its numbers at arXiv as links."""
    link = r'<a href="https://arxiv.org/abs/\1">arXiv:\1</a>'
    return Markup(re.sub(r"arXiv:(\d{4}\.\d{4,5}(?:v\d+)?)", link, str(escape(source))))


def _parted(rows: Iterable[Row]) -> tuple[list[Row], list[Row]]:
    """Return the rows that are shown, those that fail first and then the tightest, and those that are folded."""
    ordered = tightest_first(rows)
    shown = sum(not row.passed for row in ordered) + _TIGHTEST
    return ordered[:shown], ordered[shown:]


def _by(paper: Reference) -> Markup:
    """Return a reference for a reader: authors, year, title and number at arXiv."""
    fields = {name: re.sub(r"[{}]", "", value) for name, value in paper.fields}
    names = [name.split(",")[0] for name in fields.get("author", "").split(" and ")]
    authors = f"{names[0]} et al." if len(names) > 2 else " and ".join(names)
    year = f"({fields['year']})" if "year" in fields else ""
    said = (f"{authors} {year}".strip(), fields["title"], fields.get("note"), paper.arxiv and f"arXiv:{paper.arxiv}")
    return _linked(", ".join(dict.fromkeys(filter(None, said))))


def _verdict(run: Run) -> str:
    """Return what came out, in half a sentence."""
    listed = run.listed
    of = {status: [entry.name for entry in listed if entry.status == status] for status in _MARKS}
    if len(of["PASS"]) == len(listed):
        return f"all {len(listed)} claims pass" if len(listed) > 1 else "the claim passes"
    parts = [f"{len(of['PASS'])} of {len(listed)} claim{'s pass' if len(listed) > 1 else ' passes'}"]
    for status, words in (("FAIL", "failed"), ("ERROR", "stopped by an error")):
        if of[status]:
            parts.append(f"{words}: {', '.join(of[status])}")
    if of["NOT RUN"]:
        parts.append(f"{len(of['NOT RUN'])} not run")
    return "; ".join(parts)


def _anchor(entry: Entry) -> str:
    return "claim-" + re.sub(r"[^\w-]", "-", entry.name)


def _data(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
