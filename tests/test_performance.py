"""What the benchmarks say of their numbers, and the page that is made of them. Nothing here is timed."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import figures, goals, page, report
from benchmarks.__main__ import main
from benchmarks.cases import ALL, Case, check_weights, dataset
from benchmarks.check import compare, reference
from benchmarks.options import choice, counts, positive
from benchmarks.peers.batched import can_unroll, step_first, step_last, step_one, step_unrolled
from benchmarks.results import command_line, short
from benchmarks.run import NEAR, Entry, Measured, Settings, near_best
from benchmarks.scaling import about, exponent, points
from benchmarks.sheets import Sheet, sheet_of, sheets_from, table_of
from benchmarks.sweep import overheads

pytestmark = pytest.mark.checkout

ROOT = Path(__file__).parent.parent


def measured(case="paper", mine=(10.0, 12.0, 11.0), peer=(2.0, 3.0, 2.5), by_hand=True, dtype="float64"):
    ways = {"fast": {"by_hand": by_hand, "passed": True, "gflops": 2.5}}
    own = {"shoal.train": {"by_hand": False, "passed": True, "gflops": 11.0}}
    entries = [
        Entry("shoal", 2, own, "shoal.train", None, 100, list(mine)),
        Entry("jax", 2, ways, "fast", None, 100, list(peer)),
    ]
    return Measured(ALL[case], dtype, 2, entries, {"shoal": [20.0, 20.0, 20.0]})


def result(name, **more):
    sheet = Sheet("A table", ("what", "number"), (False, True), (("one | two", "1.0"),))
    head = {
        "benchmark": name,
        "command": f"python -m benchmarks {name}",
        "date": "2026-01-02",
        "machine": {"cpu": "a CPU", "cpus": 2, "system": "a system", "load_before": 0.1},
        "versions": {"shoal": "0.1.0", "isa": "avx2"},
        "tables": [sheet.as_json()],
    }
    return short(head | {"load_after": 0.2, "seconds": 60.0, "notes": [f"A note of {name}."]} | more)


def scaling_result(power=1.0):
    curves = []
    for name, values in (("networks", (1000, 10_000, 100_000)), ("threads", (1, 2))):
        found = [{"value": n, "seconds": [1e-5 * n**power, 1.1e-5 * n**power]} for n in values]
        medians = [1.05e-5 * n**power for n in values]
        exponents = {"as_is": exponent(values, medians), "beyond_fixed": exponent(values, medians)}
        curves.append({"curve": name, "points": found, "exponents": exponents if name == "networks" else {}})
    return result("scaling", curves=curves, fixed_seconds=0.004)


def test_band_is_of_all_rounds_and_a_verdict_needs_every_one():
    assert report.median_and_band([3.0, 1.0, 2.0]) == (2.0, 1.0, 3.0)
    assert report.verdict(1.01, 9.0) == "win"
    assert report.verdict(1.0, 9.0) == "open"
    assert report.verdict(0.5, 0.99) == "loss"
    assert report.verdict(0.5, 1.0) == "open"


def test_ratio_is_taken_round_by_round():
    """Not of the medians: 11 / 2.5 would be 4.4 as well, its band would not."""
    found = report.summary(measured())
    assert found["best_peer"]["ratio"] == pytest.approx((4.4, 4.0, 5.0))
    assert found["best_peer"]["verdict"] == "win"
    assert found["share_of_peak"] == pytest.approx((0.55, 0.5, 0.6))
    assert "best_library_form" not in found
    assert report.summary(measured(by_hand=False))["best_library_form"]["gflops"] == 2.5


def test_one_slow_round_leaves_a_comparison_open():
    found = report.summary(measured(mine=(10.0, 12.0, 1.9), peer=(2.0, 2.0, 2.0)))
    assert found["best_peer"]["verdict"] == "open"


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_exponent_of_a_power_law(power):
    sizes = [1e3, 1e4, 1e7]
    assert exponent(sizes, [3e-7 * size**power for size in sizes]) == pytest.approx(power)


def test_exponent_without_what_every_call_costs():
    runs = points("networks", (1000, 10_000, 100_000), 1)
    found = about(runs, [0.004 + 1e-6 * run.value for run in runs], fixed=0.004)
    assert found["beyond_fixed"] == pytest.approx(1.0)
    assert found["as_is"] < 0.9
    assert about(runs, [0.004] * 3, fixed=0.004) == {}


@pytest.mark.parametrize(
    ("sizes", "seconds", "says"),
    [([1.0], [1.0], "two or more"), ([2.0, 2.0], [1.0, 1.0], "two or more"), ([1.0, 2.0], [0.0, 1.0], "positive")],
)
def test_exponent_refuses(sizes, seconds, says):
    with pytest.raises(ValueError, match=says):
        exponent(sizes, seconds)


def test_points_vary_one_size():
    assert [run.case.networks for run in points("networks", (1000, 7000), 2)] == [1000, 7000]
    assert [run.case.hidden for run in points("depth", (1, 3), 2)] == [(16,), (16, 16, 16)]
    assert [run.threads for run in points("threads", (1, 2), 8)] == [1, 2]
    assert [run.steps for run in points("steps", (5,), 2)] == [5]
    with pytest.raises(ValueError, match="curve must be one of"):
        points("colour", (1,), 1)


@pytest.mark.parametrize("hidden", [(4,), (5, 3)])
def test_hand_written_steps_are_one_step_of_descent(hidden):
    """Each layout gives what the check's own reference gives, within its bound on rounding."""
    case = Case("some", inputs=3, hidden=hidden, samples=8, networks=6)
    inputs, labels = dataset(case)
    pull = case.rate * labels / case.samples
    rest = (inputs, pull, labels, np.exp, lambda a: np.maximum(a, 0))
    first = last = check_weights(case)
    last = [np.moveaxis(w, 0, -1) for w in last]
    ones = [[w[i] for w in first] for i in range(case.networks)]
    unrolled = last
    for _ in range(3):
        first, last = step_first(first, *rest), step_last(last, *rest)
        ones = [step_one(one, *rest) for one in ones]
        numbers = (inputs.tolist(), pull.tolist(), labels.tolist())
        unrolled = step_unrolled(unrolled, *numbers, *rest[3:], np.stack) if len(hidden) == 1 else last
    right = reference(case, "float64", 3)
    joined = [np.stack(layer) for layer in zip(*ones, strict=True)]
    for found in (first, joined, *([np.moveaxis(w, -1, 0) for w in turned] for turned in (last, unrolled))):
        assert compare(right, found).passed
    late = reference(case, "float64", 2)
    assert not compare(late, first).passed


