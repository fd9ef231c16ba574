"""Chain: mpmath, the layers' own equations, Mode as a special case, recovery and death, deep networks, refusals."""

import math

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from shoal import Hinge
from shoal.theory import Chain, Mode

LOSSES = ("cross_entropy", "exponential", "hinge", "squared", "squared_hinge")
RESIDUALS = {
    "cross_entropy": lambda m: 1 / (1 + mpmath.exp(m)),
    "hinge": lambda m: mpmath.mpf(1),
    "squared": lambda m: 1 - m,
}
STRENGTHS = [
    (0.3, 0.5),
    (-0.2, 0.5),
    (0.5, 0.3, 0.4),
    (0.5, 0.4, -0.1),
    (0.7, 0.7, 0.0),
    (-1.1, 0.9, 1.3, 0.8),
    (0.4, 0.6, 0.5, -0.01, 0.55),
]


def mpmath_time(strengths, norm, frequency, loss, margin):
    """Return int dm / (p rho^2 r m'), from the layers' squares: q = a_l^2 - a_1^2 + s and dm/dtau = sum prod a_k^2."""
    with mpmath.workdps(20):
        layers = [mpmath.mpf(a) for a in strengths]
        small = min(range(len(layers)), key=lambda k: abs(layers[k]))
        gaps = [a**2 - layers[small] ** 2 for k, a in enumerate(layers) if k != small]
        sign = mpmath.sign(mpmath.fprod(a for k, a in enumerate(layers) if k != small))

        def speed(x):
            return mpmath.sqrt(mpmath.fprod(x**2 + gap for gap in gaps))

        start = sign * layers[small]
        end = mpmath.findroot(lambda x: norm * x * speed(x) - margin, (start, start + 3), solver="anderson", tol=1e-30)
        cuts = sorted([start, end, *(c for c in (0, start / 2, end / 2, end * 0.9) if start < c < end)])
        pace = lambda x: 1 / (frequency * norm * speed(x) * RESIDUALS[loss](norm * x * speed(x)))  # noqa: E731
        return mpmath.quad(pace, cuts)


@pytest.mark.parametrize("loss", ["cross_entropy", "hinge", "squared"])
@pytest.mark.parametrize("strengths", STRENGTHS)
def test_times_and_margins_agree_with_mpmath(strengths, loss):
    chain = Chain(strengths, norm=1.7, frequency=0.6, loss=loss)
    for margin in (0.8, 3.0 if loss == "cross_entropy" else 0.97):
        if margin <= chain.start_margin:
            continue
        expected = float(mpmath_time(strengths, 1.7, 0.6, loss, margin))
        assert float(chain.time(margin)) == pytest.approx(expected, rel=1e-10)
        assert float(chain.margin(expected)) == pytest.approx(margin, rel=1e-10)


def integrate(strengths, norm, frequency, residual, times):
    """Return the layers (N, times) by their own N equations."""

    def slope(_, a):
        others = np.array([np.prod(np.delete(a, k)) for k in range(len(a))])
        return frequency * norm * residual(norm * np.prod(a)) * others

    return solve_ivp(slope, (0, times[-1]), strengths, method="DOP853", rtol=1e-13, atol=1e-15, t_eval=times).y


SMOOTH = {
    "cross_entropy": lambda m: 1 / (1 + math.exp(m)),
    "exponential": lambda m: math.exp(-m),
    "squared": lambda m: 1 - m,
}


@pytest.mark.parametrize("loss", sorted(SMOOTH))
@pytest.mark.parametrize("strengths", [*STRENGTHS, (0.9, -0.9, 1.4), (1.3, 1.2, 1.5), (-0.6, 0.6), (-0.5,)])
def test_every_layer_follows_its_own_equation(strengths, loss):
    times = np.array([0.0, 0.4, 2.0, 9.0])
    expected = integrate(np.array(strengths), 1.2, 0.8, SMOOTH[loss], times)
    chain = Chain(strengths, 1.2, 0.8, loss)
    assert np.allclose(chain.layers(times), expected, rtol=1e-10, atol=1e-11)
    assert np.allclose(chain.margin(times), 1.2 * expected.prod(axis=0), rtol=1e-10, atol=1e-11)


