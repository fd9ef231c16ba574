"""The claim `images`: it passes, and fails without a cue; its measures say what they are said to."""

import numpy as np
import pytest
from scipy.stats import kendalltau

import shoal
from shoal.claims.claim import Setting
from shoal.claims.learning_dynamics import images
from shoal.claims.learning_dynamics.images import DECOUPLED, PLAIN, Split
from shoal.claims.shared.runs import rank_trend
from shoal.spec.task import Task
from support import passes

FEW = Setting(networks=2, quick=True, seed=3)


@pytest.fixture
def short(monkeypatch):
    """Two conditions and three fractions, trained for half the time."""
    monkeypatch.setattr(images, "CONDITIONS", (PLAIN, DECOUPLED))
    monkeypatch.setattr(images, "FRACTIONS", (0.0, 0.9, 1.0))
    monkeypatch.setattr(images, "STEPS", 300)


def test_the_claim_passes(short):
    outcome = images.images.run(FEW)
    passes(outcome)
    for axes in outcome.figure.axes:
        assert axes.get_xlabel()
        assert axes.get_ylabel()
        assert axes.get_title()
        assert axes.get_legend() is not None


def test_nothing_is_starved_where_there_is_no_cue(short, monkeypatch):
    true = Split.task
    monkeypatch.setattr(Split, "task", lambda self, fraction, brightness: true(self, fraction, 0.0))
    rows = images.images.run(FEW).rows
    assert [row.comparison.verdict for row in rows[:-1]] == ["FAIL"] * 4


def test_a_split_is_of_all_images_and_another_one_for_each_number_and_seed():
    splits = [Split(seed, number) for seed, number in ((0, 0), (0, 1), (1, 0), (0, 0))]
    sums = [np.sort(split.images.sum(axis=1)) for split in splits]
    assert all((total == sums[0]).all() for total in sums)
    assert (splits[0].images == splits[3].images).all()
    assert (splits[0].images != splits[1].images).any()
    assert (splits[0].images != splits[2].images).any()


@pytest.mark.parametrize("fraction", [0.0, 0.5, 0.9, 1.0])
def test_the_cue_lies_on_a_fraction_of_the_training_images_of_one_class(fraction):
    split = Split(0, 0)
    task = split.task(fraction, 0.5)
    added = task.inputs - split.images[: images.TRAINED]
    cued = (added == 0.5).all(axis=1)
    assert (cued | (added == 0).all(axis=1)).all()
    assert (task.labels[cued] == 1).all()
    assert cued.sum() == round(fraction * (task.labels == 1).sum())


def test_more_cues_are_added_to_the_same_images():
    split = Split(0, 0)
    fewer, more = (split.task(fraction, 0.5).inputs.sum(axis=1) for fraction in (0.5, 0.75))
    assert (more >= fewer).all()


def test_held_out_margins_are_those_that_training_measures(monkeypatch):
    split = Split(0, 0)
    number = len(split.labels)
    weights = np.r_[np.ones(images.TRAINED), np.zeros(number - images.TRAINED)]
    monkeypatch.setattr(images, "STEPS", 50)
    record = shoal.Record(steps=(50,), measure=("margin", "weights"))
    data = shoal.train(
        shoal.Network((64, 8, 1)), Task(split.images, split.labels, weights), shoal.Gaussian(gain=0.3),
        method=shoal.GradientDescent(0.1, 50), record=record, networks=3,
    )  # fmt: skip
    assert split.margins(data) == pytest.approx(data["margin"].values[:, -1, images.TRAINED :], abs=1e-12)


def test_the_separation_is_counted_in_standard_deviations_whatever_the_shift_and_scale():
    draw = np.random.default_rng(0)
    labels = np.repeat([1, -1], 50_000)
    logits = draw.normal(size=(1, 100_000)) + 1.5 * labels
    # Two standard errors of a difference of means of 50,000 each are 0.013.
    assert images.separation(logits * labels, labels) == pytest.approx([3.0], abs=0.03)
    moved = images.separation((7 * logits - 40) * labels, labels)
    assert moved == pytest.approx(images.separation(logits * labels, labels))


def test_a_network_that_tells_nothing_has_no_separation():
    labels = np.array([1, 1, -1, -1])
    assert np.isnan(images.separation(np.zeros((1, 4)), labels)).all()


def test_the_trend_is_kendalls_tau():
    values = np.random.default_rng(1).normal(size=(5, 30))
    expected = [kendalltau(np.arange(5), column).statistic for column in values.T]
    assert rank_trend(values) == pytest.approx(expected)
    assert rank_trend(np.ones((5, 1))) == 0
