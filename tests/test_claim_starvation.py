"""The claim `starvation`: it passes, it fails where the theory is wrong, and its neurons do stay apart."""

import numpy as np
import pytest
from scipy.special import expit

import shoal
from shoal import theory
from shoal.claims.claim import Setting
from shoal.claims.learning_dynamics.starvation import connected
from shoal.claims.learning_dynamics.starvation import starvation as starvation
from shoal.claims.shared import separate
from shoal.claims.shared.separate import Signed, separate_init
from shoal.claims.trial import Trial
from support import rows_of

SMALL = Setting(networks=3, quick=True, seed=3)


def verdicts(rows):
    return {row.statement: row.comparison.verdict for row in rows}


@pytest.fixture(scope="module")
def outcome():
    return starvation.starvation.run(SMALL)


def test_every_exact_and_statistical_row_passes(outcome):
    # Three networks are too few for a majority: see the test of ordinary initialisations.
    failed = [f"{row.statement}: {row.comparison}" for row in outcome.rows if not row.passed]
    assert not [line for line in failed if "ordinary initialisation" not in line]


def test_the_figure_labels_its_axes_and_has_legends(outcome):
    for axes in outcome.figure.axes:
        assert axes.get_xlabel()
        assert axes.get_ylabel()
        assert axes.get_title()
        assert axes.get_legend() is not None


def test_deeper_networks_from_an_ordinary_start_are_less_starved(monkeypatch):
    monkeypatch.setattr(connected, "FRACTIONS", (0.1,))
    trial = Trial(Setting(networks=300, seed=3))
    connected.measure_ordinary(trial)
    assert set(verdicts(trial.rows).values()) == {"PASS"}


def test_rows_fail_when_the_theory_takes_a_norm_for_three_percent_longer(monkeypatch):
    true = theory.Features

    def features(**given):
        return true(**(given | {"norms": (given["norms"][0], 1.03 * given["norms"][1])}))

    monkeypatch.setattr(theory, "Features", features)
    few = Setting(networks=3, quick=True)
    assert set(verdicts(rows_of(starvation._fractions, few)).values()) == {"FAIL"}
    monkeypatch.setattr(connected, "FRACTIONS", (0.3, 0.7))
    aligned = rows_of(connected.compare_aligned, few)
    assert set(verdicts(aligned).values()) == {"FAIL"}
    found = verdicts(rows_of(starvation._hinge, few))
    assert found["margins under the hinge"] == "FAIL"


def test_the_power_law_fails_when_a_norm_is_off_by_three_percent(monkeypatch):
    true = separate.train_margins

    def longer(run, network, task, *given, **named):
        stretched = shoal.Task(task.inputs * [1.0, 1.03], task.labels, task.sample_weight)
        return true(run, network, stretched, *given, **named)

    monkeypatch.setattr(separate, "train_margins", longer)
    rows = rows_of(starvation._together, Setting(networks=4, quick=True))
    assert set(verdicts(rows).values()) == {"FAIL"}


def test_the_bound_fails_when_the_feature_is_three_percent_more_frequent(monkeypatch):
    true = starvation.rare
    monkeypatch.setattr(starvation, "FRACTIONS", (0.5,))
    monkeypatch.setattr(starvation, "rare", lambda fraction: true(1.03 * fraction))
    rows = rows_of(starvation._crowd, Setting(networks=20, quick=True))
    assert verdicts(rows)["u2/u20 <= (u1/u10)^fraction, 20 random networks, all times"] == "FAIL"


def test_the_mean_confidence_fails_when_the_predicted_starts_are_ten_times_as_strong(monkeypatch):
    true = starvation.random_strengths
    monkeypatch.setattr(starvation, "FRACTIONS", (0.5,))
    monkeypatch.setattr(
        starvation, "random_strengths", lambda count, seed: (1 + 9 * (seed >= 2**33)) * true(count, seed)
    )
    rows = rows_of(starvation._crowd, Setting(networks=200, quick=True))
    assert verdicts(rows)["mean confidence with feature 2 alone when fit, 200 random networks"] == "FAIL"


def test_the_frozen_strength_fails_when_it_is_off_by_one_percent(monkeypatch):
    true = starvation.frozen_strength
    monkeypatch.setattr(starvation, "frozen_strength", lambda start, fraction: 1.01 * true(start, fraction))
    found = verdicts(rows_of(starvation._hinge, Setting(networks=3, quick=True)))
    assert found["hinge: strength at which feature 2 stops, u0 (u1/u0)^fraction at the threshold"] == "FAIL"
    assert found["margins under the hinge"] == "PASS"


