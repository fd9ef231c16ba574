"""The part of claim ``failure`` without a theory: orthogonal classes, Gaussian initialisation, widths and depths.

Source: theory book, chapters 2 and 3; the bound and the sure failures are derived in `deaths.certain_failures`.
"""

from __future__ import annotations

from itertools import product

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from shoal import Gaussian, GradientDescent, Network, Record, compare_fraction, plot, tasks
from shoal.claims.shared.deaths import Counts, certain_failures, enough, proportion
from shoal.claims.shared.runs import far_seed
from shoal.claims.trial import Trial
from shoal.verdicts.comparison import worst
from shoal.verdicts.layout import Flags, Floats
from shoal.verdicts.proportion import compare_least

TASK = tasks.modes((1.0, 1.0))
DEPTHS, WIDTHS = (1, 2, 3, 4), tuple(range(1, 9))
CELLS, DIMS = tuple(product(DEPTHS, WIDTHS)), ("hidden_layers", "width")
INIT, METHOD = Gaussian(gain=float(np.sqrt(2))), GradientDescent(learning_rate=0.1, steps=1000)
AGAIN = 16  # one network in so many is trained again at half the rate
PART = 200  # offset of the seeds, apart from those of the formulas


def measure(run: Trial, count: int) -> xr.Dataset:
    """Return what became of ``count`` networks of each depth and width, (hidden_layers, width) each.

    ``trials``; ``stuck, undecided``: at the end, as in `Counts`. ``lost``: initialisations that surely lose a class by
    their first layer. ``certain``: those that surely fail, for that reason or because no gradient is left;
    ``certain_failed``: how many of these did. ``turned``: fraction that has learnt all at half time or at the end, and
    not at both. ``other``: fraction that ends otherwise at half the rate.
    """
    cells = [_cell(run, *cell, count, far_seed(run.seed, part)) for part, cell in enumerate(CELLS, start=PART)]
    shape = (len(DEPTHS), len(WIDTHS))
    table = {name: (DIMS, np.reshape([cell[name] for cell in cells], shape)) for name in cells[0]}
    return xr.Dataset(table, coords={"hidden_layers": list(DEPTHS), "width": list(WIDTHS)})


def _margins(run: Trial, network: Network, count: int, seed: int, refine: int = 1) -> Floats:
    """Return the margins (networks, 3, 2) at initialisation, at half time and at the end."""
    steps = METHOD.steps * refine
    method = GradientDescent(learning_rate=METHOD.learning_rate / refine, steps=steps)
    record = Record(steps=(0, steps // 2, steps), measure=("margin",))
    data = run.train(network, TASK, INIT, method=method, record=record, networks=count, seed=seed)
    return np.asarray(data["margin"].values)


def _cell(run: Trial, depth: int, width: int, count: int, seed: int) -> dict[str, float]:
    """Train one cell, look at its initial weights, and train its first networks again at half the rate."""
    network = Network((2, *(width,) * depth, 1))
    margins = _margins(run, network, count, seed)
    weights = INIT.draw(network, TASK, networks=count, seed=seed, threads=run.threads).weights
    lost = lost_classes(np.asarray(weights[0] > 0))
    # Both margins exactly 0: some layer is inactive on both samples, and every gradient is 0.
    certain = lost | np.all(margins[:, 0] == 0, axis=1)
    half, end = np.moveaxis(np.all(margins[:, 1:] > 0, axis=2), 1, 0)
    again = _margins(run, network, max(1, count // AGAIN), seed, refine=2)
    other = np.all(again[:, -1] > 0, axis=1) != end[: len(again)]
    counts = Counts.of(margins[:, 2:])
    found = {"trials": count, "stuck": counts.stuck[-1], "undecided": counts.undecided[-1], "lost": lost.sum()}
    found |= {"certain": certain.sum(), "certain_failed": (certain & ~end).sum()}
    return found | {"turned": (half != end).mean(), "other": other.mean()}


def lost_classes(active: Flags) -> Flags:
    """Return which initialisations surely lose a class, (networks,), from active units (networks, units, classes)."""
    serving = active.sum(axis=1)
    shared = np.all(serving == 1, axis=1) & np.any(active.all(axis=2), axis=1)
    return np.asarray(np.any(serving == 0, axis=1) | shared)


def compare(run: Trial, surface: xr.Dataset) -> None:
    """Compare what can be said of the surface: how many initialisations are lost, that they fail, and the bound."""
    lost, bounds = [], []
    columns = (surface["trials"], surface["lost"], surface["stuck"] + surface["undecided"])
    counts = (column.values.ravel().tolist() for column in columns)
    for (depth, width), trials, gone, failed in zip(CELLS, *counts, strict=True):
        formula = certain_failures(width)
        if width == 1 or enough(trials, formula):
            lost.append(compare_fraction(gone, trials, formula))
        if width > 1:
            bounds.append(compare_least(failed, trials, certain_failures(width, depth)))
    # Every initialisation of width 1 is lost, so that there always are such initialisations.
    certain, kept = int(surface["certain"].sum()), int(surface["certain_failed"].sum())
    formula_of_lost = "formula 1 - (1 - 2^-w)^2 + w 4^-w"
    run.row(f"two classes: fraction of initialisations that lose a class, {formula_of_lost}", worst(lost))
    run.compare_fraction("two classes: of the initialisations that surely fail, fraction that does", kept, certain, 1.0)
    run.row("two classes: fraction that fails is at least the bound, w = 2..8, 1-4 hidden layers", worst(bounds))


def fractions(surface: xr.Dataset) -> xr.Dataset:
    """Return fractions and intervals, (hidden_layers, width) each; the intervals count the undecided either way."""
    stuck, undecided, certain, trials = (surface[name].values for name in ("stuck", "undecided", "certain", "trials"))
    least = proportion("surface_failed", DIMS, stuck, trials)["surface_failed_low"]
    bound = np.reshape([certain_failures(width, depth) for depth, width in CELLS], trials.shape)
    table = proportion("surface_failed", DIMS, stuck + undecided, trials) | {
        "surface_failed_low": least,
        "surface_undecided": (DIMS, undecided / trials),
        "surface_certain": (DIMS, certain / trials),
        "surface_bound": (DIMS, bound),
    }
    return xr.Dataset(table, coords=surface.coords)


def draw(axes: Axes, data: xr.Dataset) -> None:
    """Draw the surface as a heat map with its numbers."""
    fraction = data["surface_failed"].values
    half = float((data["surface_failed_high"] - data["surface_failed_low"]).max()) / 2
    axes.imshow(fraction, cmap="cividis", vmin=0, vmax=1, aspect="auto", origin="lower")
    for (row, column), value in np.ndenumerate(fraction):
        colour = "white" if value < 0.5 else "black"
        axes.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=12, color=colour)
    axes.set_xticks(range(len(WIDTHS)), [str(width) for width in WIDTHS])
    axes.set_yticks(range(len(DEPTHS)), [str(depth) for depth in DEPTHS])
    axes.grid(visible=False)
    axes.set(xlabel="units per hidden layer", ylabel="hidden layers")
    axes.plot([], [], "s", color="0.5", label=f"fraction that fails, ±{half:.3f} at most (4 s.d.)")
    plot.legend(axes, loc="upper center", bbox_to_anchor=(0.5, -0.16))
