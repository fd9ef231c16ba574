"""Whether the fields of a training fit each other."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from shoal.base import checks
from shoal.spec.drawn import INITS
from shoal.spec.loss import Loss
from shoal.spec.measures import REGISTRY
from shoal.spec.method import METHODS, GradientFlow, Method
from shoal.spec.network import Network
from shoal.spec.record import Record
from shoal.spec.task import Regression, Task

_MOST_NETWORK_STEPS = 2**63 - 1  # the core counts them with 64 bits


def check_types(network: object, task: object, init: object, method: object, record: object) -> None:
    """Raise a TypeError for what is not of its type."""
    checks.kind("network", network, Network)
    checks.kind("task", task, Task)
    checks.kind("init", init, *INITS)
    checks.kind("record", Record() if record is None else record, Record)
    checks.kind("method", method, *METHODS)


def check_progress(progress: object) -> None:
    """Refuse anything but a function or None."""
    if progress is not None and not callable(progress):
        raise TypeError(f"progress must be a function of (done, total) or None, got {progress!r}")


def check_fit(network: Network, task: Task, loss: Loss, record: Record) -> None:
    """Refuse a network, task, loss and measures that do not go together."""
    if task.dimension != network.inputs:
        raise ValueError(f"inputs must have the {network.inputs} columns that the network takes, got {task.dimension}")
    if isinstance(task, Regression):
        _check_targets(task, network.outputs, loss)
    else:
        _check_labels("labels", task.labels, network.outputs)
        if task.test is not None:
            _check_labels("test labels", task.test.labels, network.outputs)
        if network.outputs > 1 and loss.name not in ("cross_entropy", "squared"):
            allowed = f"cross_entropy or squared for a network of {network.outputs} outputs"
            raise ValueError(f"loss must be {allowed}, got {loss.name}")
    for name in record.measure:
        _check_measure(name, task, loss)


def check_measured(method: Method, record: Record) -> None:
    """Refuse what a method does not have."""
    for name in () if method.momentum else record.measure:
        if REGISTRY[name].of_momentum:
            raise ValueError(f"measure must not hold {name!r} without momentum, got method={method!r:.200}")


def check_condense(condense: object) -> None:
    """Refuse anything but ``auto``, True and False."""
    if not isinstance(condense, bool) and not (isinstance(condense, str) and condense == "auto"):  # may be an array
        kind = ValueError if isinstance(condense, str) else TypeError
        raise kind(f"condense must be 'auto', True or False, got {condense!r:.200}")


def check_method(method: Method, networks: int, dtype: str) -> None:
    """Refuse a flow in float32, learning rates for other networks, and more steps of networks than can be counted."""
    if isinstance(method, GradientFlow) and dtype != "float64":
        raise ValueError(f"dtype must be float64 for a GradientFlow, got {dtype}")
    rates = method.rates
    if rates is not None and len(rates) != networks:
        raise ValueError(
            f"learning_rate must be one number, or one for each network, shape ({networks},), got shape {rates.shape}"
        )
    if networks * method.work > _MOST_NETWORK_STEPS:
        raise ValueError(
            f"networks x steps must be at most {_MOST_NETWORK_STEPS}, got networks={networks}, steps={method.work}"
        )


def check_stop(method: Method, network: Network, task: Task, loss: Loss) -> None:
    """Refuse rules that have no meaning for the network, the task or the loss."""
    rules = method.stop or ()
    if "fitted" in rules and isinstance(task, Regression):
        raise ValueError("stop must not hold 'fitted' for a regression, whose targets have no right side")
    if "satisfied" in rules and not loss.is_hinge:
        raise ValueError(f"stop must not hold 'satisfied' unless loss is hinge or squared_hinge, got {loss.name}")
    if "dead" in rules and (network.activation != "relu" or not network.units):
        raise ValueError(
            "stop must not hold 'dead' unless the network has hidden units with activation relu, "
            f"got widths={network.widths}, activation={network.activation!r}"
        )


def _check_targets(task: Regression, outputs: int, loss: Loss) -> None:
    if task.outputs != outputs:
        shape = "(samples,)" if outputs == 1 else f"(samples, {outputs})"
        raise ValueError(
            f"targets must have shape {shape} for a network of {outputs} output{'s' * (outputs > 1)}, "
            f"got shape {task.targets.shape}"
        )
    if loss.name != "squared":
        raise ValueError(f"loss must be squared for a regression, got {loss.name}: give loss='squared'")


def _check_measure(name: str, task: Task, loss: Loss) -> None:
    measure = REGISTRY[name]
    if measure.of_test and task.test is None:
        raise ValueError(f"measure must not hold {name!r} without test samples: give Task(..., test=...)")
    if measure.of_labels and isinstance(task, Regression):
        instead = "'test_residual'" if measure.of_test else "'residual'"
        raise ValueError(
            f"measure must not hold {name!r} for a regression, whose samples have targets and no labels: "
            f"{instead} is how far each output is from its target"
        )
    if measure.of_squares and loss.name != "squared":
        raise ValueError(
            f"measure must not hold {name!r} unless loss is squared, got {loss.name}: "
            "no other loss has targets for the outputs"
        )


def _check_labels(name: str, labels: NDArray[np.int64], outputs: int) -> None:
    if outputs == 1 and (np.abs(labels) == 1).all():
        return
    found = np.unique(labels)
    if outputs == 1:
        remedy = "; for labels 0 and 1 give 2 * labels - 1" if np.isin(found, (0, 1)).all() else ""
        raise ValueError(f"{name} must be -1 or +1 for a network of one output, got {_listed(found)}{remedy}")
    if outputs > 1 and (found[0] < 0 or found[-1] >= outputs):
        raise ValueError(
            f"{name} must lie in 0..{outputs - 1} for a network of {outputs} outputs, got {_listed(found)}"
        )


def _listed(values: NDArray[np.int64]) -> str:
    return ", ".join(str(value) for value in values[:6]) + (", ..." if len(values) > 6 else "")
