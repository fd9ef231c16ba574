"""How a claim is run, and what comes out: rows, verdicts, data, figure, notes."""

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
from shoal.verdicts.comparison import Comparison

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Outcome", "Row", "Setting", "Wrong", "split", "tightest_first"]

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


@dataclass(frozen=True)
class Wrong:
    """A theory that is wrong by a named amount, and the comparison with it, which has to fail."""

    name: str
    comparison: Comparison

    @property
    def caught(self) -> bool:
        """Whether the comparison fails, as it must."""
        return not self.comparison.passed


@dataclass(frozen=True)
class Row:
    """One line of the verdict table: a statement, the comparison behind it, and named theories that it must fail."""

    statement: str
    comparison: Comparison
    wrong: tuple[Wrong, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether the comparison passed, and failed with every wrong theory that is named."""
        return self.comparison.passed and all(wrong.caught for wrong in self.wrong)

    @property
    def verdict(self) -> str:
        """``"PASS"`` or ``"FAIL"``."""
        return "PASS" if self.passed else "FAIL"

    @property
    def catches(self) -> tuple[str, ...]:
        """What the row catches, for a table: the smallest wrong amount, then each named theory, or that it passed.

        A row whose own comparison fails catches nothing: it would fail with any theory.
        """
        caught = [wrong.name for wrong in self.wrong if wrong.caught and self.comparison.passed]
        missed = [f"not caught: {wrong.name}" for wrong in self.wrong if not wrong.caught]
        return (str(self.comparison.catches), *caught, *missed)


def tightest_first(rows: Iterable[Row]) -> list[Row]:
    """Return rows that fail, then the others, each by their ratio of gap to tolerance, the largest first."""
    return sorted(rows, key=lambda row: (row.passed, -row.comparison.ratio))


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
    data : xarray.Dataset or None
        What the figure shows; None if the claim saved none.
    figure : matplotlib Figure or None
        The picture; None if the claim drew none.
    notes : tuple of str
        What the numbers mean, and what they do not show.
    """

    name: str
    sentence: str
    source: str
    rows: tuple[Row, ...]
    data: xr.Dataset | None
    figure: Figure | None
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
            ``NAME.png`` if there is a figure, ``NAME.zarr`` if there are data, ``NAME.json``.
        """
        written = []
        if self.figure is not None:
            written.append(plot.save(self.figure, folder / f"{self.name}.png"))
        if self.data is not None:
            written.append(folder / f"{self.name}.zarr")
            self.data.to_zarr(written[-1], mode="w", consolidated=False, zarr_format=2)
        written.append(folder / f"{self.name}.json")
        written[-1].write_text(json.dumps(self.report(), indent=2, allow_nan=False) + "\n", encoding="utf-8")
        return written

    def report(self) -> dict[str, object]:
        """Return the verdict table as plain values; a number that is not finite, which JSON lacks, as None."""
        rows = [
            {
                "statement": row.statement,
                **_numbers(row.comparison),
                "catches": {
                    "kind": row.comparison.catches.kind,
                    "amount": _finite(row.comparison.catches.amount),
                    "said": str(row.comparison.catches),
                },
                "must_fail": [
                    {"wrong": wrong.name, **_numbers(wrong.comparison), "caught": wrong.caught} for wrong in row.wrong
                ],
                "networks": row.comparison.networks,
                "left_out": row.comparison.left_out,
                "verdict": row.verdict,
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


def _numbers(held: Comparison) -> dict[str, object]:
    return {"kind": held.kind, **{name: _finite(getattr(held, name)) for name in _NUMBERS}}


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None
