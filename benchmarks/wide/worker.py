"""A process that trains one wide network: ``python -m benchmarks.wide.worker CONTENDER THREADS CPUS``."""

from __future__ import annotations

import importlib
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import worker
from benchmarks.wide.cases import WideCase, initial_weights, right_answer, smaller
from benchmarks.wide.contenders import WAYS, Advance, Weights

CLOCKS = {"elapsed": time.perf_counter, "cpu": time.process_time}
"""Seconds that went by, or that the process's threads were running."""
CHECKED_STEPS = 3
CHECKED_DESCENT = 40
"""Steps by which some of the samples are satisfied."""
ALLOWED = {"float64": 1e-9, "float32": 1e-3}
"""Gap of an answer, as a fraction of how far the weights of its layer moved."""


class Desk:
    """Answers the requests; keeps the ways to train the present case."""

    def __init__(self, name: str, threads: int) -> None:
        self.name, self.threads = name, threads
        self.ways: dict[str, Advance] = {}
        self.start: Weights

    def hello(self) -> dict[str, Any]:
        """Return versions."""
        return {"version": str(importlib.import_module(self.name).__version__)}

    def prepare(self, case: dict[str, Any], dtype: str, most: int | None, clock: str) -> dict[str, Any]:
        """Check the answer of each way, at most so many, on fewer samples, and time one step of the case itself."""
        found: dict[str, Any] = {}
        large = WideCase(**case)
        few = smaller(large)
        self.start = initial_weights(large)
        steps = checked_steps(few)
        right = right_answer(few, steps)
        small, whole = (WAYS[self.name](of, dtype, self.threads) for of in (few, large))
        for name in list(whole)[:most]:
            try:
                gap = gap_of(small[name](), few, steps, right)
                advance = whole[name]()
                advance(1, self.start)
                seconds = timed(advance, 1, self.start, clock)[0]
            except Exception as error:  # a peer's failure is a line of the report, not the end of the run
                reason = (str(error).strip().splitlines() or [""])[0]
                found[name] = {"error": f"{type(error).__name__}: {reason}"}
                continue
            self.ways[name] = advance
            found[name] = {"gap": gap, "passed": gap <= ALLOWED[dtype], "step_seconds": seconds}
        return found

    def round(self, way: str, steps: int, clock: str, begin: str = "", end: str = "") -> dict[str, Any]:
        """Time a round from the weights in file `begin`, or the initial ones; the last ones go into file `end`."""
        weights = self.start
        if begin:
            with np.load(begin) as saved:
                weights = saved["first"], saved["second"]
        seconds, (first, second) = timed(self.ways[way], steps, weights, clock)
        if end:
            with Path(end).open("wb") as file:
                np.savez(file, first=first, second=second)
        return {"seconds": seconds}

    def peak(self, dtype: str, seconds: float, clock: str) -> dict[str, Any]:
        """Measure the multiply-add peak, GFLOP/s, with shoal's own instructions; by CPU time, of all threads."""
        core = importlib.import_module("shoal._core")
        begin = time.process_time()
        gflops = core.fma_peak(self.threads, dtype, seconds)
        busy = (time.process_time() - begin) / (self.threads * seconds)
        return {"gflops": gflops / busy if clock == "cpu" else gflops}


def timed(advance: Advance, steps: int, weights: Weights, clock: str) -> tuple[float, Weights]:
    """Return the seconds that so many steps take, and where they lead."""
    begin = CLOCKS[clock]()
    found = advance(steps, weights)
    return CLOCKS[clock]() - begin, found


def checked_steps(case: WideCase) -> int:
    """Return after how many steps answers are compared."""
    return CHECKED_STEPS if case.steps is None else min(case.steps, CHECKED_DESCENT)


def gap_of(advance: Advance, case: WideCase, steps: int, right: Weights) -> float:
    """Return the largest gap of the weights after so many steps, as a fraction of how far those of its layer moved."""
    start = initial_weights(case)
    layers = zip(advance(steps, start), right, start, strict=True)
    return max(float(np.abs(got - wanted).max() / np.abs(wanted - before).max()) for got, wanted, before in layers)


if __name__ == "__main__":
    worker.serve(Desk)
