"""Claim: spectral decoupling gives every training sample one margin; what that does for a starved feature.

Two-layer networks with separate neurons (``separate.py``) come to rest where a convex function of the
strengths is least: weight decay of both layers is a penalty on the sum of strengths, 2 decay sum_k u_k/rho_k, once the
two neurons of a feature, one per sign, are counted.
"""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.optimize import brentq
from scipy.special import expit

from shoal import Explicit, Network, Task, plot, theory
from shoal.claims.claim import claim
from shoal.claims.learning_dynamics.starvation import START, TIMES
from shoal.claims.shared.figures import key, legends
from shoal.claims.shared.flows import TOLERANCE
from shoal.claims.shared.separate import FREE, Penalty, Signed, equal_strengths, separate_init, train_margins
from shoal.claims.trial import Trial
from shoal.verdicts.comparison import compare_flow
from shoal.verdicts.layout import Floats

DECOUPLINGS = (0.1, 0.3, 1.0)
DECAYS = (0.01, 0.03, 0.1)
"""Penalties that linear networks are brought to rest with."""
DECOUPLING = 0.1
"""Spectral decoupling of the two-layer networks."""
MARGIN = float(theory.decoupled_margin(DECOUPLING))
TARGET = float(np.log1p(np.exp(-MARGIN)))
"""Training loss, without penalties, at which the three trainings are compared with each other."""
FRACTIONS = (0.1, 0.3, 0.5, 0.7, 0.9)
LINE = np.linspace(0.04, 0.96, 13)
"""The same, where theory is drawn."""
PATH_FRACTION = 0.7
"""Fraction of the samples with both features where whole curves are compared."""
REST = np.array([0.0, 3000.0])
"""Start, and a time by which distances from a rest that is approached exponentially are below rounding."""
REST_FRACTION, REST_DECAY = 0.7, 0.03
ALONE = Signed((2.0, 1.0), ((0, 1), (0,), (1,)), (0.5, 0.2, 0.3))
"""Two features together and each alone: no margin can suit all samples."""


def accompanied(fraction: float) -> Signed:
    """Return the task in which the starved feature comes in a fraction, and only along with the frequent one."""
    return Signed((1.0, 1.0), ((0, 1), (0,)), (fraction, 1 - fraction))


def cued(fraction: float) -> Signed:
    """Return the task in which a fraction of the samples carries a cue of norm 2 besides what all of them carry."""
    return Signed((2.0, 1.0), ((0, 1), (1,)), (fraction, 1 - fraction))


TASKS = {"accompanied": accompanied, "cued": cued}


def rest(signed: Signed, penalty: Penalty) -> Floats:
    """Return the strengths (features,) at which a two-layer network with separate neurons rests.

    The minimum over u >= 0 of sum_T p_T [l(m_T) + zeta/2 m_T^2] + 2 lambda sum_k u_k/rho_k, one feature at a time; the
    function is convex, so that the order does not matter.
    """
    members = np.array([[float(k in held) for k in range(len(signed.norms))] for held in signed.types])
    strengths = np.zeros(len(signed.norms))

    def slope(value: float, feature: int) -> float:
        tried = strengths.copy()
        tried[feature] = value
        margins = members @ tried
        pull = expit(-margins) - penalty.spectral_decoupling * margins
        decay = 2 * penalty.weight_decay / signed.norms[feature]
        return float(decay - (members[:, feature] * signed.frequencies) @ pull)

    for _ in range(2000):
        before = strengths.copy()
        for feature in range(len(strengths)):
            idle = slope(0.0, feature) >= 0
            strengths[feature] = 0.0 if idle else brentq(slope, 0.0, 60.0, args=(feature,), xtol=1e-15, rtol=1e-14)
        if np.abs(strengths - before).max() <= 1e-14:
            break
    return strengths


def loss_at(signed: Signed, strengths: Floats) -> float:
    """Return the training loss, without penalties, at strengths (features,)."""
    margins = np.array([sum(strengths[k] for k in held) for held in signed.types])
    return float(np.log1p(np.exp(-margins)) @ signed.frequencies)


