"""Claim: from small initial weights, ReLU neurons turn first, each along a path of its own that is known exactly."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from numpy.typing import NDArray

from shoal import (
    GradientFlow,
    Network,
    Record,
    Task,
    Unit,
    claim,
    compare_flow,
    compare_fraction,
    compare_rates,
    plot,
    theory,
)
from shoal.claims.shared.figures import key, legends
from shoal.claims.shared.flows import RTOL, TOLERANCE, compare_arrivals
from shoal.claims.trial import Trial
from shoal.verdicts.comparison import Comparison
from shoal.verdicts.layout import Floats

UNITS = 8
SIZES = {"plane": (2, 6), "space": (5, 12)}  # inputs and samples of the two tasks
LIMIT = 1e-7  # size of the initial weights at which the limit is compared itself: its square is far below RTOL
SIZE = 2e-3  # at which the gap to the limit is measured; also over sqrt(2) and over 2
HINGE = 0.05  # for the hinge the limit is exact until a margin reaches the threshold
TURNS = 8.0  # times run until the pull of all samples together has turned the clock so far
RECORDS = 121
DRAWN = np.geomspace(1e-4, 3e-2, 6)  # sizes in the figure
LOSSES = {"cross_entropy": "cross-entropy", "exponential": "exponential loss"}
TIGHT = 1e-10  # rtol where gaps to the limit are measured
EXTRAPOLATED = 5 * 10 * TIGHT  # of unit vectors: (8 M'' - 6 M' + M)/3 adds up the errors of three trainings
WRONG = 1.05  # a pull that is 5% larger runs the clock so much faster


def cone_task(inputs: int, samples: int, seed: int) -> Task:
    """Return samples y x in a cone: y_s y_t x_s.x_t > 0 for all pairs, so that no neuron slides along a sample.

    Both labels are there; norms from 0.6 to 1.6; weights that differ by up to three.
    """
    draw = np.random.default_rng([seed, inputs, samples])
    axis = np.ones(inputs) / np.sqrt(inputs)
    across = draw.normal(size=(samples, inputs))
    across -= np.outer(across @ axis, axis)
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    # The tangent of the largest angle to the axis is below 1, so that of two samples is below a right angle.
    points = axis + draw.uniform(0.2, 0.8, (samples, 1)) * across
    points *= draw.uniform(0.6, 1.6, (samples, 1)) / np.linalg.norm(points, axis=1, keepdims=True)
    labels = np.where(np.arange(samples) % 2 == 0, 1, -1)
    return Task(points * labels[:, None], labels, draw.uniform(0.5, 1.5, samples))


def last_time(task: Task, residual: float) -> float:
    """Return the time until which networks are compared."""
    signed = task.inputs * (task.labels * task.sample_weight)[:, None]
    return float(TURNS / (residual * np.linalg.norm(signed.sum(axis=0))))


class Trained:
    """Networks from initial weights of one size beside their limit; arrays have the axes (networks, times, units)."""

    def __init__(
        self, run: Trial, task: Task, size: float, loss: str, times: Floats, networks: int, rtol: float = RTOL
    ) -> None:
        """Train and predict."""
        network, init = Network((task.inputs.shape[1], UNITS, 1)), Unit(size)
        self.task, self.size, self.loss, self.times = task, size, loss, times
        # Small weights need an absolute tolerance far below them.
        method = GradientFlow(t_end=float(times[-1]), rtol=rtol, atol=1e-4 * rtol * size)
        record = Record(times=times, measure=("trajectory", "pattern", "margin"))
        data = run.train(network, task, init, method=method, record=record, loss=loss, networks=networks)
        if (data["status"].values != 0).any():
            raise RuntimeError(f"all {networks} networks must reach time {times[-1]:g}")
        incoming = data["trajectory_1"].values
        self.norms = np.linalg.norm(incoming, axis=3)
        self.directions = incoming / self.norms[..., None]
        self.pattern: NDArray[np.bool_] = data["pattern"].values.astype(bool)
        self.margins = data["margin"].values
        self.initial = [layer[:, 0] for layer in (incoming, data["trajectory_2"].values)]
        self.limit = self.predicted()

    def predicted(self, faster: float = 1.0, *, unsigned: bool = False) -> theory.EarlyAlignment:
        """Return the limit; with a clock that is ``faster``, or of output weights that are all taken for positive."""
        first, last = self.initial
        last = np.abs(last) if unsigned else last
        return theory.early_alignment([first, last], self.task, self.loss, faster * self.times)

    def same_pattern(self) -> NDArray[np.bool_]:
        """Return where a neuron has the pattern of its limit: elsewhere one of both has just switched."""
        return np.asarray((self.pattern == self.limit.pattern).all(axis=3))


def growth(norms: Floats, size: float) -> Floats:
    """Return ln(|w|/eps)."""
    return np.asarray(np.log(norms / size))


@claim(
    "early-alignment",
    "From small initial weights the neurons of a ReLU network turn first, each by itself along a known path, with a"
    " gap of the order of the weights' size squared.",
    source="arXiv:1803.08367, arXiv:2307.12851, arXiv:2401.10791; theory book, chapter 9",
)
def early_alignment(run: Trial) -> Figure:
    """Compare each neuron with its limit, the gap with eps^2, and the hinge, whose limit is exact."""
    networks = run.networks(full=400, quick=24)
    tasks = {name: cone_task(*size, run.seed) for name, size in SIZES.items()}
    for task_name, task in tasks.items():
        for loss, words in LOSSES.items():
            limit_rows(run, task, f"{task_name}, {words}", loss, networks)
        hinge_rows(run, task, task_name, networks)
        gap_rows(run, task, task_name, networks)
    run.note(
        "The limit holds while outputs are of order eps^2. How the loss falls later is not compared here.",
        "All y x lie in a cone, so that neurons cross w.x_s = 0 and never slide along it. Elsewhere they can.",
        "A neuron that has switched in one training and not yet in another is left out where it is extrapolated from"
        f" sizes {SIZE:g}, {SIZE:g}/sqrt(2) and {SIZE:g}/2.",
    )
    return _figure(run.save(_data(run, tasks["plane"])))


def limit_rows(run: Trial, task: Task, words: str, loss: str, networks: int) -> None:
    """Compare directions, norms and patterns with the limit, at a size at which it is reached to rounding."""
    residual = 0.5 if loss == "cross_entropy" else 1.0
    times = np.linspace(0.0, last_time(task, residual), RECORDS)
    found = Trained(run, task, LIMIT, loss, times, networks)
    faster, unsigned = found.predicted(WRONG), found.predicted(unsigned=True)
    run.compare_flow(f"{words}: direction of each neuron", found.directions, found.limit.directions, TOLERANCE)
    run.must_fail("pull 5% larger", compare_flow(found.directions, faster.directions, TOLERANCE))
    run.must_fail("signs of outputs ignored", compare_flow(found.directions, unsigned.directions, TOLERANCE))
    measured = growth(found.norms, LIMIT)
    right, wrong = (growth(np.linalg.norm(each.incoming, axis=3), LIMIT) for each in (found.limit, faster))
    # ln |w| may be off by what |w| is, relative; near 0 it has no size of its own.
    run.compare_flow(f"{words}: ln(|w|/eps) of each neuron", measured, right, TOLERANCE, bias=TOLERANCE)
    run.must_fail("pull 5% larger", compare_flow(measured, wrong, TOLERANCE, bias=TOLERANCE))
    run.row(f"{words}: fraction of (neuron, sample) pairs that end on another side", sides(found, found.limit))
    run.must_fail("signs of outputs ignored", sides(found, unsigned))


def sides(found: Trained, limit: theory.EarlyAlignment) -> Comparison:
    """Return how often a neuron is at the end on the other side of a sample than in the limit: never."""
    differ = found.pattern[:, -1] != limit.pattern[:, -1]
    return compare_fraction(int(differ.sum()), differ.size, 0.0)


def hinge_rows(run: Trial, task: Task, name: str, networks: int) -> None:
    """Compare the hinge at a size that is not small: its residual is 1 until a margin reaches the threshold."""
    times = np.linspace(0.0, last_time(task, 1.0), RECORDS)
    found = Trained(run, task, HINGE, "hinge", times, networks)
    before = np.logical_and.accumulate((found.margins < 1.0).all(axis=2), axis=1)
    keep = np.broadcast_to(before[:, :, None, None], found.directions.shape)
    statement = f"{name}, hinge, eps {HINGE:g}, until a margin is 1: direction of each neuron"
    run.compare_flow(statement, found.directions, found.limit.directions, TOLERANCE, where=keep)
    wrong = compare_flow(found.directions, found.predicted(WRONG).directions, TOLERANCE, where=keep)
    run.must_fail("pull 5% larger", wrong)


def gap_rows(run: Trial, task: Task, name: str, networks: int) -> None:
    """Compare what is left at three sizes, extrapolated in eps^2, and the order of the gap in eps^2."""
    times = np.linspace(0.0, last_time(task, 0.5), RECORDS)
    trained = [
        Trained(run, task, SIZE * factor, "cross_entropy", times, networks, TIGHT)
        for factor in (1.0, np.sqrt(0.5), 0.5)
    ]
    limit, wrong = trained[-1].limit.directions, trained[-1].predicted(WRONG).directions
    same = np.logical_and.reduce([each.same_pattern() for each in trained])
    keep = np.broadcast_to(same[..., None], limit.shape)
    directions = [each.directions for each in trained]
    first, second, third = directions
    statement = f"{name}: direction of each neuron, extrapolated to eps = 0"
    run.compare_rates(statement, first, second, third, limit, where=keep, bias=EXTRAPOLATED)
    run.must_fail("pull 5% larger", compare_rates(first, second, third, wrong, where=keep, bias=EXTRAPOLATED))
    order, error = order_of(np.stack(directions), limit, same)
    run.row(f"{name}: order in eps^2 of the gap to the limit", compare_arrivals(order, 1.0, error))
    run.must_fail("of order eps", compare_arrivals(order, 0.5, error))
    run.must_fail("of order eps^4", compare_arrivals(order, 2.0, error))


def order_of(directions: Floats, limit: Floats, where: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Return the order in eps^2 of the gap of each network, (networks,), and how far it may be off.

    ``directions`` (3, networks, times, units, d) at sizes of which each square is half the one before; ``where``
    (networks, times, units). The gap is the root mean square. Its slopes log2(d/d') and log2(d'/d'') are 1 + e and
    1 + e/2 + ..., so twice the second less the first is 1 up to the order of their difference; it is
    3 log2 d' - log2 d - 2 log2 d'', and the integrator puts each d off by 10 `TIGHT` at most.
    """
    squares = (((directions - limit) ** 2).sum(axis=-1) * where).sum(axis=(2, 3)) / where.sum(axis=(1, 2))
    gaps = np.sqrt(squares)
    first, second = np.log2(gaps[:-1] / gaps[1:])
    noise = 10 * TIGHT / np.log(2) * (np.array([1.0, 3.0, 2.0])[:, None] / gaps).sum(axis=0)
    # The slopes of a single network may agree by chance: the largest difference counts for all.
    return 2 * second - first, np.abs(second - first).max() + noise


