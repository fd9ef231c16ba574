"""Which engine trains: networks in the SIMD lanes, or the units of one network."""

from __future__ import annotations

import numpy as np

from shoal.base import checks
from shoal.spec.method import GradientDescent, Method
from shoal.spec.network import Network
from shoal.spec.task import Task

ENGINES = ("auto", "lanes", "wide")

# Measured on AVX2 in float64, one thread (docs/core.md): from here on many networks train as fast one by one as in the
# lanes, whose packs leave the cache; one network alone is 4 times as fast, times the threads.
_WIDE_PARAMETERS, _WIDE_SAMPLES = 10_000, 256
# With so many samples a call seldom has the networks to fill lanes and threads. Many would lose up to half.
_TALL_PARAMETERS, _TALL_SAMPLES = 1_000, 20_000


def resolve_engine(engine: str, network: Network, task: Task, method: Method) -> str:
    """Return ``lanes`` or ``wide``; ``auto`` goes by what fixes a network's bits, not by how many there are.

    Raises
    ------
    TypeError
        ``engine`` is not a string.
    ValueError
        ``engine`` is unknown, or ``wide`` with a flow, or without hidden units.
    """
    checks.choice("engine", engine, ENGINES)
    can_be_wide = isinstance(method, GradientDescent) and network.units > 0
    if engine == "wide" and not can_be_wide:
        trouble = "a flow" if network.units else f"a network without hidden units, widths={network.widths}"
        raise ValueError(f"engine must be 'lanes' or 'auto' for {trouble}, got 'wide'")
    if engine != "auto":
        return engine
    sizes = (network.parameters, int(np.count_nonzero(task.sample_weight)))  # samples of weight 0 change no bit
    large = any(
        sizes[0] >= parameters and sizes[1] >= samples
        for parameters, samples in ((_WIDE_PARAMETERS, _WIDE_SAMPLES), (_TALL_PARAMETERS, _TALL_SAMPLES))
    )
    return "wide" if can_be_wide and large else "lanes"
