"""The command ``shoal sweep``: a sweep from a file, shown and logged while it runs."""

from __future__ import annotations

import contextlib
import inspect
import json
import os
import shlex
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, NoReturn

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from shoal.engine.threads import thread_count
from shoal.spec.method import OUTCOMES, GradientFlow
from shoal.sweep import file as files
from shoal.sweep import made
from shoal.sweep import store as stores
from shoal.sweep.plan import Block, Execute, Plan, Result
from shoal.sweep.store import Store
from shoal.sweep.sweep import carry_out, here, path_of, sweep

Ends = dict[str, dict[str, int]]
"""How many networks have each of the ``statuses``, and how many meet each of the ``events`` at the last time."""
EVERY = 30.0
"""Seconds between two lines without a terminal."""


def sweep_file(
    file: Annotated[Path, typer.Argument(metavar="FILE.toml", help="What to sweep: docs/sweep.md has its keys.")],
    store: Annotated[
        Path | None, typer.Option(help="Folder of the Zarr store; by default ./FILE with the ending .zarr.")
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, max=4096, help="As of shoal reproduce.")] = None,
    log: Annotated[Path | None, typer.Option(help="File that gets a line of JSON for each block.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Say nothing unless something is wrong.")] = False,
) -> None:
    """Train the sweep in a file, block by block, into a store; rerun the command to resume."""
    console = Console(quiet=quiet, highlight=False, soft_wrap=True)
    try:
        plan, path, count = _checked(file, store, threads, log)
    except (TypeError, ValueError, OSError) as error:
        _end(file, error, 2)
    given = {"--store": store, "--threads": threads, "--log": log}
    words = [file, *(word for option in given.items() if option[1] for word in option), *(["--quiet"] if quiet else [])]
    tally: Tally | None = None

    def executor(before: int) -> Execute:
        nonlocal tally
        tally = Tally(path, before)
        return tally.watched(count, log, console)

    try:
        carry_out(plan, path, executor)
    except KeyboardInterrupt:
        kept = f"{tally.networks:,} of {tally.all:,} networks are kept in {path}" if tally else "nothing was trained"
        Console(stderr=True, highlight=False, soft_wrap=True).print(
            f"Stopped: {kept}. To resume: shoal sweep {shlex.join(map(str, words))}", markup=False
        )
        raise typer.Exit(130) from None
    except OSError as error:
        _end(file, error, 1)
    except (TypeError, ValueError, RuntimeError) as error:
        if tally is not None:
            raise
        _end(file, error, 1 if isinstance(error, RuntimeError) else 2)
    assert tally is not None
    done = f"Finished: {tally.told(plan.total_work)}, in {path}"
    before = f"Finished before: {path} holds all {tally.all:,} networks"
    console.print(before if tally.begun[1] == tally.all else done, markup=False)


def _checked(file: Path, store: Path | None, threads: int | None, log: Path | None) -> tuple[Plan, Path, int]:
    """Return the plan, its store and its threads, checked before anything is made."""
    defaults = {name: held.default for name, held in inspect.signature(sweep).parameters.items()}
    told: dict[str, Any] = {**defaults, **files.read(file)}
    path = path_of(told["store"] if store is None else store)
    count = thread_count(told["threads"] if threads is None else threads)
    told = {name: value for name, value in told.items() if name not in ("store", "threads", "client", "progress")}
    plan = Plan.of(**told, before=made.before(path))
    plan.require(count)
    stores.check(path.resolve())
    if log is not None:
        _check_log(log)
    return plan, path.absolute(), count


def _end(file: Path, error: Exception, status: int) -> NoReturn:
    """Print an error without a box, which would break its lines, and exit."""
    text = f"{error.strerror or error}: {error.filename}" if isinstance(error, OSError) and error.filename else error
    typer.echo(f"shoal sweep {file}: {text}", err=True)
    raise typer.Exit(status) from error


def ends_of(plan: Plan, block: Block, result: Mapping[str, NDArray[Any]]) -> Ends:
    """Return how the networks of a block ended, from its arrays."""
    events = plan.runs[block.condition].kept.events if plan.reduced else ()
    counts = result["count_status"] if plan.reduced else np.bincount(result["status"], minlength=len(OUTCOMES))
    return {
        "statuses": dict(zip(OUTCOMES, counts.tolist(), strict=True)),
        "events": {str(event): int(result[f"count_event_{i}"][-1]) for i, event in enumerate(events)},
    }


