"""Real images: scikit-learn's handwritten digits, and files in the format of MNIST."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from shoal.base import checks, imports
from shoal.spec.task import Task
from shoal.tasks.collection import Collection, Path, drawn, grouped, members, normalised, positions, split
from shoal.tasks.draw import require_room

__all__ = ["digits", "idx"]

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]

_ARRAYS = 3
"""Arrays of all images in float64 that are in memory together while they are normalised and copied."""


def digits(
    classes: Sequence[int | Sequence[int]] = (0, 1),
    samples: int | None = None,
    *,
    test_samples: int = 0,
    centre: bool = False,
    standardise: bool = False,
    seed: int = 0,
) -> Task:
    """Return images of handwritten digits, 8 x 8 pixels: 64 inputs per sample.

    The data are the 1,797 images that come with scikit-learn (the test set of "Optical Recognition of Handwritten
    Digits", E. Alpaydin and C. Kaynak, UCI Machine Learning Repository, 1998); about 180 of each digit. Pixels of 0..16
    are divided by 16, so inputs lie in 0..1 and an image has a norm of about 3.5.

    Parameters
    ----------
    classes
        Two or more classes, each a digit of 0..9 or several that count as one: ``(range(0, 10, 2), range(1, 10, 2))``
        is even against odd. No digit twice. Two classes: the first has label +1, the second -1, for one output. More:
        labels 0..K-1 in the order given, for K outputs.
    samples
        How many images to train on, drawn without replacement from those of the classes; when left out all that are not
        test samples. They keep their order.
    test_samples
        How many others to test on; none when 0. They do not depend on ``samples``; if ``samples`` is given, the
        training images do not depend on ``test_samples``.
    centre
        Subtract each pixel's mean over the training images, from the test images too.
    standardise
        Subtract the mean and divide by the standard deviation, both of the training images; pixels that are the same in
        all training images become 0.
    seed
        Fixes which images are drawn.

    Returns
    -------
    Task
        Inputs (samples, 64) of float64, labels (samples,) of int64; equal weights.

    Raises
    ------
    ImportError
        scikit-learn is not installed.
    TypeError, ValueError
        An argument has the wrong type or is out of the range above, or there are fewer images than samples.

    Examples
    --------
    >>> digits((3, 5), samples=100).inputs.shape
    (100, 64)
    >>> parity = digits(((0, 2, 4, 6, 8), (1, 3, 5, 7, 9)), test_samples=500)
    >>> parity.samples, parity.test_samples
    (1297, 500)
    """
    groups = grouped(classes, 0, 9, "digits")
    checks.integer("test_samples", test_samples, least=0)
    checks.integer("seed", seed, least=0)
    datasets = imports.sklearn_datasets("tasks.digits")
    pixels, shown = datasets.load_digits(return_X_y=True)
    rows, others = split(members(shown, groups), samples, test_samples, seed)
    inputs, unseen = normalised(pixels[rows] / 16.0, pixels[others] / 16.0, centre, standardise)
    return _task(inputs, positions(shown[rows], groups), unseen, positions(shown[others], groups))


def idx(
    images: Path,
    labels: Path,
    classes: Sequence[int | Sequence[int]] | None = None,
    samples: int | None = None,
    *,
    test: tuple[Path, Path] | None = None,
    test_samples: int | None = None,
    scale: float | None = None,
    centre: bool = False,
    standardise: bool = False,
    seed: int = 0,
) -> Task:
    """Return images and labels read from files in the IDX format, the format of MNIST.

    The files may be compressed by gzip. shoal brings none and loads none from anywhere.

    Parameters
    ----------
    images, labels
        Paths: n images in two or more dimensions, (n, height, width), which become rows of inputs; n labels, integers.
    classes
        As in `digits`, of labels of the file; when left out all labels that are in it, the smallest first.
    samples
        As in `digits`.
    test : pair of paths, optional
        Images and labels of the test samples, of the same classes, such as the 10,000 of MNIST. When left out, test
        samples come from the files to train on.
    test_samples
        How many images to test on, drawn without replacement. When left out: all images of the classes in the files
        ``test``; without such files none.
    scale
        Values are divided by it; when left out by 255 if they are unsigned bytes, so that inputs lie in 0..1, and by 1
        if they are of another type.
    centre, standardise
        As in `digits`, over the training images.
    seed
        Fixes which images are drawn.

    Returns
    -------
    Task
        Inputs (samples, pixels) of float64, labels (samples,) of int64; equal weights.

    Raises
    ------
    TypeError
        A path, class, count or scale has the wrong type.
    OSError
        A file cannot be read; a FileNotFoundError if there is none.
    ValueError
        A file is not IDX, of an unknown type, truncated, too long or damaged; it holds another number of images than of
        labels, fewer images than samples, none of a class, or values that are not finite. An argument is out of the
        range above. Test images have another size, another type without ``scale``, no class that is trained on, or
        without ``classes`` a label that is not. The images do not fit into memory.

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
    wanted = None if classes is None else grouped(classes, -(2**31), 2**31 - 1, "labels")
    divisor = None if scale is None else checks.positive("scale", scale)
    checks.integer("seed", seed, least=0)
    if test_samples is not None:
        checks.integer("test_samples", test_samples, least=0)
    test = checks.pair("test", test, "of paths (images, labels)")
    source = Collection.opened(images, labels)
    groups = source.every_label() if wanted is None else wanted
    source.require_each(groups)
    if divisor is None:
        divisor = 255.0 if source.header.dtype == np.uint8 else 1.0
    own = test_samples or 0 if test is None else 0
    rows, others = split(members(source.shown, groups), samples, own, seed)
    if test is None:
        require_room(len(rows), source.pixels, len(others), arrays=_ARRAYS, beside=source.header.reading_bytes)
        inputs, unseen = source.scaled((rows, others), divisor)
        unseen_shown = source.shown[others]
    else:
        tested = Collection.opened(test[0], test[1], ("test[0]", "test[1]"))
        tested.require_like(source, groups, scaled=scale is not None, chosen=classes is not None)
        others = drawn(members(tested.shown, groups), test_samples, seed)
        beside = max(source.header.reading_bytes, tested.header.reading_bytes)
        require_room(len(rows), source.pixels, len(others), arrays=_ARRAYS, beside=beside)
        (inputs,), (unseen,) = source.scaled((rows,), divisor), tested.scaled((others,), divisor)
        unseen_shown = tested.shown[others]
    inputs, unseen = normalised(inputs, unseen, centre, standardise)
    return _task(inputs, positions(source.shown[rows], groups), unseen, positions(unseen_shown, groups))


def _task(inputs: Floats, labels: Labels, unseen: Floats, unseen_labels: Labels) -> Task:
    return Task(inputs, labels, test=(unseen, unseen_labels) if len(unseen) else None)
