"""One step of descent on all networks at once, written by hand for any array library (NumPy, torch, JAX).

Three layouts. *First*: arrays (networks, out, in), products are (batched) matrix products. *Last*: arrays
(out, in, networks), products are sums of element-wise products, which compilers fuse and vectorise over networks.
*Unrolled*: the same arrays, every product of one network written out, so that a compiler sees one long element-wise
expression over networks, as shoal's lanes do; only for networks and data sets of a few numbers. *One* is a single
network as plain matrices. All use what ReLU gives away: with the mask of the last hidden layer M and Q = (M g) z^T, its
weight gradient is w Q and the output's is the row sum of W Q, so that last activations need not be stored.

The module imports no array library: the caller hands over its ``exp`` and ReLU.
"""

from collections.abc import Callable
from typing import Any


def step_first(
    weights: list[Any], x: Any, pull: Any, labels: Any, exp: Callable[[Any], Any], relu: Callable[[Any], Any]
) -> list[Any]:
    """Weights after one step; arrays (networks, out, in), x (n, d), labels (n,), pull = rate * labels / n (n,)."""
    networks, samples = weights[0].shape[0], x.shape[0]
    hidden = len(weights) - 1
    # The first layer's inputs are shared by the networks: one plain product serves all.
    a = (weights[0].reshape(-1, x.shape[1]) @ x.T).reshape(networks, -1, samples)
    z: list[Any] = [None]
    for w in weights[1:hidden]:
        z.append(relu(a))
        a = w @ z[-1]
    last, out = weights[hidden - 1], weights[hidden]
    output = out @ relu(a)
    delta = (a > 0) * (pull / (1.0 + exp(labels * output)))
    q = delta @ z[-1].mT if hidden > 1 else (delta.reshape(-1, samples) @ x).reshape(last.shape)
    new = [last + out.mT * q, out + (last * q).sum(-1)[:, None, :]]
    back = (last * out.mT).mT
    for index in range(hidden - 2, -1, -1):
        delta = (z[index + 1] > 0) * (back @ delta)
        w = weights[index]
        new.insert(0, w + (delta @ z[index].mT if index else (delta.reshape(-1, samples) @ x).reshape(w.shape)))
        back = w.mT
    return new


def product_last(w: Any, z: Any) -> Any:
    """Return (out, n, networks): w (out, in, networks) times z (in, n, networks or 1), network by network."""
    return (w[:, :, None, :] * z[None]).sum(1)


def step_last(
    weights: list[Any], x: Any, pull: Any, labels: Any, exp: Callable[[Any], Any], relu: Callable[[Any], Any]
) -> list[Any]:
    """Weights after one step; arrays (out, in, networks), the rest as in `step_first`."""
    hidden = len(weights) - 1
    shared = x.T[:, :, None]
    z = [shared]
    a = product_last(weights[0], shared)
    for w in weights[1:hidden]:
        z.append(relu(a))
        a = product_last(w, z[-1])
    last, out = weights[hidden - 1], weights[hidden][0]
    output = (out[:, None, :] * relu(a)).sum(0)
    residual = pull[:, None] / (1.0 + exp(labels[:, None] * output))
    delta = (a > 0) * residual[None]
    q = (delta[:, None] * z[-1][None]).sum(2)
    new = [last + out[:, None, :] * q, weights[hidden] + (last * q).sum(1)[None]]
    back = last * out[:, None, :]
    for index in range(hidden - 2, -1, -1):
        delta = (z[index + 1] > 0) * (back[:, :, None, :] * delta[:, None]).sum(0)
        new.insert(0, weights[index] + (delta[:, None] * z[index][None]).sum(2))
        back = weights[index]
    return new


def step_unrolled(
    weights: list[Any],
    x: list[list[float]],
    pull: list[float],
    labels: list[float],
    exp: Callable[[Any], Any],
    relu: Callable[[Any], Any],
    stack: Any,
) -> list[Any]:
    """Return two-layer weights (out, in, networks) after one step; x, pull and labels are numbers, written in."""
    units, inputs = weights[0].shape[:2]
    w = [[weights[0][o, i] for i in range(inputs)] for o in range(units)]
    out = [weights[1][0, o] for o in range(units)]
    q: list[list[Any]] = [[0.0] * inputs for _ in range(units)]
    for sample, force, label in zip(x, pull, labels, strict=True):
        a = [sum(weight * value for weight, value in zip(row, sample, strict=True)) for row in w]
        output = sum(z * relu(h) for z, h in zip(out, a, strict=True))
        residual = force / (1.0 + exp(output * label))
        for o in range(units):
            delta = (a[o] > 0) * residual
            for i in range(inputs):
                q[o][i] = q[o][i] + delta * sample[i]
    first = [stack([w[o][i] + out[o] * q[o][i] for i in range(inputs)]) for o in range(units)]
    last = [out[o] + sum(w[o][i] * q[o][i] for i in range(inputs)) for o in range(units)]
    return [stack(first), stack([stack(last)])]


def step_one(
    weights: list[Any], x: Any, pull: Any, labels: Any, exp: Callable[[Any], Any], relu: Callable[[Any], Any]
) -> list[Any]:
    """Return the weights (out, in) of one network after one step; x (n, d), labels and pull (n,)."""
    hidden = len(weights) - 1
    z = [x.T]
    a = weights[0] @ x.T
    for w in weights[1:hidden]:
        z.append(relu(a))
        a = w @ z[-1]
    last, out = weights[hidden - 1], weights[hidden]
    delta = (a > 0) * (pull / (1.0 + exp(labels * (out @ relu(a)))))
    q = delta @ z[-1].T
    new = [last + out.T * q, out + (last * q).sum(-1)]
    back = (last * out.T).T
    for index in range(hidden - 2, -1, -1):
        delta = (z[index + 1] > 0) * (back @ delta)
        new.insert(0, weights[index] + delta @ z[index].T)
        back = weights[index].T
    return new


MOST_WRITTEN_OUT = 200
"""Most multiply-adds of a forward pass that are written out: with more, compilers take minutes."""


def can_unroll(widths: tuple[int, ...], samples: int) -> bool:
    """Return whether `step_unrolled` is for a network of these widths and so many samples."""
    return len(widths) == 3 and samples * widths[1] * (widths[0] + 1) <= MOST_WRITTEN_OUT
