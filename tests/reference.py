"""The oracle: a slow, obvious trainer of one network at a time, independent of the core.

Everything is written per network, from chapter 0 of the theory book and nothing else. The forward pass and the loss
take complex weights too, so that the backpropagation here can itself be checked by complex steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

Array = NDArray[Any]


@dataclass(frozen=True)
class Problem:
    """What is trained, in plain arrays. ``labels`` are -1/+1 for one output, 0..K-1 for K, None for a regression.

    The loss is half the squared distance of the outputs from ``targets`` (samples, outputs), where there are some.
    """

    activation: str
    slope: float
    loss: str
    threshold: float
    inputs: Array
    labels: Array
    weights: Array
    weight_decay: float = 0.0
    spectral_decoupling: float = 0.0
    # Of each weight layer; ones where there are none.
    scales: tuple[float, ...] = ()
    rates: tuple[float, ...] = ()
    centred: bool = False
    # Where a centred network started: its outputs there are taken off.
    start: Parameters | None = None
    targets: Array | None = None

    def scale(self, layer: int) -> float:
        return self.scales[layer] if self.scales else 1.0

    def rate(self, layer: int) -> float:
        return self.rates[layer] if self.rates else 1.0

    def started(self, start: Parameters) -> Problem:
        return replace(self, start=start) if self.centred else self

    def learnt(self) -> Problem:
        """Return it without the samples of weight 0, which are measured and not learnt."""
        kept = self.weights > 0
        labels, targets = (None if given is None else given[kept] for given in (self.labels, self.targets))
        return replace(self, inputs=self.inputs[kept], labels=labels, weights=self.weights[kept], targets=targets)

    def squares(self) -> Array | None:
        """Return what the squared loss takes each output from, (samples, outputs); None for other losses."""
        if self.targets is not None or self.loss != "squared":
            return self.targets
        return self.labels[:, None].astype(float)


@dataclass(frozen=True)
class Parameters:
    """The weights (outputs, inputs) of each layer, and the biases (outputs,) or none."""

    weights: list[Array]
    biases: list[Array]

    def finite(self) -> bool:
        return all(np.isfinite(array).all() for array in (*self.weights, *self.biases))


def problem(network: Any, task: Any, loss: Any, **penalties: float) -> Problem:
    """Return the problem that shoal's own specifications describe."""
    labels, targets = answers(network, loss, task.answers)
    given = (task.inputs, labels, task.sample_weight)
    made = Problem(network.activation, network.slope, loss.name, loss.threshold, *given, **penalties)
    return replace(made, scales=network.scales, rates=network.rates, centred=network.centred, targets=targets)


def answers(network: Any, loss: Any, given: Array) -> tuple[Array | None, Array | None]:
    """Return the labels and the targets that labels, or the targets of a regression, stand for."""
    if given.dtype.kind == "f":
        return None, given.reshape(len(given), -1)
    unit_vectors = network.outputs > 1 and loss.name == "squared"
    return given, np.eye(network.outputs)[given] if unit_vectors else None


def problem_of_test(network: Any, task: Any, loss: Any) -> Problem:
    """Return the problem whose samples are the test samples of a task, all of the same weight."""
    inputs, given = task.test
    labels, targets = answers(network, loss, given)
    equal = np.full(len(inputs), 1 / len(inputs))
    return replace(problem(network, task, loss), inputs=inputs, labels=labels, targets=targets, weights=equal)


def activate(kind: str, slope: float, a: Array) -> Array:
    positive = np.real(a) > 0
    if kind == "relu":
        return np.where(positive, a, np.zeros_like(a))
    if kind == "leaky_relu":
        return np.where(positive, a, slope * a)
    if kind == "linear":
        return a
    if kind == "tanh":
        return np.tanh(a)
    if kind == "softplus":
        return _softplus(a)
    if kind == "erf":
        return np.asarray(special.erf(a))
    if kind == "quadratic":
        return a**2
    raise ValueError(kind)


def derivative(kind: str, slope: float, a: Array) -> Array:
    if kind == "relu":
        return np.where(a > 0, 1.0, 0.0)
    if kind == "leaky_relu":
        return np.where(a > 0, 1.0, slope)
    if kind == "linear":
        return np.ones_like(a)
    if kind == "tanh":
        return 1 - np.tanh(a) ** 2
    if kind == "softplus":
        return _sigmoid(a)
    if kind == "erf":
        return 2 / np.sqrt(np.pi) * np.exp(-(a**2))
    if kind == "quadratic":
        return 2 * a
    raise ValueError(kind)


def loss_of_margin(kind: str, threshold: float, m: Array) -> Array:
    """Return l(m)."""
    gap = np.where(np.real(m) < threshold, threshold - m, np.zeros_like(m))
    if kind == "cross_entropy":
        return _softplus(-m)
    if kind == "hinge":
        return gap
    if kind == "squared_hinge":
        return gap**2 / 2
    if kind == "exponential":
        return np.exp(-m)
    if kind == "squared":
        return (1 - m) ** 2 / 2
    raise ValueError(kind)


