"""The report of a run of claims: one page of HTML that needs nothing but itself."""

from __future__ import annotations

import os
from pathlib import Path

from shoal.report.page import render
from shoal.report.run import Entry, Run

__all__ = ["Entry", "Run", "render", "write"]


def write(run: Run, folder: Path) -> Path:
    """Write the page of a run and return where.

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
        ``index.html`` in that folder.
    """
    page = folder / "index.html"
    draft = folder / ".index.html.draft"
    draft.write_text(render(run), encoding="utf-8")
    os.replace(draft, page)
    return page
