"""A training whose arguments are checked: what the core is given, network range by network range."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from shoal.base import checks
from shoal.engine import custom, dataset
from shoal.engine.condense import OF_SAMPLES, Condensed
from shoal.engine.merged import Cut, Merged, ranges, together
from shoal.spec.encoding import to_json
from shoal.spec.init import Explicit, Init
from shoal.spec.measures import REGISTRY, any_of
from shoal.spec.method import GradientFlow, Method
from shoal.spec.record import Function
from shoal.spec.statistics import Statistics
from shoal.spec.task import Regression
from shoal.spec.training import Training
from shoal.version import VERSION

if TYPE_CHECKING:
    import xarray

Progress = Callable[[int, int], None]

_STATUS_BYTES = 33
"""Of a network: its status, and when and after how many steps it stopped."""


@dataclass(frozen=True)
class Run:
    """A training as the core carries it out.

    ``resumed`` are weights from which it is resumed, ``velocity`` that of momentum; outputs of centred networks and
    distances remain relative to its initialisation.
    """

    training: Training
    condensed: Condensed
    resumed: Explicit | None = None
    velocity: Explicit | None = None

    @classmethod
    def of(cls, training: Training, condensed: Condensed | None = None) -> Run:
        """Return the run of a training; ``condensed`` may be known from another one."""
        condensed = condensed or Condensed.of(training)
        run = cls(training, condensed)
        _ = run.custom_shapes  # calls the functions of custom statistics, to report what is wrong with them now
        return run

    @cached_property
    def kept(self) -> Statistics:
        """What is kept over networks."""
        return self.training.record.kept or Statistics()

    @cached_property
    def cut(self) -> Cut:
        """How the networks are cut if only statistics are kept."""
        return Cut.of(self.record_bytes(1) // self.itemsize)

    @property
    def itemsize(self) -> int:
        """Bytes of a number as it is trained."""
        return np.dtype(self.training.dtype).itemsize

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
        if self.training.record.reduce is None:
            return self.of_arrays(self.arrays(0, self.training.networks, threads, progress))
        return self.of_merged(self.merged(0, self.training.networks, threads, progress))

    def of_arrays(self, arrays: Mapping[str, Any]) -> xarray.Dataset:
        """Return the dataset of the core's arrays of all networks, each of which names the training that it is of."""
        first, networks = self.training.first_network, self.training.networks
        variables = self.variables(self.condensed.expand(arrays))
        return dataset.assemble(self.training, variables, np.arange(first, first + networks), self.attrs)

    def of_merged(self, merged: Merged) -> xarray.Dataset:
        """Return the dataset of the statistics of all networks."""
        return dataset.assemble(self.training, self.statistics(self.expanded(merged)), None, self.attrs)

    def variables(self, arrays: Mapping[str, Any]) -> dict[str, Any]:
        """Return the variables of arrays of networks, in the given samples."""
        variables = dataset.measured(self.training.network, arrays, self.training.record.measure, "network")
        variables |= custom.variables(self.functions, arrays, "network")
        return variables | dataset.status(self.training.method, arrays)

    def expanded(self, merged: Merged) -> Merged:
        """Return statistics in the given samples."""
        counts = self.condensed.expand(merged.counts, "histogram_", behind=1)
        return dataclasses.replace(merged, sums=self.condensed.expand(merged.sums), counts=counts)

    def statistics(self, merged: Merged) -> dict[str, Any]:
        """Return the variables of statistics in the given samples."""
        method, measures = self.training.method, self.training.record.measure
        keys = [custom.key(name) for name, _ in self.functions]
        results = dataset.moments(merged.sums, (*measures, *keys))
        variables = dataset.measured(self.training.network, results, measures, "statistic")
        variables |= custom.variables(self.functions, results, "statistic")
        variables |= dataset.counted(method, self.kept, merged.counts["status"])
        return variables | dataset.kept(self.training, self.kept, merged.sums, merged.counts)

    def part(self, begin: int, end: int) -> Run:
        """Return the run of networks ``begin`` to ``end`` - 1, counted from the first, alone."""
        return dataclasses.replace(self, training=self.training.part(begin, end))

    @property
    def attrs(self) -> dict[str, str]:
        """The attributes of the dataset."""
        from shoal import _core  # only here: the theory and the specifications need no compiled module

        return {
            "specification": to_json(self.training),
            "shoal_version": VERSION,
            "isa": _core.isa,
            "condensed": self.condensed.sizes(),
        }

    def arrays(
        self, begin: int, end: int, threads: int, progress: Progress | None, measures: Sequence[str] | None = None
    ) -> dict[str, Any]:
        """Train networks ``begin`` to ``end`` - 1, counted from the first; return the core's arrays and custom ones."""
        measures = tuple(self.training.record.measure if measures is None else measures)
        if not self.functions:
            return self._trained(begin, end, threads, progress, measures)
        first, work = self.training.first_network, self.training.method.work
        asked = measures if "trajectory" in measures else (*measures, "trajectory")
        whole: dict[str, Any] = {}
        for low, high in ranges(self.blocks.call, first + begin, first + end):
            report = shifted(progress, (low - first - begin) * work, (end - begin) * work)
            part = self._trained(low - first, high - first, threads, report, asked)
            blocks = [(one - low, other - low) for one, other in ranges(self.blocks.block, low, high)]
            found = custom.evaluated(self.functions, self.custom_shapes, part, blocks)
            if asked != measures:
                part = {name: array for name, array in part.items() if name not in custom.TRAJECTORY}
            part |= {custom.key(name): values for name, values in found.items()}
            custom.filled(whole, part, slice(low - first - begin, high - first - begin), end - begin)
        return whole

    @property
    def blocks(self) -> custom.Blocks:
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
        """Train networks ``begin`` to ``end`` - 1, counted from the first, and return the core's arrays of them."""
        from shoal import _core

        training, network, trained = self.training, self.condensed.network, self.condensed.task
        test: dict[str, NDArray[Any] | None] = {}
        if trained.test is not None:
            equal = np.full(trained.test_samples, 1 / trained.test_samples)
            tested = dict(zip(("labels", "targets"), self._answers(trained.test[1]), strict=True))
            test = {"inputs": trained.test.inputs, **tested, "weights": equal}
        labels, targets = self._answers(trained.answers)
        return _core.train(
            **{field.name: getattr(network, field.name) for field in dataclasses.fields(network)},
            inputs=trained.inputs,
            labels=labels,
            targets=targets,
            weights=trained.sample_weight,
            repeats=self.condensed.repeats,
            span=self.condensed.span,
            test=test,
            loss=training.loss.name,
            threshold=training.loss.threshold,
            weight_decay=training.weight_decay,
            spectral_decoupling=training.spectral_decoupling,
            start=self._start(begin, end),
            method=training.method.block(begin, end).for_core(training.records),
            measures=tuple(measures),
            reduction=reduction or {},
            networks=end - begin,
            first=training.first_network + begin,
            seed=training.seed,
            threads=threads,
            engine=engine(training.method),
            dtype=training.dtype,
            progress=progress,
        )

    @property
    def targets(self) -> int:
        """The number of targets of each sample, from which the squared loss takes the outputs; 0 for other losses."""
        training, outputs = self.training, self.training.network.outputs
        squares = training.loss.name == "squared" and (outputs > 1 or isinstance(training.task, Regression))
        return outputs if squares else 0

    def _answers(self, given: NDArray[Any]) -> tuple[NDArray[Any] | None, NDArray[Any] | None]:
        """Return labels and targets as the core takes them: classes under the squared loss have unit vectors."""
        if isinstance(self.training.task, Regression):
            return None, given.reshape(len(given), -1)
        return given, np.eye(self.targets)[given] if self.targets else None

    def _start(self, begin: int, end: int) -> dict[str, Any]:
        """Return where networks ``begin`` to ``end`` - 1 begin, or are resumed."""

        def for_core(init: Init) -> dict[str, Any]:
            return init.block(begin, end).for_core(self.training.network, self.training.task, end - begin)

        moving = {} if self.velocity is None else {"velocity": for_core(self.velocity)}
        if self.resumed is None:
            return for_core(self.training.init)
        if not (self.training.network.centred or any_of(self.training.record.measure, "of_init")):
            return for_core(self.resumed) | moving
        return {**for_core(self.training.init), "resumed": for_core(self.resumed)} | moving

    def merged(self, begin: int, end: int, threads: int, progress: Progress | None) -> Merged:
        """Train networks ``begin`` to ``end`` - 1, counted from the first, and return their statistics."""
        cell, work = self.cut.cell, self.training.method.work
        passes = 2 if self.functions else 1
        parts = []
        offset = self.training.first_network
        # A call of the core ends where a branch of the tree does.
        for low, high in ranges(cell * self.cut.call, offset + begin, offset + end):
            first, last = low - offset, high - offset
            done, total = (first - begin) * passes * work, (end - begin) * passes * work
            report = shifted(progress, done, total)
            arrays = self._trained(first, last, threads, report, self.training.record.measure, self._reduction)
            if self.functions:
                report = shifted(progress, done + (last - first) * work, total)
                arrays |= self._custom_sums(first, last, threads, report)
            parts.append(Merged.of_core(arrays, low // cell, self.kept.covariance).folded())
        return together(parts)

    def _custom_sums(self, begin: int, end: int, threads: int, progress: Progress | None) -> dict[str, Any]:
        """Train networks once more, some cells at a time, and return the sums of their custom statistics by cell."""
        first, work = self.training.first_network, self.training.method.work
        cells: dict[str, list[NDArray[np.float64]]] = {custom.key(name): [] for name, _ in self.functions}
        size = max(self.cut.cell, self.blocks.call)
        for low, high in ranges(size, first + begin, first + end):
            report = shifted(progress, (low - first - begin) * work, 0)
            arrays = self.arrays(low - first, high - first, threads, report, ())
            cell_rows = [(one - low, other - low) for one, other in ranges(self.cut.cell, low, high)]
            for name, found in cells.items():
                found.append(custom.moments(arrays[name], arrays["status"], cell_rows))
        return {name: np.concatenate(found) for name, found in cells.items()}

    @property
    def _reduction(self) -> dict[str, Any]:
        return {
            "cell": self.cut.cell,
            "stretch": self.cut.stretch,
            "bits": self.kept.resolution,
            "stops": bool(self.training.method.stop),
            "pairs": list(self.kept.covariance),
            "events": [tuple(event) for event in self.kept.read_events()],
            "distributed": list(self.kept.distribution),
        }

    def record_bytes(self, networks: int) -> int:
        """Return the bytes of the records of so many networks."""
        training, condensed = self.training, self.condensed
        kept = [(training.task, training.record.measure)]
        if condensed.sample_of is not None:
            kept.append((condensed.task, [name for name in training.record.measure if name in OF_SAMPLES]))
        size = (len(training.records), self.itemsize)
        each = sum(REGISTRY[name].bytes(training.network, task, *size) for task, names in kept for name in names)
        return networks * (each + len(kept) * _STATUS_BYTES)


def engine(method: Method) -> str:
    """Return the engine that the environment asks for, to test or time it: SHOAL_ENGINE is auto, lanes or alone."""
    allowed = ("auto", "lanes") if isinstance(method, GradientFlow) else ("auto", "lanes", "alone")
    return checks.choice("SHOAL_ENGINE", os.environ.get("SHOAL_ENGINE", "auto"), allowed)


def shifted(progress: Progress | None, before: int, total: int) -> Progress | None:
    """Return a progress function for a part of the work, before which so much is done already."""
    if progress is None:
        return None
    return lambda done, _: progress(before + done, total)
