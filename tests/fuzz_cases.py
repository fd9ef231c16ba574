"""Random trainings of all kinds, each of them a function of one number: ``case(seed)``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

import shoal
from reference import Array
from support import ACTIVATIONS, ENGINES, LOSSES, measures_of, random_init, train_on

UNITS = ("balance", "active", "unit_active", "pattern")
ON_SAMPLES = ("loss", "error", "soft_error", "margin", "output", "residual")
# Numbers that the arrays of the oracle may have, and the steps of which each is recorded.
_MOST_NUMBERS, _MOST_RECORDED = 2_000_000, 12


@dataclass(frozen=True)
class Case:
    """The arguments of ``train`` but for its record and threads; the engine that trains it; the steps to look at.

    ``draw`` gives the numbers for what comes after.
    """

    seed: int
    arguments: dict[str, Any]
    engine: str
    steps: tuple[int, ...]
    draw: np.random.Generator
    wild: bool

    @property
    def network(self) -> shoal.Network:
        return self.arguments["network"]

    @property
    def task(self) -> shoal.Task:
        return self.arguments["task"]

    @property
    def method(self) -> shoal.GradientDescent:
        return self.arguments["method"]

    @property
    def networks(self) -> int:
        return self.arguments["networks"]

    @property
    def measures(self) -> tuple[str, ...]:
        """Every measure that the network and the task have."""
        on_samples = measures_of(self.task, self.arguments["loss"], ON_SAMPLES)
        tested = tuple(f"test_{name}" for name in on_samples) if self.task.test is not None else ()
        units = UNITS if self.network.units else ()
        return (*on_samples, "layer_norm", "gradient_norm", "distance", *units, *tested, "trajectory", "weights")

    @property
    def reducible(self) -> tuple[str, ...]:
        return tuple(name for name in self.measures if name not in ("trajectory", "weights", "pattern"))

    def train(self, record: shoal.Record, **changed: Any) -> Any:
        return train_on(self.engine, **{**self.arguments, "record": record, **changed})

    def __str__(self) -> str:
        told = ", ".join(f"{name}={value!r}" for name, value in self.arguments.items())
        return f"fuzz_cases.case({self.seed}, most={self.networks}): {told}, engine {self.engine}, steps {self.steps}"


def case(seed: int, most: int = 24) -> Case:
    """Return a random training of at most so many networks."""
    draw = np.random.default_rng([20181128, seed])
    wild = _chance(draw, 0.12)
    network = _network(draw)
    dtype = _one(draw, "float64", "float64", "float32")
    loss = _loss(draw) if network.outputs == 1 else "cross_entropy"
    task = _task(draw, network, wild)
    method, steps = _method(draw, network, loss, wild)
    numbers = len(steps) * (task.samples + task.test_samples) * max(network.widths) + len(steps) * network.parameters
    networks = max(1, min(most, _MOST_NUMBERS // numbers))
    penalties = [_one(draw, 0.0, 0.25, float(np.float32(_between(draw, 1e-4, 1)))) for _ in range(2)]
    if _chance(draw, 0.6):
        penalties = [0.0, 0.0]
    own = np.random.default_rng([20181128, seed, 1])
    if _chance(own, 0.2):  # a learning rate per network
        rates = method.learning_rate * np.exp(own.uniform(-1, 1, networks))
        method = replace(method, learning_rate=rates)
    arguments: dict[str, Any] = {
        "network": network,
        "task": task,
        "init": _start(draw, network, networks, wild),
        "method": method,
        "loss": loss,
        "dtype": dtype,
        "networks": networks,
        "seed": int(draw.integers(2**64, dtype=np.uint64)),
        "first_network": int(_one(draw, 0, 0, draw.integers(1000), draw.integers(2**60))),
        "weight_decay": penalties[0],
        "spectral_decoupling": penalties[1],
    }
    engine = _one(draw if network.units else own, "auto", *ENGINES)
    arguments["condense"] = _one(draw, "auto", False, True)
    _square(np.random.default_rng([20181128, seed, 2]), arguments)
    return Case(seed, arguments, engine, steps, draw, wild)


def _square(draw: np.random.Generator, arguments: dict[str, Any]) -> None:
    """Make some cases regressions, and some of classes trained by the squared loss."""
    task, method, outputs = arguments["task"], arguments["method"], arguments["network"].outputs
    kind = _one(draw, *["as it is"] * 5, "regression", "classes")
    if kind == "classes" and outputs > 1:
        arguments["loss"] = "squared"
    if kind == "regression":
        arguments["loss"] = "squared"
        targets = _between(draw, 0.1, 30) * draw.standard_normal((task.samples + task.test_samples, outputs))
        targets = targets[draw.integers(len(targets), size=len(targets))]  # some are equal
        test = (task.test.inputs, targets[task.samples :]) if task.test else None
        arguments["task"] = shoal.Task.regression(task.inputs, targets[: task.samples], task.sample_weight, test)
        stop = [rule for rule in method.stop or () if rule == "dead"]
        arguments["method"] = replace(method, stop=stop or None)


def _chance(draw: np.random.Generator, probability: float) -> bool:
    return bool(draw.uniform() < probability)


def _one(draw: np.random.Generator, *choices: Any) -> Any:
    return choices[int(draw.integers(len(choices)))]


def _between(draw: np.random.Generator, least: float, most: float) -> float:
    """Return a number whose logarithm is uniform."""
    return float(np.exp(draw.uniform(np.log(least), np.log(most))))


def _network(draw: np.random.Generator) -> shoal.Network:
    hidden = [_one(draw, 1, 2, 2, 3, 4, 5, 8, 9) for _ in range(_one(draw, 0, 1, 1, 1, 2, 2, 3, 4))]
    outputs = _one(draw, 1, 1, 1, 2, 3, 5)
    widths = (_one(draw, 1, 2, 3, 4, 5, 9, 12), *hidden, outputs)
    activation = _one(draw, *ACTIVATIONS)
    slope = _one(draw, 0.0, 0.01, 0.5, 1.0, draw.uniform()) if activation == "leaky_relu" else 0.01
    factors: dict[str, Any] = {}
    for name in ("scales", "rates"):
        if _chance(draw, 0.3):
            factors[name] = [_between(draw, 0.2, 4) for _ in widths[1:]]
    bias, centred = _chance(draw, 0.4), _chance(draw, 0.2)
    return shoal.Network(widths, activation, float(slope), bias, centred=centred, **factors)


def _loss(draw: np.random.Generator) -> Any:
    kind = _one(draw, *LOSSES, shoal.Hinge, shoal.SquaredHinge)
    return kind if isinstance(kind, str) else kind(_between(draw, 0.05, 5))


def _points(draw: np.random.Generator, samples: int, inputs: int) -> Array:
    """Return inputs of one kind: in general position, or with equal, parallel, antipodal or zero ones among them."""
    points = draw.standard_normal((samples, inputs))
    kind = _one(draw, "general", "general", "equal", "parallel", "antipodal", "lattice", "plane", "zero")
    of = draw.integers(samples, size=samples)
    if kind == "equal":
        points = points[of]
    elif kind == "parallel":
        points = draw.choice([0.5, 1.0, 1.0, 2.0, 3.7], (samples, 1)) * points[of]
    elif kind == "antipodal":
        points = draw.choice([-1.0, 1.0], (samples, 1)) * points[of]
    elif kind == "lattice":
        points = draw.integers(-2, 3, (samples, inputs)).astype(float)
    elif kind == "plane":
        rank = max(1, inputs // 2)
        points = draw.standard_normal((samples, rank)) @ draw.standard_normal((rank, inputs))
    elif kind == "zero":
        points[draw.integers(samples)] = _one(draw, 0.0, -0.0)
    return points


def _task(draw: np.random.Generator, network: shoal.Network, wild: bool) -> shoal.Task:
    samples = _one(draw, 1, 2, 3, 4, 5, 7, 8, 9, 12, 12, 40)
    tested = _one(draw, 0, 0, 1, 3, 8)
    points = _points(draw, samples + tested, network.inputs)
    if samples == 40:  # of which "auto" merges the equal ones
        points[:samples] = points[draw.integers(_one(draw, 15, 40), size=samples)]
    if wild and _chance(draw, 0.3):
        points = points * 2.0 ** draw.integers(20, 60)
    labels = draw.choice([-1, 1], samples + tested)
    if network.outputs > 1:
        labels = draw.integers(network.outputs, size=samples + tested)
    weights = _one(draw, None, draw.uniform(0, 2, samples), 10.0 ** draw.uniform(-9, 0, samples))
    if weights is not None and samples > 1:
        weights[draw.integers(samples, size=_one(draw, 0, 1, samples // 2))] = 0.0
        weights[draw.integers(samples)] = 1.0
    test = (points[samples:], labels[samples:]) if tested else None
    return shoal.Task(points[:samples], labels[:samples], weights, test)


def _start(draw: np.random.Generator, network: shoal.Network, networks: int, wild: bool) -> shoal.Init:
    kind = _one(draw, "explicit", "explicit", "lattice", "gaussian", "gain", "balanced", "unit", "symmetric")
    scale = _between(draw, 0.1, 2) * (2.0 ** draw.integers(5, 30) if wild and _chance(draw, 0.3) else 1)
    if kind == "gaussian":
        return shoal.Gaussian(scale)
    if kind == "gain":
        return shoal.Gaussian(gain=scale)
    if kind == "balanced":
        return shoal.Balanced(scale)
    if kind == "unit" and network.layers == 2 and network.outputs == 1:
        return shoal.Unit(scale)
    if kind == "symmetric" and network.layers > 1 and network.widths[-2] % 2 == 0:
        return shoal.Symmetric(_one(draw, shoal.Gaussian(scale), shoal.Balanced(scale)))
    init = random_init(network, networks, draw, "float32", scale)
    if kind == "explicit":
        return init
    weights, biases = ([np.rint(2 * array) / 2 for array in arrays] for arrays in (init.weights, init.biases))
    return shoal.Explicit(weights, biases or None)


def _method(
    draw: np.random.Generator, network: shoal.Network, loss: Any, wild: bool
) -> tuple[shoal.GradientDescent, tuple[int, ...]]:
    """Return descent and the steps to look at: all of few, or some neighbours among many."""
    rate = _between(draw, 1, 1e4) if wild else _between(draw, 3e-3, 0.5) / max(1, *network.rates)
    rules = ["fitted"]
    if "hinge" in (loss if isinstance(loss, str) else loss.name):
        rules.append("satisfied")
    if network.activation == "relu" and network.units:
        rules.append("dead")
    stop = [rule for rule in rules if _chance(draw, 0.7)] if _chance(draw, 0.35) else []
    steps = int(draw.integers(_MOST_RECORDED))
    looked_at = set(range(steps + 1))
    if _chance(draw, 0.3):
        steps = int(draw.integers(40, 400))
        begins = draw.integers(steps, size=3)
        looked_at = {0, 1, 2, steps - 1, steps, *(int(k) for k in begins), *(int(k) + 1 for k in begins)}
    return shoal.GradientDescent(rate, steps, stop=stop or None), tuple(sorted(looked_at))
