"""Claim: scaled up, a network trains as a linear model with the tangent kernel of its initialisation."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from shoal import (
    Gaussian,
    GradientDescent,
    GradientFlow,
    Network,
    Record,
    Task,
    claim,
    compare_mean,
    compare_rates,
    plot,
    theory,
)
from shoal.claims.shared.figures import key, standard_error, ticks
from shoal.claims.shared.flows import compare_arrivals
from shoal.claims.shared.runs import far_seed
from shoal.claims.shared.widths import exponent, limit, squares_about_mean
from shoal.claims.trial import Trial
from shoal.spec.task import Regression
from shoal.verdicts.layout import Floats
from shoal.verdicts.means import compare_estimate

INPUTS, LEARNT, FRESH = 4, 7, 4
NETWORKS = {"one hidden layer, erf": ((INPUTS, 32, 1), "erf"), "two hidden layers, tanh": ((INPUTS, 16, 16, 1), "tanh")}
ALPHA = 256.0  # at which networks are compared under flow; also 2 and 4 times that
DESCENT = 1024.0  # the same under descent, which has no integrator to add errors
FACTORS = np.array([1.0, 2.0, 4.0])
DRAWN = 2.0 ** np.arange(-4, 11, 2)  # alpha in the figure
TIMES = np.linspace(0.0, 30.0, 31)
STEPS = np.arange(31)
OVERSHOOT = 1.5  # learning rate times the largest eigenvalue of K P
TIGHT = 1e-12  # rtol: outputs are alpha times what weights of order 1 are off by
ONE_LAYER = {"relu": 32, "leaky_relu": 32, "erf": 8, "quadratic": 32}  # widths at which the mean kernel is compared
WIDTHS = (8, 16, 32, 64, 128, 256)  # of one hidden layer, whose scatter is compared
DEEP = (4, 8, 16, 32)  # of two hidden layers, whose mean is compared
MANY = 1000  # random kernels for each network that is trained


def scaled(widths: tuple[int, ...], activation: str, alpha: float) -> Network:
    """Return the network with outputs alpha (f - f_0), whose rates keep the tangent kernel that of f."""
    plain = Network.ntk(widths, activation)
    scales = (*plain.scales[:-1], alpha * plain.scales[-1])
    return Network(widths, activation, scales=scales, rates=(alpha**-2,) * plain.layers, centred=True)


def points(count: int, seed: int) -> Floats:
    """Return inputs of norm 2, on one side of the plane more often: no two are nearly opposite, as a rule."""
    drawn = 0.5 + np.random.default_rng([seed, 7]).normal(size=(count, INPUTS))
    return np.asarray(2 * drawn / np.linalg.norm(drawn, axis=1, keepdims=True))


def regression(seed: int) -> Regression:
    """Return targets -1 and 1 by turns, and samples of weight 0, which are predicted and not learnt."""
    x = points(LEARNT + FRESH, seed)
    weight = np.where(np.arange(len(x)) < LEARNT, 1.0, 0.0)
    return Task.regression(x, np.where(np.arange(len(x)) % 2 == 0, 1.0, -1.0) * weight, weight)


def train(run: Trial, name: str, task: Regression, alpha: float, networks: int) -> xr.Dataset:
    """Return networks of one architecture and scale under gradient flow, at `TIMES`."""
    record = Record(times=TIMES, measure=("output", "tangent_kernel", "kernel_distance"))
    method = GradientFlow(t_end=float(TIMES[-1]), rtol=TIGHT, atol=TIGHT)
    data = run.train(
        scaled(*NETWORKS[name], alpha), task, Gaussian(std=1.0), method=method, record=record, loss="squared",
        networks=networks,
    )  # fmt: skip
    if (data["status"].values != 0).any():
        raise RuntimeError(f"all {networks} networks must reach time {TIMES[-1]:g}")
    return data


@claim(
    "kernel-regime",
    "With a large output scale a network learns as a linear model with the tangent kernel of its initialisation, with a"
    " gap of order 1/alpha.",
    source="arXiv:1806.07572, arXiv:1812.07956, arXiv:1902.06720; theory book, chapter 9",
)
def kernel_regime(run: Trial) -> Figure:
    """Compare outputs of flow and descent, orders in alpha, and random kernels with their closed form."""
    networks = run.networks(full=400, quick=40)
    task = regression(run.seed)
    for name in NETWORKS:
        flow_rows(run, name, task, networks)
        descent_rows(run, name, task, networks)
    parts = [_pictures(run, task), one_layer_rows(run, MANY * networks), deep_rows(run, MANY * networks)]
    run.note(
        f"Samples: {LEARNT} learnt, {FRESH} of weight 0, which the network is measured on and never trained.",
        "The distance of kernels is 1 - cosine, of second order in the change of the kernel: of order 1/alpha^2.",
        "The mean tangent kernel of one hidden layer is that of infinite width at any width, exactly. With two hidden"
        " layers it differs by order 1/width.",
    )
    return _figure(run.save(xr.merge(parts)))


def flow_rows(run: Trial, name: str, task: Regression, networks: int) -> None:
    """Compare outputs with the kernel's, extrapolated to 1/alpha = 0, and the orders in alpha."""
    trained = [train(run, name, task, ALPHA * factor, networks) for factor in FACTORS]
    outputs = [data["output"].values for data in trained]
    kernel = trained[0]["tangent_kernel"].values[:, 0]

    def predicted(kernel: Floats, task: Regression = task, speed: float = 1.0) -> Floats:
        return theory.kernel_flow(kernel, task.targets, speed * task.sample_weight, TIMES)

    right, bias = predicted(kernel), 5 * 10 * TIGHT * ALPHA * FACTORS[-1]
    wrong = {
        "kernel 1% larger": predicted(kernel, speed=1.01),
        "kernel of another network": predicted(np.roll(kernel, 1, axis=0)),
        "sum over samples in place of the mean": predicted(kernel, speed=LEARNT),
    }
    if "erf" in name:
        wide = theory.wide_kernel(task.inputs, 1, "erf")
        wrong["kernel of infinite width"] = predicted(np.broadcast_to(wide, kernel.shape))
    learnt = task.sample_weight > 0
    for words, chosen in (("samples learnt", learnt), ("fresh samples", ~learnt)):
        first, second, third = (each[..., chosen] for each in outputs)
        statement = f"{name}: {words}, extrapolated to 1/alpha = 0"
        run.compare_rates(statement, first, second, third, right[..., chosen], bias=bias)
        for said, curves in wrong.items():
            run.must_fail(said, compare_rates(first, second, third, curves[..., chosen], bias=bias))
    gaps = np.array([np.sqrt(((each - right) ** 2).mean(axis=(1, 2))) for each in outputs])
    distances = np.array([data["kernel_distance"].values[:, -1] for data in trained])
    # Distances are off by rounding of the cosine; gaps by the integrator.
    for what, found, expected, noise in (
        ("gap of outputs", gaps, 1.0, bias),
        ("distance of the kernel", distances, 2.0, 16 * float(np.finfo(np.float64).eps)),
    ):
        order, error = order_of(found, noise)
        run.row(f"{name}: order in 1/alpha of the {what}", compare_arrivals(order, expected, error))
        run.must_fail(f"order {3 - expected:g}", compare_arrivals(order, 3 - expected, error))
        run.must_fail("order 1/2 less", compare_arrivals(order, expected - 0.5, error))


