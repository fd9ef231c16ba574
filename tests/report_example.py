"""A report with one claim of each outcome, for the tests, and a reader that makes a tree of its page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import xarray as xr

from shoal import compare_flow, compare_mean, plot, report
from shoal.claims.claim import Claim, Outcome, Row, Setting
from shoal.report.machine import Machine
from shoal.verdicts.proportion import compare_majority

VOID = ("meta", "link", "img", "br", "hr", "input")
NASTY = """<b>"bold"</b> & <script>alert('x')</script> </style></title>--> &lt; é"""


@dataclass
class Node:
    """An element of a page that was read back."""

    tag: str
    attributes: dict[str, str]
    children: list[Node | str] = field(default_factory=list)

    def all(self, tag: str, **wanted: str) -> list[Node]:
        found = [self] if self.tag == tag and all(self.attributes.get(k) == v for k, v in wanted.items()) else []
        return found + [one for child in self.children if isinstance(child, Node) for one in child.all(tag, **wanted)]

    def one(self, tag: str, **wanted: str) -> Node:
        (found,) = self.all(tag, **wanted)
        return found

    @property
    def text(self) -> str:
        return "".join(child if isinstance(child, str) else child.text for child in self.children)

    @property
    def words(self) -> str:
        return " ".join(self.text.split())

    def nodes(self) -> Iterator[Node]:
        yield self
        for child in self.children:
            if isinstance(child, Node):
                yield from child.nodes()


class Reader(HTMLParser):
    """Reads a page and refuses one whose elements do not close in order."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open = [Node("", {})]

    def handle_starttag(self, tag, attrs):
        assert len(dict(attrs)) == len(attrs), f"an attribute of {tag} stands twice"
        made = Node(tag, {name: value or "" for name, value in attrs})
        self.open[-1].children.append(made)
        if tag not in VOID:
            self.open.append(made)

    def handle_endtag(self, tag):
        assert self.open.pop().tag == tag

    def handle_data(self, data):
        self.open[-1].children.append(data)


def read(page: str) -> Node:
    assert page.startswith("<!DOCTYPE html>\n")
    reader = Reader()
    reader.feed(page)
    reader.close()
    (root,) = reader.open
    return root.one("html")


def figure():
    made, (left, right) = plot.figure(("Left panel", NASTY))
    plot.theory(left, [1, 2], [1, 2], label=r"formula $\rho^2$")
    plot.points(left, [1, 2], [1, 2.1], label="trained")
    left.set_xlabel("time")
    left.set_ylabel(r"$\mathrm{margin}\ m_{1}$")
    plot.legend(left)
    right.set_xlabel("width")
    scale = right.imshow(np.eye(3))
    made.colorbar(scale, ax=right, label="fraction that fails")
    return made


def outcome(name: str, passes: bool, words: str = "plain words") -> Outcome:
    off = 0.0 if passes else 1.0
    rows = (
        Row(f"{words}: mean", compare_mean(np.arange(50.0), 24.5 + 40 * off)),
        Row("flow", compare_flow(np.full((3, 4), -1.23456789e-9), np.full((3, 4), -1.23456789e-9), tolerance=1e-7)),
        Row("majority", compare_majority(0 if off else 20, 20)),
        *(Row(f"flow of mode {i}", compare_flow([[1 + i * 1e-9]], [[1.0]], tolerance=1e-7)) for i in (1, 2, 3)),
    )
    source = f"arXiv:1809.06848 and [PB20]; theory book, chapter 2; {words}"
    return Outcome(
        name,
        f"{words} of {name}.",
        source,
        rows,
        xr.Dataset(),
        figure(),
        (f"{words}, noted.", "Modes of one margin & mode."),
    )


def claim_of(made: Outcome) -> Claim:
    return Claim(made.name, made.sentence, made.source, lambda _: made)


MACHINE = Machine(
    "0.1.0", "3.11", (("numpy", "2.0"), ("scipy", "1.1")), "avx2 (4 x float64)", "Eigen", NASTY, 3, "Linux"
)
MADE = (
    outcome("first", True),
    outcome("second-one", False, NASTY),
    outcome("third", True),
    outcome("fourth", True),
)
BEGUN = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


def example(folder: Path) -> report.Run:
    """Return a run of which one claim passes, one fails, one was stopped and one has not run."""
    png = [plot.save(made.figure, folder / f"{made.name}.png").read_bytes() for made in MADE[:2]]
    run = report.Run(tuple(map(claim_of, MADE)), Setting(seed=17, quick=True), MACHINE, BEGUN, everything=True)
    run = run.with_entry(report.Entry.of(MADE[0], png[0], 3.21), 4)
    run = run.with_entry(report.Entry.of(MADE[1], png[1], 125), 126)
    return run.with_entry(report.Entry.stopped(claim_of(MADE[2]), RuntimeError(NASTY), 7), 7)
