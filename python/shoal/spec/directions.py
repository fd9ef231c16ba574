"""The modes of a task: the distinct directions of its inputs, where they are orthogonal or antipodal."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def mode_directions(
    inputs: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]:
    """Return the directions of the modes, the direction of each mode, and the sign with which it points along it.

    A mode is a ray: inputs of one direction and different norms are one mode; x and -x are two modes on one direction.

    Parameters
    ----------
    inputs : ndarray of float64, shape (samples, inputs)

    Returns
    -------
    directions : ndarray of float64, shape (directions, inputs)
        Orthonormal to rounding.
    mode_direction : ndarray of int64, shape (modes,)
        In the order in which the modes first come among the inputs.
    mode_sign : ndarray of float64, shape (modes,)
        1 or -1.

    Raises
    ------
    ValueError
        An input is zero, or two inputs are neither parallel, antiparallel nor orthogonal.
    """
    largest = np.abs(inputs).max(axis=1, keepdims=True)
    if (largest == 0).any():
        raise ValueError(f"inputs must have a direction for init=Separated, row {int(np.argmin(largest))} is zero")
    units = inputs / largest  # so that no square overflows or vanishes
    units /= np.linalg.norm(units, axis=1, keepdims=True)
    # Rounding of a dot product of d terms, and of the normalisation before it.
    tolerance = 8 * inputs.shape[1] * np.finfo(np.float64).eps

    directions: list[NDArray[np.float64]] = []
    direction_of = np.full(len(units), -1, dtype=np.int64)
    sign_of = np.zeros(len(units))
    while (direction_of < 0).any():
        first = int(np.argmax(direction_of < 0))
        unit = units[first]
        cosines = units @ unit
        along = np.abs(units - np.sign(cosines)[:, None] * unit).max(axis=1) <= tolerance
        crooked = ~along & (np.abs(cosines) > tolerance)
        if crooked.any():
            other = int(np.argmax(crooked))
            raise ValueError(
                "inputs must be orthogonal or antipodal to each other for init=Separated: the cosine between rows "
                f"{first} and {other} is {cosines[other]:.3g}"
            )
        direction_of[along] = len(directions)
        sign_of[along] = np.sign(cosines[along])
        directions.append(unit)

    rays = np.stack([direction_of.astype(np.float64), sign_of], axis=1)
    _, first_row = np.unique(rays, axis=0, return_index=True)
    order = np.sort(first_row)
    return np.stack(directions), direction_of[order], sign_of[order]
