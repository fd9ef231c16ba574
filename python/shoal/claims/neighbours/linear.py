"""Claim: deep linear networks learn each singular mode of the data by itself, the strongest first."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from shoal import Explicit, GradientFlow, Record, claim, compare_flow, plot, theory
from shoal.claims.shared import linear as deep
from shoal.claims.shared.figures import key, legends
from shoal.claims.shared.flows import TOLERANCE, arrival_error, compare_arrivals, flow
from shoal.claims.shared.runs import crossing_times
from shoal.claims.trial import Trial
from shoal.verdicts.layout import Floats

LAYERS = (2, 3, 5)
STRENGTHS = np.array([2.0, 1.4, 0.9, 0.6])  # singular values of the random task
HIDDEN = 6
LEVEL = 0.5  # of its singular value, at which a mode counts as learnt
TREE = 3  # levels of binary splits: eight items
RECORDS, EVERY = 2001, 20  # modes are compared at every 20th record, times are read from all
RATIOS = (1 / 3, 1 / 2, 2 / 3)  # of the weaker to the stronger mode, in networks with random weights
SIZES = 4.0 ** -np.arange(5, 9)  # of random weights: of the part that makes the stronger mode grow
FINE = 1e-12  # rtol of the flows from random weights, whose gap to theory is small


def predicted_strengths(times: Floats, initial: Floats, targets: Floats, layers: int) -> Floats:
    """Return each mode's strength by its own formula, (networks, times, modes), from initial ones (networks, modes)."""
    pairs = [[(u, s) for u, s in zip(each, targets, strict=True)] for each in initial]
    curves = [[theory.linear_mode(times, u, s, layers) for u, s in each] for each in pairs]
    return np.asarray(curves).swapaxes(1, 2)


def arrivals(initial: Floats, targets: Floats, layers: int) -> Floats:
    """Return when each mode is at `LEVEL` of its target, (networks, modes), by theory."""
    pairs = [zip(each, targets, strict=True) for each in initial]
    return np.array([[float(theory.learning_time(LEVEL * s, u, s, layers)) for u, s in each] for each in pairs])


def draw_initial(networks: int, modes: int, draw: np.random.Generator, *, equal: bool = False) -> Floats:
    """Return initial strengths (networks, modes), log-uniform; or one per network. The first network has 0.01."""
    drawn = np.exp(draw.uniform(np.log(3e-3), np.log(3e-2), (networks, 1 if equal else modes)))
    drawn[0] = 0.01
    return np.repeat(drawn, modes, axis=1) if equal else drawn


