"""The claim `kernel-regime`: it passes, and fails for another kernel, another order, another limit."""

import numpy as np
import pytest

from shoal import Network, theory
from shoal.claims.claim import Setting
from shoal.claims.neighbours import kernel_regime as claim
from shoal.claims.trial import Trial
from support import can_be_read_back, is_labelled, passes, rows_of

FEW = Setting(networks=8, quick=True, seed=3)
NAMES = tuple(claim.NETWORKS)


def verdicts(rows):
    return {row.statement: row.comparison.verdict for row in rows}


@pytest.fixture(scope="module")
def outcome():
    return claim.kernel_regime.run(Setting(quick=True, seed=3))


def test_it_passes(outcome):
    passes(outcome)
    assert all(row.wrong for row in outcome.rows)


def test_what_is_saved_can_be_read_back_and_the_figure_is_labelled(outcome, tmp_path):
    can_be_read_back(outcome, tmp_path)
    is_labelled(outcome.figure)


def test_the_kernel_that_is_recorded_does_not_depend_on_alpha():
    """So that time means the same at every alpha, and outputs begin at 0."""
    task = claim.regression(0)
    small, large = (claim.train(Trial(FEW), NAMES[0], task, alpha, 3) for alpha in (2.0, 512.0))
    np.testing.assert_allclose(small["tangent_kernel"][:, 0], large["tangent_kernel"][:, 0], rtol=1e-12)
    assert (small["output"].values[:, 0] == 0).all()


@pytest.fixture
def larger_kernels(monkeypatch):
    """A theory that takes every kernel for half a percent larger than it is."""
    flow, descent, wide = theory.kernel_flow, theory.kernel_descent, theory.wide_kernel
    monkeypatch.setattr(theory, "kernel_flow", lambda kernel, *rest: flow(1.005 * np.asarray(kernel), *rest))
    monkeypatch.setattr(theory, "kernel_descent", lambda kernel, *rest: descent(1.005 * np.asarray(kernel), *rest))
    monkeypatch.setattr(theory, "wide_kernel", lambda *given: 1.05 * wide(*given))


@pytest.mark.parametrize("name", NAMES)
def test_outputs_fail_when_kernels_are_half_a_percent_larger(larger_kernels, name):
    task = claim.regression(3)
    found = verdicts(rows_of(claim.flow_rows, FEW, name, task, 8))
    assert found[f"{name}: samples learnt, extrapolated to 1/alpha = 0"] == "FAIL"
    assert found[f"{name}: fresh samples, extrapolated to 1/alpha = 0"] == "FAIL"
    assert found[f"{name}: order in 1/alpha of the gap of outputs"] == "FAIL"
    assert set(verdicts(rows_of(claim.descent_rows, FEW, name, task, 8)).values()) == {"FAIL"}


def test_random_kernels_fail_when_the_limit_is_five_percent_larger(larger_kernels):
    found = verdicts(rows_of(claim.one_layer_rows, FEW, 20_000)) | verdicts(rows_of(claim.deep_rows, FEW, 20_000))
    failed = {row for row, verdict in found.items() if verdict == "FAIL"}
    assert failed == {row for row in found if "slope of" not in row}


def test_outputs_fail_when_the_network_keeps_its_initial_function(monkeypatch):
    true = claim.scaled

    def plain(*given):
        network = true(*given)
        return Network(network.widths, network.activation, scales=network.scales, rates=network.rates)

    monkeypatch.setattr(claim, "scaled", plain)
    found = verdicts(rows_of(claim.flow_rows, FEW, NAMES[0], claim.regression(3), 8))
    assert found[f"{NAMES[0]}: samples learnt, extrapolated to 1/alpha = 0"] == "FAIL"


@pytest.mark.parametrize(("power", "verdict"), [(1, "PASS"), (2, "FAIL"), (0.5, "FAIL")])
def test_the_order_of_a_gap_is_measured(power, verdict):
    size = 1 / (claim.ALPHA * claim.FACTORS[:, None])
    draw = np.random.default_rng(0).uniform(0.5, 2, (2, 6))
    order, error = claim.order_of(draw[0] * size**power * (1 + draw[1] * size), 0.0)
    assert order == pytest.approx(power, abs=1e-4)
    assert claim.compare_arrivals(order, 1.0, error).verdict == verdict


def test_the_fastest_mode_of_descent_overshoots():
    task = claim.regression(1)
    rates, kernel = claim._kernels(Trial(FEW), NAMES[0], task, 8)
    root = np.sqrt(task.sample_weight)
    values = rates[:, None] * np.linalg.eigvalsh(root[:, None] * kernel * root)
    np.testing.assert_allclose(values[:, -1], claim.OVERSHOOT)
    assert (values > -1e-12).all()
