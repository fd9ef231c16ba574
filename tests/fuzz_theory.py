"""Calls of theory, and of what else ``fuzz_inputs`` leaves out, with one argument replaced by anything at all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from types import SimpleNamespace
from typing import Any

import numpy as np

import shoal
from fuzz_inputs import Arguments, Target, trained
from shoal import dynamics, tasks, theory
from shoal.theory.mean_field.finite_samples import sample_spread
from shoal.theory.mean_field.mislabelled import MislabelledHinge
from shoal.theory.mean_field.tangent_kernel import mean_field_kernel, mean_field_movement

TIMES, MARGINS = [0.0, 0.5, 2.0], [0.2, 0.5]
TASK = SimpleNamespace(inputs=np.eye(2), labels=np.array([1, -1]), sample_weight=np.array([0.5, 0.5]))
WEIGHTS = (np.array([[[0.1, -0.2], [-0.2, 0.1]]]), np.array([[[0.1, -0.1]]]))
REGRESSION = SimpleNamespace(inputs=np.eye(2), targets=np.array([1.0, -0.5]), sample_weight=np.array([0.5, 0.5]))
KERNEL = dict(kernel=np.eye(2), targets=[1.0, -1.0], sample_weight=[0.5, 0.5], initial=0.1)

MODE = theory.Mode(norm=1.0, frequency=0.5, start_margin=0.1)
CHAIN = theory.Chain((0.5, 0.4, 0.3), norm=2.0, frequency=0.5)
FEATURES = theory.Features((1.0, 0.5), [(0,), (0, 1)], (0.5, 0.5), 0.1)
HINGE = theory.MeanFieldHinge(nodes=10, inputs=5)
MISLABELLED = MislabelledHinge(HINGE, 0.1)
NOISE = theory.TrainedNoise(HINGE)
POPULATION = theory.MeanFieldPopulation([1.0, -1.0], [0.5, 0.2], [1.0, 1.0], inputs=3)


@cache
def _flow() -> Any:
    return POPULATION.solve([0.0, 0.5])


@cache
def _files() -> tuple[Path, Path]:
    folder = Path(mkdtemp())
    sizes = [np.array([0x00000803, 4, 2, 2], ">i4"), np.array([0x00000801, 4], ">i4")]
    held = [np.arange(16, dtype=np.uint8), np.array([0, 1, 0, 1], np.uint8)]
    paths = folder / "images", folder / "labels"
    for path, size, numbers in zip(paths, sizes, held, strict=True):
        path.write_bytes(size.tobytes() + numbers.tobytes())
    return paths


def _of(owner: object, name: str, **valid: Any) -> Target:
    return Target(f"{type(owner).__name__}.{name}", getattr(owner, name), lambda: dict(valid))


def _idx() -> Arguments:
    images, labels = _files()
    return {
        **{"images": images, "labels": labels, "classes": (0, 1), "samples": 2, "test": None, "test_samples": 1},
        **{"scale": 1.0, "centre": False, "standardise": False, "seed": 0},
    }


USES: dict[str, Callable[[Any], object]] = {
    "Mode": lambda mode: (mode.margin(TIMES), mode.soft_error(TIMES), mode.tau(TIMES), mode.plateau()),
    "Chain": lambda chain: (chain.margin(TIMES), chain.layers(TIMES)),
    "Features": lambda features: features.margins(TIMES),
    "MeanFieldHinge": lambda hinge: (hinge.gamma(TIMES), hinge.error(TIMES), hinge.loss(TIMES), hinge.lazy(TIMES)),
    "MeanFieldPopulation": lambda population: population.solve([0.0, 0.01], rtol=1e-3).a,
    "OrderParameters": lambda theory: theory.margins(WEIGHTS, TIMES),
    "PenalisedMode": lambda mode: (mode.stable, mode.unstable, mode.largest_decay),
}
"""What is done with an object, so that arguments which are taken show that they are."""


def _used(name: str) -> Callable[..., Any]:
    made, use = getattr(theory, name), USES.get(name, lambda result: result)
    return lambda **given: use(made(**given))


_OF_TIMES = {
    MODE: ("margin", "soft_error", "loss_value", "tau"),
    CHAIN: ("margin", "layers"),
    FEATURES: ("strengths", "margins", "loss_value"),
    HINGE: (
        *("gamma", "velocity", "boundary", "unsatisfied", "loss", "noise", "spread", "error", "early", "tail", "lazy"),
    ),
    MISLABELLED: ("gamma", "clean_time", "boundary", "unsatisfied", "error"),
    NOISE: ("kinds", "remaining", "noise", "spread", "error"),
}
_MODE = {"start": 0.1, "target": 1.0, "depth": 3}
_SCALES = {"alpha": 1.0, "threshold": 1.0, "beta": 1.0}

TARGETS: tuple[Target, ...] = tuple(
    replace(target, numbers=True)
    for target in (
        *(_of(owner, name, times=TIMES) for owner, names in _OF_TIMES.items() for name in names),
        *(_of(owner, "time", margin=MARGINS) for owner in (MODE, CHAIN)),
        _of(MODE, "velocity", margin=MARGINS),
        _of(FEATURES, "on", features=(0, 1), times=TIMES),
        _of(FEATURES, "confidence", features=(0,), times=TIMES),
        _of(FEATURES, "velocity", strengths=[[0.1], [0.2]]),
        _of(FEATURES, "time", kind=1, margin=MARGINS),
        _of(HINGE, "time", gamma=TIMES),
        _of(HINGE, "trajectories", a0=[1.0, 2.0], w0=[1.0, 2.0], times=TIMES),
        _of(HINGE, "output", projections=[-1.0, 2.0], times=TIMES),
        _of(HINGE, "satisfaction_time", projections=[-1.0, 2.0]),
        _of(POPULATION, "solve", times=[0.0, 0.1], rtol=1e-6),
        _of(theory.OrderParameters(TASK), "flow", weights=WEIGHTS, times=TIMES),
        _of(theory.OrderParameters(TASK), "margins", weights=WEIGHTS, times=TIMES),
        Target(
            "PopulationFlow.output", lambda **given: _flow().output(**given), lambda: dict(x_par=[1.0], x_perp=[2.0])
        ),
        *(
            Target(name, _used(name), lambda valid=valid: dict(valid))  # type: ignore[misc]
            for name, valid in {
                "Mode": dict(norm=1, frequency=0.5, start_margin=0.1, imbalance=0.1, depth=2, loss="hinge", classes=2),
                "Chain": dict(strengths=(0.5, 0.4), norm=1.0, frequency=1.0, loss="hinge", activation="relu"),
                "Features": dict(
                    **dict(norms=(1.0, 0.5), types=[(0,), (0, 1)], frequencies=(0.5, 0.5), starts=(0.1, 0.1)),
                    **dict(loss="squared", depth=2, weight_decay=0.0, spectral_decoupling=0.1, neurons="shared"),
                ),
                "MeanFieldHinge": dict(nodes=9, inputs=5, **_SCALES, distribution="sphere", radius=2.0, centred=True),
                "MeanFieldPopulation": dict(
                    a=[1.0, -1.0], w_par=[0.5, 0.2], w_perp=[1.0, 1.0], weights=[1.0, 2.0], inputs=3, **_SCALES
                ),
                "OrderParameters": dict(task=TASK, loss="hinge"),
                "PenalisedMode": dict(
                    norm=1.0, frequency=0.5, weight_decay=0.1, spectral_decoupling=0.1, depth=3, loss="exponential"
                ),
                "TrainedNoise": dict(clean=HINGE),
                "death_probability": dict(weight_std=1.0, output_std=2.0),
                "decoupled_margin": dict(spectral_decoupling=[0.1, 1.0], loss="cross_entropy"),
                "descend_cycle": dict(target=1.0, rate=1.1),
                "descend_mode": dict(start=[0.1, 0.2], target=1.0, rate=0.5, steps=4),
                "descend_quadratic": dict(start=0.1, sharpness=2.0, rate=0.5, steps=4, momentum=0.5, nesterov=True),
                "early_alignment": dict(weights=WEIGHTS, task=TASK, loss="hinge", times=TIMES),
                "exponential_weight": dict(times=TIMES, start=0.1, norm=1.0, frequency=0.5),
                "failure_probability": dict(neurons=[1, 2], weight_std=1.0, output_std=2.0, data="separated"),
                "kernel_descent": dict(rate=0.5, steps=[0, 2], **KERNEL),
                "kernel_flow": dict(times=TIMES, **KERNEL),
                "learning_time": dict(level=[0.2, 0.5], constant=1.0, **_MODE),
                "linear_finite_width": dict(task=REGRESSION, times=TIMES, points=[[1.0, 2.0]], alpha=1.0),
                "linear_mean_field": dict(task=REGRESSION, times=TIMES, alpha=1.0, weights=WEIGHTS),
                "linear_mode": dict(times=TIMES, constant=1.0, **_MODE),
                "penalised_linear": dict(task=TASK, weight_decay=0.1, spectral_decoupling=0.1, loss="squared"),
                "power_mode": dict(times=TIMES, **_MODE),
                "separated_deaths": dict(weights=WEIGHTS, task=TASK, loss="hinge", t_end=5.0),
                "separated_margins": dict(weights=WEIGHTS, task=TASK, loss="hinge", times=TIMES),
                "separable_growth": dict(task=TASK),
                "separator": dict(inputs=[[1.0, 1.0], [-1.0, 1.0]], labels=[1, 1]),
                "stable_sharpness": dict(rate=0.1, momentum=0.5, nesterov=True),
                "wide_kernel": dict(points=[[1.0, 2.0], [0.5, 1.0]], hidden_layers=2, activation="erf", slope=0.1),
                "starved_strength": dict(
                    strength=[0.5, 2.0], starts=(0.1, 0.1), norms=(1.0, 0.5), fraction=0.5, depth=3
                ),
            }.items()
        ),
        Target(
            "MeanFieldPopulation.gaussian",
            theory.MeanFieldPopulation.gaussian,
            lambda: dict(inputs=3, mean=(0.0, 0.1), std=(1.0, 2.0), correlation=0.1, points=(2, 2, 2), **_SCALES),
        ),
        Target(
            "MeanFieldPopulation.fixed",
            theory.MeanFieldPopulation.fixed,
            lambda: dict(inputs=3, values=(-1.0, 1.0), mean=0.1, std=1.0, points=(2, 2), **_SCALES),
        ),
        Target("MislabelledHinge", MislabelledHinge, lambda: dict(clean=HINGE, flipped=0.1)),
        Target("mean_field_movement", mean_field_movement, lambda: dict(gamma=TIMES, inputs=5)),
        Target("mean_field_kernel", mean_field_kernel, lambda: dict(points=[[1.0, 0.0], [0.0, 1.0]], gamma=0.5)),
        Target("sample_spread", sample_spread, lambda: dict(gamma=TIMES, inputs=5, samples=9)),
        Target("dynamics.activation_patterns", dynamics.activation_patterns, lambda: dict(data=trained())),
        Target("dynamics.alignment", dynamics.alignment, lambda: dict(data=trained(), directions=[[1.0, 0.0]])),
        Target(
            "dynamics.strengths",
            dynamics.strengths,
            lambda: dict(data=trained(), directions=[[1.0, 0.0]], network=shoal.Network((2, 3, 1))),
        ),
        Target("dynamics.sigmoid_fit", dynamics.sigmoid_fit, lambda: dict(series=trained().loss)),
        Target("tasks.idx", tasks.idx, _idx),
    )
)
