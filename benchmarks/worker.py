"""A process that runs one contender: JSON requests in, one a line, JSON answers out.

A process of its own gives each contender clean thread settings and leaves its compiled code warm between rounds.
Start: ``python -m benchmarks.worker CONTENDER THREADS CPUS``.
"""

import importlib
import json
import os
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.cases import CASES, check_weights, start_weights
from benchmarks.peers import MODULES, Trainer

CHECK_STEPS = 4
"""Steps of the answer check: the most that a way to train fuses, and few enough for sharp rounding bounds."""


def clock(trainer: Trainer, least: float) -> float:
    """Return the seconds of one step, from a run of at least `least` seconds."""
    steps = trainer.chunk
    while True:
        begin = time.perf_counter()
        trainer.advance(steps)
        seconds = time.perf_counter() - begin
        if seconds >= least:
            return seconds / steps
        steps *= 2 if seconds > least / 4 else 4


class Desk:
    """Answers the requests; keeps the ways to train the present case."""

    def __init__(self, name: str, threads: int) -> None:
        self.name, self.threads = name, threads
        self.module = importlib.import_module(MODULES[name])
        self.trainers: dict[str, Trainer] = {}
        self.case = CASES["paper"]
        self.steps: dict[str, int] = {}

    def hello(self) -> dict[str, Any]:
        """Return versions."""
        package = importlib.import_module(self.name)
        return {"version": str(package.__version__), "python": platform.python_version()}

    def prepare(self, case: str, dtype: str, folder: str, least: float) -> dict[str, Any]:
        """Warm every way to train the case, save its answer, time a step; a way that raises is reported."""
        self.case, self.trainers = CASES[case], {}
        found: dict[str, Any] = {}
        begun, checked = start_weights(self.case), check_weights(self.case)
        for number, (name, way) in enumerate(self.module.variants(self.case, dtype, self.threads).items()):
            path = Path(folder) / f"{self.name}-{self.threads}-{number}.npz"
            try:
                begin = time.perf_counter()
                trainer: Trainer = way.make()
                trainer.reset(checked)
                trainer.advance(CHECK_STEPS)
                first = time.perf_counter() - begin
                np.savez(path, *trainer.weights())
                trainer.reset(begun)
                step = clock(trainer, least)
            except Exception as error:  # a peer's failure is a line of the report, not the end of the run
                reason = (str(error).strip().splitlines() or [""])[0]
                found[name] = {"by_hand": way.by_hand, "error": f"{type(error).__name__}: {reason}"}
                continue
            self.trainers[name] = trainer
            compiled = max(0.0, first - CHECK_STEPS * step)
            found[name] = {
                "by_hand": way.by_hand,
                "step_seconds": step,
                "compile_seconds": compiled,
                "answer": str(path),
            }
        return found

    def choose(self, steps_seconds: dict[str, float], seconds: float) -> dict[str, Any]:
        """Keep these ways, drop the others, and return the steps of each one's rounds, `seconds` long."""
        self.trainers = {name: self.trainers[name] for name in steps_seconds}
        for name, step in steps_seconds.items():
            chunk = self.trainers[name].chunk
            self.steps[name] = chunk * max(1, round(seconds / step / chunk))
        return {"steps": self.steps}

    def round(self, way: str) -> dict[str, Any]:
        """Time one round of one way."""
        self.trainers[way].reset(start_weights(self.case))
        begin = time.perf_counter()
        self.trainers[way].advance(self.steps[way])
        return {"seconds": time.perf_counter() - begin}

    def peak(self, dtype: str, seconds: float) -> dict[str, Any]:
        """Measure the multiply-add peak, GFLOP/s, with shoal's own instruction set."""
        core = importlib.import_module("shoal._core")
        return {"gflops": core.fma_peak(self.threads, dtype, seconds)}

    def pack(self, dtype: str) -> dict[str, Any]:
        """Return the bytes that one pack of networks works on, how many it holds, and the instruction set."""
        core = importlib.import_module("shoal._core")
        size = core.pack_bytes(list(self.case.widths), self.case.samples, dtype)
        return {"bytes": size, "networks": core.pack_networks(list(self.case.widths), dtype), "isa": core.isa}


def serve(make: Callable[[str, int], Any]) -> None:
    """Serve requests until the input ends: each names a method of the desk that `make` makes."""
    name, threads, cpus = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cpus])
    # Libraries that print must not garble the answers: they get the error stream.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    desk = make(name, threads)
    for line in sys.stdin:
        request: dict[str, Any] = json.loads(line)
        answers.write(json.dumps(getattr(desk, request.pop("do"))(**request)) + "\n")
        answers.flush()


if __name__ == "__main__":
    serve(Desk)
