"""Features: reference values, mpmath, SciPy on the weights of networks, descent of networks, formulas, refusals."""

from __future__ import annotations

import math
import re

import mpmath
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp
from scipy.special import expit

from shoal import Hinge, SquaredHinge
from shoal.theory import Features, Mode

LOSSES = ("cross_entropy", "exponential", "hinge", "squared", "squared_hinge")
RESIDUALS = {
    "cross_entropy": lambda m: expit(-m),
    "exponential": lambda m: np.exp(-m),
    "squared": lambda m: 1.0 - m,
    "squared_hinge": lambda m: np.maximum(1.0 - m, 0.0),
}
PAIR = ((0,), (0, 1))


def pair(fraction, **more):
    """Feature 1 in every sample, feature 2 in a fraction of them."""
    arguments = {"norms": (1.0, 1.0), "starts": 1e-3} | more
    return Features(types=PAIR, frequencies=(1.0 - fraction, fraction), **arguments)


@pytest.mark.parametrize(
    ("fraction", "two_layers", "linear"),
    [
        (0.1, (17.2948, 0.0026506), (13.7568, 0.890673)),
        (0.5, (17.2328, 0.124201), (13.2101, 2.47652)),
        (0.9, (15.2989, 2.87146), (11.6530, 4.23125)),
    ],
)
def test_reference_values_of_chapter_6(fraction, two_layers, linear):
    def shown(number):
        return float(f"{number:.5g}" if number < 0.01 else f"{number:.6g}")

    assert tuple(map(shown, pair(fraction).strengths(1e6))) == two_layers
    assert tuple(map(shown, pair(fraction, starts=0.0, depth=1).strengths(1e6))) == linear


@pytest.mark.parametrize("loss", [*LOSSES, Hinge(0.3), SquaredHinge(2.5)])
@pytest.mark.parametrize("depth", [1, 2, 3, 6])
@pytest.mark.parametrize("neurons", ["separate", "shared"])
def test_one_feature_is_one_mode(loss, depth, neurons):
    one = Features([1.3], [[0]], [0.4], 0.02, loss=loss, depth=depth, neurons=neurons)
    mode = Mode(1.3, 0.4, 0.02, loss=loss, depth=depth)
    times = np.array([0.0, 1e-3, 1.0, 7.0, 30.0, 150.0, 1e4, 1e9])
    expected = mode.margin(times)
    # A steep margin feels the rounding of the time.
    slack = 1e-10 * expected + 16 * np.finfo(float).eps * times * np.abs(mode.velocity(expected))
    assert (np.abs(one.margins(times)[0] - expected) <= slack).all()
    levels = np.array([0.02, 0.021, 0.1, 0.29])
    assert one.time(0, levels) == pytest.approx(mode.time(levels), rel=1e-10, abs=0)


@pytest.mark.parametrize(
    ("loss", "depth", "decay", "decoupling"),
    [("cross_entropy", 2, 0.0, 0.0), ("cross_entropy", 3, 0.02, 0.05), ("exponential", 1, 0.0, 0.1)],
)
def test_agrees_with_a_taylor_series_of_eighteen_digits(loss, depth, decay, decoupling):
    norms, starts, shares = (1.2, 0.7), (0.05, 0.08), (0.6, 0.4)
    flow = Features(norms, PAIR, shares, starts, loss, depth, decay, decoupling)
    with mpmath.workdps(18):
        rho, p = [mpmath.mpf(x) for x in norms], [mpmath.mpf(x) for x in shares]
        begin = [(mpmath.mpf(u) / norm) ** (mpmath.mpf(1) / depth) for u, norm in zip(starts, rho, strict=True)]

        def change(_, a):
            margin = rho[0] * a[0] ** depth, rho[0] * a[0] ** depth + rho[1] * a[1] ** depth
            offset = 1 if loss == "cross_entropy" else 0
            force = [1 / (offset + mpmath.exp(m)) - decoupling * m for m in margin]
            drives = p[0] * force[0] + p[1] * force[1], p[1] * force[1]
            return [rho[k] * a[k] ** (depth - 1) * drives[k] - decay * a[k] for k in range(2)]

        layer = mpmath.odefun(change, 0, begin)
        times = [1.0, 4.0]
        expected = np.array([[float(rho[k] * layer(t)[k] ** depth) for t in times] for k in range(2)])
    assert flow.strengths(times) == pytest.approx(expected, rel=1e-12, abs=0)


