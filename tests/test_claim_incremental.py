"""The claim `incremental`: it passes, and it fails under a theory of another depth, level or target."""

import numpy as np
import pytest

from shoal import theory
from shoal.claims.claim import Setting
from shoal.claims.neighbours import incremental
from shoal.claims.trial import Trial
from support import can_be_read_back, is_labelled, passes

ONE = np.array([1.0])


@pytest.fixture(scope="module")
def outcome():
    return incremental.incremental.run(Setting(networks=2, quick=True, seed=3))


def test_it_passes(outcome):
    passes(outcome)


def test_what_is_saved_can_be_read_back_and_the_figure_is_labelled(outcome, tmp_path):
    can_be_read_back(outcome, tmp_path)
    is_labelled(outcome.figure)


def test_two_layers_need_exponentially_small_weights_and_more_layers_do_not(outcome):
    sizes = {depth: outcome.data[f"log_size_{depth}"].values[0] for depth in incremental.DEPTHS}
    halved = {depth: each[-1] / each[-2] for depth, each in sizes.items()}
    assert halved[2] == pytest.approx(2, abs=0.02)  # half the gap: the square of the size
    assert halved[3] < 1.25
    assert halved[5] < 1.2
    assert sizes[2][-1] < -170


def test_curves_fail_when_a_target_is_off_by_five_percent(monkeypatch):
    true = theory.power_mode
    monkeypatch.setattr(theory, "power_mode", lambda times, u, s, depth: true(times, u, 1.05 * s, depth))
    run = Trial(Setting(quick=True))
    incremental._curves(run, ONE)
    assert [row.comparison.verdict for row in run.rows] == ["FAIL"] * 3


@pytest.mark.parametrize("depth", incremental.DEPTHS)
def test_a_bisection_finds_the_size_of_theory_and_no_other(depth):
    run, gap = Trial(Setting(quick=True)), 0.4
    above = np.log(incremental.LARGEST) * ONE
    found = incremental.Bisected.of(run, incremental.Model(gap, depth), ONE, above)
    right = incremental.threshold(gap, 1.0, depth)
    assert (
        abs(found.measured[0] - right) <= found.error[0] < 5e-4
    )  # each cut keeps at most 4 of 32 sections: 8^-4 of the first interval
    for wrong in (
        incremental.threshold(gap, 1.0, depth + 1),
        incremental.threshold(1.001 * gap, 1.0, depth),
        incremental.threshold(gap, 0.999, depth),
    ):
        assert abs(found.measured[0] - wrong) > found.error[0]


def test_the_growth_fails_for_sizes_of_another_depth():
    leads = np.array([1.0, 0.9])
    sizes = {
        depth: np.array(
            [[incremental.threshold(float(gap), lead, depth) for gap in incremental.GAPS] for lead in leads]
        )
        for depth in (3, 4)
    }
    sizes[2] = -np.array([[5.0], [4.9]]) / incremental.GAPS
    for depth, given, verdict in ((3, 3, "PASS"), (3, 4, "FAIL"), (2, 2, "FAIL")):
        run = Trial(Setting(quick=True))
        incremental._growth(run, depth, sizes[given], leads)
        assert run.rows[0].comparison.verdict == verdict


def test_a_threshold_is_where_both_times_are_one():
    for depth in incremental.DEPTHS:
        log = incremental.threshold(0.2, 0.9, depth)
        first, second = incremental._times(log, 0.2, 0.9, depth)
        assert float(first) == pytest.approx(float(second), rel=1e-8)
        assert incremental._late(log + 0.1, 0.2, 0.9, depth) > 0 > incremental._late(log - 0.1, 0.2, 0.9, depth)


@pytest.mark.parametrize("depth", incremental.DEPTHS)
def test_the_network_is_the_model_of_one_parameter_per_mode(depth):
    """By the equation of u itself, u' = -dl/du with l = (u^N - target)^2/2."""
    model, times = incremental.Model(0.3, depth), np.linspace(0, 1.0, 5)
    initial = np.array([[0.3, 0.2]])
    found = model.curves(Trial(), initial, times)[0]
    for mode, target in enumerate(incremental.targets(0.3)):
        u, steps = initial[0, mode] ** (1 / depth), 2000
        for step in range(steps):  # Runge and Kutta's of order 4
            if step % (steps // 4) == 0:
                assert u**depth == pytest.approx(found[step // (steps // 4), mode], rel=1e-6)
            slope = lambda u: depth * u ** (depth - 1) * (target - u**depth)  # noqa: E731, B023
            h = 1.0 / steps
            k1 = slope(u)
            k2 = slope(u + h / 2 * k1)
            k3 = slope(u + h / 2 * k2)
            u += h / 6 * (k1 + 2 * k2 + 2 * k3 + slope(u + h * k3))
