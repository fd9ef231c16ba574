"""The activations: name, formula in NumPy, and the class of ``torch.nn`` that computes it, in one table."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Activation(NamedTuple):
    """A function of the pre-activation and the slope below zero, and its class in ``torch.nn``."""

    function: Callable[[Floats, float], Floats]
    torch: str


REGISTRY = {
    "relu": Activation(lambda a, _: np.maximum(a, 0.0), "ReLU"),
    "leaky_relu": Activation(lambda a, slope: np.maximum(a, slope * a), "LeakyReLU"),
    "linear": Activation(lambda a, _: a, "Identity"),
    "tanh": Activation(lambda a, _: np.tanh(a), "Tanh"),
    "softplus": Activation(lambda a, _: np.logaddexp(0.0, a), "Softplus"),
}
"""The activations by name; the core has the same in ``activation.hpp``."""
ACTIVATIONS = tuple(REGISTRY)
