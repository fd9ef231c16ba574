"""The claim `frequency`: it passes, and fails under a theory that is three percent off or another formula."""

import numpy as np
import pytest
import xarray as xr

from shoal import theory
from shoal.claims.claim import Setting
from shoal.claims.learning_dynamics import frequency
from shoal.claims.shared import sweep
from shoal.claims.shared.flows import exponent_weights
from support import can_be_read_back, is_labelled, passes


def verdicts(outcome):
    return {row.statement: row.comparison.verdict for row in outcome.rows}


@pytest.fixture(scope="module")
def outcome():
    return frequency.frequency.run(Setting(networks=400, seed=3, quick=True))


def test_it_passes(outcome):
    passes(outcome)


def test_what_is_saved_can_be_read_back_and_the_figure_is_labelled(outcome, tmp_path):
    can_be_read_back(outcome, tmp_path)
    is_labelled(outcome.figure)


@pytest.mark.slow
def test_it_repeats_itself_bit_for_bit():
    first, second = (frequency.frequency.run(Setting(networks=40, quick=True, threads=n)).data for n in (1, 2))
    xr.testing.assert_identical(first, second)


def test_the_frequencies_span_two_decades_and_both_modes_of_a_dataset_count():
    assert frequency.FREQUENCIES[-1] / frequency.FREQUENCIES[0] == pytest.approx(100)
    for pair in frequency.SWEEP.pairs:
        assert pair.task.sample_weight == pytest.approx(pair.frequencies)
        assert sum(pair.frequencies) == pytest.approx(1)


def test_it_fails_when_frequencies_are_off_by_three_percent(monkeypatch):
    true_mode, true_margins = theory.Mode, theory.separated_margins

    def mode(**given):
        return true_mode(**(given | {"frequency": 1.03 * given["frequency"]}))

    monkeypatch.setattr(theory, "Mode", mode)
    monkeypatch.setattr(
        theory, "separated_margins", lambda weights, task, loss, times: true_margins(weights, task, loss, 1.03 * times)
    )
    found = verdicts(frequency.frequency.run(Setting(networks=16, quick=True)))
    for statement in (
        "margin against frequency x norm x time: one curve",
        "the same under the hinge loss",
        "frequency x norm x time to margin 1, both modes",
        "margin of each of some random networks, deaths included",
    ):
        assert found[statement] == "FAIL", statement


def test_its_exponents_fail_when_the_law_is_another(monkeypatch):
    """Time as frequency^-1.03 is told from frequency^-1, for single networks and for random ones."""
    conditions = frequency.FREQUENCIES**1.03
    monkeypatch.setattr(sweep, "exponent_weights", lambda _: exponent_weights(conditions))
    monkeypatch.setattr(frequency.crowd, "exponent_weights", lambda _: exponent_weights(conditions))
    found = verdicts(frequency.frequency.run(Setting(networks=600, quick=True)))
    assert found["exponent of time in frequency: -1"] == "FAIL"
    assert found["600 random networks a frequency: exponent of time -1"] == "FAIL"


def test_its_random_rows_fail_under_another_start(monkeypatch):
    """Random initialisations a fifth larger than those that are trained, and one neuron more a mode."""
    true_expect, true_fraction = frequency.crowd.expect, frequency.crowd.compare_fraction

    def expect(run, length, init, networks, seed):
        return true_expect(run, length, type(init)(1.2 * init.std), networks, seed)

    monkeypatch.setattr(frequency.crowd, "expect", expect)
    monkeypatch.setattr(
        frequency.crowd,
        "compare_fraction",
        lambda dead, trials, law, bias: true_fraction(dead, trials, law / 4, bias=bias),
    )
    found = verdicts(frequency.frequency.run(Setting(networks=600, quick=True)))
    assert found["their mean ln(frequency x norm x time to margin 1)"] == "FAIL"
    assert found["fraction of modes never learnt, 4^-3 at any frequency"] == "FAIL"


def test_the_other_mode_is_recorded_on_its_own_clock_too(outcome):
    arrivals = outcome.data["clock_of_arrival"].values
    assert arrivals.shape == (9, 2)
    assert np.ptp(arrivals) < 1e-5
