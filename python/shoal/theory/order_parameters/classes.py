"""The classes of a task, and their orthonormal bases.

| symbol | meaning | name | shape |
|---|---|---|---|
| x_s, y_s, p_s | inputs, labels, weights | ``task`` | (n, d), (n,), (n,) |
| - | class of each sample | ``class_of_sample`` | (n,) |
| E_c | orthonormal basis of the span of class c | ``basis``, all classes stacked | (r, d) |
| - | class of each basis vector | ``class_of_basis`` | (r,) |
| k_s | E x_s, zero between orthogonal classes | ``coordinates`` | (n, r) |

Source: theory book, chapter 3.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shoal.theory.domains import lengths
from shoal.theory.geometry import ROUNDING, SupportsTask, arrays_of

Array = NDArray[np.float64]
Index = NDArray[np.int64]


@dataclass(frozen=True)
class TaskClasses:
    """Samples in classes: all products within a class positive, none across classes of opposite label.

    ``force`` is p_s y_s, (n,), by which a residual drives the neurons that are active on a sample.
    """

    inputs: Array
    labels: Array
    force: Array
    class_of_sample: Index
    basis: Array
    class_of_basis: Index
    coordinates: Array

    @property
    def count(self) -> int:
        """Number of classes."""
        return int(self.class_of_sample.max()) + 1

    @property
    def own(self) -> Array:
        """The coordinates (n, r) of each sample in the basis of its own class; zero in those of others."""
        return np.where(self.class_of_sample[:, None] == self.class_of_basis, self.coordinates, 0.0)


def task_classes(task: SupportsTask) -> TaskClasses:
    """Return the classes of a task: the samples that positive products connect.

    Raises
    ------
    ValueError
        Labels are not -1/+1, an input is zero, a product of opposite labels is positive, one within a class is not, or
        two classes of equal label are not orthogonal. The message names two samples.
    """
    inputs, labels, weights = arrays_of(task)
    norms = lengths("task.inputs", inputs)
    cosines = (inputs / norms[:, None]) @ (inputs / norms[:, None]).T
    alike = labels[:, None] == labels
    _refuse((cosines > ROUNDING) & ~alike, "have opposite labels and a positive product")
    class_of_sample = _components(cosines > ROUNDING)
    within = class_of_sample[:, None] == class_of_sample
    _refuse(within & (cosines <= ROUNDING), "belong to one class and have no positive product")
    _refuse(alike & ~within & (cosines < -ROUNDING), "have equal labels, belong to two classes and are not orthogonal")
    spans = [_span(inputs[class_of_sample == number]) for number in range(class_of_sample.max() + 1)]
    basis = np.concatenate(spans)
    class_of_basis = np.repeat(np.arange(len(spans)), [len(span) for span in spans])
    touches = np.zeros((len(spans), len(spans)), dtype=np.bool_)
    pairs = np.argwhere(np.abs(cosines) > ROUNDING)
    touches[class_of_sample[pairs[:, 0]], class_of_sample[pairs[:, 1]]] = True
    # Set to exact zeros for orthogonal classes: a rounding error would activate neurons that the flow leaves inactive.
    coordinates = np.where(touches[class_of_sample][:, class_of_basis], inputs @ basis.T, 0.0)
    return TaskClasses(inputs, labels, weights * labels, class_of_sample, basis, class_of_basis, coordinates)


def _components(linked: NDArray[np.bool_]) -> Index:
    """Return the connected component (n,) of each sample, numbered in the order of their first samples."""
    reach = linked | np.eye(len(linked), dtype=np.bool_)
    while True:
        further = (reach.astype(np.float64) @ reach) > 0
        if (further == reach).all():
            break
        reach = further
    return np.unique(reach.argmax(axis=1), return_inverse=True)[1].astype(np.int64)


def _span(points: Array) -> Array:
    """Return an orthonormal basis (r, d) of the span of points (n, d)."""
    _, sizes, directions = np.linalg.svd(points, full_matrices=False)
    return np.asarray(directions[sizes > ROUNDING * sizes[0]], dtype=np.float64)


def _refuse(wrong: NDArray[np.bool_], what: str) -> None:
    if wrong.any():
        first, second = (int(i) for i in np.argwhere(wrong)[0])
        raise ValueError(
            "task must have classes with positive products inside and none that is positive across: "
            f"samples {first} and {second} {what}"
        )
