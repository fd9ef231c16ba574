"""The page of a report: what stands where."""

from __future__ import annotations

import base64
import re
import struct
from collections.abc import Iterable
from datetime import UTC
from importlib.resources import files
from xml.etree.ElementTree import Element

from shoal.cite import Reference, references, software
from shoal.claims.outcome import Row, split
from shoal.report.markup import document, duration, node, number
from shoal.report.report import Entry, Run

__all__ = ["render"]

# Nothing is loaded from anywhere, and no script runs, even where a reader's browser is led to try.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_ICON = (
    "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'>"
    "<path d='M1 3c8 0 6 10 14 10' fill='none' stroke='#0072b2' stroke-width='2.5' stroke-linecap='round'/></svg>"
)
_MARKS = {"PASS": "\N{CHECK MARK}", "FAIL": "\N{BALLOT X}", "ERROR": "!", "NOT RUN": "\N{EN DASH}"}
_COLUMNS = ("statement", "measured", "predicted", "tolerance", "ratio", "catches", "kind", "networks", "verdict")
_PLAIN = ("kind", "verdict")
_NAMED = (
    "Below that amount are theories that the claim names as wrong. The comparison has to fail with each of them. One "
    "that passes is shown as not caught, and fails the row."
)
_KINDS = {
    "exact": "The same networks at rate, rate/2 and rate/4 are carried to rate 0. Allowed is the last correction that "
    "this made, and halving the rate has to halve the bias.",
    "flow": "Gradient flow itself, integrated to a tolerance. Allowed is that tolerance times the largest value that "
    "is predicted for the series, plus a stated bias.",
    "statistical": "A mean over networks. Allowed are four standard errors, or as many more as Student's t asks for "
    "with few networks, plus a stated bias.",
    "fraction": "A count against a probability. Allowed is what the Wilson interval of four standard deviations "
    "reaches towards the prediction, plus a stated bias.",
    "majority": "A count against one half. The whole Wilson interval of four standard deviations has to lie above it.",
}


