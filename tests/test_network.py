"""Networks, losses, methods and records say what they are."""

from __future__ import annotations

import numpy as np
import pytest

import shoal
from shoal.spec.loss import resolve_loss
from shoal.spec.measures import MEASURES


def test_a_network_counts_its_parts() -> None:
    network = shoal.Network((10, 20, 5, 3), bias=True)
    assert (network.inputs, network.outputs, network.layers, network.units) == (10, 3, 3, 25)
    assert network.parameters == 10 * 20 + 20 * 5 + 5 * 3 + 20 + 5 + 3


@pytest.mark.parametrize(
    "thing",
    [
        shoal.Network((2, 3, 1), "leaky_relu", slope=0.2, bias=True),
        shoal.Network(widths=[np.int64(4), 1]),  # type: ignore[arg-type]
        shoal.Network((2, 3, 1), scales=[np.float64(0.5), 2], rates=(3, 1.0), centred=True),
        shoal.Network.ntk((3, 4, 1), "tanh", bias=True),
        shoal.Network.mean_field(7, 30, alpha=0.3),
        shoal.Gaussian(std=np.float64(0.1)),
        shoal.Gaussian(gain=1),
        shoal.Balanced(0.1),
        shoal.Separated(0.1, output_std=0.2),
        shoal.Unit(0.1),
        shoal.Unit(np.array([0.1, 0.2]), [1, -1]),
        shoal.Symmetric(shoal.Gaussian(gain=1)),
        shoal.CrossEntropy(),
        shoal.Hinge(2),
        shoal.SquaredHinge(0.5),
        shoal.Exponential(),
        shoal.Squared(),
        shoal.GradientDescent(0.1, 10),
        shoal.Record(times=np.array([0, 0.5]), measure=("loss",)),
        shoal.Record(steps=np.array([0, 5]), reduce="moments"),
    ],
)
def test_the_repr_of_a_specification_is_the_call_that_makes_it(thing: object) -> None:
    assert eval(repr(thing), vars(shoal)) == thing


@pytest.mark.parametrize("name", ["cross_entropy", "hinge", "squared_hinge", "exponential", "squared"])
def test_a_loss_is_found_by_its_name(name: str) -> None:
    loss = resolve_loss(name)
    assert loss.name == name
    assert loss.threshold == 1
    assert resolve_loss(loss) is loss


def test_times_are_recorded_at_the_nearest_step_and_each_step_once() -> None:
    record = shoal.Record(times=[0, 0.26, 0.3, 1.99])
    np.testing.assert_array_equal(record.at(shoal.GradientDescent(0.5, 4)), [0, 1, 4])


def test_steps_are_recorded_as_given() -> None:
    np.testing.assert_array_equal(shoal.Record(steps=[3, 7]).at(shoal.GradientDescent(0.5, 7)), [3, 7])


@pytest.mark.parametrize(("steps", "count"), [(0, 1), (1, 2), (99, 100), (100, 101), (12345, 101), (10**15 + 1, 101)])
def test_the_default_record_runs_evenly_from_the_first_to_the_last_step(steps: int, count: int) -> None:
    recorded = shoal.Record().at(shoal.GradientDescent(0.1, steps))
    assert len(recorded) == count
    assert recorded[0] == 0
    assert recorded[-1] == steps
    if steps:
        assert np.ptp(np.diff(recorded)) <= 1


def test_all_measures_can_be_asked_for_but_weights_cannot_be_reduced() -> None:
    assert shoal.Record(measure=list(MEASURES)).measure == MEASURES
    with pytest.raises(ValueError, match="measure must not hold 'weights' with reduce='moments'"):
        shoal.Record(measure=("loss", "weights"), reduce="moments")
