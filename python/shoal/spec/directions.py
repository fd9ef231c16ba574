"""The modes of a task: the distinct directions of its inputs, if they are orthogonal or antipodal."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def mode_directions(
    inputs: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]:
    """Return orthonormal directions, the direction of each mode, and the sign with which the mode points along it.

    A mode is a ray: inputs of one direction and different norms are one mode; x and -x are two modes on one direction.
    Modes are in the order in which they first come among the inputs.
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

    _, first_row = np.unique(np.stack([direction_of, sign_of], axis=1), axis=0, return_index=True)
    order = np.sort(first_row)
    found = np.stack(directions), direction_of[order], sign_of[order]
    _check_pairs(*found[:2])
    return found


def _check_pairs(directions: NDArray[np.float64], mode_direction: NDArray[np.int64]) -> None:
    """Refuse antipodal pairs on which units of other modes cannot be inactive: their product must be exactly 0."""
    carried = np.bincount(mode_direction)
    oblique = np.flatnonzero((carried > 1) & (np.count_nonzero(directions, axis=1) > 1))
    if len(carried) > 1 and len(oblique):
        raise ValueError(
            "inputs must lie on the coordinate axes for init=Separated with other modes beside an antipodal pair, "
            f"got an antipodal pair along {np.array2string(directions[oblique[0]], precision=3, threshold=6)}: "
            "off the axes rounding makes units of other modes active on one of the two"
        )
