"""Mode: reference values, the mpmath grid, limits, symmetries, refusals."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp
from scipy.special import expi

from shoal import Hinge, SquaredHinge
from shoal.theory import Mode

pytestmark = pytest.mark.filterwarnings("error")
ROWS = json.loads((Path(__file__).parent / "references" / "modes.json").read_text())
LOSSES = ("cross_entropy", "exponential", "hinge", "squared", "squared_hinge")
EPS = np.finfo(float).eps


def mode_of(row):
    return Mode(
        **{name: row[name] for name in ("norm", "frequency", "start_margin", "imbalance", "depth", "loss", "classes")}
    )


@pytest.mark.parametrize("row", ROWS, ids=[f"{i}-{row['loss']}" for i, row in enumerate(ROWS)])
def test_time_and_margin_agree_with_mpmath(row):
    mode, margin, time = mode_of(row), row["margin"], float(row["time"])
    assert float(mode.time(margin)) == pytest.approx(time, rel=1e-10, abs=0)
    # The time is rounded, which moves the margin by its velocity; margins that cross 0 lose the digits of their parts.
    velocity = abs(float(mode.velocity(min(margin, 1.0) if row["loss"] == "hinge" else margin)))
    scale = abs(margin) + (abs(row["start_margin"]) if row["start_margin"] < 0 else 0.0)
    slack = 1e-10 * scale + 16 * EPS * time * velocity
    assert abs(float(mode.margin(time)) - margin) <= slack


@pytest.mark.parametrize(
    ("arguments", "margin", "time"),
    [
        ({"norm": 1, "frequency": 0.5, "start_margin": 0.01}, 2.0, 14.27048118797659618576549),
        ({"norm": 1, "frequency": 0.5, "start_margin": 0.01, "imbalance": 0.3}, 2.0, 9.955252627499415),
        ({"norm": 1, "frequency": 0.5, "start_margin": -0.1, "imbalance": 0.5}, 2.0, 9.716049355483418),
    ],
)
def test_reference_values_of_chapter_1(arguments, margin, time):
    assert float(Mode(**arguments).time(margin)) == pytest.approx(time, rel=1e-14)


@pytest.mark.parametrize(
    ("depth", "time"), [(1, 33.20536324), (2, 14.52954337), (3, 14.61092244), (4, 15.98228073), (6, 17.35620491)]
)
def test_reference_values_of_chapter_4(depth, time):
    assert float(Mode(1.7, 0.6, 0.01, depth=depth).time(4.0)) == pytest.approx(time, abs=5e-9)


modes = st.builds(
    dict,
    norm=st.floats(0.01, 100),
    frequency=st.floats(0.001, 1),
    start_margin=st.floats(1e-12, 30),
    imbalance=st.sampled_from([0.0, 1e-6, 0.5, 10.0]),
    depth=st.sampled_from([1, 2, 3, 5]),
    loss=st.sampled_from(LOSSES),
).filter(lambda a: a["imbalance"] == 0 or a["depth"] == 2)


@settings(max_examples=300, deadline=None)
@given(modes, st.floats(1e-6, 1e12))
@example({"norm": 1.0, "frequency": 1.0, "start_margin": 900.0, "loss": "cross_entropy"}, 1e300)
def test_time_undoes_margin(arguments, time):
    mode = Mode(**arguments)
    margin = mode.margin(time)
    velocity = abs(float(mode.velocity(margin)))
    # Where the margin hardly moves within a rounding of itself, it does not tell the time.
    assume(velocity > 0)
    back = float(mode.time(margin))
    target = 1.0 if "squared" in mode.loss or mode.loss == "hinge" else math.inf
    assume(abs(float(margin) - target) > 1e-9)
    assert abs(back - time) <= 1e-10 * time + 16 * EPS * abs(float(margin)) / velocity


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(
    "arguments",
    [{}, {"imbalance": 0.7}, {"start_margin": -0.4, "imbalance": 1.5}, {"depth": 1}, {"depth": 3}, {"depth": 6}],
)
def test_margins_solve_the_equation_of_motion(loss, arguments):
    mode = Mode(**{"norm": 1.3, "frequency": 0.6, "start_margin": 0.1, "loss": loss, **arguments})
    rho, p, n, s = mode.norm, mode.frequency, mode.depth, mode.norm * mode.imbalance / 2
    residual = {
        "cross_entropy": lambda m: 1 / (1 + np.exp(m)),
        "exponential": lambda m: np.exp(-m),
        "hinge": lambda m: 1.0,
        "squared": lambda m: 1 - m,
        "squared_hinge": lambda m: 1 - m,
    }[loss]
    speed = (lambda m: np.hypot(m, s)) if n == 2 else (lambda m: np.abs(m) ** (2 - 2 / n))
    last = float(mode.time(0.95))
    times = np.linspace(0, last, 9)
    flow = solve_ivp(
        lambda _, m: n * p * rho ** (2 / n) * residual(m) * speed(m),
        (0, last),
        [mode.start_margin],
        "DOP853",
        times,
        rtol=1e-12,
        atol=1e-14,
    )
    np.testing.assert_allclose(mode.margin(times), flow.y[0], rtol=1e-9, atol=1e-11)


def test_the_path_in_phase_space_is_the_same_for_every_loss():
    for depth, imbalance in ((1, 0.0), (2, 0.0), (2, 0.4), (5, 0.0)):
        found = []
        for loss in LOSSES:
            mode = Mode(1.2, 0.7, 0.05, imbalance, depth, loss)
            found.append(float(mode.tau(mode.time(0.8))))
        np.testing.assert_allclose(found, found[0], rtol=1e-11)


def test_small_imbalance_tends_to_none():
    times = np.linspace(0, 60, 30)
    gaps = [
        np.max(np.abs(Mode(1, 0.5, 0.01, c).margin(times) - Mode(1, 0.5, 0.01).margin(times)))
        for c in (1e-3, 1e-4, 1e-5)
    ]
    # The imbalance enters squared.
    assert gaps[0] / gaps[1] == pytest.approx(100, rel=0.05)
    assert gaps[1] / gaps[2] == pytest.approx(100, rel=0.05)


@pytest.mark.parametrize("depth", [1, 2, 3, 5])
def test_time_scales_with_frequency_and_norm(depth):
    one, other = Mode(1, 1, 0.02, depth=depth), Mode(3, 0.25, 0.02, depth=depth)
    ratio = 0.25 * 3 ** (2 / depth)
    np.testing.assert_allclose(other.time([0.1, 1, 9]), one.time([0.1, 1, 9]) / ratio, rtol=1e-13)


@pytest.mark.parametrize(("depth", "start"), [(1, -2.0), (2, 0.01), (4, 0.01)])
def test_hinge_stops_at_its_margin_in_finite_time(depth, start):
    mode = Mode(1.4, 0.3, start, depth=depth, loss=Hinge(threshold=2.5))
    end = float(mode.time(2.5))
    assert math.isfinite(end)
    assert float(mode.margin(end * (1 - 1e-9))) < 2.5
    assert list(mode.margin([end * (1 + 1e-12), 2 * end, np.inf])) == [2.5, 2.5, 2.5]
    assert math.isinf(mode.time(2.500001))
    closed = {1: 2.5 + 2.0, 2: math.log(250), 4: 2 * (0.01**-0.5 - 2.5**-0.5)}[depth] / (
        depth * 0.3 * 1.4 ** (2 / depth)
    )
    assert end == pytest.approx(closed, rel=1e-14)


def test_satisfied_hinges_do_not_move():
    for loss in (Hinge(0.5), SquaredHinge(0.5)):
        mode = Mode(1, 1, 0.7, loss=loss)
        assert (mode.margin([0, 1, 1e9, np.inf]) == 0.7).all()
        assert list(mode.time([0.7, 0.8])) == [0.0, np.inf]
        assert mode.plateau() == 0.0


@pytest.mark.parametrize("arguments", [{}, {"imbalance": 2.0}, {"depth": 1}, {"depth": 3}])
def test_squared_loss_runs_down_to_one_from_above(arguments):
    mode = Mode(1.2, 0.4, 5.0, loss="squared", **arguments)
    margins = mode.margin(np.linspace(0, 10, 40))
    assert (np.diff(margins) < 0).all()
    assert (margins > 1).all()
    assert mode.margin(np.inf) == 1
    assert np.isinf(mode.time(1.0))
    with pytest.raises(ValueError, match=r"margin must be at most the initial margin 5\.0"):
        mode.time(6.0)


def test_the_plateau_ends_at_the_steepest_fall_of_the_soft_error():
    for mode in (
        Mode(1.3, 0.4, 1e-4),
        Mode(1.3, 0.4, -0.1, 0.2),
        Mode(1, 1, 0.01, depth=4),
        Mode(1, 1, 0.01, loss="squared"),
    ):
        end = mode.plateau()
        times = end * np.linspace(0.5, 1.5, 2001)
        fall = -np.gradient(mode.soft_error(times), times)
        assert times[np.argmax(fall)] == pytest.approx(end, abs=2 * (times[1] - times[0]))


def test_the_plateau_of_cross_entropy_ends_at_one_margin():
    mode = Mode(1.7, 0.3, 1e-5)
    m = float(mode.margin(mode.plateau()))
    assert m * (2 - 3 / (1 + math.exp(m))) == pytest.approx(1, rel=1e-9)
    assert m == pytest.approx(0.888368, abs=1e-6)


def test_the_plateau_grows_like_the_logarithm_of_the_start():
    starts = np.array([1e-3, 1e-6, 1e-9])
    lengths = np.array([Mode(1.7, 0.3, start).plateau() for start in starts])
    np.testing.assert_allclose(np.diff(lengths) * 1.7 * 0.3, np.log(1e3), rtol=1e-3)
    assert Mode(1, 1, 0.9).plateau() == 0.0


def test_cross_entropy_tail_is_logarithmic():
    mode = Mode(1, 0.5, 0.01)
    late = mode.margin(np.array([1e100, 1e200, 1e300]))
    # e^m / m = t to leading order.
    np.testing.assert_allclose(late - np.log(late), np.log([1e100, 1e200, 1e300]), rtol=1e-4)


def test_many_classes_have_softmax_errors():
    mode = Mode(1.3, 0.25, 0.02, classes=4)
    m = 3.0
    assert float(mode.soft_error(mode.time(m))) == pytest.approx(3 / (3 + math.exp(m)), rel=1e-10)
    assert float(mode.loss_value(mode.time(m))) == pytest.approx(math.log1p(3 * math.exp(-m)), rel=1e-10)


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_balanced_cross_entropy_has_the_time_of_the_exponential_integral(classes):
    norm = 1.3 * math.sqrt(classes / (classes - 1)) if classes > 2 else 1.3
    margins = np.array([0.03, 0.5, 2.0, 8.0])
    clock = np.log(margins / 0.02) + (expi(margins) - expi(0.02)) / (classes - 1)
    found = Mode(1.3, 0.25, 0.02, classes=classes).time(margins)
    np.testing.assert_allclose(found, clock / (2 * 0.25 * norm), rtol=1e-12)


def test_shapes_are_kept_and_scalars_too():
    mode = Mode(1, 1, 0.1)
    assert mode.margin(np.ones((2, 3, 4))).shape == (2, 3, 4)
    assert mode.time(np.full((5, 1), 0.2)).shape == (5, 1)
    assert mode.margin(1).shape == ()
    assert mode.margin(np.empty(0)).shape == (0,)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"norm": 0}, "norm must be positive"),
        ({"frequency": -1}, "frequency must be positive"),
        ({"start_margin": math.nan}, "start_margin must be finite"),
        ({"start_margin": 1e-291, "imbalance": 0.0, "depth": 3}, "start_margin must be at least 1e-290 when depth > 2"),
        ({"start_margin": 0.0}, "start_margin must be positive when depth > 1 and imbalance is 0"),
        ({"imbalance": -1.0}, "imbalance must not be negative"),
        ({"imbalance": 1.0, "depth": 3}, "imbalance must be 0 when depth is not 2"),
        ({"depth": 0}, "depth must be at least 1"),
        ({"loss": "huber"}, "loss must be one of"),
        ({"classes": 1}, "classes must be at least 2"),
        ({"classes": 3, "loss": "hinge"}, "loss must be 'cross_entropy' when classes > 2"),
        ({"classes": 3, "depth": 3}, "depth must be 2 and imbalance 0 when classes > 2"),
    ],
)
def test_arguments_out_of_range_are_refused_by_name(arguments, message):
    with pytest.raises(ValueError, match=message):
        Mode(**{"norm": 1, "frequency": 1, "start_margin": 0.1, **arguments})


def test_times_and_margins_out_of_range_are_refused():
    mode = Mode(1, 1, 0.1)
    with pytest.raises(ValueError, match="times must not be negative or NaN, got -1"):
        mode.margin([0, -1])
    with pytest.raises(ValueError, match=r"margin must be at least the initial margin 0.1.*got 0.05"):
        mode.time([0.2, 0.05])
    with pytest.raises(ValueError, match="got nan"):
        mode.time(math.nan)
