"""The jobs that are timed with and without the work that need not be done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from shoal import Gaussian, GradientDescent, Hinge, Network, Record, Task


@dataclass(frozen=True)
class Job:
    """A training of which something can be left undone: ``saves`` is ``retire`` (to the bit) or ``condense``.

    ``make(networks, steps)`` returns the arguments of ``shoal.train``.
    """

    about: str
    saves: str
    networks: int
    steps: int
    make: Callable[[int, int], dict[str, Any]]


def separable(samples: int, inputs: int, gap: float = 0.0, seed: int = 2606) -> Task:
    """Return normal inputs labelled by the side of a random plane, moved away from it by ``gap``."""
    draw = np.random.default_rng(seed)
    points, teacher = draw.standard_normal((samples, inputs)), draw.standard_normal(inputs)
    teacher /= np.linalg.norm(teacher)
    labels = np.where(points @ teacher > 0, 1, -1)
    return Task(points + gap * labels[:, None] * teacher, labels)


def _arguments(network: Network, task: Task, rate: float, networks: int, steps: int, **more: Any) -> dict[str, Any]:
    record = Record(steps=[0, steps], measure=("loss", "margin", "weights"))
    given: dict[str, Any] = {"network": network, "task": task, "init": Gaussian(gain=1.4), "record": record}
    return {**given, "method": GradientDescent(rate, steps), "networks": networks, **more}


def hinge(networks: int, steps: int) -> dict[str, Any]:
    """Return a training in which networks meet all hinges at different times, most of them early."""
    return _arguments(Network((10, 20, 1)), separable(50, 10), 0.05, networks, steps, loss=Hinge(1.0))


def hinge_recorded(networks: int, steps: int) -> dict[str, Any]:
    """Return the same with 101 records, which keep networks in step."""
    record = Record(measure=("loss", "error", "margin", "weights"))
    return {**hinge(networks, steps), "record": record}


def failing(networks: int, steps: int) -> dict[str, Any]:
    """Return a training at a rate so large that most networks die within some steps."""
    return _arguments(Network((4, 6, 1)), separable(20, 4), 30.0, networks, steps)


def diverging(networks: int, steps: int) -> dict[str, Any]:
    """Return a training at a rate at which most networks diverge."""
    return _arguments(Network((4, 6, 1), bias=True), separable(20, 4), 2.0, networks, steps, loss="squared")


def busy(networks: int, steps: int) -> dict[str, Any]:
    """Return a training in which no network is ever done."""
    return _arguments(Network((10, 20, 1)), separable(50, 10), 0.05, networks, steps)


def images(networks: int, steps: int) -> dict[str, Any]:
    """Return a training on 50 samples in as many dimensions as an image has pixels."""
    return _arguments(Network((784, 20, 1)), separable(50, 784), 0.005, networks, steps)


def repeated(networks: int, steps: int) -> dict[str, Any]:
    """Return a training on 500 samples of which 50 are distinct."""
    task = separable(50, 10)
    chosen = np.random.default_rng(1).permutation(np.arange(500) % 50)
    task = Task(task.inputs[chosen], task.labels[chosen])
    return _arguments(Network((10, 20, 1)), task, 0.05, networks, steps)


JOBS = {
    "hinge": Job("10-20-1, 50 samples, hinge: most are satisfied early", "retire", 256, 3000, hinge),
    "recorded": Job("the same with 101 records", "retire", 256, 3000, hinge_recorded),
    "failing": Job("4-6-1, 20 samples, rate 30: most die", "retire", 1024, 3000, failing),
    "diverging": Job("4-6-1, 20 samples, squared loss, rate 2: most diverge", "retire", 1024, 3000, diverging),
    "busy": Job("10-20-1, 50 samples, cross-entropy: none is done", "retire", 64, 3000, busy),
    "images": Job("784-20-1, 50 samples", "condense", 16, 300, images),
    "repeated": Job("10-20-1, 500 samples, 50 of them distinct", "condense", 64, 600, repeated),
}
"""The jobs, by name."""
