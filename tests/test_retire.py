"""A network that is done leaves its lane to the next one, and no bit of any result shows it; rules end it early."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import xarray

import shoal
from support import MEASURES, layers, same_bits, train_on

STEPS = 500
WATCHED = 31  # the core looks every 32 steps for networks that no longer move: a call of fewer never looks
RECORDED = range(0, STEPS + 1, 20)
EVERY = shoal.Record(measure=MEASURES, steps=RECORDED)


def task(generator: np.random.Generator, outputs: int = 1) -> shoal.Task:
    """Return few samples, so that many networks meet all hinges soon, one of them of weight 0."""
    labels = [1, -1, 1, -1, 1] if outputs == 1 else [0, 1, 2, 1, 0]
    points = generator.standard_normal((8, 3))
    return shoal.Task(points[:5], labels, [1, 2, 1, 0, 1], test=(points[5:], labels[:3]))


def arguments(generator: np.random.Generator, **changed: Any) -> dict[str, Any]:
    return {
        "network": shoal.Network((3, 5, 1)),
        "task": task(generator),
        "init": shoal.Gaussian(0.7),
        "loss": "hinge",
        "method": shoal.GradientDescent(0.25, STEPS),
        "record": EVERY,
        "networks": 61,
        **changed,
    }


CASES: dict[str, dict[str, Any]] = {
    "hinge": {},
    "float32": {"dtype": "float32", "networks": 150},
    "tiny": {"network": shoal.Network((3, 2, 1)), "networks": 150},
    "deep": {"network": shoal.Network((3, 5, 4, 1), bias=True), "method": shoal.GradientDescent(0.1, STEPS)},
    "squared hinge": {"loss": "squared_hinge", "method": shoal.GradientDescent(0.6, STEPS)},
    "diverging": {
        "network": shoal.Network((3, 5, 1), bias=True),
        "loss": "squared",
        "method": shoal.GradientDescent(2, STEPS),
    },
    "most die": {
        "network": shoal.Network((3, 1, 1)),
        "loss": "cross_entropy",
        "method": shoal.GradientDescent(30, STEPS),
    },
}


def stepwise(given: dict[str, Any], init: shoal.Explicit) -> list[xarray.Dataset]:
    """Return the pieces of a training, each in a call of its own that begins where the one before ended."""
    pieces = []
    steps = sorted({*RECORDED, *range(0, STEPS + 1, WATCHED - 1)})
    for begin, end in pairwise(steps):
        method = shoal.GradientDescent(given["method"].learning_rate, end - begin)
        # Distances are those from where each piece begins.
        measures = [name for name in MEASURES if name not in ("distance", "kernel_distance")]
        record = shoal.Record(measure=measures, steps=[0, end - begin])
        piece = shoal.train(**{**given, "init": init, "method": method, "record": record})
        lost = (piece.status != 0).values
        weights = [np.where(lost[:, None, None], 0.0, array) for array in layers(piece, "weights")]
        biases = [np.where(lost[:, None], 0.0, array) for array in layers(piece, "biases")]
        init = shoal.Explicit(weights, biases or None)
        pieces.append(piece.assign_coords(step=("time", [begin, end])))
    return pieces


@pytest.mark.parametrize("name", CASES)
def test_networks_that_retire_record_what_networks_do_that_never_may(name: str, generator: np.random.Generator) -> None:
    """Compare one call, in which networks leave and come, with a chain of calls too short for any to leave."""
    given = arguments(generator, **CASES[name])
    whole = shoal.train(**given)
    drawn = shoal.train(
        **{**given, "method": shoal.GradientDescent(1, 0), "record": shoal.Record(measure=("weights",))}
    )
    pieces = stepwise(given, shoal.Explicit(layers(drawn, "weights"), layers(drawn, "biases") or None))
    diverged = np.full(given["networks"], -1)
    for piece in pieces:
        now = (piece.status.values == 1) & (diverged < 0)
        diverged = np.where(now, piece.step.values[0] + piece.diverged_at.values, diverged)
        alive = piece.isel(network=np.flatnonzero(diverged < 0))
        for step in set(piece.step.values) & set(RECORDED):
            ours = whole.isel(time=list(whole.step.values).index(step), network=np.flatnonzero(diverged < 0))
            theirs = alive.isel(time=list(piece.step.values).index(step))
            recorded = [v for v in theirs if "time" in piece[v].dims]
            same_bits(ours[recorded], theirs[recorded])
    np.testing.assert_array_equal(whole.diverged_at, diverged)
    np.testing.assert_array_equal(whole.status, diverged >= 0)
    ended = pieces[-1].isel(network=np.flatnonzero(diverged < 0))
    final = [v for v in whole if str(v).startswith(("weights_", "biases_"))]
    same_bits(whole.isel(network=np.flatnonzero(diverged < 0))[final], ended[final])
    lost = whole.isel(network=np.flatnonzero(diverged >= 0))
    for measure in ("loss", "margin", "test_loss", "layer_norm", "trajectory_1"):
        after = lost.step.values >= lost.diverged_at.values[:, None]
        rest = tuple(range(2, lost[measure].ndim))
        assert (np.isnan(lost[measure].values).all(axis=rest) == after).all()


def test_the_cases_retire_and_diverge(generator: np.random.Generator) -> None:
    """Else the test above would show nothing: many, but not all, stand still long before the end."""
    for name, share in (("hinge", 0.5), ("tiny", 0.2), ("deep", 0.2), ("most die", 0.5)):
        data = shoal.train(**arguments(generator, **CASES[name]))
        still = (data.trajectory_1 == data.trajectory_1.isel(time=-1)).all(("unit_0", "unit_1"))
        assert float(still.sel(time=slice(0, data.time.values[15])).isel(time=-1).mean()) > share, name
    data = shoal.train(**arguments(generator, **CASES["diverging"]))
    assert 0 < int((data.status == 1).sum()) < data.sizes["network"]


@pytest.mark.parametrize("name", CASES)
def test_neither_threads_nor_neighbours_nor_records_show(name: str, generator: np.random.Generator) -> None:
    given = arguments(generator, **CASES[name])
    together = shoal.train(**given, threads=1)
    same_bits(shoal.train(**given, threads=3), together)
    for network in (0, 7, 60):
        same_bits(shoal.train(**{**given, "first_network": network, "networks": 1}), together.sel(network=[network]))
    for steps in ([STEPS], [0, 7, 8, 31, 32, 33, 64, 300], range(STEPS + 1)):  # at once, apart, every step
        few = shoal.train(**{**given, "record": shoal.Record(steps=steps, measure=MEASURES)})
        common = sorted(set(steps) & set(together.step.values.tolist()))
        chosen = [list(data.step.values).index(step) for data in (few, together) for step in common]
        here, there = chosen[: len(common)], chosen[len(common) :]
        same_bits(few.isel(time=here), together.isel(time=there))


def test_centred_networks_that_come_later_count_from_their_own_start(generator: np.random.Generator) -> None:
    network = shoal.Network((3, 5, 1), scales=(1, 2), rates=(1, 0.5), centred=True)
    given = arguments(generator, network=network, record=shoal.Record(measure=MEASURES, steps=[0, STEPS]))
    together = shoal.train(**given)
    assert (together.margin.isel(time=0) == 0).all()
    assert (together.test_margin.isel(time=0) == 0).all()
    for i in range(61):
        same_bits(shoal.train(**{**given, "first_network": i, "networks": 1}), together.sel(network=[i]))


def test_progress_counts_the_steps_that_need_not_be_made(generator: np.random.Generator) -> None:
    seen: list[tuple[int, int]] = []
    shoal.train(**arguments(generator), progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (61 * STEPS, 61 * STEPS)


@pytest.mark.parametrize("engine", ["lanes", "alone", "auto"])
@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_what_no_step_moves_is_not_trained_to_its_last_step(
    engine: str, momentum: float, generator: np.random.Generator
) -> None:
    """Ten billion steps of networks without weights, which have no gradient, take no time."""
    steps, sizes = 10**10, ((20, 3), (1, 20))
    given = arguments(
        generator,
        network=shoal.Network((3, 20, 1)),
        init=shoal.Explicit([np.zeros((3, *size)) for size in sizes]),
        method=shoal.GradientDescent(0.25, steps, momentum=momentum),
        record=shoal.Record(steps=[0, 40, steps], measure=("loss", "weights")),
        networks=3,
    )
    data = train_on(engine, **given)
    assert (data.loss == data.loss.isel(time=0)).all()
    assert (data.status == 0).all()


def first_step(met: xarray.DataArray) -> np.ndarray[Any, Any]:
    """Return the first step at which a network meets a rule, -1 where it never does."""
    return np.where(met.any("time"), met.step.values[met.argmax("time").values], -1)


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("rule", ["fitted", "satisfied", "dead"])
def test_a_rule_ends_a_network_at_the_first_step_that_meets_it(
    rule: str, outputs: int, generator: np.random.Generator
) -> None:
    """Compare it with a training without rules that records every step."""
    if outputs > 1 and rule == "satisfied":
        return  # there is no hinge of several outputs
    network = shoal.Network((3, 1, outputs) if rule == "dead" else (3, 5, outputs), bias=rule == "dead")
    loss = "cross_entropy" if outputs > 1 else "hinge"
    given = arguments(
        generator,
        network=network,
        task=task(generator, outputs),
        loss=loss,
        record=shoal.Record(measure=MEASURES, steps=range(STEPS + 1)),
        method=shoal.GradientDescent(5.0 if rule == "dead" else 0.1, STEPS),
        weight_decay=1e-3,
    )
    free = shoal.train(**given)
    learnt = free.margin.isel(sample=np.flatnonzero(given["task"].sample_weight > 0))
    met = {
        "fitted": (learnt > 0).all("sample"),
        "satisfied": (learnt >= 1).all("sample"),
        "dead": ~free.pattern.isel(sample=np.flatnonzero(given["task"].sample_weight > 0)).any(("unit", "sample")),
    }[rule]
    expected = first_step(met)
    stopped = shoal.train(**{**given, "method": shoal.GradientDescent(given["method"].learning_rate, STEPS, stop=rule)})
    np.testing.assert_array_equal(stopped.stopped_at, expected)
    np.testing.assert_array_equal(
        stopped.status, np.where(expected < 0, 0, {"fitted": 3, "satisfied": 4, "dead": 5}[rule])
    )
    assert 5 < (expected >= 0).sum() < 61
    until = np.where(expected < 0, STEPS, expected)
    for i in range(61):
        held = np.minimum(np.arange(STEPS + 1), until[i])
        timed = [v for v in free if "time" in free[v].dims]
        same_bits(stopped[timed].isel(network=i), free[timed].isel(network=i, time=held))
        for layer, weights in enumerate(layers(stopped, "weights"), start=1):
            assert weights[i].tobytes() == free[f"trajectory_{layer}"].values[i, until[i]].tobytes()
    few = shoal.train(
        **{**given, "method": shoal.GradientDescent(given["method"].learning_rate, STEPS, stop=rule), "record": EVERY}
    )
    same_bits(few, stopped.isel(time=list(RECORDED)))


def test_several_rules_are_counted_by_statistics(generator: np.random.Generator) -> None:
    method = shoal.GradientDescent(0.25, STEPS, stop=("dead", "fitted"))
    given = arguments(generator, network=shoal.Network((3, 2, 1)), method=method, networks=400)
    given["record"] = shoal.Record(measure=("loss", "margin"))
    data = shoal.train(**given)
    reduced = shoal.train(**{**given, "record": shoal.Record(measure=("loss", "margin"), reduce="moments")})
    assert (int(reduced.fitted), int(reduced.dead)) == (int((data.status == 3).sum()), int((data.status == 5).sum()))
    assert "satisfied" not in reduced
    assert (reduced.loss.sel(statistic="count") == 400).all()
    assert ((data.stopped_at >= 0) == (data.status >= 3)).all()
    assert 0 < int(reduced.fitted) < 400
    again = shoal.train(shoal.specification(data))
    xarray.testing.assert_identical(again, data)
    assert shoal.specification(data).method == method


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"stop": 3}, TypeError, "stop must be one or several of fitted, satisfied, dead, or None, got 3"),
        ({"stop": (3,)}, TypeError, "stop must be one of fitted, satisfied, dead, got 3 of type int"),
        ({"stop": "bored"}, ValueError, "stop must be one of fitted, satisfied, dead, got 'bored'"),
        ({"stop": ["dead", "dead"]}, ValueError, r"stop must not repeat a name, got \('dead', 'dead'\)"),
    ],
)
def test_what_is_no_rule_is_refused(given: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        shoal.GradientDescent(0.1, 3, **given)


def test_rules_without_meaning_are_refused(generator: np.random.Generator) -> None:
    with pytest.raises(
        ValueError, match="stop must not hold 'satisfied' unless loss is hinge or squared_hinge, got sq"
    ):
        shoal.train(**arguments(generator, loss="squared", method=shoal.GradientDescent(0.1, 3, stop="satisfied")))
    dead = shoal.GradientDescent(0.1, 3, stop=("fitted", "dead"))
    for network in (shoal.Network((3, 4, 1), "tanh"), shoal.Network((3, 1))):
        given = arguments(generator, network=network, method=dead, record=shoal.Record(measure=("loss",)))
        with pytest.raises(
            ValueError, match="stop must not hold 'dead' unless the network has hidden units with activ"
        ):
            shoal.train(**given)
