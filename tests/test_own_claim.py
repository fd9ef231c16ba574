"""Claims of one's own: the decorator, each way to compare, named wrong theories, and what is refused."""

import json
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

import shoal
from report_example import example, read
from shoal import claims, report
from shoal.claims import Setting, Trial
from shoal.report import Entry
from shoal.report.tables import verdicts

TIMES = np.linspace(0, 1, 5)
RIGHT = np.exp(TIMES)[None, :] * np.array([[1.0], [2.0]])
NETWORK, TASK = shoal.Network((1, 2, 1)), shoal.Task([[1.0]], [1])
INIT, METHOD = shoal.Balanced(0.1), shoal.GradientDescent(0.1, 20)


def made(test, name="own"):
    return shoal.claim(name, "A sentence.", source="arXiv:1809.06848")(test)


def passing(run):
    run.compare_flow("one row", RIGHT, RIGHT, 1e-7)


def test_the_claim_of_the_contract_passes_and_is_a_claim():
    @shoal.claim("inverse-norm", "The time to margin 1 falls as 1/norm.", source="arXiv:1809.06848")
    def inverse_norm(run):
        data = run.train(NETWORK, TASK, INIT, method=shoal.GradientFlow(4.0), networks=run.networks(20, 6))
        predicted = data.margin * (1 + 1e-9)
        run.compare_flow("margin", data.margin, predicted)
        run.must_fail("norm 2% larger", shoal.compare_flow(data.margin, 1.02 * predicted, tolerance=1e-7))

    assert isinstance(inverse_norm, claims.Claim)
    assert (inverse_norm.name, inverse_norm.source) == ("inverse-norm", "arXiv:1809.06848")
    outcome = claims.run(inverse_norm, quick=True)
    assert outcome.verdict == "PASS"
    assert outcome.rows[0].comparison.networks == 6
    assert outcome.rows[0].catches == ("0.1%", "norm 2% larger")
    assert (outcome.figure, outcome.data) == (None, None)


def test_the_run_says_how_it_is_to_run():
    seen = {}

    def test(run):
        seen.update(seed=run.seed, quick=run.quick, threads=run.threads, count=run.networks(full=50, quick=5))
        passing(run)

    claims.run(made(test), quick=True, seed=7, threads=1)
    assert seen == {"seed": 7, "quick": True, "threads": 1, "count": 5}
    claims.run(made(test))
    assert seen == {"seed": 0, "quick": False, "threads": None, "count": 50}
    claims.run(made(test), networks=12, quick=True)
    assert seen["count"] == 12
    assert Trial().networks() == 10_000
    assert Trial(Setting(quick=True)).networks() == 1_000


def test_a_run_trains_from_its_own_seed_unless_another_is_given():
    run, expected = Trial(Setting(seed=5)), {}
    for seed in (5, 9):
        expected[seed] = shoal.train(NETWORK, TASK, INIT, method=METHOD, networks=3, seed=seed)
    xr.testing.assert_equal(run.train(NETWORK, TASK, INIT, method=METHOD, networks=3), expected[5])
    xr.testing.assert_equal(run.train(NETWORK, TASK, INIT, method=METHOD, networks=3, seed=9), expected[9])
    xr.testing.assert_equal(run.train(shoal.specification(expected[9])), expected[9])


def test_a_tolerance_that_is_left_out_is_that_of_the_flows_that_the_run_has_trained():
    run = Trial()
    with pytest.raises(ValueError, match=r"tolerance must be given, for run\.train has trained no gradient flow"):
        run.compare_flow("margin", RIGHT, RIGHT)
    data = run.train(NETWORK, TASK, INIT, method=shoal.GradientFlow(1.0, rtol=1e-6), networks=2)
    run.train(shoal.specification(data))
    assert run.compare_flow("margin", RIGHT, RIGHT) == shoal.compare_flow(RIGHT, RIGHT, 10 * 1e-6)
    run.train(NETWORK, TASK, INIT, method=shoal.GradientFlow(1.0, rtol=1e-7), networks=2)
    with pytest.raises(ValueError, match=r"has trained flows of rtol \[1e-07, 1e-06\]"):
        run.compare_flow("margin", RIGHT, RIGHT)


def test_what_a_claim_says_is_shown_with_what_it_trains():
    lines = []

    def test(run):
        run.say("thinking")
        run.train(NETWORK, TASK, INIT, method=METHOD, networks=3)
        passing(run)

    claims.run(made(test), progress=lines.append)
    assert lines == ["thinking", "training 3 networks of widths (1, 2, 1)"]


