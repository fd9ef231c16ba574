"""Calls of the public names with one or two arguments replaced by anything at all: ``call(seed)``."""

from __future__ import annotations

import decimal  # noqa: F401  the texts below are made of it
import fractions  # noqa: F401
import re
import signal
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import cache, cached_property
from pathlib import Path  # noqa: F401
from typing import Any

import numpy as np
import xarray

import shoal
from shoal import dynamics, tasks

Arguments = dict[str, Any]

LIMIT = 5.0
"""Seconds of computing that a call may take."""


class Refuses:
    """An object that cannot be made an array."""

    def __array__(self, *given: Any, **named: Any) -> Any:
        raise RuntimeError("no array")


class Text(str):
    """A string that is no plain one."""


# Nothing here is a size or a number of steps that would be right and take long.
ANYTHING: dict[str, Callable[[], Any]] = {
    text: (lambda text=text: eval(text, {**globals(), "nan": float("nan"), "inf": float("inf")}))  # type: ignore[misc]
    for text in (
        *("None", "True", "False", "0", "1", "-1", "2", "3", "7", "2**62", "2**63", "2**64", "-(2**70)", "10**400"),
        *(
            "nan",
            "inf",
            "-inf",
            "-0.0",
            "0.5",
            "1.0",
            "2.5",
            "1e-320",
            "1e-300",
            "1e300",
            "-1e-5",
            "1j",
            "complex(nan)",
        ),
        *(
            "np.int8(3)",
            "np.uint64(2**63)",
            "np.float32(0.1)",
            "np.float16(np.inf)",
            "np.bool_(True)",
            "np.str_('loss')",
        ),
        *("np.longdouble('1e400')", "fractions.Fraction(1, 3)", "decimal.Decimal('0.5')", "np.datetime64('NaT')"),
        *("''", "'loss'", "'relu'", "'auto'", "'0.5'", "'error > 0'", "'hinge'", "'\\x00'", "b'loss'", "Text('loss')"),
        *("[]", "()", "{}", "set()", "[0]", "(1,)", "[1, 2]", "(3, 2, 1)", "[-1, 1]", "[[1.0, 2.0]]", "[[1], [1, 2]]"),
        *(
            "[None]",
            "['loss']",
            "('loss', 'loss')",
            "[('loss', 'error')]",
            "[nan]",
            "[inf, 1]",
            "{'a': 1}",
            "[[]]",
            "[[[]]]",
        ),
        *("np.array(1.0)", "np.zeros(0)", "np.zeros((0, 2))", "np.ones(2)", "np.ones((2, 2))", "np.ones((3, 2, 2, 1))"),
        *("np.array([1, -1])", "np.array([0, 1, 2])", "np.array(['a', 'b'])", "np.array([None, 1], object)"),
        *(
            "np.array([10**400, 1], object)",
            "np.array([1j, 2])",
            "np.array(['2020'], 'datetime64[Y]')",
            "np.full((2, 2), nan)",
        ),
        *(
            "np.full((2, 2), 1e308)",
            "np.zeros(2, [('a', float)])",
            "np.ma.masked_values([[1.0, 2.0]], 2.0)",
            "np.ones(2, bool)",
        ),
        *(
            "np.matrix([[1.0, 2.0]])",
            "np.longdouble('1e400') * np.ones(2)",
            "np.ones((2, 2), order='F')",
            "memoryview(b'ab')",
        ),
        *(
            "range(3)",
            "(k for k in (1, 2))",
            "iter([])",
            "object()",
            "object",
            "len",
            "lambda *_: 1",
            "Refuses()",
            "slice(3)",
        ),
        *(
            "shoal.Gaussian(0.1)",
            "shoal.Network((2, 3, 1))",
            "shoal.Hinge()",
            "shoal.Squared",
            "shoal.GradientDescent(0.1, 2)",
        ),
        *(
            "shoal.GradientFlow(1.0)",
            "shoal.Record()",
            "shoal.Statistics()",
            "tasks.modes((1.7, 0.9))",
            "shoal.Explicit([np.ones((2, 1, 2))])",
        ),
        *(
            "xarray.Dataset()",
            "xarray.DataArray([1.0, 2.0])",
            "xarray.DataArray(np.ones((2, 3)), dims=('network', 'time'))",
        ),
        *("Path('/nowhere/at/all')", "'/nowhere/at/all'", "Ellipsis", "NotImplemented", "type('T', (), {})()"),
    )
}
NAMES = tuple(ANYTHING)


@dataclass(frozen=True)
class Target:
    """A public callable and arguments that it takes."""

    name: str
    function: Callable[..., Any]
    valid: Callable[[], Arguments]
    numbers: bool = False
    """Whether what comes back holds numbers, no NaN."""

    @property
    def also(self) -> tuple[str, ...]:
        """Names of what the arguments make, which a message may be about."""
        return {"train": ("labels", "inputs"), "open": ("store",), "Network.mean_field": ("widths",)}.get(
            self.name, ("memory",)
        )


