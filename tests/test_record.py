"""When a training is recorded: times to the last rounding, steps to the last integer."""

from __future__ import annotations

import numpy as np
import pytest

import shoal
from support import layers, random_init, random_task

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


@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("networks", [3, 70])
def test_margins_and_trajectories_are_in_the_places_of_their_samples_and_weights(
    outputs: int, dtype: str, networks: int
) -> None:
    generator = np.random.default_rng(networks)
    plain, test = (random_task(samples, 2, outputs, generator, dtype) for samples in (61, 37))
    counted = plain.sample_weight * (np.arange(61) % 19 > 1)  # samples of weight 0 are measured after the others
    task = shoal.Task(plain.inputs, plain.labels, counted, test=(test.inputs, test.labels))
    network = shoal.Network((2, 5, outputs), bias=True)
    drawn = random_init(network, networks, generator, dtype)
    sizes = np.ones((networks, 1, 1))
    sizes[1] = 1e300 if dtype == "float64" else 1e30  # diverges
    init = shoal.Explicit([(sizes * w).astype(dtype).astype(float) for w in drawn.weights], drawn.biases)
    asked = shoal.Record(
        steps=[0, 7, 8, 20], measure=("margin", "output", "test_margin", "test_output", "trajectory", "weights")
    )
    method = shoal.GradientDescent(0.25, 20)
    data = shoal.train(network, task, init, method=method, record=asked, networks=networks, dtype=dtype, threads=1)
    assert data.status.values[1] != data.status.values[0]
    for name, labels in (("", task.labels), ("test_", test.labels)):
        output, margin = data[f"{name}output"].values, data[f"{name}margin"].values
        if outputs == 1:
            known = output * labels.astype(dtype)
        else:
            own = np.arange(outputs) == labels[:, None]
            known = output[..., own] - np.where(own, -np.inf, output).max(axis=-1)
        np.testing.assert_array_equal(margin, known.astype(dtype))
    for way, last in zip(layers(data, "trajectory"), layers(data, "weights"), strict=True):
        np.testing.assert_array_equal(way[:, -1], last)
