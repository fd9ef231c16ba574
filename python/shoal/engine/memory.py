"""How much memory this process can still take."""

from __future__ import annotations

import os
from pathlib import Path

from shoal.engine.threads import cgroup_folders

_NEVER_SHORT = 2**18
"""Requests below so many bytes are not checked: a process with NumPy can take them, and reading how much is free takes
as long as a short training."""


def available_bytes() -> int | None:
    """Return the bytes that this process can still take, by machine and cgroup; None if the system does not say."""
    limits = [_machine_bytes(), *(_cgroup_bytes(folder) for folder in cgroup_folders("memory"))]
    known = [limit for limit in limits if limit is not None]
    return min(known) if known else None


def less_than(needed: int) -> int | None:
    """Return the bytes that this process can still take if they are fewer than ``needed``, else None."""
    available = available_bytes() if needed > _NEVER_SHORT else None
    return None if available is None or available >= needed else available


def gigabytes(size: int) -> str:
    """Return a size in words, however large."""
    return f"{min(size, 10**300) / 1e9:.3g} GB" if size >= 10**7 else "less than 0.01 GB"


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
    names = ("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes")
    for limit_name, usage_name in names:
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
