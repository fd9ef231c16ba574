"""Train many networks at once and measure how they learn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shoal.base import former, imports
from shoal.engine import room
from shoal.engine.run import Progress, Run
from shoal.engine.threads import thread_count
from shoal.spec import validate
from shoal.spec.training import Training, takes_training

if TYPE_CHECKING:
    import xarray


@former.knows
@takes_training
def train(
    *arguments: Any, threads: int | None = None, progress: Progress | None = None, **training: Any
) -> xarray.Dataset:
    """Return the measures of many networks, each trained from its own initialisation on the same task.

    Network i has the same bits whatever the number of threads, the other networks, and the instruction set (where that
    has fused multiply-add). Ctrl-C stops the training with KeyboardInterrupt.

    Parameters
    ----------
    network, task, init, method, ...
        Those of ``shoal.Training``, which says what each means: network, task and initialisation, the ``method`` that
        trains, the loss and its penalties, when and what to ``record``, how many ``networks`` from which ``seed``. Or
        one ``Training`` in their place, such as ``specification(data)``.
    threads
        When left out, ``SHOAL_NUM_THREADS``, else ``OMP_NUM_THREADS``, else the CPUs this process may use.
    progress
        Called about every 50 ms with (done, total): network-steps of descent, networks of a flow. An exception in it
        stops the training.

    Returns
    -------
    xarray.Dataset
        Dimensions (network, time, sample) in that order where they apply; with ``Record(reduce="moments")`` statistic
        (count, mean, variance, standard_error, min, max) stands in place of network. ``status`` is 1 for networks that
        diverged, at step ``diverged_at``, and their measures are NaN from there on; statistics leave them out and
        ``diverged`` counts them. It is 3 to 5 for networks that met a rule of ``GradientDescent(stop=...)``, at step
        ``stopped_at``, from which on they stand still; statistics keep them and count each rule. Of a flow it is 2 for
        networks that gave up, ``gave_up`` says why, ``stopped_at`` is the time of either, and ``accepted`` and
        ``rejected`` count steps. ``weights_1`` ... hold final weights: of a flow that gave up its last ones.
        The attribute ``engine`` is the one that was used; ``condensed`` tells how many samples and inputs there were,
        and how many were trained on, as JSON; ``specification`` and the arrays beside it repeat the run:
        see ``shoal.specification``.

    Raises
    ------
    TypeError, ValueError
        As of ``Training``; or training and records need more memory than there is.
    ImportError
        ``SHOAL_ISA`` names an instruction set that this CPU lacks.

    Notes
    -----
    Time: networks x steps x gradient. Memory: what is recorded, and one working set per thread.
    Source: docs/theory.md section 0 for loss, margin and both errors.

    Examples
    --------
    >>> import shoal
    >>> data = shoal.train(shoal.Network((2, 8, 1)), shoal.tasks.modes((1.7, 0.9)), shoal.Separated(0.1),
    ...                    method=shoal.GradientDescent(learning_rate=0.05, steps=400), networks=100)
    >>> data.margin.dims, data.margin.shape
    (('network', 'time', 'sample'), (100, 101, 2))
    """
    validate.check_progress(progress)
    run = Run.of(Training.given(arguments, training))
    workers = thread_count(threads)
    imports.whole("xarray")
    room.require(run, run.training.networks, workers)
    return run.dataset(workers, progress)
