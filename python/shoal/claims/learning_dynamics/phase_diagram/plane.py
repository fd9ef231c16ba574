"""The plane of claim ``phase-diagram``: one-neuron networks on a grid of initialisations, and their training.

| symbol | meaning |
|---|---|
| a | weight into the neuron along its input; it is active where a > 0 |
| z | label times the weight out of it |
| p, rho | frequency and norm of the one input |

Source: theory book, chapter 2.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from shoal import Explicit, Init, Network, Task, theory
from shoal.claims.shared import flows
from shoal.claims.trial import Trial
from shoal.verdicts.layout import Floats

Flags = NDArray[np.bool_]

NORM, LABEL = 1.25, -1
TASK, NETWORK = Task([[NORM]], [LABEL]), Network((1, 1, 1))
WIDTH, HEIGHT = 1.0, 1.2
"""Half extents of the plane: |a| < 1 and |z| < 1.2."""

RTOL = 1e-10
TOLERANCE = 10 * RTOL
LEVEL = 2.0
"""Margin at which a network counts as fit; no initialisation has it."""

RECORDS = 100
"""Of the plane, spread evenly in the logarithm of time."""


@dataclass(frozen=True)
class Plane:
    """Initialisations on a grid of the (a, z) plane, none of them on the line a + z = 0.

    Cell centres are a = (2i + 1 - side)/side and z = 1.2 (2j + 1 - side)/side. With an even side, a + z = 0 would ask
    for 5 (odd) + 6 (odd) = 0, an odd number: the nearest centres are 1/(5 side) off.

    ``side``: cells per side, even.
    """

    side: int

    @property
    def columns(self) -> Floats:
        """(side,) float64: a of each column."""
        return np.asarray(WIDTH * (2 * np.arange(self.side) + 1 - self.side) / self.side)

    @property
    def weights(self) -> tuple[Floats, Floats]:
        """Each (side^2,) float64: a and z of the cells, column by column, z rising in each."""
        a, z = np.meshgrid(self.columns, HEIGHT / WIDTH * self.columns, indexing="ij")
        return a.ravel(), z.ravel()

    @property
    def spacing(self) -> float:
        """Height of a cell."""
        return 2 * HEIGHT / self.side


@dataclass(frozen=True)
class Grid:
    """The trained plane: initial a, z (networks,), times, measures (networks, times); ``path`` ends on an axis."""

    plane: Plane
    a: Floats
    z: Floats
    times: Floats
    margin: Floats
    active: Flags
    balance: Floats
    path: Floats

    @property
    def dead(self) -> Flags:
        """Whether each network is inactive at the end."""
        return np.asarray(~self.active[:, -1])

    @property
    def fit(self) -> Flags:
        """Whether each network's margin has reached `LEVEL` at the end."""
        return np.asarray(self.margin[:, -1] >= LEVEL)


def decided_by(a: Floats, z: Floats) -> Floats:
    """Return times (networks,) by which neurons with a > 0 and z < 0 have surely died or turned z.

    Either happens at 2 tau = ln((a + |z|)/|a + z|). Until then the margin is below 0 and the residual above 1/2, so
    that the clock takes 2 tau/(frequency x norm) at most. Neurons with a <= 0 or z >= 0 are decided at 0.
    """
    open_ = (a > 0) & (z < 0)
    ratio = np.divide(np.abs(a) + np.abs(z), np.abs(a + z), out=np.ones_like(a), where=open_)
    return np.asarray(np.log(ratio) / NORM)


def weights_of(a: Floats, z: Floats) -> list[Floats]:
    """Return the two layers, (networks, 1, 1) each, of neurons at a and z (networks,)."""
    return [a[:, None, None], LABEL * z[:, None, None]]


def flow(run: Trial, init: Init, times: Floats, measure: tuple[str, ...], networks: int | None = None) -> xr.Dataset:
    """Return one-neuron networks under gradient flow with cross-entropy, recorded at exactly these times."""
    return flows.flow(run, NETWORK, TASK, init, times, measure=measure, rtol=RTOL, networks=networks)


def mode(a: float, z: float) -> theory.Mode:
    """Return the theory of one neuron at a and z that lives."""
    return theory.Mode(norm=NORM, frequency=1.0, start_margin=NORM * a * z, imbalance=abs(a * a - z * z))


def train_plane(run: Trial, side: int) -> Grid:
    """Train the plane until all cells are decided and, in theory, fit where they live."""
    plane = Plane(side)
    a, z = plane.weights
    lives = (a > 0) & (a + z > 0)
    # The lowest living cell of a column is slowest, but for cells whose weights are nearly balanced: hence 5% more.
    lowest = np.flatnonzero(lives & (a + z < plane.spacing))
    slowest = max(float(mode(a[cell], z[cell]).time(LEVEL)) for cell in lowest)
    until = max(float(decided_by(a, z).max()), 1.05 * slowest)
    times = np.concatenate([[0.0], np.geomspace(0.02, until, RECORDS)])
    data = flow(run, Explicit(weights_of(a, z)), times, ("margin", "active", "balance", "trajectory"))
    margin, active = data["margin"].values[..., 0], data["active"].values[..., 0] > 0
    path = np.stack(path_of(data), axis=-1)
    return Grid(plane, a, z, times, margin, active, data["balance"].values[..., 0], path)


def path_of(data: xr.Dataset) -> tuple[Floats, Floats]:
    """Return a and z, (networks, times) each, along recorded trajectories."""
    return data["trajectory_1"].values[..., 0, 0], LABEL * data["trajectory_2"].values[..., 0, 0]


def spread(a: Floats, z: Floats, times: Floats) -> tuple[Floats, Floats]:
    """Return predicted margins (networks, times), and how far off the flow may carry errors of the integrator.

    The flow multiplies an error in a + z as it does a + z itself, so that no tolerance relative to the margin holds
    near the line. What is added on the way counts as an initialisation moved by TOLERANCE of its larger weight.
    """
    size = TOLERANCE * np.maximum(np.abs(a), np.abs(z))
    best, up, down = (
        theory.separated_margins(weights_of(a + sign * size, z + sign * size), TASK, "cross_entropy", times)[..., 0]
        for sign in (0, 1, -1)
    )
    return best, flows.spread(best, up, down)


def first_time(reached: Flags, times: Floats) -> Floats:
    """Return the first recorded time of each network at which something holds, NaN where it never does."""
    return np.where(reached.any(axis=1), times[reached.argmax(axis=1)], np.nan)
