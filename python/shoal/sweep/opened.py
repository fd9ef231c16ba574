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
from shoal.sweep.store import Store

if TYPE_CHECKING:
    import xarray


def open_sweep(stores: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]) -> xarray.Dataset:
    """Return the dataset of a sweep's store, as ``train`` returns it, with the swept fields as dimensions in front.

    A store can be opened while it is filled.

    Parameters
    ----------
    stores
        The folder that ``sweep`` made; or several of them, of ranges of networks (``first_network=``) of the same
        sweep, that together leave no network between them out. Their order does not matter.

    Returns
    -------
    xarray.Dataset
        If each network is kept, arrays are read when they are used; networks that are not trained yet have status -1
        and NaN. Statistics are those of the networks trained so far; ``networks`` counts them at each condition.
        Coordinates that differ between conditions also have their dimensions. If the times do, they are called
        ``times``, and ``step`` remains. Those of tasks of different sizes are left out. Attributes: ``complete`` (1
        or 0), ``shoal_version``, ``isa``, ``condensed`` and ``specification`` of ``train``; with swept
        fields ``specification`` is that of the sweep.

    Raises
    ------
    TypeError
        Not a path, nor a sequence of paths.
    ValueError
        Not a sweep's store; stores of different sweeps, of ranges that share networks or leave some out between them;
        several stores of networks with learning rates of their own. A file of a block that is done is missing or
        damaged: which, and what to do; if each network is kept, when it is read.

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
        (Store.read(Path(checks.path("stores", path))) for path in given), key=lambda held: held.plan.first_network
    )
    for earlier, later in itertools.pairwise(ranges):
        _check_meet(earlier, later)
    plan, networks = ranges[0].plan, sum(one.plan.networks for one in ranges)
    attrs = assembled.attrs(plan, networks, complete=all(one.complete for one in ranges))
    attrs |= {"shoal_version": ranges[0].sealed.shoal_version, "isa": ranges[0].sealed.isa}
    if plan.reduced:
        results = ((one.plan, block, one.block(block)) for one in ranges for block in one.held())
        return assembled.of_statistics(plan, results, attrs)
    from shoal.sweep import lazy  # which imports xarray

    return assembled.of_networks(plan, lazy.variables(ranges), networks, attrs)


def _check_meet(earlier: Store, later: Store) -> None:
    """Refuse stores of different sweeps, and ranges that do not follow each other."""
    if any(run.training.method.rates is not None for held in (earlier, later) for run in held.plan.runs):
        raise ValueError(
            "stores must not be several of networks with learning rates of their own: open each alone, and join those "
            f"of each network by xarray.concat; got {earlier.sealed.path} and {later.sealed.path}"
        )
    lines = differences(_of_sweep(earlier), _of_sweep(later))
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


def _of_sweep(held: Store) -> dict[str, Any]:
    """Return the fields that ranges of one sweep share; of the instruction set only whether it has other bits."""
    made = held.sealed
    told = {name: value for name, value in made.told.items() if name not in ("first_network", "networks", "block")}
    return {**told, "shoal_version": made.shoal_version, "isa": "baseline" if made.isa == "baseline" else "fused"}
