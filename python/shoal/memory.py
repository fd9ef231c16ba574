"""Whether a training fits into the memory there is, asked before it starts."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from shoal.network import Network
from shoal.threads import cgroup_folders


def available_bytes() -> int | None:
    """Return the bytes that this process can still take, or None where the system does not say.

    The machine's available memory, or what the cgroup still allows where that is less.
    """
    limits = [_machine_bytes(), *(_cgroup_bytes(folder) for folder in cgroup_folders("memory"))]
    known = [limit for limit in limits if limit is not None]
    return min(known) if known else None


def record_bytes(
    network: Network, measures: Sequence[str], networks: int, times: int, samples: int, itemsize: int
) -> int:
    """Return the bytes of the arrays that a training hands back."""
    per_time = {
        "loss": 1,
        "error": 1,
        "soft_error": 1,
        "margin": samples,
        "layer_norm": network.layers,
        "balance": network.units,
        "active": network.layers - 1,
    }
    numbers = times * sum(per_time[name] for name in measures if name != "weights")
    if "weights" in measures:
        numbers += network.parameters
    status = 9
    return networks * (numbers * itemsize + status)


def require(needed: int, networks: int, times: int, measures: Sequence[str]) -> None:
    """Raise when ``needed`` bytes are more than there are.

    Raises
    ------
    ValueError
        With what is needed, what is available, and what asks for it.
    """
    available = available_bytes()
    if available is not None and needed > available:
        raise ValueError(
            f"networks={networks} with {times} recorded times of {', '.join(measures)} needs "
            f"{_gigabytes(needed)} of memory, {_gigabytes(available)} is available: train fewer networks at once, "
            "record less, or use Record(reduce='moments')"
        )


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.3g} GB"


def _machine_bytes() -> int | None:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None


def _cgroup_bytes(folder: Path) -> int | None:
    for limit_name, usage_name in (
        ("memory.max", "memory.current"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes"),
    ):
        try:
            limit = (folder / limit_name).read_text().strip()
            if limit == "max":
                return None
            used = int((folder / usage_name).read_text())
            return max(0, int(limit) - used + _reclaimable(folder))
        except (OSError, ValueError):
            continue
    return None


def _reclaimable(folder: Path) -> int:
    """Return the bytes of file cache counted as used, which the kernel gives back when asked."""
    for line in (folder / "memory.stat").read_text().splitlines():
        name, value = line.split()
        if name in ("inactive_file", "total_inactive_file"):
            return int(value)
    return 0
