"""JAX: vmap of a scan-like loop, and hand-written batched steps, whole or in blocks, on one device or on one a CPU.

The number of steps is an argument of the compiled loop, so nothing is compiled twice. The weights are donated to it.
Steps unrolled by four, and tiny networks written out with networks last, are ways of their own.
"""

from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np

from benchmarks.cases import Array, Case, dataset
from benchmarks.peers import Trainer, Variants, Way, blocks
from benchmarks.peers.batched import can_unroll, step_first, step_one, step_unrolled

# JAX is typed in part, or not installed where types are checked: it counts as untyped.
jax: Any = import_module("jax")
jnp: Any = import_module("jax.numpy")

Loop = Callable[[list[Any], Any], list[Any]]

UNROLLED = 4
"""Steps that a loop makes at a time in the ways that end in x 4."""

BLOCKS: dict[str, tuple[int | None, ...]] = {
    "vmap(loop)": (None,),
    "loop(batched x 4)": (16,),
    "loop(written out)": (None, 64, 512),
}
"""Networks of a block that are tried for a form, None for all of them at once; of the others `COMMON`."""

COMMON = (None, 16, 64)

LIBRARY_FORMS = ("vmap(loop)", "loop(vmap)")
"""Forms that are not by hand."""


def loss(weights: list[Any], x: Any, labels: Any) -> Any:
    """Mean cross-entropy of one network, weights (out, in)."""
    z = x.T
    for w in weights[:-1]:
        z = jax.nn.relu(w @ z)
    return jnp.mean(jax.nn.softplus(-labels * (weights[-1] @ z)[0]))


def repeat(step: Callable[[list[Any]], list[Any]], unrolled: int = 1) -> Loop:
    """Loop `step`, a number of times that is known at run time, a multiple of the steps that are `unrolled`."""

    def several(weights: list[Any]) -> list[Any]:
        for _ in range(unrolled):
            weights = step(weights)
        return weights

    def loop(weights: list[Any], steps: Any) -> list[Any]:
        done: list[Any] = jax.lax.fori_loop(0, steps // unrolled, lambda _, w: several(w), weights)
        return done

    return loop


def turned(loop: Loop) -> Loop:
    """Run a loop over arrays with the networks last on arrays that have them first."""

    def around(weights: list[Any], steps: Any) -> list[Any]:
        done = loop([jnp.moveaxis(w, 0, -1) for w in weights], steps)
        return [jnp.moveaxis(w, -1, 0) for w in done]

    return around


def loops(case: Case, dtype: str) -> dict[str, Loop]:
    """Each form's loop over the networks it is given, (networks, out, in) in and out.

    A layout with the networks last and sums as reductions was tried: XLA's CPU compiler leaves them scalar, 4 to 40
    times slower. Written out, without reductions, the layout is the best for tiny networks.
    """
    inputs, signs = dataset(case)
    x, labels = jnp.asarray(inputs, dtype), jnp.asarray(signs, dtype)
    pull = case.rate * labels / case.samples

    def descend(weights: list[Any]) -> list[Any]:
        gradient = jax.grad(loss)(weights, x, labels)
        return [w - case.rate * g for w, g in zip(weights, gradient, strict=True)]

    def first(weights: list[Any]) -> list[Any]:
        return step_first(weights, x, pull, labels, jnp.exp, jax.nn.relu)

    def single(weights: list[Any]) -> list[Any]:
        return [w[None] for w in step_one([w[0] for w in weights], x, pull, labels, jnp.exp, jax.nn.relu)]

    def written_out(weights: list[Any]) -> list[Any]:
        force = case.rate * signs / case.samples
        numbers = (inputs.tolist(), force.tolist(), signs.tolist())
        return step_unrolled(weights, *numbers, jnp.exp, jax.nn.relu, jnp.stack)

    found = {
        "vmap(loop)": jax.vmap(repeat(descend), in_axes=(0, None)),
        "loop(vmap)": repeat(jax.vmap(descend)),
        "loop(batched)": repeat(first),
        "loop(batched x 4)": repeat(first, UNROLLED),
    }
    if case.networks == 1:
        found |= {"loop(matrices)": repeat(single), "loop(matrices x 4)": repeat(single, UNROLLED)}
    if can_unroll(case.widths, case.samples):
        found["loop(written out)"] = turned(repeat(written_out))
    return found


def in_blocks(loop: Loop, size: int) -> Loop:
    """Run `loop` on blocks of `size` networks, one after the other, each for all its steps."""

    def mapped(weights: list[Any], steps: Any) -> list[Any]:
        cut = [w.reshape(-1, size, *w.shape[1:]) for w in weights]
        done = jax.lax.map(lambda block: loop(block, steps), cut)
        return [w.reshape(-1, *w.shape[2:]) for w in done]

    return mapped


class Compiled:
    """Holds the networks on the device(s) and runs a compiled loop on them."""

    chunk = UNROLLED

    def __init__(self, loop: Loop, dtype: str, devices: int) -> None:
        self.dtype = dtype
        self.mesh = jax.sharding.Mesh(np.array(jax.devices()[:devices]), ("networks",))
        self.split = jax.sharding.PartitionSpec("networks")
        everywhere = jax.sharding.PartitionSpec()
        # The loops start from unsharded constants; the varying-axes check would want each of them marked.
        shared = jax.shard_map(
            loop, mesh=self.mesh, in_specs=(self.split, everywhere), out_specs=self.split, check_vma=False
        )
        self.loop = jax.jit(shared if devices > 1 else loop, donate_argnums=0)
        self.state: list[Any] = []

    def reset(self, weights: list[Array]) -> None:
        """Put the networks on the device(s)."""
        place = jax.sharding.NamedSharding(self.mesh, self.split)
        self.state = [jax.device_put(w.astype(self.dtype), place) for w in weights]
        jax.block_until_ready(self.state)

    def advance(self, steps: int) -> None:
        """Run the loop and wait."""
        self.state = self.loop(self.state, np.int32(steps))
        jax.block_until_ready(self.state)

    def weights(self) -> list[Array]:
        """Fetch the networks."""
        return [np.asarray(w, dtype=np.float64) for w in self.state]


def variants(case: Case, dtype: str, threads: int) -> Variants:
    """Ways JAX can run the case: form x (one device with its own threads, one device a CPU) x (whole, blocks)."""
    jax.config.update("jax_enable_x64", dtype == "float64")
    found: Variants = {}
    devices = [1] + ([threads] if threads > 1 and case.networks % threads == 0 else [])
    for count in devices:
        for form, loop in loops(case, dtype).items():
            sizes = BLOCKS.get(form, COMMON) if case.networks > 1 else (None,)
            for size in sizes:
                whole = loop if size is None else in_blocks(loop, blocks(case.networks // count, size))
                name = form + (f", block {size}" if size else "") + (f", {count} devices" if count > 1 else "")
                found[name] = Way(partial(_trainer, whole, dtype, count), bool(size) or form not in LIBRARY_FORMS)
    return found


def _trainer(loop: Loop, dtype: str, devices: int) -> Trainer:
    return Compiled(loop, dtype, devices)
