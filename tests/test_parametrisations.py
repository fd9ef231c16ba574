"""Scales and rates of the layers, and centred outputs: what they mean, what they leave the same, what they conserve."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import xarray

import reference
import shoal
from reference import Array, Parameters
from shoal.dynamics import strengths
from support import (
    ACTIVATIONS,
    gaps_of_descent,
    random_init,
    random_task,
    same_bits,
    started,
    tends_with_its_rate,
)

EPS = float(np.finfo(float).eps)
UNEQUAL: dict[str, Any] = {"scales": (0.5, 2.0, 0.7), "rates": (1.0, 3.0, 0.4)}


def flown(until: float, rtol: float = 1e-9, **given: Any) -> xarray.Dataset:
    return shoal.train(method=shoal.GradientFlow(until, rtol, 1e-3 * rtol), **given)


def rescaled(init: shoal.Explicit, scales: tuple[float, ...]) -> shoal.Explicit:
    """Return the weights that make the same effective ones with these scales."""
    return shoal.Explicit([weight / scale for weight, scale in zip(init.weights, scales, strict=True)])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_scales_s_with_rates_of_their_inverse_squares_are_the_plain_network_to_the_bit(
    activation: str, outputs: int, dtype: str, generator: np.random.Generator
) -> None:
    """V = s W moves at -r s^2 dL/dV. With powers of two nothing is rounded that was not before."""
    widths, scales = (3, 6, 4, outputs), (0.5, 4.0, 0.125)
    plain = shoal.Network(widths, activation)
    scaled = shoal.Network(widths, activation, scales=scales, rates=[s**-2 for s in scales])
    init = random_init(plain, 5, generator, dtype)
    given: dict[str, Any] = {
        "task": random_task(7, 3, outputs, generator, dtype),
        "method": shoal.GradientDescent(0.25, 30),
        "dtype": dtype,
        "record": shoal.Record(measure=("loss", "margin", "active")),
    }
    one = shoal.train(plain, init=init, **given)
    other = shoal.train(scaled, init=rescaled(init, scales), **given)
    for name in ("loss", "margin", "active"):
        assert one[name].values.tobytes() == other[name].values.tobytes(), name
    last = one.loss.isel(time=-1)
    assert last.max() > last.min()  # of those that did not diverge


@pytest.mark.parametrize("loss", ["cross_entropy", "hinge"])
def test_flow_along_kinks_does_not_depend_on_how_a_rate_is_written(loss: str) -> None:
    """Rates (1, 3) are scales (1, sqrt 3) of rate 1: the metric of the projection, and orthogonal projection."""
    draw = np.random.default_rng(4)
    task = shoal.Task(draw.standard_normal((8, 3)), draw.choice([-1, 1], 8))
    fast, scales = shoal.Network((3, 5, 1), rates=(1.0, 3.0)), (1.0, float(np.sqrt(3)))
    init = random_init(fast, 16, draw)
    given: dict[str, Any] = {"task": task, "loss": loss, "record": shoal.Record(times=np.linspace(0, 6, 7))}
    one = flown(6.0, network=fast, init=init, **given)
    other = flown(6.0, network=shoal.Network((3, 5, 1), scales=scales), init=rescaled(init, scales), **given)
    plain = flown(6.0, network=shoal.Network((3, 5, 1)), init=init, **given)
    kept = ((one.status == 0) & (other.status == 0)).values
    assert kept.mean() >= 0.5
    np.testing.assert_allclose(one.margin.values[kept], other.margin.values[kept], rtol=0, atol=1e-7)
    assert np.nanmax(np.abs(one.margin - plain.margin).values[kept]) > 0.1
    # Where a unit or a margin rests on a kink: this is what the test is about.
    resting = np.abs(one.margin.values[kept, -1] - 1) < 1e-7 if loss == "hinge" else one.accepted.values[kept] > 200
    assert resting.any()


def test_descent_tends_to_the_sliding_flow_of_a_centred_network_with_rates() -> None:
    draw = np.random.default_rng(4)
    given: dict[str, Any] = {
        "network": shoal.Network((3, 6, 1), scales=(0.7, 1.5), rates=(1.0, 3.0), centred=True),
        "task": shoal.Task(draw.standard_normal((8, 3)), draw.choice([-1, 1], 8)),
        "init": shoal.Gaussian(0.5),
        "loss": "hinge",
        "networks": 32,
        "record": shoal.Record(times=np.linspace(0.0, 5.0, 6), measure=("margin",)),
    }
    assert tends_with_its_rate(gaps_of_descent(flown(5.0, 1e-8, **given), 5.0, **given))


@pytest.mark.parametrize("start", [0.0, 2.5, -4.0])
def test_a_centred_linear_network_follows_the_closed_form_of_the_hinge_from_any_start(start: float) -> None:
    """Margins grow from 0 at r s^2 times the Gram matrix; the first stays at 1 while the other's pull is projected."""
    points, shares, scale, rate = np.array([[1.5, 0.0], [-0.4, 0.8]]), np.array([0.7, 0.3]), 0.4, 2.5
    gram = rate * scale**2 * points @ points.T
    rise = gram @ shares
    first = 1.0 / rise[0]
    along = shares[1] * (gram[1, 1] - gram[0, 1] ** 2 / gram[0, 0])
    last = first + (1.0 - rise[1] * first) / along
    times = np.linspace(0.0, 1.3 * last, 40)
    slides = np.clip(times - first, 0.0, last - first)
    expected = np.outer(np.minimum(times, first), rise) + np.outer(slides, [0.0, along])
    data = flown(
        times[-1], network=shoal.Network((2, 1), scales=[scale], rates=[rate], centred=True),
        task=shoal.Task(points, [1, 1], shares), init=shoal.Explicit([np.full((1, 1, 2), start)]), loss="hinge",
        record=shoal.Record(times=times, measure=("margin",)),
    )  # fmt: skip
    np.testing.assert_allclose(data.margin.values[0], expected, atol=1e-8, rtol=0)


