"""A training: everything that determines its result, in one specification."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from shoal.base import checks
from shoal.base.frozen import Frozen
from shoal.spec import validate
from shoal.spec.init import Explicit, Init
from shoal.spec.loss import Loss, resolve_loss
from shoal.spec.method import GradientDescent, Method
from shoal.spec.network import Network
from shoal.spec.record import Record
from shoal.spec.task import Task

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, eq=False, repr=False)
class Training(Frozen):
    """Everything that determines a result: network, task, initialisation, method, loss, and what is recorded.

    ``train`` and ``sweep`` take the same arguments. Equal trainings have bit-identical results.

    Parameters
    ----------
    network, task, init
        What is trained, on which samples, from which initial weights.
    method
        ``GradientDescent(learning_rate, steps)`` or ``GradientFlow(t_end)``.
    loss
        ``cross_entropy``, ``hinge``, ``squared_hinge``, ``exponential``, ``squared``, or a loss such as
        ``Hinge(threshold=2.0)``. Networks of K outputs take cross-entropy or the squared loss, a regression takes the
        squared loss.
    weight_decay, spectral_decoupling
        L and S, not negative. Training minimises the loss + L/2 |theta|^2 + S/2 sum_s p_s |f(x_s)|^2. theta holds all
        weights and biases, p_s are the sample weights and f the outputs. The measure ``loss`` is the loss alone.
    record
        When and what to measure; ``Record()`` when left out.
    networks
        How many; when left out, as many as an ``Explicit`` initialisation or an array of learning rates holds, else 1.
    seed
        0 to 2**64 - 1. Network i draws its initialisation from (seed, i).
    first_network
        Index of the first network: ``first_network=i, networks=1`` is network i alone.
    condense
        Whether to train on fewer samples and inputs, with the same result but for rounding. Samples whose inputs and
        labels (or targets) are equal to the bit are merged into one with the sum of their weights. Inputs (of test
        samples too) that span fewer dimensions than they have become coordinates in an orthonormal basis of that span,
        but not with weight decay. ``auto`` condenses from 32 samples or inputs on, if that saves at least half of them;
        with a ``GradientFlow`` it merges all equal samples. True condenses whenever that saves any, False never. The
        tolerances of a ``GradientFlow`` apply to the coordinates of the first layer's weights.
    dtype
        ``float64`` or, for descent, ``float32``.

    Raises
    ------
    TypeError, ValueError
        An argument has the wrong type or is out of range (of float32 too, with this ``dtype``), or arguments do not fit
        each other.

    Examples
    --------
    >>> import dataclasses, shoal
    >>> training = shoal.Training(shoal.Network((2, 8, 1)), shoal.tasks.modes((1.7, 0.9)), shoal.Gaussian(0.1),
    ...                           method=shoal.GradientDescent(learning_rate=0.05, steps=400), networks=100)
    >>> other = dataclasses.replace(training, seed=3)
    >>> shoal.train(other).loss.shape
    (100, 101)
    """

    network: Network
    task: Task
    init: Init
    _: KW_ONLY
    method: Method
    # __post_init__ replaces names, and None, by what they stand for.
    loss: Loss = "cross_entropy"  # type: ignore[assignment]
    weight_decay: float = 0.0
    spectral_decoupling: float = 0.0
    record: Record = None  # type: ignore[assignment]
    networks: int = None  # type: ignore[assignment]
    seed: int = 0
    first_network: int = 0
    condense: str | bool = "auto"
    dtype: str = "float64"

    def __post_init__(self) -> None:
        """Check the fields, each by itself and together."""
        validate.check_types(self.network, self.task, self.init, self.method, self.record)
        self._fill(loss=resolve_loss(self.loss), record=(self.record or Record()).of(self.task))
        validate.check_fit(self.network, self.task, self.loss, self.record)
        validate.check_measured(self.method, self.record)
        validate.check_stop(self.method, self.network, self.task, self.loss)
        networks, rates = self.networks, self.method.rates
        if networks is None:
            networks = self.init.networks or (1 if rates is None else len(rates))
        self._fill(
            networks=checks.integer("networks", networks, least=1, most=2**62),
            seed=checks.integer("seed", self.seed, least=0, most=2**64 - 1),
            first_network=checks.integer("first_network", self.first_network, least=0, most=2**62),
            dtype=checks.choice("dtype", self.dtype, ("float64", "float32")),
            weight_decay=checks.not_negative("weight_decay", self.weight_decay),
            spectral_decoupling=checks.not_negative("spectral_decoupling", self.spectral_decoupling),
        )
        validate.check_condense(self.condense)
        validate.check_method(self.method, self.networks, self.dtype)
        if self.dtype == "float32":
            _check_range(self)
        self.init.for_core(self.network, self.task, self.networks)

    @classmethod
    def given(cls, arguments: Sequence[Any], fields: Mapping[str, Any]) -> Training:
        """Return the training that a call was given: itself, or its fields."""
        if len(arguments) != 1 or not isinstance(arguments[0], Training):
            return cls(*arguments, **fields)
        if fields:
            raise TypeError(f"training must be alone, got {', '.join(fields)} with it: use dataclasses.replace")
        return arguments[0]

    @classmethod
    def fields_given(cls, arguments: Sequence[Any], fields: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields of the training that a call was given, unchecked, those left out as by default."""
        if len(arguments) == 1 and isinstance(arguments[0], Training):
            whole = cls.given(arguments, fields)
            return {name: getattr(whole, name) for name in inspect.signature(cls).parameters}
        bound = inspect.signature(cls).bind(*arguments, **fields)
        bound.apply_defaults()
        return dict(bound.arguments)

    @cached_property
    def records(self) -> NDArray[Any]:
        """The steps of descent, or times of a flow, at which networks are measured, shape (times,)."""
        return self.record.at(self.method)

    def drawn(self, threads: int | None = None) -> Explicit:
        """Return the initial weights of all networks, as they are trained."""
        return self.init.draw(
            self.network, self.task, networks=self.networks, seed=self.seed, first_network=self.first_network,
            dtype=self.dtype, threads=threads,
        )  # fmt: skip

    def part(self, begin: int, end: int) -> Training:
        """Return the training of networks ``begin`` to ``end`` - 1, counted from the first, alone."""
        init, method = self.init.block(begin, end), self.method.block(begin, end)
        first = self.first_network + begin
        return replace(self, init=init, method=method, networks=end - begin, first_network=first)


