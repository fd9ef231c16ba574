"""The compiled core, in the fastest version that this CPU can run.

Each instruction set has its own compiled module (``_baseline``, ``_avx2``, ``_avx512``; on arm64 ``_neon``), all with
the contents that ``_kernel.pyi`` states. The environment variable SHOAL_ISA forces one.
"""

from __future__ import annotations

import os
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING

from shoal._core.choose import ISA_FEATURES, choose

if TYPE_CHECKING:
    from shoal._core._kernel import (
        caches,
        compiler,
        eigen,
        fixed_shapes,
        fma_peak,
        is_fixed,
        isa,
        lanes,
        pack_bytes,
        pack_networks,
        span,
        train,
        wide_bytes,
    )

__all__ = [
    "caches",
    "choice",
    "compiler",
    "eigen",
    "fixed_shapes",
    "fma_peak",
    "is_fixed",
    "isa",
    "lanes",
    "load",
    "pack_bytes",
    "pack_networks",
    "span",
    "train",
    "wide_bytes",
]


def load(isa: str) -> ModuleType:
    """Return the compiled module of one instruction set; a test of equal bits can hold two side by side.

    Raises
    ------
    ImportError
        The module is not built, or the CPU lacks what it needs.
    """
    choose(isa, _built, _features)
    return import_module(f"{__name__}._{isa}")


_built = [name for name in ISA_FEATURES if find_spec(f"{__name__}._{name}")]
# The plainest module runs on every CPU of its kind: it can be asked.
_features = import_module(f"{__name__}._{_built[0]}").cpu_features() if _built else []
choice = choose(os.environ.get("SHOAL_ISA", ""), _built, _features)

if not TYPE_CHECKING:
    _kernel = load(choice.isa)
    isa = _kernel.isa
    eigen = _kernel.eigen
    compiler = _kernel.compiler
    span = _kernel.span
    train = _kernel.train
    lanes = _kernel.lanes
    fma_peak = _kernel.fma_peak
    caches = _kernel.caches
    fixed_shapes = _kernel.fixed_shapes
    is_fixed = _kernel.is_fixed
    pack_bytes = _kernel.pack_bytes
    pack_networks = _kernel.pack_networks
    wide_bytes = _kernel.wide_bytes
