"""Images of the claim `realistic`, and networks that are trained on them.

| symbol | meaning | name |
|---|---|---|
| a_i, w_i | output weight and incoming weights of node i | ``output, incoming`` |
| w_par | w_i along the mean of y x, which plays the teacher | ``along`` |
| gamma' | pace of the clock while no image is satisfied | ``speed`` |

Source: arXiv:2006.11209; theory book, chapter 7.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from shoal import Gaussian, GradientDescent, Network, Record, Task
from shoal.claims.shared.teacher import clock, spread_steps
from shoal.claims.trial import Trial
from shoal.tasks import digits
from shoal.verdicts.layout import Floats

RATE, STEPS = 0.5, 160
TESTED = 100
"""Images held out."""


@dataclass(frozen=True)
class ImageSet:
    """Two classes of digits, pixels centred.

    ``name``: in words. ``classes``: as in ``tasks.digits``. ``samples``: images trained on; None for all that are not
    held out. ``mirrored``: whether each image x comes a second time as -x, of the other class. Then <y theta(w.x) x> is
    half the mean of y x for every w, as it is for the theory's inputs.
    """

    name: str
    classes: tuple[int | tuple[int, ...], ...]
    samples: int | None = None
    mirrored: bool = False

    def task(self, seed: int) -> Task:
        """Return the images to train on and those held out, drawn anew for each seed."""
        task = digits(self.classes, self.samples, test_samples=TESTED, centre=True, seed=seed)
        if not self.mirrored:
            return task
        inputs = np.concatenate([task.inputs, -task.inputs])
        return Task(inputs, np.concatenate([task.labels, -task.labels]), test=task.test)


SETS = (
    ImageSet("3 and 8", (3, 8)),
    ImageSet("even and odd", ((0, 2, 4, 6, 8), (1, 3, 5, 7, 9))),
    ImageSet("3 and 8, mirrored", (3, 8), mirrored=True),
)


@dataclass(frozen=True)
class Images:
    """Networks that are trained on one set of images.

    ``name``: of the set. ``task``: the images. ``data``: what was recorded, at M nodes and beta = 1.
    """

    name: str
    task: Task
    data: xr.Dataset

    @classmethod
    def train(cls, run: Trial, images: ImageSet, nodes: int, networks: int) -> Images:
        """Train networks of ``nodes`` nodes, alpha = h = 1."""
        task = images.task(run.seed)
        data = run.train(
            Network.mean_field(task.dimension, nodes),
            task,
            Gaussian(std=1.0),
            method=GradientDescent(learning_rate=RATE, steps=STEPS),
            loss="hinge",
            record=Record(steps=spread_steps(STEPS, 24), measure=("trajectory", "margin", "error", "test_error")),
            networks=networks,
        )
        return cls(images.name, task, data)

    @property
    def mean(self) -> Floats:
        """(inputs,) float64: the mean of y x, half the distance of the class means where both are as frequent."""
        return np.asarray(self.task.labels @ self.task.inputs / self.task.samples)

    @property
    def direction(self) -> Floats:
        """(inputs,) float64: its direction, which plays the teacher."""
        return np.asarray(self.mean / np.linalg.norm(self.mean))

    @property
    def speed(self) -> float:
        """Pace of gamma while no image is satisfied: |<y x>| / (2 sqrt d)."""
        return float(np.linalg.norm(self.mean) / (2 * np.sqrt(self.task.dimension)))

    @property
    def output(self) -> Floats:
        """(networks, times, nodes) float64: a_i."""
        return np.asarray(self.data["trajectory_2"].values[:, :, 0])

    @property
    def incoming(self) -> Floats:
        """(networks, times, nodes, inputs) float64: w_i."""
        return np.asarray(self.data["trajectory_1"].values)

    @property
    def along(self) -> Floats:
        """(networks, times, nodes) float64: w_i along the direction."""
        return np.asarray(self.incoming @ self.direction)

    @property
    def unsatisfied(self) -> Floats:
        """(networks, times) float64: fraction of the images with y f < 1."""
        return np.asarray((self.data["margin"].values < 1).mean(axis=2))

    @property
    def early(self) -> NDArray[np.bool_]:
        """(networks, times) bool: no image has been satisfied up to here."""
        return np.asarray(np.logical_and.accumulate(self.unsatisfied == 1, axis=1))

    @property
    def steps(self) -> NDArray[np.int64]:
        """(times,) int64: updates."""
        return np.asarray(self.data["step"].values)

    def predicted(self, speed: float) -> tuple[Floats, Floats]:
        """Return a_i and w_i on their hyperbolas, as `output` and `incoming`, at a pace while no image is satisfied.

        Under descent: a step multiplies a + w_par by 1 + rate gamma' and a - w_par by 1 - rate gamma'; that is the
        theory's rotation by gamma up to first order in the rate. What is across the direction stays.
        """
        output, along = self.output[:, :1], self.along[:, :1]
        rising = (output + along) * (1 + RATE * speed) ** self.steps[None, :, None]
        falling = (output - along) * (1 - RATE * speed) ** self.steps[None, :, None]
        moved = (rising - falling) / 2 - along
        return (rising + falling) / 2, self.incoming[:, :1] + moved[..., None] * self.direction

    def astray(self) -> Floats:
        """Return how far all nodes are from their hyperbolas, over how far they have moved: (networks, times).

        The angle is that of the network itself, `clock`: a change of pace is no departure from the curves. 0 at the
        start.
        """
        angle = clock(self.output, self.along)[..., None]
        start, first = self.output[:, :1], self.along[:, :1]
        output = start * np.cosh(angle) + first * np.sinh(angle)
        along = first * np.cosh(angle) + start * np.sinh(angle)
        across = self.incoming - self.along[..., None] * self.direction
        turned = ((across - across[:, :1]) ** 2).sum(axis=(2, 3))
        moved = ((self.output - start) ** 2 + (self.along - first) ** 2).sum(axis=2) + turned
        off = ((self.output - output) ** 2 + (self.along - along) ** 2).sum(axis=2) + turned
        return np.asarray(np.sqrt(np.divide(off, moved, out=np.zeros_like(off), where=moved > 0)))
