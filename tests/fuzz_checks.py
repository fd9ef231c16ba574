"""A training against the oracle: every recorded number, every step, how each network ended.

Each recorded state is taken as it is, exactly: what is measured of it, and the next state, must be the oracle's within
the rounding of one pass. So nothing is amplified, and by induction the whole training is the oracle's.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import xarray

import batched
import batched_measures
import reference
import shoal
from batched import Ball, Format, Pass, State, exactly
from fuzz_cases import Case
from reference import Array, Problem
from shoal.spec.loss import resolve_loss
from shoal.spec.method import STOP_RULES
from support import layers

DIVERGED = 1


@dataclass
class Seen:
    """What was compared: networks, states (of a network at a step), and those with a kink within rounding."""

    networks: int = 0
    states: int = 0
    near_kinks: int = 0
    unbounded: int = 0

    def __add__(self, other: Seen) -> Seen:
        return Seen(*(getattr(self, name) + getattr(other, name) for name in self.__dataclass_fields__))


def problem(case: Case) -> Problem:
    """Return what the oracle trains: the case's numbers as its dtype holds them."""
    given, dtype = case.arguments, case.arguments["dtype"]
    penalties = {name: given[name] for name in ("weight_decay", "spectral_decoupling")}
    made = reference.problem(case.network, case.task, resolve_loss(given["loss"]), **penalties)
    held = {name: float(np.dtype(dtype).type(getattr(made, name))) for name in ("slope", "threshold")}
    targets = None if made.targets is None else held_by(dtype, made.targets)
    return replace(made, inputs=held_by(dtype, made.inputs), targets=targets, **held)


def held_by(dtype: str, values: Array) -> Array:
    return values.astype(dtype).astype(np.float64)


@dataclass
class Trained:
    """One training with everything recorded at some steps, beside what the oracle makes of its states."""

    case: Case
    data: xarray.Dataset

    @classmethod
    def of(cls, case: Case, **changed: Any) -> Trained:
        """Train, and once more to see also the steps around those at which a network ended."""

        def run(steps: Sequence[int]) -> xarray.Dataset:
            return case.train(shoal.Record(steps=steps, measure=case.measures), **changed)

        data = run(case.steps)
        ends = np.unique([data[name].values for name in ("diverged_at", "stopped_at") if name in data])
        around = {int(step) for end in ends[ends >= 0][:8] for step in (end - 1, end) if step >= 0}
        if around <= set(case.steps):
            return cls(case, data)
        return cls(case, run(sorted({*case.steps, *around})))

    @property
    def steps(self) -> Array:
        return self.data.step.values

    @cached_property
    def form(self) -> Format:
        return Format.of(self.case.arguments["dtype"])

    @cached_property
    def setup(self) -> Problem:
        return problem(self.case)

    @cached_property
    def turned(self) -> float:
        """How far, in units of a vector's norm, inputs and first weights are known where they were turned (span.hpp).

        Each direction is found by two projections on those before, a dot product each; what is left of an input below
        8 d units is left out. 0 where inputs are trained as they are.
        """
        given, rank = json.loads(self.data.attrs["condensed"])["inputs"]
        if given == rank:
            return 0.0
        unit = Format.of("float64").eps
        return (8 * given + 4 * rank * (given + 8)) * unit + (rank + 2) * self.form.eps

    def turn(self, values: Array) -> Ball:
        """Return vectors, the rows, as far as they are known."""
        if not self.turned:
            return exactly(values)
        norms = np.sqrt((values**2).sum(axis=-1, keepdims=True))
        return Ball(values, np.broadcast_to(self.turned * norms, values.shape))

    @cached_property
    def state(self) -> State:
        """The states (networks, steps, ...)."""
        weights = [array.astype(np.float64) for array in layers(self.data, "trajectory")]
        biases = [array.astype(np.float64) for array in layers(self.data, "trajectory_bias")]
        return State([self.turn(weights[0]), *map(exactly, weights[1:])], [exactly(b) for b in biases])

    def passed(self, inputs: Array, state: State | None = None) -> Pass:
        """Return a forward pass of the states on these inputs."""
        points, first = self.turn(inputs), None
        if self.case.network.centred:
            start = State(*([Ball(a.mid[:, :1], a.rad[:, :1]) for a in arrays] for arrays in self._both))
            first = batched.forward(self.setup, start, points, self.form).leaving[-1]
        return batched.forward(self.setup, state or self.state, points, self.form, first)

    @property
    def _both(self) -> tuple[list[Ball], list[Ball]]:
        return self.state.weights, self.state.biases

    @cached_property
    def run(self) -> Pass:
        return self.passed(self.setup.inputs)

    @cached_property
    def slope(self) -> State:
        """The gradient at each state."""
        return batched.gradient(self.setup, self.state, self.run, self.form)

    @cached_property
    def after(self) -> State:
        """What one update makes of each state."""
        return batched.descend(self.setup, self.state, self.slope, self.case.method.learning_rate, self.form)

    @cached_property
    def ended(self) -> Array:
        """The step at which each network ended, beyond all where it did not."""
        never = np.iinfo(np.int64).max
        diverged = self.data.diverged_at.values
        stopped = self.data.stopped_at.values if "stopped_at" in self.data else np.full_like(diverged, -1)
        return np.where(diverged >= 0, diverged, np.where(stopped >= 0, stopped, never))

    @cached_property
    def lost(self) -> Array:
        """Which states (networks, steps) are those of a network that has diverged."""
        status = self.data.status.values
        return (status == DIVERGED)[:, None] & (self.steps >= self.ended[:, None])