def kernel(network: shoal.Network, task: shoal.Task, parameters: Parameters) -> Array:
    """Return sum_l r_l J_l J_l^T of the logits, each derivative by a complex step through the oracle."""
    setup = reference.problem(network, task, shoal.Squared())
    total = np.zeros((task.samples, task.samples))
    for layer, weight in enumerate(parameters.weights):
        for at in np.ndindex(weight.shape):
            moved = weight.astype(complex)
            moved[at] += 1e-100j
            changed = [*parameters.weights[:layer], moved, *parameters.weights[layer + 1 :]]
            slope = np.imag(reference.forward(setup, Parameters(changed, []))[1][-1][:, 0]) / 1e-100
            total += network.rates[layer] * np.outer(slope, slope)
    return total


@pytest.mark.parametrize(
    "network",
    [
        shoal.Network.standard((3, 8, 1), "tanh"),
        shoal.Network.ntk((3, 8, 6, 1), "tanh"),
        shoal.Network.mean_field(3, 12, alpha=2.5, activation="softplus"),
        shoal.Network((3, 5, 4, 1), "tanh", scales=(0.5, 2.0, 0.7), rates=(1.0, 3.0, 0.4), centred=True),
    ],
)
def test_the_outputs_begin_to_move_by_minus_the_kernel_times_the_residuals(
    network: shoal.Network, generator: np.random.Generator
) -> None:
    task = random_task(6, 3, 1, generator)
    init = random_init(network, 1, generator)
    data = shoal.train(network, task, init, method=shoal.GradientDescent(1.0, 0), loss="squared")
    margins = data.margin.values[0, 0]
    velocity = (
        kernel(network, task, started(init, 0)) @ (task.sample_weight * task.labels * (1 - margins)) * task.labels
    )
    gaps = []
    for rate in (1e-3, 5e-4, 2.5e-4):
        moved = shoal.train(network, task, init, method=shoal.GradientDescent(rate, 1), loss="squared").margin.values[0]
        gaps.append(np.abs((moved[1] - moved[0]) / rate - velocity).max())
    orders = np.log2(np.array(gaps[:-1]) / gaps[1:])
    np.testing.assert_allclose(orders, 1.0, atol=0.01)