def matching_decay(signed: Signed) -> float:
    """Return the weight decay with which the network rests at the training loss `TARGET`."""
    return float(brentq(lambda decay: loss_at(signed, rest(signed, Penalty(decay))) - TARGET, 1e-4, 0.4, xtol=1e-12))


def matching_time(signed: Signed, initial: Floats) -> float:
    """Return when, without a penalty, the training loss falls to `TARGET`."""
    pair = signed.theory(initial)
    # Theory counts half of each frequency, and so half of the loss.
    return float(np.exp(brentq(lambda log: 2 * float(pair.loss_value(np.exp(log))) - TARGET, 0.0, 12.0, xtol=1e-14)))


def penalties(signed: Signed) -> dict[str, Penalty]:
    """Return the three trainings that are compared, weight decay tuned to the training loss of decoupling."""
    return {
        "no penalty": FREE,
        "weight decay": Penalty(weight_decay=matching_decay(signed)),
        "spectral decoupling": Penalty(spectral_decoupling=DECOUPLING),
    }


@claim(
    "remedies",
    "Spectral decoupling gives all samples one margin, however strong their features; weight decay does not.",
    source="arXiv:2011.09468; theory book, chapter 6",
)
def remedies(run: Trial) -> Figure:
    """Compare linear networks at rest, two-layer networks on their way and at rest, and who is fed."""
    linear, curves = _linear(run), _paths(run)
    _rests(run)
    matched = _matched(run)
    return _figure(run.save(xr.merge([linear, curves, matched], combine_attrs="drop")))


def linear_task(samples: int, inputs: int, seed: int) -> Task:
    """Return samples of random directions and labels, norms from 0.6 to 1.8 and weights that differ by up to three."""
    draw = np.random.default_rng([seed, 5])
    points = draw.normal(size=(samples, inputs))
    points *= np.linspace(0.6, 1.8, samples)[:, None] / np.linalg.norm(points, axis=1, keepdims=True)
    return Task(points, draw.choice([-1, 1], samples), draw.uniform(0.5, 1.5, samples))


def _linear(run: Trial) -> xr.Dataset:
    """Compare linear networks: one margin for all under decoupling, the dual fixed point under weight decay."""
    count, found, decayed = run.networks(full=64, quick=8), [], []
    free, tight = linear_task(6, 24, run.seed), linear_task(24, 6, run.seed)
    initial = np.random.default_rng([run.seed, 6]).normal(0.0, 0.3, (count, 1, 24))
    scaled = np.sqrt(free.sample_weight)[:, None] * free.inputs
    softest = float(np.linalg.eigvalsh(scaled @ scaled.T)[0])
    for decoupling in DECOUPLINGS:
        # Distances shrink at least at the rate decoupling x softest: by e^-30 in this time.
        until, penalty = np.array([0.0, 30 / (decoupling * softest)]), Penalty(spectral_decoupling=decoupling)
        margins = train_margins(run, Network((24, 1)), free, Explicit([initial]), until, penalty)[:, -1:]
        found.append(margins[0, 0])
        right, wrong = (np.full(free.samples, float(theory.decoupled_margin(p * decoupling))) for p in (1.0, 1.05))
        statement = f"linear, decoupling {decoupling:g}: margin of every sample"
        run.compare_flow(statement, margins, right, tolerance=TOLERANCE)
        run.must_fail("decoupling 5% larger", compare_flow(margins, wrong, tolerance=TOLERANCE))
    for decay in DECAYS:
        until, init = np.array([0.0, 30 / decay]), Explicit([initial[..., :6]])
        margins = train_margins(run, Network((6, 1)), tight, init, until, Penalty(weight_decay=decay))[:, -1:]
        dual, larger = (theory.penalised_linear(tight, weight_decay=p * decay) for p in (1.0, 1.05))
        # In U^T m the inputs count through their singular values alone.
        turned = margins @ dual.samples
        statement = f"linear, weight decay {decay:g}: dual fixed point"
        run.compare_flow(statement, turned, dual.strengths, tolerance=TOLERANCE)
        run.must_fail("weight decay 5% larger", compare_flow(turned, larger.strengths, tolerance=TOLERANCE))
        decayed.append(theory.penalised_linear(free, weight_decay=decay).margins)
    table = {
        "linear_margin": (("decoupling", "sample"), np.stack(found)),
        "linear_decayed": (("decay", "sample"), np.stack(decayed)),
        "linear_norm": (("sample",), np.linalg.norm(free.inputs, axis=1)),
    }
    return xr.Dataset(table, coords={"decoupling": list(DECOUPLINGS), "decay": list(DECAYS)})


