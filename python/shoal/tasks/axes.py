"""Tasks along orthogonal axes, whose learning is exactly solvable: modes, antipodal pairs, shared features."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shoal.base import checks
from shoal.spec.task import Task
from shoal.tasks.draw import proportions, require_room

__all__ = ["antipodal", "features", "modes", "xor"]


def modes(
    norms: ArrayLike, frequencies: ArrayLike | None = None, *, classes: int = 2, dimension: int | None = None
) -> Task:
    """Return one sample per mode: input k is norms[k] along axis k; the labels alternate.

    Orthogonal inputs are learnt independently of each other from a ``Separated`` initialisation (theory book,
    chapter 3).

    Parameters
    ----------
    norms : array_like of float, shape (modes,)
        Positive.
    frequencies : array_like of float, shape (modes,), optional
        Weights of the samples, divided by their sum; equal when left out.
    classes
        2 gives labels +1, -1, +1, ... for one output; K > 2 gives 0, 1, .., K-1, 0, ... for K outputs.
    dimension
        Number of inputs, at least the number of modes, which it is when left out.

    Raises
    ------
    TypeError, ValueError
        An argument has the wrong type or is out of the range above, or frequencies do not fit the norms.

    Examples
    --------
    >>> task = modes((1.7, 0.9), (0.6, 0.4))
    >>> task.labels, task.sample_weight
    (array([ 1, -1]), array([0.6, 0.4]))
    """
    lengths = _norms(norms)
    classes = checks.integer("classes", classes, least=2)
    wide = _dimension(dimension, len(lengths))
    index = np.arange(len(lengths))
    labels = 1 - 2 * (index % 2) if classes == 2 else index % min(classes, len(index))
    return Task(_axes(lengths, wide), labels, proportions("frequencies", frequencies, len(lengths), "sample"))


def antipodal(norm: float = 1.0, *, dimension: int = 1, frequency: float = 0.5) -> Task:
    """Return two samples of opposite labels: x of label +1, norm along the first axis, and -x of label -1.

    A hidden unit that dies on one comes alive on the other (theory book, chapter 2).

    Parameters
    ----------
    norm
        Norm of x, positive.
    dimension
        Number of inputs, at least 1.
    frequency
        Weight of the sample of label +1, between 0 and 1.

    Raises
    ------
    TypeError, ValueError
        An argument has the wrong type or is out of the range above.

    Examples
    --------
    >>> antipodal(2.0, dimension=2).inputs
    array([[ 2.,  0.],
           [-2.,  0.]])
    """
    norm = checks.positive("norm", norm)
    dimension = checks.integer("dimension", dimension, least=1)
    frequency = checks.real("frequency", frequency, least=0, most=1)
    require_room(2, dimension)
    inputs = np.zeros((2, dimension))
    inputs[:, 0] = norm, -norm
    return Task(inputs, [1, -1], [frequency, 1 - frequency])


def xor(scale: float = 1.0, *, dimension: int = 2) -> Task:
    """Return exclusive or: four samples (+-scale, +-scale), of label +1 if the signs of the two inputs differ.

    No linear function separates the labels. For samples that scatter around these four, see ``mixture``.

    Parameters
    ----------
    scale
        Magnitude of both inputs, positive.
    dimension
        Number of inputs, at least 2; those beyond the first two are 0.

    Raises
    ------
    TypeError, ValueError
        An argument has the wrong type or is out of the range above.

    Examples
    --------
    >>> task = xor()
    >>> task.inputs.tolist(), task.labels.tolist()
    ([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]], [-1, 1, 1, -1])
    """
    scale = checks.positive("scale", scale)
    dimension = checks.integer("dimension", dimension, least=2)
    require_room(4, dimension)
    inputs = np.zeros((4, dimension))
    inputs[:, 0] = scale, scale, -scale, -scale
    inputs[:, 1] = scale, -scale, scale, -scale
    return Task(inputs, [-1, 1, 1, -1])


def features(
    norms: ArrayLike,
    samples: Sequence[Iterable[int]],
    frequencies: ArrayLike | None = None,
    *,
    mirrored: bool = False,
    dimension: int | None = None,
) -> Task:
    """Return samples that are sums of orthogonal features: feature k is norms[k] along axis k.

    Features in the same samples compete: the faster starves the slower (Pezeshki et al. 2020, arXiv:2011.09468).

    Parameters
    ----------
    norms : array_like of float, shape (features,)
        Positive.
    samples
        One set of feature numbers per type of sample, such as ``[(0, 1), (0,)]``.
    frequencies : array_like of float, shape (types,), optional
        How frequent each type is; divided by their sum; equal when left out.
    mirrored
        False: all samples have label +1. True: each type comes a second time as -x with label -1, after all of label
        +1, and each of the two has half the frequency.
    dimension
        Number of inputs, at least the number of features, which it is when left out.

    Raises
    ------
    TypeError, ValueError
        An argument has the wrong type or is out of the range above; no types, or one that is empty, repeats a feature
        or names one that is not there; frequencies that do not fit the types.

    Examples
    --------
    >>> features((1.0, 2.0), [(0, 1), (0,)], (0.9, 0.1)).inputs
    array([[1., 2.],
           [1., 0.]])
    """
    lengths = _norms(norms)
    wide = _dimension(dimension, len(lengths))
    checks.flag("mirrored", mirrored)
    each = "a sequence of types of sample such as [(0,), (0, 1)]"
    types = [
        tuple(checks.sequence(f"samples[{i}]", held, "features such as (0, 1)"))
        for i, held in enumerate(checks.sequence("samples", samples, each))
    ]
    if not types:
        raise ValueError("samples must name at least one type of sample such as (0, 1), got none")
    require_room((2 if mirrored else 1) * len(types), wide, arrays=3 if mirrored else 2)
    inputs = np.zeros((len(types), wide))
    for i, held in enumerate(types):
        numbers = [checks.integer(f"samples[{i}]", k, least=0, most=len(lengths) - 1) for k in held]
        if not numbers or len(set(numbers)) < len(numbers):
            raise ValueError(f"samples[{i}] must name one or more different features, got {held}")
        inputs[i, numbers] = lengths[numbers]
    weights = proportions("frequencies", frequencies, len(types), "sample")
    if not mirrored:
        return Task(inputs, np.ones(len(types)), weights)
    return Task(np.concatenate([inputs, -inputs]), np.repeat([1, -1], len(types)), np.tile(weights, 2))


def _norms(norms: ArrayLike) -> NDArray[np.float64]:
    lengths = checks.real_array("norms", norms, dimensions=1, shape="(modes,)")
    if (lengths <= 0).any():
        raise ValueError(f"norms must be positive, got {lengths.min():g}")
    return lengths


def _dimension(dimension: int | None, least: int) -> int:
    return least if dimension is None else checks.integer("dimension", dimension, least=least)


def _axes(lengths: NDArray[np.float64], dimension: int) -> NDArray[np.float64]:
    require_room(len(lengths), dimension)
    inputs = np.zeros((len(lengths), dimension))
    np.fill_diagonal(inputs, lengths)
    return inputs
