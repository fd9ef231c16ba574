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
    """Train many networks on one task, each from its own initialisation, and return what was recorded.

    The bits of a network do not depend on the number of threads, on the other networks, nor on the instruction set, if
    that has fused multiply-add. Ctrl-C stops the training with KeyboardInterrupt.

    Parameters
    ----------
    network, task, init, method, ...
        The arguments of ``shoal.Training``, which documents them, or a single ``Training``, such as
        ``specification(data)``.
    threads
        By default ``SHOAL_NUM_THREADS``, else ``OMP_NUM_THREADS``, else the CPUs that this process may use.
    progress
        Called about every 50 ms with (done, total): network-steps of gradient descent, networks of a flow. An exception
        that it raises stops the training.

    Returns
    -------
    xarray.Dataset
        One variable per measure, of dimensions (network, time, sample) in that order if they apply. With
        ``Record(reduce="moments")``, ``statistic`` (count, mean, variance, standard_error, min, max) replaces
        ``network``.

        ``status`` says how each network ended. 0: it took all steps, or reached ``t_end``. 1: it diverged, at step
        ``diverged_at``; its measures are NaN from there on, statistics leave it out and ``diverged`` counts it. 2: a
        flow gave it up, for the reason ``gave_up``; its final weights are the last ones. 3 to 5: it met a rule of
        ``GradientDescent(stop=...)`` at step ``stopped_at`` and was frozen there; statistics keep it and count each
        rule. For a flow ``stopped_at`` is the time at which a network diverged or was given up, and ``accepted`` and
        ``rejected`` count its steps.

        The attributes: ``condensed``, the numbers of samples and inputs that were given and trained on, as JSON;
        ``specification``, which with the arrays of the dataset repeats the training (``shoal.specification``).

    Raises
    ------
    TypeError, ValueError
        As in ``Training``; or training and records need more memory than there is.
    ImportError
        ``SHOAL_ISA`` names an instruction set that this CPU lacks.

    Notes
    -----
    The time is networks x steps x one gradient. Memory holds the records and one working set per thread.
    Source: theory book, chapter 0 for loss, margin and both errors.

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
