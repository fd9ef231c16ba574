"""Claim: wide networks that learn features scatter around one infinite limit as one over the root of their width."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from shoal import Explicit, Gaussian, Network, Task, claim, compare_flow, plot, theory
from shoal.claims.shared.figures import standard_error, ticks
from shoal.claims.shared.flows import TOLERANCE, flow
from shoal.claims.shared.runs import far_seed
from shoal.claims.shared.widths import exponent, limit, squares_about_mean
from shoal.claims.trial import Trial
from shoal.spec.task import Regression
from shoal.verdicts.layout import Floats
from shoal.verdicts.means import compare_estimate

INPUTS, SAMPLES, ALPHA = 3, 6, 0.5
WIDTHS = {"full": (16, 32, 64, 128, 256, 512, 1024), "quick": (16, 32, 64, 128)}
WIDE = {"full": 4096, "quick": 1024}  # tanh networks that are compared with the limit of narrower ones
TIMES = np.array([0.0, 0.5, 1.0, 2.0, 4.0])
LATE = len(TIMES) - 1  # the fixed time of the scatter
SINGLE = 50  # networks of each width that are compared one by one
COARSE = 1e-6  # rtol of tanh networks: their scatter is far above it
TIMES_MORE = {"linear": 4, "tanh": 1}  # networks of each activation: linear ones are cheap, and their bias is small
BLOCK = 500  # networks whose initial weights are in memory at once


@dataclass(frozen=True)
class Trained:
    """Networks of a width: ``outputs`` (networks, times, samples), ``kernels`` (networks, times, samples, samples)."""

    width: int
    seed: int
    outputs: Floats
    kernels: Floats

    @classmethod
    def of(cls, run: Trial, task: Regression, activation: str, width: int, networks: int, part: int) -> Trained:
        """Train networks of the mean-field parametrisation, drawn with the seed of `part`."""
        seed = far_seed(run.seed, part)
        rtol = {} if activation == "linear" else {"rtol": COARSE}
        data = flow(
            run, network(activation, width), task, Gaussian(std=1.0), TIMES, measure=("output", "tangent_kernel"),
            loss="squared", networks=networks, seed=seed, **rtol,
        )  # fmt: skip
        return cls(width, seed, data["output"].values, data["tangent_kernel"].values)

    def weights(self, task: Regression, networks: int, first_network: int = 0) -> list[Floats]:
        """Return initial weights (networks, M, d) and (networks, 1, M)."""
        shape = network("linear", self.width)
        drawn = Gaussian(std=1.0).draw(shape, task, networks=networks, seed=self.seed, first_network=first_network)
        return [np.asarray(layer) for layer in drawn.weights]

    def controls(self, task: Regression) -> Floats:
        """Return moments of (w, a) at initialisation and their products, less what all are expected to be.

        Shape (networks, k + k (k + 1)/2) of k = (d + 1)(d + 2)/2 moments. A mean over M nodes of u_i u_j has a variance
        of 1/M, for i = j of 2/M; none goes with another.
        """
        parts = []
        for done in range(0, len(self.outputs), BLOCK):
            weights = self.weights(task, min(BLOCK, len(self.outputs) - done), done)
            nodes = np.concatenate([weights[0], weights[1].swapaxes(1, 2)], axis=2)
            parts.append(nodes.swapaxes(1, 2) @ nodes / self.width - np.eye(INPUTS + 1))
        rows, columns = np.triu_indices(INPUTS + 1)
        moments = np.concatenate(parts)[:, rows, columns]
        first, second = np.triu_indices(len(rows))
        expected = np.where(first == second, np.where(rows == columns, 2.0, 1.0)[first], 0.0) / self.width
        return np.column_stack([moments, moments[:, first] * moments[:, second] - expected])


def network(activation: str, width: int) -> Network:
    """Return the network of so many nodes."""
    return Network.mean_field(INPUTS, width, ALPHA, activation=activation)


def regression(seed: int) -> Regression:
    """Return inputs of squared norm d, and targets of +-2 by the side of a plane, as many of either sign."""
    draw = np.random.default_rng([seed, 11])
    x = draw.normal(size=(SAMPLES, INPUTS))
    x *= np.sqrt(INPUTS) / np.linalg.norm(x, axis=1, keepdims=True)
    signs = np.where(np.arange(SAMPLES) % 2 == 0, 1.0, -1.0)
    x[:, 0] = signs * np.abs(x[:, 0])
    return Task.regression(x, 2 * signs)


@claim(
    "dmft",
    "Networks that learn features scatter around one infinite-width limit as 1/sqrt(width), with a bias of order"
    " 1/width.",
    source="arXiv:2205.09653; theory book, chapter 9",
)
def dmft(run: Trial) -> Figure:
    """Compare linear networks with their order parameters, and the scatter of linear and tanh networks."""
    size = "quick" if run.quick else "full"
    networks, task = run.networks(full=1000, quick=700), regression(run.seed)
    found = {
        activation: [
            Trained.of(run, task, activation, width, more * networks, 1 + 16 * kind + part)
            for part, width in enumerate(WIDTHS[size])
        ]
        for kind, (activation, more) in enumerate(TIMES_MORE.items())
    }
    single_rows(run, task, found["linear"])
    whitened_rows(run, task)
    for activation in TIMES_MORE:
        scatter_rows(run, activation, found[activation])
    limit_rows(run, task, found["linear"])
    measured = biases(task, found["linear"])
    bias_rows(run, found["linear"], measured)
    wide_rows(run, task, found["tanh"], WIDE[size])
    lazy = frozen_kernel(task)
    moved = theory.linear_mean_field(task, TIMES, ALPHA).kernel(task.inputs)[0, LATE] - lazy
    change = np.linalg.norm(moved) / np.linalg.norm(lazy)
    run.note(
        f"Mean-field parametrisation, alpha {ALPHA:g}, time {TIMES[LATE]:g}. The kernel of the linear limit has"
        f" changed by {change:.2f} of its norm: features are learnt.",
        "The bias of linear networks is measured with control variates, their moments at initialisation and products of"
        " two of these, whose expectations are known. That takes away scatter and no bias.",
        "The limit of tanh networks is not computed by another theory: narrow networks are extrapolated and compared"
        " with wider ones.",
    )
    return _figure(run.save(_data(run, task, found, measured)))


def frozen_kernel(task: Regression) -> Floats:
    """Return the kernel of infinitely wide linear networks at initialisation."""
    return np.asarray(2 * ALPHA * task.inputs @ task.inputs.T / INPUTS)


def frozen(task: Regression, kernel: Floats | None = None) -> Floats:
    """Return outputs (times, samples) with a kernel that stays as it is at initialisation; by default a linear one."""
    held = frozen_kernel(task) if kernel is None else kernel
    return theory.kernel_flow(held, task.targets, task.sample_weight, TIMES)


def single_rows(run: Trial, task: Regression, found: list[Trained]) -> None:
    """Compare linear networks of every width, one by one, with order parameters from their own moments."""
    x = task.inputs
    first = [each.outputs[:SINGLE] for each in found]
    weights = [each.weights(task, len(one)) for each, one in zip(found, first, strict=True)]
    own = [theory.linear_mean_field(task, TIMES, ALPHA, each) for each in weights]
    infinite = theory.linear_mean_field(task, TIMES, ALPHA)
    span = f"linear, widths {found[0].width} to {found[-1].width}"
    for what, measured, predicted, wide, lazy in (
        ("output", first, [each.outputs(x) for each in own], infinite.outputs(x), frozen(task)),
        (
            "tangent kernel", [each.kernels[:SINGLE] for each in found], [each.kernel(x) for each in own],
            infinite.kernel(x), frozen_kernel(task),
        ),
    ):  # fmt: skip
        together = np.concatenate(measured)
        run.compare_flow(f"{span}: {what} of each network", together, np.concatenate(predicted), TOLERANCE)
        for said, wrong in (("infinite width", wide), ("kernel frozen", lazy)):
            run.must_fail(said, compare_flow(together, np.broadcast_to(wrong, together.shape), TOLERANCE))


def whitened_rows(run: Trial, task: Regression) -> None:
    """Compare networks whose few nodes have the moments of infinitely many: they follow the limit exactly."""
    networks, nodes = run.networks(full=200, quick=40), INPUTS + 1
    draw = np.random.default_rng([run.seed, 5])
    unit = np.sqrt(nodes) * np.linalg.qr(draw.normal(size=(networks, nodes, nodes)))[0]
    init = Explicit([unit[:, :, :-1], unit[:, None, :, -1]])
    data = flow(run, network("linear", nodes), task, init, TIMES, measure=("output", "tangent_kernel"), loss="squared")
    infinite, later = (theory.linear_mean_field(task, times, ALPHA) for times in (TIMES, 1.001 * TIMES))
    for what, name, limits, lazy in (
        ("output", "output", [each.outputs(task.inputs) for each in (infinite, later)], frozen(task)),
        (
            "tangent kernel", "tangent_kernel", [each.kernel(task.inputs) for each in (infinite, later)],
            frozen_kernel(task),
        ),
    ):  # fmt: skip
        measured = data[name].values
        right, wrong, held = (np.broadcast_to(each, measured.shape) for each in (*limits, lazy))
        statement = f"linear, {nodes} nodes of orthogonal weights: {what} of infinite width"
        run.compare_flow(statement, measured, right, TOLERANCE)
        run.must_fail("time 0.1% longer", compare_flow(measured, wrong, TOLERANCE))
        run.must_fail("kernel frozen", compare_flow(measured, held, TOLERANCE))


def scatter_rows(run: Trial, activation: str, found: list[Trained]) -> None:
    """Compare the slope of the standard deviation over networks in the width with -1/2, at the late time."""
    widths = np.array([each.width for each in found], float)
    for what, values in (("output", [e.outputs for e in found]), ("tangent kernel", [e.kernels for e in found])):
        means, errors = _squares(values)
        slope, error = (each / 2 for each in exponent(widths, means, errors))
        counts = {"freedom": sum(map(len, values)) - 3, "networks": sum(map(len, values))}
        statement = f"{activation}, widths {widths[0]:g} to {widths[-1]:g}: slope of the scatter of the {what}"
        run.row(statement, compare_estimate(slope, -0.5, standard_error=error, **counts))
        run.must_fail("slope -1", compare_estimate(slope, -1.0, standard_error=error, **counts))


def _squares(values: list[Floats]) -> tuple[Floats, Floats]:
    """Return the variance over networks (widths,) at the late time, mean over samples, and its standard errors."""
    squares = [squares_about_mean(each[:, LATE].reshape(len(each), -1)).mean(axis=1) for each in values]
    return np.array([each.mean() for each in squares]), np.array([standard_error(each) for each in squares])


def limit_rows(run: Trial, task: Regression, found: list[Trained]) -> None:
    """Compare the size of the scatter with theory, extrapolated to infinite width."""
    widths = np.array([each.width for each in found], float)
    predicted = theory.linear_finite_width(task, TIMES, task.inputs, ALPHA)
    networks = sum(len(each.outputs) for each in found)
    counts = {"freedom": networks - 2 * len(found), "networks": networks}
    for what, values, scatter in (
        ("output", [each.outputs for each in found], predicted.output_scatter),
        ("tangent kernel", [each.kernels for each in found], predicted.kernel_scatter),
    ):
        ratios = [
            width * (squares_about_mean(each[:, LATE]) / scatter[LATE] ** 2).reshape(len(each), -1).mean(axis=1)
            for width, each in zip(widths, values, strict=True)
        ]
        value, error = limit(widths, [each[:, None] for each in ratios])
        run.row(
            f"linear: variance of the {what} x width over theory, extrapolated to 1/width = 0",
            compare_estimate(value, 1.0, standard_error=error, **counts),
        )
        first = (scatter[0] ** 2 / scatter[LATE] ** 2).mean()
        run.must_fail("scatter of the initialisation", compare_estimate(value, first, standard_error=error, **counts))


def controlled(values: Floats, controls: Floats) -> tuple[Floats, Floats]:
    """Return the mean of values (networks,) and its error, less what goes with controls (networks, k) of mean 0."""
    columns = np.column_stack([np.ones(len(values)), controls])
    inverse = np.linalg.inv(columns.T @ columns)
    weights = inverse @ columns.T @ values
    left = values - columns @ weights
    return weights[0], np.sqrt(left @ left / (len(values) - columns.shape[1]) * inverse[0, 0])


Biases = dict[str, tuple[Floats, Floats]]


def biases(task: Regression, found: list[Trained]) -> Biases:
    """Return M (mean less limit) of output and kernel at the late time, along theory's and over it, with its error."""
    infinite = theory.linear_mean_field(task, TIMES, ALPHA)
    predicted = theory.linear_finite_width(task, TIMES, task.inputs, ALPHA)
    controls = [each.controls(task) for each in found]
    result: Biases = {}
    for what, limits, bias, values in (
        ("output", infinite.outputs(task.inputs), predicted.output_bias, [each.outputs for each in found]),
        ("tangent kernel", infinite.kernel(task.inputs), predicted.kernel_bias, [each.kernels for each in found]),
    ):
        along = bias[LATE].ravel() / (bias[LATE] ** 2).sum()
        pairs = []
        for each, one, known in zip(found, values, controls, strict=True):
            off = each.width * (one[:, LATE] - limits[0, LATE]).reshape(len(one), -1) @ along
            pairs.append(controlled(off, known))
        result[what] = (np.array([pair[0] for pair in pairs]), np.array([pair[1] for pair in pairs]))
    return result


