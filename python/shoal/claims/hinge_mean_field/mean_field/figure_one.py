"""Figure 1 of arXiv:2006.11209 at its full scale: one network, and what its learning rate beta* = 1000 means.

Source: arXiv:2006.11209; docs/theory.md section 7.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.special import erf

from shoal.claims.outcome import Row, Setting
from shoal.claims.shared.teacher import Condition, clock, nodes, spread_steps
from shoal.verdicts.layout import Floats
from shoal.verdicts.means import compare_estimate

__all__ = ["Single", "notes", "rows", "train"]

RATE = 1000.0
"""beta* of the paper."""

FULL = Condition(samples=100_000, inputs=100, nodes=400, rate=RATE / 400, steps=2000, test_samples=100_000)
QUICK = Condition(samples=1000, inputs=20, nodes=80, rate=1.25, steps=500, test_samples=2000)
STATED = 0.01
"""Test error that the paper reports; a number of one digit, so within half a unit of it."""

PART = 2000
"""Of the seeds, as in `far_seed`."""

PULL = 0.05
"""As in `mean_field`: afterwards the network learns its samples."""


@dataclass(frozen=True)
class Trial:
    """What became of the training examples at one meaning of beta*.

    ``meaning``: as a formula. ``rate``: of descent. ``steps``: how many were made. ``classified, satisfied``: first
    recorded step at which no training example is on the wrong side, or short of the threshold. ``wrong, short``: shares
    of those at the last step. ``test_error``: at the last step.
    """

    meaning: str
    rate: float
    steps: int
    classified: int | None
    satisfied: int | None
    wrong: float
    short: float
    test_error: float

    @classmethod
    def of(cls, meaning: str, condition: Condition, data: xr.Dataset) -> Trial:
        """Read it off a training of one network."""
        steps, error, loss = data["step"].values, data["error"].values[0], data["loss"].values[0]
        short = float((data["margin"].values[0, -1] < condition.threshold).mean())
        return cls(
            meaning,
            condition.rate,
            condition.steps,
            _first(steps, error == 0),
            _first(steps, loss == 0),
            float(error[-1]),
            short,
            float(data["test_error"].values[0, -1]),
        )

    def __str__(self) -> str:
        """Return one line."""
        when = "not all classified" if self.classified is None else f"all classified from step {self.classified}"
        return (
            f"{self.meaning} = {self.rate:g}: {when}; after {self.steps} steps {self.wrong:.2%} wrong,"
            f" {self.short:.1%} unsatisfied, test error {self.test_error:.4f}"
        )


@dataclass(frozen=True)
class Single:
    """The one network of the figure, and trials of other meanings of beta*."""

    condition: Condition
    data: xr.Dataset
    trials: tuple[Trial, ...]


def train(setting: Setting) -> Single:
    """Train the network of the figure, full or quick, and the trials."""
    condition = QUICK if setting.quick else FULL
    setting.say(
        f"figure 1: N = {condition.samples}, d = {condition.inputs}, M = {condition.nodes}, {condition.steps} steps"
    )
    measure = ("trajectory", "margin", "error", "loss", "test_error")
    data = condition.train(setting, steps=spread_steps(condition.steps, 90), measure=measure, part=PART, engine="wide")
    trials = [Trial.of("beta*/M", condition, data)]
    for meaning, factor, steps in (("beta*/d", condition.nodes / condition.inputs, 5), ("beta*", condition.nodes, 50)):
        other = replace(condition, rate=condition.rate * factor, steps=condition.steps // steps)
        setting.say(f"the same with beta = {meaning} = {other.rate:g}")
        short = other.train(
            setting,
            steps=spread_steps(other.steps, 40),
            measure=("margin", "error", "loss", "test_error"),
            part=PART,
            engine="wide",
        )
        trials.append(Trial.of(meaning, other, short))
    return Single(condition, data, tuple(trials))


def rows(single: Single) -> list[Row]:
    """Return what is compared of one network: its clock, and at full scale its test error."""
    condition, data = single.condition, single.data
    theory, times = condition.theory, data["time"].values
    gamma = theory.gamma(times)
    measured = clock(*nodes(data))[0]
    steps = data["step"].values
    before = (times > 0) & (condition.pull(times) <= PULL)
    found = compare_estimate(
        (measured - condition.rate_shift(steps, lambda up, down: np.log(up)))[before],
        gamma[before],
        standard_error=scatter(condition, times[before]),
        networks=1,
    )
    statement = "figure 1: gamma(t) of one network, against its scatter at this M and N"
    result = [Row(statement, found)]
    if condition == FULL:
        result.append(stated_row(single.trials[0], condition))
    return result


def stated_row(trial: Trial, condition: Condition) -> Row:
    """Return the test error against what the paper reports of it."""
    error = np.sqrt(trial.test_error * (1 - trial.test_error) / condition.test_samples)
    found = compare_estimate(trial.test_error, STATED, standard_error=error, bias=STATED / 2, networks=1)
    return Row(f"figure 1: test error at the last step, about {STATED:g}", found)


def scatter(condition: Condition, times: Floats) -> Floats:
    """Return the standard deviation of gamma(t) over networks and datasets, (times,), to leading order in 1/M and 1/N.

    The slope of f is sinh(2 gamma) S + cosh(2 gamma) C with S = sum (a_0^2 + w_0^2)/(2 M), C = sum a_0 w_0/M, of
    variance 1/M each: as if alpha were off by a factor. And E[|x_par|; |x_par| < x_c] is a mean over N samples: as if
    time were.
    """
    theory = condition.theory
    gamma, boundary = theory.gamma(times), theory.boundary(times)
    step = 1e-4
    other = replace(condition, alpha=condition.alpha * (1 + step)).theory
    sensitivity = (other.gamma(times) - gamma) / step
    slope = (1 + 1 / np.tanh(2 * gamma) ** 2) / condition.nodes
    edge = np.minimum(boundary, 40.0)
    mean = np.sqrt(2 / np.pi) * -np.expm1(-(edge**2) / 2)
    square = erf(edge / np.sqrt(2)) - edge * np.sqrt(2 / np.pi) * np.exp(-(edge**2) / 2)
    moment = (square / mean**2 - 1) / condition.samples
    return np.asarray(np.sqrt(sensitivity**2 * slope + (times * theory.velocity(times)) ** 2 * moment))


def notes(single: Single) -> tuple[str, ...]:
    """Return what the meanings of beta* lead to."""
    scale = "" if single.condition == FULL else " (at the reduced scale of a quick run, its rate chosen to be like it)"
    lines = "; ".join(str(trial) for trial in single.trials)
    return (
        f"Figure 1, N = {single.condition.samples}, d = {single.condition.inputs}, M = {single.condition.nodes},"
        f" {single.condition.steps} steps; what beta* = 1000 may mean{scale}: {lines}.",
    )


def _first(steps: NDArray[np.int64], reached: NDArray[np.bool_]) -> int | None:
    """Return the first recorded step from which on something holds until the end."""
    holds = np.logical_and.accumulate(reached[::-1])[::-1]
    return int(steps[holds.argmax()]) if holds.any() else None
