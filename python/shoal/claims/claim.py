"""What a claim is and what comes out of running one."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import xarray as xr

from shoal import plot
from shoal.base import checks
from shoal.compare.comparison import Comparison

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Claim", "Outcome", "Row", "Setting", "split"]


_NUMBERS = ("measured", "predicted", "gap", "tolerance", "ratio", "order")


@dataclass(frozen=True)
class Setting:
    """How a claim is to be run.

    Attributes
    ----------
    networks : int or None
        How many networks; None for the claim's own number.
    seed : int
        Seed of every draw.
    quick : bool
        Fewer networks and shorter runs, the same comparisons.
    threads : int or None
        As in ``shoal.train``.
    progress : callable or None
        Called with a line about what runs now.
    """

    networks: int | None = None
    seed: int = 0
    quick: bool = False
    threads: int | None = None
    progress: Callable[[str], None] | None = None

    def __post_init__(self) -> None:
        """Check the numbers before any work starts.

        Raises
        ------
        TypeError
            A number that is not an integer.
        ValueError
            Fewer than two networks, a seed outside 0..2**64-1, or threads outside 1..4096.
        """
        for name, least, most in (("networks", 2, 2**62), ("seed", 0, 2**64 - 1), ("threads", 1, 4096)):
            value = getattr(self, name)
            if value is not None or name == "seed":
                object.__setattr__(self, name, checks.integer(name, value, least=least, most=most))

    def count(self, full: int, quick: int) -> int:
        """Return the number of networks: what was asked for, else the claim's own."""
        if self.networks is not None:
            return self.networks
        return quick if self.quick else full

    def say(self, line: str) -> None:
        """Tell whoever listens what runs now."""
        if self.progress is not None:
            self.progress(line)


@dataclass(frozen=True)
class Row:
    """One line of the verdict table: a statement and the comparison behind it."""

    statement: str
    comparison: Comparison

    @property
    def passed(self) -> bool:
        """Whether the comparison passed."""
        return self.comparison.passed


def split(rows: Iterable[Row]) -> str:
    """Return how many comparisons there are of each kind, and how many catch no theory that is 20% wrong."""
    held = [row.comparison for row in rows]
    kinds = [each.kind for each in held]
    exact = kinds.count("exact") + kinds.count("flow")
    drawn = kinds.count("statistical") + kinds.count("fraction")
    blunt = sum(not each.catches.sharp for each in held)
    return (
        f"{len(held)} comparison{'s' * (len(held) != 1)}: {exact} with exact theory, network by network; {drawn} with"
        f" expectations of theory, over many networks; {kinds.count('majority')} by majority, where no theory is known."
        f" {blunt} of them catch{'es' * (blunt == 1)} no theory that is wrong by 20%"
    )


@dataclass(frozen=True)
class Outcome:
    """What a claim's run gave.

    Attributes
    ----------
    name, sentence, source : str
        Of the claim.
    rows : tuple of Row
        The verdict table.
    data : xarray.Dataset
        What the figure shows.
    figure : matplotlib Figure
        The picture.
    notes : tuple of str
        What the numbers mean, and what they do not show.
    """

    name: str
    sentence: str
    source: str
    rows: tuple[Row, ...]
    data: xr.Dataset
    figure: Figure
    notes: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether every row passed."""
        return all(row.passed for row in self.rows)

    @property
    def verdict(self) -> str:
        """``"PASS"`` or ``"FAIL"``."""
        return "PASS" if self.passed else "FAIL"

    def save(self, folder: Path) -> list[Path]:
        """Write picture, data and verdicts and return where.

        Parameters
        ----------
        folder : Path
            An existing folder; files of the same names are replaced.

        Returns
        -------
        list of Path
            ``NAME.png``, ``NAME.zarr`` and ``NAME.json``.
        """
        picture = plot.save(self.figure, folder / f"{self.name}.png")
        store = folder / f"{self.name}.zarr"
        self.data.to_zarr(store, mode="w", consolidated=False, zarr_format=2)
        report = folder / f"{self.name}.json"
        report.write_text(json.dumps(self.report(), indent=2, allow_nan=False) + "\n", encoding="utf-8")
        return [picture, store, report]

    def report(self) -> dict[str, object]:
        """Return the verdict table as plain values; a number that is not finite, which JSON lacks, as None."""
        rows = [
            {
                "statement": row.statement,
                "kind": row.comparison.kind,
                **{name: _finite(getattr(row.comparison, name)) for name in _NUMBERS},
                "catches": {
                    "kind": row.comparison.catches.kind,
                    "amount": _finite(row.comparison.catches.amount),
                    "said": str(row.comparison.catches),
                },
                "networks": row.comparison.networks,
                "left_out": row.comparison.left_out,
                "verdict": row.comparison.verdict,
            }
            for row in self.rows
        ]
        return {
            "claim": self.name,
            "sentence": self.sentence,
            "source": self.source,
            "verdict": self.verdict,
            "rows": rows,
            "notes": list(self.notes),
        }


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None


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
        The paper, and the section of docs/theory.md with the formula.
    run : callable
        Takes a `Setting`, gives an `Outcome`.
    """

    name: str
    sentence: str
    source: str
    run: Callable[[Setting], Outcome]
