"""A sweep's store as a dataset: as ``train`` would have returned it, with the swept fields as dimensions in front."""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shoal.base import checks, imports
from shoal.spec.encoding import differences
from shoal.sweep import assembled
from shoal.sweep.assembled import Gathered
from shoal.sweep.chunks import offset
from shoal.sweep.contents import Contents

if TYPE_CHECKING:
    import xarray

_OF_RANGE = ("first_network", "networks", "block")


def open_sweep(stores: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]) -> xarray.Dataset:
    """Return what a sweep's store holds, as ``train`` would have returned it, with the swept fields in front.

    A store can be opened while it is filled.

    Parameters
    ----------
    stores
        The folder that ``sweep`` made; or several of them, of ranges of networks (``first_network=``) of the same
        sweep, that together leave no network between them out. Their order does not matter.

    Returns
    -------
    xarray.Dataset
        Where each network is kept, arrays are read when they are used; networks that are not trained yet have status
        -1 and NaN. Of statistics, what the networks trained so far have; ``networks``
        counts them at each condition. Coordinates that differ between conditions have their dimensions, too; where
        the times do, they are called ``times``, and ``step`` remains. Those of tasks of different sizes are left out.
        Attributes: ``complete`` (1 or 0), ``shoal_version``, ``isa``, ``engine``, ``condensed`` and ``specification``
        of ``train``; with swept fields ``specification`` is that of the sweep.

    Raises
    ------
    TypeError
        Not a path, nor a sequence of paths.
    ValueError
        Not a sweep's store; stores of different sweeps, of ranges that share networks or leave some out between them;
        several stores of networks with learning rates of their own; of statistics also ranges that do not meet at
        networks that are taken together. A file of a block that is done
        is missing or damaged: which, and what to do; where each network is kept, when it is read.

    Examples
    --------
    >>> import shoal, tempfile
    >>> parts = [tempfile.mkdtemp(), tempfile.mkdtemp()]
    >>> for first, part in zip((0, 256), parts):
    ...     data = shoal.sweep(shoal.Network((2, 8, 1)), shoal.tasks.modes((1.7, 0.9)), shoal.Gaussian(0.5),
    ...                        networks=256, first_network=first, method=shoal.GradientDescent(0.05, 400),
    ...                        store=part,
    ...                        record=shoal.Record(steps=[0, 400], reduce="moments"))
    >>> int(shoal.open_sweep(parts).networks)
    512
    """
    one = isinstance(stores, (str, os.PathLike))
    given: Any = [stores] if one else stores
    if not isinstance(given, (list, tuple)) or not all(isinstance(path, (str, os.PathLike)) for path in given):
        raise TypeError(f"stores must be the path of a store or a list of them, got {stores!r:.200}")
    if not given:
        raise ValueError("stores must name at least one store, got none")
    imports.whole("xarray", "zarr")
    ranges = sorted(
        (Contents.read(Path(checks.path("stores", path))) for path in given), key=lambda held: held.plan.first_network
    )
    for earlier, later in itertools.pairwise(ranges):
        _check_meet(earlier, later)
    return _statistics(ranges) if ranges[0].plan.reduced else _networks(ranges)


def _check_meet(earlier: Contents, later: Contents) -> None:
    """Refuse stores of different sweeps, and ranges that do not follow each other."""
    if any(run.training.method.rates is not None for held in (earlier, later) for run in held.plan.runs):
        raise ValueError(
            "stores must not be several of networks with learning rates of their own: open each alone, and join those "
            f"of each network by xarray.concat; got {earlier.sealed.path} and {later.sealed.path}"
        )
    was, now = (_of_sweep(held) for held in (earlier, later))
    lines = differences(was, now)
    one, other = earlier.sealed.path, later.sealed.path
    behind = earlier.plan.first_network + earlier.plan.networks
    if lines:
        raise ValueError("\n".join([f"stores must be of the same sweep, {one} and {other} differ:", *lines]))
    if later.plan.first_network < behind:
        raise ValueError(
            f"stores must share no networks, {one} holds those up to {behind - 1} and {other} "
            f"those from {later.plan.first_network}"
        )
    if later.plan.first_network > behind:
        raise ValueError(
            f"stores must leave out no networks between them, {one} ends with {behind - 1} and "
            f"{other} begins with {later.plan.first_network}"
        )


def _of_sweep(held: Contents) -> dict[str, Any]:
    """Return what ranges of one sweep share: all but the range, and the instruction set where it decides on bits."""
    made = held.sealed
    told = {name: value for name, value in made.told.items() if name not in _OF_RANGE}
    fused = "baseline" if made.isa == "baseline" else "fused"
    return {**told, "shoal_version": made.shoal_version, "isa": fused}


def _attrs(ranges: Sequence[Contents]) -> dict[str, Any]:
    plan, made = ranges[0].plan, ranges[0].sealed
    networks = sum(held.plan.networks for held in ranges)
    told = assembled.attrs(plan, networks, complete=all(bool(one.done.all()) for one in ranges))
    return told | {"shoal_version": made.shoal_version, "isa": made.isa}


def _networks(ranges: Sequence[Contents]) -> xarray.Dataset:
    import xarray

    plan = ranges[0].plan
    opened = []
    for one in ranges:
        data = xarray.open_zarr(one.files, chunks=None, consolidated=False)
        opened.append(data[list(one.plan.names)].isel(network=slice(offset(one.plan), None)))
    variables = {name: opened[0][name].variable for name in plan.names}
    if len(opened) > 1:
        from shoal.sweep.joined import Joined

        variables = {name: Joined.of([one[name].variable for one in opened], "network") for name in variables}
    networks = sum(one.plan.networks for one in ranges)
    return assembled.of_networks(plan, variables, networks, _attrs(ranges))


def _statistics(ranges: Sequence[Contents]) -> xarray.Dataset:
    plan = ranges[0].plan
    gathered = [Gathered(plan, condition) for condition in range(plan.conditions.count)]
    for one in ranges:
        for block in one.held():
            gathered[block.condition].add(one.plan, block.number, one.block(block))
    try:
        return assembled.of_statistics(plan, gathered, _attrs(ranges))
    except ValueError as error:
        raise ValueError(
            f"stores must meet at a multiple of {plan.cell} networks, whose statistics are taken together, "
            f"got ranges from {', '.join(str(held.plan.first_network) for held in ranges)}"
        ) from error
