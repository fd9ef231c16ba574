"""What the recorded weights of the networks say: mode strengths, alignment, rank.

Source: docs/dynamics.md.
"""

from __future__ import annotations

import json
from collections.abc import Hashable
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from shoal.base import checks
from shoal.dynamics.series import Floats
from shoal.spec.encoding import decode
from shoal.spec.forward import outputs
from shoal.spec.network import Network

__all__ = ["alignment", "effective_rank", "strengths"]

Directions = ArrayLike | xr.DataArray


def strengths(data: xr.Dataset, directions: Directions, *, network: Network | None = None) -> xr.Dataset:
    """Return the outputs of each network along given directions: the strengths of its modes.

    Parameters
    ----------
    data : Dataset
        With ``trajectory_1``, ``trajectory_2``, ... (the measure ``trajectory``), else with the final ``weights_1``,
        ... (the measure ``weights``), and the biases that belong to them.
    directions : array, (directions, inputs), float
        Inputs u_k, neither normalised nor centred. A DataArray keeps its labels along its first dimension.
    network : Network, optional
        The network that was trained. Default: that of the specification in ``data.attrs``.

    Returns
    -------
    Dataset, (network, [time], direction), float64; with K outputs (network, [time], unit_L, direction)
        - ``strength``: f(u_k), the logit.
        - ``odd``: (f(u_k) - f(-u_k))/2, the part that changes sign with the input. For two-layer networks without
          biases it is the linear part: sum_i z_i w_i.u_k times 1/2 (relu) or (1 + slope)/2 (leaky_relu). Linear
          networks without biases have no other part. For a network with scales the weights are scale times w and z; for
          a centred one both are the growth of f since initialisation.

        ``time`` is there with ``trajectory``. NaN if the output is not finite, as in networks that diverged.

    Raises
    ------
    TypeError
        Not a Dataset, directions that are not numbers, or a network that is none.
    ValueError
        No weights recorded, no specification and no `network`, weights of another shape than the network's, biases that
        were not recorded, directions of another shape, or a centred network without the measure ``trajectory`` from
        time 0.

    Notes
    -----
    Cost: one forward pass for each network, time and direction, in float64.

    Source: theory book, chapters 1, 3 and 6, where modes are counted along orthogonal inputs.

    Examples
    --------
    >>> import shoal
    >>> data = shoal.train(shoal.Network((2, 4, 1)), shoal.tasks.modes((1.7, 0.9)), shoal.Separated(0.05),
    ...                    method=shoal.GradientDescent(0.1, steps=50), networks=3,
    ...                    record=shoal.Record(measure=("margin", "weights")))
    >>> found = strengths(data, data.inputs.values)
    >>> bool(np.allclose(found.strength * data.labels.values, data.margin.isel(time=-1).values, atol=1e-15))
    True
    """
    layers, biases = _recorded(data)
    known = _network(data, network)
    if known.layers != len(layers) or any(
        layer.shape[-2:] != (after, before)
        for layer, before, after in zip(layers, known.widths[:-1], known.widths[1:], strict=True)
    ):
        raise ValueError(f"network must have the shape of the recorded weights, got {known}")
    if known.bias and not biases:
        raise ValueError("data must hold the biases of the network beside its weights, got weights only")
    inputs, label = _directions(directions, known.inputs)
    both = np.concatenate([inputs, -inputs])
    found = outputs(known, [_numbers(layer) for layer in layers], [_numbers(bias) for bias in biases], both)
    if known.centred:
        found -= _init_of(data, layers, found)
    found[~np.isfinite(found)] = np.nan
    there, back = found[..., : len(inputs)], found[..., len(inputs) :]
    # The last layer's own dimension, that of one output, says nothing.
    dims = (*layers[-1].dims[:-1], "direction")
    made = {}
    for name, values, meaning in (
        ("strength", there, "output along the direction"),
        ("odd", 0.5 * (there - back), "part of that output that is odd in the input"),
    ):
        array = _named(values, dims, layers[-1], meaning)
        made[name] = array.isel({dims[-2]: 0}, drop=True) if known.outputs == 1 else array
    return xr.Dataset(made).assign_coords(label)


def alignment(data: xr.Dataset, directions: Directions) -> xr.DataArray:
    """Return the cosine between the rows of the first layer and given directions.

    Parameters
    ----------
    data : Dataset
        With ``trajectory_1`` or ``weights_1``, as for `strengths`.
    directions : array, (directions, inputs), float
        Their lengths do not matter.

    Returns
    -------
    DataArray, (network, [time], unit_1, direction), float64
        w_i.u_k/(|w_i| |u_k|), in [-1, 1]; NaN for a row of zeros, or one that is not finite. Biases are ignored.

    Raises
    ------
    TypeError, ValueError
        Not a Dataset, or directions that are not numbers; no weights recorded, directions of another shape, or a
        direction of zeros.

    Notes
    -----
    Cost: a product of each first layer with the directions. Source: theory book, chapters 2 and 3: neurons keep to
    the class they are active on, and turn towards it.
    """
    first = _recorded(data)[0][0]
    inputs, label = _directions(directions, first.shape[-1])
    zero = ~inputs.any(axis=1)
    if zero.any():
        raise ValueError(f"directions must not hold a row of zeros, got one at index {int(zero.argmax())}")
    cosines = _unit(_numbers(first)) @ _unit(inputs).T
    meaning = "cosine between row of the first layer and direction"
    found = _named(np.clip(cosines, -1.0, 1.0), (*first.dims[:-1], "direction"), first, meaning)
    return found.rename("alignment").assign_coords(label)


