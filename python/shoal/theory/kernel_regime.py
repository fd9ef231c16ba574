"""Networks whose tangent kernel stays what it was at initialisation, and that kernel at infinite width.

| symbol | meaning | name | shape |
|---|---|---|---|
| K | tangent kernel between samples | ``kernel`` | (.., samples, samples) |
| P | diagonal matrix of the sample weights | ``sample_weight`` | (samples,) |
| y, f(t) | targets, outputs | ``targets``, - | (samples,), (.., times, samples) |
| eta, k | learning rate, steps | ``rate``, ``steps`` | scalar, (steps,) |
| lambda | eigenvalues of P^1/2 K P^1/2 | ``values`` | (.., samples) |
| U | its eigenvectors | ``vectors`` | (.., samples, samples) |
| Sigma, Theta | covariance and tangent kernel of a layer | ``wide_kernel`` | (points, points) |
| q | diagonal of Sigma | ``variances`` | (points,) |

Source: theory book, chapter 9 ("The kernel regime").
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shoal.base import checks
from shoal.theory.domains import MOST, between, count, lengths, size

Array = NDArray[np.float64]

ROUNDING = 1e-10
"""A kernel may differ from its transpose, and have eigenvalues below 0, by this times its largest entry."""
KERNELS = ("relu", "leaky_relu", "linear", "erf", "quadratic")
"""Activations whose kernel has a closed form here."""


def kernel_flow(
    kernel: ArrayLike, targets: ArrayLike, sample_weight: ArrayLike, times: ArrayLike, initial: ArrayLike = 0.0
) -> Array:
    """Return the outputs f(t) of gradient flow on the squared loss with a constant tangent kernel, f' = -K P (f - y).

    On samples that are learnt f - y = e^(-K P t) (f_0 - y). Samples of weight 0 are predicted and not learnt, whatever
    their targets.

    Parameters
    ----------
    kernel
        (.., samples, samples) float64: symmetric, no negative eigenvalues; any axes before, such as one of networks.
        With the measure ``tangent_kernel`` of ``train`` it is that of a network.
    targets
        (samples,) float64.
    sample_weight
        (samples,) float64, not negative: ``Task.sample_weight``, 1/samples each for a mean over samples.
    times
        (times,) float64, not negative.
    initial
        f_0, a shape that broadcasts to (.., samples); 0 for a centred network.

    Returns
    -------
    ndarray of float64, (.., times, samples)

    Raises
    ------
    TypeError
        An argument is not of real numbers.
    ValueError
        Shapes do not fit; numbers are beyond 1e100 or out of the range above; the kernel is not symmetric, or has a
        negative eigenvalue, beyond 1e-10 of its largest entry.

    Notes
    -----
    Cost: one decomposition of eigenvalues per kernel.

    Source: formulas (9.25) and (9.26) of the theory book; arXiv:1806.07572, arXiv:1902.06720.

    Examples
    --------
    >>> kernel_flow([[2.0, 1.0], [1.0, 2.0]], [1.0, -1.0], [0.5, 0.5], [0.0, 2.0]).round(6)
    array([[ 0.      ,  0.      ],
           [ 0.632121, -0.632121]])
    """
    asked = between("times", _row("times", times), 0.0, MOST)

    def filtered(values: Array) -> Array:
        product = values[..., None, :] * asked[:, None]
        return np.asarray(asked[:, None] * _ratio(-np.expm1(-product), product))

    return _outputs(kernel, targets, sample_weight, initial, filtered)


def kernel_descent(
    kernel: ArrayLike,
    targets: ArrayLike,
    sample_weight: ArrayLike,
    rate: float,
    steps: ArrayLike,
    initial: ArrayLike = 0.0,
) -> Array:
    """Return the outputs f_k of gradient descent with a constant tangent kernel, f <- f - rate K P (f - y).

    On samples that are learnt f_k - y = (1 - rate K P)^k (f_0 - y): stable while rate times the largest eigenvalue of
    K P is below 2, and beyond half of that with steps that overshoot.

    Parameters
    ----------
    kernel, targets, sample_weight, initial
        As in :func:`kernel_flow`.
    rate
        Learning rate, from 1e-100 to 1e100.
    steps
        (steps,) whole numbers, not negative: after how many steps.

    Returns
    -------
    ndarray of float64, (.., steps, samples); infinite where it overflows

    Raises
    ------
    TypeError, ValueError
        As in :func:`kernel_flow`; ``rate`` out of range, ``steps`` not whole.

    Notes
    -----
    Source: formula (9.27) of the theory book; arXiv:1902.06720.

    Examples
    --------
    >>> kernel_descent([[2.0, 1.0], [1.0, 2.0]], [1.0, -1.0], [0.5, 0.5], rate=3.0, steps=[0, 1, 2]).round(6)
    array([[ 0.  ,  0.  ],
           [ 1.5 , -1.5 ],
           [ 0.75, -0.75]])
    """
    eta, taken = size("rate", rate), _row("steps", steps)
    if (between("steps", taken, 0.0, 2.0**53) != np.floor(taken)).any():
        raise ValueError(f"steps must be whole numbers, got {taken[taken != np.floor(taken)][0]}")

    def filtered(values: Array) -> Array:
        product = (eta * values)[..., None, :]
        with np.errstate(over="ignore"):
            # ln(1 - x) keeps the digits of a small x; past 1 the power alternates.
            small = -np.expm1(taken[:, None] * np.log1p(-np.minimum(product, 0.5)))
            removed = np.where(product < 0.5, small, 1 - (1 - product) ** taken[:, None])
        return np.asarray(eta * np.where(product > 0, _ratio(removed, product), taken[:, None]))

    return _outputs(kernel, targets, sample_weight, initial, filtered)


def wide_kernel(points: ArrayLike, hidden_layers: int = 1, activation: str = "relu", slope: float = 0.01) -> Array:
    """Return the tangent kernel at initialisation of infinitely wide networks of ``Network.ntk``, weights N(0, 1).

    For one hidden layer it is also the mean over random networks of any width, exactly.

    Parameters
    ----------
    points
        (points, inputs) float64, none of them 0.
    hidden_layers
        At least 0, which is the linear model.
    activation
        ``relu``, ``leaky_relu``, ``linear``, ``erf`` or ``quadratic``, as of ``Network``; no biases.
    slope
        Of ``leaky_relu`` below zero, from 0 to 1.

    Returns
    -------
    ndarray of float64, (points, points)

    Raises
    ------
    TypeError
        An argument has the wrong type.
    ValueError
        Points of another shape, not finite, or 0; a number out of range; an activation without a closed form.

    Notes
    -----
    ReLU: arc-cosine kernels (Cho and Saul 2009); erf: Williams' arcsine kernel (1997).

    Source: formulas (9.29), (9.30), (9.31) and (9.32) of the theory book; arXiv:1806.07572, arXiv:1902.06720.

    Examples
    --------
    >>> wide_kernel([[1.0, 1.0], [1.0, -1.0]]).round(6)
    array([[1.      , 0.159155],
           [0.159155, 1.      ]])
    """
    x = checks.real_array("points", points, dimensions=2, shape="(points, inputs)")
    lengths("points", x)
    layers = count("hidden_layers", hidden_layers, least=0)
    checks.choice("activation", activation, KERNELS)
    below = {"relu": 0.0, "linear": 1.0}.get(activation, checks.real("slope", slope, least=0.0, most=1.0))
    covariance = x @ x.T / x.shape[1]
    kernel = covariance
    for _ in range(layers):
        if activation == "erf":
            after, derivative = _erf(covariance)
        elif activation == "quadratic":
            after, derivative = _quadratic(covariance)
        else:
            after, derivative = _bent(covariance, below)
        covariance, kernel = after, kernel * derivative + after
    return np.asarray(kernel)


def _bent(covariance: Array, slope: float) -> tuple[Array, Array]:
    """Return E[phi(u) phi(u')] and E[phi'(u) phi'(u')] of phi(u) = max(u, slope u): formula (9.30)."""
    sizes = np.sqrt(np.diagonal(covariance))
    correlation = np.clip(covariance / np.multiply.outer(sizes, sizes), -1.0, 1.0)
    np.fill_diagonal(correlation, 1.0)
    turned = (math.pi - np.arccos(correlation)) / (2 * math.pi)
    sine = np.sqrt((1 - correlation) * (1 + correlation)) / (2 * math.pi)
    both = np.multiply.outer(sizes, sizes) * (sine + correlation * turned)
    bend = (1 - slope) ** 2
    return np.asarray(bend * both + slope * covariance), np.asarray(bend * turned + slope)


def _erf(covariance: Array) -> tuple[Array, Array]:
    """Return E[erf(u) erf(u')] and the mean of the product of derivatives: formula (9.31)."""
    wide = 1 + 2 * np.diagonal(covariance)
    product = np.multiply.outer(wide, wide)
    means = 2 / math.pi * np.arcsin(2 * covariance / np.sqrt(product))
    return np.asarray(means), np.asarray(4 / math.pi / np.sqrt(product - 4 * covariance**2))


def _quadratic(covariance: Array) -> tuple[Array, Array]:
    """Return E[u^2 u'^2] and E[2u 2u']: formula (9.32)."""
    variances = np.diagonal(covariance)
    return np.asarray(np.multiply.outer(variances, variances) + 2 * covariance**2), np.asarray(4 * covariance)


def _outputs(
    kernel: ArrayLike,
    targets: ArrayLike,
    sample_weight: ArrayLike,
    initial: ArrayLike,
    filtered: Callable[[Array], Array],
) -> Array:
    """Return f_0 + K P^1/2 U g(lambda) U^T P^1/2 (y - f_0), which needs no inverse of the kernel."""
    k = between("kernel", kernel, -MOST, MOST)
    y = _row("targets", targets)
    if k.ndim < 2 or k.shape[-2:] != (len(y), len(y)):
        raise ValueError(f"kernel must have shape (.., {len(y)}, {len(y)}), as many as targets, got {k.shape}")
    largest = float(np.abs(k).max(initial=0.0))
    if (np.abs(k - k.swapaxes(-1, -2)) > ROUNDING * largest).any():
        raise ValueError("kernel must be symmetric")
    p = between("sample_weight", _row("sample_weight", sample_weight), 0.0, MOST)
    if p.shape != y.shape:
        raise ValueError(f"sample_weight must have shape {y.shape}, as targets have, got {p.shape}")
    first = between("initial", initial, -MOST, MOST)
    try:
        first = np.broadcast_to(first, k.shape[:-1])
    except ValueError:
        raise ValueError(f"initial must have a shape that broadcasts to {k.shape[:-1]}, got {first.shape}") from None
    root = np.sqrt(p)
    values, vectors = np.linalg.eigh(root[:, None] * k * root)
    if (values < -ROUNDING * largest * p.max(initial=0.0) * len(y)).any():
        raise ValueError(f"kernel must have no negative eigenvalue, got {values.min():.3g} of P^1/2 K P^1/2")
    wanted = ((y - first) * root)[..., None, :] @ vectors
    moved = filtered(np.maximum(values, 0.0)) * wanted
    return np.asarray(first[..., None, :] + (moved @ vectors.swapaxes(-1, -2)) * root @ k)


def _ratio(above: Array, below: Array) -> Array:
    """Return above/below, and 1 where both are 0."""
    return np.divide(above, below, out=np.ones(np.broadcast_shapes(above.shape, below.shape)), where=below > 0)


def _row(name: str, values: ArrayLike) -> Array:
    given = between(name, values, -MOST, MOST)
    if given.ndim != 1:
        raise ValueError(f"{name} must have shape ({name},), got shape {given.shape}")
    return given
