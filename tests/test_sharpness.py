"""The sharpness is the largest eigenvalue of the oracle's Hessian, with the layers' rates, on every engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import reference
import shoal
from reference import Parameters, Problem
from shoal.spec.loss import resolve_loss
from shoal.sweep.file import read
from support import ACTIVATIONS, ENGINES, LOSSES, layers, random_init, random_task, same_bits, train_on
from test_sweep_file import TEXT

TOLERANCE = float(np.sqrt(np.finfo(np.float64).eps))  # of the norm of the Hessian: what docs/core.md states
RECORD = shoal.Record(steps=[0, 4], measure=("sharpness", "trajectory"))


def flat(parameters: Parameters) -> NDArray[np.float64]:
    return np.concatenate([array.ravel() for array in (*parameters.weights, *parameters.biases)])


def shaped(numbers: NDArray[np.float64], like: Parameters) -> Parameters:
    arrays = (*like.weights, *like.biases)
    parts = np.split(numbers, np.cumsum([array.size for array in arrays])[:-1])
    found = [part.reshape(array.shape) for part, array in zip(parts, arrays, strict=True)]
    return Parameters(found[: len(like.weights)], found[len(like.weights) :])


def hessian(setup: Problem, here: Parameters, step: float = 1e-5) -> NDArray[np.float64]:
    """Return R^(1/2) H R^(1/2), by differences of fourth order of the oracle's gradient: right to about 1e-10."""
    centre = flat(here)

    def slope(moved: NDArray[np.float64]) -> NDArray[np.float64]:
        return flat(reference.gradient(setup, shaped(centre + moved, here)))

    rows = [
        (8 * (slope(move) - slope(-move)) - (slope(2 * move) - slope(-2 * move))) / (12 * step)
        for move in step * np.eye(len(centre))
    ]
    roots = np.sqrt(flat(reference_rates(setup, here)))
    return roots[:, None] * (np.array(rows) + np.transpose(rows)) / 2 * roots


def reference_rates(setup: Problem, here: Parameters) -> Parameters:
    held = ([np.full(array.shape, setup.rate(i)) for i, array in enumerate(of)] for of in (here.weights, here.biases))
    return Parameters(*held)


def at(data: Any, k: int, time: int) -> Parameters:
    return Parameters(*([array[k, time] for array in layers(data, name)] for name in ("trajectory", "trajectory_bias")))


def clear_of_kinks(setup: Problem, here: Parameters) -> bool:
    """Return whether no kink is so near that differences would reach beyond it."""
    *hidden, outputs = reference.forward(setup, here)[1]
    distances = hidden if setup.activation in ("relu", "leaky_relu") else []
    if setup.loss in ("hinge", "squared_hinge"):
        distances = [*distances, setup.threshold - setup.labels * outputs[:, 0]]
    return all((np.abs(distance) > 1e-3).all() for distance in distances)


def compare_with_oracle(data: Any, setup: Problem, allowed: float = TOLERANCE + 1e-9) -> int:
    """Return how many states were compared."""
    compared = 0
    for k in range(data.sizes["network"]):
        started = setup.started(at(data, k, 0))
        for time in range(data.sizes["time"]):
            if not clear_of_kinks(started, at(data, k, time)):
                continue
            eigenvalues = np.linalg.eigvalsh(hessian(started, at(data, k, time)))
            size = np.abs(eigenvalues).max()
            found = float(data.sharpness[k, time])
            assert found == pytest.approx(eigenvalues[-1], rel=0, abs=allowed * size + 1e-12)
            compared += 1
    return compared


