"""The claim `phase-diagram`: it passes, and fails under another line, other norms and one wrong cell."""

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from shoal import theory
from shoal.claims import trial
from shoal.claims.claim import Setting
from shoal.claims.learning_dynamics.phase_diagram import phase_diagram as phase_diagram
from shoal.claims.learning_dynamics.phase_diagram import plane as phase_plane
from shoal.claims.learning_dynamics.phase_diagram.plane import HEIGHT, NORM, cells, decided_by
from shoal.claims.trial import Trial
from shoal.spec.task import Task
from support import can_be_read_back, is_labelled, passes, rows_of

SETTING = Setting(networks=3600, seed=3, quick=True)


def verdicts(rows):
    return [row.comparison.verdict for row in rows]


@pytest.fixture(scope="module")
def outcome():
    return phase_diagram.phase_diagram.run(SETTING)


@pytest.fixture(scope="module")
def grid():
    return phase_plane.train_plane(Trial(SETTING), 60)


@pytest.fixture(scope="module")
def near():
    return phase_diagram._train_near(Trial(SETTING))


@pytest.fixture
def longer_norms(monkeypatch):
    """A theory of separated networks that takes the norm for three percent longer than it is."""
    margins, deaths = theory.separated_margins, theory.separated_deaths

    def longer(task):
        return Task(1.03 * task.inputs, task.labels, task.sample_weight)

    monkeypatch.setattr(theory, "separated_margins", lambda w, task, *rest: margins(w, longer(task), *rest))
    monkeypatch.setattr(theory, "separated_deaths", lambda w, task, *rest: deaths(w, longer(task), *rest))


def test_it_passes(outcome):
    passes(outcome)


def test_what_is_saved_can_be_read_back_and_the_figure_is_labelled(outcome, tmp_path):
    can_be_read_back(outcome, tmp_path)
    is_labelled(outcome.figure)


def test_it_repeats_itself_bit_for_bit(outcome):
    again = phase_diagram.phase_diagram.run(replace(SETTING, threads=1))
    xr.testing.assert_identical(again.data, outcome.data)
    assert [str(row.comparison) for row in again.rows] == [str(row.comparison) for row in outcome.rows]


def test_random_inits_are_those_of_the_seed():
    first, other = (
        rows_of(phase_diagram.compare_probability, Setting(seed=seed), 3600)[0].comparison.measured for seed in (3, 4)
    )
    assert first != other


@pytest.mark.parametrize("side", [4, 60, 200, 500])
def test_no_cell_lies_on_the_line(side):
    a, z = cells(side)
    assert len(a) == side**2
    assert np.abs(a + z).min() == pytest.approx(1 / (5 * side), rel=1e-9)
    assert np.abs(a).min() > 0
    assert np.abs(z).max() < HEIGHT


def test_every_cell_is_decided_when_theory_says_so(grid):
    # Death, or z = 0 (where the margin turns): neither comes after the bound.
    bound = decided_by(grid.a, grid.z)[:, None]
    late = (grid.times >= bound) & (bound > 0)
    assert late.any(axis=1)[(grid.a > 0) & (grid.z < 0)].all()
    assert (~grid.active | (grid.margin >= 0))[late].all()


def test_one_cell_with_another_fate_fails(grid):
    active = grid.active.copy()
    cell = int(np.flatnonzero(grid.dead & (grid.a > 0))[0])
    active[cell, -1] = True
    assert verdicts(rows_of(phase_diagram.compare_lives, SETTING, grid)) == ["PASS", "PASS"]
    assert verdicts(rows_of(phase_diagram.compare_lives, SETTING, replace(grid, active=active)))[0] == "FAIL"


def test_a_line_that_is_three_percent_steeper_fails(grid, monkeypatch):
    timed = phase_diagram._timed
    monkeypatch.setattr(phase_diagram, "_timed", lambda got, line, error: timed(got, 1.03 * line, error))
    fine = phase_plane.train_plane(Trial(SETTING), 100)
    assert verdicts(rows_of(phase_diagram.compare_lives, SETTING, fine))[1] == "FAIL"


def test_margins_and_death_times_fail_when_the_norm_is_off_by_three_percent(grid, longer_norms):
    assert verdicts(rows_of(phase_diagram.compare_paths, SETTING, grid)) == ["FAIL", "PASS"]
    assert not rows_of(phase_diagram.compare_death_times, SETTING, grid)[0].passed


def test_another_invariant_fails(grid):
    wrong = replace(grid, balance=grid.balance * (1 + 1e-6))
    assert verdicts(rows_of(phase_diagram.compare_paths, SETTING, wrong)) == ["PASS", "FAIL"]


def test_times_near_the_line_fail_when_they_are_off_by_three_percent(near):
    assert verdicts(rows_of(phase_diagram.compare_near, SETTING, *near)) == ["PASS"] * 4
    fit, death = ((1.03 * measured, predicted, error) for measured, predicted, error in near)
    assert verdicts(rows_of(phase_diagram.compare_near, SETTING, fit, death)) == ["FAIL"] * 4


def test_the_limit_law_fails_when_its_slope_is_off_by_three_percent(near, monkeypatch):
    monkeypatch.setattr(phase_diagram, "NORM", 1.03 * NORM)
    assert verdicts(rows_of(phase_diagram.compare_near, SETTING, *near)) == ["PASS", "PASS", "FAIL", "FAIL"]


def test_the_share_that_dies_fails_when_the_scales_change_places(monkeypatch):
    law = theory.death_probability
    monkeypatch.setattr(theory, "death_probability", lambda first, last: law(last, first))
    assert not rows_of(phase_diagram.compare_probability, SETTING, 3600)[0].comparison.passed


def test_a_network_that_does_not_reach_the_end_is_an_error(monkeypatch):
    train = trial.train

    def unfinished(*given, **named):
        data = train(*given, **named)
        data["status"][1] = 2
        return data

    monkeypatch.setattr(trial, "train", unfinished)
    with pytest.raises(RuntimeError, match=r"all 16 networks must reach time .*, got 1 that did not"):
        phase_plane.train_plane(Trial(SETTING), 4)
