"""Measurement for a noisy machine: warmed workers, interleaved rounds in alternating order, ratios round by round."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from benchmarks.cases import Case
from benchmarks.check import Answer, Verdict, compare, reference
from benchmarks.worker import CHECK_STEPS, plain

Say = Callable[[str], None]


@dataclass(frozen=True)
class Settings:
    """How long things are measured.

    Parameters
    ----------
    rounds : int
        Rounds per case, each contender once a round.
    seconds : float
        Length of one contender's round.
    least : float
        Shortest run from which a way to train is judged.
    peak : float
        Length of one measurement of the multiply-add peak.
    call : int, optional
        Steps of one call; a round then makes several calls. When left out, a round is one call.
    """

    rounds: int = 7
    seconds: float = 0.2
    least: float = 0.1
    peak: float = 0.1
    call: int | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be measured."""
        if self.rounds < 1:
            raise ValueError(f"rounds must be at least 1, got {self.rounds}")
        if min(self.seconds, self.least, self.peak) <= 0:
            raise ValueError(f"lengths must be positive, got {self}")
        if self.call is not None and self.call < 1:
            raise ValueError(f"call must be at least 1, got {self.call}")


SIZES = {
    "smoke": Settings(rounds=2, seconds=0.02, least=0.005, peak=0.02),
    "quick": Settings(rounds=3, seconds=0.1, least=0.05, peak=0.05),
    "full": Settings(),
}
"""Settings of each size; the first only shows that everything works."""

NEAR = 2.0
"""Ways that are slower than a contender's best by more than this with all threads are not tried with one."""


