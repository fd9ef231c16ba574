"""What several tests share: starts, final weights, bits, claims that pass, descent beside flow, Python by itself."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import xarray
from numpy.typing import NDArray

import shoal
from reference import Array, Parameters
from shoal import _core
from shoal.spec.measures import REGISTRY

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from shoal.claims import Outcome, Row, Setting

HERE = Path(__file__).parent
ALL_MEASURES = ("loss", "error", "soft_error", "margin", "layer_norm", "balance", "active", "weights")
MEASURES = tuple(  # of every loss and method
    name for name, measure in REGISTRY.items() if not (measure.of_squares or measure.of_momentum)
)
QUICK_MEASURES = (
    tuple(  # those that take no passes of their own over all pairs of samples, or over samples again and again
        name for name in MEASURES if not (REGISTRY[name].of_kernel or REGISTRY[name].of_hessian)
    )
)
REDUCIBLE = tuple(name for name in MEASURES if REGISTRY[name].reducible)
LOSSES = ("cross_entropy", "hinge", "squared_hinge", "exponential", "squared")
ACTIVATIONS = ("relu", "leaky_relu", "linear", "tanh", "softplus", "erf", "quadratic")
ENGINES = ("lanes", "alone")
SETS = _core.choice.supported
# The instruction sets with fused multiply-add, on which a network's bits are promised to be the same.
FUSED = tuple(isa for isa in SETS if isa in ("avx2", "avx512", "neon"))


def size_of_weights(activation: str) -> float:
    """Return a factor for initial weights, such that squares of squares do not overflow within a few steps."""
    return 0.4 if activation == "quadratic" else 1.0


def random_init(
    network: shoal.Network, networks: int, generator: np.random.Generator, dtype: str = "float64", scale: float = 1.0
) -> shoal.Explicit:
    """Return normal weights, scaled by the fan-in, that ``dtype`` holds exactly; smaller ones of quadratic units."""
    scale *= size_of_weights(network.activation)

    def draw(*shape: int, spread: float) -> NDArray[np.float64]:
        return (spread * generator.standard_normal(shape)).astype(dtype).astype(np.float64)

    pairs = list(zip(network.widths[:-1], network.widths[1:], strict=True))
    weights = [draw(networks, after, before, spread=scale / np.sqrt(before)) for before, after in pairs]
    biases = [draw(networks, after, spread=0.3 * scale) for _, after in pairs] if network.bias else None
    return shoal.Explicit(weights, biases)


def random_task(
    samples: int,
    inputs: int,
    outputs: int,
    generator: np.random.Generator,
    dtype: str = "float64",
    *,
    regression: bool = False,
) -> shoal.Task:
    """Return normal inputs that ``dtype`` holds exactly, random labels (or such targets) and unequal weights."""
    points = generator.standard_normal((samples, inputs)).astype(dtype)
    if regression:
        targets = generator.standard_normal((samples, outputs)).astype(dtype)
        return shoal.Task.regression(points, targets, generator.uniform(0.5, 2, samples))
    labels = generator.choice([-1, 1], samples) if outputs == 1 else generator.integers(outputs, size=samples)
    return shoal.Task(points, labels, generator.uniform(0.5, 2, samples))


def measures_of(task: shoal.Task, loss: str, names: Sequence[str]) -> tuple[str, ...]:
    """Return those of the names of measures that a task has under a loss."""
    held = [REGISTRY[name] for name in names]
    labelled, squared = task.answer == "labels", loss == "squared"
    return tuple(one.name for one in held if (labelled or not one.of_labels) and (squared or not one.of_squares))


def started(init: shoal.Explicit, k: int) -> Parameters:
    """Return the parameters from which network k of an explicit initialisation begins."""
    return Parameters([w[k] for w in init.weights], [b[k] for b in init.biases])


def final(data: xarray.Dataset, k: int) -> Parameters:
    """Return the final parameters of network k in float64."""
    return Parameters(
        [array[k].astype(np.float64) for array in layers(data, "weights")],
        [array[k].astype(np.float64) for array in layers(data, "biases")],
    )


def layers(data: xarray.Dataset, name: str) -> list[Array]:
    """Return the arrays name_1, name_2, ... of a dataset."""
    count = sum(str(variable).removeprefix(f"{name}_").isdigit() for variable in data)
    return [data[f"{name}_{layer}"].values for layer in range(1, count + 1)]


def same_bits(one: xarray.Dataset, other: xarray.Dataset) -> None:
    """Assert that all variables of two datasets have the same bits."""
    assert set(one) == set(other)
    for name in one:
        a, b = one[name].values, other[name].values
        assert a.dtype == b.dtype, name
        assert a.shape == b.shape, name
        assert a.tobytes() == b.tobytes(), f"{name} differs by up to {np.nanmax(np.abs(a - b)):g}"


def passes(outcome: Outcome) -> None:
    """Assert that every row of a claim passes, and that some name a wrong theory, which they then catch."""
    assert not [f"{row.statement}: {row.comparison}" for row in outcome.rows if not row.passed]
    assert any(row.wrong for row in outcome.rows)


def rows_of(part: Callable[..., object], setting: Setting, *given: object) -> list[Row]:
    """Return the rows that a part of a claim adds."""
    from shoal.claims import Trial

    trial = Trial(setting)
    part(trial, *given)
    return trial.rows


def can_be_read_back(outcome: Outcome, folder: Path) -> None:
    """Assert that a claim's picture and data, once saved, are there and the same."""
    picture, store, _ = outcome.save(folder)
    assert picture.read_bytes().startswith(b"\x89PNG")
    with xarray.open_zarr(store, consolidated=False) as saved:
        xarray.testing.assert_identical(saved.load(), outcome.data)


