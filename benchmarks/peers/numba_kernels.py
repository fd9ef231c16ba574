"""The loops that Numba compiles: a network's whole training, written for the vectoriser.

Sizes are closure variables, hence compile-time constants, so that short loops unroll.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np

from benchmarks.cases import Case

# Numba is typed in part, or not installed where types are checked: it counts as untyped.
numba: Any = import_module("numba")

Kernel = Callable[[tuple[Any, ...], Any, Any, Any, int], None]


def products(n: int) -> tuple[Any, ...]:
    """Compile products over `n` samples: forward with ReLU, backward through a mask, and the weights' update."""

    def forward(w: Any, z: Any, a: Any) -> None:
        outputs, inputs = w.shape
        for o in range(outputs):
            for s in range(n):
                a[o, s] = w[o, 0] * z[0, s]
            whole = 1 + (inputs - 1) // 4 * 4
            for i in range(1, whole, 4):
                c0, c1, c2, c3 = w[o, i], w[o, i + 1], w[o, i + 2], w[o, i + 3]
                for s in range(n):
                    a[o, s] += c0 * z[i, s] + c1 * z[i + 1, s] + c2 * z[i + 2, s] + c3 * z[i + 3, s]
            for i in range(whole, inputs):
                c0 = w[o, i]
                for s in range(n):
                    a[o, s] += c0 * z[i, s]
            for s in range(n):
                a[o, s] = max(a[o, s], 0)

    def backward(w: Any, delta: Any, z: Any, below: Any) -> None:
        outputs, inputs = w.shape
        whole = outputs // 4 * 4
        for i in range(inputs):
            for s in range(n):
                below[i, s] = 0
            for o in range(0, whole, 4):
                c0, c1, c2, c3 = w[o, i], w[o + 1, i], w[o + 2, i], w[o + 3, i]
                for s in range(n):
                    below[i, s] += c0 * delta[o, s] + c1 * delta[o + 1, s] + c2 * delta[o + 2, s] + c3 * delta[o + 3, s]
            for o in range(whole, outputs):
                c0 = w[o, i]
                for s in range(n):
                    below[i, s] += c0 * delta[o, s]
            for s in range(n):
                below[i, s] = below[i, s] if z[i, s] > 0 else 0

    def update(w: Any, delta: Any, z: Any) -> None:
        outputs, inputs = w.shape
        zero = w[0, 0] * 0
        whole = inputs // 4 * 4
        for o in range(outputs):
            for i in range(0, whole, 4):
                g0, g1, g2, g3 = zero, zero, zero, zero
                for s in range(n):
                    g0 += delta[o, s] * z[i, s]
                    g1 += delta[o, s] * z[i + 1, s]
                    g2 += delta[o, s] * z[i + 2, s]
                    g3 += delta[o, s] * z[i + 3, s]
                w[o, i] += g0
                w[o, i + 1] += g1
                w[o, i + 2] += g2
                w[o, i + 3] += g3
            for i in range(whole, inputs):
                g0 = zero
                for s in range(n):
                    g0 += delta[o, s] * z[i, s]
                w[o, i] += g0

    return tuple(map(numba.njit(fastmath=True, error_model="numpy"), (forward, backward, update)))


def across_samples(case: Case) -> Kernel:
    """Compile training with one network at a time a thread, vectors along its samples; arrays (networks, out, in)."""
    n, hidden, widest = case.samples, len(case.hidden), max(case.hidden)
    forward, backward, update = products(n)

    def train(weights: Any, x: Any, labels: Any, pull: Any, steps: int) -> None:
        dtype = x.dtype
        for k in numba.prange(weights[0].shape[0]):
            z = np.empty((hidden, widest, n), dtype)
            deltas = np.empty((hidden, widest, n), dtype)
            residual = np.empty((1, n), dtype)
            for _ in range(steps):
                forward(weights[0][k], x, z[0])
                for index in range(1, hidden):
                    forward(weights[index][k], z[index - 1], z[index])
                out, top, delta = weights[hidden][k], z[hidden - 1], deltas[hidden - 1]
                for s in range(n):
                    residual[0, s] = 0
                for i in range(out.shape[1]):
                    c = out[0, i]
                    for s in range(n):
                        residual[0, s] += c * top[i, s]
                for s in range(n):
                    residual[0, s] = pull[s] / (1 + np.exp(labels[s] * residual[0, s]))
                for i in range(out.shape[1]):
                    c = out[0, i]
                    for s in range(n):
                        delta[i, s] = c * residual[0, s] if top[i, s] > 0 else 0
                update(out, residual, top)
                for index in range(hidden - 1, 0, -1):
                    backward(weights[index][k], deltas[index], z[index - 1], deltas[index - 1])
                    update(weights[index][k], deltas[index], z[index - 1])
                update(weights[0][k], deltas[0], x)

    kernel: Kernel = numba.njit(fastmath=True, parallel=True, error_model="numpy")(train)
    return kernel


def across_lanes(case: Case, lanes: int) -> Kernel:
    """Compile training with packs of `lanes` networks; arrays (packs, out, in, lanes). Two-layer networks only."""
    n, units, inputs = case.samples, case.hidden[0], case.inputs

    def train(weights: Any, x: Any, labels: Any, pull: Any, steps: int) -> None:
        dtype = x.dtype
        for k in numba.prange(weights[0].shape[0]):
            w, out = weights[0][k], weights[1][k]
            g = np.empty((n, lanes), dtype)
            delta = np.empty((units, n, lanes), dtype)
            for _ in range(steps):
                g[:] = 0
                for o in range(units):
                    for s in range(n):
                        for v in range(lanes):
                            total = w[o, 0, v] * x[s, 0]
                            for i in range(1, inputs):
                                total += w[o, i, v] * x[s, i]
                            total = max(total, 0)
                            delta[o, s, v] = total
                            g[s, v] += out[0, o, v] * total
                for s in range(n):
                    for v in range(lanes):
                        g[s, v] = pull[s] / (1 + np.exp(labels[s] * g[s, v]))
                for o in range(units):
                    for s in range(n):
                        for v in range(lanes):
                            delta[o, s, v] = g[s, v] if delta[o, s, v] > 0 else 0
                    for v in range(lanes):
                        old, change = out[0, o, v], out[0, o, v] * 0
                        for i in range(inputs):
                            q = old * 0
                            for s in range(n):
                                q += delta[o, s, v] * x[s, i]
                            change += w[o, i, v] * q
                            w[o, i, v] += old * q
                        out[0, o, v] = old + change

    kernel: Kernel = numba.njit(fastmath=True, parallel=True, error_model="numpy")(train)
    return kernel
