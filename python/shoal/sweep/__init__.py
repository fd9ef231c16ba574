"""Many networks at many conditions, in blocks that are kept in a Zarr store as they end: run, resumed, read back."""

from __future__ import annotations

from shoal.sweep.opened import open_sweep
from shoal.sweep.sweep import sweep

__all__ = ["open_sweep", "sweep"]