class Tally:
    """Counts of a sweep while it runs; ``networks`` and ``work`` are done, by earlier calls too."""

    def __init__(self, path: Path, work: int) -> None:
        store, names = Store.read(path), ["status"]
        self.plan, self.work, self.networks, self.clock = store.plan, work, 0, time.monotonic
        self.all = self.plan.conditions.count * self.plan.networks
        self.ends: Counter[str] = Counter()
        self.events = [str(event) for event in self.plan.runs[0].kept.events] if self.plan.reduced else []
        if self.plan.reduced:
            names = ["count_status", *(f"count_event_{i}" for i in range(len(self.events)))]
        for block in store.held():
            self._count(block, ends_of(self.plan, block, store.block(block, names)))
        # Of the block that is trained now, its networks that are trained.
        self.block, self.within = Block(0, 0, 0, 0), 0
        self.begun = self.clock(), self.networks, self.fraction(work)

    def fraction(self, done: float) -> float:
        """Return the fraction of the sweep that is done; ``done`` is in the unit of progress."""
        return done / self.plan.total_work if self.plan.total_work else self.networks / self.all

    def watched(self, threads: int, log: Path | None, console: Console) -> Execute:
        """Return the function that trains blocks here, and counts, shows and logs them."""

        def execute(plan: Plan, blocks: Iterable[Block]) -> Generator[tuple[Block, Result], None, None]:
            with contextlib.ExitStack() as held:
                write = held.enter_context(logged(log)) if log is not None else None
                show = held.enter_context(_shown(console, self.clock))

                def progress(done: int, _: int) -> None:
                    size, work = self.block.end - self.block.begin, plan.work(self.block)
                    self.within = min(size, (done - self.work) * size // work) if work else 0
                    show(self.told(done), self.fraction(done))

                last, train = self.clock(), here(self.work, threads, progress)
                training = held.enter_context(contextlib.closing(train(plan, map(self._begin, blocks))))
                for block, result in training:
                    ends = ends_of(plan, block, result)
                    yield block, result
                    del result  # it is written, and must not be in memory with the next one
                    now = self.clock()
                    self.add(block, ends)
                    if write is not None:
                        write(_line(plan, block, now - last) | ends)
                    last = now

        return execute

    def _begin(self, block: Block) -> Block:
        self.block = block
        return block

    def add(self, block: Block, ends: Ends) -> None:
        """Count a block that is written."""
        self._count(block, ends)
        self.work += self.plan.work(block)
        self.within = 0

    def _count(self, block: Block, ends: Ends) -> None:
        self.networks += block.end - block.begin
        self.ends.update(ends["statuses"] | ends["events"])

    def told(self, done: float) -> str:
        """Return a line that reports the progress of the sweep."""
        begin, networks, fraction = self.begun
        seconds, now = self.clock() - begin, self.networks + self.within
        parts = [f"{now:,} of {self.all:,} networks"]
        if now > networks and seconds > 0:
            parts.append(f"{(now - networks) / seconds:,.0f} networks/s")
        if self.networks < self.all:
            gained = self.fraction(done) - fraction
            left = timedelta(seconds=round(seconds * (1 - fraction - gained) / gained)) if gained > 0 else None
            parts.append("time left unknown" if left is None else f"{left} left")
        parts.append(f"diverged {self.ends['diverged']:,}")
        if any(isinstance(run.training.method, GradientFlow) for run in self.plan.runs):
            parts.append(f"exhausted {self.ends['exhausted']:,}")
        return ", ".join([*parts, *(f"{event}: {self.ends[event]:,}" for event in self.events)])


@contextlib.contextmanager
def _shown(console: Console, clock: Callable[[], float]) -> Iterator[Callable[[str, float], None]]:
    """Return a function that shows a line, and the fraction that is done: drawn anew on a terminal, else at times."""
    if console.is_terminal:
        columns = (BarColumn(), TaskProgressColumn(), TextColumn("{task.description}", markup=False))
        with Progress(*columns, console=console, transient=True, disable=console.quiet) as bar:
            task = bar.add_task("", total=1.0)
            yield lambda text, fraction: bar.update(task, description=text, completed=fraction)
        return
    last = clock()

    def show(text: str, _: float) -> None:
        nonlocal last
        if clock() - last >= EVERY:
            last = clock()
            console.print(text, markup=False)

    yield show


def _check_log(path: Path) -> None:
    if path.is_dir():
        raise ValueError(f"--log must be a file, got the folder {path}")
    if not path.absolute().parent.is_dir():
        raise ValueError(f"--log must lie in a folder that exists, got {path}")
    if not os.access(path if path.exists() else path.absolute().parent, os.W_OK):
        raise ValueError(f"--log must be a file that can be written, got {path}")


@contextlib.contextmanager
def logged(path: Path) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """Return a function that adds a line of JSON to a log, in one call of the system: a kill leaves whole lines."""
    with open(path, "a+b", buffering=0) as file:
        if file.tell() and os.pread(file.fileno(), 1, file.tell() - 1) != b"\n":
            file.write(b"\n")  # ends a line that a full disk cut off

        def write(line: Mapping[str, Any]) -> None:
            text = json.dumps(line, allow_nan=False).encode() + b"\n"
            while text:
                text = text[file.write(text) :]

        yield write


def _line(plan: Plan, block: Block, seconds: float) -> dict[str, Any]:
    """Return the line of a block in the log, without the ends of its networks."""
    return {
        "condition": plan.conditions.labels[block.condition],
        "block": block.number,
        "begin": plan.first_network + block.begin,
        "end": plan.first_network + block.end,
        "seconds": round(seconds, 6),
        "networks_per_second": round((block.end - block.begin) / seconds, 3) if seconds > 0 else None,
    }