def test_only_small_networks_are_written_out():
    assert can_unroll((2, 4, 1), 8)
    assert not can_unroll((10, 20, 1), 50)
    assert not can_unroll((2, 2, 2, 1), 8)


def test_far_ways_are_not_tried_again():
    ways = {
        "best, 2 devices": {"passed": True, "gflops": 9.0, "by_hand": True},
        "near": {"passed": True, "gflops": 9.0 / NEAR, "by_hand": True},
        "far": {"passed": True, "gflops": 8.9 / NEAR, "by_hand": True},
        "library": {"passed": True, "gflops": 0.1, "by_hand": False},
        "wrong": {"passed": False, "gflops": 99.0, "by_hand": True},
        "failed": {"error": "no", "by_hand": True},
    }
    entries = [Entry("jax", 2, ways, way, None, 1, [1.0]) for way in ("best, 2 devices", "library")]
    before = Measured(ALL["paper"], "float64", 2, entries)
    assert near_best(before, "jax") == ["best", "library", "near"]
    assert near_best(before, "torch") is None


@pytest.mark.parametrize(("field", "value"), [("rounds", 0), ("seconds", 0.0), ("call", 0)])
def test_settings_refuse(field, value):
    with pytest.raises(ValueError, match=r"at least 1|positive"):
        replace(Settings(), **{field: value})


def test_sheet_survives_console_and_json():
    sheet = Sheet("Title", ("what", "x"), (False, True), (("a | b", "1"), ("c", "2")))
    assert sheet_of(table_of(sheet)) == sheet
    assert sheets_from(json.loads(json.dumps([sheet.as_json()]))) == [sheet]
    assert sheet.markdown().splitlines() == ["| what | x |", "| --- | ---: |", "| a \\| b | 1 |", "| c | 2 |"]
    with pytest.raises(ValueError, match="each row must have 2 cells"):
        replace(sheet, rows=(("one",),))
    with pytest.raises(ValueError, match="list of sheets"):
        sheets_from([{"title": "no columns"}])


def test_saved_numbers_are_short_and_the_command_leaves_its_file_out():
    assert short({"a": [1.23456789, float("nan"), 3, "x"]}) == {"a": [1.2346, None, 3, "x"]}
    words = ["--json", "some where.json", "--threads", "1"]
    assert command_line("flow", words) == "python -m benchmarks flow --threads 1"
    assert command_line("flow", ["--json=a", "--quick"]) == "python -m benchmarks flow --quick"


def test_goals_are_of_double_precision_and_of_an_instruction_set():
    assert goals.goal_of("paper", "float64", "avx512") == goals.Goal(0.85)
    assert goals.goal_of("tiny", "float64", "avx512") == goals.Goal(0.65, 2.5)
    assert goals.goal_of("tiny", "float64", "avx2") == goals.goal_of("tiny", "float64", "neon") == goals.Goal(0.45, 2.5)
    assert goals.goal_of("paper", "float32", "avx2") is None
    assert goals.goal_of("one-tiny", "float64", "avx2") is None


