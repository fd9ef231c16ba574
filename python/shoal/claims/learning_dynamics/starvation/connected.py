"""The part of claim ``starvation`` on fully connected networks, whose neurons see all features, at one to four layers.

With parallel neurons, active on every sample, theory is exact ("shared" neurons, theory book, chapter 6). From an
ordinary random initialisation no theory is known, and results are measured.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from shoal import Explicit, Gaussian, GradientDescent, Network, Record, Task, compare_flow, tasks, theory
from shoal.claims.shared import separate
from shoal.claims.shared.flows import TOLERANCE
from shoal.claims.shared.separate import FRACTIONS, LEVEL, START, TIMES, confidence_when_fit
from shoal.claims.trial import Trial
from shoal.verdicts.layout import Floats
from shoal.verdicts.proportion import compare_majority

DEPTHS = (1, 2, 3, 4)  # weight layers
LINE = np.linspace(0.02, 0.98, 11)  # fractions at which theory is drawn
TYPES = ((0, 1), (0,), (1,))  # features of each type of sample; no network is trained on the last
ALIGNED_WIDTH, WIDTH = 4, 16  # hidden units per layer: all parallel; of an ordinary initialisation
RATE = 0.1


def one_sign(fraction: float) -> Task:
    """Return feature 0 in every sample, feature 1 in a fraction, and a probe of weight 0 with feature 1 alone."""
    return tasks.features((1.0, 1.0), TYPES, (fraction, 1 - fraction, 0.0))


def _theory(fraction: float, strengths: Floats, layers: int, neurons: str = "shared") -> theory.Features:
    frequencies = (fraction, 1 - fraction, 0.0)
    return theory.Features(
        norms=(1.0, 1.0), types=TYPES, frequencies=frequencies, starts=strengths, depth=layers, neurons=neurons
    )


def aligned_init(layers: int, strengths: Floats, seed: int) -> tuple[Network, Explicit]:
    """Return the network and balanced rank-one weights with strengths (networks, 2) for features of unit norm.

    W_l = s^(1/N) q_l q_(l-1)^T with unit vectors q of positive entries at random, q_0 along the strengths.
    """
    draw = np.random.default_rng([seed, 7])
    size = np.linalg.norm(strengths, axis=1, keepdims=True)
    below, weights = strengths / size, []
    for layer in range(layers):
        width = ALIGNED_WIDTH if layer < layers - 1 else 1
        above = draw.uniform(0.3, 1.0, (len(strengths), width))
        above /= np.linalg.norm(above, axis=1, keepdims=True)
        weights.append(size[:, :, None] ** (1 / layers) * above[:, :, None] * below[:, None, :])
        below = above
    return Network((2, *[ALIGNED_WIDTH] * (layers - 1), 1)), Explicit(weights)


def compare_aligned(run: Trial) -> dict[str, Any]:
    """Compare networks with parallel neurons; return the confidence when fit of the first."""
    initial = separate.equal_strengths(run.networks(full=8, quick=2), run.seed)
    initial[0] = START
    reached = np.empty((len(DEPTHS), len(FRACTIONS)))
    for index, layers in enumerate(DEPTHS):
        network, init = aligned_init(layers, initial, run.seed)
        measured = []
        for place, fraction in enumerate(FRACTIONS):
            task = one_sign(fraction)
            measured.append(separate.train_margins(run, network, task, init, TIMES))
            reached[index, place] = confidence_when_fit(measured[-1], task.sample_weight > 0, -1)[0]
        found = np.concatenate(measured)
        predicted, deeper = (
            np.stack([_theory(p, one, depth).margins(TIMES).T for p in FRACTIONS for one in initial])
            for depth in (layers, layers + 1)
        )
        statement = f"{layers} layer{'s'[: layers - 1]}, parallel neurons: margins, all fractions"
        run.compare_flow(statement, found, predicted, TOLERANCE)
        run.must_fail("one layer more", compare_flow(found, deeper, TOLERANCE))
    return {"confidence_aligned": (("layers", "fraction"), reached)}


def predict_depths() -> dict[str, Any]:
    """Return the confidence on feature 1 alone when the training set is fit, against its fraction."""
    # The samples with feature 0 alone are the last to be fit.
    table, initial = {}, np.full(2, START)
    for neurons in ("separate", "shared"):
        pairs = [[_theory(float(p), initial, layers, neurons) for p in LINE] for layers in DEPTHS]
        lines = np.array([[pair.confidence([1], pair.time(1, LEVEL)) for pair in row] for row in pairs])
        table[f"confidence_{neurons}_predicted"] = (("layers", "line_fraction"), lines)
    return table


def gain_of(layers: int) -> float:
    """Return the gain with which the root mean square logit of the input (1, 1) is `START`, whatever the depth.

    Each ReLU layer halves a mean square: gain^layers / 2^((layers - 1)/2).
    """
    return float((START * 2 ** ((layers - 1) / 2)) ** (1 / layers))


def measure_ordinary(run: Trial) -> dict[str, Any]:
    """Return what depth does from a Gaussian initialisation, measured: no theory is known.

    By descent: units that slide along a kink would exhaust the steps of the flow.
    """
    count = run.networks(full=1_000, quick=300)
    found = np.empty((len(DEPTHS), len(FRACTIONS), count))
    method, record = GradientDescent(RATE, round(float(TIMES[-1]) / RATE)), Record(TIMES, measure=("margin",))
    for index, layers in enumerate(DEPTHS):
        network, init = Network((2, *[WIDTH] * (layers - 1), 1)), Gaussian(gain=gain_of(layers))
        for place, fraction in enumerate(FRACTIONS):
            task = one_sign(fraction)
            data = run.train(network, task, init, method=method, record=record, networks=count)
            found[index, place] = confidence_when_fit(np.asarray(data["margin"].values), task.sample_weight > 0, -1)
    deeper = found[1:, 0] > found[:-1, 0]
    for layers, more in zip(DEPTHS[1:], deeper, strict=True):
        run.row(
            f"ordinary initialisation, feature 2 in {FRACTIONS[0]:g}:"
            f" more confident with {layers} layers than {layers - 1}",
            compare_majority(int(more.sum()), count),
        )
    missing = int(np.isnan(found).sum())
    run.note(
        "From an ordinary initialisation (Gaussian, features of one sign) no theory is known. Deeper networks"
        " are found to be less starved, as with parallel neurons of equal strengths; separate neurons are more"
        " starved the deeper. Those rows were written after a pilot had shown it.",
        f"{missing} of {found.size} of them were not fit by time {TIMES[-1]:g} and are left out; in the rows they count"
        " against.",
    )
    if count <= 16:
        run.note(f"{count} networks cannot show a majority at four standard deviations: it takes at least 17.")
    return {"ordinary": (("layers", "fraction", "network"), found)}
