"""A network whose loss or weights are not finite has diverged, whatever the loss, the engine and what is recorded."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import reference
import shoal
from shoal.spec.loss import resolve_loss
from support import ENGINES, LOSSES, MEASURES, random_init, random_task, same_bits, started, train_on

EVERY = tuple(name for name in MEASURES if not name.startswith("test_"))


def exploding(loss: str, outputs: int = 1, activation: str = "linear", **changed: Any) -> dict[str, Any]:
    """Return a training of networks whose weights start so large that many explode, each at its own step."""
    generator = np.random.default_rng(5)
    network = shoal.Network((3, 6, 4, outputs), activation, bias=True)
    task = random_task(5, 3, outputs, generator)
    sizes = np.logspace(0, 3, 40)[:, None]
    drawn = random_init(network, 40, generator)
    weights = [sizes[..., None] * array for array in drawn.weights]
    return {
        "network": network,
        "task": task,
        "init": shoal.Explicit(weights, [sizes * array for array in drawn.biases]),
        "method": shoal.GradientDescent(0.5, 12),
        "loss": loss,
        "record": shoal.Record(measure=EVERY, steps=range(13)),
        **changed,
    }


@pytest.mark.usefixtures("engine")
def test_a_margin_that_is_no_number_meets_no_hinge() -> None:
    init = shoal.Explicit([[[[1e200], [1e200]]], [[[1.0, -1.0]]]])
    for loss in LOSSES:
        data = shoal.train(
            shoal.Network((1, 2, 1)),
            shoal.Task([[1e200]], [1]),
            init,
            loss=loss,
            method=shoal.GradientDescent(
                0.1, 100, stop=("fitted", "satisfied", "dead") if "hinge" in loss else "fitted"
            ),
        )
        assert data.status.item() == 1, loss
        assert data.diverged_at.item() == 0, loss
        assert np.isnan(data.loss).all(), loss


@pytest.mark.parametrize("widths", [(4, 1), (4, 3, 1)])
def test_a_loss_that_is_infinite_while_the_weights_are_finite_has_diverged(widths: tuple[int, ...]) -> None:
    network, task = shoal.Network(widths, "linear"), shoal.tasks.gaussian(8, 4, separation=2.0)
    data = shoal.train(
        network, task, shoal.Gaussian(0.5), loss="squared", method=shoal.GradientDescent(3.0, 240), networks=64
    )
    assert (data.status == 1).all()
    assert (data.diverged_at > 0).all()
    assert np.isnan(data.loss[:, -1]).all()


def linear(**changed: Any) -> dict[str, Any]:
    """Return the training of A10: deep linear networks at a rate that throws a third of them out."""
    return {
        "network": shoal.Network((4, 8, 8, 8, 1), "linear"),
        "task": shoal.tasks.gaussian(8, 4, separation=1.0),
        "init": shoal.Gaussian(0.5),
        "loss": "hinge",
        "method": shoal.GradientDescent(1.0, 60),
        "networks": 1000,
        **changed,
    }


def test_a_hinge_network_whose_output_is_infinity_less_infinity_has_diverged(engine: str) -> None:
    data = shoal.train(**linear(networks=1000 if engine == "lanes" else 100))
    lost = (data.status == 1).values
    assert lost.mean() > 0.2
    assert np.isfinite(data.loss.values[~lost]).all()
    assert np.isnan(data.loss.values[lost, -1]).all()


def test_statistics_leave_exploded_networks_out_and_count_them() -> None:
    record = shoal.Record(reduce=shoal.Statistics(events=("loss > 1",)))
    data, each = shoal.train(**linear(record=record)), shoal.train(**linear())
    kept = (each.status == 0).values
    assert int(data.diverged) == (~kept).sum()
    mean = data.loss.sel(statistic="mean").values
    np.testing.assert_allclose(mean, each.loss.values[kept].mean(axis=0), rtol=1e-12)


def test_an_exploded_network_is_neither_dead_nor_fitted_nor_satisfied() -> None:
    cases = (("linear", ("fitted", "satisfied")), ("relu", ("dead",)), ("relu", ("fitted", "satisfied", "dead")))
    for activation, rules in cases:
        network, init = shoal.Network((4, 8, 8, 8, 1), activation), shoal.Gaussian(1e77)
        data = shoal.train(**linear(network=network, init=init, method=shoal.GradientDescent(1.0, 60, stop=rules)))
        lost = np.isnan(data.loss.values[:, -1])
        assert lost.sum() > 100
        assert (data.status.values[lost] == 1).all()
        assert np.isfinite(data.loss.values[~lost]).all()


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("activation", ["linear", "relu", "softplus"])
@pytest.mark.parametrize("loss", [*LOSSES, "three classes"])
def test_networks_diverge_where_the_oracle_does(loss: str, activation: str) -> None:
    outputs = 3 if loss == "three classes" else 1
    given = exploding("cross_entropy" if outputs == 3 else loss, outputs, activation)
    data = shoal.train(**given)
    setup = reference.problem(given["network"], given["task"], resolve_loss(given["loss"]))
    with np.errstate(all="ignore"):
        oracle = [reference.train(setup, started(given["init"], k), 0.5, range(13)) for k in range(40)]
    ok = (data.status == 0).values
    for k, one in enumerate(oracle):
        if one["diverged_at"] != data.diverged_at[k].item():
            # Behind closed gates weights of any size are at rest; the core's products of them are not.
            assert max(np.abs(weight).max() for weight in one["weights"]) > 1e150
            assert not ok[k]
    if activation == "linear":
        assert len({one["diverged_at"] for one in oracle}) > 3
        assert ok.any()
    for name in ("loss", "error", "soft_error", "margin", "active", "unit_active", "weights_1", "biases_3"):
        assert np.isfinite(data[name].values[ok]).all(), name
    assert np.isnan(data.layer_norm.values[~ok, -1]).all()


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_how_a_network_ended_does_not_depend_on_what_is_recorded(dtype: str) -> None:
    given = exploding("squared", dtype="float64")
    if dtype == "float32":
        start = [np.clip(array, -1e30, 1e30) for array in given["init"].weights]
        biases = [np.clip(array, -1e30, 1e30) for array in given["init"].biases]
        given |= {"init": shoal.Explicit(start, biases), "dtype": dtype}
    whole = shoal.train(**given)
    assert set(whole.status.values) == {0, 1}
    for record in (
        shoal.Record(measure=("weights",), steps=[0]),
        shoal.Record(measure=("layer_norm", "weights"), steps=[3]),
        shoal.Record(measure=("loss", "weights"), steps=[12]),
    ):
        few = shoal.train(**{**given, "record": record})
        same_bits(few[["status", "diverged_at"]], whole[["status", "diverged_at"]])
        weights = [name for name in few if str(name).startswith(("weights", "biases"))]
        same_bits(few[weights], whole[weights])


def test_a_network_that_explodes_in_its_last_step_has_diverged() -> None:
    given = exploding("squared")
    long = shoal.train(**given)
    step = int(long.diverged_at.values.max())
    assert step > 1
    for record in (shoal.Record(measure=("loss",), steps=[0]), shoal.Record(measure=("loss",), steps=[step])):
        for engine in ENGINES:
            short = train_on(engine, **{**given, "method": shoal.GradientDescent(0.5, step), "record": record})
            assert (short.diverged_at == step).any()
            np.testing.assert_array_equal(short.diverged_at, long.diverged_at)