def order_of(gaps: Floats, noise: float) -> tuple[Floats, Floats]:
    """Return the order in 1/alpha of gaps (3, networks) at `FACTORS`, (networks,), and how far it may be off.

    Slopes log2(d/d') and log2(d'/d'') are p + e and p + e/2 + ...: twice the second less the first is p up to the order
    of their difference, of which the largest counts for all networks. ``noise`` puts each gap off.
    """
    first, second = np.log2(gaps[:-1] / gaps[1:])
    carried = noise / np.log(2) * (np.array([1.0, 3.0, 2.0])[:, None] / gaps).sum(axis=0)
    return 2 * second - first, np.abs(second - first).max() + carried


def descent_rows(run: Trial, name: str, task: Regression, networks: int) -> None:
    """Compare descent, at learning rates at which the fastest mode overshoots, with its own formula."""
    rates, kernel = _kernels(run, name, task, networks)
    first, second, third = (_descend(run, name, task, DESCENT * factor, rates) for factor in FACTORS)
    right, slower = (
        theory.kernel_descent(size * rates[:, None, None] * kernel, task.targets, task.sample_weight, 1.0, STEPS)
        for size in (1.0, 0.99)
    )
    flow = theory.kernel_flow(rates[:, None, None] * kernel, task.targets, task.sample_weight, STEPS)
    words = f"{name}: descent at {OVERSHOOT:g} over the largest eigenvalue, extrapolated to 1/alpha = 0"
    # A centred output is the difference of two of order 1, times alpha.
    bias = 5 * DESCENT * FACTORS[-1] * len(STEPS) * float(np.finfo(np.float64).eps)
    run.compare_rates(words, first, second, third, right, bias=bias)
    run.must_fail("gradient flow", compare_rates(first, second, third, flow, bias=bias))
    run.must_fail("learning rate 1% smaller", compare_rates(first, second, third, slower, bias=bias))


