"""Claim: hinge loss is fitted in finite time, cross-entropy only logarithmically, along one path."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from shoal import Explicit, Network, Task, claim, compare_rates, plot, theory
from shoal.claims.shared.figures import key, legends
from shoal.claims.shared.flows import TOLERANCE, arrival_error, compare_arrivals, compare_slope, flow
from shoal.claims.shared.runs import Plan, Runs, crossing_times, extrapolate, extrapolated_error
from shoal.claims.trial import Trial
from shoal.verdicts.comparison import Comparison
from shoal.verdicts.layout import Floats

NORM = 1.3
NEURONS = 5
TASK = Task([[NORM, 0.0, 0.0]], [1])
NETWORK = Network((TASK.dimension, NEURONS, 1))
LOSSES = {"cross_entropy": "cross-entropy", "hinge": "hinge", "squared": "squared", "exponential": "exponential"}
THRESHOLD = 1.0  # margin at which the hinge is satisfied
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


@claim(
    "losses",
    "Hinge loss is fitted in finite time and cross-entropy only as a logarithm, along the same path.",
    source="arXiv:1809.06848; theory book, chapter 1",
)
def losses(run: Trial) -> Figure:
    """Compare every loss's curve, the common path, the hinge's end and the logarithm."""
    count, steps = run.networks(full=32, quick=12), QUICK_STEPS if run.quick else STEPS
    init, initial, imbalances = living_init(count, run.seed)
    runs = {loss: Plan(NETWORK, TASK, init, loss, RATE, steps, EVERY, MEASURE).three(run, count) for loss in LOSSES}
    margins = {loss: held.stack("margin")[..., 0] for loss, held in runs.items()}
    times = runs["hinge"].quarter["time"].values
    run.say(f"predicting {count} networks under {len(LOSSES)} losses")
    starts = list(zip(initial.tolist(), imbalances.tolist(), strict=True))
    modes = {
        loss: [theory.Mode(norm=NORM, frequency=1.0, start_margin=m, imbalance=c, loss=loss) for m, c in starts]
        for loss in LOSSES
    }
    predicted = {loss: np.array([mode.margin(times) for mode in modes[loss]], float) for loss in LOSSES}
    end = np.array([mode.time(THRESHOLD) for mode in modes["hinge"]], float)
    stop, reading = crossing_times(times, margins["hinge"], THRESHOLD, above=0)

    for loss, label in LOSSES.items():
        # Under the hinge only where none of the three runs nor theory has reached the threshold.
        largest = np.maximum(margins[loss].max(axis=0), predicted[loss])
        where = largest < THRESHOLD if loss == "hinge" else None
        full, half, quarter = margins[loss]
        run.compare_rates(f"margin under {label}", full, half, quarter, predicted[loss], where=where)
        if loss != "hinge":
            run.must_fail("formula of the hinge loss", compare_rates(full, half, quarter, predicted["hinge"]))
    run.row("path invariant c^2, all losses", _compare_path(runs, imbalances))
    run.must_fail("imbalances 2% larger", _compare_path(runs, 1.02 * imbalances))
    run.row("hinge: time T at which training ends", _compare_numbers(stop, end, extrapolated_error(reading)))
    after = np.minimum(np.searchsorted(times, 1.1 * end), len(times) - 1)
    stayed = margins["hinge"][..., -1] - margins["hinge"][:, np.arange(count), after]
    run.row("hinge: margin gained from 1.1 T on", _compare_numbers(stayed, np.zeros(count)))
    early = int(np.searchsorted(times, times[-1] / np.e))
    curves = (margins["cross_entropy"], predicted["cross_entropy"], predicted["squared"])
    gained, expected, rest = (each[..., -1] - each[..., early] for each in curves)
    run.row("cross-entropy: margin gained in the last e-fold", _compare_numbers(gained, expected))
    run.must_fail("rest, as under the squared loss", _compare_numbers(gained, rest))
    _compare_flows(run, runs, init, modes, predicted)

    run.note(
        "One mode, all neurons alive. Under descent the hinge overshoots its threshold by up to one step, so its curve"
        " is compared below the threshold and its end by T.",
        "The gain in the last e-fold of time tends to 1 only as time grows without bound; theory says how far off.",
    )
    norms = np.stack([held.quarter["layer_norm"].values for held in runs.values()])
    table = {
        "margin": (("loss", "network", "time"), np.stack([three[-1] for three in margins.values()])),
        "margin_predicted": (("loss", "network", "time"), np.stack(list(predicted.values()))),
        "layer_norm": (("loss", "network", "time", "layer"), norms),
        "end": (("network",), extrapolate(stop)),
        "end_predicted": (("network",), end),
    }
    return _figure(run.save(xr.Dataset(table, coords={"time": times, "loss": list(runs)})))


def _compare_numbers(three: Floats, predicted: Floats, bias: Floats | float = 0.0) -> Comparison:
    """Compare one number per network at three rates, (3, networks), with theory."""
    full, half, quarter = three[..., None]
    return compare_rates(full, half, quarter, predicted[:, None], bias=np.broadcast_to(bias, predicted.shape)[:, None])


def _compare_path(runs: dict[str, Runs], imbalances: Floats) -> Comparison:
    """Compare c^2 = (|W1|^2 + |W2|^2)^2 - 4 (margin/norm)^2 with its initial value, under every loss: one path for all.

    Under the hinge only up to its end: after that, what remains of the invariant's drift is constant.
    """
    margins = np.stack([held.stack("margin")[..., 0] for held in runs.values()], axis=-1)
    energy = np.stack([(held.stack("layer_norm") ** 2).sum(axis=-1) for held in runs.values()], axis=-1)
    hinged = np.array(list(runs)) == "hinge"
    where = ~hinged | (margins < THRESHOLD).all(axis=0)
    full, half, quarter = energy**2 - 4 * (margins / NORM) ** 2
    return compare_rates(full, half, quarter, (imbalances**2)[:, None, None], where=where)


def _compare_flows(
    run: Trial, runs: dict[str, Runs], init: Explicit, modes: dict[str, list[theory.Mode]], predicted: dict[str, Floats]
) -> None:
    """Compare gradient flow with the curves, the path and the hinge's end, and descent with the flow."""
    times = runs["hinge"].quarter["time"].values
    flows = {loss: flow(run, NETWORK, TASK, init, times, loss=loss, measure=MEASURE) for loss in LOSSES}
    margins = {loss: data["margin"].values[..., 0] for loss, data in flows.items()}
    for loss, label in LOSSES.items():
        run.compare_flow(f"margin under {label}, gradient flow", margins[loss], predicted[loss], TOLERANCE)
    energy = np.stack([(data["layer_norm"].values ** 2).sum(axis=-1) for data in flows.values()], axis=-1)
    scaled = np.stack(list(margins.values()), axis=-1) / NORM
    # c^2 is a difference of squares, each of which carries the tolerance of its weights twice over.
    error = TOLERANCE * (4 * energy**2 + 8 * scaled**2)
    invariant = np.array([mode.imbalance for mode in modes["hinge"]]) ** 2
    path = compare_arrivals(energy**2 - 4 * scaled**2, invariant[:, None, None], error)
    run.row("path invariant c^2, all losses, gradient flow", path)
    # Under the hinge to the end and beyond, because flow stops at its threshold.
    read, uncertain = crossing_times(times, margins["hinge"], THRESHOLD, above=0)
    end, velocity = np.array([(m.time(THRESHOLD), m.velocity(np.nextafter(THRESHOLD, 0))) for m in modes["hinge"]]).T
    error = arrival_error(uncertain, THRESHOLD, velocity, above=0)
    run.row("hinge: time T at which training ends, gradient flow", compare_arrivals(read, end, error))
    for loss in ("cross_entropy", "squared", "exponential"):
        slope = compare_slope(runs[loss].stack("margin")[..., 0], margins[loss])
        run.row(f"slope in the rate with which descent tends to flow, {LOSSES[loss]}", slope)


