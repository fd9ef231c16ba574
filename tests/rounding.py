"""How far rounding can carry one gradient step, bounded a priori and not by looking at results.

Every quantity of the oracle's forward and backward pass is followed together with a bound of its error, to first order
in the unit of rounding (Higham, Accuracy and Stability of Numerical Algorithms, chapter 3): a sum of n products, in any
order and with or without fused operations, is off by at most gamma(n) times the sum of the absolute values; a function
passes on its argument's error times its slope, and adds a few units of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

import reference
from reference import Array, Parameters, Problem

# Units of rounding by which exp, log1p, tanh and what is made of them in one formula may be off.
FUNCTION_UNITS = 16


@dataclass(frozen=True)
class Bounds:
    """Bounds of the absolute error: of each parameter's gradient, of the outputs, of the margins and the losses."""

    gradient: Parameters
    outputs: Array
    sample_losses: Array
    confidence: Array
    leaving: list[Array]


def gamma(operations: int, eps: float) -> float:
    """Return the factor for a chain of that many roundings of at most eps / 2 each."""
    return (operations + 2) * eps


def bounds(setup: Problem, parameters: Parameters, eps: float) -> Bounds:
    """Return the error bounds of one forward and backward pass from exact parameters and inputs."""
    entering, leaving = reference.forward(setup, parameters)
    samples, used = len(setup.inputs), reference.effective(setup, parameters)
    # What a core makes of scales and rates before the sums: a rounded factor and a product, twice.
    extra = 0 if set((*setup.scales, *setup.rates)) <= {1.0} else 4
    off_entering = [np.zeros_like(setup.inputs)]
    # The sizes of the sums that make up what enters a layer: a core may sum a gradient over these rather than over
    # the finished activations.
    size_entering = [np.abs(setup.inputs)]
    off_leaving: list[Array] = []
    for layer, weight in enumerate(used):
        size = size_entering[layer] @ np.abs(weight).T
        if parameters.biases:
            size = size + np.abs(parameters.biases[layer])
        off = off_entering[layer] @ np.abs(weight).T + gamma(weight.shape[1] + 1 + extra, eps) * size
        off_leaving.append(off)
        if layer + 1 < len(parameters.weights):
            own = 0.0 if setup.activation in ("relu", "leaky_relu", "linear", "quadratic") else FUNCTION_UNITS * eps
            z = np.abs(entering[layer + 1])
            off_entering.append(steepest(setup.activation, np.abs(leaving[layer]) + off) * off + own * z + eps * z)
            size_entering.append(largest(setup.activation, size))

    if setup.start is not None:
        there = bounds(replace(setup, start=None), setup.start, eps).outputs
        off_leaving[-1] = off_leaving[-1] + there + eps * np.abs(leaving[-1])
    slack = off_leaving[-1]
    delta, off_delta, off_losses, off_confidence = _output_errors(setup, leaving[-1], slack, eps)
    if setup.spectral_decoupling:
        pull = setup.spectral_decoupling * setup.weights[:, None]
        off_delta = off_delta + pull * (slack + 2 * eps * np.abs(leaving[-1]))
        delta = delta + pull * leaving[-1]
        off_delta = off_delta + eps * np.abs(delta)
    weights: list[Array] = []
    biases: list[Array] = []
    for layer in reversed(range(len(parameters.weights))):
        size = np.abs(delta) + off_delta
        own = gamma(samples + setup.inputs.shape[1] + 4 + extra, eps)
        off_sum = off_delta.T @ np.abs(entering[layer]) + size.T @ off_entering[layer]
        weights.insert(0, setup.scale(layer) * (off_sum + own * size.T @ size_entering[layer]))
        if parameters.biases:
            biases.insert(0, off_delta.sum(axis=0) + own * size.sum(axis=0))
        if layer:
            weight = used[layer]
            a = leaving[layer - 1]
            slopes = reference.derivative(setup.activation, setup.slope, a)
            off_slopes = _slope_error(setup.activation, off_leaving[layer - 1], eps)
            back = delta @ weight
            off_back = off_delta @ np.abs(weight) + gamma(weight.shape[0] + 1 + extra, eps) * (size @ np.abs(weight))
            delta = back * slopes
            off_delta = off_back * (np.abs(slopes) + off_slopes) + np.abs(back) * off_slopes + eps * np.abs(delta)
    if setup.weight_decay:
        slope, shrunk = reference.gradient(setup, parameters), setup.weight_decay * (1 + extra) * eps
        for offs, slopes, values in (
            (weights, slope.weights, parameters.weights),
            (biases, slope.biases, parameters.biases),
        ):
            offs[:] = [o + eps * np.abs(g) + shrunk * np.abs(v) for o, g, v in zip(offs, slopes, values, strict=True)]
    return Bounds(Parameters(weights, biases), slack, off_losses, off_confidence, off_leaving)


def steepest(activation: str, size: Array) -> Array | float:
    """Return the largest slope of phi for |a| <= ``size``."""
    return 2 * size if activation == "quadratic" else 2 / np.sqrt(np.pi) if activation == "erf" else 1.0


def largest(activation: str, size: Array) -> Array:
    """Return a bound of |phi(a)| for |a| <= ``size``: that itself for most; softplus adds at most log 2."""
    if activation == "quadratic":
        return size**2
    return size * 2 / np.sqrt(np.pi) if activation == "erf" else size + (np.log(2) if activation == "softplus" else 0.0)


