"""The claim `classes`: it passes, and fails under a theory that is three percent off or of another K."""

import numpy as np
import pytest
import xarray as xr

from shoal import theory
from shoal.claims.claim import Setting
from shoal.claims.learning_dynamics import classes
from shoal.claims.learning_dynamics.classes import Classes
from support import can_be_read_back, is_labelled, passes

SETTING = Setting(networks=4, seed=3, quick=True)


def verdicts(outcome):
    return {row.statement: row.comparison.verdict for row in outcome.rows}


@pytest.fixture(scope="module")
def outcome():
    return classes.classes.run(SETTING)


def test_it_passes(outcome):
    passes(outcome)


def test_what_is_saved_can_be_read_back_and_the_figure_is_labelled(outcome, tmp_path):
    can_be_read_back(outcome, tmp_path)
    is_labelled(outcome.figure)


def test_it_repeats_itself_bit_for_bit(outcome):
    again = classes.classes.run(Setting(networks=4, seed=3, quick=True, threads=1))
    xr.testing.assert_identical(again.data, outcome.data)


def test_it_fails_when_norms_are_off_by_three_percent(monkeypatch):
    true_mode = theory.Mode
    monkeypatch.setattr(theory, "Mode", lambda **given: true_mode(**(given | {"norm": 1.03 * given["norm"]})))
    found = verdicts(classes.classes.run(SETTING))
    assert set(found.values()) == {"FAIL"}


def test_it_fails_when_theory_forgets_that_classes_share_what_is_wrong(monkeypatch):
    """The residual of two classes in place of that of K, at the same pace."""
    true_mode = theory.Mode

    def mode(*, norm, classes, **given):
        return true_mode(norm=norm * (np.sqrt(classes / (classes - 1)) if classes > 2 else 1), **given)

    monkeypatch.setattr(theory, "Mode", mode)
    found = verdicts(classes.classes.run(SETTING))
    assert set(found.values()) == {"FAIL"}


@pytest.mark.parametrize("number", classes.NUMBERS)
def test_balanced_starts_have_the_margins_that_are_asked_for(number, generator):
    held = Classes.unequal(number)
    margins = np.exp(generator.normal(-3, 1, (4, number)))
    first, last = held.init(margins, generator).weights
    hidden = np.maximum(first @ held.task.inputs.T, 0)
    assert ((hidden > 0).sum(axis=2) == 1).all()
    outputs = last @ hidden
    for k in range(number):
        rest = np.delete(outputs[:, :, k], k, axis=1)
        assert outputs[:, k, k, None] - rest == pytest.approx(np.repeat(margins[:, k, None], number - 1, axis=1))
    assert np.maximum(first, 0).max(axis=2) == pytest.approx(np.linalg.norm(last, axis=1))


def test_the_level_is_the_margin_of_the_soft_error():
    for number in (2, 5, 10):
        mode = Classes.equal(number).mode(0, 0.01)
        assert mode.soft_error(mode.time(Classes.equal(number).level)) == pytest.approx(classes.SOFT_ERROR)
