"""Gradient flow: exact within its tolerance, also through kinks, and every network by itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray
from numpy.typing import NDArray
from scipy.integrate import solve_ivp

import reference
import shoal
from reference import Parameters
from shoal.spec.loss import resolve_loss
from support import ALL_MEASURES, LOSSES, layers, measures_of, random_init, random_task, same_bits, started

TASK = shoal.tasks.modes((1.7, 0.9), (0.6, 0.4))
NETWORK = shoal.Network((2, 6, 1))
TIMES = np.linspace(0.0, 60.0, 61)


def flown(until: float = 60.0, rtol: float = 1e-8, **changed: Any) -> xarray.Dataset:
    given = {"network": NETWORK, "task": TASK, "init": shoal.Separated(0.05), "networks": 40, **changed}
    atol = given.pop("atol", 1e-3 * rtol)
    return shoal.train(method=shoal.GradientFlow(until, rtol, atol, given.pop("max_steps", 10_000)), **given)


def start_of(**given: Any) -> list[NDArray[np.float64]]:
    begun = shoal.train(method=shoal.GradientDescent(1.0, 0), record=shoal.Record(measure=("weights",)), **given)
    return layers(begun, "weights")


@pytest.mark.parametrize("rtol", [1e-4, 1e-6, 1e-8, 1e-10])
@pytest.mark.parametrize("loss", LOSSES)
def test_margins_follow_the_closed_form_within_ten_tolerances_through_every_kink(loss: str, rtol: float) -> None:
    """Separated random networks, in which neurons die and, under the hinge losses, modes are satisfied."""
    weights = start_of(network=NETWORK, task=TASK, init=shoal.Separated(0.05), networks=200)
    predicted = shoal.theory.separated_margins(weights, TASK, loss, TIMES)
    record = shoal.Record(times=TIMES, measure=("margin", "active"))
    data = flown(rtol=rtol, networks=200, loss=loss, record=record)
    assert (data.status == 0).all()
    assert (data.active.diff("time") < 0).any(), "no neuron died"
    gaps = np.abs(data.margin.values - predicted).max(axis=1)
    assert (gaps <= 10 * rtol * np.abs(predicted).max(axis=1)).all()


@pytest.mark.parametrize("loss", ["cross_entropy", "hinge"])
@pytest.mark.parametrize("depth", [1, 2, 3, 4, 6])
def test_chains_of_every_depth_follow_the_closed_form(depth: int, loss: str) -> None:
    norm, frequency, init = 1.7, 0.6, 0.01
    mode = shoal.theory.Mode(norm=norm, frequency=frequency, start_margin=init, depth=depth, loss=loss)
    task = shoal.Task([[norm, 0.0], [0.0, 1.0]], [1, -1], [frequency, 1 - frequency])
    strength = (init / norm) ** (1 / depth)
    weights = [np.full((1, 1, 1), strength) for _ in range(depth)]
    weights[0] = np.array([[[strength, 0.0]]])
    times = np.linspace(0.0, 30.0, 31)
    for rtol in (1e-4, 1e-7, 1e-10):
        data = flown(
            30.0, rtol, network=shoal.Network((2, *[1] * depth)), task=task, init=shoal.Explicit(weights), loss=loss,
            record=shoal.Record(times=times, measure=("margin",)), networks=1,
        )  # fmt: skip
        assert np.abs(data.margin.values[0, :, 0] - mode.margin(times)).max() <= 10 * rtol * mode.margin(30.0)


@pytest.mark.parametrize(
    "given", [{}, {"scales": (0.5, 2.0, 0.7), "rates": (1.0, 3.0, 0.4), "centred": True}], ids=["plain", "parametrised"]
)
@pytest.mark.parametrize(
    ("activation", "outputs", "loss"),
    [
        ("tanh", 1, "squared"),
        ("softplus", 1, "exponential"),
        ("tanh", 3, "cross_entropy"),
        ("linear", 1, "hinge"),
        ("softplus", 3, "squared"),
        ("tanh", 1, "regression"),
        ("tanh", 3, "regression"),
        ("erf", 1, "squared"),
        ("quadratic", 3, "cross_entropy"),
        ("erf", 1, "hinge"),
        ("quadratic", 1, "squared_hinge"),
    ],
)
def test_general_networks_agree_with_an_independent_integration(
    activation: str, outputs: int, loss: str, given: dict[str, Any], generator: np.random.Generator
) -> None:
    """The oracle's gradient integrated by SciPy's method of order 8. One sample under the hinge: it meets it once."""
    network = shoal.Network((3, 5, 4, outputs), activation, bias=True, **given)
    task = random_task(1 if loss == "hinge" else 7, 3, outputs, generator, regression=loss == "regression")
    loss = "squared" if loss == "regression" else loss
    init = random_init(network, 3, generator)
    setup = reference.problem(network, task, resolve_loss(loss))
    names = measures_of(task, loss, ("loss", "margin", "output", "residual"))
    record = shoal.Record(times=[0.0, 0.7, 2.0], measure=names)
    data = flown(2.0, 1e-9, network=network, task=task, init=init, loss=loss, record=record, networks=3)
    for k in range(3):
        begun = started(init, k)
        own = setup.started(begun)
        sizes = [array.size for array in (*begun.weights, *begun.biases)]
        shapes = [array.shape for array in (*begun.weights, *begun.biases)]

        def unpacked(flat: NDArray[Any], sizes: Any = sizes, shapes: Any = shapes) -> Parameters:
            parts = [p.reshape(s) for p, s in zip(np.split(flat, np.cumsum(sizes)[:-1]), shapes, strict=True)]
            return Parameters(parts[: len(parts) // 2], parts[len(parts) // 2 :])

        def packed(parameters: Parameters) -> NDArray[Any]:
            return np.concatenate([array.ravel() for array in (*parameters.weights, *parameters.biases)])

        def slope(_: float, flat: NDArray[Any], own: Any = own, unpacked: Any = unpacked) -> NDArray[Any]:
            here = unpacked(flat)
            return packed(reference.descend(own, here, 1.0)) - packed(here)

        solved = solve_ivp(
            slope, (0.0, 2.0), packed(begun), "DOP853", data.time.values, rtol=1e-12, atol=1e-14, max_step=0.02
        )
        for i in range(3):
            expected = reference.measures(own, unpacked(solved.y[:, i]))
            scale = max(1.0, np.abs(expected["output"]).max())
            # The independent method steps over the hinge: at most its longest step times the tolerance it kept.
            for name in names:
                np.testing.assert_allclose(data[name].values[k, i], expected[name], atol=2e-8 * scale, rtol=0)


def test_descent_tends_to_the_flow_with_slope_one_in_the_rate(generator: np.random.Generator) -> None:
    network = shoal.Network((3, 5, 1), "tanh", bias=True)
    given: dict[str, Any] = {
        "network": network,
        "task": random_task(6, 3, 1, generator),
        "init": random_init(network, 8, generator),
        "record": shoal.Record(times=np.arange(0.0, 4.1, 0.5), measure=("margin",)),
        "networks": 8,
    }
    flow = flown(4.0, 1e-11, **given).margin.values
    rates = 0.02 / 2.0 ** np.arange(6)
    descents = [
        shoal.train(method=shoal.GradientDescent(rate, round(4.0 / rate)), **given).margin.values for rate in rates
    ]
    gaps = [np.abs(margins - flow).max(axis=(1, 2)) for margins in descents]
    slopes = np.log2(np.array(gaps[:-1]) / np.array(gaps[1:]))
    # The slope tends to 1 as the rate does to 0: what is left of its distance halves with the rate.
    distance = np.abs(slopes - 1)
    assert (distance[-1] < 0.01).all()
    assert (distance[2:] < 0.75 * distance[:-2]).all()


def test_flow_keeps_the_balance_of_every_unit_through_deaths() -> None:
    data = flown(record=shoal.Record(times=TIMES, measure=("balance", "active")), networks=100)
    assert (data.active.diff("time") < 0).any(), "no neuron died"
    assert np.abs(data.balance - data.balance[:, :1]).max() < 1e-8


def test_records_stand_at_the_very_times_and_do_not_move_the_steps() -> None:
    odd = np.array([0.0, 0.1, 1 / 3, np.pi, 17.0, 59.999])
    record = shoal.Record(times=odd, measure=("margin", "weights"))
    few = flown(record=shoal.Record(times=[60.0], measure=("margin", "weights")))
    many = flown(record=record)
    assert many.time.values.tolist() == odd.tolist()
    assert "step" not in many
    for name in ("weights_1", "weights_2", "accepted", "rejected", "status"):
        assert few[name].values.tobytes() == many[name].values.tobytes()
    begun = flown(record=shoal.Record(times=[0.0], measure=("margin",)))
    assert begun.margin.values[:, 0].tobytes() == many.margin.values[:, 0].tobytes()


def test_a_time_with_no_record_is_101_times_to_the_end() -> None:
    np.testing.assert_array_equal(flown(7.0).time, np.linspace(0.0, 7.0, 101))


@pytest.mark.parametrize("loss", ["cross_entropy", "hinge"])
def test_every_network_has_its_bits_whatever_its_neighbours_threads_and_records(loss: str) -> None:
    measure = tuple(name for name in ALL_MEASURES)
    given: dict[str, Any] = {"loss": loss, "record": shoal.Record(times=[0.0, 20.0, 60.0], measure=measure)}
    together = flown(networks=70, first_network=3, threads=1, **given)
    for threads in (2, 5):
        same_bits(together, flown(networks=70, first_network=3, threads=threads, **given))
    for network in (3, 40, 72):
        same_bits(together.sel(network=[network]), flown(networks=1, first_network=network, **given))
    assert len(np.unique(together.accepted)) > 10, "all networks took the same steps"


def test_a_network_that_spends_its_steps_is_marked_and_keeps_what_it_reached() -> None:
    record = shoal.Record(times=TIMES, measure=("margin", "weights"))
    whole = flown(record=record)
    enough = int(np.median(whole.accepted + whole.rejected))
    cut = flown(record=record, max_steps=enough)
    spent = (whole.accepted + whole.rejected > enough).values
    assert spent.any()
    assert not spent.all()
    assert (cut.status.values == np.where(spent, 2, 0)).all()
    assert (np.isnan(cut.stopped_at) == ~spent).all()
    reached = (cut.stopped_at.values[:, None] >= TIMES) | ~spent[:, None]
    assert (np.isfinite(cut.margin.values).all(axis=2) == reached).all()
    same = np.where(reached[:, :, None], whole.margin.values, np.nan)
    np.testing.assert_array_equal(cut.margin.values, same)
    # What gave up can go on from where it is.
    assert np.isfinite(cut.weights_1.values).all()
    assert (cut.gave_up.values == np.where(spent, 1, 0)).all()


def test_a_network_that_leaves_the_numbers_is_marked_and_its_neighbours_are_not_disturbed() -> None:
    weights = [np.full((3, 1, 1), 0.5), np.full((3, 1, 1), 0.5)]
    weights[1][1] = -800.0  # margin -400: its exponential loss overflows on the way
    network, task = shoal.Network((1, 1, 1), "linear"), shoal.Task([[1.0]], [1])
    given: dict[str, Any] = {"network": network, "task": task, "loss": "exponential"}
    weights[0][1] = 1e150
    record = shoal.Record(times=[0.0, 1.0], measure=("margin", "weights"))
    with_it = flown(1.0, init=shoal.Explicit(weights), networks=3, record=record, **given)
    assert with_it.status.values.tolist() == [0, 1, 0]
    assert np.isfinite(with_it.stopped_at.values[1])
    assert np.isnan(with_it.margin.values[1, 1]).all()
    calm = flown(1.0, init=shoal.Explicit([w[::2] for w in weights]), networks=2, record=record, **given)
    assert with_it.margin.values[::2].tobytes() == calm.margin.values.tobytes()


def test_a_network_whose_loss_is_not_finite_has_diverged() -> None:
    """The margin overflows where the weights do not."""
    weights = [np.full((2, 1, 1), 0.5), np.full((2, 1, 1), 0.5)]
    weights[0][1] = weights[1][1] = 1e200
    data = flown(
        1.0, network=shoal.Network((1, 1, 1), "linear"), task=shoal.Task([[1.0]], [1]), init=shoal.Explicit(weights),
        loss="hinge", networks=2, record=shoal.Record(times=[0.0, 1.0], measure=("loss",)),
    )  # fmt: skip
    assert data.status.values.tolist() == [0, 1]
    assert np.isfinite(data.loss.values[0]).all()
    assert np.isnan(data.loss.values[1]).all()


def test_statistics_leave_out_and_count_the_networks_that_were_given_up() -> None:
    record = {"times": TIMES, "measure": ("loss",)}
    whole = flown(record=shoal.Record(**record))
    enough = int(np.median(whole.accepted + whole.rejected))
    each = flown(record=shoal.Record(**record), max_steps=enough)
    moments = flown(record=shoal.Record(**record, reduce="moments"), max_steps=enough)
    kept = each.loss.values[each.status == 0]
    assert 2 < len(kept) < 40
    assert int(moments.exhausted) == 40 - len(kept)
    assert int(moments.diverged) == 0
    np.testing.assert_allclose(moments.loss.sel(statistic="mean"), kept.mean(axis=0), rtol=1e-13)


def test_progress_counts_networks() -> None:
    seen: list[tuple[int, int]] = []
    flown(networks=500, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (500, 500)


def test_a_saved_flow_can_be_trained_again(tmp_path: Any) -> None:
    data = flown(record=shoal.Record(times=[0.0, 30.0], measure=("margin",)))
    data.to_zarr(tmp_path / "flow.zarr", consolidated=False, zarr_format=2)
    with xarray.open_zarr(tmp_path / "flow.zarr", consolidated=False) as stored:
        training = shoal.specification(stored)
        assert training.method == shoal.GradientFlow(60.0, 1e-8, 1e-3 * 1e-8, 10_000)
        same_bits(stored.load(), shoal.train(training))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"t_end": 0.0}, "t_end must be positive"),
        ({"t_end": float("inf")}, "t_end must be finite"),
        ({"rtol": 0.5}, r"rtol must lie between 1e-13 and 0\.1, got 0\.5"),
        ({"rtol": 0.0}, "rtol must lie"),
        ({"atol": -1e-9}, "atol must not be negative"),
        ({"max_steps": 0}, "max_steps must be between 1 and"),
    ],
)
def test_a_flow_refuses_what_it_cannot_do(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        shoal.GradientFlow(**{"t_end": 1.0, **arguments})


def test_a_flow_takes_neither_steps_nor_times_beyond_its_end_nor_single_precision() -> None:
    with pytest.raises(ValueError, match="steps must be left out for a GradientFlow"):
        flown(record=shoal.Record(steps=[0, 1]))
    with pytest.raises(ValueError, match="times must not exceed t_end=60"):
        flown(record=shoal.Record(times=[0.0, 61.0]))
    with pytest.raises(ValueError, match="dtype must be float64 for a GradientFlow"):
        flown(dtype="float32")


def stiff(networks: int = 4) -> dict[str, Any]:
    """Five linear layers, of which the strongest mode rests long before the weakest is learnt."""
    strengths, initial = np.array([2.0, 1.4, 0.9, 0.6]), np.linspace(0.01, 0.03, networks)
    diagonal = initial[:, None, None] ** (1 / 5) * np.eye(4)
    task = shoal.Task.regression(2.0 * np.eye(4), 2.0 * np.diag(strengths))  # the mean of x x^T is 1
    return {
        "network": shoal.Network((4, 4, 4, 4, 4, 4), "linear"),
        "task": task,
        "init": shoal.Explicit([diagonal] * 5),
        "loss": "squared",
        "networks": networks,
    }


@pytest.mark.parametrize("rtol", [1e-7, 1e-8, 1e-10])
def test_records_between_the_steps_of_a_stiff_rest_are_as_exact_as_their_ends(rtol: float) -> None:
    """At the limit of stability an extension may be off by far more than both ends of its step."""
    times = np.linspace(0.0, 60.0, 1201)
    data = flown(60.0, rtol, **stiff(), atol=1e-4 * rtol, record=shoal.Record(times=times, measure=("output",)))
    assert (data.status == 0).all()
    for k, start in enumerate(np.linspace(0.01, 0.03, 4)):
        for mode, strength in enumerate((2.0, 1.4, 0.9, 0.6)):
            predicted = shoal.theory.linear_mode(times, start, strength, 5)
            gap = np.abs(data.output.values[k, :, mode, mode] / 2.0 - predicted).max()
            assert gap <= 10 * rtol * strength
