"""Symmetric initialisations: pairs of units to the bit, and outputs of 0 to the rounding of one product per pair."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import reference
import shoal
from reference import Array
from support import same_bits

NETWORKS = 300
POINTS = np.random.default_rng(3).standard_normal((5, 3))
TASK = shoal.Task(POINTS, [1, -1, 1, 1, -1])
TASK_OF_CLASSES = shoal.Task(POINTS, [0, 1, 1, 0, 1])
METHOD = shoal.GradientDescent(0.1, 0)
OF = {
    "gaussian": shoal.Gaussian(0.7),
    "gain": shoal.Gaussian(gain=1.3),
    "balanced": shoal.Balanced(0.6),
    "unit": shoal.Unit(0.8),
    "unit, of each": shoal.Unit([0.5, 0.5, 2, 2, 1, 1, 3, 3], [1, -1, 0, 0, 0.3, -0.3, -2, 2]),
}


def drawn(network: shoal.Network, of: shoal.Init, **given: Any) -> tuple[Array, ...]:
    """Return the weights of symmetric networks, one array per layer, (networks, outputs, inputs)."""
    return shoal.Symmetric(of).draw(network, TASK, networks=NETWORKS, **given).weights


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("of", OF)
def test_units_of_a_pair_have_equal_incoming_and_opposite_outgoing_weights(of: str, dtype: str) -> None:
    *_, last, head = drawn(shoal.Network((3, 8, 1)), OF[of], dtype=dtype)
    np.testing.assert_array_equal(last[:, 0::2], last[:, 1::2])
    np.testing.assert_array_equal(head[..., 0::2], -head[..., 1::2])
    assert (last[:, 2::2] != last[:, :-2:2]).any(axis=2).all()


@pytest.mark.parametrize("bias", [False, True])
def test_only_the_last_hidden_layer_is_paired(bias: bool) -> None:
    network = shoal.Network((3, 7, 6, 2), bias=bias)
    plain = shoal.Gaussian(0.7).draw(network, TASK_OF_CLASSES, networks=NETWORKS)
    paired = shoal.Symmetric(shoal.Gaussian(0.7)).draw(network, TASK_OF_CLASSES, networks=NETWORKS)
    np.testing.assert_array_equal(paired.weights[0], plain.weights[0])
    np.testing.assert_array_equal(paired.weights[1], plain.weights[1][:, [0, 0, 2, 2, 4, 4]])
    signs = np.array([1, -1, 1, -1, 1, -1])
    np.testing.assert_array_equal(paired.weights[2], plain.weights[2][..., [0, 0, 2, 2, 4, 4]] * signs)
    assert not any(array.any() for array in paired.biases)


def test_balanced_pairs_are_balanced_in_every_layer() -> None:
    network = shoal.Network((3, 5, 6, 4, 1))
    record = shoal.Record(measure=("balance", "layer_norm"))
    init = shoal.Symmetric(shoal.Balanced(1.0))
    data = shoal.train(network, TASK, init, method=METHOD, record=record, networks=NETWORKS)
    rounding = (sum(network.widths) + 8) * np.finfo(float).eps
    assert np.abs(data.balance).max() <= rounding * float(data.layer_norm.max()) ** 2
    first = drawn(network, shoal.Balanced(1.0))[0]
    np.testing.assert_array_equal(first, shoal.Balanced(1.0).draw(network, TASK, networks=NETWORKS).weights[0])


def test_pairs_of_separated_units_serve_one_mode_each() -> None:
    task = shoal.tasks.modes((1.7, 0.9, 0.4))
    first, head = shoal.Symmetric(shoal.Separated(0.2)).draw(shoal.Network((3, 8, 1)), task, networks=NETWORKS).weights
    np.testing.assert_array_equal(first[:, 0::2], first[:, 1::2])
    np.testing.assert_array_equal(head[..., 0::2], -head[..., 1::2])
    active = first @ task.inputs.T > 0
    np.testing.assert_array_equal(
        active, np.broadcast_to(np.eye(3, dtype=bool)[[0, 0, 1, 1, 2, 2, 0, 0]], active.shape)
    )


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("of", OF)
def test_outputs_at_initialisation_are_at_most_the_rounding_of_a_product_per_pair(
    of: str, activation: str, dtype: str
) -> None:
    network = shoal.Network((3, 8, 1), activation, scales=(0.7, 0.3))
    record = shoal.Record(measure=("margin",))
    given: dict[str, Any] = {"method": METHOD, "record": record, "networks": NETWORKS, "dtype": dtype}
    first, head = (np.abs(array) for array in drawn(network, OF[of], dtype=dtype))
    eps = np.finfo(dtype).eps
    a = 0.7 * drawn(network, OF[of], dtype=dtype)[0] @ POINTS.T
    # phi(a) of the core is off by the rounding of a sum of three terms, at a slope of 1 at most, and of phi.
    size = np.abs(reference.activate(activation, 0.0, a)) * (1 + 4 * eps) + 8 * eps * 0.7 * first @ np.abs(POINTS).T
    reach = eps * 0.3 * (head[:, 0, 0::2, None] * size[:, 0::2]).sum(axis=1)
    outputs = np.abs(shoal.train(network, TASK, shoal.Symmetric(OF[of]), **given).margin.values[:, 0])
    assert (outputs <= reach).all()
    if not isinstance(OF[of], shoal.Unit) or OF[of].output is None:
        plain = np.abs(shoal.train(network, TASK, OF[of], **given).margin.values[:, 0])
        assert np.median(plain) > 1e4 * np.median(reach)


@pytest.mark.usefixtures("engine")
def test_outputs_are_0_to_the_bit_of_powers_of_2_and_of_centred_networks() -> None:
    record = shoal.Record(measure=("margin",))
    powers = shoal.Symmetric(shoal.Unit(0.3, 0.25))
    for init, centred in ((powers, False), (shoal.Symmetric(shoal.Gaussian(0.7)), True)):
        network = shoal.Network((3, 8, 1), "tanh", centred=centred)
        data = shoal.train(network, TASK, init, method=METHOD, record=record, networks=NETWORKS)
        assert not data.margin.values.any()


def test_the_field_of_the_paired_initialisation_is_swept() -> None:
    network, init = shoal.Network((3, 4, 1)), shoal.Symmetric(shoal.Gaussian(0.1))
    given: dict[str, Any] = {"method": shoal.GradientDescent(0.1, 5), "networks": 20}
    swept = shoal.sweep(network, TASK, init, over={"init.of.std": [0.1, 0.4]}, **given)
    for std in (0.1, 0.4):
        one = shoal.train(network, TASK, shoal.Symmetric(shoal.Gaussian(std)), **given)
        np.testing.assert_array_equal(swept.margin.sel({"init.of.std": std}), one.margin)
    with pytest.raises(
        ValueError, match=r"over must name what can be swept here, .*init.of.std.*; got 'init.of.scale'"
    ):
        shoal.sweep(network, TASK, init, over={"init.of.scale": [1.0]}, **given)
    both = {"init.of": [shoal.Balanced(0.1)], "init.of.std": [0.1]}
    with pytest.raises(ValueError, match=r"over must not sweep 'init\.of' together with its field 'init\.of\.std'"):
        shoal.sweep(network, TASK, init, over=both, **given)


def test_a_symmetric_training_can_be_resumed_and_repeated() -> None:
    network, init = shoal.Network((3, 4, 1), "tanh"), shoal.Symmetric(shoal.Unit((0.1, 0.1, 0.3, 0.3)))
    record = shoal.Record(steps=[0, 10], measure=("margin", "weights"))
    data = shoal.train(network, TASK, init, method=shoal.GradientDescent(0.1, 10), record=record, networks=7)
    same_bits(shoal.train(shoal.specification(data)), data)
    whole = shoal.train(
        network, TASK, init, method=shoal.GradientDescent(0.1, 25), networks=7,
        record=shoal.Record(steps=[25], measure=("margin", "weights")),
    )  # fmt: skip
    longer = shoal.resume(data, steps=15)
    np.testing.assert_array_equal(longer.weights_1.values, whole.weights_1.values)