def cases(activation: str, loss: str) -> list[shoal.Network]:
    """Return networks of depth 1 to 4, with biases, scales, rates and centred outputs here and there."""
    several = [(3, 4, 3), (2, 3, 2, 2)] if loss in ("cross_entropy", "squared") else []
    plain = [shoal.Network(widths, activation, bias=True) for widths in [(3, 5, 1), (3, 4, 2, 3, 1), *several]]
    return [
        *plain,
        shoal.Network((3, 1), activation, scales=(1.5,), rates=(0.5,)),
        shoal.Network((3, 4, 3, 1), activation, bias=True, scales=(0.7, 1.4, 0.9), rates=(1.5, 0.6, 1.1)),
        shoal.Network((3, 6, 1), activation, centred=True, scales=(1.0, 0.5), rates=(0.8, 1.3)),
        *(shoal.Network(widths, activation, rates=tuple(range(1, len(widths))), centred=True) for widths in several),
    ]


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_it_is_that_of_the_oracles_hessian(activation: str, loss: str, generator: np.random.Generator) -> None:
    compared = 0
    for number, network in enumerate(cases(activation, loss)):
        task = random_task(6, network.widths[0], network.outputs, generator)
        penalties = {"weight_decay": 0.1 * (number % 2), "spectral_decoupling": 0.2 * (number % 3)}
        given: dict[str, Any] = {"init": random_init(network, 2, generator), "loss": loss, "record": RECORD}
        method = shoal.GradientDescent(0.05, 4)
        data = train_on(ENGINES[number % 2], network, task, method=method, condense=False, **given, **penalties)
        compared += compare_with_oracle(data, reference.problem(network, task, resolve_loss(loss), **penalties))
    assert compared >= 3 * len(cases(activation, loss))  # of 4 each


@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_regression_has_it_too(activation: str, outputs: int, generator: np.random.Generator) -> None:
    """Two samples have weight 0 and are only measured, and the core takes them in another order."""
    network = shoal.Network((3, 4, 3, outputs), activation, bias=True)
    targets = generator.normal(size=(6, outputs))
    task = shoal.Task.regression(generator.normal(size=(6, 3)), targets, sample_weight=[0, 1, 2, 0, 1, 1])
    data = shoal.train(
        network, task, random_init(network, 3, generator), method=shoal.GradientDescent(0.05, 4, momentum=0.5),
        loss="squared", record=RECORD, spectral_decoupling=0.1,
    )  # fmt: skip
    setup = reference.problem(network, task, resolve_loss("squared"), spectral_decoupling=0.1)
    assert compare_with_oracle(data, setup) >= 4


@pytest.mark.parametrize("loss", ["cross_entropy", "exponential", "squared_hinge", "squared", "classes"])
@pytest.mark.parametrize("activation", ["relu", "tanh", "softplus"])
def test_torch_finds_the_same(activation: str, loss: str, generator: np.random.Generator) -> None:
    torch = pytest.importorskip("torch")
    network = shoal.Network((3, 5, 4, 3 if loss == "classes" else 1), activation, bias=True)
    task = random_task(7, 3, network.outputs, generator)
    inputs, labels, weight = (torch.tensor(array) for array in (task.inputs, task.answers, task.sample_weight))
    phi = {"relu": torch.relu, "tanh": torch.tanh, "softplus": torch.nn.functional.softplus}[activation]
    losses = {
        "cross_entropy": lambda f: torch.nn.functional.softplus(-labels * f[:, 0]),
        "exponential": lambda f: torch.exp(-labels * f[:, 0]),
        "squared_hinge": lambda f: torch.relu(1 - labels * f[:, 0]) ** 2 / 2,
        "squared": lambda f: (f[:, 0] - labels) ** 2 / 2,
        "classes": lambda f: torch.nn.functional.cross_entropy(f, labels.long(), reduction="none"),
    }
    kind = "cross_entropy" if loss == "classes" else loss
    data = shoal.train(
        network, task, random_init(network, 3, generator), method=shoal.GradientDescent(0.05, 4), loss=kind,
        record=RECORD, weight_decay=0.05,
    )  # fmt: skip
    for k in range(3):
        here = at(data, k, 1)
        shapes = [array.shape for array in (*here.weights, *here.biases)]

        def objective(theta: Any, shapes: Any = shapes) -> Any:
            parts = torch.split(theta, [int(np.prod(shape)) for shape in shapes])
            arrays = [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]
            h = inputs
            for layer in range(3):
                a = h @ arrays[layer].T + arrays[3 + layer]
                h = phi(a) if layer < 2 else a
            return (weight * losses[loss](h)).sum() + 0.05 / 2 * (theta**2).sum()

        found = torch.autograd.functional.hessian(objective, torch.tensor(flat(here))).numpy()
        eigenvalues = np.linalg.eigvalsh(found)
        assert data.sharpness[k, 1] == pytest.approx(eigenvalues[-1], rel=0, abs=TOLERANCE * np.abs(eigenvalues).max())


