"""Random problems for the flow, each reproducible from its class and index, judged by an independent reference.

``python tests/flow_problems.py --class hinge --rtol 1e-8 --networks 64`` prints the table of docs/flow.md.
"""

from __future__ import annotations

import argparse
import hashlib
import pickle
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import shoal
from flow_gates import Gated
from flow_reference import Answer, integrate

Array = NDArray[np.float64]
CODE = b"".join((Path(__file__).parent / f"flow_{name}.py").read_bytes() for name in ("gates", "decide", "reference"))
LOSSES = ("cross_entropy", "hinge", "squared_hinge", "exponential", "squared")
TIMES = (0.1, 0.5, 1.0, 2.0, 4.0, 8.0, 14.0, 20.0)
EACH = 4
"""Networks that share a task."""
RTOLS = (1e-6, 1e-8, 1e-10)
WITHIN = 10
"""A margin that is further off than so many rtol, relative to the larger of 1 and the largest margin, is wrong."""


@dataclass(frozen=True)
class Problem:
    """One task and ``EACH`` networks on it."""

    kind: str
    index: int
    network: shoal.Network
    task: shoal.Task
    loss: str
    scale: float

    @property
    def seed(self) -> int:
        return zlib.crc32(self.kind.encode()) * 1000 + self.index

    @property
    def measure(self) -> str:
        """What is compared."""
        return "output" if self.task.answer == "targets" else "margin"

    def starts(self, networks: int) -> tuple[list[Array], list[Array]]:
        """Return weights and biases of each layer, (networks, ...), normal of standard deviation ``scale``.

        Those of structured problems have one decimal and no 0: units are equal, or orthogonal to inputs.
        """
        generator = np.random.default_rng([self.seed, 1])
        weights: list[list[Array]] = [[] for _ in self.network.widths[1:]]
        biases: list[list[Array]] = [[] for _ in self.network.widths[1:]]
        for _ in range(networks):
            for layer, (before, after) in enumerate(
                zip(self.network.widths[:-1], self.network.widths[1:], strict=True)
            ):
                weights[layer].append(self.scale * generator.standard_normal((after, before)))
                biases[layer].append(self.scale * generator.standard_normal(after))
        stacked = [np.array(w) for w in weights], [np.array(b) for b in biases]
        if self.kind == "structured":
            stacked = tuple([np.where(np.abs(p) < 0.05, 0.1, np.round(p, 1)) for p in of] for of in stacked)
        return stacked if self.network.bias else (stacked[0], [])

    def __str__(self) -> str:
        task = f"{self.task.inputs.tolist()}, {self.task.answers.tolist()}"
        return f"{self.kind} {self.index}: {self.network}, {self.loss}, scale {self.scale:.3g}, Task({task})"


def random_task(g: np.random.Generator, samples: int, inputs: int) -> shoal.Task:
    return shoal.Task(g.standard_normal((samples, inputs)), g.choice([-1, 1], samples))


def separable_task(g: np.random.Generator, samples: int, inputs: int) -> shoal.Task:
    points, direction = g.standard_normal((samples, inputs)), g.standard_normal(inputs)
    return shoal.Task(points, np.where(points @ direction > 0, 1, -1))


