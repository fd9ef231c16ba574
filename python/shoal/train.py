"""Train many networks at once and measure how they learn."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from shoal import dataset, fit, memory
from shoal.condense import OF_SAMPLES, Condensed
from shoal.engine import resolve_engine
from shoal.loss import Loss, resolve_loss
from shoal.method import Method
from shoal.moments import Moments, block_size
from shoal.network import Network
from shoal.record import Record
from shoal.specification import to_json
from shoal.start import Explicit, Start
from shoal.task import Task
from shoal.threads import thread_count
from shoal.version import VERSION

if TYPE_CHECKING:
    import xarray

Progress = Callable[[int, int], None]


def train(
    network: Network,
    task: Task,
    start: Start,
    *,
    method: Method,
    loss: str | Loss = "cross_entropy",
    weight_decay: float = 0.0,
    spectral_decoupling: float = 0.0,
    record: Record | None = None,
    networks: int | None = None,
    seed: int = 0,
    first: int = 0,
    threads: int | None = None,
    engine: str = "auto",
    condense: str | bool = "auto",
    dtype: str = "float64",
    progress: Progress | None = None,
) -> xarray.Dataset:
    """Return the measures of many networks, each trained from its own start on the same task.

    Network i has the same bits whatever the number of threads, the other networks, and the instruction set (where that
    has fused multiply-add). Ctrl-C stops the training with KeyboardInterrupt.

    Parameters
    ----------
    network, task, start
        What is trained, on what, from where.
    method
        ``Descent(rate, steps)`` or ``Flow(until)``.
    loss
        ``cross_entropy``, ``hinge``, ``squared_hinge``, ``exponential``, ``squared``, or a loss such as
        ``Hinge(margin=2.0)``. K outputs take cross-entropy only.
    weight_decay, spectral_decoupling
        L and S, not negative: what is minimised is the loss + L/2 |theta|^2 + S/2 sum_s p_s |f(x_s)|^2, with all
        weights and biases theta, sample weights p_s and outputs f. The measure ``loss`` is the loss alone.
    record
        When and what to measure; ``Record()`` when left out.
    networks
        How many; when left out, as many as an ``Explicit`` start holds, else 1.
    seed
        0 to 2**64 - 1. Network i draws its start from (seed, i).
    first
        Index of the first network: ``first=i, networks=1`` is network i alone.
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
        a ``Flow`` merges samples wherever some are equal; True does wherever any is saved; False never. With weight
        decay inputs stay as they are. The tolerances of a ``Flow`` are then those of the coordinates of the first
        layer's weights.
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
        ``diverged`` counts them. It is 3 to 5 for networks that met a rule of ``Descent(stop=...)``, at step
        ``stopped_at``, from which on they stand still; statistics keep them and count each rule. Of a flow it is 2 for
        networks that spent ``max_steps``, ``stopped_at`` is the time at which either happened, and ``accepted`` and
        ``rejected`` count steps. ``weights_1`` ... hold final weights.
        The attribute ``engine`` is the one that was used; ``condensed`` tells how many samples and inputs there were,
        and how many were trained on, as JSON; ``specification`` and the arrays beside it repeat the run:
        see ``shoal.specification``.

    Raises
    ------
    TypeError
        An argument has the wrong type.
    ValueError
        An argument is out of range (for float32 also: a scale, rate or threshold that it cannot hold), arguments do
        not fit each other, or training and records need more memory than there is.
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
    ...                    method=shoal.Descent(rate=0.05, steps=400), networks=100)
    >>> data.margin.dims, data.margin.shape
    (('network', 'time', 'sample'), (100, 101, 2))
    """
    chosen = resolve_loss(loss)
    given = fit.check(
        network,
        task,
        start,
        method,
        chosen,
        record,
        networks=networks,
        seed=seed,
        first=first,
        dtype=dtype,
        weight_decay=weight_decay,
        spectral_decoupling=spectral_decoupling,
        condense=condense,
        engine=engine,
        progress=progress,
    )
    workers = thread_count(threads)
    largest = float(np.finfo(dtype).max)
    condensed = Condensed.of(network, task, method, condense, weight_decay=given.weight_decay, largest=largest)
    run = _Run(
        network=network,
        task=task,
        start=start,
        loss=chosen,
        method=method,
        record=record or Record(),
        dtype=dtype,
        engine=resolve_engine(engine, condensed.network, condensed.task, method),
        condense=condense,
        condensed=condensed,
        **dataclasses.asdict(given),
    )
    return run.all(workers, progress)


@dataclass(frozen=True)
class _Run:
    """A training whose arguments are checked: all that fixes its result."""

    network: Network
    task: Task
    start: Start
    loss: Loss
    method: Method
    record: Record
    networks: int
    seed: int
    first: int
    dtype: str
    weight_decay: float
    spectral_decoupling: float
    engine: str
    condense: str | bool
    condensed: Condensed

    def all(self, threads: int, progress: Progress | None) -> xarray.Dataset:
        """Train all networks and return the dataset."""
        from shoal import _core  # only here: the theory and the specifications need no compiled module

        records = self.record.at(self.method)
        measures = self.record.measure
        together = self._together(len(records))
        self._need(together, len(records), threads).require()

        index: NDArray[np.int64] | None = None
        if self.record.reduce is None:
            arrays = self.condensed.expand(self.block(0, self.networks, records, threads, progress))
            variables = dataset.measured(self.network, arrays, measures, "network")
            variables |= dataset.status(self.method, arrays)
            index = np.arange(self.first, self.first + self.networks)
        else:
            variables = self._reduced(together, records, threads, progress)
        names = {field.name for field in dataclasses.fields(self)} - {"task", "condensed"}
        told = {name: getattr(self, name) for name in names}
        return dataset.assemble(
            self.network,
            self.task,
            self.start,
            variables=variables,
            method=self.method,
            records=records,
            index=index,
            attrs={
                "specification": to_json(**told, samples=self.task.samples, test_samples=self.task.test_samples),
                "shoal_version": VERSION,
                "isa": _core.isa,
                "engine": self.engine,
                "condensed": self.condensed.told(),
            },
        )

    def block(
        self, begin: int, end: int, records: NDArray[Any], threads: int, progress: Progress | None
    ) -> dict[str, Any]:
        """Train networks ``begin`` to ``end`` - 1, counted from the first, and return the core's arrays."""
        from shoal import _core

        whole = end - begin == self.networks
        start = self.start if whole or not isinstance(self.start, Explicit) else self.start.block(begin, end)
        trained = self.condensed.task
        return _core.train(
            widths=self.condensed.network.widths,
            activation=self.network.activation,
            slope=self.network.slope,
            bias=self.network.bias,
            scales=self.network.scales,
            rates=self.network.rates,
            centred=self.network.centred,
            inputs=trained.inputs,
            labels=trained.labels,
            weights=trained.weights,
            repeats=self.condensed.repeats,
            span=self.condensed.span,
            test=self._test(),
            loss=self.loss.name,
            threshold=self.loss.threshold,
            weight_decay=self.weight_decay,
            spectral_decoupling=self.spectral_decoupling,
            start=start.for_core(self.network, self.task, end - begin),
            method=self.method.for_core(records),
            measures=self.record.measure,
            networks=end - begin,
            first=self.first + begin,
            seed=self.seed,
            threads=threads,
            engine=self.engine,
            dtype=self.dtype,
            progress=progress,
        )

    def _reduced(self, together: int, records: NDArray[Any], threads: int, progress: Progress | None) -> dict[str, Any]:
        """Train block after block, and keep statistics over the networks that do not diverge."""
        moments = Moments()
        counts: Counter[int] = Counter()
        work = self.method.work
        for begin in range(0, self.networks, together):
            end = min(begin + together, self.networks)
            arrays = self.block(begin, end, records, threads, _shifted(progress, begin * work, self.networks * work))
            lost = np.isin(arrays["status"], (1, 2))
            kept = ~lost if lost.any() else slice(None)
            moments.add({name: arrays[name][kept] for name in self.record.measure})
            counts.update(arrays["status"].tolist())
        variables = dataset.measured(
            self.network, self.condensed.expand(moments.result()), self.record.measure, "statistic"
        )
        variables |= dataset.counted(self.method, counts)
        return variables

    def _test(self) -> dict[str, NDArray[Any]]:
        """Return the test samples as the core takes them, each of the same weight."""
        if self.condensed.task.test is None:
            return {}
        inputs, labels = self.condensed.task.test
        return {"inputs": inputs, "labels": labels, "weights": np.full(len(labels), 1 / len(labels))}

    def _together(self, times: int) -> int:
        """Return how many networks are trained by one call of the core."""
        return self.networks if self.record.reduce is None else self._block(times)

    def _block(self, times: int) -> int:
        return min(self.networks, block_size(self._record_bytes(1, times) // np.dtype(self.dtype).itemsize))

    def _need(self, together: int, times: int, threads: int) -> memory.Need:
        itemsize = np.dtype(self.dtype).itemsize
        records = self._record_bytes(together, times)
        workers, work = self._work(together, threads)
        return memory.Need(
            records=records if self.record.reduce is None else memory.reduced_bytes(records, itemsize),
            work=work,
            network=self.network,
            networks=self.networks,
            workers=workers,
            times=times,
            measures=self.record.measure,
            reduce=self.record.reduce,
            block=self._block(times),
        )

    def _work(self, together: int, threads: int) -> tuple[int, int]:
        """Return how many threads the core starts, and the bytes in which they train."""
        from shoal import _core

        network, task, itemsize = self.condensed.network, self.condensed.task, np.dtype(self.dtype).itemsize
        lanes = _core.lanes(self.dtype)
        keeps = not set(self.record.measure).isdisjoint(("weights", "trajectory"))
        span, beside = self.condensed.bytes_beside(network.widths[1], keeps, lanes)
        if self.engine == "wide":
            sizes = (task.samples, task.test_samples, together, threads)
            wide = _core.wide_bytes(network.widths, network.bias, network.centred, *sizes, self.dtype)
            return threads, wide + memory.task_bytes(task, itemsize) + span + min(threads, together) * beside
        workers = min(threads, -(-together // lanes))  # the core starts no thread that would have no pack
        passes = [samples for samples in (task.samples, task.test_samples) if samples]
        pack = sum(_core.pack_bytes(network.widths, samples, self.dtype) for samples in passes)
        work = memory.work_bytes(network, task, self.method, pack, lanes, workers, itemsize)
        return workers, work + span + workers * beside

    def _record_bytes(self, networks: int, times: int) -> int:
        itemsize = np.dtype(self.dtype).itemsize
        whole = memory.record_bytes(self.network, self.task, self.record.measure, networks, times, itemsize)
        if self.condensed.sample_of is None:
            return whole
        of_samples = [name for name in self.record.measure if name in OF_SAMPLES]
        return whole + memory.record_bytes(self.network, self.condensed.task, of_samples, networks, times, itemsize)


def _shifted(progress: Progress | None, before: int, total: int) -> Progress | None:
    if progress is None:
        return None
    return lambda done, _: progress(before + done, total)
