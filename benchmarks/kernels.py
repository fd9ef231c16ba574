"""Descent of many networks against the peers: ``python -m benchmarks``, or ``python -m benchmarks kernels``."""

import argparse
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks import memory, report
from benchmarks.cases import ALL, CASES
from benchmarks.options import choice, console, contenders, counts, cpus, share, size_of
from benchmarks.peers import MODULES
from benchmarks.results import Result
from benchmarks.run import SIZES, Measured, Settings, Worker, measure

DTYPES = ("float64", "float32")


@dataclass(frozen=True)
class Plan:
    """What a command of this kind runs when not told otherwise.

    Parameters
    ----------
    name, about : str
        Of the command.
    cases : tuple of str
        Names in `benchmarks.cases.ALL`.
    threads : tuple of int
        Thread counts, each a run of its own.
    call : int, optional
        Steps of one call, as in `Settings`.
    memory : bool
        Whether to measure the memory of many networks as well.
    dtypes : tuple of str
        Precisions, each a run of its own.
    """

    name: str
    about: str
    cases: tuple[str, ...]
    threads: tuple[int, ...]
    call: int | None = None
    memory: bool = False
    dtypes: tuple[str, ...] = DTYPES


def arguments(words: list[str], plan: Plan) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks {plan.name}", description=plan.about)
    shown = ",".join(map(str, plan.threads))
    parser.add_argument("--cases", type=choice(plan.cases), default=list(plan.cases), help="default: all")
    parser.add_argument(
        "--dtype", type=choice(DTYPES), default=list(plan.dtypes), help=f"default: {','.join(plan.dtypes)}"
    )
    parser.add_argument("--threads", type=counts, default=list(plan.threads), help=f"default: {shown}")
    parser.add_argument("--seconds", type=float, help=f"length of a round, default: {Settings().seconds}")
    parser.add_argument("--peers", type=choice(tuple(MODULES)[1:]), help="default: all that are installed")
    parser.add_argument("--without-shoal", action="store_true", help="time the peers alone")
    parser.add_argument("--isa", help="time shoal with this instruction set as well; default: avx2 beside avx512")
    share(parser, rounds=Settings().rounds)
    return parser.parse_args(words)


def second_isa(wanted: str | None) -> str | None:
    """Return the instruction set that shoal is also timed with: the one asked for, or AVX2 on a CPU with AVX-512."""
    from shoal import _core

    if wanted is None:
        return "avx2" if _core.choice.isa == "avx512" and "avx2" in _core.choice.supported else None
    if wanted not in _core.choice.supported:
        raise SystemExit(f"--isa must be one of {', '.join(_core.choice.supported)}, got {wanted}")
    return wanted


def run_threads(
    names: list[str],
    threads: int,
    options: argparse.Namespace,
    settings: Settings,
    before: dict[tuple[str, str], Measured],
    say: Any,
) -> list[Measured]:
    """Run all cases with one thread count; workers live as long."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="shoal-benchmarks-")))
        plan: list[tuple[str, int, str | None]] = [(name, threads, None) for name in names]
        isa = second_isa(options.isa) if "shoal" in names else None
        if isa is not None:
            plan.append(("shoal", threads, isa))
        if threads > 1 and "shoal" in names:
            plan.append(("shoal", 1, None))
        workers = [Worker(name, count, threads, folder, isa) for name, count, isa in plan]
        for worker in workers:
            stack.callback(worker.close)
        return [
            measure(ALL[case], dtype, threads, workers, settings, folder, say, before.get((case, dtype)))
            for dtype in options.dtype
            for case in options.cases
        ]


def settings_of(options: argparse.Namespace, plan: Plan) -> Settings:
    """Return the settings of the size that was asked for, with what was said otherwise."""
    settings = replace(SIZES[size_of(options)], call=plan.call)
    if options.rounds is not None:
        settings = replace(settings, rounds=options.rounds)
    return settings if options.seconds is None else replace(settings, seconds=options.seconds)


def run(words: list[str], plan: Plan) -> int:
    """Run a plan; the exit status is 1 when a contender's answer is wrong or a way to train failed."""
    options = arguments(words, plan)
    shown, claims, settings = console(), not options.smoke, settings_of(options, plan)
    wanted = options.peers or (["numpy"] if options.smoke else list(MODULES)[1:])
    names = contenders(([] if options.without_shoal else ["shoal"]) + wanted, shown)
    result = Result(plan.name, words)
    results: list[Measured] = []
    used = None
    with shown.status("starting") as status:
        # All threads first: what was far behind there is not tried with fewer.
        for threads in sorted(set(options.threads), reverse=True):
            before = {(found.case.name, found.dtype): found for found in results}
            part = run_threads(names, threads, options, settings, before, status.update)
            shown.print(*report.tables(part, claims))
            results += part
            # What is there so far outlives a run that is stopped.
            result.save(options.json, report.tables(results, claims), [report.NOTE], cases=report.numbers(results))
        if plan.memory and "shoal" in names:
            status.update("memory of 100,000 networks")
            used = memory.measure(1000 if options.smoke else 100_000, 100, max(options.threads))
    notes = [report.NOTE] + ([report.about_memory(used)] if used is not None else [])
    shown.print(*notes, sep="\n")
    wrong = report.troubles(results)
    report.tell(shown, wrong)
    notes += [f"not right: {line}" for line in wrong]
    tables = report.tables(results, claims)
    result.save(options.json, tables, notes, cases=report.numbers(results), memory=used)
    return 1 if wrong else 0


def main(words: list[str]) -> int:
    """Run the benchmark; the exit status is 1 when a contender's answer is wrong or a way to train failed."""
    about = "Time shoal's descent of many small networks against its peers."
    most = min(2, cpus())
    return run(words, Plan("kernels", about, tuple(CASES), tuple(sorted({1, most})), memory=True))
