"""Tasks to learn: from exactly solvable directions to real handwritten digits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shoal import checks
from shoal.task import Task

__all__ = ["antipodal", "digits", "features", "gaussian", "modes"]


def modes(
    norms: ArrayLike, frequencies: ArrayLike | None = None, *, classes: int = 2, dimension: int | None = None
) -> Task:
    """Return one sample a mode: input k is norms[k] along axis k; the labels alternate.

    Orthogonal inputs are learnt independently of each other from a ``Separated`` start (docs/theory.md section 3).

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
    TypeError
        An argument is not a number.
    ValueError
        Norms that are not positive, frequencies that do not fit, fewer classes than 2 or fewer inputs than modes.

    Examples
    --------
    >>> task = modes((1.7, 0.9), (0.6, 0.4))
    >>> task.labels, task.weights
    (array([ 1, -1]), array([0.6, 0.4]))
    """
    lengths = _norms(norms)
    classes = checks.integer("classes", classes, least=2)
    wide = _dimension(dimension, len(lengths))
    index = np.arange(len(lengths))
    labels = 1 - 2 * (index % 2) if classes == 2 else index % classes
    return Task(_axes(lengths, wide), labels, _frequencies(frequencies, len(lengths)))


def antipodal(norm: float = 1.0, *, dimension: int = 1, frequency: float = 0.5) -> Task:
    """Return two samples of opposite labels: x of label +1, norm along the first axis, and -x of label -1.

    A hidden unit that dies on one comes alive on the other (docs/theory.md section 2).

    Parameters
    ----------
    norm
        Norm of x, positive.
    dimension
        Number of inputs.
    frequency
        Weight of the sample of label +1, between 0 and 1.

    Raises
    ------
    TypeError
        An argument is not a number.
    ValueError
        A norm that is not positive, a dimension below 1, or a frequency outside 0..1.

    Examples
    --------
    >>> antipodal(2.0, dimension=2).inputs
    array([[ 2.,  0.],
           [-2.,  0.]])
    """
    norm = checks.positive("norm", norm)
    dimension = checks.integer("dimension", dimension, least=1)
    frequency = checks.real("frequency", frequency)
    if not 0 <= frequency <= 1:
        raise ValueError(f"frequency must lie between 0 and 1, got {frequency}")
    inputs = np.zeros((2, dimension))
    inputs[:, 0] = norm, -norm
    return Task(inputs, [1, -1], [frequency, 1 - frequency])


def features(
    norms: ArrayLike,
    samples: Sequence[Iterable[int]],
    frequencies: ArrayLike | None = None,
    *,
    mirrored: bool = False,
    dimension: int | None = None,
) -> Task:
    """Return samples that are sums of orthogonal features: feature k is norms[k] along axis k.

    Features that stand in the same samples compete: the faster starves the slower (arXiv:2011.09468).

    Parameters
    ----------
    norms : array_like of float, shape (features,)
        Positive.
    samples
        One set of feature numbers a type of sample, such as ``[(0, 1), (0,)]``.
    frequencies : array_like of float, shape (types,), optional
        How frequent each type is; divided by their sum; equal when left out.
    mirrored
        False: all samples have label +1. True: each type comes a second time as -x with label -1, after all of label
        +1, and each of the two has half the frequency.
    dimension
        Number of inputs, at least the number of features, which it is when left out.

    Raises
    ------
    TypeError
        An argument is not a number, or a feature number not an integer.
    ValueError
        Norms that are not positive, no types, a type that is empty, repeats a feature or names one that is not there,
        frequencies that do not fit, or fewer inputs than features.

    Examples
    --------
    >>> features((1.0, 2.0), [(0, 1), (0,)], (0.9, 0.1)).inputs
    array([[1., 2.],
           [1., 0.]])
    """
    lengths = _norms(norms)
    wide = _dimension(dimension, len(lengths))
    types = [tuple(sample) for sample in samples]
    if not types:
        raise ValueError("samples must name at least one type of sample such as (0, 1), got none")
    inputs = np.zeros((len(types), wide))
    for i, held in enumerate(types):
        numbers = [checks.integer(f"samples[{i}]", k, least=0, most=len(lengths) - 1) for k in held]
        if not numbers or len(set(numbers)) < len(numbers):
            raise ValueError(f"samples[{i}] must name one or more different features, got {held}")
        inputs[i, numbers] = lengths[numbers]
    weights = _frequencies(frequencies, len(types))
    if not mirrored:
        return Task(inputs, np.ones(len(types)), weights)
    return Task(np.concatenate([inputs, -inputs]), np.repeat([1, -1], len(types)), np.tile(weights, 2))


def gaussian(samples: int, dimension: int, *, separation: float, seed: int = 0) -> Task:
    """Return two classes of normal samples with identity covariance.

    The means are +separation/2 (label +1) and -separation/2 (label -1) along the first axis. The labels alternate.

    Parameters
    ----------
    samples
        Number of samples of both classes together, at least 2.
    dimension
        Number of inputs.
    separation
        Distance between the two means in standard deviations, not negative.
    seed
        Not negative. The same seed gives the same samples.

    Raises
    ------
    TypeError
        An argument is not a number, or a count not an integer.
    ValueError
        Fewer than two samples, no inputs, a negative separation or seed.

    Examples
    --------
    >>> gaussian(50, 10, separation=4.0).inputs.shape
    (50, 10)
    """
    samples = checks.integer("samples", samples, least=2)
    dimension = checks.integer("dimension", dimension, least=1)
    separation = checks.real("separation", separation)
    if separation < 0:
        raise ValueError(f"separation must not be negative, got {separation}")
    labels = 1 - 2 * (np.arange(samples) % 2)
    inputs = _generator(seed).standard_normal((samples, dimension))
    inputs[:, 0] += labels * separation / 2
    return Task(inputs, labels)


def digits(
    classes: Sequence[int] = (0, 1),
    samples: int | None = None,
    *,
    centre: bool = False,
    standardise: bool = False,
    seed: int = 0,
) -> Task:
    """Return images of handwritten digits, 8 x 8 pixels: 64 inputs a sample.

    The data are the 1,797 images that come with scikit-learn (the test set of "Optical Recognition of Handwritten
    Digits", E. Alpaydin and C. Kaynak, UCI Machine Learning Repository, 1998); about 180 of each digit. Pixels of 0..16
    are divided by 16, so inputs lie in 0..1 and an image has a norm of about 3.5.

    Parameters
    ----------
    classes
        Two or more different digits of 0..9. Two: the first has label +1, the second -1, for one output. More: labels
        0..K-1 in the order given, for K outputs.
    samples
        How many images, drawn without replacement from those of the classes; all when left out. They keep their order.
    centre
        Subtract each pixel's mean over the chosen images.
    standardise
        Subtract the mean and divide by the standard deviation; pixels that are the same in all images become 0.
    seed
        Fixes which images are drawn.

    Raises
    ------
    ImportError
        scikit-learn is not installed.
    TypeError
        A class or count is not an integer.
    ValueError
        Fewer than two classes, a class repeated or outside 0..9, or more samples than there are images.

    Examples
    --------
    >>> digits((3, 5), samples=100).inputs.shape
    (100, 64)
    """
    wanted = [checks.integer(f"classes[{i}]", digit, least=0, most=9) for i, digit in enumerate(classes)]
    if len(wanted) < 2 or len(set(wanted)) < len(wanted):
        raise ValueError(f"classes must be two or more different digits, got {tuple(wanted)}")
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ImportError("tasks.digits needs the images of scikit-learn: pip install scikit-learn") from error
    pixels, shown = load_digits(return_X_y=True)
    rows = np.flatnonzero(np.isin(shown, wanted))
    if samples is not None:
        samples = checks.integer("samples", samples, least=1, most=len(rows))
        rows = np.sort(_generator(seed).permutation(rows)[:samples])
    inputs = pixels[rows].astype(np.float64) / 16
    if centre or standardise:
        inputs -= inputs.mean(axis=0)
    if standardise:
        spread = inputs.std(axis=0)
        inputs = np.divide(inputs, spread, out=np.zeros_like(inputs), where=pixels[rows].std(axis=0) > 0)
    position = np.argmax(shown[rows, None] == np.asarray(wanted), axis=1)
    return Task(inputs, 1 - 2 * position if len(wanted) == 2 else position)


def _norms(norms: ArrayLike) -> NDArray[np.float64]:
    lengths = checks.real_array("norms", norms, dimensions=1, shape="(modes,)")
    if (lengths <= 0).any():
        raise ValueError(f"norms must be positive, got {lengths.min():g}")
    return lengths


def _dimension(dimension: int | None, least: int) -> int:
    return least if dimension is None else checks.integer("dimension", dimension, least=least)


def _axes(lengths: NDArray[np.float64], dimension: int) -> NDArray[np.float64]:
    inputs = np.zeros((len(lengths), dimension))
    np.fill_diagonal(inputs, lengths)
    return inputs


def _frequencies(frequencies: ArrayLike | None, count: int) -> NDArray[np.float64]:
    if frequencies is None:
        return np.full(count, 1.0)
    given = checks.real_array("frequencies", frequencies, dimensions=1, shape="(samples,)")
    if len(given) != count:
        raise ValueError(f"frequencies must have one entry a sample, {count}, got {len(given)}")
    if (given < 0).any() or not (given > 0).any():
        raise ValueError(f"frequencies must not be negative nor all zero, got {given}")
    return given


def _generator(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(checks.integer("seed", seed, least=0)))