DRAW = np.random.default_rng(0).normal(1.0, 0.1, (2, 400))
RATES = [RIGHT * (1 + rate * TIMES + rate**2 * TIMES**2) for rate in (0.1, 0.05, 0.025)]


@pytest.mark.parametrize(
    ("method", "arguments", "options", "wrong"),
    [
        ("compare_flow", (RIGHT, RIGHT, 1e-7), {"where": TIMES > 0.5, "bias": 1e-9}, (RIGHT, 1.02 * RIGHT, 1e-7)),
        ("compare_rates", (*RATES, RIGHT), {"where": TIMES > 0, "bias": 1e-9}, (*RATES, 1.02 * RIGHT)),
        ("compare_mean", (DRAW[0], 1.0), {"bias": 1e-9}, (DRAW[0], 1.1)),
        ("compare_samples", (DRAW[0], DRAW[1]), {"bias": 1e-9}, (DRAW[0], DRAW[1] + 0.1)),
        ("compare_fraction", (5_050, 10_000, 0.5), {"bias": 1e-9}, (5_050, 10_000, 0.45)),
    ],
)
def test_each_comparison_of_a_run_is_a_row_and_the_public_comparison(method, arguments, options, wrong):
    public = getattr(shoal, method)

    def test(run):
        assert getattr(run, method)("bare", *arguments) == public(*arguments)
        run.must_fail("too large", public(*wrong))
        assert getattr(run, method)("with options", *arguments, **options) == public(*arguments, **options)

    outcome = claims.run(made(test))
    assert [row.statement for row in outcome.rows] == ["bare", "with options"]
    assert [row.comparison for row in outcome.rows] == [public(*arguments), public(*arguments, **options)]
    assert outcome.passed
    assert [wrong.name for wrong in outcome.rows[0].wrong] == ["too large"]
    assert getattr(Trial(), method)("wrong", *wrong).verdict == "FAIL"


def test_a_comparison_made_by_hand_is_a_row():
    by_hand = shoal.compare_mean(DRAW[0], 1.0)

    def test(run):
        assert run.row("by hand", by_hand) is by_hand

    assert claims.run(made(test)).rows[0].comparison is by_hand


def test_a_wrong_theory_that_passes_fails_the_claim_and_is_named(tmp_path):
    def test(run):
        run.compare_flow("margin", RIGHT, RIGHT, tolerance=0.05)
        run.must_fail("norm 2% larger", shoal.compare_flow(RIGHT, 1.02 * RIGHT, tolerance=0.05))
        run.must_fail("norm 20% larger", shoal.compare_flow(RIGHT, 1.2 * RIGHT, tolerance=0.05))

    outcome = claims.run(made(test))
    (row,) = outcome.rows
    assert row.comparison.passed
    assert (row.verdict, outcome.verdict) == ("FAIL", "FAIL")
    assert row.catches == ("20%", "norm 20% larger", "not caught: norm 2% larger")
    (path,) = outcome.save(tmp_path)
    (told,) = json.loads(path.read_text())["rows"]
    assert told["verdict"] == "FAIL"
    assert [(each["wrong"], each["caught"]) for each in told["must_fail"]] == [
        ("norm 2% larger", False),
        ("norm 20% larger", True),
    ]


def test_a_row_that_fails_by_itself_catches_nothing():
    def test(run):
        run.compare_flow("margin", RIGHT, 1.1 * RIGHT, tolerance=1e-7)
        run.must_fail("norm 2% larger", shoal.compare_flow(RIGHT, 1.02 * RIGHT, tolerance=1e-7))

    (row,) = claims.run(made(test)).rows
    assert (row.catches, row.verdict) == (("-",), "FAIL")


def test_a_wrong_theory_needs_a_row_of_the_same_comparison():
    run, other = Trial(), shoal.compare_mean(DRAW[0], 1.1)
    with pytest.raises(ValueError, match="what the row before it catches, got 'too large' before any row"):
        run.must_fail("too large", other)
    passing(run)
    with pytest.raises(ValueError, match="must have the kind of the row 'one row', 'flow', got 'statistical'"):
        run.must_fail("too large", other)
    with pytest.raises(ValueError, match="the networks of the row 'one row', 2, got 1"):
        run.must_fail("too large", shoal.compare_flow(RIGHT[:1], 2 * RIGHT[:1], 1e-7))
    with pytest.raises(ValueError, match="the points of the row 'one row', 10, got 4"):
        run.must_fail("too large", shoal.compare_flow(RIGHT, 2 * RIGHT, 1e-7, where=TIMES > 0.5))
    with pytest.raises(TypeError, match="comparison must be a Comparison, got bool"):
        run.must_fail("too large", True)


