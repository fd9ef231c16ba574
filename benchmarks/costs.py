"""What biases, records and few networks cost: ``python -m benchmarks costs``. shoal alone, one thread, CPU time.

The same training with and without biases, with 101 records and one, and with one sharpness and none; networks from one
to many, whose time per network must not rise as others are added; and the larger of the two shapes that SimpleChains.jl
was published with.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from rich.table import Table

import shoal
from benchmarks.cases import ALL, CASES, training
from benchmarks.options import console, parsed, size_of
from benchmarks.report import band, median_and_band
from benchmarks.results import Result
from benchmarks.turns import in_turns

ROUNDS = {"smoke": 1, "quick": 5, "full": 9}
STEPS = {"paper": 300, "tiny": 1_000, "deep": 80, "wide": 100}
RECORDS = 101
FEW = {"paper": 20_000, "one-deep": 3_000}
"""Steps of one network alone; more networks take fewer."""
COUNTS = (1, 2, 3, 5, 8, 9, 16, 17, 32, 64)

CHAINS_WIDTHS, CHAINS_SAMPLES, CHAINS_STEPS = (4, 32, 16, 4), 10_000, 60
CHAINS = """SimpleChains.jl's documentation gives 0.41 s for 10,000 steps of 4-32-16-4 (tanh) on 10,000 samples in
single precision on 18 cores with AVX-512: 14 million samples x steps per second and core. That is Adam, with an
approximate tanh, on another machine. shoal's steps are gradient descent on cross-entropy, and its tanh is accurate to 2
units in the last place."""


def timed(given: dict[str, Any]) -> Callable[[], float]:
    """Return a call that trains and tells its CPU time."""

    def call() -> float:
        begun = time.process_time()
        shoal.train(**given, threads=1)
        return time.process_time() - begun

    return call


def pairs(small: bool) -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    """Return the arguments without and with what costs something, by what that is."""
    sizes = {name: (replace(case, networks=64), 10) if small else (case, STEPS[name]) for name, case in CASES.items()}
    found = {}
    for name, (case, steps) in sizes.items():
        last = {"steps": [steps], "measure": ("loss",)}
        found[f"biases: {name}"] = training(case, steps, last), training(case, steps, last, bias=True)
    for name in ("tiny", "paper"):
        case, steps = sizes[name]
        times = np.unique(np.linspace(0, steps, RECORDS).astype(int)).tolist()
        measure = ("loss", "error", "margin")
        for kept, more in (("each network", {}), ("statistics", {"reduce": "moments"})):
            one, many = ({"steps": at, "measure": measure, **more} for at in ([steps], times))
            found[f"{RECORDS} records, {kept}: {name}"] = training(case, steps, one), training(case, steps, many)
    for name in ("paper", "deep"):
        case, steps = sizes[name]
        one, many = ({"steps": [steps], "measure": ("loss", *more)} for more in ((), ("sharpness",)))
        without, with_it = training(case, steps, one), training(case, steps, many)
        found[f"sharpness after the last of {steps} steps: {name}"] = without, with_it
    case, steps = sizes["tiny"] if small else (replace(CASES["tiny"], networks=1024, rate=0.1), 3_000)
    plain = {**training(case, steps, {"steps": [steps], "measure": ("loss",)}), "dtype": "float32"}
    found["weight decay to subnormal numbers, float32: tiny"] = plain, {**plain, "weight_decay": 0.5}
    return found


def pairs_table(seconds: dict[str, tuple[list[float], list[float]]]) -> Table:
    """Return a line for each pair."""
    table = Table(title="The same training without and with what is named: CPU time, median (band) of the rounds")
    table.add_column("what")
    for name in ("without, s", "with, s", "with over without"):
        table.add_column(name, justify="right")
    for name, (without, with_it) in seconds.items():
        ratio = median_and_band([b / a for a, b in zip(without, with_it, strict=True)])
        table.add_row(name, *(band(median_and_band(s), 3) for s in (without, with_it)), band(ratio))
    return table


def few_table(found: dict[str, dict[int, list[float]]]) -> Table:
    """Return a line for each number of networks, in microseconds per network and step."""
    table = Table(title="Few networks: microseconds of CPU time per network and step, median (band) of the rounds")
    table.add_column("networks", justify="right")
    for name in found:
        table.add_column(f"{name}: {ALL[name].shape.rsplit(', ', 1)[0]}", justify="right")
    for count in next(iter(found.values())):
        table.add_row(str(count), *(band(median_and_band(each[count])) for each in found.values()))
    return table


def few(name: str, small: bool, rounds: int, say: Callable[[str], Any]) -> dict[int, list[float]]:
    """Return microseconds per network and step for each number of networks."""
    calls, steps = {}, {}
    for count in COUNTS:
        steps[count] = 10 if small else max(FEW[name] // count, 200)
        last = {"steps": [steps[count]], "measure": ("loss",)}
        calls[f"{name}, {count} networks"] = timed(training(replace(ALL[name], networks=count), steps[count], last))
    found = in_turns(calls, rounds, say)
    return {
        count: [1e6 * s / (count * steps[count]) for s in seconds]
        for count, seconds in zip(COUNTS, found.values(), strict=True)
    }


def chains(dtype: str, small: bool) -> dict[str, Any]:
    """Return the arguments of SimpleChains' shape: one network, four classes."""
    draw = np.random.default_rng(1809)
    inputs = draw.standard_normal((CHAINS_SAMPLES, CHAINS_WIDTHS[0]))
    steps = 2 if small else CHAINS_STEPS
    return {
        "network": shoal.Network(CHAINS_WIDTHS, activation="tanh", bias=True),
        "task": shoal.Task(inputs, np.argmax(inputs @ draw.standard_normal((4, 4)), axis=1)),
        "init": shoal.Gaussian(gain=1.0),
        "method": shoal.GradientDescent(0.05, steps),
        "record": shoal.Record(steps=[steps], measure=("loss",)),
        "networks": 1,
        "dtype": dtype,
    }


