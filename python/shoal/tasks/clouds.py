"""Tasks drawn around centres and along arcs: two normal clouds, Gaussian mixtures, moons."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shoal.base import checks, imports
from shoal.spec.task import Task
from shoal.tasks.draw import Drawn, generator, proportions, require_room, streams, trained_and_tested

__all__ = ["gaussian", "mixture", "moons"]

Floats = NDArray[np.float64]


def gaussian(samples: int, dimension: int, *, separation: float, seed: int = 0) -> Task:
    """Return two classes of normal samples with identity covariance.

    The means are +separation/2 (label +1) and -separation/2 (label -1) along the first axis. The labels alternate.

    Parameters
    ----------
    samples
        Number of samples of both classes together, at least 2.
    dimension
        Number of inputs, at least 1.
    separation
        Distance between the two means in standard deviations, not negative.
    seed
        Not negative. The same seed gives the same samples.

    Raises
    ------
    TypeError, ValueError
        An argument has the wrong type or is out of the range above, or the task does not fit into memory.

    Examples
    --------
    >>> gaussian(50, 10, separation=4.0).inputs.shape
    (50, 10)
    """
    samples = checks.integer("samples", samples, least=2)
    dimension = checks.integer("dimension", dimension, least=1)
    separation = checks.not_negative("separation", separation)
    draws = generator(seed)
    require_room(samples, dimension)
    labels = 1 - 2 * (np.arange(samples) % 2)
    inputs = draws.standard_normal((samples, dimension))
    inputs[:, 0] += labels * separation / 2
    return Task(inputs, labels)


def mixture(
    samples: int,
    means: ArrayLike,
    labels: ArrayLike,
    *,
    spread: ArrayLike = 1.0,
    weights: ArrayLike | None = None,
    test_samples: int = 0,
    seed: int = 0,
) -> Task:
    """Return samples of a Gaussian mixture: normal clouds around any number of centres, each with a label.

    The cluster c of a sample is drawn with the probability weights[c], then x ~ N(means[c], spread[c]^2 identity).

    Parameters
    ----------
    samples
        Number of training samples, at least 1.
    means : array_like of float, shape (clusters, inputs)
        Centres of the clusters.
    labels : array_like of int, shape (clusters,)
        Label of each cluster: -1/+1 for one output, 0..K-1 for K outputs. Clusters may have the same label.
    spread : float or array_like of float, shape (clusters,)
        Standard deviation of every input around the centre, not negative: one for all clusters or one per cluster. At 0
        all samples of a cluster lie on its centre.
    weights : array_like of float, shape (clusters,), optional
        How frequent the clusters are, not negative; divided by their sum; equal when left out. (The samples all count
        the same.)
    test_samples
        Number of fresh samples of the same distribution; none when 0.
    seed
        Not negative. The test samples are drawn from a stream of their own: they do not depend on ``samples``.

    Returns
    -------
    Task
        Inputs (samples, inputs) of float64, labels (samples,) of int64; equal weights of the samples.

    Raises
    ------
    TypeError, ValueError
        An argument has the wrong type or is out of the range above; labels, spreads or weights do not fit the means;
        the weights are all zero; or the task does not fit into memory.

    Examples
    --------
    >>> exclusive_or = mixture(400, [[1, 1], [-1, -1], [1, -1], [-1, 1]], [1, 1, -1, -1], spread=0.1)
    >>> bool((np.sign(exclusive_or.inputs.prod(axis=1)) == exclusive_or.labels).all())
    True
    """
    samples = checks.integer("samples", samples, least=1)
    test_samples = checks.integer("test_samples", test_samples, least=0)
    centres = checks.real_array("means", means, dimensions=2, shape="(clusters, inputs)")
    clusters, inputs = centres.shape
    of_clusters = Task(centres, checks.vector("labels", labels, "cluster", clusters)).labels
    spreads = _spreads(spread, clusters)
    probabilities = proportions("weights", weights, clusters, "cluster")
    probabilities = probabilities / probabilities.max()  # so that no sum overflows
    probabilities = probabilities / probabilities.sum()
    both = streams(seed, 2)
    require_room(samples, inputs, test_samples)

    def drawn(which: int, count: int) -> Drawn:
        stream = both[which]
        chosen = stream.choice(clusters, size=count, p=probabilities)
        points = stream.standard_normal((count, inputs))
        points *= spreads[chosen, None]
        points += centres[chosen]
        return points, of_clusters[chosen]

    return trained_and_tested(samples, test_samples, drawn)


def moons(samples: int, noise: float = 0.1, *, test_samples: int = 0, seed: int = 0) -> Task:
    """Return two interleaved half circles in two dimensions, which no line separates; scikit-learn's ``make_moons``.

    Label +1: the upper half of the circle of radius 1 around (0, 0). Label -1: the lower half of the circle around
    (1, 1/2). The points are at equal distances along the arcs, in random order, each moved by normal noise.

    Parameters
    ----------
    samples
        Number of training samples of both classes together, at least 2; label -1 has one more if it is odd.
    noise
        Standard deviation of either coordinate around the arc, not negative.
    test_samples
        Number of test samples, with noise of their own; none when 0. At noise 0 they lie on the same arcs, and are the
        training samples if there are as many.
    seed
        Not negative. The test samples are drawn from a stream of their own: they do not depend on ``samples``.

    Returns
    -------
    Task
        Inputs (samples, 2) of float64, labels (samples,) -1/+1 of int64; equal weights.

    Raises
    ------
    ImportError
        scikit-learn is not installed.
    TypeError, ValueError
        An argument has the wrong type or is out of the range above, or the task does not fit into memory.

    Examples
    --------
    >>> upper = moons(6, noise=0).inputs[moons(6, noise=0).labels == 1]
    >>> np.abs(upper[np.argsort(upper[:, 0])]).round(3)
    array([[1., 0.],
           [0., 1.],
           [1., 0.]])
    """
    samples = checks.integer("samples", samples, least=2)
    noise = abs(checks.not_negative("noise", noise))  # -0.0 is 0
    test_samples = checks.integer("test_samples", test_samples, least=0)
    both = streams(seed, 2)
    require_room(samples, 2, test_samples)
    datasets = imports.sklearn_datasets("tasks.moons")

    def drawn(which: int, count: int) -> Drawn:
        older = np.random.RandomState(both[which].bit_generator)  # the interface that make_moons takes
        points, moon = datasets.make_moons(count, noise=noise, random_state=older)
        return points, 1 - 2 * moon

    return trained_and_tested(samples, test_samples, drawn)


def _spreads(spread: ArrayLike, clusters: int) -> Floats:
    """Return one standard deviation per cluster."""
    given = checks.plain("spread", spread)
    if given.ndim == 0:
        return np.full(clusters, checks.not_negative("spread", given[()]))
    spreads = checks.real_array("spread", given, dimensions=1, shape="(clusters,) or be one number")
    if len(spreads) != clusters:
        raise ValueError(f"spread must be one number or have one entry per cluster, {clusters}, got {len(spreads)}")
    if (spreads < 0).any():
        raise ValueError(f"spread must not be negative, got {spreads.min():g}")
    return spreads
