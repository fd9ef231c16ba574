"""Claim: on real images, too, nodes move on their hyperbolas at first, and leave them once images are satisfied.

Source: arXiv:2006.11209; theory book, chapter 7. The data and settings of the paper's own experiments on real data
are not known; this one is in their spirit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from shoal import claim, compare_flow, compare_mean, plot
from shoal.claims.hinge_mean_field.realistic import images
from shoal.claims.hinge_mean_field.realistic.images import SETS, Images, on_curves
from shoal.claims.shared.figures import TIME, draw_mean, legends, standard_error
from shoal.claims.trial import Trial
from shoal.verdicts.comparison import Comparison
from shoal.verdicts.proportion import compare_majority

FEW = 500
"""Images of even and odd that a quick run is trained on."""
SHOWN = 8
"""Networks whose nodes are followed one by one."""
DRAWN, REACH = 12, 5.0
"""Nodes in the first panel, and its edge; later parts of curves lie outside."""


@claim(
    "realistic",
    "On real images nodes move on hyperbolas at first, paced by the class means, and leave them later.",
    source="arXiv:2006.11209; theory book, chapter 7",
)
def realistic(run: Trial) -> Figure:
    """Compare first velocities, their mean, the mirrored images' exact curves, and the departure."""
    nodes, networks = (64 if run.quick else 160), run.networks(full=40, quick=24)
    sets = (SETS[0], replace(SETS[1], samples=FEW), SETS[2]) if run.quick else SETS
    found = [Images.train(run, each, nodes, networks) for each in sets]
    plain, mirrored = found[:2], found[2]
    for one in plain:
        run.row(f"{one.name}: first step of every node, from the images' own moments", compare_first_step(one))
        run.must_fail("step 2% larger", compare_first_step(one, 1.02))
    for one in plain:
        statement = f"{one.name}: pace of the clock at initialisation, |<y x>| / (2 sqrt d), over initialisations"
        run.row(statement, compare_pace(one))
        run.must_fail("|<y x>| / sqrt d", compare_pace(one, 2.0))
    hyperbolas = compare_hyperbolas(mirrored, mirrored.speed)
    run.row("mirrored images: every weight on its hyperbola until an image is satisfied", hyperbolas)
    run.must_fail("clock 2% faster", compare_hyperbolas(mirrored, 1.02 * mirrored.speed))
    for one in found:
        run.row(f"{one.name}: networks further off their curves in the end than early (> 1/2)", compare_departure(one))
    run.note(
        "The data and settings of the paper's experiments on real data are not known: scikit-learn's digits,"
        f" pixels centred, M={nodes}, alpha = h = 1, rate {images.RATE:g}.",
        "; ".join(map(_departure, found)) + ".",
        "The direction of <y x> plays the teacher. The inputs' distribution is not symmetric, so that nodes also move"
        " across the plane of the hyperbolas from the first step on; mirrored images, -x with the other label, are"
        " symmetric, and nothing moves across. No theory is known for what follows once images are satisfied.",
    )
    run.save(xr.merge([_summary(one, number) for number, one in enumerate(found)]))
    return _figure(found)


def compare_first_step(found: Images, larger: float = 1.0) -> Comparison:
    """Compare the weights after one step with the initialisation and the gradient summed over the images by NumPy."""
    inputs, labels, rate = found.task.inputs, found.task.labels, larger * images.RATE
    output, incoming = found.output[:SHOWN, 0], found.incoming[:SHOWN, 0]
    root = np.sqrt(found.task.dimension)
    raised = incoming @ inputs.T
    pull = (raised > 0) * labels / (len(labels) * root)
    moved = incoming + rate * output[..., None] * (pull @ inputs)
    grown = output + rate * (pull * raised).sum(axis=2)
    measured = np.concatenate([found.incoming[:SHOWN, 1].reshape(len(output), -1), found.output[:SHOWN, 1]], axis=1)
    predicted = np.concatenate([moved.reshape(len(output), -1), grown], axis=1)
    # One rounding per addition: the sum over the images, and the three factors of each term.
    tolerance = (len(labels) + 4) * np.finfo(float).eps
    return compare_flow(measured[:, None], predicted[:, None], tolerance=tolerance, bias=tolerance)


def compare_pace(found: Images, expected: float = 1.0) -> Comparison:
    """Compare the slope of the change of a + w after a step, against a + w before it, over rate x gamma' with 1.

    The expectation is exact, whatever the images and M: <y theta(w.x) x> = <y x>/2 + <y sign(w.x) x>/2. The first term
    gives every node the same slope; what the second adds changes its sign with that of all weights, and so averages
    to 0 over initialisations.
    """
    total = found.output + found.along
    slope = (total[:, 0] * (total[:, 1] - total[:, 0])).sum(axis=1) / (total[:, 0] ** 2).sum(axis=1)
    return compare_mean(slope / (images.RATE * found.speed), expected)


