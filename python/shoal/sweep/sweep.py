"""Train many networks at many conditions, block by block, into a store that a later call goes on from."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shoal.base import checks, former, imports
from shoal.engine.run import Progress, shifted
from shoal.engine.threads import thread_count
from shoal.spec.training import Training, takes_training
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
    store: str | os.PathLike[str],
    over: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
    threads: int | None = None,
    block: int | None = None,
    client: Client | None = None,
    progress: Progress | None = None,
    **training: Any,
) -> xarray.Dataset:
    """Return the measures of many networks at each of many conditions, trained in blocks that are kept as they end.

    The same call again goes on where the last one stopped, whatever stopped it, and gives the same bits as one that
    nothing stopped. Each condition has the bits that ``train`` gives with its arguments.

    Parameters
    ----------
    network, task, init, method, ...
        Those of ``shoal.Training``, or one in their place: what holds where ``over`` says nothing else. ``networks``
        is how many at each condition.
    store
        Folder of the Zarr store, made where there is none. Its own folder must exist.
    over
        What is swept. A mapping {field: values} makes a grid, with one dimension a field, of its name; the values may
        be a mapping label -> value. A sequence of mappings {field: value} makes a list, with the dimension
        ``condition``. None is one condition, without a dimension. Fields: those of network, task, init, method and
        loss, as ``"init.std"``; these five themselves (``"task"``; the dimensions of ``"network"`` and ``"loss"``
        are called ``network_name`` and ``loss_name``); ``"seed"``, ``"weight_decay"``, ``"spectral_decoupling"``; and
        ``"network.width"``, of all hidden layers, and ``"network.depth"``, the number of hidden layers, all of one
        width.
    first_network
        Index of the first network of each condition: a range of a larger sweep, that ``open_sweep`` puts together with
        others. Of statistics a multiple of the networks that are taken together, 256 or fewer: the error tells it.
    threads
        As of ``train``. They change no bit, nor does ``block``. With a client: of each block, one when left out, since
        a worker trains as many blocks at once as dask gave it threads.
    block
        Networks of a block, which is lost when a sweep is stopped while it trains: a power of two, with statistics at
        least the networks that are taken together. When left out, what takes some seconds, or up to some minutes where
        there would be more than 2,048 blocks.
    client
        A ``distributed.Client``: its workers train the blocks, and this process writes them; the bits are the same.
        A block whose worker is lost is trained by another.
    progress
        Called with (done, total) as that of ``train``, for the whole sweep; what earlier calls did counts as done. With
        a client, as blocks end.

    Returns
    -------
    xarray.Dataset
        ``open_sweep(store)``.

    Raises
    ------
    TypeError, ValueError
        As of ``train``, at any condition; a field that cannot be swept, a value given twice; conditions that record a
        measure in different shapes; a block that needs more memory than there is; a store of another sweep (the
        error shows each difference), or something else in its place; a client that is no client, or a worker that
        would have other bits. All before anything is made or trained.
    ImportError
        A client without ``distributed``: ``pip install 'shoal[cluster]'``.
    RuntimeError
        Another process works on the store; workers were lost again and again on one block.
    OSError
        The store cannot be written, as on a full disk. What it holds stays whole.

    Notes
    -----
    Time: that of the trainings, and of writing some small files a block. Memory: that of one block.

    Examples
    --------
    >>> import shoal, tempfile
    >>> store = tempfile.mkdtemp()
    >>> data = shoal.sweep(shoal.Network((2, 8, 1)), shoal.tasks.modes((1.7, 0.9)), shoal.Gaussian(0.5), networks=512,
    ...                    method=shoal.GradientDescent(0.05, 400), over={"init.std": [0.1, 0.3]}, store=store,
    ...                    record=shoal.Record(steps=[0, 400], reduce="moments"))
    >>> data.loss.dims, data.loss.shape
    (('init.std', 'statistic', 'time'), (2, 6, 2))
    """
    imports.whole("xarray", "zarr")
    given = Training.fields_given(arguments, training)
    plan = Plan.of(**given, over=over, block=block, progress=progress)
    path = path_of(store)
    if client is None:
        count = thread_count(threads)
        plan.require(count)
        carry_out(plan, path, lambda done: here(done, count, progress))
    else:
        from shoal.sweep import cluster  # whose library only those need who have a client

        each = 1 if threads is None else thread_count(threads)
        cluster.check(client, plan, each)
        carry_out(plan, path, lambda done: cluster.elsewhere(client, done, each, progress))
    return open_sweep(store)


def path_of(store: object) -> Path:
    """Return the path of a store.

    Raises
    ------
    TypeError
        Neither a string nor a path.
    """
    if not isinstance(store, (str, os.PathLike)):
        raise TypeError(f"store must be the path of a folder, got {store!r} of type {type(store).__name__}")
    return Path(checks.path("store", store))


def carry_out(plan: Plan, path: Path, executor: Callable[[int], Execute]) -> None:
    """Train the blocks of a plan that its store does not hold, and keep each as it ends.

    ``executor`` is told how much of the work is done already, and returns what trains blocks.
    """
    with Store.opened(path, plan) as store:
        done = store.done()
        before = sum(plan.work(block) for block in plan.blocks(~done))
        with contextlib.closing(executor(before)(plan, plan.blocks(done))) as trained_blocks:
            for held in trained_blocks:
                store.write(*held)
                del held  # so that no block is in memory while the next is trained


def here(before: int, threads: int, progress: Progress | None) -> Execute:
    """Return what trains blocks in this process, one after another, where ``before`` is the work done already."""

    def execute(plan: Plan, blocks: Iterable[Block]) -> Generator[tuple[Block, Result], None, None]:
        done, total = before, plan.total_work
        for block in blocks:
            told = shifted(progress, done, total)
            yield block, trained(plan.runs[block.condition], block.begin, block.end, threads, told)
            done += plan.work(block)
        if progress is not None:
            progress(done, total)

    return execute