def is_labelled(figure: Figure) -> None:
    """Assert that every panel has labels of its axes, a title and a legend."""
    for axes in figure.axes:
        assert all((axes.get_xlabel(), axes.get_ylabel(), axes.get_title(), axes.get_legend()))


def python(
    code: list[str],
    environment: Mapping[str, str] | None = None,
    timeout: float = 300,
    folder: os.PathLike[str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run Python with ``code`` as its arguments, the tests' modules importable, and return what it said."""
    path = os.pathsep.join([str(HERE), *(part for part in sys.path if part)])
    return subprocess.run(
        [sys.executable, *code],
        env={**os.environ, "PYTHONPATH": path, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=timeout,
        cwd=folder,
        check=False,
    )


def train_on(engine: str, *arguments: Any, **given: Any) -> xarray.Dataset:
    """Train on one engine: networks in the lanes, or the samples of each network alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHOAL_ENGINE", engine)
        return shoal.train(*arguments, **given)


def on(isa: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Train on one instruction set for the rest of the test."""
    module = _core.load(isa)
    for name in ("train", "pack_bytes", "networks_alone", "alone_bytes", "lanes", "isa"):
        monkeypatch.setattr(_core, name, getattr(module, name))


def gaps_of_descent(flow: xarray.Dataset, until: float, **given: Any) -> NDArray[np.float64]:
    """Return how far descent's margins are from a flow's, (rates, networks) float64, at four rates, each half the last.

    Networks whose flow did not end well are left out; at least four fifths must have.
    """
    kept = (flow.status == 0).values
    assert kept.mean() > 0.8
    margins = [
        shoal.train(method=shoal.GradientDescent(rate, round(until / rate)), **given).margin
        for rate in (1e-2, 5e-3, 2.5e-3, 1.25e-3)
    ]
    return np.array([np.abs(margin - flow.margin).max(("time", "sample")) for margin in margins])[:, kept]


def tends_with_its_rate(gaps: NDArray[np.float64]) -> bool:
    """Return whether the median gap goes as the rate: along a kink descent zigzags by about the rate, irregularly."""
    slope = np.log2(np.median(gaps[0]) / np.median(gaps[-1])) / (len(gaps) - 1)
    return bool(0.8 < slope < 1.2)
