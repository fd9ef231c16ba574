"""The claims: they pass as they are, and fail when the theory they are compared with is wrong by five percent."""

import json
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from shoal import claims, theory
from shoal.claims import trial
from shoal.claims.claim import Row, Setting
from shoal.claims.learning_dynamics import digits, losses, modes
from shoal.claims.shared import runs
from shoal.claims.shared.runs import crossing_times
from shoal.spec.init import Init
from shoal.spec.task import Task
from shoal.verdicts.proportion import compare_majority
from support import passes

NETWORKS = {"sigmoid": 60, "modes": 6, "losses": 4, "digits": 20}


@pytest.fixture(scope="module")
def outcomes():
    return {name: claims.run(name, networks=count, quick=True, seed=3) for name, count in NETWORKS.items()}


def test_the_claims_are_listed_in_the_order_in_which_they_run():
    assert claims.list() == (
        "sigmoid",
        "modes",
        "losses",
        "depth",
        "phase-diagram",
        "failure",
        "norm",
        "frequency",
        "classes",
        "starvation",
        "remedies",
        "images",
        "digits",
        "mean-field",
        "slowing-down",
        "finite-width",
        "lazy-rich",
        "overfitting",
        "mislabelled",
        "realistic",
        "linear",
        "linear-descent",
        "incremental",
        "max-margin",
        "early-alignment",
        "kernel-regime",
        "edge-of-stability",
        "dmft",
    )


@pytest.mark.parametrize("name", NETWORKS)
def test_a_claim_passes(outcomes, name):
    passes(outcomes[name])


@pytest.mark.parametrize("name", NETWORKS)
def test_what_is_saved_can_be_read_back(outcomes, name, tmp_path):
    picture, store, report = outcomes[name].save(tmp_path)
    assert picture.read_bytes().startswith(b"\x89PNG")
    with xr.open_zarr(store, consolidated=False) as saved:
        xr.testing.assert_identical(saved.load(), outcomes[name].data)
    read = json.loads(report.read_text(encoding="utf-8"))
    assert read["verdict"] == "PASS"
    assert [row["statement"] for row in read["rows"]] == [row.statement for row in outcomes[name].rows]


@pytest.mark.parametrize("name", NETWORKS)
def test_a_figure_labels_its_axes_and_has_a_legend(outcomes, name):
    for axes in outcomes[name].figure.axes:
        assert axes.get_xlabel()
        assert axes.get_ylabel()
        assert axes.get_title()
        assert axes.get_legend() is not None


def test_a_claim_repeats_itself_bit_for_bit(outcomes):
    again = claims.run("modes", networks=NETWORKS["modes"], quick=True, seed=3, threads=1)
    xr.testing.assert_identical(again.data, outcomes["modes"].data)


def test_another_seed_draws_other_networks(outcomes):
    other = claims.run("modes", networks=NETWORKS["modes"], quick=True, seed=4)
    assert not np.array_equal(other.data["start_margin"], outcomes["modes"].data["start_margin"])


@pytest.fixture
def longer_norms(monkeypatch):
    """A theory that takes every norm for five percent longer than it is."""
    true_mode, true_margins = theory.Mode, theory.separated_margins

    def mode(**given):
        return true_mode(**(given | {"norm": 1.05 * given["norm"]}))

    def margins(weights, task, loss, times):
        return true_margins(weights, Task(1.05 * task.inputs, task.labels, task.sample_weight), loss, times)

    monkeypatch.setattr(theory, "Mode", mode)
    monkeypatch.setattr(theory, "separated_margins", margins)


def verdicts(outcome):
    return {row.statement: row.comparison.verdict for row in outcome.rows}


def test_modes_fails_when_norms_are_off_by_five_percent(longer_norms):
    found = verdicts(claims.run("modes", networks=6, quick=True))
    assert found["margin of each mode of each network"] == "FAIL"


def test_the_law_of_modes_fails_when_a_frequency_is_off_by_five_percent(monkeypatch):
    monkeypatch.setattr(modes, "SPEEDS", modes.SPEEDS * [1, 1, 1.05, 1])
    found = verdicts(claims.run("modes", networks=6, quick=True))
    assert found["time to margin 1 = pace / (frequency x norm)"] == "FAIL"
    assert found["margin of each mode of each network"] == "PASS"


def test_losses_fails_when_norms_are_off_by_five_percent(longer_norms):
    found = verdicts(claims.run("losses", networks=4, quick=True))
    for label in losses.LOSSES.values():
        assert found[f"margin under {label}"] == "FAIL"
    assert found["hinge: time T at which training ends"] == "FAIL"


def test_the_path_of_losses_fails_when_the_imbalance_is_off_by_one_percent(monkeypatch):
    true_start = losses.living_init

    def init(networks, seed):
        drawn, margins, imbalances = true_start(networks, seed)
        return drawn, margins, 1.01 * imbalances

    monkeypatch.setattr(losses, "living_init", init)
    assert verdicts(claims.run("losses", networks=4, quick=True))["path invariant c^2, all losses"] == "FAIL"


def test_sigmoid_fails_when_norms_are_off_by_five_percent(longer_norms):
    found = verdicts(claims.run("sigmoid", networks=4000, quick=True))
    assert found["margin of each network and mode that is learnt"] == "FAIL"
    assert found["soft error of each network"] == "FAIL"
    assert found["mean fall of the soft error, 4000 random networks"] == "FAIL"


def test_sigmoid_fails_when_the_neuron_deaths_are_those_of_other_initialisations(monkeypatch):
    true_deaths = theory.separated_deaths

    def deaths(weights, task, loss):
        return true_deaths([layer[::-1] for layer in weights], task, loss)

    monkeypatch.setattr(theory, "separated_deaths", deaths)
    found = verdicts(claims.run("sigmoid", networks=2000, quick=True))
    assert found["fraction of modes whose neuron deaths theory gets wrong, 2000 random networks"] == "FAIL"