def _kernels(run: Trial, name: str, task: Regression, networks: int) -> tuple[Floats, Floats]:
    """Return the learning rate of each network, `OVERSHOOT` over the largest eigenvalue of K P, and K."""
    record = Record(steps=[0], measure=("tangent_kernel",))
    data = run.train(
        scaled(*NETWORKS[name], ALPHA), task, Gaussian(std=1.0), method=GradientDescent(1.0, steps=0), record=record,
        loss="squared", networks=networks,
    )  # fmt: skip
    kernel = data["tangent_kernel"].values[:, 0]
    root = np.sqrt(task.sample_weight)
    largest = np.linalg.eigvalsh(root[:, None] * kernel * root)[:, -1]
    return OVERSHOOT / largest, kernel


def _descend(run: Trial, name: str, task: Regression, alpha: float, rates: Floats) -> Floats:
    """Return outputs (networks, steps, samples) of descent at a learning rate of each network's own."""
    method, record = GradientDescent(rates, steps=int(STEPS[-1])), Record(steps=STEPS, measure=("output",))
    data = run.train(
        scaled(*NETWORKS[name], alpha), task, Gaussian(std=1.0), method=method, record=record, loss="squared",
        networks=len(rates),
    )  # fmt: skip
    return np.asarray(data["output"].values)


def kernels(run: Trial, hidden: tuple[int, ...], activation: str, networks: int, part: int) -> Floats:
    """Return tangent kernels (networks, samples, samples) of random networks, recorded by the core."""
    task = Task.regression(points(5, run.seed), np.zeros(5))
    network, record = Network.ntk((INPUTS, *hidden, 1), activation), Record(steps=[0], measure=("tangent_kernel",))
    data = run.train(
        network, task, Gaussian(std=1.0), method=GradientDescent(1.0, steps=0), record=record, loss="squared",
        networks=networks, seed=far_seed(run.seed, part),
    )  # fmt: skip
    return np.asarray(data["tangent_kernel"].values[:, 0])


