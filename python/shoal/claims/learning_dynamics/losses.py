"""Claim: hinge loss is fitted in finite time, cross-entropy only logarithmically, along one path."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from shoal import Explicit, Network, Task, plot, theory
from shoal.claims.claim import claim
from shoal.claims.shared.figures import key, legends
from shoal.claims.shared.flows import TOLERANCE, arrival_error, compare_arrivals, compare_slope, flow
from shoal.claims.shared.runs import Plan, Runs, crossing_times, extrapolate, extrapolated_error
from shoal.claims.trial import Trial
from shoal.verdicts.comparison import Comparison, compare_rates
from shoal.verdicts.layout import Floats

NORM = 1.3
NEURONS = 5
TASK = Task([[NORM, 0.0, 0.0]], [1])
NETWORK = Network((TASK.dimension, NEURONS, 1))
LOSSES = {"cross_entropy": "cross-entropy", "hinge": "hinge", "squared": "squared", "exponential": "exponential"}
THRESHOLD = 1.0
"""Margin at which the hinge is satisfied."""

RATE, STEPS, QUICK_STEPS, EVERY = 0.02, 8_000, 4_000, 2
MEASURE = ("margin", "layer_norm")


def living_init(networks: int, seed: int) -> tuple[Explicit, Floats, Floats]:
    """Return unbalanced weights of neurons that all live, initial margins (networks,) and imbalances c (networks,).

    With a > 0 and output weight z > -a/2 no neuron dies (theory book, chapter 2), so all follow one hyperbolic
    rotation. Imbalance: c^2 = E^2 - 4 Y^2 with E = sum(a^2 + z^2) and Y = sum(a z).
    """
    draw = np.random.default_rng(seed)
    size = np.exp(draw.uniform(np.log(0.03), np.log(0.2), (networks, 1)))
    active = size * draw.uniform(0.3, 1.7, (networks, NEURONS))
    outgoing = active * draw.uniform(-0.5, 0.5, (networks, NEURONS))
    incoming = np.zeros((networks, NEURONS, TASK.dimension))
    incoming[:, :, 0] = active
    product, energy = (active * outgoing).sum(axis=1), (active**2 + outgoing**2).sum(axis=1)
    imbalance = np.sqrt(energy**2 - 4 * product**2)
    return Explicit([incoming, outgoing[:, None, :]]), NORM * product, imbalance


def theories(loss: str, margins: Floats, imbalances: Floats) -> list[theory.Mode]:
    """Return the theory of each network under a loss."""
    return [
        theory.Mode(norm=NORM, frequency=1.0, start_margin=float(margin), imbalance=float(c), loss=loss)
        for margin, c in zip(margins, imbalances, strict=True)
    ]


@claim(
    "losses",
    "Hinge loss is fitted in finite time and cross-entropy only as a logarithm, along the same path.",
    source="arXiv:1809.06848; theory book, chapter 1",
)
def losses(run: Trial) -> Figure:
    """Compare every loss's curve, the common path, the hinge's end and the logarithm."""
    count = run.networks(full=32, quick=12)
    steps = QUICK_STEPS if run.quick else STEPS
    init, initial, imbalances = living_init(count, run.seed)
    plans = {loss: Plan(NETWORK, TASK, init, loss, RATE, steps, EVERY, MEASURE) for loss in LOSSES}
    runs = {loss: plan.three(run, count) for loss, plan in plans.items()}
    times = plans["hinge"].times
    run.say(f"predicting {count} networks under {len(LOSSES)} losses")
    modes = {loss: theories(loss, initial, imbalances) for loss in LOSSES}
    predicted = {loss: np.array([mode.margin(times) for mode in modes[loss]], float) for loss in LOSSES}
    end = np.array([mode.time(THRESHOLD) for mode in modes["hinge"]], float)
    stop, reading = crossing_times(times, runs["hinge"].stack("margin")[..., 0], THRESHOLD, above=0)

    for loss, label in LOSSES.items():
        run.row(f"margin under {label}", _compare_margins(runs[loss], predicted[loss], loss))
        if loss != "hinge":
            run.must_fail("formula of the hinge loss", _compare_margins(runs[loss], predicted["hinge"], loss))
    run.row("path invariant c^2, all losses", _compare_path(runs, imbalances))
    run.must_fail("imbalances 2% larger", _compare_path(runs, 1.02 * imbalances))
    ends = _compare_numbers(stop, end, extrapolated_error(reading))
    run.row("hinge: time T at which training ends", ends)
    run.row("hinge: margin gained from 1.1 T on", _compare_stopped(runs["hinge"], times, end))
    gained = _compare_logarithm(runs["cross_entropy"], predicted["cross_entropy"], times)
    run.row("cross-entropy: margin gained in the last e-fold", gained)
    squared = _compare_logarithm(runs["cross_entropy"], predicted["squared"], times)
    run.must_fail("rest, as under the squared loss", squared)

    _compare_flows(run, runs, init, modes, predicted)
    run.note(
        "One mode, all neurons alive. Under descent the hinge overshoots its threshold by up to one step, so its curve"
        " is compared below the threshold and its end by T."
    )
    run.note(
        "The gain in the last e-fold of time tends to 1 only as time grows without bound; theory says how far off."
    )
    data = {
        "margin": (("loss", "network", "time"), np.stack([r.quarter["margin"].values[..., 0] for r in runs.values()])),
        "margin_predicted": (("loss", "network", "time"), np.stack(list(predicted.values()))),
        "layer_norm": (
            ("loss", "network", "time", "layer"),
            np.stack([r.quarter["layer_norm"].values for r in runs.values()]),
        ),
        "end": (("network",), extrapolate(stop)),
        "end_predicted": (("network",), end),
    }
    return _figure(run.save(xr.Dataset(data, coords={"time": times, "loss": list(runs)})))


def _compare_flows(
    run: Trial, runs: dict[str, Runs], init: Explicit, modes: dict[str, list[theory.Mode]], predicted: dict[str, Floats]
) -> None:
    """Compare gradient flow with the curves, the path and the hinge's end; and the rate's slope of descent with flow.

    ``runs, modes, predicted``: of every loss; ``predicted`` (networks, times) are the margins of ``modes``.
    """
    times = runs["hinge"].quarter["time"].values
    imbalances = np.array([mode.imbalance for mode in modes["hinge"]])
    end = np.array([mode.time(THRESHOLD) for mode in modes["hinge"]], float)
    flows = {loss: flow(run, NETWORK, TASK, init, times, loss=loss, measure=MEASURE) for loss in LOSSES}
    margins = {loss: data["margin"].values[..., 0] for loss, data in flows.items()}
    for loss, label in LOSSES.items():
        run.compare_flow(f"margin under {label}, gradient flow", margins[loss], predicted[loss], tolerance=TOLERANCE)
    energy = np.stack([(flows[loss]["layer_norm"].values ** 2).sum(axis=-1) for loss in LOSSES], axis=-1)
    scaled = np.stack([margins[loss] for loss in LOSSES], axis=-1) / NORM
    # c^2 is a difference of squares, each of which carries the tolerance of its weights twice over.
    error = TOLERANCE * (4 * energy**2 + 8 * scaled**2)
    path = compare_arrivals(energy**2 - 4 * scaled**2, (imbalances**2)[:, None, None], error)
    run.row("path invariant c^2, all losses, gradient flow", path)
    # Under the hinge to the end and beyond, because flow stops at its threshold.
    read, uncertain = crossing_times(times, margins["hinge"], THRESHOLD, above=0)
    velocity = np.array([mode.velocity(np.nextafter(THRESHOLD, 0)) for mode in modes["hinge"]])
    error = arrival_error(uncertain, THRESHOLD, velocity, above=0)
    run.row("hinge: time T at which training ends, gradient flow", compare_arrivals(read, end, error))
    for loss in ("cross_entropy", "squared", "exponential"):
        slope = compare_slope(runs[loss].stack("margin")[..., 0], margins[loss])
        run.row(f"slope in the rate with which descent tends to flow, {LOSSES[loss]}", slope)


def _compare_numbers(three: Floats, predicted: Floats, bias: Floats | float = 0.0) -> Comparison:
    """Compare one number per network at three rates, (3, networks), with theory."""
    full, half, quarter = three[:, :, None]
    error = np.broadcast_to(bias, predicted.shape)[:, None]
    return compare_rates(full, half, quarter, predicted[:, None], bias=error)


def _compare_margins(runs: Runs, predicted: Floats, loss: str) -> Comparison:
    """Compare margins; under the hinge only where none of the three runs nor theory has reached the threshold."""
    where = None
    if loss == "hinge":
        where = (runs.stack("margin") < THRESHOLD).all(axis=0) & (predicted[:, :, None] < THRESHOLD)
    return runs.compare("margin", predicted[:, :, None], where)


def _compare_path(runs: dict[str, Runs], imbalances: Floats) -> Comparison:
    """Compare c^2 = (|W1|^2 + |W2|^2)^2 - 4 (margin/norm)^2 with its initial value, under every loss: one path for all.

    Under the hinge as under the others: what remains of the invariant's drift is smooth up to its last step, and after
    that constant, so the points from the stop on are left to the other rows.
    """
    stacks = []
    for held in runs.values():
        energy = (held.stack("layer_norm") ** 2).sum(axis=-1)
        stacks.append(energy**2 - 4 * (held.stack("margin")[..., 0] / NORM) ** 2)
    first, second, fourth = np.stack(stacks, axis=-1)
    where = np.ones(first.shape, bool)
    where[..., list(runs).index("hinge")] = (runs["hinge"].stack("margin")[..., 0] < THRESHOLD).all(axis=0)
    return compare_rates(first, second, fourth, (imbalances**2)[:, None, None], where=where)


def _compare_stopped(hinge: Runs, times: Floats, end: Floats) -> Comparison:
    """Compare the margin at the end of training less that at 1.1 T with 0: nothing may happen in between."""
    after = np.minimum(np.searchsorted(times, 1.1 * end), len(times) - 1)
    margins = hinge.stack("margin")[..., 0]
    return _compare_numbers(margins[:, :, -1] - margins[:, np.arange(len(end)), after], np.zeros_like(end))


def _compare_logarithm(runs: Runs, predicted: Floats, times: Floats) -> Comparison:
    early = int(np.searchsorted(times, times[-1] / np.e))
    margins = runs.stack("margin")[..., 0]
    return _compare_numbers(margins[:, :, -1] - margins[:, :, early], predicted[:, -1] - predicted[:, early])


def _figure(data: xr.Dataset) -> Figure:
    made, (curves, path, ends) = plot.figure(
        ("One initialisation, four losses", "One path in phase space", "Hinge: training ends")
    )
    times = data["time"].values
    network = int(np.argsort(data["end_predicted"].values)[len(data["end_predicted"]) // 2])
    marks = np.unique(np.geomspace(20, len(times) - 1, 28).astype(int))
    for (name, label), colour, marker in zip(LOSSES.items(), plot.COLOURS, "os^D", strict=False):
        chosen = data.sel(loss=name).isel(network=network)
        style = {"color": colour, "fmt": marker}
        plot.points(curves, times[marks], chosen["margin"].values[marks], **style)
        plot.theory(curves, times[1:], chosen["margin_predicted"].values[1:], color=colour, label=label)
        norms = chosen["layer_norm"].values
        # Equal steps along the path, another phase for each loss, so that no marker hides another.
        length = np.linspace(norms[0, 1], norms[-1, 1], 8)[:-1] + 0.03 * list(LOSSES).index(name)
        along = np.minimum(np.searchsorted(norms[:, 1], length), len(times) - 1)
        plot.points(path, norms[along, 0], norms[along, 1], label=label, **style)
    key(curves)
    curves.set(xscale="log", xlabel="time (step x rate)", ylabel="margin", xlim=(times[marks[0]], None))
    norms = data["layer_norm"].values[:, network]
    invariant = norms[0, 0, 0] ** 2 - norms[0, 0, 1] ** 2
    second = np.linspace(norms[0, 0, 1], norms[..., 1].max(), 300)
    hyperbola = np.sqrt(second**2 + invariant)
    plot.theory(path, hyperbola, second, color="black", lw=1.5, zorder=2, label="theory: hyperbola")
    path.set(xlabel="norm of first layer", ylabel="norm of output layer")
    predicted, measured = data["end_predicted"].values, data["end"].values
    plot.points(ends, predicted, measured, color=plot.COLOURS[1], label="trained networks, rate to 0")
    span = [predicted.min(), predicted.max()]
    plot.theory(ends, span, span, color="black", lw=1.5, zorder=2, label="measured = predicted")
    ends.set(xlabel="predicted T", ylabel="measured T (step x rate)")
    legends((curves, path, ends))
    return made
