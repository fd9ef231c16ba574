"""What is kept of networks when they are too many to keep each: statistics, events, distributions."""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, NamedTuple

from shoal.base import checks
from shoal.base.frozen import Frozen
from shoal.base.interval import DEVIATIONS
from shoal.spec.measures import OF_TIME

STATISTICS = ("count", "mean", "variance", "standard_error", "min", "max")
RELATIONS = ("<", "<=", ">", ">=")


class Event(NamedTuple):
    """A measure's relation to a threshold, which a network meets at a time or does not."""

    measure: str
    relation: str
    threshold: float

    @classmethod
    def read(cls, text: object) -> Event:
        """Return the event that a text such as ``"error > 0"`` names."""
        if not isinstance(text, str):
            raise TypeError(f"events must hold texts such as 'error > 0', got {text!r}")
        found = re.fullmatch(r"\s*(\w+)\s*(<=|>=|<|>)\s*(\S+)\s*", text)
        threshold = math.nan
        with contextlib.suppress(ValueError):
            threshold = float(found[3]) if found else math.nan
        if not found or math.isnan(threshold):
            raise ValueError(
                f"events must read 'MEASURE RELATION NUMBER' with RELATION one of {', '.join(RELATIONS)}, got {text!r}"
            )
        return cls(checks.choice("events", found[1], OF_TIME), found[2], threshold)

    def __str__(self) -> str:
        """Return the text that names it, with the threshold in its shortest form."""
        short = f"{self.threshold:g}"
        return f"{self.measure} {self.relation} {short if float(short) == self.threshold else repr(self.threshold)}"


@dataclass(frozen=True, eq=False, repr=False)
class Statistics(Frozen):
    """Which statistics over networks ``Record(reduce=...)`` keeps in place of the networks.

    Count, mean, variance, standard error, minimum and maximum of every measure are always kept. Networks that diverge
    are left out of these and counted. The statistics below are kept in addition. Memory does not grow with the number
    of networks.

    Parameters
    ----------
    covariance
        Pairs of measures of one number per time: their covariance over networks at each time.
    events
        Conditions such as ``"error > 0"``: the number of networks that meet each at each time, their fraction, and its
        Wilson interval. Networks that diverge count here: from then on their measures exceed every threshold, so the
        fraction of ``"error > 0"`` estimates the probability that training fails. Networks that a flow gave up do not
        count.
    distribution
        Measures of which a histogram is kept: see ``shoal.quantile``. If gradient descent has rules to stop, a
        histogram of the steps at which networks met them is always kept.
    resolution
        2**resolution bins per octave, 0 to 10: a histogram resolves a number to a relative width of 2**-resolution,
        between 2**-32 and 2**32 in magnitude. What is smaller counts as 0.
    confidence
        Of the intervals of events and outcomes, between 0 and 1; of four standard deviations when left out.

    Raises
    ------
    TypeError, ValueError
        A name is not of a measure of one number per time, an event cannot be read, or a number is out of range.

    Examples
    --------
    >>> Statistics(events=("error > 0",), distribution=("loss",))
    Statistics(covariance=(), events=('error > 0',), distribution=('loss',), resolution=5, confidence=None)
    """

    covariance: Sequence[tuple[str, str]] = ()
    events: Sequence[str] = ()
    distribution: Sequence[str] = ()
    resolution: int = 5
    confidence: float | None = None

    def __post_init__(self) -> None:
        """Check the fields."""
        self._fill(
            covariance=_several("covariance", self.covariance, "pairs of measures such as (('loss', 'error'),)", _pair),
            events=_several("events", self.events, "texts such as ('error > 0',)", lambda text: str(Event.read(text))),
            distribution=_several("distribution", self.distribution, "measures such as ('loss',)", _name),
            resolution=checks.integer("resolution", self.resolution, least=0, most=10),
        )
        if self.confidence is not None:
            self._fill(confidence=checks.real("confidence", self.confidence))
            if not 0 < self.confidence < 1:
                raise ValueError(f"confidence must lie between 0 and 1, got {self.confidence}")

    @property
    def deviations(self) -> float:
        """Half width of the intervals of fractions, in standard deviations."""
        return DEVIATIONS if self.confidence is None else NormalDist().inv_cdf((1 + self.confidence) / 2)

    def check(self, measures: Sequence[str]) -> None:
        """Raise a ValueError if something is asked of a measure that is not recorded."""
        asked = {
            "covariance": [name for pair in self.covariance for name in pair],
            "events": [event.measure for event in self.read_events()],
            "distribution": list(self.distribution),
        }
        for argument, names in asked.items():
            for name in names:
                if name not in measures:
                    raise ValueError(f"{argument} must be of recorded measures, {', '.join(measures)}, got {name!r}")

    def read_events(self) -> list[Event]:
        """Return the events."""
        return [Event.read(text) for text in self.events]


def _several(name: str, values: object, example: str, read: Callable[[Any], Any]) -> tuple[Any, ...]:
    if not isinstance(values, (tuple, list)):
        raise TypeError(f"{name} must be {example}, got {values!r}")
    return checks.distinct(name, [read(value) for value in values], "an entry")


def _pair(pair: object) -> tuple[str, ...]:
    if not isinstance(pair, (tuple, list)) or len(pair) != 2:
        raise TypeError(f"covariance must hold pairs of measures such as ('loss', 'error'), got {pair!r}")
    return tuple(checks.choice("covariance", name, OF_TIME) for name in pair)


def _name(name: object) -> str:
    if not isinstance(name, str):
        raise TypeError(f"distribution must hold names of measures such as 'loss', got {name!r}")
    return name
