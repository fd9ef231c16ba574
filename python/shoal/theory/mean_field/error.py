"""The noise of M nodes, and how often it flips the sign of the output, averaged over directions in d dimensions.

| symbol | meaning | name | shape |
|---|---|---|---|
| gamma | the angle by which all nodes have turned | ``gamma`` | any |
| d | inputs | ``inputs`` | scalar |
| s | noise over signal at the rms projection | ``spread`` | (points,) |
| k | sqrt(d)/s: signal over noise along the teacher | - | (points,) |
| u | cosine of the angle between an input and the teacher | - | - |

Source: theory book, chapter 7.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import erfc

from shoal.theory import panels
from shoal.theory.mean_field.distributions import cosine_fraction, mean_cosine

Array = NDArray[np.float64]

FAR = 10.0
"""Noise beyond this many standard deviations is neglected."""
FAINT = 1e-4
"""Signal below which two terms of the series in k suffice: the next is k^3/(6 sqrt(2 pi)) E abs(u)^3 < 1e-13."""


def node_noise(gamma: Array, centred: bool) -> Array:
    """Return the standard deviation of a_i relu(w_i.x / sqrt d) over nodes where |x|^2 = d, x_par = 0 (any shape).

    sqrt(cosh(2 gamma) / 2); minus the value at initialisation, sqrt(cosh gamma (cosh gamma - 1)). Source: formulas
    (7.15) and (7.19) of the theory book.
    """
    with np.errstate(over="ignore"):
        if centred:
            return np.asarray(np.sinh(0.5 * gamma) * np.sqrt(2.0 * np.cosh(gamma)), dtype=np.float64)
        return np.asarray(np.sqrt(0.5 * np.cosh(2.0 * gamma)), dtype=np.float64)


def noise_over_signal(gamma: Array, centred: bool) -> Array:
    """Return ``node_noise`` / (sinh(2 gamma)/2), in forms without 0/0 or infinity/infinity.

    Source: formulas (7.16) and (7.19) of the theory book.
    """
    with np.errstate(divide="ignore", over="ignore"):
        if centred:
            return np.asarray(np.sqrt(0.5 / np.cosh(gamma)) / np.cosh(0.5 * gamma), dtype=np.float64)
        return np.asarray(np.sqrt(2.0 / (np.sinh(2.0 * gamma) * np.tanh(2.0 * gamma))), dtype=np.float64)


def misclassified(inputs: int, spread: Array) -> Array:
    """Return E Phi(-abs(u) sqrt(d)/s) (points,) over uniform directions in R^d: arctan(s)/pi as d -> infinity.

    It equals int_0^inf phi(z) P(abs(u) < z/k) dz. With z = k sin theta both factors are smooth on panels that double in
    z, the first being half the smaller of their scales 1 and 1/s. Exact to 1e-12. Source: formulas (7.17) and (7.18) of
    the theory book.
    """
    with np.errstate(divide="ignore"):
        signal = math.sqrt(inputs) / spread
    error = 0.5 - signal * (mean_cosine(inputs) / math.sqrt(2.0 * math.pi))
    loud = signal > FAINT
    if inputs == 1:
        return np.where(loud, 0.5 * erfc(signal * math.sqrt(0.5)), error)
    error[np.isinf(signal)] = 0.0
    chosen = loud & np.isfinite(signal)
    k = signal[chosen]
    if k.size:
        error[chosen] = 0.5 * erfc(k * math.sqrt(0.5)) + _within(inputs, k)
    return error


def _within(inputs: int, k: Array) -> Array:
    """Return int_0^k phi(z) P(abs(u) < z/k) dz (points,)."""
    end = np.minimum(k, FAR)
    first = np.minimum(0.5 * np.minimum(1.0, k / math.sqrt(inputs)), end)
    count = int(np.ceil(np.log2(np.max(end / first)))) + 1
    edges = np.minimum(first[:, None] * 2.0 ** np.arange(count), end[:, None])
    edges = np.concatenate([np.zeros((len(k), 1)), edges], axis=1)
    theta = np.arcsin(np.minimum(edges / k[:, None], 1.0))
    left, right = theta[:, :-1], theta[:, 1:]
    angle = panels.nodes(left, right)
    cosine, size = np.sin(angle), k[:, None, None]
    density = size * np.cos(angle) * np.exp(-0.5 * (size * cosine) ** 2) / math.sqrt(2.0 * math.pi)
    return np.asarray(panels.integral(density * cosine_fraction(inputs, cosine), left, right).sum(axis=1))
