"""Statistics of a user's own: functions of the weights, under names that nothing else in a dataset has."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from numpy.typing import ArrayLike, NDArray

from shoal.spec.measures import REGISTRY

Function = Callable[[list[NDArray[Any]], list[NDArray[Any]]], ArrayLike]
"""From weights (networks, outputs, inputs) and biases (networks, outputs), one array per layer, to numbers."""

TAKEN = frozenset(
    "network time times statistic step sample test_sample input layer hidden_layer unit unit_layer training inputs "
    "labels targets sample_weight test_inputs test_labels test_targets init_network learning_rate status diverged_at "
    "stopped_at gave_up accepted rejected networks completed diverged exhausted fitted satisfied dead covariance pair "
    "event event_count event_fraction event_low event_high outcome outcome_count outcome_fraction outcome_low "
    "outcome_high rule bin bin_low bin_high".split()
) | {name for measure in REGISTRY.values() for name in (measure.name, *measure.arrays)}
"""What a dataset may hold: measures, other variables, coordinates and dimensions."""
_NUMBERED = re.compile(r".*_\d+|.*_histogram")  # layers and units, dimensions of custom statistics, histograms


def custom(given: object) -> tuple[tuple[str, Function], ...]:
    """Return names and functions, checked.

    Raises
    ------
    TypeError
        No mapping of names to functions.
    ValueError
        A name that is no identifier, that a dataset has for something else, or that comes twice.
    """
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
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        raise ValueError(f"custom must not repeat a name, got {', '.join(names)}")
    return tuple((name, function) for name, function in pairs)


def place(function: Function) -> str:
    """Return where a function is defined, for a reader."""
    name = getattr(function, "__qualname__", None)
    return f"{function.__module__}.{name}" if name else repr(function)