def _data(run: Trial, task: Task) -> xr.Dataset:
    """Return one network of the plane from `LIMIT`, and the gap to the limit at several sizes."""
    times = np.linspace(0.0, last_time(task, 0.5), RECORDS)
    found = Trained(run, task, LIMIT, "cross_entropy", times, 1)
    gaps = [_gap(Trained(run, task, float(size), "cross_entropy", times, 24, TIGHT)) for size in DRAWN]
    return xr.Dataset(
        {
            "angle": (("time", "unit"), _angle(found.directions[0])),
            "angle_predicted": (("time", "unit"), _angle(found.limit.directions[0])),
            "growth": (("time", "unit"), growth(found.norms[0], LIMIT)),
            "growth_predicted": (
                ("time", "unit"),
                growth(np.linalg.norm(found.limit.incoming[0], axis=2), LIMIT),
            ),
            "output_sign": (("unit",), np.sign(found.limit.outgoing[0, 0])),
            "gap": (("size", "network"), np.stack(gaps)),
        },
        coords={"time": times, "size": DRAWN},
    )


def _angle(vectors: Floats) -> Floats:
    """Return angles in degrees to the axis of the cone, from -180 to 180."""
    return np.asarray(np.degrees(np.arctan2(vectors[..., 1] - vectors[..., 0], vectors[..., 0] + vectors[..., 1])))


