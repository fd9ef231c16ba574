"""One descent step of the core against the gradient, on the whole grid, on every instruction set of this CPU.

(w0 - w1) / rate must be the gradient: by complex steps through the oracle's objective (a finite difference whose step
is so small that no truncation is left), and by the oracle's backpropagation; both within the bound that ``rounding``
gives for that network.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import reference
import rounding
import shoal
from reference import Array, Parameters, Problem
from shoal.spec.loss import resolve_loss
from support import ACTIVATIONS, FUSED, LOSSES, SETS, final, on, random_init, random_task, started

WIDTHS = {1: (3,), 2: (3, 5), 3: (3, 5, 4), 4: (3, 4, 3, 2)}
NETWORKS = 9
SAMPLES = 6
RATE = 1.0
EPS = {dtype: float(np.finfo(dtype).eps) for dtype in ("float64", "float32")}

OUTPUTS = [(loss, 1) for loss in LOSSES] + [("cross_entropy", 3)]
# Whether with biases, weight decay and spectral decoupling, which float32 holds exactly.
PENALTIES = ((True, 0.25, 0.0), (False, 0.0, 0.5), (True, 0.25, 0.5))
# Of the layers in turn.
SCALES, RATES = (0.6, 1.7, 0.8, 1.3), (1.5, 0.4, 2.0, 0.7)
# The widest set, and those without fused multiply-add: the others have its bits (test_bits.py).
ROUNDINGS = [isa for isa in SETS if isa not in FUSED[:-1]]


def complex_gradient(setup: Problem, parameters: Parameters) -> Parameters:
    """Return the gradient of the oracle's objective, one parameter after another, by a complex step."""
    step = 1e-100

    def slopes(arrays: list[Array], rebuild: Callable[[list[Array]], Parameters]) -> list[Array]:
        result = []
        for i, array in enumerate(arrays):
            slope = np.zeros_like(array)
            for at in np.ndindex(array.shape):
                moved = array.astype(complex)
                moved[at] += 1j * step
                changed = [*arrays[:i], moved, *arrays[i + 1 :]]
                slope[at] = np.imag(reference.objective(setup, rebuild(changed))) / step
            result.append(slope)
        return result

    return Parameters(
        slopes(parameters.weights, lambda arrays: Parameters(arrays, parameters.biases)),
        slopes(parameters.biases, lambda arrays: Parameters(parameters.weights, arrays)),
    )


def clear_start(network: shoal.Network, setup: Problem, generator: np.random.Generator) -> shoal.Explicit:
    """Return starts of which none stands so near a kink that rounding could carry it across."""
    drawn = random_init(network, 3 * NETWORKS, generator, "float32")
    clear = [k for k in range(3 * NETWORKS) if rounding.clear_of_kinks(setup, started(drawn, k), EPS["float32"])]
    rows = clear[:NETWORKS]
    assert len(rows) == NETWORKS, f"only {len(rows)} of {3 * NETWORKS} starts are clear of kinks"
    return shoal.Explicit([w[rows] for w in drawn.weights], [b[rows] for b in drawn.biases] or None)


@dataclass(frozen=True)
class Expected:
    """What one case must give: for each network its initialisation and its gradient, by one way or by two."""

    network: shoal.Network
    task: shoal.Task
    setup: Problem
    init: shoal.Explicit
    gradients: list[list[Parameters]]
    penalties: dict[str, float]


@functools.cache
def expected(
    activation: str, loss: str, outputs: int, depth: int, bias: bool, decay: float = 0.0, decoupling: float = 0.0,
    parametrised: bool = False,
) -> Expected:  # fmt: skip
    """Return what one case must give, the same on every instruction set."""
    given: dict[str, Any] = {"scales": SCALES[:depth], "rates": RATES[:depth]} if parametrised else {}
    seed = [ACTIVATIONS.index(activation), LOSSES.index(loss), outputs, depth, int(bias)]
    generator = np.random.default_rng(seed)
    slope = 0.1 if activation == "leaky_relu" else 0.01
    network = shoal.Network((*WIDTHS[depth], outputs), activation, slope, bias, **given)
    task = random_task(SAMPLES, 3, outputs, generator, "float32")
    penalties = {"weight_decay": decay, "spectral_decoupling": decoupling}
    setup = reference.problem(network, task, resolve_loss(loss), **penalties)
    init = clear_start(network, setup, generator)
    gradients = [[reference.gradient(setup, started(init, k))] for k in range(NETWORKS)]
    gradients[-1].append(complex_gradient(setup, started(init, NETWORKS - 1)))
    return Expected(network, task, setup, init, gradients, penalties)


def check(
    activation: str, loss: str, outputs: int, depth: int, bias: bool, *penalties: float, parametrised: bool = False
) -> dict[str, float]:
    """Return the largest ratio of error to bound in each dtype; above 1 it has failed."""
    case = expected(activation, loss, outputs, depth, bias, *penalties, parametrised=parametrised)
    worst = {}
    for dtype, eps in EPS.items():
        data = shoal.train(
            case.network,
            case.task,
            case.init,
            loss=loss,
            method=shoal.GradientDescent(RATE, 1),
            record=shoal.Record(measure=("weights",)),
            dtype=dtype,
            **case.penalties,
        )
        worst[dtype] = max(
            worst_ratio(
                case.setup, before, final(data, k), gradient, rounding.step_bounds(case.setup, before, RATE, eps)
            )
            for k in range(NETWORKS)
            for before in [started(case.init, k)]
            for gradient in case.gradients[k]
        )
    return worst