def effective_rank(data: xr.Dataset) -> xr.Dataset:
    """Return two ranks of the first layer that need no threshold.

    Parameters
    ----------
    data : Dataset
        With ``trajectory_1`` or ``weights_1``, as for `strengths`.

    Returns
    -------
    Dataset, (network, [time]), float64
        - ``effective_rank``: e^H, H = -sum_j q_j ln q_j the entropy of the singular values divided by their sum.
        - ``stable_rank``: |W|_F^2/|W|_2^2, sum_j s_j^2/max_j s_j^2.

        Both lie between 1 and the rank, and reach it if all singular values that are not 0 are equal; NaN for a layer
        of zeros, or one that is not finite.

    Raises
    ------
    TypeError, ValueError
        Not a Dataset; no weights recorded.

    Notes
    -----
    Cost: the singular values of each first layer. Source: effective rank, O. Roy and M. Vetterli, "The effective rank:
    a measure of effective dimensionality", EUSIPCO 2007; stable rank, M. Rudelson and R. Vershynin, "Sampling from
    large matrices", J. ACM 54 (2007). theory book, chapter 3 says why it falls to 2 from small initial weights.
    """
    first = _recorded(data)[0][0]
    matrices = _numbers(first)
    finite = np.isfinite(matrices).all(axis=(-2, -1), keepdims=True)
    largest = np.abs(np.where(finite, matrices, 0.0)).max(axis=(-2, -1), keepdims=True)
    usable = (finite & (largest > 0))[..., 0]
    # Divided by the largest entry: squares of tiny weights do not vanish.
    scaled = np.where(usable[..., None], matrices, 1.0) / np.where(usable[..., None], largest, 1.0)
    values = np.linalg.svd(scaled, compute_uv=False)
    fractions = values / values.sum(axis=-1, keepdims=True)
    entropy = -(fractions * np.log(np.where(fractions > 0, fractions, 1.0))).sum(axis=-1)
    stable = (values**2).sum(axis=-1) / values[..., 0] ** 2
    table = {
        "effective_rank": (np.exp(entropy), "exponential of the entropy of the singular values, first layer"),
        "stable_rank": (stable, "squared Frobenius norm over squared spectral norm, first layer"),
    }
    return xr.Dataset(
        {
            name: _named(np.where(usable[..., 0], ranks, np.nan), first.dims[:-2], first, meaning)
            for name, (ranks, meaning) in table.items()
        }
    )


def _recorded(data: xr.Dataset) -> tuple[list[xr.DataArray], list[xr.DataArray]]:
    """Return the weights and biases of the layers, at every record if there are such, else the final ones."""
    checks.dataset(data)
    for weights, biases in (("trajectory", "trajectory_bias"), ("weights", "biases")):
        layers = _numbered(data, weights)
        if layers:
            return layers, _numbered(data, biases)
    raise ValueError(
        "data must hold weights, got none: record the measure 'trajectory' (at every time) or 'weights' (the last)"
    )


def _numbered(data: xr.Dataset, name: str) -> list[xr.DataArray]:
    """Return name_1, name_2, ... with their own dimensions (rows, columns) last."""
    found: list[xr.DataArray] = []
    while (variable := f"{name}_{len(found) + 1}") in data:
        found.append(data[variable])
    return found


def _network(data: xr.Dataset, network: Network | None) -> Network:
    """Return the network given, or that of the dataset's specification."""
    if network is not None:
        if not isinstance(network, Network):
            raise TypeError(f"network must be a shoal.Network, got {type(network).__name__}")
        return network
    if "specification" not in data.attrs:
        raise ValueError("network must be given where data has no attribute 'specification', got neither")
    arrays: dict[str, Any] = {}  # a network has none
    found: Network = decode(json.loads(data.attrs["specification"])["network"], arrays.__getitem__)
    return found


def _init_of(data: xr.Dataset, layers: list[xr.DataArray], found: Floats) -> Floats:
    """Return the first outputs of a centred network, from which it counts, with one record on the axis of time."""
    if "time" not in layers[0].dims or data["time"].values.flat[0] != 0:
        raise ValueError("data must hold the measure 'trajectory' from time 0 on: the network is centred, got no start")
    return np.take(found, [0], axis=layers[0].dims.index("time"))


def _directions(given: Directions, inputs: int) -> tuple[Floats, dict[str, Any]]:
    """Return the directions as rows, and the coordinate that labels them."""
    values = checks.plain("directions", given)
    if values.dtype.kind not in "buif":
        raise TypeError(f"directions must hold real numbers, got dtype {values.dtype}")
    if values.ndim != 2 or values.shape[1] != inputs or not len(values):
        raise ValueError(f"directions must have shape (directions, {inputs}), got {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError(f"directions must be finite, got {values[~np.isfinite(values)][0]}")
    label: dict[str, Any] = {}
    if isinstance(given, xr.DataArray) and given.dims[0] in given.coords:
        label = {"direction": ("direction", given[given.dims[0]].values)}
    return values.astype(np.float64), label


def _numbers(array: xr.DataArray) -> Floats:
    return np.asarray(array.values, dtype=np.float64)


def _unit(rows: Floats) -> Floats:
    """Return rows of length 1; NaN for rows of zeros. Divided by the largest entry first, so that none underflows."""
    largest = np.abs(rows).max(axis=-1, keepdims=True)
    scaled = rows / np.where((largest > 0) & np.isfinite(largest), largest, np.nan)
    return np.asarray(scaled / np.sqrt((scaled**2).sum(axis=-1, keepdims=True)))


def _named(values: Floats, dims: tuple[Hashable, ...], like: xr.DataArray, meaning: str) -> xr.DataArray:
    """Return an array with the coordinates of `like` that are on its dimensions."""
    coords = {name: found for name, found in like.coords.items() if set(found.dims) <= set(dims)}
    return xr.DataArray(values, dims=dims, coords=coords, attrs={"long_name": meaning})
