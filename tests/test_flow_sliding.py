"""Gradient flow along kinks: where the flow of both sides pushes onto one, the network slides by Filippov's rule."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import xarray
from numpy.typing import NDArray
from scipy.integrate import quad, solve_ivp
from scipy.optimize import brentq

import shoal
from support import gaps_of_descent, layers, same_bits, tends_with_its_rate

Array = NDArray[np.float64]


def flown(until: float, rtol: float = 1e-8, **given: Any) -> xarray.Dataset:
    return shoal.train(method=shoal.GradientFlow(until, rtol, 1e-3 * rtol, given.pop("max_steps", 10_000)), **given)


def correlated(samples: int = 8, inputs: int = 3, seed: int = 4) -> shoal.Task:
    """Return normal inputs with random labels: units slide along some, margins stay at the threshold of others."""
    generator = np.random.default_rng(seed)
    return shoal.Task(generator.standard_normal((samples, inputs)), generator.choice([-1, 1], samples))


@pytest.mark.parametrize("rtol", [1e-5, 1e-7, 1e-9])
def test_margins_that_stay_at_the_threshold_of_a_hinge_follow_the_closed_form(rtol: float) -> None:
    """A linear network, f = w x: both margins rise, then m_1 stays at 1 while the other's pull is projected, then both.

    The pull of the second sample would drive m_1 down: x_1 x_2 < 0 (with the labels' signs).
    """
    points, shares = np.array([[1.5, 0.0], [-0.4, 0.8]]), np.array([0.7, 0.3])
    gram = points @ points.T
    rise = gram @ shares
    first = 1.0 / rise[0]
    along = shares[1] * (gram[1, 1] - gram[0, 1] ** 2 / gram[0, 0])
    last = first + (1.0 - rise[1] * first) / along
    assert rise[1] * first < 1.0
    times = np.linspace(0.0, 1.3 * last, 40)
    slides = np.clip(times - first, 0.0, last - first)
    expected = np.outer(np.minimum(times, first), rise) + np.outer(slides, [0.0, along])
    data = flown(
        times[-1], rtol, network=shoal.Network((2, 1)), task=shoal.Task(points * [[1.0], [1.0]], [1, 1], shares),
        init=shoal.Explicit([np.zeros((1, 1, 2))]), loss="hinge", networks=1,
        record=shoal.Record(times=times, measure=("margin",)),
    )  # fmt: skip
    assert data.status.values.tolist() == [0]
    np.testing.assert_allclose(data.margin.values[0], expected, atol=10 * rtol, rtol=0)


@pytest.mark.parametrize("rtol", [1e-5, 1e-7, 1e-9])
def test_a_unit_that_slides_along_a_sample_follows_the_closed_form(rtol: float) -> None:
    """One ReLU (w, z) and two samples; only the first pulls until w x_2 = 0, and then only along the kink.

    Each phase is a chain of two weights with a conserved difference of squares: with b the part of w along x_1, and
    later with r the length of w (the direction of w is the kink's), m' = p k^2 (z^2 + b^2) / (1 + e^m).
    """
    one, two, share = np.array([1.0, 0.5]), np.array([0.2, 1.1]), 0.6
    w, z = np.array([0.7, -0.35]), 0.5
    size = np.linalg.norm(one)
    unit = one / size
    begin = w @ unit
    assert w @ two < 0 < w @ one

    def speed(m: float, norm: float, square: float) -> float:
        """Return m' where m = norm b z and z^2 - b^2 = square: (z^2 + b^2)^2 = square^2 + 4 (m / norm)^2."""
        return share * norm**2 * float(np.hypot(square, 2 * m / norm)) / (1 + np.exp(m))

    def time_of(m: float, start: float, norm: float, square: float) -> float:
        return float(quad(lambda q: 1 / speed(q, norm, square), start, m, epsabs=1e-13, epsrel=1e-13)[0])

    # Where w + a unit meets the kink.
    there = begin - (w @ two) / (unit @ two)
    second = np.sqrt(z**2 + there**2 - begin**2)
    margins = size * np.array([begin * z, there * second])
    first = time_of(margins[1], margins[0], size, z**2 - begin**2)
    kink = np.array([two[1], -two[0]]) / np.linalg.norm(two)
    corner = w + (there - begin) * unit
    length = corner @ kink
    norm = kink @ one
    assert length > 0

    def margin(t: float) -> float:
        start, n, square, begun = (
            (margins[0], size, z**2 - begin**2, 0.0) if t <= first else (margins[1], norm, second**2 - length**2, first)
        )
        return float(brentq(lambda m: time_of(m, start, n, square) + begun - t, start, start + 20, xtol=1e-14))

    until = 12.0
    assert 0.1 < first < 0.5 * until
    times = np.sort(np.append(np.linspace(0.0, until, 25), first))
    expected = np.array([margin(t) for t in times])
    data = flown(
        until, rtol, network=shoal.Network((2, 1, 1)), task=shoal.Task([one, two], [1, -1], [share, 1 - share]),
        init=shoal.Explicit([w[None, None], np.full((1, 1, 1), z)]), networks=1,
        record=shoal.Record(times=times, measure=("margin", "weights")),
    )  # fmt: skip
    assert data.status.values.tolist() == [0]
    np.testing.assert_allclose(data.margin.values[0, :, 0], expected, atol=10 * rtol * expected.max(), rtol=0)
    np.testing.assert_allclose(data.margin.values[0, times >= first, 1], 0.0, atol=10 * rtol)
    assert abs(data.weights_1.values[0, 0] @ two) < 1e-14


def smoothed(
    task: shoal.Task, loss: str, width: float, shapes: list[tuple[int, ...]], rates: tuple[float, ...]
) -> Callable[[float, Array], Array]:
    """Return the flow of a ReLU network whose gates, and hinge, open over a range of that width."""
    points, labels, shares = np.asarray(task.inputs), np.asarray(task.labels), np.asarray(task.sample_weight)

    def gate(a: Array) -> Array:
        return np.asarray(0.5 * (1 + np.tanh(a / (2 * width))))

    def slope(_: float, flat: Array) -> Array:
        weights = [
            p.reshape(s)
            for p, s in zip(np.split(flat, np.cumsum([np.prod(s) for s in shapes])[:-1]), shapes, strict=True)
        ]
        entering, gates = [points], []
        for weight in weights[:-1]:
            a = entering[-1] @ weight.T
            gates.append(gate(a))
            entering.append(width * np.logaddexp(0, a / width))
        margins = labels * (entering[-1] @ weights[-1].T)[:, 0]
        residual = gate(1.0 - margins) if loss == "hinge" else 1 / (1 + np.exp(margins))
        delta = (shares * labels * residual)[:, None]
        out = []
        for layer in reversed(range(len(weights))):
            out.insert(0, rates[layer] * delta.T @ entering[layer])
            if layer:
                delta = (delta @ weights[layer]) * gates[layer - 1]
        return np.concatenate([part.ravel() for part in out])

    return slope


@pytest.mark.parametrize(
    "network",
    [shoal.Network((3, 4, 1)), shoal.Network((3, 4, 3, 1)), shoal.Network((3, 4, 1), rates=(1.0, 3.0))],
    ids=["two layers", "three layers", "rates 1 and 3"],
)
@pytest.mark.parametrize("loss", ["cross_entropy", "hinge"])
def test_smoothed_kinks_tend_to_the_sliding_flow_with_their_width(loss: str, network: shoal.Network) -> None:
    """An independent stiff integration of the flow with kinks of width 1e-3, 1e-4, 1e-5, on which all is smooth."""
    task, until, networks = correlated(), 6.0, 2
    given: dict[str, Any] = {
        "network": network, "task": task, "init": shoal.Gaussian(0.6), "networks": networks,
        "first_network": 2 if network.rates == (1.0, 3.0) else 0,  # network 1 comes to where the flow is not determined
    }  # fmt: skip
    begun = layers(
        shoal.train(method=shoal.GradientDescent(1.0, 0), record=shoal.Record(measure=("weights",)), **given), "weights"
    )
    data = flown(until, 1e-9, loss=loss, record=shoal.Record(times=[until], measure=("margin", "weights")), **given)
    assert (data.status == 0).all()
    ended = layers(data, "weights")
    shapes = [w.shape[1:] for w in begun]
    gaps = np.array([
        [
            np.abs(
                solve_ivp(
                    smoothed(task, loss, width, shapes, network.rates), (0.0, until),
                    np.concatenate([w[k].ravel() for w in begun]), "LSODA", rtol=1e-9, atol=1e-11,
                ).y[:, -1] - np.concatenate([w[k].ravel() for w in ended])
            ).max()
            for k in range(networks)
        ]
        for width in (1e-3, 1e-4, 1e-5)
    ])  # fmt: skip
    # The width times a logarithm of it.
    assert (gaps[1:] < gaps[:-1] / 5).all()
    assert (gaps[-1] < 100 * 1e-5).all()


@pytest.mark.parametrize("loss", ["cross_entropy", "hinge"])
def test_a_network_that_slides_has_its_bits_whatever_its_neighbours_and_threads(loss: str) -> None:
    given: dict[str, Any] = {
        "network": shoal.Network((3, 5, 1), bias=True),
        "task": correlated(),
        "init": shoal.Gaussian(0.4),
        "loss": loss,
        "record": shoal.Record(times=[0.0, 3.0, 8.0], measure=("margin", "weights")),
    }
    together = flown(8.0, 1e-6, networks=40, threads=1, **given)
    assert (together.status == 0).mean() > 0.8
    same_bits(together, flown(8.0, 1e-6, networks=40, threads=3, **given))
    for network in (0, 17, 39):
        same_bits(together.sel(network=[network]), flown(8.0, 1e-6, networks=1, first_network=network, **given))


@pytest.mark.parametrize(
    ("activation", "loss"), [("relu", "cross_entropy"), ("tanh", "hinge"), ("erf", "hinge"), ("quadratic", "hinge")]
)
def test_descent_tends_to_the_sliding_flow_as_its_rate_does_to_zero(activation: str, loss: str) -> None:
    given: dict[str, Any] = {
        "network": shoal.Network((3, 6, 1), activation),
        "task": correlated(),
        "init": shoal.Gaussian(0.2),
        "loss": loss,
        "networks": 32,
        "record": shoal.Record(times=np.linspace(0.0, 10.0, 6), measure=("margin",)),
    }
    gaps = gaps_of_descent(flown(10.0, 1e-8, **given), 10.0, **given)
    assert tends_with_its_rate(gaps)
    # Of one network the factor 8 is within a few.
    assert (gaps[-1] < gaps[0] / 2).all()
