"""diffrax in its best form of several: Tsit5 or Dopri8, adaptive steps, under vmap and jit.

The tolerance is passed at run time.

The ways differ in who shares a step size (every network its own under vmap, or a block of networks one), in how many
networks stand in a block (blocks one after the other), in the step controller, and in the devices: one device with
XLA's own threads, or one device a thread. Nothing is kept for derivatives, and the number of steps is not bounded.

Tried and slower, or no faster, on the CPU: see docs/flow.md. diffrax does not locate kinks (it can step to times known
beforehand, or stop at an event): across one it relies on refused steps.
"""

from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np

from benchmarks.flow.cases import FlowCase, dataset, initial_weights
from benchmarks.flow.contenders import ATOL, Solution, Solve, Variants
from benchmarks.peers import blocks

# JAX and diffrax are optional, and may not be installed where types are checked: they count as untyped.
jax: Any = import_module("jax")
jnp: Any = import_module("jax.numpy")
diffrax: Any = import_module("diffrax")

PID = {"I": {}, "PI": {"pcoeff": 0.3, "icoeff": 0.4}}
"""Step controllers: diffrax's default, and the PI coefficients that its documentation suggests to try."""

GRADIENTS = {"Tsit5": 6, "Dopri8": 13}
"""Gradients of a step of each solver: its last slope is the first of the next step."""

Flow = Callable[[list[Any], Any], tuple[Any, Any, Any]]
"""From initial weights, (networks, out, in) a layer, and rtol to margins (networks, times, samples), tried, success."""


def flow_of(case: FlowCase, solver: str, controller: str, shared: bool) -> Flow:
    """Return the flow of some networks: with steps of their own, or in one step size as one system."""
    inputs, signs = dataset(case)
    x, labels = jnp.asarray(inputs), jnp.asarray(signs, jnp.float64)
    activation = jnp.tanh if case.activation == "tanh" else jax.nn.relu

    def margin(weights: list[Any]) -> Any:
        return labels * (weights[1] @ activation(weights[0] @ x.T))[0]

    def loss(weights: list[Any]) -> Any:
        return jnp.mean(jax.nn.softplus(-margin(weights)))

    def slope(weights: list[Any]) -> Any:
        return jax.tree.map(jnp.negative, jax.grad(loss)(weights))

    each = jax.vmap if shared else lambda function: function
    slopes, margins = each(slope), each(margin)

    def solve(weights: list[Any], rtol: Any) -> tuple[Any, Any, Any]:
        solution = diffrax.diffeqsolve(
            diffrax.ODETerm(lambda t, y, args: slopes(y)),
            getattr(diffrax, solver)(),
            t0=0.0,
            t1=case.until,
            dt0=None,
            y0=weights,
            saveat=diffrax.SaveAt(ts=jnp.asarray(case.times), fn=lambda t, y, args: margins(y)),
            stepsize_controller=diffrax.PIDController(rtol=rtol, atol=ATOL * rtol, **PID[controller]),
            adjoint=diffrax.ForwardMode(),
            max_steps=None,
            throw=False,
        )
        done = solution.result == diffrax.RESULTS.successful
        if not shared:
            return solution.ys, solution.stats["num_steps"], done
        count = weights[0].shape[0]
        return jnp.swapaxes(solution.ys, 0, 1), jnp.full(count, solution.stats["num_steps"]), jnp.full(count, done)

    return solve if shared else jax.vmap(solve, in_axes=(0, None))


def in_blocks(flow: Flow, size: int) -> Flow:
    """Solve `size` networks at a time, one block after the other."""

    def mapped(weights: list[Any], rtol: Any) -> Any:
        cut = [w.reshape(-1, size, *w.shape[1:]) for w in weights]
        found = jax.lax.map(lambda block: flow(block, rtol), cut)
        return jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:]), found)

    return mapped


def compiled(case: FlowCase, flow: Flow, gradients: int, devices: int) -> Solve:
    """Return the flow, with so many gradients per step, jitted, its networks spread over so many devices."""
    mesh = jax.sharding.Mesh(np.array(jax.devices()[:devices]), ("networks",))
    split, everywhere = jax.sharding.PartitionSpec("networks"), jax.sharding.PartitionSpec()
    # The loops start from unsharded constants; the varying-axes check would want each of them marked.
    spread = jax.shard_map(flow, mesh=mesh, in_specs=(split, everywhere), out_specs=split, check_vma=False)
    run = jax.jit(spread if devices > 1 else flow)
    init = [jax.device_put(w, jax.sharding.NamedSharding(mesh, split)) for w in initial_weights(case)]

    def solve(rtol: float) -> Solution:
        margins, tried, done = (np.asarray(found) for found in run(init, rtol))
        return Solution(margins, gradients * tried.astype(np.int64), bool(np.all(done)))

    return solve


def variants(case: FlowCase, threads: int) -> Variants:
    """Ways diffrax can solve the case; blocks of 64 were the best of 16, 64, 256 and all."""
    jax.config.update("jax_enable_x64", True)
    devices = threads if case.networks % threads == 0 else 1
    size = blocks(case.networks // devices, 64)
    # The first is what a smoke run tries.
    ways = [("Tsit5", "I", False, size, devices), ("Tsit5", "I", False, None, 1), ("Tsit5", "PI", False, size, devices)]
    if case.activation != "relu":
        # With kinks a step size that networks share has to stop at those of all of them, and high orders gain nothing.
        ways += [("Tsit5", "I", True, None, devices), ("Tsit5", "I", True, size, devices)]
        ways += [("Dopri8", "I", False, size, devices), ("Dopri8", "I", True, size, devices)]
    found: Variants = {}
    for solver, controller, shared, block, count in ways:
        name = f"{solver}, " + ("one step size" if shared else f"vmap, {controller}")
        name += (f", blocks of {block}" if block else "") + (f", {count} devices" if count > 1 else "")
        found[name] = partial(_make, case, solver, controller, shared, block, count)
    return found


def _make(case: FlowCase, solver: str, controller: str, shared: bool, block: int | None, devices: int) -> Solve:
    flow = flow_of(case, solver, controller, shared)
    return compiled(case, flow if block is None else in_blocks(flow, block), GRADIENTS[solver], devices)
