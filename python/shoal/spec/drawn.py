"""Initialisations that the core draws from (seed, network index), and the list of all."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from shoal.base import checks
from shoal.spec.directions import mode_directions
from shoal.spec.init import Explicit, Init
from shoal.spec.network import Network
from shoal.spec.task import Task


@dataclass(frozen=True, eq=False, repr=False)
class Gaussian(Init):
    """Every weight is normal with mean 0, biases are 0. Give either ``std`` or ``gain``.

    Parameters
    ----------
    std
        Standard deviation of every weight, positive.
    gain
        Positive. The weights of a layer have the standard deviation gain / sqrt(fan_in); fan_in is its number of
        inputs.

    Raises
    ------
    TypeError, ValueError
        Both or neither are given, or the given one is not a positive, finite number.
    """

    std: float | None = None
    gain: float | None = None

    def __post_init__(self) -> None:
        """Check the fields."""
        if (self.std is None) == (self.gain is None):
            raise ValueError(f"Gaussian takes either std or gain, got std={self.std!r}, gain={self.gain!r}")
        name = "gain" if self.std is None else "std"
        self._fill(**{name: checks.positive(name, getattr(self, name))})

    def for_core(self, network: Network, task: Task, networks: int) -> dict[str, Any]:
        """Return the standard deviation of each layer's weights."""
        if self.gain is None:
            return {"kind": "gaussian", "scales": [self.std] * network.layers}
        return {"kind": "gaussian", "scales": [self.gain / math.sqrt(width) for width in network.widths[:-1]]}

    def scalars(self, network: Network) -> dict[str, float]:
        """Return the standard deviation, or the gain over the root of each number of inputs."""
        if self.gain is None:
            return super().scalars(network)
        fans = sorted(set(network.widths[:-1]))
        return {f"gain / sqrt(fan-in {fan})": self.gain / math.sqrt(fan) for fan in fans}


@dataclass(frozen=True, eq=False, repr=False)
class Balanced(Init):
    """The first layer is normal; the outgoing weights of each hidden unit have the norm of its incoming ones.

    If the rates of the two layers differ, that norm is multiplied by sqrt(r_out / r_in). The direction of the outgoing
    weights is isotropic, biases are 0. All balance invariants are 0 at initialisation, and gradient flow keeps
    them at 0 for relu, leaky_relu and linear.

    Parameters
    ----------
    std
        Standard deviation of the first layer's weights, positive.

    Raises
    ------
    TypeError, ValueError
        ``std`` is not a positive, finite number.
    """

    std: float

    def __post_init__(self) -> None:
        """Check the fields."""
        self._fill(std=checks.positive("std", self.std))

    def for_core(self, network: Network, task: Task, networks: int) -> dict[str, Any]:
        """Return the standard deviation."""
        return {"kind": "balanced", "scale": self.std}


@dataclass(frozen=True, eq=False, repr=False)
class Separated(Init):
    """Two-layer networks of one output whose hidden units are each active on one mode of the task only.

    The modes are the distinct directions of the inputs, in the order in which they come; they must be orthogonal or
    antipodal to each other. Hidden unit i serves mode i % modes. Its incoming weights are normal and then reflected, so
    that it is active along its own direction and inactive along those of other modes. Along a direction that carries an
    antipodal pair of other modes they are set to 0, which is exact only on the coordinate axes and refused elsewhere.
    The output weights are normal, of either sign. Every mode then learns alone (theory book, chapter 3).

    Parameters
    ----------
    std
        Standard deviation of the incoming weights, positive.
    output_std
        Standard deviation of the output weights, positive; ``std`` when left out.

    Raises
    ------
    TypeError, ValueError
        A standard deviation is not a positive, finite number; when training: the task has no such modes.

    Notes
    -----
    Source: the separated initialisation of Tachet et al. (2018), arXiv:1809.06848.
    """

    std: float
    output_std: float | None = None

    def __post_init__(self) -> None:
        """Check the fields."""
        self._fill(std=checks.positive("std", self.std))
        if self.output_std is not None:
            self._fill(output_std=checks.positive("output_std", self.output_std))

    def for_core(self, network: Network, task: Task, networks: int) -> dict[str, Any]:
        """Return the standard deviations and the task's modes."""
        _check_two_layers("Separated", network)
        modes = dict(zip(("directions", "mode_direction", "mode_sign"), mode_directions(task.inputs), strict=True))
        output_std = self.std if self.output_std is None else self.output_std
        return {"kind": "separated", "scale": self.std, "output_scale": output_std, **modes}