def only(network: shoal.Network, task: Any, weights: list[Any], **given: Any) -> float:
    """Return the sharpness of one network at given weights."""
    record = shoal.Record(steps=[0], measure=("sharpness",))
    init = shoal.Explicit([np.array([array], dtype=float) for array in weights])
    data = shoal.train(network, task, init, method=shoal.GradientDescent(0.1, 0), record=record, **given)
    return float(data.sharpness[0, 0])


def test_a_linear_model_has_the_largest_eigenvalue_of_its_second_moment(generator: np.random.Generator) -> None:
    inputs, weight = generator.normal(size=(9, 4)), generator.uniform(1, 2, 9)
    task = shoal.Task.regression(inputs, generator.normal(size=9), sample_weight=weight)
    second = np.einsum("s,si,sj->ij", weight / weight.sum(), inputs, inputs)
    found = only(shoal.Network((4, 1)), task, [generator.normal(size=(1, 4))], loss="squared")
    assert found == pytest.approx(np.linalg.eigvalsh(second)[-1], rel=1e-12)


@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("depth", [1, 2, 3, 5])
def test_a_deep_linear_network_at_rest_has_that_of_its_strongest_mode(depth: int, outputs: int) -> None:
    """depth s^(2 - 2/depth), s the largest singular value, of balanced layers and inputs whose second moment is 1."""
    values = np.array([2.5, 1.2, 0.7])[:outputs]
    width = 3
    core = np.zeros((outputs, width))
    core[range(outputs), range(outputs)] = values
    task = shoal.Task.regression(np.sqrt(width) * np.eye(width), np.sqrt(width) * core.T)
    root = np.zeros((width, width))
    root[range(outputs), range(outputs)] = values ** (1 / depth)
    weights = [root] * (depth - 1) + [root[:outputs]]
    network = shoal.Network((*[width] * depth, outputs), "linear")
    expected = depth * values[0] ** (2 - 2 / depth)
    assert only(network, task, weights, loss="squared") == pytest.approx(expected, rel=1e-10)


def test_it_is_0_where_nothing_curves() -> None:
    """A linear model under a hinge has no curvature; weight decay brings its own."""
    task = shoal.Task(np.eye(3), [1, -1, 1])
    weights = [np.ones((1, 3))]
    assert only(shoal.Network((3, 1)), task, weights, loss="hinge") == 0
    assert only(shoal.Network((3, 1)), task, weights, loss="hinge", weight_decay=0.3) == pytest.approx(0.3, rel=1e-14)
    dead = [-np.ones((2, 3)), np.ones((1, 2))]
    assert only(shoal.Network((3, 2, 1)), task, dead) == 0
    met = [10 * np.eye(3), np.array([[1.0, -1.0, 1.0]])]
    assert only(shoal.Network((3, 3, 1)), task, met, loss="hinge") == 0


def test_the_largest_eigenvalue_is_not_that_of_the_largest_size() -> None:
    """Of f = z tanh(w x) below its hinge, -y f has the Hessian -y [[0, phi' x], [phi' x, z phi'' x^2]]."""
    w, z, x = 0.6, 0.9, 1.3
    slope = 1 - np.tanh(w * x) ** 2
    for y in (1, -1):
        matrix = -y * np.array([[0, slope * x], [slope * x, -2 * z * np.tanh(w * x) * slope * x**2]])
        low, high = np.linalg.eigvalsh(matrix)
        found = only(
            shoal.Network((1, 1, 1), "tanh"), shoal.Task([[x]], [y]), [[[w]], [[z]]], loss=shoal.Hinge(threshold=3.0)
        )
        assert found == pytest.approx(high, rel=1e-12)
        assert (-low > high) == (y < 0)


def arguments(generator: np.random.Generator, **changed: Any) -> dict[str, Any]:
    network = changed.pop("network", shoal.Network((3, 5, 4, 2), "tanh", bias=True))
    return {
        "network": network,
        "task": random_task(6, network.widths[0], network.outputs, generator),
        "init": shoal.Gaussian(0.6),
        "networks": 60,
        "method": shoal.GradientDescent(0.3, 8),
        "record": shoal.Record(steps=[0, 3, 8], measure=("sharpness", "loss", "weights")),
        **changed,
    }


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    "network",
    [
        shoal.Network((3, 5, 4, 2), "tanh", bias=True),
        shoal.Network((3, 4, 1), "relu"),  # four registers per number
        shoal.Network((3, 7, 1), "erf", centred=True, rates=(1.0, 2.0)),
    ],
    ids=repr,
)
def test_engine_threads_and_neighbours_change_no_bit(
    network: shoal.Network, dtype: str, generator: np.random.Generator
) -> None:
    given = arguments(generator, network=network, dtype=dtype)
    whole = shoal.train(**given, threads=2)
    assert np.isfinite(whole.sharpness).all()
    for engine in ENGINES:
        same_bits(train_on(engine, **given, threads=1), whole)
    for count in (1, 2, 9):
        few = shoal.train(**{**given, "networks": count, "first_network": 37})
        same_bits(few, whole.isel(network=slice(37, 37 + count)))


