"""shoal trains very many very small networks at once and compares how they learn with exact theory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shoal import tasks
from shoal.base import former, imports
from shoal.cite import cite
from shoal.info import info
from shoal.predict import predict
from shoal.pytorch import to_torch
from shoal.resume import resume
from shoal.spec.drawn import Balanced, Gaussian, Separated, Symmetric, Unit
from shoal.spec.encoding import specification
from shoal.spec.init import Explicit, Init
from shoal.spec.loss import CrossEntropy, Exponential, Hinge, Loss, Squared, SquaredHinge
from shoal.spec.method import GradientDescent, GradientFlow
from shoal.spec.network import Network
from shoal.spec.record import Record
from shoal.spec.statistics import Statistics
from shoal.spec.task import Task
from shoal.spec.training import Training
from shoal.sweep import open_sweep, sweep
from shoal.train import train
from shoal.version import VERSION as __version__

if TYPE_CHECKING:
    from shoal import claims, dynamics, plot, theory
    from shoal.claims.claim import claim
    from shoal.engine.histogram import quantile
    from shoal.verdicts.comparison import compare_flow, compare_rates
    from shoal.verdicts.means import compare_mean, compare_samples
    from shoal.verdicts.proportion import compare_fraction

__all__ = [
    "Balanced",
    "CrossEntropy",
    "Explicit",
    "Exponential",
    "Gaussian",
    "GradientDescent",
    "GradientFlow",
    "Hinge",
    "Init",
    "Loss",
    "Network",
    "Record",
    "Separated",
    "Squared",
    "SquaredHinge",
    "Statistics",
    "Symmetric",
    "Task",
    "Training",
    "Unit",
    "__version__",
    "cite",
    "claim",
    "claims",
    "compare_flow",
    "compare_fraction",
    "compare_mean",
    "compare_rates",
    "compare_samples",
    "dynamics",
    "info",
    "open_sweep",
    "plot",
    "predict",
    "quantile",
    "resume",
    "specification",
    "sweep",
    "tasks",
    "theory",
    "to_torch",
    "train",
]

# Imported when first asked for, since SciPy, xarray and matplotlib take longer to import than all the rest.
_MODULES = ("claims", "dynamics", "plot", "theory")
_PLACES = {
    "claim": "claims.claim",
    "compare_flow": "verdicts.comparison",
    "compare_fraction": "verdicts.proportion",
    "compare_mean": "verdicts.means",
    "compare_rates": "verdicts.comparison",
    "compare_samples": "verdicts.means",
    "quantile": "engine.histogram",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        (module,) = imports.whole(f"shoal.{name}")
        return module
    if name in _PLACES:
        return getattr(imports.whole(f"shoal.{_PLACES[name]}")[0], name)
    former.refuse_name("shoal", name)
    raise AttributeError(f"module 'shoal' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