def test_the_hinge_stops_every_layer_at_its_threshold():
    chain = Chain((0.5, 0.3, -0.2), loss=Hinge(0.7))
    end = float(chain.time(0.7))
    expected = integrate(np.array(chain.strengths), 1.0, 1.0, lambda m: 1.0, np.array([0.0, end]))[:, -1]
    assert np.prod(expected) == pytest.approx(0.7, rel=1e-11)
    assert np.allclose(chain.layers([end, 2 * end, math.inf]), expected[:, None], rtol=1e-11)
    assert math.isinf(chain.time(0.7001))


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("depth", [1, 2, 3, 6])
@pytest.mark.parametrize("start", [0.01, 1.9])
def test_balanced_layers_are_a_mode_of_that_depth(depth, loss, start):
    mode = Mode(1.7, 0.6, start, depth=depth, loss=loss)
    chain = Chain(((start / 1.7) ** (1 / depth),) * depth, 1.7, 0.6, loss)
    times = np.array([0.0, 0.1, 1.0, 5.0, 40.0, 1e4, 1e8, math.inf])
    assert np.allclose(chain.margin(times), mode.margin(times), rtol=1e-10, atol=0)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("layers", [(0.3, 0.1), (0.4, -0.39), (0.2, -1.5), (-0.05, 0.06), (1.3, 1.4)])
def test_two_layers_are_a_mode_with_imbalance(layers, loss):
    one, two = layers
    mode = Mode(0.9, 0.5, 0.9 * one * two, imbalance=abs(one**2 - two**2), loss=loss)
    chain, times = Chain(layers, 0.9, 0.5, loss), np.array([0.0, 0.3, 2.0, 9.0, 300.0])
    scale = np.abs(mode.margin(times)).max()
    assert np.abs(chain.margin(times) - mode.margin(times)).max() <= 1e-11 * scale


@settings(max_examples=10, deadline=None)
@given(
    strengths=st.lists(st.floats(-1.5, 1.5).filter(lambda a: abs(a) > 0.05), min_size=2, max_size=6),
    loss=st.sampled_from(LOSSES),
)
def test_differences_of_squares_stay_and_the_margin_is_the_product(strengths, loss):
    chain, times = Chain(tuple(strengths), 1.3, 0.7, loss), np.array([0.0, 0.5, 3.0, 60.0, math.inf])
    if loss in ("cross_entropy", "exponential"):
        times = times[:-1]
    layers, margins = chain.layers(times), chain.margin(times)
    assert np.allclose(layers[:, 0], strengths, rtol=1e-12)
    gaps = layers**2 - layers[0] ** 2
    assert np.allclose(gaps, gaps[:, :1], atol=1e-12 * (layers**2).max())
    assert np.allclose(1.3 * layers.prod(axis=0), margins, rtol=1e-11, atol=1e-13)
    assert (np.diff(margins) * (1 if margins[-1] >= margins[0] else -1) >= -1e-13).all()


def test_a_negative_margin_recovers_through_its_smallest_layer_only():
    recovers, dies = Chain((0.5, 0.4, -0.1)), Chain((0.5, 0.4, -0.4))
    assert not recovers.dies
    assert float(recovers.margin(50.0)) > 3.0
    zero = float(recovers.time(0.0))
    assert recovers.layers(zero)[2] == pytest.approx(0.0, abs=1e-14)
    assert dies.dies
    assert math.isinf(dies.time(0.0))
    late = dies.margin([1e2, 1e4, 1e200, math.inf])
    assert (late <= 0).all()
    assert late[-1] == 0
    assert abs(late[2]) < np.finfo(float).eps ** 2  # both smallest layers vanish, each to rounding


def test_a_relu_chain_dies_where_a_hidden_layer_is_the_smallest():
    linear, relu = (Chain((0.1, 0.4, -0.5), activation=kind) for kind in ("linear", "relu"))
    end = float(relu.time(0.0))
    assert end == float(linear.time(0.0))
    assert np.array_equal(relu.margin([0.5 * end]), linear.margin([0.5 * end]))
    assert relu.margin([1.01 * end, math.inf]).tolist() == [0.0, 0.0]
    assert math.isinf(relu.time(0.1))
    assert np.allclose(relu.layers(2 * end), [0.0, math.sqrt(0.15), -math.sqrt(0.24)])
    last = Chain((0.4, 0.5, -0.1), activation="relu")
    assert not last.dies
    assert np.array_equal(last.margin([9.0]), Chain((0.4, 0.5, -0.1)).margin([9.0]))


def test_layers_at_zero():
    assert Chain((0.0, 0.0, 1.0)).margin([0.0, 1e9]).tolist() == [0.0, 0.0]
    assert Chain((0.0, 0.5, 1.0), activation="relu").margin([1e9]).tolist() == [0.0]
    assert Chain((0.5, 1.0, 0.0), activation="relu").margin(9.0) == Chain((0.0, 0.5, 1.0)).margin(9.0) > 1.0


