"""A former name is an error that says the name of today."""

from __future__ import annotations

import copy
import inspect
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import shoal
from shoal.base import former

CALLS: dict[str, Callable[..., Any]] = {
    "Balanced": shoal.Balanced,
    "Gaussian": shoal.Gaussian,
    "GradientDescent": lambda **given: shoal.GradientDescent(steps=5, **given),
    "GradientFlow": shoal.GradientFlow,
    "Hinge": shoal.Hinge,
    "MeanFieldHinge": lambda **given: shoal.theory.MeanFieldHinge(9, 5, **given),
    "Mode": shoal.theory.Mode,
    "Separated": shoal.Separated,
    "SquaredHinge": shoal.SquaredHinge,
    "Task": lambda **given: shoal.Task([[1.0]], [1], **given),
    "death_probability": shoal.theory.death_probability,
    "failure_probability": shoal.theory.failure_probability,
    "sweep": shoal.sweep,
    "train": shoal.train,
}


@pytest.mark.parametrize("name", former.NAMES)
def test_a_former_name_says_what_takes_its_place(name: str) -> None:
    with pytest.raises(AttributeError, match=rf"^{name} is now "):
        eval(name)


@pytest.mark.parametrize(("owner", "old"), [(owner, old) for owner, names in former.KEYWORDS.items() for old in names])
def test_a_former_argument_says_its_name_of_today(owner: str, old: str) -> None:
    new = former.KEYWORDS[owner][old]
    with pytest.raises(TypeError, match=rf"^{old} is now {new}: {owner} takes {new}="):
        CALLS[owner](**{old: 1.0})


@pytest.mark.parametrize("owner", ["sweep", "train"])
def test_an_argument_that_nothing_replaces_says_why(owner: str) -> None:
    with pytest.raises(TypeError, match=rf"^engine is no argument of {owner} any more: networks have the same "):
        CALLS[owner](engine="lanes")
    with pytest.raises(TypeError, match="unexpected keyword argument 'engine'"):
        shoal.Training(engine="lanes")  # type: ignore[call-arg]


@pytest.mark.parametrize("name", [new for old, new in former.NAMES.items() if " " not in new])
def test_the_names_of_today_are_there(name: str) -> None:
    assert eval(name).__name__ == name.split(".")[-1]


def test_signatures_and_copies_are_those_of_the_classes_themselves() -> None:
    assert list(inspect.signature(shoal.GradientFlow).parameters) == ["t_end", "rtol", "atol", "max_steps"]
    assert list(inspect.signature(shoal.train).parameters)[:3] == ["network", "task", "init"]
    method = shoal.GradientDescent(0.1, 5)
    assert pickle.loads(pickle.dumps(method)) == copy.deepcopy(method) == method


def test_a_dataset_saved_under_former_names_is_refused() -> None:
    data = shoal.train(
        shoal.Network((1, 1)), shoal.Task([[1.0]], [1]), shoal.Gaussian(1.0), method=shoal.GradientDescent(0.1, 1)
    )
    data.attrs["specification"] = data.attrs["specification"].replace('"kind": "Network", ', "")
    with pytest.raises(ValueError, match="got one of an earlier version: train it again"):
        shoal.specification(data)


@pytest.mark.parametrize(("old", "new"), former.FIELDS.items())
def test_a_former_field_of_a_sweep_says_its_name_of_today(old: str, new: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=rf"got '{old}', which is now '{new}'"):
        shoal.sweep(
            shoal.Network((2, 3, 1)), shoal.tasks.modes((1.0, 2.0)), shoal.Gaussian(0.1), networks=3,
            method=shoal.GradientDescent(0.1, 5), over={old: [0.1, 0.2]}, store=tmp_path / "run.zarr",
        )  # fmt: skip
