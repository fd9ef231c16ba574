"""The page of performance, from saved results and nothing else: ``python -m benchmarks page --help``."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from benchmarks import figures, goals
from benchmarks.commands import MODULES
from benchmarks.options import console
from benchmarks.sheets import Sheet, sheets_from

Result = dict[str, Any]

TEXTS = Path(__file__).parent / "texts"
RESULTS = Path(__file__).parent / "results"
"""Where the results of the committed page are."""

FOLDED = 12
"""A table of more rows is folded."""

TITLES = {
    "kernels": "Many networks: descent against the peers",
    "single": "One small network alone",
    "wide": "One wide network against torch, every sample active",
    "descent": "One wide network against torch, a whole descent",
    "exact": "Work that need not be done",
    "costs": "What biases, records and few networks cost",
    "flow": "Gradient flow against diffrax",
    "startup": "Start-up",
    "scaling": "Scaling",
    "sweep": "Sweeps",
    "others": "Figures of other papers, as their authors compute them",
}

HEAD = """# Performance

Made by `python -m benchmarks page` from saved results. Two lists are written by hand, *Goals that were missed* and
*Where shoal is slow*; no other number is typed. `python -m benchmarks all --out DIR` makes everything anew on another
machine (needs `pip install '.[bench]'`).

Each contender runs in its best form of several, warmed, with the same dtype, threads and data set, its answer checked
against a bound on rounding. Times are taken in interleaved rounds of alternating order. Numbers are medians over the
rounds with the smallest and the largest in brackets. A ratio is taken round by round. It is a `win` (or `loss`) only if
every round says so; else it is `open`. FLOPs are counted by one rule for all ([kernels.md](kernels.md)), and the
multiply-add peak is measured between the rounds of the same run.
"""

GOALS = """Ratios to the best peer in its best form, fractions of the measured multiply-add peak. The ratios of flows
are those at the worst error that shoal reaches with rtol 1e-8 or, where diffrax reaches none as small, at diffrax's."""

SMOKE = """> Made from smoke runs: sizes so small that the numbers mean nothing. It only shows that everything works.
"""


def load(path: Path) -> Result:
    """Return a saved result; a file that is none is refused."""
    found: Any = json.loads(path.read_text())
    needed = ("benchmark", "command", "date", "machine", "versions", "tables")
    absent = [key for key in needed if not isinstance(found, dict) or key not in found]
    if absent:
        raise ValueError(f"{path.name} must be the --json of a command of benchmarks: {', '.join(absent)} missing")
    sheets_from(found["tables"])
    result: Result = found
    return result


def ordered(results: list[Result]) -> list[Result]:
    """Return results in the order of the commands, those of commands that are not known last."""
    known = list(MODULES)
    return sorted(results, key=lambda r: known.index(r["benchmark"]) if r["benchmark"] in known else len(known))


def runs_sheet(results: list[Result]) -> Sheet:
    """Return where and how each result was made."""
    rows = []
    for result in results:
        machine, loads = result["machine"], (result["machine"].get("load_before"), result.get("load_after"))
        shown = " to ".join("?" if load is None else f"{load:.1f}" for load in loads)
        minutes = f"{result['seconds'] / 60:.1f}" if "seconds" in result else "?"
        where = f"{machine['cpu']}, {machine['cpus']} CPUs, {machine['system']}"
        rows.append((f"`{result['command']}`", result["date"], where, shown, minutes))
    columns = ("command", "date", "machine", "load", "minutes")
    return Sheet("Runs", columns, (False, False, False, True, True), tuple(rows))


def versions_line(results: list[Result]) -> str:
    """Return the versions, each named once; several where results differ."""
    found: dict[str, list[str]] = {}
    for result in results:
        for name, version in result["versions"].items():
            if version not in found.setdefault(name, []):
                found[name].append(version)
    return ", ".join(f"{name} {' / '.join(versions)}" for name, versions in found.items())


def shown(sheet: Sheet) -> str:
    """Return a table with its title, folded where it is long."""
    if len(sheet.rows) <= FOLDED:
        return f"**{sheet.title}**\n\n{sheet.markdown()}\n"
    return f"<details><summary>{sheet.title}</summary>\n\n{sheet.markdown()}\n\n</details>\n"


def section(result: Result) -> str:
    """Return the section of a result: its figures, tables and notes. Any command's result can be shown."""
    name = result["benchmark"]
    parts = [f"## {TITLES.get(name, name.capitalize())}\n", f"`{result['command']}`\n"]
    parts += [f"![{TITLES.get(name, name)}](images/{file})\n" for file in figures.figures_of(result)]
    parts += [shown(sheet) for sheet in sheets_from(result["tables"])]
    parts += [f"{note}\n" for note in result.get("notes", [])]
    return "\n".join(parts)


def words(name: str) -> str | None:
    """Return a text that is written by hand, if it is there."""
    path = TEXTS / f"{name}.md"
    return path.read_text() if path.exists() else None


def compose(results: list[Result]) -> str:
    """Return the page."""
    results = ordered(results)
    reached = goals.sheet(results)
    smoke = [SMOKE] if any("--smoke" in result["command"].split() for result in results) else []
    parts = [HEAD, *smoke, f"{runs_sheet(results).markdown()}\n", f"Versions: {versions_line(results)}.\n"]
    if reached.rows:
        parts += ["## Goals\n", f"{GOALS}\n", f"{reached.markdown()}\n"]
    missed = words("missed")
    if missed is not None:
        parts += ["### Goals that were missed, and why\n", missed]
    parts += [section(result) for result in results]
    parts += ["## Where shoal is slow\n", words("slow") or ""]
    lost = goals.not_won(results)
    if lost.rows:
        parts += ["Comparisons above that are not a win:\n", f"{lost.markdown()}\n"]
    else:
        parts += ["Every comparison with a peer above is a win.\n"]
    return "\n".join(parts)


def write(results: list[Result], out: Path) -> list[Path]:
    """Write the page and its figures, in the folder ``images`` beside it, and return them."""
    images = out.parent / "images"
    images.mkdir(parents=True, exist_ok=True)
    out.write_text(compose(results))
    return [out, *(path for result in results for path in figures.draw(result, images))]


def main(command: list[str]) -> int:
    """Write the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks page", description=__doc__)
    parser.add_argument(
        "--from", type=Path, nargs="+", metavar="FILE", default=sorted(RESULTS.glob("*.json")), help="results"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the page, such as docs/performance.md")
    options = parser.parse_args(command)
    files: list[Path] = getattr(options, "from")
    if not files:
        parser.error(f"--from names no file, and {RESULTS} holds none")
    try:
        results = [load(file) for file in files]
    except (OSError, ValueError) as error:
        parser.error(str(error))
    for path in write(results, options.out):
        console().print(str(path))
    return 0
