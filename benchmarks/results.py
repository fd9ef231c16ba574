"""What every command saves: a head that says where, when and how, tables as printed, and the numbers behind them."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rich.table import Table

from benchmarks.report import machine
from benchmarks.sheets import sheet_of

PACKAGES = ("numpy", "numba", "torch", "jax", "diffrax")
"""Whose versions stand in the head, where they are installed."""

DIGITS = 5
"""Significant digits of what is saved: far beyond what any timing means."""


class Result:
    """Collects what a command found; made at its initialisation, so that it knows the load before.

    Parameters
    ----------
    benchmark : str
        Name of the command.
    words : sequence of str
        Its command line, without the name of the file for results.
    """

    def __init__(self, benchmark: str, words: Sequence[str]) -> None:
        self.head: dict[str, Any] = {
            "benchmark": benchmark,
            "command": command_line(benchmark, words),
            "date": datetime.now(UTC).strftime("%Y-%m-%d"),
            "machine": machine(),
            "versions": versions(),
        }
        self.begun = datetime.now(UTC)

    def save(self, path: Path | None, tables: Sequence[Table], notes: Sequence[str] = (), **numbers: Any) -> None:
        """Write the result, where a file was asked for."""
        if path is None:
            return
        found = {
            **self.head,
            "load_after": machine()["load_before"],
            "seconds": (datetime.now(UTC) - self.begun).total_seconds(),
            "tables": [sheet_of(table).as_json() for table in tables],
            "notes": [*notes],
            **numbers,
        }
        path.write_text(json.dumps(short(found), separators=(",", ":"), allow_nan=False) + "\n")


def command_line(benchmark: str, words: Sequence[str]) -> str:
    """Return the command as typed, without where it saves its results."""
    kept, skip = [], False
    for word in words:
        if not skip and word != "--json" and not word.startswith("--json="):
            kept.append(word)
        skip = word == "--json"
    return shlex.join(["python", "-m", "benchmarks", benchmark, *kept])


def versions() -> dict[str, str]:
    """Return versions of shoal, with its instruction set and compiler, and of the peers that are installed."""
    import shoal

    here = shoal.info()
    found = {"shoal": here.version, "isa": here.isa, "compiler": here.compiler, "eigen": here.eigen}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def short(value: Any) -> Any:
    """Return a JSON value with its numbers rounded; what is not finite becomes None, since JSON has no word for it."""
    if isinstance(value, dict):
        return {str(key): short(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [short(entry) for entry in value]
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
    return value