def _paths(run: Trial) -> xr.Dataset:
    """Compare every curve of two-layer networks on both tasks."""
    initial = equal_strengths(run.networks(full=32, quick=4), run.seed)
    initial[0] = START
    measured: dict[str, list[Floats]] = {}
    predicted: dict[str, list[Floats]] = {}
    for make in TASKS.values():
        signed = make(PATH_FRACTION)
        network, init = separate_init(signed.norms, initial, run.seed)
        for name, penalty in penalties(signed).items():
            measured.setdefault(name, []).append(train_margins(run, network, signed.task, init, TIMES, penalty))
            predicted.setdefault(name, []).append(signed.predicted(initial, TIMES, penalty=penalty))
    for name, parts in measured.items():
        found, right, free = (np.concatenate(each) for each in (parts, predicted[name], predicted["no penalty"]))
        run.compare_flow(f"two layers, {name}: margins", found, right, tolerance=TOLERANCE)
        if name != "no penalty":
            run.must_fail("no penalty", compare_flow(found, free, tolerance=TOLERANCE))
    dimensions = ("penalty", "task", "time", "feature")
    table = {
        "strength": (dimensions, np.stack([[one[0, :, -2:] for one in pair] for pair in measured.values()])),
        "strength_predicted": (dimensions, np.stack([[one[0, :, -2:] for one in pair] for pair in predicted.values()])),
    }
    return xr.Dataset(table, coords={"time": TIMES, "penalty": list(measured), "task": list(TASKS)})


def _rests(run: Trial) -> None:
    """Compare two-layer networks where they rest, at an exponential pace; a feature that decay drops rests at 0."""
    initial = equal_strengths(run.networks(full=16, quick=4), run.seed)
    decay = Penalty(weight_decay=REST_DECAY)
    asked = [(task, make(REST_FRACTION), "weight decay", decay) for task, make in TASKS.items()]
    asked.append(("each also alone", ALONE, "weight decay", decay))
    asked.append(("each also alone", ALONE, "spectral decoupling", Penalty(spectral_decoupling=DECOUPLING)))
    for task, signed, name, penalty in asked:
        network, init = separate_init(signed.norms, initial, run.seed)
        margins = train_margins(run, network, signed.task, init, REST, penalty)[:, -1:]
        final = signed.members @ rest(signed, penalty)
        run.compare_flow(f"two layers, {task}, {name}: margins at rest", margins, final, tolerance=TOLERANCE)


def _matched(run: Trial) -> xr.Dataset:
    """Compare three trainings at one training loss: the confidence on points with the starved feature alone."""
    initial = np.full((1, 2), START)
    names = list(penalties(cued(FRACTIONS[0])))
    found = np.empty((len(TASKS), len(FRACTIONS), len(names)))
    predicted = np.empty_like(found)
    lines = np.empty((len(TASKS), len(LINE), len(names)))
    for i, make in enumerate(TASKS.values()):
        for j, fraction in enumerate(FRACTIONS):
            signed = make(fraction)
            network, init = separate_init(signed.norms, initial, run.seed)
            for k, penalty in enumerate(penalties(signed).values()):
                times = _until(signed, penalty, initial)
                margins = train_margins(run, network, signed.task, init, times, penalty)
                found[i, j, k] = expit(margins[0, -1, -1])
                predicted[i, j, k] = _confidence(signed, penalty, initial)
        for j, fraction in enumerate(LINE):
            signed = make(float(fraction))
            lines[i, j] = [_confidence(signed, penalty, initial) for penalty in penalties(signed).values()]
    for i, task in enumerate(TASKS):
        statement = f"{task}: confidence on the starved feature alone, at equal training loss"
        run.compare_flow(statement, found[i][:, None], predicted[i][:, None], tolerance=TOLERANCE)
    measured = "; ".join(
        f"{task}, {fraction:g} of the samples with both features: "
        + ", ".join(f"{name} {found[i, j, k]:.3f}" for k, name in enumerate(names))
        for i, task in enumerate(TASKS)
        for j, fraction in enumerate(FRACTIONS)
        if fraction in (0.5, 0.9)
    )
    run.note(f"Confidence on points with the starved feature alone, at a training loss of {TARGET:.3f}: {measured}.")
    run.note(
        "Decoupling feeds the starved feature where some samples carry it without the other (cued): there it drops the"
        " cue. Where it only ever comes along with the frequent feature (accompanied), samples with both would exceed"
        " the common margin, and decoupling and weight decay both unlearn it."
    )
    run.note(
        "Weight decay is tuned to rest at the training loss of decoupling; without a penalty, training is stopped"
        " there."
    )
    table = {
        "confidence": (("task", "fraction", "penalty"), found),
        "confidence_predicted": (("task", "line_fraction", "penalty"), lines),
    }
    places = {"task": list(TASKS), "fraction": list(FRACTIONS), "line_fraction": LINE, "penalty": names}
    return xr.Dataset(table, coords=places)


