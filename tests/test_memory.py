"""A training that does not fit into memory is refused before it begins, with what it needs and what would need less."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import shoal
from shoal import _core
from shoal.engine import memory, room
from shoal.engine.run import Run
from shoal.spec.measures import MEASURES


def given(**changed: Any) -> dict[str, Any]:
    return {
        "network": shoal.Network((2, 4, 1)),
        "task": shoal.tasks.modes((1.7, 0.9)),
        "init": shoal.Gaussian(0.1),
        "method": shoal.GradientDescent(0.1, 5),
        "networks": 3,
        **changed,
    }


def train(**changed: Any) -> Any:
    return shoal.train(**given(**changed))


def need(**changed: Any) -> room.Need:
    """Return the memory that one thread needs."""
    run = Run.of(shoal.Training(**given(**changed)))
    return room.need_of(run, run.training.networks, 1)


def test_more_memory_than_there_is_is_refused_with_what_is_needed_and_what_there_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_core, "train", lambda **arguments: pytest.fail("training began"))
    with pytest.raises(
        ValueError,
        match=r"networks=1000000000000 of widths \(2, 4, 1\) with 6 recorded times of loss, error, margin "
        r"needs \S+ GB of memory, \S+ GB is available: .* or use Record\(reduce='moments'\)",
    ):
        train(networks=10**12)


def no_training(monkeypatch: pytest.MonkeyPatch, available: int) -> None:
    """Let there be so many bytes of memory, and the test fail when training begins."""
    monkeypatch.setattr(_core, "train", lambda **arguments: pytest.fail("training began"))
    monkeypatch.setattr(memory, "available_bytes", lambda: available)


def test_the_memory_that_threads_work_in_is_asked_for_before_training(monkeypatch: pytest.MonkeyPatch) -> None:
    no_training(monkeypatch, 10**10)
    monkeypatch.setenv("SHOAL_ENGINE", "lanes")
    network = shoal.Network((50000, 20000, 1))
    wide: dict[str, Any] = {"network": network, "task": shoal.Task(np.ones((2, 50000)), [1, -1]), "condense": False}
    # Parameters and gradient of the networks of a pack: the least that can be asked for. A pack takes one thread.
    least = 2 * 8 * wide["network"].parameters * _core.lanes("float64") / 1e9
    for networks, workers in ((1, 1), (_core.lanes("float64") + 1, 2)):
        with pytest.raises(ValueError, match=rf"to train in on threads={workers}; ") as raised:
            train(**wide, networks=networks, threads=2)
        needed = re.search(r"\(50000, 20000, 1\) .* needs (\S+) GB of memory, 10 GB is available", str(raised.value))
        assert needed is not None
        # Beside that: blocks of values, and one initialisation; all less than half as much again.
        assert workers * least * 0.99 < float(needed[1]) < workers * least * 1.5
    with pytest.raises(ValueError, match="use fewer threads or smaller networks"):
        train(**wide, networks=1000, threads=2)
    monkeypatch.setenv("SHOAL_ENGINE", "alone")
    with pytest.raises(ValueError, match=r"to train in on threads=2; ") as raised:
        train(**wide, networks=1, threads=2)
    needed = re.search(r" needs (\S+) GB of memory, 10 GB is available", str(raised.value))
    assert needed is not None
    # Parameters and gradient of one network; beside that, less than twice as much again.
    assert least / _core.lanes("float64") < float(needed[1]) < least


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(("method", "packs"), [(shoal.GradientDescent(0.1, 5), 0), (shoal.GradientFlow(1.0), 9)])
def test_what_a_thread_works_in_is_what_is_asked_for_beside_the_cores_count(
    bias: bool, method: shoal.GradientDescent | shoal.GradientFlow, packs: int
) -> None:
    network, lanes = shoal.Network((30, 20, 10, 1), bias=bias), _core.lanes("float32")
    pack = _core.pack_bytes(network.widths, 2, "float32")
    for tested in (0, 7):
        test = (np.ones((tested, 30)), np.ones(tested)) if tested else None
        task = shoal.Task(np.ones((2, 30)), [1, -1], test=test)
        passes = [2, 7] if tested else [2]
        found = [room.work_bytes(network, task, method, pack, passes, lanes, workers, 4) for workers in (1, 2)]
        biases = (4 if tested else 2) * 31 * lanes * 4 if bias else 0
        units = 30 * lanes * 8
        kept = packs * network.parameters * lanes * 4
        if packs:  # six numbers for each kink, two velocities; it may slide on 512 kinks at once
            kept += 8 * lanes * (6 * 2 * 31 + 2 * network.parameters) + 8 * 513 * (2 * network.parameters + 513)
        assert found[1] - found[0] == pack + biases + units + kept + 8 * network.parameters + 3 * (2 + tested) * 4
        assert 2 * found[0] - found[1] == (2 + tested) * (30 * 4 + 4 + 8 + 8 + 4)


def test_scales_rates_and_centred_outputs_take_what_is_asked_for() -> None:
    task = shoal.Task(np.ones((5, 30)), [0] * 5, test=(np.ones((7, 30)), [1] * 7))
    lanes, method = _core.lanes("float64"), shoal.GradientDescent(0.1, 5)

    def asked(**given: Any) -> int:
        network = shoal.Network((30, 20, 3), bias=True, **given)
        return room.work_bytes(network, task, method, 0, (5, 7), lanes, 1, 8)

    parameters = shoal.Network((30, 20, 3), bias=True).parameters
    # The training samples' pass and the test samples' each keep scaled weights and three factors a parameter.
    for given in ({"scales": (1.0, 0.5)}, {"rates": (2.0, 1.0)}):
        assert asked(**given) - asked() == 2 * parameters * (lanes + 3) * 8
    assert asked(centred=True) - asked() == (5 + 7) * 3 * lanes * 8


def test_statistics_that_need_too_much_memory_say_so_of_what_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    no_training(monkeypatch, 10**6)
    with pytest.raises(ValueError, match="needs") as raised:
        train(networks=10**6, record=shoal.Record(reduce="moments"), threads=1)
    said = str(raised.value)
    assert said.startswith("networks=1000000 of widths (2, 4, 1) with 6 recorded times of loss, error, margin needs")
    assert re.search(r"for records and statistics of \d+ networks per thread at a time \(reduce='moments'\)", said)
    assert said.endswith("record fewer times or measures")


def test_what_would_not_help_against_too_little_memory_is_not_recommended(monkeypatch: pytest.MonkeyPatch) -> None:
    no_training(monkeypatch, 10**5)
    for changed in (
        {"record": shoal.Record(measure=("weights",)), "networks": 10**6},  # cannot be reduced
        {"record": shoal.Record(measure=("loss", "trajectory")), "networks": 10**6},
        {"record": shoal.Record(measure=("pattern",)), "networks": 10**6},
        {"networks": 3000},  # fewer than statistics take at a time
    ):
        with pytest.raises(ValueError, match=r"train fewer networks at once, or record fewer times or measures$"):
            train(**changed)


def test_statistics_need_no_more_memory_for_more_networks() -> None:
    # One call of the core takes no more than 2**20 of them.
    few, many = (need(networks=networks, record=shoal.Record(reduce="moments")) for networks in (10**8, 10**12))
    assert few == many


@pytest.mark.parametrize("outputs", [1, 3])
def test_records_take_the_bytes_of_the_arrays_that_come_back(outputs: int) -> None:
    network = shoal.Network((3, 5, 4, outputs), bias=True)
    task = shoal.Task(np.eye(3), [1, -1, 1] if outputs == 1 else [0, 1, 2], test=(np.ones((11, 3)), np.ones(11)))
    for dtype in ("float64", "float32"):
        for measure in MEASURES:
            record = shoal.Record(steps=[0, 1, 4], measure=(measure,))
            given = {"network": network, "task": task, "record": record, "networks": 7, "dtype": dtype}
            given |= {"loss": "squared", "method": shoal.GradientDescent(0.1, 5, momentum=0.5)}
            data = train(**given)
            held = sum(data[name].nbytes for name in data if name not in ("status", "diverged_at"))
            asked = need(**given).records
            assert 9 * 7 <= asked - held <= 33 * 7, measure


@pytest.mark.parametrize("networks", [1, 1000])
def test_the_tangent_kernel_is_asked_for_by_engine_and_measure(networks: int) -> None:
    """Alone as well as in lanes: the kernel of pairs, the products of each layer, and once more that at the start."""
    inputs = np.random.default_rng(0).normal(size=(400, 3))
    given = {"task": shoal.Task(inputs, np.ones(400)), "network": shoal.Network((3, 5, 1)), "networks": networks}
    none, kernel, both = (
        need(**given, record=shoal.Record(steps=[1], measure=measure)).work
        for measure in (("loss",), ("tangent_kernel",), ("kernel_distance",))
    )
    pairs = 400 * 401 // 2 * 3 * _core.lanes("float64") * 8
    assert pairs < kernel - none < 1.2 * pairs * 2
    assert 1.9 < (both - none) / (kernel - none) < 2.1


def test_the_sharpness_is_asked_for_by_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four numbers of each unit and learnt sample, in whole packs, alone too; nothing of samples of weight 0."""
    inputs = np.random.default_rng(0).normal(size=(20_000, 3))
    network = shoal.Network((3, 50, 20, 1), "tanh")

    def asked(engine: str, weight: Any) -> int:
        monkeypatch.setenv("SHOAL_ENGINE", engine)
        given = {"task": shoal.Task(inputs, np.ones(20_000), weight), "network": network, "networks": 1000}
        measured = (need(**given, record=shoal.Record(steps=[1], measure=each)).work for each in ("loss", "sharpness"))
        none, sharpness = measured
        return sharpness - none

    values = 20_000 * 71 * 4 * _core.lanes("float64") * 8
    half = np.repeat([1, 0], 10_000)
    for engine in ("lanes", "alone"):
        whole = asked(engine, np.ones(20_000))
        assert values < whole < 1.1 * values
        assert asked(engine, half) == pytest.approx(whole / 2, rel=0.1)
    # In the lanes, of which the last networks may continue alone.
    assert asked("auto", half) == asked("lanes", half) + asked("alone", half)


