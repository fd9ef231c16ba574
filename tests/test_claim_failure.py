"""The claim `failure`: it passes, fails under other formulas, and its bounds are bounds."""

import numpy as np
import pytest
import xarray as xr

import shoal
from shoal import theory
from shoal.claims.claim import Setting
from shoal.claims.learning_dynamics.failure import failure as failure
from shoal.claims.learning_dynamics.failure import surface as failure_surface
from shoal.claims.learning_dynamics.failure.failure import PACE, PAIR, POINT, WATCHED
from shoal.claims.shared import deaths
from shoal.claims.shared.deaths import Counts, certain_failures, dead_probability, least_path, undecided_probability
from shoal.claims.trial import Trial
from shoal.verdicts.proportion import wilson
from support import can_be_read_back, is_labelled, passes, rows_of

SETTING = Setting(networks=16_000, seed=3, quick=True)


def verdicts(rows):
    return [row.comparison.verdict for row in rows]


@pytest.fixture(scope="module")
def outcome():
    return failure.failure.run(SETTING)


@pytest.fixture(scope="module")
def pairs():
    return failure._pairs(Trial(SETTING), 100_000)


@pytest.fixture(scope="module")
def modes():
    return failure._modes(Trial(SETTING), 100_000)


def test_it_passes(outcome):
    passes(outcome)


def test_what_is_saved_can_be_read_back_and_the_figure_is_labelled(outcome, tmp_path):
    can_be_read_back(outcome, tmp_path)
    is_labelled(outcome.figure)


def test_it_repeats_itself_bit_for_bit_and_another_seed_counts_others():
    first, again, other = (
        failure.failure.run(Setting(networks=64, seed=seed, quick=True, threads=threads)).data
        for seed, threads in ((5, 2), (5, 1), (6, 1))
    )
    xr.testing.assert_identical(first, again)
    assert not first["pair_failed"].equals(other["pair_failed"])


def test_chunks_count_what_one_call_counts(monkeypatch):
    whole, _ = failure._pairs(Trial(SETTING), 1000)["one scale", 4]
    monkeypatch.setattr(failure, "CHUNK", 300)
    parts, _ = failure._pairs(Trial(SETTING), 1000)["one scale", 4]
    assert (whole.stuck == parts.stuck).all()
    assert (whole.undecided == parts.undecided).all()
    assert parts.trials == 1000


def test_it_fails_when_every_chance_is_five_percent_larger(pairs, modes, monkeypatch):
    law = theory.failure_probability
    monkeypatch.setattr(theory, "failure_probability", lambda *given, **named: 1.05 * law(*given, **named))
    assert verdicts(rows_of(failure.compare_pairs, SETTING, pairs))[:3] == ["FAIL", "FAIL", "FAIL"]
    assert verdicts(rows_of(failure.compare_modes, SETTING, modes))[:3] == ["FAIL", "FAIL", "FAIL"]


def test_no_row_allows_what_the_undecided_could_hide(pairs, modes):
    for row in (*rows_of(failure.compare_pairs, SETTING, pairs)[:3], *rows_of(failure.compare_modes, SETTING, modes)):
        assert row.comparison.bias <= 0.1 * row.comparison.predicted, row.statement
        assert row.comparison.catches.amount <= 0.05, row.statement


def test_it_fails_under_the_law_of_one_neuron_less(pairs, monkeypatch):
    law = theory.failure_probability
    monkeypatch.setattr(theory, "failure_probability", lambda hidden, **named: law(hidden - 1, **named))
    assert verdicts(rows_of(failure.compare_pairs, SETTING, pairs))[:2] == ["FAIL", "FAIL"]


def test_it_fails_when_the_scales_change_places(modes, monkeypatch):
    law = theory.failure_probability
    monkeypatch.setattr(theory, "failure_probability", lambda k, weight_std: law(k, 1.0, weight_std))
    assert verdicts(rows_of(failure.compare_modes, SETTING, modes))[:3] == ["FAIL", "PASS", "FAIL"]


def test_the_way_of_a_mode_fails_when_the_clock_is_five_percent_faster(modes, monkeypatch):
    dead = deaths.dead_probability
    monkeypatch.setattr(deaths, "dead_probability", lambda path, ratio: dead(1.05 * path, ratio))
    assert verdicts(rows_of(failure.compare_modes, SETTING, modes))[-1] == "FAIL"


def test_one_network_whose_fate_is_not_theorys_fails(pairs):
    found = dict(pairs)
    first = next(iter(found))
    counts, learnt = found[first]
    learnt = learnt.copy()
    learnt[17] = ~learnt[17]
    found[first] = counts, learnt
    assert rows_of(failure.compare_deaths, SETTING, pairs)[0].passed
    assert not rows_of(failure.compare_deaths, SETTING, found)[0].passed


