"""Command line of the flow benchmark: ``python -m benchmarks flow --help``."""

import argparse
import json
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.flow import report
from benchmarks.flow.cases import CASES, FlowCase
from benchmarks.flow.contenders import MODULES
from benchmarks.flow.run import FlowWorker, Measured, Settings, measure, troubles
from benchmarks.options import choice, contenders, counts, cpus
from benchmarks.report import machine

SMOKE = Settings(rounds=1, rtols=(1e-6, 1e-8), ways=1)


def tolerances(text: str) -> tuple[float, ...]:
    """Parse comma-separated tolerances."""
    try:
        return Settings(rtols=tuple(float(word) for word in text.split(","))).rtols
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def arguments(words: list[str]) -> argparse.Namespace:
    """Parse the command line."""
    about = "Time shoal.Flow against diffrax at equal accuracy reached."
    parser = argparse.ArgumentParser(prog="python -m benchmarks flow", description=about)
    parser.add_argument("--cases", type=choice(tuple(CASES)), default=list(CASES), help="default: all")
    parser.add_argument("--threads", type=counts, default=[min(2, cpus())], help="such as 1,2; default: 2")
    parser.add_argument("--rounds", type=int, help=f"default: {Settings().rounds}")
    parser.add_argument(
        "--rtols", type=tolerances, help="falling, 1e-8 among them; default: 1e-5,1e-6,1e-8,1e-10,1e-11"
    )
    parser.add_argument("--networks", type=int, help="of every case, in place of its own number")
    clocks = ("elapsed", "cpu")
    parser.add_argument("--clock", choices=clocks, default="elapsed", help="cpu: where others use the machine as well")
    parser.add_argument("--smoke", action="store_true", help="seconds only: few networks, answers, no claims")
    parser.add_argument("--json", type=Path, metavar="FILE", help="save everything, every round")
    return parser.parse_args(words)


def chosen_cases(options: argparse.Namespace) -> list[FlowCase]:
    """Return the cases, with as many networks as were asked for."""
    networks = options.networks or (16 if options.smoke else None)
    cases = [CASES[name] for name in options.cases]
    return cases if networks is None else [replace(case, networks=networks) for case in cases]


def run_threads(
    names: list[str], threads: int, cases: list[FlowCase], settings: Settings, versions: dict[str, str], say: Any
) -> list[Measured]:
    """Run all cases with one thread count; workers live as long."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="shoal-benchmarks-")))
        workers = [FlowWorker(name, threads, threads, folder) for name in names]
        for worker in workers:
            stack.callback(worker.close)
        versions.update({worker.name: worker.ask("hello")["version"] for worker in workers})
        return [measure(case, workers, settings, folder, say) for case in cases]


def main(words: list[str]) -> int:
    """Run the benchmark; the exit status is 1 when an answer is wrong or a way to solve a case failed."""
    options = arguments(words)
    console = Console(width=None if sys.stdout.isatty() else 190)
    default = SMOKE if options.smoke else Settings()
    settings = Settings(
        rounds=default.rounds if options.rounds is None else options.rounds,
        rtols=options.rtols or default.rtols,
        ways=default.ways,
        clock=options.clock,
    )
    names = contenders(list(MODULES), console)
    before = machine()
    versions: dict[str, str] = {}
    results: list[Measured] = []
    with console.status("starting") as status:
        for threads in options.threads:
            results += run_threads(names, threads, chosen_cases(options), settings, versions, status.update)
    report.show(console, results, settings.clock, claims=not options.smoke)
    if options.json is not None:
        saved = report.as_json(
            results, settings, machine=before, load_after=machine()["load_before"], versions=versions
        )
        options.json.write_text(json.dumps(saved, indent=1) + "\n")
    return 1 if troubles(results) else 0
