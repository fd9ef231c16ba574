"""The verdicts of a run as Markdown: a summary, one row per claim, and every row of every claim."""

from __future__ import annotations

import math

from shoal.claims.outcome import Row, split
from shoal.report.report import Entry, Run

__all__ = ["summary", "verdicts"]

_HEAD = "| row | rule | networks | measured | predicted | tolerance | ratio | catches | verdict |"
_SUMMARY = "| claim | rows | the row of the largest ratio | ratio | rows that catch nothing below 20% | verdict |"


def summary(run: Run) -> str:
    """Return one row per claim: its tightest comparison, and how many of its rows catch no theory 20% wrong."""
    lines = [f"`{run.command()}`, on {run.machine.isa.split(' ')[0]}. {_said(run)}", "", _SUMMARY, "|---" * 6 + "|"]
    lines += [_line(entry.name, *_tightest(entry), entry.status) for entry in run.entries]
    return "\n".join(lines) + "\n"


def verdicts(run: Run) -> str:
    """Return the verdict tables of all claims that ran to their end."""
    lines = [f"`{run.command()}`, on {run.machine.isa.split(' ')[0]}. {_said(run)}"]
    for entry in run.entries:
        lines += ["", f"## {entry.name}", "", _plain(entry.sentence), ""]
        lines += [_HEAD, "|---" * 9 + "|", *map(_row, entry.rows)] if entry.rows else [entry.status]
    return "\n".join(lines) + "\n"


def _said(run: Run) -> str:
    return f"{split(row for entry in run.entries for row in entry.rows)}."


def _row(row: Row) -> str:
    held = row.comparison
    left = f" ({held.left_out} diverged, left out)" if held.left_out else ""
    return _line(
        _plain(row.statement) + left, held.kind, str(held.networks), f"{held.measured:.6g}", f"{held.predicted:.6g}",
        f"{held.tolerance:.2g}", _ratio(row), _plain("; ".join(row.catches)), row.verdict,
    )  # fmt: skip


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _ratio(row: Row) -> str:
    ratio = row.comparison.ratio
    return f"{ratio:.2g}" if math.isfinite(ratio) else "infinite"


def _tightest(entry: Entry) -> tuple[str, ...]:
    """Return how many rows there are, the one of the largest ratio, that ratio, and how many rows are not sharp."""
    if not entry.rows:
        return ("0", "", "", "")
    row = max(entry.rows, key=lambda row: row.comparison.ratio)
    blunt = sum(not each.comparison.catches.sharp for each in entry.rows)
    return str(len(entry.rows)), _plain(row.statement), _ratio(row), str(blunt)


def _plain(words: str) -> str:
    """Return words that a table of Markdown leaves as they are."""
    return words.replace("\\", "\\\\").replace("|", "\\|")
