"""When a training is recorded: times to the last rounding, steps to the last integer."""

from __future__ import annotations

import numpy as np
import pytest

import shoal

TASK = shoal.tasks.modes((1.7, 0.9))


@pytest.mark.parametrize("end", [0.3, 0.7, 1.1, 1e-9, 1e15])
def test_a_last_time_that_exceeds_the_end_by_rounding_is_the_end(end: float) -> None:
    above = np.nextafter(end, np.inf)
    for times in ([0.0, above], [0.0, end / 3 + end / 3 + end / 3], [0.0, end, above]):
        assert shoal.Record(times=times).at(shoal.GradientFlow(end)).tolist() == [0.0, end]
        assert shoal.Record(times=times).at(shoal.GradientDescent(end / 10, 10)).tolist() == [0, 10]


def test_a_flow_is_recorded_at_the_steps_of_a_range_to_its_end() -> None:
    times = np.arange(0, 0.31, 0.1)
    assert times[-1] > 0.3
    given = (shoal.Network((2, 4, 1)), TASK, shoal.Gaussian(0.3))
    data = shoal.train(*given, method=shoal.GradientFlow(0.3), record=shoal.Record(times=times))
    assert data.time.values.tolist() == [0.0, 0.1, 0.2, 0.3]
    exact = shoal.train(*given, method=shoal.GradientFlow(0.3), record=shoal.Record(times=[0.0, 0.1, 0.2, 0.3]))
    np.testing.assert_array_equal(data.margin.values, exact.margin.values)


@pytest.mark.parametrize(
    "method", [shoal.GradientFlow(0.3), shoal.GradientDescent(0.003, 100), shoal.GradientDescent(3e-19, 10**18)]
)
def test_a_time_that_exceeds_the_end_by_more_is_refused_with_all_its_digits(
    method: shoal.GradientFlow | shoal.GradientDescent,
) -> None:
    with pytest.raises(ValueError, match=r"times must not exceed .*0\.3.*, got 0\.31"):
        shoal.Record(times=[0.0, 0.31]).at(method)


@pytest.mark.parametrize("steps", [10**9, 10**15 + 1, 2**53, 10**17, 2**62])
@pytest.mark.parametrize("rate", [0.1, 0.3, 1e-3])
def test_the_end_of_a_descent_is_its_last_step_however_many_there_are(steps: int, rate: float) -> None:
    method = shoal.GradientDescent(rate, steps)
    assert shoal.Record(times=[0.0, method.t_end]).at(method).tolist() == [0, steps]


def test_steps_are_integers_however_large() -> None:
    steps = [0, 2**53, 2**53 + 1]
    assert shoal.Record(steps=steps).at(shoal.GradientDescent(0.1, 2**53 + 1)).tolist() == steps
    with pytest.raises(ValueError, match="steps must increase strictly, got 3 then 2 at index 2"):
        shoal.Record(steps=np.array([0, 3, 2], dtype=np.uint64))


def test_one_measure_may_be_given_by_its_name() -> None:
    assert shoal.Record(measure="loss") == shoal.Record(measure=("loss",))
