"""Deep linear networks on whitened inputs: tasks of given modes, aligned weights, and strengths read from outputs."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import xarray as xr

from shoal import Explicit, Network, Task
from shoal.verdicts.layout import Floats


def whitened(matrix: Floats) -> Task:
    """Return the regression y = M x for a matrix (outputs, inputs): each input alone, so long that <x x^T> = 1.

    Then <y x^T> = M, whose singular vectors and values are the modes.
    """
    size = np.sqrt(matrix.shape[1])
    return Task.regression(size * np.eye(matrix.shape[1]), size * matrix.T)


def network(layers: int, inputs: int, hidden: int, outputs: int) -> Network:
    """Return the linear network with so many weight layers."""
    return Network((inputs, *(hidden,) * (layers - 1), outputs), "linear")


def rotations(draw: np.random.Generator, networks: int, rows: int, columns: int) -> Floats:
    """Return random matrices (networks, rows, columns) with orthonormal columns."""
    return np.asarray(np.linalg.qr(draw.normal(size=(networks, rows, columns)))[0])


def signed_permutations(draw: np.random.Generator, networks: int, rows: int, columns: int) -> Floats:
    """Return random matrices of orthonormal columns with one entry of +-1 each: products with them round nothing."""
    picked = np.argsort(draw.random((networks, rows)), axis=1)[:, :columns]
    signs = draw.choice([-1.0, 1.0], (networks, 1, columns))
    return np.asarray(signs * (np.arange(rows)[None, :, None] == picked[:, None, :]))


def aligned(strengths: Floats, layers: int, left: Floats, right: Floats, between: Floats) -> Explicit:
    """Return balanced weights whose modes have given strengths, and the singular vectors of the data.

    Layer 1 is R_1 a V^T, then R_2 a R_1^T, .., at last U a R^T, with a = strength^(1/layers).

    Parameters
    ----------
    strengths : (networks, modes)
    left, right : (outputs, modes), (inputs, modes)
        U and V.
    between : (layers - 1, networks, hidden, modes)
        R of each hidden layer, with orthonormal columns.
    """
    equal = strengths ** (1 / layers)
    frames = [np.broadcast_to(right, (len(strengths), *right.shape)), *between]
    frames.append(np.broadcast_to(left, (len(strengths), *left.shape)))
    return Explicit([after * equal[:, None, :] @ before.swapaxes(1, 2) for before, after in pairwise(frames)])


def mixing(data: xr.Dataset, left: Floats, right: Floats) -> Floats:
    """Return U^T W V (networks, times, modes, modes) of the whole network W: strengths are its diagonal.

    Of outputs recorded on a task of `whitened`, each of which is a column of W times the length of the inputs.
    """
    return np.asarray(left.T @ data["output"].values.swapaxes(2, 3) @ right / np.sqrt(len(right)))


def diagonal(matrices: Floats) -> Floats:
    """Return the diagonals (..., modes) of matrices (..., modes, modes)."""
    return np.diagonal(matrices, axis1=-2, axis2=-1)


def off_diagonal(matrices: Floats) -> Floats:
    """Return what is off the diagonal, (..., modes (modes - 1))."""
    return np.asarray(matrices[..., ~np.eye(matrices.shape[-1], dtype=bool)])
