"""What the command lines share: parsers of options, and which contenders are installed."""

import argparse
import importlib.util
import os
from collections.abc import Callable

from rich.console import Console


def choice(allowed: tuple[str, ...]) -> Callable[[str], list[str]]:
    """Return a parser of comma-separated words out of `allowed`."""

    def parse(text: str) -> list[str]:
        words = text.split(",")
        strange = [word for word in words if word not in allowed]
        if strange:
            raise argparse.ArgumentTypeError(f"{strange[0]!r} is not one of {', '.join(allowed)}")
        return words

    return parse


def cpus() -> int:
    """Return how many CPUs this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def counts(text: str) -> list[int]:
    """Parse comma-separated thread counts."""
    try:
        found = [int(word) for word in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"thread counts must be integers, got {text!r}") from None
    if min(found) < 1 or max(found) > cpus():
        raise argparse.ArgumentTypeError(f"thread counts must lie between 1 and the {cpus()} CPUs of this process")
    return found


def contenders(chosen: list[str], console: Console) -> list[str]:
    """Return those of `chosen` that are installed and name the others."""
    absent = [name for name in chosen if importlib.util.find_spec(name) is None]
    if absent:
        console.print(f"not installed, left out: {', '.join(absent)}")
    return [name for name in chosen if name not in absent]