class Worker:
    """A contender's process; `cpus` is how many CPUs it may use, `threads` how many it is told to use.

    With `isa` shoal runs with that instruction set, and is a contender of its own.
    """

    module = "benchmarks.worker"

    def __init__(self, name: str, threads: int, cpus: int, folder: Path, isa: str | None = None) -> None:
        self.name, self.threads, self.cpus, self.isa = name, threads, cpus, isa
        self.contender = name if isa is None else f"{name}, {isa}"
        self.errors = folder / f"{self.contender}-{threads}-{cpus}.log"
        with self.errors.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", self.module, name, str(threads), str(cpus)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=environment(name, threads, folder / f"cache-{name}-{threads}-{cpus}")
                | ({} if isa is None else {"SHOAL_ISA": isa}),
                cwd=Path(__file__).parent.parent,
            )

    @property
    def label(self) -> str:
        """Name and threads, as the tables show them."""
        return f"{self.contender} @{self.threads}"

    def send(self, do: str, **request: Any) -> None:
        """Send a request; `receive` waits for its answer."""
        if self.process.stdin is None:
            raise RuntimeError(f"the worker {self.label} has no pipes")
        try:
            self.process.stdin.write(json.dumps({"do": do, **request}) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            self.ended(do)

    def receive(self, do: str) -> dict[str, Any]:
        """Wait for the answer to the request `do`."""
        if self.process.stdout is None:
            raise RuntimeError(f"the worker {self.label} has no pipes")
        line = self.process.stdout.readline()
        if not line:
            self.ended(do)
        answer: dict[str, Any] = json.loads(line)
        return answer

    def ask(self, do: str, **request: Any) -> dict[str, Any]:
        """Send a request and wait for the answer."""
        self.send(do, **request)
        return self.receive(do)

    def ended(self, do: str) -> NoReturn:
        """Raise what a process that is gone has left behind."""
        tail = "\n".join(self.errors.read_text().splitlines()[-15:])
        raise RuntimeError(f"the worker {self.label} ended during {do!r}:\n{tail}")

    def close(self) -> None:
        """End the process."""
        if self.process.stdin is not None:
            self.process.stdin.close()
        try:
            self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def environment(name: str, threads: int, cache: Path) -> dict[str, str]:
    """Return the environment in which a contender uses `threads` threads and an empty cache of compiled code."""
    # NumPy's contender brings its own threads, one a block: threads inside its small products only cost.
    inner = "1" if name == "numpy" else str(threads)
    flags = [f"--xla_force_host_platform_device_count={threads}"]
    if threads == 1:
        flags.append("--xla_cpu_multi_thread_eigen=false")
    return {
        **os.environ,
        **{f"{library}_NUM_THREADS": inner for library in ("OMP", "MKL", "OPENBLAS", "NUMBA")},
        "XLA_FLAGS": " ".join(flags),
        "JAX_PLATFORMS": "cpu",
        "TORCHINDUCTOR_CACHE_DIR": str(cache),
    }


@dataclass
class Entry:
    """One contender at one case: all its ways, the one way this entry is about, and the speed of each round."""

    contender: str
    threads: int
    ways: dict[str, dict[str, Any]]
    way: str | None = None
    verdict: Verdict | None = None
    steps: int = 0
    gflops: list[float] = field(default_factory=list)

    @property
    def wrong(self) -> list[str]:
        """Ways whose answer is wrong or that failed."""
        return [name for name, way in self.ways.items() if not way.get("passed", False)]


@dataclass
class Measured:
    """All contenders at one case, dtype and thread count; peaks and speeds in GFLOP/s, one a round.

    ``peaks`` holds the multiply-add peak by contender: shoal's, and that of shoal with another instruction set.
    """

    case: Case
    dtype: str
    threads: int
    entries: list[Entry]
    peaks: dict[str, list[float]] = field(default_factory=dict)
    pack: dict[str, Any] = field(default_factory=dict)


def check(ways: dict[str, dict[str, Any]], answer: Answer) -> dict[str, Verdict]:
    """Compare each way's saved answer with the right one; note the verdict beside the way."""
    verdicts = {}
    for name, way in ways.items():
        if "error" in way:
            continue
        path = Path(way.pop("answer"))
        with np.load(path) as saved:
            verdict = compare(answer, [saved[key] for key in saved.files])
        path.unlink()
        verdicts[name] = verdict
        way.update(gap=verdict.gap, ratio=verdict.ratio, checked=verdict.checked, passed=verdict.passed)
    return verdicts


def choose(
    worker: Worker, case: Case, ways: dict[str, dict[str, Any]], verdicts: dict[str, Verdict], settings: Settings
) -> list[Entry]:
    """Time a contender's ways; keep the fastest right way, and the fastest that is not by hand."""
    for name, seconds in worker.ask("time", least=settings.least).items():
        ways[name].update(step_seconds=seconds, gflops=case.flops / seconds * 1e-9)
    right = {name: float(ways[name]["step_seconds"]) for name, verdict in verdicts.items() if verdict.passed}
    kept = {}
    for names in (right, [name for name in right if not ways[name]["by_hand"]]):
        if names:
            fastest = min(names, key=right.__getitem__)
            kept[fastest] = right[fastest]
    if not kept:
        return [Entry(worker.contender, worker.threads, ways)]
    steps = worker.ask("choose", steps_seconds=kept, seconds=settings.seconds, call=settings.call)
    return [Entry(worker.contender, worker.threads, ways, name, verdicts[name], steps[name]) for name in kept]


def near_best(measured: Measured, contender: str) -> list[str] | None:
    """Return the ways of a contender that came near its best, and its best without hand-written parts; None for all."""
    entries = [entry for entry in measured.entries if entry.contender == contender and entry.way is not None]
    if not entries:
        return None
    speeds = {name: way["gflops"] for name, way in entries[0].ways.items() if way.get("passed") and "gflops" in way}
    kept = {name for name, speed in speeds.items() if speed * NEAR >= max(speeds.values())}
    return sorted({plain(name) for name in kept | {str(entry.way) for entry in entries}})


def measure(
    case: Case,
    dtype: str,
    threads: int,
    workers: list[Worker],
    settings: Settings,
    folder: Path,
    say: Say,
    before: Measured | None = None,
) -> Measured:
    """Run a case: all workers compile side by side, each is timed alone, then rounds in alternating order.

    `before` is the same case with more threads: ways that were far behind in it are not tried again.
    """
    say(f"{case.name} {dtype}: compiling")
    for worker in workers:
        only = None if before is None else near_best(before, worker.contender)
        worker.send("compile", case=case.name, dtype=dtype, folder=str(folder), only=only)
    answer = reference(case, dtype, CHECK_STEPS)
    ways = {worker.label: worker.receive("compile") for worker in workers}
    running: list[tuple[Worker, Entry]] = []
    for worker in workers:
        say(f"{case.name} {dtype}: timing the ways of {worker.label}")
        verdicts = check(ways[worker.label], answer)
        running += [(worker, entry) for entry in choose(worker, case, ways[worker.label], verdicts, settings)]
    result = Measured(case, dtype, threads, [entry for _, entry in running])
    cores = [worker for worker in workers if worker.name == "shoal" and worker.threads == threads]
    if cores:
        result.pack = cores[0].ask("pack", dtype=dtype)
    result.peaks = {core.contender: [] for core in cores}
    running = [(worker, entry) for worker, entry in running if entry.way is not None]
    for number in range(settings.rounds):
        say(f"{case.name} {dtype}: round {number + 1} of {settings.rounds}")
        for core in cores:
            result.peaks[core.contender].append(core.ask("peak", dtype=dtype, seconds=settings.peak)["gflops"])
        for worker, entry in running if number % 2 == 0 else running[::-1]:
            seconds = worker.ask("round", way=entry.way)["seconds"]
            entry.gflops.append(case.flops * entry.steps / seconds * 1e-9)
    return result