def bend(activation: str) -> float:
    """Return the largest |phi''| of a curved activation, rounded up."""
    return {"tanh": 0.77, "softplus": 0.25, "erf": 0.97, "quadratic": 2.0}[activation]


def step_bounds(setup: Problem, parameters: Parameters, rate: float, eps: float) -> Parameters:
    """Return the error bounds of the parameters after one update from exact parameters."""
    slope = reference.gradient(setup, parameters)
    off = bounds(setup, parameters, eps).gradient

    def after(values: list[Array], slopes: list[Array], offs: list[Array]) -> list[Array]:
        return [
            rate * setup.rate(i) * (o + 2 * eps * np.abs(g)) + eps * (np.abs(v) + rate * setup.rate(i) * np.abs(g))
            for i, (v, g, o) in enumerate(zip(values, slopes, offs, strict=True))
        ]

    return Parameters(
        after(parameters.weights, slope.weights, off.weights), after(parameters.biases, slope.biases, off.biases)
    )


def _output_errors(setup: Problem, outputs: Array, off: Array, eps: float) -> tuple[Array, Array, Array, Array]:
    """Return the output error delta, its bound, and the bounds of the samples' losses and confidences."""
    own = FUNCTION_UNITS * eps
    share = setup.weights
    if setup.targets is not None:
        residual = outputs - setup.targets
        off_residual = off + eps * np.abs(residual)
        losses = (residual**2).sum(axis=1) / 2
        off_losses = ((np.abs(residual) + off_residual) * off_residual).sum(axis=1) + own * losses
        delta, off_delta = share[:, None] * residual, share[:, None] * (off_residual + 2 * eps * np.abs(residual))
        return delta, off_delta, off_losses, _off_confidence(setup, outputs, off, eps)
    if outputs.shape[1] > 1:
        top = off.max(axis=1, keepdims=True)
        shifted = outputs - outputs.max(axis=1, keepdims=True)
        raised = np.exp(shifted)
        chances = raised / raised.sum(axis=1, keepdims=True)
        # exp of a difference: the difference is rounded in units of its own size.
        spread = np.abs(shifted).max(axis=1, keepdims=True)
        off_chances = 2 * chances * (2 * top + eps * spread + own)
        delta = share[:, None] * (chances - np.eye(outputs.shape[1])[setup.labels])
        off_delta = share[:, None] * (off_chances + 2 * eps)
        losses = np.abs(reference.sample_losses(setup, outputs))
        off_losses = 2 * top[:, 0] + own * (1 + losses) + eps * np.abs(outputs).max(axis=1) * 4
        return delta, off_delta, off_losses, _off_confidence(setup, outputs, off, eps)
    margins = setup.labels * outputs[:, 0]
    off_margin = off[:, 0]
    residual = reference.residual_of_margin(setup.loss, setup.threshold, margins)
    ends = [
        np.abs(reference.residual_of_margin(setup.loss, setup.threshold, margins + side * off_margin) - residual)
        for side in (-1, 1)
    ]
    # Residuals fall with the margin, so the ends of the interval are the worst.
    off_residual = np.maximum(*ends) + own * (np.abs(residual) + (setup.loss == "squared") + _hinged(setup))
    values = reference.loss_of_margin(setup.loss, setup.threshold, margins)
    off_losses = (np.abs(residual) + off_residual) * off_margin + own * (np.abs(values) + 1)
    delta = -(share * setup.labels * residual)[:, None]
    off_delta = (share * (off_residual + 2 * eps * np.abs(residual)))[:, None]
    return delta, off_delta, off_losses, _off_confidence(setup, outputs, off, eps)


def _off_confidence(setup: Problem, outputs: Array, off: Array, eps: float) -> Array:
    """Return the bound of the probability of each sample's label; a regression has none."""
    own = FUNCTION_UNITS * eps
    if setup.labels is None:
        return np.zeros(len(outputs))
    if outputs.shape[1] == 1:
        return off[:, 0] / 4 + own
    shifted = outputs - outputs.max(axis=1, keepdims=True)
    raised = np.exp(shifted)
    chance = raised[np.arange(len(outputs)), setup.labels] / raised.sum(axis=1)
    return 2 * chance * (2 * off.max(axis=1) + eps * np.abs(shifted).max(axis=1)) + own


def _hinged(setup: Problem) -> float:
    return setup.threshold if setup.loss == "squared_hinge" else 0.0


def _slope_error(activation: str, off: Array, eps: float) -> Array:
    if activation in ("relu", "leaky_relu", "linear"):
        return 0.0 * off + eps
    return bend(activation) * off + (FUNCTION_UNITS + 1) * eps


def clear_of_kinks(setup: Problem, parameters: Parameters, eps: float) -> bool:
    """Say whether every kink (of the activation, of a hinge) is farther away than rounding reaches."""
    _, leaving = reference.forward(setup, parameters)
    off = bounds(setup, parameters, eps)
    if setup.activation in ("relu", "leaky_relu"):
        near = [np.abs(a) <= o for a, o in zip(leaving[:-1], off.leaving[:-1], strict=True)]
        if any(n.any() for n in near):
            return False
    if "hinge" not in setup.loss:
        return True
    margins = reference.margins_of(setup, leaving[-1])
    return bool((np.abs(margins - setup.threshold) > off.outputs[:, 0]).all())