@pytest.mark.parametrize("alpha", [0.1, 1.0, 30.0])
@pytest.mark.parametrize("nodes", [5, 64])
def test_nodes_of_the_mean_field_move_by_the_paper_s_equations(
    nodes: int, alpha: float, generator: np.random.Generator
) -> None:
    """a' = <u y relu(w.x/sqrt d)>, w' = <u y a theta(w.x) x>/sqrt d: whatever the number of nodes and alpha."""
    task, network, rate = random_task(20, 4, 1, generator), shoal.Network.mean_field(4, nodes, alpha), 0.125
    w, a = generator.standard_normal((nodes, 4)), generator.standard_normal(nodes)
    data = shoal.train(
        network, task, shoal.Explicit([w[None], a[None, None]]), method=shoal.GradientDescent(rate, 1), loss="hinge",
        record=shoal.Record(measure=("weights", "margin")),
    )  # fmt: skip
    inward = task.inputs @ w.T / 2.0
    logits = alpha / nodes * np.maximum(inward, 0) @ a
    pull = task.sample_weight * task.labels * (task.labels * logits < 1)
    moved = {
        "weights_2": a + rate * pull @ np.maximum(inward, 0),
        "weights_1": w + rate * a[:, None] * ((inward > 0) * pull[:, None]).T @ task.inputs / 2.0,
    }
    for name, expected in moved.items():
        np.testing.assert_allclose(data[name].values[0].squeeze(), expected, rtol=0, atol=64 * EPS * np.abs(w).max())


@pytest.mark.parametrize(
    ("method", "activation"),
    [(shoal.GradientDescent(0.05, 200), "relu"), (shoal.GradientFlow(10.0, 1e-10, 1e-12), "tanh")],
)
@pytest.mark.parametrize("centred", [False, True])
def test_a_mean_field_of_nodes_each_repeated_moves_as_the_few_do(
    centred: bool, method: Any, activation: str, generator: np.random.Generator
) -> None:
    """The unit of time is the same for every number of nodes: M nodes, and 4 M in M groups of equal ones."""
    nodes, copies = 7, 4
    task = random_task(9, 3, 1, generator)
    w, a = generator.standard_normal((3, nodes, 3)), generator.standard_normal((3, 1, nodes))
    record = shoal.Record(measure=("margin", "trajectory"))

    def trained(nodes: int, weights: list[Array]) -> xarray.Dataset:
        network = shoal.Network.mean_field(3, nodes, 3.0, activation=activation, centred=centred)
        return shoal.train(network, task, shoal.Explicit(weights), method=method, loss="squared_hinge", record=record)

    few = trained(nodes, [w, a])
    many = trained(copies * nodes, [np.repeat(w, copies, axis=1), np.repeat(a, copies, axis=2)])
    # Rounding of each step; of the flow, whose steps depend on it, the tolerance.
    allowed = 200 * (copies * nodes + 8) * EPS if isinstance(method, shoal.GradientDescent) else 1e-8
    for name in ("trajectory_1", "trajectory_2"):
        repeated = np.repeat(few[name].values, copies, axis=2 if name == "trajectory_1" else 3)
        assert np.abs(many[name].values - repeated).max() < allowed
    assert np.abs(many.margin - few.margin).max() < allowed
    assert np.abs(few.trajectory_2.isel(time=-1) - few.trajectory_2.isel(time=0)).max() > 0.1


