"""How the networks are trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from shoal.base import checks
from shoal.base.frozen import Frozen
from shoal.spec.network import Network

STOP_RULES = {"fitted": 3, "satisfied": 4, "dead": 5}  # and the status of a network that has met one
OUTCOMES = ("completed", "diverged", "exhausted", *STOP_RULES)
"""How a network can end, in the order of its status; completed: all steps were taken, no rule to stop was met."""


@dataclass(frozen=True, eq=False, repr=False)
class GradientDescent(Frozen):
    """Full-batch gradient descent: theta <- theta - learning_rate * gradient, ``steps`` times.

    Time is step x learning rate. Descent differs from gradient flow by an amount proportional to the learning rate
    (theory book, chapter 0).

    Parameters
    ----------
    learning_rate : float, or array_like of shape (networks,)
        Positive; in units of time. An array has one rate per network: entry k belongs to network ``first_network`` + k,
        as the rows of ``Explicit`` do. Each network has the bits that it has alone at its rate.
    steps
        Number of updates, not negative. With 0 steps the initial weights are measured.
    stop
        One or several of the rules below. A network is frozen at the first step that meets a rule, step 0 included. Its
        later records are those of that step, its status is that of the first rule below that it meets, and
        ``stopped_at`` is the step. Samples of weight 0 do not count.

        - ``fitted`` (status 3): every sample is classified correctly, with a margin above 0.
        - ``satisfied`` (4), of the hinge losses: every margin is at least the threshold, so the loss is 0.
        - ``dead`` (5), of relu: in some hidden layer no unit is active on any sample.

    Raises
    ------
    TypeError
        ``learning_rate`` is neither a number nor an array of numbers, ``steps`` not an integer, or ``stop`` neither a
        name nor a sequence of names.
    ValueError
        ``learning_rate`` is not positive and finite, or an array of other than one dimension, ``steps`` is negative, or
        a rule is unknown or named twice.

    Notes
    -----
    A network that an update leaves unchanged to the bit is not trained further, since nothing of it can change any
    more: its hinge is met on every sample, or all its units are dead. Its lane goes to the next network. That changes
    no bit of the result, but ``progress`` receives its remaining steps at once.

    Examples
    --------
    >>> GradientDescent(learning_rate=0.05, steps=4000).t_end
    200.0
    >>> GradientDescent(learning_rate=0.05, steps=4000, stop=("fitted", "dead"))
    GradientDescent(learning_rate=0.05, steps=4000, stop=('fitted', 'dead'))
    >>> GradientDescent(learning_rate=np.geomspace(0.01, 1, 200), steps=4000)
    GradientDescent(learning_rate=<float64 (200,)>, steps=4000, stop=None)
    """

    learning_rate: float | NDArray[np.float64]
    steps: int
    stop: str | Sequence[str] | None = None

    def __post_init__(self) -> None:
        """Check the fields."""
        object.__setattr__(self, "stop", _stop_rules(self.stop))
        object.__setattr__(self, "learning_rate", _learning_rate(self.learning_rate))
        object.__setattr__(self, "steps", checks.integer("steps", self.steps, least=0, most=2**62))

    def __repr__(self) -> str:
        """Return the call that makes it, with an array of learning rates abbreviated to its shape."""
        rate = self.learning_rate if self.rates is None else f"<float64 {self.rates.shape}>"
        return f"GradientDescent(learning_rate={rate}, steps={self.steps}, stop={self.stop})"

    @property
    def rates(self) -> NDArray[np.float64] | None:
        """The learning rate of each network, shape (networks,), where each has its own."""
        return self.learning_rate if isinstance(self.learning_rate, np.ndarray) else None

    @property
    def t_end(self) -> float | NDArray[np.float64]:
        """Time of the last step: steps x learning rate; one for each network where their rates are."""
        return self.steps * self.learning_rate

    def block(self, begin: int, end: int) -> GradientDescent:
        """Return the method of networks ``begin`` to ``end`` - 1 alone, counted from the first of the call."""
        if self.rates is None or (begin, end) == (0, len(self.rates)):
            return self
        return replace(self, learning_rate=self.rates[begin:end])

    @property
    def work(self) -> int:
        """What one network adds to the total of ``progress``: its steps."""
        return self.steps

    @property
    def packs(self) -> int:
        """Packs of parameters that the core keeps for the method, beside those trained and their gradient."""
        return 0

    def kink_bytes(self, network: Network, samples: int, lanes: int) -> int:
        """Bytes in which the core follows networks across and along kinks."""
        return 0

    def for_core(self, steps: NDArray[np.int64]) -> dict[str, Any]:
        """Return what the core takes: the method, and the steps to record."""
        rules = {rule: rule in (self.stop or ()) for rule in STOP_RULES}
        rates = np.atleast_1d(np.asarray(self.learning_rate, dtype=np.float64))
        # The benchmarks ask the core not to retire networks, which changes no bit.
        return {"kind": "descent", "rates": rates, "steps": self.steps, "record_steps": steps, **rules, "retire": True}


def _learning_rate(given: Any) -> Any:
    """Return a number, or a read-only float64 array of one for each network."""
    if isinstance(given, (str, bytes)) or not (
        isinstance(given, Sequence) or checks.plain("learning_rate", given).ndim
    ):
        return checks.positive("learning_rate", given)
    rates = checks.real_array("learning_rate", given, dimensions=1, shape="(networks,)")
    if not (rates > 0).all():
        at = int(np.argmin(rates > 0))
        raise ValueError(f"learning_rate must be positive, got {rates[at]:g} at index {at}")
    return rates


def _stop_rules(stop: object) -> tuple[str, ...] | None:
    """Return the names as a tuple, or None where there are none."""
    given = (stop,) if isinstance(stop, str) else () if stop is None else stop
    if not isinstance(given, (tuple, list)):
        raise TypeError(f"stop must be one or several of {', '.join(STOP_RULES)}, or None, got {stop!r}")
    names = tuple(checks.choice("stop", name, STOP_RULES) for name in given)
    if len(set(names)) < len(names):
        raise ValueError(f"stop must not repeat a rule, got {names}")
    return names or None


@dataclass(frozen=True, eq=False)
class GradientFlow(Frozen):
    """Gradient flow, dtheta/dt = -gradient: the limit of descent as the learning rate goes to zero.

    The integrator is an embedded Runge-Kutta pair of order 5(4) with adaptive steps per network. It accepts a step if
    the estimated error of each weight is at most ``atol + rtol |weight|``. Recorded times are exact: the continuous
    extension of the pair gives the weights there, and the steps do not depend on them. The gradient jumps where a ReLU
    switches or a hinge loss is met. The integrator locates the time of the jump, and no step crosses it.

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
    TypeError
        A number of the wrong type.
    ValueError
        A number out of range.

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
    stop: ClassVar[None] = None

    def __post_init__(self) -> None:
        """Check the fields."""
        object.__setattr__(self, "t_end", checks.positive("t_end", self.t_end))
        object.__setattr__(self, "rtol", checks.real("rtol", self.rtol))
        if not 1e-13 <= self.rtol <= 0.1:
            raise ValueError(f"rtol must lie from 1e-13 to 0.1, got {self.rtol:g}")
        object.__setattr__(self, "atol", checks.real("atol", self.atol))
        if self.atol < 0:
            raise ValueError(f"atol must not be negative, got {self.atol:g}")
        object.__setattr__(self, "max_steps", checks.integer("max_steps", self.max_steps, least=1, most=2**62))

    def block(self, begin: int, end: int) -> GradientFlow:
        """Return the method of networks ``begin`` to ``end`` - 1 alone: itself."""
        return self

    @property
    def work(self) -> int:
        """What one network adds to the total of ``progress``: itself."""
        return 1

    @property
    def packs(self) -> int:
        """Packs of parameters that the core keeps for the method: seven slopes, a trial and a record."""
        return 9

    def kink_bytes(self, network: Network, samples: int, lanes: int) -> int:
        """Bytes in which the core follows networks across and along kinks.

        Six numbers for each kink and lane, and two velocities for each lane; normals of the surfaces along which one
        network slides, twice, and their products.
        """
        kinks = samples * (network.units + 1)
        surfaces = min(network.parameters, 512, max(1, 2**22 // network.parameters)) + 1
        return 8 * (lanes * (6 * kinks + 2 * network.parameters) + surfaces * (2 * network.parameters + surfaces))

    def for_core(self, times: NDArray[np.float64]) -> dict[str, Any]:
        """Return what the core takes: the method, and the times to record."""
        return {
            "kind": "flow",
            "until": self.t_end,
            "rtol": self.rtol,
            "atol": self.atol,
            "max_steps": self.max_steps,
            "record_times": times,
        }


Method = GradientDescent | GradientFlow
METHODS: tuple[type[Method], ...] = (GradientDescent, GradientFlow)
