"""What the function of a claim is given: trainings, comparisons that become rows, notes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Concatenate, ParamSpec

import xarray as xr

from shoal.claims.outcome import Row, Setting, Wrong
from shoal.spec.method import GradientFlow
from shoal.spec.network import Network
from shoal.spec.training import Training
from shoal.train import train
from shoal.verdicts import comparison, means, proportion
from shoal.verdicts.comparison import Comparison, Values

__all__ = ["Trial"]

P = ParamSpec("P")


def _row_of(compare: Callable[P, Comparison]) -> Callable[Concatenate[Trial, str, P], Comparison]:

    def method(run: Trial, statement: str, /, *compared: P.args, **options: P.kwargs) -> Comparison:
        return run.row(statement, compare(*compared, **options))

    method.__name__ = compare.__name__
    method.__doc__ = f"Add a row of ``shoal.{compare.__name__}(...)``, and return the comparison."
    return method


class Trial:
    """One run of one claim: how it is to run, and what it has found so far.

    Each ``compare_...`` takes a statement, then what ``shoal.compare_...`` takes. It adds a row to the table of
    verdicts and returns the comparison.

    Attributes
    ----------
    seed, quick, threads
        As of the `Setting` that it was made with.
    rows : list of Row
        The table so far.
    notes : list of str
        What the numbers mean, and what they do not show.
    data : xarray.Dataset or None
        What the figure shows, as given to `save`.
    """

    def __init__(self, setting: Setting | None = None) -> None:
        self._setting = setting or Setting()
        self.seed, self.quick, self.threads = self._setting.seed, self._setting.quick, self._setting.threads
        self.rows: list[Row] = []
        self.notes: list[str] = []
        self.data: xr.Dataset | None = None
        self._rtols: set[float] = set()

    def networks(self, full: int = 10_000, quick: int = 1_000) -> int:
        """Return how many networks: what ``--networks`` asks for, else ``full``, or ``quick`` with ``--quick``."""
        if self._setting.networks is not None:
            return self._setting.networks
        return quick if self.quick else full

    def say(self, line: str) -> None:
        """Show a line about what runs now, until the next."""
        if self._setting.progress is not None:
            self._setting.progress(line)

    def train(self, *arguments: Any, **training: Any) -> xr.Dataset:
        """Return ``shoal.train(...)`` of the same arguments, with the seed and threads of this run unless given."""
        count, given = training.get("networks"), (*arguments, *training.values())
        widths = "".join(f" of widths {each.widths}" for each in given if isinstance(each, Network))
        networks = "networks" if count is None else f"{count} network{'s' * (count != 1)}"
        self.say(f"training {networks}{widths}")
        if not any(isinstance(each, Training) for each in arguments):
            training.setdefault("seed", self.seed)
        training.setdefault("threads", self.threads)
        methods = (each.method if isinstance(each, Training) else each for each in given)
        self._rtols |= {method.rtol for method in methods if isinstance(method, GradientFlow)}
        return train(*arguments, **training)

    def compare_flow(
        self,
        statement: str,
        measured: Values,
        predicted: Values,
        tolerance: float | None = None,
        *,
        where: Values | None = None,
        bias: Values = 0.0,
    ) -> Comparison:
        """Add a row: gradient flow and its theory, network by network (``shoal.compare_flow``).

        A tolerance that is left out is ``10 * rtol`` of the flows that this run has trained.

        Raises
        ------
        ValueError
            No tolerance, and `train` has trained no flow, or flows of several ``rtol``.
        """
        if tolerance is None:
            if len(self._rtols) != 1:
                several = f"flows of rtol {sorted(self._rtols)}" if self._rtols else "no gradient flow"
                raise ValueError(f"tolerance must be given, for run.train has trained {several}")
            tolerance = 10 * max(self._rtols)
        return self.row(statement, comparison.compare_flow(measured, predicted, tolerance, where=where, bias=bias))

    compare_rates = _row_of(comparison.compare_rates)
    compare_mean = _row_of(means.compare_mean)
    compare_samples = _row_of(means.compare_samples)
    compare_fraction = _row_of(proportion.compare_fraction)

    def row(self, statement: str, comparison: Comparison) -> Comparison:
        """Add a row with a comparison that was made elsewhere, and return the comparison.

        Raises
        ------
        TypeError
            Something else than a statement and a comparison.
        """
        _check("statement", statement, str)
        _check("comparison", comparison, Comparison)
        self.rows.append(Row(statement, comparison))
        return comparison

    def must_fail(self, wrong: str, comparison: Comparison) -> Comparison:
        """Say how wrong a theory the last row catches: if the comparison with that theory passes, the claim fails.

        Parameters
        ----------
        wrong : str
            How the theory is wrong, such as ``"norm 2% larger"``. The table shows it.
        comparison : Comparison
            As of the last row, with the predictions of that theory: by ``shoal.compare_...``.

        Raises
        ------
        TypeError
            Something else than a name and a comparison.
        ValueError
            No row is there; or the comparison is by another rule, or of other networks or points, than the last row's.
        """
        _check("wrong", wrong, str)
        _check("comparison", comparison, Comparison)
        if not self.rows:
            raise ValueError(f"must_fail says what the row before it catches, got {wrong!r} before any row")
        last = self.rows[-1]
        for name in ("kind", "networks", "left_out", "points"):
            mine, theirs = getattr(comparison, name), getattr(last.comparison, name)
            if mine != theirs:
                raise ValueError(
                    f"comparison must have the {name} of the row {last.statement!r}, {theirs!r}, got {mine!r}"
                )
        self.rows[-1] = replace(last, wrong=(*last.wrong, Wrong(wrong, comparison)))
        return comparison

    def note(self, *texts: str) -> None:
        """Add notes below the table: what the numbers mean, and what they do not show."""
        for text in texts:
            _check("text", text, str)
            self.notes.append(text)

    def save(self, data: xr.Dataset) -> xr.Dataset:
        """Keep what the figure shows: it is written beside the table, as NAME.zarr. Return it.

        Raises
        ------
        TypeError
            Something else than a dataset.
        ValueError
            A dataset was kept before.
        """
        _check("data", data, xr.Dataset)
        if self.data is not None:
            raise ValueError("save keeps one dataset of a claim, got a second: xarray.merge makes one of several")
        self.data = data
        return data


def _check(name: str, given: object, kind: type) -> None:
    if not isinstance(given, kind):
        raise TypeError(f"{name} must be a {kind.__name__}, got {type(given).__name__}")
