"""Bring arrays and DataArrays into one order of axes, (network, time, rest), and refuse what does not fit.

Only this file looks at names of dimensions and at coordinates.
"""

from __future__ import annotations

import numbers
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from shoal.base import checks

__all__ = ["Flags", "Floats", "Integers", "Layout", "Values", "broadcast", "networks_first", "rest_like", "values_of"]

Values = ArrayLike | xr.DataArray
Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]

SAME = 1e-9
"""Coordinates may differ by this part of the largest: times of descent are products of a step and a rate."""


@dataclass(frozen=True)
class Layout:
    """Brings arrays and DataArrays into the order (network, time, rest) of the measurement."""

    name: str
    given: Values
    dims: tuple[Hashable, ...] | None
    shape: tuple[int, ...]
    full: tuple[int, ...]

    @classmethod
    def of(cls, given: Values, name: str = "measured") -> Layout:
        """Read the layout of the measurement: networks first, then time; a single axis is time."""
        if isinstance(given, xr.DataArray):
            named = [dim for dim in ("network", "time") if dim in given.dims]
            dims = (*named, *(dim for dim in given.dims if dim not in named))
            shape = tuple(given.sizes[dim] for dim in dims)
            full = (given.sizes.get("network", 1), given.sizes.get("time", 1), *shape[len(named) :])
            return cls(name, given, dims, shape, full)
        shape = np.shape(given)
        if not shape:
            raise ValueError(f"{name} must have an axis of time, got a scalar")
        return cls(name, given, None, shape, shape if len(shape) > 1 else (1, *shape))

    def put(self, name: str, given: Values, *, exact: bool = False) -> Floats:
        """Return `given` in this layout; with `exact`, its shape must be the measurement's, else it may broadcast."""
        if isinstance(given, xr.DataArray) and self.dims is not None:
            given = _ordered(name, given, self.name, self.given, self.dims)
        values = values_of(name, given)
        if exact and values.shape != self.shape:
            raise ValueError(f"{name} must have the shape of {self.name}, {self.shape}, got {values.shape}")
        return broadcast(name, values, self.shape).reshape(self.full)


def rest_like(name: str, given: Values, measured: Values, shape: tuple[int, ...]) -> Floats:
    """Return numbers without networks in the order of axes that a measurement has behind its networks."""
    if isinstance(given, xr.DataArray) and isinstance(measured, xr.DataArray):
        given = _ordered(name, given, "measured", measured, [dim for dim in measured.dims if dim != "network"])
    return broadcast(name, values_of(name, given), shape)


def _ordered(name: str, given: xr.DataArray, like_name: str, like: Values, dims: Iterable[Hashable]) -> xr.DataArray:
    """Return an array with these dimensions, in this order; its coordinates must be those of `like`."""
    dims = tuple(dims)
    if not set(given.dims) <= set(dims):
        raise ValueError(f"{name} must have no dimensions but those of {like_name}, {dims}, got {given.dims}")
    for dim in given.dims:
        if isinstance(like, xr.DataArray) and dim in given.indexes and dim in like.indexes:
            mine, theirs = given[dim].values, like[dim].values
            if mine.shape == theirs.shape and (wrong := ~_same(mine, theirs)).any():
                raise ValueError(
                    f"{name} must be at the {dim} of {like_name}, got {mine[wrong][0]} in place of {theirs[wrong][0]}"
                )
    return given.expand_dims([dim for dim in dims if dim not in given.dims]).transpose(*dims)


def _same(one: NDArray[Any], other: NDArray[Any]) -> NDArray[np.bool_]:
    if all(np.issubdtype(each.dtype, np.number) for each in (one, other)):
        return np.asarray(np.isclose(one, other, rtol=SAME, atol=SAME * float(np.max(np.abs(other), initial=0.0))))
    return np.asarray(one == other)


def values_of(name: str, given: Values) -> Floats:
    """Return the numbers as float64; a prediction must be finite, a bias or an error also not negative."""
    held = checks.plain(name, given)
    if held.dtype.kind == "O" and all(isinstance(each, numbers.Real) for each in held.flat):
        held = held.astype(np.float64)  # mpmath's, say
    values = checks.real_numbers(name, held, flags=True)
    if name in ("predicted", "expected", "estimate", "bias", "standard_error") and not np.isfinite(values).all():
        raise ValueError(f"{name} must be finite, got {values[~np.isfinite(values)][0]}")
    if name in ("bias", "standard_error") and (values < 0).any():
        raise ValueError(f"{name} must not be negative, got {values.min()}")
    return values


def broadcast(name: str, values: Floats, shape: tuple[int, ...]) -> Floats:
    """Broadcast to the shape of the measurement or say why not."""
    try:
        return np.broadcast_to(values, shape)
    except ValueError:
        raise ValueError(f"{name} must have a shape that broadcasts to {shape}, got {values.shape}") from None


def networks_first(name: str, given: Values) -> Floats:
    """Return the numbers with the network dimension first; a DataArray must have one."""
    if isinstance(given, xr.DataArray):
        if "network" not in given.dims:
            raise ValueError(f"{name} must have a dimension network, got {given.dims}")
        given = given.transpose("network", ...)
    return values_of(name, given)