def layers_of(depth, neurons, norms, starts):
    """Balanced weights: (depth, features) numbers, or the matrices of a fully connected linear network."""
    if neurons == "separate":
        return [(starts / norms) ** (1 / depth)] * depth
    direction = starts / norms
    size = np.linalg.norm(direction)
    unit, amplitude = np.array([0.6, -0.8]), size ** (1 / depth)
    middle = [amplitude * np.outer(unit, unit)] * (depth - 2)
    return [amplitude * np.outer(unit, direction / size), *middle, amplitude * unit[None]]


@pytest.mark.parametrize("neurons", ["separate", "shared"])
@pytest.mark.parametrize("depth", [2, 3])
@pytest.mark.parametrize(
    ("loss", "decay", "decoupling"),
    [
        ("cross_entropy", 0.0, 0.0),
        ("cross_entropy", 0.02, 0.03),
        ("exponential", 0.0, 0.1),
        ("squared", 0.05, 0.0),
        ("squared_hinge", 0.05, 0.0),
    ],
)
def test_agrees_with_the_flow_of_all_layers(neurons, depth, loss, decay, decoupling):
    norms, starts = np.array([1.2, 0.7, 1.0]), np.array([0.3, 0.25, 0.2])
    types, shares = [[0], [0, 1], [1, 2], [0, 1, 2]], np.array([0.4, 0.3, 0.2, 0.1])
    inputs = np.array([[k in kind for k in range(3)] for kind in types]) * norms
    first = layers_of(depth, neurons, norms, starts)
    shapes, cuts = [w.shape for w in first], np.cumsum([w.size for w in first])[:-1]

    def gradient(_, flat):
        weights = [part.reshape(shape) for part, shape in zip(np.split(flat, cuts), shapes, strict=True)]
        if neurons == "separate":
            product = np.prod(weights, axis=0)
            margins = inputs @ product
            pull = (shares * (RESIDUALS[loss](margins) - decoupling * margins)) @ inputs
            out = [pull * product / w for w in weights]
        else:
            hidden = [inputs.T]
            for w in weights:
                hidden.append(w @ hidden[-1])
            margins = hidden[-1]
            back, out = shares * (RESIDUALS[loss](margins) - decoupling * margins), []
            for w, h in zip(weights[::-1], hidden[-2::-1], strict=True):
                out.insert(0, back @ h.T)
                back = w.T @ back
        return np.concatenate([g.ravel() for g in out]) - decay * flat

    times = [0.5, 3.0, 8.0]
    flat = np.concatenate([w.ravel() for w in first])
    # Steps short enough that the kinks of the squared hinge cost nothing.
    longest = 0.05 if loss == "squared_hinge" else np.inf
    end = solve_ivp(gradient, (0, 8.0), flat, "DOP853", times, rtol=1e-12, atol=1e-14, max_step=longest).y.T
    expected = np.empty((3, len(times)))
    for at, flat in enumerate(end):
        weights = [part.reshape(shape) for part, shape in zip(np.split(flat, cuts), shapes, strict=True)]
        product = np.prod(weights, axis=0) if neurons == "separate" else np.linalg.multi_dot(weights[::-1])[0]
        expected[:, at] = norms * product
    flow = Features(norms, types, shares, starts, loss, depth, decay, decoupling, neurons)
    assert flow.strengths(times) == pytest.approx(expected, rel=1e-9, abs=0)


def descend(inputs, shares, first, last, mask, rate, time):
    """Gradient descent of a two-layer ReLU network with cross-entropy; the margins of the inputs, labels +1."""
    first, last = first.copy(), last.copy()
    for _ in range(round(time / rate)):
        before = inputs @ first.T
        hidden = np.maximum(before, 0.0)
        pull = shares * expit(-(hidden @ last))
        step = (pull[:, None] * (before > 0) * last).T @ inputs
        first, last = first + rate * step * mask, last + rate * pull @ hidden
    return np.maximum(inputs @ first.T, 0.0) @ last


