"""The claim `dmft`: it passes, and fails for other slopes, limits, and order parameters."""

import numpy as np
import pytest

from shoal import theory
from shoal.claims.claim import Setting
from shoal.claims.neighbours import dmft as claim
from shoal.claims.shared.widths import exponent, squares_about_mean
from shoal.claims.trial import Trial
from support import can_be_read_back, is_labelled, passes, rows_of

FEW = Setting(quick=True, seed=3)
TASK = claim.regression(3)


def verdicts(rows):
    return {row.statement: row.comparison.verdict for row in rows}


@pytest.fixture(scope="module")
def outcome():
    return claim.dmft.run(FEW)


@pytest.fixture(scope="module")
def linear():
    run = Trial(FEW)
    return [claim.Trained.of(run, TASK, "linear", width, 2000, 1 + at) for at, width in enumerate((16, 32, 64, 128))]


def test_it_passes(outcome):
    passes(outcome)
    assert all(row.wrong for row in outcome.rows)


def test_what_is_saved_can_be_read_back_and_the_figure_is_labelled(outcome, tmp_path):
    can_be_read_back(outcome, tmp_path)
    is_labelled(outcome.figure)


def test_features_are_learnt(outcome):
    """The kernel of the limit has grown to more than twice its size."""
    limits = theory.linear_mean_field(TASK, claim.TIMES, claim.ALPHA).kernel(TASK.inputs)[0]
    norms = np.linalg.norm(limits, axis=(1, 2))
    assert norms[claim.LATE] > 2 * norms[0]
    np.testing.assert_allclose(limits[0], claim.frozen_kernel(TASK), rtol=1e-12)


@pytest.fixture
def wrong_alpha(monkeypatch):
    """A theory that takes the output's scale for one percent larger than it is."""
    mean, width = theory.linear_mean_field, theory.linear_finite_width
    monkeypatch.setattr(theory, "linear_mean_field", lambda task, t, alpha, *rest: mean(task, t, 1.01 * alpha, *rest))
    monkeypatch.setattr(theory, "linear_finite_width", lambda task, t, x, alpha: width(task, t, x, 1.2 * alpha))


def test_single_networks_fail_when_alpha_is_one_percent_larger(linear, wrong_alpha):
    assert set(verdicts(rows_of(claim.single_rows, FEW, TASK, linear)).values()) == {"FAIL"}
    assert set(verdicts(rows_of(claim.whitened_rows, FEW, TASK)).values()) == {"FAIL"}


def test_the_size_of_scatter_and_bias_fails_when_alpha_is_wrong(linear, wrong_alpha):
    assert "FAIL" in verdicts(rows_of(claim.limit_rows, FEW, TASK, linear)).values()
    found = verdicts(rows_of(claim.bias_rows, FEW, linear, claim.biases(TASK, linear)))
    assert sum(verdict == "FAIL" for verdict in found.values()) == len(found)


def test_slopes_fail_when_widths_are_taken_for_their_square(linear):
    other = [claim.Trained(each.width**2, each.seed, each.outputs, each.kernels) for each in linear]
    assert set(verdicts(rows_of(claim.scatter_rows, FEW, "linear", linear)).values()) == {"PASS"}
    assert set(verdicts(rows_of(claim.scatter_rows, FEW, "linear", other)).values()) == {"FAIL"}


def test_the_limit_of_tanh_fails_when_narrow_networks_are_another_activation(linear):
    assert set(verdicts(rows_of(claim.wide_rows, FEW, TASK, linear, 256)).values()) == {"FAIL"}


def test_control_variates_take_away_scatter_and_no_bias():
    draw = np.random.default_rng(0)
    controls = draw.normal(size=(4000, 3))
    values = 0.7 + controls @ [5.0, -3.0, 2.0] + 0.1 * draw.normal(size=4000)
    mean, error = claim.controlled(values, controls)
    assert error == pytest.approx(0.1 / np.sqrt(4000), rel=0.05)
    assert abs(mean - 0.7) < 5 * error


def test_controls_have_the_expectation_0_that_they_claim(linear):
    for each in linear:
        found = each.controls(TASK)
        assert found.shape == (2000, 10 + 55)
        error = found.std(axis=0) / np.sqrt(len(found))
        assert (np.abs(found.mean(axis=0)) < 5 * error).all()


def test_initial_weights_are_those_of_the_training(linear):
    own = theory.linear_mean_field(TASK, [0.0], claim.ALPHA, linear[0].weights(TASK, 3, first_network=5))
    np.testing.assert_allclose(own.outputs(TASK.inputs)[:, 0], linear[0].outputs[5:8, 0], atol=1e-12)


@pytest.mark.parametrize("slope", [-0.5, -1.0])
def test_an_exponent_is_found_whatever_the_next_order(slope):
    widths = np.array([16.0, 32, 64, 128])
    values = -3 * widths**slope * np.exp(5 / widths)
    found, error = exponent(widths, values, 0.01 * np.abs(values))
    assert found == pytest.approx(slope, abs=1e-9)
    without, less = exponent(widths, values, 0.01 * np.abs(values), next_order=False)
    assert without < slope - 0.05
    assert less < error
    draw = np.random.default_rng(1)
    noisy = [exponent(widths, values * (1 + 0.01 * draw.normal(size=4)), 0.01 * np.abs(values))[0] for _ in range(500)]
    assert np.std(noisy) == pytest.approx(error, rel=0.15)


def test_squares_about_the_mean_have_no_bias():
    values = np.random.default_rng(2).normal(size=(5, 40_000))
    assert squares_about_mean(values).mean() == pytest.approx(1, abs=0.02)
