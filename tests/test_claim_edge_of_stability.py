"""The claim `edge-of-stability`: it passes, and fails where edge, sharpness or steps of theory are a little wrong."""

import numpy as np
import pytest

from reference import Parameters, Problem, gradient
from shoal import theory
from shoal.claims.claim import Setting
from shoal.claims.neighbours import edge_of_stability as claim
from support import can_be_read_back, is_labelled, passes, rows_of

FEW = Setting(networks=48, quick=True, seed=3)


@pytest.fixture(scope="module")
def outcome():
    return claim.edge_of_stability.run(FEW)


def verdicts(rows):
    return {row.statement: row.comparison.verdict for row in rows}


def failed(rows):
    return {statement for statement, verdict in verdicts(rows).items() if verdict == "FAIL"}


def test_it_passes(outcome):
    passes(outcome)
    assert all(row.wrong for row in outcome.rows)


def test_what_is_saved_can_be_read_back_and_the_figure_is_labelled(outcome, tmp_path):
    can_be_read_back(outcome, tmp_path)
    is_labelled(outcome.figure)


def test_every_step_fails_when_theory_has_another_sharpness(monkeypatch):
    true = theory.descend_quadratic
    monkeypatch.setattr(theory, "descend_quadratic", lambda x, s, *rest, **kind: true(x, (1 + 1e-9) * s, *rest, **kind))
    assert len(failed(rows_of(claim._quadratic, FEW))) == len(claim.KINDS)


def test_minima_fail_when_theory_has_another_edge(monkeypatch):
    """Networks that leave are told by the edge; the sharpness of minima is another row."""
    setting = Setting(networks=200, quick=True, seed=3)
    assert not failed(rows_of(claim._minima, setting))
    true = claim.Method.edge
    monkeypatch.setattr(claim.Method, "edge", lambda method: 1.1 * true(method))
    assert len(failed(rows_of(claim._minima, setting))) == len(claim.KINDS)


def test_minima_fail_when_their_sharpness_is_slightly_larger(monkeypatch):
    true = claim.sharpness_of
    monkeypatch.setattr(claim, "sharpness_of", lambda *layers: (1 + 1e-7) * true(*layers))
    (one,) = failed(rows_of(claim._minima, FEW))
    assert one.startswith("minima of linear networks")


def test_networks_fail_when_the_edge_is_five_percent_further(monkeypatch):
    true = theory.stable_sharpness
    monkeypatch.setattr(theory, "stable_sharpness", lambda *given, **kind: 1.05 * true(*given, **kind))
    found = failed(rows_of(claim._networks, FEW))
    assert {f"{name}: median over networks of late sharpness / edge" for name in claim.METHODS} <= found


def test_minima_have_the_sharpness_of_theory():
    """By differences of the oracle's gradient, which is a polynomial of degree three."""
    task, first, last = claim.minima(6, np.random.default_rng(3))
    setup = Problem("linear", 0.0, "squared", 1.0, task.inputs, None, task.sample_weight, targets=task.targets[:, None])

    def slope(theta):
        split = claim.HIDDEN * claim.INPUTS
        layers = [theta[:split].reshape(claim.HIDDEN, claim.INPUTS), theta[split:].reshape(1, claim.HIDDEN)]
        return np.concatenate([layer.ravel() for layer in gradient(setup, Parameters(layers, [])).weights])

    for one, other, right in zip(first, last, claim.sharpness_of(first, last), strict=True):
        theta = np.concatenate([one.ravel(), other.ravel()])
        np.testing.assert_allclose(slope(theta), 0, atol=1e-13)
        steps = 1e-4 * np.eye(len(theta))
        hessian = np.array([(slope(theta + step) - slope(theta - step)) / 2e-4 for step in steps])
        assert np.linalg.eigvalsh(hessian)[-1] == pytest.approx(right, rel=1e-6)


@pytest.mark.parametrize("count", [24, 1000])
def test_the_error_of_a_median_is_that_of_many_samples(count):
    """Of uniform numbers 1 / (2 sqrt(n))."""
    draws = np.random.default_rng(0).uniform(size=(2000, count))
    found = np.array([claim.median_with_error(draw) for draw in draws])
    assert found[:, 0].std() == pytest.approx(1 / (2 * np.sqrt(count + 2)), rel=0.1)
    assert found[:, 1].mean() == pytest.approx(found[:, 0].std(), rel=0.15)