def _until(signed: Signed, penalty: Penalty, initial: Floats) -> Floats:
    """Return time 0, and when a training is stopped: when its loss is `TARGET`, or at rest."""
    return np.array([0.0, REST[-1] if penalty != FREE else matching_time(signed, initial[0])])


def _confidence(signed: Signed, penalty: Penalty, initial: Floats) -> Floats:
    times = _until(signed, penalty, initial)
    return np.asarray(expit(signed.predicted(initial, times, penalty=penalty)[0, -1, -1]))


def _figure(data: xr.Dataset) -> Figure:
    made, (linear, curves, *matched) = plot.figure(
        (
            "Linear, at rest",
            f"Two layers, {PATH_FRACTION:g} of the samples cued",
            "Starved feature also alone (cued)",
            "Starved feature never alone",
        ),
        width=5.0,
    )
    _draw_linear(linear, data)
    _draw_strengths(curves, data)
    for axes, task in zip(matched, ("cued", "accompanied"), strict=True):
        chosen = data.sel(task=task)
        for name, colour, marker in zip(data["penalty"].values, plot.COLOURS, "os^", strict=False):
            part = chosen.sel(penalty=name)
            plot.theory(axes, LINE, part["confidence_predicted"].values, color=colour, label=name)
            plot.points(axes, FRACTIONS, part["confidence"].values, color=colour, fmt=marker)
        key(axes)
        axes.set(xlabel="fraction of samples with both features", ylabel="confidence, starved feature")
        axes.set(ylim=(0.48, 0.98), xlim=(0, 1))
    legends((linear, curves, *matched), fontsize=9.5)
    return made


def _draw_linear(axes: Axes, data: xr.Dataset) -> None:
    norms = data["linear_norm"].values
    for decoupling, colour, marker in zip(DECOUPLINGS, plot.COLOURS, "os^", strict=False):
        level = float(theory.decoupled_margin(decoupling))
        plot.points(axes, norms, data["linear_margin"].sel(decoupling=decoupling), color=colour, fmt=marker)
        plot.theory(axes, norms, np.full(len(norms), level), color=colour, label=f"decoupling {decoupling:g}")
    decayed = data["linear_decayed"].sel(decay=DECAYS[0]).values
    plot.theory(axes, norms, decayed, color="0.5", ls="--", label=f"theory: weight decay {DECAYS[0]:g}")
    key(axes)
    axes.set(xlabel="norm of the sample", ylabel="margin at rest")


def _draw_strengths(axes: Axes, data: xr.Dataset) -> None:
    chosen = data.sel(task="cued")
    for name, colour in zip(data["penalty"].values, plot.COLOURS, strict=False):
        part = chosen.sel(penalty=name)
        for feature, style, marker in ((0, "--", "s"), (1, "-", "o")):
            label = f"{name}, {('cue', 'starved')[feature]}"
            measured, predicted = (part[f"strength{end}"].values[:, feature] for end in ("", "_predicted"))
            plot.points(axes, TIMES[1::6], measured[1::6], color=colour, fmt=marker)
            plot.theory(axes, TIMES[1:], predicted[1:], color=colour, ls=style, label=label)
    axes.set(xscale="log", xlabel="time", ylabel="strength u")
