"""How wrong a theory has to be to be caught: what is tried, what is reported, and where it is shown."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from report_example import example
from shoal.claims.claim import Row, split
from shoal.report.tables import summary, verdicts
from shoal.verdicts.catch import AMOUNTS, UNKNOWN, Catch, fewest
from shoal.verdicts.comparison import compare_flow, compare_rates, worst
from shoal.verdicts.means import compare_estimate, compare_mean
from shoal.verdicts.proportion import compare_fraction, compare_least, compare_majority, wilson


@pytest.mark.parametrize(
    ("error", "caught"), [(1e-5, "0.1%"), (1e-3, "1%"), (0.005, "5%"), (0.02, "20%"), (0.1, "100%")]
)
def test_the_smallest_factor_that_fails_both_ways_is_reported(error, caught):
    # Four standard errors: 1/(1 + amount) and 1 + amount must both lie outside.
    assert str(compare_estimate(1.0, 1.0, standard_error=error).catches) == caught


def test_a_factor_that_fails_one_way_only_is_not_caught():
    # Measured 0.97 with 0.04 allowed: 1.05 is out of reach, 1/1.05 is not.
    found = compare_estimate(0.97, 1.0, standard_error=0.01)
    assert not compare_estimate(0.97, 1.05, standard_error=0.01).passed
    assert compare_estimate(0.97, 1 / 1.05, standard_error=0.01).passed
    assert str(found.catches) == "20%"


@given(st.floats(1e-6, 0.3), st.floats(-0.9, 0.9))
def test_the_comparison_fails_at_what_it_reports_and_passes_one_way_below(error, offset):
    value = 1.0 + 4 * error * offset
    amount = compare_estimate(value, 1.0, standard_error=error).catches.amount

    def fails(amount):
        return [
            not compare_estimate(value, wrong, standard_error=error).passed for wrong in (1 + amount, 1 / (1 + amount))
        ]

    for tried in AMOUNTS:
        assert all(fails(tried)) == (tried >= amount)


def test_a_prediction_of_zero_is_shifted():
    found = compare_mean(np.random.default_rng(0).normal(0.0, 0.1, 1000), 0.0)
    assert found.catches == Catch("shift", 0.05)
    assert str(found.catches) == "± 0.05"


def test_a_flow_and_three_rates_catch_a_thousandth():
    series = np.exp(-np.linspace(0, 3, 20))[None]
    assert compare_flow(series, series, tolerance=1e-7).catches == Catch("factor", 0.001)
    assert compare_rates(series, series, series, series).catches == Catch("factor", 0.001)
    assert compare_flow(series, series, tolerance=0.1).catches == Catch("factor", 0.2)


def test_a_bias_as_large_as_the_quantity_catches_nothing():
    found = compare_mean([0.9, 1.1] * 100, 1.0, bias=1.0)
    assert found.passed
    assert found.catches == Catch("factor", math.inf)
    assert not found.catches.sharp
    assert str(found.catches) == "nothing"


def test_a_comparison_that_fails_says_nothing_of_wrong_theories():
    for found in (compare_mean([0.9, 1.1] * 100, 2.0), compare_majority(0, 20), compare_least(50, 100, 0.8)):
        assert not found.passed
        assert str(found.catches) == "-"
        assert not found.catches.sharp


def test_a_probability_is_wrong_by_a_factor_of_the_rarer_outcome():
    for count, probability in ((200, 0.02), (9_800, 0.98)):
        found = compare_fraction(count, 10_000, probability)
        assert found.catches == Catch("factor", 1.0)
        assert compare_fraction(100 * count, 10**6, probability).catches == Catch("factor", 0.05)
    assert compare_fraction(0, 10_000, 0.0).catches == Catch("shift", 0.01)
    assert compare_fraction(10_000, 10_000, 1.0).catches == Catch("shift", 0.01)
    assert compare_fraction(750_126, 10**6, 0.002, bias=1.0).catches.amount == math.inf


def test_a_bound_is_wrong_one_way_only():
    assert compare_least(600_000, 10**6, 0.6).catches == Catch("factor", 0.01)
    assert compare_least(900_000, 10**6, 0.2).catches == Catch("factor", math.inf)


def test_a_majority_refutes_every_fraction_below_its_interval():
    found = compare_majority(90, 100)
    assert found.catches == Catch("majority", wilson(90, 100)[0])
    assert str(found.catches) == "≤ 72%"


def test_a_row_of_several_comparisons_catches_what_any_of_them_catches():
    sharp, blunt = (compare_estimate(1.0, 1.0, standard_error=error) for error in (1e-3, 0.1))
    row = worst([blunt, sharp, compare_fraction(0, 10_000, 0.0)])
    assert row.catches == Catch("factor", 0.01)
    assert fewest([Catch("shift", 0.05), Catch("shift", 0.01)]) == Catch("shift", 0.01)
    assert fewest([Catch("factor", 0.05), UNKNOWN]) is UNKNOWN


def test_the_split_counts_every_row_once():
    series = np.ones((1, 3))
    rows = [
        Row("flow", compare_flow(series, series, tolerance=1e-7)),
        Row("rates", compare_rates(series, series, series, series)),
        Row("mean", compare_mean([0.0, 2.0] * 10, 1.0)),
        Row("fraction", compare_fraction(50, 100, 0.5)),
        Row("majority", compare_majority(19, 20)),
    ]
    assert split(rows) == (
        "5 comparisons: 2 with exact theory, network by network; 2 with expectations of theory, over many networks;"
        " 1 by majority, where no theory is known. 2 of them catch no theory that is wrong by 20%"
    )


def test_the_tables_of_a_report_hold_every_row_and_what_it_catches(tmp_path):
    run = example(tmp_path)
    text = verdicts(run)
    for entry in run.entries:
        assert f"## {entry.name}" in text
        for row in entry.rows:
            held = row.comparison
            assert f"| {held.ratio:.2g} | {held.catches} | {held.verdict} |".replace("| inf |", "| infinite |") in text
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert {line.replace("\\|", "").count("|") for line in table} == {10}
    lines = summary(run).splitlines()
    assert len([line for line in lines if line.startswith("|")]) == 2 + len(run.entries)
