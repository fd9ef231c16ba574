"""The claim `slowing-down`: it passes, and fails when the speed, the formula or the exponent is another."""

from dataclasses import replace

import numpy as np
import pytest

from shoal.claims.claim import Setting
from shoal.claims.hinge_mean_field import slowing_down
from shoal.claims.hinge_mean_field.slowing_down import driven_by, speed_at, time_at
from shoal.claims.shared.teacher import Condition
from shoal.claims.trial import Trial
from support import can_be_read_back, is_labelled, passes, rows_of

SETTING = Setting(networks=32, seed=1, quick=True)
SMALL = Condition(samples=1500, inputs=10, nodes=64, rate=0.25, steps=88, test_samples=1000)


@pytest.fixture(scope="module")
def outcome():
    return slowing_down.slowing_down.run(SETTING)


@pytest.fixture(scope="module")
def trained():
    return slowing_down.train(Trial(SETTING), SMALL, datasets=16)


def verdicts(pair):
    return [row.comparison.verdict for row in rows_of(slowing_down.compare, SETTING, pair)]


def driven(pair, clock):
    """Return the networks with another clock that follows from their samples."""
    sizes = {name: getattr(pair, name) for name in ("whole", "half")}
    return replace(pair, **{name: size | {"driven": clock(size)} for name, size in sizes.items()})


def test_it_passes(outcome):
    passes(outcome)


def test_what_is_saved_can_be_read_back_and_the_figure_is_labelled(outcome, tmp_path):
    can_be_read_back(outcome, tmp_path)
    is_labelled(outcome.figure)


def test_it_passes_on_fewer_datasets(trained):
    assert verdicts(trained) == ["PASS"] * 3


def test_the_speed_fails_when_it_is_five_percent_higher(trained):
    faster = driven(trained, lambda size: 1.05 * size["driven"])
    assert verdicts(faster) == ["FAIL", "PASS", "PASS"]


def test_the_speed_fails_when_it_is_in_proportion_to_the_fraction(trained):
    # Also 1 at initialisation and 0 at the end: the formula is not just any that falls.
    other = driven(trained, lambda size: driven_by(SMALL, speed_at(SMALL, 1.0) * size["unsatisfied"]))
    assert verdicts(other)[0] == "FAIL"


def test_the_times_fail_for_another_threshold_and_dimension(trained):
    assert verdicts(replace(trained, condition=replace(SMALL, threshold=1.3)))[1] == "FAIL"
    assert verdicts(replace(trained, condition=replace(SMALL, inputs=14)))[1] == "FAIL"


def test_the_exponent_fails_when_it_is_that_of_the_limit(trained, monkeypatch):
    def limit(condition, fraction):
        return 4.0 * (0.95 / np.asarray(fraction)) ** 2

    monkeypatch.setattr(slowing_down, "time_at", limit)
    assert verdicts(trained)[2] == "FAIL"


def test_the_speed_at_a_fraction_is_that_of_the_theory():
    times = np.array([0.5, 5.0, 20.0, 300.0])
    theory = SMALL.theory
    np.testing.assert_allclose(speed_at(SMALL, theory.unsatisfied(times)), theory.velocity(times), rtol=1e-9)


def test_the_time_of_a_fraction_is_when_theory_has_it():
    fractions = np.array([0.9, 0.5, 0.1])
    np.testing.assert_allclose(SMALL.theory.unsatisfied(time_at(SMALL, fractions)), fractions, rtol=1e-10)


def test_late_the_exponent_is_two():
    early, late = time_at(SMALL, np.array([1e-3, 1e-4]))
    assert np.log(late / early) / np.log(10) == pytest.approx(2.0, abs=1e-3)
