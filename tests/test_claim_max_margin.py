"""The claim `max-margin`: it passes, and fails where theory has another margin, offset or set of sample weights."""

from dataclasses import replace

import numpy as np
import pytest

from shoal import theory
from shoal.claims.claim import Setting
from shoal.claims.neighbours.max_margin import grown, max_margin
from shoal.claims.trial import Trial
from support import can_be_read_back, is_labelled, passes, rows_of

FEW = Setting(networks=2, quick=True, seed=3)
TRUE = theory.separable_growth


@pytest.fixture(scope="module")
def outcome():
    return max_margin.max_margin.run(FEW)


@pytest.fixture(scope="module")
def tasks():
    return {2: [grown.separable(3, 10, 5, 0.5)], 3: [grown.separable(2, 10, 5, 0.75)]}


def failing(rows):
    return {row.statement for row in rows if row.comparison.verdict == "FAIL"}


def one_layer(run, task):
    max_margin._one_layer(run, [grown.Grown.single(run, task, "exponential", 3)], "exponential loss")


def deep(run, task, layers):
    max_margin._deep(run, [grown.Grown.deep(run, task, layers, 3)], layers)


def test_it_passes(outcome):
    passes(outcome)
    assert all(row.wrong for row in outcome.rows)


def test_what_is_saved_can_be_read_back_and_the_figure_is_labelled(outcome, tmp_path):
    can_be_read_back(outcome, tmp_path)
    is_labelled(outcome.figure)


@pytest.mark.parametrize("factor", [0.95, 1.05])
def test_rows_fail_when_the_margin_is_off_by_five_percent(monkeypatch, tasks, factor):
    def growth(task):
        right = TRUE(task)
        return replace(right, separator=right.separator / factor, margin=right.margin * factor)

    monkeypatch.setattr(theory, "separable_growth", growth)
    assert len(failing(rows_of(one_layer, FEW, tasks[2][0]))) == 3
    for layers in (2, 3):
        assert len(failing(rows_of(deep, FEW, tasks[layers][0], layers))) == 2


def test_rows_fail_when_the_offset_is_that_of_equal_sample_weights(monkeypatch, tasks):
    unweighted = grown.Grown.unweighted

    def growth(task):
        right = TRUE(task)
        if np.ptp(task.sample_weight) == 0:
            return right
        held = grown.Grown(task, right, *np.zeros((3, 1, 1, 1)))
        return replace(right, offset=unweighted.fget(held).offset)

    monkeypatch.setattr(theory, "separable_growth", growth)
    found = failing(rows_of(one_layer, FEW, tasks[2][0]))
    assert "exponential loss: w - w_hat ln t at 1e12" in found
    assert "exponential loss: loss x time at 1e12 = 1/margin^2" not in found


def test_what_layers_conserve_fails_when_they_have_not_the_same_rate(tasks):
    """A network whose first layer is scaled by 1% conserves another difference."""
    layers_of = grown.Grown.layers_of

    def scaled(*given):
        first, *others = layers_of(*given)
        return [first * np.linspace(1, 1.01, first.shape[1])[:, None, None], *others]

    run = Trial(FEW)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grown.Grown, "layers_of", staticmethod(scaled))
        max_margin._aligned(run, tasks[2], 2, 2)
    assert "2 layers: W'^T W' - W W^T of adjacent layers" in failing(run.rows)


def test_a_constant_part_beyond_rank_one_is_seen(tasks):
    """The fraction outside the first singular value, plus 1% that stays, is not extrapolated to 0."""
    layers = grown.Grown.layers_of(Trial(FEW), tasks[2][0], 2, 2, 1)
    values = np.linalg.svd(layers[0][:, max_margin.EXTRAPOLATED], compute_uv=False) ** 2
    fraction = values[..., 1:].sum(axis=2) / values.sum(axis=2)
    limit, error = grown.extrapolate(1 / values.sum(axis=2), 0.01 + fraction, np.full(2, 1e-7))
    assert (np.abs(limit) > error).all()
    assert limit == pytest.approx(0.01, abs=float(error.max()))


@pytest.mark.parametrize("layers", [2, 3])
def test_balanced_layers_have_rank_one_and_one_norm(layers):
    directions = np.array([[0.6, 0.8], [1.0, 0.0]])
    weights = grown.balanced(directions, layers, np.random.default_rng(0)).weights
    product = weights[0]
    for layer in weights[1:]:
        product = layer @ product
    assert product[:, 0] == pytest.approx(grown.STRENGTH**layers * directions)
    for layer in weights:
        values = np.linalg.svd(layer, compute_uv=False)
        assert values[:, 0] == pytest.approx(grown.STRENGTH)
        assert values[:, 1:] == pytest.approx(0, abs=1e-12)


def test_an_extrapolation_is_exact_for_parabolas_and_states_its_error_for_others():
    nodes = np.array([[1.0, 1.2, 1.5, 2.0]])
    limit, error = grown.extrapolate(nodes, 3 + 2 * nodes - nodes**2, np.zeros(1))
    assert limit == pytest.approx(3)
    limit, error = grown.extrapolate(nodes / 10, np.exp(nodes / 10), np.array([1e-9]))
    assert abs(limit[0] - 1) <= error[0]
    assert error[0] < 0.02


@pytest.mark.parametrize(("inputs", "order"), [(3, 0.5), (2, 0.75)])
def test_data_have_as_many_support_vectors_as_inputs_and_the_exponent(inputs, order):
    task = grown.separable(inputs, 10, 1, order)
    growth = theory.separable_growth(task)
    assert growth.order >= order
    assert (growth.dual > 0).sum() == inputs
    assert (task.labels * (task.inputs @ growth.separator)).min() == pytest.approx(1)
    assert np.array_equal(task.inputs, grown.separable(inputs, 10, 1, order).inputs)
