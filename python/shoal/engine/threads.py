"""How many threads to train with, if the caller does not say."""

from __future__ import annotations

import math
import os
from pathlib import Path

from shoal.base import checks


def thread_count(threads: int | None = None) -> int:
    """Return the number of threads to use: the first of these that is given.

    The argument, ``SHOAL_NUM_THREADS``, the first number of ``OMP_NUM_THREADS`` unless OpenMP would not understand it,
    and the CPUs that this process may use, by affinity and by the cgroup's quota.
    """
    if threads is not None:
        return checks.integer("threads", threads, least=1, most=4096)
    wanted = os.environ.get("SHOAL_NUM_THREADS", "").strip()
    openmp = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if wanted and not _is_count(wanted):
        raise ValueError(f"SHOAL_NUM_THREADS must be an integer between 1 and 4096, got {wanted!r}")
    return next((int(text) for text in (wanted, openmp) if _is_count(text)), None) or usable_cpus()


def _is_count(text: str) -> bool:
    return text.isdecimal() and 1 <= int(text) <= 4096


def usable_cpus() -> int:
    """Return the number of CPUs this process may use: its affinity, or the cgroup's quota if that is less."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quotas = [quota for folder in cgroup_folders("cpu") if (quota := _quota(folder)) is not None]
    return max(1, min([affinity, *(math.ceil(quota) for quota in quotas)]))


def cgroup_folders(controller: str) -> list[Path]:
    """Return the folders of this process's cgroup and of those above it, for version 2 and for one v1 controller."""
    root = Path("/sys/fs/cgroup")
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    folders: list[Path] = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            base = root
        elif controller in controllers.split(","):
            base = root / controllers
        else:
            continue
        parts = [part for part in path.split("/") if part not in ("", "..")]
        # In a container the path can name folders that only the host sees; those above them still count.
        folders += [folder for i in range(len(parts), -1, -1) if (folder := base.joinpath(*parts[:i])).is_dir()]
    return folders


def _quota(folder: Path) -> float | None:
    try:
        if (folder / "cpu.max").exists():
            quota, period = (folder / "cpu.max").read_text().split()
        else:
            quota = (folder / "cpu.cfs_quota_us").read_text().strip()
            period = (folder / "cpu.cfs_period_us").read_text().strip()
        return None if quota in ("max", "-1") else int(quota) / int(period)
    except (OSError, ValueError):
        return None