def check(case: Case, **changed: Any) -> Seen:
    """Assert that a case is trained as the oracle trains it, and return what was seen."""
    with np.errstate(all="ignore"):
        trained = Trained.of(case, **changed)
        check_start(trained)
        check_measures(trained)
        check_steps(trained)
        check_rules(trained)
        near = trained.run.near_kinks(trained.setup) & ~trained.lost
        far = ~np.isfinite(trained.run.leaving[-1].rad).all(axis=(-1, -2)) & ~trained.lost
    return Seen(case.networks, near.size, int(near.sum()), int(far.sum()))


def fits(found: Array, ball: Ball) -> Array:
    """Return where a number lies within its bound; what may overflow can be anything."""
    return (np.abs(found - 1.0 * ball.mid) <= ball.rad) | ~np.isfinite(ball.rad)


def show(case: Case, what: str, wrong: Array, found: Array, ball: Ball) -> str:
    """Return the first number that is wrong."""
    at = tuple(int(i) for i in np.argwhere(wrong)[0])
    value, mid, rad = (np.broadcast_to(array, wrong.shape)[at] for array in (found, ball.mid, ball.rad))
    return f"{what}{list(at)} is {value!r}, {mid!r} is right within {rad!r} ({int(wrong.sum())} such)\n{case}"


def check_start(trained: Trained) -> None:
    """Assert that explicit weights are those trained from."""
    init = trained.case.arguments["init"]
    if not isinstance(init, shoal.Explicit):
        return
    names = [("trajectory", init.weights), ("trajectory_bias", init.biases)]
    for name, given in ((f"{name}_{i}", array) for name, arrays in names for i, array in enumerate(arrays, 1)):
        found = trained.data[name].values[:, 0].astype(np.float64)
        held = held_by(trained.case.arguments["dtype"], given)
        ball = trained.turn(held) if name == "trajectory_1" else exactly(held)
        wrong = ~fits(found, ball) & ~trained.lost[:, 0].reshape(-1, *(1,) * (found.ndim - 1))
        assert not wrong.any(), show(trained.case, name, wrong, found, ball)


def check_measures(trained: Trained) -> None:
    """Assert every recorded measure; of a network that has diverged there is none, of any other the loss is finite."""
    case, form, lost = trained.case, trained.form, trained.lost
    expected = batched_measures.all_measures(trained.setup, trained.state, trained.run, form)
    expected |= batched_measures.of_norms(trained.state, trained.slope, form)
    if case.task.test is not None:
        inputs, given = case.task.test
        shares = np.full(len(inputs), 1 / len(inputs))
        inputs = held_by(case.arguments["dtype"], inputs)
        labels, targets = reference.answers(case.network, resolve_loss(case.arguments["loss"]), given)
        targets = None if targets is None else held_by(case.arguments["dtype"], targets)
        setup = batched.with_samples(trained.setup, inputs, labels, targets, shares)
        expected |= batched_measures.of_samples(setup, trained.passed(inputs).leaving[-1], form, "test_")
    for name in case.measures:
        if name in ("trajectory", "weights"):
            continue
        found = trained.data[name].values.astype(np.float64)
        ball = Ball(*(np.broadcast_to(array, found.shape) for array in expected[name]))
        gone = np.broadcast_to(lost.reshape(*lost.shape, *(1,) * (found.ndim - 2)), found.shape)
        wrong = np.where(gone, ~np.isnan(found) if name != "pattern" else found != 0, ~fits(found, ball))
        if name == "loss":
            wrong = wrong | (~gone & ~np.isfinite(found))
        assert not wrong.any(), show(case, name, wrong, found, ball)
    for name in trained.data:
        if str(name).startswith("weights_") or str(name).startswith("biases_"):
            path = str(name).replace("weights", "trajectory").replace("biases", "trajectory_bias")
            last, end = trained.data[name].values, trained.data[path].values[:, -1]
            assert last.tobytes() == end.tobytes(), f"{name} are not the last of {path}\n{case}"


