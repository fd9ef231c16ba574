"""The statistics of the dynamics, of networks trained by gradient flow, against chapter 2 of the theory book."""

import numpy as np
import pytest
import xarray as xr
from scipy.integrate import solve_ivp

import reference
import shoal
from shoal import theory
from shoal.dynamics import (
    activation_patterns,
    alignment,
    deaths,
    effective_rank,
    plateau,
    reach_time,
    steepest,
    strengths,
)

TIMES = np.linspace(0, 60, 241)
RTOL = 1e-9


def recorded(network, task, init, times=TIMES):
    """Return what gradient flow on the cross-entropy does to every weight, pattern and margin, at the times."""
    setup = reference.problem(network, task, shoal.CrossEntropy())
    cuts = np.cumsum([w[0].size for w in init.weights])[:-1]
    shapes = [w[0].shape for w in init.weights]

    def layers(vector):
        return [part.reshape(shape) for part, shape in zip(np.split(vector, cuts), shapes, strict=True)]

    def velocity(_, vector):
        slope = reference.gradient(setup, reference.Parameters(layers(vector), []))
        return -np.concatenate([w.ravel() for w in slope.weights])

    first, second, pattern, margin = [], [], [], []
    for k in range(init.networks):
        vector = np.concatenate([w[k].ravel() for w in init.weights])
        way = solve_ivp(velocity, (0, times[-1]), vector, "DOP853", times, rtol=RTOL, atol=1e-13).y.T
        places = [layers(place) for place in way]
        first.append([place[0] for place in places])
        second.append([place[1] for place in places])
        leaving = [reference.forward(setup, reference.Parameters(place, []))[1] for place in places]
        pattern.append([(a[0] > 0).T for a in leaving])
        margin.append([reference.margins_of(setup, a[1]) for a in leaving])
    return xr.Dataset(
        {
            "trajectory_1": (("network", "time", "unit_1", "unit_0"), np.array(first)),
            "trajectory_2": (("network", "time", "unit_2", "unit_1"), np.array(second)),
            "pattern": (("network", "time", "unit", "sample"), np.array(pattern)),
            "unit_active": (("network", "time", "unit"), np.array(pattern).mean(axis=-1)),
            "margin": (("network", "time", "sample"), np.array(margin)),
        },
        coords={"time": times},
    )


NETWORK = shoal.Network((2, 6, 1))
MODES = shoal.tasks.modes((1.7, 0.9), (0.6, 0.4))
OPPOSITE = shoal.tasks.antipodal(1.3, dimension=2)


def separated(task, networks, seed=0):
    """Return separated initialisations as arrays."""
    data = shoal.train(
        NETWORK,
        task,
        shoal.Separated(0.3),
        method=shoal.GradientDescent(learning_rate=1.0, steps=0),
        record=shoal.Record(measure=("weights",)),
        networks=networks,
        seed=seed,
    )
    return shoal.Explicit([data.weights_1.values, data.weights_2.values])


@pytest.fixture(scope="module")
def init():
    return separated(MODES, 12)


@pytest.fixture(scope="module")
def data(init):
    return recorded(NETWORK, MODES, init)


def test_the_flow_of_the_core_records_what_the_independent_integration_does(data, init):
    trained = shoal.train(
        NETWORK,
        MODES,
        init,
        method=shoal.GradientFlow(TIMES[-1], rtol=RTOL),
        record=shoal.Record(times=TIMES, measure=("margin", "trajectory", "unit_active", "pattern")),
    )
    for name in ("unit_active", "pattern"):
        np.testing.assert_array_equal(trained[name], data[name])
    for name in ("trajectory_1", "trajectory_2", "margin"):
        np.testing.assert_allclose(trained[name], data[name], rtol=0, atol=1e-7 * np.abs(data[name]).max().item())
    for measure in (deaths, activation_patterns):
        expected = measure(data)
        for name, values in measure(trained).data_vars.items():
            np.testing.assert_array_equal(values, expected[name])


