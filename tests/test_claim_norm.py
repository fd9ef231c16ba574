"""The claim `norm`: it passes, and fails under a theory that is three percent off or another formula."""

import numpy as np
import pytest
import xarray as xr

from shoal import theory
from shoal.claims.claim import Setting
from shoal.claims.learning_dynamics import norm
from shoal.claims.shared import sweep
from shoal.claims.shared.balanced import balanced_init
from shoal.claims.shared.flows import arrival_error, exponent_weights
from shoal.claims.shared.sweep import Pair
from shoal.spec.task import Task
from support import can_be_read_back, is_labelled, passes

SETTING = Setting(networks=400, seed=3, quick=True)


def verdicts(outcome):
    return {row.statement: row.comparison.verdict for row in outcome.rows}


@pytest.fixture(scope="module")
def outcome():
    return norm.norm.run(SETTING)


@pytest.fixture
def longer_norms(monkeypatch):
    """A theory that takes every norm for three percent longer than it is."""
    true_mode, true_margins = theory.Mode, theory.separated_margins

    def mode(**given):
        return true_mode(**(given | {"norm": 1.03 * given["norm"]}))

    def margins(weights, task, loss, times):
        return true_margins(weights, Task(1.03 * task.inputs, task.labels, task.sample_weight), loss, times)

    monkeypatch.setattr(theory, "Mode", mode)
    monkeypatch.setattr(theory, "separated_margins", margins)


def test_it_passes(outcome):
    passes(outcome)


def test_what_is_saved_can_be_read_back_and_the_figure_is_labelled(outcome, tmp_path):
    can_be_read_back(outcome, tmp_path)
    is_labelled(outcome.figure)


@pytest.mark.slow
def test_it_repeats_itself_bit_for_bit_and_another_seed_draws_other_networks(outcome):
    small = Setting(networks=40, seed=5, quick=True)
    first = norm.norm.run(small).data
    xr.testing.assert_identical(first, norm.norm.run(Setting(networks=40, seed=5, quick=True, threads=1)).data)
    assert float(first["start_margin"]) != float(outcome.data["start_margin"])


def test_it_fails_when_norms_are_off_by_three_percent(longer_norms):
    found = verdicts(norm.norm.run(Setting(networks=16, seed=0, quick=True)))
    for statement in (
        "margin against frequency x norm x time: one curve",
        "the same under the hinge loss",
        "margin at equal initial weights",
        "frequency x norm x time to margin 1, equal initial margins",
        "frequency x norm x time to margin 1, equal initial weights",
        "margin of each of some random networks, deaths included",
        "the same of random networks at equal initial weights",
    ):
        assert found[statement] == "FAIL", statement


def test_its_exponents_fail_when_the_law_is_another(monkeypatch):
    """Time as norm^-1.03 at equal margins is told from norm^-1, for single networks and for random ones."""
    conditions = norm.NORMS**1.03
    monkeypatch.setattr(sweep, "exponent_weights", lambda _: exponent_weights(conditions))
    monkeypatch.setattr(norm.crowd, "exponent_weights", lambda _: exponent_weights(conditions))
    found = verdicts(norm.norm.run(Setting(networks=600, seed=0, quick=True)))
    assert found["exponent of time in norm, equal initial margins: -1"] == "FAIL"
    assert found["exponent of time in norm, equal initial weights"] == "FAIL"
    assert found["600 random networks a norm, equal margins: exponent of time -1"] == "FAIL"


def test_its_random_rows_fail_under_another_start(monkeypatch):
    """Random initialisations a fifth larger than those that are trained, and one neuron more a mode."""
    true_expect = norm.crowd.expect

    def expect(run, length, init, networks, seed):
        return true_expect(run, length, type(init)(1.2 * init.std), networks, seed)

    monkeypatch.setattr(norm.crowd, "expect", expect)
    true_fraction = norm.crowd.compare_fraction
    monkeypatch.setattr(
        norm.crowd, "compare_fraction", lambda dead, all_, law, bias: true_fraction(dead, all_, law / 4, bias=bias)
    )
    found = verdicts(norm.norm.run(Setting(networks=600, seed=0, quick=True)))
    assert found["their mean ln(frequency x norm x time to margin 1)"] == "FAIL"
    assert found["fraction of modes never learnt, 4^-3 at every norm"] == "FAIL"


def test_balanced_starts_have_the_margins_that_are_asked_for_and_modes_that_do_not_touch(generator):
    pair = Pair((3.0, 0.5), (0.2, 0.8))
    margins = np.exp(generator.normal(-4, 1, (5, 2)))
    first, last = balanced_init(margins, pair.norms, pair.task.labels[:, None], generator).weights
    hidden = np.maximum(first @ pair.task.inputs.T, 0)
    assert ((hidden > 0).sum(axis=2) == 1).all()
    outputs = (last @ hidden)[:, 0] * pair.task.labels
    assert outputs == pytest.approx(margins)
    living = np.maximum(first, 0).max(axis=2)
    assert living == pytest.approx(np.abs(last[:, 0]))


def test_the_error_of_an_arrival_covers_a_margin_that_is_off_by_the_tolerance():
    mode = theory.Mode(norm=1.0, frequency=1.0, start_margin=0.01)
    largest = 4.0
    early = mode.time(1.0) - mode.time(1.0 - 1e-7 * largest)
    allowed = arrival_error(np.zeros(1), np.array([largest]), float(mode.velocity(1.0)))
    assert early <= allowed[0] <= 2.5 * early


def test_exponent_weights_find_the_exponent_of_a_power():
    conditions = np.geomspace(0.1, 10, 9)
    assert np.log(7 * conditions**-1.3) @ exponent_weights(conditions) == pytest.approx(-1.3)
