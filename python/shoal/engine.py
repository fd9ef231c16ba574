"""Which engine trains: networks in the SIMD lanes, or the units of one network."""

from __future__ import annotations

from shoal import checks
from shoal.method import Descent, Method
from shoal.network import Network
from shoal.task import Task

ENGINES = ("auto", "lanes", "wide")


def resolve_engine(engine: str, network: Network, task: Task, method: Method) -> str:
    """Return ``lanes`` or ``wide``; ``auto`` goes by what fixes a network's bits, not by how many there are.

    Raises
    ------
    TypeError
        ``engine`` is not a string.
    ValueError
        ``engine`` is unknown, or ``wide`` with a flow or without hidden units.
    """
    checks.choice("engine", engine, ENGINES)
    can_be_wide = isinstance(method, Descent) and network.units > 0
    if engine == "wide" and not can_be_wide:
        trouble = "a flow" if network.units else f"a network without hidden units, widths={network.widths}"
        raise ValueError(f"engine must be 'lanes' or 'auto' for {trouble}, got 'wide'")
    if engine != "auto":
        return engine
    return "wide" if can_be_wide and _is_wide(network, task) else "lanes"


def _is_wide(network: Network, task: Task) -> bool:
    return network.parameters >= 4096
