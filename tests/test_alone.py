"""A network that trains alone, its samples in the lanes: the bits that it has among networks in the lanes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import xarray

import reference
import rounding
import shoal
from shoal import _core
from shoal.spec.loss import resolve_loss
from support import (
    ACTIVATIONS,
    ENGINES,
    FUSED,
    LOSSES,
    MEASURES,
    QUICK_MEASURES,
    final,
    on,
    python,
    random_init,
    random_task,
    same_bits,
    started,
    train_on,
)
from test_train import assert_measured, train_to

RATE = 0.3  # of train_to


def everything(widths: tuple[int, ...] = (5, 17, 9, 1), samples: int = 301, **changed: Any) -> dict[str, Any]:
    """Return a training with biases, unequal weights of which some are 0, test samples, penalties and all measures.

    Of many samples those that are slow are left out.
    """
    generator = np.random.default_rng(sum(widths) + samples)
    outputs = widths[-1]

    def labels(count: int) -> Any:
        return generator.choice([-1, 1], count) if outputs == 1 else generator.integers(outputs, size=count)

    inputs = generator.standard_normal((samples, widths[0])).astype(np.float32)
    weights = generator.uniform(0.5, 2, samples) * (np.arange(samples) % 7 < 6)
    test = (generator.standard_normal((150, widths[0])).astype(np.float32), labels(150))
    return {
        "network": shoal.Network(widths, bias=True),
        "task": shoal.Task(inputs, labels(samples), weights, test=test),
        "init": shoal.Gaussian(0.5),
        "method": shoal.GradientDescent(0.05, 6),
        "record": shoal.Record(steps=[0, 2, 4, 6], measure=MEASURES if samples < 150 else QUICK_MEASURES),
        "weight_decay": 0.03,
        "spectral_decoupling": 0.02,
        "networks": 2,
        **changed,
    }


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each network train alone."""
    monkeypatch.setenv("SHOAL_ENGINE", "alone")


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("loss", "outputs"), [*((loss, 1) for loss in LOSSES), ("cross_entropy", 3)])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_step_and_every_measure_is_the_oracles_to_rounding(
    activation: str, loss: str, outputs: int, dtype: str, generator: np.random.Generator
) -> None:
    network = shoal.Network((3, 9, 5, outputs), activation, bias=activation in ("relu", "tanh"))
    task = random_task(11, 3, outputs, generator, "float32")
    init = random_init(network, 2, generator, "float32", scale=0.7)
    setup, eps = reference.problem(network, task, resolve_loss(loss)), float(np.finfo(dtype).eps)
    before = [started(init, k) for k in range(2)]
    for step in range(1, 5):
        data = train_to(step, network=network, task=task, init=init, loss=loss, dtype=dtype)
        for k in range(2):
            after = final(data, k)
            assert_measured(data, k, setup, after, started(init, k), eps)
            assert rounding.clear_of_kinks(setup, before[k], eps), "take another seed"
            expected = reference.descend(setup, before[k], RATE)
            bound = rounding.step_bounds(setup, before[k], RATE, eps)
            for kind in ("weights", "biases"):
                arrays = (getattr(of, kind) for of in (after, expected, bound))
                assert all((np.abs(w - e) <= b).all() for w, e, b in zip(*arrays, strict=True))
            before[k] = after


def both(given: dict[str, Any], **changed: Any) -> xarray.Dataset:
    """Return a training whose networks train alone, after a comparison with networks in the lanes."""
    data = train_on("alone", **given, **changed)
    same_bits(data, train_on("lanes", **given))
    return data


def without_units(given: dict[str, Any]) -> dict[str, Any]:
    """Return the training without what only networks with hidden units have."""
    of_units = ("balance", "active", "unit_active", "pattern")
    return {
        **given,
        "record": replace(given["record"], measure=[name for name in given["record"].measure if name not in of_units]),
    }


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("samples", [1, 127, 129, 257])
def test_widths_and_sample_counts_of_every_remainder_have_the_bits_of_lanes(samples: int, dtype: str) -> None:
    """Widths beside those of a register and a tile; samples beside those of a block and a share."""
    for widths in ((1, 1, 1), (2, 7, 1), (3, 8, 1), (10, 9, 2), (11, 33, 17, 1), (5, 16, 15, 12), (200, 3, 70, 1)):
        both(everything(widths, samples, init=shoal.Gaussian(gain=1.0), networks=1, dtype=dtype))
    for widths in ((1, 1), (9, 1), (16, 3)):
        both(without_units(everything(widths, samples, init=shoal.Gaussian(gain=1.0), networks=1, dtype=dtype)))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("widths", [(60, 70, 1), (50, 40, 30, 3), (2000, 1)])
