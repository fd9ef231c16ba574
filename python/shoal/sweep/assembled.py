"""All conditions as one dataset, as ``train`` returns it, with the swept fields as dimensions in front."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from shoal.engine import memory
from shoal.engine.merged import Merged, together
from shoal.engine.run import Run
from shoal.spec.encoding import canonical
from shoal.spec.method import GradientDescent
from shoal.sweep import template
from shoal.sweep.plan import Block, Execute, Plan, Result
from shoal.sweep.template import Labelled, Template

if TYPE_CHECKING:
    import xarray


class _Gathered:
    """The statistics of a condition, whose blocks are merged as they come; blocks in order take the least memory."""

    def __init__(self, run: Run) -> None:
        self.run, self.networks, self.empty = run, 0, template.of_statistics(run)
        self.counts = dict(self.empty.counts)
        self.parts: list[Merged] = []

    def add(self, begin: int, end: int, result: Result) -> None:
        """Add a block of networks of these indices."""
        self.networks += end - begin
        # Counts are added at once, because histograms of all blocks would not fit into memory.
        self.counts = {name: held + result[f"count_{name}"] for name, held in self.counts.items()}
        sums, cell = {name: result[f"sum_{name}"][None] for name in self.empty.sums}, self.run.cut.cell
        level = (-(-(end - begin) // cell) - 1).bit_length()
        part = Merged(sums, {}, begin // cell >> level, level, tuple(self.run.kept.covariance))
        while self.parts and _are_siblings(self.parts[-1], part):
            part = self.parts.pop().followed_by(part).up()
        self.parts.append(part)

    def whole(self) -> Merged:
        """Return the statistics of all blocks."""
        if not self.parts:
            return self.empty
        merged = together(sorted(self.parts, key=lambda part: part.first << part.level))
        return dataclasses.replace(merged, counts=self.counts)


def _are_siblings(one: Merged, other: Merged) -> bool:
    return one.level == other.level and one.first % 2 == 0 and other.first == one.first + 1


def of_networks(plan: Plan, variables: Mapping[str, Any], networks: int, attrs: Mapping[str, Any]) -> xarray.Dataset:
    """Return the dataset of variables whose dimensions are those of the conditions, then networks."""
    import pandas
    import xarray

    coordinates = template.stacked(plan.conditions, plan.templates) | _rates(plan, "network")
    if "learning_rate" in coordinates:
        clocks: list[Labelled] = [
            (("time",), run.training.method.clock(run.training.records), {})
            for run in plan.runs
            if isinstance(run.training.method, GradientDescent)
        ]
        clock = xarray.Variable(*template.along(plan.conditions, clocks))
        times = xarray.Variable(*coordinates["learning_rate"]) * clock
        dims = tuple(name for name in (*plan.conditions.names, "network", "time") if name in times.dims)
        about = {"long_name": "training time, step x learning rate", "units": "1"}
        coordinates["times"] = dims, times.transpose(*dims).values, about
    # A range takes no memory, however many networks there are.
    index = pandas.RangeIndex(plan.first_network, plan.first_network + networks)
    network = {"network": ("network", index, plan.templates[0].coordinates["network"][2])}
    return xarray.Dataset(dict(variables), coords={**coordinates, **network}, attrs=dict(attrs))


def of_statistics(
    plan: Plan, results: Iterable[tuple[Plan, Block, Result]], attrs: Mapping[str, Any]
) -> xarray.Dataset:
    """Return the dataset of the statistics of blocks, each with the plan of its range of networks."""
    import xarray

    gathered = [_Gathered(run) for run in plan.runs]
    for part, block, result in results:
        gathered[block.condition].add(part.first_network + block.begin, part.first_network + block.end, result)
    held = [Template.of_merged(run, one.whole()) for run, one in zip(plan.runs, gathered, strict=True)]
    names, shape = plan.conditions.names, plan.conditions.shape
    variables: dict[str, Any] = {}
    for name, (dims, first, about) in held[0].variables.items():
        if name.startswith("init_"):
            variables[name] = (*template.along(plan.conditions, [one.variables[name] for one in held]), about)
        else:
            values = np.stack([one.variables[name][1] for one in held]).reshape((*shape, *first.shape))
            variables[name] = ((*names, *dims), values, about)
    counts = np.array([one.networks for one in gathered]).reshape(shape)
    variables["networks"] = (names, counts, {"long_name": "networks trained so far", "units": "1"})
    coordinates = template.stacked(plan.conditions, held) | _rates(plan, "init_network")
    return xarray.Dataset(variables, coords=coordinates, attrs=dict(attrs))


def _rates(plan: Plan, leading: str) -> dict[str, Labelled]:
    """Return the coordinate of learning rates if networks have their own."""
    methods = [run.training.method for run in plan.runs]
    if all(method.rates is None for method in methods):
        return {}
    about = {"long_name": "learning rate of the network", "units": "1"}
    each = [  # conditions have methods of one kind
        ((leading,), np.broadcast_to(method.learning_rate, plan.networks), about)
        for method in methods
        if isinstance(method, GradientDescent)
    ]
    return {"learning_rate": (*template.along(plan.conditions, each), about)}


def attrs(plan: Plan, networks: int, *, complete: bool) -> dict[str, Any]:
    """Return the attributes: those of ``train``; with swept fields the specification is that of the sweep."""
    told = plan.runs[0].attrs
    if plan.conditions.axes:
        told["specification"] = canonical({**plan.told, "networks": networks})
    else:
        whole = {"networks": networks, "first_network": plan.first_network}
        told["specification"] = json.dumps({**json.loads(told["specification"]), **whole})
    condensed = [run.condensed.sizes() for run in plan.runs]
    if len(set(condensed)) > 1:
        told["condensed"] = json.dumps(condensed)
    return {**told, "complete": int(complete)}


def require(plan: Plan, threads: int) -> None:
    """Raise a ValueError if the records of all conditions, with the largest block, need too much memory."""
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
    """Return the bytes of the dataset; of statistics thrice, since they are merged and put together."""
    if plan.reduced:
        return 3 * plan.conditions.count * sum(values.nbytes for values in plan.statistics.values())
    row = sum(values.nbytes for _, values, _ in plan.templates[0].variables.values())
    if any(run.training.method.rates is not None for run in plan.runs):
        row += 8 * len(plan.runs[0].training.records)  # the times of each network
    return plan.conditions.count * plan.networks * row


def in_memory(plan: Plan, execute: Execute) -> xarray.Dataset:
    """Train all blocks of a plan and return their dataset."""
    nothing = np.zeros((plan.conditions.count, len(plan.ranges)), np.int64)
    about = attrs(plan, plan.networks, complete=True)
    with contextlib.closing(execute(plan, plan.blocks(nothing))) as trained:
        if plan.reduced:
            return of_statistics(plan, ((plan, *one) for one in trained), about)
        names, shape = plan.conditions.names, plan.conditions.shape
        rows = (plan.conditions.count, plan.networks)
        held = plan.templates[0].variables
        arrays = {name: np.empty((*rows, *one.shape[1:]), one.dtype) for name, (_, one, _) in held.items()}
        for block, result in trained:
            for name, values in result.items():
                arrays[name][block.condition, block.begin : block.end] = values
    variables = {
        name: ((*names, *dims), arrays[name].reshape((*shape, *arrays[name].shape[1:])), attributes)
        for name, (dims, _, attributes) in held.items()
    }
    return of_networks(plan, variables, plan.networks, about)