def test_strengths_along_the_inputs_are_the_margins_at_every_record(data):
    found = strengths(data, MODES.inputs, network=NETWORK)
    assert found.strength.dims == ("network", "time", "direction")
    np.testing.assert_allclose(found.strength * MODES.labels, data.margin, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("measure", ["unit_active", "pattern"])
def test_units_die_when_the_theory_says_they_do(data, init, measure):
    found = deaths(data[[measure]])
    predicted = theory.separated_deaths(init.weights, MODES, "cross_entropy", t_end=TIMES[-1])
    dead = np.isfinite(predicted.death_time)
    assert 5 < dead.sum() < dead.size - 5
    np.testing.assert_array_equal(found.died, dead)
    assert not found.inactive.any()
    assert (found.after.values[dead] < predicted.death_time[dead]).all()
    assert (predicted.death_time[dead] <= found["at"].values[dead]).all()
    assert np.isinf(found["at"].values[~dead]).all()


def test_from_a_separated_start_a_pattern_changes_by_death_only(data):
    found, died = activation_patterns(data), deaths(data)
    np.testing.assert_array_equal(found.changes, died.died)
    np.testing.assert_array_equal(found.flips, died.died)
    np.testing.assert_array_equal(found.settled, np.where(died.died, died["at"], 0.0))


def test_units_that_go_over_to_the_antipodal_sample_change_pattern_and_live():
    init = separated(OPPOSITE, 12, seed=1)
    data = recorded(NETWORK, OPPOSITE, init)
    predicted = theory.separated_deaths(init.weights, OPPOSITE, "cross_entropy", t_end=TIMES[-1])
    moved = np.isfinite(predicted.death_time)
    assert 5 < moved.sum() < moved.size - 5
    np.testing.assert_array_equal(activation_patterns(data).flips, 2 * moved)
    assert not deaths(data).died.any()


def test_the_margins_reach_their_levels_when_the_theory_says_they_do(data, init):
    level = 0.7
    read = reach_time(data.margin, level)
    fine = np.linspace(0, TIMES[-1], 20001)
    margins = theory.separated_margins(init.weights, MODES, "cross_entropy", fine)
    smooth = 0
    for network, sample in np.ndindex(read.reached.shape):
        one = read.isel(network=network, sample=sample)
        exact = margins[network, :, sample]
        if exact[-1] < level:
            assert one.reached == np.inf
            continue
        at = int(np.argmax(exact >= level))
        true = np.interp(level, exact[at - 1 : at + 1], fine[at - 1 : at + 1])
        assert one.before < true <= one.after
        # Where a unit dies between the records used, there is a kink that no polynomial follows.
        if (np.abs(deaths(data)["at"][network] - true) > 4 * TIMES[1]).all():
            smooth += 1
            # A line is good to a hundredth of a step of the fine grid.
            assert abs(one.reached - true) <= one.error + 0.01 * fine[1]
    assert smooth > 5


ONE = shoal.Task([[1.5, 0.0, 0.0]], [1])


@pytest.fixture(scope="module")
def one_mode():
    """Two networks of living units on one input, and what theory makes of their rows."""
    generator = np.random.default_rng(2)
    first = 0.05 * generator.standard_normal((2, 4, 3))
    first[..., 0] = np.abs(first[..., 0])
    second = 0.05 * np.abs(generator.standard_normal((2, 1, 4)))
    data = recorded(shoal.Network((3, 4, 1)), ONE, shoal.Explicit([first, second]))
    rows, modes = [], []
    for a, z, perpendicular in zip(first[..., 0], second[:, 0], first[..., 1:], strict=True):
        product, energy = (a * z).sum(), (a**2 + z**2).sum()
        mode = theory.Mode(1.5, 1.0, 1.5 * product, imbalance=np.sqrt(energy**2 - 4 * product**2))
        clock = mode.tau(TIMES)[:, None]
        along = a * np.cosh(clock) + z * np.sinh(clock)
        rows.append(np.concatenate([along[..., None], np.broadcast_to(perpendicular, (TIMES.size, 4, 2))], axis=-1))
        modes.append(mode)
    return data, np.array(rows), modes


def test_rows_turn_towards_the_input_by_the_hyperbolic_rotation(one_mode):
    data, rows, _ = one_mode
    found = alignment(data, ONE.inputs)
    cosines = rows[..., 0] / np.sqrt((rows**2).sum(axis=-1))
    np.testing.assert_allclose(found[..., 0], cosines, rtol=10 * RTOL)
    assert (found.isel(time=0) < 0.95).any()
    assert (found.isel(time=-1) > 0.95).all()


def test_the_first_layer_loses_rank_as_the_theory_has_it(one_mode):
    data, rows, _ = one_mode
    found = effective_rank(data)
    theirs = effective_rank(xr.Dataset({"weights_1": (("network", "time", "unit_1", "unit_0"), rows)}))
    np.testing.assert_allclose(found.effective_rank, theirs.effective_rank, rtol=100 * RTOL)
    np.testing.assert_allclose(found.stable_rank, theirs.stable_rank, rtol=100 * RTOL)
    assert (found.effective_rank.isel(time=0) > 2).all()
    assert (found.stable_rank.isel(time=-1) < 1.05).all()


def test_margin_time_and_plateau_are_those_of_the_mode(one_mode):
    data, _, modes = one_mode
    margins = data.margin.isel(sample=0)
    read = reach_time(margins, 1.0)
    true = np.array([float(mode.time(1.0)) for mode in modes])
    assert (np.abs(read.reached - true) <= read.error + 1e-6).all()
    assert (read.error < 1e-4).all()
    soft = 1 / (1 + np.exp(margins))
    fall = steepest(soft)
    assert (np.abs(fall["at"] - [mode.plateau() for mode in modes]) <= fall.at_error + 1e-6).all()
    assert (fall.at_error < 1e-2).all()
    assert (0 < plateau(soft).length).all()
    assert (plateau(soft).length < fall["at"]).all()
