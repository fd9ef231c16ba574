"""The ways to make steps: shoal's whole call, and torch in its best forms."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from benchmarks.cases import Array
from benchmarks.wide.cases import WideCase, dataset

Weights = tuple[Array, Array]
Advance = Callable[[int, Weights], Weights]
"""Makes so many steps from given weights and returns those to which they lead."""

BLOCK = 2048
"""Samples at a time, where a way goes block by block: the best of 1024, 2048, 4096 and 8192 for torch."""


def of_shoal(case: WideCase, dtype: str, threads: int) -> dict[str, Callable[[], Advance]]:
    """Return the one way of shoal: the whole call is timed, checks and the data set of the result included."""
    shoal: Any = import_module("shoal")

    def make() -> Advance:
        task = shoal.Task(*dataset(case))
        rate, other = case.rates
        network = shoal.Network((case.inputs, case.nodes, 1), rates=(1.0, other / rate))

        def advance(steps: int, weights: Weights) -> Weights:
            data = shoal.train(
                network,
                task,
                shoal.Explicit([w[None] for w in weights]),
                loss="hinge",
                method=shoal.GradientDescent(rate, steps),
                record=shoal.Record(steps=[steps], measure=("weights",)),
                threads=threads,
                dtype=dtype,
            )
            return data.weights_1.values[0], data.weights_2.values[0]

        return advance

    return {"shoal.train": make}


def of_torch(case: WideCase, dtype: str, threads: int) -> dict[str, Callable[[], Advance]]:
    """Return torch's ways: by hand or by autograd, the samples at once or in blocks, eager or compiled."""
    torch: Any = import_module("torch")
    torch.set_num_threads(threads)
    kind = getattr(torch, dtype)

    def slopes(w: Any, a: Any, x: Any, y: Any) -> tuple[Any, Any]:
        before = x @ w.T
        hidden = torch.relu(before)
        pull = torch.where(y * (hidden @ a[0]) < 1, -y / case.samples, 0.0)
        return (torch.where(before > 0, pull[:, None] * a[0], 0.0)).T @ x, (pull @ hidden)[None]

    def loss(weights: tuple[Any, Any], x: Any, y: Any) -> Any:
        outputs = torch.relu(x @ weights[0].T) @ weights[1][0]
        return torch.relu(1 - y * outputs).sum() / case.samples

    def derived(w: Any, a: Any, x: Any, y: Any) -> tuple[Any, Any]:
        found: tuple[Any, Any] = torch.func.grad(loss)((w, a), x, y)
        return found

    def way(formula: Any, block: int, compiled: bool) -> Callable[[], Advance]:
        def make() -> Advance:
            inputs, labels = (torch.as_tensor(array, dtype=kind) for array in dataset(case))
            parts = list(zip(inputs.split(block), labels.split(block), strict=True))
            gradient = torch.compile(formula) if compiled else formula

            def advance(steps: int, weights: Weights) -> Weights:
                w, a = (torch.as_tensor(array, dtype=kind).clone() for array in weights)
                with torch.no_grad():
                    for _ in range(steps):
                        found = [gradient(w, a, x, y) for x, y in parts]
                        w = w - case.rates[0] * sum(slope for slope, _ in found)
                        a = a - case.rates[1] * sum(slope for _, slope in found)
                return w.numpy(), a.numpy()

            return advance

        return make

    ways = {}
    for name, formula in (("by hand", slopes), ("autograd", derived)):
        for size, block in (("at once", case.samples), (f"blocks of {BLOCK}", BLOCK)):
            for compiled in (False, True):
                kind_of_run = "compiled" if compiled else "eager"
                ways[f"{name}, {size}, {kind_of_run}"] = way(formula, block, compiled)
    return ways


WAYS = {"shoal": of_shoal, "torch": of_torch}
"""The ways of each contender; its name is also the package it needs."""
