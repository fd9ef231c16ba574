"""A process that trains one wide network: ``python -m benchmarks.wide.worker CONTENDER THREADS CPUS``."""

from __future__ import annotations

import importlib
import time
from typing import Any

import numpy as np

from benchmarks import worker
from benchmarks.wide.cases import WideCase, right_answer, smaller, start_weights
from benchmarks.wide.contenders import WAYS, Advance

CLOCKS = {"elapsed": time.perf_counter, "cpu": time.process_time}
"""Seconds that went by, or that the process's threads were running."""
CHECKED_STEPS = 3
ALLOWED = {"float64": 1e-9, "float32": 1e-3}
"""Gap of an answer, as a share of how far the weights of its layer moved."""


class Desk:
    """Answers the requests; keeps the ways to train the present case."""

    def __init__(self, name: str, threads: int) -> None:
        self.name, self.threads = name, threads
        self.ways: dict[str, Advance] = {}

    def hello(self) -> dict[str, Any]:
        """Return versions."""
        return {"version": str(importlib.import_module(self.name).__version__)}

    def prepare(self, case: dict[str, int], dtype: str, most: int | None, clock: str) -> dict[str, Any]:
        """Check the answer of each way, at most so many, on fewer samples, and time one step of the case itself."""
        found: dict[str, Any] = {}
        large = WideCase(**case)
        few = smaller(large)
        right = right_answer(few, CHECKED_STEPS)
        small, whole = (WAYS[self.name](of, dtype, self.threads) for of in (few, large))
        for name in list(whole)[:most]:
            try:
                gap = gap_of(small[name](), few, right)
                advance = whole[name]()
                advance(1)
                seconds = timed(advance, 1, clock)
            except Exception as error:  # a peer's failure is a line of the report, not the end of the run
                reason = (str(error).strip().splitlines() or [""])[0]
                found[name] = {"error": f"{type(error).__name__}: {reason}"}
                continue
            self.ways[name] = advance
            found[name] = {"gap": gap, "passed": gap <= ALLOWED[dtype], "step_seconds": seconds}
        return found

    def round(self, way: str, steps: int, clock: str) -> dict[str, Any]:
        """Time a round."""
        return {"seconds": timed(self.ways[way], steps, clock)}

    def peak(self, dtype: str, seconds: float, clock: str) -> dict[str, Any]:
        """Measure the multiply-add peak, GFLOP/s, with shoal's own instructions; by CPU time, of all threads."""
        core = importlib.import_module("shoal._core")
        begin = time.process_time()
        gflops = core.fma_peak(self.threads, dtype, seconds)
        busy = (time.process_time() - begin) / (self.threads * seconds)
        return {"gflops": gflops / busy if clock == "cpu" else gflops}


def timed(advance: Advance, steps: int, clock: str) -> float:
    """Return the seconds that so many steps take."""
    begin = CLOCKS[clock]()
    advance(steps)
    return CLOCKS[clock]() - begin


def gap_of(advance: Advance, case: WideCase, right: tuple[Any, Any]) -> float:
    """Return the largest gap of the weights, as a share of how far those of its layer moved."""
    found = advance(CHECKED_STEPS)
    layers = zip(found, right, start_weights(case), strict=True)
    return max(float(np.abs(got - wanted).max() / np.abs(wanted - start).max()) for got, wanted, start in layers)


if __name__ == "__main__":
    worker.serve(Desk)
