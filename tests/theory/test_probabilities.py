"""The formulas of failure against Monte Carlo of the rule by which a neuron dies."""

import numpy as np
import pytest
from scipy.stats import binomtest

from shoal.theory import death_probability, failure_probability


def consistent(successes, trials, chance):
    return binomtest(int(successes), trials, chance).pvalue > 1e-4


@pytest.mark.parametrize(("first", "last"), [(1.0, 1.0), (0.2, 1.0), (3.0, 1.0)])
@pytest.mark.parametrize("neurons", [1, 3])
def test_separated_law(first, last, neurons):
    random = np.random.default_rng(5)
    a = np.abs(random.normal(0, first, (200_000, neurons)))
    zt = random.normal(0, last, (200_000, neurons))
    failures = (a + zt < 0).all(axis=1).sum()
    assert consistent(failures, 200_000, float(failure_probability(neurons, first, last)))


@pytest.mark.parametrize("scales", [(1.0, 1.0), (0.3, 2.0)])
def test_antipodal_law_whatever_the_scales(scales):
    random = np.random.default_rng(6)
    a, z = (random.normal(0, scale, (200_000, 4)) for scale in scales)
    serves = a + z > 0
    failures = (serves.all(axis=1) | ~serves.any(axis=1)).sum()
    assert consistent(failures, 200_000, float(failure_probability(4, *scales, data="antipodal")))


def test_known_values_and_none():
    assert death_probability() == 0.25
    np.testing.assert_array_equal(failure_probability([0, 1, 2]), [1, 0.25, 0.0625])
    np.testing.assert_array_equal(failure_probability([[0, 1], [2, 3]], data="antipodal"), [[1, 1], [0.5, 0.25]])


def test_refusals():
    with pytest.raises(ValueError, match="weight_std must be positive"):
        failure_probability(1, 0.0)
    with pytest.raises(ValueError, match="neurons must not be negative, got -2"):
        failure_probability([1, -2])
    with pytest.raises(TypeError, match="neurons must be integers"):
        failure_probability(1.5)
    with pytest.raises(ValueError, match="data must be one of separated, antipodal"):
        failure_probability(1, data="moons")
