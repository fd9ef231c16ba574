"""The command line: ``shoal reproduce``, ``shoal sweep``, ``shoal list``, ``shoal cite``, ``shoal info``."""

from __future__ import annotations

import contextlib
import difflib
import time
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from shoal.sweep.command import sweep_file
from shoal.version import VERSION

if TYPE_CHECKING:
    from shoal.claims import Claim, Outcome
    from shoal.report import Run

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, add_completion=False)

_TIGHTEST = 3
"""Rows of each of several claims that pass and are shown without ``--verbose``."""
_WIDE = 100
"""Columns of a terminal from which on a row of the table has all its numbers."""


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"shoal {VERSION}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Train many tiny neural networks at once and compare how they learn with exact theory."""


@app.command()
def reproduce(
    claims: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[CLAIM|FILE.py]...", help="Names, and files of claims. None: all that shoal list shows."
        ),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Fewer networks and shorter runs: all within three minutes.")
    ] = False,
    networks: Annotated[
        int | None, typer.Option(min=2, help="Networks per claim; by default as many as each claim chooses.")
    ] = None,
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
    verbose: Annotated[
        bool,
        typer.Option(
            "--verbose", help="Show every row and note of several claims, not only what is tightest or fails."
        ),
    ] = False,
) -> None:
    """Run claims, print verdict tables, save pictures, data and a report; exit with 1 when a claim fails."""
    from shoal import report
    from shoal.claims import Setting, split
    from shoal.report.machine import here

    console = Console()
    chosen = _chosen(claims or [])
    _make(out)
    run = report.Run(
        chosen=chosen,
        setting=Setting(networks, seed, quick, threads),
        machine=here(threads),
        begun=datetime.now(UTC),
        everything=not claims,
    )
    for claim in chosen:
        run = _run(console, run, claim, out, verbose or len(chosen) == 1)
    failed = [entry.name for entry in run.entries if entry.status != "PASS"]
    console.print(f"{split(row for entry in run.entries for row in entry.rows)}.", highlight=False)
    page = out / "index.html"
    console.print(
        f"Report: [link={page.resolve().as_uri()}]{escape(str(page))}[/link]", highlight=False, soft_wrap=True
    )
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

    with _refused("CLAIM"):
        typer.echo(shoal.cite(*(names or ())))


@app.command("list")
def list_claims() -> None:
    """List the claims and their sources: shoal's own, then those of installed packages."""
    table = Table("claim", "what it says", "source", box=None)
    for claim in _known().values():
        table.add_row(claim.name, claim.sentence, claim.source)
    Console().print(table)


@app.command()
def info() -> None:
    """Say which version runs, on which instruction set, with how many threads."""
    import shoal

    typer.echo(str(shoal.info()))


@contextlib.contextmanager
def _refused(hint: str) -> Iterator[None]:
    """Show a ValueError as one of a parameter."""
    try:
        yield
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=hint) from error


def _known() -> dict[str, Claim]:
    """Return all claims by name; warn of packages whose claims could not be loaded."""
    from shoal.claims import known

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = known()
    for warning in caught:
        Console(stderr=True).print(f"[bold yellow]warning[/]: {escape(str(warning.message))}", highlight=False)
    return found


def _chosen(words: list[str]) -> tuple[Claim, ...]:
    """Return the claims of names and files, in their order; all of them if there are no words."""
    from shoal.claims import of_file
    from shoal.claims.registry import distinct, of_package

    found = _known()
    chosen: dict[str, tuple[Claim, ...]] = {}
    for word in words or found:
        if word in found:
            chosen[word] = (found[word],)
            continue
        if not (word.endswith(".py") or Path(word).name != word):
            near = difflib.get_close_matches(word, found, n=1)
            meant = f"did you mean {near[0]}? " if near else ""
            raise typer.BadParameter(f"no claim {word!r}; {meant}there are {', '.join(found)}", param_hint="CLAIM")
        with _refused("FILE"):
            read = of_file(Path(word))
            if taken := [claim.name for claim in read if claim.name in of_package()]:
                raise ValueError(f"{word} calls a claim {', '.join(taken)}, as one of shoal's own is called")
        chosen[str(Path(word).resolve())] = read
    with _refused("CLAIM"):
        return tuple(distinct(claim for claims in chosen.values() for claim in claims).values())