def bias_rows(run: Trial, found: list[Trained], measured: Biases) -> None:
    """Compare the mean over networks less the limit with theory, and its slope in the width with -1."""
    widths = np.array([each.width for each in found], float)
    networks = sum(len(each.outputs) for each in found)
    for what, (values, errors) in measured.items():
        counts = {"freedom": networks - 70 * len(found), "networks": networks}
        slope, error = exponent(widths, values / widths, errors / widths)
        statement = f"linear, widths {widths[0]:g} to {widths[-1]:g}: slope of the bias of the mean {what}"
        run.row(statement, compare_estimate(slope, -1.0, standard_error=error, **counts))
        run.must_fail("slope -1/2", compare_estimate(slope, -0.5, standard_error=error, **counts))
        run.must_fail("slope -2", compare_estimate(slope, -2.0, standard_error=error, **counts))
        # A straight line in 1/width, each width by its error.
        columns = np.column_stack([np.ones(len(widths)), 1 / widths]) / errors[:, None]
        weights = np.linalg.pinv(columns)[0] / errors
        value, error = weights @ values, float(np.linalg.norm(weights * errors))
        run.row(
            f"linear: bias of the mean {what} x width over theory, extrapolated to 1/width = 0",
            compare_estimate(value, 1.0, standard_error=error, **counts),
        )
        run.must_fail("no bias", compare_estimate(value, 0.0, standard_error=error, **counts))


