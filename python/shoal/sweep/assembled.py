"""All conditions as one dataset: what ``train`` returns, with the swept fields as dimensions in front."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from shoal.engine.merged import Merged, together
from shoal.spec.encoding import canonical
from shoal.spec.method import GradientDescent
from shoal.sweep import template
from shoal.sweep.plan import Plan
from shoal.sweep.template import Labelled

if TYPE_CHECKING:
    import xarray


class Gathered:
    """The statistics of a condition, whose blocks are merged as they come: in order that takes the least memory."""

    def __init__(self, plan: Plan, condition: int) -> None:
        self.plan, self.condition, self.networks = plan, condition, 0
        self.empty = template.of_statistics(plan.runs[condition])
        self.counts = dict(self.empty.counts)
        self.parts: list[Merged] = []

    def add(self, plan: Plan, number: int, result: Mapping[str, NDArray[Any]]) -> None:
        """Add a block: ``plan`` is that of its range of networks."""
        begin, end = plan.ranges[number]
        self.networks += end - begin
        # Histograms of all blocks would not fit into memory.
        self.counts = {name: held + result[f"count_{name}"] for name, held in self.counts.items()}
        part = plan.merged(self.condition, number, {name: result[f"sum_{name}"][None] for name in self.empty.sums}, {})
        while self.parts and _are_siblings(self.parts[-1], part):
            part = self.parts.pop().followed_by(part).up()
        self.parts.append(part)

    def whole(self) -> Merged:
        """Return the statistics of all that was added.

        Raises
        ------
        ValueError
            Some networks of a branch of the tree are in one part, some in another.
        """
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
        coordinates["times"] = _times(plan, coordinates)
    # A range takes no memory, however many networks there are.
    index = pandas.RangeIndex(plan.first_network, plan.first_network + networks)
    network = {"network": ("network", index, plan.templates[0].coordinates["network"][2])}
    return xarray.Dataset(dict(variables), coords={**coordinates, **network}, attrs=dict(attrs))


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


def _times(plan: Plan, coordinates: Mapping[str, Labelled]) -> Labelled:
    """Return the times of networks at their learning rates."""
    import xarray

    times = xarray.Variable(*coordinates["learning_rate"]) * xarray.Variable(*coordinates["step"])
    named = [name for name in (*plan.conditions.names, "network", "time") if name in times.dims]
    about = {"long_name": "training time, step x learning rate", "units": "1"}
    return tuple(named), times.transpose(*named).values, about


def of_statistics(plan: Plan, gathered: Sequence[Gathered], attrs: Mapping[str, Any]) -> xarray.Dataset:
    """Return the dataset of the statistics of all conditions."""
    import xarray

    held = [template.Template.of_merged(run, one.whole()) for run, one in zip(plan.runs, gathered, strict=True)]
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


def attrs(plan: Plan, networks: int, *, complete: bool) -> dict[str, Any]:
    """Return the attributes: those of ``train``, with the specification of the sweep where fields are swept."""
    told = plan.runs[0].attrs
    if plan.conditions.axes:
        told["specification"] = canonical({**plan.told, "networks": networks})
    else:
        whole = {"networks": networks, "first_network": plan.first_network}
        told["specification"] = json.dumps({**json.loads(told["specification"]), **whole})
    texts = {"engine": [run.engine for run in plan.runs], "condensed": [run.condensed.sizes() for run in plan.runs]}
    told |= {name: json.dumps(each) for name, each in texts.items() if len(set(each)) > 1}
    return {**told, "complete": int(complete)}