def _run(console: Console, run: Run, claim: Claim, out: Path, verbose: bool) -> Run:
    """Run one claim, save and show its outcome, and write the report so far, also if an error stops it."""
    from shoal import claims, report

    setting = run.setting
    text = TextColumn("[progress.description]{task.description}")
    columns = (BarColumn(20), MofNCompleteColumn(), TimeElapsedColumn(), text)
    begun = time.perf_counter()
    try:
        with Progress(*columns, console=console, transient=True) as progress:
            shown = progress.add_task(claim.name, total=len(run.chosen), completed=len(run.entries))

            def tell(line: str) -> None:
                progress.update(shown, description=escape(f"{claim.name}: {line}"))

            outcome = claims.run(claim, setting.networks, setting.quick, setting.seed, setting.threads, tell)
            seconds = time.perf_counter() - begun
            written = outcome.save(out)
    except BaseException as error:  # Ctrl-C too: what ran until then is worth a page
        stopped = report.Entry.stopped(claim, error, time.perf_counter() - begun)
        with contextlib.suppress(OSError):  # if the disk is full, that is the error to show
            report.write(run.with_entry(stopped, time.perf_counter() - begun), out)
        raise
    _show(console, outcome, seconds, written, verbose)
    picture = next((path.read_bytes() for path in written if path.suffix == ".png"), b"")
    run = run.with_entry(report.Entry.of(outcome, picture, seconds), time.perf_counter() - begun)
    report.write(run, out)
    return run


def _make(out: Path) -> None:
    """Make the folder before any work, or say why that fails."""
    if out.exists() and not out.is_dir():
        raise typer.BadParameter(f"{out} is a file; a folder is needed", param_hint="--out")
    try:
        out.mkdir(parents=True, exist_ok=True)
        probe = out / ".shoal-write-test"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise typer.BadParameter(f"cannot write to {out}: {error.strerror or error}", param_hint="--out") from error


def _show(console: Console, outcome: Outcome, seconds: float, written: list[Path], verbose: bool) -> None:
    """Print the verdict table of one claim: failures first, then the tightest rows."""
    from shoal.claims.outcome import tightest_first

    rows = tightest_first(outcome.rows)
    fails = sum(not row.passed for row in rows)
    kept = rows if verbose else rows[: fails + _TIGHTEST]
    table = Table(title=escape(f"{outcome.name}: {outcome.sentence}"), title_justify="left", title_style="bold")
    table.add_column("claim", ratio=1)
    wide = console.width >= _WIDE
    for name in ("measured", "predicted", "tolerance") if wide else ():
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("ratio", justify="right", no_wrap=True)
    named = any(row.wrong for row in kept)
    if wide:
        table.add_column("catches", justify="right", no_wrap=not named, overflow="fold")
    table.add_column("verdict", no_wrap=True)
    for row in kept:
        held, colour = row.comparison, "green" if row.passed else "red"
        numbers = (f"{held.measured:.6g}", f"{held.predicted:.6g}", f"{held.tolerance:.2g}") if wide else ()
        left = f" ({held.left_out} diverged, left out)" if held.left_out else ""
        catches = (escape("\n".join(row.catches)),) if wide else ()
        verdict = f"[bold {colour}]{row.verdict}[/]"
        table.add_row(escape(row.statement) + left, *numbers, f"{held.ratio:.2g}", *catches, verdict)
    console.print(table)
    lines = [] if len(kept) == len(rows) else [f"{len(rows) - len(kept)} more rows pass (--verbose)"]
    lines += [escape(note) for note in outcome.notes] if verbose else []
    for line in (*lines, f"{escape(outcome.source)}; {seconds:.1f} s"):
        console.print(f"  {line}", style="dim", highlight=False)
    for path in written if verbose else written[:1]:
        console.print(f"  {path}", style="dim", highlight=False, soft_wrap=True)
    console.print()
