"""shoal trains very many very small networks at once and holds how they learn against exact theory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shoal import imports, tasks
from shoal.cite import cite
from shoal.info import info
from shoal.loss import CrossEntropy, Exponential, Hinge, Loss, Squared, SquaredHinge
from shoal.method import Descent, Flow
from shoal.network import Network
from shoal.record import Record
from shoal.specification import specification
from shoal.start import Balanced, Explicit, Gaussian, Separated, Start
from shoal.statistics import Statistics
from shoal.sweep import open, sweep
from shoal.task import Task
from shoal.train import train
from shoal.version import VERSION as __version__

if TYPE_CHECKING:
    from shoal import claims, dynamics, plot, theory
    from shoal.comparison import compare
    from shoal.histogram import quantile

__all__ = [
    "Balanced",
    "CrossEntropy",
    "Descent",
    "Explicit",
    "Exponential",
    "Flow",
    "Gaussian",
    "Hinge",
    "Loss",
    "Network",
    "Record",
    "Separated",
    "Squared",
    "SquaredHinge",
    "Start",
    "Statistics",
    "Task",
    "__version__",
    "cite",
    "claims",
    "compare",
    "dynamics",
    "info",
    "open",
    "plot",
    "quantile",
    "specification",
    "sweep",
    "tasks",
    "theory",
    "train",
]

# Imported when first asked for, since SciPy, xarray and matplotlib take longer to import than all the rest.
_MODULES = ("claims", "dynamics", "plot", "theory")


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        (module,) = imports.whole(f"shoal.{name}")
        return module
    if name == "compare":
        return imports.whole("shoal.comparison")[0].compare
    if name == "quantile":
        return imports.whole("shoal.histogram")[0].quantile
    raise AttributeError(f"module 'shoal' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
