"""JAX: vmap of a scan-like loop, and hand-written batched steps, whole or in blocks, on one device or on one a CPU.

The number of steps is an argument of the compiled loop, so nothing is compiled twice.
"""

from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np

from benchmarks.cases import Array, Case, dataset
from benchmarks.peers import Trainer, Variants, Way, blocks
from benchmarks.peers.batched import step_first

# JAX is typed in part, or not installed where types are checked: it counts as untyped.
jax: Any = import_module("jax")
jnp: Any = import_module("jax.numpy")

Loop = Callable[[list[Any], Any], list[Any]]


def loss(weights: list[Any], x: Any, labels: Any) -> Any:
    """Mean cross-entropy of one network, weights (out, in)."""
    z = x.T
    for w in weights[:-1]:
        z = jax.nn.relu(w @ z)
    return jnp.mean(jax.nn.softplus(-labels * (weights[-1] @ z)[0]))


def repeat(step: Callable[[list[Any]], list[Any]]) -> Loop:
    """Loop `step`, a number of times that is known at run time."""

    def loop(weights: list[Any], steps: Any) -> list[Any]:
        done: list[Any] = jax.lax.fori_loop(0, steps, lambda _, w: step(w), weights)
        return done

    return loop


def loops(case: Case, dtype: str) -> dict[str, Loop]:
    """Each form's loop over the networks it is given, (networks, out, in) in and out.

    A layout with the networks last was tried: XLA's CPU compiler leaves its reductions scalar, 4 to 40 times slower.
    """
    inputs, signs = dataset(case)
    x, labels = jnp.asarray(inputs, dtype), jnp.asarray(signs, dtype)
    pull = case.rate * labels / case.samples

    def descend(weights: list[Any]) -> list[Any]:
        gradient = jax.grad(loss)(weights, x, labels)
        return [w - case.rate * g for w, g in zip(weights, gradient, strict=True)]

    return {
        "vmap(loop)": jax.vmap(repeat(descend), in_axes=(0, None)),
        "loop(vmap)": repeat(jax.vmap(descend)),
        "loop(batched)": repeat(lambda w: step_first(w, x, pull, labels, jnp.exp, jax.nn.relu)),
    }


def in_blocks(loop: Loop, size: int) -> Loop:
    """Run `loop` on blocks of `size` networks, one after the other, each for all its steps."""

    def mapped(weights: list[Any], steps: Any) -> list[Any]:
        cut = [w.reshape(-1, size, *w.shape[1:]) for w in weights]
        done = jax.lax.map(lambda block: loop(block, steps), cut)
        return [w.reshape(-1, *w.shape[2:]) for w in done]

    return mapped


class Compiled:
    """Holds the networks on the device(s) and runs a compiled loop on them."""

    chunk = 1

    def __init__(self, loop: Loop, dtype: str, devices: int) -> None:
        self.dtype = dtype
        self.mesh = jax.sharding.Mesh(np.array(jax.devices()[:devices]), ("networks",))
        self.split = jax.sharding.PartitionSpec("networks")
        everywhere = jax.sharding.PartitionSpec()
        # The loops start from unsharded constants; the varying-axes check would want each of them marked.
        shared = jax.shard_map(
            loop, mesh=self.mesh, in_specs=(self.split, everywhere), out_specs=self.split, check_vma=False
        )
        self.loop = jax.jit(shared if devices > 1 else loop)
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
            for size in (None, 16, 64) if form != "vmap(loop)" else (None,):
                whole = loop if size is None else in_blocks(loop, blocks(case.networks // count, size))
                name = form + (f", block {size}" if size else "") + (f", {count} devices" if count > 1 else "")
                found[name] = Way(partial(_trainer, whole, dtype, count), bool(size) or form == "loop(batched)")
    return found


def _trainer(loop: Loop, dtype: str, devices: int) -> Trainer:
    return Compiled(loop, dtype, devices)
