"""Nonlinear least squares for many series at once: Gauss-Newton steps, damped after Levenberg and Marquardt.

One step is taken for all series that still move; each has its own damping.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from shoal.dynamics.series import Floats, Mask

__all__ = ["Model", "Solution", "least_squares"]

Model = Callable[[Floats], tuple[Floats, Floats]]
"""From parameters (series, parameters) to values (series, times) and Jacobian (series, times, parameters)."""

STATIONARY = 1e-7
"""Largest cosine between residual and Jacobian at a minimum; a step can gain no more than its square."""
ROUNDING = 1e-14
"""Of a residual, in norms of the series."""
FIRST_DAMPING, MOST_DAMPING = 1e-3, 1e12


@dataclass(frozen=True)
class Solution:
    """The best parameters found, (series, parameters), the sum of squared residuals there, and whether it is a minimum.

    `converged` means that the residual is orthogonal to the Jacobian within 1e-7, or only rounding.
    """

    parameters: Floats
    squares: Floats
    converged: Mask


def least_squares(model: Model, start: Floats, targets: Floats, *, steps: int = 300) -> Solution:
    """Return the parameters near `start`, (series, parameters), with a model closest to `targets`, (series, times).

    `model` takes parameters of any series and returns values and Jacobian. Targets are finite. At most `steps` steps
    are taken, accepted or not.

    A step solves (J^T J + damping diag(J^T J)) d = J^T r, so that the scale of a parameter does not matter. It is taken
    if it lowers the sum of squares. The damping falls by 8 if the sum fell by more than 3/4 of what the linearised
    model predicts, and rises by 5 if it fell by less than 1/4 of it, or grew. Near a minimum the sum is flat to
    rounding: there it counts how much closer the residual came to orthogonal. Cost of a step: times x parameters^2
    operations per moving series, and as many numbers as its Jacobian has.
    """
    size = np.sqrt((targets**2).sum(axis=1))
    here = _Place.of(model, start, targets)
    damping = np.full(len(start), FIRST_DAMPING)
    for _ in range(steps):
        enough = here.steepness <= STATIONARY * np.sqrt(here.squares) + ROUNDING * size
        moving = np.flatnonzero(~enough & (damping < MOST_DAMPING))
        if not len(moving):
            break
        now = here.of_series(moving)
        with np.errstate(over="ignore", invalid="ignore"):
            step, promised = now.step(damping[moving])
            trial = _Place.of(model, now.parameters + step, targets[moving])
            rounding = 4 * np.finfo(float).eps * np.sqrt(now.squares) * (size[moving] + np.sqrt(now.squares))
            flat = np.abs(trial.squares - now.squares) <= rounding
            gain = np.where(flat, 1 - trial.steepness / now.steepness, (now.squares - trial.squares) / promised)
        taken = (gain > 0) & np.isfinite(trial.steepness)
        here.move(moving[taken], trial.of_series(np.flatnonzero(taken)))
        damping[moving] *= np.where(taken & (gain > 0.75), 1 / 8, np.where(taken & (gain > 0.25), 1.0, 5.0))
    converged = here.steepness <= STATIONARY * np.sqrt(here.squares) + ROUNDING * size
    return Solution(here.parameters, here.squares, np.asarray(converged))


@dataclass(frozen=True)
class _Place:
    """Where each series is, and what its next step needs.

    `pull` is J^T r, `curvature` J^T J, `scale` the norms of the columns of J, and `steepness` the largest part of the
    residual along one of them.
    """

    parameters: Floats
    squares: Floats
    pull: Floats
    curvature: Floats
    scale: Floats
    steepness: Floats

    @classmethod
    def of(cls, model: Model, parameters: Floats, targets: Floats) -> _Place:
        """Evaluate the model."""
        values, jacobian = model(parameters)
        residual = targets - values
        across = np.swapaxes(jacobian, 1, 2)
        pull, curvature = (across @ residual[:, :, None])[:, :, 0], across @ jacobian
        scale = np.sqrt(np.einsum("npp->np", curvature))
        # A parameter that moves nothing gets a step of 0, not an infinite one.
        scale = np.where(scale > 0, scale, 1.0)
        steepness = np.max(np.abs(pull) / scale, axis=1)
        return cls(parameters.copy(), (residual**2).sum(axis=1), pull, curvature, scale, steepness)

    def of_series(self, chosen: NDArray[np.int64]) -> _Place:
        """Return the places of some of the series."""
        return _Place(*(getattr(self, field.name)[chosen] for field in fields(self)))

    def move(self, chosen: NDArray[np.int64], there: _Place) -> None:
        """Put some of the series elsewhere."""
        for field in fields(self):
            getattr(self, field.name)[chosen] = getattr(there, field.name)

    def step(self, damping: Floats) -> tuple[Floats, Floats]:
        """Return the damped step, in units of each parameter's scale, and how much it lowers the linearised squares."""
        matrix = self.curvature / self.scale[:, :, None] / self.scale[:, None, :]
        diagonal = np.arange(matrix.shape[1])
        # The rounding of the matrix itself keeps it from being singular where the parameters depend on each other.
        matrix[:, diagonal, diagonal] = 1.0 + damping[:, None] + 4 * np.finfo(float).eps
        pull = self.pull / self.scale
        step = np.linalg.solve(matrix, pull[:, :, None])[:, :, 0]
        promised = (step * (pull + damping[:, None] * step)).sum(axis=1)
        return np.asarray(step / self.scale), np.asarray(promised)