def test_what_surely_fails_fails_and_a_law_of_the_starts_that_is_off_does_not_pass(monkeypatch):
    surface = failure_surface.measure(Trial(SETTING), 500)
    assert verdicts(rows_of(failure_surface.compare, SETTING, surface)) == ["PASS"] * 3
    monkeypatch.setattr(failure_surface, "certain_failures", lambda width, depth=1: 1 - (1 - 0.5**width) ** 2)
    assert verdicts(rows_of(failure_surface.compare, SETTING, surface))[0] == "FAIL"
    monkeypatch.setattr(failure_surface, "certain_failures", lambda width, depth=1: 1 - 0.25**depth)
    assert verdicts(rows_of(failure_surface.compare, SETTING, surface))[2] == "FAIL"


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_descent_never_changes_the_sign_that_decides(rate):
    # One neuron, one mode: rate x frequency x norm below 1, scales at which the margin counts.
    init = shoal.Separated(1.0)
    weights = [
        shoal.train(
            shoal.Network((1, 1, 1)), POINT, init, method=shoal.GradientDescent(rate, steps),
            record=shoal.Record(measure=("weights", "active")), networks=5000, seed=1,
        )
        for steps in (0, 400)
    ]  # fmt: skip
    first, last = (data.weights_1.values[:, 0, 0] + data.weights_2.values[:, 0, 0] for data in weights)
    assert ((first > 0) == (last > 0)).all()
    alive = weights[1].active.values[:, -1, 0] > 0
    assert (alive == (first > 0)).all()


@pytest.mark.parametrize("scale", [0.01, 1.0])
def test_every_neuron_runs_through_the_least_clock(scale):
    # |a - z| / |a + z| falls by exp(-2 tau): measured from weights, on antipodal data, where margins count too.
    network = shoal.Network((1, 4, 1))
    method = PACE / PAIR.sample_weight[0]
    init, *later = (
        shoal.train(
            network, PAIR, shoal.Gaussian(std=scale), method=shoal.GradientDescent(method, steps),
            record=shoal.Record(measure=("weights",)), networks=500, seed=2,
        )
        for steps in (0, 1, 5, 20)
    )  # fmt: skip

    def parts(data):
        w, z = data.weights_1.values[:, :, 0], data.weights_2.values[:, 0]
        return np.abs(w + z), np.abs(w - z), (np.abs(w) + np.abs(z)) ** 2

    up, down, size = parts(init)
    for steps, data in zip((1, 5, 20), later, strict=True):
        up_now, down_now, _ = parts(data)
        clock = np.log(down / up) - np.log(down_now / up_now)
        least = [least_path(float(total), np.array([steps]), PACE)[0] for total in 0.25 * size.sum(axis=1)]
        assert (clock.min(axis=1) >= np.array(least) - 1e-9).all()


def test_the_shares_of_dead_and_undecided_neurons_are_those_of_random_draws():
    draw = np.random.default_rng(0)
    a, z = np.abs(draw.normal(0, 0.5, 200_000)), draw.normal(0, 1.0, 200_000)
    for tau in (0.2, 1.0, 3.0):
        path = np.array(2 * tau)
        dead = (a * np.cosh(tau) + z * np.sinh(tau) <= 0).mean()
        undecided = (np.abs(a + z) * np.exp(tau) < np.abs(a - z) * np.exp(-tau)).mean()
        assert float(dead_probability(path, 0.5)) == pytest.approx(dead, abs=0.005)
        assert float(undecided_probability(path, 0.5)) == pytest.approx(undecided, abs=0.005)
    assert float(dead_probability(np.array(60.0), 0.5)) == pytest.approx(theory.death_probability(0.5, 1.0))
    assert float(undecided_probability(np.array(0.0), 0.5)) == pytest.approx(0.5)


def test_the_bound_on_undecided_neurons_is_small_where_the_law_is_held_against_it():
    for kind, hidden in ((kind, h) for kind, widths in failure.HIDDEN.items() for h in widths):
        law = 2.0 ** (1 - hidden)
        low, high = wilson(round(1e6 * law), 1_000_000)
        assert failure._pair_bias(kind, hidden)[-1] < 0.01 * (high - low)
    assert WATCHED[-1] == failure.STEPS


def test_certain_failures_rise_with_depth_fall_with_width_and_are_certain_for_one_unit():
    table = np.array([[certain_failures(width, depth) for width in range(1, 9)] for depth in range(1, 5)])
    assert (table[:, 0] == 1).all()
    assert (np.diff(table, axis=1) < 0).all()
    assert (np.diff(table[:, 1:], axis=0) > 0).all()


def test_certain_failures_of_one_layer_count_all_patterns_of_activity():
    # Every pattern of two classes on w units is equally likely.
    for width in (1, 2, 3, 4):
        patterns = (np.arange(4**width)[:, None] >> np.arange(2 * width)) & 1
        lost = failure_surface.lost_classes(patterns.reshape(-1, width, 2) == 1)
        assert lost.mean() == certain_failures(width)


def test_a_margin_of_nan_counts_as_undecided():
    counts = Counts.of(np.array([[[1.0, 0.0]], [[1.0, 2.0]], [[-1.0, 0.0]], [[np.nan, 1.0]]]))
    assert (counts.stuck[0], counts.undecided[0], counts.failed[0], counts.trials) == (1, 2, 3, 4)
