"""The activations: name, formula in NumPy, and the class of PyTorch that computes it, in one table."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from shoal.base import imports

Floats = NDArray[np.float64]


class Activation(NamedTuple):
    """A function of the pre-activation and the slope below zero, and its class in ``torch.nn`` or ``shoal.pytorch``."""

    function: Callable[[Floats, float], Floats]
    torch: str


def _erf(a: Floats) -> Floats:
    (special,) = imports.whole("scipy.special")
    return np.asarray(special.erf(a))


REGISTRY = {
    "relu": Activation(lambda a, _: np.maximum(a, 0.0), "ReLU"),
    "leaky_relu": Activation(lambda a, slope: np.maximum(a, slope * a), "LeakyReLU"),
    "linear": Activation(lambda a, _: a, "Identity"),
    "tanh": Activation(lambda a, _: np.tanh(a), "Tanh"),
    "softplus": Activation(lambda a, _: np.logaddexp(0.0, a), "Softplus"),
    "erf": Activation(lambda a, _: _erf(a), "Erf"),
    "quadratic": Activation(lambda a, _: a * a, "Quadratic"),
}
"""The activations by name; the core has the same in ``activation.hpp``."""
ACTIVATIONS = tuple(REGISTRY)
