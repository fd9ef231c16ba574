"""A sweep without a store: what its blocks keep, put together in memory."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import numpy as np

from shoal.engine import memory
from shoal.sweep import assembled
from shoal.sweep.plan import Execute, Plan

if TYPE_CHECKING:
    import xarray


def require(plan: Plan, threads: int) -> None:
    """Raise a ValueError where what all conditions record, and the largest block beside it, need too much memory."""
    kept = kept_bytes(plan)
    available = memory.less_than(kept)
    if available is not None:
        at = f" at each of {plan.conditions.count:,} conditions" if plan.conditions.axes else ""
        raise ValueError(
            f"networks={plan.networks}{at} record {memory.gigabytes(kept)}, {memory.gigabytes(available)} of memory is "
            "available: sweep into a store, record less, or use Record(reduce='moments')"
        )
    left = memory.available_bytes()
    plan.require(threads, None if left is None else left - kept, "this machine, beside what is recorded")


def kept_bytes(plan: Plan) -> int:
    """Return the bytes of the arrays that are kept; of statistics thrice, since they are merged and put together."""
    if plan.reduced:
        each = sum(values.nbytes for values in plan.statistics.values())
        return 3 * plan.conditions.count * each
    row = sum(values.nbytes for _, values, _ in plan.templates[0].variables.values())
    if any(run.training.method.rates is not None for run in plan.runs):
        row += 8 * len(plan.runs[0].training.records)  # the times of each network
    return plan.conditions.count * plan.networks * row


def sweep(plan: Plan, execute: Execute) -> xarray.Dataset:
    """Train all blocks of a plan and return their dataset: that of a store."""
    nothing = np.zeros((plan.conditions.count, len(plan.ranges)), bool)
    attrs = assembled.attrs(plan, plan.networks, complete=True)
    with contextlib.closing(execute(plan, plan.blocks(nothing))) as trained:
        if plan.reduced:
            gathered = [assembled.Gathered(plan, condition) for condition in range(plan.conditions.count)]
            for block, result in trained:
                gathered[block.condition].add(plan, block.number, result)
            return assembled.of_statistics(plan, gathered, attrs)
        names, shape = plan.conditions.names, plan.conditions.shape
        rows = (plan.conditions.count, plan.networks)
        held = plan.templates[0].variables
        arrays = {name: np.empty((*rows, *one.shape[1:]), one.dtype) for name, (_, one, _) in held.items()}
        for block, result in trained:
            for name, values in result.items():
                arrays[name][block.condition, block.begin : block.end] = values
    variables = {
        name: ((*names, *dims), arrays[name].reshape((*shape, *arrays[name].shape[1:])), about)
        for name, (dims, _, about) in held.items()
    }
    return assembled.of_networks(plan, variables, plan.networks, attrs)
