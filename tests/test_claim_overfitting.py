"""The claim `overfitting`: it passes; the early formula fails without its samples, its directions for fresh data."""

from dataclasses import replace

import numpy as np
import pytest

from shoal.claims.claim import Setting
from shoal.claims.hinge_mean_field import overfitting
from shoal.claims.hinge_mean_field.overfitting import EARLY, INPUTS, TIMES, early_error
from shoal.claims.shared.teacher import Condition
from shoal.claims.trial import Trial
from support import can_be_read_back, is_labelled, passes, rows_of

SETTING = Setting(quick=True, seed=1, threads=1)


@pytest.fixture(scope="module")
def trained():
    return [Condition(count, INPUTS, 24, 2.0, 150, test_samples=1000) for count in (30, 600)]


@pytest.fixture(scope="module")
def late(trained):
    return overfitting.train_late(Trial(SETTING), trained, 20, part=1)


@pytest.fixture(scope="module")
def early():
    return overfitting.measure_early(Trial(SETTING), 64)


def test_the_early_law_passes_with_its_samples_and_fails_without(early):
    assert early.compare(1.0).passed
    assert early.compare(EARLY.theory.error(TIMES) / early_error(EARLY, TIMES)).verdict == "FAIL"


def test_the_early_law_fails_for_half_the_samples(early):
    fewer = replace(EARLY, samples=EARLY.samples // 3, nodes=EARLY.nodes // 3)
    assert early.compare(early_error(fewer, TIMES) / early_error(EARLY, TIMES)).verdict == "FAIL"


def test_the_directions_pass(late):
    failed = [row.statement for row in rows_of(overfitting.compare_late, SETTING, late) if not row.passed]
    assert not failed


def test_the_directions_fail_where_errors_are_shuffled_or_gone(late):
    """Networks that generalise perfectly, and sizes in the other order."""
    perfect = late.assign(test_error=late["train_error"])
    words = {row.statement: row.passed for row in rows_of(overfitting.compare_late, SETTING, perfect)}
    assert not words["datasets: test error above training error in the end, at every N (> 1/2)"]
    turned = late.isel(samples=[1, 0]).assign_coords(samples=late["samples"].values)
    assert [row.passed for row in rows_of(overfitting.compare_late, SETTING, turned)][-2:] == [False, False]


def test_the_law_tends_to_that_of_all_samples():
    many = replace(EARLY, samples=10**9)
    assert early_error(many, TIMES) == pytest.approx(many.theory.error(TIMES), rel=1e-4)
    assert (np.diff([early_error(replace(EARLY, samples=n), 3.2) for n in (10, 100, 1000)]) < 0).all()


def test_the_claim_passes_and_can_be_saved(monkeypatch, tmp_path):
    monkeypatch.setattr(overfitting, "QUICK_SAMPLES", (30, 300))
    monkeypatch.setattr(overfitting, "NODES", 24)
    outcome = overfitting.overfitting.run(Setting(networks=64, quick=True, seed=1, threads=1))
    passes(outcome)
    is_labelled(outcome.figure)
    can_be_read_back(outcome, tmp_path)
