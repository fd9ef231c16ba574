"""Command line of the flow benchmark: ``python -m benchmarks flow --help``."""

import argparse
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from benchmarks.flow import report
from benchmarks.flow.cases import CASES, FlowCase
from benchmarks.flow.contenders import MODULES
from benchmarks.flow.run import FlowWorker, Measured, Settings, measure, troubles
from benchmarks.options import choice, console, contenders, counts, cpus, share, size_of
from benchmarks.report import tell
from benchmarks.results import Result

SIZES = {
    "smoke": Settings(rounds=1, rtols=(1e-6, 1e-8), ways=1),
    "quick": Settings(rounds=3, rtols=(1e-6, 1e-8, 1e-10)),
    "full": Settings(),
}
SMOKE_NETWORKS = 16


def tolerances(text: str) -> tuple[float, ...]:
    """Parse comma-separated tolerances."""
    try:
        return Settings(rtols=tuple(float(word) for word in text.split(","))).rtols
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def arguments(words: list[str]) -> argparse.Namespace:
    """Parse the command line."""
    about = "Time shoal.GradientFlow against diffrax at equal accuracy reached."
    parser = argparse.ArgumentParser(prog="python -m benchmarks flow", description=about)
    parser.add_argument("--cases", type=choice(tuple(CASES)), default=list(CASES), help="default: all")
    parser.add_argument("--threads", type=counts, default=[min(2, cpus())], help="such as 1,2; default: 2")
    parser.add_argument(
        "--rtols", type=tolerances, help="falling, 1e-8 among them; default: 1e-5,1e-6,1e-8,1e-10,1e-11"
    )
    parser.add_argument("--networks", type=int, help="of every case, in place of its own number")
    share(parser, clock=True, rounds=Settings().rounds)
    return parser.parse_args(words)


def chosen_cases(options: argparse.Namespace) -> list[FlowCase]:
    """Return the cases, with as many networks as were asked for."""
    networks = options.networks or (SMOKE_NETWORKS if options.smoke else None)
    halves = 2 if options.quick else 1
    return [
        replace(case, networks=networks or case.networks // halves) for case in map(CASES.__getitem__, options.cases)
    ]


def run_threads(
    names: list[str],
    threads: int,
    cases: list[FlowCase],
    settings: Settings,
    say: Any,
    show: Callable[[Measured], None],
) -> list[Measured]:
    """Run all cases with one thread count, and show each when it is done; workers live as long."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="shoal-benchmarks-")))
        workers = [FlowWorker(name, threads, threads, folder) for name in names]
        for worker in workers:
            stack.callback(worker.close)
        found = []
        for case in cases:
            found.append(measure(case, workers, settings, folder, say))
            show(found[-1])
        return found


def main(words: list[str]) -> int:
    """Run the benchmark; the exit status is 1 when an answer is wrong or a way to solve a case failed."""
    options = arguments(words)
    shown, result = console(), Result("flow", words)
    default = SIZES[size_of(options)]
    settings = replace(
        default, rounds=options.rounds or default.rounds, rtols=options.rtols or default.rtols, clock=options.clock
    )
    claims = not options.smoke
    names = contenders(list(MODULES), shown)
    results: list[Measured] = []
    with shown.status("starting") as status:

        def show(measured: Measured) -> None:
            shown.print(*report.tables([measured], settings.clock, claims))

        for threads in options.threads:
            results += run_threads(names, threads, chosen_cases(options), settings, status.update, show)
    note, wrong = report.note(results), troubles(results)
    shown.print(note)
    tell(shown, wrong)
    notes = [note, *(f"not right: {line}" for line in wrong)]
    # The page shows what the runs come down to first.
    tables = report.tables(results, settings.clock, claims)[::-1]
    result.save(options.json, tables, notes, settings=asdict(settings), cases=report.numbers(results))
    return 1 if wrong else 0
