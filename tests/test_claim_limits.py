"""The limit of three sizes: what it removes, what it allows, and what it is measured on."""

import numpy as np
import pytest

from shoal.claims.claim import Setting
from shoal.claims.shared.limits import (
    FACTORS,
    NETWORKS,
    Halves,
    Limit,
    count_datasets,
    measure_limits,
    smaller,
    stacked,
)
from shoal.claims.shared.teacher import Condition
from shoal.claims.trial import Trial

CONDITION = Condition(samples=64, inputs=3, nodes=16, rate=0.1, steps=8)


def sizes(first=0.0, second=0.0, noise=0.0, datasets=400):
    """Measurements of 1 with terms of first and second order in 1/size, and independent noise."""
    draw = np.random.default_rng(0)
    return [
        1 + first * factor + second * factor**2 + noise * np.sqrt(factor) * draw.standard_normal((datasets, 2))
        for factor in FACTORS
    ]


def test_the_first_order_drops_out():
    limit = Limit.of(sizes(first=0.3))
    assert limit.value == pytest.approx([1.0, 1.0])
    assert limit.bias == pytest.approx(0.0, abs=1e-12)
    assert limit.runs == 1200


def test_the_second_order_lies_within_the_last_correction():
    limit = Limit.of(sizes(first=0.3, second=0.02))
    assert np.abs(limit.value - 1) == pytest.approx([0.04, 0.04])
    assert limit.bias == pytest.approx([0.12, 0.12])
    assert limit.compare(1.0).passed


def test_the_standard_error_is_that_of_the_combination():
    limit = Limit.of(sizes(noise=0.1))
    assert limit.standard_error == pytest.approx(0.1 * np.sqrt(4 + 2) / 20, rel=0.1)


@pytest.mark.parametrize("wrong", [0.95, 1.05])
def test_another_prediction_fails(wrong):
    limit = Limit.of(sizes(first=0.3, noise=0.02))
    assert limit.compare(1.0).passed
    assert limit.compare(wrong).verdict == "FAIL"
    assert limit.compare([1.0, wrong]).verdict == "FAIL"


def test_limits_are_stacked_and_cut():
    one = Limit.of(sizes(first=0.3))
    both = stacked([one, one])
    assert both.value.shape == (2, 2)
    assert both.runs == 2400
    assert both.at(slice(1)).value.shape == (1, 2)


def test_sizes_shrink_together_and_end_at_the_same_time():
    small = smaller(CONDITION, 4)
    assert (small.samples, small.nodes, small.steps) == (16, 4, 2)
    assert small.until == pytest.approx(CONDITION.until)


def test_every_dataset_is_another_one_and_smaller_sizes_have_more():
    seen = []

    def measure(condition, factor, part):
        seen.append((condition.samples * factor, part))
        return {"part": np.asarray(float(part))}

    found = measure_limits(Trial(), CONDITION, 3, measure, first=5)["part"]
    means = [np.mean(range(first, last)) for first, last in ((5, 8), (8, 14), (14, 26))]
    assert found.value == 2 * means[0] - means[1]
    assert found.bias == abs(found.value - (2 * means[1] - means[2]))
    assert found.runs == 21
    assert {samples for samples, _ in seen} == {64}
    assert sorted(part for _, part in seen) == list(range(5, 5 + 7 * 3))


def test_nodes_and_samples_are_halved_together_on_the_same_datasets():
    """A sample's pull on its own margin is of first order in 1/N: with nodes alone halved it stays."""
    seen = []

    def measuring(condition):
        def measure(part):
            seen.append((condition.samples, condition.nodes, condition.rate, condition.steps, part))
            return {"size": 1 + 1 / condition.nodes + 1 / condition.samples}

        return measure

    pair = Halves.train(Trial(), CONDITION, 3, measuring, first=5)
    assert sorted(seen) == [
        (samples, nodes, 0.1, 8, part) for samples, nodes in ((32, 8), (64, 16)) for part in (5, 6, 7)
    ]
    assert pair.limit("size") == pytest.approx([1.0, 1.0, 1.0])
    assert pair.compare_mean(pair.limit("size"), 1.0).networks == 3 * NETWORKS


def test_datasets_are_counted_by_their_networks():
    assert count_datasets(Trial(Setting(networks=33)), 32, 16) == 8
    assert count_datasets(Trial(Setting(networks=2)), 32, 16) == 2
    assert count_datasets(Trial(Setting(quick=True)), 32, 16) == 16
