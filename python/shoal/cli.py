"""The command line: ``shoal reproduce``, ``shoal list``, ``shoal info``."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from shoal.claims.claim import Outcome

__all__ = ["app"]

app = typer.Typer(
    help="Train many tiny neural networks at once and hold how they learn against exact theory.",
    no_args_is_help=True,
    add_completion=False,
)


@app.command()
def reproduce(
    claims: Annotated[
        list[str] | None, typer.Argument(metavar="[CLAIM]...", help="All claims when none is named.")
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Fewer networks and shorter runs: all within two minutes.")
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
    """Run claims, print a verdict table, save pictures and data; exit with 1 when a claim fails."""
    from shoal import claims as known

    console = Console()
    chosen = list(dict.fromkeys(claims or known.list()))
    for name in chosen:
        if name not in known.CLAIMS:
            raise typer.BadParameter(f"no claim {name!r}; there are {', '.join(known.CLAIMS)}", param_hint="CLAIM")
    _make(out)
    outcomes = []
    columns = (SpinnerColumn(), TextColumn("[progress.description]{task.description}"), TimeElapsedColumn())
    for name in chosen:
        begun = time.perf_counter()
        with Progress(*columns, console=console, transient=True) as progress:
            tell = partial(_tell, progress, progress.add_task(name, total=None), name)
            outcome = known.run(name, networks, quick, seed, threads, tell)
            written = outcome.save(out)
        _show(console, outcome, time.perf_counter() - begun, written)
        outcomes.append(outcome)
    failed = [outcome.name for outcome in outcomes if not outcome.passed]
    if failed:
        console.print(
            f"[bold red]FAIL[/]: {', '.join(failed)} ({len(outcomes) - len(failed)} of {len(outcomes)} passed)"
        )
        raise typer.Exit(1)
    console.print(f"[bold green]PASS[/]: all {len(outcomes)} claims")


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
    for name in ("measured", "predicted", "allowance", "ratio"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for row in outcome.rows:
        held = row.comparison
        colour = "green" if held.passed else "red"
        numbers = (f"{held.measured:.6g}", f"{held.predicted:.6g}", f"{held.allowance:.2g}", f"{held.ratio:.2g}")
        left = f" ({held.left_out} diverged, left out)" if held.left_out else ""
        table.add_row(row.statement + left, *numbers, f"[bold {colour}]{held.verdict}[/]")
    console.print(table)
    for note in outcome.notes:
        console.print(f"  {note}", style="dim", highlight=False)
    console.print(f"  {outcome.source}; {seconds:.1f} s", style="dim", highlight=False)
    for path in written:
        console.print(f"  {path}", style="dim", highlight=False, soft_wrap=True)
    console.print()
