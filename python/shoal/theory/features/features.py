"""Features that share samples: how a frequent or strong feature starves a rare or weak one.

| symbol | meaning | name | shape |
|---|---|---|---|
| rho_k | norm of feature k | ``norms`` | (features,) |
| T | sample types: which features a sample carries | ``types`` | (types,) of tuples |
| p_T | frequency of a type | ``frequencies`` | (types,) |
| u_k0 | strengths at time 0 | ``starts`` | (features,) |
| N | weight layers | ``depth`` | scalar |
| u_k(t) | strength of feature k, its part of a margin | ``Features.strengths`` | (features, times) |
| m_T(t) | margin of a type, the sum of its u_k | ``Features.margins`` | (types, times) |

Source: theory book, chapter 6.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.special import expit

from shoal.base import checks
from shoal.base.checks import real_numbers
from shoal.spec.loss import Loss
from shoal.theory.domains import LEAST, MOST, between, count, finite, penalties
from shoal.theory.features.coupled import ROUNDING, Stretch, System
from shoal.theory.residual import residual_of

Array = NDArray[np.float64]
Types: TypeAlias = Sequence[Sequence[int]] | NDArray[np.bool_]

LATEST = 1e290
STIFFEST = 1e12
"""Largest spectral decoupling that the steps of shared neurons resolve."""
FURTHEST = 300.0
"""Initial margins beyond which e^-m or its square nears the largest or the smallest double."""


@dataclass(frozen=True, init=False)
class Features:
    """Orthogonal features, and samples that carry several of them, under gradient flow, all layers balanced.

    A sample of type T is the sum of its features, y x = sum_{k in T} rho_k e_k, and its margin m_T = sum_{k in T} u_k.
    With the drives G_k = sum_{T with k} p_T [r(m_T) - zeta m_T], separate neurons for each feature grow by

        u_k' = N rho_k^(2/N) u_k^(2 - 2/N) G_k - N lambda u_k

    and neurons shared by all features, which move along a direction v with u_k = rho_k v_k and n = v/|v|, by

        v' = |v|^(2 - 2/N) [g + (N-1) n (n.g)] - N lambda v,   g_k = rho_k G_k.

    lambda is weight decay (lambda/2 |theta|^2 over all weights), zeta spectral decoupling (zeta/2 sum_T p_T m_T^2). At
    depth 1 both are the linear model f = w.x.

    Parameters
    ----------
    norms
        (features,) rho_k, from 1e-100 to 1e100.
    types
        One tuple of feature numbers for each type, or a matrix of bool (types, features).
    frequencies
        (types,) p_T, not negative, one of them positive; 0 is a type that is measured and not learnt. Those of a whole
        task sum to 1; those of one of two mirrored classes with neurons of its own sum to the fraction of that class.
    starts
        Strengths u_k at time 0, (features,), or one number for all; margins between -300 and 300. Of any sign at depth
        1. Where depth > 1, positive for separate neurons; for shared neurons such that every type's margin is positive,
        and one of them at least 1e-100 norms.
    loss
        Name or loss object.
    depth
        Weight layers N, at least 1.
    weight_decay
        lambda, 0 or from 1e-100 to 1e100.
    spectral_decoupling
        zeta, 0 or from 1e-100 to 1e100; to 1e12 where neurons are shared.
    neurons
        ``"separate"``: each neuron sees one feature. ``"shared"``: each sees all of them, as in a fully connected
        network whose neurons are parallel and active on every type.

    Raises
    ------
    TypeError
        An argument is not a number, or the loss neither a name nor a loss.
    ValueError
        An argument is out of the range above, shapes do not fit together, or a penalty comes with the hinge, whose
        residual jumps: the flow would slide along m = h.

    Notes
    -----
    Separate neurons are an architecture: the network is a sum of networks, one for each feature. A neuron of a fully
    connected network moves along the whole of each sample on which it is active: that is what shared neurons are. With
    two layers, features of either sign make a fully connected network separate (theory book, chapter 6).

    Accuracy: about 1e-12 of each strength, or what the rounding of ``times`` allows. Cost: some tens of panels of
    Newton steps per call, a few milliseconds each; none for the hinge.

    Source: formulas (6.1), (6.2), (6.3), (6.4) and (6.14) of the theory book; arXiv:1809.06848.

    Examples
    --------
    Feature 1 in one of ten samples, next to a feature that is in all: it is hardly learnt.

    >>> pair = Features(norms=(1.0, 1.0), types=((0,), (0, 1)), frequencies=(0.9, 0.1), starts=1e-3)
    >>> [round(float(u), 7) for u in pair.strengths(1e6)]
    [17.2948213, 0.0026506]
    >>> round(float(pair.confidence([1], 1e6)), 4)
    0.5007
    """

    norms: tuple[float, ...]
    types: tuple[tuple[int, ...], ...]
    frequencies: tuple[float, ...]
    starts: tuple[float, ...]
    loss: str | Loss
    depth: int
    weight_decay: float
    spectral_decoupling: float
    neurons: str

    def __init__(
        self,
        norms: ArrayLike,
        types: Types,
        frequencies: ArrayLike,
        starts: ArrayLike,
        loss: str | Loss = "cross_entropy",
        depth: int = 2,
        weight_decay: float = 0.0,
        spectral_decoupling: float = 0.0,
        neurons: str = "separate",
    ) -> None:
        """Check every argument; the class says what is allowed."""
        rho = checks.real_array("norms", norms, dimensions=1, shape="(features,)")
        between("norms", rho, LEAST, MOST)
        kinds = _kinds(types, len(rho))
        weights = checks.real_array("frequencies", frequencies, dimensions=1, shape="(types,)")
        if weights.shape != (len(kinds),):
            raise ValueError(f"frequencies must have one number per type, {len(kinds)}, got {len(weights)}")
        if not (weights >= 0).all() or not weights.any():
            raise ValueError(f"frequencies must not be negative and one must be positive, got {weights.tolist()}")
        given = real_numbers("starts", starts, "(features,)")
        given = np.full(len(rho), given) if given.ndim == 0 else given
        first = checks.real_array("starts", given, dimensions=1, shape="(features,)")
        if first.shape != rho.shape:
            raise ValueError(f"starts must be one number or one a feature, {len(rho)}, got {len(first)}")
        object.__setattr__(self, "depth", count("depth", depth))
        object.__setattr__(self, "neurons", checks.choice("neurons", neurons, ("separate", "shared")))
        if self._grows and not (first > 0).all():
            raise ValueError(f"starts must be positive when depth > 1, got {first[~(first > 0)][0]}")
        decay, decoupling = penalties(weight_decay, spectral_decoupling)
        object.__setattr__(self, "weight_decay", decay)
        object.__setattr__(self, "spectral_decoupling", decoupling)
        if self.neurons == "shared" and self.depth > 1:
            if np.abs(first / rho).max() < LEAST:
                raise ValueError(f"starts must hold one of at least {LEAST:g} norms, got {first.tolist()}")
            if decoupling > STIFFEST:
                raise ValueError(
                    f"spectral_decoupling must be at most {STIFFEST:g} when neurons are shared, got {decoupling:g}"
                )
        residual = residual_of(loss)
        if residual.family == "step" and (decay or decoupling):
            raise ValueError(
                "weight_decay and spectral_decoupling must be 0 with the hinge, whose residual jumps, "
                f"got {decay} and {decoupling}"
            )
        object.__setattr__(self, "norms", tuple(rho.tolist()))
        object.__setattr__(self, "types", kinds)
        object.__setattr__(self, "frequencies", tuple(weights.tolist()))
        object.__setattr__(self, "starts", tuple(first.tolist()))
        object.__setattr__(self, "loss", loss)
        reached = self._system.members @ first
        if self.depth > 1 and not (reached > 0).all():
            raise ValueError(f"starts must give every type a positive margin when depth > 1, got {reached.tolist()}")
        if not (np.abs(reached) < FURTHEST).all():
            raise ValueError(f"starts must give margins between -{FURTHEST:g} and {FURTHEST:g}, got {reached.tolist()}")

    def strengths(self, times: ArrayLike) -> Array:
        """Return the strengths u_k(t).

        Parameters
        ----------
        times
            Any shape, float64, in any order, from 0 to 1e290.

        Returns
        -------
        ndarray of float64, (features, ...) with the shape of ``times``

        Raises
        ------
        ValueError
            A time is negative, NaN or beyond 1e290.
        RuntimeError
            The flow changes within a rounding of the time.

        Notes
        -----
        Source: formulas (6.3), (6.4), (6.5) and (6.14) of the theory book.
        """
        given = between("times", times, 0.0, LATEST)
        order = np.argsort(given, axis=None, kind="stable")
        asked = given.ravel()[order]
        states = np.zeros((len(asked), len(self.norms)))
        system = self._system
        done = int(np.searchsorted(asked, 0.0, side="right"))
        if done < len(asked):
            for stretch in system.stretches():
                until = int(np.searchsorted(asked, stretch.left + stretch.length, side="right"))
                states[done:until] = stretch.at(asked[done:until] - stretch.left)
                done = max(done, until)
                if done == len(asked):
                    break
        out = np.empty((len(self.norms), len(asked)))
        out[:, order] = system.strengths(states).T
        return out.reshape(len(self.norms), *given.shape)

    def margins(self, times: ArrayLike) -> Array:
        """Return the margins m_T(t) of the types, (types, ...) float64 with the shape of ``times``.

        Notes
        -----
        Source: formula (6.1) of the theory book.
        """
        return np.asarray(np.tensordot(self._system.members, self.strengths(times), axes=1), dtype=np.float64)

    def on(self, features: Sequence[int], times: ArrayLike) -> Array:
        """Return the margin of a point that carries the ``features`` and no other, of the shape of ``times``.

        Raises
        ------
        TypeError
            A feature is not an integer.
        ValueError
            A feature is not one of this class, or comes twice; or there is none.

        Notes
        -----
        Source: formula (6.1) of the theory book.
        """
        chosen = _kind("features", features, len(self.norms))
        return np.asarray(self.strengths(times)[list(chosen)].sum(axis=0), dtype=np.float64)

    def confidence(self, features: Sequence[int], times: ArrayLike) -> Array:
        """Return the confidence sigmoid(m) in a point that carries the ``features`` alone, of the shape of ``times``.

        Notes
        -----
        Source: formula (6.12) of the theory book.
        """
        return np.asarray(expit(self.on(features, times)), dtype=np.float64)

    def loss_value(self, times: ArrayLike) -> Array:
        """Return the loss sum_T p_T l(m_T) without penalties, of the shape of ``times``.

        Notes
        -----
        Source: formula (0.1) of the theory book.
        """
        losses = self._system.residual.loss_value(self.margins(times))
        return np.asarray(np.tensordot(np.asarray(self.frequencies), losses, axes=1), dtype=np.float64)

    def velocity(self, strengths: ArrayLike) -> Array:
        """Return du/dt (features, points) float64 at strengths (features, points), at most 1e100 in magnitude.

        Separate neurons of more than one layer have strengths that are not negative.

        Notes
        -----
        Source: formulas (6.3), (6.4) and (6.14) of the theory book.
        """
        given = between("strengths", strengths, 0.0 if self._grows else -MOST, MOST)
        if given.ndim != 2 or len(given) != len(self.norms):
            raise ValueError(f"strengths must have shape ({len(self.norms)}, points), got shape {given.shape}")
        with np.errstate(over="ignore"):
            return self._system.change(given.T).T

    def time(self, kind: int, margin: ArrayLike) -> Array:
        """Return when type number ``kind`` first has a margin.

        Parameters
        ----------
        kind
            Number of the type, from 0.
        margin
            Any shape, float64.

        Returns
        -------
        ndarray of float64, shape of ``margin``
            Infinite where that margin is not reached by time 1e290.

        Raises
        ------
        TypeError
            ``kind`` is not an integer.
        ValueError
            ``kind`` is not a type, or a margin is not finite.

        Notes
        -----
        Without penalties, and save for the squared loss, margins do not fall. Cost: one bracketed root a margin.

        Source: formulas (6.1) and (6.5) of the theory book.
        """
        number = checks.integer("kind", kind, least=0, most=len(self.types) - 1)
        given = finite("margin", margin)
        system = self._system
        member = system.members[number]
        levels = given.ravel()
        side = np.where(levels >= float(system.starts @ member), 1.0, -1.0)
        times = np.where(levels == float(system.starts @ member), 0.0, np.inf)
        # An event of a hinge leaves the margin at the threshold within rounding, perhaps below it.
        slack = ROUNDING * np.abs(levels) if system.residual.family == "step" else 0.0
        for stretch in system.stretches():
            if stretch.left > LATEST or stretch.length == math.inf or np.isfinite(times).all():
                break
            grid = np.linspace(0.0, stretch.length, 33)
            beyond = side * ((system.strengths(stretch.at(grid)) @ member)[:, None] - levels) >= -slack
            for index in np.flatnonzero(beyond.any(axis=0) & np.isinf(times)):
                times[index] = stretch.left + _root(system, stretch, member, grid, beyond[:, index], levels[index])
        return times.reshape(given.shape)

    @property
    def _grows(self) -> bool:
        """Whether each strength grows in proportion to a power of itself, which keeps it positive."""
        return self.depth > 1 and self.neurons == "separate"

    @property
    def _system(self) -> System:
        members = np.zeros((len(self.types), len(self.norms)))
        for row, kind in zip(members, self.types, strict=True):
            row[list(kind)] = 1.0
        return System(
            np.asarray(self.norms),
            members,
            np.asarray(self.frequencies),
            np.asarray(self.starts),
            residual_of(self.loss),
            self.depth,
            self.weight_decay,
            self.spectral_decoupling,
            self.neurons == "shared",
        )


def _root(
    system: System, stretch: Stretch, member: Array, grid: Array, beyond: NDArray[np.bool_], level: float
) -> float:
    """Return when the margin of a type first crosses a level, counted from the beginning of a stretch."""
    after = int(np.argmax(beyond))
    if after == 0:
        return 0.0

    def gap(elapsed: float) -> float:
        return float(system.strengths(stretch.at(np.array([elapsed])))[0] @ member) - level

    ends = float(grid[after - 1]), float(grid[after])
    # At the end of a stretch of a hinge the margin may be short of the level by rounding.
    if gap(ends[0]) * gap(ends[1]) >= 0.0:
        return ends[1]
    return float(brentq(gap, *ends, xtol=1e-300, rtol=ROUNDING, maxiter=500))


def _kinds(types: Types, features: int) -> tuple[tuple[int, ...], ...]:
    """Return the types as tuples of feature numbers, ascending."""
    if isinstance(types, np.ndarray):
        if types.dtype != np.bool_ or types.ndim != 2 or types.shape[1] != features:
            raise ValueError(
                f"types as an array must be bool of shape (types, {features}), got {types.dtype} of {types.shape}"
            )
        types = [np.flatnonzero(row).tolist() for row in types]
    given = checks.sequence("types", types, "a sequence of types such as [(0,), (0, 1)]")
    if not given:
        raise ValueError("types must hold at least one type, got none")
    return tuple(_kind(f"types[{i}]", kind, features) for i, kind in enumerate(given))


def _kind(name: str, values: object, features: int) -> tuple[int, ...]:
    """Return the numbers of the features that a point carries, ascending."""
    given = checks.sequence(name, values, "features such as (0, 1)")
    kind = tuple(sorted(checks.integer(name, k, least=0, most=features - 1) for k in given))
    if not kind or len(set(kind)) != len(kind):
        raise ValueError(f"{name} must name at least one feature and none of them twice, got {kind}")
    return kind