@cache
def trained() -> xarray.Dataset:
    record = shoal.Record(measure=("loss", "margin", "trajectory", "pattern", "weights", "active"))
    return shoal.train(**_training(), record=record)


@cache
def reduced() -> xarray.Dataset:
    return shoal.train(**_training(), record=shoal.Record(reduce=shoal.Statistics(distribution=("loss",))))


def _training() -> Arguments:
    return {
        "network": shoal.Network((2, 3, 1)),
        "task": tasks.modes((1.7, 0.9)),
        "init": shoal.Gaussian(0.5),
        "method": shoal.GradientDescent(0.1, 12),
        "networks": 3,
    }


def _every_argument() -> Arguments:
    given = {
        "loss": "hinge",
        "weight_decay": 0.0,
        "spectral_decoupling": 0.0,
        "record": None,
        "seed": 0,
        "first_network": 0,
    }
    return {
        **_training(),
        **given,
        "threads": 1,
        "condense": "auto",
        "dtype": "float64",
        "progress": None,
    }


def _weights() -> list[Any]:
    return [np.full((2, 2, 2), 0.5) * np.eye(2), np.ones((2, 1, 2))]


TIMES = [0.0, 0.5, 2.0]
TARGETS: tuple[Target, ...] = tuple(
    Target(name, function, valid)
    for name, function, valid in (
        ("train", shoal.train, _every_argument),
        (
            "Network",
            shoal.Network,
            lambda: dict(
                widths=(2, 3, 1),
                activation="leaky_relu",
                slope=0.1,
                bias=True,
                scales=(1, 2),
                rates=(1, 2),
                centred=False,
            ),
        ),
        (
            "Network.standard",
            shoal.Network.standard,
            lambda: dict(widths=(2, 3, 1), activation="relu", bias=True, centred=False),
        ),
        ("Network.ntk", shoal.Network.ntk, lambda: dict(widths=(2, 3, 1), activation="relu", bias=True, centred=False)),
        (
            "Network.mean_field",
            shoal.Network.mean_field,
            lambda: dict(inputs=2, nodes=3, alpha=1.0, activation="relu", centred=False),
        ),
        (
            "Task",
            shoal.Task,
            lambda: dict(inputs=np.eye(2), labels=[1, -1], sample_weight=[1, 2], test=(np.eye(2), [1, 1])),
        ),
        (
            "Task.regression",
            shoal.Task.regression,
            lambda: dict(inputs=np.eye(2), targets=[0.5, -2], sample_weight=[1, 2], test=(np.eye(2), [1.0, 0.0])),
        ),
        ("Gaussian", shoal.Gaussian, lambda: dict(std=0.1)),
        ("Gaussian(gain)", shoal.Gaussian, lambda: dict(gain=0.1)),
        ("Balanced", shoal.Balanced, lambda: dict(std=0.1)),
        ("Separated", shoal.Separated, lambda: dict(std=0.1, output_std=0.2)),
        ("Unit", shoal.Unit, lambda: dict(norm=0.1, output=[1.0, -1.0])),
        ("Symmetric", shoal.Symmetric, lambda: dict(of=shoal.Gaussian(0.1))),
        ("Explicit", shoal.Explicit, lambda: dict(weights=_weights(), biases=[np.ones((2, 2)), np.ones((2, 1))])),
        ("GradientDescent", shoal.GradientDescent, lambda: dict(learning_rate=0.1, steps=4, stop=("fitted",))),
        ("GradientFlow", shoal.GradientFlow, lambda: dict(t_end=1.0, rtol=1e-6, atol=1e-9, max_steps=100)),
        ("Hinge", shoal.Hinge, lambda: dict(threshold=1.0)),
        ("SquaredHinge", shoal.SquaredHinge, lambda: dict(threshold=1.0)),
        ("Record(times)", shoal.Record, lambda: dict(times=TIMES, measure=("loss",), reduce="moments")),
        ("Record(steps)", shoal.Record, lambda: dict(steps=[0, 1], measure=("loss",), reduce="moments")),
        (
            "Statistics",
            shoal.Statistics,
            lambda: dict(covariance=(("loss", "error"),), events=("error > 0",), distribution=("loss",), resolution=3),
        ),
        ("specification", shoal.specification, lambda: dict(data=trained())),
        ("predict", shoal.predict, lambda: dict(data=trained(), inputs=[[1.0, 0.0], [0.5, 1.0]])),
        ("quantile", shoal.quantile, lambda: dict(data=reduced(), name="loss", q=[0.5])),
        ("open", shoal.open_sweep, lambda: dict(stores="/nowhere/at/all")),
        ("tasks.modes", tasks.modes, lambda: dict(norms=(1.0, 2.0), frequencies=(1, 2), classes=2, dimension=3)),
        ("tasks.xor", tasks.xor, lambda: dict(scale=1.0, dimension=3)),
        ("tasks.antipodal", tasks.antipodal, lambda: dict(norm=1.0, dimension=2, frequency=0.5)),
        (
            "tasks.features",
            tasks.features,
            lambda: dict(norms=(1.0, 2.0), samples=[(0,), (0, 1)], frequencies=(1, 2), mirrored=False, dimension=3),
        ),
        ("tasks.gaussian", tasks.gaussian, lambda: dict(samples=6, dimension=2, separation=1.0, seed=0)),
        (
            "tasks.mixture",
            tasks.mixture,
            lambda: dict(
                samples=6,
                means=[[0.0, 1.0], [1.0, 0.0]],
                labels=[1, -1],
                spread=1.0,
                weights=[1, 1],
                test_samples=2,
                seed=0,
            ),
        ),
        ("tasks.moons", tasks.moons, lambda: dict(samples=6, noise=0.1, test_samples=2, seed=0)),
        (
            "tasks.separable_gaussian",
            tasks.separable_gaussian,
            lambda: dict(samples=6, inputs=2, teacher=[1.0, 0.0], flipped=0.1, test_samples=2, seed=0),
        ),
        (
            "tasks.separable_sphere",
            tasks.separable_sphere,
            lambda: dict(samples=6, inputs=2, radius=1.0, teacher=[1.0, 0.0], flipped=0.1, test_samples=2, seed=0),
        ),
        (
            "tasks.digits",
            tasks.digits,
            lambda: dict(classes=(0, 1), samples=4, test_samples=2, centre=False, standardise=False, seed=0),
        ),
        ("tasks.separated_by", tasks.separated_by, lambda: dict(task=tasks.modes((1.7, 0.9)), teacher=[1.0, -1.0])),
        ("dynamics.deaths", dynamics.deaths, lambda: dict(data=trained())),
        ("dynamics.effective_rank", dynamics.effective_rank, lambda: dict(data=trained())),
        (
            "dynamics.reach_time",
            dynamics.reach_time,
            lambda: dict(series=trained().loss, level=0.5, rising=True, scale="linear", points=4),
        ),
        ("dynamics.plateau", dynamics.plateau, lambda: dict(series=trained().loss, rising=None, points=6)),
        ("dynamics.steepest", dynamics.steepest, lambda: dict(series=trained().loss, rising=None, points=6)),
    )
)