def tree(splits: int) -> tuple[Floats, Floats]:
    """Return the features (nodes, items) of the leaves of a binary tree, and the level (items,) of each of its modes.

    An item is a leaf and has the feature of every node above it. Singular vectors over items are those of Haar: the
    whole, then the difference of the two halves of each branch; those of one level have one singular value.
    """
    items = 2**splits
    sizes = [items >> level for level in range(splits + 1)]
    features = np.concatenate([np.kron(np.eye(items // size), np.ones(size)) for size in sizes])
    return features, np.array([0] + [1 + level for level in range(splits) for _ in range(2**level)])


def tree_strengths(splits: int) -> Floats:
    """Return the singular value (levels,) of each level: sqrt((2^k - 1)/items), k = splits + 1, .., 1."""
    return np.asarray(np.sqrt((2.0 ** np.arange(splits + 1, 0, -1) - 1) / 2**splits))


@claim(
    "linear",
    "A deep linear network learns each mode of the data along its own curve, strong modes and coarse distinctions"
    " first.",
    source="arXiv:1312.6120; theory book, chapter 9",
)
def linear(run: Trial) -> Figure:
    """Compare every mode at several depths, what mixes, a tree of items, and small random weights."""
    parts = [_modes(run), _tree(run), _random(run)]
    _unmixed(run)
    run.note(
        "Inputs are whitened and initial weights aligned with the data, but for the last rows: those are of random"
        " weights of two layers. From them, strength u_0 of a mode is the squared size of the part of its weights that"
        " grows, orthogonal to those of stronger modes.",
        "The order 2 (1 - s_2/s_1) is derived on the claim's page; it is not in the paper.",
        "No closed form is known for random weights of more than two layers.",
    )
    return _figure(run.save(xr.merge(parts, compat="no_conflicts", join="outer")))


def _modes(run: Trial) -> xr.Dataset:
    """Compare modes and what mixes in random frames, at several depths; return the first network of each."""
    count, size = run.networks(full=64, quick=8), len(STRENGTHS)
    table: dict[str, Any] = {}
    draw = np.random.default_rng(run.seed)
    left, right = deep.rotations(draw, 2, size, size)
    task = deep.whitened(left * STRENGTHS @ right.T)
    for layers in LAYERS:
        initial = draw_initial(count, size, draw)
        between = [deep.rotations(draw, count, HIDDEN, size) for _ in range(layers - 1)]
        init = deep.aligned(initial, layers, left, right, np.array(between))
        times = np.linspace(0, 1.5 * arrivals(initial, STRENGTHS, layers).max(), RECORDS)[::EVERY]
        network = deep.network(layers, size, HIDDEN, size)
        data = flow(run, network, task, init, times, measure=("output",), loss="squared")
        found = deep.mixing(data, left, right)
        predicted = predicted_strengths(times, initial, STRENGTHS, layers)
        strengths, mixed = deep.diagonal(found), deep.off_diagonal(found)
        run.compare_flow(f"{layers} layers: strength of each mode", strengths, predicted, TOLERANCE)
        for wrong, curves in (
            ("one layer more", predicted_strengths(times, initial, STRENGTHS, layers + 1)),
            ("singular values larger by 1e-6", predicted_strengths(times, initial, (1 + 1e-6) * STRENGTHS, layers)),
        ):
            run.must_fail(wrong, compare_flow(strengths, curves, TOLERANCE))
        given: Any = {"tolerance": TOLERANCE, "bias": TOLERANCE * STRENGTHS[0]}
        run.compare_flow(f"{layers} layers: what one mode adds to another", mixed, np.zeros_like(mixed), **given)
        run.must_fail("1e-6 of a mode", compare_flow(mixed, np.full_like(mixed, 1e-6 * STRENGTHS.min()), **given))
        table[f"time_{layers}"] = (("record",), times)
        table[f"strength_{layers}"] = (("record", "mode"), strengths[0])
    return xr.Dataset(table, coords={"singular_value": ("mode", STRENGTHS)})


def _unmixed(run: Trial) -> None:
    """Compare what mixes where singular vectors are axes: there no operation rounds, and nothing may mix."""
    count, size, parts = run.networks(full=64, quick=8), len(STRENGTHS), []
    draw = np.random.default_rng([run.seed, 1])
    left, right = deep.signed_permutations(draw, 2, size, size)
    task = deep.whitened(left * STRENGTHS @ right.T)
    times = np.linspace(0, 12, 61)
    for layers in LAYERS:
        initial = draw_initial(count, size, draw)
        between = [deep.signed_permutations(draw, count, HIDDEN, size) for _ in range(layers - 1)]
        init = deep.aligned(initial, layers, left, right, np.array(between))
        network = deep.network(layers, size, HIDDEN, size)
        data = flow(run, network, task, init, times, measure=("output",), loss="squared")
        parts.append(deep.off_diagonal(deep.mixing(data, left, right)))
    mixed = np.concatenate(parts)
    run.compare_flow("singular vectors along axes: what mixes is 0 to the bit", mixed, np.zeros_like(mixed), TOLERANCE)
    run.must_fail("1e-15", compare_flow(mixed, np.full_like(mixed, 1e-15), TOLERANCE))


def _tree(run: Trial) -> xr.Dataset:
    """Compare the modes of a tree, from equal initial strengths: all modes of a level as one, level after level."""
    count = run.networks(full=64, quick=8)
    table: dict[str, Any] = {}
    draw = np.random.default_rng([run.seed, 2])
    features, levels = tree(TREE)
    task = deep.whitened(features / np.sqrt(features.shape[1]))
    left, _, right = np.linalg.svd(features / np.sqrt(features.shape[1]), full_matrices=False)
    targets = tree_strengths(TREE)[levels]
    coarse, fine = np.nonzero(levels[:, None] < levels)
    late = []
    for layers in LAYERS[:2]:
        initial = draw_initial(count, len(levels), draw, equal=True)
        between = [deep.rotations(draw, count, len(levels), len(levels)) for _ in range(layers - 1)]
        init = deep.aligned(initial, layers, left, right.T, np.array(between))
        formula = arrivals(initial, targets, layers)
        times = np.linspace(0, 1.3 * formula.max(), RECORDS)
        network = deep.network(layers, len(levels), len(levels), len(features))
        data = flow(run, network, task, init, times, measure=("output",), loss="squared")
        strengths = deep.diagonal(deep.mixing(data, left, right.T))
        shown, predicted = times[::EVERY], predicted_strengths(times[::EVERY], initial, targets, layers)
        thinned = strengths[:, ::EVERY]
        run.compare_flow(f"tree, {layers} layers: strength of each mode", thinned, predicted, TOLERANCE)
        faster = predicted_strengths(shown, initial, (1 + 1e-6) * targets, layers)
        run.must_fail("singular values larger by 1e-6", compare_flow(thinned, faster, TOLERANCE))
        found, reading = crossing_times(times, (strengths / targets).swapaxes(1, 2), LEVEL)
        velocity = layers * (LEVEL * targets) ** (2 - 2 / layers) * (1 - LEVEL)
        error = arrival_error(reading, 1.0, velocity)
        run.row(f"tree, {layers} layers: time to half of each mode", compare_arrivals(found, formula, error))
        run.must_fail("1e-4 later", compare_arrivals(found, (1 + 1e-4) * formula, error))
        late.append(found[:, coarse] >= found[:, fine])
        table[f"tree_time_{layers}"] = (("tree_record",), shown)
        table[f"tree_strength_{layers}"] = (("tree_record", "tree_mode"), thinned[0])
        table[f"tree_strength_predicted_{layers}"] = (("tree_record", "tree_mode"), predicted[0])
    words = "tree: fraction of pairs of modes of which the finer is at half first"
    run.compare_fraction(words, int(np.sum(late)), np.size(late), 0.0)
    return xr.Dataset(table, coords={"level": ("tree_mode", levels)})


class Grown(NamedTuple):
    """Random weights of size 1 for two modes, and the strengths from which their modes grow."""

    first: Floats  # (networks, hidden, 2)
    last: Floats  # (networks, 2, hidden)
    initial: Floats  # (networks, 2)

    @classmethod
    def drawn(cls, networks: int, draw: np.random.Generator) -> Grown:
        """Draw normal weights, in units of the part of the stronger mode that grows."""
        first, last = draw.normal(size=(networks, HIDDEN, 2)), draw.normal(size=(networks, 2, HIDDEN))
        growing = (first + last.swapaxes(1, 2)) / 2
        unit = np.linalg.norm(growing[:, :, :1], axis=1, keepdims=True)
        # Each mode by what is orthogonal to the stronger: the diagonal of R in the decomposition QR.
        initial = (np.diagonal(np.linalg.qr(growing / unit)[1], axis1=1, axis2=2)) ** 2
        return cls(first / unit, last / unit, initial)


def gap(run: Trial, ratio: float, grown: Grown, size: float) -> Floats:
    """Return how far the stronger mode is from theory, (networks,): the root of the mean square over time."""
    targets = STRENGTHS[0] * np.array([1.0, ratio])
    # From one size to another the curve is shifted, and with it the times.
    times = (np.log(1 / size) + np.linspace(-2, 6, 201)) / targets[0]
    record = Record(times=times, measure=("output",))
    network, task = deep.network(2, 2, HIDDEN, 2), deep.whitened(np.diag(targets))
    init, method = Explicit([size * grown.first, size * grown.last]), GradientFlow(times[-1], rtol=FINE, atol=0.0)
    data = run.train(network, task, init, method=method, record=record, loss="squared")
    found = deep.diagonal(deep.mixing(data, np.eye(2), np.eye(2)))
    predicted = predicted_strengths(times, size**2 * grown.initial, targets, 2)
    return np.asarray(np.sqrt(((found - predicted)[:, :, 0] ** 2).mean(axis=1)))


def _random(run: Trial) -> xr.Dataset:
    """Compare the order in which small random weights come to the theory of aligned ones with 2 (1 - s_2/s_1)."""
    count = run.networks(full=400, quick=40)
    grown = Grown.drawn(count, np.random.default_rng([run.seed, 3]))
    gaps = np.array([[gap(run, ratio, grown, size) for size in SIZES] for ratio in RATIOS])
    # One number for all networks: where the two modes happen to share no direction, a network has a higher order.
    total = np.sqrt((gaps**2).mean(axis=2))
    step = np.log(SIZES[0] / SIZES[1])
    _, first, second = -np.diff(np.log(total), axis=1).T / step
    # The next terms of the gap are higher by size^(2 - 2 ratio) and size^(2 ratio): so slopes come to the order. What
    # the integrator adds moves each of them by its part of the gap.
    left = np.exp(-step * 2 * np.minimum(RATIOS, 1 - np.array(RATIOS)))
    found, order = (second - left * first) / (1 - left), 2 * (1 - np.array(RATIOS))
    error = np.abs(second - first) + 6 * 10 * FINE * STRENGTHS[0] / total.min(axis=1) / step
    run.row("random weights: order 2 (1 - s_2/s_1) in their size of the gap", compare_arrivals(found, order, error))
    run.must_fail("order 5% larger", compare_arrivals(found, 1.05 * order, error))
    run.must_fail("order 2 at any ratio", compare_arrivals(found, 2.0, error))
    table = {"gap": (("ratio", "size", "network"), gaps), "order": (("ratio",), found)}
    return xr.Dataset(table, coords={"ratio": list(RATIOS), "size": SIZES})


def _figure(data: xr.Dataset) -> Figure:
    modes = ("Each mode has its own curve", "Depth: a longer plateau, a steeper rise")
    titles = (*modes, "A tree is learnt level by level", "From random weights the gap shrinks")
    made, (curves, depths, levels, gaps) = plot.figure(titles, width=4.9, height=4.1, rows=2)
    line = np.linspace(0, 12, 1201)
    for mode, (target, colour, marker) in enumerate(zip(STRENGTHS, plot.COLOURS, "os^D", strict=False)):
        times, found = data["time_2"].values, data["strength_2"].values[:, mode]
        plot.points(curves, times[mode::5], found[mode::5], color=colour, fmt=marker)
        right = theory.linear_mode(line, found[0], target)
        plot.theory(curves, line, right, color=colour, label=f"singular value {target:g}")
    for layers, colour, marker in zip(LAYERS, plot.COLOURS, "os^", strict=False):
        times, found = data[f"time_{layers}"].values, data[f"strength_{layers}"].values[:, 0]
        plot.points(depths, times, found, color=colour, fmt=marker)
        right = theory.linear_mode(line, found[0], STRENGTHS[0], layers)
        plot.theory(depths, line, right, color=colour, label=f"{layers} layers")
    words = ("all items", "halves", "quarters", "eighths")
    times, found, right = (data[f"tree_{name}_2"].values for name in ("time", "strength", "strength_predicted"))
    for level, colour, marker in zip(range(TREE + 1), plot.COLOURS, "os^D", strict=False):
        mode, goal = int(np.flatnonzero(data["level"].values == level)[0]), tree_strengths(TREE)[level]
        style = {"color": colour, "fmt": marker}
        plot.points(levels, times[level::5], found[level::5, mode] / goal, **style)
        plot.theory(levels, times, right[:, mode] / goal, color=colour, label=words[level])
    for at, (ratio, colour, marker) in enumerate(zip(RATIOS, plot.COLOURS, "os^", strict=False)):
        found = np.sqrt((data["gap"].values[at] ** 2).mean(axis=1))
        line = found[-1] * (SIZES / SIZES[-1]) ** (2 * (1 - ratio))
        plot.points(gaps, SIZES, found, color=colour, fmt=marker)
        plot.theory(gaps, SIZES, line, color=colour, label=f"$s_2/s_1$ = {ratio:.2g}: slope {2 * (1 - ratio):.2g}")
    curves.set(xlabel="time (gradient flow)", ylabel="strength, 2 layers", xlim=(-0.2, 7), ylim=(-0.1, 2.9))
    depths.set(xlabel="time (gradient flow)", ylabel=f"strength of the mode {STRENGTHS[0]:g}", xlim=(-0.2, 7.5))
    levels.set(xlabel="time (gradient flow)", ylabel="strength / singular value", xlim=(-0.3, 11))
    gaps.set(xscale="log", yscale="log", xlabel="size of random weights", ylabel="gap to theory, stronger mode")
    gaps.set(ylim=(1e-9, 3e-2))
    for axes in (curves, depths, levels, gaps):
        key(axes)
    plot.legend(curves, fontsize=10, ncols=2, loc="upper left")
    legends((depths, levels, gaps), fontsize=10, loc="lower right")
    return made
