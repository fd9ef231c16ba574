"""What the weights must be after some steps, and how far rounding can have moved them.

`reference` runs the descent in float64, plainly, and carries a running error bound with every weight
(N. J. Higham, *Accuracy and Stability of Numerical Algorithms*, 2nd ed., sections 3.1 and 3.3). Nothing in the
bound is fitted; it follows from

- a sum of k products, in any order, fused or not, is off by at most ``gamma_k sum |a||b|``,
  ``gamma_k = k u / (1 - k u)``;
- the sigmoid is off by at most 16 roundoffs (exponential within 4 ulp = 8 roundoffs, the sum, the division,
  factors folded into it) and its derivative is at most 1/4;
- ReLU does not increase an error, but where a pre-activation lies within its error of zero the mask may
  come out either way, and everything that would pass through it counts as error;
- the update is one sum of the old weight and of all samples' terms, since kernels may start to add at the weight;
- errors of the weights feed the errors of the next step.

``u`` is the sum of the roundoffs of both sides, so the bound covers the difference of two computed results.
Magnitudes inside one layer are taken before cancellation (``|W||z|``), so regrouping the sums over samples and
inputs of a layer is covered as well.

A bound by magnitudes grows faster than the errors do, most of all in deep networks. A network counts as checked
only while its bound is below a tenth of the way its own weights have gone; the fraction of such networks is reported,
and an answer passes when all gaps lie within their bounds and most networks are checked.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.cases import Array, Case, check_weights, dataset

ROUNDOFFS = {"float64": 2.0**-53, "float32": 2.0**-24}
ELEMENTARY = 16


@dataclass(frozen=True)
class Answer:
    """Weights after `steps` steps with the bound on the difference of a correct contender.

    Parameters
    ----------
    steps : int
        Updates made.
    chosen : (networks,) int64
        Indices of the networks that are compared, spread over all.
    weights, bounds : list of (networks, out, in) float64
        The reference, and the largest |contender - reference| that rounding explains.
    checked : float
        Fraction of the networks whose bound is below a tenth of the way their weights have gone.
    """

    steps: int
    chosen: NDArray[np.int64]
    weights: list[Array]
    bounds: list[Array]
    checked: float


@dataclass(frozen=True)
class Verdict:
    """How an answer compares: largest gap, largest gap over its own bound, fraction of networks that are checked."""

    gap: float
    ratio: float
    checked: float

    @property
    def passed(self) -> bool:
        """Whether every weight lies within its bound and the bounds of most networks mean something."""
        return bool(self.ratio <= 1.0 and self.checked > 0.5)


def gamma(terms: int, u: float) -> float:
    """Return Higham's gamma for a sum of `terms` products; 8 more for the factors that kernels fold in."""
    k = terms + 8
    return k * u / (1.0 - k * u)


@dataclass(frozen=True)
class Layer:
    """One layer's input, its error, its magnitude before cancellation, and where its units are on for certain."""

    z: Array
    dz: Array
    size: Array
    on: Array
    maybe: Array


def forward(weights: list[Array], errors: list[Array], inputs: Array, u: float) -> tuple[list[Layer], Array, Array]:
    """Return the layers' inputs, then the output (networks, n) and its error bound."""
    networks, ones = len(weights[0]), np.ones((1, 1, 1))
    x = np.broadcast_to(inputs.T, (networks, *inputs.T.shape))
    layers = [Layer(x, np.zeros_like(x), np.abs(x), ones, np.zeros((1, 1, 1)))]
    for index, (w, e) in enumerate(zip(weights, errors, strict=True)):
        below = layers[-1]
        top = np.abs(below.z) + below.dz
        a = w @ below.z
        size = (np.abs(w) + e) @ top
        da = np.abs(w) @ below.dz + e @ top + gamma(w.shape[2], u) * size
        if index == len(weights) - 1:
            return layers, a[:, 0], da[:, 0]
        maybe = (np.abs(a) <= da).astype(np.float64)
        on = (a > da).astype(np.float64)
        possible = on + maybe
        layers.append(Layer(np.maximum(a, 0.0), possible * da, possible * size, (a > 0).astype(np.float64), maybe))
    raise AssertionError("a network has at least one weight layer")