def worst_ratio(
    setup: Problem, before: Parameters, after: Parameters, gradient: Parameters, bound: Parameters
) -> float:
    """Return the largest |(w0 - w1) / rate - gradient| / (bound / rate), over all parameters."""
    rates = [RATE * setup.rate(layer) for layer in range(len(before.weights))]
    return max(
        float(np.max(np.abs((w0 - w1) / rate - g) / (b / rate)))
        for w0, w1, g, b, rate in zip(
            [*before.weights, *before.biases],
            [*after.weights, *after.biases],
            [*gradient.weights, *gradient.biases],
            [*bound.weights, *bound.biases],
            [*rates, *(rates if before.biases else [])],
            strict=True,
        )
    )


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("isa", ROUNDINGS)
def test_a_step_is_the_gradient_for_every_loss_depth_bias_and_dtype(
    isa: str, activation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    on(isa, monkeypatch)
    ratios = {
        (*loss, depth, bias, dtype): ratio
        for loss, depth, bias in itertools.product(OUTPUTS, WIDTHS, (False, True))
        for dtype, ratio in check(activation, *loss, depth, bias).items()
    }
    assert len(ratios) == 6 * 4 * 2 * 2
    failed = {case: f"{ratio:.3g} x its bound" for case, ratio in ratios.items() if not ratio <= 1}
    assert not failed


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("isa", ROUNDINGS)
def test_a_step_is_the_gradient_with_penalties_too(isa: str, activation: str, monkeypatch: pytest.MonkeyPatch) -> None:
    on(isa, monkeypatch)
    ratios = {
        (*loss, depth, *penalised, dtype): ratio
        for loss, depth, penalised in itertools.product(OUTPUTS, (1, 2, 3), PENALTIES)
        for dtype, ratio in check(activation, *loss, depth, *penalised).items()
    }
    assert len(ratios) == 6 * 3 * 3 * 2
    failed = {case: f"{ratio:.3g} x its bound" for case, ratio in ratios.items() if not ratio <= 1}
    assert not failed


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("isa", ROUNDINGS)
def test_a_step_is_the_gradient_with_scales_and_rates_too(
    isa: str, activation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    on(isa, monkeypatch)
    ratios = {
        (*loss, depth, *penalised, dtype): ratio
        for loss, depth, penalised in itertools.product(
            OUTPUTS, WIDTHS, ((True, 0.0, 0.0), (False, 0.0, 0.0), (True, 0.25, 0.5))
        )
        for dtype, ratio in check(activation, *loss, depth, *penalised, parametrised=True).items()
    }
    assert len(ratios) == 6 * 4 * 3 * 2
    failed = {case: f"{ratio:.3g} x its bound" for case, ratio in ratios.items() if not ratio <= 1}
    assert not failed


@pytest.mark.parametrize("isa", ROUNDINGS)
@pytest.mark.parametrize("engine", ["lanes", "alone"])
@pytest.mark.parametrize(
    ("dtype", "least", "margins"),
    [
        ("float64", 2.0**-996, (9.0, 300.0, 690.0, 691.0, 707.0, 800.0)),
        ("float32", 2.0**-100, (9.0, 69.0, 70.0, 86.0, 99.0)),
    ],
)
def test_residuals_that_move_no_weight_count_as_0(
    isa: str, engine: str, dtype: str, least: float, margins: tuple[float, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One weight w, one sample x = y = 1: the gradient is r(w). Of two classes, with logits w and 0, it is 2^1/2 r."""
    on(isa, monkeypatch)
    monkeypatch.setenv("SHOAL_ENGINE", engine)
    exponential, logistic = np.exp(-np.array(margins)), np.exp(-np.logaddexp(0, margins))
    counted = exponential >= least
    assert 2 <= counted.sum() < len(margins)
    binary, classes = (np.array(margins).reshape(-1, 1, 1) * np.eye(outputs)[:, :1] for outputs in (1, 2))
    for weights, label, loss, residual in (
        (binary, 1, "cross_entropy", logistic),
        (binary, 1, "exponential", exponential),
        (classes, 0, "cross_entropy", np.sqrt(2) * logistic),
    ):
        data = shoal.train(
            shoal.Network((1, weights.shape[1])),
            shoal.Task([[1.0]], [label]),
            shoal.Explicit([weights]),
            method=shoal.GradientDescent(learning_rate=0.5, steps=1),
            loss=loss,
            record=shoal.Record(steps=[0], measure="gradient_norm"),
            dtype=dtype,
        )
        np.testing.assert_allclose(data.gradient_norm[:, 0], np.where(counted, residual, 0.0), rtol=1e-5)
