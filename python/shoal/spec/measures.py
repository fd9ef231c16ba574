"""The measures: names, dimensions and meaning of everything that can be recorded, in one table."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from shoal.spec.network import Network
from shoal.spec.task import Task


@dataclass(frozen=True)
class Measure:
    """One thing that can be recorded of each network, at each recorded time."""

    name: str  # for ``Record(measure=...)``, and of the variable of the dataset
    meaning: str  # in a few words: ``long_name`` of the variable
    about: str = ""  # for the docstring of ``Record``, if that says more
    dims: tuple[str, ...] = ()  # after (network, time); a single output has no ``output_unit``
    layers: tuple[tuple[str, str], ...] = ()  # of one array per layer: names and meanings of weights and biases
    of_test: bool = False  # needs test samples
    of_init: bool = False  # is relative to the initial weights
    of_gradient: bool = False  # needs another gradient
    of_momentum: bool = False  # needs momentum
    of_kernel: bool = False  # needs the tangent kernel
    of_hessian: bool = False  # needs products with the Hessian
    of_labels: bool = False  # has no meaning for a regression
    of_squares: bool = False  # needs the squared loss
    reducible: bool = True  # has meaningful statistics over networks
    timed: bool = True  # is recorded at each time, not only after the last step
    flags: bool = False  # holds bools

    @property
    def is_one_number(self) -> bool:
        """Whether it is one number for each network and time."""
        return not (self.dims or self.layers)

    @property
    def of_samples(self) -> bool:
        """Whether it has numbers of each training sample."""
        return "sample" in self.dims

    @property
    def arrays(self) -> tuple[str, ...]:
        """Names of the arrays in which the core returns it."""
        return tuple(name for name, _ in self.layers) or (self.name,)

    def dims_of(self, network: Network) -> tuple[str, ...]:
        """Return ``dims`` as a network has them."""
        return tuple(name for name in self.dims if name != "output_unit" or network.outputs > 1)

    def shape(self, network: Network, task: Task) -> tuple[int, ...]:
        """Return the lengths of ``dims_of``."""
        lengths = {
            "sample": task.samples,
            "other_sample": task.samples,
            "test_sample": task.test_samples,
            "layer": network.layers,
            "hidden_layer": network.layers - 1,
            "unit": network.units,
            "output_unit": network.outputs,
        }
        return tuple(lengths[dimension] for dimension in self.dims_of(network))

    def bytes(self, network: Network, task: Task, times: int, itemsize: int) -> int:
        """Return the bytes of one network's numbers, each of ``itemsize``."""
        numbers = network.parameters if self.layers else math.prod(self.shape(network, task))
        return (times if self.timed else 1) * numbers * (1 if self.flags else itemsize)


def _tested(
    name: str, meaning: str, about: str, dims: tuple[str, ...] = (), of_labels: bool = False, of_squares: bool = False
) -> Measure:
    return Measure(name, meaning, about, dims, of_test=True, of_labels=of_labels, of_squares=of_squares)


