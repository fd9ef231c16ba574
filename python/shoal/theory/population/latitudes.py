"""Quadrature over the angle between an input and the teacher, for nodes that come in rings.

| symbol | meaning | name | shape |
|---|---|---|---|
| d | inputs | ``inputs`` | scalar |
| phi | angle between an input and the teacher's axis, folded into [0, pi/2] | ``phi`` | (points,) |
| psi | angle between a node's weights and that axis, folded likewise | ``psi`` | (nodes,) |
| mu | density of phi for rotationally symmetric inputs | ``density`` | any |
| V | mean of abs(cos) between an input of angle phi and a ring of angle psi | ``even`` | as phi, psi |
| D | unsatisfied inputs on one side of the teacher in excess of the other side | ``excess`` | (points,) |
| J_par, J_perp | pulls of D on a node of angle psi, along the teacher and across | ``pulls`` | (nodes,) |

s = cot(psi) cot(phi) of :mod:`shoal.theory.population.rings` reaches 1 at phi = pi/2 - psi, where averages over a ring
have a kink. The output of a population and D are smooth in phi, J_par and J_perp in psi, so that these are Legendre
series on panels. The matrices between them hold the integrals of V, kappa and L against Legendre polynomials, cut at
the kink, exact up to rounding. Panels of phi and of psi mirror one another, so that kinks pass from panel to panel in
both at once.

Source: theory book, chapter 8.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TypeAlias

import numpy as np
from numpy.polynomial import legendre
from numpy.typing import NDArray
from scipy.special import gammaln

from shoal.theory.population.rings import Rings

Array = NDArray[np.float64]
Index = NDArray[np.int64]
Place: TypeAlias = tuple[Index, Array]

NODES = 12
"""Gauss points per panel, and terms of its Legendre series."""
LEVELS = 9
"""How often panels are halved towards the equator phi = pi/2, where x_par is small, and towards psi = 0."""
LEAST = 1e-18
"""Fraction of the inputs that may lie closer to the axis than the first panel."""

XI, WEIGHTS = legendre.leggauss(NODES)
INNER, INNER_WEIGHTS = legendre.leggauss(16)
_ORDERS = 2.0 * np.arange(NODES) + 1.0
SERIES = 0.5 * _ORDERS[:, None] * legendre.legvander(XI, NODES - 1).T * WEIGHTS
"""Matrix from values at the Gauss points of a panel to the coefficients of its Legendre series, (NODES, NODES)."""


@dataclass(frozen=True)
class Latitudes:
    """Angles, weights and matrices for inputs of one dimension d, ``refine`` times as fine as usual.

    Cost: some tenths of a second and about two megabytes, once; :func:`latitudes` keeps them.

    Source: formula (8.1) of the theory book.
    """

    inputs: int
    refine: int = 1

    @cached_property
    def rings(self) -> Rings:
        """Averages over rings, from which the matrices are made."""
        return Rings(self.inputs)

    @cached_property
    def phi(self) -> Array:
        """Gauss points of the fine panels, (points,), from the axis to the equator."""
        return _gauss(self._fine)

    @cached_property
    def weights(self) -> Array:
        """Weights of these points, the density of phi included, (points,): they sum to 1."""
        half = 0.5 * np.diff(self._fine)
        return (half[:, None] * WEIGHTS).ravel() * self.density(self.phi)

    def density(self, phi: Array) -> Array:
        """Return mu(phi), the density of the folded angle on [0, pi/2]."""
        log = gammaln(0.5 * self.inputs) - gammaln(0.5 * (self.inputs - 1))
        factor = 2.0 / np.sqrt(np.pi) * np.exp(log)
        return np.asarray(factor * np.sin(phi) ** (self.inputs - 2), dtype=np.float64)

    def place(self, psi: Array) -> Place:
        """Return the place of rings: the panel of each psi (nodes,) and Legendre polynomials there, (nodes, NODES)."""
        last = len(self._psi) - 2
        panel = np.clip(np.searchsorted(self._psi, psi, side="right") - 1, 0, last).astype(np.int64)
        left, right = self._psi[panel], self._psi[panel + 1]
        basis = legendre.legvander((2.0 * psi - left - right) / (right - left), NODES - 1)
        return panel, np.asarray(basis, dtype=np.float64)

    def even(self, place: Place, charges: Array) -> Array:
        """Return sum_i q_i V(phi, psi_i) at ``phi``, (points,), from rings at a place with charges q (nodes,)."""
        panel, basis = place
        number = len(self._psi) - 1
        columns = [np.bincount(panel, charges * column, number) for column in basis.T]
        coefficients = self._spread @ np.stack(columns, axis=1).ravel()
        return np.asarray((coefficients.reshape(-1, NODES) @ self._refined.T).ravel(), dtype=np.float64)

    def pulls(self, place: Place, excess: Array) -> tuple[Array, Array]:
        """Return J_par = E[cos(phi) kappa D] and J_perp = 2 E[sin(phi) L D] of rings (nodes,), D given at ``phi``."""
        panel, basis = place
        series = (self._drawn @ excess).reshape(2, -1, NODES)
        par, perp = np.einsum("knj,nj->kn", series[:, panel], basis)
        return par, perp

    @cached_property
    def _psi(self) -> Array:
        """Edges of the panels of psi, (panels + 1,)."""
        return 0.5 * np.pi * _octaves(2 * self.refine)

    @cached_property
    def _coarse(self) -> Array:
        """Edges of the panels on which the output is a polynomial: those of psi, mirrored, where inputs are."""
        first = 0.0 if self.inputs == 2 else float(np.arcsin(LEAST ** (1.0 / (self.inputs - 2))))
        used = int(np.searchsorted(self._psi, 0.5 * np.pi - first))
        return 0.5 * np.pi - self._psi[used::-1]

    @cached_property
    def _fine(self) -> Array:
        """Edges of the panels on which the unsatisfied inputs are a polynomial: equal parts of the coarse ones."""
        left, right = self._coarse[:-1, None], self._coarse[1:, None]
        cuts = left + (right - left) * np.arange(self._parts) / self._parts
        return np.append(cuts.ravel(), self._coarse[-1])

    @property
    def _parts(self) -> int:
        """Fine panels in a coarse one: inputs, of norm about sqrt d, are satisfied within 1/sqrt(2d) of phi."""
        return 1 + int(np.ceil(np.sqrt(self.inputs) / 2.5))

    @cached_property
    def _refined(self) -> Array:
        """Return the matrix from a series on a coarse panel to its values at the fine points, (points, NODES)."""
        starts = 2.0 * np.arange(self._parts)[:, None] / self._parts - 1.0
        inner = (starts + (XI + 1.0) / self._parts).ravel()
        return np.asarray(legendre.legvander(inner, NODES - 1), dtype=np.float64)

    @cached_property
    def _spread(self) -> Array:
        """Return the matrix from moments of charges on panels of psi to series of their output on coarse panels."""
        moments = self._integrals(self._coarse, measured=False)[2]
        moments *= _ORDERS / np.diff(self._coarse)[:, None]
        values = moments.reshape(-1, NODES, moments.shape[1] * NODES)
        found = np.einsum("pqc,jq->cpj", values, SERIES)
        return np.asarray(found.reshape(values.shape[2], -1), dtype=np.float64)

    @cached_property
    def _drawn(self) -> Array:
        """Return the matrices from D to the series of J_par and J_perp, (2, panels of psi * NODES, points)."""
        moments = self._integrals(self._fine, measured=True)[:2] @ SERIES
        values = moments.reshape(2, -1, NODES, len(self.phi))
        found = np.einsum("kpqc,jq->kpjc", values, SERIES)
        return np.asarray(found.reshape(2, -1, len(self.phi)), dtype=np.float64)

    def _integrals(self, edges: Array, *, measured: bool) -> Array:
        """Return integrals of cos kappa, 2 sin L and V times Legendre polynomials, (3, angles psi, panels, NODES).

        The integrals are over the panels of phi between ``edges``, weighted with mu if ``measured``.
        """
        panels = _gauss(self._psi).reshape(-1, NODES)
        return np.concatenate([self._block(psi, edges, measured) for psi in panels], axis=1)

    def _block(self, angles: Array, edges: Array, measured: bool) -> Array:
        """Return `_integrals` for some psi, (angles,), so that the working arrays stay small."""
        psi = angles[:, None, None]
        kink, cuts = 0.5 * np.pi - psi, self._cuts(0.5 * np.pi - psi[:, 0], edges)
        lower, upper = cuts[:, :-1, None], cuts[:, 1:, None]
        # Beyond the kink the averages are smooth in sqrt(phi - kink); before it a ring is all on one side.
        beyond = lower >= kink
        low, high = (np.sqrt(np.maximum(end - kink, 0.0)) for end in (lower, upper))
        root = low + 0.5 * (high - low) * (INNER + 1.0)
        phi = np.where(beyond, kink + root**2, lower + 0.5 * (upper - lower) * (INNER + 1.0))
        measure = INNER_WEIGHTS * np.where(beyond, root * (high - low), 0.5 * (upper - lower))
        if measured:
            measure = measure * self.density(phi)
        s = np.where(beyond, np.minimum(np.tan(kink) / np.tan(phi), 1.0), 1.0)
        par = np.cos(phi) * np.where(beyond, self.rings.surplus(s), 1.0)
        perp = 2.0 * np.sin(phi) * np.where(beyond, self.rings.lean(s), 0.0)
        kernels = measure * np.stack([par, perp, np.cos(psi) * par + np.sin(psi) * perp])
        panel = np.searchsorted(edges, 0.5 * (lower + upper)[..., 0], side="right") - 1
        panel = np.clip(panel, 0, len(edges) - 2)
        left, right = edges[panel][..., None], edges[panel + 1][..., None]
        basis = legendre.legvander((2.0 * phi - left - right) / (right - left), NODES - 1)
        found = np.zeros((3, len(psi), len(edges) - 1, NODES))
        rows = np.broadcast_to(np.arange(len(psi))[:, None], panel.shape)
        for total, kernel in zip(found, kernels, strict=True):
            np.add.at(total, (rows, panel), np.einsum("meq,meqn->men", kernel, basis))
        return found

    def _cuts(self, kink: Array, edges: Array) -> Array:
        """Return the cuts of the integrals over phi, ascending, (angles, cuts): panels, kinks, and towards the ends."""
        growing = kink * 2.0 ** np.arange(0, 14)
        towards = 0.5 * np.pi - (0.5 * np.pi - kink) * 2.0 ** -np.arange(1.0, 8.0)
        panels = np.broadcast_to(edges, (len(kink), len(edges)))
        return np.sort(np.clip(np.concatenate([panels, growing, towards], axis=1), edges[0], edges[-1]), axis=1)


@lru_cache(maxsize=8)
def latitudes(inputs: int, refine: int = 1) -> Latitudes:
    """Return the angles, weights and matrices of a dimension, made once."""
    return Latitudes(inputs, refine)


def _octaves(parts: int) -> Array:
    """Return edges from 0 to 1, each octave in ``parts``, the last octave in twice as many."""
    powers = 2.0 ** -np.arange(LEVELS, 0, -1)
    inner = (powers[:-1, None] * (1.0 + np.arange(parts) / parts)).ravel()
    return np.concatenate([[0.0], inner, np.linspace(0.5, 1.0, 2 * parts + 1)])


def _gauss(edges: Array) -> Array:
    half = 0.5 * np.diff(edges)
    return (edges[:-1, None] + half[:, None] * (XI + 1.0)).ravel()
