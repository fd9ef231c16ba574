"""Former names: using one is an error that says the name of today."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any, ParamSpec, Self, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

NAMES = {
    "shoal.Descent": "shoal.GradientDescent",
    "shoal.Flow": "shoal.GradientFlow",
    "shoal.Start": "shoal.Init",
    "shoal.open": "shoal.open_sweep",
    "shoal.theory.Fates": "shoal.theory.NeuronDeaths",
    "shoal.theory.separated_fates": "shoal.theory.separated_deaths",
    "shoal.compare": "one of five that name their rule: compare_flow (gradient flow, network by network), compare_rates"
    " (descent at three learning rates, network by network), compare_mean (with an expectation), compare_samples"
    " (with an independent sample), compare_fraction (a count with a probability)",
}
"""Former names of the public modules, and what takes their place."""

KEYWORDS = {
    "Balanced": {"scale": "std"},
    "Gaussian": {"scale": "std"},
    "GradientDescent": {"rate": "learning_rate"},
    "GradientFlow": {"until": "t_end"},
    "Hinge": {"margin": "threshold"},
    "MeanFieldHinge": {"law": "distribution"},
    "Mode": {"start": "start_margin"},
    "Separated": {"scale": "std", "output_scale": "output_std"},
    "SquaredHinge": {"margin": "threshold"},
    "Task": {"weights": "sample_weight"},
    "death_probability": {"weight_scale": "weight_std", "output_scale": "output_std"},
    "failure_probability": {"weight_scale": "weight_std", "output_scale": "output_std"},
    "sweep": {"start": "init", "first": "first_network"},
    "train": {"start": "init", "first": "first_network"},
}
"""Former arguments, by the name of the class or function that took them."""

REMOVED = {"engine": "networks have the same bits on every engine, and the fastest is chosen"}
"""Former arguments of ``train`` and ``sweep`` that nothing replaces, and why."""

FIELDS = {
    "start": "init",
    "start.scale": "init.std",
    "start.gain": "init.gain",
    "init.scale": "init.std",
    "method.rate": "method.learning_rate",
    "method.until": "method.t_end",
    "loss.margin": "loss.threshold",
    "task.weights": "task.sample_weight",
}
"""Former names of what a sweep varies."""


def refuse_name(module: str, name: str) -> None:
    """Raise an AttributeError if a public module had this name before."""
    full = f"{module}.{name}"
    if full in NAMES:
        raise AttributeError(f"{full} is now {NAMES[full]}")


def refuse_keywords(owner: str, given: Iterable[str]) -> None:
    """Raise a TypeError if a keyword argument has its former name."""
    renamed = KEYWORDS.get(owner, {})
    for name in given:
        if name in renamed:
            raise TypeError(f"{name} is now {renamed[name]}: {owner} takes {renamed[name]}=")
        if name in REMOVED and owner in ("train", "sweep"):
            raise TypeError(f"{name} is no argument of {owner} any more: {REMOVED[name]}")


def knows(function: Callable[P, T]) -> Callable[P, T]:
    """Return the function; it refuses former names of its keyword arguments."""

    @functools.wraps(function)
    def call(*arguments: P.args, **keywords: P.kwargs) -> T:
        refuse_keywords(function.__name__, keywords)
        return function(*arguments, **keywords)

    return call


class Knows:
    """Base of classes that refuse former names of their keyword arguments."""

    def __new__(cls, *arguments: Any, **keywords: Any) -> Self:
        """Return an instance that ``__init__`` fills."""
        refuse_keywords(cls.__name__, keywords)
        return super().__new__(cls)
