"""The plane of claim ``phase-diagram``: one-neuron networks on a grid of initialisations, and their training.

a is the weight into the neuron along its input, on which it is active where a > 0; z is the label times the weight out
of it; p and rho are frequency and norm of the input. Source: theory book, chapter 2.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import xarray as xr

from shoal import Explicit, Init, Network, Task, theory
from shoal.claims.shared import flows
from shoal.claims.trial import Trial
from shoal.verdicts.layout import Flags, Floats

NORM, LABEL = 1.25, -1
TASK, NETWORK = Task([[NORM]], [LABEL]), Network((1, 1, 1))
WIDTH, HEIGHT = 1.0, 1.2  # half extents of the plane: |a| < 1 and |z| < 1.2
RTOL = 1e-10
TOLERANCE = 10 * RTOL
LEVEL = 2.0  # margin at which a network counts as fit; no initialisation has it
RECORDS = 100  # of the plane, spread evenly in the logarithm of time


def cells(side: int) -> tuple[Floats, Floats]:
    """Return a and z of the centres of the cells, (side^2,) each, column by column; none is on the line a + z = 0.

    a = (2i + 1 - side)/side and z = 1.2 (2j + 1 - side)/side. With an even side, a + z = 0 would ask for 5 (odd) +
    6 (odd) = 0, an odd number: the nearest centres are 1/(5 side) off.
    """
    columns = WIDTH * (2 * np.arange(side) + 1 - side) / side
    a, z = np.meshgrid(columns, HEIGHT / WIDTH * columns, indexing="ij")
    return a.ravel(), z.ravel()


@dataclass(frozen=True)
class Grid:
    """The trained plane: initial a, z (networks,), times, measures (networks, times); ``path`` ends on an axis."""

    side: int
    a: Floats
    z: Floats
    times: Floats
    margin: Floats
    active: Flags
    balance: Floats
    path: Floats

    @property
    def columns(self) -> Floats:
        """(side,) float64: a of each column."""
        return self.a[:: self.side]

    @property
    def dead(self) -> Flags:
        """Whether each network is inactive at the end."""
        return np.asarray(~self.active[:, -1])


def decided_by(a: Floats, z: Floats) -> Floats:
    """Return times (networks,) by which neurons have surely died or turned z; 0 where a <= 0 or z >= 0.

    Either happens at 2 tau = ln((a + |z|)/|a + z|). Until then the margin is below 0 and the residual above 1/2, so
    that the clock takes 2 tau/(frequency x norm) at most.
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
    a, z = cells(side)
    lives = (a > 0) & (a + z > 0)
    # The lowest living cell of a column is slowest, but for cells whose weights are nearly balanced: hence 5% more.
    lowest = np.flatnonzero(lives & (a + z < 2 * HEIGHT / side))
    slowest = max(float(mode(a[cell], z[cell]).time(LEVEL)) for cell in lowest)
    until = max(float(decided_by(a, z).max()), 1.05 * slowest)
    times = np.concatenate([[0.0], np.geomspace(0.02, until, RECORDS)])
    data = flow(run, Explicit(weights_of(a, z)), times, ("margin", "active", "balance", "trajectory"))
    margin, active, balance = (data[name].values[..., 0] for name in ("margin", "active", "balance"))
    return Grid(side, a, z, times, margin, active > 0, balance, np.stack(path_of(data), axis=-1))


def path_of(data: xr.Dataset) -> tuple[Floats, Floats]:
    """Return a and z, (networks, times) each, along recorded trajectories."""
    return data["trajectory_1"].values[..., 0, 0], LABEL * data["trajectory_2"].values[..., 0, 0]


def predict(theory_of: Callable[[Floats, Floats], Floats], a: Floats, z: Floats) -> tuple[Floats, Floats]:
    """Return what theory says of neurons at a and z, and how far off the flow may carry errors of the integrator.

    The flow multiplies an error in a + z as it does a + z itself, so that no tolerance relative to the margin holds
    near the line. What is added on the way counts as an initialisation moved by TOLERANCE of its larger weight.
    """
    size = TOLERANCE * np.maximum(np.abs(a), np.abs(z))
    best, up, down = (theory_of(a + sign * size, z + sign * size) for sign in (0, 1, -1))
    return best, flows.spread(best, up, down)


def predicted_margins(a: Floats, z: Floats, times: Floats) -> tuple[Floats, Floats]:
    """Return margins (networks, times), and how far they may be off, as `predict` does."""
    return predict(lambda *az: theory.separated_margins(weights_of(*az), TASK, "cross_entropy", times)[..., 0], a, z)


def first_time(reached: Flags, times: Floats) -> Floats:
    """Return the first recorded time of each network at which something holds, NaN where it never does."""
    return np.where(reached.any(axis=1), times[reached.argmax(axis=1)], np.nan)
