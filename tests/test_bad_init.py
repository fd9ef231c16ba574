"""What `Unit` and `Symmetric` refuse, alone and in a training, before it starts."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import shoal

KNOWN = "of must be one of shoal.Gaussian, shoal.Balanced, shoal.Separated, shoal.Unit, got "


def train(init: shoal.Init, widths: tuple[int, ...] = (2, 3, 1), **changed: Any) -> Any:
    method = shoal.GradientDescent(0.1, 5)
    return shoal.train(shoal.Network(widths), shoal.tasks.modes((1.0, 2.0)), init, method=method, **changed)


GAUSSIAN = shoal.Gaussian(0.1)
REFUSED: list[tuple[Callable[[], object], type[Exception], str]] = [
    (lambda: shoal.Unit(0), ValueError, "norm must be positive, got 0.0"),
    (lambda: shoal.Unit("x"), TypeError, "norm must be a number, got 'x'"),  # type: ignore[arg-type]
    (lambda: shoal.Unit([0.1, -1]), ValueError, "norm[1] must be positive, got -1.0"),
    (lambda: shoal.Unit([]), ValueError, "norm must be a number, or hold one for each hidden unit, got none"),
    (lambda: shoal.Unit([[0.1]]), TypeError, "norm[0] must be a number, got [0.1]"),  # type: ignore[list-item]
    (lambda: shoal.Unit(0.1, np.inf), ValueError, "output must be finite, got inf"),
    (lambda: shoal.Unit(0.1, [1, np.nan]), ValueError, "output[1] must be finite, got nan"),
    (lambda: shoal.Symmetric(0.1), TypeError, KNOWN + "0.1"),  # type: ignore[arg-type]
    (lambda: shoal.Symmetric(shoal.Symmetric(GAUSSIAN)), TypeError, KNOWN + "Symmetric("),
    (
        lambda: shoal.Symmetric(shoal.Explicit([np.ones((1, 1, 1))])),
        TypeError,
        "of must be drawn, got Explicit(weights=[<float64 (1, 1, 1)>]): give weights that are symmetric as Explicit",
    ),
    (
        lambda: train(shoal.Unit(0.1), (2, 3, 3, 1)),
        ValueError,
        "init=Unit needs two weight layers and one output, got a network of widths (2, 3, 3, 1)",
    ),
    (
        lambda: train(shoal.Unit([0.1, 0.2])),
        ValueError,
        "norm must hold one number for each of the 3 hidden units, got 2",
    ),
    (
        lambda: train(shoal.Unit(0.1, [1, 1, 1, 1])),
        ValueError,
        "output must hold one number for each of the 3 hidden units, got 4",
    ),
    (
        lambda: train(shoal.Symmetric(GAUSSIAN)),
        ValueError,
        "init=Symmetric needs a last hidden layer of an even number of units, got a network of widths (2, 3, 1)",
    ),
    (
        lambda: train(shoal.Symmetric(GAUSSIAN), (2, 1)),
        ValueError,
        "init=Symmetric needs a last hidden layer of an even number of units, got a network of widths (2, 1)",
    ),
    (
        lambda: train(shoal.Symmetric(shoal.Unit([1, 2])), (2, 2, 1)),
        ValueError,
        "norm must be equal for both units of a pair in init=Symmetric, got norm[0]=1.0, norm[1]=2.0",
    ),
    (
        lambda: train(shoal.Symmetric(shoal.Unit(1, [1, 1])), (2, 2, 1)),
        ValueError,
        "output must be opposite for both units of a pair in init=Symmetric, got output[0]=1.0, output[1]=1.0",
    ),
]


@pytest.mark.parametrize(("call", "kind", "message"), REFUSED, ids=[case[2][:60] for case in REFUSED])
def test_what_does_not_fit_is_refused(call: Callable[[], object], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=re.escape(message)):
        call()


@pytest.mark.parametrize("value", [1e39, 1e-50])
@pytest.mark.parametrize(
    ("name", "init"),
    [
        ("norm", shoal.Unit),
        ("output[1]", lambda value: shoal.Unit(0.1, [1, -value, 0, 1])),
        ("norm[2]", lambda value: shoal.Symmetric(shoal.Unit([1, 1, value, value]))),
        ("std", lambda value: shoal.Symmetric(shoal.Gaussian(value))),
    ],
)
def test_what_float32_cannot_hold_is_refused(name: str, init: Callable[[float], shoal.Init], value: float) -> None:
    train(init(value), (2, 4, 1), dtype="float64")
    with pytest.raises(ValueError, match=re.escape(f"{name} must lie within the range of float32")):
        train(init(value), (2, 4, 1), dtype="float32")