_ALL = (
    Measure("loss", "loss, weighted over samples", "sum of weights x loss, penalties not included."),
    Measure(
        "error",
        "0-1 classification error, weighted over samples",
        "weight of the samples on the wrong side; a tie counts its probability, which is 1/2 for one output, and "
        "j / (j + 1) if j other outputs tie with the label's at the top.",
        of_labels=True,
    ),
    Measure(
        "soft_error",
        "1 - probability of the label, weighted over samples",
        "1 - sigmoid(margin), or 1 - the softmax probability of the label, averaged by weight.",
        of_labels=True,
    ),
    Measure(
        "margin",
        "margin y f(x), or label's output less the largest other",
        "y f(x), or o_label - max of the other outputs.",
        ("sample",),
        of_labels=True,
    ),
    Measure(
        "output",
        "output f(x)",
        "output f(x), of a centred network less that at its initialisation.",
        ("sample", "output_unit"),
    ),
    Measure(
        "residual",
        "output less target",
        "f(x) - y, output less target. Only with the squared loss: the target of a label -1/+1 is the label, that of "
        "a label k is 1 for output k and 0 for the others.",
        ("sample", "output_unit"),
        of_squares=True,
    ),
    Measure("layer_norm", "Frobenius norm of the weight matrix", dims=("layer",)),
    Measure(
        "balance",
        "squared norm of incoming less that of outgoing weights",
        "per hidden unit, squared norm of the incoming weights (and bias) less that of the outgoing ones, times the "
        "ratio of the layers' rates, r_in / r_out. Gradient flow keeps it for relu, leaky_relu and linear.",
        ("unit",),
    ),
    Measure("active", "fraction of (sample, unit) pairs with positive input", dims=("hidden_layer",)),
    Measure(
        "unit_active",
        "fraction of the samples on which the unit's input is positive",
        "fraction of the samples on which the unit's input is positive; 0 for a dead unit.",
        ("unit",),
    ),
    Measure(
        "gradient_norm",
        "Euclidean norm of the gradient of what is minimised",
        "Euclidean norm of the gradient of loss and penalties by all weights and biases, without the rates of layers. "
        "It costs one gradient per record.",
        of_gradient=True,
    ),
    Measure(
        "distance",
        "Euclidean distance of weights and biases from the initialisation",
        "Euclidean norm of all weights and biases less the initial ones, also after ``resume``.",
        of_init=True,
    ),
    Measure(
        "sharpness",
        "largest eigenvalue of the Hessian of what is minimised",
        "largest eigenvalue of the Hessian of loss and penalties by all weights and biases, with the rates of layers: "
        "gradient descent is stable along its eigenvector if it is below 2 / learning rate. Kinks are left out. It "
        "costs tens of gradients per record.",
        of_hessian=True,
    ),
    Measure(
        "tangent_kernel",
        "tangent kernel of two samples",
        "sum over weights and biases of the products of the output's derivatives at two samples, times the rates of "
        "the layers: what gradient flow moves outputs by. For K outputs its trace over them.",
        ("sample", "other_sample"),
        of_kernel=True,
    ),
    Measure(
        "kernel_distance",
        "1 - cosine between the tangent kernel and that at initialisation",
        "1 - <K, K_0> / (|K| |K_0|) of the tangent kernel and that at initialisation, also after ``resume``; NaN if "
        "one of both is 0.",
        of_init=True,
        of_kernel=True,
    ),
    _tested("test_loss", "loss, mean over test samples", "loss of the test samples, which all count the same."),
    _tested(
        "test_error",
        "0-1 classification error, mean over test samples",
        "error of the test samples.",
        of_labels=True,
    ),
    _tested(
        "test_soft_error",
        "1 - probability of the label, mean over test samples",
        "soft error of these.",
        of_labels=True,
    ),
    _tested(
        "test_margin",
        "margin y f(x), or label's output less the largest other, of test samples",
        "margin of each test sample.",
        ("test_sample",),
        of_labels=True,
    ),
    _tested(
        "test_output", "output f(x) of test samples", "output of each test sample.", ("test_sample", "output_unit")
    ),
    _tested(
        "test_residual",
        "output less target, of test samples",
        "residual of each test sample.",
        ("test_sample", "output_unit"),
        of_squares=True,
    ),
    Measure(
        "weights",
        "final weights",
        "the final weights (and biases), one array per layer, (networks, outputs, inputs).",
        layers=(("weights", "final weights"), ("biases", "final biases")),
        reducible=False,
        timed=False,
    ),
    Measure(
        "velocity",
        "final velocity",
        "with momentum, the final velocity v, arrays as of the weights; ``resume`` needs both.",
        layers=(("velocity", "final velocity of weights"), ("velocity_bias", "final velocity of biases")),
        reducible=False,
        of_momentum=True,
        timed=False,
    ),
    Measure(
        "trajectory",
        "weights",
        "the weights (and biases) at every record, one array per layer, (networks, times, outputs, inputs).",
        layers=(("trajectory", "weights"), ("trajectory_bias", "biases")),
        reducible=False,
    ),
    Measure(
        "pattern",
        "whether the unit's input is positive on the sample",
        dims=("unit", "sample"),
        reducible=False,
        flags=True,
    ),
)

REGISTRY = {measure.name: measure for measure in _ALL}
MEASURES = tuple(REGISTRY)
REDUCIBLE = tuple(name for name, measure in REGISTRY.items() if measure.reducible)
OF_TIME = tuple(name for name in REDUCIBLE if REGISTRY[name].is_one_number)
"""Measures of one number for each network and time."""
DEFAULT = ("loss", "error", "margin")
DEFAULT_OF_TARGETS = ("loss",)
"""What is measured if nothing is asked for, of a task with labels and of a regression."""


def any_of(names: Iterable[str], trait: str) -> bool:
    """Return whether some of the measures named have a trait, such as ``of_init`` or ``layers``."""
    return any(getattr(REGISTRY[name], trait) for name in names)


def listed(indent: int) -> str:
    """Return the list of all measures that docstrings show, in lines of at most 120 characters."""
    import textwrap

    lines = []
    for measure in _ALL:
        dims = [*measure.dims] if not measure.layers else []
        said = ", ".join(["time", *dims]).replace(", output_unit", "[, output_unit]")
        shape = f", shape (network, {said})" if dims else ""
        text = f"- ``{measure.name}``{shape}: {measure.about or f'{measure.meaning}.'}"
        lines.append(textwrap.fill(text, 120, initial_indent=" " * indent, subsequent_indent=" " * (indent + 2)))
    return "\n".join(lines).lstrip()
