"""How far networks of mean-field scaling have gone: their parameters, their tangent kernel, and their own clock.

Source: arXiv:2006.11209; theory book, chapter 7.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from shoal.claims.shared.teacher import Condition
from shoal.verdicts.layout import Floats, Integers

SUBSTEPS = 4
FLAT = 1e-9
"""Below this slope, over h, no sample is satisfied: the boundary would be a thousand million away."""
Weights = tuple[Floats, Floats]
"""Output weights (networks, nodes) and first-layer weights (networks, nodes, inputs)."""


def weights(data: xr.Dataset, record: int) -> Weights:
    """Return the weights at a record of a training with the measure ``trajectory``."""
    return data["trajectory_2"].values[:, record, 0], data["trajectory_1"].values[:, record]


def movement(before: Weights, after: Weights) -> Floats:
    """Return |theta(t) - theta(0)| / |theta(0)| of each network, (networks,) float64."""

    def square(layer: Floats) -> Floats:
        return np.asarray((layer**2).reshape(len(layer), -1).sum(axis=1))

    moved = sum(square(last - first) for first, last in zip(before, after, strict=True))
    return np.asarray(np.sqrt(moved / sum(map(square, before))))


def tangent_kernel(weights: Weights, points: Floats) -> Floats:
    """Return the tangent kernel of each network over alpha^2/M, (networks, points, points) float64.

    K(x, x') = (1/M) sum_i [relu(u_i) relu(u_i') + a_i^2 theta(u_i) theta(u_i') x.x'/d], u_i = w_i.x/sqrt(d): the sum of
    the products of the output's derivatives with respect to every parameter.
    """
    output, incoming = weights
    inputs = points.shape[1]
    raised = np.matmul(incoming, points.T) / np.sqrt(inputs)
    values, gates = np.maximum(raised, 0.0), (raised > 0) * output[:, :, None]
    pairs = [np.matmul(part.swapaxes(1, 2), part) / output.shape[1] for part in (values, gates)]
    return np.asarray(pairs[0] + pairs[1] * (points @ points.T) / inputs)


def kernel_along(before: Weights, after: Weights, points: Floats, change: Floats) -> Floats:
    """Return the component of each network's change of the kernel along a given one, in units of it, (networks,).

    Linear in the change: noise of single networks averages out, which it does not in the norm of the change.
    """
    found = tangent_kernel(after, points) - tangent_kernel(before, points)
    return np.asarray((found * change).sum(axis=(1, 2)) / (change * change).sum())


def own_unsatisfied(condition: Condition, initial: Weights, projections: Floats, times: Floats) -> Floats:
    """Return the unsatisfied fraction that theory gives to these initial weights on this dataset, (networks, times).

    With a network's own nodes the slope of the output in x_par is alpha/(2 sqrt d) times

        [p (e^(2 gamma) - k) - q (e^(-2 gamma) - k)] / 2,   p, q = mean (a_i0 +- w_i0)^2 / 2,

    k = 1 for a centred network and 0 for a plain one; with the dataset's own projections gamma' is the mean of
    abs(x_par) over those below the boundary, over 2 sqrt(d). p, q and the means tend to those of the theory as network
    and dataset grow.

    ``projections`` (samples,): x_par, right labels. ``times`` (times,): from 0, increasing.
    """
    output, along = initial[0], initial[1][:, :, 0]
    rise, fall = (((output + sign * along) ** 2).mean(axis=1) / 2 for sign in (1, -1))
    kept = 1.0 if condition.centred else 0.0
    level = 2 * np.sqrt(condition.inputs) * condition.threshold / condition.alpha
    sizes = np.sort(np.abs(projections))
    pulls = np.concatenate([[0.0], np.cumsum(sizes)]) / (len(sizes) * 2 * np.sqrt(condition.inputs))

    def below(angle: Floats) -> Integers:
        slope = np.abs(rise * (np.exp(2 * angle) - kept) - fall * (np.exp(-2 * angle) - kept)) / 2
        return np.asarray(np.searchsorted(sizes, level / np.maximum(slope, level * FLAT)))

    angle = np.zeros(len(output))
    unsatisfied = [below(angle) / len(sizes)]
    for step in np.diff(times) / SUBSTEPS:
        for _ in range(SUBSTEPS):  # by the midpoint rule
            middle = angle + step / 2 * pulls[below(angle)]
            angle = angle + step * pulls[below(middle)]
        unsatisfied.append(below(angle) / len(sizes))
    return np.stack(unsatisfied, axis=1)