def one_layer_rows(run: Trial, count: int) -> xr.Dataset:
    """Compare mean kernels of one hidden layer with the closed form, and the scatter of single ones with the width."""
    x = points(5, run.seed)
    for part, (activation, width) in enumerate(ONE_LAYER.items()):
        found, wide = kernels(run, (width,), activation, count, 1 + part), theory.wide_kernel(x, 1, activation)
        run.compare_mean(f"mean kernel of {activation}, {width} units: that of infinite width, exactly", found, wide)
        run.must_fail("5% larger", compare_mean(found, 1.05 * wide))
        run.must_fail("two hidden layers", compare_mean(found, theory.wide_kernel(x, 2, activation)))
    fewer, squares = max(count // 50, 20), []
    wide = theory.wide_kernel(x, 1, "relu")
    for part, width in enumerate(WIDTHS):
        off = squares_about_mean(kernels(run, (width,), "relu", fewer, 20 + part)) / wide**2
        squares.append(off.mean(axis=(1, 2)))
    means = np.array([square.mean() for square in squares])
    errors = np.array([standard_error(square) for square in squares])
    # A mean of M independent terms: its variance has no next order.
    slope, error = (each / 2 for each in exponent(np.array(WIDTHS, float), means, errors, next_order=False))
    counts = {"freedom": fewer * len(WIDTHS) - 2, "networks": fewer * len(WIDTHS)}
    statement = f"kernel of one network, relu, widths {WIDTHS[0]} to {WIDTHS[-1]}: slope of its scatter in the width"
    run.row(statement, compare_estimate(slope, -0.5, standard_error=error, **counts))
    run.must_fail("slope -1", compare_estimate(slope, -1.0, standard_error=error, **counts))
    scatter = np.sqrt(means)
    return xr.Dataset({"scatter": (("width",), scatter)}, coords={"width": list(WIDTHS)})


def deep_rows(run: Trial, count: int) -> xr.Dataset:
    """Compare mean kernels of two hidden layers, extrapolated in 1/width, with the closed form, and their gap to it."""
    x, widths = points(5, run.seed), np.array(DEEP, float)
    entries = np.triu_indices(len(x))
    fewer = {"freedom": count * len(DEEP[1:]) - 2, "networks": count * len(DEEP[1:])}
    for part, activation in enumerate(("relu", "erf")):
        # The narrowest is left out: a straight line in 1/width leaves terms in 1/width^2.
        found = [kernels(run, (n, n), activation, count, 40 + 8 * part + at) for at, n in enumerate(DEEP[1:])]
        wide, shallow = (theory.wide_kernel(x, layers, activation)[entries] for layers in (2, 1))
        value, spread = limit(widths[1:], [each[:, *entries] for each in found])
        error = np.abs(spread)
        statement = f"two hidden layers, {activation}: mean kernel, extrapolated to 1/width = 0"
        run.row(statement, compare_estimate(value, wide, standard_error=error, **fewer))
        for said, wrong in (("one hidden layer", shallow), ("5% larger", 1.05 * wide)):
            run.must_fail(said, compare_estimate(value, wrong, standard_error=error, **fewer))
    counts = {"freedom": count * len(DEEP) - 3, "networks": count * len(DEEP)}
    # Of quadratic units, whose gap is far above its noise: the mean over samples of K/K_wide, less 1.
    sizes = np.diag(theory.wide_kernel(x, 2, "quadratic"))
    values, errors = np.empty(len(DEEP)), np.empty(len(DEEP))
    for at, n in enumerate(DEEP):
        ratios = (np.diagonal(kernels(run, (n, n), "quadratic", count, 56 + at), axis1=1, axis2=2) / sizes).mean(axis=1)
        values[at], errors[at] = ratios.mean() - 1, standard_error(ratios)
    slope, slope_error = exponent(widths, values, errors)
    statement = f"two hidden layers, quadratic, widths {DEEP[0]} to {DEEP[-1]}: slope of the gap of the mean"
    run.row(statement, compare_estimate(slope, -1.0, standard_error=slope_error, **counts))
    for other in (-0.5, -2.0):
        run.must_fail(f"slope {other:g}", compare_estimate(slope, other, standard_error=slope_error, **counts))
    table = {"gap": (("deep_width",), values), "gap_error": (("deep_width",), errors)}
    return xr.Dataset(table, coords={"deep_width": list(DEEP)})


def _pictures(run: Trial, task: Regression) -> xr.Dataset:
    """Return one network at several scales, its descent, and gap and distance of a dozen networks at each scale."""
    name, count = next(iter(NETWORKS)), 12
    trained = [train(run, name, task, float(alpha), count) for alpha in DRAWN]
    kernel = trained[0]["tangent_kernel"].values[:, 0]
    right = theory.kernel_flow(kernel, task.targets, task.sample_weight, TIMES)
    outputs = np.array([data["output"].values for data in trained])
    rates, _ = _kernels(run, name, task, 1)
    descent = _descend(run, name, task, float(DRAWN[-1]), rates)[0]
    formula = theory.kernel_descent(rates[0] * kernel[0], task.targets, task.sample_weight, 1.0, STEPS)
    return xr.Dataset(
        {
            "output": (("alpha", "record", "sample"), outputs[:, 0]),
            "output_predicted": (("record", "sample"), right[0]),
            "output_gap": (("alpha", "network"), np.sqrt(((outputs - right) ** 2).mean(axis=(2, 3)))),
            "kernel_distance": (("alpha", "network"), np.array([each["kernel_distance"][:, -1] for each in trained])),
            "descent": (("step", "sample"), descent),
            "descent_predicted": (("step", "sample"), formula),
        },
        coords={"alpha": DRAWN, "time": ("record", TIMES), "step": STEPS, "learnt": ("sample", task.sample_weight > 0)},
    )


def _figure(data: xr.Dataset) -> Figure:
    titles = (
        "Scaled up, a network follows its kernel",
        r"The gap falls as $1/\alpha$",
        "Descent overshoots as its formula",
        "Kernels tend to that of infinite width",
    )
    made, (curves, gaps, descent, widths) = plot.figure(titles, width=4.9, height=4.1, rows=2)
    fresh = int(np.flatnonzero(~data["learnt"].values)[0])
    for alpha, colour, marker in zip((1 / 16, 1.0, 1024.0), plot.COLOURS, "os^", strict=False):
        for sample in (0, fresh):
            label = rf"$\alpha$ = {alpha:g}" if sample == 0 else None
            found = data["output"].sel(alpha=alpha)[::2, sample]
            plot.points(curves, data["time"][::2], found, color=colour, fmt=marker, label=label)
    for sample, dash in ((0, "-"), (fresh, "--")):
        words = "kernel, sample learnt" if sample == 0 else "kernel, fresh sample"
        plot.theory(curves, data["time"], data["output_predicted"][:, sample], color="0.2", ls=dash, label=words)
    alphas = data["alpha"].values
    for name, power, colour, marker, words in (
        ("output_gap", -1, plot.COLOURS[0], "o", "gap of outputs, 12 networks"),
        ("kernel_distance", -2, plot.COLOURS[1], "s", "1 - cosine of kernels"),
    ):
        each = data[name].values
        plot.points(gaps, np.repeat(alphas, each.shape[1]), each.ravel(), color=colour, fmt=marker, label=words)
        guide = np.exp(np.log(each[-1]).mean()) * (alphas / alphas[-1]) ** power
        plot.theory(gaps, alphas, guide, color=colour, lw=1.2, ls="--", label=f"slope {power}")
    for sample, colour, marker in ((0, plot.COLOURS[0], "o"), (1, plot.COLOURS[1], "s"), (fresh, plot.COLOURS[2], "^")):
        words = "fresh" if sample == fresh else f"sample {sample + 1}"
        plot.points(descent, data["step"], data["descent"][:, sample], color=colour, fmt=marker)
        plot.theory(descent, data["step"], data["descent_predicted"][:, sample], color=colour, label=words)
    key(descent, "trained (line: formula)")
    single, deep = data["width"].values, data["deep_width"].values
    scatter, gap = data["scatter"].values, np.abs(data["gap"].values)
    plot.points(widths, single, scatter, color=plot.COLOURS[0], fmt="o", label="one layer, scatter of one kernel")
    error, words = 4 * data["gap_error"].values, "two layers, gap of the mean, ±4 s.e."
    plot.points(widths, deep, gap, error=error, color=plot.COLOURS[1], fmt="s", label=words)
    for x, y, slope, words, colour in (
        (single, scatter, -0.5, "-1/2", plot.COLOURS[0]),
        (deep, gap, -1.0, "-1", plot.COLOURS[1]),
    ):
        guide = np.exp(np.mean(np.log(y * x**-slope))) * x**slope
        plot.theory(widths, x, guide, color=colour, lw=1.2, ls="--", label=f"slope {words}")
    curves.set(xlabel="time (step x rate)", ylabel="output f")
    gaps.set(xscale="log", yscale="log", xlabel=r"output scale $\alpha$", ylabel="gap to the kernel regime")
    descent.set(xlabel="step", ylabel="output f")
    widths.set(xscale="log", yscale="log", xlabel="units per hidden layer", ylabel="gap to infinite width, relative")
    ticks(gaps.xaxis, DRAWN[::2])
    descent.set_ylim(top=2 * descent.get_ylim()[1])
    ticks(widths.xaxis, (4, 8, 16, 32, 64, 128, 256))
    for axes in (gaps, widths):
        low, high = axes.get_ylim()
        axes.set_ylim(low / (30 if axes is gaps else 8), high)
    plot.legend(curves, fontsize=10, loc="best")
    plot.legend(gaps, fontsize=10, loc="lower left")
    plot.legend(descent, fontsize=10, loc="upper right", ncols=2)
    plot.legend(widths, fontsize=10, loc="lower left")
    return made