def unit(vector):
    return np.asarray(vector, dtype=np.float64) / np.linalg.norm(vector)


@pytest.mark.parametrize("strengths", [(0.6, 0.5, 0.4, 0.3), (0.6, 0.5, 0.4, -0.3), (0.1, 0.5, 0.4, -0.3)])
def test_a_deep_relu_network_of_aligned_layers_is_a_chain(strengths):
    # Three hidden layers; the third unit of each is asleep, with weights of its own. The first layer also has
    # components across the input.
    x, across = unit([1.0, 2.0, -1.0]), unit([2.0, -1.0, 0.0])
    awake = [unit([3.0, 1.0, 0.0]), unit([1.0, 1.0, 0.0]), unit([1.0, 4.0, 0.0])]
    first = strengths[0] * np.outer(awake[0], x) + np.outer([0.3, -0.2, 0.5], across)
    second = strengths[1] * np.outer(awake[1], awake[0])
    third = strengths[2] * np.outer(awake[2], awake[1])
    last = strengths[3] * awake[2][None] + [[0.0, 0.0, 0.7]]
    first[2] += -0.4 * x
    second[2], third[2] = [-0.3, -0.1, 0.2], [-0.2, -0.3, 0.9]
    shapes = [layer.shape for layer in (first, second, third, last)]
    cuts = np.cumsum([layer.size for layer in (first, second, third, last)])[:-1]

    def unpack(state):
        return [part.reshape(shape) for part, shape in zip(np.split(state, cuts), shapes, strict=True)]

    def forward(layers):
        hidden = [2.0 * x]
        for layer in layers[:-1]:
            hidden.append(np.maximum(layer @ hidden[-1], 0.0))
        return hidden, float((layers[-1] @ hidden[-1])[0])

    def slope(_, state):
        layers = unpack(state)
        hidden, margin = forward(layers)
        back, changes = np.array([0.5 / (1 + math.exp(margin))]), []
        for layer, inputs in zip(layers[::-1], hidden[::-1], strict=True):
            changes.append(np.outer(back, inputs))
            back = (layer.T @ back) * (inputs > 0)
        return np.concatenate([change.ravel() for change in changes[::-1]])

    start = np.concatenate([layer.ravel() for layer in (first, second, third, last)])
    times = np.linspace(0.0, 30.0, 7)
    states = solve_ivp(slope, (0, 30), start, method="DOP853", rtol=1e-11, atol=1e-13, t_eval=times, max_step=0.5).y.T
    measured = np.array([forward(unpack(state))[1] for state in states])
    chain = Chain(strengths, norm=2.0, frequency=0.5, activation="relu")
    assert np.allclose(measured, chain.margin(times), rtol=1e-8, atol=1e-8)
    assert chain.dies == (strengths[0] == 0.1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"strengths": ()}, "strengths must name at least one layer"),
        ({"strengths": (1.0, math.nan)}, r"strengths\[1\] must be finite"),
        ({"strengths": (1.0, 1.0), "norm": 0.0}, "norm must be positive"),
        ({"strengths": (1.0, 1.0), "frequency": -1.0}, "frequency must be positive"),
        ({"strengths": (1.0, 1.0), "loss": "huber"}, "huber"),
        ({"strengths": (1.0, 1.0), "activation": "tanh"}, "activation must be one of linear, relu"),
        ({"strengths": (-1.0, 1.0), "activation": "relu"}, "strengths before the last must not be negative"),
        ({"strengths": (1e200, 1e200)}, "must lie within 1e\\+100 of 0"),
        ({"strengths": (1e60, 1e60)}, "must make an initial margin within 1e\\+100 of 0"),
        ({"strengths": (1e4, -1e4)}, "must make an initial margin of at least -1e\\+06"),
        ({"strengths": (1e-100,) * 6}, "so small that their product underflows"),
    ],
)
def test_refusals(arguments, message):
    with pytest.raises(ValueError, match=message):
        Chain(**arguments)


def test_refused_times_and_margins():
    chain = Chain((0.5, 0.5, 0.5))
    with pytest.raises(ValueError, match="times must not be negative"):
        chain.margin([-1.0])
    with pytest.raises(ValueError, match=r"margin must be at least the initial margin 0\.125"):
        chain.time(0.1)
    with pytest.raises(TypeError, match="strengths must be a sequence"):
        Chain(0.5)
