"""Specifications do not change, are equal to their equals, and are the same after every kind of copy."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import shoal

INPUTS = np.array([[1.0, 0.0], [0.5, -0.0]])


def task(last: float = 3.0) -> shoal.Task:
    return shoal.Task(INPUTS, [1, -1], [1, last], test=(INPUTS[::-1], [1, 1]))


def explicit(last: float = 3.0) -> shoal.Explicit:
    return shoal.Explicit([np.ones((4, 3, 2)), np.full((4, 1, 3), last)], [np.zeros((4, 3)), np.zeros((4, 1))])


MADE: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
    "Task": (task, lambda: task(4.0)),
    "Explicit": (explicit, lambda: explicit(4.0)),
    "Gaussian": (lambda: shoal.Gaussian(0.1), lambda: shoal.Gaussian(gain=0.1)),
    "Balanced": (lambda: shoal.Balanced(1), lambda: shoal.Balanced(2)),
    "Separated": (lambda: shoal.Separated(1.0), lambda: shoal.Separated(1.0, 2.0)),
    "Unit": (lambda: shoal.Unit([1, 2]), lambda: shoal.Unit((1.0, 2.0), 1)),
    "Symmetric": (lambda: shoal.Symmetric(shoal.Balanced(1)), lambda: shoal.Symmetric(shoal.Balanced(2))),
    "Network": (lambda: shoal.Network([2, 3, 1]), lambda: shoal.Network((2, 3, 1), centred=True)),
    "GradientDescent": (lambda: shoal.GradientDescent(0.1, 5, stop="dead"), lambda: shoal.GradientDescent(0.1, 5)),
    "GradientFlow": (lambda: shoal.GradientFlow(4), lambda: shoal.GradientFlow(4.0, rtol=1e-6)),
    "Record": (lambda: shoal.Record(times=np.arange(3)), lambda: shoal.Record(times=[0, 1])),
    "Record of statistics": (
        lambda: shoal.Record(reduce=shoal.Statistics(events=("error>0",))),
        lambda: shoal.Record(reduce=shoal.Statistics()),
    ),
    "Statistics": (lambda: shoal.Statistics(distribution=["loss"]), shoal.Statistics),
    "Hinge": (lambda: shoal.Hinge(2.0), lambda: shoal.SquaredHinge(2.0)),
    "Squared": (shoal.Squared, shoal.CrossEntropy),
}
COPIES: dict[str, Callable[[Any], Any]] = {
    **{f"pickle {protocol}": lambda x, p=protocol: pickle.loads(pickle.dumps(x, p)) for protocol in range(2, 6)},
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "deepcopy in a list": lambda x: copy.deepcopy([x])[0],
    "replace": dataclasses.replace,
}


def arrays(value: Any) -> list[np.ndarray]:
    if isinstance(value, np.ndarray):
        return [value]
    if isinstance(value, tuple):
        return [array for held in value for array in arrays(held)]
    if dataclasses.is_dataclass(value):
        return [array for field in dataclasses.fields(value) for array in arrays(getattr(value, field.name))]
    return []


@pytest.mark.parametrize("name", MADE)
def test_equal_specifications_are_equal_and_have_one_hash(name: str) -> None:
    make, make_other = MADE[name]
    assert make() == make()
    assert hash(make()) == hash(make())
    assert len({make(), make(), make_other()}) == 2
    assert make() != make_other()
    assert make() != 3


@pytest.mark.parametrize("kind", COPIES)
@pytest.mark.parametrize("name", MADE)
def test_a_copy_is_equal_and_stays_read_only(name: str, kind: str) -> None:
    made = MADE[name][0]()
    copied = COPIES[kind](made)
    assert copied == made
    assert type(copied) is type(made)
    assert repr(copied) == repr(made)
    assert len(arrays(copied)) == len(arrays(made))
    for array in arrays(copied):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(copied, dataclasses.fields(copied)[0].name if dataclasses.fields(copied) else "margin", 0)


def test_memory_that_pickle_takes_from_elsewhere_is_not_kept() -> None:
    """Protocol 5 may hand over buffers that others go on writing to."""
    buffers: list[pickle.PickleBuffer] = []
    text = pickle.dumps(task(), 5, buffer_callback=buffers.append)
    shared = [bytearray(buffer.raw()) for buffer in buffers]
    again = pickle.loads(text, buffers=shared)
    for memory in shared:
        memory[:] = bytes(len(memory))
    assert again == task()


def test_arrays_that_differ_in_the_sign_of_zero_alone_are_equal() -> None:
    plus, minus = shoal.Task([[0.0, 1.0]], [1]), shoal.Task([[-0.0, 1.0]], [1])
    assert plus == minus
    assert hash(plus) == hash(minus)


def test_a_pickled_task_trains_to_the_same_bits() -> None:
    given: dict[str, Any] = {"init": shoal.Gaussian(0.3), "method": shoal.GradientDescent(0.1, 5), "networks": 3}
    one = shoal.train(shoal.Network((2, 3, 1)), task(), **given)
    other = shoal.train(shoal.Network((2, 3, 1)), pickle.loads(pickle.dumps(task())), **given)
    assert one.identical(other)