def test_single_precision_has_its_own_tolerance(generator: np.random.Generator) -> None:
    given = arguments(generator)
    double, single = (shoal.train(**given, dtype=dtype).sharpness for dtype in ("float64", "float32"))
    np.testing.assert_allclose(single, double, rtol=1e-3)


def test_recording_it_changes_nothing_else(generator: np.random.Generator) -> None:
    given = arguments(generator)
    plain = shoal.train(**{**given, "record": shoal.Record(steps=[0, 3, 8], measure=("loss", "weights"))})
    same_bits(shoal.train(**given).drop_vars("sharpness"), plain)


def test_a_flow_has_it_at_exact_times(generator: np.random.Generator) -> None:
    network = shoal.Network((3, 6, 1), "softplus", centred=True)
    record = shoal.Record(times=[0.0, 0.5, 2.0], measure=("sharpness", "trajectory"))
    given = arguments(generator, network=network, method=shoal.GradientFlow(2.0), record=record, networks=3)
    data = shoal.train(**given)
    assert compare_with_oracle(data, reference.problem(network, given["task"], resolve_loss("cross_entropy"))) == 9


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("centred", [False, True])
def test_a_resumed_training_goes_on_with_it(centred: bool, generator: np.random.Generator) -> None:
    network = shoal.Network((3, 6, 1), "tanh", centred=centred)
    record = shoal.Record(measure=("sharpness", "weights", "velocity"))
    method = shoal.GradientDescent(0.3, 8, momentum=0.5)
    given = arguments(generator, network=network, networks=9, record=record, method=method)
    whole = shoal.train(**given)
    half = shoal.train(**{**given, "method": shoal.GradientDescent(0.3, 3, momentum=0.5)})
    same_bits(shoal.resume(half, steps=5), whole.isel(time=slice(3, None)))


@pytest.mark.parametrize("reduce", [None, "moments"])
def test_a_condensed_task_has_the_same(reduce: str | None, generator: np.random.Generator) -> None:
    """Directions that no input meets have no curvature: the largest eigenvalue of the others counts, or 0."""
    inputs = np.repeat(generator.normal(size=(3, 40)), 20, axis=0)
    task = shoal.Task(inputs, np.repeat([1, -1, 1], 20))
    record = shoal.Record(steps=[0, 5], measure=("sharpness",), reduce=reduce)
    for network in (shoal.Network((40, 5, 1), "tanh", bias=True), shoal.Network((40, 3, 1))):
        given = arguments(generator, network=network, task=task, record=record, networks=9)
        condensed, plain = (shoal.train(**given, condense=flag) for flag in (True, False))
        assert '"inputs": [40, 3]' in condensed.condensed
        np.testing.assert_allclose(condensed.sharpness, plain.sharpness, rtol=1e-7, atol=1e-12)


def test_statistics_are_those_of_the_networks(generator: np.random.Generator) -> None:
    given = arguments(generator, networks=300)
    single = shoal.train(**given).sharpness
    asked = shoal.Statistics(events=("sharpness > 0.5",), distribution=("sharpness",))
    kept = shoal.train(**{**given, "record": shoal.Record(steps=[0, 3, 8], measure=("sharpness",), reduce=asked)})
    np.testing.assert_allclose(kept.sharpness.sel(statistic="mean"), single.mean("network"), rtol=1e-12)
    np.testing.assert_array_equal(kept.event_count[0], (single > 0.5).sum("network"))