def test_samples_in_shares_have_the_bits_of_lanes(widths: tuple[int, ...], dtype: str) -> None:
    """Parameters x samples above 2**20, in 6 shares of samples that are learnt; on any threads."""
    given = everything(widths, 771, dtype=dtype, method=shoal.GradientDescent(0.01, 6))
    given = given if len(widths) > 2 else without_units(given)
    assert given["network"].parameters * 6 * 771 // 7 > 2**20
    for threads in (1, 3, 8):
        both(given, threads=threads)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("widths", [(5, 37, 1), (4, 19, 21, 3)])
def test_threads_other_networks_and_records_do_not_change_a_bit(widths: tuple[int, ...], dtype: str) -> None:
    given = everything(widths, 700, networks=3, dtype=dtype)
    together = both(given, threads=1)
    for threads in (2, 3, 5):
        same_bits(train_on("alone", **given, threads=threads), together)
    one = train_on("alone", **{**given, "networks": 1, "first_network": 2}, threads=2)
    same_bits(one, together.isel(network=[2]))
    few = train_on("alone", **{**given, "record": shoal.Record(steps=[6], measure=("loss", "weights"))}, threads=2)
    same_bits(few, together[list(few)].sel(time=few.time))


@pytest.mark.parametrize("isa", FUSED)
def test_every_instruction_set_gives_the_same_bits(isa: str, monkeypatch: pytest.MonkeyPatch) -> None:
    here = [train_on("alone", **everything(dtype=dtype)) for dtype in ("float64", "float32")]
    on(isa, monkeypatch)
    for dtype, data in zip(("float64", "float32"), here, strict=True):
        same_bits(train_on("alone", **everything(dtype=dtype)), data)


@pytest.mark.parametrize("init", [shoal.Balanced(0.4), shoal.Separated(0.4)])
def test_every_start_is_drawn_as_in_lanes(init: Any) -> None:
    given = {"network": shoal.Network((3, 20, 1)), "task": shoal.tasks.modes((1.7, 0.9, 1.2)), "init": init}
    method, record = shoal.GradientDescent(0.1, 0), shoal.Record(measure=("weights",))
    both({**given, "method": method, "record": record, "networks": 3, "seed": 5})


@pytest.mark.parametrize("centred", [False, True])
def test_layer_scales_rates_and_centring_are_those_of_lanes(centred: bool) -> None:
    network = shoal.Network((5, 17, 9, 1), bias=True, scales=(0.5, 0.2, 0.25), rates=(2.0, 3.0, 0.5), centred=centred)
    data = both(everything(network=network), threads=2)
    assert bool((data.margin.isel(time=0) == 0).all()) == centred


def test_a_network_that_diverges_is_marked_and_the_others_go_on() -> None:
    given = everything((5, 20, 1), 200, loss="squared", method=shoal.GradientDescent(0.05, 40))
    start = [0.5 * np.ones((2, 20, 5)), 0.5 * np.ones((2, 1, 20))]
    start[0][1] *= 1e100
    given |= {"init": shoal.Explicit(start, [np.zeros((2, 20)), np.zeros((2, 1))])}
    given |= {"record": shoal.Record(steps=range(41), measure=QUICK_MEASURES)}
    done: list[int] = []
    for threads in (1, 3):
        data = train_on("alone", **given, threads=threads, progress=lambda at, _: done.append(at))
        lanes = train_on("lanes", **given)
        assert data.status.values.tolist() == [0, 1]
        assert done[-1] == 80
        np.testing.assert_array_equal(data.diverged_at, lanes.diverged_at)
        same_bits(data.isel(network=[0]), lanes.isel(network=[0]))
        after = data.isel(network=1).sel(time=data.time[int(data.diverged_at[1]) :])
        for name in after.data_vars:
            values = after[name].values
            if name in MEASURES:
                assert not values.any() if values.dtype == bool else np.isnan(values).all(), name


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("widths", [(5, 7, 1), (5, 7, 6, 1), (5, 7, 3), (6, 1)])
def test_a_network_that_diverges_leaves_nothing_to_the_next(widths: tuple[int, ...], threads: int) -> None:
    """Rows that do not fill a pack have numbers behind them, which are no numbers once a network has diverged."""
    network, generator = shoal.Network(widths, "linear", bias=True), np.random.default_rng(3)
    drawn = random_init(network, 5, generator, scale=0.5)
    first = drawn.weights[0] * np.array([1e200, 1, 1, 1e200, 1])[:, None, None]
    given = everything(
        network=network,
        init=shoal.Explicit([first, *drawn.weights[1:]], drawn.biases),
        networks=None,
        method=shoal.GradientDescent(0.01, 6),
    )
    given = {**given, "loss": "cross_entropy" if widths[-1] > 1 else "squared"}
    given |= {"task": everything(widths)["task"], "record": shoal.Record(steps=[0, 6], measure=("margin", "weights"))}
    data = both(given, threads=threads)
    assert data.status.values.tolist() == [1, 0, 0, 1, 0]


