"""The claim `linear-descent`: it passes, and it fails under a map, a cycle or a limit that is a little wrong."""

import mpmath
import numpy as np
import pytest

from shoal import theory
from shoal.claims.claim import Setting
from shoal.claims.neighbours import linear_descent as claim
from shoal.claims.shared import linear as deep
from support import can_be_read_back, is_labelled, passes, rows_of

FEW = Setting(networks=10, quick=True, seed=3)


def verdicts(rows):
    return {row.statement: row.comparison.verdict for row in rows}


@pytest.fixture(scope="module")
def outcome():
    return claim.linear_descent.run(Setting(networks=60, quick=True, seed=3))


def test_it_passes(outcome):
    passes(outcome)


def test_what_is_saved_can_be_read_back_and_the_figure_is_labelled(outcome, tmp_path):
    can_be_read_back(outcome, tmp_path)
    is_labelled(outcome.figure)


def test_stable_orbits_are_compared_to_the_end_and_chaotic_ones_for_a_while(outcome):
    data = outcome.data
    assert data["stable_kept"].all()
    kept = data["unstable_kept"].values[:, :, 0].sum(axis=1)
    products = data["unstable_rate"].values * claim.STRENGTHS[0]
    assert (kept[products < 1.2] == claim.STEPS + 1).all()
    assert (kept[products > 1.9] < 60).all()
    assert (kept[products > 1.9] > 2).all()
    assert (data["unstable_kept"].values[products < 2][:, :, 1:].mean() > 0.9).all()


def test_steps_fail_when_theory_has_a_rate_that_is_wrong_by_a_billionth(monkeypatch):
    true = theory.descend_mode
    monkeypatch.setattr(theory, "descend_mode", lambda u, s, rate, steps: true(u, s, (1 + 1e-9) * rate, steps))
    found = verdicts(rows_of(claim._steps, FEW))
    assert {row for row, verdict in found.items() if verdict == "FAIL"} == set(claim.WORDS.values())


def test_what_mixes_fails_when_singular_vectors_are_not_axes(monkeypatch):
    monkeypatch.setattr(deep, "signed_permutations", deep.rotations)
    found = verdicts(rows_of(claim._steps, FEW))
    assert found["stable rates: what one mode adds to another"] == "FAIL"
    assert found["unstable rates: what one mode adds to another"] == "FAIL"


def test_the_cycle_fails_when_it_is_that_of_a_rate_wrong_by_a_billionth(monkeypatch):
    true = theory.descend_cycle
    assert set(verdicts(rows_of(claim._cycle, FEW)).values()) == {"PASS"}
    monkeypatch.setattr(theory, "descend_cycle", lambda s, rate: true(s, (1 + 1e-9) * rate))
    assert set(verdicts(rows_of(claim._cycle, FEW)).values()) == {"FAIL"}


def test_the_limit_fails_when_networks_are_taken_for_others(monkeypatch):
    """Learning rates that are ten percent smaller than theory thinks."""
    setting = Setting(networks=200, quick=True, seed=3)
    assert set(verdicts(rows_of(claim._limit, setting)).values()) == {"PASS"}
    true = claim.train
    monkeypatch.setattr(claim, "train", lambda run, u, rates, *rest, **given: true(run, u, 0.9 * rates, *rest, **given))
    assert set(verdicts(rows_of(claim._limit, setting)).values()) == {"FAIL"}


@pytest.mark.parametrize("rate", [0.4, 1.15, 1.7])
def test_the_bound_on_rounding_holds_for_orbits_in_doubles(rate):
    """Of the two layers, one by one, beside the same in fifty digits."""
    steps = 40
    with mpmath.workdps(50):
        exact, u = [], mpmath.mpf(0.03)
        for _ in range(steps + 1):
            exact.append(u)
            u = u * (1 + mpmath.mpf(rate) * (1 - u)) ** 2
    bound = claim.carried(np.array([[float(each)] for each in exact]), 1.0, np.array([rate]))[:, 0]
    first = last = np.sqrt(0.03)
    for step in range(steps + 1):
        if bound[step] > claim.LOST:
            break
        assert abs(mpmath.mpf(first * last) - exact[step]) <= bound[step]
        gap = 1.0 - first * last
        first, last = first + rate * (last * gap), last + rate * (first * gap)
    assert step > 20
