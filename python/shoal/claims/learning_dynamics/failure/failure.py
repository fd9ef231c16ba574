"""Claim: training fails with the probability that the initialisation gives it, where there is a theory."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike
from scipy.special import expit
from scipy.stats import chi2

from shoal import Gaussian, GradientDescent, Init, Network, Record, Separated, Task, claim, plot, tasks, theory
from shoal.claims.learning_dynamics.failure import surface as failure_surface
from shoal.claims.shared import deaths
from shoal.claims.shared.deaths import Counts
from shoal.claims.shared.figures import key
from shoal.claims.shared.runs import far_seed
from shoal.claims.trial import Trial
from shoal.verdicts.comparison import worst
from shoal.verdicts.layout import Flags, Floats
from shoal.verdicts.proportion import compare_fraction

SCALE = 1e-4  # of the initialisations: so small that nearly every neuron is decided before any margin counts
PACE = 0.5  # rate x frequency x norm; below 1 the sign of a + z never changes
STEPS, WATCHED = 64, (0, 2, 4, 8, 12, 16, 24, 32, 48, 64)
PAIR, POINT = tasks.antipodal(1.0), Task([[1.0]], [1])
# Hidden units on antipodal data, by how the Gaussian initialisation is scaled: z like w, or smaller by 1/sqrt(h).
HIDDEN = {"one scale": (2, 4, 6, 8, 10), "scale / sqrt(fan-in)": (3, 5, 7, 9)}
INITS = {"one scale": Gaussian(std=SCALE), "scale / sqrt(fan-in)": Gaussian(gain=SCALE)}
NEURONS, RATIOS = (1, 2, 3, 4, 5), (1 / 3, 1.0, 3.0)  # that serve the one mode; sigma_w/sigma_z
RARER = 3  # times as many networks of one neuron at the largest ratio: 1% in the rarest death shows, too
EXCUSED = 0.1  # on the way, the formula of antipodal points is compared where the undecided are at most this part
CHUNK = 250_000  # networks trained in one call, so that its records take some ten megabytes
KNOWN = 10_000  # networks of each number of units on antipodal data whose neuron deaths are predicted
# Probability that initial weights exceed what the bound on undecided neurons takes them to be; added to that bound.
RARE = 1e-12

Trained = tuple[Counts, Flags]
"""Counts of all networks of a condition, and which of the first ones had learnt every sample at the end."""


@claim(
    "failure",
    "Training fails when no neuron is left to serve a class: the initialisation gives the probability.",
    source="arXiv:1809.06848; theory book, chapter 2",
)
def failure(run: Trial) -> Figure:
    """Compare the two formulas, and the surface for which there is none."""
    count = run.networks(full=1_000_000, quick=100_000)
    pairs, modes = _pairs(run, count), _modes(run, count)
    surface = failure_surface.measure(run, max(2, count // len(failure_surface.CELLS)))
    compare_pairs(run, pairs)
    compare_deaths(run, pairs)
    compare_modes(run, modes)
    failure_surface.compare(run, surface)
    total = int(surface["trials"].sum()) + sum(counts.trials for counts, _ in (*pairs.values(), *modes.values()))
    run.note(
        f"{total:,} networks in all. A network fails when it has not learnt every sample at the end.",
        "The formulas hold for descent at any rate below 1/(frequency x norm), as for gradient flow: each step"
        " multiplies a + z by a positive number, so that its sign, which decides, is that of the initialisation.",
        "No theory is claimed for two orthogonal classes and a Gaussian initialisation (gain sqrt 2, rate 0.1, time"
        " 100): only how many initialisations lose a class, that these fail, and a bound.",
        f"There, at most {float((surface['undecided'] / surface['trials']).max()):.2%} of the networks of"
        " a width and depth are undecided at the end, which the intervals count either way; at most"
        f" {float(surface['turned'].max()):.2%} changed between half time and the end. Of those trained again at"
        f" half the rate {float(surface['other'].mean()):.2%} end otherwise.",
    )
    return _figure(run.save(_data(pairs, modes).merge(failure_surface.fractions(surface))))


def _pairs(run: Trial, count: int) -> dict[tuple[str, int], Trained]:
    """Train on antipodal data, by initialisation and hidden units."""
    conditions = [(kind, hidden) for kind, widths in HIDDEN.items() for hidden in widths]
    return {
        (kind, hidden): _train(run, hidden, PAIR, INITS[kind], count, part)
        for part, (kind, hidden) in enumerate(conditions)
    }


def _modes(run: Trial, count: int) -> dict[tuple[float, int], Trained]:
    """Train on one mode from a separated initialisation, by sigma_w/sigma_z and neurons."""
    found = {}
    for part, (ratio, neurons) in enumerate(product(RATIOS, NEURONS), start=100):
        trials = count * (RARER if (ratio, neurons) == (max(RATIOS), 1) else 1)
        # SCALE is the larger of the two.
        init = Separated(SCALE * min(1.0, ratio), SCALE * min(1.0, 1 / ratio))
        found[ratio, neurons] = _train(run, neurons, POINT, init, trials, part)
    return found


def _train(run: Trial, units: int, task: Task, init: Init, count: int, part: int) -> Trained:
    """Train chunk by chunk and count at the watched steps."""
    method = GradientDescent(learning_rate=PACE / float(task.sample_weight[0]), steps=STEPS)
    given = {"method": method, "record": Record(steps=WATCHED, measure=("margin",)), "seed": far_seed(run.seed, part)}
    network, counts, learnt = Network((1, units, 1)), [], []
    for first in range(0, count, CHUNK):
        data = run.train(network, task, init, networks=min(CHUNK, count - first), first_network=first, **given)
        margins = data["margin"].values
        counts.append(Counts.of(margins))
        learnt.append(np.asarray((margins[:KNOWN, -1] > 0).all(axis=1)))
    return sum(counts[1:], counts[0]), learnt[0]


def _largest_size(neurons: int) -> float:
    """Return what 1/4 sum (|a| + |z|)^2 exceeds with probability RARE only: it is at most 1/2 sum (a^2 + z^2)."""
    return float(0.5 * SCALE**2 * chi2.isf(RARE, 2 * neurons))


def _pair_bias(kind: str, hidden: int) -> Floats:
    """Return the probability (watched,), or more, that a network looks failed and is not: some neuron is undecided."""
    ratio = 1.0 if kind == "one scale" else float(np.sqrt(hidden))
    path = deaths.least_path(_largest_size(hidden), WATCHED, PACE)
    return np.minimum(hidden * deaths.undecided_probability(path, ratio) + RARE, 1.0)


def compare_pairs(run: Trial, pairs: dict[tuple[str, int], Trained]) -> None:
    """Compare the formula of antipodal points at the end, on the way there, and who is undecided at the end."""
    way, undecided = [], []
    for kind, widths in HIDDEN.items():
        ends, wrong = [], []
        for hidden in widths:
            (counts, _), biases = pairs[kind, hidden], _pair_bias(kind, hidden)
            formula, late = float(theory.failure_probability(hidden, data="antipodal")), float(biases[-1])
            undecided.append(compare_fraction(int(counts.undecided[-1]), counts.trials, 0.0, bias=late))
            if hidden > widths[0] and not deaths.enough(counts.trials, formula):
                continue
            *before, end = (
                compare_fraction(int(failed), counts.trials, formula, bias=float(bias))
                for failed, bias in zip(counts.failed, biases, strict=True)
                if bias <= EXCUSED * formula
            )
            way += before
            ends.append(end)
            wrong.append(compare_fraction(int(counts.failed[-1]), counts.trials, min(1.0, 2 * formula), bias=late))
        run.row(f"antipodal, {kind}: fraction that fails, formula 2^(1-h), h = {widths[0]}..{widths[-1]}", worst(ends))
        run.must_fail("one unit less: 2^(2-h)", worst(wrong))
    reached = f"antipodal, on the way: not learnt, once the undecided are at most {EXCUSED:.0%} of the formula"
    run.row(reached, worst(way))
    run.row("antipodal: fraction undecided at the end", worst(undecided))


def compare_deaths(run: Trial, pairs: dict[tuple[str, int], Trained]) -> None:
    """Compare which networks fail or learn with what theory says of their own initialisations."""
    wrong = trials = 0
    for part, ((kind, hidden), (_, learnt)) in enumerate(pairs.items()):
        count, seed = len(learnt), far_seed(run.seed, part)
        run.say(f"predicting the neuron deaths of {count} networks of {hidden} units")
        network, init = Network((1, hidden, 1)), INITS[kind]
        weights = init.draw(network, PAIR, networks=count, seed=seed, threads=run.threads).weights
        fails = theory.separated_deaths(weights, PAIR, "cross_entropy").failed.any(axis=1)
        wrong, trials = wrong + int((fails == learnt).sum()), trials + count
    run.compare_fraction("antipodal: fraction of networks whose neuron deaths theory gets wrong", wrong, trials, 0.0)


def compare_modes(run: Trial, modes: dict[tuple[float, int], Trained]) -> None:
    """Compare the formula of one mode for each ratio of scales, and how it is reached in time."""
    early = []
    for ratio in RATIOS:
        held = []
        for neurons in NEURONS:
            counts, _ = modes[ratio, neurons]
            formula = float(theory.failure_probability(neurons, weight_std=ratio))
            dead, spread = _dead_by(ratio, neurons)
            # Who will die and has not yet; not from the formula, which would excuse its own errors.
            waiting = float(deaths.dead_probability(np.array(np.inf), ratio) ** neurons - dead[-1])
            if neurons == 1 or deaths.enough(counts.trials, formula):
                held.append(compare_fraction(int(counts.stuck[-1]), counts.trials, formula, bias=waiting))
            early += [
                compare_fraction(int(stuck), counts.trials, float(by), bias=float(bias))
                for stuck, by, bias in zip(counts.stuck[:-1], dead, spread, strict=False)
                if neurons == 1 or deaths.enough(counts.trials, float(by))
            ]
        dies = f"{theory.death_probability(weight_std=ratio):.4f}^k, k = 1..{NEURONS[-1]}"
        run.row(f"one mode, sigma_w/sigma_z = {ratio:.3g}: fraction that fails, formula {dies}", worst(held))
    run.row("one mode, on the way: fraction dead, all ratios and k", worst(early))


def _dead_by(ratio: float, neurons: int) -> tuple[Floats, Floats]:
    """Return the probability (watched,) that all neurons are dead, and how far it may be off.

    While all neurons of a mode are to die its margin lies below 0 and shrinks, so that its residual lies between 1/2
    and the sigmoid of the initialisation's size.
    """
    steps = np.asarray(WATCHED)
    slow, fast = (2 * steps * np.arctanh(PACE * expit(size)) for size in (0.0, _largest_size(neurons)))
    dead = deaths.dead_probability(slow, ratio) ** neurons
    return dead, deaths.dead_probability(fast, ratio) ** neurons - dead + RARE


def _data(pairs: dict[tuple[str, int], Trained], modes: dict[tuple[float, int], Trained]) -> xr.Dataset:
    table: deaths.Table = {}
    for name, runs, kind in (("pair", pairs, "failed"), ("mode", modes, "stuck")):
        counts = [each for each, _ in runs.values()]
        numbers = np.array([getattr(each, kind) for each in counts])
        trials = np.array([[each.trials] * len(WATCHED) for each in counts])
        table |= deaths.proportion(f"{name}_failed", (name, "step"), numbers, trials)
    formula = theory.failure_probability
    table["pair_law"] = (("pair",), np.array([float(formula(hidden, data="antipodal")) for _, hidden in pairs]))
    table["mode_law"] = (("mode",), np.array([float(formula(k, weight_std=ratio)) for ratio, k in modes]))
    table["pair_bias"] = (("pair", "step"), np.array([_pair_bias(*condition) for condition in pairs]))
    table["mode_dead"] = (("mode", "step"), np.array([_dead_by(*condition)[0] for condition in modes]))
    (kinds, hidden), (ratios, neurons) = (list(zip(*conditions, strict=True)) for conditions in (pairs, modes))
    coords = {"init": ("pair", list(kinds)), "hidden": ("pair", list(hidden)), "ratio": ("mode", list(ratios))}
    return xr.Dataset(table, coords={"step": list(WATCHED), "neurons": ("mode", list(neurons))} | coords)


def _bars(axes: Axes, x: ArrayLike, chosen: xr.Dataset, name: str, **style: Any) -> None:
    """Draw fractions with their Wilson intervals, where any was counted: a logarithmic axis has no 0."""
    fraction, low, high = (chosen[f"{name}{end}"].values for end in ("", "_low", "_high"))
    seen = fraction > 0
    error = [(fraction - low)[seen], (high - fraction)[seen]]
    plot.points(axes, np.asarray(x)[seen], fraction[seen], error=error, **style)


def _figure(data: xr.Dataset) -> Figure:
    titles = ("Training fails as the formulas say", "Antipodal: failures fall to the formula")
    rest = ("One mode: deaths rise along the formula", "No theory: failure rises with depth")
    made, (formulas, pairs, modes, surface) = plot.figure((*titles, *rest), width=5.0, height=4.3, rows=2)
    _draw_formulas(formulas, data)
    shown, steps = data.sel(step=slice(0, 32)), np.linspace(0.25, 32, 200)
    for k, (hidden, neurons) in enumerate(zip(HIDDEN["one scale"], NEURONS, strict=True)):
        style = {"color": plot.COLOURS[k], "fmt": "os^Dv"[k]}
        pair, mode = shown.isel(pair=k), shown.isel(mode=len(NEURONS) + k)  # of one scale; of ratio 1
        _bars(pairs, shown["step"], pair, "pair_failed", **style, label=f"h = {hidden}")
        plot.theory(pairs, [0, 32], [float(pair["pair_law"])] * 2, color=style["color"], lw=1.4)
        _bars(modes, shown["step"], mode, "mode_failed", **style, label=f"k = {neurons}")
        dead = deaths.dead_probability(2 * steps * np.arctanh(PACE / 2), 1.0) ** neurons
        plot.theory(modes, steps, dead, color=style["color"], lw=1.4)
    for axes, label, words in ((pairs, "theory: limit", "not learnt"), (modes, "theory, equal scales", "dead")):
        plot.theory(axes, [], [], color="0.3", lw=1.4, label=label)
        axes.set(yscale="log", xlabel="steps of descent", ylabel=f"fraction of networks {words}")
    pairs.set_ylim(1e-3, 30)
    modes.set_ylim(1e-7, 2)
    plot.legend(pairs, ncols=3, loc="upper right")
    plot.legend(modes, ncols=2, loc="lower right")
    failure_surface.draw(surface, data)
    return made


def _draw_formulas(axes: Axes, data: xr.Dataset) -> None:
    last = data.isel(step=-1)
    hidden = np.arange(1, max(max(widths) for widths in HIDDEN.values()) + 1)
    formula = theory.failure_probability(hidden, data="antipodal")
    plot.theory(axes, hidden, formula, color=plot.COLOURS[0], label="antipodal points: $2^{1-h}$")
    for kind, marker in zip(HIDDEN, "os", strict=True):
        chosen = last.isel(pair=np.flatnonzero(last["init"] == kind))
        _bars(axes, chosen["hidden"], chosen, "pair_failed", color=plot.COLOURS[0], fmt=marker)
    for ratio, name, colour, marker in zip(RATIOS, ("1/3", "1", "3"), plot.COLOURS[1:4], "^Dv", strict=True):
        chosen = last.isel(mode=np.flatnonzero(last["ratio"] == ratio))
        label = rf"one mode, $\sigma_w/\sigma_z$ = {name}: {theory.death_probability(ratio):.3f}$^k$"
        plot.theory(axes, chosen["neurons"], chosen["mode_law"], color=colour, label=label)
        _bars(axes, chosen["neurons"], chosen, "mode_failed", color=colour, fmt=marker)
    key(axes, "trained, interval of 4 s.d.")
    axes.set(yscale="log", ylim=(2e-6, 300), xlabel="neurons: h of the network, k of the mode")
    axes.set(ylabel="fraction of trainings that fail", xticks=hidden)
    plot.legend(axes, fontsize=10, loc="upper right")
