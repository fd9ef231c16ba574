"""A condensed training, of fewer samples and inputs, is the whole one but for rounding, in the user's own terms."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import pytest
import xarray

import shoal
from shoal import _core
from shoal.engine import memory
from support import ENGINES, LOSSES, MEASURES, REDUCIBLE, SETS, layers, random_init, same_bits, train_on

SAMPLES, INPUTS, RANK, DISTINCT = 20, 12, 3, 7


def low_rank_task(generator: np.random.Generator, outputs: int = 1, tested: bool = True) -> shoal.Task:
    """Return samples that repeat, and test samples, all in one plane of few dimensions."""
    plane = generator.standard_normal((RANK, INPUTS))
    points = generator.standard_normal((DISTINCT, RANK)) @ plane
    chosen = np.concatenate([np.arange(DISTINCT), generator.integers(DISTINCT, size=SAMPLES - DISTINCT)])
    labels = np.array([1, -1, -1, 1, 1, -1, 1]) if outputs == 1 else np.arange(DISTINCT) % outputs
    weights = generator.uniform(0, 1, SAMPLES)
    weights[2] = 0
    test = (generator.standard_normal((5, RANK)) @ plane, labels[:5]) if tested else None
    return shoal.Task(points[chosen], labels[chosen], weights, test)


def assert_close(one: xarray.Dataset, other: xarray.Dataset, tolerance: float) -> None:
    """Assert that all variables agree to rounding: ``tolerance`` of the largest number, integers and NaN exactly."""
    assert set(one) == set(other)
    for name in one:
        a, b = one[name].values, other[name].values
        assert a.shape == b.shape, name
        assert a.dtype == b.dtype, name
        if a.dtype.kind != "f":
            np.testing.assert_array_equal(a, b, err_msg=str(name))
            continue
        largest = np.nanmax(np.abs(b)) if np.isfinite(b).any() else 0.0
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * max(1.0, float(largest)), err_msg=str(name))


def both(**given: Any) -> tuple[xarray.Dataset, xarray.Dataset]:
    """Return the condensed training and the whole one."""
    condensed, whole = (shoal.train(**given, condense=how) for how in (True, False))
    assert json.loads(whole.attrs["condensed"]) == {"samples": [SAMPLES] * 2, "inputs": [INPUTS] * 2}
    return condensed, whole


# Rounding of a step, which training of few steps does not amplify much beyond these factors of the unit roundoff.
STEPS = 12
TOLERANCE = {"float64": 2**12 * 2.0**-53, "float32": 2**12 * 2.0**-24}


def arguments(generator: np.random.Generator, **changed: Any) -> dict[str, Any]:
    return {
        "network": shoal.Network((INPUTS, 6, 1)),
        "task": low_rank_task(generator),
        "init": shoal.Gaussian(0.2),
        "method": shoal.GradientDescent(0.05, STEPS),
        "record": shoal.Record(measure=MEASURES),
        "networks": 11,
        **changed,
    }


NETWORKS = {
    "two layers": shoal.Network((INPUTS, 6, 1)),
    "deep, biased": shoal.Network((INPUTS, 6, 5, 1), "leaky_relu", 0.2, bias=True),
    "smooth": shoal.Network((INPUTS, 6, 1), "tanh", bias=True),
    "parametrised": shoal.Network((INPUTS, 6, 1), scales=(0.5, 2), rates=(3, 0.5), centred=True, bias=True),
    "mean field": shoal.Network.mean_field(INPUTS, 8),
}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("name", NETWORKS)
def test_every_measure_is_the_same_to_rounding(name: str, dtype: str, generator: np.random.Generator) -> None:
    given = arguments(generator, network=NETWORKS[name], dtype=dtype)
    condensed, whole = both(**given)
    assert json.loads(condensed.attrs["condensed"]) == {"samples": [SAMPLES, DISTINCT], "inputs": [INPUTS, RANK]}
    assert condensed.trajectory_1.shape == (11, STEPS + 1, NETWORKS[name].widths[1], INPUTS)
    assert_close(condensed, whole, TOLERANCE[dtype])
    assert np.ptp(whole.loss.values[:, -1]) > 1e-3, "all networks are alike"


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_is(loss: str, generator: np.random.Generator) -> None:
    assert_close(*both(**arguments(generator, loss=loss, spectral_decoupling=0.1)), TOLERANCE["float64"])


@pytest.mark.parametrize("widths", [(INPUTS, 6, 3), (INPUTS, 3), (INPUTS, 1)])
def test_networks_of_several_outputs_and_without_hidden_units_are(
    widths: tuple[int, ...], generator: np.random.Generator
) -> None:
    task = low_rank_task(generator, widths[-1])
    units = ("balance", "active", "unit_active", "pattern")
    names = MEASURES if len(widths) > 2 else [name for name in MEASURES if name not in units]
    given = arguments(generator, network=shoal.Network(widths, bias=True), task=task)
    assert_close(*both(**{**given, "record": shoal.Record(measure=names)}), TOLERANCE["float64"])


def test_every_start_is(generator: np.random.Generator) -> None:
    network = shoal.Network((INPUTS, 6, 1), bias=True)
    for init in (shoal.Balanced(0.2), shoal.Gaussian(gain=0.7), random_init(network, 11, generator)):
        assert_close(*both(**arguments(generator, network=network, init=init)), TOLERANCE["float64"])
    modes = shoal.tasks.modes((1.7, 0.9, 1.2), (3, 2, 1), dimension=INPUTS)
    repeated = shoal.Task(np.repeat(modes.inputs, 2, axis=0), np.repeat(modes.labels, 2))
    names = [name for name in MEASURES if not name.startswith("test_")]
    given = arguments(generator, task=repeated, init=shoal.Separated(0.3), record=shoal.Record(measure=names))
    condensed, whole = (shoal.train(**given, condense=how) for how in (True, False))
    assert json.loads(condensed.attrs["condensed"]) == {"samples": [6, 3], "inputs": [INPUTS, 3]}
    assert_close(condensed, whole, TOLERANCE["float64"])


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_a_flow_is_within_its_tolerance(activation: str, generator: np.random.Generator) -> None:
    network = shoal.Network((INPUTS, 6, 1), activation)
    given = arguments(generator, network=network, method=shoal.GradientFlow(3.0, rtol=1e-9))
    task = given["task"]
    # Each sample once: the kinks of equal samples are one, of which a network that slides along them cannot know.
    _, first, row = np.unique(task.inputs, axis=0, return_index=True, return_inverse=True)
    once = shoal.Task(task.inputs[first], task.labels[first], np.bincount(row.ravel(), task.sample_weight), task.test)
    condensed, repeated = both(**given)
    whole = shoal.train(**{**given, "task": once}, condense=False)
    assert json.loads(whole.attrs["condensed"]) == {"samples": [DISTINCT] * 2, "inputs": [INPUTS] * 2}
    arrived = np.flatnonzero(((condensed.status == 0) & (whole.status == 0)).values)
    assert len(arrived) >= 10  # which network comes to where a flow is not determined, rounding may decide
    measures = ["loss", "layer_norm", "balance", "test_margin", "trajectory_1", "trajectory_2", "weights_1"]
    assert_close(condensed[measures].isel(network=arrived), whole[measures].isel(network=arrived), 1e-7)
    assert (repeated.status == 0).sum() <= (condensed.status == 0).sum()


def repeating(seed: int) -> tuple[shoal.Task, shoal.Task]:
    """Return 13 samples of which 6 repeat others, and the same task with each sample once."""
    generator = np.random.default_rng(seed)
    points, labels = generator.standard_normal((7, 3)), generator.choice([-1, 1], 7)
    chosen = np.arange(13) % 7
    return shoal.Task(points[chosen], labels[chosen]), shoal.Task(points, labels, np.bincount(chosen))


@pytest.mark.parametrize("loss", ["cross_entropy", "hinge"])
@pytest.mark.parametrize("activation", ["relu", "leaky_relu"])
def test_a_flow_is_that_of_each_sample_once(activation: str, loss: str) -> None:
    """Equal samples are equal kinks: merging them gives up no network that would arrive otherwise."""
    task, once = repeating(seed=1)
    given: dict[str, Any] = {
        "network": shoal.Network((3, 5, 1), activation),
        "init": shoal.Gaussian(0.4),
        "method": shoal.GradientFlow(6.0, rtol=1e-6),
        "loss": loss,
        "networks": 60,
        "record": shoal.Record(times=[0.0, 6.0], measure=("loss", "layer_norm", "weights")),
    }
    merged = shoal.train(task=task, **given)
    assert json.loads(merged.attrs["condensed"]) == {"samples": [13, 7], "inputs": [3, 3]}
    measures = ["loss", "layer_norm", "weights_1", "weights_2", "status", "accepted"]
    same_bits(merged[measures], shoal.train(task=once, **given)[measures])
    whole = shoal.train(task=task, **given, condense=False)
    assert json.loads(whole.attrs["condensed"])["samples"] == [13, 13]
    given_up = [int((data.status == 2).sum()) for data in (merged, whole)]
    assert given_up[0] <= given_up[1]
    arrived = np.flatnonzero(((merged.status == 0) & (whole.status == 0)).values)
    assert len(arrived) >= 30
    names = ["loss", "layer_norm", "weights_1", "weights_2"]
    assert_close(merged[names].isel(network=arrived), whole[names].isel(network=arrived), 10 * 1e-6)


def test_statistics_and_several_networks_of_diverging_ones_are(generator: np.random.Generator) -> None:
    given = arguments(generator, networks=50, record=shoal.Record(measure=REDUCIBLE, reduce="moments"))
    assert_close(*both(**given), 2**10 * TOLERANCE["float64"])
    wild = arguments(generator, loss="squared", method=shoal.GradientDescent(0.4, 40), networks=50)
    condensed, whole = both(**wild)
    assert 0 < int((whole.status == 1).sum()) < 50
    np.testing.assert_array_equal(condensed.diverged_at, whole.diverged_at)
    assert (np.isnan(condensed.trajectory_1) == np.isnan(whole.trajectory_1)).all()
    assert (np.isnan(condensed.weights_1) == np.isnan(whole.weights_1)).all()


def test_what_no_input_meets_stays_as_it_was_drawn(generator: np.random.Generator) -> None:
    given = arguments(generator)
    condensed = shoal.train(**given, condense=True)
    _, _, directions = np.linalg.svd(given["task"].inputs)
    beyond = condensed.trajectory_1.values @ directions[RANK:].T
    assert np.abs(beyond - beyond[:, :1]).max() < 1e-14
    drawn = shoal.train(**{**given, "method": shoal.GradientDescent(1, 0)}, condense=False)
    assert np.abs(condensed.trajectory_1.values[:, 0] - drawn.weights_1.values).max() < 1e-15


def test_a_network_alone_other_threads_and_other_engines_give_the_same_bits(generator: np.random.Generator) -> None:
    given = arguments(generator, condense=True)
    together = shoal.train(**given, threads=1)
    for engine in ENGINES:
        same_bits(train_on(engine, **given, threads=3), together)
        same_bits(train_on(engine, **{**given, "first_network": 5, "networks": 1}), together.sel(network=[5]))


@pytest.mark.parametrize("isa", SETS)
def test_the_coordinates_have_the_same_bits_on_every_instruction_set(isa: str, generator: np.random.Generator) -> None:
    points = generator.standard_normal((40, 13)) @ generator.standard_normal((13, 77))
    for one, other in zip(_core.load(isa).span(points, 76), _core.span(points, 76), strict=True):
        assert one.shape[0 if one.shape[1] == 77 else 1] == 13
        assert one.tobytes() == other.tobytes()


def test_a_condensed_run_repeats_bit_for_bit(generator: np.random.Generator) -> None:
    data = shoal.train(**arguments(generator, condense=True))
    told = shoal.specification(data)
    assert told.condense is True
    xarray.testing.assert_identical(shoal.train(told), data)


def condensed_sizes(task: shoal.Task, how: Any = "auto", **given: Any) -> dict[str, list[int]]:
    network = shoal.Network((task.dimension, 2, 1))
    given = {"method": shoal.GradientDescent(0.1, 1), **given}
    data = shoal.train(network, task, shoal.Gaussian(0.1), condense=how, **given)
    return dict(json.loads(data.attrs["condensed"]))


def test_auto_condenses_what_saves_at_least_half(generator: np.random.Generator) -> None:
    def task(samples: int, distinct: int, inputs: int, rank: int) -> shoal.Task:
        points = np.zeros((distinct, inputs))
        points[:, :rank] = generator.standard_normal((distinct, rank))
        points = np.concatenate([points, points[:1].repeat(samples - distinct, axis=0)])
        return shoal.Task(points, np.ones(samples, dtype=int))

    for sizes, samples, inputs in (
        ((40, 20, 40, 20), [40, 20], [40, 20]),
        ((40, 21, 40, 20), [40, 40], [40, 20]),
        ((40, 20, 10, 4), [40, 20], [10, 10]),
        ((60, 50, 40, 21), [60, 60], [40, 40]),
        ((31, 3, 31, 3), [31, 31], [31, 31]),
        ((32, 3, 32, 3), [32, 3], [32, 3]),
    ):
        assert condensed_sizes(task(*sizes)) == {"samples": samples, "inputs": inputs}
        least = {"samples": [sizes[0], sizes[1]], "inputs": [sizes[2], min(sizes[1], sizes[3])]}
        assert condensed_sizes(task(*sizes), True) == least
        flown = {"method": shoal.GradientFlow(0.1, rtol=1e-3)}  # merges all equal samples
        assert condensed_sizes(task(*sizes), **flown) == {"samples": least["samples"], "inputs": inputs}
        assert condensed_sizes(task(*sizes), False, **flown)["samples"] == [sizes[0]] * 2


def test_what_cannot_be_condensed_is_trained_as_it_is(generator: np.random.Generator) -> None:
    task = low_rank_task(generator)
    assert condensed_sizes(task, True, weight_decay=0.1) == {"samples": [20, 7], "inputs": [12, 12]}
    beside = shoal.Task(task.inputs, task.labels, test=(np.eye(INPUTS)[:2], [1, -1]))
    assert condensed_sizes(beside, True) == {"samples": [20, 7], "inputs": [12, RANK + 2]}
    everywhere = shoal.Task(task.inputs, task.labels, test=(np.eye(INPUTS), [1, -1] * 6))
    assert condensed_sizes(everywhere, True) == {"samples": [20, 7], "inputs": [12, 12]}
    assert condensed_sizes(shoal.Task(np.zeros((3, 4)), [1, 1, -1]), True) == {"samples": [3, 2], "inputs": [4, 4]}
    huge = shoal.Task(np.full((2, 4), 3e38), [1, -1])  # whose coordinate float32 cannot hold
    assert condensed_sizes(huge, True, dtype="float32") == {"samples": [2, 2], "inputs": [4, 4]}
    assert condensed_sizes(huge, True) == {"samples": [2, 2], "inputs": [4, 1]}


def test_samples_that_differ_in_a_bit_or_a_label_are_not_merged() -> None:
    near = np.nextafter(1.0, 2.0)
    task = shoal.Task([[1, 0], [1, 0], [1, 0], [near, 0], [1, -0.0]], [1, 1, -1, 1, 1])
    assert condensed_sizes(task, True)["samples"] == [5, 4]


def test_the_memory_of_a_condensed_training_is_that_of_its_own_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Inputs of a hundred thousand dimensions that span one: whole packs of such weights would not fit."""
    monkeypatch.setattr(memory, "available_bytes", lambda: 100_000_000)
    network, task = shoal.Network((100_000, 20, 1)), shoal.Task(np.ones((2, 100_000)), [1, -1])
    given: dict[str, Any] = {"init": shoal.Gaussian(0.01), "method": shoal.GradientDescent(0.1, 1), "threads": 1}
    data = shoal.train(network, task, networks=8, **given)
    assert np.isfinite(data.loss).all()
    with pytest.raises(ValueError, match=r"needs 0\.[0-9]+ GB of memory"):
        shoal.train(network, task, networks=8, **given, condense=False)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ("yes", ValueError, "condense must be 'auto', True or False, got 'yes'"),
        (1, TypeError, "condense must be 'auto', True or False, got 1"),
        (None, TypeError, "condense must be 'auto', True or False, got None"),
        (np.array([1, -1]), TypeError, "condense must be 'auto', True or False, got array([ 1, -1])"),
    ],
)
def test_what_is_no_choice_is_refused(
    given: Any, error: type[Exception], message: str, generator: np.random.Generator
) -> None:
    with pytest.raises(error, match=re.escape(message)):
        shoal.train(**arguments(generator), condense=given)


def test_final_weights_are_in_the_inputs_given(generator: np.random.Generator) -> None:
    data = shoal.train(**arguments(generator, condense=True))
    first, second = layers(data, "weights")
    task = arguments(generator)["task"]
    points = data.inputs.values
    outputs = np.einsum("no,nso->ns", second[:, 0], np.maximum(np.einsum("nok,sk->nso", first, points), 0))
    np.testing.assert_allclose(data.labels.values * outputs, data.margin.isel(time=-1), rtol=0, atol=1e-13)
    assert task.dimension == first.shape[-1]
