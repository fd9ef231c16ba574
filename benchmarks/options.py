"""What the command lines share: parsers of options, and which contenders are installed."""

import argparse
import importlib.util
import os
import sys
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

CLOCKS = ("elapsed", "cpu")
"""Seconds that go by, or those in which the contender's own threads run."""


def share(parser: argparse.ArgumentParser, clock: bool = False, rounds: int | None = None) -> None:
    """Add the options that every command has: sizes and output, and where asked for threads, rounds and clock.

    Parameters
    ----------
    parser
        Of the command.
    clock
        Whether the command can take CPU time in place of elapsed time.
    rounds
        The default number of rounds, for the help. The option stays None where the user does not say.
    """
    parser.add_argument("--rounds", type=positive, help=f"default: {rounds}")
    if clock:
        parser.add_argument(
            "--clock", choices=CLOCKS, default="elapsed", help="cpu: where others use the machine as well"
        )
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--smoke", action="store_true", help="seconds only: small sizes, answers, no claims")
    size.add_argument("--quick", action="store_true", help="about a third of the time: fewer rounds, smaller sizes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="save everything, every round")


def parsed(command: str, about: str | None, words: list[str], rounds: int) -> argparse.Namespace:
    """Return the options of a command that has only those that every command has."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks {command}", description=about)
    share(parser, rounds=rounds)
    return parser.parse_args(words)


def positive(text: str) -> int:
    """Parse an integer of at least 1."""
    try:
        found = int(text)
    except ValueError:
        found = 0
    if found < 1:
        raise argparse.ArgumentTypeError(f"it must be an integer of at least 1, got {text!r}")
    return found


def size_of(options: argparse.Namespace) -> str:
    """Return which of the three sizes was asked for: ``smoke``, ``quick`` or ``full``."""
    return "smoke" if options.smoke else "quick" if options.quick else "full"


def console() -> Console:
    """Return where tables go: as wide as they need where nobody watches."""
    return Console(width=None if sys.stdout.isatty() else 190)


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
