"""A process that solves flows: started as ``python -m benchmarks.flow.worker CONTENDER THREADS CPUS``."""

import importlib
import time
from typing import Any

import numpy as np

from benchmarks import worker
from benchmarks.flow.cases import FlowCase
from benchmarks.flow.contenders import MODULES, Solution, Solve
from benchmarks.flow.reference import errors

CLOCKS = {"elapsed": time.perf_counter, "cpu": time.process_time}
"""Seconds that went by, or that the process's threads were running."""


class Desk:
    """Answers the requests; keeps the ways to solve the present case."""

    def __init__(self, name: str, threads: int) -> None:
        self.name, self.threads = name, threads
        self.module = importlib.import_module(MODULES[name])
        self.ways: dict[str, Solve] = {}

    def hello(self) -> dict[str, Any]:
        """Return versions."""
        return {"version": str(importlib.import_module(self.name).__version__)}

    def prepare(
        self, case: dict[str, Any], reference: str, rtols: list[float], most: int | None, clock: str
    ) -> dict[str, Any]:
        """Compile the ways, at most so many, and solve once at each tolerance; a way that raises is reported."""
        self.ways = {}
        found: dict[str, Any] = {}
        with np.load(reference) as saved:
            chosen, right = saved["chosen"], saved["margins"]
        variants = self.module.variants(FlowCase(**case), self.threads)
        for name, make in list(variants.items())[:most]:
            try:
                begin = CLOCKS[clock]()
                solve = make()
                solve(rtols[0])
                first = CLOCKS[clock]() - begin
                points = {}
                for rtol in rtols:
                    solution, seconds = timed(solve, rtol, clock)
                    points[f"{rtol:g}"] = judged(solution, chosen, right) | {"seconds": seconds}
            except Exception as error:  # a peer's failure is a line of the report, not the end of the run
                reason = (str(error).strip().splitlines() or [""])[0]
                found[name] = {"error": f"{type(error).__name__}: {reason}"}
                continue
            self.ways[name] = solve
            found[name] = {"points": points, "compile_seconds": max(0.0, first - points[f"{rtols[0]:g}"]["seconds"])}
        return found

    def measure(self, way: str, rtol: float, reference: str) -> dict[str, Any]:
        """Solve with this way and compare its answer with the reference."""
        with np.load(reference) as saved:
            return judged(self.ways[way](rtol), saved["chosen"], saved["margins"])

    def round(self, way: str, rtols: list[float], clock: str) -> dict[str, Any]:
        """Time one run at each tolerance."""
        return {"seconds": [timed(self.ways[way], rtol, clock)[1] for rtol in rtols]}


def timed(solve: Solve, rtol: float, clock: str) -> tuple[Solution, float]:
    """Return the solution and the seconds it took."""
    begin = CLOCKS[clock]()
    solution = solve(rtol)
    return solution, CLOCKS[clock]() - begin


def judged(solution: Solution, chosen: Any, right: Any) -> dict[str, Any]:
    """Return the error reached, median and worst of the chosen networks, and the work it took."""
    off = errors(solution.margins[chosen], right)
    return {
        "median": float(np.median(off)),
        "worst": float(np.max(off)),
        "gradients": solution.gradients,
        "finished": solution.finished,
    }


if __name__ == "__main__":
    worker.serve(Desk)
