"""A training whose arguments are checked: what the core is given, network range by network range."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from shoal.engine import custom, dataset, memory
from shoal.engine.condense import OF_SAMPLES, Condensed
from shoal.engine.histogram import bins
from shoal.engine.merged import Cut, Merged, together
from shoal.spec.custom import Function
from shoal.spec.engines import resolve_engine
from shoal.spec.init import Explicit, Init
from shoal.spec.measures import any_of
from shoal.spec.method import GradientDescent, Method
from shoal.spec.specification import fingerprint, to_json
from shoal.spec.statistics import Statistics
from shoal.spec.task import Task
from shoal.spec.training import Training
from shoal.version import VERSION

if TYPE_CHECKING:
    import xarray

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Run:
    """A training as the core carries it out.

    ``resumed`` are weights from which it goes on, while the outputs of centred networks and distances count from its
    initialisation.
    """

    training: Training
    condensed: Condensed
    engine: str
    resumed: Explicit | None = None

    @classmethod
    def of(cls, training: Training, condensed: Condensed | None = None) -> Run:
        """Return the run of a training, of which ``condensed`` may be known from another one."""
        condensed = condensed or Condensed.of(training)
        engine = resolve_engine(training.engine, condensed.network, condensed.task, training.method)
        run = cls(training, condensed, engine)
        _ = run.custom_shapes  # calls the functions of custom statistics, so that what is wrong with them is told now
        return run

    @property
    def kept(self) -> Statistics:
        """What is kept over networks."""
        return self.training.record.kept or Statistics()

    @cached_property
    def cut(self) -> Cut:
        """How the networks are cut where only statistics are kept."""
        return Cut.of(self.record_bytes(1) // np.dtype(self.training.dtype).itemsize)

    @cached_property
    def custom_shapes(self) -> dict[str, tuple[int, ...]]:
        """The shapes of the custom statistics of one network and time."""
        return custom.shapes(self.training)

    @property
    def functions(self) -> tuple[tuple[str, Function], ...]:
        """The custom statistics, by name."""
        return self.training.record.functions

    def dataset(self, threads: int, progress: Progress | None) -> xarray.Dataset:
        """Train all networks and return the dataset."""
        self.require(self.training.networks, threads)
        if self.training.record.reduce is None:
            return self.marked(self.of_arrays(self.arrays(0, self.training.networks, threads, progress)))
        return self.of_merged(self.merged(0, self.training.networks, threads, progress))

    def marked(self, data: xarray.Dataset) -> xarray.Dataset:
        """Return a dataset whose networks tell which training they are of, however they are joined to others."""
        number = fingerprint(data.attrs["specification"], self.training.task)
        about = {"long_name": "number of the training that the network is of", "units": "1"}
        held = np.full(data.sizes["network"], number, np.int64)
        return data.assign_coords(training=(("network",), held, about))

    def of_arrays(self, arrays: Mapping[str, Any]) -> xarray.Dataset:
        """Return the dataset of the core's arrays of all networks."""
        return self.of_expanded(self.condensed.expand(arrays))

    def of_expanded(self, arrays: Mapping[str, Any]) -> xarray.Dataset:
        """Return the dataset of arrays of all networks, in the given samples."""
        first = self.training.first_network
        return self._assemble(self.variables(arrays), np.arange(first, first + self.training.networks))

    def variables(self, arrays: Mapping[str, Any]) -> dict[str, Any]:
        """Return the variables of arrays of networks, in the given samples."""
        variables = dataset.measured(arrays, self.training.record.measure, "network")
        variables |= custom.variables(self.functions, arrays, "network")
        return variables | dataset.status(self.training.method, arrays)

    def of_merged(self, merged: Merged) -> xarray.Dataset:
        """Return the dataset of the statistics of all networks."""
        return self.of_statistics(self.expanded(merged))

    def expanded(self, merged: Merged) -> Merged:
        """Return statistics in the given samples."""
        sums, counts = self.condensed.expand(merged.sums), self.condensed.expand_histograms(merged.counts)
        return dataclasses.replace(merged, sums=sums, counts=counts)

    def of_statistics(self, merged: Merged) -> xarray.Dataset:
        """Return the dataset of the statistics of all networks, in the given samples."""
        return self._assemble(self.statistics(merged), None)

    def statistics(self, merged: Merged) -> dict[str, Any]:
        """Return the variables of statistics in the given samples."""
        results = dataset.moments(merged.sums, self.training.record.measure)
        variables = dataset.measured(results, self.training.record.measure, "statistic")
        own = dataset.moments(merged.sums, [custom.key(name) for name, _ in self.functions])
        variables |= custom.variables(self.functions, own, "statistic")
        variables |= dataset.counted(self.training.method, self.kept, merged.counts["status"])
        return variables | dataset.kept(self.training.method, self.kept, merged.sums, merged.counts)

    def part(self, begin: int, end: int) -> Run:
        """Return the run of networks ``begin`` to ``end`` - 1, counted from the first, alone."""
        return dataclasses.replace(self, training=self.training.part(begin, end))

    def _assemble(self, variables: dict[str, Any], index: NDArray[np.int64] | None) -> xarray.Dataset:
        return dataset.assemble(self.training, variables=variables, index=index, attrs=self.attrs)

    @property
    def attrs(self) -> dict[str, str]:
        """The attributes of the dataset."""
        from shoal import _core  # only here: the theory and the specifications need no compiled module

        return {
            "specification": to_json(self.training),
            "shoal_version": VERSION,
            "isa": _core.isa,
            "engine": self.engine,
            "condensed": self.condensed.told(),
        }

    def arrays(self, begin: int, end: int, threads: int, progress: Progress | None) -> dict[str, Any]:
        """Train networks ``begin`` to ``end`` - 1, counted from the first, and return the core's arrays of them.

        Custom statistics are among these.
        """
        measures = tuple(self.training.record.measure)
        if not self.functions:
            return self._trained(begin, end, threads, progress, measures)
        return self._with_custom(begin, end, threads, progress, measures)

    def _with_custom(
        self, begin: int, end: int, threads: int, progress: Progress | None, measures: tuple[str, ...]
    ) -> dict[str, Any]:
        """Train networks in blocks, and return the core's arrays of these measures and the custom statistics."""
        first, work = self.training.first_network, self.training.method.work
        asked = measures if "trajectory" in measures else (*measures, "trajectory")
        whole: dict[str, Any] = {}
        for low, high in self._blocks.calls(first + begin, first + end):
            told = shifted(progress, (low - first - begin) * work, (end - begin) * work)
            part = self._trained(low - first, high - first, threads, told, asked)
            blocks = [(one - low, other - low) for one, other in self._blocks.blocks(low, high)]
            found = custom.evaluated(self.functions, self.custom_shapes, part, blocks)
            if asked != measures:
                part = {name: array for name, array in part.items() if name not in custom.TRAJECTORY}
            part |= {custom.key(name): values for name, values in found.items()}
            custom.filled(whole, part, slice(low - first - begin, high - first - begin), end - begin)
        return whole

    @property
    def _blocks(self) -> custom.Blocks:
        """How networks are cut while custom statistics are taken of them."""
        return custom.Blocks.of(len(self.training.records) * self.training.network.parameters)

    def _trained(
        self,
        begin: int,
        end: int,
        threads: int,
        progress: Progress | None,
        measures: Sequence[str],
        reduction: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Train networks ``begin`` to ``end`` - 1, counted from the first, and return what the core says of them."""
        from shoal import _core

        training, trained = self.training, self.condensed.task
        network = training.network
        return _core.train(
            widths=self.condensed.network.widths,
            activation=network.activation,
            slope=network.slope,
            bias=network.bias,
            scales=network.scales,
            rates=network.rates,
            centred=network.centred,
            inputs=trained.inputs,
            labels=trained.labels,
            weights=trained.sample_weight,
            repeats=self.condensed.repeats,
            span=self.condensed.span,
            test=self._test(),
            loss=training.loss.name,
            threshold=training.loss.threshold,
            weight_decay=training.weight_decay,
            spectral_decoupling=training.spectral_decoupling,
            start=self._start(begin, end),
            method=self._method(begin, end).for_core(training.records),
            measures=tuple(measures),
            reduction=reduction or {},
            networks=end - begin,
            first=training.first_network + begin,
            seed=training.seed,
            threads=threads,
            engine=self.engine,
            dtype=training.dtype,
            progress=progress,
        )

    def _method(self, begin: int, end: int) -> Method:
        """Return the method of networks ``begin`` to ``end`` - 1."""
        method = self.training.method
        return method.block(begin, end) if end - begin < self.training.networks else method

    def _start(self, begin: int, end: int) -> dict[str, Any]:
        """Return where networks ``begin`` to ``end`` - 1 begin, or go on."""

        def told(init: Init) -> dict[str, Any]:
            part = (
                init.block(begin, end) if isinstance(init, Explicit) and end - begin < self.training.networks else init
            )
            return part.for_core(self.training.network, self.training.task, end - begin)

        if self.resumed is None:
            return told(self.training.init)
        if not (self.training.network.centred or any_of(self.training.record.measure, "of_init")):
            return told(self.resumed)
        return {**told(self.training.init), "resumed": told(self.resumed)}

    def merged(self, begin: int, end: int, threads: int, progress: Progress | None) -> Merged:
        """Train networks ``begin`` to ``end`` - 1, counted from the first, and return their statistics.

        They can be put together with those of others where they are a branch of the tree: see ``together``.
        """
        cell, work = self.cut.cell, self.training.method.work
        passes = 2 if self.functions else 1
        parts = []
        for first, last in self._calls(begin, end):
            done, total = (first - begin) * passes * work, (end - begin) * passes * work
            told = shifted(progress, done, total)
            arrays = self._trained(first, last, threads, told, self.training.record.measure, self._reduction)
            arrays |= self._custom_sums(first, last, threads, shifted(progress, done + (last - first) * work, total))
            parts.append(
                Merged.of_core(arrays, (self.training.first_network + first) // cell, self.kept.covariance).folded()
            )
        return together(parts)

    def _custom_sums(self, begin: int, end: int, threads: int, progress: Progress | None) -> dict[str, Any]:
        """Train networks once more, some cells at a time, and return the sums of their custom statistics by cell."""
        first, work = self.training.first_network, self.training.method.work
        cells: dict[str, list[NDArray[np.float64]]] = {custom.key(name): [] for name, _ in self.functions}
        size = max(self.cut.cell, self._blocks.call)
        for low, high in custom.cut(size, first + begin, first + end) if cells else ():
            told = shifted(progress, (low - first - begin) * work, 0)
            arrays = self._with_custom(low - first, high - first, threads, told, ())
            ranges = [(one - low, other - low) for one, other in custom.cut(self.cut.cell, low, high)]
            for name, found in cells.items():
                found.append(custom.moments(arrays[name], arrays["status"], ranges))
        return {name: np.concatenate(found) for name, found in cells.items()}

    def _calls(self, begin: int, end: int) -> Iterator[tuple[int, int]]:
        """Return ranges of networks, a call of the core each, that end where branches of the tree do."""
        size = self.cut.cell * self.cut.call
        while begin < end:
            last = min(end, ((self.training.first_network + begin) // size + 1) * size - self.training.first_network)
            yield begin, last
            begin = last

    @property
    def _reduction(self) -> dict[str, Any]:
        return {
            "cell": self.cut.cell,
            "stretch": self.cut.stretch,
            "bits": self.kept.resolution,
            "stops": isinstance(self.training.method, GradientDescent) and bool(self.training.method.stop),
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
        itemsize = np.dtype(self.training.dtype).itemsize
        at_once = networks
        if self.training.record.reduce is not None:
            at_once = min(networks, threads * self.cut.cell * self.cut.stretch)
        workers, work = self._work(at_once if self.training.record.reduce is None else networks, threads)
        records = self.record_bytes(at_once)
        method = self.training.method
        if isinstance(method, GradientDescent) and method.rates is not None and self.training.record.reduce is None:
            records += 8 * networks * len(self.training.records)  # the times of each network
        if self.training.record.reduce is not None:
            records += self._merged_bytes(networks, workers)
            work += workers * memory.task_bytes(self.condensed.task, itemsize)  # each thread's own copy
        if self.functions:
            records += self._custom_bytes(networks)
        memory.Need(
            records=records,
            work=work,
            network=self.training.network,
            networks=networks,
            workers=workers,
            times=len(self.training.records),
            measures=self.training.record.measure,
            reduce=None if self.training.record.reduce is None else "moments",
            block=min(networks, self.cut.cell * self.cut.stretch),
            available=available,
        ).require()

    def _merged_bytes(self, networks: int, workers: int) -> int:
        """Return the bytes of the statistics of a call, thrice while they are merged, and of histograms."""
        numbers = self.record_bytes(1) // np.dtype(self.training.dtype).itemsize
        cells = min(self.cut.call, -(-networks // self.cut.cell) + 1)
        measured = sum(self._bytes(self.training.task, (name,), 1, 1) for name in self.kept.distribution)
        histograms = (measured - len(self.kept.distribution) * memory.STATUS_BYTES) * bins(self.kept.resolution)
        return 3 * 8 * cells * (4 + len(self.kept.covariance)) * numbers + 8 * (workers + 2) * histograms

    def _custom_bytes(self, networks: int) -> int:
        """Return the bytes of custom statistics, and of the weights of which they are taken at once."""
        times, blocks = len(self.training.records), self._blocks
        each = 8 * times * sum(math.prod(shape) for shape in self.custom_shapes.values())
        weights = times * self.training.network.parameters * np.dtype(self.training.dtype).itemsize
        held = min(networks, blocks.call) * weights
        if self.training.record.reduce is None:
            return held + networks * each
        cells = min(self.cut.call, -(-networks // self.cut.cell) + 1)
        return held + (min(networks, max(self.cut.cell, blocks.call)) + 3 * 4 * cells) * each

    def _work(self, networks: int, threads: int) -> tuple[int, int]:
        """Return how many threads the core starts, and the bytes in which they train."""
        from shoal import _core

        network, task, itemsize = self.condensed.network, self.condensed.task, np.dtype(self.training.dtype).itemsize
        lanes = _core.lanes(self.training.dtype)
        keeps = bool(self.functions) or any_of(self.training.record.measure, "layers")
        span, beside = self.condensed.bytes_beside(network.widths[1], keeps, lanes)
        of_gradient, of_init = (any_of(self.training.record.measure, trait) for trait in ("of_gradient", "of_init"))
        copies = (of_gradient + of_init) * network.parameters * itemsize  # of the parameters of one network
        if self.engine == "wide":
            sizes = (task.samples, task.test_samples, networks, threads)
            wide = _core.wide_bytes(network.widths, network.bias, network.centred, *sizes, self.training.dtype)
            beside = min(threads, networks) * (beside + copies)
            return threads, wide + memory.task_bytes(task, itemsize) + span + beside
        workers = min(threads, -(-networks // lanes))  # the core starts no thread that would have no pack
        passes = [task.samples, *([task.test_samples] if task.test else []), *([task.samples] if of_gradient else [])]
        pack = sum(_core.pack_bytes(network.widths, samples, self.training.dtype) for samples in passes)
        work = memory.work_bytes(network, task, self.training.method, pack, passes, lanes, workers, itemsize)
        return workers, work + span + workers * (beside + copies * lanes)

    def record_bytes(self, networks: int) -> int:
        """Return the bytes of the records of so many networks."""
        itemsize, measures = np.dtype(self.training.dtype).itemsize, self.training.record.measure
        whole = self._bytes(self.training.task, measures, networks, itemsize)
        if self.condensed.sample_of is None:
            return whole
        of_samples = [name for name in measures if name in OF_SAMPLES]
        return whole + self._bytes(self.condensed.task, of_samples, networks, itemsize)

    def _bytes(self, task: Task, measures: Sequence[str], networks: int, itemsize: int) -> int:
        times = len(self.training.records)
        return memory.record_bytes(self.training.network, task, measures, networks, times, itemsize)


def shifted(progress: Progress | None, before: int, total: int) -> Progress | None:
    """Return a progress function for a part of work of which ``before`` is done already."""
    if progress is None:
        return None
    return lambda done, _: progress(before + done, total)