@pytest.mark.parametrize("neurons", ["separate", "shared"])
def test_gradient_descent_of_a_relu_network_tends_to_the_flow_like_its_rate(neurons):
    norms, shares, time = np.array([1.0, 1.5]), np.array([0.7, 0.3]), 8.0
    inputs = np.array([[1.0, 0.0], [1.0, 1.5]])
    if neurons == "separate":
        # Two neurons on feature 1 and three on feature 2; each sees its own coordinate.
        first = np.zeros((5, 2))
        first[[0, 1], 0], first[[2, 3, 4], 1] = (0.2, 0.1), (0.05, 0.1, 0.15)
        last, mask = first.sum(axis=1), (first > 0).astype(float)
        starts = norms * (last @ first)
    else:
        direction = np.array([0.8, 0.6])
        last = np.array([0.1, 0.2, 0.05])
        first, mask = np.outer(last, direction), np.ones((3, 2))
        starts = norms * (last @ first)
    expected = Features(norms, PAIR, shares, starts, neurons=neurons).margins(time)
    rates = (0.02, 0.01, 0.005)
    found = [descend(inputs, shares, first, last, mask, rate, time) for rate in rates]
    gaps = [np.abs(margins - expected).max() for margins in found]
    assert gaps[0] / gaps[1] == pytest.approx(2.0, abs=0.1)
    assert gaps[1] / gaps[2] == pytest.approx(2.0, abs=0.05)
    # Two steps of extrapolation leave an error of third order in the rate.
    once = [2.0 * found[1] - found[0], 2.0 * found[2] - found[1]]
    twice = (4.0 * once[1] - once[0]) / 3.0
    assert np.abs(twice - expected).max() < np.abs(once[1] - expected).max() / 20 < gaps[2] / 400


def test_a_fully_connected_network_does_not_keep_its_neurons_separate():
    inputs, shares = np.array([[1.0, 0.0], [1.0, 1.0]]), np.array([0.9, 0.1])
    first = np.array([[0.1, 0.0], [0.0, 0.1]])
    margins = descend(inputs, shares, first, np.array([0.1, 0.1]), np.ones((2, 2)), 0.01, 40.0)
    separate = Features((1.0, 1.0), PAIR, shares, 0.01).margins(40.0)
    assert margins[1] - margins[0] > 10 * (separate[1] - separate[0])


def test_hinge_freezes_a_feature_when_its_samples_are_satisfied():
    share, start = 0.3, 1e-3
    flow = pair(share, loss="hinge", starts=start)
    with mpmath.workdps(30):
        both = mpmath.findroot(lambda t: start * (mpmath.exp(2 * t) + mpmath.exp(2 * share * t)) - 1, 3.4)
        frozen = start * mpmath.exp(2 * share * both)
        strong = start * mpmath.exp(2 * both)
        alone = both + mpmath.log(1 / strong) / (2 * (1 - mpmath.mpf(share)))
    assert float(flow.time(1, 1.0)) == pytest.approx(float(both), rel=1e-14)
    assert float(flow.time(0, 1.0)) == pytest.approx(float(alone), rel=1e-14)
    assert flow.strengths([float(both), 1e6])[1] == pytest.approx(float(frozen), rel=1e-14)
    assert flow.margins(1e6) == pytest.approx([1.0, 1.0 + float(frozen)], rel=1e-14)
    later = 1.0 + 0.5 * float(frozen)
    assert float(flow.time(1, later)) == pytest.approx(float(flow.time(0, later - float(frozen))), rel=1e-14)
    assert float(flow.time(1, 1.1)) == math.inf


@pytest.mark.parametrize("depth", [1, 2, 4])
@pytest.mark.parametrize("neurons", ["separate", "shared"])
def test_hinge_agrees_with_scipy_from_event_to_event(depth, neurons):
    flow = Features([1.0, 0.8], [[0], [0, 1], [1]], [0.5, 0.3, 0.2], [0.05, 0.09], "hinge", depth, neurons=neurons)
    carried = np.array([[1, 0], [1, 1], [0, 1]])
    state, time, live = np.array(flow.starts), 0.0, np.ones(3, dtype=bool)
    while live.any():
        below = [
            Features(flow.norms, [kind], [share], state, Hinge(1e3), depth, neurons=neurons)
            for kind, share in zip(flow.types, flow.frequencies, strict=True)
        ]

        pushing = live.copy()

        def change(_, u, live=pushing, below=below):
            return sum(b.velocity(u[:, None])[:, 0] for b, on in zip(below, live, strict=True) if on)

        events = [lambda _, u, row=row: row @ u - 1.0 for row in carried[live]]
        for event in events:
            event.terminal = True
        part = solve_ivp(change, (time, 1e3), state, "DOP853", events=events, rtol=1e-13, atol=1e-15)
        first = np.flatnonzero(live)[[len(t) > 0 for t in part.t_events]]
        time, state = part.t[-1], part.y[:, -1]
        assert flow.strengths(time) == pytest.approx(state, rel=1e-10)
        assert flow.time(int(first[0]), 1.0) == pytest.approx(time, rel=1e-10)
        live[first] = False
    assert flow.strengths(1e9) == pytest.approx(state, rel=1e-10)


