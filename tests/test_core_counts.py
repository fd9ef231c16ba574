"""Counts of samples are right beyond 2**24, where single precision no longer tells a number from the next."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import shoal
from shoal import _core

MANY, FEW = 2**24, 100


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("many_are_active", [False, True])
def test_single_precision_counts_beyond_2_to_the_24_samples(many_are_active: bool) -> None:
    """One sample stands for 2**24 equal ones; a unit is active on it, or not, and on a hundred more."""
    points = np.concatenate([[1.0 if many_are_active else -1.0], np.ones(FEW), [-1.0] * FEW])
    task = shoal.Task(points[:, None], np.ones(len(points), dtype=int))
    repeats = np.ones(len(points))
    repeats[0] = MANY
    core = _core.train

    def repeated(**asked: Any) -> Any:
        return core(**{**asked, "repeats": repeats})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_core, "train", repeated)
        data = shoal.train(
            shoal.Network((1, 1, 1)),
            task,
            shoal.Explicit([[[[1.0]]], [[[1.0]]]]),
            method=shoal.GradientDescent(0.1, 0),
            record=shoal.Record(measure=("unit_active", "active")),
            dtype="float32",
            condense=False,
        )
    active, every = FEW + MANY * many_are_active, MANY + 2 * FEW
    assert data.unit_active.item() == np.float32(active / every)
    assert data.active.item() == np.float32(active / every)
    assert np.float32(active / every) != np.float32((active - FEW) / every)