@dataclass(frozen=True)
class Call:
    """A target, and which of its arguments are replaced by what."""

    target: Target
    replaced: dict[str, str]

    @cached_property
    def given(self) -> Arguments:
        with warnings.catch_warnings():  # of numpy.matrix
            warnings.simplefilter("ignore")
            return {**self.target.valid(), **{name: ANYTHING[value]() for name, value in self.replaced.items()}}

    def trouble(self) -> str | None:
        """Return what is wrong with the call: an error of another kind, or that names no argument; NaN; no end."""
        before = signal.signal(signal.SIGVTALRM, _late)
        signal.setitimer(signal.ITIMER_VIRTUAL, LIMIT)
        try:
            result = self.target.function(**self.given)
        except (TypeError, ValueError) as error:
            if callable(self.given.get("progress")):  # the caller's own function fails
                return None
            # Which of two that do not fit each other is named is a matter of taste.
            named = any(_names(name, str(error)) for name in (*self.target.valid(), *self.target.also))
            return None if named else f"{self}: no argument is named: {error!r:.200}"
        except OSError as error:
            return None if self.target.name == "tasks.idx" else f"{self}: {error!r:.200}"
        except (Exception, Late) as error:
            return f"{self}: {error!r:.200}"
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
            signal.signal(signal.SIGVTALRM, before)
        return f"{self}: NaN" if self.target.numbers and _holds_nan(result) else None

    def __str__(self) -> str:
        return f"{self.target.name}({', '.join(f'{name}={value}' for name, value in self.replaced.items())})"


class Late(BaseException):
    """A call takes longer than any of these may."""


def _late(*_: object) -> None:
    raise Late(f"no end within {LIMIT} s")


def _names(argument: str, message: str) -> bool:
    """Return whether a message names an argument; of one letter, which may be a word, whether it begins with it."""
    if len(argument) == 1:
        return message.startswith(argument)
    return re.search(rf"(?<!\w){argument}(?!\w)", message) is not None


def _holds_nan(result: object) -> bool:
    if isinstance(result, (tuple, list)):
        return any(_holds_nan(part) for part in result)
    if is_dataclass(result):
        return any(_holds_nan(getattr(result, part.name)) for part in fields(result))
    return isinstance(result, (float, np.ndarray)) and bool(np.any(result != result))


def call(seed: int, targets: Sequence[Target] = TARGETS) -> Call:
    """Return a random call: each target in turn."""
    draw = np.random.default_rng([20181129, seed])
    target = targets[seed % len(targets)]
    names = list(target.valid())
    chosen = draw.choice(names, size=min(len(names), int(draw.choice([1, 1, 1, 2]))), replace=False)
    return Call(target, {str(name): NAMES[int(draw.integers(len(NAMES)))] for name in chosen})


def every_call(target: Target) -> list[Call]:
    """Return the target with each argument replaced by each thing."""
    return [Call(target, {name: value}) for name in target.valid() for value in NAMES]