flows = st.builds(
    lambda features, seed, depth, loss, neurons: random_flow(
        features, np.random.default_rng(seed), depth, loss, neurons
    ),
    st.integers(1, 4),
    st.integers(0, 10**6),
    st.sampled_from([1, 2, 3]),
    st.sampled_from(LOSSES),
    st.sampled_from(["separate", "shared"]),
)


def random_flow(features, generator, depth, loss, neurons):
    members = generator.random((generator.integers(1, 5), features)) < 0.6
    members[~members.any(axis=1), 0] = True
    shares = generator.uniform(0.05, 1, len(members))
    norms, starts = generator.uniform(0.3, 2, features), 10 ** generator.uniform(-4, -1, features)
    return Features(norms, members, shares / shares.sum(), starts, loss, depth, neurons=neurons)


@settings(max_examples=10)
@given(flows)
def test_margins_never_fall_so_that_a_satisfied_hinge_stays_so(flow):
    assume(flow.loss != "squared")
    margins = flow.margins(np.geomspace(1e-2, 1e5, 60))
    assert (np.diff(margins, axis=1) >= -1e-13 * margins[:, 1:]).all()


@settings(max_examples=8)
@given(flows, st.randoms(use_true_random=False))
def test_the_order_of_features_and_types_does_not_matter_nor_splitting_a_type(flow, random):
    times = np.array([0.5, 5.0, 80.0])
    features, types = list(range(len(flow.norms))), list(range(len(flow.types)))
    random.shuffle(features)
    random.shuffle(types)
    place = {k: new for new, k in enumerate(features)}
    other = Features(
        [flow.norms[k] for k in features],
        [[place[k] for k in flow.types[t]] for t in types] + [[place[k] for k in flow.types[0]]],
        [flow.frequencies[t] * (0.3 if t == 0 else 1.0) for t in types] + [0.7 * flow.frequencies[0]],
        [flow.starts[k] for k in features],
        flow.loss,
        flow.depth,
        neurons=flow.neurons,
    )
    assert other.strengths(times) == pytest.approx(flow.strengths(times)[features], rel=1e-10, abs=1e-15)


@settings(max_examples=8)
@given(flows, st.floats(0.1, 10))
def test_frequencies_scale_time(flow, factor):
    slow = Features(
        flow.norms,
        flow.types,
        np.multiply(flow.frequencies, factor),
        flow.starts,
        flow.loss,
        flow.depth,
        neurons=flow.neurons,
    )
    times = np.array([0.3, 4.0, 60.0])
    assert slow.strengths(times / factor) == pytest.approx(flow.strengths(times), rel=1e-10, abs=1e-15)


@settings(max_examples=8)
@given(flows)
def test_time_undoes_margins(flow):
    times = np.array([0.0, 0.7, 6.0])
    margins = flow.margins(times)[0]
    back = flow.margins(flow.time(0, margins))[0]
    assert back == pytest.approx(margins, rel=1e-10, abs=1e-15)


@settings(max_examples=8)
@given(flows, st.floats(0.1, 30))
def test_velocity_is_the_slope_of_the_strengths(flow, time):
    assume(flow.loss not in ("hinge", "squared_hinge"))
    step = 1e-3 * time
    u = flow.strengths(time + step * np.array([-2.0, -1.0, 0.0, 1.0, 2.0]))
    slope = (u[:, 0] - 8 * u[:, 1] + 8 * u[:, 3] - u[:, 4]) / (12 * step)
    assert flow.velocity(u[:, 2:3])[:, 0] == pytest.approx(slope, rel=1e-6, abs=1e-9 * u.max() / time)


def test_starvation_is_seen_on_points_that_carry_only_the_rare_feature():
    flow = pair(0.1)
    assert flow.loss_value(1e6) < 1e-6
    assert float(flow.confidence([1], 1e6)) == pytest.approx(expit(0.0026506), abs=1e-7)
    assert float(flow.confidence([0], 1e6)) > 1 - 1e-7
    assert flow.on([0, 1], [0.0, 10.0]) == pytest.approx(flow.margins([0.0, 10.0])[1])


