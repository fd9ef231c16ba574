"""The claim `linear`: it passes, and it fails under a theory of other singular values, depths or initial strengths."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from shoal import theory
from shoal.claims.claim import Setting
from shoal.claims.neighbours import linear
from shoal.claims.shared import linear as deep
from support import can_be_read_back, is_labelled, passes, rows_of

FEW = Setting(networks=3, quick=True, seed=3)


def verdicts(rows):
    return {row.statement: row.comparison.verdict for row in rows}


@pytest.fixture(scope="module")
def outcome():
    return linear.linear.run(Setting(networks=8, quick=True, seed=3))


def test_it_passes(outcome):
    passes(outcome)


def test_what_is_saved_can_be_read_back_and_the_figure_is_labelled(outcome, tmp_path):
    can_be_read_back(outcome, tmp_path)
    is_labelled(outcome.figure)


@pytest.mark.parametrize("wrong", ["target", "depth"])
def test_strengths_fail_when_theory_has_another_singular_value_or_depth(monkeypatch, wrong):
    true = theory.linear_mode

    def mode(times, start, target, depth=2):
        return true(times, start, 1.05 * target, depth) if wrong == "target" else true(times, start, target, depth + 1)

    monkeypatch.setattr(theory, "linear_mode", mode)
    found = verdicts(rows_of(linear._modes, FEW)) | verdicts(rows_of(linear._tree, FEW))
    strengths = {row for row in found if "strength of each mode" in row}
    assert len(strengths) == 5
    assert {row for row, verdict in found.items() if verdict == "FAIL"} == strengths


def test_what_mixes_fails_when_weights_are_not_aligned_with_the_data(monkeypatch):
    """Singular vectors of the weights that are turned by a thousandth."""
    true = deep.aligned

    def turned(strengths, layers, left, right, between):
        turn = np.eye(4)
        turn[:2, :2] = [[np.cos(1e-3), -np.sin(1e-3)], [np.sin(1e-3), np.cos(1e-3)]]
        return true(strengths, layers, left, right @ turn, between)

    monkeypatch.setattr(deep, "aligned", turned)
    found = verdicts(rows_of(linear._modes, FEW)) | verdicts(rows_of(linear._unmixed, FEW))
    mixed = {row: verdict for row, verdict in found.items() if "strength" not in row}
    assert len(mixed) == 4
    assert set(mixed.values()) == {"FAIL"}


def test_the_order_fails_when_theory_starts_elsewhere(monkeypatch):
    """Initial strengths that are wrong by 5% leave a gap that does not shrink at all."""
    true = linear.predicted_strengths
    assert set(verdicts(rows_of(linear._random, FEW)).values()) == {"PASS"}
    monkeypatch.setattr(linear, "predicted_strengths", lambda times, initial, *rest: true(times, 1.05 * initial, *rest))
    assert set(verdicts(rows_of(linear._random, FEW)).values()) == {"FAIL"}


@pytest.mark.parametrize("ratio", [0.4, 0.6])
def test_small_random_weights_come_to_the_aligned_theory_in_the_stated_order(ratio, generator):
    """By SciPy's integrator: two layers, two modes, the gap of the stronger one at two sizes, over three networks."""
    goals, sizes = np.diag([2.0, 2.0 * ratio]), (1e-4, 1e-5)
    grown, gaps = linear.Grown.drawn(3, generator), np.empty((2, 3))
    shapes = grown.first[0].shape, grown.last[0].shape

    def slope(_, weights):
        first, last = (part.reshape(s) for part, s in zip(np.split(weights, 2), shapes, strict=True))
        residual = goals - last @ first
        return np.concatenate([(last.T @ residual).ravel(), (residual @ first.T).ravel()])

    for at, size in enumerate(sizes):
        times = (np.log(1 / size) + np.linspace(-2, 6, 41)) / 2
        for k in range(3):
            start = size * np.concatenate([grown.first[k].ravel(), grown.last[k].ravel()])
            solved = solve_ivp(slope, (0, times[-1]), start, "DOP853", times, rtol=1e-12, atol=1e-20).y.T
            found = [(part[12:].reshape(2, 6) @ part[:12].reshape(6, 2))[0, 0] for part in solved]
            gaps[at, k] = np.abs(found - theory.linear_mode(times, size**2, 2.0)).max()
    total = np.sqrt((gaps**2).mean(axis=1))
    order = np.log(total[0] / total[1]) / np.log(sizes[0] / sizes[1])
    assert order == pytest.approx(2 * (1 - ratio), rel=0.03)


def test_the_modes_of_a_tree_are_its_levels():
    features, levels = linear.tree(3)
    assert features.shape == (15, 8)
    assert (features.sum(axis=0) == 4).all()
    assert levels.tolist() == [0, 1, 2, 2, 3, 3, 3, 3]
    singular = np.linalg.svd(features / np.sqrt(8), compute_uv=False)
    np.testing.assert_allclose(singular, linear.tree_strengths(3)[levels], rtol=1e-12)


def test_inputs_are_whitened_and_targets_have_the_matrix_as_their_correlation(generator):
    matrix = generator.normal(size=(3, 5))
    task = deep.whitened(matrix)
    np.testing.assert_allclose(task.inputs.T @ task.inputs / 5, np.eye(5), atol=1e-14)
    np.testing.assert_allclose(task.targets.T @ task.inputs / 5, matrix, atol=1e-14)


@pytest.mark.parametrize("frames", [deep.rotations, deep.signed_permutations])
def test_aligned_weights_are_balanced_and_have_the_modes_that_are_asked_for(frames, generator):
    left, right = frames(generator, 2, 4, 4)
    strengths = generator.uniform(0.1, 1, (3, 4))
    weights = deep.aligned(strengths, 3, left, right, np.array([frames(generator, 3, 6, 4) for _ in range(2)])).weights
    product = weights[2] @ weights[1] @ weights[0]
    modes = left.T @ product @ right
    np.testing.assert_allclose(deep.diagonal(modes), strengths, rtol=1e-12)
    np.testing.assert_allclose(deep.off_diagonal(modes), 0, atol=1e-14)
    for before, after in pairwise(weights):
        np.testing.assert_allclose(before @ before.swapaxes(1, 2), after.swapaxes(1, 2) @ after, atol=1e-13)
