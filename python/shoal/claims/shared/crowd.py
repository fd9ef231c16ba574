"""Random networks that learn two orthogonal modes: how long one of them takes on average, and how often for ever.

Source: docs/theory.md sections 2 and 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from shoal import Network, Separated, Task, theory
from shoal.claims.outcome import Setting
from shoal.claims.shared.flows import TOLERANCE, exponent_weights, flow, shifted, spread
from shoal.claims.shared.runs import crossing_times, far_seed
from shoal.claims.shared.sweep import LEVEL, Sweep
from shoal.verdicts.comparison import Comparison, compare_flow
from shoal.verdicts.layout import Floats
from shoal.verdicts.means import compare_estimate, freedom_of_sum
from shoal.verdicts.proportion import compare_fraction

__all__ = ["NEURONS", "Crowd", "Crowds", "compare_deaths", "compare_exponent", "compare_means", "expect"]

NEURONS = 3
"""Hidden units that serve each mode."""

CLOCK: Floats = np.linspace(0, 24, 61)
"""frequency x norm x time of the varied mode at which networks are recorded; few that learn it are later."""

NETWORK = Network((2, 2 * NEURONS, 1))


@dataclass(frozen=True)
class Crowd:
    """What random networks do with one mode.

    ``mean, standard_error``: of ln(frequency x norm x time to `LEVEL`), over the networks that arrive on `CLOCK`.
    ``bias``: how far reading the times between records can have moved the mean. ``networks, arrived, dead, undecided``:
    how many networks; how many are behind the mean; in how many the margin is exactly 0 at the end; in how many it is
    negative there.
    """

    mean: float
    standard_error: float
    bias: float
    networks: int
    arrived: int
    dead: int
    undecided: int

    @classmethod
    def of(cls, margins: Floats) -> Crowd:
        """Summarise margins (networks, CLOCK)."""
        last = margins[:, -1]
        # In time for the three records from the level on by which an arrival is read.
        clock, reading = crossing_times(CLOCK, margins[margins[:, -3] >= LEVEL], LEVEL)
        logarithms = np.log(clock)
        return cls(
            mean=float(logarithms.mean()),
            standard_error=float(logarithms.std(ddof=1) / np.sqrt(len(clock))),
            bias=float((reading / clock).mean()),
            networks=len(margins),
            arrived=len(clock),
            dead=int((last == 0).sum()),
            undecided=int((last < 0).sum()),
        )


@dataclass(frozen=True)
class Crowds:
    """Random networks under each condition of a sweep.

    ``crowds``: one a condition. ``margins, predicted, error`` (singles, CLOCK, conditions, 2): of the first networks,
    both modes; what theory predicts for each of them; what it makes of errors in the initialisation.
    """

    crowds: tuple[Crowd, ...]
    margins: Floats
    predicted: Floats
    error: Floats

    @classmethod
    def train(
        cls, sweep: Sweep, starts: Sequence[Separated], networks: int, singles: int, setting: Setting, part: int
    ) -> Crowds:
        """Train networks at every condition, from seeds of their own: part, part + 1, ... as in `far_seed`."""
        crowds, margins, predicted, error = [], [], [], []
        for at, (pair, init) in enumerate(zip(sweep.pairs, starts, strict=True)):
            seed, times = far_seed(setting.seed, part + at), CLOCK / pair.speeds[0]
            data = flow(NETWORK, pair.task, init, times, setting, networks=networks, seed=seed)
            found = data["margin"].values
            weights = init.draw(NETWORK, pair.task, networks=singles, seed=seed, threads=setting.threads).weights
            crowds.append(Crowd.of(found[:, :, 0]))
            margins.append(found[:singles])
            expected, *others = (
                theory.separated_margins(start, pair.task, "cross_entropy", times)
                for start in (weights, *shifted(weights, pair.task))
            )
            predicted.append(expected)
            error.append(spread(expected, *others))
        return cls(tuple(crowds), *(np.stack(series, axis=2) for series in (margins, predicted, error)))

    def compare(self) -> Comparison:
        """Return the comparison of the first networks one by one."""
        return compare_flow(self.margins, self.predicted, tolerance=TOLERANCE, bias=self.error)

    @property
    def means(self) -> Floats:
        """(conditions,) float64: mean of ln(frequency x norm x time)."""
        return np.array([crowd.mean for crowd in self.crowds])

    @property
    def errors(self) -> Floats:
        """(conditions,) float64: its standard error."""
        return np.array([crowd.standard_error for crowd in self.crowds])


def expect(norm: float, init: Separated, networks: int, setting: Setting, seed: int) -> Crowd:
    """Return what theory expects, from its own initial weights: one mode, at frequency 1, which only sets the clock."""
    setting.say(f"predicting {networks} random networks at norm {norm:g}")
    task = Task([[norm]], [1])
    weights = init.draw(Network((1, NEURONS, 1)), task, networks=networks, seed=seed, threads=setting.threads).weights
    return Crowd.of(theory.separated_margins(weights, task, "cross_entropy", CLOCK / norm)[:, :, 0])


def compare_means(measured: Sequence[Crowd], expected: Sequence[Crowd]) -> Comparison:
    """Return the comparison of the means of ln(frequency x norm x time), condition by condition."""
    pairs = list(zip(measured, expected, strict=True))
    errors = np.array([[each.standard_error for each in crowds] for crowds in (measured, expected)])
    freedoms = np.array([[each.arrived - 1.0 for each in crowds] for crowds in (measured, expected)])
    return compare_estimate(
        [crowd.mean for crowd in measured],
        [crowd.mean for crowd in expected],
        standard_error=np.hypot(*errors),
        freedom=freedom_of_sum(errors, freedoms),
        bias=[one.bias + other.bias for one, other in pairs],
        networks=_networks(measured),
    )


def compare_exponent(measured: Sequence[Crowd], conditions: Floats, speeds: Floats, predicted: float) -> Comparison:
    """Return the comparison of the exponent of time in the condition: of exp(mean of ln time), conditions independent.

    ``measured`` (conditions,) of Crowd: what was measured. ``conditions, speeds`` (conditions,): what was varied;
    frequency x norm, by which the clock divides to give time. ``predicted``: the exponent.
    """
    weights = exponent_weights(conditions)
    slope = (np.array([crowd.mean for crowd in measured]) - np.log(speeds)) @ weights
    errors = np.array([crowd.standard_error for crowd in measured]) * np.abs(weights)
    bias = np.array([crowd.bias for crowd in measured]) @ np.abs(weights)
    return compare_estimate(
        slope,
        predicted,
        standard_error=np.linalg.norm(errors),
        freedom=freedom_of_sum(errors, [crowd.arrived - 1.0 for crowd in measured]),
        bias=bias,
        networks=_networks(measured),
    )


def compare_deaths(measured: Sequence[Crowd], expected: Sequence[Crowd]) -> Comparison:
    """Return the comparison of the fraction of modes that are never learnt with 4^-NEURONS, all conditions together.

    Bias: the fraction of modes that theory still has at a negative margin at the end, which may go either way.
    """
    undecided = sum(crowd.undecided for crowd in expected) / _networks(expected)
    dead = sum(crowd.dead for crowd in measured)
    return compare_fraction(dead, _networks(measured), 4.0**-NEURONS, bias=undecided)


def _networks(crowds: Sequence[Crowd]) -> int:
    return sum(crowd.networks for crowd in crowds)