def compare_hyperbolas(found: Images, speed: float) -> Comparison:
    """Compare all weights of mirrored images with the hyperbolas, up to rounding."""
    output, incoming = found.predicted(speed)
    shape = (*output.shape[:2], -1)
    measured = np.concatenate([found.output, found.incoming.reshape(shape)], axis=2)
    predicted = np.concatenate([output, incoming.reshape(shape)], axis=2)
    # One rounding per addition of each step's sum over the images, never with the same sign for long.
    tolerance = images.STEPS * found.task.samples * np.finfo(float).eps
    where = np.broadcast_to(found.early[:, :, None], measured.shape)
    return compare_flow(measured, predicted, tolerance=tolerance, where=where, bias=tolerance)


def compare_departure(found: Images) -> Comparison:
    """Count networks whose nodes are further off their curves in the end than when the first image was satisfied."""
    off, last = found.astray(), found.early.sum(axis=1) - 1
    before = off[np.arange(len(off)), last]
    return compare_majority(int((off[:, -1] > before).sum()), len(off))


def _summary(found: Images, number: int) -> xr.Dataset:
    """Return means over networks of one set, (time,), named by its number."""
    columns = {"gamma": found.gamma, "astray": found.astray(), "unsatisfied": found.unsatisfied}
    columns["test_error"] = found.data["test_error"].values
    variables = {f"{name}_{number}": ("time", values.mean(axis=0)) for name, values in columns.items()}
    return xr.Dataset(variables, coords={"time": found.data["time"].values})


def _departure(found: Images) -> str:
    """Return how long no image is satisfied, and how far nodes are off their curves then and in the end."""
    last = int(found.early.all(axis=0).sum()) - 1
    time, angle = float(found.data["time"][last]), found.gamma[:, last]
    off, expected = found.astray().mean(axis=0), found.data["step"].values[last] * np.log1p(images.RATE * found.speed)
    return (
        f"{found.name}: gamma' = {found.speed:.4f}; no image is satisfied up to t={time:g}, where gamma is"
        f" {angle.mean():.4f} +- {standard_error(angle):.4f} against {expected:.4f} of the formula, and nodes are"
        f" {off[last]:.3f} of their way off their curves; in the end {off[-1]:.3f}"
    )


def _figure(found: Sequence[Images]) -> Figure:
    titles = (
        f"{found[0].name}: nodes follow hyperbolas",
        "The class means set the pace",
        "Nodes leave their curves late",
    )
    made, (plane, pace, off) = plot.figure(titles, width=4.3, height=4.2)
    _plane(plane, found[0])
    for one, colour, marker in zip(found, plot.COLOURS, "os^", strict=False):
        times, style = one.data["time"].values, {"color": colour, "fmt": marker, "ms": 5, "label": one.name}
        for axes, values in ((pace, one.gamma), (off, one.astray())):
            draw_mean(axes, times[1:], values[:, 1:], **style)
            axes.axvline(times[one.early.all(axis=0)][-1], color=colour, ls=":", lw=1.2, zorder=0)
        plot.theory(pace, times[1:], one.speed * times[1:], color=colour, lw=1.4)
    plot.theory(pace, [], [], color="0.3", lw=1.4, label=r"$|\langle yx\rangle|\,t/2\sqrt{d}$")
    for axes in (pace, off):
        axes.plot([], [], color="0.3", ls=":", lw=1.2, label="first image satisfied")
        axes.set(xscale="log", xlabel=TIME)
    pace.set(yscale="log", ylabel=r"angle $\gamma$, ±4 s.e.", ylim=(None, 100))
    off.set(ylabel="distance off / moved, ±4 s.e.", ylim=(-0.02, 0.8))
    legends((plane, pace, off), loc="upper left")
    return made


def _plane(axes: Axes, images: Images) -> None:
    early, output, along = images.early[0], images.output[0], images.along[0]
    angle = np.linspace(0, images.gamma[0, -1], 60)
    for node in range(min(DRAWN, output.shape[1])):
        colour = plot.COLOURS[node % len(plot.COLOURS)]
        curve, curve_along = on_curves(output[0, node], along[0, node], angle)
        plot.theory(axes, curve_along, curve, color=colour, lw=1.2)
        for seen, fill in ((early, "white"), (~early, colour)):
            plot.points(axes, along[seen, node], output[seen, node], color=colour, mfc=fill, ms=4)
    plot.theory(axes, [], [], color="0.3", lw=1.2, label="hyperbola")
    plot.points(axes, [], [], color="0.3", ms=4, label="no image satisfied")
    plot.points(axes, [], [], color="0.3", mfc="0.3", ms=4, label="later")
    axes.set(xlabel=r"weight $w_i$ along $\langle yx\rangle$", ylabel=r"output weight $a_i$")
    axes.set(xlim=(-REACH, REACH), ylim=(-REACH, REACH))
