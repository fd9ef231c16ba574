"""A unit of a curved activation is active where its pre-activation is positive, however near to 0."""

from __future__ import annotations

import numpy as np
import pytest

import shoal


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize(("dtype", "tiny"), [("float64", 1e-300), ("float32", 1e-30)])
@pytest.mark.parametrize("activation", ["tanh", "softplus", "erf", "quadratic"])
def test_units_count_as_active_by_the_sign_of_their_pre_activation(activation: str, dtype: str, tiny: float) -> None:
    sizes = np.array([tiny, 1e-20, 1e-17, 1e-16, 1e-9, 1e-8, 1e-7, 0.3, 40.0])
    weights = np.concatenate([sizes, -sizes, [0.0, -0.0]])
    first, last = weights[None, :, None], np.ones((1, 1, len(weights)))
    record = shoal.Record(steps=[0], measure=("pattern", "unit_active", "active"))
    network = shoal.Network((1, len(weights), 1), activation)
    init, method = shoal.Explicit([first, last]), shoal.GradientDescent(0.1, 0)
    data = shoal.train(network, shoal.Task([[1.0]], [1]), init, method=method, record=record, dtype=dtype)
    np.testing.assert_array_equal(data.pattern.values.ravel(), weights > 0)
    np.testing.assert_array_equal(data.unit_active.values.ravel(), weights > 0)
    assert float(data.active.values.ravel()[0]) == pytest.approx(len(sizes) / len(weights))