def _figure(data: xr.Dataset) -> Figure:
    titles = ("Hinge ends; cross-entropy goes as ln t", "All losses move along one path")
    made, (curves, path, ends) = plot.figure((*titles, "Hinge training ends as predicted"), width=4.6, height=4.2)
    times, predicted, measured = (data[name].values for name in ("time", "end_predicted", "end"))
    one = data.isel(network=int(np.argsort(predicted)[len(predicted) // 2]))
    norms = one["layer_norm"].values
    marks = np.unique(np.geomspace(20, len(times) - 1, 28).astype(int))
    for k, (label, colour, marker) in enumerate(zip(LOSSES.values(), plot.COLOURS, "os^D", strict=False)):
        style = {"color": colour, "fmt": marker}
        plot.points(curves, times[marks], one["margin"].values[k, marks], **style)
        plot.theory(curves, times[1:], one["margin_predicted"].values[k, 1:], color=colour, label=label)
        # Equal steps along the path, another phase for each loss, so that no marker hides another.
        length = np.linspace(norms[k, 0, 1], norms[k, -1, 1], 8)[:-1] + 0.03 * k
        along = np.minimum(np.searchsorted(norms[k, :, 1], length), len(times) - 1)
        plot.points(path, *norms[k, along].T, label=label, **style)
    key(curves)
    curves.set(xscale="log", xlabel="time (step x rate)", ylabel="margin", xlim=(times[marks[0]], None))
    second = np.linspace(norms[0, 0, 1], norms[..., 1].max(), 300)
    hyperbola = np.sqrt(second**2 + norms[0, 0, 0] ** 2 - norms[0, 0, 1] ** 2)
    plot.theory(path, hyperbola, second, color="black", lw=1.5, zorder=2, label="theory: hyperbola")
    path.set(xlabel="norm of the first layer", ylabel="norm of the output layer")
    plot.points(ends, predicted, measured, color=plot.COLOURS[1], fmt="s", label="trained, rate to 0")
    span = [predicted.min(), predicted.max()]
    plot.theory(ends, span, span, color="black", lw=1.5, zorder=2, label="measured = predicted")
    ends.set(xlabel="predicted time T (step x rate)", ylabel="measured time T (step x rate)")
    legends((curves, path, ends), fontsize=10, loc="upper left")
    return made