def antipodal_task(g: np.random.Generator, samples: int, inputs: int) -> shoal.Task:
    points = g.standard_normal((max(2, samples // 2), inputs))
    return shoal.Task(np.concatenate([points, -points]), g.choice([-1, 1], 2 * len(points)))


def duplicates_task(g: np.random.Generator, samples: int, inputs: int) -> shoal.Task:
    points = g.standard_normal((max(2, samples // 2), inputs))
    again = g.integers(len(points), size=samples - len(points))
    return shoal.Task(np.concatenate([points, points[again]]), g.choice([-1, 1], len(points) + len(again)))


def collinear_task(g: np.random.Generator, samples: int, inputs: int) -> shoal.Task:
    """Return samples on a few lines through 0, with decimals, so that rounding makes some not quite collinear."""
    lines = np.round(g.standard_normal((max(1, samples // 3), inputs)), 1)
    lines[~lines.any(axis=1)] = 1.0
    multiples = g.choice([-3.0, -2.0, -1.5, -1.0, -0.5, 0.5, 1.0, 1.5, 2.0], samples)
    points = np.round(multiples[:, None] * lines[g.integers(len(lines), size=samples)], 2)
    return shoal.Task(points, g.choice([-1, 1], samples))


def structured_task(g: np.random.Generator, samples: int, inputs: int) -> shoal.Task:
    """Return the modes of a diagonal task, or sums of two: axes and small whole numbers."""
    points = np.zeros((samples, inputs))
    for point in points:
        for axis in g.choice(inputs, size=int(g.integers(1, 3)) if inputs > 1 else 1, replace=False):
            point[axis] = g.choice([-2.0, -1.0, 1.0, 2.0])
    return shoal.Task(points, g.choice([-1, 1], samples))


def regression_task(g: np.random.Generator, samples: int, inputs: int, outputs: int) -> shoal.Task:
    return shoal.Task.regression(g.standard_normal((samples, inputs)), g.standard_normal((samples, outputs)))


def classes_task(g: np.random.Generator, samples: int, inputs: int, classes: int) -> shoal.Task:
    return shoal.Task(g.standard_normal((samples, inputs)), g.integers(classes, size=samples))


TASKS: dict[str, Callable[[np.random.Generator, int, int], shoal.Task]] = {
    "random": random_task,
    "separable": separable_task,
    "antipodal": antipodal_task,
    "duplicates": duplicates_task,
    "collinear": collinear_task,
}
KINDS = (
    *TASKS, "deep", "leaky", "biases", "classes", "hinge", "squared_hinge", "tanh_hinge", "structured",
    "regression", "squared_classes",
)  # fmt: skip


def problem(kind: str, index: int) -> Problem:
    """Return problem ``index`` of a class; the same every time."""
    g = np.random.default_rng([zlib.crc32(kind.encode()), index])
    inputs, samples, width = int(g.integers(1, 7)), int(g.integers(3, 13)), int(g.integers(1, 9))
    scale, loss = float(g.uniform(0.3, 1.0)), LOSSES[index % len(LOSSES)]
    make = TASKS.get(kind) or TASKS[list(TASKS)[int(g.integers(len(TASKS)))]]
    widths, options = (inputs, width, 1), {}
    if kind == "deep":
        hidden = g.integers(1, 6, size=int(g.integers(2, 4)))
        widths = (inputs, *(int(w) for w in hidden), 1)
        options = {"bias": bool(g.integers(2))}
    elif kind == "leaky":
        options = {"activation": "leaky_relu", "slope": float(g.choice([0.01, 0.1, 0.3])), "bias": bool(g.integers(2))}
    elif kind == "biases":
        options = {"bias": True}
    elif kind == "tanh_hinge":
        options, loss = {"activation": "tanh", "bias": bool(g.integers(2))}, "hinge"
    elif kind in ("hinge", "squared_hinge"):
        loss = kind
    elif kind == "structured":
        widths = (inputs, *(int(w) for w in g.integers(1, 4, size=int(g.integers(1, 4)))), 1)
        options = {"bias": bool(g.integers(4) == 0)}
    if loss == "exponential":  # e^10 and more makes the beginning stiff
        scale /= 2
    if kind in ("classes", "squared_classes"):
        classes = int(g.integers(2, 5))
        task, widths = classes_task(g, samples, inputs, classes), (inputs, width, classes)
        loss = "cross_entropy" if kind == "classes" else "squared"
    elif kind == "regression":
        outputs = 1 + index % 2
        task, widths, loss = regression_task(g, samples, inputs, outputs), (inputs, width, outputs), "squared"
    else:
        task = structured_task(g, min(samples, 8), inputs) if kind == "structured" else make(g, samples, inputs)
    return Problem(kind, index, shoal.Network(widths, **options), task, loss, scale)


def answer(posed: Problem, k: int, cache: Path | None = None, times: Sequence[float] = TIMES) -> Answer:
    """Return the reference's answer for network k, kept in a folder where one is given."""
    weights, biases = (arrays for arrays in posed.starts(k + 1))
    gated = Gated(posed.network, posed.task, posed.loss)
    flat = gated.packed([w[k] for w in weights], [b[k] for b in biases])
    place = None
    if cache is not None:
        key = hashlib.sha256(CODE + str(posed).encode() + flat.tobytes() + np.array(times).tobytes()).hexdigest()
        place = cache / f"{posed.kind}-{posed.index}-{k}-{key[:16]}.pickle"
        if place.exists():
            return pickle.loads(place.read_bytes())
    try:
        found = integrate(gated, flat, np.array(times))
    except np.linalg.LinAlgError as failure:
        nothing = np.full((len(times), posed.task.answers.size), np.nan)
        found = Answer(nothing, flat, 0.0, f"not decided: {failure}", [])
    if place is not None:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(pickle.dumps(found))
    return found


def amplification(posed: Problem, k: int, right: Answer) -> float:
    """Return by how much a relative change of the initial weights of 1e-8 is larger in the margins."""
    weights, biases = posed.starts(k + 1)
    gated = Gated(posed.network, posed.task, posed.loss)
    flat = gated.packed([w[k] for w in weights], [b[k] for b in biases])
    moved = integrate(gated, flat * (1 + 1e-8 * np.random.default_rng(k).standard_normal(len(flat))), np.array(TIMES))
    return float(np.nanmax(np.abs(moved.margins - right.margins) / scales(right.margins)[:, None]) / 1e-8)


def scales(margins: Array) -> Array:
    """Return the larger of 1 and the largest margin, (times,)."""
    return np.maximum(1.0, np.abs(margins).max(axis=1))


def flown(posed: Problem, networks: int, rtol: float, **options: Any) -> Any:
    """Return the flow of the core, atol = 1e-4 rtol."""
    weights, biases = posed.starts(networks)
    data = shoal.train(
        posed.network, posed.task, shoal.Explicit(weights, biases or None), loss=posed.loss,
        method=shoal.GradientFlow(TIMES[-1], rtol=rtol, atol=1e-4 * rtol, **options),
        record=shoal.Record(times=TIMES, measure=(posed.measure,)), threads=1,
    )  # fmt: skip
    return with_margin(data)


def with_margin(data: Any) -> Any:
    """Return the data; of a regression all outputs, (network, time, number), are what is compared as margins."""
    if "margin" in data:
        return data
    values = data.output.values
    return data.assign(margin=(("network", "time", "number"), values.reshape(*values.shape[:2], -1)))


def error(margins: Array, right: Answer, until: float) -> float:
    """Return the largest error of margins at the times before both the reference's and the flow's end."""
    kept = (np.array(TIMES) < min(right.ended, until)) | ((right.ended >= TIMES[-1]) & (until >= TIMES[-1]))
    if not kept.any():
        return 0.0
    gaps = np.abs(margins[kept] - right.margins[kept]).max(axis=1) / scales(right.margins[kept])
    return float(np.where(np.isnan(gaps), np.inf, gaps).max())


def descended(posed: Problem, k: int, times: Sequence[float], steps: int) -> Array:
    """Return the margins of descent in so many steps until the last time, (times, samples)."""
    weights, biases = posed.starts(k + 1)
    init = shoal.Explicit([w[k : k + 1] for w in weights], [b[k : k + 1] for b in biases] or None)
    data = shoal.train(
        posed.network, posed.task, init, loss=posed.loss, method=shoal.GradientDescent(times[-1] / steps, steps),
        record=shoal.Record(steps=[round(time / times[-1] * steps) for time in times], measure=(posed.measure,)),
    )  # fmt: skip
    return np.asarray(with_margin(data).margin.values[0])


def is_nearer_to_descent(posed: Problem, k: int, margins: Array, right: Answer, until: float) -> bool:
    """Return whether descent at a small rate is nearer to these margins than to those of the reference.

    Where the two disagree by more than descent's own error, this says which of them is wrong.
    """
    last = max(time for time in TIMES if time < min(right.ended, until) or (right.ended >= TIMES[-1] <= until))
    times = [time for time in TIMES if time <= last]
    apart = np.abs(margins[: len(times)] - right.margins[: len(times)]).max(axis=1)
    at = int((apart / scales(right.margins[: len(times)])).argmax())
    nearest = descended(posed, k, times, 320_000)[at]
    gaps = [np.abs(nearest - other[at]).max() for other in (margins, right.margins)]
    return bool(gaps[0] < 0.1 * gaps[1])


def parts_from_descent(posed: Problem, k: int, margins: Array, until: float) -> bool:
    """Return whether descent in 16 times as many steps comes hardly nearer to the margins before a time."""
    times = [time for time in TIMES if time < until or until >= TIMES[-1]]
    if not times:
        return False
    right = margins[: len(times)]
    far, near = (
        (np.abs(descended(posed, k, times, steps) - right).max(axis=1) / scales(right)).max()
        for steps in (100_000, 1_600_000)
    )
    return bool(near > max(far / 3, 1e-5))


@dataclass
class Count:
    """What came of the networks of one class at one rtol; the names are (class, index, network).

    Parted: the flow goes on where the reference does not, and descent does not tend to it.
    """

    kind: str
    rtol: float
    networks: int = 0
    undetermined: list[Any] = field(default_factory=list)
    given_up: list[Any] = field(default_factory=list)
    wrong: list[Any] = field(default_factory=list)
    reference_wrong: list[Any] = field(default_factory=list)
    parted: list[Any] = field(default_factory=list)
    worst: float = 0.0

    def row(self) -> str:
        numbers = (
            self.networks,
            *map(len, (self.given_up, self.undetermined, self.wrong, self.reference_wrong, self.parted)),
        )
        return f"| {self.kind} | {self.rtol:g} | " + " | ".join(str(n) for n in numbers) + f" | {self.worst:.2g} |"


HEADER = (
    "| class | rtol | networks | given up | undetermined | wrong | reference wrong | parted | worst error / rtol |\n"
    + "|---" * 9
) + "|"


def judge(kind: str, networks: int, rtols: Sequence[float], cache: Path | None = None, first: int = 0) -> list[Count]:
    """Return the counts of a class, one per rtol. A network is given up where the reference determines its flow."""
    counts = [Count(kind, rtol) for rtol in rtols]
    for posed, begun in _posed(kind, networks, first):
        answers = [answer(posed, k, cache) for k in range(begun)]
        for count in counts:
            data = flown(posed, begun, count.rtol)
            for k, right in enumerate(answers):
                _judge_one(count, posed, k, data.isel(network=k), right)
    return counts


def _posed(kind: str, networks: int, first: int) -> Iterator[tuple[Problem, int]]:
    for index in range(-(-networks // EACH)):
        yield problem(kind, first + index), min(EACH, networks - index * EACH)


def _judge_one(count: Count, posed: Problem, k: int, data: Any, right: Answer) -> None:
    name, status = (posed.kind, posed.index, k), int(data.status)
    stopped = float(data.stopped_at) if status else TIMES[-1]
    count.networks += 1
    off = error(data.margin.values, right, stopped) / count.rtol
    if off > WITHIN and is_nearer_to_descent(posed, k, data.margin.values, right, stopped):
        count.reference_wrong.append((name, off, status, stopped))
        return
    count.worst = max(count.worst, off)
    if off > WITHIN:
        count.wrong.append((name, off, status, stopped))
    if not right.determined:
        count.undetermined.append((name, right.ended, right.reason, status, stopped))
        if stopped > right.ended and parts_from_descent(posed, k, data.margin.values, stopped):
            count.parted.append((name, right.ended, status, stopped))
    elif status:
        count.given_up.append((name, status, stopped))


def main() -> None:
    """Print the table, and each network that is given up, undetermined or wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--class", dest="kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--rtol", nargs="+", type=float, default=RTOLS)
    parser.add_argument("--networks", type=int, default=64)
    parser.add_argument("--first", type=int, default=0, help="index of the first problem of each class")
    parser.add_argument("--cache", type=Path, help="folder in which the reference's answers are kept")
    parser.add_argument("--brief", action="store_true", help="only the table")
    given = parser.parse_args()
    details: list[str] = []
    print(HEADER)
    for kind in given.kinds:
        for count in judge(kind, given.networks, given.rtol, given.cache, given.first):
            print(count.row(), flush=True)
            for what in ("undetermined", "given_up", "wrong", "reference_wrong", "parted"):
                details += [f"{count.rtol:g} {what}: {entry}" for entry in getattr(count, what)]
    if not given.brief:
        print("\n".join(details))


if __name__ == "__main__":
    main()
