"""Bring arrays and DataArrays into one order of axes before they are compared, and say which does not fit.

The one place where `shoal.comparison` looks at names of dimensions: behind it, everything is (network, time, rest).
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from shoal import checks

__all__ = ["Floats", "Layout", "Values", "broadcast", "networks_first", "values_of"]

Values = ArrayLike | xr.DataArray
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Layout:
    """Brings arrays and DataArrays into the order (network, time, rest) of the measurement."""

    dims: tuple[Hashable, ...] | None
    shape: tuple[int, ...]
    full: tuple[int, ...]

    @classmethod
    def of(cls, given: Values) -> Layout:
        """Read the layout of the measurement: networks first, then time; a single axis is time."""
        if isinstance(given, xr.DataArray):
            named = [dim for dim in ("network", "time") if dim in given.dims]
            dims = (*named, *(dim for dim in given.dims if dim not in named))
            shape = tuple(given.sizes[dim] for dim in dims)
            full = (given.sizes.get("network", 1), given.sizes.get("time", 1), *shape[len(named) :])
            return cls(dims, shape, full)
        shape = np.shape(given)
        if not shape:
            raise ValueError("measured must have an axis of time for an exact comparison or one of flow, got a scalar")
        return cls(None, shape, shape if len(shape) > 1 else (1, *shape))

    def put(self, name: str, given: Values, *, exact: bool = False) -> Floats:
        """Return `given` in this layout; with `exact`, its shape must be the measurement's, else it may broadcast."""
        if isinstance(given, xr.DataArray) and self.dims is not None:
            if not set(given.dims) <= set(self.dims):
                raise ValueError(f"{name} must have no dimensions but those of measured, {self.dims}, got {given.dims}")
            missing = [dim for dim in self.dims if dim not in given.dims]
            given = given.expand_dims(missing).transpose(*self.dims)
        values = values_of(name, given)
        if exact and values.shape != self.shape:
            raise ValueError(f"{name} must have the shape of measured, {self.shape}, got {values.shape}")
        return broadcast(name, values, self.shape).reshape(self.full)


def values_of(name: str, given: Values) -> Floats:
    """Return the numbers as float64; a prediction must be finite, a bias or an error also not negative."""
    values = np.asarray(checks.plain(name, given), dtype=np.float64)
    if name in ("predicted", "bias", "standard_error") and not np.isfinite(values).all():
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
    """Return the numbers with the network dimension first where there is one."""
    if isinstance(given, xr.DataArray) and "network" in given.dims:
        given = given.transpose("network", ...)
    return values_of(name, given)