def test_cross_entropy_still_teaches_feature_2_where_the_hinge_has_stopped(outcome):
    late = np.searchsorted(outcome.data["time"], 50.0)
    soft = outcome.data["strength"].sel(fraction=0.5, feature=1).values
    hard = outcome.data["hinge_strength"].sel(feature=1).values
    assert soft[-1] > soft[late] * 1.02
    assert hard[-1] == hard[late]


def final_weights(task, init, network):
    record = shoal.Record(times=[0.0, 60.0], measure=("weights",))
    data = shoal.train(network, task, init, method=shoal.GradientFlow(t_end=60.0), record=record)
    return data["weights_1"].values


@pytest.mark.parametrize("fraction", [0.1, 0.5, 0.9])
def test_neurons_of_one_feature_never_turn_towards_the_other(fraction):
    signed = starvation.rare(fraction)
    strengths = starvation.random_strengths(20, 5)
    network, init = separate_init(signed.norms, strengths, 5)
    weights = final_weights(signed.task, init, network)
    half = network.widths[1] // 2
    assert (weights[:, :half, 1] == 0).all()
    assert (weights[:, half:, 0] == 0).all()
    assert (weights[:, :half, 0] != 0).all()


def test_they_do_where_features_have_one_sign_only():
    signed = starvation.rare(0.5)
    network, init = separate_init(signed.norms, starvation.random_strengths(4, 5), 5)
    weights = final_weights(shoal.tasks.features((1.0, 1.0), [(0, 1), (0,)]), init, network)
    assert (np.abs(weights[:, : separate.NEURONS, 1]) > 0.1).all()


@pytest.mark.parametrize("layers", connected.DEPTHS)
def test_an_aligned_start_has_the_strengths_asked_for_and_is_balanced(layers):
    strengths = np.array([[0.02, 0.3], [0.5, 0.01]])
    _, init = connected.aligned_init(layers, strengths, 0)
    product = init.weights[0]
    for weights in init.weights[1:]:
        product = weights @ product
    assert product[:, 0] == pytest.approx(strengths)
    for below, above in zip(init.weights[:-1], init.weights[1:], strict=True):
        assert below @ below.swapaxes(1, 2) == pytest.approx(above.swapaxes(1, 2) @ above)


def test_signed_samples_are_all_combinations_and_a_probe_a_feature():
    signed = Signed((2.0, 1.0), ((0, 1), (1,)), (0.6, 0.4))
    expected = [[2, 1], [2, -1], [-2, 1], [-2, -1], [0, 1], [0, -1], [2, 0], [0, 1]]
    assert signed.task.inputs.tolist() == expected
    assert signed.task.sample_weight == pytest.approx([0.15] * 4 + [0.2] * 2 + [0, 0])


def test_a_start_has_the_strengths_asked_for():
    signed = Signed((2.0, 1.0), ((0, 1), (1,)), (0.6, 0.4))
    strengths = np.array([[0.02, 0.3], [0.5, 0.01]])
    network, init = separate_init(signed.norms, strengths, 0)
    data = shoal.train(network, signed.task, init, method=shoal.GradientDescent(0.1, 0), record=shoal.Record(steps=[0]))
    assert data["margin"].values[:, 0] == pytest.approx(strengths @ signed.members.T)


def test_the_confidence_is_read_where_the_last_training_sample_is_fit():
    level = separate.LEVEL
    margins = np.array([[[0, 0, 0.1], [level, 0, 0.2], [level, level, 0.3]], [[9, 9, 1.0], [9, 9, 2.0], [9, 9, 3.0]]])
    trained = np.array([True, True, False])
    found = separate.confidence_when_fit(margins, trained, 2)
    assert found == pytest.approx([expit(0.3), expit(1.0)])
    assert np.isnan(separate.confidence_when_fit(0.1 * margins, trained, 2)).all()


@pytest.mark.parametrize("layers", [1, 2, 3, 4])
def test_connected_starts_have_the_same_logits_at_every_depth(layers):
    network = shoal.Network((2, *[64] * (layers - 1), 1))
    data = shoal.train(
        network, shoal.Task([[1.0, 1.0]], [1]), shoal.Gaussian(gain=connected.gain_of(layers)),
        method=shoal.GradientDescent(0.1, 0), record=shoal.Record(steps=[0], measure=("margin",)), networks=4000,
    )  # fmt: skip
    square = data["margin"].values.ravel() ** 2
    assert abs(square.mean() - separate.START**2) < 4 * square.std() / np.sqrt(len(square))
