"""Claim: on separable data weights grow like log t towards the maximum margin, through any number of linear layers."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from matplotlib.figure import Figure

from shoal import Gaussian, Network, Task, claim, compare_flow, theory
from shoal.claims.neighbours.max_margin.grown import LONG, TIMES, Grown, extrapolate, least_order, separable
from shoal.claims.neighbours.max_margin.picture import data_of, draw
from shoal.claims.shared.flows import TOLERANCE, flow
from shoal.claims.shared.runs import far_seed
from shoal.claims.trial import Trial
from shoal.verdicts.layout import Floats

LOSSES = {"exponential": "exponential loss", "cross_entropy": "cross-entropy"}
INPUTS = {2: 3, 3: 2}  # by layers; few data of three inputs have the kappa that three layers need
SAMPLES = 10
DECADE = 10  # records in a factor of ten in time
EXTRAPOLATED = [int(np.argmin(np.abs(LONG / time - 1))) for time in (1e24, 1e20, 1e16, 1e12)]
ORTHOGONAL = Task(np.diag([0.6, 1.0, 1.7]), [1, -1, 1], [0.2, 0.5, 0.3])


@claim(
    "max-margin",
    "On separable data weights grow like log t along the maximum-margin direction, and loss x time tends to"
    " 1/margin^2; the layers of a deep linear network align.",
    source="arXiv:1710.10345, arXiv:1810.02032; theory book, chapter 9",
)
def max_margin(run: Trial) -> Figure:
    """Compare one layer with exact limits, two and three layers with extrapolated ones, and what layers conserve."""
    networks = run.networks(full=16, quick=4)
    seeds = [far_seed(run.seed, at) for at in range(5 if run.quick else 40)]
    tasks = {
        layers: [separable(inputs, SAMPLES, seed, least_order(layers)) for seed in seeds]
        for layers, inputs in INPUTS.items()
    }
    for loss, words in LOSSES.items():
        _orthogonal(run, loss, words, networks)
        _one_layer(run, [Grown.single(run, task, loss, networks) for task in tasks[2]], words)
    for layers in (2, 3):
        _deep(run, [Grown.deep(run, task, layers, networks) for task in tasks[layers]], layers)
    for layers in (2, 3):
        _aligned(run, tasks[layers], layers, networks)
    run.note(
        "One layer: limits are read at time 1e12. What is left then is at most what the last factor of ten in time has"
        " changed, because it falls as t^-kappa with kappa >= 1/2. Datasets are drawn until theory has such a kappa;"
        " for three layers it is at least 3/4.",
        "Two and three layers: limits are approached like 1/ln t only. They are extrapolated from times 1e16,"
        " 1e20 and 1e24. The tolerance is what the last of these corrects, or time 1e12 would, whichever is larger.",
        "All data have as many support vectors as inputs. With fewer, the offset depends on the initial weights.",
    )
    return draw(run.save(data_of(run, tasks[3][0])))


def _orthogonal(run: Trial, loss: str, words: str, networks: int) -> None:
    """Compare margins on orthogonal samples at all times: each is one mode of one layer."""
    init = Gaussian(std=1.0)
    network = Network((3, 1), activation="linear")
    found = flow(run, network, ORTHOGONAL, init, TIMES, loss=loss, networks=networks)["margin"].values
    norms = np.linalg.norm(ORTHOGONAL.inputs, axis=1)
    weight = ORTHOGONAL.sample_weight

    def predicted(longer: float, frequencies: Floats) -> Floats:
        curves = [
            [
                theory.Mode(float(longer * norm), float(p), float(start), depth=1, loss=loss).margin(TIMES)
                for norm, p, start in zip(norms, frequencies, initial, strict=True)
            ]
            for initial in found[:, 0]
        ]
        return np.moveaxis(np.array(curves), 1, 2)

    run.compare_flow(f"{words}, orthogonal samples: margins until 1e12", found, predicted(1.0, weight), TOLERANCE)
    run.must_fail("norms 5% larger", compare_flow(found, predicted(1.05, weight), TOLERANCE))
    equal = np.full(len(weight), 1 / len(weight))
    run.must_fail("equal sample weights", compare_flow(found, predicted(1.0, equal), TOLERANCE))


def _one_layer(run: Trial, grown: list[Grown], words: str) -> None:
    """Compare offset, turning and loss of one layer, all datasets together, with their limits."""
    clock = np.log(TIMES[-1 - 2 * DECADE :: DECADE])  # the last three decades
    measured, offset, unweighted, angle, turned, turning, left, losses, inverse = ([] for _ in range(9))
    for each in grown:
        growth = each.growth
        weights = each.weights[:, -1 - 2 * DECADE :: DECADE]
        offsets = weights - clock[:, None] * growth.separator
        measured.append(offsets[:, -1])
        # What the last decade has changed, and what the integrator may be off.
        size = np.linalg.norm(weights[:, -1], axis=1)
        changed = np.abs(offsets[:, -1] - offsets[:, -2]).max(axis=1)
        left.append(changed + TOLERANCE * size)
        offset.append(np.broadcast_to(growth.offset, offsets[:, -1].shape))
        unweighted.append(np.broadcast_to(each.unweighted.offset, offsets[:, -1].shape))
        cotangent = each.cotangent(weights)
        slopes = np.diff(cotangent, axis=1) / np.diff(clock)
        angle.append(slopes[:, -1])
        # The part of w across the direction is small, and off by as much as w.
        across = size / np.abs(cotangent[:, -1])
        error = 2 * TOLERANCE * np.abs(cotangent[:, -1]) * size / (across * np.log(10))
        turning.append(np.abs(slopes[:, -1] - slopes[:, -2]) + error)
        turned.append(np.full(len(slopes), np.diff(growth.cotangent(np.array([0.0, 1.0])))[0]))
        scaled = each.losses[:, -1 - 2 * DECADE :: DECADE] * TIMES[-1 - 2 * DECADE :: DECADE]
        losses.append(scaled[:, -1])
        inverse.append(np.full(len(scaled), growth.margin))
        # A margin that is off by an amount changes the loss by that fraction.
        carried = TOLERANCE * each.margins[:, -1].max(axis=1) * scaled[:, -1]
        left[-1] = np.stack([left[-1], np.abs(scaled[:, -1] - scaled[:, -2]) + carried], axis=1)
    offsets, right, wrong = (np.concatenate(part)[:, None] for part in (measured, offset, unweighted))
    bias = np.concatenate(left)
    run.compare_flow(f"{words}: w - w_hat ln t at 1e12", offsets, right, TOLERANCE, bias=bias[:, :1, None])
    run.must_fail("offset 5% longer", compare_flow(offsets, 1.05 * right, TOLERANCE, bias=bias[:, :1, None]))
    run.must_fail("equal sample weights", compare_flow(offsets, wrong, TOLERANCE, bias=bias[:, :1, None]))
    slopes, expected, error = (np.concatenate(part)[:, None] for part in (angle, turned, turning))
    statement = f"{words}: growth of 1/tan(angle to the maximum margin) per unit of ln t"
    run.compare_flow(statement, slopes, expected, TOLERANCE, bias=error)
    run.must_fail("5% faster", compare_flow(slopes, 1.05 * expected, TOLERANCE, bias=error))
    run.must_fail("angle constant", compare_flow(slopes, 0 * expected, TOLERANCE, bias=error))
    product, margin = (np.concatenate(part)[:, None] for part in (losses, inverse))
    run.compare_flow(f"{words}: loss x time at 1e12 = 1/margin^2", product, margin**-2, TOLERANCE, bias=bias[:, 1:])
    larger = compare_flow(product, (1.05 * margin) ** -2, TOLERANCE, bias=bias[:, 1:])
    run.must_fail("margin 5% larger", larger)
    run.must_fail("1/margin", compare_flow(product, 1 / margin, TOLERANCE, bias=bias[:, 1:]))


def _deep(run: Trial, grown: list[Grown], layers: int) -> None:
    """Compare deep networks with the path of one layer, which the loss parametrises, and with the pace of their own."""
    found, offset, product, margin = ([] for _ in range(4))
    for each in grown:
        growth, weights, losses = each.growth, each.weights[:, EXTRAPOLATED], each.losses[:, EXTRAPOLATED]
        size = np.linalg.norm(weights, axis=2)
        clock = -np.log(losses * growth.margin**2)
        noise = TOLERANCE * size.max(axis=1)
        found.append(extrapolate(1 / size, weights - clock[..., None] * growth.separator, noise))
        offset.append(np.broadcast_to(growth.offset, weights[:, 0].shape))
        scaled = losses * LONG[EXTRAPOLATED] * size ** (2 - 2 / layers)
        # A margin that is off by an amount changes the loss by that fraction.
        product.append(extrapolate(1 / size, scaled, noise * growth.margin * scaled.max(axis=1)))
        margin.append(np.full(len(size), growth.margin))
    limits, left = (np.concatenate(part)[:, None] for part in zip(*found, strict=True))
    right = np.concatenate(offset)[:, None]
    # Each component may be off by what the largest correction of its network is.
    bias = left.max(axis=2, keepdims=True)
    run.compare_flow(f"{layers} layers: w - w_hat ln(1/(margin^2 loss)), limit", limits, right, TOLERANCE, bias=bias)
    run.must_fail("offset 5% longer", compare_flow(limits, 1.05 * right, TOLERANCE, bias=bias))
    limits, left = (np.concatenate(part)[:, None] for part in zip(*product, strict=True))
    right = 1 / (layers * np.concatenate(margin)[:, None] ** 2)
    exponent = {2: "1", 3: "4/3"}[layers]
    statement = f"{layers} layers: loss x time x |w|^{exponent}, limit 1/({layers} margin^2)"
    run.compare_flow(statement, limits, right, TOLERANCE, bias=left)
    run.must_fail("margin 5% larger", compare_flow(limits, right / 1.05**2, TOLERANCE, bias=left))
    run.must_fail("limit of one layer", compare_flow(limits, layers * right, TOLERANCE, bias=left))


def _aligned(run: Trial, tasks: list[Task], layers: int, networks: int) -> None:
    """Compare what layers conserve, from Gaussian initial weights, and the part of them that is not of rank one."""
    differences, sizes, outside, left = ([] for _ in range(4))
    for at, task in enumerate(tasks):
        trained = Grown.layers_of(run, task, layers, networks, far_seed(run.seed, at))
        for before, after in pairwise(trained):
            differences.append(after.swapaxes(2, 3) @ after - before @ before.swapaxes(2, 3))
            squares = (np.linalg.norm(each, axis=(2, 3)) ** 2 for each in (before, after))
            sizes.append(np.maximum(*squares)[:, :, None, None])
            chosen = before[:, EXTRAPOLATED]
            values = np.linalg.svd(chosen, compute_uv=False) ** 2
            total = values.sum(axis=2)
            fraction = values[..., 1:].sum(axis=2) / total
            limit, error = extrapolate(1 / total, fraction, np.full(len(total), 2 * TOLERANCE))
            outside.append(limit)
            left.append(error)
    found, size = np.concatenate(differences), np.concatenate(sizes)
    initial = found[:, :1]
    # Two products of weights, each off by twice the tolerance.
    bias = 4 * TOLERANCE * size
    run.compare_flow(f"{layers} layers: W'^T W' - W W^T of adjacent layers", found, initial, TOLERANCE, bias=bias)
    run.must_fail("5% larger", compare_flow(found, 1.05 * initial, TOLERANCE, bias=bias))
    fraction, error = (np.concatenate(part)[:, None] for part in (outside, left))
    statement = f"{layers} layers: fraction of |W|^2 outside the first singular value, limit"
    run.compare_flow(statement, fraction, np.zeros_like(fraction), TOLERANCE, bias=error)
    run.must_fail("5% stays outside", compare_flow(fraction, np.full_like(fraction, 0.05), TOLERANCE, bias=error))