def _gap(found: Trained) -> Floats:
    """Return the root mean square of the gap in direction of each network, over times and neurons."""
    return np.asarray(np.sqrt(((found.directions - found.limit.directions) ** 2).sum(axis=3).mean(axis=(1, 2))))


def _figure(data: xr.Dataset) -> Figure:
    titles = (
        "Neurons turn to one of two directions, or die",
        "Each grows at a pace of its own",
        "The gap to theory falls as eps²",
    )
    made, panels = plot.figure(titles, width=4.8, height=4.2)
    turning, growing, gap = panels
    times = data["time"].values
    for sign, colour, words in ((1, plot.COLOURS[0], "output weight > 0"), (-1, plot.COLOURS[1], "output weight < 0")):
        for axes, name in ((turning, "angle"), (growing, "growth")):
            plot.theory(axes, [], [], color=colour, label=words)
            for unit in np.flatnonzero(data["output_sign"].values == sign):
                measured, predicted = (data[f"{name}{end}"].values[:, unit] for end in ("", "_predicted"))
                plot.points(axes, times[::12], measured[::12], color=colour)
                plot.theory(axes, times, _unwrapped(predicted) if name == "angle" else predicted, color=colour)
    turning.set(xlabel="time (gradient flow)", ylabel="angle of the neuron, degrees", ylim=(-190, 190))
    turning.set_yticks([-180, -90, 0, 90, 180])
    growing.set(xlabel="time (gradient flow)", ylabel="ln(|w| / eps)")
    sizes, gaps = data["size"].values, data["gap"].values
    for each in gaps.T:
        plot.points(gap, sizes, each, color="0.6", ms=3)
    middle = np.median(gaps, axis=1)
    plot.points(gap, sizes, middle, color=plot.COLOURS[0], label="median of 24 networks")
    plot.theory(gap, sizes, middle[0] * (sizes / sizes[0]) ** 2, color="0.3", label="slope 2")
    gap.set(xscale="log", yscale="log", xlabel="size of the initial weights, eps", ylabel="gap in direction, rms")
    for axes in (turning, growing):
        key(axes)
    legends(panels, fontsize=9)
    return made


def _unwrapped(angles: Floats) -> Floats:
    """Return angles with a gap in the line where they pass 180 degrees."""
    jump = np.abs(np.diff(angles, prepend=angles[0])) > 180
    return np.where(jump, np.nan, angles)
