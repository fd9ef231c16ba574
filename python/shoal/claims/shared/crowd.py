"""Random networks that learn two orthogonal modes: how long one of them takes on average, and how often for ever.

Source: theory book, chapters 2 and 3.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from shoal import Network, Separated, Task, compare_flow, compare_fraction, theory
from shoal.claims.shared.figures import standard_error
from shoal.claims.shared.flows import TOLERANCE, exponent_weights, flow, shifted, spread
from shoal.claims.shared.runs import crossing_times, far_seed
from shoal.claims.shared.sweep import LEVEL, Sweep
from shoal.claims.trial import Trial
from shoal.verdicts.comparison import Comparison
from shoal.verdicts.layout import Floats, Integers
from shoal.verdicts.means import compare_estimate, freedom_of_sum

NEURONS = 3
"""Hidden units that serve each mode."""
CLOCK: Floats = np.linspace(0, 24, 61)
"""frequency x norm x time of the varied mode at which networks are recorded; few that learn it are later."""
NETWORK = Network((2, 2 * NEURONS, 1))


class Crowd(NamedTuple):
    """What random networks do with one mode; numbers, or (conditions,) each.

    ``mean, standard_error, bias``: of ln(frequency x norm x time to `LEVEL`), over the networks that arrive on `CLOCK`;
    the bias is of reading times between records. ``networks, arrived, dead, undecided``: counts of all; of those behind
    the mean; of those whose margin is exactly 0, or negative, at the end.
    """

    mean: Floats
    standard_error: Floats
    bias: Floats
    networks: Integers
    arrived: Integers
    dead: Integers
    undecided: Integers

    @classmethod
    def of(cls, margins: Floats) -> Crowd:
        """Summarise margins (networks, CLOCK)."""
        last = margins[:, -1]
        # In time for the three records from the level on by which an arrival is read.
        clock, reading = crossing_times(CLOCK, margins[margins[:, -3] >= LEVEL], LEVEL)
        logarithms = np.log(clock)
        return cls(
            mean=logarithms.mean(),
            standard_error=standard_error(logarithms),
            bias=(reading / clock).mean(),
            networks=np.asarray(len(margins)),
            arrived=np.asarray(len(clock)),
            dead=(last == 0).sum(),
            undecided=(last < 0).sum(),
        )

    @classmethod
    def stack(cls, crowds: Iterable[Crowd]) -> Crowd:
        """Return the crowds of several conditions as one."""
        return cls(*map(np.stack, zip(*crowds, strict=True)))


@dataclass(frozen=True)
class Crowds:
    """Random networks under each condition of a sweep.

    ``margins, predicted, error`` (singles, CLOCK, conditions, 2): of the first networks; what theory predicts for each;
    what it makes of errors in the initialisation.
    """

    sweep: Sweep
    crowd: Crowd
    margins: Floats
    predicted: Floats
    error: Floats

    @classmethod
    def train(
        cls, run: Trial, sweep: Sweep, inits: Sequence[Separated], *, networks: int, singles: int, part: int
    ) -> Crowds:
        """Train networks at every condition, from seeds of their own: part, part + 1, ... as in `far_seed`."""
        crowds, first = [], []
        for at, (pair, init) in enumerate(zip(sweep.pairs, inits, strict=True)):
            seed, times = far_seed(run.seed, part + at), CLOCK / pair.speeds[0]
            found = flow(run, NETWORK, pair.task, init, times, networks=networks, seed=seed)["margin"].values
            weights = init.draw(NETWORK, pair.task, networks=singles, seed=seed, threads=run.threads).weights
            expected, *others = (
                theory.separated_margins(start, pair.task, "cross_entropy", times)
                for start in (weights, *shifted(weights, pair.task))
            )
            crowds.append(Crowd.of(found[:, :, 0]))
            first.append((found[:singles], expected, spread(expected, *others)))
        return cls(sweep, Crowd.stack(crowds), *(np.stack(series, axis=2) for series in zip(*first, strict=True)))

    def compare(self) -> Comparison:
        """Return the comparison of the first networks one by one."""
        return compare_flow(self.margins, self.predicted, tolerance=TOLERANCE, bias=self.error)

    def compare_means(self, expected: Crowd) -> Comparison:
        """Return the comparison of the means of ln(frequency x norm x time), condition by condition."""
        errors = np.stack(np.broadcast_arrays(self.crowd.standard_error, expected.standard_error))
        arrived = np.stack(np.broadcast_arrays(self.crowd.arrived, expected.arrived))
        return compare_estimate(
            self.crowd.mean,
            expected.mean,
            standard_error=np.hypot(*errors),
            freedom=freedom_of_sum(errors, arrived - 1.0),
            bias=self.crowd.bias + expected.bias,
            networks=int(self.crowd.networks.sum()),
        )

    def compare_exponent(self, predicted: float) -> Comparison:
        """Return the comparison of the exponent of exp(mean of ln time) in the condition."""
        weights = exponent_weights(self.sweep.conditions)
        errors = self.crowd.standard_error * np.abs(weights)
        return compare_estimate(
            (self.crowd.mean - np.log(self.sweep.speeds[:, 0])) @ weights,
            predicted,
            standard_error=np.linalg.norm(errors),
            freedom=freedom_of_sum(errors, self.crowd.arrived - 1.0),
            bias=self.crowd.bias @ np.abs(weights),
            networks=int(self.crowd.networks.sum()),
        )

    def compare_deaths(self, expected: Crowd) -> Comparison:
        """Return the comparison of the fraction of modes never learnt with 4^-NEURONS, all conditions together."""
        # A mode that theory still has at a negative margin at the end may go either way.
        undecided = float(expected.undecided.sum() / expected.networks.sum())
        return compare_fraction(
            int(self.crowd.dead.sum()), int(self.crowd.networks.sum()), 4.0**-NEURONS, bias=undecided
        )


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