def chains_table(seconds: dict[str, list[float]], steps: int) -> Table:
    """Return a line for each precision."""
    table = Table(title=f"One network 4-32-16-4 (tanh, biases), {CHAINS_SAMPLES:,} samples: median (band)")
    table.add_column("dtype")
    for name in ("1e6 samples x steps per second and core", "GFLOP/s"):
        table.add_column(name, justify="right")
    products = [a * b for a, b in itertools.pairwise(CHAINS_WIDTHS)]
    flops = 2 * (2 * sum(products) + sum(products[1:]))
    for dtype, spent in seconds.items():
        speeds = [1e-6 * CHAINS_SAMPLES * steps / s for s in spent]
        table.add_row(dtype, band(median_and_band(speeds)), f"{1e-3 * flops * statistics.median(speeds):.1f}")
    return table


def main(words: list[str]) -> int:
    """Run the benchmark."""
    options = parsed("costs", __doc__, words, ROUNDS["full"])
    small, rounds = options.smoke, options.rounds or ROUNDS[size_of(options)]
    shown, result = console(), Result("costs", words)
    spent, counted = {}, {}
    with shown.status("starting") as status:
        for what, (without, with_it) in pairs(small).items():
            calls = {"without": timed(without), "with": timed(with_it)}
            in_turns(calls, 1, status.update)
            status.update(what)
            seconds = in_turns(calls, rounds, lambda _: None)
            spent[what] = seconds["without"], seconds["with"]
        for name in FEW:
            counted[name] = few(name, small, rounds, status.update)
        calls = {dtype: timed(chains(dtype, small)) for dtype in ("float64", "float32")}
        chained = in_turns(calls, rounds, status.update)
    tables = [pairs_table(spent), few_table(counted), chains_table(chained, 2 if small else CHAINS_STEPS)]
    for table in tables:
        shown.print(table)
    shown.print(CHAINS)
    result.save(options.json, tables, [CHAINS], pairs=spent, few=counted, chains=chained)
    return 0
