"""Command line of the suite: ``python -m benchmarks --help``."""

import argparse
import json
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks import memory, report
from benchmarks.cases import CASES
from benchmarks.exact import command as exact
from benchmarks.flow import command
from benchmarks.options import choice, contenders, counts, cpus
from benchmarks.peers import MODULES
from benchmarks.run import SMOKE, Measured, Settings, Worker, measure
from benchmarks.wide import command as wide

DTYPES = ("float64", "float32")
ABOUT = (
    "Time shoal's descent against its peers. Its flow against diffrax: python -m benchmarks flow --help. One wide "
    "network against torch: python -m benchmarks wide --help. What is saved exactly: python -m benchmarks exact --help."
)


def arguments(words: list[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=ABOUT)
    parser.add_argument("--cases", type=choice(tuple(CASES)), default=list(CASES), help="default: all")
    parser.add_argument("--dtype", type=choice(DTYPES), default=list(DTYPES), help="default: both")
    parser.add_argument("--threads", type=counts, default=[min(2, cpus())], help="such as 1,2; default: 2")
    parser.add_argument("--rounds", type=int, help=f"default: {Settings().rounds}")
    parser.add_argument("--seconds", type=float, help=f"length of a round, default: {Settings().seconds}")
    parser.add_argument("--peers", type=choice(tuple(MODULES)[1:]), help="default: all that are installed")
    parser.add_argument("--without-shoal", action="store_true", help="time the peers alone")
    parser.add_argument("--smoke", action="store_true", help="seconds only: NumPy and shoal, answers, no claims")
    parser.add_argument("--json", type=Path, metavar="FILE", help="save everything, every round")
    return parser.parse_args(words)


def run_threads(names: list[str], threads: int, options: Any, settings: Settings, say: Any) -> list[Measured]:
    """Run all cases with one thread count; workers live as long."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="shoal-benchmarks-")))
        plan = [(name, threads) for name in names]
        if threads > 1 and "shoal" in names:
            plan.append(("shoal", 1))
        workers = [Worker(name, count, threads, folder) for name, count in plan]
        for worker in workers:
            stack.callback(worker.close)
        options.versions.update({worker.name: worker.ask("hello")["version"] for worker in workers})
        return [
            measure(CASES[case], dtype, threads, workers, settings, folder, say)
            for dtype in options.dtype
            for case in options.cases
        ]


def main(words: list[str] | None = None) -> int:
    """Run the suite; the exit status is 1 when a contender's answer is wrong or a way to train failed."""
    words = sys.argv[1:] if words is None else words
    if words[:1] == ["flow"]:
        return command.main(words[1:])
    if words[:1] == ["wide"]:
        return wide.main(words[1:])
    if words[:1] == ["exact"]:
        return exact.main(words[1:])
    options = arguments(words)
    console = Console(width=None if sys.stdout.isatty() else 190)
    default = SMOKE if options.smoke else Settings()
    settings = Settings(
        rounds=default.rounds if options.rounds is None else options.rounds,
        seconds=default.seconds if options.seconds is None else options.seconds,
        least=default.least,
        peak=default.peak,
    )
    wanted = options.peers or (["numpy"] if options.smoke else list(MODULES)[1:])
    names = contenders(([] if options.without_shoal else ["shoal"]) + wanted, console)
    options.versions = {}
    before = report.machine()
    results: list[Measured] = []
    with console.status("starting") as status:
        for threads in options.threads:
            results += run_threads(names, threads, options, settings, status.update)
        used = None
        if "shoal" in names:
            status.update("memory of 100,000 networks")
            size, steps = (1000, 100) if options.smoke else (100_000, 100)
            used = memory.measure(size, steps, max(options.threads))
    report.show(console, results, used, claims=not options.smoke)
    if options.json is not None:
        saved = report.as_json(results, settings, machine=before, versions=options.versions, memory=used)
        options.json.write_text(json.dumps(saved, indent=1) + "\n")
    return 1 if report.troubles(results) else 0


if __name__ == "__main__":
    sys.exit(main())
