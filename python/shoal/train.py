"""Train many networks at once and measure how they learn."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shoal import former, imports
from shoal.init import Init
from shoal.loss import Loss
from shoal.method import Method
from shoal.network import Network
from shoal.record import Record
from shoal.run import Progress, Run
from shoal.task import Task
from shoal.threads import thread_count

if TYPE_CHECKING:
    import xarray


@former.knows
def train(
    network: Network,
    task: Task,
    init: Init,
    *,
    method: Method,
    loss: str | Loss = "cross_entropy",
    weight_decay: float = 0.0,
    spectral_decoupling: float = 0.0,
    record: Record | None = None,
    networks: int | None = None,
    seed: int = 0,
    first_network: int = 0,
    threads: int | None = None,
    engine: str = "auto",
    condense: str | bool = "auto",
    dtype: str = "float64",
    progress: Progress | None = None,
) -> xarray.Dataset:
    """Return the measures of many networks, each trained from its own initialisation on the same task.

    Network i has the same bits whatever the number of threads, the other networks, and the instruction set (where that
    has fused multiply-add). Ctrl-C stops the training with KeyboardInterrupt.

    Parameters
    ----------
    network, task, init
        What is trained, on what, from where.
    method
        ``GradientDescent(learning_rate, steps)`` or ``GradientFlow(t_end)``.
    loss
        ``cross_entropy``, ``hinge``, ``squared_hinge``, ``exponential``, ``squared``, or a loss such as
        ``Hinge(threshold=2.0)``. K outputs take cross-entropy only.
    weight_decay, spectral_decoupling
        L and S, not negative: what is minimised is the loss + L/2 |theta|^2 + S/2 sum_s p_s |f(x_s)|^2, with all
        weights and biases theta, sample weights p_s and outputs f. The measure ``loss`` is the loss alone.
    record
        When and what to measure; ``Record()`` when left out.
    networks
        How many; when left out, as many as an ``Explicit`` initialisation holds, else 1.
    seed
        0 to 2**64 - 1. Network i draws its initialisation from (seed, i).
    first_network
        Index of the first network: ``first_network=i, networks=1`` is network i alone.
    threads
        When left out, ``SHOAL_NUM_THREADS``, else ``OMP_NUM_THREADS``, else the CPUs this process may use.
    engine
        ``lanes`` trains many networks in the SIMD lanes, ``wide`` the units of one network, with its samples over all
        threads where there are fewer networks than threads. Both give the same result but for rounding; ``auto``
        chooses by the sizes of network and task, never by the number of networks. Only descent of networks with
        hidden units can be wide.
    condense
        Whether samples whose inputs and label are equal to the bit are merged into one with the sum of their weights,
        and inputs that span fewer dimensions than they have (those of the test samples included) are replaced by their
        coordinates along what they span. The same training but for rounding, and the result is in the given samples
        and inputs. ``auto`` does so from 32 samples or inputs on, each where at least half of them are saved, and with
        a ``GradientFlow`` merges samples wherever some are equal; True does wherever any is saved; False never. With
        weight decay inputs stay as they are. The tolerances of a ``GradientFlow`` are then those of the coordinates of
        the first layer's weights.
    dtype
        ``float64`` or, for descent, ``float32``.
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
    TypeError
        An argument has the wrong type.
    ValueError
        An argument is out of range (for float32 also: a std, learning rate or threshold that it cannot hold),
        arguments do not fit each other, or training and records need more memory than there is.
    ImportError
        ``SHOAL_ISA`` names an instruction set that this CPU lacks.

    Notes
    -----
    Time: networks x steps x gradient. Memory: what is recorded, and one working set a thread.
    Source: docs/theory.md section 0 for loss, margin and both errors.

    Examples
    --------
    >>> import shoal
    >>> data = shoal.train(shoal.Network((2, 8, 1)), shoal.tasks.modes((1.7, 0.9)), shoal.Separated(0.1),
    ...                    method=shoal.GradientDescent(learning_rate=0.05, steps=400), networks=100)
    >>> data.margin.dims, data.margin.shape
    (('network', 'time', 'sample'), (100, 101, 2))
    """
    run = Run.of(
        network,
        task,
        init,
        method=method,
        loss=loss,
        weight_decay=weight_decay,
        spectral_decoupling=spectral_decoupling,
        record=record,
        networks=networks,
        seed=seed,
        first_network=first_network,
        engine=engine,
        condense=condense,
        dtype=dtype,
        progress=progress,
    )
    workers = thread_count(threads)
    imports.whole("xarray")
    return run.dataset(workers, progress)