def residual_of_margin(kind: str, threshold: float, m: Array) -> Array:
    """Return r(m) = -l'(m)."""
    if kind == "cross_entropy":
        return _sigmoid(-m)
    if kind == "hinge":
        return np.where(m < threshold, 1.0, 0.0)
    if kind == "squared_hinge":
        return np.where(m < threshold, threshold - m, 0.0)
    if kind == "exponential":
        return np.exp(-m)
    if kind == "squared":
        return 1 - m
    raise ValueError(kind)


def effective(setup: Problem, parameters: Parameters) -> list[Array]:
    """Return what each layer multiplies its inputs by: scale_l W_l."""
    return [setup.scale(layer) * weight for layer, weight in enumerate(parameters.weights)]


def forward(setup: Problem, parameters: Parameters) -> tuple[list[Array], list[Array]]:
    """Return what goes into each layer, (samples, inputs), and what comes out before the activation.

    Of a centred network the last is less what it was at initialisation.
    """
    entering, leaving = [setup.inputs], []
    for layer, weight in enumerate(effective(setup, parameters)):
        a = entering[-1] @ weight.T
        if parameters.biases:
            a = a + parameters.biases[layer]
        leaving.append(a)
        if layer + 1 < len(parameters.weights):
            entering.append(activate(setup.activation, setup.slope, a))
    if setup.start is not None:
        leaving[-1] = leaving[-1] - forward(replace(setup, start=None), setup.start)[1][-1]
    return entering, leaving


def sample_losses(setup: Problem, outputs: Array) -> Array:
    if setup.targets is not None:
        return ((outputs - setup.targets) ** 2).sum(axis=1) / 2
    if outputs.shape[1] == 1:
        return loss_of_margin(setup.loss, setup.threshold, setup.labels * outputs[:, 0])
    return _log_sum_exp(outputs) - outputs[np.arange(len(outputs)), setup.labels]


def objective(setup: Problem, parameters: Parameters) -> Any:
    """Return what is descended: the loss, decay / 2 |theta|^2, and decoupling / 2 sum_s p_s |f(x_s)|^2."""
    setup = setup.learnt()
    outputs = forward(setup, parameters)[1][-1]
    squares = sum((array**2).sum() for array in (*parameters.weights, *parameters.biases))
    shrink = setup.spectral_decoupling / 2 * (setup.weights[:, None] * outputs**2).sum()
    return (setup.weights * sample_losses(setup, outputs)).sum() + setup.weight_decay / 2 * squares + shrink


def gradient(setup: Problem, parameters: Parameters) -> Parameters:
    """Return the gradient of the objective, by backpropagation."""
    setup = setup.learnt()
    entering, leaving = forward(setup, parameters)
    outputs = leaving[-1]
    if setup.targets is not None:
        delta = setup.weights[:, None] * (outputs - setup.targets)
    elif outputs.shape[1] == 1:
        margins = setup.labels * outputs[:, 0]
        error = -setup.labels * residual_of_margin(setup.loss, setup.threshold, margins)
        delta = (setup.weights * error)[:, None]
    else:
        delta = setup.weights[:, None] * (_softmax(outputs) - np.eye(outputs.shape[1])[setup.labels])
    delta = delta + setup.spectral_decoupling * setup.weights[:, None] * outputs
    weights: list[Array] = []
    biases: list[Array] = []
    used = effective(setup, parameters)
    for layer in reversed(range(len(parameters.weights))):
        weights.insert(0, setup.scale(layer) * (delta.T @ entering[layer]))
        if parameters.biases:
            biases.insert(0, delta.sum(axis=0))
        if layer:
            slopes = derivative(setup.activation, setup.slope, leaving[layer - 1])
            delta = np.where(
                slopes == 0, 0.0, (delta @ used[layer]) * slopes
            )  # a closed gate lets nothing through, infinity neither
    return Parameters(
        [g + setup.weight_decay * w for g, w in zip(weights, parameters.weights, strict=True)],
        [g + setup.weight_decay * b for g, b in zip(biases, parameters.biases, strict=True)],
    )


def descend(setup: Problem, parameters: Parameters, rate: float) -> Parameters:
    """Return the parameters after one update, of each layer at its own rate."""
    slope = gradient(setup, parameters)

    def after(arrays: list[Array], slopes: list[Array]) -> list[Array]:
        return [w - rate * setup.rate(i) * g for i, (w, g) in enumerate(zip(arrays, slopes, strict=True))]

    return Parameters(after(parameters.weights, slope.weights), after(parameters.biases, slope.biases))


def margins_of(setup: Problem, outputs: Array) -> Array:
    if outputs.shape[1] == 1:
        return setup.labels * outputs[:, 0]
    rows = np.arange(len(outputs))
    others = outputs.copy()
    others[rows, setup.labels] = -np.inf
    return np.asarray(outputs[rows, setup.labels] - others.max(axis=1))


def norm(parameters: Parameters) -> Any:
    """Return the Euclidean norm of all weights and biases."""
    return np.sqrt(sum((array**2).sum() for array in (*parameters.weights, *parameters.biases)))


