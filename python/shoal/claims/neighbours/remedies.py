"""Claim: spectral decoupling gives every training sample one margin; what that does for a starved feature."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from scipy.optimize import brentq
from scipy.special import expit

from shoal import Explicit, Network, Task, claim, compare_flow, plot, theory
from shoal.claims.shared import separate
from shoal.claims.shared.figures import key, legends
from shoal.claims.shared.flows import TOLERANCE
from shoal.claims.shared.separate import FRACTIONS, START, TIMES, Signed, rare, separate_init, train_margins
from shoal.claims.trial import Trial
from shoal.verdicts.layout import Floats

DECOUPLINGS, DECAYS = (0.1, 0.3, 1.0), (0.01, 0.03, 0.1)  # with which linear networks are brought to rest
DECOUPLING = 0.1  # of the two-layer networks
MARGIN = float(theory.decoupled_margin(DECOUPLING))
TARGET = float(np.log1p(np.exp(-MARGIN)))  # training loss, without penalties, at which trainings are compared
LINE = np.linspace(0.04, 0.96, 13)  # fractions at which theory is drawn
PATH_FRACTION = 0.7  # of the samples with both features, where whole curves are compared
REST = np.array([0.0, 3000.0])  # by then, distances from a rest approached exponentially are below rounding
REST_FRACTION, REST_DECAY = 0.7, 0.03
ALONE = Signed((2.0, 1.0), ((0, 1), (0,), (1,)), (0.5, 0.2, 0.3))  # no margin can suit all samples


def cued(fraction: float) -> Signed:
    """Return the task in which a fraction of the samples carries a cue of norm 2 besides what all of them carry."""
    return Signed((2.0, 1.0), ((0, 1), (1,)), (fraction, 1 - fraction))


TASKS = {"accompanied": rare, "cued": cued}  # in `rare`, the starved feature only comes along with the frequent one
NAMES = ("no penalty", "weight decay", "spectral decoupling")
Penalty = dict[str, Any]  # what is added to the loss, as arguments of ``shoal.train`` and ``theory.Features``


def _members(signed: Signed) -> Floats:
    return np.array([[float(k in held) for k in range(len(signed.norms))] for held in signed.types])


def rest(signed: Signed, weight_decay: float = 0.0, spectral_decoupling: float = 0.0) -> Floats:
    """Return the strengths (features,) at which a two-layer network with separate neurons rests.

    The minimum over u >= 0 of sum_T p_T [l(m_T) + zeta/2 m_T^2] + 2 lambda sum_k u_k/rho_k, with a factor 2 for the
    signs of a feature. One feature at a time: the function is convex, so that the order does not matter.
    """
    members = _members(signed)
    strengths = np.zeros(len(signed.norms))

    def slope(value: float, feature: int) -> float:
        tried = strengths.copy()
        tried[feature] = value
        margins = members @ tried
        pull = expit(-margins) - spectral_decoupling * margins
        decay = 2 * weight_decay / signed.norms[feature]
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
    return float(np.log1p(np.exp(-_members(signed) @ strengths)) @ signed.frequencies)


def matching_decay(signed: Signed) -> float:
    """Return the weight decay with which the network rests at the training loss `TARGET`."""
    return float(brentq(lambda decay: loss_at(signed, rest(signed, decay)) - TARGET, 1e-4, 0.4, xtol=1e-12))


def matching_time(signed: Signed, initial: Floats) -> float:
    """Return when, without a penalty, the training loss falls to `TARGET`."""
    pair = signed.theory(initial)
    # Theory counts half of each frequency, and so half of the loss.
    return float(np.exp(brentq(lambda log: 2 * float(pair.loss_value(np.exp(log))) - TARGET, 0.0, 12.0, xtol=1e-14)))


def penalties(signed: Signed) -> dict[str, Penalty]:
    """Return the three trainings that are compared, weight decay tuned to the training loss of decoupling."""
    trained: tuple[Penalty, ...] = ({}, {"weight_decay": matching_decay(signed)}, {"spectral_decoupling": DECOUPLING})
    return dict(zip(NAMES, trained, strict=True))


@claim(
    "remedies",
    "Spectral decoupling gives all samples one margin, however strong their features; weight decay does not.",
    source="arXiv:2011.09468; theory book, chapter 6",
)
def remedies(run: Trial) -> Figure:
    """Compare linear networks at rest, two-layer networks on their way and at rest, and who is fed."""
    table = _linear(run) | _paths(run)
    _rests(run)
    coords = {"decoupling": list(DECOUPLINGS), "decay": list(DECAYS), "time": TIMES, "penalty": list(NAMES)}
    places = {"task": list(TASKS), "fraction": list(FRACTIONS), "line_fraction": LINE}
    return _figure(run.save(xr.Dataset(table | _matched(run), coords=coords | places)))


def linear_task(samples: int, inputs: int, seed: int) -> Task:
    """Return samples of random directions and labels, norms from 0.6 to 1.8 and weights that differ by up to three."""
    draw = np.random.default_rng([seed, 5])
    points = draw.normal(size=(samples, inputs))
    points *= np.linspace(0.6, 1.8, samples)[:, None] / np.linalg.norm(points, axis=1, keepdims=True)
    return Task(points, draw.choice([-1, 1], samples), draw.uniform(0.5, 1.5, samples))


def _linear(run: Trial) -> dict[str, Any]:
    """Compare linear networks: one margin for all under decoupling, the dual fixed point under weight decay."""
    count, found, decayed = run.networks(full=64, quick=8), [], []
    free, tight = linear_task(6, 24, run.seed), linear_task(24, 6, run.seed)
    initial = np.random.default_rng([run.seed, 6]).normal(0.0, 0.3, (count, 1, 24))
    scaled = np.sqrt(free.sample_weight)[:, None] * free.inputs
    softest = float(np.linalg.eigvalsh(scaled @ scaled.T)[0])
    for decoupling in DECOUPLINGS:
        # Distances shrink at least at the rate decoupling x softest: by e^-30 in this time.
        until, init = np.array([0.0, 30 / (decoupling * softest)]), Explicit([initial])
        margins = train_margins(run, Network((24, 1)), free, init, until, spectral_decoupling=decoupling)[:, -1:]
        found.append(margins[0, 0])
        right, wrong = (np.full(free.samples, float(theory.decoupled_margin(p * decoupling))) for p in (1.0, 1.05))
        run.compare_flow(f"linear, decoupling {decoupling:g}: margin of every sample", margins, right, TOLERANCE)
        run.must_fail("decoupling 5% larger", compare_flow(margins, wrong, TOLERANCE))
    for decay in DECAYS:
        until, init = np.array([0.0, 30 / decay]), Explicit([initial[..., :6]])
        margins = train_margins(run, Network((6, 1)), tight, init, until, weight_decay=decay)[:, -1:]
        dual, larger = (theory.penalised_linear(tight, weight_decay=p * decay) for p in (1.0, 1.05))
        # In U^T m the inputs count through their singular values alone.
        turned = margins @ dual.samples
        run.compare_flow(f"linear, weight decay {decay:g}: dual fixed point", turned, dual.strengths, TOLERANCE)
        run.must_fail("weight decay 5% larger", compare_flow(turned, larger.strengths, TOLERANCE))
        decayed.append(theory.penalised_linear(free, weight_decay=decay).margins)
    return {
        "linear_margin": (("decoupling", "sample"), np.stack(found)),
        "linear_decayed": (("decay", "sample"), np.stack(decayed)),
        "linear_norm": (("sample",), np.linalg.norm(free.inputs, axis=1)),
    }


def _paths(run: Trial) -> dict[str, Any]:
    """Compare every curve of two-layer networks on both tasks."""
    initial = separate.equal_strengths(run.networks(full=32, quick=4), run.seed)
    initial[0] = START
    margins: dict[str, list[tuple[Floats, Floats]]] = {}
    for make in TASKS.values():
        signed = make(PATH_FRACTION)
        network, init = separate_init(signed.norms, initial, run.seed)
        for name, penalty in penalties(signed).items():
            measured = train_margins(run, network, signed.task, init, TIMES, **penalty)
            margins.setdefault(name, []).append((measured, signed.predicted(initial, TIMES, **penalty)))
    joined = {name: [np.concatenate(both) for both in zip(*pairs, strict=True)] for name, pairs in margins.items()}
    for name, (found, right) in joined.items():
        run.compare_flow(f"two layers, {name}: margins", found, right, TOLERANCE)
        if name != "no penalty":
            run.must_fail("no penalty", compare_flow(found, joined["no penalty"][1], TOLERANCE))
    # Of the first network.
    drawn = np.array([[[each[0, :, -2:] for each in both] for both in pairs] for pairs in margins.values()])
    dims = ("penalty", "task", "time", "feature")
    return {"strength": (dims, drawn[:, :, 0]), "strength_predicted": (dims, drawn[:, :, 1])}


def _rests(run: Trial) -> None:
    """Compare two-layer networks where they rest, at an exponential pace; a feature that decay drops rests at 0."""
    initial = separate.equal_strengths(run.networks(full=16, quick=4), run.seed)
    decay = {"weight_decay": REST_DECAY}
    asked = [(task, make(REST_FRACTION), "weight decay", decay) for task, make in TASKS.items()]
    asked.append(("each also alone", ALONE, "weight decay", decay))
    asked.append(("each also alone", ALONE, "spectral decoupling", {"spectral_decoupling": DECOUPLING}))
    for task, signed, name, penalty in asked:
        network, init = separate_init(signed.norms, initial, run.seed)
        margins = train_margins(run, network, signed.task, init, REST, **penalty)[:, -1:]
        final = signed.members @ rest(signed, **penalty)
        run.compare_flow(f"two layers, {task}, {name}: margins at rest", margins, final, TOLERANCE)


def _matched(run: Trial) -> dict[str, Any]:
    """Compare three trainings at one training loss: the confidence on points with the starved feature alone."""
    initial = np.full((1, 2), START)
    found, lines = (np.empty((len(TASKS), len(fractions), len(NAMES))) for fractions in (FRACTIONS, LINE))
    for i, (task, make) in enumerate(TASKS.items()):
        for j, fraction in enumerate(FRACTIONS):
            signed = make(fraction)
            network, init = separate_init(signed.norms, initial, run.seed)
            for k, penalty in enumerate(penalties(signed).values()):
                times = _until(signed, penalty, initial)
                margins = train_margins(run, network, signed.task, init, times, **penalty)
                found[i, j, k] = expit(margins[0, -1, -1])
        predicted = np.array([_confidences(make(fraction), initial) for fraction in FRACTIONS])
        lines[i] = [_confidences(make(float(fraction)), initial) for fraction in LINE]
        statement = f"{task}: confidence on the starved feature alone, at equal training loss"
        run.compare_flow(statement, found[i][:, None], predicted[:, None], TOLERANCE)
    measured = "; ".join(
        f"{task}, {fraction:g} of the samples with both features: "
        + ", ".join(f"{name} {found[i, j, k]:.3f}" for k, name in enumerate(NAMES))
        for i, task in enumerate(TASKS)
        for j, fraction in enumerate(FRACTIONS)
        if fraction in (0.5, 0.9)
    )
    run.note(
        f"Confidence on points with the starved feature alone, at a training loss of {TARGET:.3f}: {measured}.",
        "Decoupling feeds the starved feature where some samples carry it without the other (cued): there it drops the"
        " cue. Where it only ever comes along with the frequent feature (accompanied), samples with both would exceed"
        " the common margin, and decoupling and weight decay both unlearn it.",
        "Weight decay is tuned to rest at the training loss of decoupling; without a penalty, training is stopped"
        " there.",
    )
    return {
        "confidence": (("task", "fraction", "penalty"), found),
        "confidence_predicted": (("task", "line_fraction", "penalty"), lines),
    }


def _until(signed: Signed, penalty: Penalty, initial: Floats) -> Floats:
    """Return time 0, and when a training is stopped: when its loss is `TARGET`, or at rest."""
    return np.array([0.0, REST[-1] if penalty else matching_time(signed, initial[0])])


def _confidences(signed: Signed, initial: Floats) -> Floats:
    """Return the predicted confidence on the starved feature alone, (penalties,)."""
    margins = [signed.predicted(initial, _until(signed, p, initial), **p) for p in penalties(signed).values()]
    return np.asarray(expit(np.array(margins)[:, 0, -1, -1]))


def _figure(data: xr.Dataset) -> Figure:
    titles = ("Decoupling: one margin, whatever the norm", "Only decoupling unlearns the cue")
    matched = ("Also alone: decoupling feeds the feature", "Never alone: no remedy feeds it")
    made, (linear, curves, cued, accompanied) = plot.figure((*titles, *matched), width=4.9, height=4.1, rows=2)
    norms = data["linear_norm"].values
    for decoupling, colour, marker in zip(DECOUPLINGS, plot.COLOURS, "os^", strict=False):
        level = np.full(len(norms), float(theory.decoupled_margin(decoupling)))
        plot.points(linear, norms, data["linear_margin"].sel(decoupling=decoupling), color=colour, fmt=marker)
        plot.theory(linear, norms, level, color=colour, label=f"decoupling {decoupling:g}")
    decayed = data["linear_decayed"].sel(decay=DECAYS[0])
    plot.theory(linear, norms, decayed, color="0.5", ls="--", label=f"theory: weight decay {DECAYS[0]:g}")
    linear.set(xlabel="norm of the sample", ylabel="margin at rest, linear network")
    for name, colour, marker in zip(NAMES, plot.COLOURS, "os^", strict=False):
        part = data.sel(penalty=name)
        for feature, words, line in ((0, "cue", "--"), (1, "starved", "-")):
            measured, predicted = (part[f"strength{end}"].sel(task="cued").values for end in ("", "_predicted"))
            plot.points(curves, TIMES[1::6], measured[1::6, feature], color=colour, fmt=marker)
            label = f"{name.replace('spectral ', '')}: {words}"
            plot.theory(curves, TIMES[1:], predicted[1:, feature], color=colour, ls=line, label=label)
        for axes, task in ((cued, "cued"), (accompanied, "accompanied")):
            plot.theory(axes, LINE, part["confidence_predicted"].sel(task=task), color=colour, label=name)
            plot.points(axes, FRACTIONS, part["confidence"].sel(task=task), color=colour, fmt=marker)
    curves.set(xscale="log", xlabel="time (gradient flow)", ylabel=f"strength u, {PATH_FRACTION:.0%} of samples cued")
    for axes in (cued, accompanied):
        axes.set(xlabel="fraction of samples with both features", ylabel="confidence on the starved feature")
        axes.set(ylim=(0.48, 1.0), xlim=(0, 1))
    for axes in (linear, curves, cued, accompanied):
        key(axes)
    legends((linear, curves, cued, accompanied), fontsize=10)
    return made
