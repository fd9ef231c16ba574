"""What is learnt: inputs, labels and how much each sample counts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shoal.base import checks
from shoal.base.frozen import Frozen


class Samples(NamedTuple):
    """Inputs (samples, inputs) of float64 and labels (samples,) of int64, read-only."""

    inputs: NDArray[np.float64]
    labels: NDArray[np.int64]


@dataclass(frozen=True, eq=False, init=False, repr=False)
class Task(Frozen):
    """Labelled samples, each with a weight.

    It accepts lists and arrays of any order, stride and real dtype, and keeps read-only copies.

    Parameters
    ----------
    inputs : array_like, shape (samples, inputs)
        Finite.
    labels : array_like, shape (samples,)
        -1/+1 for a network of one output, or 0..K-1 for one of K outputs.
    sample_weight : array_like, shape (samples,), optional
        How much each sample counts in the loss and the error: not negative, not all zero; equal when left out. They
        are divided by their sum. A sample of weight 0 is measured, not learnt.
    test : pair of array_like, shapes (test samples, inputs) and (test samples,), optional
        Inputs and labels on which networks are measured and never trained, by the measures ``test_loss``,
        ``test_error``, ``test_soft_error`` and ``test_margin``. All test samples have the same weight.

    Attributes
    ----------
    inputs : ndarray of float64, shape (samples, inputs)
    labels : ndarray of int64, shape (samples,)
    sample_weight : ndarray of float64, shape (samples,)
        Sum to one.
    test : pair (inputs, labels) of ndarray, or None

    Raises
    ------
    TypeError
        Something in an argument is not a real number or is masked, labels are bools, or ``test`` is not a pair.
    ValueError
        Shapes that do not fit, tables (of pandas or xarray) whose rows have different labels, NaN or infinite values,
        labels that are neither -1/+1 nor 0..K-1 (those of ``test`` together with the others), negative weights or
        weights whose sum is zero.

    Examples
    --------
    >>> Task([[2, 0], [0, 1]], [1, -1], sample_weight=[3, 1]).sample_weight
    array([0.75, 0.25])
    """

    inputs: NDArray[np.float64]
    labels: NDArray[np.int64]
    sample_weight: NDArray[np.float64]
    test: Samples | None

    def __init__(
        self,
        inputs: ArrayLike,
        labels: ArrayLike,
        sample_weight: ArrayLike | None = None,
        test: tuple[ArrayLike, ArrayLike] | None = None,
    ) -> None:
        _check_axes("inputs", inputs)
        checks.same_order(("inputs", "labels"), inputs, labels)
        checks.same_order(("inputs", "sample_weight"), inputs, sample_weight)
        points = checks.real_array("inputs", inputs, dimensions=2, shape="(samples, inputs)", flags=True)
        object.__setattr__(self, "inputs", points)
        object.__setattr__(self, "labels", _labels(labels, len(points)))
        object.__setattr__(self, "sample_weight", _weights(sample_weight, len(points)))
        object.__setattr__(self, "test", None if test is None else _test(test, self))

    def __repr__(self) -> str:
        """Return the call that makes the task, with arrays abbreviated to their shapes."""
        n, d = self.inputs.shape
        held = f"inputs=<float64 ({n}, {d})>, labels=<int64 ({n},)>, sample_weight=<float64 ({n},)>"
        if self.test is not None:
            held += f", test=(<float64 ({self.test_samples}, {d})>, <int64 ({self.test_samples},)>)"
        return f"Task({held})"

    @property
    def samples(self) -> int:
        """Number of samples."""
        return len(self.labels)

    @property
    def test_samples(self) -> int:
        """Number of test samples; 0 where there are none."""
        return 0 if self.test is None else len(self.test.labels)

    @property
    def dimension(self) -> int:
        """Number of inputs of one sample."""
        return int(self.inputs.shape[1])


def _check_axes(name: str, inputs: object) -> None:
    """Refuse a DataArray whose axes are named, and stand the other way round."""
    if getattr(inputs, "dims", None) in (("input", "sample"), ("input", "test_sample")):
        raise ValueError(f"{name} must have shape (samples, inputs), got dimensions (input, sample): transpose them")


def _labels(labels: ArrayLike, samples: int, of: str = "") -> NDArray[np.int64]:
    given = checks.real_array(f"{of}labels", labels, dimensions=1, shape="(samples,)")
    if len(given) != samples:
        raise ValueError(
            f"{of}labels must have one entry per sample: {of}inputs has {samples} rows, {of}labels has {len(given)}"
        )
    _check_labels(f"{of}labels", given)
    array = given.astype(np.int64)
    array.flags.writeable = False
    return array


def _check_labels(name: str, labels: NDArray[np.floating | np.int64]) -> None:
    found = np.unique(labels)
    signs = np.isin(found, (-1, 1)).all()
    classes = (found >= 0).all() and (found == np.floor(found)).all() and found[-1] < np.iinfo(np.int32).max
    if not (signs or classes):
        shown = ", ".join(f"{value:g}" for value in found[:6]) + (", ..." if len(found) > 6 else "")
        raise ValueError(f"{name} must be -1/+1 (one output) or 0..K-1 (K outputs), got {shown}")


def _test(test: object, task: Task) -> Samples:
    if not isinstance(test, (tuple, list)) or len(test) != 2:
        raise TypeError(f"test must be a pair (inputs, labels) or None, got {test!r:.200}")
    _check_axes("test inputs", test[0])
    checks.same_order(("test inputs", "test labels"), test[0], test[1])
    inputs = checks.real_array("test inputs", test[0], dimensions=2, shape="(samples, inputs)", flags=True)
    if inputs.shape[1] != task.dimension:
        raise ValueError(f"test inputs must have the {task.dimension} columns that inputs has, got {inputs.shape[1]}")
    labels = _labels(test[1], len(inputs), "test ")
    _check_labels("labels and test labels together", np.concatenate([task.labels, labels]))
    return Samples(inputs, labels)


def _weights(weights: ArrayLike | None, samples: int) -> NDArray[np.float64]:
    if weights is None:
        given = np.ones(samples)
    else:
        given = checks.real_array("sample_weight", weights, dimensions=1, shape="(samples,)", flags=True)
    if len(given) != samples:
        raise ValueError(
            f"sample_weight must have one entry per sample: inputs has {samples} rows, sample_weight has {len(given)}"
        )
    if (given < 0).any():
        at = int(np.argmax(given < 0))
        raise ValueError(f"sample_weight must not be negative, got {given[at]} at index {at}")
    if not (given > 0).any():
        raise ValueError("sample_weight must not all be zero, got a sum of 0")
    # Scaled before they are summed, so that no sum overflows. Weights that already sum to one, as those of a task do,
    # are left alone: to divide again would move their bits, and a saved run would not repeat exactly. Twice eps: half
    # of one for each element's rounding, half for that of the sum it was divided by, and as much for this sum.
    if given.max() > 1 or abs(math.fsum(given) - 1) > 2 * np.finfo(np.float64).eps:
        given = given / given.max()
        given = given / math.fsum(given)
    array = np.array(given)
    array.flags.writeable = False
    return array
