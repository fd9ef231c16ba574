"""When, and what, to measure while training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shoal.base import checks
from shoal.base.frozen import Frozen
from shoal.spec import custom as own
from shoal.spec.measures import MEASURES, REDUCIBLE, listed
from shoal.spec.method import GradientDescent, GradientFlow, Method
from shoal.spec.statistics import Statistics

DEFAULT_INTERVALS = 100
# A last time may exceed the end of training by what rounding adds, as in np.arange(0, 0.31, 0.1), and is that end then.
ROUNDED = 1 + 4 * np.finfo(np.float64).eps


@dataclass(frozen=True, eq=False)
class Record(Frozen):
    """When networks are measured while they train, and what is measured.

    Parameters
    ----------
    times : array_like of float, shape (times,), optional
        Strictly increasing, from 0 to the end of training. A flow is measured at these times exactly. Descent is
        measured at the nearest step, that is rint(time / learning_rate); times that fall on one step make one record,
        so the result can have fewer.
    steps : array_like of int, shape (times,), optional
        For gradient descent, in place of times. Strictly increasing; step k is after k updates, step 0 is the
        initialisation. Without times and steps, 101 of them are spread evenly from the first to the last; all steps of
        a training with fewer.
    measure
        Name of what to measure, or several names:

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
        with weights of 0, and get NaN. Each function is called twice with initial weights before training. A dataset
        cannot hold functions, so ``specification(data)`` leaves them out; a store cannot either, so only sweeps in
        memory take them.

    Raises
    ------
    TypeError
        Steps that are not integers, a measure that is not a string, or custom statistics that are no functions.
    ValueError
        Both times and steps, values that do not strictly increase or are negative or not finite, an unknown or repeated
        measure, no measure, or one that cannot be reduced together with ``reduce``; or a custom statistic of a name
        that a dataset has for something else.

    Notes
    -----
    A last time that exceeds the end of training by rounding is that end.

    Custom statistics need memory for their numbers and for the weights of a block of networks at all records: at most
    128 MiB, or the weights of one network. With ``reduce`` the networks are trained twice, once for the measures and
    once for custom statistics.

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
    measure: str | Sequence[str] = ("loss", "error", "margin")
    reduce: str | Statistics | None = None
    custom: Mapping[str, own.Function] | Sequence[tuple[str, own.Function]] | None = ()

    def __post_init__(self) -> None:
        """Check the fields."""
        if self.times is not None and self.steps is not None:
            raise ValueError("times and steps must not both be given: they say the same thing")
        if self.times is not None:
            object.__setattr__(self, "times", tuple(_increasing("times", self.times).tolist()))
        if self.steps is not None:
            object.__setattr__(self, "steps", _increasing_steps(self.steps))
        object.__setattr__(self, "measure", _measures(self.measure))
        object.__setattr__(self, "custom", own.custom(self.custom))
        if self.reduce is None:
            return
        if not isinstance(self.reduce, Statistics):
            checks.choice("reduce", self.reduce, ("moments",))
        shown = repr(self.reduce) if isinstance(self.reduce, str) else "Statistics"
        for name in self.measure:
            if name not in REDUCIBLE:
                raise ValueError(f"measure must not hold {name!r} with reduce={shown}: it is of single networks")
        if isinstance(self.reduce, Statistics):
            self.reduce.check(self.measure)

    @property
    def kept(self) -> Statistics | None:
        """What is kept over networks, or None where each network is."""
        return Statistics() if self.reduce == "moments" else self.reduce  # type: ignore[return-value]

    @property
    def functions(self) -> tuple[tuple[str, own.Function], ...]:
        """The custom statistics: names and functions."""
        return self.custom  # type: ignore[return-value]

    def at(self, method: Method) -> NDArray[Any]:
        """Return what to record, shape (times,), strictly increasing: int64 steps of descent, float64 times of a flow.

        Raises
        ------
        ValueError
            A time or step lies beyond the end of training, or steps are asked of a flow.
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
                f"times must be left out where each network has its own learning_rate, since their times differ: "
                f"give steps, got times={self.times!r:.200}"
            )
        if self.times is not None:
            nearest = np.rint(np.asarray(self.times) / method.learning_rate)
            if nearest[-1] > method.steps * ROUNDED:
                raise ValueError(
                    f"times must not exceed the end of training, learning_rate x steps = {method.t_end!r}, "
                    f"got {self.times[-1]!r}"
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


def _increasing(name: str, values: ArrayLike) -> NDArray[Any]:
    checked = checks.real_array(name, values, dimensions=1, shape="(times,)")
    array = np.asarray(values) if name == "steps" else checked  # float64 would take large steps for equal
    if array[0] < 0:
        raise ValueError(f"{name} must not be negative, got {array[0]:g}")
    falls = np.flatnonzero(array[1:] <= array[:-1])
    if len(falls):
        at = int(falls[0])
        raise ValueError(f"{name} must increase strictly, got {array[at]:g} then {array[at + 1]:g} at index {at + 1}")
    return array


def _increasing_steps(values: ArrayLike) -> tuple[int, ...]:
    given = checks.plain("steps", values)
    if given.dtype.kind not in "ui":
        raise TypeError(f"steps must be integers, got dtype {given.dtype}")
    _increasing("steps", given)
    return tuple(int(step) for step in given)


def _measures(measure: object) -> tuple[str, ...]:
    if isinstance(measure, str):
        measure = (measure,)
    if not isinstance(measure, (tuple, list)):
        raise TypeError(f"measure must be a name or a tuple of names such as ('loss', 'error'), got {measure!r}")
    names = tuple(checks.choice("measure", name, MEASURES) for name in measure)
    if not names:
        raise ValueError(f"measure must name at least one of {', '.join(MEASURES)}, got none")
    if len(set(names)) < len(names):
        raise ValueError(f"measure must not repeat a name, got {names}")
    return names
