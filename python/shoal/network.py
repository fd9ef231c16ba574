"""The shape of the networks that are trained together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from shoal import checks

ACTIVATIONS = ("relu", "leaky_relu", "linear", "tanh", "softplus")
_DEFAULT_SLOPE = 0.01
_MOST_PARAMETERS = 2**30  # the core numbers the parameters of a network with 32 bits


@dataclass(frozen=True)
class Network:
    """A fully connected network, given by its layer widths.

    The activation stands after every weight layer but the last. ReLU'(0) = 0. Weight layer l has an array of shape
    (widths[l + 1], widths[l]): one row an output.

    Parameters
    ----------
    widths
        Inputs, hidden units of each layer, outputs: at least two numbers. One output learns labels -1/+1, K outputs
        learn labels 0..K-1.
    activation
        ``relu``, ``leaky_relu``, ``linear``, ``tanh`` or ``softplus``.
    slope
        Slope of ``leaky_relu`` below zero, between 0 and 1. The other activations have none.
    bias
        Whether each unit after the inputs adds a trained bias.

    Raises
    ------
    TypeError
        A width is not an integer, or an argument has the wrong type.
    ValueError
        Fewer than two widths, a width below one, more than 2**30 parameters, an unknown activation, a slope outside
        0..1 or for another activation.

    Examples
    --------
    >>> Network((10, 20, 1)).parameters
    220
    """

    widths: tuple[int, ...]
    activation: str = "relu"
    slope: float = _DEFAULT_SLOPE
    bias: bool = False

    def __post_init__(self) -> None:
        """Check the fields."""
        if isinstance(self.widths, str) or not isinstance(self.widths, Iterable):
            raise TypeError(f"widths must be a sequence of integers such as (10, 20, 1), got {self.widths!r}")
        widths = tuple(checks.integer(f"widths[{i}]", width, least=1) for i, width in enumerate(self.widths))
        if len(widths) < 2:
            raise ValueError(f"widths must name at least the inputs and the outputs, got {widths}")
        checks.choice("activation", self.activation, ACTIVATIONS)
        slope = checks.real("slope", self.slope)
        if not 0 <= slope <= 1:
            raise ValueError(f"slope must lie between 0 and 1, got {slope}")
        if self.activation != "leaky_relu" and slope != _DEFAULT_SLOPE:
            raise ValueError(f"slope is for leaky_relu only, got slope={slope} with activation={self.activation!r}")
        if not isinstance(self.bias, bool):
            raise TypeError(f"bias must be True or False, got {self.bias!r}")
        object.__setattr__(self, "widths", widths)
        object.__setattr__(self, "slope", slope)
        if self.parameters > _MOST_PARAMETERS:
            raise ValueError(
                f"widths must make a network of at most {_MOST_PARAMETERS} parameters, got {widths}, "
                f"which has {self.parameters}"
            )

    @property
    def inputs(self) -> int:
        """Number of inputs."""
        return self.widths[0]

    @property
    def outputs(self) -> int:
        """Number of outputs."""
        return self.widths[-1]

    @property
    def layers(self) -> int:
        """Number of weight layers: the depth N of the theory, one more than the hidden layers."""
        return len(self.widths) - 1

    @property
    def units(self) -> int:
        """Number of hidden units in all hidden layers together."""
        return sum(self.widths[1:-1])

    @property
    def parameters(self) -> int:
        """Number of trained numbers of one network."""
        weights = sum(before * after for before, after in pairwise(self.widths))
        return weights + (sum(self.widths[1:]) if self.bias else 0)
