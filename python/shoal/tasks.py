"""Tasks to learn: from exactly solvable directions to real handwritten digits."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shoal import checks
from shoal import idx as idx_files
from shoal.task import Task

__all__ = ["antipodal", "digits", "features", "gaussian", "idx", "modes"]


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
    wanted = _classes(classes, 0, 9)
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ImportError("tasks.digits needs the images of scikit-learn: pip install scikit-learn") from error
    pixels, shown = load_digits(return_X_y=True)
    rows = _drawn(np.flatnonzero(np.isin(shown, wanted)), samples, seed)
    inputs = _normalised(pixels[rows].astype(np.float64) / 16, centre, standardise)
    return Task(inputs, _positions(shown[rows], wanted))


def idx(
    images: str | os.PathLike[str],
    labels: str | os.PathLike[str],
    classes: Sequence[int] | None = None,
    samples: int | None = None,
    *,
    scale: float | None = None,
    centre: bool = False,
    standardise: bool = False,
    seed: int = 0,
) -> Task:
    """Return images and labels read from files in the IDX format, which is that of MNIST.

    The files may be compressed by gzip. shoal brings none and loads none from anywhere.

    Parameters
    ----------
    images, labels
        Paths: n images in two or more dimensions, (n, height, width), which become rows of inputs; n labels, integers.
    classes
        Two or more different labels of the file; all that are in it when left out, the smallest first. Two: the first
        has label +1, the second -1, for one output. More: labels 0..K-1 in the order given, for K outputs.
    samples
        How many images, drawn without replacement from those of the classes; all when left out. They keep their order.
    scale
        Values are divided by it; when left out by 255 where they are unsigned bytes, so that inputs lie in 0..1, and
        by 1 where they are of another type.
    centre, standardise
        As in `digits`, over the chosen images.
    seed
        Fixes which images are drawn.

    Raises
    ------
    TypeError
        A path, class, count or scale of the wrong type.
    FileNotFoundError
        There is no such file. (Other faults of the file system are OSErrors too.)
    ValueError
        A file that is not IDX, of an unknown type, truncated, too long or damaged; counts that differ; fewer than two
        classes, one repeated or without an image; more samples than there are images; a value that is not finite; a
        scale that is not positive.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as name:  # two images of 1 x 2 pixels: type, dimensions, sizes, values
    ...     images, labels = Path(name, "images"), Path(name, "labels")
    ...     _ = images.write_bytes(bytes([0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2, 255, 0, 0, 51]))
    ...     _ = labels.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 2, 7, 1]))
    ...     task = idx(images, labels, classes=(7, 1))
    >>> task.inputs, task.labels
    (array([[1. , 0. ],
           [0. , 0.2]]), array([ 1, -1]))
    """
    wanted = None if classes is None else _classes(classes, -(2**31), 2**31 - 1)
    divisor = None if scale is None else checks.positive("scale", scale)
    checks.integer("seed", seed, least=0)
    shown = idx_files.read_labels(labels)
    if wanted is None:
        wanted = np.unique(shown).tolist()
        if len(wanted) < 2:
            raise ValueError(f"{labels} must hold two or more different labels, got only {wanted[0]}")
    for label in wanted:
        if not (shown == label).any():
            raise ValueError(f"{labels} must hold an image of each class, got none of class {label}")
    rows = _drawn(np.flatnonzero(np.isin(shown, wanted)), samples, seed)
    pixels = idx_files.read_images(images)
    if len(pixels) != len(shown):
        raise ValueError(
            f"{images} and {labels} must hold as many images as labels, got {len(pixels)} and {len(shown)}"
        )
    if divisor is None:
        divisor = 255.0 if pixels.dtype == np.uint8 else 1.0
    inputs = pixels[rows].astype(np.float64) / divisor
    if not np.isfinite(inputs).all():
        raise ValueError(f"{images} must hold finite values, got NaN or infinite ones in the chosen images")
    return Task(_normalised(inputs, centre, standardise), _positions(shown[rows], wanted))


def _classes(classes: Sequence[int], least: int, most: int) -> list[int]:
    wanted = [checks.integer(f"classes[{i}]", label, least=least, most=most) for i, label in enumerate(classes)]
    if len(wanted) < 2 or len(set(wanted)) < len(wanted):
        kind = "digits" if (least, most) == (0, 9) else "labels"
        raise ValueError(f"classes must be two or more different {kind}, got {tuple(wanted)}")
    return wanted


def _drawn(rows: NDArray[np.intp], samples: int | None, seed: int) -> NDArray[np.intp]:
    """Return the rows, or as many as ``samples`` of them drawn without replacement, in their order."""
    if samples is None:
        return rows
    samples = checks.integer("samples", samples, least=1, most=len(rows))
    return np.sort(_generator(seed).permutation(rows)[:samples])


def _normalised(inputs: NDArray[np.float64], centre: bool, standardise: bool) -> NDArray[np.float64]:
    """Return the inputs less their means, and over their spreads, as asked; columns that do not vary become 0."""
    varies = inputs.max(axis=0) > inputs.min(axis=0)
    if centre or standardise:
        inputs = inputs - inputs.mean(axis=0)
    if standardise:
        inputs = np.divide(inputs, inputs.std(axis=0), out=np.zeros_like(inputs), where=varies)
    return inputs


def _positions(shown: NDArray[np.integer], wanted: Sequence[int]) -> NDArray[np.int64]:
    """Return labels of a task: +1 and -1 for two classes, else the position of each in ``wanted``."""
    position: NDArray[np.int64] = np.argmax(shown[:, None] == np.asarray(wanted), axis=1).astype(np.int64)
    return 1 - 2 * position if len(wanted) == 2 else position


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
