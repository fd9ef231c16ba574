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
    from shoal._core._kernel import *  # noqa: F403


def load(isa: str) -> ModuleType:
    """Return the compiled module of one instruction set, or raise an ImportError if it cannot run here."""
    choose(isa, _built, _features)
    return import_module(f"{__name__}._{isa}")


_built = [name for name in ISA_FEATURES if find_spec(f"{__name__}._{name}")]
# The plainest module runs on every CPU of its kind, so it can report the CPU's features.
_features = import_module(f"{__name__}._{_built[0]}").cpu_features() if _built else []
choice = choose(os.environ.get("SHOAL_ISA", ""), _built, _features)
globals().update({name: held for name, held in vars(load(choice.isa)).items() if not name.startswith("_")})
