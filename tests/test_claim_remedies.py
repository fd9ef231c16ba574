"""The claim `remedies`: it passes, and it fails where the theory of penalties is wrong by a few percent."""

import numpy as np
import pytest
from scipy.optimize import minimize

from shoal import theory
from shoal.claims.claim import Setting
from shoal.claims.neighbours import remedies
from shoal.claims.shared.separate import Signed
from support import passes, rows_of

FEW = Setting(networks=3, quick=True, seed=3)


def verdicts(rows):
    return {row.statement: row.comparison.verdict for row in rows}


@pytest.fixture(scope="module")
def outcome():
    return remedies.remedies.run(FEW)


def test_the_claim_passes(outcome):
    passes(outcome)


def test_the_figure_labels_its_axes_and_has_legends(outcome):
    for axes in outcome.figure.axes:
        assert axes.get_xlabel()
        assert axes.get_ylabel()
        assert axes.get_title()
        assert axes.get_legend() is not None


def test_decoupling_feeds_a_feature_that_comes_alone_and_none_that_does_not(outcome):
    told = outcome.data["confidence"].sel(fraction=0.9)
    cued, accompanied = told.sel(task="cued"), told.sel(task="accompanied")
    assert cued.sel(penalty="spectral decoupling") > cued.sel(penalty="no penalty") + 0.2
    assert cued.sel(penalty="weight decay") < cued.sel(penalty="no penalty")
    for name in ("spectral decoupling", "weight decay"):
        assert accompanied.sel(penalty=name) < accompanied.sel(penalty="no penalty")


def test_linear_rows_fail_when_the_rests_are_those_of_penalties_three_percent_larger(monkeypatch):
    margin, dual = theory.decoupled_margin, theory.penalised_linear
    monkeypatch.setattr(theory, "decoupled_margin", lambda zeta: margin(1.03 * np.asarray(zeta)))
    monkeypatch.setattr(theory, "penalised_linear", lambda task, weight_decay: dual(task, 1.03 * weight_decay))
    assert set(verdicts(rows_of(remedies._linear, FEW)).values()) == {"FAIL"}


@pytest.mark.parametrize("name", ["weight_decay", "spectral_decoupling"])
def test_curves_fail_when_theory_has_a_penalty_three_percent_larger(monkeypatch, name):
    true = theory.Features
    monkeypatch.setattr(theory, "Features", lambda **given: true(**(given | {name: 1.03 * given.get(name, 0.0)})))
    found = verdicts(rows_of(remedies._paths, FEW))
    wrong = name.replace("_", " ")
    assert {row for row, verdict in found.items() if verdict == "FAIL"} == {f"two layers, {wrong}: margins"}


def test_rests_fail_when_penalties_are_taken_for_three_percent_larger(monkeypatch):
    true = remedies.rest

    def rest(signed, **penalty):
        return true(signed, **{name: 1.03 * amount for name, amount in penalty.items()})

    monkeypatch.setattr(remedies, "rest", rest)
    assert set(verdicts(rows_of(remedies._rests, FEW)).values()) == {"FAIL"}


def test_the_matched_rows_fail_when_theory_takes_a_norm_for_three_percent_longer(monkeypatch):
    monkeypatch.setattr(remedies, "FRACTIONS", (0.5, 0.9))
    true = theory.Features
    trained = remedies.matching_time

    def features(**given):
        return true(**(given | {"norms": (1.03 * given["norms"][0], given["norms"][1])}))

    def time(signed, init):
        with monkeypatch.context() as inner:
            inner.setattr(theory, "Features", true)
            return trained(signed, init)

    monkeypatch.setattr(theory, "Features", features)
    monkeypatch.setattr(remedies, "matching_time", time)
    assert set(verdicts(rows_of(remedies._matched, FEW)).values()) == {"FAIL"}


@pytest.mark.parametrize(("decay", "decoupling"), [(0.02, 0.0), (0.1, 0.0), (0.0, 0.1), (0.03, 0.3)])
@pytest.mark.parametrize("signed", [remedies.rare(0.4), remedies.cued(0.8), remedies.ALONE])
def test_a_rest_is_as_low_as_a_general_minimiser_gets(signed, decay, decoupling):
    members = np.array([[float(k in held) for k in range(2)] for held in signed.types])

    def value(strengths):
        margins = members @ strengths
        losses = np.log1p(np.exp(-margins)) + decoupling / 2 * margins**2
        return losses @ signed.frequencies + 2 * decay * (strengths / signed.norms).sum()

    found = minimize(value, [1.0, 1.0], bounds=[(0, None)] * 2, method="L-BFGS-B", options={"ftol": 1e-15})
    rest = remedies.rest(signed, decay, decoupling)
    assert (rest >= 0).all()
    assert value(rest) <= found.fun + 1e-14


@pytest.mark.parametrize("signed", [remedies.rare(0.4), remedies.cued(0.8)])
def test_a_rest_is_where_the_flow_of_theory_stands_still(signed):
    penalty = {"weight_decay": 0.05, "spectral_decoupling": 0.02}
    final = signed.theory([0.2, 0.1], **penalty).strengths(1e5)
    assert remedies.rest(signed, **penalty) == pytest.approx(final, abs=1e-9)


@pytest.mark.parametrize("signed", [remedies.rare(0.4), remedies.cued(0.9)])
def test_the_trainings_are_compared_at_one_training_loss(signed):
    start = np.array([0.03, 0.03])
    decay, time = remedies.matching_decay(signed), remedies.matching_time(signed, start)
    stopped = signed.theory(start).strengths(time)
    for strengths in (remedies.rest(signed, decay), stopped):
        assert remedies.loss_at(signed, strengths) == pytest.approx(remedies.TARGET, rel=1e-9)


def test_no_margin_can_suit_all_samples_where_each_feature_also_comes_alone():
    signed = Signed((1.0, 1.0), ((0, 1), (0,), (1,)), (0.4, 0.3, 0.3))
    strengths = remedies.rest(signed, spectral_decoupling=0.1)
    assert strengths[0] == pytest.approx(strengths[1])
    assert 0 < strengths[0] < remedies.MARGIN < strengths.sum()
