"""A process that sweeps the tiny case and tells what it took: ``python -m benchmarks.sweep_child N THREADS FOLDER``."""

import importlib
import json
import sys
import time
from collections.abc import Generator, Iterable
from pathlib import Path
from typing import Any

from benchmarks.memory import peak_bytes
from benchmarks.sweep import arguments


def nothing(plan: Any, blocks: Iterable[Any]) -> Generator[tuple[Any, Any], None, None]:
    """Look for the first block and train none."""
    next(iter(blocks), None)
    yield from ()


def timed_trainings() -> list[float]:
    """Return a list to which each training of a block adds its seconds, from now on."""
    sweeping = importlib.import_module("shoal.sweep.sweep")  # the name shoal.sweep is the function's
    train, seconds = sweeping.trained, []

    def trained(*told: Any) -> Any:
        begin = time.perf_counter()
        kept = train(*told)
        seconds.append(time.perf_counter() - begin)
        return kept

    sweeping.trained = trained  # type: ignore[attr-defined]
    return seconds


def run(networks: int, threads: int, folder: Path) -> dict[str, Any]:
    """Sweep here, into a store in a folder, then call again with all of it done, and with half."""
    import shoal
    from shoal.sweep.store import read_plan
    from shoal.sweep.sweep import carry_out

    # Everything that a sweep imports counts as "before": a first, small one brings it in.
    shoal.sweep(**arguments(1), threads=threads, store=folder / "first")
    trainings = timed_trainings()
    store, before, marks = folder / "store", peak_bytes(), [time.perf_counter()]
    shoal.sweep(**arguments(networks), threads=threads, store=store)
    marks.append(time.perf_counter())
    peak = peak_bytes()
    shoal.sweep(**arguments(networks), threads=threads, store=store)
    marks.append(time.perf_counter())
    shoal.open_sweep(store)
    marks.append(time.perf_counter())
    files = [file for file in store.rglob("*") if file.is_file()]
    plan, size = read_plan(store), sum(file.stat().st_size for file in files)
    done = sorted((store / "done").glob("c.*"), key=lambda file: int(file.suffix[1:]))
    for mark in done[len(done) // 2 :]:
        mark.unlink()
    begin = time.perf_counter()
    carry_out(plan, store, lambda before: nothing)
    half = time.perf_counter() - begin
    return {
        "networks": networks,
        "seconds": marks[1] - marks[0],
        "training_seconds": sum(trainings),
        "again_seconds": marks[2] - marks[1],
        "open_seconds": marks[3] - marks[2],
        "half_seconds": half,
        "before_bytes": before,
        "peak_bytes": peak,
        "block": plan.block,
        "blocks": len(done),
        "files": len(files),
        "file_bytes": size,
    }


if __name__ == "__main__":
    print(json.dumps(run(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))))
