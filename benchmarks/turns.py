"""Calls that are timed in turns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any


def in_turns(
    calls: Mapping[str, Callable[[], float]], rounds: int, say: Callable[[str], Any]
) -> dict[str, list[float]]:
    """Return the seconds that each call tells, round after round in alternating order."""
    found: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(rounds):
        for name in calls if number % 2 == 0 else reversed(list(calls)):
            say(f"{name}, round {number + 1} of {rounds}")
            found[name].append(calls[name]())
    return found
