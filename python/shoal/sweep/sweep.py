"""Train many networks at many conditions, block by block, in memory or into a store that a later call resumes."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shoal.base import checks, former, imports
from shoal.engine.run import Progress, shifted
from shoal.engine.threads import thread_count
from shoal.spec.training import Training, takes_training
from shoal.sweep import assembled, made
from shoal.sweep.opened import open_sweep
from shoal.sweep.plan import Block, Execute, Plan, Result, trained
from shoal.sweep.store import Store

if TYPE_CHECKING:
    import xarray
    from distributed import Client


@former.knows
@takes_training
def sweep(
    *arguments: Any,
    over: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
    store: str | os.PathLike[str] | None = None,
    threads: int | None = None,
    block: int | None = None,
    client: Client | None = None,
    progress: Progress | None = None,
    **training: Any,
) -> xarray.Dataset:
    """Return the measures of many networks at each of many conditions.

    Each condition has the bits that ``train`` gives with its arguments. With a store, each block of networks is kept
    on the disk when it ends. Repeat the call to resume after any stop; the results are bit-identical. With more
    networks or values in ``over`` it trains those that are missing.

    Parameters
    ----------
    network, task, init, method, ...
        Those of ``shoal.Training``, or one in their place, for all that ``over`` does not set. ``networks`` is how
        many at each condition; when left out, as many as ``init`` or the learning rates of ``method`` hold.
    over
        The conditions. A mapping {field: values} makes a grid, with one dimension per field, of its name; the values
        may be a mapping label -> value. A sequence of mappings {field: value} makes a list, with the dimension
        ``condition``. None is one condition, without a dimension. Fields: those of network, task, init, method and
        loss, as ``"init.std"``; these five themselves (``"task"``; the dimensions of ``"network"`` and ``"loss"``
        are called ``network_name`` and ``loss_name``); ``"seed"``, ``"weight_decay"``, ``"spectral_decoupling"``;
        ``"network.width"``, of all hidden layers, and ``"network.depth"``, the number of hidden layers, all of one
        width. An array is one value of ``"method.learning_rate"``: a rate per network.
    store
        Folder of the Zarr store, made if there is none, in a folder that exists. None keeps everything in memory.
    first_network
        Index of the first network of each condition: a range of a larger sweep, which ``open_sweep`` joins to others.
        Of statistics a multiple of the networks that are taken together, 256 or fewer: the error names it.
    threads
        As of ``train``. They change no bit, nor does ``block``. With a client: threads per block, one when left out,
        since a worker trains as many blocks at once as dask gave it threads.
    block
        Networks per block, a power of two; with statistics at least the networks that are taken together. A block that
        is stopped is lost. When left out, one takes some seconds, or minutes if there would be more than 2,048.
    client
        A ``distributed.Client``: its workers train the blocks, and this process writes them; the bits are the same.
        A block whose worker is lost is trained by another.
    progress
        As of ``train``, for the whole sweep, earlier calls included. With a client it is called as blocks end.

    Returns
    -------
    xarray.Dataset
        ``open_sweep(store)``; without a store the same dataset, in memory.

    Raises
    ------
    TypeError, ValueError
        As of ``train``, at any condition; a field that cannot be swept, a value given twice; conditions that record a
        measure in different shapes; a block, or without a store all records, that need more memory than there is; a
        store of another sweep that does not grow into this one (the error shows each difference), or something else
        in its place; a client that is no client, or a worker that would have other bits. All before anything is made
        or trained.
    ImportError
        A client without ``distributed``: ``pip install 'shoal[cluster]'``.
    RuntimeError
        Another process works on the store, or has just let it grow; workers were lost again and again on one block.
    OSError
        The store cannot be written, as on a full disk. What it holds stays whole.

    Notes
    -----
    Time: that of the trainings, and with a store of writing some small files per block. Memory: that of one block;
    without a store also all records.

    Examples
    --------
    >>> import shoal
    >>> data = shoal.sweep(shoal.Network((2, 8, 1)), shoal.tasks.modes((1.7, 0.9)), shoal.Gaussian(0.5), networks=512,
    ...                    method=shoal.GradientDescent(0.05, 400), over={"init.std": [0.1, 0.3]},
    ...                    record=shoal.Record(steps=[0, 400], reduce="moments"))
    >>> data.loss.dims, data.loss.shape
    (('init.std', 'statistic', 'time'), (2, 6, 2))
    """
    imports.whole("xarray", *(() if store is None else ("zarr",)))
    path = None if store is None else path_of(store)
    fields = Training.fields_given(arguments, training)
    before = None if path is None else made.before(path)
    plan = Plan.of(**fields, over=over, block=block, progress=progress, before=before)
    if path is not None and plan.runs[0].functions:
        names = ", ".join(name for name, _ in plan.runs[0].functions)
        raise ValueError(f"record must have no custom statistics for a store, which cannot hold functions, got {names}")
    if client is None:
        count = thread_count(threads)
        plan.require(count)
        executor = functools.partial(here, threads=count, progress=progress)
    else:
        from shoal.sweep import cluster  # whose library only those need who have a client

        count = 1 if threads is None else thread_count(threads)
        cluster.check(client, plan, count)
        executor = functools.partial(cluster.elsewhere, client, threads=count, progress=progress)
    if path is None:
        assembled.require(plan, count if client is None else 0)
        return assembled.in_memory(plan, executor(0))
    carry_out(plan, path, executor)
    return open_sweep(path)


def path_of(store: object) -> Path:
    """Return the path of a store; a TypeError if it is neither a string nor a path."""
    if not isinstance(store, (str, os.PathLike)):
        raise TypeError(f"store must be the path of a folder, got {store!r} of type {type(store).__name__}")
    return Path(checks.path("store", store))


def carry_out(plan: Plan, path: Path, executor: Callable[[int], Execute]) -> None:
    """Train the blocks of a plan that its store does not hold, and keep each as it ends.

    ``executor`` is told how much of the work is done already, and returns the function that trains blocks.
    """
    with Store.opened(path, plan) as store:
        todo = functools.partial(plan.blocks, store.there.copy())
        before = plan.total_work - sum(plan.work(block) for block in todo())
        with contextlib.closing(executor(before)(plan, todo())) as blocks:
            for held in blocks:
                store.write(*held)
                del held  # so that no block is in memory while the next is trained


def here(before: int, threads: int, progress: Progress | None) -> Execute:
    """Return the function that trains blocks in this process; ``before`` is the work done already."""

    def execute(plan: Plan, blocks: Iterable[Block]) -> Generator[tuple[Block, Result], None, None]:
        done, total = before, plan.total_work
        for block in blocks:
            told = shifted(progress, done, total)
            yield block, trained(plan.runs[block.condition], block.begin, block.end, threads, told)
            done += plan.work(block)
        if progress is not None:
            progress(done, total)

    return execute
