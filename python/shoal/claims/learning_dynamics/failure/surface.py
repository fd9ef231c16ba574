"""The part of claim ``failure`` without a theory: orthogonal classes, Gaussian initialisation, widths and depths.

Source: theory book, chapters 2 and 3; the bound and the sure failures are derived in `deaths.certain_failures`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from numpy.typing import NDArray

from shoal import Gaussian, GradientDescent, Network, Record, plot
from shoal.claims.shared.deaths import Counts, certain_failures, enough, proportion
from shoal.claims.shared.runs import far_seed
from shoal.claims.trial import Trial
from shoal.tasks import modes
from shoal.verdicts.comparison import worst
from shoal.verdicts.layout import Floats
from shoal.verdicts.proportion import compare_fraction, compare_least

Flags = NDArray[np.bool_]

TASK = modes((1.0, 1.0))
WIDTHS, DEPTHS = tuple(range(1, 9)), (1, 2, 3, 4)
CELLS = len(WIDTHS) * len(DEPTHS)
INIT, METHOD = Gaussian(gain=float(np.sqrt(2))), GradientDescent(learning_rate=0.1, steps=1000)
AGAIN = 16
"""One network in so many is trained again at half the rate."""

PART = 200
"""Offset of the seeds, apart from those of the formulas."""


@dataclass(frozen=True)
class Cell:
    """What became of the networks of one width and depth.

    ``counts``: at half time and at the end. ``lost``: initialisations that surely lose a class by their first layer.
    ``certain, certain_failed``: initialisations that surely fail, for that reason or because no gradient is left; and
    how many of them did. ``turned``: fraction of networks that learnt all or did not at half time, and the other at the
    end. ``other``: fraction of networks that end otherwise at half the rate.
    """

    counts: Counts
    lost: int
    certain: int
    certain_failed: int
    turned: float
    other: float


def measure(run: Trial, count: int) -> dict[tuple[int, int], Cell]:
    """Return the cells by (hidden layers, width), of ``count`` networks each."""
    return {
        (depth, width): _cell(run, Network((2, *(width,) * depth, 1)), count, far_seed(run.seed, part))
        for part, (depth, width) in enumerate(((d, w) for d in DEPTHS for w in WIDTHS), start=PART)
    }


def _margins(run: Trial, network: Network, count: int, seed: int, refine: int = 1) -> Floats:
    """Return the margins (networks, 3, 2) at initialisation, at half time and at the end."""
    steps = METHOD.steps * refine
    method = GradientDescent(learning_rate=METHOD.learning_rate / refine, steps=steps)
    record = Record(steps=(0, steps // 2, steps), measure=("margin",))
    data = run.train(network, TASK, INIT, method=method, record=record, networks=count, seed=seed)
    return np.asarray(data["margin"].values)


def _cell(run: Trial, network: Network, count: int, seed: int) -> Cell:
    """Train one cell, look at its initial weights, and train its first networks again at half the rate."""
    margins = _margins(run, network, count, seed)
    weights = INIT.draw(network, TASK, networks=count, seed=seed, threads=run.threads).weights
    lost = lost_classes(np.asarray(weights[0] > 0))
    # Both margins exactly 0: some layer is inactive on both samples, and every gradient is 0.
    certain: Flags = lost | np.all(margins[:, 0] == 0, axis=1)
    learnt: Flags = np.all(margins > 0, axis=2)
    again = _margins(run, network, max(1, count // AGAIN), seed, refine=2)
    other = np.all(again[:, -1] > 0, axis=1) != learnt[: len(again), -1]
    return Cell(
        counts=Counts.of(margins[:, 1:]),
        lost=int(lost.sum()),
        certain=int(certain.sum()),
        certain_failed=int((certain & ~learnt[:, -1]).sum()),
        turned=float((learnt[:, 1] != learnt[:, 2]).mean()),
        other=float(other.mean()),
    )


def lost_classes(active: Flags) -> Flags:
    """Return which initialisations, (networks,) bool, surely lose a class.

    ``active`` (networks, units, 2): which first-layer unit is active on which class.
    """
    serving = active.sum(axis=1)
    shared = np.all(serving == 1, axis=1) & np.any(active.all(axis=2), axis=1)
    return np.asarray(np.any(serving == 0, axis=1) | shared)


def compare(run: Trial, surface: dict[tuple[int, int], Cell]) -> None:
    """Compare what can be said of the surface: how many initialisations are lost, that they fail, and the bound."""
    lost, bounds = [], []
    for (depth, width), cell in surface.items():
        trials, formula = cell.counts.trials, certain_failures(width)
        if width == 1 or enough(trials, formula):
            lost.append(compare_fraction(cell.lost, trials, formula))
        if width > 1:
            bounds.append(compare_least(int(cell.counts.failed[-1]), trials, certain_failures(width, depth)))
    # Every initialisation of width 1 is lost, so that there always are such initialisations.
    certain = sum(cell.certain for cell in surface.values())
    kept = sum(cell.certain_failed for cell in surface.values())
    formula_of_lost = "formula 1 - (1 - 2^-w)^2 + w 4^-w"
    run.row(f"two classes: fraction of initialisations that lose a class, {formula_of_lost}", worst(lost))
    run.compare_fraction("two classes: of the initialisations that surely fail, fraction that does", kept, certain, 1.0)
    run.row("two classes: fraction that fails is at least the bound, w = 2..8, 1-4 hidden layers", worst(bounds))


def dataset(surface: dict[tuple[int, int], Cell]) -> xr.Dataset:
    """Return fractions and intervals, (hidden_layers, width) each; the intervals count the undecided either way."""
    dims, shape = ("hidden_layers", "width"), (len(DEPTHS), len(WIDTHS))
    cells = list(surface.values())
    trials = np.reshape([cell.counts.trials for cell in cells], shape)
    failed = np.reshape([cell.counts.failed[-1] for cell in cells], shape)
    stuck = np.reshape([cell.counts.stuck[-1] for cell in cells], shape)
    least = proportion("surface_failed", dims, stuck, trials)["surface_failed_low"]
    table = proportion("surface_failed", dims, failed, trials) | {
        "surface_failed_low": least,
        "surface_undecided": (dims, (failed - stuck) / trials),
        "surface_certain": (dims, np.reshape([cell.certain for cell in cells], shape) / trials),
        "surface_bound": (dims, np.array([[certain_failures(width, depth) for width in WIDTHS] for depth in DEPTHS])),
    }
    return xr.Dataset(table, coords={"hidden_layers": list(DEPTHS), "width": list(WIDTHS)})


def draw(axes: Axes, data: xr.Dataset) -> None:
    """Draw the surface as a heat map with its numbers."""
    fraction = data["surface_failed"].values
    half = (data["surface_failed_high"] - data["surface_failed_low"]).values / 2
    axes.imshow(fraction, cmap="cividis", vmin=0, vmax=1, aspect="auto", origin="lower")
    for (row, column), value in np.ndenumerate(fraction):
        text = f"{value:.3f}\n±{half[row, column]:.3f}"
        colour = "white" if value < 0.5 else "black"
        axes.text(column, row, text, ha="center", va="center", fontsize=9, color=colour)
    axes.set_xticks(range(len(WIDTHS)), [str(width) for width in WIDTHS])
    axes.set_yticks(range(len(DEPTHS)), [str(depth) for depth in DEPTHS])
    axes.grid(visible=False)
    axes.set(xlabel="units a hidden layer", ylabel="hidden layers")
    axes.plot([], [], "s", color="0.5", label="fraction that fails, ± half its interval (4 s.d., undecided either way)")
    plot.legend(axes, fontsize=9.5, loc="upper center", bbox_to_anchor=(0.5, -0.13))