def render(run: Run) -> str:
    """Return the page of a run as HTML.

    It needs neither script nor network: pictures are inside, the style too. All text is escaped.
    """
    head = node(
        "head",
        node("meta", charset="utf-8"),
        node("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        node("meta", name="viewport", content="width=device-width, initial-scale=1"),
        node("meta", name="color-scheme", content="light dark"),
        node("meta", name="generator", content=f"shoal {run.machine.shoal}"),
        node("title", f"shoal: {_verdict(run)}"),
        node("link", rel="icon", href=_data("image/svg+xml", _ICON.encode())),
        node("style", files("shoal.report").joinpath("page.css").read_text(encoding="utf-8")),
    )
    claims = [_claim(run, entry) for entry in run.listed]
    main = node("main", *claims, _reading(run), _place(run), _bibliography(run))
    return document(node("html", head, node("body", _header(run), main), lang="en"))


def _header(run: Run) -> Element:
    count = sum(len(entry.rows) for entry in run.entries)
    begun = run.begun.astimezone(UTC)
    when = f"{begun.day} {begun:%B %Y, %H:%M} UTC"
    lede = f"{_verdict(run)[:1].upper()}{_verdict(run)[1:]}."
    told = f" {split(row for entry in run.entries for row in entry.rows)}; {duration(run.seconds)}."
    return node(
        "header",
        node("p", f"shoal {run.machine.shoal}", class_="edition"),
        node("h1", "Claims put to the test"),
        node("p", node("strong", lede), told if count else "", class_="lede"),
        node(
            "p",
            node("time", when, datetime=begun.isoformat(timespec="seconds")),
            f" · seed {run.setting.seed} · {run.machine.isa.split(' ')[0]}, "
            f"{run.machine.threads} thread{_s(run.machine.threads)} · {run.machine.cpu}",
            class_="when",
        ),
        _code(run.command()),
        node("nav", node("h2", "Contents", id="contents"), _contents(run), aria_labelledby="contents"),
    )


def _contents(run: Run) -> Element:
    items = []
    for entry in run.listed:
        told = [f"ratio at most {entry.ratio:.2g}"] if 0 < entry.ratio < float("inf") else []
        told += [duration(entry.seconds)] if entry.seconds else []
        link = node("a", entry.name, href=f"#{_anchor(entry)}")
        where = node("span", " · ".join(told), class_="told")
        items.append(node("li", _badge(entry.status), node("p", link, " ", entry.sentence), where))
    return node("ol", *items, class_="contents")


def _claim(run: Run, entry: Entry) -> Element:
    title = f"{_anchor(entry)}-title"
    parts: list[Element] = [
        node("div", node("h2", entry.name, id=title), _badge(entry.status), class_="title"),
        node("p", entry.sentence, class_="sentence"),
        node("p", "Source: ", *_linked(entry.source), *_keys(entry.source), class_="source"),
    ]
    if entry.error:
        parts.append(
            node("p", "The claim was stopped by an error. ", node("code", entry.error), class_="stopped by-error")
        )
    elif not entry.rows:
        parts.append(node("p", "This claim had not run to its end when the page was written.", class_="stopped"))
    else:
        parts.append(_table(entry))
    if entry.picture:
        parts.append(_figure(entry))
    if entry.notes:
        parts.append(node("h3", "Notes"))
        parts.append(node("ul", *(node("li", note) for note in entry.notes), class_="notes"))
    files = {claim.name: claim.file for claim in run.chosen}
    parts.append(node("h3", "The file of this claim" if files.get(entry.name) else "This claim alone"))
    parts.append(_code(run.command(entry.name)))
    if entry.seconds:
        parts.append(node("p", f"Wall time here: {duration(entry.seconds)}.", class_="told"))
    return node("section", *parts, id=_anchor(entry), class_="claim", aria_labelledby=title)


def _table(entry: Entry) -> Element:
    # The roles say once more what the elements mean: on a phone rows are laid out as blocks, and browsers then forget.
    numeric = tuple(name for name in _COLUMNS[1:] if name not in _PLAIN)
    heads = [
        node("th", name, scope="col", role="columnheader", class_="number" if name in numeric else "")
        for name in _COLUMNS
    ]
    return node(
        "table",
        node("caption", f"Verdicts of {entry.name}"),
        node("thead", node("tr", *heads, role="row"), role="rowgroup"),
        node("tbody", *(_row(row) for row in entry.rows), role="rowgroup"),
        role="table",
    )


def _row(row: Row) -> Element:
    held = row.comparison
    left = f" ({held.left_out} diverged, left out)" if held.left_out else ""
    # A bar as long as the part of the tolerance that was used; a full one where it did not suffice.
    used = 100.0 if not held.ratio <= 1 else 100 * held.ratio
    bar = node("span", class_="bar" if held.passed else "bar exceeded", style=f"--used:{used:.3g}%", aria_hidden="true")
    cells: dict[str, tuple[Element | str, ...]] = {
        "measured": (number(held.measured, 6),),
        "predicted": (number(held.predicted, 6),),
        "tolerance": (number(held.tolerance, 2),),
        "ratio": (number(held.ratio, 2), bar),
        "catches": tuple(part for said in row.catches for part in (node("br"), said))[1:],
        "kind": (held.kind,),
        "networks": (f"{held.networks:,}",),
        "verdict": (_badge(row.verdict),),
    }
    return node(
        "tr",
        node("th", row.statement + left, scope="row", role="rowheader"),
        *(
            node("td", *said, role="cell", data_label=name, class_="" if name in _PLAIN else "number")
            for name, said in cells.items()
        ),
        role="row",
    )


def _figure(entry: Entry) -> Element:
    wide, high = struct.unpack(">II", entry.picture[16:24])
    # Half the pixels: sharp on a fine screen. The frame scrolls where the picture would become too small to read.
    image = node(
        "img",
        src=_data("image/png", entry.picture),
        alt=entry.alternative,
        width=str(wide // 2),
        height=str(high // 2),
        style=f"--aspect:{wide / high:.3f}",
    )
    frame = node(
        "div", image, class_="frame", role="group", aria_label=f"Figure of {entry.name}, can be scrolled", tabindex="0"
    )
    caption = "Lines are theory, points and bands are trained networks, unless the legend says otherwise."
    return node("figure", frame, node("figcaption", caption))


def _reading(run: Run) -> Element:
    found = {row.comparison.kind for entry in run.entries for row in entry.rows}
    kinds = [(kind, meaning) for kind, meaning in _KINDS.items() if kind in found]
    return node(
        "section",
        node("h2", "How to read the tables", id="reading-title"),
        node(
            "p",
            "Measured and predicted stand at the worst point of each comparison, the one of the largest ratio. The "
            "ratio is the gap between them over the tolerance, and at most 1 for a pass; the bar shows it. The "
            "tolerance follows from the data by the rule of its kind. Conditions, sizes and the times compared were "
            "chosen for each claim, in some after a look at the outcome; the claim's page in the documentation says "
            "where.",
        ),
        node(
            "p",
            "Catches is how wrong a theory has to be to fail: each comparison runs again with predictions multiplied "
            "and divided by 1.001, 1.01, 1.05, 1.2 and 2. The smallest wrong amount that fails both ways is shown. "
            "Where all predictions are 0, they are shifted by 0.001, 0.01, 0.05, 0.2 and 1 instead. A majority refutes "
            "every theory by which at most the fraction shown succeed.",
        ),
        *([node("p", _NAMED)] if any(row.wrong for entry in run.entries for row in entry.rows) else []),
        *([_definitions(kinds)] if kinds else []),
        id="reading",
        aria_labelledby="reading-title",
    )


def _place(run: Run) -> Element:
    return node(
        "section",
        node("h2", "Where it ran", id="place-title"),
        node(
            "p",
            "The command at the top repeats the run. Every draw follows from the seed. A network's bits depend neither "
            "on the threads nor on the other networks, and are the same on every instruction set with fused "
            "multiply-add.",
        ),
        _definitions([*run.machine.lines(), ("wall time", duration(run.seconds))]),
        id="place",
        aria_labelledby="place-title",
    )


def _bibliography(run: Run) -> Element:
    cited = dict.fromkeys(paper for entry in run.listed for paper in references(entry.source))
    entries = [_entry(paper) for paper in (*cited, software(run.machine.shoal))]
    return node(
        "section",
        node("h2", "References", id="references-title"),
        node("p", "As BibTeX. The command ", node("code", "shoal cite CLAIM"), " prints those of a claim."),
        *entries,
        id="references",
        aria_labelledby="references-title",
    )


def _entry(paper: Reference) -> Element:
    # A code block that is wider than a phone scrolls, which a keyboard has to be able to do too.
    label = f"BibTeX of {paper.key}"
    return node("pre", node("code", str(paper)), id=f"cite-{paper.key}", role="group", aria_label=label, tabindex="0")


def _linked(source: str) -> list[Element | str]:
    """Return a source with its numbers at arXiv as links."""
    parts = re.split(r"(arXiv:\d{4}\.\d{4,5}(?:v\d+)?)", source)
    return [
        node("a", part, href=f"https://arxiv.org/abs/{part[6:]}") if i % 2 else part for i, part in enumerate(parts)
    ]


def _keys(source: str) -> list[Element | str]:
    """Return links to the BibTeX of the papers that a source names."""
    told: list[Element | str] = []
    for paper in references(source):
        told += [" ", node("a", f"[{paper.key}]", href=f"#cite-{paper.key}", class_="key")]
    return told


def _definitions(pairs: Iterable[tuple[str, str]]) -> Element:
    return node("dl", *(node("div", node("dt", name), node("dd", value)) for name, value in pairs))


def _code(command: str) -> Element:
    # A line may end between two words and not inside of one, where a hyphen would be lost.
    words: list[Element | str] = []
    for word in command.split(" "):
        words += [" ", node("span", word)]
    return node("pre", node("code", *words[1:]), class_="command", role="group", aria_label="Command", tabindex="0")


def _badge(status: str) -> Element:
    mark = node("span", _MARKS[status], aria_hidden="true")
    return node("span", mark, f" {status}", class_=f"badge {status.lower().replace(' ', '-')}")


def _verdict(run: Run) -> str:
    """Return what came out, in half a sentence."""
    listed = run.listed
    of = {status: [entry.name for entry in listed if entry.status == status] for status in _MARKS}
    if len(of["PASS"]) == len(listed):
        return f"all {len(listed)} claims pass" if len(listed) > 1 else "the claim passes"
    told = [f"{len(of['PASS'])} of {len(listed)} claim{_s(len(listed))} pass{'es' if len(listed) == 1 else ''}"]
    for status, words in (("FAIL", "failed"), ("ERROR", "stopped by an error")):
        if of[status]:
            told.append(f"{words}: {', '.join(of[status])}")
    if of["NOT RUN"]:
        told.append(f"{len(of['NOT RUN'])} not run")
    return "; ".join(told)


def _anchor(entry: Entry) -> str:
    return "claim-" + re.sub(r"[^\w-]", "-", entry.name)


def _data(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def _s(count: int) -> str:
    return "" if count == 1 else "s"