@dataclass(frozen=True, eq=False, init=False, repr=False)
class Unit(Init):
    """Two-layer networks of one output whose incoming weights have uniform directions and given norms.

    The weights into hidden unit i are ``norm[i]`` times a direction that is uniform on the unit sphere of the inputs.
    Its output weight is balanced: of the size ``norm[i]``, times sqrt(r_out / r_in) if the rates of the layers differ,
    with a random sign. So ``Unit(eps)`` is the small balanced initialisation of theories of early alignment, in which
    directions of neurons move long before their norms do. Biases are 0.

    Parameters
    ----------
    norm : float or sequence of float, (units,)
        Norm of the incoming weights of every hidden unit, or of each; positive. A sequence is kept as a tuple.
    output : float or sequence of float, (units,), optional
        The output weight of every hidden unit, or of each, with its sign; drawn when left out. A sequence is kept as a
        tuple.

    Raises
    ------
    TypeError
        Something is not a number.
    ValueError
        A norm is not positive and finite, an output weight is not finite, or a sequence is empty; when training: the
        network has not two weight layers and one output, or a sequence is not of as many numbers as hidden units.

    Notes
    -----
    A normal vector over its norm is uniform on the sphere; all norms are exact to rounding.

    Source: Maennel, Bousquet and Gelly (2018), arXiv:1803.08367; Boursier and Flammarion (2024), arXiv:2401.10791.

    Examples
    --------
    >>> import numpy as np, shoal
    >>> network, task = shoal.Network((3, 4, 1)), shoal.tasks.modes((1., 2., 3.))
    >>> drawn = Unit(.01).draw(network, task, networks=2)
    >>> np.linalg.norm(drawn.weights[0], axis=2).round(6)
    array([[0.01, 0.01, 0.01, 0.01],
           [0.01, 0.01, 0.01, 0.01]])
    """

    norm: float | tuple[float, ...]
    output: float | tuple[float, ...] | None = None

    def __init__(self, norm: float | Sequence[float], output: float | Sequence[float] | None = None) -> None:
        self._fill(norm=_one_or_each("norm", norm, checks.positive), output=None)
        if output is not None:
            self._fill(output=_one_or_each("output", output, checks.real))

    def for_core(self, network: Network, task: Task, networks: int) -> dict[str, Any]:
        """Return the norm of each hidden unit, and its output weight if that is given."""
        _check_two_layers("Unit", network)
        outputs = [] if self.output is None else self._of_units("output", self.output, network)
        return {"kind": "unit", "norms": self._of_units("norm", self.norm, network), "outputs": outputs}

    def scalars(self, network: Network) -> dict[str, float]:
        """Return the norms, and the sizes of the output weights that are given and not 0."""
        given = {"norm": self.norm, "output": 0.0 if self.output is None else self.output}
        found: dict[str, float] = {}
        for name, held in given.items():
            numbers = {f"{name}[{i}]": each for i, each in enumerate(held)} if isinstance(held, tuple) else {name: held}
            found |= {name: abs(each) for name, each in numbers.items() if each}
        return found

    def check_pairs(self) -> None:
        """Refuse norms and output weights of units that ``Symmetric`` could not pair."""
        for name, held, sign in (("norm", self.norm, 1), ("output", self.output, -1)):
            pairs = zip(held[0::2], held[1::2], strict=True) if isinstance(held, tuple) else ()
            for k, (one, other) in enumerate(pairs):
                if other != sign * one:
                    wanted = "equal" if sign > 0 else "opposite"
                    raise ValueError(
                        f"{name} must be {wanted} for both units of a pair in init=Symmetric, got "
                        f"{name}[{2 * k}]={one}, {name}[{2 * k + 1}]={other}"
                    )

    @staticmethod
    def _of_units(name: str, held: float | tuple[float, ...], network: Network) -> list[float]:
        units = network.widths[1]
        if isinstance(held, tuple) and len(held) != units:
            raise ValueError(f"{name} must hold one number for each of the {units} hidden units, got {len(held)}")
        return list(held) if isinstance(held, tuple) else [held] * units


