"""What is learnt: inputs, labels or targets, and how much each sample counts."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, NamedTuple, NoReturn

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shoal.base import checks
from shoal.base.frozen import Frozen, read_only


class Samples(NamedTuple):
    """Inputs (samples, inputs) of float64 and labels (samples,) of int64, read-only."""

    inputs: NDArray[np.float64]
    labels: NDArray[np.int64]


class Targets(NamedTuple):
    """Inputs (samples, inputs) and targets (samples,) or (samples, outputs), of float64 and read-only."""

    inputs: NDArray[np.float64]
    targets: NDArray[np.float64]


@dataclass(frozen=True, eq=False, init=False, repr=False)
class Task(Frozen):
    """Labelled samples, each with a weight.

    It accepts lists and arrays of any order, stride and real dtype, and keeps read-only copies. ``Task.regression``
    makes a task with real targets in place of labels.

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

    answer: ClassVar[str] = "labels"
    """Name of the array of what each sample is to give: ``labels``, of a regression ``targets``."""

    def __init__(
        self,
        inputs: ArrayLike,
        labels: ArrayLike,
        sample_weight: ArrayLike | None = None,
        test: tuple[ArrayLike, ArrayLike] | None = None,
    ) -> None:
        self._take(inputs, labels, sample_weight, test)

    def _take(
        self,
        inputs: ArrayLike,
        answers: ArrayLike,
        sample_weight: ArrayLike | None,
        test: tuple[ArrayLike, ArrayLike] | None,
    ) -> None:
        """Check the arguments and set the fields."""
        checks.same_order(("inputs", "sample_weight"), inputs, sample_weight)
        points, held = self._read(inputs, answers)
        self._fill(inputs=points, sample_weight=_weights(sample_weight, len(points)), test=None, **{self.answer: held})
        if (given := checks.pair("test", test, f"(inputs, {self.answer})")) is None:
            return
        tested = self._read(*given, of="test ")
        _check_columns(tested[0], self.inputs)
        self._check_tested(tested[1])
        self._fill(test=tested)

    @cached_property
    def digest(self) -> bytes:
        """A digest of the bits of all samples: found once, since the arrays of a task do not change."""
        found = hashlib.blake2b(digest_size=16)
        for array in (self.inputs, self.answers, self.sample_weight, *(self.test or ())):
            found.update(np.ascontiguousarray(array).data)
        return found.digest()

    @staticmethod
    def _read(inputs: ArrayLike, answers: ArrayLike, of: str = "") -> Samples | Targets:
        """Return samples, checked; errors call them ``of``."""
        return _samples(inputs, answers, of)

    def _check_tested(self, answers: NDArray[Any]) -> None:
        """Refuse labels of test samples that do not go with the others."""
        _check_labels("labels and test labels together", np.concatenate([self.labels, answers]))

    @classmethod
    def regression(
        cls,
        inputs: ArrayLike,
        targets: ArrayLike,
        sample_weight: ArrayLike | None = None,
        test: tuple[ArrayLike, ArrayLike] | None = None,
    ) -> Regression:
        """Return a task with real targets in place of labels, to be learnt with ``loss="squared"``.

        The loss of a sample is half its squared distance from its target, 1/2 |f(x) - y|^2, summed over the outputs.

        Parameters
        ----------
        inputs : array_like, shape (samples, inputs)
            Finite.
        targets : array_like, shape (samples,) or (samples, K)
            Finite: one number per sample for a network of one output, or K for one of K outputs.
        sample_weight : array_like, shape (samples,), optional
            As for a task with labels.
        test : pair of array_like, shapes (test samples, inputs) and (test samples,) or (test samples, K), optional
            Inputs and targets on which networks are measured and never trained, by the measures ``test_loss``,
            ``test_output`` and ``test_residual``. All test samples have the same weight.

        Returns
        -------
        Task
            With ``targets`` in place of ``labels``, float64 of shape (samples,), or (samples, K) for K > 1. ``test``
            is a pair (inputs, targets) or None.

        Raises
        ------
        TypeError
            Something in an argument is not a real number or is masked, targets are bools, or ``test`` is not a pair.
        ValueError
            Shapes that do not fit each other, tables (of pandas or xarray) whose rows have different labels, NaN or
            infinite values, negative weights, or weights that are all zero.

        Examples
        --------
        >>> Task.regression([[2, 0], [0, 1]], [0.5, -3]).targets
        array([ 0.5, -3. ])
        """
        return Regression(inputs, targets, sample_weight, test)

    @property
    def _unsaid(self) -> dict[str, Any]:
        return {"test": None}

    @property
    def answers(self) -> NDArray[Any]:
        """The labels, or of a regression the targets."""
        answers: NDArray[Any] = getattr(self, self.answer)
        return answers

    @property
    def samples(self) -> int:
        """Number of samples."""
        return len(self.inputs)

    @property
    def test_samples(self) -> int:
        """Number of test samples."""
        return 0 if self.test is None else len(self.test.inputs)

    @property
    def dimension(self) -> int:
        """Number of inputs of one sample."""
        return int(self.inputs.shape[1])


