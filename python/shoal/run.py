"""A training whose arguments are checked: what the core is given, network range by network range."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from shoal import dataset, memory, validate
from shoal.condense import OF_SAMPLES, Condensed
from shoal.engine import resolve_engine
from shoal.histogram import bins
from shoal.init import Explicit, Init
from shoal.loss import Loss, resolve_loss
from shoal.merged import Cut, Merged, together
from shoal.method import GradientDescent, Method
from shoal.network import Network
from shoal.record import Record
from shoal.specification import fingerprint, to_json
from shoal.statistics import Statistics
from shoal.task import Task
from shoal.version import VERSION

if TYPE_CHECKING:
    import xarray

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Run:
    """All that fixes the result of a training."""

    network: Network
    task: Task
    init: Init
    loss: Loss
    method: Method
    record: Record
    networks: int
    seed: int
    first_network: int
    dtype: str
    weight_decay: float
    spectral_decoupling: float
    engine: str
    condense: str | bool
    condensed: Condensed
    resumed: Explicit | None = None
    """Weights from which training goes on, while the outputs of centred networks count from ``init``."""

    @classmethod
    def of(
        cls,
        network: Network,
        task: Task,
        init: Init,
        *,
        method: Method,
        loss: str | Loss,
        record: Record | None,
        engine: str,
        condense: str | bool,
        dtype: str,
        progress: object,
        **numbers: Any,
    ) -> Run:
        """Return the training that these arguments of ``train`` ask for.

        Raises
        ------
        TypeError, ValueError
            As of ``train``, but for its threads and memory.
        """
        chosen = resolve_loss(loss)
        given = validate.validate(
            network,
            task,
            init,
            method,
            chosen,
            record,
            engine=engine,
            condense=condense,
            dtype=dtype,
            progress=progress,
            **numbers,
        )
        largest = float(np.finfo(dtype).max)
        condensed = Condensed.of(network, task, method, condense, weight_decay=given.weight_decay, largest=largest)
        return cls(
            network=network,
            task=task,
            init=init,
            loss=chosen,
            method=method,
            record=record or Record(),
            dtype=dtype,
            engine=resolve_engine(engine, condensed.network, condensed.task, method),
            condense=condense,
            condensed=condensed,
            **dataclasses.asdict(given),
        )

    @cached_property
    def records(self) -> NDArray[Any]:
        """The steps of descent, or times of a flow, at which is measured, shape (times,)."""
        return self.record.at(self.method)

    @property
    def kept(self) -> Statistics:
        """What is kept over networks."""
        return self.record.kept or Statistics()

    @cached_property
    def cut(self) -> Cut:
        """How the networks are cut where only statistics are kept."""
        return Cut.of(self.record_bytes(1) // np.dtype(self.dtype).itemsize)

    def dataset(self, threads: int, progress: Progress | None) -> xarray.Dataset:
        """Train all networks and return the dataset."""
        self.require(self.networks, threads)
        if self.record.reduce is None:
            return self.marked(self.of_arrays(self.arrays(0, self.networks, threads, progress)))
        return self.of_merged(self.merged(0, self.networks, threads, progress))

    def marked(self, data: xarray.Dataset) -> xarray.Dataset:
        """Return a dataset whose networks tell which training they are of, however they are joined to others."""
        number = fingerprint(data.attrs["specification"], self.task)
        about = {"long_name": "number of the training that the network is of", "units": "1"}
        held = np.full(data.sizes["network"], number, np.int64)
        return data.assign_coords(training=(("network",), held, about))

    def of_arrays(self, arrays: Mapping[str, Any]) -> xarray.Dataset:
        """Return the dataset of the core's arrays of all networks."""
        return self.of_expanded(self.condensed.expand(arrays))

    def of_expanded(self, arrays: Mapping[str, Any]) -> xarray.Dataset:
        """Return the dataset of arrays of all networks, in the given samples."""
        variables = dataset.measured(self.network, arrays, self.record.measure, "network")
        variables |= dataset.status(self.method, arrays)
        return self._assemble(variables, np.arange(self.first_network, self.first_network + self.networks))

    def of_merged(self, merged: Merged) -> xarray.Dataset:
        """Return the dataset of the statistics of all networks."""
        return self.of_statistics(self.expanded(merged))

    def expanded(self, merged: Merged) -> Merged:
        """Return statistics in the given samples."""
        sums, counts = self.condensed.expand(merged.sums), self.condensed.expand_histograms(merged.counts)
        return dataclasses.replace(merged, sums=sums, counts=counts)

    def of_statistics(self, merged: Merged) -> xarray.Dataset:
        """Return the dataset of the statistics of all networks, in the given samples."""
        results = dataset.moments(merged.sums, self.record.measure)
        variables = dataset.measured(self.network, results, self.record.measure, "statistic")
        variables |= dataset.counted(self.method, self.kept, merged.counts["status"])
        variables |= dataset.kept(self.method, self.kept, merged.sums, merged.counts)
        return self._assemble(variables, None)

    def part(self, begin: int, end: int) -> Run:
        """Return the training of networks ``begin`` to ``end`` - 1, counted from the first, alone."""
        init = self.init.block(begin, end) if isinstance(self.init, Explicit) else self.init
        return dataclasses.replace(self, init=init, networks=end - begin, first_network=self.first_network + begin)

    def _assemble(self, variables: dict[str, Any], index: NDArray[np.int64] | None) -> xarray.Dataset:
        from shoal import _core  # only here: the theory and the specifications need no compiled module

        names = {field.name for field in dataclasses.fields(self)} - {"task", "condensed", "resumed"}
        told = {name: getattr(self, name) for name in names}
        text = to_json(**told, samples=self.task.samples, test_samples=self.task.test_samples)
        return dataset.assemble(
            self.network,
            self.task,
            self.init,
            variables=variables,
            method=self.method,
            records=self.records,
            index=index,
            kept=self.kept,
            attrs={
                "specification": text,
                "shoal_version": VERSION,
                "isa": _core.isa,
                "engine": self.engine,
                "condensed": self.condensed.told(),
            },
        )

    def arrays(
        self, begin: int, end: int, threads: int, progress: Progress | None, reduction: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Train networks ``begin`` to ``end`` - 1, counted from the first, and return the core's arrays."""
        from shoal import _core

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
            weights=trained.sample_weight,
            repeats=self.condensed.repeats,
            span=self.condensed.span,
            test=self._test(),
            loss=self.loss.name,
            threshold=self.loss.threshold,
            weight_decay=self.weight_decay,
            spectral_decoupling=self.spectral_decoupling,
            start=self._start(begin, end),
            method=self.method.for_core(self.records),
            measures=self.record.measure,
            reduction=reduction or {},
            networks=end - begin,
            first=self.first_network + begin,
            seed=self.seed,
            threads=threads,
            engine=self.engine,
            dtype=self.dtype,
            progress=progress,
        )

    def _start(self, begin: int, end: int) -> dict[str, Any]:
        """Return where networks ``begin`` to ``end`` - 1 begin, or go on."""

        def told(init: Init) -> dict[str, Any]:
            part = init.block(begin, end) if isinstance(init, Explicit) and end - begin < self.networks else init
            return part.for_core(self.network, self.task, end - begin)

        if self.resumed is None:
            return told(self.init)
        if not self.network.centred:
            return told(self.resumed)
        return {**told(self.init), "resumed": told(self.resumed)}

    def merged(self, begin: int, end: int, threads: int, progress: Progress | None) -> Merged:
        """Train networks ``begin`` to ``end`` - 1, counted from the first, and return their statistics.

        They can be put together with those of others where they are a branch of the tree: see ``together``.
        """
        cell, work = self.cut.cell, self.method.work
        parts = []
        for first, last in self._calls(begin, end):
            told = shifted(progress, (first - begin) * work, (end - begin) * work)
            arrays = self.arrays(first, last, threads, told, self._reduction)
            parts.append(Merged.of_core(arrays, (self.first_network + first) // cell, self.kept.covariance).folded())
        return together(parts)

    def _calls(self, begin: int, end: int) -> Iterator[tuple[int, int]]:
        """Return ranges of networks, a call of the core each, that end where branches of the tree do."""
        size = self.cut.cell * self.cut.call
        while begin < end:
            last = min(end, ((self.first_network + begin) // size + 1) * size - self.first_network)
            yield begin, last
            begin = last

    @property
    def _reduction(self) -> dict[str, Any]:
        return {
            "cell": self.cut.cell,
            "stretch": self.cut.stretch,
            "bits": self.kept.resolution,
            "stops": isinstance(self.method, GradientDescent) and bool(self.method.stop),
            "pairs": list(self.kept.covariance),
            "events": [tuple(event) for event in self.kept.read_events()],
            "distributed": list(self.kept.distribution),
        }

    def _test(self) -> dict[str, NDArray[Any]]:
        """Return the test samples as the core takes them, each of the same weight."""
        if self.condensed.task.test is None:
            return {}
        inputs, labels = self.condensed.task.test
        return {"inputs": inputs, "labels": labels, "weights": np.full(len(labels), 1 / len(labels))}

    def require(self, networks: int, threads: int, available: int | None = None) -> None:
        """Raise a ValueError where there is too little memory to train so many networks at once.

        Of this process, when ``available`` does not say how many bytes there are.
        """
        itemsize = np.dtype(self.dtype).itemsize
        at_once = networks
        if self.record.reduce is not None:
            at_once = min(networks, threads * self.cut.cell * self.cut.stretch)
        workers, work = self._work(at_once if self.record.reduce is None else networks, threads)
        records = self.record_bytes(at_once)
        if self.record.reduce is not None:
            records += self._merged_bytes(networks, workers)
            work += workers * memory.task_bytes(self.condensed.task, itemsize)  # each thread's own copy
        memory.Need(
            records=records,
            work=work,
            network=self.network,
            networks=self.networks,
            workers=workers,
            times=len(self.records),
            measures=self.record.measure,
            reduce=None if self.record.reduce is None else "moments",
            block=min(networks, self.cut.cell * self.cut.stretch),
            available=available,
        ).require()

    def _merged_bytes(self, networks: int, workers: int) -> int:
        """Return the bytes of the statistics of a call, thrice while they are merged, and of histograms."""
        numbers = self.record_bytes(1) // np.dtype(self.dtype).itemsize
        cells = min(self.cut.call, -(-networks // self.cut.cell) + 1)
        histograms = 0
        for name in self.kept.distribution:
            each = memory.record_bytes(self.network, self.task, (name,), 1, len(self.records), 1) - memory.STATUS_BYTES
            histograms += each * bins(self.kept.resolution)
        return 3 * 8 * cells * (4 + len(self.kept.covariance)) * numbers + 8 * (workers + 2) * histograms

    def _work(self, networks: int, threads: int) -> tuple[int, int]:
        """Return how many threads the core starts, and the bytes in which they train."""
        from shoal import _core

        network, task, itemsize = self.condensed.network, self.condensed.task, np.dtype(self.dtype).itemsize
        lanes = _core.lanes(self.dtype)
        keeps = not set(self.record.measure).isdisjoint(("weights", "trajectory"))
        span, beside = self.condensed.bytes_beside(network.widths[1], keeps, lanes)
        if self.engine == "wide":
            sizes = (task.samples, task.test_samples, networks, threads)
            wide = _core.wide_bytes(network.widths, network.bias, network.centred, *sizes, self.dtype)
            return threads, wide + memory.task_bytes(task, itemsize) + span + min(threads, networks) * beside
        workers = min(threads, -(-networks // lanes))  # the core starts no thread that would have no pack
        passes = [samples for samples in (task.samples, task.test_samples) if samples]
        pack = sum(_core.pack_bytes(network.widths, samples, self.dtype) for samples in passes)
        work = memory.work_bytes(network, task, self.method, pack, lanes, workers, itemsize)
        return workers, work + span + workers * beside

    def record_bytes(self, networks: int) -> int:
        """Return the bytes of the records of so many networks."""
        itemsize, times = np.dtype(self.dtype).itemsize, len(self.records)
        whole = memory.record_bytes(self.network, self.task, self.record.measure, networks, times, itemsize)
        if self.condensed.sample_of is None:
            return whole
        of_samples = [name for name in self.record.measure if name in OF_SAMPLES]
        return whole + memory.record_bytes(self.network, self.condensed.task, of_samples, networks, times, itemsize)


def shifted(progress: Progress | None, before: int, total: int) -> Progress | None:
    """Return a progress function for a part of work of which ``before`` is done already."""
    if progress is None:
        return None
    return lambda done, _: progress(before + done, total)
