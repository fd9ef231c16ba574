"""Claim: on real images, too, nodes move on their hyperbolas at first, and leave them once images are satisfied.

Source: arXiv:2006.11209; docs/theory.md section 7. The data and settings of the paper's own experiments on real data
are not known to us; this one is in their spirit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from shoal.claims.claim import claim
from shoal.claims.hinge_mean_field.realistic.picture import picture
from shoal.claims.hinge_mean_field.realistic.trained import RATE, SETS, STEPS, Images
from shoal.claims.shared.teacher import clock
from shoal.claims.trial import Trial
from shoal.verdicts.comparison import Comparison, compare_flow
from shoal.verdicts.means import compare_mean
from shoal.verdicts.proportion import compare_majority

SHOWN = 8
"""Networks whose nodes are followed one by one."""
FEW = 500
"""Images of even and odd that a quick run is trained on."""


@claim(
    "realistic",
    "On real images nodes move on hyperbolas at first, paced by the class means, and leave them later.",
    source="arXiv:2006.11209; docs/theory.md section 7",
)
def realistic(run: Trial) -> Figure:
    """Compare first velocities, their mean, the mirrored images' exact curves, and the departure."""
    nodes, networks = (64 if run.quick else 160), run.networks(full=40, quick=24)
    sets = (SETS[0], replace(SETS[1], samples=FEW), SETS[2]) if run.quick else SETS
    found = [Images.train(images, nodes, networks, run.setting) for images in sets]
    plain, mirrored = found[:2], found[2]
    for one in plain:
        run.row(f"{one.name}: first step of every node, from the images' own moments", _first_step(one))
    for one in plain:
        run.row(
            f"{one.name}: pace of the clock at initialisation, |<y x>| / (2 sqrt d), over initialisations", _pace(one)
        )
    run.row("mirrored images: every weight on its hyperbola until an image is satisfied", _hyperbolas(mirrored))
    for one in found:
        run.row(f"{one.name}: networks further off their curves in the end than early (> 1/2)", _left(one))
    data = xr.merge([_summary(one, number) for number, one in enumerate(found)])
    run.notes += _notes(found, nodes)
    run.save(data)
    return picture(found)


def _first_step(images: Images) -> Comparison:
    """Compare the weights after one step with the initialisation and the gradient summed over the images by NumPy."""
    inputs, labels = images.task.inputs, images.task.labels
    output, incoming = images.output[:SHOWN, 0], images.incoming[:SHOWN, 0]
    root = np.sqrt(images.task.dimension)
    raised = incoming @ inputs.T
    pull = (raised > 0) * labels / (len(labels) * root)
    moved = incoming + RATE * output[..., None] * (pull @ inputs)
    grown = output + RATE * (pull * raised).sum(axis=2)
    measured = np.concatenate([images.incoming[:SHOWN, 1].reshape(len(output), -1), images.output[:SHOWN, 1]], axis=1)
    predicted = np.concatenate([moved.reshape(len(output), -1), grown], axis=1)
    # One rounding an addition: the sum over the images, and the three factors of each term.
    tolerance = (len(labels) + 4) * np.finfo(float).eps
    return compare_flow(measured[:, None], predicted[:, None], tolerance=tolerance, bias=tolerance)


def _pace(images: Images) -> Comparison:
    """Compare the slope of the change of a + w after a step, against a + w before it, with rate x gamma'.

    The expectation is exact, whatever the images and M: <y theta(w.x) x> = <y x>/2 + <y sign(w.x) x>/2. The first term
    gives every node the same slope; what the second adds changes its sign with that of all weights, and so averages
    to 0 over initialisations.
    """
    total = images.output + images.along
    slope = (total[:, 0] * (total[:, 1] - total[:, 0])).sum(axis=1) / (total[:, 0] ** 2).sum(axis=1)
    return compare_mean(slope / (RATE * images.speed), 1.0)


def _hyperbolas(images: Images) -> Comparison:
    """Compare all weights of mirrored images with the hyperbolas, up to rounding."""
    output, incoming = images.predicted()
    shape = (*output.shape[:2], -1)
    measured = np.concatenate([images.output, images.incoming.reshape(shape)], axis=2)
    predicted = np.concatenate([output, incoming.reshape(shape)], axis=2)
    # One rounding an addition of each step's sum over the images, never with the same sign for long.
    tolerance = STEPS * images.task.samples * np.finfo(float).eps
    where = np.broadcast_to(images.early[:, :, None], measured.shape)
    return compare_flow(measured, predicted, tolerance=tolerance, where=where, bias=tolerance)


def _left(images: Images) -> Comparison:
    """Count networks whose nodes are further off their curves in the end than when the first image was satisfied."""
    off, early = images.astray(), images.early
    last = early.sum(axis=1) - 1
    before = off[np.arange(len(off)), last]
    return compare_majority(int((off[:, -1] > before).sum()), len(off))


def _summary(images: Images, number: int) -> xr.Dataset:
    """Return means over networks of one set, (time,), named by its number."""
    columns = {
        "gamma": clock(images.output, images.along),
        "astray": images.astray(),
        "unsatisfied": images.unsatisfied,
        "test_error": images.data["test_error"].values,
    }
    variables = {f"{name}_{number}": ("time", values.mean(axis=0)) for name, values in columns.items()}
    return xr.Dataset(variables, coords={"time": images.data["time"].values})


def _notes(found: Sequence[Images], nodes: int) -> tuple[str, ...]:
    """Say what was measured beside the rows, and what is not known."""
    told = []
    for one in found:
        last = int(one.early.all(axis=0).sum()) - 1
        time = float(one.data["time"][last])
        angle = clock(one.output, one.along)[:, last]
        off = one.astray().mean(axis=0)
        told.append(
            f"{one.name}: gamma' = {one.speed:.4f}; no image is satisfied up to t={time:g}, where gamma"
            f" is {angle.mean():.4f} +- {angle.std(ddof=1) / np.sqrt(len(angle)):.4f} against"
            f" {one.steps[last] * np.log1p(RATE * one.speed):.4f} of the formula, and nodes are {off[last]:.3f} of"
            " their"
            f" way off their curves; in the end {off[-1]:.3f}"
        )
    return (
        "The data and settings of the paper's experiments on real data are not known to us: scikit-learn's digits,"
        f" pixels centred, M={nodes}, alpha = h = 1, rate {RATE:g}.",
        "; ".join(told) + ".",
        "The direction of <y x> plays the teacher. The inputs' distribution is not symmetric, so that nodes also move"
        " across the"
        " plane of the hyperbolas from the first step on; mirrored images, -x with the other label, are symmetric, and"
        " nothing moves across. No theory is known for what follows once images are satisfied.",
    )
