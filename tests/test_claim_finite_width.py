"""The claim `finite-width`: it passes, and fails for other slopes, scales and samples that matter."""

from dataclasses import replace

import numpy as np
import pytest

from shoal.claims.claim import Setting
from shoal.claims.hinge_mean_field import finite_width
from shoal.claims.hinge_mean_field.finite_width import steps_at, stratified, train
from shoal.claims.shared.teacher import Condition
from shoal.claims.shared.widths import limit, trend
from shoal.claims.trial import Trial
from support import can_be_read_back, is_labelled, passes, rows_of

SETTING = Setting(networks=16, seed=2, quick=True)
SMALL = Condition(samples=1000, inputs=10, nodes=200, rate=0.25, steps=60, test_samples=1000)


@pytest.fixture(scope="module")
def outcome():
    return finite_width.finite_width.run(SETTING)


@pytest.fixture(scope="module")
def trained():
    steps = steps_at(SMALL)
    condition = replace(SMALL, steps=int(steps[-1]))
    found = {
        nodes: train(Trial(SETTING), replace(condition, nodes=nodes), 96 * min(8, 200 // nodes), steps, part)
        for part, nodes in enumerate((25, 50, 100, 200))
    }
    return condition, found, found[200]


def verdicts(condition, found, doubled):
    return [row.comparison.verdict for row in rows_of(finite_width.compare, SETTING, condition, found, doubled)]


def test_it_passes(outcome):
    passes(outcome)


def test_what_is_saved_can_be_read_back_and_the_figure_is_labelled(outcome, tmp_path):
    can_be_read_back(outcome, tmp_path)
    is_labelled(outcome.figure)


def test_it_passes_on_fewer_widths(trained):
    assert verdicts(*trained) == ["PASS"] * 9


@pytest.mark.parametrize("power", [0.0, -1.0])
def test_another_power_of_the_width_fails(trained, power):
    # Squares scaled by M^(2 power + 1) have a root that goes like M^power.
    condition, found, doubled = trained
    bent = {
        nodes: width | {name: width[name] * nodes ** (2 * power + 1) for name in ("node", "output")}
        for nodes, width in found.items()
    }
    assert verdicts(condition, bent, doubled)[:5] == ["FAIL"] * 5


def test_variance_and_error_fail_for_another_law(trained):
    condition, found, doubled = trained
    larger = {
        nodes: width | {"output": 2.5 * width["output"], "error": 1.4 * width["error"]}
        for nodes, width in found.items()
    }
    assert verdicts(condition, larger, doubled)[5:8] == ["FAIL"] * 3


def test_samples_that_matter_are_seen(trained):
    condition, found, doubled = trained
    assert verdicts(condition, found, doubled | {"node": 6 * doubled["node"]})[8] == "FAIL"


@pytest.mark.parametrize("after", [0.0, 3.0])
def test_the_trend_of_a_power_law_is_its_exponent_whatever_the_next_order(after):
    draw, widths = np.random.default_rng(0), np.array([25.0, 100.0, 400.0, 1600.0])
    counts = [64, 48, 32, 24]

    def squares(most):
        shape = (1 + after / widths) / widths
        return [draw.chisquare(3, (most * n, 1)) * each for n, each in zip(counts, shape, strict=True)]

    slope, error = trend(widths, squares(400))
    assert np.abs(slope + 0.5) < 4 * error
    assert error < 0.01
    repeated = [trend(widths, squares(1)) for _ in range(400)]
    slopes, errors = (np.array([one[i][0] for one in repeated]) for i in (0, 1))
    assert errors.mean() == pytest.approx(slopes.std(), rel=0.15)
    assert abs(slopes.mean() + 0.5) < 4 * slopes.std() / 20


def test_the_limit_of_ratios_is_that_of_infinite_width():
    draw, widths = np.random.default_rng(1), np.array([25.0, 100.0, 400.0])
    repeated = [
        limit(widths, [draw.chisquare(3, (n, 1)) / 3 * (1 - 4 / m) for n, m in zip((64, 32, 16), widths, strict=True)])
        for _ in range(400)
    ]
    found, errors = (np.array([one[i][0] for one in repeated]) for i in (0, 1))
    assert errors.mean() == pytest.approx(found.std(), rel=0.15)
    assert abs(found.mean() - 1) < 4 * found.std() / 20


def test_stratified_samples_have_no_noise_of_their_own():
    task = stratified(SMALL, seed=4)
    x, y = task.inputs, task.labels
    assert (y == np.sign(x[:, 0])).all()
    np.testing.assert_allclose((y[:, None] * x)[:, 1:].mean(axis=0), 0, atol=1e-14)
    np.testing.assert_allclose((y * np.abs(x).sum(axis=1)).mean(), 0, atol=1e-13)
    assert np.abs(x[:, 0]).mean() == pytest.approx(np.sqrt(2 / np.pi), rel=2e-3)
    assert x[:, 1:].std() == pytest.approx(1.0, abs=0.05)
    assert task.test_samples == SMALL.test_samples


def test_the_boundary_is_where_it_is_said_to_be():
    times = steps_at(SMALL) * SMALL.rate
    np.testing.assert_allclose(SMALL.theory.boundary(times), finite_width.BOUNDARIES, rtol=0.05)
