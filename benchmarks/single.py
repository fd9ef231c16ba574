"""One network alone against the peers: ``python -m benchmarks single``."""

from benchmarks.cases import SINGLE
from benchmarks.kernels import Plan, run

CALL = 3000
"""Steps of one call: what a user of one small network asks for at a time."""


def main(words: list[str]) -> int:
    """Run the benchmark; the exit status is 1 when a contender's answer is wrong or a way to train failed."""
    about = f"Time one small network alone, {CALL:,} steps a call, one thread, against the peers."
    return run(words, Plan("single", about, tuple(SINGLE), (1,), CALL, dtypes=("float64",)))
