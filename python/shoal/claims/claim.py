"""A claim: a sentence of a paper, and the function that puts it to the test."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shoal.claims.outcome import Outcome, Row, Setting, split
from shoal.claims.trial import Trial

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["MADE", "Claim", "Outcome", "Row", "Setting", "claim", "split"]

MADE: ContextVar[list[Claim] | None] = ContextVar("made", default=None)
"""Where claims are listed as they are made, while a file of them is read."""


@dataclass(frozen=True)
class Claim:
    """A sentence of a paper, made checkable.

    Attributes
    ----------
    name : str
        What the command line calls it.
    sentence : str
        What is claimed.
    source : str
        The paper, and the chapter of the theory book with the formula.
    test : callable
        Takes a `Trial`, compares, gives a figure or None.
    file : str
        Name of the file that it was read from; empty where the command line finds it by its name.
    """

    name: str
    sentence: str
    source: str
    test: Callable[[Trial], Figure | None]
    file: str = ""

    def run(self, setting: Setting | None = None) -> Outcome:
        """Return what came out: verdict table, data and figure.

        Raises
        ------
        TypeError
            The function returned something else than a figure or None.
        ValueError
            It compared nothing.
        """
        trial = Trial(setting)
        figure = self.test(trial)
        if figure is not None and not hasattr(figure, "savefig"):
            raise TypeError(f"claim {self.name} must return a matplotlib Figure or None, got {type(figure).__name__}")
        if not trial.rows:
            raise ValueError(f"claim {self.name} compared nothing: a run needs a row, such as of run.compare_flow")
        return Outcome(self.name, self.sentence, self.source, tuple(trial.rows), trial.data, figure, tuple(trial.notes))


def claim(name: str, sentence: str, *, source: str) -> Callable[[Callable[[Trial], Figure | None]], Claim]:
    """Return a decorator that makes a claim of a function, which ``shoal reproduce`` runs.

    The function takes ``run``, a `Trial`. It trains with ``run.train``, compares with ``run.compare_flow`` and
    its like, and returns a figure or None. Each comparison adds a row to the table of verdicts; the
    claim passes if every row does.

    Parameters
    ----------
    name : str
        What the command line calls it: lower case letters, digits and hyphens.
    sentence : str
        What is claimed, in one sentence.
    source : str
        The paper, such as ``"arXiv:1809.06848"``.

    Returns
    -------
    callable
        From the function to the `Claim`.

    Raises
    ------
    TypeError
        An argument that is no string; what is decorated cannot be called.
    ValueError
        Another character in the name; an empty sentence or source.

    Examples
    --------
    >>> import shoal
    >>> @shoal.claim("coin", "A fair coin shows heads half of the time.", source="docs/own-claim.md")
    ... def coin(run):
    ...     run.compare_fraction("heads in 10,000 tosses", 5_050, 10_000, 0.5)
    ...     run.must_fail("probability 0.45", shoal.compare_fraction(5_050, 10_000, 0.45))
    >>> shoal.claims.run(coin).verdict
    'PASS'
    """
    for argument, given in (("name", name), ("sentence", sentence), ("source", source)):
        if not isinstance(given, str):
            raise TypeError(f"{argument} must be a string, got {given!r}")
        if not given.strip():
            raise ValueError(f"{argument} must not be empty")
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", name):
        raise ValueError(f"name must be of lower case letters, digits and hyphens, as 'inverse-norm', got {name!r}")

    def made(test: Callable[[Trial], Figure | None]) -> Claim:
        if not callable(test):
            raise TypeError(f"a claim must be made of a function that takes run, got {test!r}")
        one = Claim(name, sentence, source, test)
        listed = MADE.get()
        if listed is not None:
            listed.append(one)
        return one

    return made