def test_samples_that_are_satisfied_are_left_out_of_the_step() -> None:
    """A threshold of the hinge that most samples meet: what is left of the gradient is that of the others."""
    given = everything((5, 40, 1), 900, loss=shoal.Hinge(threshold=0.02), networks=1, spectral_decoupling=0.0)
    met = float((both(given).margin >= 0.02).mean())
    assert 0.3 < met < 0.9
    all_met = everything((5, 40, 1), 900, loss=shoal.Hinge(threshold=1e-300), networks=1)
    task = all_met["task"]
    first = train_on("alone", **{**all_met, "record": shoal.Record(steps=[0])})
    labels = np.where(first.margin.values[0, 0] >= 0, task.labels, -task.labels)
    all_met |= {"task": shoal.Task(task.inputs, labels), "weight_decay": 0.0, "spectral_decoupling": 0.0}
    all_met |= {"record": shoal.Record(measure=("loss", "trajectory"))}
    still = train_on("alone", **all_met)
    assert float(still.loss.max()) == 0.0
    assert all((still[name] == still[name].isel(time=0)).all() for name in ("trajectory_1", "trajectory_2"))


def stopping(rule: str) -> dict[str, Any]:
    """Return networks on classes with a gap between them, of which some, and not all, meet the rule."""
    widths, rate, steps = {
        "fitted": ((5, 4, 1), 0.2, 30), "satisfied": ((5, 4, 1), 0.2, 300), "dead": ((5, 3, 1, 1), 3.0, 60),
    }[rule]  # fmt: skip
    given = everything(widths, 401, networks=9, loss="hinge", spectral_decoupling=0.0)
    task, normal = given["task"], np.ones(5) / np.sqrt(5)
    labels = np.where(task.inputs @ normal > 0, 1, -1)
    inputs = task.inputs + labels[:, None] * normal
    if rule == "dead":
        labels[::3] *= -1
    return {
        **given,
        "task": shoal.Task(inputs, labels, task.sample_weight, test=task.test),
        "method": shoal.GradientDescent(rate, steps, stop=rule),
        "record": shoal.Record(steps=range(0, steps + 1, 10), measure=QUICK_MEASURES),
        "weight_decay": 1e-4,
    }


@pytest.mark.parametrize("rule", ["fitted", "satisfied", "dead"])
def test_a_rule_to_stop_by_is_met_when_it_is_in_lanes(rule: str) -> None:
    given = stopping(rule)
    data = both(given, threads=1)
    assert 0 < int((data.status >= 3).sum()) < 9
    for threads in (2, 5):
        same_bits(train_on("alone", **given, threads=threads), data)
        one = train_on("alone", **{**given, "first_network": 3, "networks": 1}, threads=threads)
        same_bits(one, data.sel(network=[3]))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_core_chooses_how_many_networks_train_alone(dtype: str) -> None:
    """All of large networks, of small ones the last, which would fill few lanes; none of tiny ones and of flows."""
    lanes = _core.lanes(dtype)

    def chosen(widths: tuple[int, ...], samples: int, networks: int, threads: int = 1, **changed: Any) -> int:
        given = {"engine": "auto", "flows": False, "dtype": dtype, **changed}
        return _core.networks_alone(widths, False, samples, networks, threads, **given)

    def most(work: int) -> int:  # the model of docs/core.md
        return min(lanes - 1, int((work + 300) / (450 + work * (1.1 / lanes + 0.03))))

    assert chosen((60, 400, 1), 256, 1000) == chosen((10, 100, 1), 20_000, 1000) == 1000
    assert chosen((60, 400, 1), 255, 100 * lanes + 1) == 0
    few = most(120 * 40)
    assert few > 0
    for rest in range(lanes):
        assert chosen((5, 20, 1), 40, 2 * lanes + rest) == (rest if rest <= few else 0)
        assert chosen((5, 20, 1), 40, 4 * lanes + rest) == 0
        assert chosen((5, 20, 1), 40, lanes * 3 + rest, threads=3) == (rest if rest <= 3 * few else 0)
    for samples in (5, 9, 15, 25, 100, 250):  # of 40 parameters
        assert [chosen((4, 8, 1), samples, rest) for rest in range(1, lanes)] == [
            rest if rest <= most(40 * samples) else 0 for rest in range(1, lanes)
        ]
    assert chosen((2, 1), 40, 1) == 0
    assert chosen((60, 400, 1), 256, 9, flows=True) == chosen((60, 400, 1), 256, 9, engine="lanes") == 0
    assert chosen((2, 1), 40, 9, engine="alone") == 9


