"""Where a linear model with penalties comes to rest: the dual fixed point.

| symbol | meaning | name | shape |
|---|---|---|---|
| Phi | rows y_s x_s; Phi = U S V^T | - | (samples, inputs) |
| U | left singular vectors, rank many | ``samples`` | (samples, rank) |
| S | singular values | ``singular`` | (rank,) |
| V | right singular vectors | ``inputs`` | (inputs, rank) |
| w | weights of the model f = w.x | ``weights`` | (inputs,) |
| m | margins Phi w | ``margins`` | (samples,) |
| z | U^T m, the strength of each singular direction | ``strengths`` | (rank,) |
| p_s | weights of the samples, of sum 1 | ``sample_weight`` of the task | (samples,) |
| lambda, zeta | weight decay, spectral decoupling | ``weight_decay``, ``spectral_decoupling`` | scalar |

Source: theory book, chapter 6 ("Penalties"); arXiv:2011.09468.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shoal.spec.loss import Loss
from shoal.theory.domains import penalties
from shoal.theory.features.coupled import residual_slope
from shoal.theory.geometry import SupportsTask, arrays_of
from shoal.theory.residual import Residual, residual_of

Array = NDArray[np.float64]

STEPS = 1000
"""Newton steps at most. Some ten are needed, but where both penalties are tiny a step adds only about 1 to a margin."""
LAST_STEPS = 20
"""Newton steps at most so close to the minimum that rounding decides about them."""


@dataclass(frozen=True, eq=False)
class PenalisedLinear:
    """A linear model at rest: z = S^2 U^T [p (r(m) - zeta m)] / lambda with m = U z.

    Attributes
    ----------
    weights
        (inputs,) float64, w; without weight decay the smallest that gives the margins.
    margins
        (samples,) float64, m_s = y_s w.x_s.
    strengths
        (rank,) float64, z = U^T m.
    samples, singular, inputs
        U (samples, rank), S (rank,) and V (inputs, rank), float64.

    Notes
    -----
    Source: formulas (6.19) and (6.20) of the theory book.
    """

    weights: Array
    margins: Array
    strengths: Array
    samples: Array
    singular: Array
    inputs: Array


def penalised_linear(
    task: SupportsTask,
    weight_decay: float = 0.0,
    spectral_decoupling: float = 0.0,
    loss: str | Loss = "cross_entropy",
) -> PenalisedLinear:
    """Return where f = w.x without a bias comes to rest under sum_s p_s [l(m_s) + zeta/2 m_s^2] + lambda/2 |w|^2.

    The loss is convex and its minimum is the only point of rest. At the minimum w = Phi^T [p (r - zeta m)] / lambda;
    from the left with U^T Phi this is a fixed point of rank many numbers z, which sees the inputs through S alone:

        z = S^2 U^T [p (r(U z) - zeta U z)] / lambda.

    arXiv:2011.09468 gives every sample weight 1 and writes C = 1/lambda: its C is 1/(n lambda) for n samples of weight
    1/n each.

    Parameters
    ----------
    task
        Anything with ``inputs`` (samples, d), ``labels`` (samples,) of -1/+1 and ``sample_weight`` (samples,).
    weight_decay, spectral_decoupling
        lambda and zeta, each 0 or from 1e-100 to 1e100, not both 0.
    loss
        Name or loss object, not the hinge.

    Returns
    -------
    PenalisedLinear
        Exact to rounding: the gradient of the loss vanishes to about 1e-15 of its parts.

    Raises
    ------
    TypeError
        An argument is not a number, or the loss neither a name nor a loss.
    ValueError
        A penalty is negative or both are 0, the labels are not -1/+1, all inputs are 0, the loss is the hinge, whose
        minimum lies on its kinks, or rounding hides the minimum.

    Notes
    -----
    Newton's method on z/S. Cost: a singular value decomposition, and some ten solves of rank many equations.

    Source: formulas (6.13), (6.19) and (6.20) of the theory book; arXiv:2011.09468.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> task = SimpleNamespace(inputs=np.array([[1.0, 0.0], [1.0, 1.0]]), labels=np.array([1, 1]),
    ...                        sample_weight=np.array([0.5, 0.5]))
    >>> penalised_linear(task, weight_decay=0.1).margins.round(6)
    array([1.488289, 2.055685])
    >>> penalised_linear(task, spectral_decoupling=0.1).margins.round(6)
    array([1.633506, 1.633506])
    """
    decay, decoupling = penalties(weight_decay, spectral_decoupling)
    if not decay and not decoupling:
        raise ValueError("weight_decay or spectral_decoupling must be positive, got 0 for both")
    residual = residual_of(loss)
    if residual.family == "step":
        raise ValueError("loss must not be the hinge, whose minimum with a penalty lies on its kinks")
    inputs, labels, weights = arrays_of(task)
    rows = labels[:, None] * inputs
    # A sample of weight 0 is measured and not learnt: it must not add a direction to the minimum.
    counted = weights > 0
    left, singular, right = np.linalg.svd(rows[counted], full_matrices=False)
    rank = int((singular > singular[0] * max(rows.shape) * np.finfo(np.float64).eps).sum()) if singular[0] > 0 else 0
    if rank == 0:
        raise ValueError("task must have an input that is not 0 among the samples that count, got none")
    left, singular, right = left[:, :rank], singular[:rank], right[:rank].T
    place = _minimum(left * singular, weights[counted], residual, decay, decoupling)
    weights = right @ place
    return PenalisedLinear(weights, rows @ weights, singular * place, left, singular, right)


def _minimum(rows: Array, weights: Array, residual: Residual, decay: float, decoupling: float) -> Array:
    """Return the place (rank,) of the minimum of sum p (l(m) + zeta/2 m^2) + lambda/2 |place|^2 with m = rows place."""

    def value(place: Array) -> float:
        margins = rows @ place
        with np.errstate(over="ignore"):
            losses = residual.loss_value(margins) + 0.5 * decoupling * margins**2
        return float(weights @ losses + 0.5 * decay * place @ place)

    place = np.zeros(rows.shape[1])
    height = value(place)
    last = 0
    for _ in range(STEPS):
        margins = rows @ place
        gradient = decay * place - rows.T @ (weights * (residual(margins) - decoupling * margins))
        bend = weights * (decoupling - residual_slope(residual, margins))
        try:
            step = np.linalg.solve((rows.T * bend) @ rows + decay * np.eye(len(place)), gradient)
        except np.linalg.LinAlgError:
            break
        # By margins, not by places, of which those along small singular values may be very much larger than the others.
        change, size = np.abs(rows @ step), np.abs(margins)
        if (change <= 4e-16 * size).all():
            return place
        along, length = float(gradient @ step), 1.0
        # So close to the minimum the loss is flat to rounding, and Newton's steps need no guard.
        close = along <= 1e-12 * height
        while not close and value(place - length * step) > height - 1e-4 * length * along:
            length *= 0.5
        place = place - length * step
        height = value(place)
        # Steps are also short where rounding hides a descent; but the squared hinge may alternate between its sides.
        trusted = length == 1.0 or residual.family == "linear"
        last += trusted and bool((length * change <= 1e-9 * np.maximum(size, 1.0)).all())
        if last == LAST_STEPS:
            return place
    raise ValueError(
        "weight_decay and spectral_decoupling must not be so small beside the spread of the inputs that rounding hides "
        f"the minimum, got {decay:g} and {decoupling:g}"
    )
