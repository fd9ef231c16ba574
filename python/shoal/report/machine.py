"""Where a run took place: versions, instruction set, CPU, threads."""

from __future__ import annotations

import platform
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from shoal.engine.threads import thread_count
from shoal.info import info

__all__ = ["Machine", "here"]

_PACKAGES = ("numpy", "scipy", "xarray", "matplotlib", "scikit-learn", "zarr")


@dataclass(frozen=True)
class Machine:
    """Where a run took place: versions of shoal, Python and packages, and what trained; never the machine's name.

    `isa` is the instruction set in use with its lanes, `core` what the core was built with, `platform` the system, its
    version and architecture.
    """

    shoal: str
    python: str
    packages: tuple[tuple[str, str], ...]
    isa: str
    core: str
    cpu: str
    threads: int
    platform: str

    def lines(self) -> tuple[tuple[str, str], ...]:
        """Return names and values in the order in which the page shows them."""
        return (
            ("shoal", self.shoal),
            ("instruction set", self.isa),
            ("core", self.core),
            ("CPU", self.cpu),
            ("threads", str(self.threads)),
            ("platform", self.platform),
            ("Python", self.python),
            *self.packages,
        )


def here(threads: int | None = None) -> Machine:
    """Return what runs here; `threads` is as in ``shoal.train``.

    Raises
    ------
    ImportError
        The compiled core is missing or cannot run here.
    TypeError, ValueError
        ``threads`` or ``SHOAL_NUM_THREADS`` is not a number above zero.
    """
    known = info()
    lanes = ", ".join(f"{count} x {dtype}" for dtype, count in known.lanes.items())
    return Machine(
        shoal=known.version,
        python=f"{platform.python_version()} ({platform.python_implementation()})",
        packages=tuple((name, found) for name in _PACKAGES if (found := _version(name))),
        isa=f"{known.isa} ({lanes})",
        core=f"Eigen {known.eigen}, {known.compiler}",
        cpu=cpu_model(),
        threads=thread_count(threads),
        platform=platform.platform(),
    )


def cpu_model() -> str:
    """Return the model of the CPU, or its architecture if the system does not say more."""
    try:
        if sys.platform == "darwin":
            asked = ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"]
            said = subprocess.run(asked, capture_output=True, text=True, check=True, timeout=10).stdout
        else:
            said = _model_in(Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace"))
    except (OSError, subprocess.SubprocessError):
        said = ""
    return said.strip() or platform.processor() or platform.machine() or "unknown"


def _model_in(cpuinfo: str) -> str:
    lines = (line.split(":", 1) for line in cpuinfo.splitlines() if ":" in line)
    return next((value for name, value in lines if name.strip() in ("model name", "Model", "cpu model")), "")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
