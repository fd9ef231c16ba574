"""Every benchmark in one go, and the page made of them: ``python -m benchmarks all --help``."""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

from benchmarks import page
from benchmarks.commands import MODULES
from benchmarks.options import choice, console


def main(words: list[str]) -> int:
    """Run the suite; the exit status is 1 when a command failed. The page is made of those that did not."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks all", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the results")
    parser.add_argument("--page", type=Path, metavar="FILE", help="the page; default: performance.md in that folder")
    parser.add_argument("--only", type=choice(tuple(MODULES)), default=list(MODULES), help="default: all")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--smoke", action="store_true", help="seconds each: that everything works")
    size.add_argument("--quick", action="store_true", help="fewer rounds, smaller sizes")
    options = parser.parse_args(words)
    options.out.mkdir(parents=True, exist_ok=True)
    extra = ["--smoke"] if options.smoke else ["--quick"] if options.quick else []
    failed, files = [], []
    for name in options.only:
        file = options.out / f"{name}.json"
        file.unlink(missing_ok=True)
        begin = time.monotonic()
        # A process of its own: what one command imports and allocates is not there in the next.
        command = [sys.executable, "-m", "benchmarks", name, *extra, "--json", str(file)]
        status = subprocess.run(command, cwd=Path.cwd()).returncode
        console().print(f"{name}: {time.monotonic() - begin:.0f} s{'' if status == 0 else f', exit status {status}'}")
        if status != 0:
            failed.append(name)
        if file.exists():
            files.append(file)
    if files:
        page.write([page.load(file) for file in files], options.page or options.out / "performance.md")
    if failed:
        console().print(f"[red]failed:[/red] {', '.join(failed)}")
    return 1 if failed else 0
