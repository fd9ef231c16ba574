"""The claim `mislabelled`: it passes; its formulas fail for other labels, its directions without flips."""

from dataclasses import replace

import numpy as np
import pytest

from shoal.claims.claim import Setting
from shoal.claims.hinge_mean_field import mislabelled
from shoal.claims.hinge_mean_field.mislabelled import LARGEST, SMALL, theory_of
from shoal.claims.trial import Trial
from support import can_be_read_back, is_labelled, rows_of


@pytest.fixture(scope="module")
def few():
    """Two fractions, and small training sets for half of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mislabelled, "QUICK", (0.0, 0.1))
        patch.setattr(mislabelled, "LARGEST", replace(LARGEST, samples=1024, nodes=96))
        patch.setattr(mislabelled, "SMALL", replace(SMALL, steps=500, nodes=32))
        yield patch


@pytest.fixture(scope="module")
def outcome(few):
    return mislabelled.mislabelled.run(Setting(networks=8, quick=True, seed=1, threads=1))


def test_its_laws_and_directions_pass(outcome):
    # Half of the time is too short to fit wrong labels, and eight datasets are too few to tell that there are any.
    failed = [row.statement for row in outcome.rows if not row.comparison.passed]
    assert not [statement for statement in failed if "are fitted in the end" not in statement]
    assert "twice as many are wrong" in {wrong.name for row in outcome.rows for wrong in row.wrong if wrong.caught}


def test_the_figure_is_labelled(outcome):
    is_labelled(outcome.figure)


def test_what_is_saved_can_be_read_back(outcome, tmp_path):
    can_be_read_back(outcome, tmp_path)


@pytest.mark.parametrize("wrong", [0.0, 0.2])
def test_gamma_fails_under_the_law_of_another_fraction(outcome, wrong):
    """What was measured with a tenth flipped, over the formula of another fraction."""
    data = outcome.data.sel(fraction=0.1)
    late = data["time"].values > 5
    error = 4 * data["gamma_error"].values
    assert (np.abs(data["gamma"] - data["gamma_predicted"]) < 2 * error).all()
    other = theory_of(wrong).gamma(data["time"].values)
    assert (np.abs(data["gamma"].values - other) > error)[late].any()


def test_the_ratios_fail_under_the_law_of_a_fraction_near_by(few):
    """The same inputs and initialisations at both fractions: a tenth is told from a fiftieth and from a fifth."""
    limits = mislabelled.measure(Trial(Setting(quick=True, seed=1, threads=1)), (0.0, 0.1), 12)
    for fraction, verdict in ((0.1, "PASS"), (0.02, "FAIL"), (0.2, "FAIL")):
        expected = theory_of(fraction).gamma(mislabelled.TIMES) / theory_of(0.0).gamma(mislabelled.TIMES)
        assert limits["ratio"].compare(expected[None]).verdict == verdict
    assert limits["early"].compare([0.8]).passed
    assert not limits["early"].compare([1.0]).passed


def test_the_directions_fail_where_no_label_is_flipped(few, monkeypatch):
    train = mislabelled.Condition.train

    def honest(self, run, **given):
        return train(replace(self, flipped=0.0), run, **given)

    monkeypatch.setattr(mislabelled.Condition, "train", honest)
    setting = Setting(quick=True, seed=1, threads=1)
    rows = rows_of(mislabelled.compare_fitted, setting, mislabelled.fitted(Trial(setting), (0.0, 0.1), part=1))
    assert [row.passed for row in rows if "are fitted in the end" not in row.statement] == [False] * 5


def test_a_fraction_is_exactly_flipped_on_the_same_inputs():
    setting = Setting(seed=5)
    right, wrong = (mislabelled.condition_of(True, fraction).task(setting.seed) for fraction in (0.0, 0.1))
    assert (right.inputs == wrong.inputs).all()
    assert (right.labels != wrong.labels).sum() == round(0.1 * right.samples)