def check_steps(trained: Trained) -> None:
    """Assert that each recorded state that follows another is what the oracle makes of it."""
    names = [f"trajectory_{i}" for i in range(1, 1 + len(trained.state.weights))]
    names += [f"trajectory_bias_{i}" for i in range(1, 1 + len(trained.state.biases))]
    follows = np.flatnonzero(np.diff(trained.steps) == 1)
    rests = trained.ended[:, None] <= trained.steps[follows]  # has stopped, or diverged
    falls = ~trained.lost[:, follows] & trained.lost[:, follows + 1]
    possible = np.zeros_like(falls)
    for name, now, after in zip(names, trained.state.arrays(), trained.after.arrays(), strict=True):
        found = trained.data[name].values[:, follows + 1].astype(np.float64)
        shape = (*rests.shape, *(1,) * (found.ndim - 2))
        still = rests.reshape(shape)
        # Where inputs are turned, the next state too is known only so far.
        ball = Ball(after.mid[:, follows], after.rad[:, follows] + now.rad[:, follows + 1])
        ball = Ball(np.where(still, now.mid[:, follows], ball.mid), np.where(still, 0.0, ball.rad))
        gone = (falls | trained.lost[:, follows]).reshape(shape)
        wrong = ~gone & (~fits(found, ball) | ~np.isfinite(found))
        assert not wrong.any(), show(trained.case, name, wrong, found, ball)
        possible |= ~np.isfinite(ball.rad).all(axis=tuple(range(2, ball.rad.ndim)))
    if falls.any():
        possible |= may_lose(trained, trained.after)[:, follows]
    wrong = falls & ~possible
    assert not wrong.any(), f"networks {np.argwhere(wrong)[:, 0]} diverged, and must not\n{trained.case}"
    first = trained.lost[:, 0] & ~may_lose(trained, trained.state)[:, 0]
    sure = np.zeros_like(first)
    if isinstance(trained.case.arguments["init"], shoal.Explicit):
        sure = first
    assert not sure.any(), (
        f"networks {np.flatnonzero(sure)} diverged at their initialisation, and must not\n{trained.case}"
    )


def may_lose(trained: Trained, state: State) -> Array:
    """Return of which states (networks, steps) the loss may be no number that the format holds."""
    outputs = trained.passed(trained.setup.inputs, state).leaving[-1]
    losses = batched.sample_losses(trained.setup, outputs, trained.form)
    counts = trained.setup.weights > 0
    return ~np.isfinite(losses.rad[..., counts]).all(axis=-1) | ~np.isfinite(losses.mid[..., counts]).all(axis=-1)


def check_rules(trained: Trained) -> None:
    """Assert that networks stop at the first step at which a rule is met, by the first rule that is."""
    rules = trained.case.method.stop or ()
    status = trained.data.status.values
    known = {0, DIVERGED, *(STOP_RULES[rule] for rule in rules)}
    assert set(status.tolist()) <= known, f"status {sorted(set(status.tolist()))}\n{trained.case}"
    before = (trained.steps < trained.ended[:, None]) & ~trained.lost
    at = (trained.steps == trained.ended[:, None]) & ~trained.lost
    earlier = np.zeros_like(before)
    for rule in STOP_RULES:
        if rule not in rules:
            continue
        surely, perhaps = met(trained, rule)
        wrong = before & surely
        assert not wrong.any(), f"{np.argwhere(wrong)[0]} meets {rule}, and goes on\n{trained.case}"
        mine = at & (status == STOP_RULES[rule])[:, None]
        wrong = mine & (~perhaps | earlier)
        assert not wrong.any(), f"{np.argwhere(wrong)[0]} is said to be {rule}, and is not\n{trained.case}"
        earlier |= surely


def met(trained: Trained, rule: str) -> tuple[Array, Array]:
    """Return which states meet a rule surely, and which do perhaps; samples of weight 0 do not count."""
    counts = trained.setup.weights > 0
    if rule == "dead":
        active = [a.mid[..., counts, :] > a.rad[..., counts, :] for a in trained.run.leaving[:-1]]
        maybe = [~(a.mid[..., counts, :] <= -a.rad[..., counts, :]) for a in trained.run.leaving[:-1]]
        dead = [
            (~layer.any(axis=(-1, -2)), ~possible.any(axis=(-1, -2)))
            for layer, possible in zip(active, maybe, strict=True)
        ]
        return np.logical_or.reduce([sure for _, sure in dead]), np.logical_or.reduce([may for may, _ in dead])
    m = batched_measures.margins(trained.setup, trained.run.leaving[-1], trained.form)
    low, high = m.mid - m.rad, m.mid + m.rad
    low, high = np.where(np.isnan(low), -np.inf, low)[..., counts], np.where(np.isnan(high), np.inf, high)[..., counts]
    if rule == "fitted":
        return (low > 0).all(axis=-1), (high > 0).all(axis=-1)
    return (low >= trained.setup.threshold).all(axis=-1), (high >= trained.setup.threshold).all(axis=-1)
