"""Activations that keep pre-activations: soft committees by scales, squares, and the memory that they take."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special

import shoal
from shoal import _core

GENERATOR = np.random.default_rng(8)
POINTS = GENERATOR.standard_normal((6, 4))
TASK = shoal.Task(POINTS, np.ones(6))


def margins(network: shoal.Network, init: shoal.Explicit) -> np.ndarray:
    data = shoal.train(
        network, TASK, init, method=shoal.GradientDescent(0.1, 0), record=shoal.Record(measure=("margin",))
    )
    return data.margin.values[:, 0]


@pytest.mark.usefixtures("engine")
def test_a_scale_makes_a_soft_committee_machine_of_erf() -> None:
    first, head = GENERATOR.standard_normal((5, 3, 4)), np.ones((5, 1, 3))
    network = shoal.Network((4, 3, 1), "erf", scales=(1 / np.sqrt(2 * 4), 1.0))
    expected = special.erf(first @ POINTS.T / np.sqrt(4) / np.sqrt(2)).sum(axis=1)
    # A field is a scaled sum of 4 products, at a slope of at most 1.13; erf and the sum of 3 outputs add some units.
    reach = np.finfo(float).eps * (16 * np.abs(first) @ np.abs(POINTS).T).sum(axis=1)
    assert (np.abs(margins(network, shoal.Explicit([first, head])) - expected) <= reach).all()


@pytest.mark.usefixtures("engine")
def test_quadratic_units_square_whole_numbers_exactly() -> None:
    first = GENERATOR.integers(-9, 10, (5, 3, 4)).astype(float)
    task = shoal.Task(np.rint(3 * POINTS), np.ones(6))
    head = np.array([1.0, -2.0, 3.0])
    data = shoal.train(
        shoal.Network((4, 3, 1), "quadratic"), task, shoal.Explicit([first, np.tile(head, (5, 1, 1))]),
        method=shoal.GradientDescent(0.1, 0), record=shoal.Record(measure=("margin",)),
    )  # fmt: skip
    expected = np.einsum("u,nus->ns", head, (first @ task.inputs.T) ** 2)
    np.testing.assert_array_equal(data.margin.values[:, 0], expected)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_memory_counts_the_pre_activations_that_are_kept(dtype: str) -> None:
    widths, size = (3, 9, 4, 2), np.dtype(dtype).itemsize
    plain, kept = (_core.pack_bytes(widths, 4, dtype, activation) for activation in ("tanh", "erf"))
    # Rows are an odd number of packs apart: 9 and 5 of the hidden layers, for each of 4 samples.
    assert kept - plain == 4 * (9 + 5) * _core.lanes(dtype) * size
    alone = [
        _core.alone_bytes(widths, False, False, 4, 0, 1, 1, dtype, activation) for activation in ("tanh", "quadratic")
    ]
    assert alone[1] - alone[0] >= 4 * (9 + 4) * size


def test_an_activation_that_the_core_does_not_know_is_refused_by_name() -> None:
    allowed = "activation must be relu, leaky_relu, linear, tanh, softplus, erf or quadratic, got gelu"
    with pytest.raises(ValueError, match=allowed):
        _core.pack_bytes((2, 1), 4, "float64", "gelu")
    with pytest.raises(ValueError, match=allowed):
        _core.alone_bytes((2, 1), False, False, 4, 0, 1, 1, "float64", "gelu")
