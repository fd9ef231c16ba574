"""The report of a run of claims: one page of HTML that needs nothing but itself, and its tables as Markdown."""

from __future__ import annotations

import os
from pathlib import Path

from shoal.report.page import render
from shoal.report.report import Entry, Run
from shoal.report.tables import summary, verdicts

__all__ = ["Entry", "Run", "render", "write"]


def write(run: Run, folder: Path) -> Path:
    """Write the page of a run and its tables, and return where the page is.

    A page that is there is replaced at once and whole, so that it can be watched while claims run.

    Parameters
    ----------
    run : Run
        What ran so far.
    folder : Path
        An existing folder.

    Returns
    -------
    Path
        ``index.html`` in that folder, beside ``summary.md`` (one row per claim) and ``verdicts.md`` (every row).
    """
    for name, make in (("summary.md", summary), ("verdicts.md", verdicts), ("index.html", render)):
        draft = folder / f".{name}.draft"
        draft.write_text(make(run), encoding="utf-8")
        os.replace(draft, folder / name)
    return folder / "index.html"