def test_a_sweep_from_a_file_keeps_it(tmp_path: Path) -> None:
    text, over = TEXT[: TEXT.index("[record]")], '[over]\n"init.std" = [0.3, 0.6]\n'
    record = '[record]\nsteps = [0, 20]\nmeasure = ["sharpness"]\nreduce = {events = ["sharpness > 0.5"]}\n'
    (tmp_path / "sweep.toml").write_text(text + record + over)
    swept = shoal.sweep(**{**read(tmp_path / "sweep.toml"), "store": None})
    for std in (0.3, 0.6):
        data = shoal.train(
            shoal.Network((2, 4, 1)), shoal.tasks.modes((1.7, 0.9)), shoal.Gaussian(std), networks=700,
            method=shoal.GradientDescent(0.1, 20), record=shoal.Record(steps=[0, 20], measure=("sharpness",)),
        )  # fmt: skip
        kept = swept.sel({"init.std": std})
        np.testing.assert_allclose(kept.sharpness.sel(statistic="mean"), data.sharpness.mean("network"), rtol=1e-12)
        np.testing.assert_array_equal(kept.event_count[0], (data.sharpness > 0.5).sum("network"))


def test_networks_that_diverge_have_none(generator: np.random.Generator) -> None:
    network = shoal.Network((3, 5, 1), "quadratic")
    given = arguments(generator, network=network, method=shoal.GradientDescent(30.0, 8), loss="squared", networks=20)
    for engine in ENGINES:
        data = train_on(engine, **given)
        lost = data.diverged_at >= 0
        assert lost.any()
        assert np.isnan(data.sharpness[lost, 2]).all()
        assert np.isfinite(data.sharpness[:, 0]).all()


@pytest.mark.usefixtures("engine")
def test_a_network_at_rest_keeps_it() -> None:
    """Descent on (w - 1)^2 / 2 at the rate 1 arrives in one step, and no later update changes a bit."""
    record = shoal.Record(steps=[0, 1, 50, 200], measure=("sharpness",))
    data = shoal.train(
        shoal.Network((1, 1)), shoal.Task.regression([[1.0]], [1.0]), shoal.Gaussian(1.0), networks=20,
        method=shoal.GradientDescent(1.0, 200), loss="squared", record=record,
    )  # fmt: skip
    np.testing.assert_array_equal(data.sharpness, 1.0)


@pytest.mark.parametrize("factor", [0.99, 1.01])
@pytest.mark.parametrize("momentum", [0.0, 0.6])
def test_it_says_which_learning_rates_are_stable(factor: float, momentum: float) -> None:
    """Around a minimum descent converges below 2 (1 + momentum) / sharpness and leaves it above, whatever the rates."""
    network = shoal.Network((2, 2, 1), "linear", rates=(0.5, 3.0), scales=(1.2, 0.8))
    task = shoal.Task.regression(np.sqrt(2) * np.eye(2), [np.sqrt(2) * 1.2 * 0.8 * 0.7, 0.0])
    rest = [np.array([[1.0, 0.0], [0.0, 0.0]]), np.array([[0.7, 0.0]])]
    sharpness = only(network, task, rest, loss="squared")
    near = shoal.Explicit([np.array([array]) + 1e-7 for array in rest])
    method = shoal.GradientDescent(factor * 2 * (1 + momentum) / sharpness, 1500, momentum=momentum)
    record = shoal.Record(steps=range(1501), measure=("loss",))
    losses = shoal.train(network, task, near, method=method, loss="squared", record=record).loss.values[0]
    if factor < 1:
        assert losses[-1] < 1e-20
    else:
        assert np.nanmax(losses) > 1e3 * losses[0]  # it may end in a flatter minimum


def test_what_is_not_found_in_a_thousand_iterations_is_no_number() -> None:
    """Of a linear model whose inputs lie along axes the eigenvalues are p x^2: here far too close to each other."""
    count = 1300
    eigenvalues = 1 - 1e-6 * np.minimum(np.arange(count), 999) ** 2
    task = shoal.Task.regression(np.diag(np.sqrt(count * eigenvalues)), np.zeros(count))
    init = [np.ones((1, count))]
    assert np.isnan(only(shoal.Network((count, 1)), task, init, loss="squared", condense=False))
    fewer = shoal.Task.regression(np.diag(np.sqrt(30 * eigenvalues[:30])), np.zeros(30))
    assert only(shoal.Network((30, 1)), fewer, [np.ones((1, 30))], loss="squared") == pytest.approx(1, rel=TOLERANCE)
