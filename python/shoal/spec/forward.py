"""The outputs of networks whose weights are given, in NumPy."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from shoal.spec.activation import REGISTRY
from shoal.spec.network import Network

Floats = NDArray[np.float64]

_BLOCK = 2**17
"""Numbers of one layer that are held at once: 1 MiB, so that they stay in cache."""


def outputs(network: Network, weights: Sequence[Floats], biases: Sequence[Floats], inputs: Floats) -> Floats:
    """Return the outputs (..., outputs, points) at inputs (points, inputs), not centred; overflows are not finite.

    ``weights`` has one array (..., outputs, inputs) per layer, ``biases`` one (..., outputs) per layer or none; their
    leading dimensions are the same, such as networks and times.
    """
    leading = weights[0].shape[:-2]
    count = math.prod(leading)
    matrices = [array.reshape(count, *array.shape[-2:]) for array in weights]
    shifts = [array.reshape(count, -1, 1) for array in biases]
    activate = REGISTRY[network.activation].function
    found = np.empty((count, network.outputs, len(inputs)))
    step = max(1, _BLOCK // (max(network.widths) * len(inputs)))
    with np.errstate(over="ignore", invalid="ignore"):  # the weights of networks that diverged
        for first in range(0, count, step):
            block = slice(first, first + step)
            signal = inputs.T
            for layer, matrix in enumerate(matrices):
                signal = (network.scales[layer] * matrix[block]) @ (
                    activate(signal, network.slope) if layer else signal
                )
                if shifts:
                    signal += shifts[layer][block]
            found[block] = signal
    return found.reshape(*leading, network.outputs, len(inputs))
