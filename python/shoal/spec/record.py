"""When, and what, to measure while training."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shoal.base import checks
from shoal.base.frozen import Frozen
from shoal.spec.measures import DEFAULT, DEFAULT_OF_TARGETS, MEASURES, REDUCIBLE, REGISTRY, listed
from shoal.spec.method import GradientDescent, GradientFlow, Method
from shoal.spec.statistics import Statistics
from shoal.spec.task import Regression, Task

Function = Callable[[list[NDArray[Any]], list[NDArray[Any]]], ArrayLike]
"""From weights (networks, outputs, inputs) and biases (networks, outputs), one array per layer, to numbers."""

TAKEN = frozenset(
    "network time times statistic step sample other_sample test_sample input layer hidden_layer unit unit_layer "
    "output_unit training inputs labels targets sample_weight test_inputs test_labels test_targets init_network "
    "learning_rate status diverged_at stopped_at gave_up accepted rejected networks completed diverged exhausted "
    "fitted satisfied dead covariance pair event event_count event_fraction event_low event_high outcome "
    "outcome_count outcome_fraction outcome_low outcome_high rule bin bin_low bin_high".split()
) | {name for measure in REGISTRY.values() for name in (measure.name, *measure.arrays)}
"""What a dataset may hold: measures, other variables, coordinates and dimensions."""
_NUMBERED = re.compile(r".*_\d+|.*_histogram")  # layers and units, dimensions of custom statistics, histograms
DEFAULT_INTERVALS = 100
# A last time may exceed the end of training by what rounding adds, as in np.arange(0, 0.31, 0.1), and is that end then.
ROUNDED = 1 + 4 * np.finfo(np.float64).eps


@dataclass(frozen=True, eq=False, repr=False)
class Record(Frozen):
    """When networks are measured while they train, and what is measured.

    Parameters
    ----------
    times : array_like of float, shape (times,), optional
        Strictly increasing, from 0 to the end of training; a last time that exceeds the end by rounding is the end. A
        flow is measured at these times exactly, descent at the nearest step, rint(time / learning_rate). Times at one
        step make one record, so the result can have fewer.
    steps : array_like of int, shape (times,), optional
        For gradient descent, in place of times. Strictly increasing; step k is after k updates, step 0 is the
        initialisation. Without times and steps, 101 of them are spread evenly from first to last, or all are recorded.
    measure
        Name of what to measure, or several names. When left out ``("loss", "error", "margin")``, and for a regression
        ``("loss",)``:

        {measures}
    reduce
        None keeps every network. ``"moments"``, the same as ``Statistics()``, keeps only statistics over networks, in
        memory that does not grow with their number. Networks that diverge are left out of these and counted.
        ``Statistics(...)`` names what else to keep. ``weights``, ``trajectory`` and ``pattern`` cannot be reduced,
        since unit i of one network does not correspond to unit i of another.
    custom
        Statistics of your own: a dict of names and functions. ``function(weights, biases)`` is called at each recorded
        time with the weights of at most 256 networks, one array per layer of shape (networks, outputs, inputs), and
        their biases, (networks, outputs), an empty list without biases. It returns numbers of shape (networks,) or
        (networks, k, ...), in which each row depends on its own network alone. They become the variable of that name,
        (network, time, name_0, ...), which ``reduce`` reduces like any measure. Networks that have diverged are passed
        with weights of 0, and get NaN. Each function is called twice with initial weights before training. Datasets and
        stores cannot hold functions: ``specification(data)`` leaves them out, and only sweeps in memory take them.

    Raises
    ------
    TypeError
        Steps that are not integers, a measure that is not a string, or custom statistics that are no functions.
    ValueError
        Both times and steps; values that are negative, not finite or do not increase; no measure, or one that is
        unknown, repeated or cannot be reduced; a custom statistic with a name that a dataset has for something else.

    Notes
    -----
    Custom statistics need memory for their numbers and for the weights of a block of networks at all records: at most
    128 MiB, or the weights of one network. With ``reduce`` the networks are trained once more for them.

    Examples
    --------
    >>> def norm(weights, biases):
    ...     return (weights[0] ** 2).sum(axis=(1, 2)) ** 0.5
    >>> Record(measure="loss", custom={"norm": norm}).custom[0][0]
    'norm'
    >>> Record(times=[0, 0.5, 1]).at(GradientDescent(learning_rate=0.25, steps=8))
    array([0, 2, 4])
    """

    times: Sequence[float] | NDArray[Any] | None = None
    steps: Sequence[int] | NDArray[Any] | None = None
    # A training replaces None by what it stands for.
    measure: str | Sequence[str] = None  # type: ignore[assignment]
    reduce: str | Statistics | None = None
    custom: Mapping[str, Function] | Sequence[tuple[str, Function]] | None = ()

    def __post_init__(self) -> None:
        """Check the fields."""
        if self.times is not None and self.steps is not None:
            raise ValueError("times and steps must not both be given: they say the same thing")
        for name in ("times", "steps"):
            if getattr(self, name) is not None:
                self._fill(**{name: _increasing(name, getattr(self, name))})
        what = "a name or a tuple of names such as ('loss', 'error')"
        self._fill(custom=_custom(self.custom))
        if self.measure is not None:
            self._fill(measure=checks.choices("measure", self.measure, MEASURES, what))
            if not self.measure:
                raise ValueError(f"measure must name at least one of {', '.join(MEASURES)}, got none")
        if self.reduce is None:
            return
        if not isinstance(self.reduce, Statistics):
            checks.choice("reduce", self.reduce, ("moments",))
        shown, measured = repr(self.reduce) if isinstance(self.reduce, str) else "Statistics", self.measure or DEFAULT
        for name in measured:
            if name not in REDUCIBLE:
                raise ValueError(f"measure must not hold {name!r} with reduce={shown}: it is of single networks")
        if isinstance(self.reduce, Statistics):
            self.reduce.check(measured)

    def of(self, task: Task) -> Record:
        """Return the record with its measures named, where they were left out."""
        if self.measure is not None:
            return self
        return replace(self, measure=DEFAULT_OF_TARGETS if isinstance(task, Regression) else DEFAULT)

    @property
    def kept(self) -> Statistics | None:
        """What is kept over networks, or None if each network is kept."""
        return Statistics() if self.reduce == "moments" else self.reduce  # type: ignore[return-value]

    @property
    def functions(self) -> tuple[tuple[str, Function], ...]:
        """The custom statistics: names and functions."""
        return self.custom  # type: ignore[return-value]

    def at(self, method: Method) -> NDArray[Any]:
        """Return what to record, shape (times,), strictly increasing: int64 steps of descent, float64 times of a flow.

        A ValueError if a time or step is beyond the end of training, or steps are asked of a flow.
        """
        return self._times(method) if isinstance(method, GradientFlow) else self._steps(method)

    def _times(self, method: GradientFlow) -> NDArray[np.float64]:
        if self.steps is not None:
            raise ValueError(
                f"steps must be left out for a GradientFlow, whose steps each network chooses, got {self.steps}"
            )
        if self.times is None:
            return np.linspace(0.0, method.t_end, DEFAULT_INTERVALS + 1)
        if self.times[-1] > method.t_end * ROUNDED:
            raise ValueError(f"times must not exceed t_end={method.t_end!r}, got {self.times[-1]!r}")
        return np.unique(np.minimum(self.times, method.t_end))

    def _steps(self, method: GradientDescent) -> NDArray[np.int64]:
        if self.times is not None and method.rates is not None:
            raise ValueError(
                f"times must be left out if each network has its own learning_rate, since their times differ: "
                f"give steps, got times={self.times!r:.200}"
            )
        if self.times is not None:
            nearest = method.nearest(np.asarray(self.times))
            if nearest[-1] > method.steps * ROUNDED:
                raise ValueError(
                    f"times must not exceed the end of training, t_end={method.t_end!r}, got {self.times[-1]!r}"
                )
            return np.unique(np.minimum(nearest.astype(np.int64), method.steps))
        if self.steps is not None:
            if self.steps[-1] > method.steps:
                raise ValueError(f"steps must not exceed the {method.steps} steps of training, got {self.steps[-1]}")
            return np.asarray(self.steps, dtype=np.int64)
        intervals = max(1, min(DEFAULT_INTERVALS, method.steps))
        # Integers throughout: a float has too few digits for very long trainings.
        return np.unique([i * method.steps // intervals for i in range(intervals + 1)]).astype(np.int64)


Record.__doc__ = (Record.__doc__ or "").replace("{measures}", listed(indent=8))


def _increasing(name: str, values: ArrayLike) -> tuple[Any, ...]:
    given = checks.plain(name, values, "(times,)")
    if name == "steps" and given.dtype.kind not in "ui":
        raise TypeError(f"steps must be integers, got dtype {given.dtype}")
    checked = checks.real_array(name, values, dimensions=1, shape="(times,)")
    array = given if name == "steps" else checked  # float64 would take large steps for equal
    if array[0] < 0:
        raise ValueError(f"{name} must not be negative, got {array[0]:g}")
    falls = np.flatnonzero(array[1:] <= array[:-1])
    if len(falls):
        at = int(falls[0])
        raise ValueError(f"{name} must increase strictly, got {array[at]:g} then {array[at + 1]:g} at index {at + 1}")
    return tuple(array.tolist())


def _custom(given: object) -> tuple[tuple[str, Function], ...]:
    """Return names and functions, checked."""
    if given is None:
        return ()
    pairs: Sequence[Any] = list(given.items()) if isinstance(given, Mapping) else given  # type: ignore[assignment]
    if not isinstance(pairs, (tuple, list)) or not all(
        isinstance(one, (tuple, list)) and len(one) == 2 for one in pairs
    ):
        raise TypeError(
            f"custom must be a dict of names and functions such as {{'norm': function}}, got {given!r:.200}"
        )
    for name, function in pairs:
        if not isinstance(name, str):
            raise TypeError(f"custom must have names that are texts, got {name!r:.200}")
        if not name.isidentifier() or name in TAKEN or _NUMBERED.fullmatch(name):
            raise ValueError(
                f"custom must have names that are identifiers and that a dataset has for nothing else, got {name!r}"
            )
        if not callable(function):
            raise TypeError(f"custom[{name!r}] must be a function of (weights, biases), got {function!r:.200}")
    checks.distinct("custom", [name for name, _ in pairs])
    return tuple((name, function) for name, function in pairs)
