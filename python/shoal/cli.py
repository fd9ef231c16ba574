"""The command line: ``shoal reproduce``, ``shoal sweep``, ``shoal list``, ``shoal cite``, ``shoal info``."""

from __future__ import annotations

import contextlib
import time
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from shoal.sweep.command import sweep_file

if TYPE_CHECKING:
    from shoal.claims.claim import Outcome
    from shoal.report import Run

__all__ = ["app"]

app = typer.Typer(
    help="Train many tiny neural networks at once and compare how they learn with exact theory.",
    no_args_is_help=True,
    add_completion=False,
)


@app.command()
def reproduce(
    claims: Annotated[
        list[str] | None, typer.Argument(metavar="[CLAIM]...", help="All claims when none is named.")
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Fewer networks and shorter runs: all within three minutes.")
    ] = False,
    networks: Annotated[int | None, typer.Option(min=2, help="Networks a claim; its own number when left out.")] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**64 - 1, help="Seed of every draw.")] = 0,
    threads: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=4096,
            help="Threads; when left out SHOAL_NUM_THREADS, else OMP_NUM_THREADS, else all CPUs of this process.",
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for pictures and data; made when missing.")] = Path("shoal-out"),
) -> None:
    """Run claims, print a verdict table, save pictures, data and a report; exit with 1 when a claim fails."""
    from shoal import claims as known
    from shoal import report
    from shoal.report.machine import here

    console = Console()
    chosen = list(dict.fromkeys(claims or known.list()))
    for name in chosen:
        if name not in known.CLAIMS:
            raise typer.BadParameter(f"no claim {name!r}; there are {', '.join(known.CLAIMS)}", param_hint="CLAIM")
    _make(out)
    run = report.Run(
        chosen=tuple(known.CLAIMS[name] for name in chosen),
        setting=known.Setting(networks, seed, quick, threads),
        machine=here(threads),
        begun=datetime.now(UTC),
        everything=not claims,
    )
    for name in chosen:
        run = _run(console, run, name, out)
    failed = [entry.name for entry in run.entries if entry.status != "PASS"]
    console.print(f"{known.split(row for entry in run.entries for row in entry.rows)}.", highlight=False)
    console.print(f"Report: {out / 'index.html'}", highlight=False, soft_wrap=True)
    if failed:
        passed = len(chosen) - len(failed)
        console.print(f"[bold red]FAIL[/]: {', '.join(failed)} ({passed} of {len(chosen)} passed)")
        raise typer.Exit(1)
    console.print(f"[bold green]PASS[/]: all {len(chosen)} claims")


app.command("sweep")(sweep_file)


@app.command()
def cite(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[CLAIM]...", help="Claims, or papers such as T18 or arXiv:1809.06848; none: shoal."),
    ] = None,
) -> None:
    """Print BibTeX of the papers behind claims, and of shoal."""
    import shoal

    try:
        typer.echo(shoal.cite(*(names or ())))
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="CLAIM") from error


@app.command("list")
def list_claims() -> None:
    """List the claims and their sources."""
    from shoal import claims as known

    table = Table("claim", "what it says", "source", box=None)
    for claim in known.CLAIMS.values():
        table.add_row(claim.name, claim.sentence, claim.source)
    Console().print(table)


@app.command()
def info() -> None:
    """Say which version runs, on which instruction set, with how many threads."""
    import shoal

    typer.echo(str(shoal.info()))


def _run(console: Console, run: Run, name: str, out: Path) -> Run:
    """Run one claim, save and show what it gave, and write the report so far, also where an error stops it."""
    from shoal import claims, report

    setting = run.setting
    columns = (SpinnerColumn(), TextColumn("[progress.description]{task.description}"), TimeElapsedColumn())
    begun = time.perf_counter()
    try:
        with Progress(*columns, console=console, transient=True) as progress:
            tell = partial(_tell, progress, progress.add_task(name, total=None), name)
            outcome = claims.run(name, setting.networks, setting.quick, setting.seed, setting.threads, tell)
            seconds = time.perf_counter() - begun
            written = outcome.save(out)
    except BaseException as error:  # Ctrl-C too: what ran until then is worth a page
        stopped = report.Entry.stopped(claims.find(name), error, time.perf_counter() - begun)
        with contextlib.suppress(OSError):  # where the disk is full, that is the error to be told
            report.write(run.with_entry(stopped, time.perf_counter() - begun), out)
        raise
    _show(console, outcome, seconds, written)
    entry = report.Entry.of(outcome, written[0].read_bytes(), seconds)
    run = run.with_entry(entry, time.perf_counter() - begun)
    report.write(run, out)
    return run


def _tell(progress: Progress, shown: TaskID, name: str, line: str) -> None:
    """Show what a claim does now."""
    progress.update(shown, description=f"{name}: {line}")


def _make(out: Path) -> None:
    """Make the folder before any work, or say why it cannot be."""
    if out.exists() and not out.is_dir():
        raise typer.BadParameter(f"{out} is a file; a folder is needed", param_hint="--out")
    try:
        out.mkdir(parents=True, exist_ok=True)
        probe = out / ".shoal-write-test"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise typer.BadParameter(f"cannot write to {out}: {error.strerror or error}", param_hint="--out") from error


def _show(console: Console, outcome: Outcome, seconds: float, written: list[Path]) -> None:
    """Print the verdict table of one claim."""
    table = Table(title=f"{outcome.name}: {outcome.sentence}", title_justify="left", title_style="bold")
    table.add_column("claim", ratio=1)
    for name in ("measured", "predicted", "tolerance", "ratio", "catches"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for row in outcome.rows:
        held = row.comparison
        colour = "green" if held.passed else "red"
        numbers = (f"{held.measured:.6g}", f"{held.predicted:.6g}", f"{held.tolerance:.2g}", f"{held.ratio:.2g}")
        left = f" ({held.left_out} diverged, left out)" if held.left_out else ""
        table.add_row(row.statement + left, *numbers, str(held.catches), f"[bold {colour}]{held.verdict}[/]")
    console.print(table)
    for note in outcome.notes:
        console.print(f"  {note}", style="dim", highlight=False)
    console.print(f"  {outcome.source}; {seconds:.1f} s", style="dim", highlight=False)
    for path in written:
        console.print(f"  {path}", style="dim", highlight=False, soft_wrap=True)
    console.print()
