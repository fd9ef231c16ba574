"""What cannot be trained is refused before any work, by a message that says what came and what is allowed."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import shoal
from shoal import _core, tasks

NAN, INF = float("nan"), float("inf")
NETWORK = shoal.Network((2, 4, 1))
TASK = shoal.tasks.modes((1.7, 0.9))
START = shoal.Gaussian(0.1)
WEIGHTS = [np.ones((3, 4, 2)), np.ones((3, 1, 4))]


def train(**changed: Any) -> Any:
    arguments: dict[str, Any] = {
        "network": NETWORK,
        "task": TASK,
        "init": START,
        "method": shoal.GradientDescent(0.1, 5),
        "networks": 3,
        **changed,
    }
    return shoal.train(**arguments)


class Own(shoal.Init):
    """An initialisation that the core does not know."""

    def for_core(self, network: shoal.Network, task: shoal.Task, networks: int) -> dict[str, Any]:
        return {}


class OwnLoss(shoal.Loss):
    """A loss that the core does not know."""

    threshold = 1.0
    name = "own"


Case = tuple[Callable[[], object], type[Exception], str]
SPECIFICATIONS: list[Case] = [
    (lambda: shoal.Network((3,)), ValueError, "widths must name at least the inputs and the outputs, got (3,)"),
    (lambda: shoal.Network((3, 0, 1)), ValueError, "widths[1] must be at least 1, got 0"),
    (
        lambda: shoal.Network((65536, 65536, 1)),
        ValueError,
        "at most 1073741824 parameters, got (65536, 65536, 1), which has 4295032832",
    ),
    (
        lambda: shoal.Network((1, 2**29, 1), bias=True),
        ValueError,
        "widths must make a network of at most 1073741824 parameters, got (1, 536870912, 1), which has 1610612737",
    ),
    (lambda: shoal.Network((3, 2.5, 1)), TypeError, "widths[1] must be an integer, got 2.5 of type float"),  # type: ignore[arg-type]
    (lambda: shoal.Network("31"), TypeError, "widths must be a sequence of integers such as (10, 20, 1), got '31'"),  # type: ignore[arg-type]
    (lambda: shoal.Network((3, 1), "gelu"), ValueError, "activation must be one of relu, leaky_relu, linear, tanh"),
    (lambda: shoal.Network((3, 1), 5), TypeError, "activation must be one of relu"),  # type: ignore[arg-type]
    (lambda: shoal.Network((3, 1), "leaky_relu", 1.5), ValueError, "slope must lie between 0 and 1, got 1.5"),
    (lambda: shoal.Network((3, 1), "relu", 0.5), ValueError, "slope is for leaky_relu only"),
    (lambda: shoal.Network((3, 1), bias=1), TypeError, "bias must be True or False, got 1"),  # type: ignore[arg-type]
    (lambda: shoal.Task([1, 2], [1, -1]), ValueError, "inputs must have shape (samples, inputs)"),
    (
        lambda: shoal.Task(np.zeros((0, 2)), []),
        ValueError,
        "inputs must have shape (samples, inputs), none of them zero",
    ),
    (lambda: shoal.Task([[1, 2], [3]], [1, -1]), ValueError, "inputs must have shape (samples, inputs), got rows of"),
    (lambda: shoal.Task([[1, NAN]], [1]), ValueError, "inputs must be finite, got nan at index (0, 1) (1 such values)"),
    (lambda: shoal.Task([[INF, 1]], [1]), ValueError, "inputs must be finite, got inf at index (0, 0)"),
    (lambda: shoal.Task([["a"]], [1]), TypeError, "inputs must hold real numbers, got dtype <U1"),
    (lambda: shoal.Task([[1j]], [1]), TypeError, "inputs must hold real numbers, got dtype complex128"),
    (
        lambda: shoal.Task([[1]], [1, -1]),
        ValueError,
        "labels must have one entry per sample, 1, got 2",
    ),
    (lambda: shoal.Task([[1]], [[1]]), ValueError, "labels must have shape (samples,)"),
    (
        lambda: shoal.Task([[1]] * 3, [-1, 0, 1]),
        ValueError,
        "labels must be -1/+1 (one output) or 0..K-1 (K outputs), got",
    ),
    (lambda: shoal.Task([[1]], [0.5]), ValueError, "labels must be -1/+1 (one output) or 0..K-1 (K outputs), got 0.5"),
    (lambda: shoal.Task([[1]], [NAN]), ValueError, "labels must be finite, got nan"),
    (lambda: shoal.Task([[1]], [1], [1, 1]), ValueError, "sample_weight must have one entry per sample"),
    (lambda: shoal.Task([[1]] * 2, [1, 1], [2, -1]), ValueError, "sample_weight must not be negative, got -1.0 at"),
    (lambda: shoal.Task([[1]], [1], [0]), ValueError, "sample_weight must not all be zero, got a sum of 0"),
    (lambda: shoal.Task([[1]], [1], [INF]), ValueError, "sample_weight must be finite, got inf"),
    (lambda: shoal.Task([[1]], [1], test=5), TypeError, "test must be a pair (inputs, labels) or None, got 5"),  # type: ignore[arg-type]
    (
        lambda: shoal.Task([[1]], [1], test=([[1, 2]], [1])),
        ValueError,
        "test inputs must have the 1 columns that inputs",
    ),
    (lambda: shoal.Task([[1]], [1], test=([1], [1])), ValueError, "test inputs must have shape (samples, inputs)"),
    (lambda: shoal.Task([[1]], [1], test=([[NAN]], [1])), ValueError, "test inputs must be finite, got nan"),
    (
        lambda: shoal.Task([[1]], [1], test=([[1]], [1, 1])),
        ValueError,
        "test labels must have one entry per sample, 1, got 2",
    ),
    (
        lambda: shoal.Task([[1]], [1], test=([[1]], [0.5])),
        ValueError,
        "test labels must be -1/+1 (one output) or 0..K-1",
    ),
    (
        lambda: shoal.Task([[1]], [-1], test=([[1]], [0])),
        ValueError,
        "labels and test labels together must be -1/+1 (one output) or 0..K-1 (K outputs), got -1, 0",
    ),
    (lambda: shoal.Gaussian(), ValueError, "Gaussian takes either std or gain, got std=None, gain=None"),
    (lambda: shoal.Gaussian(0.1, 0.1), ValueError, "Gaussian takes either std or gain"),
    (lambda: shoal.Gaussian(-1), ValueError, "std must be positive, got -1.0"),
    (lambda: shoal.Gaussian(gain=0), ValueError, "gain must be positive, got 0.0"),
    (lambda: shoal.Gaussian("x"), TypeError, "std must be a number, got 'x'"),  # type: ignore[arg-type]
    (lambda: shoal.Balanced(NAN), ValueError, "std must be finite, got nan"),
    (lambda: shoal.Separated(0.1, 0), ValueError, "output_std must be positive, got 0.0"),
    (lambda: shoal.Explicit([]), ValueError, "weights must hold one array per layer, got none"),
    (lambda: shoal.Explicit(np.ones((1, 1, 1))), TypeError, "weights must be a list of one array"),  # type: ignore[arg-type]
    (lambda: shoal.Explicit([np.ones((4, 2))]), ValueError, "weights[0] must have shape (networks, outputs, inputs)"),
    (lambda: shoal.Explicit([np.full((1, 1, 1), INF)]), ValueError, "weights[0] must be finite, got inf"),
    (lambda: shoal.Explicit([WEIGHTS[0], np.ones((2, 1, 4))]), ValueError, "weights[1] must hold as many networks as"),
    (
        lambda: shoal.Explicit([WEIGHTS[0], np.ones((3, 1, 5))]),
        ValueError,
        "weights[1] must have shape (networks, outputs, 4)",
    ),
    (
        lambda: shoal.Explicit(WEIGHTS, [np.ones((3, 4))]),
        ValueError,
        "biases must hold one array (networks, outputs) per layer",
    ),
    (lambda: shoal.Hinge(0), ValueError, "threshold must be positive, got 0.0"),
    (lambda: shoal.SquaredHinge(-1), ValueError, "threshold must be positive, got -1.0"),
    (lambda: shoal.GradientDescent(0, 5), ValueError, "learning_rate must be positive, got 0.0"),
    (lambda: shoal.GradientDescent(-0.1, 5), ValueError, "learning_rate must be positive, got -0.1"),
    (lambda: shoal.GradientDescent(NAN, 5), ValueError, "learning_rate must be finite, got nan"),
    (lambda: shoal.GradientDescent(0.1, -1), ValueError, "steps must be between 0 and"),
    (lambda: shoal.GradientDescent(0.1, 2.0), TypeError, "steps must be an integer, got 2.0"),  # type: ignore[arg-type]
    (lambda: shoal.Record(times=[0, 1], steps=[0, 1]), ValueError, "times and steps must not both be given"),
    (lambda: shoal.Record(times=[0, 2, 2]), ValueError, "times must increase strictly, got 2 then 2 at index 2"),
    (lambda: shoal.Record(times=[-1, 2]), ValueError, "times must not be negative, got -1"),
    (lambda: shoal.Record(times=[0, NAN]), ValueError, "times must be finite, got nan"),
    (lambda: shoal.Record(times=[]), ValueError, "times must have shape (times,), none of them zero"),
    (lambda: shoal.Record(steps=[3, 1]), ValueError, "steps must increase strictly, got 3 then 1 at index 1"),
    (lambda: shoal.Record(steps=[0.5]), TypeError, "steps must be integers, got dtype float64"),  # type: ignore[list-item]
    (lambda: shoal.Record(measure=("accuracy",)), ValueError, "measure must be one of loss, error, soft_error, margin"),
    (lambda: shoal.Record(measure="accuracy"), ValueError, "measure must be one of loss, error"),
    (lambda: shoal.Record(measure=3), TypeError, "measure must be a name or a tuple of names"),  # type: ignore[arg-type]
    (lambda: shoal.Record(measure=()), ValueError, "measure must name at least one of loss"),
    (lambda: shoal.Record(measure=("loss", "loss")), ValueError, "measure must not repeat a name"),
    *(
        (
            lambda name=name: shoal.Record(measure=("loss", name), reduce="moments"),
            ValueError,
            f"measure must not hold '{name}' with reduce='moments': it is of single networks",
        )
        for name in ("weights", "trajectory", "pattern")
    ),
    (lambda: shoal.Record(reduce="mean"), ValueError, "reduce must be one of moments, got 'mean'"),
    (lambda: tasks.modes((1, -1)), ValueError, "norms must be positive, got -1"),
    (lambda: tasks.modes((1, 1), (1,)), ValueError, "frequencies must have one entry per sample, 2, got 1"),
    (lambda: tasks.modes((1, 1), (1, -1)), ValueError, "frequencies must not be negative nor all zero"),
    (lambda: tasks.modes((1, 1), dimension=1), ValueError, "dimension must be at least 2, got 1"),
    (lambda: tasks.modes((1, 1), classes=1), ValueError, "classes must be at least 2, got 1"),
    (lambda: tasks.antipodal(-1), ValueError, "norm must be positive, got -1.0"),
    (lambda: tasks.antipodal(frequency=2), ValueError, "frequency must lie between 0 and 1, got 2.0"),
    (lambda: tasks.features((1, 1), []), ValueError, "samples must name at least one type of sample"),
    (lambda: tasks.features((1, 1), [(0, 0)]), ValueError, "samples[0] must name one or more different features"),
    (lambda: tasks.features((1, 1), [(0, 2)]), ValueError, "samples[0] must be between 0 and 1, got 2"),
    (lambda: tasks.gaussian(1, 2, separation=1), ValueError, "samples must be at least 2, got 1"),
    (lambda: tasks.gaussian(2, 2, separation=-1), ValueError, "separation must not be negative, got -1.0"),
    (lambda: tasks.digits((3, 3)), ValueError, "classes must be two or more different digits, got (3, 3)"),
    (lambda: tasks.digits((3, 10)), ValueError, "classes[1] must be between 0 and 9, got 10"),
    (lambda: tasks.digits((0, 1), samples=361), ValueError, "samples must be between 1 and 360, got 361"),
]
TRAININGS: list[Case] = [
    (lambda: train(network=(2, 1)), TypeError, "network must be a shoal.Network, got (2, 1) of type tuple"),
    (lambda: train(task=[1]), TypeError, "task must be a shoal.Task, got [1] of type list"),
    (lambda: train(init=0.1), TypeError, "init must be one of shoal.Gaussian, shoal.Balanced, shoal.Separated, "),
    (lambda: train(method=0.1), TypeError, "method must be one of shoal.GradientDescent, shoal.GradientFlow, got 0.1"),
    (lambda: train(record=("loss",)), TypeError, "record must be a shoal.Record, got ('loss',) of type tuple"),
    (lambda: train(progress=5), TypeError, "progress must be a function of (done, total) or None, got 5"),
    (lambda: train(loss="huber"), ValueError, "loss must be one of cross_entropy, hinge, squared_hinge, exponential"),
    (lambda: train(loss=3), TypeError, "loss must be one of cross_entropy"),
    (lambda: train(networks=0), ValueError, "networks must be between 1 and"),
    (lambda: train(networks=2.0), TypeError, "networks must be an integer, got 2.0"),
    (lambda: train(networks=True), TypeError, "networks must be an integer, got True"),
    (lambda: train(seed=-1), ValueError, "seed must be between 0 and 18446744073709551615, got -1"),
    (lambda: train(seed=2**64), ValueError, "seed must be between 0 and 18446744073709551615"),
    (lambda: train(first_network=-1), ValueError, "first_network must be between 0 and"),
    (lambda: train(threads=0), ValueError, "threads must be between 1 and 4096, got 0"),
    (lambda: train(threads="2"), TypeError, "threads must be an integer, got '2'"),
    (lambda: train(dtype="float16"), ValueError, "dtype must be one of float64, float32, got 'float16'"),
    (lambda: train(weight_decay=-1), ValueError, "weight_decay must not be negative, got -1.0"),
    (lambda: train(weight_decay=INF), ValueError, "weight_decay must be finite, got inf"),
    (lambda: train(spectral_decoupling=-0.1), ValueError, "spectral_decoupling must not be negative, got -0.1"),
    (lambda: train(spectral_decoupling=NAN), ValueError, "spectral_decoupling must be finite, got nan"),
    (lambda: train(spectral_decoupling=True), TypeError, "spectral_decoupling must be a number, got True"),
    (
        lambda: train(record=shoal.Record(measure=("loss", "test_error"))),
        ValueError,
        "measure must not hold 'test_error' without test samples: give Task(..., test=...)",
    ),
    (
        lambda: train(task=shoal.Task(np.eye(2), [1, 1], test=(np.eye(2), [0, 1]))),
        ValueError,
        "test labels must be -1 or +1 for a network of one output, got 0, 1",
    ),
    (
        lambda: train(network=shoal.Network((2, 3)), task=shoal.Task(np.eye(2), [1, 1], test=(np.eye(2), [-1, 1]))),
        ValueError,
        "test labels must lie in 0..2 for a network of 3 outputs, got -1, 1",
    ),
    (
        lambda: train(task=shoal.Task([[1, 0]], [1], test=([[1e300, 0]], [1])), dtype="float32"),
        ValueError,
        "test inputs must lie within the range of float32, got 1e+300",
    ),
    (
        lambda: train(network=shoal.Network((3, 1))),
        ValueError,
        "inputs must have the 3 columns that the network takes, got 2",
    ),
    (
        lambda: train(task=shoal.Task(np.eye(2), [0, 1])),
        ValueError,
        "labels must be -1 or +1 for a network of one output, got 0, 1; for labels 0 and 1 give 2 * labels - 1",
    ),
    (
        lambda: train(network=shoal.Network((2, 3))),
        ValueError,
        "labels must lie in 0..2 for a network of 3 outputs, got -1, 1",
    ),
    (
        lambda: train(network=shoal.Network((2, 3)), task=shoal.Task(np.eye(2), [0, 3])),
        ValueError,
        "labels must lie in 0..2 for a network of 3 outputs, got 0, 3",
    ),
    (
        lambda: train(network=shoal.Network((2, 3)), task=shoal.Task(np.eye(2), [0, 1]), loss="hinge"),
        ValueError,
        "loss must be cross_entropy or squared for a network of 3 outputs, got hinge",
    ),
    (
        lambda: train(record=shoal.Record(times=[0, 0.6])),
        ValueError,
        "times must not exceed the end of training, t_end=0.5, got 0.6",
    ),
    (lambda: train(record=shoal.Record(steps=[6])), ValueError, "steps must not exceed the 5 steps of training, got 6"),
    (
        lambda: train(network=shoal.Network((2, 3, 3, 1)), init=shoal.Separated(0.1)),
        ValueError,
        "init=Separated needs two weight layers and one output, got a network of widths (2, 3, 3, 1)",
    ),
    (
        lambda: train(task=shoal.Task([[1, 0], [1, 1]], [1, -1]), init=shoal.Separated(0.1)),
        ValueError,
        "orthogonal or antipodal to each other for init=Separated: the cosine between rows 0 and 1 is 0.7",
    ),
    (
        lambda: train(
            network=shoal.Network((2, 3, 1)),
            task=shoal.Task([[1, 1], [-1, -1], [1, -1], [-1, 1]], [1, -1, 1, -1]),
            init=shoal.Separated(0.1),
        ),
        ValueError,
        "inputs must lie on the coordinate axes for init=Separated with other modes beside an antipodal pair",
    ),
    (
        lambda: train(task=shoal.Task([[1, 0], [0, 0]], [1, -1]), init=shoal.Separated(0.1)),
        ValueError,
        "inputs must have a direction for init=Separated, row 1 is zero",
    ),
    (
        lambda: train(init=shoal.Explicit([np.ones((3, 5, 2)), np.ones((3, 1, 5))])),
        ValueError,
        "init=Explicit has weights for widths (2, 5, 1), the network has widths (2, 4, 1)",
    ),
    (
        lambda: train(init=shoal.Explicit(WEIGHTS), networks=4),
        ValueError,
        "networks must be the 3 that init=Explicit holds",
    ),
    (
        lambda: train(init=shoal.Explicit(WEIGHTS, [np.ones((3, 4)), np.ones((3, 1))])),
        ValueError,
        "init=Explicit has biases, the network has bias=False",
    ),
    (
        lambda: train(task=shoal.Task([[1e300, 0]], [1]), dtype="float32"),
        ValueError,
        "inputs must lie within the range of float32, got 1e+300",
    ),
    (
        lambda: train(networks=2**60, method=shoal.GradientDescent(0.1, 8)),
        ValueError,
        "networks x steps must be at most 9223372036854775807, got networks=1152921504606846976, steps=8",
    ),
    (lambda: train(init=Own()), TypeError, "init must be one of shoal.Gaussian, shoal.Balanced, shoal.Separated, "),
    (lambda: train(loss=OwnLoss()), TypeError, "loss must be one of cross_entropy"),
]

# One of them each: too large for float32, and so small that it would be 0 there.
SCALARS: list[tuple[str, Callable[[float], dict[str, Any]]]] = [
    ("std", lambda value: {"init": shoal.Gaussian(value)}),
    ("gain / sqrt(fan-in 2)", lambda value: {"init": shoal.Gaussian(gain=value)}),
    ("std", lambda value: {"init": shoal.Balanced(value)}),
    ("std", lambda value: {"init": shoal.Separated(value)}),
    ("output_std", lambda value: {"init": shoal.Separated(0.1, value)}),
    ("weight_decay", lambda value: {"weight_decay": value}),
    ("spectral_decoupling", lambda value: {"spectral_decoupling": value}),
    ("learning_rate", lambda value: {"method": shoal.GradientDescent(value, 5)}),
    ("threshold", lambda value: {"loss": shoal.Hinge(value)}),
    ("threshold", lambda value: {"loss": shoal.SquaredHinge(value)}),
]


@pytest.mark.parametrize(("call", "kind", "message"), SPECIFICATIONS, ids=[case[2][:60] for case in SPECIFICATIONS])
def test_a_specification_refuses(call: Callable[[], object], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=re.escape(message)):
        call()


@pytest.mark.parametrize(("call", "kind", "message"), TRAININGS, ids=[case[2][:60] for case in TRAININGS])
def test_train_refuses_before_it_trains(
    call: Callable[[], object], kind: type[Exception], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(**arguments: object) -> None:
        raise AssertionError("training began")

    monkeypatch.setattr(_core, "train", never)
    with pytest.raises(kind, match=re.escape(message)):
        call()


@pytest.mark.parametrize("value", [1e39, 1e-46])
@pytest.mark.parametrize(("name", "argument"), SCALARS)
def test_a_number_that_float32_cannot_hold_is_refused_there_only(
    name: str, argument: Callable[[float], dict[str, Any]], value: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Began(Exception):
        pass

    def begin(**arguments: object) -> None:
        raise Began

    monkeypatch.setattr(_core, "train", begin)
    with pytest.raises(ValueError, match=re.escape(f"{name} must lie within the range of float32, 1.4")) as raised:
        train(**argument(value), dtype="float32")
    assert float(str(raised.value).split("got ")[1]) == pytest.approx(value, rel=0.5)
    for dtype, allowed in (("float64", value), ("float32", 1e-30), ("float32", 1e30)):
        with pytest.raises(Began):
            train(**argument(allowed), dtype=dtype)


def test_a_slope_that_float32_would_make_0_is_refused_there() -> None:
    network = shoal.Network((2, 4, 1), "leaky_relu", 1e-60)
    with pytest.raises(ValueError, match="slope must lie within the range of float32"):
        train(network=network, dtype="float32")
    assert train(network=shoal.Network((2, 4, 1), "leaky_relu", 0.0), dtype="float32").sizes["network"] == 3


@pytest.mark.parametrize("value", ["0", "two", "-1", "1.5"])
def test_a_thread_count_in_the_environment_that_is_none_is_refused(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOAL_NUM_THREADS", value)
    with pytest.raises(ValueError, match=f"SHOAL_NUM_THREADS must be an integer between 1 and 4096, got '{value}'"):
        train()


@pytest.mark.parametrize("base", [shoal.Init, shoal.Loss])
def test_what_starts_and_losses_have_in_common_is_itself_neither(base: type) -> None:
    with pytest.raises(TypeError, match=f"abstract class '?{base.__name__}"):
        base()


@pytest.mark.parametrize("data", [shoal.Network((2, 1)), "file.nc"])
def test_a_specification_is_read_from_a_dataset_only(data: Any) -> None:
    with pytest.raises(TypeError, match=re.escape("data must be an xarray.Dataset that train returned")):
        shoal.specification(data)


def test_a_specification_is_read_only_from_what_train_returned() -> None:
    data = train()
    with pytest.raises(ValueError, match="it has no attribute 'specification'"):
        shoal.specification(data.assign_attrs(specification=None).drop_attrs())
    with pytest.raises(ValueError, match="it lacks inputs"):
        shoal.specification(data.drop_vars("inputs"))
