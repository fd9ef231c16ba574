"""Smooth random flows against the oracle's gradient in another integrator, each number within the tolerance asked for.

Where nothing has a kink the flow is determined, and an error of one step is carried on as a change of the
initialisation would be. So after n steps a weight may be off by n times what one tolerance makes of it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from scipy.integrate import solve_ivp

import reference
import shoal
from fuzz_cases import Case
from fuzz_checks import problem
from reference import Array, Parameters, Problem
from shoal.spec.loss import resolve_loss
from support import layers

RTOL, ATOL = 1e-7, 1e-10
_SMOOTH = ("linear", "tanh", "softplus", "erf", "quadratic")
_WITHOUT_KINK = ("cross_entropy", "exponential", "squared")


def is_smooth(case: Case) -> bool:
    name = resolve_loss(case.arguments["loss"]).name
    return case.network.activation in _SMOOTH and name in _WITHOUT_KINK and not case.wild


def flow(case: Case) -> int:
    """Compare a flow of the case's first network at three times, and return how many did arrive."""
    until, networks = 1.5 / max(1.0, *case.network.rates), 1
    init = case.arguments["init"]
    times = np.array([0.0, 0.4 * until, until])
    given: dict[str, Any] = {
        **case.arguments,
        "init": init.block(0, networks) if isinstance(init, shoal.Explicit) else init,
        "networks": networks,
        "method": shoal.GradientFlow(until, RTOL, ATOL),
        "dtype": "float64",
        "condense": False,
    }
    data = shoal.train(**given, record=shoal.Record(times=times, measure=("trajectory",)))
    setup = problem(replace(case, arguments=given))
    found = [*layers(data, "trajectory"), *layers(data, "trajectory_bias")]
    arrived = np.flatnonzero(data.status.values == 0)
    for k in arrived:
        begin = np.concatenate([array[k, 0].ravel() for array in found])
        exact = integrated(setup, [array[k, 0] for array in found], begin, times)
        moved = integrated(
            setup, [array[k, 0] for array in found], begin * (1 + RTOL * case.draw.choice([-1, 1], len(begin))), times
        )
        size = np.abs(exact).max(axis=1, keepdims=True)
        allowed = int(data.accepted[k]) * (np.abs(moved - exact).max(axis=1, keepdims=True) + RTOL * size + ATOL)
        ours = np.array([np.concatenate([array[k, t].ravel() for array in found]) for t in range(len(times))])
        wrong = ~(np.abs(ours - exact) <= allowed)
        assert not wrong.any(), f"off by {np.abs(ours - exact).max():g}, {allowed.max():g} is allowed\n{case}"
    return len(arrived)


def integrated(setup: Problem, like: list[Array], begin: Array, times: Array) -> Array:
    """Return the parameters (times, parameters) of the flow from ``begin``."""
    ends = np.cumsum([array.size for array in like])[:-1]

    def split(values: Array) -> Parameters:
        parts = [part.reshape(array.shape) for part, array in zip(np.split(values, ends), like, strict=True)]
        count = len(setup.scales) or 1
        return Parameters(parts[:count], parts[count:])

    centred = setup.started(split(begin))

    def velocity(_: float, values: Array) -> Array:
        slope = reference.gradient(centred, split(values))
        moved = [-setup.rate(layer) * g for kind in (slope.weights, slope.biases) for layer, g in enumerate(kind)]
        return np.concatenate([array.ravel() for array in moved])

    solved = solve_ivp(velocity, (0.0, times[-1]), begin, "DOP853", times, rtol=1e-10, atol=1e-13)
    assert solved.success, solved.message
    return np.asarray(solved.y.T)