def test_a_sharpness_that_does_not_fit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available_bytes", lambda: 10**8)
    inputs = np.random.default_rng(0).normal(size=(20_000, 3))
    given = {"task": shoal.Task(inputs, np.ones(20_000)), "network": shoal.Network((3, 50, 20, 1), "tanh")}
    with pytest.raises(ValueError, match=r"of sharpness needs .* of memory"):
        train(**given, networks=8, record=shoal.Record(steps=[1], measure=("sharpness",)))


def test_targets_are_asked_for_too() -> None:
    inputs, targets = np.ones((10**5, 50)), np.ones((10**5, 3))
    inputs[:, 0] = np.arange(10**5)
    labelled = shoal.Task(inputs, np.zeros(10**5))
    network = shoal.Network((50, 4, 3))
    asked = [
        need(network=network, task=task, networks=1, loss=loss).work
        for task, loss in (
            (labelled, "cross_entropy"),
            (labelled, "squared"),
            (shoal.Task.regression(inputs, targets), "squared"),
        )
    ]
    assert asked[1] == asked[2] == asked[0] + 10**5 * 3 * 8


def test_test_samples_are_asked_for_before_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOAL_ENGINE", "lanes")
    network, lanes = shoal.Network((50, 40, 1)), _core.lanes("float64")
    tests = (None, (np.ones((10**5, 50)), np.ones(10**5)))
    asked = [need(network=network, task=shoal.Task(np.eye(50), [1] * 50, test=test), networks=1).work for test in tests]
    values = _core.pack_bytes(network.widths, 10**5, "float64")
    # The inputs, labels, weights, repeats, places, and three numbers per sample; and the values of one block only.
    assert asked[1] - asked[0] == 10**5 * (50 * 8 + 8 + 8 + 8 + 4 + 3 * 8) + values
    assert values < (2 * network.parameters + 256 * 42) * lanes * 8


def test_a_small_training_does_not_ask_for_the_free_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available_bytes", lambda: pytest.fail("it was asked"))
    train()
    with pytest.raises(pytest.fail.Exception, match="it was asked"):
        train(networks=100_000)
