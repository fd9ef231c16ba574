"""Claim: what a further layer does to the time of learning depends on what is held fixed at initialisation."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from shoal import Explicit, Network, claim, compare_flow, compare_fraction, plot, tasks, theory
from shoal.claims.shared.balanced import mode_of
from shoal.claims.shared.figures import key, legends
from shoal.claims.shared.flows import TOLERANCE, arrival_error, compare_arrivals, flow, spread
from shoal.claims.shared.runs import crossing_times, far_seed
from shoal.claims.trial import Trial
from shoal.verdicts.comparison import Comparison
from shoal.verdicts.layout import Floats

DEPTHS = (1, 2, 3, 4, 5, 6)  # weight layers
NORMS, FREQUENCIES = (1.7, 0.9), (0.6, 0.4)
TASK = tasks.modes(norms=NORMS, frequencies=FREQUENCIES)
UNITS = 3  # hidden units per layer that carry each mode
LOSSES = {"cross_entropy": "cross-entropy", "hinge": "hinge"}
KINDS = {"margin": "margins", "weights": "weights"}
LEVELS = {"cross_entropy": (1.0, 4.0), "hinge": (1.0,)}  # margins whose arrival is compared; there the hinge ends
RECORDS, EVERY = 4801, 24  # margins are compared at every 24th record


def chains(strengths: Floats, draw: np.random.Generator) -> Explicit:
    """Return networks of given strengths (networks, 2, layers): each mode has units of its own, and rank-one weights.

    A mode's margin is its norm times the product of its strengths, which are not negative before the last. Directions
    are positive, so that units are active; weights to the units of the other mode are negative: those stay inactive.
    """
    networks, _, layers = strengths.shape
    sizes = (2, *(2 * UNITS,) * (layers - 1), 1)
    weights = [-np.abs(draw.normal(0, 0.2, (networks, out, into))) for into, out in pairwise(sizes)]
    for k, label in enumerate(TASK.labels):
        directions = draw.uniform(0.2, 1.0, (layers - 1, networks, UNITS))
        directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
        ends = [np.ones((networks, 1)), *directions, np.full((networks, 1), float(label))]
        own = slice(k * UNITS, (k + 1) * UNITS)
        for at, (into, out) in enumerate(pairwise(ends)):
            rows = slice(0, 1) if at == layers - 1 else own
            columns = slice(k, k + 1) if at == 0 else own
            weights[at][:, rows, columns] = strengths[:, k, at, None, None] * out[:, :, None] * into[:, None, :]
    return Explicit(weights)


def balanced_strengths(margins: Floats, layers: int) -> Floats:
    """Return the strengths (networks, 2, layers), all equal in a mode, of initial margins (networks, 2)."""
    equal = (margins / NORMS) ** (1 / layers)
    return np.repeat(equal[:, :, None], layers, axis=2)


def draw_margins(networks: int, seed: int) -> dict[str, Floats]:
    """Return initial margins (networks, depths, 2) float64: the same at every depth, or of the same weights.

    The first network has initial margin 0.01, or strength 0.3 in every layer; the others are drawn log-uniformly.
    """
    draw = np.random.default_rng(seed)
    margins = np.exp(draw.uniform(np.log(3e-3), np.log(1e-1), networks))
    strengths = np.exp(draw.uniform(np.log(0.25), np.log(0.5), networks))
    margins[0], strengths[0] = 0.01, 0.3
    powers = strengths[:, None] ** np.array(DEPTHS)
    return {
        "margin": np.broadcast_to(margins[:, None, None], (networks, len(DEPTHS), 2)),
        "weights": powers[:, :, None] * np.array(NORMS),
    }


class Trained(NamedTuple):
    """Networks of one depth under one loss; or of every depth, which is then the last axis of each field."""

    times: Floats  # (records,); the next four are (networks, records, 2)
    margins: Floats
    predicted: Floats
    carried: Floats  # what theory makes of an error of TOLERANCE in all layers
    deeper: Floats  # predicted with one layer more
    arrivals: Floats  # at the levels, (networks, 2, levels)
    formula: Floats
    error: Floats  # of the arrivals

    @classmethod
    def at_every_depth(cls, run: Trial, initial: Floats, loss: str) -> Trained:
        """Train from initial margins (networks, depths, 2) and predict each mode of each network."""
        draw = np.random.default_rng(run.seed)
        depths = [cls.of(run, initial[:, at], layers, loss, draw) for at, layers in enumerate(DEPTHS)]
        return cls(*(np.stack(column, axis=-1) for column in zip(*depths, strict=True)))

    @classmethod
    def of(cls, run: Trial, initial: Floats, layers: int, loss: str, draw: np.random.Generator) -> Trained:
        """Train networks of so many layers from initial margins (networks, 2), and predict them."""

        def modes(margins: Floats, layers: int = layers) -> list[list[theory.Mode]]:
            pairs = (zip(network, NORMS, FREQUENCIES, strict=True) for network in margins)
            return [[mode_of(*each, depth=layers, loss=loss) for each in pair] for pair in pairs]

        # Every layer off by the tolerance, up and down: the margin is the product of all.
        theories = [modes(initial * factor) for factor in (1 + TOLERANCE * np.array([0, 1, -1])) ** layers]
        levels = LEVELS[loss]
        formula, *shifted = np.array([[[each.time(levels) for each in pair] for pair in one] for one in theories])
        # Denser towards the start, where shallow networks are quick; long enough for the slowest.
        times = 1.2 * formula.max() * np.expm1(np.linspace(0, 4, RECORDS)) / np.expm1(4)
        found = _train(run, balanced_strengths(initial, layers), times, loss, draw)
        some, versions = times[::EVERY], (*theories, modes(initial, layers + 1))
        curves = np.array([[[each.margin(some) for each in pair] for pair in one] for one in versions])
        predicted, *others, deeper = np.moveaxis(curves, -1, 2)
        above = 0 if loss == "hinge" else 3
        arrivals, error = np.empty((2, *formula.shape))
        for at, level in enumerate(levels):
            arrivals[..., at], reading = crossing_times(times, np.moveaxis(found, 1, -1), level, above=above)
            # The hinge's velocity at its threshold is 0; that with which it arrives is the one just below.
            velocity = np.array([[each.velocity(np.nextafter(level, 0)) for each in pair] for pair in theories[0]])
            error[..., at] = arrival_error(reading, predicted.max(axis=1), velocity, above=above)
        carried, error = spread(predicted, *others), error + spread(formula, *shifted)
        return cls(some, found[:, ::EVERY], predicted, carried, deeper, arrivals, formula, error)


def _train(run: Trial, strengths: Floats, times: Floats, loss: str, draw: np.random.Generator) -> Floats:
    network = Network((2, *(2 * UNITS,) * (strengths.shape[2] - 1), 1))
    return np.asarray(flow(run, network, TASK, chains(strengths, draw), times, loss=loss)["margin"].values)


def unbalanced(run: Trial, loss: str, networks: int) -> Comparison:
    """Return the comparison of margins of chains whose layers differ, some with a last layer of the wrong sign.

    Such a mode recovers where the last layer is the smallest; elsewhere its hidden units die.
    """
    draw = np.random.default_rng(far_seed(run.seed, 1))
    times = np.linspace(0, 60, 121)
    parts = []
    for layers in DEPTHS[1:]:
        strengths = np.exp(draw.uniform(np.log(0.2), np.log(0.8), (networks, 2, layers)))
        strengths[::4, :, -1] *= -1
        measured = _train(run, strengths, times, loss, draw)
        shift = TOLERANCE * np.abs(strengths).max(axis=2, keepdims=True)
        expected, *others = (_chain_margins(strengths + sign * shift, loss, times) for sign in (0, 1, -1))
        parts.append((measured, expected, spread(expected, *others)))
    found, expected, bias = (np.stack(given, axis=2) for given in zip(*parts, strict=True))
    return compare_flow(found, expected, tolerance=TOLERANCE, bias=bias)


def _chain_margins(strengths: Floats, loss: str, times: Floats) -> Floats:
    given = [{"norm": norm, "frequency": frequency} for norm, frequency in zip(NORMS, FREQUENCIES, strict=True)]
    margins = [
        theory.Chain(tuple(layers), **own, loss=loss, activation="relu").margin(times)
        for network in strengths
        for own, layers in zip(given, network, strict=True)
    ]
    return np.reshape(margins, (len(strengths), 2, len(times))).swapaxes(1, 2)


@claim(
    "depth",
    "Depth lengthens the plateau and shortens the rise: from equal margins little is lost, from equal small"
    " weights each layer costs time.",
    source="arXiv:1809.06848; theory book, chapter 4",
)
def depth(run: Trial) -> Figure:
    """Compare every depth under both losses, from equal initial margins and from equal initial weights."""
    count = run.networks(full=24, quick=6)
    initial = draw_margins(count, run.seed)
    trained = {
        (loss, kind): Trained.at_every_depth(run, given, loss) for loss in LEVELS for kind, given in initial.items()
    }
    for (loss, kind), found in trained.items():
        words = f"{LOSSES[loss]}, equal initial {KINDS[kind]}"
        run.compare_flow(f"margin, {words}", found.margins, found.predicted, TOLERANCE, bias=found.carried)
        run.must_fail("one layer more", compare_flow(found.margins, found.deeper, TOLERANCE, bias=found.carried))
        what = "time T at which training ends" if loss == "hinge" else "time to margins 1 and 4"
        run.row(f"{what}, {words}", compare_arrivals(found.arrivals, found.formula, found.error))
        run.must_fail("2% later", compare_arrivals(found.arrivals, 1.02 * found.formula, found.error))
    run.row("fraction of arrivals at which another depth than theory's is first", first(trained))
    for loss, words in LOSSES.items():
        run.row(f"margin, {words}, unbalanced layers", unbalanced(run, loss, count))
    data = _data(trained, initial)
    run.note(
        _times("equal initial margins 0.01, mode of norm 1.7", data, "margin"),
        _times("equal initial weights, strength 0.3 per layer", data, "weights"),
        "From equal initial margins depth lengthens the plateau and shortens what comes after it: which depth is first"
        " depends on the level. From equal small weights each layer makes the initial margin smaller by its strength.",
        "Times are of balanced layers; the margins of unbalanced ones follow one quadrature. All modes have units of"
        " their own: no closed form is known for fully connected random initialisations of more than two layers.",
    )
    return _figure(run.save(data))


def first(trained: dict[tuple[str, str], Trained]) -> Comparison:
    """Return how often another depth than the predicted one is first, for each network, mode and level: never."""
    others = [found.arrivals.argmin(axis=-1) != found.formula.argmin(axis=-1) for found in trained.values()]
    return compare_fraction(sum(int(each.sum()) for each in others), sum(each.size for each in others), 0.0)


def _times(start: str, data: xr.Dataset, kind: str) -> str:
    """Return the times of the first network's first mode in a sentence."""
    parts = []
    for loss, level in ((loss, level) for loss, levels in LEVELS.items() for level in levels):
        times = data[f"{loss}_{kind}_arrival"].sel(level=level).values[:, 0]
        parts.append(f"{LOSSES[loss]} to margin {level:g}: {', '.join(f'{time:.2f}' for time in times)}")
    return f"Times at 1 to 6 layers from {start}: " + "; ".join(parts) + "."


