"""What leaves a network's function alone leaves its training alone: exactly, or to the rounding of a changed order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray
from hypothesis import given
from hypothesis import strategies as st

import reference
import rounding
import shoal
from reference import Array, Parameters
from shoal.spec.loss import resolve_loss
from support import ACTIVATIONS, LOSSES, final, random_init, random_task, same_bits, started

RATE = 0.3
EPS = float(np.finfo(float).eps)
seeds = st.integers(0, 2**32 - 1)
activations = st.sampled_from(ACTIVATIONS)
losses = st.sampled_from(LOSSES)


def step(network: shoal.Network, task: shoal.Task, init: shoal.Explicit, loss: str, steps: int = 1) -> xarray.Dataset:
    record = shoal.Record(steps=[steps], measure=("margin", "loss", "error", "soft_error", "weights"))
    return shoal.train(network, task, init, loss=loss, method=shoal.GradientDescent(RATE, steps), record=record)


def setting(
    seed: int, activation: str, loss: str, *, hidden: int = 6, outputs: int = 1
) -> tuple[shoal.Network, shoal.Task, shoal.Explicit, Parameters | None]:
    """Return a network, a task, initial weights, and how far rounding may carry one step, or None so near to a kink."""
    generator = np.random.default_rng(seed)
    network = shoal.Network((4, hidden, outputs), activation)
    task = random_task(9, 4, outputs, generator)
    init = random_init(network, 1, generator)
    setup = reference.problem(network, task, resolve_loss(loss))
    parameters = started(init, 0)
    clear = rounding.clear_of_kinks(setup, parameters, EPS)
    return network, task, init, rounding.step_bounds(setup, parameters, RATE, EPS) if clear else None


def assert_near(found: Sequence[Array], expected: Sequence[Array], bound: Parameters) -> None:
    """Assert two steps from the same weights to be as near as two roundings of one."""
    for a, b, allowed in zip(found, expected, bound.weights, strict=True):
        assert (np.abs(a - b) <= 2 * allowed).all()


@given(seeds, activations, losses, st.permutations(range(6)))
def test_hidden_units_can_be_permuted(seed: int, activation: str, loss: str, order: list[int]) -> None:
    network, task, init, bound = setting(seed, activation, loss)
    if bound is None:
        return
    permuted = shoal.Explicit([init.weights[0][:, order], init.weights[1][:, :, order]])
    one, other = (final(step(network, task, s, loss), 0).weights for s in (init, permuted))
    back = np.argsort(order)
    assert_near([other[0][back], other[1][:, back]], one, bound)


@given(seeds, activations, losses, st.permutations(range(9)))
def test_samples_can_be_permuted(seed: int, activation: str, loss: str, order: list[int]) -> None:
    network, task, init, bound = setting(seed, activation, loss)
    if bound is None:
        return
    permuted = shoal.Task(task.inputs[order], task.labels[order], task.sample_weight[order])
    one, other = (step(network, t, init, loss) for t in (task, permuted))
    assert_near(final(other, 0).weights, final(one, 0).weights, bound)


@given(seeds, activations, st.permutations(range(3)))
def test_classes_can_be_permuted(seed: int, activation: str, order: list[int]) -> None:
    network, task, init, bound = setting(seed, activation, "cross_entropy", outputs=3)
    if bound is None:
        return
    back = np.argsort(order)
    permuted = shoal.Explicit([init.weights[0], init.weights[1][:, order]])
    renamed = shoal.Task(task.inputs, back[task.labels], task.sample_weight)
    one, other = step(network, task, init, "cross_entropy"), step(network, renamed, permuted, "cross_entropy")
    found = final(other, 0).weights
    assert_near([found[0], found[1][back]], final(one, 0).weights, bound)


@given(seeds, activations, losses, st.integers(0, 8), st.floats(0.0, 1.0))
def test_a_sample_can_be_split_into_equal_ones_that_share_its_weight(
    seed: int, activation: str, loss: str, which: int, part: float
) -> None:
    network, task, init, bound = setting(seed, activation, loss)
    if bound is None:
        return
    weights = np.append(task.sample_weight, part * task.sample_weight[which])
    weights[which] *= 1 - part
    split = shoal.Task(
        np.append(task.inputs, task.inputs[[which]], axis=0), np.append(task.labels, task.labels[which]), weights
    )
    one, other = (step(network, t, init, loss) for t in (task, split))
    assert_near(final(other, 0).weights, final(one, 0).weights, bound)


homogeneous = st.sampled_from(["relu", "leaky_relu", "linear"])


@given(seeds, homogeneous, losses, st.lists(st.integers(-8, 8), min_size=6, max_size=6))
def test_scaling_a_units_weights_in_and_inversely_out_leaves_the_margins_alone(
    seed: int, activation: str, loss: str, powers: list[int]
) -> None:
    network, task, init, _ = setting(seed, activation, loss)
    factor = 2.0 ** np.array(powers)  # powers of two do not round
    scaled = shoal.Explicit([init.weights[0] * factor[:, None], init.weights[1] / factor])
    one, other = (step(network, task, s, loss, steps=0) for s in (init, scaled))
    for name in ("margin", "loss", "error", "soft_error"):
        np.testing.assert_array_equal(one[name], other[name])


@given(seeds, activations, losses)
def test_flipping_all_labels_and_output_weights_mirrors_the_training(seed: int, activation: str, loss: str) -> None:
    network, task, init, _ = setting(seed, activation, loss)
    mirrored = shoal.Task(task.inputs, -task.labels, task.sample_weight)
    opposite = shoal.Explicit([init.weights[0], -init.weights[1]])
    one, other = step(network, task, init, loss, steps=20), step(network, mirrored, opposite, loss, steps=20)
    # Equal, bit for bit but for the sign of a zero: the margin of a network of which no unit is active.
    for name in ("margin", "loss", "weights_1"):
        np.testing.assert_array_equal(other[name], one[name])
    np.testing.assert_array_equal(other.weights_2, -one.weights_2)


@given(seeds, activations, losses, st.lists(st.sampled_from([-1.0, 1.0]), min_size=4, max_size=4))
def test_flipping_the_sign_of_an_input_and_its_weights_changes_nothing_else(
    seed: int, activation: str, loss: str, signs: list[float]
) -> None:
    network, task, init, _ = setting(seed, activation, loss)
    turned = shoal.Task(task.inputs * signs, task.labels, task.sample_weight)
    flipped = shoal.Explicit([init.weights[0] * np.array(signs), init.weights[1]])
    one, other = step(network, task, init, loss, steps=20), step(network, turned, flipped, loss, steps=20)
    for name in ("margin", "loss", "weights_2"):
        np.testing.assert_array_equal(other[name], one[name])
    np.testing.assert_array_equal(other.weights_1, one.weights_1 * signs)


@given(seeds, st.integers(1, 39), st.sampled_from(["float64", "float32"]))
def test_a_batch_of_given_starts_can_be_split(seed: int, cut: int, dtype: Any) -> None:
    generator = np.random.default_rng(seed)
    network, task = shoal.Network((4, 5, 1)), random_task(9, 4, 1, generator)
    init = random_init(network, 40, generator)
    method = shoal.GradientDescent(RATE, 10)
    whole = shoal.train(network, task, init, method=method, dtype=dtype)
    parts = [
        shoal.train(network, task, init.block(begin, end), method=method, first_network=begin, dtype=dtype)
        for begin, end in ((0, cut), (cut, 40))
    ]
    same_bits(xarray.concat(parts, "network", data_vars="minimal"), whole)