def takes_training(function: F) -> F:
    """Return a function whose ``**training`` are fields of ``Training``, which its signature then shows."""
    own = inspect.signature(function)
    given = inspect.signature(Training).parameters
    first = [one for one in given.values() if one.kind is one.POSITIONAL_OR_KEYWORD]
    keywords = [one for one in (*given.values(), *own.parameters.values()) if one.kind is one.KEYWORD_ONLY]
    # Those without a default first, as one would write them.
    keywords.sort(key=lambda one: one.default is not one.empty)
    function.__signature__ = own.replace(parameters=[*first, *keywords])  # type: ignore[attr-defined]
    return function


def _check_range(training: Training) -> None:
    """Refuse numbers that float32 would turn into infinity, and scalars that it would turn into 0."""
    network, task, init, method = training.network, training.task, training.init, training.method
    limits = np.finfo(np.float32)
    largest, least = float(limits.max), float(limits.smallest_subnormal)
    samples = {"inputs": task.inputs, task.answer: task.answers}
    if task.test is not None:
        samples |= {f"test {name}": array for name, array in zip(samples, task.test, strict=True)}
    for name, array in {**samples, **init.arrays}.items():
        if np.abs(array).max() > largest:
            raise ValueError(f"{name} must lie within the range of float32, got {np.abs(array).max():g}")
    scalars = dict(init.scalars(network))
    if isinstance(method, GradientDescent):
        rates = np.atleast_1d(method.learning_rate)
        outside = rates[(rates < least) | (rates > largest)]
        scalars["learning_rate"] = float(outside[0] if len(outside) else rates[0])
        if method.factors is not None and method.steps:
            scalars |= {"schedule": float(method.factors.max()), "the least of schedule": float(method.factors.min())}
    if training.loss.is_hinge:
        scalars["threshold"] = training.loss.threshold
    if network.slope > 0:
        scalars["slope"] = network.slope
    for i, (scale, layer_rate) in enumerate(zip(network.scales, network.rates, strict=True)):
        scalars |= {f"scales[{i}]": scale, f"rates[{i}]": layer_rate, f"scales[{i}] x rates[{i}]": scale * layer_rate}
    penalties = ("weight_decay", "spectral_decoupling")
    scalars |= {name: getattr(training, name) for name in penalties if getattr(training, name) > 0}
    for name, value in scalars.items():
        if not least <= value <= largest:
            raise ValueError(f"{name} must lie within the range of float32, {least:g} to {largest:g}, got {value:g}")
