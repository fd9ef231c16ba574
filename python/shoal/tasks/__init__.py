"""Tasks to learn: from exactly solvable directions to real handwritten digits."""

from __future__ import annotations

from shoal.tasks.axes import antipodal, features, modes, xor
from shoal.tasks.clouds import gaussian, mixture, moons
from shoal.tasks.images import digits, idx
from shoal.tasks.teacher import separable_gaussian, separable_sphere, separated_by

__all__ = [
    "antipodal",
    "digits",
    "features",
    "gaussian",
    "idx",
    "mixture",
    "modes",
    "moons",
    "separable_gaussian",
    "separable_sphere",
    "separated_by",
    "xor",
]