@pytest.mark.parametrize("method", [shoal.GradientDescent(0.1, 20), shoal.GradientFlow(2.0)])
@pytest.mark.parametrize(("loss", "outputs"), [("hinge", 1), ("exponential", 1), ("cross_entropy", 3)])
def test_a_centred_network_is_zero_at_the_start_and_then_what_it_grew_by(
    loss: str, outputs: int, method: Any, generator: np.random.Generator
) -> None:
    network = shoal.Network((4, 6, 5, outputs), bias=True, centred=True, **UNEQUAL)
    plain = shoal.Network((4, 6, 5, outputs), bias=True, **UNEQUAL)
    train, test = random_task(40, 4, outputs, generator), random_task(300, 4, outputs, generator)
    task = shoal.Task(train.inputs, train.labels, train.sample_weight, (test.inputs, test.labels))
    measures = ("margin", "test_margin", "trajectory", "test_error", "test_loss")
    data = shoal.train(
        network, task, random_init(network, 5, generator), method=method, loss=loss,
        record=shoal.Record(measure=measures),
    )  # fmt: skip
    start = data.isel(time=0)
    for name in ("margin", "test_margin"):
        assert (start[name].values == 0).all()
    np.testing.assert_allclose(start.test_error, 1 - 1 / max(outputs, 2), rtol=300 * EPS)
    for points, labels, name in ((train.inputs, train.labels, "margin"), (test.inputs, test.labels, "test_margin")):
        setup = reference.problem(plain, shoal.Task(points, labels), shoal.CrossEntropy())
        for k in range(5):
            outs = []
            for when in (0, -1):
                weights = [data[f"trajectory_{layer}"].values[k, when] for layer in (1, 2, 3)]
                biases = [data[f"trajectory_bias_{layer}"].values[k, when] for layer in (1, 2, 3)]
                outs.append(reference.forward(setup, Parameters(weights, biases))[1][-1])
            expected = reference.margins_of(setup, outs[1] - outs[0])
            np.testing.assert_allclose(data[name].values[k, -1], expected, rtol=0, atol=1e-13)
    assert np.abs(data.margin.isel(time=-1)).max() > 0.1


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "linear"])
def test_flow_conserves_the_balance_of_every_unit_whatever_scales_and_rates(
    activation: str, generator: np.random.Generator
) -> None:
    network = shoal.Network((3, 5, 4, 2), activation, bias=True, centred=True, **UNEQUAL)
    data = flown(
        3.0, network=network, task=random_task(7, 3, 2, generator), init=random_init(network, 8, generator),
        record=shoal.Record(measure=("balance", "layer_norm")),
    )  # fmt: skip
    kept = (data.status == 0).values
    assert kept.mean() > 0.8
    assert np.abs(data.balance - data.balance[:, :1]).values[kept].max() < 1e-7
    assert np.abs(data.layer_norm[:, -1] - data.layer_norm[:, 0]).values[kept].max() > 0.1


def test_a_balanced_start_has_balance_zero_at_unequal_rates_too() -> None:
    network = shoal.Network((3, 5, 4, 2), **UNEQUAL)
    task = shoal.Task([[1.0, 2.0, -1.0]], [1])
    data = shoal.train(
        network, task, shoal.Balanced(0.5), method=shoal.GradientDescent(0.1, 0), networks=9,
        record=shoal.Record(measure=("balance", "weights")),
    )  # fmt: skip
    incoming, outgoing = (data.weights_1**2).sum("unit_0").values, (data.weights_2**2).sum("unit_2").values
    np.testing.assert_allclose(outgoing / incoming, 3.0, rtol=32 * EPS)
    assert np.abs(data.balance).max() < 32 * EPS * incoming.max()


def test_equal_rates_leave_the_balance_what_it_is_without() -> None:
    given: dict[str, Any] = {
        "task": shoal.tasks.modes((1.7, 0.9)), "init": shoal.Gaussian(1.0), "networks": 5,
        "record": shoal.Record(measure=("balance",)), "method": shoal.GradientDescent(0.1, 0),
    }  # fmt: skip
    same_bits(shoal.train(shoal.Network.mean_field(2, 6, 3.0), **given), shoal.train(shoal.Network((2, 6, 1)), **given))


def test_strengths_know_scales_and_where_a_centred_network_began() -> None:
    task = shoal.tasks.modes((1.7, 0.9))
    record = shoal.Record(measure=("margin", "trajectory"))
    for centred in (False, True):
        data = shoal.train(
            shoal.Network.mean_field(2, 6, 2.0, centred=centred), task, shoal.Gaussian(1.0),
            method=shoal.GradientDescent(0.1, 20), networks=3, record=record,
        )  # fmt: skip
        found = strengths(data, task.inputs).strength * task.labels
        np.testing.assert_allclose(found.values, data.margin.values, rtol=0, atol=1e-14)
    for cut in (data.isel(time=slice(1, None)), data.isel(time=-1)):
        with pytest.raises(ValueError, match="data must hold the measure 'trajectory' from time 0 on"):
            strengths(cut, task.inputs)