def _no_labels(_: Regression) -> NoReturn:
    raise AttributeError("a regression has no labels, its targets are in task.targets")


@dataclass(frozen=True, eq=False, init=False, repr=False)
class Regression(Task):
    """What ``Task.regression`` returns: samples with targets (samples,) or (samples, K) in place of labels."""

    targets: NDArray[np.float64]
    test: Targets | None  # type: ignore[assignment]
    labels: ClassVar[Any] = property(_no_labels)  # type: ignore[misc]  # no field, as dataclasses see it

    answer: ClassVar[str] = "targets"
    called: ClassVar[str] = "Task.regression"

    def __init__(
        self,
        inputs: ArrayLike,
        targets: ArrayLike,
        sample_weight: ArrayLike | None = None,
        test: tuple[ArrayLike, ArrayLike] | None = None,
    ) -> None:
        self._take(inputs, targets, sample_weight, test)

    @staticmethod
    def _read(inputs: ArrayLike, answers: ArrayLike, of: str = "") -> Targets:
        """Return samples with targets, checked."""
        return _targets(inputs, answers, of)

    def _check_tested(self, answers: NDArray[Any]) -> None:
        """Refuse another number of targets per test sample."""
        if (found := _width(answers)) != self.outputs:
            raise ValueError(f"test targets must have {self.outputs} per sample, as many as targets, got {found}")

    @property
    def outputs(self) -> int:
        """Number of targets of one sample."""
        return _width(self.targets)


def _width(targets: NDArray[np.float64]) -> int:
    return 1 if targets.ndim == 1 else targets.shape[1]


def _targets(inputs: ArrayLike, targets: ArrayLike, of: str = "") -> Targets:
    names = f"{of}inputs", f"{of}targets"
    points = _points(names, inputs, targets)
    one = np.ndim(checks.plain(names[1], targets)) == 1
    shape = "(samples,)" if one else "(samples,) or (samples, outputs)"
    given = checks.real_array(names[1], targets, dimensions=1 if one else 2, shape=shape)
    if len(given) != len(points):
        raise ValueError(f"{names[1]} must have one row per sample, {len(points)}, got {len(given)}")
    return Targets(points, read_only(given[:, 0] if given.shape[1:] == (1,) else given))


def _samples(inputs: ArrayLike, labels: ArrayLike, of: str = "") -> Samples:
    names = f"{of}inputs", f"{of}labels"
    points = _points(names, inputs, labels)
    given = checks.vector(names[1], labels, "sample", len(points))
    _check_labels(names[1], given)
    return Samples(points, read_only(given.astype(np.int64)))


def _points(names: tuple[str, str], inputs: ArrayLike, answers: ArrayLike) -> NDArray[np.float64]:
    """Return the inputs; ``answers`` are their labels or targets."""
    if getattr(inputs, "dims", None) in (("input", "sample"), ("input", "test_sample")):
        raise ValueError(
            f"{names[0]} must have shape (samples, inputs), got dimensions (input, sample): transpose them"
        )
    checks.same_order(names, inputs, answers)
    return checks.real_array(names[0], inputs, dimensions=2, shape="(samples, inputs)", flags=True)


def _check_columns(tested: NDArray[np.float64], inputs: NDArray[np.float64]) -> None:
    if tested.shape[1] != inputs.shape[1]:
        columns = inputs.shape[1]
        raise ValueError(f"test inputs must have the {columns} columns that inputs has, got {tested.shape[1]}")


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
