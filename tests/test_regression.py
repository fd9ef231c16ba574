"""Real targets: what they share with labels to the bit, how they are recorded, and what a regression refuses."""

from __future__ import annotations

import dataclasses
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray

import shoal
from shoal.spec.measures import MEASURES, REGISTRY
from shoal.theory import neighbours
from support import ENGINES, layers, measures_of, random_task, same_bits, train_on

EVERY = tuple(name for name in MEASURES if not (REGISTRY[name].of_test or REGISTRY[name].of_momentum))
TESTED = tuple(name for name in MEASURES if REGISTRY[name].of_test)
ON_SAMPLES = ("loss", "output", "residual")
PENALTIES = {"weight_decay": 0.25, "spectral_decoupling": 0.125}


def regression(samples: int, inputs: int, outputs: int, tested: int = 0, seed: int = 7) -> shoal.Task:
    """Return normal inputs and targets, weights of which some are 0, and so many test samples."""
    generator = np.random.default_rng(seed)
    points, targets = (generator.standard_normal((samples + tested, size)) for size in (inputs, outputs))
    weights = generator.uniform(0.5, 2, samples)
    weights[1::5] = 0.0
    test = (points[samples:], targets[samples:]) if tested else None
    return shoal.Task.regression(points[:samples], targets[:samples], weights, test)


def arguments(outputs: int = 1, **changed: Any) -> dict[str, Any]:
    return {
        "network": shoal.Network((3, 6, outputs), "tanh", bias=True),
        "task": regression(9, 3, outputs, 4),
        "init": shoal.Gaussian(0.5),
        "method": shoal.GradientDescent(0.2, 12),
        "loss": "squared",
        "networks": 10,
        "seed": 4,
        **changed,
    }


def recorded(task: shoal.Task, **times: Any) -> shoal.Record:
    names = EVERY if task.test is None else (*EVERY, *TESTED)
    return shoal.Record(measure=measures_of(task, "squared", names), **times)