def wide_rows(run: Trial, task: Regression, found: list[Trained], width: int) -> None:
    """Compare means of tanh networks, extrapolated to infinite width, with those of much wider networks."""
    networks = max(len(found[0].outputs) // 4, 2)
    wide = Trained.of(run, task, "tanh", width, networks, 40)
    narrow = found[1:]
    widths = np.array([each.width for each in narrow], float)
    count = sum(len(each.outputs) for each in narrow) + networks
    entries = np.triu_indices(SAMPLES)
    lazy = frozen(task, wide.kernels[:, 0].mean(axis=0))
    for what, values, reference, held in (
        ("output", [e.outputs[:, LATE] for e in narrow], wide.outputs[:, LATE], lazy[LATE]),
        (
            "tangent kernel", [e.kernels[:, LATE][:, *entries] for e in narrow], wide.kernels[:, LATE][:, *entries],
            wide.kernels[:, 0].mean(axis=0)[entries],
        ),
    ):  # fmt: skip
        value, error = limit(widths, values)
        errors = np.hypot(np.abs(error), standard_error(reference))
        counts: dict[str, Any] = {"standard_error": errors, "freedom": networks - 1.0, "networks": count}
        run.row(
            f"tanh: mean {what} of widths {widths[0]:g} to {widths[-1]:g}, extrapolated, against width {width}",
            compare_estimate(value, reference.mean(axis=0), **counts),
        )
        run.must_fail("kernel frozen", compare_estimate(value, held, **counts))


def _data(run: Trial, task: Regression, found: dict[str, list[Trained]], measured: Biases) -> xr.Dataset:
    """Return the scatter at each width, the bias, and a few linear networks over time at two widths."""
    widths = np.array([each.width for each in found["linear"]], float)
    predicted = theory.linear_finite_width(task, TIMES, task.inputs, ALPHA)
    table: dict[str, Any] = {}
    for activation, each in found.items():
        for what, series in (("output", [e.outputs for e in each]), ("kernel", [e.kernels for e in each])):
            means, errors = _squares(series)
            table[f"{activation}_{what}_scatter"] = (("width",), np.sqrt(means))
            table[f"{activation}_{what}_scatter_error"] = (("width",), errors / (2 * np.sqrt(means)))
    for what, scatter in (("output", predicted.output_scatter), ("kernel", predicted.kernel_scatter)):
        table[f"{what}_scatter_predicted"] = ((), np.sqrt((scatter[LATE] ** 2).mean()))
    for what, (values, errors) in measured.items():
        name = what.removeprefix("tangent ")
        table[f"{name}_bias"] = (("width",), values / widths)
        table[f"{name}_bias_error"] = (("width",), errors / widths)
    times = np.linspace(0, TIMES[-1], 61)
    infinite = theory.linear_mean_field(task, times, ALPHA)
    shown = (16, 256)
    for what in ("output", "kernel"):
        table[what] = (("shown", "network", "time"), np.zeros((2, 20, len(times))))
    for at, width in enumerate(shown):
        data = flow(
            run, network("linear", width), task, Gaussian(std=1.0), times, measure=("output", "tangent_kernel"),
            loss="squared", networks=20,
        )  # fmt: skip
        table["output"][1][at] = data["output"].values[..., 0]
        table["kernel"][1][at] = data["tangent_kernel"].values[..., 0, 0]
    table["output_predicted"] = (("time",), infinite.outputs(task.inputs)[0, :, 0])
    table["kernel_predicted"] = (("time",), infinite.kernel(task.inputs)[0, :, 0, 0])
    held = theory.kernel_flow(frozen_kernel(task), task.targets, task.sample_weight, times)
    table["output_frozen"] = (("time",), held[:, 0])
    table["kernel_frozen"] = (("time",), np.full(len(times), frozen_kernel(task)[0, 0]))
    return xr.Dataset(table, coords={"width": widths, "time": times, "shown": list(shown)})


def _figure(data: xr.Dataset) -> Figure:
    titles = (
        "Networks scatter around one limit",
        "Their kernel grows: features are learnt",
        "The scatter falls as 1/√width",
        "The bias of the mean falls as 1/width",
    )
    made, (outputs, kernels, scatter, bias) = plot.figure(titles, width=4.9, height=4.1, rows=2)
    for axes, what, label in ((outputs, "output", "output f"), (kernels, "kernel", "tangent kernel")):
        _draw_networks(axes, data, what)
        axes.set(xlabel="time (step x rate)", ylabel=f"{label} of one sample")
    widths = data["width"].values
    marks = (("linear", "output", "o"), ("linear", "kernel", "s"), ("tanh", "output", "^"), ("tanh", "kernel", "D"))
    for (activation, what, marker), colour in zip(marks, plot.COLOURS, strict=False):
        found = data[f"{activation}_{what}_scatter"].values
        error = 4 * data[f"{activation}_{what}_scatter_error"].values
        plot.points(scatter, widths, found, error=error, color=colour, fmt=marker, label=f"{activation}, {what}")
        if activation == "linear":
            size = float(data[f"{what}_scatter_predicted"])
            plot.theory(scatter, widths, size / np.sqrt(widths), color=colour)
        else:
            size = np.exp(np.log(found * np.sqrt(widths)).mean())
            plot.theory(scatter, widths, size / np.sqrt(widths), color=colour, lw=1.2, ls="--")
    plot.theory(scatter, [], [], color="0.3", label="theory")
    plot.theory(scatter, [], [], color="0.3", lw=1.2, ls="--", label="slope -1/2")
    for what, colour, marker in (("output", plot.COLOURS[0], "o"), ("kernel", plot.COLOURS[1], "s")):
        found, error = data[f"{what}_bias"].values, data[f"{what}_bias_error"].values
        plot.points(bias, widths, found, error=4 * error, color=colour, fmt=marker, label=f"linear, {what}, ±4 s.e.")
    plot.theory(bias, widths, 1 / widths, color="0.3", label="theory, 1/width")
    for axes, label in ((scatter, "standard deviation over networks"), (bias, "mean less limit, in units of theory's")):
        axes.set(xscale="log", yscale="log", xlabel="width", ylabel=label)
        ticks(axes.xaxis, widths)
    low, high = scatter.get_ylim()
    scatter.set_ylim(low / 10, high)
    for axes, loc in ((outputs, "lower right"), (kernels, "best"), (scatter, "lower left"), (bias, "upper right")):
        plot.legend(axes, fontsize=10, loc=loc)
    return made


def _draw_networks(axes: Axes, data: xr.Dataset, what: str) -> None:
    """Draw twenty networks of two widths, the limit, and the same with a frozen kernel."""
    for width, colour in zip(data["shown"].values, (plot.COLOURS[1], plot.COLOURS[0]), strict=True):
        for number, series in enumerate(data[what].sel(shown=width).values):
            label = f"width {width}, trained" if number == 0 else None
            axes.plot(data["time"], series, color=colour, lw=0.8, alpha=0.6, label=label)
    plot.theory(axes, data["time"], data[f"{what}_predicted"], color="black", label="infinite width")
    plot.theory(axes, data["time"], data[f"{what}_frozen"], color="0.4", ls="--", lw=1.5, label="kernel frozen")
