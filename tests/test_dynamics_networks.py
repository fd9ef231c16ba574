"""What recorded weights and activity say: strengths, alignment, ranks, deaths, patterns."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import orth, svdvals

import reference
import shoal
from shoal.dynamics import activation_patterns, alignment, deaths, effective_rank, strengths
from support import ACTIVATIONS, final, random_init, random_task

TIMES = np.array([0.0, 0.5, 1.0, 2.0, 4.0])


def trained(network, task, networks=4, **changes):
    arguments = {
        "method": shoal.GradientDescent(learning_rate=0.05, steps=30),
        "record": shoal.Record(measure=("margin", "weights")),
        "networks": networks,
    }
    init = changes.pop("init", random_init(network, networks, np.random.default_rng(0)))
    return shoal.train(network, task, init, **{**arguments, **changes})


def rows(*matrices):
    """A dataset of first layers, one per network."""
    return xr.Dataset({"weights_1": (("network", "unit_1", "unit_0"), np.array(matrices, float))})


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize(("widths", "bias"), [((3, 1), False), ((3, 5, 1), True), ((3, 4, 5, 1), False)])
def test_strengths_are_what_the_oracle_puts_out(activation, widths, bias):
    network = shoal.Network(widths, activation=activation, bias=bias)
    generator = np.random.default_rng(1)
    data = trained(network, random_task(6, 3, 1, generator))
    directions = generator.standard_normal((4, 3))
    found = strengths(data, directions)
    assert found.strength.dims == ("network", "direction")
    for k in range(4):
        parts = []
        for sign in (1, -1):
            task = shoal.Task(sign * directions, np.ones(4, int))
            setup = reference.problem(network, task, shoal.CrossEntropy())
            parts.append(reference.forward(setup, final(data, k))[1][-1][:, 0])
        np.testing.assert_allclose(found.strength[k], parts[0], rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(found.odd[k], (parts[0] - parts[1]) / 2, rtol=1e-12, atol=1e-14)


def test_strengths_along_the_inputs_are_the_recorded_margins():
    task = shoal.tasks.modes((1.7, 0.9, 1.1), (0.5, 0.3, 0.2))
    data = trained(shoal.Network((3, 6, 1)), task)
    found = strengths(data, data.inputs)
    np.testing.assert_allclose(found.strength * task.labels, data.margin.isel(time=-1), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(("activation", "share"), [("relu", 0.5), ("leaky_relu", 0.505), ("linear", 1.0)])
def test_the_odd_part_of_two_layers_is_linear(activation, share):
    network = shoal.Network((3, 5, 1), activation=activation)
    data = trained(network, random_task(6, 3, 1, np.random.default_rng(2)))
    directions = np.random.default_rng(3).standard_normal((2, 3))
    product = data.weights_2.values @ data.weights_1.values
    np.testing.assert_allclose(strengths(data, directions).odd, share * (product @ directions.T)[:, 0], rtol=1e-12)


def test_several_outputs_keep_their_dimension_and_directions_their_labels():
    network = shoal.Network((3, 5, 4))
    data = trained(network, random_task(6, 3, 4, np.random.default_rng(4)))
    directions = xr.DataArray(np.eye(3), dims=("feature", "input"), coords={"feature": ["a", "b", "c"]})
    found = strengths(data, directions)
    assert found.strength.dims == ("network", "unit_2", "direction")
    assert list(found.direction.values) == ["a", "b", "c"]
    hidden = np.maximum(data.weights_1.values, 0)
    np.testing.assert_allclose(found.strength, data.weights_2.values @ hidden, rtol=1e-13, atol=1e-15)


def test_a_network_may_be_told_where_the_dataset_has_no_specification():
    network = shoal.Network((3, 5, 1), activation="tanh")
    data = trained(network, random_task(6, 3, 1, np.random.default_rng(5)))
    told = strengths(data.drop_attrs(deep=False), np.eye(3), network=network)
    assert told.identical(strengths(data, np.eye(3)))


def test_the_weights_of_every_record_go_before_the_final_ones():
    early, late = np.eye(2), np.diag([1.0, -3.0])
    path = xr.DataArray([[early, late]], dims=("network", "time", "unit_1", "unit_0"), coords={"time": [0.0, 1.0]})
    both = rows(late).assign(trajectory_1=path)
    found = alignment(both, [[0.0, 1.0]])
    assert found.dims == ("network", "time", "unit_1", "direction")
    np.testing.assert_array_equal(found.time, [0, 1])
    np.testing.assert_array_equal(found[0, :, :, 0], [[0, 1], [0, -1]])
    np.testing.assert_array_equal(alignment(rows(late), [[0.0, 1.0]])[0, :, 0], [0, -1])
    assert effective_rank(both).stable_rank.dims == ("network", "time")


def test_alignment_is_the_cosine_of_the_angle():
    generator = np.random.default_rng(6)
    first, directions = generator.standard_normal((3, 4, 5)), generator.standard_normal((2, 5))
    found = alignment(rows(*first), directions)
    assert found.dims == ("network", "unit_1", "direction")
    for network, unit, direction in np.ndindex(3, 4, 2):
        w, u = first[network, unit], directions[direction]
        expected = w @ u / np.sqrt((w @ w) * (u @ u))
        assert found.values[network, unit, direction] == pytest.approx(expected, rel=1e-13)


@given(st.floats(1e-250, 1e250), st.floats(1e-250, 1e250))
def test_alignment_and_ranks_do_not_see_the_size_of_the_weights(size, length):
    first = np.array([[1.0, 2.0, 0.0], [0.0, -1.0, 0.5]])
    direction = np.array([[1.0, 1.0, 0.0]])
    np.testing.assert_allclose(
        alignment(rows(size * first), length * direction), alignment(rows(first), direction), rtol=1e-13
    )
    xr.testing.assert_allclose(effective_rank(rows(size * first)), effective_rank(rows(first)), rtol=1e-13)


def test_a_row_of_zeros_points_nowhere():
    found = alignment(rows([[0.0, 0.0], [3.0, 4.0]]), [[1.0, 0.0], [0.0, -1.0]])
    np.testing.assert_array_equal(found[0], [[np.nan, np.nan], [0.6, -0.8]])


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_equal_singular_values_have_their_number_as_both_ranks(rank):
    generator = np.random.default_rng(rank)
    matrix = 0.01 * orth(generator.standard_normal((6, rank))) @ orth(generator.standard_normal((4, rank))).T
    found = effective_rank(rows(matrix))
    assert found.effective_rank.item() == pytest.approx(rank, rel=1e-12)
    assert found.stable_rank.item() == pytest.approx(rank, rel=1e-12)


def test_ranks_are_those_of_their_definitions():
    matrices = np.random.default_rng(7).standard_normal((5, 6, 3))
    found = effective_rank(rows(*matrices))
    for k, matrix in enumerate(matrices):
        values = svdvals(matrix)
        shares = values / values.sum()
        assert found.effective_rank.values[k] == pytest.approx(np.exp(-(shares * np.log(shares)).sum()), rel=1e-12)
        stable = np.linalg.norm(matrix) ** 2 / np.linalg.norm(matrix, 2) ** 2
        assert found.stable_rank.values[k] == pytest.approx(stable, rel=1e-12)
        assert 1 <= found.stable_rank.values[k] <= found.effective_rank.values[k] ** 2


def test_a_diverged_network_says_nothing_and_disturbs_no_other():
    task = random_task(6, 3, 1, np.random.default_rng(8))
    network = shoal.Network((3, 5, 1), activation="linear")
    init = random_init(network, 3, np.random.default_rng(9), scale=0.1)
    wild = shoal.Explicit([w * np.array([1, 1e200, 1])[:, None, None] for w in init.weights])
    data = trained(network, task, 3, init=wild, loss="squared")
    assert data.status.values.tolist() == [0, 1, 0]
    for found in (strengths(data, np.eye(3)).strength, effective_rank(data).stable_rank):
        assert np.isnan(found[1]).all()
        assert np.isfinite(found[[0, 2]]).all()
    calm = data.isel(network=[0, 2])
    xr.testing.assert_identical(strengths(data, np.eye(3)).isel(network=[0, 2]), strengths(calm, np.eye(3)))


def test_an_output_that_overflows_is_not_known():
    huge = rows(1e200 * np.eye(2)).assign(weights_2=(("network", "unit_2", "unit_1"), np.full((1, 1, 2), 1e200)))
    found = strengths(huge, np.eye(2), network=shoal.Network((2, 2, 1)))
    assert np.isnan(found.strength).all()
    assert np.isnan(found.odd).all()


def test_a_layer_of_zeros_and_one_that_diverged_have_no_rank():
    found = effective_rank(rows(np.zeros((2, 2)), [[1, np.nan], [0, 1]], [[1, np.inf], [0, 1]], np.eye(2)))
    np.testing.assert_allclose(found.effective_rank, [np.nan, np.nan, np.nan, 2.0])
    np.testing.assert_allclose(found.stable_rank, [np.nan, np.nan, np.nan, 2.0])


def activity(shares):
    """A dataset of the measure unit_active, one network."""
    shares = np.array(shares, float).T[None]
    return xr.Dataset({"unit_active": xr.DataArray(shares, dims=("network", "time", "unit"), coords={"time": TIMES})})


def test_a_unit_died_at_the_first_record_from_which_it_is_dead_to_the_end():
    found = deaths(
        activity([[1, 0.5, 0, 0, 0], [1, 0, 0.5, 0, 0], [0, 0, 0, 0, 0], [1, 0, 0, 0, 0.5], [1, 1, 1, 1, 0]])
    )
    np.testing.assert_array_equal(found.died[0], [True, True, False, False, True])
    np.testing.assert_array_equal(found["at"][0], [1, 2, np.nan, np.inf, 4])
    np.testing.assert_array_equal(found.after[0], [0.5, 1, np.nan, 4, 2])
    np.testing.assert_array_equal(found.inactive[0], [False, False, True, False, False])


def test_a_unit_that_woke_up_and_fell_asleep_again_did_not_die_of_its_start():
    found = deaths(activity([[0, 0.5, 0.5, 0, 0]]))
    assert not found.died.item()
    assert not found.inactive.item()
    assert (found["at"].item(), found.after.item()) == (2.0, 1.0)


def test_a_diverged_network_has_no_deaths():
    found = deaths(activity([[1, 0.5, np.nan, np.nan, np.nan]]))
    assert not found.died.item()
    assert not found.inactive.item()
    assert np.isnan([found["at"].item(), found.after.item()]).all()


def patterns(values, status=0):
    """A dataset of the measure pattern, from (unit, time, sample)."""
    values = np.array(values, bool).swapaxes(0, 1)[None]
    return xr.Dataset(
        {
            "pattern": xr.DataArray(values, dims=("network", "time", "unit", "sample"), coords={"time": TIMES}),
            "status": ("network", np.array([status], np.int8)),
        }
    )


ONE = [[1, 1], [1, 0], [0, 1], [0, 0], [0, 0]]
TWO = [[1, 0], [1, 0], [1, 0], [1, 0], [1, 0]]


def test_changes_of_pattern_are_counted_by_records_and_by_samples():
    found = activation_patterns(patterns([ONE, TWO]))
    assert found.changes.dims == ("network", "unit")
    np.testing.assert_array_equal(found.changes[0], [3, 0])
    np.testing.assert_array_equal(found.flips[0], [4, 0])
    np.testing.assert_array_equal(found.settled[0], [2, 0])


def test_deaths_are_read_off_patterns_as_well():
    found = deaths(patterns([ONE, TWO]))
    np.testing.assert_array_equal(found.died[0], [True, False])
    np.testing.assert_array_equal(found["at"][0], [2, np.inf])


def test_a_diverged_network_has_no_patterns():
    found = activation_patterns(patterns([ONE], status=1))
    assert np.isnan([found[name].item() for name in ("changes", "flips", "settled")]).all()
    assert np.isnan(deaths(patterns([ONE], status=1))["at"].item())


FIRST = rows(np.eye(2))


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (
            lambda: strengths(xr.Dataset(), np.eye(2)),
            ValueError,
            "data must hold weights, got none: record the measure 'traj",
        ),
        (lambda: alignment(xr.Dataset(), np.eye(2)), ValueError, "record the measure 'trajectory' .* or 'weights'"),
        (lambda: effective_rank(xr.DataArray(1.0)), TypeError, "data must be an xarray.Dataset .*, got DataArray"),
        (lambda: strengths(FIRST, np.eye(2)), ValueError, "network must be given where data has no attribute"),
        (lambda: strengths(FIRST, np.eye(2), network=(2, 2)), TypeError, "network must be a shoal.Network, got tuple"),
        (
            lambda: strengths(FIRST, np.eye(2), network=shoal.Network((2, 3))),
            ValueError,
            "network must have the shape of the recorded weights, got Network",
        ),
        (
            lambda: strengths(FIRST, np.eye(2), network=shoal.Network((2, 2), bias=True)),
            ValueError,
            "data must hold the biases of the network beside its weights",
        ),
        (
            lambda: alignment(FIRST, np.eye(3)),
            ValueError,
            r"directions must have shape \(directions, 2\), got \(3, 3\)",
        ),
        (lambda: alignment(FIRST, [1.0, 0.0]), ValueError, r"directions must have shape \(directions, 2\), got \(2,\)"),
        (lambda: alignment(FIRST, [[1.0, np.nan]]), ValueError, "directions must be finite, got nan"),
        (lambda: alignment(FIRST, [["a", "b"]]), TypeError, "directions must hold real numbers, got dtype"),
        (
            lambda: alignment(FIRST, [[1, 0], [0, 0]]),
            ValueError,
            "directions must not hold a row of zeros, got one at index 1",
        ),
        (lambda: deaths(FIRST), ValueError, "data must hold 'unit_active' or 'pattern', .* record the measure"),
        (lambda: activation_patterns(FIRST), ValueError, "data must hold 'pattern', .* record the measure 'pattern'"),
        (lambda: deaths(np.zeros(3)), TypeError, "data must be an xarray.Dataset .*, got ndarray"),
    ],
)
def test_bad_input_is_named(call, kind, words):
    with pytest.raises(kind, match=words):
        call()
