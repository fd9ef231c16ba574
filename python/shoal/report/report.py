"""What a report is about: a run of claims, so far as it went."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from io import BytesIO

from PIL import Image

from shoal.claims.claim import Claim
from shoal.claims.outcome import Outcome, Row, Setting
from shoal.report.describe import describe
from shoal.report.machine import Machine

__all__ = ["Entry", "Run"]


@dataclass(frozen=True)
class Entry:
    """What the page says of one claim.

    Attributes
    ----------
    name, sentence, source : str
        Of the claim.
    rows, notes : tuple
        The verdict table and what the numbers mean; empty if the claim did not run to its end.
    picture, alternative : bytes, str
        The figure as PNG, or nothing, and what it shows in words.
    seconds : float
        How long the claim ran.
    error : str
        What stopped it, or an empty string.
    """

    name: str
    sentence: str
    source: str
    rows: tuple[Row, ...] = ()
    notes: tuple[str, ...] = ()
    picture: bytes = b""
    alternative: str = ""
    seconds: float = 0.0
    error: str = ""

    @classmethod
    def of(cls, outcome: Outcome, picture: bytes, seconds: float) -> Entry:
        """Return the entry of an outcome, whose figure, if any, was saved as the PNG ``picture``."""
        said = (outcome.name, outcome.sentence, outcome.source, outcome.rows, outcome.notes)
        return cls(*said, picture, describe(outcome.figure) if outcome.figure is not None else "", seconds)

    @classmethod
    def stopped(cls, claim: Claim, error: BaseException, seconds: float) -> Entry:
        """Return the entry of a claim that an error stopped."""
        said = f": {error}" if str(error) else ""
        return cls(claim.name, claim.sentence, claim.source, seconds=seconds, error=f"{type(error).__name__}{said}")

    @cached_property
    def thumbnail(self) -> bytes:
        """The first panel of the figure as a small PNG, or nothing."""
        if not self.picture:
            return b""
        whole = Image.open(BytesIO(self.picture)).convert("RGB")
        first = whole.crop((0, 0, min(whole.width, whole.height * 6 // 5), whole.height))
        first.thumbnail((288, 240))
        small = BytesIO()
        first.quantize(64).save(small, "png", optimize=True)
        return small.getvalue()

    @property
    def status(self) -> str:
        """``"PASS"``, ``"FAIL"``, ``"ERROR"`` if it was stopped, ``"NOT RUN"`` if it has not run."""
        if self.error:
            return "ERROR"
        if not self.rows:
            return "NOT RUN"
        return "PASS" if all(row.passed for row in self.rows) else "FAIL"

    @property
    def ratio(self) -> float:
        """Largest ratio of gap to tolerance in the table; 0 if it is empty."""
        return max((row.comparison.ratio for row in self.rows), default=0.0)


@dataclass(frozen=True)
class Run:
    """A run of claims, so far.

    Attributes
    ----------
    chosen : tuple of Claim
        The claims that were asked for, in the order in which they run.
    setting, machine, begun : Setting, Machine, datetime
        How, where, and when, with its time zone.
    everything : bool
        Whether all claims were asked for, by naming none.
    entries : tuple of Entry
        The claims that ran, in that order.
    seconds : float
        Wall time so far, pictures and files included.
    isa_forced : str
        ``SHOAL_ISA``, if it was set.
    """

    chosen: tuple[Claim, ...]
    setting: Setting
    machine: Machine
    begun: datetime
    everything: bool = False
    entries: tuple[Entry, ...] = ()
    seconds: float = 0.0
    isa_forced: str = field(default_factory=lambda: os.environ.get("SHOAL_ISA", ""))

    def with_entry(self, entry: Entry, seconds: float) -> Run:
        """Return this run with one more claim, which took ``seconds`` of wall time, files included."""
        return replace(self, entries=(*self.entries, entry), seconds=self.seconds + seconds)

    @property
    def listed(self) -> tuple[Entry, ...]:
        """All claims that were chosen; those that have not run have no rows."""
        waiting = self.chosen[len(self.entries) :]
        return (*self.entries, *(Entry(claim.name, claim.sentence, claim.source) for claim in waiting))

    def command(self, *names: str) -> str:
        """Return the command that runs these claims as they were run here, or the whole run if none is named.

        Folders are left out: they change no result, and readers need not know their names. A file's claims run
        together.
        """
        asked = [claim for claim in self.chosen if claim.name in names or not (names or self.everything)]
        words = ["shoal", "reproduce", *dict.fromkeys(claim.file or claim.name for claim in asked)]
        if self.setting.quick:
            words.append("--quick")
        if self.setting.networks is not None:
            words += ["--networks", str(self.setting.networks)]
        words += ["--seed", str(self.setting.seed)]
        if self.setting.threads is not None:
            words += ["--threads", str(self.setting.threads)]
        forced = f"SHOAL_ISA={shlex.quote(self.isa_forced)} " if self.isa_forced else ""
        return forced + shlex.join(words)
