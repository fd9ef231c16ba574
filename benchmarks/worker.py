"""A process that runs one contender: JSON requests in, one a line, JSON answers out.

A process of its own gives each contender clean thread settings and leaves its compiled code warm between rounds.
Start: ``python -m benchmarks.worker CONTENDER THREADS CPUS``.
"""

import importlib
import json
import os
import platform
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.cases import ALL, check_weights, initial_weights
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


def plain(way: str) -> str:
    """Return the name of a way without the number of its devices, which is the number of threads."""
    return re.sub(r", \d+ devices$", "", way)


class Desk:
    """Answers the requests; keeps the ways to train the present case."""

    def __init__(self, name: str, threads: int) -> None:
        self.name, self.threads = name, threads
        self.module = importlib.import_module(MODULES[name])
        self.trainers: dict[str, Trainer] = {}
        self.case = ALL["paper"]
        self.steps: dict[str, int] = {}
        self.calls: dict[str, int] = {}

    def hello(self) -> dict[str, Any]:
        """Return versions."""
        package = importlib.import_module(self.name)
        return {"version": str(package.__version__), "python": platform.python_version()}

    def compile(self, case: str, dtype: str, folder: str, only: list[str] | None) -> dict[str, Any]:
        """Make every way to train the case, or those in `only`, and save its answer; a way that raises is reported.

        Nothing is timed, so that contenders can compile side by side.
        """
        self.case, self.trainers = ALL[case], {}
        found: dict[str, Any] = {}
        checked = check_weights(self.case)
        for number, (name, way) in enumerate(self.module.variants(self.case, dtype, self.threads).items()):
            if only is not None and plain(name) not in only:
                continue
            path = Path(folder) / f"{self.name}-{self.threads}-{os.getpid()}-{number}.npz"
            try:
                trainer: Trainer = way.make()
                trainer.reset(checked)
                trainer.advance(CHECK_STEPS)
                np.savez(path, *trainer.weights())
            except Exception as error:  # a peer's failure is a line of the report, not the end of the run
                reason = (str(error).strip().splitlines() or [""])[0]
                found[name] = {"by_hand": way.by_hand, "error": f"{type(error).__name__}: {reason}"}
                continue
            self.trainers[name] = trainer
            found[name] = {"by_hand": way.by_hand, "answer": str(path)}
        return found

    def time(self, least: float) -> dict[str, Any]:
        """Return the seconds of one step of each way, from a run of at least `least` seconds."""
        begun = initial_weights(self.case)
        found = {}
        for name, trainer in self.trainers.items():
            trainer.reset(begun)
            found[name] = clock(trainer, least)
        return found

    def choose(self, steps_seconds: dict[str, float], seconds: float, call: int | None) -> dict[str, Any]:
        """Keep these ways, drop the others, and return the steps of each one's rounds, `seconds` long.

        With `call` a round is cut into calls of about so many steps.
        """
        self.trainers = {name: self.trainers[name] for name in steps_seconds}
        for name, step in steps_seconds.items():
            chunk = self.trainers[name].chunk
            steps = seconds / step if call is None else call
            self.steps[name] = chunk * max(1, round(steps / chunk))
            self.calls[name] = max(1, round(seconds / step / self.steps[name]))
        return {name: self.steps[name] * self.calls[name] for name in steps_seconds}

    def round(self, way: str) -> dict[str, Any]:
        """Time one round of one way."""
        trainer, steps = self.trainers[way], self.steps[way]
        trainer.reset(initial_weights(self.case))
        begin = time.perf_counter()
        for _ in range(self.calls[way]):
            trainer.advance(steps)
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
