"""Modes with balanced weights, two neurons per mode that are inactive on every other mode, and their theory."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from shoal import Explicit, theory
from shoal.verdicts.layout import Floats


def mode_of(margin: float, norm: float = 1.0, frequency: float = 1.0, **options: Any) -> theory.Mode:
    """Return the theory of a mode of an initial margin; ``options`` as in ``theory.Mode``."""
    return theory.Mode(norm=float(norm), frequency=float(frequency), start_margin=float(margin), **options)


def initial_margins(networks: int, draw: np.random.Generator, lowest: float, highest: float) -> Floats:
    """Return log-uniform initial margins, (networks,) float64."""
    return np.asarray(np.exp(draw.uniform(np.log(lowest), np.log(highest), networks)))


def balanced_init(margins: Floats, norms: ArrayLike, directions: ArrayLike, draw: np.random.Generator) -> Explicit:
    """Return balanced weights of two neurons per mode, which divide its initial margin (networks, modes) at random.

    ``norms`` (modes,): margin over the product of a neuron's weights. ``directions`` (modes, outputs): unit vectors of
    output weights. Weights along the other modes are negative, so that the neuron is inactive there.
    """
    networks, modes = margins.shape
    fraction = draw.uniform(0.1, 0.9, (networks, modes))
    incoming = -np.abs(draw.normal(0, 0.2, (networks, 2 * modes, modes)))
    along = np.asarray(directions, float)
    outgoing = np.zeros((networks, along.shape[1], 2 * modes))
    for mode, (norm, direction) in enumerate(zip(np.asarray(norms, float), along, strict=True)):
        for unit, part in ((mode, fraction[:, mode]), (mode + modes, 1 - fraction[:, mode])):
            size = np.sqrt(part * margins[:, mode] / norm)
            incoming[:, unit, mode] = size
            outgoing[:, :, unit] = size[:, None] * direction
    return Explicit([incoming, outgoing])
