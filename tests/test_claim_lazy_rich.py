"""The claim `lazy-rich`: it passes, fails for another alpha, and its measures are what they are said to be."""

import numpy as np
import pytest

import shoal
from shoal.claims.claim import Setting
from shoal.claims.hinge_mean_field.lazy_rich import fit as lazy_rich_fit
from shoal.claims.hinge_mean_field.lazy_rich import lazy_rich as lazy_rich
from shoal.claims.hinge_mean_field.lazy_rich.lazy_rich import Point
from shoal.claims.hinge_mean_field.lazy_rich.movement import kernel_along, movement, own_unsatisfied, tangent_kernel
from shoal.claims.shared.teacher import Condition, crossing
from shoal.claims.trial import Trial
from support import can_be_read_back, is_labelled, passes, rows_of

SETTING = Setting(quick=True, seed=1, threads=1)


@pytest.fixture(scope="module")
def outcome():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lazy_rich, "SCALES", 10.0 ** np.array([-2, -1.5, -1, 0, 1, 1.5, 2]))
        return lazy_rich.lazy_rich.run(Setting(networks=8, quick=True, seed=1, threads=1))


def test_it_passes(outcome):
    passes(outcome)
    is_labelled(outcome.figure)


def test_what_is_saved_can_be_read_back(outcome, tmp_path):
    can_be_read_back(outcome, tmp_path)


@pytest.fixture(scope="module")
def limits():
    return lazy_rich.measure_point(Trial(SETTING), Point(0.1), 12, 0)


@pytest.mark.parametrize("name", ["time", "movement", "kernel"])
@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_its_rows_fail_for_another_alpha(limits, name, factor):
    """The claim's own comparison, with the theory of half and of twice the output scale."""
    assert limits[name].compare(1.0).passed
    own, other = (getattr(Point(0.1 * each), name) for each in (1.0, factor))
    assert not limits[name].compare(other / own).passed


def test_the_kernel_is_that_of_the_gradients():
    """Against finite differences of the network's own output with respect to every parameter."""
    draw = np.random.default_rng(0)
    output, incoming, points = (
        draw.standard_normal((1, 3)),
        draw.standard_normal((1, 3, 2)),
        draw.standard_normal((4, 2)),
    )

    def value(parameters):
        last, first = parameters[:3], parameters[3:].reshape(3, 2)
        return np.maximum(points @ first.T / np.sqrt(2), 0) @ last / 3

    parameters = np.concatenate([output.ravel(), incoming.ravel()])
    slopes = np.array([(value(parameters + e) - value(parameters - e)) / 2e-6 for e in 1e-6 * np.eye(9)])
    assert tangent_kernel((output, incoming), points)[0] == pytest.approx(3 * slopes.T @ slopes, abs=1e-8)


def test_movement_and_kernel_component():
    draw = np.random.default_rng(1)
    before = draw.standard_normal((2, 5)), draw.standard_normal((2, 5, 3))
    assert movement(before, (2 * before[0], 2 * before[1])) == pytest.approx(1.0)
    points = draw.standard_normal((4, 3))
    after = (1.5 * before[0], before[1])
    change = (tangent_kernel(after, points) - tangent_kernel(before, points))[0]
    assert kernel_along(before, after, points, change)[0] == pytest.approx(1.0)


def test_the_own_law_of_a_large_network_and_dataset_is_the_theory():
    condition = Condition(1, 6, 1, 1.0, 1, alpha=3.0)
    draw = np.random.default_rng(2)
    start = draw.standard_normal((1, 400_000)), draw.standard_normal((1, 400_000, 1))
    times = np.linspace(0, 20, 41)
    found = own_unsatisfied(condition, start, draw.standard_normal(400_000), times)
    assert found[0] == pytest.approx(condition.theory.unsatisfied(times), abs=6e-3)


def test_the_own_law_follows_a_network():
    """One network, centred or not, with the spread of its initialisation; the theory's own curve is further off."""
    for centred in (False, True):
        condition = Condition(4000, 5, 24, 0.05, 200, alpha=1.0, centred=centred)
        steps = np.arange(0, 201, 10)
        data = condition.train(Trial(SETTING), steps=steps, measure=("margin", "trajectory"), networks=4)
        start = data["trajectory_2"].values[:, 0, 0], data["trajectory_1"].values[:, 0]
        found = own_unsatisfied(condition, start, data["inputs"].values[:, 0], steps * 0.05)
        measured = (data["margin"].values < 1).mean(axis=2)
        law = condition.theory.unsatisfied(steps * 0.05)
        assert np.abs(measured - found).max() < np.abs(measured - law).max()


def test_crossings():
    times, series = np.array([0.0, 1.0, 2.0]), np.array([1.0, 0.6, 0.2])
    assert crossing(times, series, 0.5) == pytest.approx(1.25)
    for level in (0.1, 1.0):
        with pytest.raises(RuntimeError, match="the series must come down to"):
            crossing(times, series, level)


def test_the_rows_of_fitted_networks_fail_without_an_effect(outcome):
    data = outcome.data[["fit_train_error", "fit_test_error", "fit_movement"]]
    assert [row.passed for row in rows_of(lazy_rich_fit.compare, SETTING, data)] == [True] * 3
    swapped = data.isel(model=[1, 0]).assign_coords(model=data["model"].values)
    swapped["fit_train_error"] = swapped["fit_train_error"] + 1 / 200
    assert [row.passed for row in rows_of(lazy_rich_fit.compare, SETTING, swapped)] == [False] * 3


def test_the_crossover_is_where_alpha_is_twice_root_d():
    point = Point(1.0)
    assert point.alpha == pytest.approx(2 * np.sqrt(lazy_rich.INPUTS))
    assert Point(0.01).movement > 10 * point.movement > 100 * Point(100.0).movement
    assert point.condition(quick=True).network == shoal.Network.mean_field(5, 128, point.alpha, centred=True)


def test_training_is_long_enough_for_small_networks_that_are_slow():
    """At this seed 0.51 of the samples of one dataset are left after three times as long as the theory needs."""
    limits = lazy_rich.measure_point(Trial(Setting(quick=True, seed=101)), Point(10.0), 12, 3)
    assert abs(limits["time"].value - 1) < 0.2