def update(
    weights: list[Array], errors: list[Array], inputs: Array, labels: Array, rate: float, u: float
) -> tuple[list[Array], list[Array]]:
    """Return weights and their error bounds after one step."""
    layers, output, error = forward(weights, errors, inputs, u)
    p = 1.0 / len(labels)
    margin = labels * output
    delta = (-p * labels / (1.0 + np.exp(margin)))[:, None, :]
    d_delta = p * (np.minimum(0.25 * error, 1.0) + ELEMENTARY * u)[:, None, :]
    new_weights, new_errors = [], []
    for layer, w, e in reversed(list(zip(layers, weights, errors, strict=True))):
        z, dz, above = layer.z.mT, layer.dz.mT, np.abs(delta) + d_delta
        gradient = delta @ z
        size = above @ (layer.size + layer.dz).mT
        d_gradient = np.abs(delta) @ dz + d_delta @ (np.abs(z) + dz)
        terms = len(labels) + w.shape[1] + w.shape[2]
        new_weights.append(w - rate * gradient)
        new_errors.append(e + rate * d_gradient + gamma(terms, u) * (np.abs(w) + e + rate * size))
        passed, wide = w.mT @ delta, (np.abs(w) + e).mT @ above
        d_passed = np.abs(w).mT @ d_delta + e.mT @ above + gamma(w.shape[1], u) * wide
        delta = layer.on * passed
        d_delta = np.where(layer.maybe > 0, np.abs(passed) + d_passed, layer.on * d_passed)
    return new_weights[::-1], new_errors[::-1]


def length(arrays: list[Array]) -> Array:
    """Return the root of the sum of squares of each network's entries, (networks,)."""
    return np.asarray(np.sqrt(sum(np.sum(a**2, axis=(1, 2)) for a in arrays)))


def reference(case: Case, dtype: str, steps: int, most: int = 256) -> Answer:
    """Return the answer of at most `most` networks after `steps` steps, with its bound in `dtype`."""
    inputs, labels = dataset(case)
    chosen = np.unique(np.linspace(0, case.networks - 1, min(most, case.networks)).round().astype(np.int64))
    start = [w[chosen] for w in check_weights(case)]
    u = ROUNDOFFS["float64"] + ROUNDOFFS[dtype]
    weights, errors = start, [np.zeros_like(w) for w in start]
    with np.errstate(over="ignore", invalid="ignore"):
        for _ in range(steps):
            weights, errors = update(weights, errors, inputs, labels.astype(np.float64), case.rate, u)
        # A bound that overflowed says nothing: infinite, never "not a number", which would compare as passed.
        errors = [np.where(np.isfinite(e), e, np.inf) for e in errors]
        way = length([w - s for w, s in zip(weights, start, strict=True)])
        checked = float(np.mean(length(errors) < 0.1 * way))
    return Answer(steps, chosen, weights, errors, checked)


def compare(answer: Answer, weights: list[Array]) -> Verdict:
    """Hold a contender's weights of all networks, (networks, out, in) a layer, against the answer."""
    gap, ratio = 0.0, 0.0
    for mine, right, bound in zip(weights, answer.weights, answer.bounds, strict=True):
        picked = mine[answer.chosen]
        if picked.shape != right.shape:
            raise ValueError(f"weights of a layer must have shape (networks, {right.shape[1:]}), got {mine.shape}")
        if not np.isfinite(picked).all():
            return Verdict(np.inf, np.inf, answer.checked)
        gaps = np.abs(picked - right)
        gap, ratio = max(gap, float(np.max(gaps))), max(ratio, float(np.max(gaps / bound)))
    return Verdict(gap, ratio, answer.checked)
