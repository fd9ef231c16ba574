"""What is learnt: inputs, labels and how much each sample counts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shoal.base import checks
from shoal.base.frozen import Frozen, read_only


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
        labels that are neither -1/+1 nor 0..K-1 (those of ``test`` together with the others), negative weights, or
        weights that are all zero.

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
        checks.same_order(("inputs", "sample_weight"), inputs, sample_weight)
        samples = _samples(inputs, labels)
        weights = _weights(sample_weight, len(samples.labels))
        self._fill(inputs=samples.inputs, labels=samples.labels, sample_weight=weights, test=None)
        if (given := checks.pair("test", test, "(inputs, labels)")) is None:
            return
        tested = _samples(*given, of="test ")
        if tested.inputs.shape[1] != self.dimension:
            columns = tested.inputs.shape[1]
            raise ValueError(f"test inputs must have the {self.dimension} columns that inputs has, got {columns}")
        _check_labels("labels and test labels together", np.concatenate([self.labels, tested.labels]))
        self._fill(test=tested)

    @property
    def _unsaid(self) -> dict[str, Any]:
        return {"test": None}

    @property
    def samples(self) -> int:
        """Number of samples."""
        return len(self.labels)

    @property
    def test_samples(self) -> int:
        """Number of test samples."""
        return 0 if self.test is None else len(self.test.labels)

    @property
    def dimension(self) -> int:
        """Number of inputs of one sample."""
        return int(self.inputs.shape[1])


def _samples(inputs: ArrayLike, labels: ArrayLike, of: str = "") -> Samples:
    names = f"{of}inputs", f"{of}labels"
    if getattr(inputs, "dims", None) in (("input", "sample"), ("input", "test_sample")):
        raise ValueError(
            f"{of}inputs must have shape (samples, inputs), got dimensions (input, sample): transpose them"
        )
    checks.same_order(names, inputs, labels)
    points = checks.real_array(names[0], inputs, dimensions=2, shape="(samples, inputs)", flags=True)
    given = checks.vector(names[1], labels, "sample", len(points))
    _check_labels(names[1], given)
    return Samples(points, read_only(given.astype(np.int64)))


def _check_labels(name: str, labels: NDArray[np.floating | np.int64]) -> None:
    found = np.unique(labels)
    signs = np.isin(found, (-1, 1)).all()
    classes = (found >= 0).all() and (found == np.floor(found)).all() and found[-1] < np.iinfo(np.int32).max
    if not (signs or classes):
        shown = ", ".join(f"{value:g}" for value in found[:6]) + (", ..." if len(found) > 6 else "")
        raise ValueError(f"{name} must be -1/+1 (one output) or 0..K-1 (K outputs), got {shown}")


def _weights(weights: ArrayLike | None, samples: int) -> NDArray[np.float64]:
    weights = np.ones(samples) if weights is None else weights
    given = checks.vector("sample_weight", weights, "sample", samples, flags=True)
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
    return read_only(given)
