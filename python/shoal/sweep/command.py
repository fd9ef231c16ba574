"""The command ``shoal sweep``: a sweep from a file, with what it says while it runs."""

from __future__ import annotations

import contextlib
import inspect
import math
import shlex
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from shoal.engine.threads import thread_count
from shoal.sweep import file as files
from shoal.sweep import grown
from shoal.sweep import log as logs
from shoal.sweep import store as stores
from shoal.sweep.log import Log
from shoal.sweep.plan import Block, Execute, Plan, Result
from shoal.sweep.sweep import carry_out, here, path_of, sweep
from shoal.sweep.tally import Outcome, Tally

EVERY = 30.0
"""Seconds between two lines where there is no terminal to draw on."""

Show = Callable[[str, float], None]
"""Shows a line, and the fraction of the work that is done."""


def sweep_file(
    file: Annotated[Path, typer.Argument(metavar="FILE.toml", help="What to sweep: docs/sweep.md has its keys.")],
    store: Annotated[
        Path | None, typer.Option(help="Folder of the Zarr store; by default ./FILE with the ending .zarr.")
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, max=4096, help="As of shoal reproduce.")] = None,
    log: Annotated[Path | None, typer.Option(help="File that gets a line of JSON for each block.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Say nothing unless something is wrong.")] = False,
) -> None:
    """Train what a file describes, block by block, into a store; the same command goes on where it stopped."""
    console = Console(quiet=quiet, highlight=False, soft_wrap=True)
    try:
        plan, path, count = _checked(file, store, threads, log)
    except (TypeError, ValueError, OSError) as error:
        _end(file, error, 2)
    words = [str(file), *(["--store", str(store)] if store else []), *(["--threads", str(threads)] if threads else [])]
    words += [*(["--log", str(log)] if log else []), *(["--quiet"] if quiet else [])]
    watch = _Watch(plan, path, count, log, console)
    try:
        carry_out(plan, path, watch.executor)
    except KeyboardInterrupt:
        Console(stderr=True, highlight=False, soft_wrap=True).print(
            f"Stopped: {watch.standing()}. To go on: shoal sweep {shlex.join(words)}", markup=False
        )
        raise typer.Exit(130) from None
    except (TypeError, ValueError) as error:
        if watch.tally is not None:
            raise
        _end(file, error, 2)
    except RuntimeError as error:
        if watch.tally is not None:
            raise
        _end(file, error, 1)
    except OSError as error:
        _end(file, error, 1)
    console.print(watch.ended(), markup=False)


def _checked(file: Path, store: Path | None, threads: int | None, log: Path | None) -> tuple[Plan, Path, int]:
    """Return the plan, its store and its threads, all of them checked; nothing is made yet."""
    defaults = {name: held.default for name, held in inspect.signature(sweep).parameters.items()}
    told: dict[str, Any] = {**defaults, **files.read(file)}
    path = path_of(told.pop("store") if store is None else store)
    asked = told.pop("threads")
    count = thread_count(asked if threads is None else threads)
    told = {name: value for name, value in told.items() if name not in ("store", "client", "progress")}
    plan = Plan.of(**told, before=grown.before(path))
    plan.require(count)
    stores.check(path.resolve())
    if log is not None:
        logs.check(log)
    return plan, path.absolute(), count


def _end(file: Path, error: Exception, status: int) -> NoReturn:
    """Say what is wrong, as it is, without a box that breaks its lines, and end."""
    text = f"{error.strerror or error}: {error.filename}" if isinstance(error, OSError) and error.filename else error
    typer.echo(f"shoal sweep {file}: {text}", err=True)
    raise typer.Exit(status) from error


@dataclass
class _Watch:
    """Looks on while blocks are trained: counts, shows, and logs them."""

    plan: Plan
    path: Path
    threads: int
    log: Path | None
    console: Console
    tally: Tally | None = None
    begun: int = 0

    def executor(self, before: int) -> Execute:
        """Return what trains blocks here, watched; ``before`` is the work that was done earlier."""
        self.tally = tally = Tally.begin(self.path, before)
        self.begun = tally.networks

        def execute(plan: Plan, blocks: Iterable[Block]) -> Generator[tuple[Block, Result], None, None]:
            with contextlib.ExitStack() as held:
                log = held.enter_context(Log.opened(self.log)) if self.log is not None else None
                show = held.enter_context(self._shown(tally))
                at: list[Block] = []

                def progress(done: int, _: int) -> None:
                    if at:
                        tally.progress(done, at[-1])
                    show(tally.told(done), _share(done, plan.total_work))

                def noted() -> Iterator[Block]:
                    for block in blocks:
                        at[:] = [block]
                        yield block

                last = tally.clock()
                training = held.enter_context(contextlib.closing(here(before, self.threads, progress)(plan, noted())))
                for block, result in training:
                    outcome = Outcome.of(plan, block, result)
                    yield block, result
                    del result  # it is written: not to be in memory beside the next
                    now = tally.clock()
                    tally.add(block, outcome)
                    if log is not None:
                        log.write(_line(plan, block, outcome, now - last))
                    last = now

        return execute

    @contextlib.contextmanager
    def _shown(self, tally: Tally) -> Iterator[Show]:
        """Return what shows lines: one that is drawn anew on a terminal, else one now and then."""
        if not self.console.is_terminal:
            yield _now_and_then(self.console, tally.clock)
            return
        columns = (BarColumn(), TaskProgressColumn(), TextColumn("{task.description}", markup=False))
        with Progress(*columns, console=self.console, transient=True, disable=self.console.quiet) as bar:
            task = bar.add_task("", total=1.0)
            yield lambda text, share: bar.update(task, description=text, completed=share)

    def standing(self) -> str:
        """Return what the store holds, for one who stops."""
        if self.tally is None:
            return "nothing was trained"
        return f"{self.tally.networks:,} of {self.tally.all:,} networks are kept in {self.path}"

    def ended(self) -> str:
        """Return the last line."""
        assert self.tally is not None
        if self.begun == self.tally.all:
            return f"Finished before: {self.path} holds all {self.tally.all:,} networks"
        return f"Finished: {self.tally.told(self.plan.total_work)}, in {self.path}"


def _now_and_then(console: Console, clock: Callable[[], float]) -> Show:
    last = [clock()]

    def show(text: str, _: float) -> None:
        if clock() - last[0] >= EVERY:
            last[0] = clock()
            console.print(text, markup=False)

    return show


def _share(done: int, total: int) -> float:
    return done / total if total else 1.0


def _line(plan: Plan, block: Block, outcome: Outcome, seconds: float) -> dict[str, Any]:
    """Return what the log says of a block."""
    networks = block.end - block.begin
    rate = networks / seconds if seconds > 0 else math.nan
    return {
        "condition": plan.conditions.labelled(block.condition),
        "block": block.number,
        "begin": plan.first_network + block.begin,
        "end": plan.first_network + block.end,
        "seconds": round(seconds, 6),
        "networks_per_second": round(rate, 3) if math.isfinite(rate) else None,
        "statuses": outcome.named(),
        "events": dict(outcome.events),
    }
