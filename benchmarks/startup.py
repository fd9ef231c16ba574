"""What it costs before the first result: imports and first calls in fresh processes, ``python -m benchmarks startup``.

Each number comes from a process of its own, with an empty cache of compiled code. The first call trains the paper case
for a few steps; what it takes beyond a second call of the same kind is compilation, and of shoal, which compiles
nothing, the imports that it puts off until they are needed.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path
from typing import Any

from rich.table import Table

from benchmarks.cases import CASES, initial_weights
from benchmarks.options import console, contenders, cpus, parsed, size_of
from benchmarks.peers import MODULES
from benchmarks.report import band, median_and_band
from benchmarks.results import Result
from benchmarks.run import environment

IMPORTS = ("shoal", "numpy", "numba", "torch", "jax")
"""What is imported."""

WAYS = {
    "shoal": "shoal.train",
    "numba": "prange, samples in vectors",
    "torch": "compile(vmap(grad) x 1)",
    "jax": "loop(vmap)",
}
"""Whose first call is timed, and which way: of torch and JAX what one writes first, of Numba the loops."""

STEPS = 100
ROUNDS = {"smoke": (1, 1), "quick": (5, 1), "full": (9, 3)}
"""Fresh processes for each import and for each first call, by size."""

CHILD = """
import time
begin = time.perf_counter()
import {name}
print(time.perf_counter() - begin)
"""


def fresh(code: list[str], name: str) -> tuple[str, float]:
    """Run Python in a process of its own, its caches empty; return its last line and its seconds from start to end."""
    with tempfile.TemporaryDirectory(prefix="shoal-benchmarks-") as folder:
        surrounding = environment(name, min(2, cpus()), Path(folder))
        begin = time.perf_counter()
        done = subprocess.run(
            [sys.executable, *code],
            capture_output=True,
            text=True,
            env=surrounding,
            cwd=Path(__file__).parent.parent,
        )
        seconds = time.perf_counter() - begin
    if done.returncode != 0:
        raise RuntimeError(f"a fresh process of {name} failed: {' '.join(done.stderr.splitlines()[-1:])}")
    return done.stdout.splitlines()[-1], seconds


def first_calls(name: str) -> dict[str, float]:
    """Return the seconds of the import, of making the trainer and its first call, and of a second call, made here."""
    begin = time.perf_counter()
    import_module(name)
    imported = time.perf_counter()
    way = import_module(MODULES[name]).variants(CASES["paper"], "float64", min(2, cpus()))[WAYS[name]]
    weights = initial_weights(CASES["paper"])
    marks = [time.perf_counter()]
    trainer: Any = None
    for _ in range(2):
        trainer = trainer or way.make()
        trainer.reset(weights)
        trainer.advance(STEPS)
        marks.append(time.perf_counter())
    return {"import": imported - begin, "first": marks[1] - marks[0], "second": marks[2] - marks[1]}


def measure(names: list[str], rounds: int, of: Any, say: Any) -> dict[str, list[Any]]:
    """Call `of` for every name, round after round in alternating order; one more round before them warms the disk."""
    found: dict[str, list[Any]] = {name: [] for name in names}
    for number in range(-1, rounds):
        for name in names if number % 2 == 0 else names[::-1]:
            say(f"{name}, round {number + 1} of {rounds}")
            value = of(name)
            if number >= 0:
                found[name].append(value)
    return found


def imports_table(imports: dict[str, list[tuple[float, float]]]) -> Table:
    """Return a line for each package."""
    table = Table(title="Imports in fresh processes: median (band) of the seconds")
    table.add_column("statement")
    for name in ("import s", "whole process s"):
        table.add_column(name, justify="right")
    for name, pairs in imports.items():
        inside, whole = ([pair[index] for pair in pairs] for index in (0, 1))
        table.add_row(f"import {name}", band(median_and_band(inside)), band(median_and_band(whole)))
    return table


def calls_table(calls: dict[str, list[dict[str, float]]]) -> Table:
    """Return a line for each contender's first call."""
    table = Table(
        title=f"First calls in fresh processes, paper case, float64, {STEPS} steps: median (band) of the seconds"
    )
    for name in ("contender", "way"):
        table.add_column(name)
    for name in ("import s", "first call s", "second call s", "first less second s"):
        table.add_column(name, justify="right")
    for name, found in calls.items():
        columns = [[one[key] for one in found] for key in ("import", "first", "second")]
        columns.append([one["first"] - one["second"] for one in found])
        table.add_row(name, WAYS[name], *(band(median_and_band(column)) for column in columns))
    return table


def main(words: list[str]) -> int:
    """Run the benchmark; a process that fails ends it."""
    options = parsed("startup", __doc__, words, ROUNDS["full"][0])
    rounds, calls_rounds = ROUNDS[size_of(options)]
    rounds = options.rounds or rounds
    shown, result = console(), Result("startup", words)
    wanted = [name for name in IMPORTS if not options.smoke or name in ("shoal", "numpy")]
    names = contenders(wanted, shown)
    with shown.status("starting") as status:

        def imported(name: str) -> tuple[float, float]:
            line, whole = fresh(["-c", CHILD.format(name=name)], name)
            return float(line), whole

        def called(name: str) -> dict[str, float]:
            found: dict[str, float] = json.loads(fresh(["-m", "benchmarks.startup_child", name], name)[0])
            return found

        imports = measure(names, rounds, imported, status.update)
        shown.print(imports_table(imports))
        calls = measure([name for name in WAYS if name in names], calls_rounds, called, status.update)
    shown.print(calls_table(calls))
    medians = {name: statistics.median(pair[0] for pair in pairs) for name, pairs in imports.items()}
    tables = [imports_table(imports), calls_table(calls)]
    result.save(options.json, tables, imports=imports, calls=calls, import_seconds=medians)
    return 0
