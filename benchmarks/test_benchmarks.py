"""shoal's cases under pytest-benchmark: ``pytest -n 0 benchmarks --benchmark-only``. Small; never a limit on time."""

from dataclasses import replace
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest

from benchmarks.cases import CASES, check_weights
from benchmarks.check import compare, reference
from benchmarks.exact.cases import JOBS
from benchmarks.exact.command import ALLOWED as EXACT
from benchmarks.exact.command import gap_of as exact_gap
from benchmarks.flow import cases as flows
from benchmarks.flow.reference import errors
from benchmarks.flow.reference import reference as flow_reference
from benchmarks.flow.run import NOMINAL, fastest, time_at, wrong
from benchmarks.flow.shoal_flow import variants
from benchmarks.flow.worker import judged
from benchmarks.others import command as others
from benchmarks.others.figure import MOVED, Figure, bound, compared, gap
from benchmarks.others.rich import Rich
from benchmarks.peers.shoal_peer import Shoal
from benchmarks.wide import cases as wide
from benchmarks.wide.contenders import of_shoal
from benchmarks.wide.worker import ALLOWED, checked_steps, gap_of
from benchmarks.worker import CHECK_STEPS

STEPS = 20


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", list(CASES))
def test_train(benchmark: Any, name: str, dtype: str, threads: int) -> None:
    """Time a call of `shoal.train` whose answer is right."""
    case = replace(CASES[name], networks=CASES[name].networks // 8)
    trainer = Shoal(case, dtype, threads)
    trainer.reset(check_weights(case))
    trainer.steps = CHECK_STEPS
    assert compare(reference(case, dtype, CHECK_STEPS), trainer.weights()).passed
    benchmark.extra_info.update(flops=case.flops * STEPS, networks=case.networks, steps=STEPS)
    benchmark(trainer.advance, STEPS)


@pytest.mark.parametrize("name", list(flows.CASES))
def test_flow(benchmark: Any, name: str) -> None:
    """Time a call of `shoal.train` with `shoal.GradientFlow` whose margins are right."""
    case = replace(flows.CASES[name], networks=32)
    right = flow_reference(case, most=8)
    solve = variants(case, threads=1)["shoal.train"]()
    point = judged(solve(NOMINAL), right.chosen, right.margins)
    assert point["finished"]
    assert right.doubt < NOMINAL
    assert point["worst"] < 10 * NOMINAL
    benchmark.extra_info.update(networks=case.networks, gradients=point["gradients"], error=point["worst"])
    benchmark(solve, NOMINAL)


def test_flow_reference_tells_another_flow() -> None:
    """Margins of a flow that is late by a thousandth are wrong, and so are margins that are not numbers."""
    case = replace(flows.CASES["modes"], networks=8)
    right = flow_reference(case).margins
    late = flow_reference(replace(case, until=0.999 * case.until)).margins
    for margins in (late, np.full_like(right, np.nan)):
        point = {"finished": True, "worst": float(np.max(errors(margins, right)))}
        assert wrong(point, NOMINAL)


def test_time_at_follows_a_power_law_and_does_not_extrapolate() -> None:
    """A method of order 5, its tolerances in any order."""
    reached = [1e-9, 1e-5, 1e-7]
    seconds = [error**-0.2 for error in reached]
    assert time_at(1e-6, reached, seconds) == pytest.approx(1e-6**-0.2)
    assert time_at(1e-10, reached, seconds) is None
    assert time_at(1e-4, reached, seconds) is None
    assert time_at(1e-10, reached, seconds, beyond=True) == pytest.approx(1e-10**-0.2)
    assert time_at(1e-6, [0.0, *reached[1:]], seconds) is None


def test_fastest_way_is_the_one_that_is_first_at_the_same_error() -> None:
    """A way that is quick because it is coarse loses; one that did not finish is not asked."""

    def way(constant: float, scale: float, finished: bool = True) -> dict[str, Any]:
        points = {}
        for rtol in (1e-8, 1e-10):
            error = scale * rtol
            points[f"{rtol:g}"] = {
                "median": error,
                "worst": error,
                "finished": finished,
                "seconds": constant * rtol**-0.2,
            }
        return {"points": points}

    ways = {"coarse": way(1.0, 900.0), "fine": way(2.0, 1.0), "lost": way(0.1, 1.0, False), "failed": {"error": "no"}}
    aim = {"median": 1e-9, "worst": 1e-9}
    assert fastest(ways, aim, "median") == "fine"
    assert fastest({name: ways[name] for name in ("lost", "failed")}, aim, "worst") is None


@pytest.mark.parametrize("name", list(JOBS))
def test_what_is_left_undone_changes_no_answer(name: str) -> None:
    """Neither networks that retire, to the bit, nor a condensed task, to rounding."""
    assert exact_gap(JOBS[name], networks=8, steps=100) <= EXACT


@pytest.mark.parametrize("name", ["smoke", "descent, smoke"])
def test_wide_answer_is_checked(name: str) -> None:
    """The right answer passes; that of one step less does not."""
    case = wide.CASES[name]
    advance = of_shoal(case, "float64", 1)["shoal.train"]()
    steps = checked_steps(case)
    assert gap_of(advance, case, steps, wide.right_answer(case, steps)) <= ALLOWED["float64"]
    assert gap_of(advance, case, steps, wide.right_answer(case, steps - 1)) > ALLOWED["float32"]


def test_samples_are_satisfied_where_a_descent_is_checked() -> None:
    """Otherwise the check would not see what is left out."""
    case = wide.CASES["descent, smoke"]
    inputs, labels = wide.dataset(case)
    w, a = wide.right_answer(case, checked_steps(case))
    assert (labels * (np.maximum(inputs @ w.T, 0) @ a[0]) >= 1).mean() > 0.1


FIGURES = [
    pytest.param(job, marks=pytest.mark.skipif(find_spec(job.figure.needs) is None, reason=f"needs {job.figure.needs}"))
    for job in others.SMOKE
]


@pytest.mark.parametrize("job", FIGURES, ids=lambda job: job.figure.name)
def test_figures_of_others_have_the_curves_of_their_authors(job: others.Job) -> None:
    """To rounding, in float64 and in the precision that is timed."""
    found = compared(job.figure, job.checked, threads=1)
    assert found["ratio"] <= 1
    assert found["carried"] > 0
    assert found["ratio_timed"] <= 1


def ended(figure: Figure, steps: int) -> float:
    """Return the largest ratio of gap to bound at the end, where shoal trains for so many steps."""
    right = figure.original(1, "float64")
    carried = gap(figure.original(1, "float64", MOVED), right)
    mine = replace(figure, steps=steps).shoal(1, 1, "float64")
    last = [{name: curves[:, -1:] for name, curves in side.items()} for side in (mine, right)]
    gaps = gap(last[0], last[1])
    return float(max((gaps[name] / bound(figure, carried[name], "float64")).max() for name in right))


@pytest.mark.parametrize("job", FIGURES, ids=lambda job: job.figure.name)
def test_curves_of_one_step_less_are_others(job: others.Job) -> None:
    """The bound on rounding is far below what a step changes."""
    assert ended(job.figure, job.figure.steps) <= 1
    assert ended(job.figure, job.figure.steps - 1) > 1e3


def test_samples_are_networks_of_the_whole_figure() -> None:
    """So that a sample's curves are those of the figure, and times scale with the number of networks."""
    for job in others.SMOKE:
        figure, part = job.figure, job.figure.shoal(1, job.checked)
        whole = figure.shoal(1)
        for name, curves in part.items():
            assert len(curves) == figure.taken(job.checked)
            assert len(whole[name]) == figure.networks
            every = {row.tobytes() for row in whole[name]}
            assert all(row.tobytes() in every for row in curves)


def test_sizes_of_the_figures_are_those_of_their_papers() -> None:
    """4,624, seven times 50,000 and thirty networks."""
    networks = {job.figure.name: job.figure.networks for job in others.FULL}
    assert (networks["rich"], networks["kink"], networks["moons"]) == (4_624, 350_000, 30)


def test_initial_weights_are_balanced_as_the_grid_says() -> None:
    """|a|^2 - |w|^2 = delta and |a| |w| = tau^2 for each unit, whose outputs cancel."""
    figure = Rich(1)
    data, cells = figure.data(0), figure.cells(None)
    for scale, balance in cells[[0, 100, 288]]:
        w, a = figure.weights(data, np.array([scale, balance]))
        np.testing.assert_allclose(a**2 - (w**2).sum(axis=1), balance, rtol=1e-9)
        np.testing.assert_allclose(a**2 * (w**2).sum(axis=1), scale**4, rtol=1e-9)
        np.testing.assert_allclose(np.maximum(data.inputs @ w.T, 0) @ a, 0, atol=1e-12)


def test_speedups_scale_the_time_of_a_sample_and_the_near_ways_are_kept() -> None:
    """Round by round."""
    assert others.speedups([1.0, 2.0], [3.0, 4.0], 10.0) == [30.0, 20.0]
    assert others.near_best({"a": 1.0, "b": others.NEAR, "c": 1.01 * others.NEAR}) == ["a", "b"]
