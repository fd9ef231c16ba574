"""What the claims share under gradient flow, and the rows of `sigmoid`, `modes` and `losses` that use it."""

from functools import partial

import numpy as np
import pytest

from shoal import theory
from shoal.claims.claim import Setting
from shoal.claims.learning_dynamics import losses, modes, sigmoid
from shoal.claims.shared import flows
from shoal.claims.shared.flows import TOLERANCE, compare_slope, shifted, spread
from shoal.claims.trial import Trial
from shoal.spec.method import GradientFlow
from shoal.spec.task import Task

SMALL = {"sigmoid": (sigmoid, 60), "modes": (modes, 6), "losses": (losses, 4)}


@pytest.fixture
def longer_norms(monkeypatch):
    """A theory that takes every norm for three percent longer than it is."""
    true_mode, true_margins = theory.Mode, theory.separated_margins

    def margins(weights, task, loss, times):
        return true_margins(weights, Task(1.03 * task.inputs, task.labels, task.sample_weight), loss, times)

    monkeypatch.setattr(theory, "Mode", lambda **given: true_mode(**(given | {"norm": 1.03 * given["norm"]})))
    monkeypatch.setattr(theory, "separated_margins", margins)


def flow_rows(name):
    module, networks = SMALL[name]
    rows = getattr(module, name).run(Setting(networks=networks, seed=3, quick=True)).rows
    return {row.statement: row.comparison for row in rows if "flow" in row.statement}


@pytest.mark.parametrize(("name", "count"), [("sigmoid", 3), ("modes", 3), ("losses", 9)])
def test_flow_agrees_with_theory_and_descent_tends_to_it_with_slope_one(name, count):
    found = flow_rows(name)
    assert len(found) == count
    assert not [f"{statement}: {row}" for statement, row in found.items() if not row.passed]


@pytest.mark.parametrize("name", SMALL)
def test_flow_rows_fail_when_norms_are_off_by_three_percent(name, longer_norms):
    found = flow_rows(name)
    # The slope and the invariant ask theory for nothing that the norm enters.
    about_theory = {statement for statement in found if "slope" not in statement and "invariant" not in statement}
    assert all(found[statement].verdict == "FAIL" for statement in about_theory)


def test_the_path_of_losses_fails_under_flow_when_the_imbalance_is_off_by_a_thousandth(monkeypatch):
    true_start = losses.living_init

    def init(networks, seed):
        drawn, margins, imbalances = true_start(networks, seed)
        return drawn, margins, 1.001 * imbalances

    monkeypatch.setattr(losses, "living_init", init)
    assert flow_rows("losses")["path invariant c^2, all losses, gradient flow"].verdict == "FAIL"


RATES = np.array([0.1, 0.05, 0.025])[:, None, None, None]


@pytest.mark.parametrize(("power", "verdict"), [(1.0, "PASS"), (2.0, "FAIL"), (1.05, "FAIL"), (0.5, "FAIL")])
def test_a_slope_of_one_is_told_from_others(power, verdict, generator):
    flow = generator.normal(size=(5, 20, 2))
    first, second = generator.normal(size=(2, 5, 20, 2))
    descents = flow + RATES**power * (first + 0.2 * RATES * second)
    found = compare_slope(descents, flow)
    assert found.verdict == verdict
    assert found.measured == pytest.approx(power, abs=0.05)


def test_a_slope_is_told_from_one_when_the_flow_is_another(generator):
    flow = generator.normal(size=(5, 20, 2))
    descents = flow + RATES * (1 + 0.1 * RATES) * generator.normal(size=(5, 20, 2))
    assert compare_slope(descents, flow + 0.01).verdict == "FAIL"


def test_a_shifted_start_moves_both_weights_of_each_neuron_towards_the_growing_side():
    start = sigmoid.PLAN.init.draw(sigmoid.PLAN.network, sigmoid.TASK, networks=5, seed=0).weights
    up, down = shifted(start, sigmoid.TASK)
    times = np.array([0.0, 5.0, 20.0])
    margins, more, less = (sigmoid.predicted_margins(weights, times) for weights in (start, up, down))
    # At first a larger a only makes a negative margin larger; in the end what grows decides.
    assert (more[:, -1] >= margins[:, -1]).all()
    assert (margins[:, -1] >= less[:, -1]).all()
    assert (spread(margins, more, less) == np.maximum(np.abs(more - margins), np.abs(margins - less))).all()
    largest = np.maximum(np.abs(start[0]).max(), np.abs(start[1]).max())
    for weights, other in ((start[0], up[0]), (start[1], up[1])):
        assert 0 < np.abs(other - weights).max() <= TOLERANCE * largest * (1 + 1e-6)


def test_a_network_that_does_not_reach_the_end_is_no_result(monkeypatch):
    monkeypatch.setattr(flows, "GradientFlow", partial(GradientFlow, max_steps=3))
    with pytest.raises(RuntimeError, match=r"all 2 networks must reach time 14, got 2 that did not"):
        flows.flow(Trial(), sigmoid.PLAN.network, sigmoid.TASK, sigmoid.PLAN.init, np.array([0.0, 14.0]), networks=2)
