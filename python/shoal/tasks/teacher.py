"""Tasks whose labels a teacher gives, sign(teacher . x), and whether a teacher separates a task.

They are the data of the mean-field theory of hinge loss (theory book, chapter 7).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shoal.base import checks
from shoal.spec.task import Task
from shoal.tasks.draw import Drawn, require_room, streams, trained_and_tested

__all__ = ["separable_gaussian", "separable_sphere", "separated_by"]

Floats = NDArray[np.float64]


def separable_gaussian(
    samples: int,
    inputs: int,
    *,
    teacher: ArrayLike | None = None,
    flipped: float = 0.0,
    test_samples: int = 0,
    seed: int = 0,
) -> Task:
    """Return standard normal samples, labelled by the side of a plane through 0 on which they lie.

    x ~ N(0, identity), y = sign(teacher . x). A sample so near the plane that rounding would decide its side is drawn
    again (the probability is below 1e-12 at 100 inputs), so that a label is the same however the sum is ordered.

    Parameters
    ----------
    samples, inputs
        Number of training samples, and of inputs of each, at least 1.
    teacher : array_like of float, shape (inputs,), optional
        Normal of the plane: any direction that is not zero, of any length. The first axis when left out.
    flipped
        Fraction of the training labels, 0..1, that are wrong: exactly ``round(flipped * samples)`` (half to even),
        drawn without replacement. They are those with ``task.labels * (task.inputs @ teacher) < 0``. Those of a smaller
        fraction are among those of a larger one, if all else is the same.
    test_samples
        Number of fresh samples of the same distribution, all with the teacher's labels; none when 0.
    seed
        Not negative. Training samples, test samples and flips are drawn from independent streams: the test samples do
        not depend on ``samples`` or ``flipped``, nor the inputs on ``flipped``.

    Returns
    -------
    Task
        Inputs (samples, inputs) of float64, labels (samples,) -1/+1 of int64; equal weights.

    Raises
    ------
    TypeError, ValueError
        An argument has the wrong type or is out of the range above, or the task does not fit into memory.

    Notes
    -----
    It takes the time of the draws, and twice the memory of the inputs, since a task keeps its own copy.

    Examples
    --------
    >>> task = separable_gaussian(1000, 5, teacher=(0, 3, 4, 0, 0), flipped=0.01, test_samples=200)
    >>> int((task.labels * (task.inputs @ (0, 3, 4, 0, 0)) < 0).sum()), task.test_samples
    (10, 200)
    """
    return _separable(samples, inputs, None, teacher, flipped, test_samples, seed)


def separable_sphere(
    samples: int,
    inputs: int,
    *,
    radius: float = 1.0,
    teacher: ArrayLike | None = None,
    flipped: float = 0.0,
    test_samples: int = 0,
    seed: int = 0,
) -> Task:
    """Return samples spread evenly over a sphere around 0, labelled by the side of a plane on which they lie.

    |x| = radius, y = sign(teacher . x). The samples are those of `separable_gaussian` of the same seed, brought to the
    sphere, with the same labels.

    Parameters
    ----------
    samples, inputs, teacher, flipped, test_samples, seed
        As in `separable_gaussian`. With one input the sphere is the two points +radius and -radius.
    radius
        Norm of every sample, positive.

    Returns
    -------
    Task
        Inputs (samples, inputs) of float64, labels (samples,) -1/+1 of int64; equal weights.

    Raises
    ------
    TypeError, ValueError
        As in `separable_gaussian`, or a radius that is not positive.

    Examples
    --------
    >>> np.linalg.norm(separable_sphere(3, 50, radius=2.0).inputs, axis=1).round(12)
    array([2., 2., 2.])
    """
    return _separable(samples, inputs, checks.positive("radius", radius), teacher, flipped, test_samples, seed)


def separated_by(task: Task, teacher: ArrayLike | None = None) -> Floats:
    """Return by how much a teacher separates each training sample: y teacher . x/|teacher|, all above 0.

    It checks what chapter 7 of the theory book requires of a task. Samples of weight 0 are included; test
    samples are not.

    Parameters
    ----------
    task
        With labels -1/+1.
    teacher
        As in `separable_gaussian`.

    Returns
    -------
    ndarray of float64, shape (samples,)
        The distances of the samples from the plane. Their least is the margin of the task.

    Raises
    ------
    TypeError
        The task is not a `shoal.Task`, or the teacher holds something that is not a number.
    ValueError
        Samples are on the wrong side of the plane or in it: how many, and which is the first. The labels are not -1/+1.
        The teacher has another length than the inputs, or is not finite or zero.

    Examples
    --------
    >>> separated_by(Task([[2, 1], [-1, 5]], [1, -1]), teacher=(1, 0))
    array([2., 1.])
    """
    checks.kind("task", task, Task)
    direction = _direction(teacher, task.dimension)
    if task.answer != "labels":
        raise ValueError("task must have labels -1/+1, got a regression, which has targets")
    if not np.isin(task.labels, (-1, 1)).all():
        raise ValueError(f"task must have labels -1/+1, got {', '.join(map(str, np.unique(task.labels)[:6]))}")
    distances: Floats = task.labels * (task.inputs @ direction)
    wrong = np.flatnonzero(~(distances > 0))
    if wrong.size:
        first = wrong[0]
        raise ValueError(
            f"task must be separated by the teacher, got {wrong.size} of {task.samples} samples on the wrong side of"
            f" its plane or in it, the first at index {first}: label {task.labels[first]:+d},"
            f" teacher . x/|teacher| = {task.labels[first] * distances[first]:.6g}"
        )
    return distances


def _separable(
    samples: int,
    inputs: int,
    radius: float | None,
    teacher: ArrayLike | None,
    flipped: float,
    test_samples: int,
    seed: int,
) -> Task:
    samples = checks.integer("samples", samples, least=1)
    inputs = checks.integer("inputs", inputs, least=1)
    test_samples = checks.integer("test_samples", test_samples, least=0)
    flipped = checks.real("flipped", flipped, least=0, most=1)
    all_three = streams(seed, 3)
    require_room(samples, inputs, test_samples)
    direction = _direction(teacher, inputs)

    def drawn(which: int, count: int) -> Drawn:
        points, labels = _labelled(all_three[which], count, direction, radius)
        if which == 0:
            labels[all_three[2].permutation(samples)[: round(flipped * samples)]] *= -1
        return points, labels

    return trained_and_tested(samples, test_samples, drawn)


def _labelled(generator: np.random.Generator, samples: int, direction: Floats, radius: float | None) -> Drawn:
    """Return draws and the sides on which they lie, none undecided by rounding."""
    points = generator.standard_normal((samples, len(direction)))
    heights, norms = _measured(points, direction)
    # Twice what the rounding of a sum of so many terms, of the direction and of the projection can do at most.
    unclear = (2 * len(direction) + 4) * np.finfo(np.float64).eps
    while (again := np.flatnonzero(np.abs(heights) <= unclear * norms)).size:
        points[again] = generator.standard_normal((again.size, len(direction)))
        heights[again], norms[again] = _measured(points[again], direction)
    if radius is not None:
        points *= (radius / norms)[:, None]
    return points, np.where(heights > 0, 1, -1)


def _measured(points: Floats, direction: Floats) -> tuple[Floats, Floats]:
    """Return the projections on the direction and the norms, (samples,) each."""
    return points @ direction, np.sqrt(np.einsum("ij,ij->i", points, points))


def _direction(teacher: ArrayLike | None, inputs: int) -> Floats:
    """Return the teacher at length 1; the first axis if there is none."""
    if teacher is None:
        first = np.zeros(inputs)
        first[0] = 1
        return first
    given = checks.vector("teacher", teacher, "input", inputs)
    largest = np.abs(given).max()
    if largest == 0:
        raise ValueError("teacher must not be zero, got a direction whose entries are all 0")
    scaled = given / largest  # so that no square overflows or underflows
    return np.asarray(scaled / np.linalg.norm(scaled))
