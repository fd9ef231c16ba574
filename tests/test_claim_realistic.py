"""The claim `realistic`: it passes, and its rows fail for another direction, pace or gradient."""

from dataclasses import replace

import numpy as np
import pytest

from shoal.claims.claim import Setting
from shoal.claims.hinge_mean_field.realistic import images, realistic
from shoal.claims.hinge_mean_field.realistic.images import SETS, Images
from shoal.claims.trial import Trial
from support import can_be_read_back, is_labelled, passes

SMALL = Setting(networks=20, quick=True, seed=2, threads=1)


@pytest.fixture(scope="module")
def plain():
    return Images.train(Trial(SMALL), replace(SETS[1], samples=200), 24, 20)


@pytest.fixture(scope="module")
def mirrored():
    return Images.train(Trial(SMALL), replace(SETS[2], samples=150), 24, 20)


@pytest.fixture(scope="module")
def slower(mirrored):
    """A theory whose clock runs three percent too slowly."""
    found = Images(mirrored.name, mirrored.task, mirrored.data)
    found.speed *= 0.97
    return found


def test_it_passes_and_can_be_saved(monkeypatch, tmp_path):
    monkeypatch.setattr(realistic, "FEW", 250)
    monkeypatch.setattr(images, "RATE", 1.0)
    monkeypatch.setattr(images, "STEPS", 80)
    outcome = realistic.realistic.run(SMALL)
    passes(outcome)
    is_labelled(outcome.figure)
    can_be_read_back(outcome, tmp_path)


def test_mirrored_images_keep_every_weight_on_its_curve(mirrored):
    assert realistic.compare_hyperbolas(mirrored, mirrored.speed).passed
    assert mirrored.early.any(axis=1).all()
    assert not mirrored.early[:, -1].any()


def test_plain_images_do_not(plain):
    assert realistic.compare_hyperbolas(plain, plain.speed).verdict == "FAIL"


def test_a_clock_that_is_three_percent_slow_fails(mirrored, slower):
    assert realistic.compare_hyperbolas(mirrored, slower.speed).verdict == "FAIL"


def test_the_first_step_is_the_gradient_and_no_other(plain):
    assert realistic.compare_first_step(plain).passed
    labels = plain.task.labels.copy()
    labels[0] *= -1
    other = Images(plain.name, replace(plain.task, labels=labels), plain.data)
    assert realistic.compare_first_step(other).verdict == "FAIL"


def test_the_pace_at_the_start_is_that_of_the_class_means(mirrored, slower):
    total = mirrored.output + mirrored.along
    slope = (total[:, 0] * (total[:, 1] - total[:, 0])).sum(axis=1) / (total[:, 0] ** 2).sum(axis=1)
    assert slope == pytest.approx(np.full(20, images.RATE * mirrored.speed), rel=1e-10)
    assert realistic.compare_pace(slower).verdict == "FAIL"


def test_networks_that_stay_on_their_curves_have_not_left_them(mirrored):
    """Nodes that are put on hyperbolas count as no departure."""

    angle = np.linspace(0, 2, mirrored.data.sizes["time"])[None, :, None]
    start, first = mirrored.output[:, :1], mirrored.along[:, :1]
    output = start * np.cosh(angle) + first * np.sinh(angle)
    moved = first * (np.cosh(angle) - 1) + start * np.sinh(angle)
    incoming = mirrored.incoming[:, :1] + moved[..., None] * mirrored.direction
    data = mirrored.data.copy()
    data["trajectory_1"] = (data["trajectory_1"].dims, incoming)
    data["trajectory_2"] = (data["trajectory_2"].dims, output[:, :, None])
    kept = Images(mirrored.name, mirrored.task, data)
    assert kept.astray().max() < 1e-6
    assert mirrored.astray()[:, -1].min() > 0.01
