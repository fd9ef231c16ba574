"""Claim: gradient descent on a two-layer linear network is an exact map of each mode, also beyond the stable rate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from numpy.typing import NDArray

from shoal import GradientDescent, Record, claim, compare_flow, compare_fraction, plot, theory
from shoal.claims.shared import linear as deep
from shoal.claims.shared.figures import key, legends
from shoal.claims.trial import Trial
from shoal.verdicts.layout import Floats

STRENGTHS = np.array(
    [1.0, 0.75, 0.5, 0.25]
)  # singular values; the learning rate is given as a multiple of 1/STRENGTHS[0]
HIDDEN = 6
EPSILON = float(np.finfo(np.float64).eps)
ROUNDINGS = 12  # of one step: forward pass, residual, gradient and update of one weight, and the output that is read
LOST = 1e-3  # of the largest strength: where rounding may have grown to it, an orbit is compared no longer
STEPS = 300
STABLE, UNSTABLE = (0.05, 0.95), (1.05, 2.4)  # rates x singular value: below 1 the mode converges, to 2 it is bounded
CYCLING = (1.03, 1.2)  # where the cycle of two attracts: up to sqrt(5) - 1 = 1.236
LIMIT = (1.7, 2.4)  # around 2, beyond which almost every orbit diverges
NEAR = 0.05  # to 2: there orbits may take longer than all steps to diverge
SHOWN = 40  # last steps that the diagram draws
WORDS = {"stable": "below the largest stable rate: every step", "unstable": "beyond it: all steps that rounding allows"}


def carried(orbit: Floats, target: float, rates: Floats) -> Floats:
    """Return a bound on what rounding makes of an orbit, (steps + 1, networks) as the orbit; infinite once it is lost.

    A step rounds `ROUNDINGS` times, each time by half an epsilon of a term of at most u (1 + eta (s + u))^2. The map
    carries an error b to |f'| b + |f''|/2 b^2 + eta^2 b^3, with f' = (1 + eta (s - u)) (1 + eta (s - 3 u)). Layers that
    are out of balance by i change u by i^2 of its growth, and i by the factor |1 - eta (s - u)|.
    """
    bound, lean = np.empty_like(orbit), ROUNDINGS * EPSILON / 2 * np.sqrt(orbit[0])
    bound[0] = ROUNDINGS * EPSILON / 2 * orbit[0]
    with np.errstate(over="ignore", invalid="ignore"):
        for step, u in enumerate(orbit[:-1]):
            grown, b = 1 + rates * (target - u), bound[step]
            most = (1 + rates * (target + u)) ** 2
            slope, bend = np.abs(grown * (grown - 2 * rates * u)), rates * np.abs(2 * grown - rates * u)
            moved = slope * b + bend * b**2 + rates**2 * b**3
            bound[step + 1] = moved + (ROUNDINGS * EPSILON / 2 * u + lean**2) * most
            lean = np.abs(2 - grown) * lean + ROUNDINGS * EPSILON / 2 * np.sqrt(u * most)
    return np.nan_to_num(bound, nan=np.inf, posinf=np.inf)


def orbits(initial: Floats, rates: Floats, steps: int) -> tuple[Floats, Floats]:
    """Return what the map makes of initial strengths (networks, modes), and the bound on rounding.

    Both are (networks, steps + 1, modes). The map is that of `theory.descend_mode`, which takes one rate at a time.
    """
    found, bounds = np.empty((2, len(initial), steps + 1, len(STRENGTHS)))
    for mode, target in enumerate(STRENGTHS):
        for k, rate in enumerate(rates):
            found[k, :, mode] = theory.descend_mode(initial[k, mode], target, rate, steps)
        bounds[..., mode] = carried(found[..., mode].T, target, rates).T
    return found, bounds


def kept(predicted: Floats, bound: Floats, rates: Floats) -> NDArray[np.bool_]:
    """Return which strengths (networks, steps + 1, modes) are compared: until rounding may have grown to `LOST`.

    A network of which the strongest mode diverges is compared until that one is lost.
    """
    where = np.maximum.accumulate(bound, axis=1) <= LOST * STRENGTHS[0]
    where &= predicted <= 10 * STRENGTHS[0]
    where[rates * STRENGTHS[0] > 2] &= where[rates * STRENGTHS[0] > 2][..., :1]
    return np.asarray(where)


def train(
    run: Trial,
    initial: Floats,
    rates: Floats,
    length: int,
    draw: np.random.Generator,
    steps: Sequence[int] | NDArray[np.int64] | None = None,
) -> xr.Dataset:
    """Return networks of these initial strengths and learning rates, with the strengths after steps: all if left out.

    Singular vectors are axes, so that sums over weights add zeros and round nothing.
    """
    size = len(STRENGTHS)
    left, right = deep.signed_permutations(draw, 2, size, size)
    between = deep.signed_permutations(draw, len(initial), HIDDEN, size)[None]
    data = run.train(
        deep.network(2, size, HIDDEN, size),
        deep.whitened(left * STRENGTHS @ right.T),
        deep.aligned(initial, 2, left, right, between),
        method=GradientDescent(rates, length),
        record=Record(steps=np.arange(length + 1) if steps is None else steps, measure=("output",)),
        loss="squared",
    )
    mixed = deep.mixing(data, left, right)
    table = {"strength": (("network", "step", "mode"), deep.diagonal(mixed)), "status": data["status"]}
    table["mixed"] = (("network", "step", "pair"), deep.off_diagonal(mixed))
    return xr.Dataset(table)


def draw_networks(networks: int, rates: tuple[float, float], draw: np.random.Generator) -> tuple[Floats, Floats]:
    """Return initial strengths (networks, modes), one for all modes, and learning rates (networks,) spread evenly."""
    initial = np.exp(draw.uniform(np.log(1e-3), np.log(1e-1), (networks, 1)))
    return np.repeat(initial, len(STRENGTHS), axis=1), np.linspace(*rates, networks) / STRENGTHS[0]


def cycles(rates: Floats) -> Floats:
    """Return the two strengths (networks, 2) between which the strongest mode alternates, the smaller first."""
    return np.array([theory.descend_cycle(STRENGTHS[0], rate) for rate in rates])


@claim(
    "linear-descent",
    "Gradient descent itself is an exact map of each mode: it converges, cycles, turns chaotic or diverges as it does.",
    source="arXiv:1904.13262; theory book, chapter 9",
)
def linear_descent(run: Trial) -> Figure:
    """Compare every step with the map, below and above the largest stable learning rate."""
    data = _steps(run)
    _cycle(run)
    _limit(run)
    run.note(
        "The strongest mode sets the learning rate; weaker modes follow their own maps, whatever it does.",
        f"Past the stable rate an orbit may be chaotic. It is compared until rounding, carried along it, may reach"
        f" {LOST:g} of the largest strength.",
        "The cycle of two, and that orbits are bounded up to rate x singular value = 2, are derived in the theory book;"
        " they are not in the paper.",
    )
    return _figure(run.save(xr.merge([data, _diagram(run)])))


def _steps(run: Trial) -> xr.Dataset:
    """Compare every step of every mode, at stable learning rates and beyond."""
    count = run.networks(full=400, quick=60)
    table: dict[str, Any] = {}
    draw = np.random.default_rng([run.seed, 1])
    for name, between in (("stable", STABLE), ("unstable", UNSTABLE)):
        initial, rates = draw_networks(count, between, draw)
        data = train(run, initial, rates, STEPS, draw)
        predicted, bound = orbits(initial, rates, STEPS)
        where = kept(predicted, bound, rates)
        # What is not compared is not there: networks that diverge later have no numbers then.
        found, mixed = (
            np.where(where, data["strength"].values, 0.0),
            np.where(where[..., :1], data["mixed"].values, 0.0),
        )
        given: Any = {"tolerance": EPSILON, "where": where, "bias": np.where(where, bound, 0.0)}
        run.compare_flow(WORDS[name], found, np.where(where, predicted, 0.0), **given)
        larger, _ = orbits(initial, (1 + 1e-12) * rates, STEPS)
        run.must_fail("learning rate larger by 1e-12", compare_flow(found, np.where(where, larger, 0.0), **given))
        run.must_fail("gradient flow", compare_flow(found, flows(initial, rates), **given))
        nothing: Any = {"tolerance": EPSILON}
        run.compare_flow(f"{name} rates: what one mode adds to another", mixed, np.zeros_like(mixed), **nothing)
        run.must_fail("1e-15", compare_flow(mixed, np.full_like(mixed, 1e-15), **nothing))
        pairs = (("strength", found), ("predicted", predicted), ("bound", bound), ("kept", where))
        table |= {f"{name}_{key}": (("network", "step", "mode"), values) for key, values in pairs}
        table[f"{name}_rate"] = (("network",), rates)
    return xr.Dataset(table, coords={"singular_value": ("mode", STRENGTHS)})


def flows(initial: Floats, rates: Floats) -> Floats:
    """Return what gradient flow makes of initial strengths, (networks, steps + 1, modes)."""
    times = rates[:, None] * np.arange(STEPS + 1)
    pairs = zip(initial, times, strict=True)
    curves = [[theory.linear_mode(t, u, s) for u, s in zip(each, STRENGTHS, strict=True)] for each, t in pairs]
    return np.asarray(curves).swapaxes(1, 2)


def _cycle(run: Trial) -> None:
    """Compare the last two steps of the strongest mode with the cycle of two, where that attracts."""
    draw = np.random.default_rng([run.seed, 2])
    initial, rates = draw_networks(run.networks(full=400, quick=60), CYCLING, draw)
    found = np.sort(train(run, initial, rates, 2 * STEPS, draw)["strength"].values[:, -2:, 0], axis=1)
    right = cycles(rates)
    # Rounding along the cycle: what one step adds, and what the two before it make of it again and again.
    grown = 1 + rates[:, None] * (STRENGTHS[0] - right)
    slopes = np.abs(grown * (grown - 2 * rates[:, None] * right))
    added = ROUNDINGS * EPSILON / 2 * (right * (1 + rates[:, None] * (STRENGTHS[0] + right)) ** 2).max(axis=1)
    bias = added * (1 + slopes.max(axis=1)) / (1 - slopes.prod(axis=1))
    given: Any = {"tolerance": EPSILON, "bias": np.broadcast_to(bias[:, None], found.shape)}
    run.compare_flow("cycle of two: both strengths, in the end", found, right, **given)
    run.must_fail("learning rate larger by 1e-12", compare_flow(found, cycles((1 + 1e-12) * rates), **given))
    run.must_fail("rest at the singular value", compare_flow(found, np.full(found.shape, STRENGTHS[0]), **given))


def _limit(run: Trial) -> None:
    """Compare which networks diverge: those whose learning rate is above 2/s, of the strongest mode."""
    draw = np.random.default_rng([run.seed, 3])
    initial, rates = draw_networks(run.networks(full=2_000, quick=400), LIMIT, draw)
    clear = np.abs(rates * STRENGTHS[0] - 2) > NEAR
    initial, rates = initial[clear], rates[clear]
    diverged = train(run, initial, rates, STEPS, draw, steps=[STEPS])["status"].values == 1

    def wrong(limit: float) -> int:
        return int((diverged != (rates * STRENGTHS[0] > limit)).sum())

    words = "fraction of networks of which theory says wrongly whether they diverge: above rate 2/s"
    run.compare_fraction(words, wrong(2.0), len(rates), 0.0)
    run.must_fail("limit 10% lower", compare_fraction(wrong(1.8), len(rates), 0.0))


def _diagram(run: Trial) -> xr.Dataset:
    """Return the last steps of networks at many learning rates, for the figure."""
    draw = np.random.default_rng([run.seed, 4])
    initial, rates = draw_networks(run.networks(full=1_200, quick=600), (0.7, 2.0), draw)
    last = train(run, initial, rates, STEPS, draw, steps=np.arange(STEPS - SHOWN + 1, STEPS + 1))
    table = {"last": (("shown", "last_step"), last["strength"].values[..., 0]), "shown_rate": (("shown",), rates)}
    return xr.Dataset(table)


def _figure(data: xr.Dataset) -> Figure:
    titles = (
        "Every step is that of the map",
        "Beyond the stable rate: cycles, then chaos",
        "Chaos amplifies rounding",
    )
    made, (curves, diagram, rounding) = plot.figure(titles, width=4.9, height=4.3)
    steps = np.arange(STEPS + 1)
    chosen = int(np.argmin(np.abs(data["stable_rate"].values * STRENGTHS[0] - 0.6)))
    rate = float(data["stable_rate"].values[chosen])
    for mode, (target, colour, marker) in enumerate(zip(STRENGTHS, plot.COLOURS, "os^D", strict=False)):
        found, right = (data[f"stable_{name}"].values[chosen, :, mode] for name in ("strength", "predicted"))
        plot.points(curves, steps[:41], found[:41], color=colour, fmt=marker)
        plot.theory(curves, steps[:41], right[:41], color=colour, label=f"singular value {target:g}")
        fine = np.linspace(0, 40, 400)
        plot.theory(
            curves, fine, theory.linear_mode(rate * fine, right[0], target), color="0.6", lw=1, ls="--", zorder=1
        )
    plot.theory(curves, [], [], color="0.6", lw=1, ls="--", label="gradient flow")
    curves.set(
        xlabel=f"step, at learning rate x $s_1$ = {rate * STRENGTHS[0]:.2g}", ylabel="strength", ylim=(-0.05, 1.6)
    )
    rates = data["shown_rate"].values
    last = data["last"].values
    across = np.repeat(rates * STRENGTHS[0], last.shape[1])
    diagram.plot(across, last.ravel() / STRENGTHS[0], ",", color=plot.COLOURS[0], rasterized=True)
    diagram.plot([], [], "o", ms=3, color=plot.COLOURS[0], label=f"trained, last {SHOWN} steps")
    below, beyond = np.linspace(0.7, 1.0, 50), np.linspace(1.0, np.sqrt(5) - 1, 100)
    plot.theory(diagram, below, np.ones(50), color=plot.COLOURS[1], label="theory: rest, cycle of two")
    two = np.array([theory.descend_cycle(1.0, each) for each in beyond])
    for side in range(2):
        plot.theory(diagram, beyond, two[:, side], color=plot.COLOURS[1])
    diagram.axvline(2.0, color="0.3", ls=":", label="divergence beyond 2")
    diagram.set(xlabel="learning rate x $s_1$", ylabel="strength / $s_1$", xlim=(0.7, 2.1), ylim=(-0.1, 3.0))
    for number, (name, goal) in enumerate((("stable", 0.6), ("unstable", 1.15), ("unstable", 1.9))):
        own = data[f"{name}_rate"].values * STRENGTHS[0]
        at, colour = int(np.argmin(np.abs(own - goal))), plot.COLOURS[number]
        parts = ("strength", "predicted", "bound", "kept")
        found, right, bound, keep = (data[f"{name}_{part}"].values[at, :, 0] for part in parts)
        held = slice(0, int(keep.sum()))
        gaps = np.maximum(np.abs(found - right), 1e-18)
        plot.points(rounding, steps[held][::3], gaps[held][::3], color=colour, fmt="os^"[number])
        plot.theory(rounding, steps[held], bound[held], color=colour, label=f"rate x $s_1$ = {own[at]:.2g}")
    rounding.set(yscale="log", xlabel="step", ylabel="gap of the strongest mode", ylim=(3e-19, 1e2))
    key(curves, "trained (line: the map)")
    key(rounding, "trained (line: bound on rounding)")
    plot.legend(curves, fontsize=10, ncols=2, loc="upper left")
    legends((diagram,), fontsize=10, loc="upper left")
    plot.legend(rounding, fontsize=10, loc="upper right")
    return made