def test_a_goal_is_reached_by_the_median_and_a_win():
    assert goals.judged((5.0, 1.1, 6.0), 5.0).endswith(" reached")
    assert goals.judged((4.9, 4.8, 9.0), 5.0).endswith(" missed")
    assert goals.judged((5.0, 0.9, 6.0), 5.0).endswith(" missed")


def test_rows_of_goals_name_what_was_measured():
    kernels = result("kernels", cases=report.numbers([measured()]))
    assert goals.kernel_rows(kernels) == [
        ("paper, float64, avx2, 2 threads", "-", "-", "-", "65%", "55% (50..60) missed")
    ]
    (tiny,) = goals.kernel_rows(result("kernels", cases=report.numbers([replace(measured(), case=ALL["tiny"])])))
    assert tiny[1:] == ("2.5", "4.40 (4.00..5.00) reached", "jax, fast", "45%", "55% (50..60) reached")
    (single,) = goals.single_rows(result("single", cases=report.numbers([replace(measured(), case=ALL["one-tiny"])])))
    assert single[1:] == ("2", "4.40 (4.00..5.00) reached", "jax, fast", "or 75%", "55% (50..60) missed")
    assert [row[2] for row in goals.sheet([scaling_result(1.0)]).rows] == ["4.0 ms missed", "1.000 reached"]
    assert goals.sheet([scaling_result(1.2)]).rows[1][2] == "1.200 missed"
    started = result("startup", import_seconds={"shoal": 0.31})
    assert goals.sheet([started]).rows[0][2] == "0.31 s missed"


def test_flows_are_compared_at_an_error_that_both_reach():
    """At shoal's error, or at diffrax's where diffrax reaches none as small."""
    names = ("smooth", "modes", "tiny")
    at_shoal, at_diffrax = (
        {"at": f"error of {whose} at 1e-08", "statistic": "worst"} for whose in ("shoal", "diffrax")
    )
    away, near = {"out_of_reach": ["diffrax"]}, {"ratio": (3.5, 3.0, 4.0)}
    found = {
        "smooth": [{**at_shoal, **away}, {**at_diffrax, **near}],
        "modes": [{**at_shoal, "ratio": (4.9, 4.0, 6.0)}, {**at_diffrax, **near}],
        "tiny": [{**at_shoal, **away}, {**at_diffrax, **away}, {**at_shoal, **near, "statistic": "median"}],
    }
    cases = [{"case": {"name": name, "activation": "tanh"}, "comparisons": found[name]} for name in names]
    assert [row[:3] for row in goals.flow_rows(result("flow", cases=cases))] == [
        ("flow, smooth (tanh), at the error of diffrax", "3", "3.50 (3.00..4.00) reached"),
        ("flow, modes (tanh), at the error of shoal", "5", "4.90 (4.00..6.00) missed"),
        ("flow, tiny (tanh)", "4", "no error that both reach"),
    ]


def test_a_whole_descent_is_held_against_the_peer_that_is_done_first():
    entries = [
        {"contender": "shoal", "way": "shoal.train", "descents": [1.0, 2.0]},
        {"contender": "torch", "way": "slow", "descents": [30.0, 30.0]},
        {"contender": "torch", "way": "fast", "descents": [7.0, 10.0]},
    ]
    found = result("descent", runs=[{"dtype": "float64", "threads": 2, "entries": entries}])
    row = goals.sheet([found]).rows[0]
    assert row[:4] == (
        "one wide network, whole descent, float64, 2 threads",
        "8",
        "6.00 (5.00..7.00) missed",
        "torch, fast",
    )


def test_costs_are_compared_with_their_goals():
    """The largest rise is that of a number of networks over any smaller one."""
    pairs = {"biases: tiny": ([1.0, 1.0], [1.04, 1.06]), "101 records, statistics: tiny": ([1.0], [1.4])}
    few = {"paper": {"1": [1.0], "2": [0.5], "3": [0.6]}, "one-deep": {"1": [1.0], "2": [1.0]}}
    rows = goals.sheet([result("costs", pairs=pairs | {"weight decay: tiny": ([1.0], [9.0])}, few=few)]).rows
    assert [row[2] for row in rows] == [
        *("1.05 (1.04..1.06) reached", "1.40 (1.40..1.40) missed", "1.20 missed", "1.00 reached"),
    ]


