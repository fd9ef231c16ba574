"""Claim: gradient descent sharpens networks until the edge of stability, and stays there; gradient flow passes it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from numpy.polynomial.chebyshev import Chebyshev
from numpy.typing import NDArray

from shoal import (
    Explicit,
    Gaussian,
    GradientDescent,
    GradientFlow,
    Network,
    Record,
    Task,
    claim,
    compare_flow,
    compare_fraction,
    plot,
    theory,
)
from shoal.claims.shared.figures import legends
from shoal.claims.trial import Trial
from shoal.verdicts.comparison import Comparison
from shoal.verdicts.layout import Floats
from shoal.verdicts.means import compare_estimate
from shoal.verdicts.proportion import compare_majority

NETWORK = Network((1, 20, 20, 1), "tanh", bias=True)
INIT = Gaussian(gain=1.0)
POINTS = 20  # inputs, evenly from -1 to 1
DEGREE = 4  # of the Chebyshev polynomial that is learnt
RECORDS = 61
LATE = 15  # of these records, the last ones, are called late
FLOW_TIME = 600.0
BIAS = 0.01  # stated: how far the median may lie from the edge
NEAR = 0.05  # a network within this fraction of the edge is at the edge
LOOKED = "descent at 0.2"  # where each loss is looked at,
BETWEEN = (2_400, 4_000)  # and at which steps
RESIDUAL = float(np.sqrt(np.finfo(np.float64).eps))  # of Lanczos' iteration: docs/core.md
EPSILON = float(np.finfo(np.float64).eps)
ROUNDINGS = (
    10  # of one step of a quadratic, each by an epsilon: output, residual, gradient, velocity, weight, and theory's
)
STEPS = 200  # beside a minimum
INPUTS, HIDDEN = 3, 4  # of linear networks
CLEAR = 0.03  # learning rates as near to the edge are left out: they need more steps
LEFT = 100.0  # a network has left its minimum once its loss is so many times the first one


class Method(NamedTuple):
    """Gradient descent, by its numbers."""

    rate: float
    steps: int
    momentum: float = 0.0
    nesterov: bool = False

    def descent(self, rate: float | Floats | None = None) -> GradientDescent:
        """Return it, at another learning rate if one is given."""
        given = self.rate if rate is None else rate
        return GradientDescent(given, self.steps, momentum=self.momentum, nesterov=self.nesterov)

    def edge(self) -> float:
        """Return the sharpness up to which it is stable."""
        return theory.stable_sharpness(self.rate, self.momentum, nesterov=self.nesterov)


METHODS = {
    "descent at 0.1": Method(0.1, 8_000),
    "descent at 0.15": Method(0.15, 8_000),
    "descent at 0.2": Method(0.2, 8_000),
    "momentum 0.5 at 0.15": Method(0.15, 12_000, 0.5),
    "Nesterov 0.5 at 0.12": Method(0.12, 6_000, 0.5, True),
}
KINDS = {"descent": Method(1.0, STEPS), "momentum 0.5": Method(1.0, STEPS, 0.5)}
KINDS |= {"momentum 0.9": Method(1.0, STEPS, 0.9), "Nesterov 0.5": Method(1.0, STEPS, 0.5, True)}


def chebyshev() -> Task:
    """Return the regression of the Chebyshev polynomial on its points."""
    inputs = np.linspace(-1, 1, POINTS)
    return Task.regression(inputs[:, None], Chebyshev.basis(DEGREE)(inputs))


def median_with_error(values: Floats) -> tuple[float, float]:
    """Return the median and its standard error: half the distance of the quantiles at one deviation of a fair count."""
    reach = 1 / (2 * np.sqrt(len(values)))
    low, middle, high = np.quantile(values, [0.5 - reach, 0.5, 0.5 + reach])
    return float(middle), float(high - low) / 2


def at_edge(late: Floats, wrong: float = 1.0) -> Comparison:
    """Return how the median of late sharpness over edge (networks,) compares with 1, or with an edge that is wrong."""
    median, error = median_with_error(late)
    return compare_estimate(median, wrong, standard_error=error, bias=BIAS, networks=len(late))


@claim(
    "edge-of-stability",
    "Gradient descent sharpens a network until 2 / learning rate, and then stays there; with momentum the edge is that"
    " of momentum, and gradient flow passes it.",
    source="arXiv:2103.00065; theory book, chapter 9",
)
def edge_of_stability(run: Trial) -> Figure:
    """Compare the edge with exact theory beside minima, then the late sharpness of networks with the edge."""
    _quadratic(run)
    _minima(run)
    data = xr.merge([_networks(run), _flow(run)])
    _losses(run)
    run.note(
        "Beside a minimum theory is exact. That the sharpness of networks rises to the edge, and stays, is observed: no"
        " formula is known for networks.",
        f"The median of the late sharpness may lie {100 * BIAS:g}% off the edge, a stated bias. Late are the last"
        f" {LATE} of {RECORDS} records.",
        "Chosen after a look: the degree, the learning rates, momentum 0.5, the numbers of steps, and those between"
        " which the loss is looked at. With momentum 0.9 most networks leave the edge for flatter places, and are below"
        " it for long.",
    )
    return _figure(run.save(data))


def _quadratic(run: Trial) -> None:
    """Compare every step of one weight with theory at the sharpness that was measured, below and beyond the edge."""
    task, count = Task.regression([[1.3]], [0.0]), run.networks(full=400, quick=60)
    factors = np.linspace(0.8, 1.04, count)  # of the learning rate at the edge
    record = Record(steps=np.arange(STEPS + 1), measure=("output",))
    draw = np.random.default_rng([run.seed, 1])
    init = Explicit([draw.uniform(0.5, 1.5, (count, 1, 1))])
    first = run.train(Network((1, 1)), task, init, method=GradientDescent(1.0, 0), record=_SHARPNESS, loss="squared")
    sharpness = first["sharpness"].values[:, 0]
    for name, method in KINDS.items():
        rates = factors * method.edge() / sharpness
        data = run.train(Network((1, 1)), task, init, method=method.descent(rates), record=record, loss="squared")
        found = data["output"].values[..., 0] / 1.3

        def predicted(wrong: float, rates: Floats = rates, method: Method = method, found: Floats = found) -> Floats:
            each = zip(found[:, 0], wrong * sharpness, rates, strict=True)
            beta, kind = method.momentum, method.nesterov
            return np.array([theory.descend_quadratic(x, s, rate, STEPS, beta, nesterov=kind) for x, s, rate in each])

        tolerance = ROUNDINGS * STEPS * EPSILON
        run.compare_flow(f"one weight, {name}: every step, below and beyond the edge", found, predicted(1.0), tolerance)
        run.must_fail("sharpness 1e-9 larger", compare_flow(found, predicted(1 + 1e-9), tolerance))


_SHARPNESS = Record(steps=[0], measure=("sharpness",))


def minima(count: int, draw: np.random.Generator) -> tuple[Task, Floats, Floats]:
    """Return a task with inputs of second moments 1, and the layers of linear networks that fit it."""
    target = draw.normal(size=INPUTS)
    task = Task.regression(np.sqrt(INPUTS) * np.eye(INPUTS), np.sqrt(INPUTS) * target)
    first = draw.normal(size=(count, HIDDEN, INPUTS)) / np.sqrt(INPUTS)
    inverse = np.linalg.pinv(first)
    free = np.eye(HIDDEN) - first @ inverse
    last = target @ inverse + np.einsum("ni,nij->nj", draw.normal(size=(count, HIDDEN)) / np.sqrt(HIDDEN), free)
    return task, first, last[:, None]


def sharpness_of(first: Floats, last: Floats) -> Floats:
    """Return the sharpness of linear networks at their minima, |w_2|^2 + s_1(W_1)^2."""
    return np.asarray((last**2).sum(axis=(1, 2)) + np.linalg.norm(first, 2, axis=(1, 2)) ** 2)


def _minima(run: Trial) -> None:
    """Compare the sharpness at minima with theory, and which networks leave them with the edge."""
    count = run.networks(full=2_000, quick=400)
    draw = np.random.default_rng([run.seed, 2])
    task, first, last = minima(count, draw)
    network, given = Network((INPUTS, HIDDEN, 1), "linear"), {"loss": "squared"}
    at_rest = run.train(
        network, task, Explicit([first, last]), method=GradientDescent(1.0, 0), record=_SHARPNESS, **given
    )
    found, right = at_rest["sharpness"].values[:, 0], sharpness_of(first, last)

    def rest(theory: Floats) -> Comparison:
        return compare_flow(found[:, None], theory[:, None], RESIDUAL)

    run.row("minima of linear networks: sharpness |w_2|^2 + s_1(W_1)^2", rest(right))
    run.must_fail("1e-7 larger", rest((1 + 1e-7) * right))
    run.must_fail("all squares of W_1", rest((last**2).sum((1, 2)) + (first**2).sum((1, 2))))
    beside = [layer + 1e-6 * draw.normal(size=layer.shape) for layer in (first, last)]
    factors = np.where(np.arange(count) % 2 == 0, -1, 1) * draw.uniform(CLEAR, 0.2, count) + 1
    record = Record(steps=np.arange(STEPS + 1), measure=("loss",))
    for name, method in KINDS.items():
        rates = factors * method.edge() / found
        data = run.train(network, task, Explicit(beside), method=method.descent(rates), record=record, **given)
        losses = data["loss"].values
        left = ~(losses.max(axis=1) <= LEFT * losses[:, 0])  # a loss that is no number is that of a lost network

        def wrongly(edge: float, left: NDArray[np.bool_] = left) -> Comparison:
            return compare_fraction(int((left != (factors > edge)).sum()), count, 0.0)

        run.row(f"minima, {name}: fraction of networks of which theory says wrongly whether they leave", wrongly(1.0))
        run.must_fail("edge 5% lower", wrongly(0.95))
        if method.momentum:
            run.must_fail("edge 2 / learning rate", wrongly(2 / method.edge()))


def _networks(run: Trial) -> xr.Dataset:
    """Compare the late sharpness of networks with the edge of each method."""
    count = run.networks(full=1_000, quick=64)
    table = {}
    for name, method in METHODS.items():
        record = Record(steps=np.linspace(0, method.steps, RECORDS).round().astype(int), measure=("sharpness",))
        trained = run.train(
            NETWORK, chebyshev(), INIT, method=method.descent(), record=record, loss="squared", networks=count
        )
        sharpness = trained["sharpness"].values
        over = sharpness / method.edge()
        late = np.median(over[:, -LATE:], axis=1)
        kept = late[np.isfinite(late)]
        run.row(f"{name}: median over networks of late sharpness / edge", at_edge(kept))
        run.must_fail("edge 5% larger", at_edge(kept, 1.05))
        if method.momentum:
            run.must_fail("edge 2 / learning rate", at_edge(kept, 2 / method.rate / method.edge()))

        def arrived(edge: float, over: Floats = over, late: Floats = late) -> Comparison:
            rose = (over[:, 0] < (1 - NEAR) * edge) & (np.abs(late / edge - 1) <= NEAR)
            return compare_majority(int(rose.sum()), count)

        run.row(f"{name}: networks that rise to within {100 * NEAR:g}% of the edge (> 1/2)", arrived(1.0))
        run.must_fail("edge 10% larger", arrived(1.1))
        run.must_fail("edge 10% lower", arrived(0.9))
        table[name] = sharpness
    return xr.Dataset(
        {
            "sharpness": (("descent", "network", "record"), np.array(list(table.values()))),
            "edge": ("descent", [method.edge() for method in METHODS.values()]),
            "last_time": ("descent", [method.rate * method.steps for method in METHODS.values()]),
        },
        coords={"descent": list(METHODS)},
    )


def _flow(run: Trial) -> xr.Dataset:
    """Compare the sharpness of gradient flow with the edges of descent, which it passes."""
    count = run.networks(full=200, quick=64)
    times = np.linspace(0, FLOW_TIME, RECORDS)
    flow = run.train(
        NETWORK, chebyshev(), INIT, method=GradientFlow(FLOW_TIME, rtol=1e-4, atol=1e-7, max_steps=100_000),
        loss="squared", record=Record(times=times, measure=("sharpness",)), networks=count,
    )  # fmt: skip
    sharpness = flow["sharpness"].values
    for name, method in METHODS.items():
        if method.momentum:
            continue
        highest = np.nanmax(sharpness, axis=1) / method.edge()
        run.row(
            f"gradient flow: networks that pass the edge of {name} by {100 * NEAR:g}% (> 1/2)",
            compare_majority(int((highest > 1 + NEAR).sum()), count),
        )
        run.must_fail("flow stays there too", compare_majority(int((highest <= 1 + NEAR).sum()), count))
    return xr.Dataset({"flow": (("flow_network", "flow_time"), sharpness)}, coords={"flow_time": times})


def _losses(run: Trial) -> None:
    """Compare the loss at the edge: it rises at some steps, and falls in the long run."""
    method, (begin, end) = METHODS[LOOKED], BETWEEN
    count = run.networks(full=1_000, quick=64)
    record = Record(steps=[*range(begin, end + 1), method.steps], measure=("loss",))
    given = {"method": method.descent(), "record": record, "loss": "squared", "networks": count}
    losses = run.train(NETWORK, chebyshev(), INIT, **given)["loss"].values
    rises = (np.diff(losses[:, :-1], axis=1) > 0).any(axis=1)
    falls = losses[:, -1] < losses[:, 0]
    words = f"networks whose loss rises at some of the steps {begin} to {end}, and is lower in the end (> 1/2)"
    run.row(f"{LOOKED}: {words}", compare_majority(int((rises & falls).sum()), count))
    run.must_fail("no step raises the loss", compare_majority(int((~rises & falls).sum()), count))


def _figure(data: xr.Dataset) -> Figure:
    titles = (
        "Descent stops at 2/rate, flow does not",
        "With momentum the edge is another",
        "Late, most are at the edge",
    )
    made, (rise, momentum, spread) = plot.figure(titles, width=4.9, height=4.3)
    for number, name in enumerate(data["descent"].values):
        method, values = METHODS[str(name)], data["sharpness"].sel(descent=name).values
        values = values[np.isfinite(values).all(axis=1)]
        colour, axes = plot.COLOURS[number], momentum if method.momentum else rise
        times = np.linspace(0, float(data["last_time"].sel(descent=name)), RECORDS)
        plot.band(axes, times, values, color=colour)
        axes.plot(times, np.median(values, axis=0), color=colour, label=name)
        axes.axhline(method.edge(), color=colour, ls="--", lw=1.2)
        late = np.sort(np.median(values[:, -LATE:], axis=1) / method.edge())
        spread.plot(late, (np.arange(len(late)) + 0.5) / len(late), color=colour, label=name)
        if method.momentum:
            axes.axhline(2 / method.rate, color=colour, ls=":", lw=1.2)
    flow = data["flow"].values
    rise.plot(data["flow_time"], np.nanmedian(flow, axis=0), color="0.3", label="gradient flow")
    plot.band(rise, data["flow_time"], flow[np.isfinite(flow).all(axis=1)], color="0.5")
    for axes in (rise, momentum):
        axes.plot([], [], color="0.3", ls="--", lw=1.2, label="edge of stability")
        axes.set(xlabel="time (step x rate)", ylabel="sharpness: median, 5 to 95%", ylim=(0, None))
    momentum.plot([], [], color="0.3", ls=":", lw=1.2, label="2 / learning rate")
    rise.set(xlim=(0, FLOW_TIME), ylim=(0, 45))
    momentum.set(xlim=(0, FLOW_TIME), ylim=(0, 26))
    spread.axvline(1.0, color="0.3", ls="--", lw=1.2, label="edge of stability")
    spread.set(xlabel="late sharpness / edge", ylabel="fraction of networks below", xlim=(0.8, 1.1), ylim=(0, 1))
    legends((rise, momentum, spread), fontsize=10)
    return made
