"""Contenders: each module offers ``variants(case, dtype, threads)``, its ways to train a case.

A way is a function that makes a `Trainer`; the worker times them all and keeps the fastest that is right.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from benchmarks.cases import Array

MODULES = {name: f"benchmarks.peers.{name}_peer" for name in ("shoal", "numpy", "numba", "torch", "jax")}
"""Module of each contender; its name is also the package it needs."""


class Trainer(Protocol):
    """Trains all networks of a case; `chunk` is the number of steps that it fuses."""

    chunk: int

    def reset(self, weights: list[Array]) -> None:
        """Set the networks to `weights`, one (networks, out, in) float64 array a layer."""

    def advance(self, steps: int) -> None:
        """Make `steps` steps, a multiple of `chunk`, and wait until they are done."""

    def weights(self) -> list[Array]:
        """Return the networks' weights in the form that `reset` takes."""


@dataclass(frozen=True)
class Way:
    """How to make a trainer, and whether its gradient or its blocks are written by hand for the occasion.

    The report compares with the fastest way of all and with the fastest that is not by hand: what the library's own
    transformations (vmap, grad, scan, compile) give to who writes down the loss of one network.
    """

    make: Callable[[], Trainer]
    by_hand: bool = True


Variants = dict[str, Way]


def blocks(networks: int, size: int) -> int:
    """Return the largest divisor of `networks` that is at most `size`: networks of one block."""
    return max(b for b in range(1, min(size, networks) + 1) if networks % b == 0)