def test_page_shows_goals_losses_and_commands_that_it_does_not_know(tmp_path):
    lost = measured(mine=(1.0, 1.0, 1.0))
    results = [result("something-else"), scaling_result(), result("kernels", cases=report.numbers([lost]))]
    text = page.compose(results)
    assert text.index("## Goals") < text.index("## Many networks") < text.index("## Scaling")
    assert text.index("## Scaling") < text.index("## Something-else") < text.index("## Where shoal is slow")
    assert "A note of something-else." in text
    assert "| one \\| two | 1.0 |" in text
    assert "| paper, float64, 2 threads, shoal | jax, fast | 0.40 (0.33..0.50) |" in text
    assert "Every comparison with a peer above is a win." not in text
    assert "Every comparison with a peer above is a win." in page.compose([result("kernels", cases=[])])


def test_page_of_smoke_runs_says_so():
    smoke = result("kernels", cases=[])
    assert page.SMOKE not in page.compose([smoke])
    smoke["command"] += " --smoke"
    assert page.SMOKE in page.compose([smoke])


def test_page_and_its_figures_are_made_from_files(tmp_path):
    files = []
    for found in (result("kernels", cases=report.numbers([measured(), measured("tiny")])), scaling_result()):
        files.append(tmp_path / f"{found['benchmark']}.json")
        files[-1].write_text(json.dumps(found))
    out = tmp_path / "docs" / "performance.md"
    assert main(["page", "--from", *map(str, reversed(files)), "--out", str(out)]) == 0
    assert out.read_text() == page.compose([page.load(file) for file in files])
    linked = re.findall(r"\]\((images/[^)]*)\)", out.read_text())
    assert len(linked) == 3
    for image in linked:
        assert (out.parent / image).read_bytes().startswith(b"\x89PNG")


def test_figures_leave_out_who_did_not_run(tmp_path):
    alone = measured()
    alone.entries = alone.entries[:1]
    found = result("kernels", cases=report.numbers([alone]))
    assert figures.best(found["cases"][0], "jax") is None
    assert [path.name for path in figures.draw(found, tmp_path)] == ["performance.png"]


def test_what_is_no_result_is_refused(tmp_path, capsys):
    other = tmp_path / "other.json"
    other.write_text('{"machine": {}}')
    with pytest.raises(ValueError, match=r"other\.json must be the --json of a command.*benchmark, command"):
        page.load(other)
    with pytest.raises(SystemExit):
        main(["page", "--from", str(other), "--out", str(tmp_path / "x.md")])
    assert "must be the --json" in capsys.readouterr().err


def test_the_committed_page_is_what_its_results_give():
    """Also that there is none without results."""
    committed = ROOT / "docs" / "performance.md"
    files = sorted(page.RESULTS.glob("*.json"))
    assert committed.exists() == bool(files)
    if files:
        assert committed.read_text() == page.compose([page.load(file) for file in files])
        for image in re.findall(r"\]\((images/[^)]*)\)", committed.read_text()):
            assert (committed.parent / image).exists(), image


def test_unknown_commands_and_options_are_named(capsys):
    assert main(["fly"]) == 2
    assert "'fly' is not one of kernels" in capsys.readouterr().err
    assert main(["--help"]) == 0
    for parse, word in ((choice(("a", "b")), "c"), (counts, "0"), (counts, "x"), (positive, "0"), (positive, "1.5")):
        with pytest.raises(Exception, match=r"not one of|must be|lie between"):
            parse(word)


def sweep_result(sweep=(1.01, 1.03, 1.02), peak=2.5e8, seconds_of_child=10.1):
    seconds = {"core": [1.0, 1.0, 1.0], "sweep": list(sweep)}
    found = {"overhead": report.median_and_band(overheads(seconds)), "networks": 1000}
    child = {"networks": 2000, "peak_bytes": peak, "seconds": seconds_of_child, "training_seconds": 10.0}
    return result("sweep", **found, child=child)


def test_overhead_of_a_sweep_is_taken_round_by_round():
    assert overheads({"core": [1.0, 2.0], "sweep": [1.1, 2.0]}) == pytest.approx([0.1, 0.0])


def test_goals_of_a_sweep():
    rows = goals.sheet([sweep_result(sweep=(1.01, 1.025, 1.02))]).rows
    goal, memory = "< 3%", ("< 300 MB", "250 MB reached")
    assert [row[1:3] for row in rows] == [(goal, "2.0% (1.0..2.5) reached"), (goal, "1.0% reached"), memory]
    rows = goals.sheet([sweep_result(sweep=(1.035, 1.04, 1.05), peak=3.1e8, seconds_of_child=10.4)]).rows
    assert [row[2].split()[-1] for row in rows] == ["missed"] * 3
    for undecided in ((1.01, 1.02, 1.04), (1.01, 1.04, 1.05)):  # a band on both sides of the goal
        assert goals.sheet([sweep_result(sweep=undecided)]).rows[0][2].split()[-1] == "open"
    assert rows[0][0] == "sweep of 1,000 tiny networks, time beyond the core's"
