"""Sentences of papers, made checkable: a fixed seed, a run, a prediction, a verdict, a picture."""

from __future__ import annotations

from collections.abc import Callable

from shoal.claims.claim import Claim
from shoal.claims.outcome import Outcome, Row, Setting, split
from shoal.claims.registry import known, of_file
from shoal.claims.trial import Trial

__all__ = ["Claim", "Outcome", "Row", "Setting", "Trial", "find", "known", "list", "of_file", "run", "split"]


def list() -> tuple[str, ...]:
    """Return the names of all claims: shoal's own, then those of installed packages.

    Examples
    --------
    >>> list()[:5]
    ('sigmoid', 'modes', 'losses', 'depth', 'phase-diagram')
    """
    return tuple(known())


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
    claims = known()
    if name not in claims:
        raise ValueError(f"name must be one of {', '.join(claims)}, got {name!r}")
    return claims[name]


def run(
    name: str | Claim,
    networks: int | None = None,
    quick: bool = False,
    seed: int = 0,
    threads: int | None = None,
    progress: Callable[[str], None] | None = None,
) -> Outcome:
    """Return what running a claim gave: verdict table, data and figure.

    Parameters
    ----------
    name : str or Claim
        One of `list`, or a function that ``shoal.claim`` decorates.
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
        An unknown claim, or one that compares nothing; fewer than two networks, a seed outside 0..2**64-1, threads
        outside 1..4096.

    Notes
    -----
    Source: each claim names its paper and its chapter of the theory book.
    """
    claim = name if isinstance(name, Claim) else find(name)
    return claim.run(Setting(networks, seed, quick, threads, progress))