@pytest.mark.parametrize("neurons", ["separate", "shared"])
@pytest.mark.parametrize("depth", [1, 3])
def test_very_long_times_are_logarithmic(depth, neurons):
    flow = pair(0.3, norms=(1.0, 0.5), starts=0.1, depth=depth, neurons=neurons)
    late = flow.strengths([1e100, 1e101])
    assert np.isfinite(late).all()
    # e^m r = 1 in the tail: u_1 gains ln 10 and a term in ln ln t over a factor of ten in time.
    assert late[0, 1] - late[0, 0] == pytest.approx(math.log(10), abs=0.03)


def test_types_may_be_a_matrix_and_scalars_keep_their_shape():
    matrix = Features((1.0, 1.0), np.array([[True, False], [True, True]]), (0.5, 0.5), 0.01)
    assert matrix == Features((1.0, 1.0), PAIR, (0.5, 0.5), (0.01, 0.01))
    assert matrix.strengths(1.0).shape == (2,)
    assert matrix.margins(np.ones((3, 4))).shape == (2, 3, 4)
    assert matrix.strengths([]).shape == (2, 0)
    order = matrix.strengths([3.0, 0.0, 1.0])
    assert (order == np.stack([matrix.strengths(t) for t in (3.0, 0.0, 1.0)], axis=1)).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"norms": (1.0, -1.0)}, "norms must lie between 1e-100 and 1e+100, got -1.0"),
        ({"types": ((0,), (0, 2))}, "types[1] must be between 0 and 1, got 2"),
        ({"types": ((0,), ())}, "types[1] must name at least one feature"),
        ({"types": ((0,), (1, 1))}, "none of them twice, got (1, 1)"),
        ({"types": ()}, "types must hold at least one type"),
        ({"types": np.ones((2, 3), dtype=bool)}, "types as an array must be bool of shape (types, 2)"),
        ({"types": np.ones((2, 2))}, "types as an array must be bool"),
        ({"frequencies": (1.0,)}, "frequencies must have one number per type, 2, got 1"),
        ({"frequencies": (1.0, -0.1)}, "frequencies must not be negative"),
        ({"frequencies": (0.0, 0.0)}, "frequencies must not be negative and one must be positive"),
        ({"starts": (0.1,)}, "starts must be one number or one a feature, 2, got 1"),
        ({"starts": (0.1, 0.0)}, "starts must be positive when depth > 1, got 0.0"),
        ({"starts": (0.1, -0.2), "neurons": "shared"}, "starts must give every type a positive margin"),
        ({"starts": -200.0, "depth": 1}, "starts must give margins between -300 and 300"),
        ({"depth": 0}, "depth must be at least 1"),
        ({"weight_decay": -1.0}, "weight_decay must not be negative, got -1.0"),
        ({"spectral_decoupling": -1.0}, "spectral_decoupling must not be negative"),
        ({"loss": "hinge", "weight_decay": 0.1}, "must be 0 with the hinge"),
        ({"loss": "hinge", "spectral_decoupling": 0.1}, "must be 0 with the hinge"),
        ({"loss": "huber"}, "loss must be one of"),
        ({"neurons": "none"}, "neurons must be one of separate, shared"),
    ],
)
def test_refuses_what_it_cannot_mean(change, message):
    arguments = {"norms": (1.0, 1.0), "types": PAIR, "frequencies": (0.5, 0.5), "starts": 0.1} | change
    with pytest.raises(ValueError, match=re.escape(message)):
        Features(**arguments)


def test_refuses_times_and_margins_that_are_none():
    flow = pair(0.5)
    with pytest.raises(ValueError, match=r"times must lie between 0 and 1e\+290, got -1"):
        flow.strengths([1.0, -1.0])
    with pytest.raises(ValueError, match="kind must be between 0 and 1, got 2"):
        flow.time(2, 1.0)
    with pytest.raises(ValueError, match="margin must be finite, got inf"):
        flow.time(0, math.inf)
    with pytest.raises(ValueError, match="features must be between 0 and 1, got 5"):
        flow.on([5], 1.0)
    with pytest.raises(TypeError, match="weight_decay must be a number"):
        pair(0.5, weight_decay="much")
