"""Whatever the core is asked, it ends, or raises an error that a caller expects; it neither crashes nor hangs."""

from __future__ import annotations

import ast
import os
import secrets
import sys
from pathlib import Path

import pytest

from support import python

if not sys.platform.startswith("linux"):
    pytest.skip("the fuzz limits its memory as Linux does", allow_module_level=True)

PROGRAM = Path(__file__).with_name("core_calls.py")


def run(seed: int, examples: int, timeout: float) -> dict[str, int]:
    """Return how the calls of a seed ended."""
    done = python([os.fspath(PROGRAM), str(seed), str(examples)], timeout=timeout)
    last = "\n".join(done.stdout.splitlines()[-3:])
    assert done.returncode == 0, f"exit {done.returncode}; the last calls:\n{last}\n{done.stderr[-4000:]}"
    return dict(ast.literal_eval(last.rpartition("endings ")[2]))


def test_some_calls_end_or_are_refused() -> None:
    endings = run(20180918, 150, timeout=120)
    assert endings["ended"] > 20
    assert endings["ValueError"] > 20
    assert endings["TypeError"] > 10


@pytest.mark.slow
def test_many_calls_end_or_are_refused() -> None:
    seed = secrets.randbelow(2**32)
    print(f"seed {seed}")
    run(seed, 5000, timeout=3000)
