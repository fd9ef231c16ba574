"""How a linear model grows on separable data under an exponential tail: its direction, its offset, its pace.

| symbol | meaning | name | shape |
|---|---|---|---|
| w_hat | shortest w with all margins at least 1 | ``separator`` | (d,) |
| gamma | margin of the data, one over the length of w_hat | ``margin`` | scalar |
| alpha_s | w_hat = sum_s alpha_s y_s x_s, 0 off the support | ``dual`` | (samples,) |
| w_tilde | w - w_hat ln t in the end | ``offset`` | (d,) |
| kappa | w = w_hat ln t + w_tilde + O(t^-kappa) | ``order`` | scalar |

Source: theory book, chapter 9 ("Growth along the separator").
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shoal.theory.geometry import SupportsTask, arrays_of
from shoal.theory.neighbours import separator

Array = NDArray[np.float64]

ON_SUPPORT = 1e-9
"""A margin under w_hat within this of 1 is that of a support vector."""


@dataclass(frozen=True, eq=False)
class Growth:
    """Where a linear model goes on separable data: w(t) = w_hat ln t + w_tilde + O(t^-kappa).

    Attributes
    ----------
    separator, offset
        (d,) float64: w_hat and w_tilde, neither of which depends on the initial weights.
    dual
        (samples,) float64: alpha_s, the limit of p_s t e^(-m_s).
    margin
        gamma = 1/|w_hat|.
    order
        kappa, at most 1.

    Notes
    -----
    Source: theory book, chapter 9.
    """

    separator: Array
    offset: Array
    dual: Array
    margin: float
    order: float

    def weights(self, clock: ArrayLike) -> Array:
        """Return w_hat ln t + w_tilde at clocks ln t of any shape, (*shape, d) float64.

        With ln(|w_hat|^2/L) as the clock, L the loss, it is the product of the layers of a deep linear network, up to
        O(1/|w|).

        Notes
        -----
        Source: formulas (9.10) and (9.13) of the theory book.
        """
        return np.asarray(np.asarray(clock, float)[..., None] * self.separator + self.offset)

    def cotangent(self, clock: ArrayLike) -> Array:
        """Return the cotangent of the angle between w and w_hat at clocks ln t, of their shape: linear in ln t.

        Notes
        -----
        Source: formula (9.12) of the theory book.
        """
        unit = self.separator * self.margin
        along = float(self.offset @ unit)
        across = float(np.linalg.norm(self.offset - along * unit))
        return np.asarray((np.asarray(clock, float) / self.margin + along) / across)


def separable_growth(task: SupportsTask) -> Growth:
    """Return how a linear model grows on a task under the exponential loss or cross-entropy, by gradient flow.

    Parameters
    ----------
    task
        Anything with ``inputs`` (samples, d), ``labels`` (samples,) of -1/+1 and ``sample_weight`` (samples,).
        Its support vectors must be d, linearly independent, with positive weights: else the offset depends on the
        initial weights.

    Raises
    ------
    TypeError
        An array is missing, or holds what is not a real number.
    ValueError
        Shapes that do not fit, other labels, samples that no w separates, or other support vectors than those above.

    Notes
    -----
    Source: formulas (9.7), (9.10) and (9.11) of the theory book; arXiv:1710.10345.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> task = SimpleNamespace(inputs=np.diag([1.0, 2.0]), labels=np.array([1, -1]), sample_weight=np.array([0.5, 0.5]))
    >>> found = separable_growth(task)
    >>> found.separator, found.offset.round(6), round(found.margin, 6)
    (array([ 1. , -0.5]), array([-0.693147, -0.346574]), 0.894427)
    """
    inputs, labels, frequencies = arrays_of(task)
    signed = inputs * labels[:, None]
    direction = separator(inputs, labels)
    margins = signed @ direction
    support = np.flatnonzero(margins <= 1.0 + ON_SUPPORT)
    vectors = signed[support]
    if len(support) != len(direction) or np.linalg.cond(vectors) > 1.0 / ON_SUPPORT:
        raise ValueError(
            f"task must have as many independent support vectors as inputs, {len(direction)}, got {len(support)}"
        )
    dual = np.zeros(len(signed))
    dual[support] = np.linalg.solve(vectors.T, direction)
    if (dual[support] <= 0).any() or (frequencies[support] <= 0).any():
        raise ValueError("task must have support vectors of positive weight and multiplier, got one that has not")
    offset = np.asarray(np.linalg.solve(vectors, np.log(frequencies[support] / dual[support])), np.float64)
    curvature = (vectors * dual[support, None]).T @ vectors
    others = np.delete(margins, support)
    slowest = [float(np.linalg.eigvalsh(curvature)[0]), float(others.min()) - 1.0 if len(others) else np.inf]
    return Growth(direction, offset, dual, float(1.0 / np.linalg.norm(direction)), min(1.0, *slowest))
