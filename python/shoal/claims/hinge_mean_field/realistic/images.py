"""Images of the claim `realistic`, and networks that are trained on them.

Source: arXiv:2006.11209; theory book, chapter 7.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

from shoal import Gaussian, GradientDescent, Network, Record, Task, tasks
from shoal.claims.shared.teacher import clock, spread_steps
from shoal.claims.trial import Trial
from shoal.verdicts.layout import Flags, Floats

RATE, STEPS = 0.5, 160
TESTED = 100
"""Images held out."""


@dataclass(frozen=True)
class ImageSet:
    """Two classes of digits, as in ``tasks.digits``, pixels centred.

    ``samples``: images trained on; None for all that are not held out. ``mirrored``: whether each image x comes a
    second time as -x, of the other class. Then <y theta(w.x) x> is half the mean of y x for every w, as it is for the
    theory's inputs.
    """

    name: str
    classes: tuple[int | tuple[int, ...], ...]
    samples: int | None = None
    mirrored: bool = False

    def task(self, seed: int) -> Task:
        """Return the images to train on and those held out, drawn anew for each seed."""
        task = tasks.digits(self.classes, self.samples, test_samples=TESTED, centre=True, seed=seed)
        if not self.mirrored:
            return task
        inputs = np.concatenate([task.inputs, -task.inputs])
        return Task(inputs, np.concatenate([task.labels, -task.labels]), test=task.test)


SETS = (
    ImageSet("3 and 8", (3, 8)),
    ImageSet("even and odd", ((0, 2, 4, 6, 8), (1, 3, 5, 7, 9))),
    ImageSet("3 and 8, mirrored", (3, 8), mirrored=True),
)


class Images:
    """Networks that are trained on one set of images, at M nodes and alpha = h = beta = 1.

    ``direction`` (inputs,): of the mean of y x; it plays the teacher. ``speed``: pace of gamma while no image is
    satisfied, |<y x>| / (2 sqrt d). ``output`` (networks, times, nodes), ``incoming`` (networks, times, nodes, inputs),
    ``along`` (networks, times, nodes): a_i, w_i, and w_i along the direction. ``gamma`` (networks, times): angle by
    which the nodes have turned. ``unsatisfied, early`` (networks, times): fraction of the images with y f < 1, and
    whether none has been satisfied up to here.
    """

    def __init__(self, name: str, task: Task, data: xr.Dataset) -> None:
        self.name, self.task, self.data = name, task, data
        mean = task.labels @ task.inputs / task.samples
        self.direction: Floats = mean / np.linalg.norm(mean)
        self.speed = float(np.linalg.norm(mean) / (2 * np.sqrt(task.dimension)))
        self.output: Floats = data["trajectory_2"].values[:, :, 0]
        self.incoming: Floats = data["trajectory_1"].values
        self.along: Floats = self.incoming @ self.direction
        self.gamma = clock(self.output, self.along)
        self.unsatisfied: Floats = (data["margin"].values < 1).mean(axis=2)
        self.early: Flags = np.logical_and.accumulate(self.unsatisfied == 1, axis=1)

    @classmethod
    def train(cls, run: Trial, images: ImageSet, nodes: int, networks: int) -> Images:
        """Train networks of ``nodes`` nodes."""
        task = images.task(run.seed)
        measure = ("trajectory", "margin", "error", "test_error")
        data = run.train(
            Network.mean_field(task.dimension, nodes),
            task,
            Gaussian(std=1.0),
            method=GradientDescent(learning_rate=RATE, steps=STEPS),
            loss="hinge",
            record=Record(steps=spread_steps(STEPS, 24), measure=measure),
            networks=networks,
        )
        return cls(images.name, task, data)

    def predicted(self, speed: float) -> tuple[Floats, Floats]:
        """Return a_i and w_i on their hyperbolas, as `output` and `incoming`, at a pace while no image is satisfied.

        Under descent: a step multiplies a + w_par by 1 + rate gamma' and a - w_par by 1 - rate gamma'. What is across
        the direction stays.
        """
        output, along, steps = self.output[:, :1], self.along[:, :1], self.data["step"].values[None, :, None]
        rising = (output + along) * (1 + RATE * speed) ** steps
        falling = (output - along) * (1 - RATE * speed) ** steps
        moved = (rising - falling) / 2 - along
        return (rising + falling) / 2, self.incoming[:, :1] + moved[..., None] * self.direction

    def astray(self) -> Floats:
        """Return how far nodes are from their hyperbolas over how far they have moved, (networks, times); 0 at first.

        The angle is that of the network itself: a change of pace is no departure from the curves.
        """
        first, second = self.output[:, :1], self.along[:, :1]
        output, along = on_curves(first, second, self.gamma[..., None])
        across = self.incoming - self.along[..., None] * self.direction
        turned = ((across - across[:, :1]) ** 2).sum(axis=(2, 3))
        moved = ((self.output - first) ** 2 + (self.along - second) ** 2).sum(axis=2) + turned
        off = ((self.output - output) ** 2 + (self.along - along) ** 2).sum(axis=2) + turned
        return np.asarray(np.sqrt(np.divide(off, moved, out=np.zeros_like(off), where=moved > 0)))


def on_curves(output: Floats, along: Floats, angle: Floats) -> tuple[Floats, Floats]:
    """Return a and w_par on their hyperbolas, turned by an angle."""
    cosh, sinh = np.cosh(angle), np.sinh(angle)
    return output * cosh + along * sinh, along * cosh + output * sinh
