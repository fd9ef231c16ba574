"""How the networks are trained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shoal.base import checks
from shoal.base.frozen import Frozen

STOP_RULES = {"fitted": 3, "satisfied": 4, "dead": 5}  # and the status of a network that has met one
OUTCOMES = ("completed", "diverged", "exhausted", *STOP_RULES)
"""How a network can end, in the order of its status; completed: all steps were taken, no rule to stop was met."""


@dataclass(frozen=True, eq=False, repr=False)
class GradientDescent(Frozen):
    """Full-batch gradient descent: theta <- theta - learning_rate * gradient, ``steps`` times; also with momentum.

    Time is step x learning rate, or the sum of the rates of all steps so far. Descent differs from gradient flow by an
    amount proportional to the learning rate (theory book, chapter 0).

    Parameters
    ----------
    learning_rate : float, or array_like of shape (networks,)
        Positive; in units of time. An array has one rate per network: entry k belongs to network ``first_network`` + k,
        as the rows of ``Explicit`` do. Each network has the bits that it has alone at its rate.
    steps
        Number of updates, not negative. With 0 steps the initial weights are measured.
    momentum
        beta of heavy-ball momentum, from 0 to 1, without 1: v <- beta v + gradient, theta <- theta - learning_rate v,
        from v = 0. Small rates follow the gradient flow in time t / (1 - beta).
    nesterov
        Whether the momentum is Nesterov's: theta <- theta - learning_rate (gradient + beta v), with the new v.
    schedule : str, or array_like of shape (steps,), optional
        What multiplies the learning rate at each step k = 0, 1, ..., steps - 1: an array of positive numbers, or
        ``"constant"``, 1, the default; ``"cosine"``, (1 + cos(pi k / steps)) / 2; ``"inverse_sqrt"``, 1 / sqrt(1 + k).
    stop
        One or several of the rules below. A network is frozen at the first step that meets a rule, step 0 included. Its
        later records are those of that step, and ``stopped_at`` is the step. Its status is that of the first rule below
        that it meets. Samples of weight 0 do not count.

        - ``fitted`` (status 3): every sample is classified correctly, with a margin above 0.
        - ``satisfied`` (4), of the hinge losses: every margin is at least the threshold, so the loss is 0.
        - ``dead`` (5), of relu: in some hidden layer no unit is active on any sample.

    Raises
    ------
    TypeError, ValueError
        An argument has the wrong type or is out of range, an array has more than one dimension or the schedule another
        length than ``steps``, or a rule is unknown or named twice; ``nesterov`` without momentum.

    Notes
    -----
    Without a schedule, a network in the lanes that an update leaves unchanged to the bit is not trained further: its
    hinge is met on every sample, or all its units are dead. Its lane goes to the next network. That changes no bit of
    the result, but ``progress`` receives its remaining steps at once.

    Examples
    --------
    >>> GradientDescent(learning_rate=0.05, steps=4000).t_end
    200.0
    >>> GradientDescent(learning_rate=0.05, steps=4000, stop=("fitted", "dead"))
    GradientDescent(learning_rate=0.05, steps=4000, stop=('fitted', 'dead'))
    >>> GradientDescent(learning_rate=np.geomspace(0.01, 1, 200), steps=4000)
    GradientDescent(learning_rate=<float64 (200,)>, steps=4000, stop=None)
    >>> GradientDescent(0.05, steps=4000, momentum=0.9, schedule="cosine")
    GradientDescent(learning_rate=0.05, steps=4000, momentum=0.9, schedule='cosine', stop=None)
    """

    learning_rate: float | NDArray[np.float64]
    steps: int
    momentum: float = 0.0
    nesterov: bool = False
    schedule: str | ArrayLike | None = None
    stop: str | Sequence[str] | None = None
    length: ClassVar[str] = "steps"  # the field that says how long networks train

    def __post_init__(self) -> None:
        """Check the fields."""
        self._fill(
            stop=_stop_rules(self.stop),
            learning_rate=_learning_rate(self.learning_rate),
            steps=checks.integer("steps", self.steps, least=0, most=2**62),
            momentum=_momentum(self.momentum),
            nesterov=checks.flag("nesterov", self.nesterov),
        )
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov must be left out without momentum, got nesterov=True with momentum=0")
        self._fill(schedule=_schedule(self.schedule, self.steps))

    @property
    def _unsaid(self) -> dict[str, Any]:
        return {"momentum": 0.0, "nesterov": False, "schedule": None}

    @property
    def factors(self) -> NDArray[np.float64] | None:
        """The schedule: what multiplies the learning rate at each step, shape (steps,), or None if nothing does."""
        if not isinstance(self.schedule, str):
            return self.schedule  # type: ignore[return-value]
        return SCHEDULES[self.schedule](np.arange(self.steps), self.steps)

    @property
    def elapsed(self) -> NDArray[np.float64] | None:
        """Time after each number of steps over the learning rate, shape (steps + 1,); None without a schedule: step."""
        factors = self.factors
        return None if factors is None else np.concatenate([[0.0], np.cumsum(factors)])

    def clock(self, steps: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the time after numbers of steps, over the learning rate: the steps if it is constant."""
        elapsed = self.elapsed
        return steps.astype(np.float64) if elapsed is None else elapsed[steps]

    def nearest(self, times: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the steps nearest to times, for one learning rate; one beyond the last if a time is past the end."""
        units: NDArray[np.float64] = times / self.learning_rate
        elapsed = self.elapsed
        if elapsed is None:
            return np.asarray(np.rint(units), dtype=np.float64)
        late = units > elapsed[-1] * (1 + 4 * np.finfo(np.float64).eps)
        found = np.searchsorted((elapsed[1:] + elapsed[:-1]) / 2, units)
        return np.asarray(found + late, dtype=np.float64)

    @property
    def rates(self) -> NDArray[np.float64] | None:
        """The learning rate of each network, shape (networks,), if each has its own."""
        return self.learning_rate if isinstance(self.learning_rate, np.ndarray) else None

    @property
    def t_end(self) -> float | NDArray[np.float64]:
        """Time of the last step, steps x learning rate if constant; one for each network if their rates differ."""
        elapsed = self.elapsed
        return (self.steps if elapsed is None else float(elapsed[-1])) * self.learning_rate

    def block(self, begin: int, end: int) -> GradientDescent:
        """Return the method of networks ``begin`` to ``end`` - 1 alone, counted from the first of the call."""
        if self.rates is None or (begin, end) == (0, len(self.rates)):
            return self
        return replace(self, learning_rate=self.rates[begin:end])

    @property
    def work(self) -> int:
        """What one network adds to the total of ``progress``: its steps."""
        return self.steps

    def for_core(self, steps: NDArray[np.int64]) -> dict[str, Any]:
        """Return what the core takes: the method, and the steps to record."""
        rules = {rule: rule in (self.stop or ()) for rule in STOP_RULES}
        factors = self.factors
        return {
            "kind": "descent",
            "rates": np.atleast_1d(np.asarray(self.learning_rate, dtype=np.float64)),
            "schedule": np.empty(0) if factors is None else factors,
            "momentum": self.momentum,
            "nesterov": self.nesterov,
            "steps": self.steps,
            "record_steps": steps,
            **rules,
            "retire": True,  # the benchmarks ask the core not to retire networks, which changes no bit
        }


def _momentum(given: Any) -> float:
    if isinstance(given, (str, tuple, list)):
        raise TypeError(f"momentum must be a number, got {given!r:.200}: give rules by their name, stop={given!r:.200}")
    momentum = checks.not_negative("momentum", given)
    if momentum >= 1:
        raise ValueError(f"momentum must be from 0 to 1, without 1, got {momentum!r}")
    return momentum


def _learning_rate(given: Any) -> Any:
    if isinstance(given, (str, bytes)) or not (
        isinstance(given, Sequence) or checks.plain("learning_rate", given).ndim
    ):
        return checks.positive("learning_rate", given)
    rates = checks.real_array("learning_rate", given, dimensions=1, shape="(networks,)")
    if not (rates > 0).all():
        at = int(np.argmin(rates > 0))
        raise ValueError(f"learning_rate must be positive, got {rates[at]:g} at index {at}")
    return rates


SCHEDULES: dict[str, Callable[[NDArray[np.int64], int], NDArray[np.float64]]] = {
    "cosine": lambda step, steps: np.cos(np.pi * step / (2 * max(steps, 1))) ** 2,  # positive at every step
    "inverse_sqrt": lambda step, steps: 1 / np.sqrt(1.0 + step),
}
"""The schedules that have names, as factors of the learning rate by step and number of steps."""
_MOST_SCHEDULED = 10**8  # steps: each factor takes memory


def _schedule(given: Any, steps: int) -> Any:
    if given is None or isinstance(given, str):
        name = checks.choice("schedule", "constant" if given is None else given, ("constant", *SCHEDULES))
        if name != "constant" and steps > _MOST_SCHEDULED:
            raise ValueError(f"schedule must be constant beyond {_MOST_SCHEDULED} steps, got {name!r} for {steps}")
        return None if name == "constant" else name
    factors = checks.real_array("schedule", given, dimensions=1, shape="(steps,)")
    if len(factors) != steps:
        raise ValueError(f"schedule must have one factor per step, {steps}, got {len(factors)}")
    if not (factors > 0).all():
        at = int(np.argmin(factors > 0))
        raise ValueError(f"schedule must be positive, got {factors[at]:g} at index {at}")
    return factors


def _stop_rules(stop: object) -> tuple[str, ...] | None:
    if stop is None:
        return None
    return checks.choices("stop", stop, STOP_RULES, f"one or several of {', '.join(STOP_RULES)}, or None") or None


@dataclass(frozen=True, eq=False, repr=False)
class GradientFlow(Frozen):
    """Gradient flow, dtheta/dt = -gradient: the limit of descent as the learning rate goes to zero.

    The integrator is an embedded Runge-Kutta pair of order 5(4) with adaptive steps per network. It accepts a step if
    the estimated error of each weight is at most a sixteenth of ``atol + rtol |weight|``, because the errors of the
    steps add up. Recorded times are exact, by the continuous extension of the pair, and do not change the steps. The
    gradient jumps when a ReLU switches or a hinge loss is met. The integrator locates the time of the jump, and no step
    crosses it.

    Parameters
    ----------
    t_end
        Time at which training ends, positive.
    rtol, atol
        Relative and absolute tolerance of one step, for each weight; rtol from 1e-13 to 0.1, atol not negative. Choose
        atol well below rtol times the smallest weight that matters, such as those of a small initialisation.
    max_steps
        Steps that a network may try before the flow gives it up with status 2.

    Raises
    ------
    TypeError, ValueError
        A number has the wrong type or is out of range.

    Notes
    -----
    float64 only. If the gradients on both sides of a kink point towards it, the flow slides along it, with the mean of
    both gradients that is tangent to the kink (Filippov). So the pre-activation of a unit can stay at 0 for a sample,
    or a margin at the threshold of the hinge.

    A network that does not reach ``t_end`` has status 2. Its records up to ``stopped_at`` are valid, its final weights
    are those at that time, and ``gave_up`` says why: 1, it took ``max_steps``; 2, the tolerance requires steps that are
    too short for time in float64; 3, gradient flow is not determined there. That happens if a unit slides along a
    sample while its output weight changes sign: from then on the gradients on both sides point away from the kink. It
    also happens if a unit loses all its incoming weights while some direction would let them grow again.

    Source: theory book, chapter 0; Ch. Tsitouras, Computers & Mathematics with Applications 62 (2011) 770.

    Examples
    --------
    >>> GradientFlow(t_end=40.0)
    GradientFlow(t_end=40.0, rtol=1e-08, atol=1e-12, max_steps=10000)
    """

    t_end: float
    rtol: float = 1e-8
    atol: float = 1e-12
    max_steps: int = 10_000
    rates: ClassVar[None] = None
    momentum: ClassVar[float] = 0.0
    schedule: ClassVar[None] = None
    stop: ClassVar[None] = None
    length: ClassVar[str] = "t_end"  # the field that says how long networks train

    def __post_init__(self) -> None:
        """Check the fields."""
        self._fill(
            t_end=checks.positive("t_end", self.t_end),
            rtol=checks.real("rtol", self.rtol, least=1e-13, most=0.1),
            atol=checks.not_negative("atol", self.atol),
            max_steps=checks.integer("max_steps", self.max_steps, least=1, most=2**62),
        )

    def block(self, begin: int, end: int) -> GradientFlow:
        """Return the method of networks ``begin`` to ``end`` - 1 alone: itself."""
        return self

    @property
    def work(self) -> int:
        """What one network adds to the total of ``progress``: itself."""
        return 1

    def for_core(self, times: NDArray[np.float64]) -> dict[str, Any]:
        """Return what the core takes: the method, and the times to record."""
        steps = {"rtol": self.rtol, "atol": self.atol, "max_steps": self.max_steps}
        return {"kind": "flow", "until": self.t_end, "record_times": times, **steps}


Method = GradientDescent | GradientFlow
METHODS: tuple[type[Method], ...] = (GradientDescent, GradientFlow)
