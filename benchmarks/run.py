"""Measurement for a noisy machine: warmed workers, interleaved rounds in alternating order, ratios round by round."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.cases import Case
from benchmarks.check import Answer, Verdict, compare, reference
from benchmarks.worker import CHECK_STEPS

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
    """

    rounds: int = 9
    seconds: float = 0.6
    least: float = 0.15
    peak: float = 0.15

    def __post_init__(self) -> None:
        """Refuse what cannot be measured."""
        if self.rounds < 1:
            raise ValueError(f"rounds must be at least 1, got {self.rounds}")
        if min(self.seconds, self.least, self.peak) <= 0:
            raise ValueError(f"lengths must be positive, got {self}")


SMOKE = Settings(rounds=2, seconds=0.02, least=0.005, peak=0.02)
"""Settings that only show that everything works."""


class Worker:
    """A contender's process; `cpus` is how many CPUs it may use, `threads` how many it is told to use."""

    module = "benchmarks.worker"

    def __init__(self, name: str, threads: int, cpus: int, folder: Path) -> None:
        self.name, self.threads, self.cpus = name, threads, cpus
        self.errors = folder / f"{name}-{threads}-{cpus}.log"
        with self.errors.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", self.module, name, str(threads), str(cpus)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=environment(name, threads, folder / f"cache-{name}-{threads}-{cpus}"),
                cwd=Path(__file__).parent.parent,
            )

    @property
    def label(self) -> str:
        """Name and threads, as the tables show them."""
        return f"{self.name} @{self.threads}"

    def ask(self, do: str, **request: Any) -> dict[str, Any]:
        """Send a request and wait for the answer."""
        if self.process.stdin is None or self.process.stdout is None:
            raise RuntimeError(f"the worker {self.label} has no pipes")
        try:
            self.process.stdin.write(json.dumps({"do": do, **request}) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            tail = "\n".join(self.errors.read_text().splitlines()[-15:])
            raise RuntimeError(f"the worker {self.label} ended during {do!r}:\n{tail}")
        answer: dict[str, Any] = json.loads(line)
        return answer

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
    """All contenders at one case, dtype and thread count; peaks and speeds in GFLOP/s, one a round."""

    case: Case
    dtype: str
    threads: int
    entries: list[Entry]
    peaks: list[float] = field(default_factory=list)
    pack: dict[str, Any] = field(default_factory=dict)


def prepare(worker: Worker, case: Case, dtype: str, answer: Answer, settings: Settings, folder: Path) -> list[Entry]:
    """Warm a contender, check each way's answer; keep the fastest right way, and the fastest that is not by hand."""
    ways = worker.ask("prepare", case=case.name, dtype=dtype, folder=str(folder), least=settings.least)
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
        way["gflops"] = case.flops / way["step_seconds"] * 1e-9
    right = {name: float(ways[name]["step_seconds"]) for name, verdict in verdicts.items() if verdict.passed}
    kept = {}
    for names in (right, [name for name in right if not ways[name]["by_hand"]]):
        if names:
            fastest = min(names, key=right.__getitem__)
            kept[fastest] = right[fastest]
    if not kept:
        return [Entry(worker.name, worker.threads, ways)]
    steps = worker.ask("choose", steps_seconds=kept, seconds=settings.seconds)["steps"]
    return [Entry(worker.name, worker.threads, ways, name, verdicts[name], steps[name]) for name in kept]


def measure(
    case: Case, dtype: str, threads: int, workers: list[Worker], settings: Settings, folder: Path, say: Say
) -> Measured:
    """Run a case: prepare every worker in turn, then rounds in which each worker runs once, order alternating."""
    answer = reference(case, dtype, CHECK_STEPS)
    running: list[tuple[Worker, Entry]] = []
    for worker in workers:
        say(f"{case.name} {dtype}: warming {worker.label}")
        running += [(worker, entry) for entry in prepare(worker, case, dtype, answer, settings, folder)]
    result = Measured(case, dtype, threads, [entry for _, entry in running])
    core = next((w for w in workers if w.name == "shoal" and w.threads == threads), None)
    if core is not None:
        result.pack = core.ask("pack", dtype=dtype)
    running = [(worker, entry) for worker, entry in running if entry.way is not None]
    for number in range(settings.rounds):
        say(f"{case.name} {dtype}: round {number + 1} of {settings.rounds}")
        if core is not None:
            result.peaks.append(core.ask("peak", dtype=dtype, seconds=settings.peak)["gflops"])
        for worker, entry in running if number % 2 == 0 else running[::-1]:
            seconds = worker.ask("round", way=entry.way)["seconds"]
            entry.gflops.append(case.flops * entry.steps / seconds * 1e-9)
    return result