def difference(parameters: Parameters, others: Parameters) -> Parameters:
    """Return parameters less others."""
    return Parameters(
        [a - b for a, b in zip(parameters.weights, others.weights, strict=True)],
        [a - b for a, b in zip(parameters.biases, others.biases, strict=True)],
    )


def measures(setup: Problem, parameters: Parameters, initial: Parameters | None = None) -> dict[str, Array]:
    """Return every measure of one network; the distance only where the initialisation is given."""
    _, leaving = forward(setup, parameters)
    outputs = leaving[-1]
    pairs = list(zip(parameters.weights[:-1], parameters.weights[1:], strict=True))
    balance = [
        (w**2).sum(axis=1) - setup.rate(i) / setup.rate(i + 1) * (after**2).sum(axis=0)
        for i, (w, after) in enumerate(pairs)
    ]
    for layer in range(len(balance)):
        if parameters.biases:
            balance[layer] = balance[layer] + parameters.biases[layer] ** 2
    distance = {} if initial is None else {"distance": norm(difference(parameters, initial))}
    return {
        **distance,
        "gradient_norm": norm(gradient(setup, parameters)),
        **measures_of_outputs(setup, outputs),
        "layer_norm": np.array([np.sqrt((w**2).sum()) for w in parameters.weights]),
        "balance": np.concatenate([*balance, np.zeros(0)]),
        "active": np.array([(a > 0).mean() for a in leaving[:-1]]),
        "unit_active": np.concatenate([*((a > 0).mean(axis=0) for a in leaving[:-1]), np.zeros(0)]),
        "pattern": np.concatenate([*((a > 0).T for a in leaving[:-1]), np.zeros((0, len(outputs)), bool)]),
    }


def measures_of_outputs(setup: Problem, outputs: Array) -> dict[str, Array]:
    """Return what is measured of the samples' outputs (samples, outputs): classes where there are labels."""
    kept = setup.weights > 0  # 0 times an infinite loss is no number

    def mean(values: Array) -> Any:
        return (setup.weights[kept] * values[kept]).sum()

    def per_sample(values: Array) -> Array:
        return values[:, 0] if values.shape[1] == 1 else values

    found = {"loss": mean(sample_losses(setup, outputs)), "output": per_sample(outputs)}
    if (targets := setup.squares()) is not None:
        found["residual"] = per_sample(outputs - targets)
    if setup.labels is None:
        return found
    margins = margins_of(setup, outputs)
    if outputs.shape[1] == 1:
        wrong = np.where(margins < 0, 1.0, np.where(margins == 0, 0.5, 0.0))
        confidence = _sigmoid(margins)
    else:
        rows = np.arange(len(outputs))
        own = outputs[rows, setup.labels]
        ties = (outputs == own[:, None]).sum(axis=1) - 1
        wrong = np.where(margins < 0, 1.0, np.where(margins == 0, ties / (ties + 1), 0.0))
        confidence = _softmax(outputs)[rows, setup.labels]
    return {**found, "error": mean(wrong), "soft_error": mean(1 - confidence), "margin": margins}


def diverged(setup: Problem, parameters: Parameters) -> bool:
    """Return whether a parameter, or an output or the loss of a sample that is learnt, is not finite."""
    with np.errstate(over="ignore", invalid="ignore"):
        outputs = forward(setup.learnt(), parameters)[1][-1]
        vital = (outputs, sample_losses(setup.learnt(), outputs))
    return not (parameters.finite() and all(np.isfinite(values).all() for values in vital))


def train(setup: Problem, start: Parameters, rate: float, record_steps: Sequence[int]) -> dict[str, Any]:
    """Return every measure at every recorded step, the final parameters, and where the network diverged (or -1).

    From the step at which a weight or the loss stopped being finite, all measures are NaN and the parameters
    stand still.
    """
    recorded: dict[str, list[Array]] = {}
    setup, parameters, diverged_at = setup.started(start), start, -1
    wanted = set(record_steps)
    for step in range(max(wanted) + 1):
        if step and diverged_at < 0:
            parameters = descend(setup, parameters, rate)
        if diverged_at < 0 and diverged(setup, parameters):
            diverged_at = step
        if step in wanted:
            for name, value in measures(setup, parameters, start).items():
                nothing = 0 if value.dtype == bool else np.nan
                recorded.setdefault(name, []).append(value if diverged_at < 0 else np.full_like(value, nothing))
    return {
        **{name: np.array(values) for name, values in recorded.items()},
        "weights": parameters.weights,
        "biases": parameters.biases,
        "diverged_at": diverged_at,
    }


def _sigmoid(a: Array) -> Array:
    small = np.exp(-np.abs(a))
    return np.where(a >= 0, 1 / (1 + small), small / (1 + small))


def _softplus(a: Array) -> Array:
    positive = np.real(a) > 0
    small = np.exp(np.where(positive, -a, a))
    return np.where(positive, a, np.zeros_like(a)) + np.log1p(small)


def _softmax(outputs: Array) -> Array:
    raised = np.exp(outputs - outputs.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))


def _log_sum_exp(outputs: Array) -> Array:
    top = np.real(outputs).max(axis=1, keepdims=True)
    return np.asarray(top[:, 0] + np.log(np.exp(outputs - top).sum(axis=1)))