@dataclass(frozen=True, eq=False, repr=False)
class Symmetric(Init):
    """Units of the last hidden layer come in pairs that cancel, so that every output is 0 at initialisation.

    Units 2k and 2k + 1 of the last hidden layer have equal incoming weights and opposite outgoing weights. Those of
    unit 2k, and all layers below, are drawn as ``of`` draws them. ``Balanced`` is balanced after pairing; of
    ``Separated``, pair k serves mode k % modes. Biases are 0. Training pulls the two units of a pair apart.

    **How exactly 0.** An output adds its units in ascending order and rounds each sum once. So each pair leaves the
    rounding error of one product, and

        |f| <= eps sum_k |z_2k phi(a_2k)|

    over the pairs k, with the output weights z, scales multiplied in, and the distance eps from 1 to the next number of
    the dtype. Only output weights that are powers of 2 would cancel to the bit. ``Network(..., centred=True)`` has
    outputs that are 0 to the bit at initialisation, whatever the weights.

    Parameters
    ----------
    of : Gaussian, Balanced, Separated or Unit
        How unpaired weights would be drawn. Of a ``Unit`` with one norm or output weight for each hidden unit, those of
        a pair must be equal, or opposite.

    Raises
    ------
    TypeError
        ``of`` is none of these. Weights of ``Explicit`` are given as they are: give symmetric ones.
    ValueError
        When training: the network has no hidden layer, or an odd last one; or as of ``of``.

    Notes
    -----
    Source: the doubling trick of Chizat, Oyallon and Bach (2019), arXiv:1812.07956.

    Examples
    --------
    >>> import shoal
    >>> drawn = Symmetric(shoal.Gaussian(.5)).draw(shoal.Network((2, 4, 1)), shoal.tasks.modes((1., 2.)), networks=3)
    >>> bool((drawn.weights[1][..., 0::2] == -drawn.weights[1][..., 1::2]).all())
    True
    """

    of: Init

    def __post_init__(self) -> None:
        """Check the field."""
        if isinstance(self.of, Explicit):
            raise TypeError(f"of must be drawn, got {self.of}: give weights that are symmetric as Explicit itself")
        checks.kind("of", self.of, *(kind for kind in DRAWN if kind is not Symmetric))

    def for_core(self, network: Network, task: Task, networks: int) -> dict[str, Any]:
        """Return the initialisation that is paired."""
        if network.layers < 2 or network.widths[-2] % 2:
            raise ValueError(
                "init=Symmetric needs a last hidden layer of an even number of units, got a network of widths "
                f"{network.widths}"
            )
        start = self.of.for_core(network, task, networks)
        if isinstance(self.of, Unit):
            self.of.check_pairs()
        return {**start, "paired": True}

    def scalars(self, network: Network) -> dict[str, float]:
        """Return those of the initialisation that is paired."""
        return self.of.scalars(network)


DRAWN: tuple[type[Init], ...] = (Gaussian, Balanced, Separated, Unit, Symmetric)
INITS: tuple[type[Init], ...] = (*DRAWN, Explicit)


def _one_or_each(name: str, given: object, check: Callable[[str, object], float]) -> float | tuple[float, ...]:
    """Return one number, or a tuple of one per hidden unit."""
    if not isinstance(given, (list, tuple)) and not (isinstance(given, np.ndarray) and given.ndim):
        return check(name, given)
    if not len(given):
        raise ValueError(f"{name} must be a number, or hold one for each hidden unit, got none")
    return tuple(check(f"{name}[{i}]", each) for i, each in enumerate(given))


def _check_two_layers(name: str, network: Network) -> None:
    if network.layers != 2 or network.outputs != 1:
        raise ValueError(
            f"init={name} needs two weight layers and one output, got a network of widths {network.widths}"
        )
