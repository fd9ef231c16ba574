"""Initialisation: what every one is, and weights that are given."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shoal.base import checks
from shoal.base.frozen import Frozen
from shoal.spec.network import Network
from shoal.spec.task import Task


class Init(Frozen, ABC):
    """Base class of the initialisations: those of ``drawn.py``, and ``Explicit``.

    The core knows these and no other.
    """

    @abstractmethod
    def for_core(self, network: Network, task: Task, networks: int) -> dict[str, Any]:
        """Return the initialisation as the core takes it, or raise a ValueError if it does not fit the arguments."""

    def draw(
        self,
        network: Network,
        task: Task,
        *,
        networks: int | None = None,
        seed: int = 0,
        first_network: int = 0,
        dtype: str = "float64",
        threads: int | None = None,
    ) -> Explicit:
        """Return the initial weights that ``train`` would use.

        Parameters
        ----------
        network, task, networks, seed, first_network, dtype, threads
            As in ``train``. ``Separated`` uses the inputs of the task; the other initialisations do not use the task.

        Raises
        ------
        TypeError, ValueError
            As in ``train``.

        Examples
        --------
        >>> import shoal
        >>> drawn = shoal.Gaussian(.1).draw(shoal.Network((2, 3, 1)), shoal.tasks.modes((1., 2.)), networks=4)
        >>> drawn
        Explicit(weights=[<float64 (4, 3, 2)>, <float64 (4, 1, 3)>])
        """
        from shoal.spec.method import GradientDescent
        from shoal.spec.record import Record
        from shoal.train import train

        data = train(
            network, task, self, method=GradientDescent(1.0, steps=0), record=Record(measure=("weights",)),
            loss="squared", networks=networks, seed=seed, first_network=first_network, dtype=dtype, threads=threads,
        )  # fmt: skip
        layers = range(1, network.layers + 1)
        biases = [data[f"biases_{layer}"].values for layer in layers] if network.bias else None
        return Explicit([data[f"weights_{layer}"].values for layer in layers], biases)

    def scalars(self, network: Network) -> dict[str, float]:
        """Return the numbers that set the size of drawn weights, all positive, by the name of what sets them."""
        return {name: value for name, value in vars(self).items() if isinstance(value, float)}

    @property
    def networks(self) -> int | None:
        """How many networks it is for; None if any number can be drawn."""
        return None

    @property
    def arrays(self) -> dict[str, NDArray[np.float64]]:
        """The weights and biases that it holds, by name."""
        return {}

    def block(self, begin: int, end: int) -> Init:
        """Return the initialisation of networks ``begin`` to ``end`` - 1 alone, counted from the first."""
        return self


@dataclass(frozen=True, eq=False, init=False, repr=False)
class Explicit(Init):
    """Given initial weights, one row per network.

    The outputs of a centred network are relative to these weights. To continue a training from its final weights, use
    ``shoal.resume``: final weights that are given here begin a new training, in which the outputs so far count as 0.

    Parameters
    ----------
    weights : sequence of array_like, one per layer, each of shape (networks, outputs, inputs)
        Finite. Row k belongs to network ``first_network`` + k of the training.
    biases : sequence of array_like, one per layer, each of shape (networks, outputs), optional
        For networks with biases; zero when left out.

    Attributes
    ----------
    weights, biases : tuple of read-only float64 arrays
        ``biases`` is empty when they were left out.

    Raises
    ------
    TypeError
        Something is not a real number, or not a sequence of arrays.
    ValueError
        Wrong dimensions, NaN or infinite values, layers that do not follow each other, or numbers of networks that
        differ.
    """

    weights: tuple[NDArray[np.float64], ...]
    biases: tuple[NDArray[np.float64], ...]

    def __init__(self, weights: Sequence[ArrayLike], biases: Sequence[ArrayLike] | None = None) -> None:
        layers = _arrays("weights", weights, 3, "(networks, outputs, inputs)")
        offsets = _arrays("biases", () if biases is None else biases, 2, "(networks, outputs)")
        if not layers:
            raise ValueError("weights must hold one array per layer, got none")
        self._fill(weights=layers, biases=offsets)
        for name, array in self.arrays.items():
            if len(array) != self.networks:
                raise ValueError(f"{name} must hold as many networks as weights[0], {self.networks}, got {len(array)}")
        for i, (before, after) in enumerate(pairwise(layers), start=1):
            if after.shape[2] != before.shape[1]:
                raise ValueError(
                    f"weights[{i}] must have shape (networks, outputs, {before.shape[1]}) to follow the layer before "
                    f"it, got {after.shape}"
                )
        if offsets and [b.shape[1] for b in offsets] != [w.shape[1] for w in layers]:
            raise ValueError(
                f"biases must hold one array (networks, outputs) per layer for outputs {[w.shape[1] for w in layers]}, "
                f"got shapes {[b.shape for b in offsets]}"
            )

    @property
    def _unsaid(self) -> dict[str, Any]:
        return {"biases": ()}

    @classmethod
    def from_torch(cls, modules: Any) -> Explicit:
        """Return the weights of PyTorch modules, one network per module.

        Parameters
        ----------
        modules : torch.nn.Module or sequence of them
            Each with ``torch.nn.Linear`` layers in the order in which they act, such as a ``torch.nn.Sequential``. All
            have the same layers, and biases in all of them or in none. Activations are those of ``Network``: only
            Linear modules are read.

        Raises
        ------
        ImportError
            PyTorch is not installed; shoal does not bring it.
        TypeError
            Something is not a module.
        ValueError
            A module has no Linear layer, other layers than the first module, or biases in some layers only.
        """
        from shoal.pytorch import parameters_of_torch

        return cls(*parameters_of_torch(modules))

    @property
    def networks(self) -> int:
        """Number of networks the arrays hold."""
        return len(self.weights[0])

    @property
    def arrays(self) -> dict[str, NDArray[np.float64]]:
        """The weights and biases, by name."""
        held = {"weights": self.weights, "biases": self.biases}
        return {f"{name}[{i}]": array for name, arrays in held.items() for i, array in enumerate(arrays)}

    def for_core(self, network: Network, task: Task, networks: int) -> dict[str, Any]:
        """Return the arrays, with biases of 0 if the network has some and none are given."""
        widths = (self.weights[0].shape[2], *(array.shape[1] for array in self.weights))
        if widths != network.widths:
            raise ValueError(f"init=Explicit has weights for widths {widths}, the network has widths {network.widths}")
        if self.networks != networks:
            raise ValueError(f"networks must be the {self.networks} that init=Explicit holds, got {networks}")
        if self.biases and not network.bias:
            raise ValueError("init=Explicit has biases, the network has bias=False")
        biases = self.biases
        if network.bias and not biases:
            biases = tuple(np.zeros(array.shape[:2]) for array in self.weights)
        return {"kind": "explicit", "weights": list(self.weights), "biases": list(biases)}

    def block(self, begin: int, end: int) -> Explicit:
        """Return the initialisation of rows ``begin`` to ``end`` - 1 alone."""
        if (begin, end) == (0, self.networks):
            return self
        return Explicit(
            [array[begin:end] for array in self.weights], [array[begin:end] for array in self.biases] or None
        )


def _arrays(name: str, arrays: object, dimensions: int, shape: str) -> tuple[NDArray[np.float64], ...]:
    if not isinstance(arrays, (list, tuple)):
        raise TypeError(f"{name} must be a list of one array {shape} per layer, got {type(arrays).__name__}")
    return tuple(
        checks.real_array(f"{name}[{i}]", array, dimensions=dimensions, shape=shape) for i, array in enumerate(arrays)
    )
