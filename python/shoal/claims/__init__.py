"""Sentences of papers, made checkable: a fixed seed, a run, a prediction, a verdict, a picture."""

from __future__ import annotations

from collections.abc import Callable

from shoal.claims.claim import Claim, Outcome, Row, Setting, split
from shoal.claims.hinge_mean_field import (
    finite_width,
    lazy_rich,
    mean_field,
    mislabelled,
    overfitting,
    realistic,
    slowing_down,
)
from shoal.claims.learning_dynamics import (
    classes,
    depth,
    digits,
    failure,
    frequency,
    images,
    losses,
    modes,
    norm,
    phase_diagram,
    sigmoid,
    starvation,
)
from shoal.claims.neighbours import remedies

__all__ = ["CLAIMS", "Claim", "Outcome", "Row", "Setting", "find", "list", "run", "split"]

_MODULES = (
    sigmoid,
    modes,
    losses,
    depth,
    phase_diagram,
    failure,
    norm,
    frequency,
    classes,
    starvation,
    remedies,
    images,
    digits,
    mean_field,
    slowing_down,
    finite_width,
    lazy_rich,
    overfitting,
    mislabelled,
    realistic,
)
CLAIMS: dict[str, Claim] = {module.CLAIM.name: module.CLAIM for module in _MODULES}
"""Every claim by name, in the order in which they run."""


def list() -> tuple[str, ...]:
    """Return the names of all claims.

    Examples
    --------
    >>> list()[:5]
    ('sigmoid', 'modes', 'losses', 'depth', 'phase-diagram')
    """
    return tuple(CLAIMS)


def find(name: str) -> Claim:
    """Return a claim by name.

    Parameters
    ----------
    name : str
        One of `list`.

    Returns
    -------
    Claim
        The claim.

    Raises
    ------
    ValueError
        No claim has that name.
    """
    if name not in CLAIMS:
        raise ValueError(f"name must be one of {', '.join(CLAIMS)}, got {name!r}")
    return CLAIMS[name]


def run(
    name: str,
    networks: int | None = None,
    quick: bool = False,
    seed: int = 0,
    threads: int | None = None,
    progress: Callable[[str], None] | None = None,
) -> Outcome:
    """Return what running a claim gave: verdict table, data and figure.

    Parameters
    ----------
    name : str
        One of `list`.
    networks : int, optional
        How many networks, at least 2; the claim's own number when left out.
    quick : bool
        Fewer networks and shorter runs; the comparisons stay the same.
    seed : int
        Seed of every draw, 0 to 2**64 - 1.
    threads : int, optional
        As in ``shoal.train``.
    progress : callable, optional
        Called with a line about what runs now.

    Returns
    -------
    Outcome
        Whether every comparison passed, and what lies behind it.

    Raises
    ------
    TypeError
        A number that is not an integer.
    ValueError
        An unknown claim, fewer than two networks, a seed outside 0..2**64-1, threads outside 1..4096.

    Notes
    -----
    Source: each claim names its paper and its section of docs/theory.md.
    """
    return find(name).run(Setting(networks, seed, quick, threads, progress))
