"""Losses as the theory sees them: the residual r(m) = -l'(m), and what a margin means under each loss.

| symbol | meaning | name | shape |
|---|---|---|---|
| m | margin y f(x) | ``margin`` | any |
| l(m) | loss at margin m | ``loss_value`` | as ``margin`` |
| r(m) | residual -l'(m) | ``residual`` | as ``margin`` |
| h | margin at which the residual is zero | ``target`` | scalar |
| K | classes | ``classes`` | scalar |
| ln kappa | -ln(K - 1), 0 for two classes | ``log_kappa`` | scalar |

Three families cover every loss (theory book, chapter 0): *exponential*, 1/r = a + kappa e^m; *step*, r = 1 below h
and 0 above; *linear*, r = h - m.

Source: theory book, chapters 0 and 5.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from shoal.spec.loss import Loss, resolve_loss
from shoal.theory.domains import size

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Residual:
    """The residual of a loss, in the form that its clock needs.

    Parameters
    ----------
    family
        ``"exponential"``: 1/r = offset + exp(log_kappa + m); ``"step"``: r = [m < target];
        ``"linear"``: r = target - m.
    offset
        1 for cross-entropy, 0 for the exponential loss; without effect in the other families.
    target
        The margin h at which the residual vanishes; infinite in the exponential family.
    both_sides
        Whether the residual is negative above the target (squared loss) instead of zero (squared hinge).
    log_kappa
        -ln(K - 1) for K classes.

    Notes
    -----
    Source: formulas (0.2) and (5.2) of the theory book.
    """

    family: Literal["exponential", "step", "linear"]
    offset: float = 0.0
    target: float = math.inf
    both_sides: bool = False
    log_kappa: float = 0.0

    def __call__(self, margin: Array) -> Array:
        """Return r(m), of the shape of ``margin``; infinite where exp(-m) exceeds the largest double."""
        if self.family == "step":
            return np.where(margin < self.target, 1.0, 0.0)
        if self.family == "linear":
            gap = self.target - margin
            return gap if self.both_sides else np.maximum(gap, 0.0)
        if self.offset == 1.0:
            return np.asarray(expit(-(margin + self.log_kappa)), dtype=np.float64)
        with np.errstate(over="ignore"):
            return np.exp(-margin)

    def loss_value(self, margin: Array) -> Array:
        """Return l(m), of the shape of ``margin``, of one sample that counts with weight 1."""
        if self.family == "step":
            return np.maximum(self.target - margin, 0.0)
        if self.family == "linear":
            return 0.5 * self(margin) ** 2
        if self.offset == 1.0:
            return np.logaddexp(0.0, -(margin + self.log_kappa))
        return self(margin)

    def direction(self, margin: Array) -> Array:
        """Return the sign of r(m): +1 where the margin rises, -1 where it falls, 0 where it stays."""
        if self.family == "exponential":
            return np.ones_like(margin)
        return np.sign(self(margin))


def residual_of(loss: str | Loss, classes: int = 2) -> Residual:
    """Return the :class:`Residual` of a loss or of a loss's name.

    Raises
    ------
    TypeError
        ``loss`` is neither a name nor a loss.
    ValueError
        The name is not a loss, the threshold of a hinge lies outside 1e-100 to 1e100, or ``classes`` > 2 with another
        loss than cross-entropy.
    """
    known = resolve_loss(loss)
    size("margin of the loss", known.threshold)
    if classes > 2 and known.name != "cross_entropy":
        raise ValueError(f"loss must be 'cross_entropy' when classes > 2, got {known.name!r} with classes={classes}")
    if known.name == "cross_entropy":
        return Residual("exponential", offset=1.0, log_kappa=-math.log(classes - 1))
    if known.name == "exponential":
        return Residual("exponential", offset=0.0)
    if known.name == "hinge":
        return Residual("step", target=known.threshold)
    if known.name in ("squared", "squared_hinge"):
        return Residual("linear", target=known.threshold, both_sides=known.name == "squared")
    raise ValueError(
        "loss must be one of cross_entropy, exponential, hinge, squared, squared_hinge: "
        f"the theory has no residual for {known.name!r}"
    )