@pytest.mark.parametrize("penalties", [{}, PENALTIES], ids=["plain", "penalised"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("outputs", [1, 3])
def test_labels_as_targets_are_trained_as_the_labels_to_the_bit(
    outputs: int, engine: str, dtype: str, penalties: dict[str, float], generator: np.random.Generator
) -> None:
    """A label -1/+1 is its own target; that of a label k is the unit vector of output k."""
    points = generator.standard_normal((11, 3))
    labels = generator.choice([-1, 1], 11) if outputs == 1 else generator.integers(outputs, size=11)
    targets = labels if outputs == 1 else np.eye(outputs)[labels]
    labelled = shoal.Task(points[:7], labels[:7], generator.uniform(0.5, 2, 7), (points[7:], labels[7:]))
    real = shoal.Task.regression(points[:7], targets[:7], labelled.sample_weight, (points[7:], targets[7:]))
    given = arguments(outputs, dtype=dtype, record=recorded(real, steps=[0, 5, 12]), **penalties)
    one, other = (train_on(engine, **{**given, "task": task}) for task in (labelled, real))
    same_bits(one, other)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    "network",
    [
        shoal.Network((3, 1)),
        shoal.Network((3, 2)),
        shoal.Network((3, 7, 1)),
        shoal.Network((3, 7, 5), "relu", bias=True),
        shoal.Network((3, 9, 6, 2), "tanh", bias=True, scales=(0.7, 1.6, 0.8), rates=(1.5, 0.4, 0.9), centred=True),
        shoal.Network.ntk((3, 70, 1)),
        shoal.Network.mean_field(3, 90, centred=True),
    ],
    ids=str,
)
def test_engines_give_the_same_bits(network: shoal.Network, dtype: str) -> None:
    """300 samples are cut into blocks of the same network, 12 test samples beside them."""
    task = regression(300, 3, network.outputs, 12)
    given = arguments(
        network=network, task=task, dtype=dtype, record=recorded(task, steps=[0, 1, 12]), networks=5, **PENALTIES
    )
    given["method"] = shoal.GradientDescent(0.2 / max(network.rates), 12)
    one, other = (train_on(engine, **given, threads=2) for engine in ENGINES)
    assert (one.status == 0).all()
    same_bits(one, other)


@pytest.mark.parametrize("engine", ENGINES)
def test_outputs_and_residuals_are_those_of_the_recorded_weights(engine: str) -> None:
    """Also of a classifier; in units of a network whose outputs are of order 1."""
    for outputs in (1, 3):
        labelled = random_task(9, 3, outputs, np.random.default_rng(1))
        for task, loss in ((regression(9, 3, outputs), "squared"), (labelled, "squared"), (labelled, "cross_entropy")):
            names = measures_of(task, loss, ("output", "residual"))
            record = shoal.Record(steps=[0, 12], measure=(*names, "weights"))
            data = train_on(engine, **arguments(outputs, task=task, loss=loss, record=record))
            last = data.output.isel(time=-1).values
            np.testing.assert_allclose(last, shoal.predict(data, task.inputs).values, rtol=0, atol=1e-13)
            if loss == "squared":
                targets = task.answers if outputs == 1 or task.answer == "targets" else np.eye(3)[task.labels]
                np.testing.assert_array_equal(data.residual.values, data.output.values - targets)
            dims = ("network", "time", "sample", "output_unit")[: 3 + (outputs > 1)]
            assert data.output.dims == dims


def test_a_network_whose_squared_outputs_overflow_has_diverged_alone() -> None:
    weights = np.array([[[1.0]], [[1e200]], [[2.0]]])
    for engine in ENGINES:
        for outputs in (1, 2):
            task = shoal.Task.regression([[1.0], [2.0]], np.zeros((2, outputs)))
            init = shoal.Explicit([np.repeat(weights, outputs, axis=1)])
            data = train_on(
                engine, shoal.Network((1, outputs)), task, init, method=shoal.GradientDescent(0.1, 5), loss="squared",
            )  # fmt: skip
            assert data.status.values.tolist() == [0, 1, 0]
            assert data.diverged_at.values.tolist() == [-1, 0, -1]
            assert np.isnan(data.loss.values[1]).all()
            assert (data.loss.values[[0, 2], -1] < data.loss.values[[0, 2], 0]).all()


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_modes_of_deep_linear_networks_follow_the_theory(depth: int) -> None:
    """Whitened inputs, targets of two modes, aligned balanced weights: each mode by itself; descent is a map."""
    strengths, starts, rate = np.array([2.0, 0.7]), np.array([0.01, 0.02]), 0.1
    task = shoal.Task.regression(np.sqrt(2) * np.eye(2), np.sqrt(2) * np.diag(strengths))
    weights = [np.diag(starts ** (1 / depth))[None]] * depth
    given: dict[str, Any] = {"network": shoal.Network((2,) * (depth + 1), "linear"), "task": task, "loss": "squared"}
    given |= {"init": shoal.Explicit(weights), "record": shoal.Record(measure=("output", "trajectory"))}
    until, rtol = 8.0, 1e-9
    flow = shoal.train(**given, method=shoal.GradientFlow(until, rtol, 1e-12))
    predicted = [
        neighbours.linear_mode(flow.time.values, u, s, depth=depth) for s, u in zip(strengths, starts, strict=True)
    ]
    found = flow.output.values[0] / np.sqrt(2)
    for mode in range(2):
        np.testing.assert_allclose(found[:, mode, mode], predicted[mode], rtol=0, atol=10 * rtol * strengths[mode])
        assert (found[:, mode, 1 - mode] == 0).all()
    if depth != 2:
        return
    data = shoal.train(**given, method=shoal.GradientDescent(rate, 100))
    for mode in range(2):
        moved = neighbours.descend_mode(starts[mode], strengths[mode], rate, 100)
        gaps = np.abs(data.output.values[0, :, mode, mode] / np.sqrt(2) - moved)
        # A step rounds some ten times, and the map passes on what came before: by less than it grew itself.
        allowed = 10 * (data.step.values + 2) * np.finfo(float).eps * strengths[mode]
        assert (gaps <= allowed).all()


def test_a_dataset_holds_targets_and_names_the_measures_that_it_has(tmp_path: Path) -> None:
    data = shoal.train(**arguments(2))
    assert list(data.data_vars) == ["loss", "status", "diverged_at"]
    assert data.targets.dims == ("sample", "output_unit")
    assert data.test_targets.dims == ("test_sample", "output_unit")
    assert "labels" not in data
    assert shoal.train(**arguments(1)).targets.dims == ("sample",)
    data = shoal.train(**arguments(2, record=recorded(arguments(2)["task"], steps=[0, 3, 12])))
    data.to_netcdf(tmp_path / "data.nc", engine="scipy")
    with xarray.open_dataset(tmp_path / "data.nc", engine="scipy") as saved:
        assert shoal.specification(saved) == shoal.specification(data)
        same_bits(shoal.train(shoal.specification(saved)), data)


def test_a_regression_is_its_call_survives_pickle_and_differs_from_labels() -> None:
    task = regression(4, 2, 3, 2)
    assert isinstance(task, shoal.Task)
    assert re.fullmatch(r"Task\.regression\(inputs=<float64 \(4, 2\)>.*targets=<float64 \(4, 3\)>\)", repr(task))
    again = pickle.loads(pickle.dumps(task))
    assert again == task
    assert hash(again) == hash(task)
    assert not again.targets.flags.writeable
    assert dataclasses.replace(task, targets=task.targets + 1) != task
    column = shoal.Task.regression([[1.0], [2.0]], [[1.0], [-1.0]])
    assert column == shoal.Task.regression([[1.0], [2.0]], [1.0, -1.0])
    assert column != shoal.Task([[1.0], [2.0]], [1, -1])
    with pytest.raises(AttributeError, match=r"a regression has no labels, its targets are in task\.targets"):
        _ = task.labels


def test_equal_samples_of_equal_targets_are_merged_and_their_records_given_back() -> None:
    generator = np.random.default_rng(3)
    rows = generator.integers(8, size=40)
    points, targets = generator.standard_normal((8, 40)), generator.standard_normal((8, 2))
    task = shoal.Task.regression(points[rows], targets[rows], test=(points[:3], targets[:3]))
    given = arguments(network=shoal.Network((40, 5, 2), "tanh"), task=task)
    for reduce in (None, shoal.Statistics(distribution=("residual",))):
        names = ("loss", "output", "residual", "test_output")
        record = shoal.Record(steps=[0, 12], measure=names, reduce=reduce)
        whole, condensed = (shoal.train(**given, record=record, condense=how) for how in (False, True))
        assert '"samples": [40, 8]' in condensed.attrs["condensed"]
        for name in names:
            np.testing.assert_allclose(condensed[name], whole[name], rtol=1e-9, atol=1e-12)
            assert condensed[name].dims == whole[name].dims
    assert condensed.residual_histogram.dims == ("time", "sample", "output_unit", "bin")


def test_statistics_are_those_of_the_networks() -> None:
    names = ("loss", "output", "residual", "test_loss", "test_output", "test_residual")
    for outputs in (1, 2):
        record = shoal.Record(steps=[0, 12], measure=names)
        every = shoal.train(**arguments(outputs, record=record))
        events = shoal.Statistics(events=("test_loss > 1",))
        reduced = shoal.train(**arguments(outputs, record=dataclasses.replace(record, reduce=events)))
        for name in names:
            mean = every[name].mean("network")
            assert reduced[name].dims == ("statistic", *mean.dims)
            np.testing.assert_allclose(reduced[name].sel(statistic="mean"), mean, rtol=1e-12, atol=1e-14)
        np.testing.assert_array_equal(reduced.event_count[0], (every.test_loss > 1).sum("network"))


def test_statistics_may_leave_out_the_measure() -> None:
    data = shoal.train(**arguments(record=shoal.Record(reduce="moments")))
    assert data.loss.dims == ("statistic", "time")
    assert "error" not in data


@pytest.mark.parametrize("outputs", [1, 2])
@pytest.mark.parametrize("method", [shoal.GradientDescent(0.2, 12), shoal.GradientFlow(2.0)])
def test_a_training_that_is_resumed_is_the_longer_one(method: Any, outputs: int) -> None:
    record = shoal.Record(measure=(*ON_SAMPLES, "weights"))
    data = shoal.train(**arguments(outputs, method=method, record=record))
    descends = isinstance(method, shoal.GradientDescent)
    more: dict[str, Any] = {"steps": 8} if descends else {"t_end": 3.0}
    longer = shoal.GradientDescent(0.2, 20) if descends else shoal.GradientFlow(3.0)
    rest = shoal.resume(data, **more)
    whole = shoal.train(**arguments(outputs, method=longer, record=dataclasses.replace(record, **_times(rest))))
    if descends:
        same_bits(rest, whole)
    for name in ON_SAMPLES:
        np.testing.assert_allclose(rest[name], whole[name], rtol=0, atol=1e-6)
    assert shoal.specification(rest).task == arguments(outputs)["task"]


def _times(data: xarray.Dataset) -> dict[str, Any]:
    return {"steps": data.step.values} if "step" in data else {"times": data.time.values}


@pytest.mark.parametrize("kept", [None, "run.zarr"])
def test_a_sweep_over_tasks_is_its_trainings(kept: str | None, tmp_path: Path) -> None:
    task = arguments(2)["task"]
    tasks = {"as it is": task, "doubled": dataclasses.replace(task, targets=2 * task.targets)}
    record = shoal.Record(steps=[0, 12], measure=(*ON_SAMPLES, "test_residual"))
    given = arguments(2, record=record)
    store = tmp_path / kept if kept else None
    data = shoal.sweep(**given, over={"task": tasks}, store=store)
    for name, one in tasks.items():
        alone = shoal.train(**{**given, "task": one})
        for measure in record.measure:
            np.testing.assert_array_equal(data[measure].sel(task=name), alone[measure])
    assert data.targets.dims == ("task", "sample", "output_unit")
    if store:
        np.testing.assert_array_equal(shoal.open_sweep(store).residual, data.residual)


def test_a_file_describes_a_regression(tmp_path: Path) -> None:
    task = arguments(2)["task"]
    tests = {"test_inputs": task.test.inputs, "test_targets": task.test.targets}
    np.savez(tmp_path / "task.npz", inputs=task.inputs, targets=task.targets, sample_weight=task.sample_weight, **tests)
    lines = (
        'networks = 10\nloss = "squared"\nseed = 4\n[network]\nwidths = [3, 6, 2]\nactivation = "tanh"\nbias = true\n'
    )
    lines += (
        '[init]\nkind = "gaussian"\nstd = 0.5\n[method]\nkind = "gradient_descent"\nlearning_rate = 0.2\nsteps = 12\n'
    )
    lines += "[over]\nseed = [4]\n"
    from shoal.sweep import file

    sweep = tmp_path / "sweep.toml"
    sweep.write_text(lines.replace("seed = 4\n", "") + '[task]\nfile = "task.npz"\n')
    told = file.read(sweep)
    assert told["task"] == task
    sweep.write_text(
        lines.replace("seed = 4\n", "") + '[task]\nkind = "regression"\ninputs = [[1, 2, 3]]\ntargets = [[1, 2]]\n'
    )
    assert file.read(sweep)["task"] == shoal.Task.regression([[1, 2, 3]], [[1, 2]])
    np.savez(tmp_path / "task.npz", inputs=task.inputs, targets=task.targets, test_inputs=task.test.inputs)
    sweep.write_text(lines.replace("seed = 4\n", "") + '[task]\nfile = "task.npz"\n')
    with pytest.raises(ValueError, match="file must hold both test_inputs and test_targets or neither"):
        file.read(sweep)


def test_pictures_take_a_regression() -> None:
    pytest.importorskip("matplotlib")
    network = shoal.Network((3, 4, 1))
    record = shoal.Record(measure=("loss", "trajectory", "weights"))
    data = shoal.train(**arguments(network=network, record=record))
    assert shoal.plot.curves(data, "loss").get_ylabel() == "loss, mean over networks"
    labels = [
        text.get_text() for text in shoal.plot.trajectory(data, 0, directions=np.eye(2, 3)).get_legend().get_texts()
    ]
    assert "inputs" in labels


def test_modules_of_torch_are_the_networks_of_a_regression() -> None:
    torch = pytest.importorskip("torch")
    data = shoal.train(**arguments(network=shoal.Network((3, 4, 1)), record=shoal.Record(measure="weights")))
    module = shoal.to_torch(data, network=3)
    points = torch.tensor(np.array(arguments()["task"].inputs))
    expected = shoal.predict(data, points.numpy()).sel(network=3)
    np.testing.assert_allclose(module(points).detach().numpy()[:, 0], expected, rtol=0, atol=1e-12)


TASK = shoal.Task.regression([[1.0, 2.0, 3.0], [0.0, 1.0, 0.0]], [0.5, -2.0])
REFUSED: list[tuple[dict[str, Any], str]] = [
    *(({"loss": loss}, f"loss must be squared for a regression, got {loss}: give loss='squared'") for loss in
      ("cross_entropy", "hinge", "squared_hinge", "exponential")),
    *(({"record": shoal.Record(measure=(name,))}, f"measure must not hold '{name}' for a regression, whose samples")
      for name in ("error", "soft_error", "margin")),
    ({"record": shoal.Record(measure=("test_residual",))}, "measure must not hold 'test_residual' without test"),
    ({"method": shoal.GradientDescent(0.1, 5, stop=("fitted",))}, "stop must not hold 'fitted' for a regression"),
    ({"method": shoal.GradientDescent(0.1, 5, stop=("satisfied",))}, "stop must not hold 'satisfied' unless loss is"),
    ({"network": shoal.Network((3, 4, 2))}, "targets must have shape (samples, 2) for a network of 2 outputs, got"),
    ({"task": shoal.Task.regression(TASK.inputs, np.ones((2, 3)))}, "targets must have shape (samples,) for a network"),
    ({"task": shoal.Task.regression(TASK.inputs, [1e39, 0.0]), "dtype": "float32"}, "targets must lie within the"),
]  # fmt: skip


@pytest.mark.parametrize(("changed", "message"), REFUSED)
def test_what_a_regression_cannot_have_is_refused_with_the_reason(changed: dict[str, Any], message: str) -> None:
    given = arguments(network=shoal.Network((3, 4, 1)), task=TASK)
    with pytest.raises(ValueError, match=re.escape(message)):
        shoal.train(**{**given, **changed})


def test_residuals_need_the_squared_loss_and_dead_networks_may_stop() -> None:
    labelled = shoal.Task(TASK.inputs, [1, -1])
    with pytest.raises(ValueError, match="measure must not hold 'residual' unless loss is squared, got hinge"):
        shoal.train(**arguments(task=labelled, loss="hinge", record=shoal.Record(measure=("residual",))))
    network = shoal.Network((3, 2, 1))
    init = shoal.Explicit([-np.ones((1, 2, 3)), np.ones((1, 1, 2))])
    dead = shoal.GradientDescent(0.1, 5, stop=("dead",))
    for engine in ENGINES:
        data = train_on(engine, **arguments(network=network, task=TASK, init=init, method=dead, networks=1))
        assert data.stopped_at.values.tolist() == [0]


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (([[1.0], [2.0]], [1.0, np.nan]), ValueError, "targets must be finite, got nan at index (1,)"),
        (([[1.0], [2.0]], [1.0]), ValueError, "targets must have one row per sample, 2, got 1"),
        (([[1.0], [2.0]], np.ones((2, 1, 1))), ValueError, "targets must have shape (samples,) or (samples, outputs)"),
        (([[1.0], [2.0]], np.ones((2, 0))), ValueError, "targets must have shape (samples,) or (samples, outputs)"),
        (([[1.0], [2.0]], 1.0), ValueError, "targets must have shape (samples,) or (samples, outputs)"),
        (([[1.0], [2.0]], ["a", "b"]), TypeError, "targets must hold real numbers, got dtype <U1"),
        (([[1.0], [2.0]], [True, False]), TypeError, "targets must hold real numbers, got dtype bool"),
        (([[1.0], [2.0]], np.ma.masked_array([1.0, 2.0])), TypeError, "targets must not be masked"),
        (([[1.0]], [1.0], [-1.0]), ValueError, "sample_weight must not be negative, got -1.0 at index 0"),
        (([[1.0]], [1.0], None, ([[1.0]], [[1.0, 2.0]])), ValueError, "test targets must have 1 per sample, as many"),
        (([[1.0]], [1.0], None, ([[1.0, 2.0]], [1.0])), ValueError, "test inputs must have the 1 columns that"),
        (([[1.0]], [1.0], None, [[1.0]]), TypeError, "test must be a pair (inputs, targets) or None"),
        (([[1.0]], [1.0], None, ([[1.0]], [np.inf])), ValueError, "test targets must be finite, got inf"),
    ],
)  # fmt: skip
def test_targets_that_are_none_are_refused(given: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        shoal.Task.regression(*given)


def test_a_regression_is_refused_where_labels_are_needed() -> None:
    with pytest.raises(ValueError, match="task must have labels -1/\\+1, got a regression, which has targets"):
        shoal.tasks.separated_by(TASK)
    with pytest.raises(TypeError, match="task must have inputs, labels and sample_weight"):
        shoal.theory.separated_margins([np.ones((1, 3)), np.ones((1, 1))], TASK, "squared", [0.0])


def test_a_classifier_under_the_squared_loss_has_errors_and_rules_of_its_margins() -> None:
    """Three orthogonal inputs of three classes: all are fitted, at which networks stop."""
    task = shoal.Task(np.eye(3), [0, 1, 2])
    given = arguments(3, task=task, method=shoal.GradientDescent(0.5, 400, stop=("fitted",)))
    record = shoal.Record(measure=("loss", "error", "soft_error", "margin", "output", "residual"))
    one, other = (train_on(engine, **given, record=record) for engine in ENGINES)
    same_bits(one, other)
    assert (one.stopped_at >= 0).all()
    last = one.isel(time=-1)
    assert (last.error == 0).all()
    rows = np.arange(3)
    own = last.output.values[:, rows, rows]
    others = np.where(np.eye(3, dtype=bool), -np.inf, last.output.values).max(axis=2)
    np.testing.assert_array_equal(last.margin.values, own - others)
    np.testing.assert_allclose(last.loss, (last.residual**2).sum("output_unit").mean("sample") / 2, rtol=1e-14)
    assert layers(shoal.train(**given, record=shoal.Record(measure=("weights",))), "weights")[1].shape == (10, 3, 6)
