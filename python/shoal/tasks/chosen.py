"""Which images of a collection are taken, what their labels become, and how their pixels are normalised."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from shoal.base import checks
from shoal.tasks.draw import generator, streams

__all__ = ["Groups", "Rows", "drawn", "grouped", "members", "normalised", "positions", "split"]

Groups = list[list[int]]
"""The classes of a task: each is one label of the collection or several that count as one."""
Rows = NDArray[np.intp]


def grouped(classes: Sequence[int | Sequence[int]], least: int, most: int, kind: str) -> Groups:
    """Return the classes as groups of labels.

    Parameters
    ----------
    classes
        Each a label of ``least``..``most`` or a sequence of such.
    kind
        What the messages call labels: "digits".

    Raises
    ------
    TypeError
        A label is not an integer, or the classes are not a sequence.
    ValueError
        Fewer than two classes, an empty one, a label that is repeated or outside of what is allowed.
    """
    groups: Groups = []
    for i, entry in enumerate(checks.sequence("classes", classes, f"a sequence of {kind} or of groups of them")):
        if isinstance(entry, Iterable) and not isinstance(entry, str):
            several = checks.sequence(f"classes[{i}]", entry, f"one of the {kind} or a group of them")
            held = [checks.integer(f"classes[{i}][{j}]", k, least=least, most=most) for j, k in enumerate(several)]
        else:
            held = [checks.integer(f"classes[{i}]", entry, least=least, most=most)]
        if not held:
            raise ValueError(f"classes[{i}] must name one or more {kind}, got {entry!r}")
        groups.append(held)
    labels = [label for group in groups for label in group]
    if len(groups) < 2 or len(set(labels)) < len(labels):
        alone = len(labels) == len(groups)
        given = tuple(labels) if alone else tuple(tuple(group) for group in groups)
        words = f"different {kind}" if alone else f"groups of different {kind}"
        raise ValueError(f"classes must be two or more {words}, got {given}")
    return groups


def members(shown: NDArray[np.integer], groups: Groups) -> Rows:
    """Return the rows of the classes, in their order."""
    return np.flatnonzero(np.isin(shown, np.concatenate(groups)))


def positions(shown: NDArray[np.integer], groups: Groups) -> NDArray[np.int64]:
    """Return labels of a task: +1 and -1 for two classes, else the position of each label's group."""
    labels = np.concatenate(groups)
    owner = np.repeat(np.arange(len(groups), dtype=np.int64), [len(group) for group in groups])
    order = np.argsort(labels)
    position: NDArray[np.int64] = owner[order][np.searchsorted(labels, shown, sorter=order)]
    return 1 - 2 * position if len(groups) == 2 else position


def split(rows: Rows, samples: int | None, test_samples: int, seed: int) -> tuple[Rows, Rows]:
    """Return the rows to train on and those to test on, drawn without replacement, each in their order.

    Training rows are the first of a random order and test rows the last, so that neither depends on how many the
    others are. Without ``samples`` all are trained on that are not tested on.

    Raises
    ------
    TypeError
        A count is not an integer.
    ValueError
        A count outside of what there is.
    """
    test_samples = checks.integer("test_samples", test_samples, least=0)
    if samples is None and test_samples == 0:
        return rows, rows[:0]
    least = 1 if samples is None else checks.integer("samples", samples, least=1, most=len(rows))
    checks.integer("test_samples", test_samples, least=0, most=len(rows) - least)
    order = generator(seed).permutation(rows)
    tested = len(rows) - test_samples
    trained = tested if samples is None else samples
    return np.sort(order[:trained]), np.sort(order[tested:])


def drawn(rows: Rows, test_samples: int | None, seed: int) -> Rows:
    """Return rows to test on, of a collection that holds none to train on: all, or as many as are asked for.

    Raises
    ------
    TypeError
        The count is not an integer.
    ValueError
        It is more than there are.
    """
    if test_samples is None:
        return rows
    count = checks.integer("test_samples", test_samples, least=0, most=len(rows))
    return np.sort(streams(seed, 1)[0].permutation(rows)[:count])


def normalised(
    inputs: NDArray[np.float64], test: NDArray[np.float64], centre: bool, standardise: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return both less the means, and over the spreads, of ``inputs``, as asked; what does not vary there becomes 0."""
    for name, asked in (("centre", centre), ("standardise", standardise)):
        checks.flag(name, asked)
    varies = inputs.max(axis=0) > inputs.min(axis=0)
    if centre or standardise:
        mean = inputs.mean(axis=0)
        inputs, test = inputs - mean, test - mean
    if standardise:
        spread = inputs.std(axis=0)
        inputs, test = (np.divide(x, spread, out=np.zeros_like(x), where=varies) for x in (inputs, test))
    return inputs, test