@pytest.mark.parametrize("networks", [1, 2, 5, 9, 17, 33])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_choice_changes_no_bit_and_is_no_part_of_a_specification(networks: int, dtype: str) -> None:
    """Some networks in the lanes, and the last alone; progress counts both."""
    seen: list[tuple[int, int]] = []
    given = everything(networks=networks, dtype=dtype)
    for threads in (1, 3):
        auto = train_on("auto", **given, threads=threads, progress=lambda *done: seen.append(done))
        assert seen == sorted(seen)
        assert seen[-1] == (6 * networks, 6 * networks)
        seen.clear()
        for engine in ENGINES:
            same_bits(train_on(engine, **given), auto)
            same_bits(train_on(engine, shoal.specification(auto)), auto)
    assert "engine" not in auto.attrs
    assert "engine" not in auto.attrs["specification"]


@pytest.mark.parametrize("engine", ["wide", "Lanes", ""])
def test_another_value_of_the_environment_is_refused(engine: str) -> None:
    with pytest.raises(ValueError, match=f"SHOAL_ENGINE must be one of auto, lanes, alone, got '{engine}'"):
        train_on(engine, **everything())


def test_a_flow_cannot_train_alone() -> None:
    given = without_units(everything((3, 5, 1), 9, method=shoal.GradientFlow(1.0)))
    with pytest.raises(ValueError, match="SHOAL_ENGINE must be one of auto, lanes, got 'alone'"):
        train_on("alone", **{**given, "record": shoal.Record()})


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("threads", [1, 2, 5])
def test_an_exception_of_the_progress_function_stops_the_training_and_comes_out(threads: int) -> None:
    """That the steps would take days, and that the test ends, shows that all threads leave."""
    seen: list[int] = []

    def progress(done: int, total: int) -> None:
        seen.append(done)
        if len(seen) == 3:
            raise KeyboardInterrupt

    endless = {"method": shoal.GradientDescent(1e-9, 10**12), "record": shoal.Record(steps=[10**12]), "networks": 1}
    with pytest.raises(KeyboardInterrupt):
        shoal.train(**everything(samples=900, **endless), threads=threads, progress=progress)
    assert len(seen) == 3
    assert 0 <= seen[0] <= seen[1] <= seen[2] < 10**12


MEMORY = """
import resource, sys
import numpy as np
import shoal
samples = int(sys.argv[1])
inputs = np.random.default_rng(0).standard_normal((samples, 20))
task = shoal.Task(inputs, np.where(inputs[:, 0] > 0, 1, -1))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
shoal.train(shoal.Network((20, 400, 1)), task, shoal.Gaussian(0.05), loss="hinge", method=shoal.GradientDescent(1.0, 2),
            record=shoal.Record(measure=("loss",)), threads=2)
print(1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before))
"""
ALONE = {"SHOAL_ENGINE": "alone"}


def test_memory_does_not_grow_with_samples_times_nodes() -> None:
    """Beyond the core's copy of the task, an output and at most six numbers per sample are kept, not 400 values."""
    taken = {samples: int(python(["-c", MEMORY, str(samples)], ALONE).stdout) for samples in (20_000, 100_000)}
    kept = 8 * (20 + 1 + 2 + 3) + 20
    grown = (taken[100_000] - taken[20_000]) / 80_000
    assert grown < 2 * kept < 8 * 400 / 2, f"{grown} bytes per sample"
    needed = _core.alone_bytes((20, 400, 1), False, False, 100_000, 0, 1, 2, "float64")
    assert needed < 8 * 400 * 100_000 / 10
