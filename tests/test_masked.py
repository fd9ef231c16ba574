"""Arrays that mean something else than their numbers are refused wherever arrays are taken."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import shoal
from shoal import theory

MASKED = np.ma.masked_values([1.0, 9.96921e36], 9.96921e36)
ROWS = np.ma.masked_values([[1.0, 2.0], [9.96921e36, 1.0]], 9.96921e36)
INPUTS = [[1.0, 0.0], [0.0, 1.0]]
WEIGHTS = (np.ones((1, 2, 2)), np.ones((1, 1, 2)))
LIKE_A_TASK = SimpleNamespace(inputs=ROWS, labels=np.array([1, -1]), sample_weight=np.array([0.5, 0.5]))

CALLS: dict[str, Callable[[], Any]] = {
    "inputs": lambda: shoal.Task(ROWS, [1, -1]),
    "inputs in a list": lambda: shoal.Task(list(ROWS), [1, -1]),
    "inputs without a masked number": lambda: shoal.Task(np.ma.array(INPUTS), [1, -1]),
    "labels": lambda: shoal.Task(INPUTS, np.ma.array([1, -1], mask=[0, 1])),
    "sample_weight": lambda: shoal.Task(INPUTS, [1, -1], MASKED),
    "test inputs": lambda: shoal.Task(INPUTS, [1, -1], test=(ROWS, [1, -1])),
    "test labels": lambda: shoal.Task(INPUTS, [1, -1], test=(INPUTS, np.ma.array([1, -1], mask=[0, 1]))),
    "explicit weights": lambda: shoal.Explicit([np.ma.array(np.ones((1, 1, 2)))]),
    "explicit biases": lambda: shoal.Explicit([np.ones((1, 1, 2))], [np.ma.array(np.ones((1, 1)))]),
    "times": lambda: shoal.Record(times=MASKED),
    "steps": lambda: shoal.Record(steps=np.ma.array([0, 3], mask=[0, 1])),
    "spread": lambda: shoal.tasks.mixture(10, [[0.0, 0.0], [1.0, 1.0]], [1, -1], spread=MASKED),
    "times of a mode": lambda: theory.Mode(1.0, 1.0, 0.1).margin(MASKED),
    "margins of a mode": lambda: theory.Mode(1.0, 1.0, 0.1).time(MASKED),
    "margins of a chain": lambda: theory.Chain((0.5, 0.5)).time(MASKED),
    "inputs of a separator": lambda: theory.separator(ROWS, [1, 1]),
    "starts of descend_mode": lambda: theory.descend_mode(MASKED, 1.0, 0.1, 2),
    "levels": lambda: theory.learning_time(MASKED, 0.1, 1.0),
    "neurons": lambda: theory.failure_probability(np.ma.array([1, 2], mask=[0, 1])),
    "strengths": lambda: theory.starved_strength(MASKED, (0.1, 0.1)),
    "penalties": lambda: theory.decoupled_margin(MASKED),
    "task of penalised_linear": lambda: theory.penalised_linear(LIKE_A_TASK, 0.1),
    "task of separated_margins": lambda: theory.separated_margins(WEIGHTS, LIKE_A_TASK, "hinge", [1.0]),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_masked_array_is_refused_with_the_remedy(name: str) -> None:
    with pytest.raises(TypeError, match=r"must not be masked: leave out .*, or fill it with \.filled"):
        CALLS[name]()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: shoal.Task(INPUTS, [True, False]), TypeError, "labels must hold real numbers, got dtype bool"),
        (lambda: shoal.Record(times=[False, True]), TypeError, "times must hold real numbers, got dtype bool"),
        (lambda: shoal.Task(np.array(INPUTS) + 1j, [1, -1]), TypeError, "got dtype complex128"),
        (lambda: shoal.Task(np.array(INPUTS, dtype=object), [1, -1]), TypeError, r"got dtype object: give an array of"),
        (
            lambda: shoal.Task(pd.DataFrame({"a": pd.array([1, None], "Int64"), "b": [1, 2]}), [1, -1]),
            TypeError,
            "object",
        ),
        (
            lambda: shoal.Task(INPUTS, np.array([[1, -1]]).view(np.matrix)),
            ValueError,
            r"labels must have shape \(samples,\)",
        ),
        (lambda: shoal.Task(xr.DataArray(INPUTS, dims=("input", "sample")), [1, -1]), ValueError, "transpose them"),
        (
            lambda: shoal.Task(pd.DataFrame(INPUTS, index=[3, 7]), pd.Series([1, -1], index=[7, 3])),
            ValueError,
            "inputs and labels must have the same labels in the same order",
        ),
        (
            lambda: shoal.Task(
                xr.DataArray(INPUTS, dims=("sample", "input"), coords={"sample": [3, 7]}),
                xr.DataArray([1, -1], dims="sample", coords={"sample": [7, 3]}),
            ),
            ValueError,
            "inputs and labels must have the same labels in the same order",
        ),
    ],
)
def test_what_would_not_mean_what_it_holds_is_refused(
    call: Callable[[], Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        call()


def test_tables_whose_rows_belong_together_are_taken() -> None:
    expected = shoal.Task(INPUTS, [1, -1], [1, 0])
    table = pd.DataFrame(INPUTS, index=[3, 7])
    assert shoal.Task(table, pd.Series([1, -1], index=[3, 7]), pd.Series([True, False], index=[3, 7])) == expected
    assert shoal.Task(np.array(INPUTS, dtype=bool), [1, -1], [1, 0]) == expected
    assert shoal.Task(np.array(INPUTS).view(np.matrix), [1, -1], [1, 0]) == expected
    assert shoal.Task(xr.DataArray(INPUTS, dims=("sample", "input")), [1, -1], [1, 0]) == expected
