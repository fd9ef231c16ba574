"""Command line of the suite: ``python -m benchmarks --help``."""

import sys
from collections.abc import Callable
from importlib import import_module

from benchmarks.commands import MODULES, TOOLS

ABOUT = f"""usage: python -m benchmarks [COMMAND] [OPTION ...]

Commands that measure: {", ".join(MODULES)}. Without a command: kernels.
all runs every one of them and writes the page of performance; page writes that page from saved results.
python -m benchmarks COMMAND --help tells a command's options."""


def main(words: list[str] | None = None) -> int:
    """Run a command; the exit status is 1 when a contender's answer is wrong or a way to train failed."""
    words = sys.argv[1:] if words is None else words
    if words[:1] in (["-h"], ["--help"]):
        print(ABOUT)
        return 0
    known = MODULES | TOOLS
    name, rest = ("kernels", words) if not words or words[0].startswith("-") else (words[0], words[1:])
    if name not in known:
        print(f"{name!r} is not one of {', '.join(known)}", file=sys.stderr)
        return 2
    command: Callable[[list[str]], int] = import_module(known[name]).main
    return command(rest)


if __name__ == "__main__":
    sys.exit(main())
