"""torch: vmap(grad) eager and compiled, and compiled hand-written batched steps, several fused in a call."""

from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np

from benchmarks.cases import Array, Case, dataset
from benchmarks.peers import Trainer, Variants, Way, blocks
from benchmarks.peers.batched import can_unroll, step_first, step_last, step_one, step_unrolled

# torch is typed in part, or not installed where types are checked: it counts as untyped.
torch: Any = import_module("torch")

Step = Callable[[list[Any]], list[Any]]


def loss(weights: list[Any], x: Any, labels: Any) -> Any:
    """Mean cross-entropy of one network, weights (out, in)."""
    z = x.T
    for w in weights[:-1]:
        z = torch.relu(w @ z)
    return torch.nn.functional.softplus(-labels * (weights[-1] @ z)[0]).mean()


def steps_of(case: Case, dtype: str) -> dict[str, Step]:
    """Each form's single step of all networks that it is given."""
    inputs, signs = dataset(case)
    kind = getattr(torch, dtype)
    x, labels = torch.as_tensor(inputs, dtype=kind), torch.as_tensor(signs, dtype=kind)
    pull = case.rate * labels / case.samples
    gradient = torch.func.vmap(torch.func.grad(loss), in_dims=(0, None, None))

    def descend(weights: list[Any]) -> list[Any]:
        return [w - case.rate * g for w, g in zip(weights, gradient(weights, x, labels), strict=True)]

    def first(weights: list[Any]) -> list[Any]:
        return step_first(weights, x, pull, labels, torch.exp, torch.relu)

    def last(weights: list[Any]) -> list[Any]:
        return step_last(weights, x, pull, labels, torch.exp, torch.relu)

    def single(weights: list[Any]) -> list[Any]:
        return [w[None] for w in step_one([w[0] for w in weights], x, pull, labels, torch.exp, torch.relu)]

    # Lists: torch.compile takes NumPy arrays for tensors, whose numbers it cannot write in.
    numbers = (inputs.tolist(), (case.rate * signs / case.samples).tolist(), signs.tolist())

    def written_out(weights: list[Any]) -> list[Any]:
        return step_unrolled(weights, *numbers, torch.exp, torch.relu, torch.stack)

    return {
        "vmap(grad)": descend,
        "batched": first,
        "networks last": last,
        "matrices": single,
        "written out": written_out,
    }


LAST = ("networks last", "written out")
"""Forms whose arrays have the networks last."""


class Stepped:
    """Trains blocks of networks, calling a function that makes `chunk` steps."""

    def __init__(self, case: Case, dtype: str, step: Step, chunk: int, size: int, last: bool, compiled: bool) -> None:
        self.dtype, self.size, self.last = getattr(torch, dtype), blocks(case.networks, size), last
        self.chunk = chunk
        self.parts: list[list[Any]] = []

        def several(weights: list[Any]) -> list[Any]:
            for _ in range(chunk):
                weights = step(weights)
            return weights

        self.call: Step = torch.compile(several, dynamic=False, fullgraph=True) if compiled else several

    def reset(self, weights: list[Array]) -> None:
        """Cut the networks into blocks."""
        turned = [np.moveaxis(w, 0, -1) for w in weights] if self.last else weights
        axis = -1 if self.last else 0
        cut = [torch.as_tensor(np.ascontiguousarray(w), dtype=self.dtype).split(self.size, axis) for w in turned]
        self.parts = [[w.contiguous().clone() for w in part] for part in zip(*cut, strict=True)]

    def advance(self, steps: int) -> None:
        """Train each block for all its steps."""
        with torch.no_grad():
            for index, part in enumerate(self.parts):
                for _ in range(steps // self.chunk):
                    part = self.call(part)
                self.parts[index] = part

    def weights(self) -> list[Array]:
        """Join the blocks."""
        axis = -1 if self.last else 0
        joined = [torch.cat(w, axis).numpy().astype(np.float64) for w in zip(*self.parts, strict=True)]
        return [np.moveaxis(w, -1, 0) for w in joined] if self.last else joined


def variants(case: Case, dtype: str, threads: int) -> Variants:
    """Ways torch can run the case."""
    torch.set_num_threads(threads)
    torch._dynamo.reset()  # its limit on recompilation counts the cases before
    steps = steps_of(case, dtype)

    def make(form: str, chunk: int, size: int, compiled: bool) -> Trainer:
        return Stepped(case, dtype, steps[form], chunk, size, form in LAST, compiled)

    whole = case.networks
    found: Variants = {"vmap(grad), eager": Way(partial(make, "vmap(grad)", 1, whole, False), by_hand=False)}
    if whole == 1:
        found["matrices, eager"] = Way(partial(make, "matrices", 1, 1, False))
        ways = [("vmap(grad)", 1, 1), ("matrices", 4, 1)]
    else:
        ways = [("vmap(grad)", 1, whole), ("batched", 2, whole), ("batched", 2, 64), ("networks last", 1, 64)]
    if can_unroll(case.widths, case.samples):
        ways.append(("written out", 1, whole))
    for form, chunk, size in ways:
        where = "" if size == whole else f", block {size}"
        found[f"compile({form} x {chunk}){where}"] = Way(partial(make, form, chunk, size, True), form != "vmap(grad)")
    return found