def test_a_claim_that_fails_is_saved_as_valid_json(outcomes, tmp_path):
    failed = Row("none of them", compare_majority(0, 20))
    assert failed.comparison.ratio == np.inf
    outcome = replace(outcomes["digits"], rows=(*outcomes["digits"].rows, failed))
    _, _, report = outcome.save(tmp_path)

    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    read = json.loads(report.read_text(encoding="utf-8"), parse_constant=refuse)
    assert read["verdict"] == "FAIL"
    row = read["rows"][-1]
    assert (row["measured"], row["ratio"], row["order"], row["verdict"]) == (0.0, None, None, "FAIL")
    assert row["catches"] == {"kind": "factor", "amount": None, "said": "-"}
    assert {one["catches"]["said"] for one in read["rows"][:-1]} == {"≤ 55%"}


@pytest.mark.parametrize("seed", [0, 1, 2**32, 2**64 - 2, 2**64 - 1])
def test_sigmoids_parts_have_seeds_of_their_own_and_share_none_with_the_next_seeds(seed):
    def parts(first):
        return {runs.far_seed(first, part) for part in range(3)}

    assert len(parts(seed)) == 3
    assert all(0 <= part < 2**64 for part in parts(seed))
    for after in range(1, 4):
        assert not parts(seed) & parts((seed + after) % 2**64)


def test_sigmoid_runs_with_the_largest_seed_and_draws_each_part_from_its_own(monkeypatch):
    seeds = []

    def watch(called):
        def watched(*arguments, **given):
            seeds.append(given["seed"])
            return called(*arguments, **given)

        return watched

    monkeypatch.setattr(trial, "train", watch(trial.train))
    monkeypatch.setattr(Init, "draw", watch(Init.draw))
    claims.run("sigmoid", networks=4, quick=True, seed=2**64 - 1)
    # Exact: three rates, their initialisation and gradient flow; the crowd at two rates; the initialisations predicted
    # from; the crowd's own initialisations.
    assert seeds == [2**64 - 1] * 5 + [2**32 - 1] * 2 + [2**33 - 1] + [2**32 - 1]


def test_digits_fails_when_the_start_is_too_large_for_a_plateau(monkeypatch):
    monkeypatch.setattr(digits, "GAINS", {2: 2.0})
    found = verdicts(claims.run("digits", networks=20, quick=True))
    assert found["2 layers: fraction falling fastest after the first record (> 1/2)"] == "FAIL"


def test_the_rival_of_digits_wins_where_the_error_is_a_plateau_and_a_decay():
    times = np.linspace(0, 60, 61)
    errors = 0.5 * np.exp(-np.maximum(times - 12.3, 0) / 5.0)
    _, rival = digits.fit_decay(times, errors)
    _, mode = digits.ModeFit(2).fit(times, errors)
    assert ((rival - errors) ** 2).sum() < ((mode - errors) ** 2).sum()


@pytest.mark.parametrize("depth", [2, 3, 4])
def test_the_fit_of_digits_finds_the_mode_that_made_a_curve(depth):
    times = np.linspace(0, 60, 61)
    init = {2: 0.01, 3: 0.02, 4: 0.05}[depth]
    # At unit norm the speed is the frequency alone.
    made = theory.Mode(norm=1.0, frequency=0.4, start_margin=init, depth=depth).soft_error(times)
    parameters, fitted = digits.ModeFit(depth).fit(times, made)
    assert np.exp(parameters) == pytest.approx([0.4, init], rel=1e-3)
    assert fitted == pytest.approx(made, abs=1e-5)


def test_a_crossing_is_read_off_within_its_stated_error():
    times = np.arange(0, 5, 0.05)
    rates = np.array([[1.0], [1.3], [2.0]])
    series = np.sinh(rates * times) + 1e-3
    true = np.arcsinh(1.0 - 1e-3) / rates[:, 0]
    for above in (0, 3):
        found, error = crossing_times(times, series, 1.0, above=above)
        assert (np.abs(found - true) <= error).all()


def test_a_series_that_never_arrives_is_refused():
    with pytest.raises(ValueError, match=r"series must each reach level=1\.0 .*, got 2 of 2"):
        crossing_times(np.arange(10.0), np.full((2, 10), 0.5), 1.0)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"name": "gravity"}, ValueError, "name must be one of sigmoid, modes, losses, depth"),
        ({"name": "modes", "networks": 1}, ValueError, "networks must be between 2 and .*, got 1"),
        ({"name": "modes", "networks": 2.0}, TypeError, "networks must be an integer, got 2.0"),
        ({"name": "modes", "seed": -1}, ValueError, "seed must be between 0 and .*, got -1"),
        ({"name": "modes", "seed": 2**64}, ValueError, "seed must be between 0 and .*, got 18446744073709551616"),
        ({"name": "modes", "seed": None}, TypeError, "seed must be an integer, got None"),
        ({"name": "modes", "threads": 0}, ValueError, "threads must be between 1 and 4096, got 0"),
    ],
)
def test_bad_settings_are_named_before_any_work(arguments, error, words):
    with pytest.raises(error, match=words):
        claims.run(**arguments)


def test_progress_is_told_what_runs():
    lines = []
    claims.run("modes", networks=4, quick=True, progress=lines.append)
    assert any("training 4 networks" in line for line in lines)


def test_a_count_that_is_asked_for_goes_before_the_claims_own():
    assert trial.Trial(Setting(networks=7)).networks(100, 10) == 7
    assert trial.Trial(Setting(quick=True)).networks(100, 10) == 10
    assert trial.Trial().networks(100, 10) == 100