def test_parametrisations_are_what_their_formulas_say() -> None:
    standard, tangent = shoal.Network.standard((9, 16, 4, 1)), shoal.Network.ntk((9, 16, 4, 1), bias=True)
    assert standard == shoal.Network((9, 16, 4, 1))
    assert (standard.scales, standard.rates, standard.centred) == ((1.0,) * 3, (1.0,) * 3, False)
    assert (tangent.scales, tangent.rates, tangent.bias) == ((1 / 3, 1 / 4, 1 / 2), (1.0,) * 3, True)
    field = shoal.Network.mean_field(16, 50, alpha=5, activation="leaky_relu", slope=0.2, centred=True)
    assert (field.widths, field.scales, field.rates) == ((16, 50, 1), (0.25, 0.1), (10.0, 10.0))
    assert (field.activation, field.slope, field.bias, field.centred) == ("leaky_relu", 0.2, False, True)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: shoal.Network((2, 3, 1), scales=(1.0,)), ValueError,
         "scales must hold one number for each of the 2 weight layers, got (1.0,)"),
        (lambda: shoal.Network((2, 3, 1), rates=[1, 2, 3]), ValueError,
         "rates must hold one number for each of the 2 weight layers, got (1.0, 2.0, 3.0)"),
        (lambda: shoal.Network((2, 3, 1), scales=(1.0, 0)), ValueError, "scales[1] must be positive, got 0.0"),
        (lambda: shoal.Network((2, 3, 1), rates=(-1, 1)), ValueError, "rates[0] must be positive, got -1.0"),
        (lambda: shoal.Network((2, 3, 1), rates=(1, np.nan)), ValueError, "rates[1] must be finite, got nan"),
        (lambda: shoal.Network((2, 3, 1), scales=(1, 1e-101)), ValueError,
         "scales[1] must lie between 1e-100 and 1e+100, got 1e-101"),
        (lambda: shoal.Network((2, 3, 1), scales="12"), TypeError,  # type: ignore[arg-type]
         "scales must be a sequence of 2 numbers, one per weight layer, got '12'"),
        (lambda: shoal.Network((2, 3, 1), rates=3.0), TypeError,  # type: ignore[arg-type]
         "rates must be a sequence of 2 numbers, one per weight layer, got 3.0"),
        (lambda: shoal.Network((2, 3, 1), scales=(1, "a")), TypeError,  # type: ignore[arg-type]
         "scales[1] must be a number, got 'a'"),
        (lambda: shoal.Network((2, 3, 1), centred=1), TypeError,  # type: ignore[arg-type]
         "centred must be True or False, got 1"),
        (lambda: shoal.Network.mean_field(2, 3, alpha=0.0), ValueError, "alpha must be positive, got 0.0"),
        (lambda: shoal.Network.mean_field(2, 3, alpha=-2), ValueError, "alpha must be positive, got -2.0"),
        (lambda: shoal.Network.mean_field(2, 3, alpha=1e101), ValueError,
         "alpha must make alpha / nodes lie between 1e-100 and 1e+100, got 1e+101"),
        (lambda: shoal.Network.mean_field(2, 0), ValueError, "nodes must be between 1 and 1073741824, got 0"),
        (lambda: shoal.Network.mean_field(0, 3), ValueError, "inputs must be between 1 and 1073741824, got 0"),
        (lambda: shoal.Network.mean_field(2, 3.0), TypeError, "nodes must be an integer"),  # type: ignore[arg-type]
        (lambda: shoal.Network.ntk("abc"), TypeError, "widths must be a sequence of integers"),  # type: ignore[arg-type]
    ],
)  # fmt: skip
def test_what_is_no_parametrisation_is_refused_by_name(
    make: Callable[[], object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=f"^{re.escape(message)}"):
        make()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"scales": (1e40, 1.0)}, r"scales[0] must lie within the range of float32"),
        ({"rates": (1.0, 1e-60)}, r"rates[1] must lie within the range of float32"),
        ({"scales": (1e30, 1.0), "rates": (1e30, 1.0)}, r"scales[0] x rates[0] must lie within the range of float32"),
    ],
)
def test_scales_and_rates_that_float32_cannot_hold_are_refused(given: dict[str, Any], message: str) -> None:
    network, task = shoal.Network((2, 3, 1), **given), shoal.tasks.modes((1.7, 0.9))
    with pytest.raises(ValueError, match=re.escape(message)):
        shoal.train(network, task, shoal.Gaussian(0.1), method=shoal.GradientDescent(0.1, 1), dtype="float32")
