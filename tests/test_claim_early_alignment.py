"""The claim `early-alignment`: it passes, and fails where the pull on a neuron is wrong by a few percent."""

import numpy as np
import pytest

from shoal import Task, theory
from shoal.claims.claim import Setting
from shoal.claims.neighbours import early_alignment as claim
from shoal.claims.trial import Trial
from support import can_be_read_back, is_labelled, passes, rows_of

FEW = Setting(networks=6, quick=True, seed=3)
TASK = claim.cone_task(3, 6, 2)


@pytest.fixture(scope="module")
def outcome():
    return claim.early_alignment.run(FEW)


def verdicts(rows):
    return {row.statement: row.comparison.verdict for row in rows}


def test_it_passes(outcome):
    passes(outcome)
    assert all(row.wrong for row in outcome.rows)


def test_what_is_saved_can_be_read_back_and_the_figure_is_labelled(outcome, tmp_path):
    can_be_read_back(outcome, tmp_path)
    is_labelled(outcome.figure)


@pytest.fixture
def longer_inputs(monkeypatch):
    """A theory that takes the first input for three percent longer than it is."""
    true = theory.early_alignment

    def wrong(weights, task, loss, times):
        inputs = task.inputs.copy()
        inputs[0] *= 1.03
        return true(weights, Task(inputs, task.labels, task.sample_weight), loss, times)

    monkeypatch.setattr(theory, "early_alignment", wrong)


def test_rows_of_the_limit_fail_when_an_input_is_three_percent_longer(longer_inputs):
    found = verdicts(rows_of(claim.limit_rows, FEW, TASK, "cone", "cross_entropy", 6))
    assert found["cone: direction of each neuron"] == "FAIL"
    assert found["cone: ln(|w|/eps) of each neuron"] == "FAIL"


def test_the_hinge_fails_when_an_input_is_three_percent_longer(longer_inputs):
    assert set(verdicts(rows_of(claim.hinge_rows, FEW, TASK, "cone", 6)).values()) == {"FAIL"}


def test_the_gap_fails_when_an_input_is_three_percent_longer(longer_inputs):
    assert set(verdicts(rows_of(claim.gap_rows, FEW, TASK, "cone", 6)).values()) == {"FAIL"}


def test_sides_fail_when_the_labels_of_theory_are_exchanged(monkeypatch):
    true = theory.early_alignment

    def wrong(weights, task, loss, times):
        return true(weights, Task(task.inputs, -task.labels, task.sample_weight), loss, times)

    monkeypatch.setattr(theory, "early_alignment", wrong)
    found = verdicts(rows_of(claim.limit_rows, FEW, TASK, "cone", "cross_entropy", 6))
    assert found["cone: fraction of (neuron, sample) pairs that end on another side"] == "FAIL"


@pytest.mark.parametrize(("power", "verdict"), [(2, "PASS"), (1, "FAIL"), (4, "FAIL")])
def test_the_order_of_a_gap_is_measured(power, verdict):
    draw = np.random.default_rng(0)
    limit, gap = draw.normal(size=(2, 5, 7, 3, 2))
    sizes = 0.1 * np.array([1, np.sqrt(0.5), 0.5])
    directions = np.stack([limit + (eps**power) * gap * (1 + eps**2) for eps in sizes])
    order, error = claim.order_of(directions, limit, np.ones((5, 7, 3), bool))
    assert order == pytest.approx(power / 2, abs=1e-3)
    assert claim.compare_arrivals(order, 1.0, error).verdict == verdict


def test_the_hinge_is_compared_until_a_margin_is_1_and_not_only_at_first():
    times = np.linspace(0.0, claim.last_time(TASK, 1.0), claim.RECORDS)
    found = claim.Trained(Trial(FEW), TASK, claim.HINGE, "hinge", times, 4)
    before = (found.margins < 1).all(axis=2)
    assert (before.sum(axis=1) > claim.RECORDS / 4).all()
    gaps = np.abs(found.directions - found.limit.directions).max(axis=(2, 3))
    assert gaps[before].max() < 1e-6
    assert before.all() or gaps[~before].max() > 1e-6


@pytest.mark.parametrize("size", claim.SIZES.values())
@pytest.mark.parametrize("seed", range(3))
def test_tasks_lie_in_a_cone_so_that_no_neuron_slides(size, seed):
    task = claim.cone_task(*size, seed)
    signed = task.inputs * task.labels[:, None]
    assert (signed @ signed.T > 0).all()
    assert set(task.labels) == {-1, 1}


def test_neurons_align_or_die_while_the_output_is_still_small():
    times = np.linspace(0.0, claim.last_time(TASK, 0.5), claim.RECORDS)
    found = claim.Trained(Trial(FEW), TASK, claim.LIMIT, "cross_entropy", times, 6)
    assert np.abs(found.margins).max() < 1e-9
    signs = np.sign(found.initial[1][:, 0])
    pulls = (TASK.labels * TASK.sample_weight)[:, None] * TASK.inputs
    for sign in (1, -1):
        goal = sign * pulls[TASK.labels == sign].sum(axis=0)
        alive = found.pattern[:, -1][signs == sign].any(axis=1)
        cosine = found.directions[:, -1][signs == sign][alive] @ goal / np.linalg.norm(goal)
        assert np.median(cosine) > 0.99