def _data(trained: dict[tuple[str, str], Trained], initial: dict[str, Floats]) -> xr.Dataset:
    """Return the first network of each training."""
    parts = [xr.Dataset({f"start_{kind}": (("layers", "mode"), given[0]) for kind, given in initial.items()})]
    for (loss, kind), found in trained.items():
        table: dict[str, Any] = {"time": (("record", "layers"), found.times)}
        for name, margins, arrivals in (
            ("", found.margins, found.arrivals),
            ("_predicted", found.predicted, found.formula),
        ):
            table[f"margin{name}"] = (("record", "mode", "layers"), margins[0])
            table[f"arrival{name}"] = (("mode", "level", "layers"), arrivals[0])
        coords = {"layers": list(DEPTHS), "level": list(LEVELS[loss]), "norm": ("mode", list(NORMS))}
        parts.append(xr.Dataset({f"{loss}_{kind}_{name}": column for name, column in table.items()}, coords=coords))
    # Under the hinge the second level is never reached: NaN.
    return xr.merge(parts, join="outer", compat="no_conflicts").transpose("record", "layers", "mode", "level")


def _figure(data: xr.Dataset) -> Figure:
    titles = ("Deeper: a longer plateau, a steeper rise", "From equal margins, depth costs little")
    made, panels = plot.figure((*titles, "From equal weights, layers cost time"), width=4.8, height=4.2)
    curves, *times = panels
    for layers, colour, marker in zip(DEPTHS, plot.COLOURS, "os^Dv<", strict=False):
        chosen = data.sel(layers=layers).isel(mode=0)
        at, measured, predicted = (
            chosen[f"cross_entropy_margin_{name}"].values for name in ("time", "margin", "margin_predicted")
        )
        # At even margins, another phase for each depth, so that no marker hides another.
        shown = np.searchsorted(measured, np.arange(0.15 + 0.1 * layers, 5, 0.65)).clip(max=len(at) - 1)
        plot.points(curves, at[shown], measured[shown], color=colour, fmt=marker)
        plot.theory(curves, at[1:], predicted[1:], color=colour, label=f"{layers} layer{'s'[: layers - 1]}")
    key(curves)
    curves.set(xscale="log", xlim=(0.3, 60), ylim=(0, 5), xlabel="time (gradient flow)", ylabel="margin, cross-entropy")
    series = (
        ("cross_entropy", 1.0, "cross-entropy to margin 1"),
        ("cross_entropy", 4.0, "cross-entropy to margin 4"),
        ("hinge", 1.0, "hinge, until it ends"),
    )
    for axes, kind, condition in zip(times, KINDS, ("initial margin 0.01", "strength 0.3 per layer"), strict=True):
        for (loss, level, label), colour, marker in zip(series, plot.COLOURS, "os^", strict=False):
            chosen = data.sel(level=level).isel(mode=0)
            plot.points(axes, DEPTHS, chosen[f"{loss}_{kind}_arrival"], color=colour, fmt=marker, label=label)
            plot.theory(axes, DEPTHS, chosen[f"{loss}_{kind}_arrival_predicted"], color=colour, zorder=2)
        plot.theory(axes, [], [], color="0.3", label="theory")
        axes.set(yscale="log", xlabel=f"weight layers; {condition}", ylabel="time to the margin (gradient flow)")
    legends(panels)
    return made
