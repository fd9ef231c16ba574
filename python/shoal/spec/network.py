"""The shape of the networks that are trained together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from shoal.base import checks
from shoal.base.frozen import Frozen
from shoal.spec.activation import ACTIVATIONS

_MOST_PARAMETERS = 2**30  # the core numbers the parameters of a network with 32 bits
_LEAST_FACTOR, _MOST_FACTOR = 1e-100, 1e100  # of scales and rates: products and ratios of them stay numbers


@dataclass(frozen=True, eq=False, init=False, repr=False)
class Network(Frozen):
    """A fully connected network, given by its layer widths and its parametrisation.

    The pre-activation of layer l is ``scales[l] * W_l h + b_l``. The activation follows every weight layer but the
    last; ReLU'(0) = 0. The weights of layer l have shape (widths[l + 1], widths[l]), one row per output. Layer l learns
    at ``rates[l]`` times the rate of the method, weights and biases alike: dW_l/dt = -rates[l] dL/dW_l.

    Parameters
    ----------
    widths
        Inputs, hidden units of each layer, outputs: at least two numbers. A network of one output learns labels -1/+1,
        one of K outputs labels 0..K-1.
    activation
        ``relu``, ``leaky_relu``, ``linear``, ``tanh``, ``softplus``, ``erf`` or ``quadratic``. The last two are erf(a),
        as ``torch.erf``, and a^2.
    slope
        Slope of ``leaky_relu`` below zero, between 0 and 1. The other activations have none.
    bias
        Whether each unit after the inputs adds a trained bias.
    scales, rates
        One number per weight layer, from 1e-100 to 1e100; ones when left out. Both are kept as tuples. Initialisation,
        training, records and weight decay refer to W_l itself, not to ``scales[l] * W_l``.
    centred
        Whether the output is f(x, t) - f(x, 0), which is exactly 0 at initialisation. With a large output scale the
        network then learns lazily, without the large random function of its initialisation.

    Raises
    ------
    TypeError, ValueError
        An argument has the wrong type or is out of range, a slope is given for another activation, or the network has
        more than 2**30 parameters.

    Notes
    -----
    Every parametrisation of layers by powers of the width n is one choice of multiplier, initialisation and rate: the
    abc form of Yang and Hu (2021), arXiv:2011.14522. With the fan-in k of a layer, d inputs, n units per hidden layer:

    ============== ================== ================== ========= =========================================
    name           scale              standard deviation rate      in a time of 1 move
    ============== ================== ================== ========= =========================================
    ``standard``   1                  gain / sqrt(k)     1         the output by O(n)
    ``ntk``        1 / sqrt(k)        1                  1         the output by O(1), a weight by O(n^(-1/2))
    ``mean_field`` 1 / sqrt(d), alpha 1                  n / alpha the output by O(alpha), a weight by O(1)
                   / n
    ============== ================== ================== ========= =========================================

    So the unit of time is the same for every width in the last two. The velocity of the output is -K times the
    residuals with the kernel K = sum_l r_l |df/dW_l|^2, of which the output layer has r s^2 sum_i h_i^2. That grows
    with n for s = r = 1; s^2 = 1/n and r = 1, or s = alpha/n and r = n/alpha, make it an average over units.

    Soft committee machines have the activation erf(a / sqrt(2)) in place of erf(a) (Saad and Solla 1995, Phys. Rev. E
    52, 4225). That is ``erf`` with a first scale of 1 / sqrt(2), or 1 / sqrt(2 d) if a = w.x / sqrt(d).

    Source: theory book, chapter 0.

    Examples
    --------
    >>> Network((10, 20, 1)).parameters
    220
    >>> Network((10, 20, 1), scales=(0.5, 0.1))
    Network(widths=(10, 20, 1), activation='relu', slope=0.01, bias=False, scales=(0.5, 0.1))
    """

    widths: tuple[int, ...]
    activation: str
    slope: float
    bias: bool
    scales: tuple[float, ...]
    rates: tuple[float, ...]
    centred: bool

    def __init__(
        self,
        widths: Sequence[int],
        activation: str = "relu",
        slope: float = 0.01,
        bias: bool = False,
        scales: Sequence[float] | None = None,
        rates: Sequence[float] | None = None,
        centred: bool = False,
    ) -> None:
        given = checks.sequence("widths", widths, "a sequence of integers such as (10, 20, 1)")
        numbers = tuple(checks.integer(f"widths[{i}]", width, least=1) for i, width in enumerate(given))
        if len(numbers) < 2:
            raise ValueError(f"widths must name at least the inputs and the outputs, got {numbers}")
        checks.choice("activation", activation, ACTIVATIONS)
        slope = checks.real("slope", slope, least=0, most=1)
        if activation != "leaky_relu" and slope != 0.01:
            raise ValueError(f"slope is for leaky_relu only, got slope={slope} with activation={activation!r}")
        self._fill(
            widths=numbers,
            activation=activation,
            slope=slope,
            bias=checks.flag("bias", bias),
            scales=_one_per_layer("scales", scales, numbers),
            rates=_one_per_layer("rates", rates, numbers),
            centred=checks.flag("centred", centred),
        )
        if self.parameters > _MOST_PARAMETERS:
            raise ValueError(
                f"widths must make a network of at most {_MOST_PARAMETERS} parameters, got {numbers}, "
                f"which has {self.parameters}"
            )

    @classmethod
    def standard(
        cls,
        widths: Sequence[int],
        activation: str = "relu",
        slope: float = 0.01,
        bias: bool = False,
        centred: bool = False,
    ) -> Network:
        """Return the network in the standard parametrisation: all scales and rates are 1, as by default.

        Initialise it by ``Gaussian(gain=...)``. Wider networks learn faster; learning rates proportional to 1 / width
        compensate for that.
        """
        return cls(widths, activation, slope, bias, centred=centred)

    @classmethod
    def ntk(
        cls,
        widths: Sequence[int],
        activation: str = "relu",
        slope: float = 0.01,
        bias: bool = False,
        centred: bool = False,
    ) -> Network:
        """Return the network in the parametrisation of the neural tangent kernel: scales 1 / sqrt(fan-in), rates 1.

        Initialise it by ``Gaussian(std=1.0)``. The speed of its output then does not depend on the width, and each
        weight moves less the wider the network is: in the limit the kernel is constant (Jacot et al. 2018,
        arXiv:1806.07572).

        Examples
        --------
        >>> Network.ntk((4, 16, 1)).scales
        (0.5, 0.25)
        """
        shape = cls(widths, activation, slope, bias)
        scales = [1 / math.sqrt(fan_in) for fan_in in shape.widths[:-1]]
        return cls(widths, activation, slope, bias, scales=scales, centred=centred)

    @classmethod
    def mean_field(
        cls,
        inputs: int,
        nodes: int,
        alpha: float = 1.0,
        *,
        activation: str = "relu",
        slope: float = 0.01,
        centred: bool = False,
    ) -> Network:
        """Return f(x) = (alpha / nodes) sum_i a_i phi(w_i.x / sqrt(inputs)), in the time unit of the mean field.

        Scales are (1 / sqrt(inputs), alpha / nodes), rates of both layers nodes / alpha. Initialise it by
        ``Gaussian(std=1.0)``. Nodes move by O(1) in a time of 1, for any number of nodes and any ``alpha``:

            a_i' = <u y phi(w_i.x / sqrt d)>,   w_i' = <u y a_i phi'(w_i.x / sqrt d) x> / sqrt d

        with the mean <> over samples and the residual u. So time, r x steps of ``GradientDescent(learning_rate=r)`` or
        that of ``GradientFlow``, is that of chapter 7 of the theory book at beta = 1. For large ``alpha`` the output
        moves far while nodes hardly move: this is lazy learning, for which ``centred`` subtracts the initial output.
        For small ``alpha`` nodes move far first.

        Parameters
        ----------
        inputs, nodes
            d and M, at least 1.
        alpha
            Scale of the output, positive.
        activation, slope, centred
            As in ``Network``.

        Raises
        ------
        TypeError, ValueError
            An argument has the wrong type or is out of range.

        Notes
        -----
        Source: theory book, chapter 7 (arXiv:2006.11209); lazy learning and alpha: arXiv:1812.07956.

        Examples
        --------
        >>> Network.mean_field(100, 400, alpha=2.0).scales
        (0.1, 0.005)
        """
        d = checks.integer("inputs", inputs, least=1, most=_MOST_PARAMETERS)
        m = checks.integer("nodes", nodes, least=1, most=_MOST_PARAMETERS)
        alpha = checks.positive("alpha", alpha)
        if not _LEAST_FACTOR < alpha / m < _MOST_FACTOR:
            raise ValueError(
                f"alpha must make alpha / nodes lie between {_LEAST_FACTOR:g} and {_MOST_FACTOR:g}, got {alpha:g}"
            )
        rate = m / alpha
        return cls((d, m, 1), activation, slope, False, (1 / math.sqrt(d), alpha / m), (rate, rate), centred)

    @property
    def _unsaid(self) -> dict[str, Any]:
        ones = (1.0,) * self.layers
        return {"scales": ones, "rates": ones, "centred": False}

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


def _one_per_layer(name: str, given: Sequence[float] | None, widths: tuple[int, ...]) -> tuple[float, ...]:
    layers = len(widths) - 1
    if given is None:
        return (1.0,) * layers
    held = checks.sequence(name, given, f"a sequence of {layers} numbers, one per weight layer")
    numbers = tuple(checks.positive(f"{name}[{i}]", value) for i, value in enumerate(held))
    if len(numbers) != layers:
        raise ValueError(f"{name} must hold one number for each of the {layers} weight layers, got {numbers}")
    return tuple(
        checks.real(f"{name}[{i}]", number, least=_LEAST_FACTOR, most=_MOST_FACTOR) for i, number in enumerate(numbers)
    )