def test_notes_and_data_are_kept(tmp_path):
    def test(run):
        data = run.train(NETWORK, TASK, INIT, method=METHOD, networks=3)
        assert run.save(data) is data
        passing(run)
        run.note("A first note.")
        run.note("A second.")

    outcome = claims.run(made(test))
    assert outcome.notes == ("A first note.", "A second.")
    assert [path.name for path in outcome.save(tmp_path)] == ["own.zarr", "own.json"]
    with xr.open_zarr(tmp_path / "own.zarr", consolidated=False) as saved:
        xr.testing.assert_equal(saved.load(), outcome.data)


def test_the_figure_is_optional_and_saved(tmp_path):
    def test(run):
        passing(run)
        return shoal.plot.figure(("A title",))[0]

    assert [path.name for path in claims.run(made(test)).save(tmp_path)] == ["own.png", "own.json"]


def test_the_report_shows_claims_without_figures_and_wrong_theories(tmp_path):
    def test(run):
        run.compare_flow("margin", RIGHT, RIGHT, tolerance=0.05)
        run.must_fail("norm 2% larger", shoal.compare_flow(RIGHT, 1.02 * RIGHT, tolerance=0.05))
        run.must_fail("norm | 20%", shoal.compare_flow(RIGHT, 1.2 * RIGHT, tolerance=0.05))

    claim = replace(made(test), file="mine.py")
    one = replace(
        example(tmp_path), chosen=(claim,), entries=(Entry.of(claims.run(claim), b"", 1.0),), everything=False
    )
    page = read(report.render(one))
    assert not page.all("img")
    (section,) = page.all("section", **{"class": "claim"})
    assert "The file of this claim" in section.text
    assert "shoal reproduce mine.py --quick --seed 17" in section.text
    assert "20%norm | 20%not caught: norm 2% larger" in section.one("tbody").text.replace("\n", "")
    assert "shown as not caught" in page.text
    assert "| 20%; norm \\| 20%; not caught: norm 2% larger | FAIL |" in verdicts(one)


@pytest.mark.parametrize(
    ("name", "sentence", "source", "error", "words"),
    [
        ("Inverse", "It falls.", "a paper", ValueError, "name must be of lower case letters, digits and hyphens"),
        ("a_b", "It falls.", "a paper", ValueError, "got 'a_b'"),
        ("-a", "It falls.", "a paper", ValueError, "got '-a'"),
        ("a\n", "It falls.", "a paper", ValueError, "name must be of lower case"),
        ("", "It falls.", "a paper", ValueError, "name must not be empty"),
        ("a", " ", "a paper", ValueError, "sentence must not be empty"),
        ("a", "It falls.", "", ValueError, "source must not be empty"),
        (3, "It falls.", "a paper", TypeError, "name must be a string, got 3"),
        ("a", None, "a paper", TypeError, "sentence must be a string, got None"),
    ],
)
def test_a_claim_without_a_name_a_sentence_or_a_source_is_refused(name, sentence, source, error, words):
    with pytest.raises(error, match=words):
        shoal.claim(name, sentence, source=source)


def test_what_is_no_claim_is_refused():
    with pytest.raises(TypeError, match="a claim must be made of a function that takes run, got 3"):
        made(3)
    with pytest.raises(ValueError, match="claim own compared nothing"):
        claims.run(made(lambda run: run.note("nothing else")))
    with pytest.raises(TypeError, match="claim own must return a matplotlib Figure or None, got float"):
        claims.run(made(lambda run: run.compare_flow("one", RIGHT, RIGHT, 1e-7).ratio))


@pytest.mark.parametrize(
    ("use", "error", "words"),
    [
        (lambda run: run.row(3, shoal.compare_mean(DRAW[0], 1.0)), TypeError, "statement must be a str, got int"),
        (lambda run: run.row("one", None), TypeError, "comparison must be a Comparison, got NoneType"),
        (lambda run: run.note(3), TypeError, "text must be a str, got int"),
        (lambda run: run.save({"a": 1}), TypeError, "data must be a Dataset, got dict"),
        (
            lambda run: (run.save(xr.Dataset()), run.save(xr.Dataset())),
            ValueError,
            "one dataset of a claim, got a second",
        ),
    ],
)
def test_a_wrong_use_of_a_run_is_named(use, error, words):
    with pytest.raises(error, match=words):
        use(Trial())


def test_an_error_in_a_claim_comes_out_as_it_is():
    def test(run):
        passing(run)
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        claims.run(made(test))
