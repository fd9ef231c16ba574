"""Random networks that learn two orthogonal modes: how long one of them takes on average, and how often for ever.

Source: theory book, chapters 2 and 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from shoal import Network, Separated, Task, theory
from shoal.claims.shared.figures import standard_error
from shoal.claims.shared.flows import TOLERANCE, exponent_weights, flow, shifted, spread
from shoal.claims.shared.runs import crossing_times, far_seed
from shoal.claims.shared.sweep import LEVEL, Sweep
from shoal.claims.trial import Trial
from shoal.verdicts.comparison import Comparison, compare_flow
from shoal.verdicts.layout import Floats
from shoal.verdicts.means import compare_estimate, freedom_of_sum
from shoal.verdicts.proportion import compare_fraction

NEURONS = 3
"""Hidden units that serve each mode."""
CLOCK: Floats = np.linspace(0, 24, 61)
"""frequency x norm x time of the varied mode at which networks are recorded; few that learn it are later."""
NETWORK = Network((2, 2 * NEURONS, 1))


@dataclass(frozen=True)
class Crowd:
    """What random networks do with one mode.

    ``mean, standard_error, bias``: of ln(frequency x norm x time to `LEVEL`), over the networks that arrive on `CLOCK`;
    the bias is of reading times between records. ``networks, arrived, dead, undecided``: counts of all; of those behind
    the mean; of those whose margin is exactly 0, or negative, at the end.
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
            standard_error=float(standard_error(logarithms)),
            bias=float((reading / clock).mean()),
            networks=len(margins),
            arrived=len(clock),
            dead=int((last == 0).sum()),
            undecided=int((last < 0).sum()),
        )


@dataclass(frozen=True)
class Crowds:
    """Random networks under each condition of a sweep.

    ``margins, predicted, error`` (singles, CLOCK, conditions, 2): of the first networks; what theory predicts for each;
    what it makes of errors in the initialisation.
    """

    sweep: Sweep
    crowds: tuple[Crowd, ...]
    margins: Floats
    predicted: Floats
    error: Floats

    @classmethod
    def train(
        cls, run: Trial, sweep: Sweep, inits: Sequence[Separated], *, networks: int, singles: int, part: int
    ) -> Crowds:
        """Train networks at every condition, from seeds of their own: part, part + 1, ... as in `far_seed`."""
        crowds, margins, predicted, error = [], [], [], []
        for at, (pair, init) in enumerate(zip(sweep.pairs, inits, strict=True)):
            seed, times = far_seed(run.seed, part + at), CLOCK / pair.speeds[0]
            found = flow(run, NETWORK, pair.task, init, times, networks=networks, seed=seed)["margin"].values
            weights = init.draw(NETWORK, pair.task, networks=singles, seed=seed, threads=run.threads).weights
            crowds.append(Crowd.of(found[:, :, 0]))
            margins.append(found[:singles])
            expected, *others = (
                theory.separated_margins(start, pair.task, "cross_entropy", times)
                for start in (weights, *shifted(weights, pair.task))
            )
            predicted.append(expected)
            error.append(spread(expected, *others))
        return cls(sweep, tuple(crowds), *(np.stack(series, axis=2) for series in (margins, predicted, error)))

    @property
    def means(self) -> Floats:
        """Means of ln(frequency x norm x time), one per condition."""
        return np.array([crowd.mean for crowd in self.crowds])

    @property
    def errors(self) -> Floats:
        """Their standard errors."""
        return np.array([crowd.standard_error for crowd in self.crowds])

    def compare(self) -> Comparison:
        """Return the comparison of the first networks one by one."""
        return compare_flow(self.margins, self.predicted, tolerance=TOLERANCE, bias=self.error)

    def compare_means(self, expected: Sequence[Crowd]) -> Comparison:
        """Return the comparison of the means of ln(frequency x norm x time), condition by condition."""
        errors = np.array([[each.standard_error for each in crowds] for crowds in (self.crowds, expected)])
        freedoms = np.array([[each.arrived - 1.0 for each in crowds] for crowds in (self.crowds, expected)])
        return compare_estimate(
            self.means,
            [crowd.mean for crowd in expected],
            standard_error=np.hypot(*errors),
            freedom=freedom_of_sum(errors, freedoms),
            bias=[one.bias + other.bias for one, other in zip(self.crowds, expected, strict=True)],
            networks=_networks(self.crowds),
        )

    def compare_exponent(self, predicted: float) -> Comparison:
        """Return the comparison of the exponent of exp(mean of ln time) in the condition."""
        weights = exponent_weights(self.sweep.conditions)
        errors = self.errors * np.abs(weights)
        return compare_estimate(
            (self.means - np.log(self.sweep.speeds[:, 0])) @ weights,
            predicted,
            standard_error=np.linalg.norm(errors),
            freedom=freedom_of_sum(errors, [crowd.arrived - 1.0 for crowd in self.crowds]),
            bias=np.array([crowd.bias for crowd in self.crowds]) @ np.abs(weights),
            networks=_networks(self.crowds),
        )

    def compare_deaths(self, expected: Sequence[Crowd]) -> Comparison:
        """Return the comparison of the fraction of modes never learnt with 4^-NEURONS, all conditions together."""
        # A mode that theory still has at a negative margin at the end may go either way.
        undecided = sum(crowd.undecided for crowd in expected) / _networks(expected)
        dead = sum(crowd.dead for crowd in self.crowds)
        return compare_fraction(dead, _networks(self.crowds), 4.0**-NEURONS, bias=undecided)


def expect(run: Trial, norm: float, init: Separated, networks: int, seed: int) -> Crowd:
    """Return what theory expects, from its own initial weights: one mode, at frequency 1, which only sets the clock."""
    run.say(f"predicting {networks} random networks at norm {norm:g}")
    task = Task([[norm]], [1])
    weights = init.draw(Network((1, NEURONS, 1)), task, networks=networks, seed=seed, threads=run.threads).weights
    return Crowd.of(theory.separated_margins(weights, task, "cross_entropy", CLOCK / norm)[:, :, 0])


def add_notes(run: Trial, conditions: str, exponent: Comparison, whatever: str) -> None:
    """Say what was measured of random networks, and what is not covered."""
    run.note(
        f"Random networks, {conditions}: exponent {exponent.measured:.4f} +- {exponent.standard_error:.4f} (one s.e.).",
        f"Means of random networks are over those that arrive; {NEURONS} neurons serve a mode, and a mode whose"
        f" neurons all die is never learnt, {whatever}.",
        "Orthogonal inputs and separated initialisations: overlapping classes are not covered.",
    )


def _networks(crowds: Sequence[Crowd]) -> int:
    return sum(crowd.networks for crowd in crowds)
