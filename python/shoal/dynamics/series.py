"""Recorded series as rows of one array, (series, times), and results with their names back on."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

__all__ = ["Floats", "Mask", "Series", "labelled"]

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Series:
    """Numbers recorded at the same, strictly increasing times, one series per row.

    Values that are not finite are unknown. `layout` has the dimensions and coordinates of the input but those of time;
    its values mean nothing.
    """

    times: Floats
    values: Floats
    layout: xr.DataArray

    @classmethod
    def of(cls, given: object, *, least: int) -> Series:
        """Return the rows of a DataArray that has a dimension ``time`` with at least `least` records."""
        if not isinstance(given, xr.DataArray):
            raise TypeError(f"series must be an xarray.DataArray such as data.margin, got {type(given).__name__}")
        if "time" not in given.dims or "time" not in given.coords:
            raise ValueError(f"series must have a dimension 'time' with its coordinate, got dimensions {given.dims}")
        for name, dtype in (("series", given.dtype), ("the times of series", given["time"].dtype)):
            if dtype.kind not in "buif":
                raise TypeError(f"{name} must be real numbers, got dtype {dtype}")
        times = np.asarray(given["time"].values, dtype=np.float64)
        if len(times) < least:
            raise ValueError(f"series must have at least {least} times, got {len(times)}")
        if not (np.isfinite(times).all() and (np.diff(times) > 0).all()):
            raise ValueError("series must have finite times that increase strictly, got others")
        last = given.transpose(..., "time")
        kept: dict[Hashable, xr.DataArray] = {
            name: values for name, values in given.coords.items() if "time" not in values.dims
        }
        layout = xr.DataArray(np.zeros(last.shape[:-1], bool), dims=last.dims[:-1], coords=kept)
        values = np.asarray(last.values, dtype=np.float64).reshape(layout.size, len(times))
        return cls(times, values, layout)

    def rows(self, name: str, given: float | xr.DataArray) -> Floats:
        """Return one number per series, (series,), from a number or from a DataArray that broadcasts to them."""
        numbers = given if isinstance(given, xr.DataArray) else xr.DataArray(given)
        if numbers.dtype.kind not in "buif":
            raise TypeError(f"{name} must be real numbers, got dtype {numbers.dtype}")
        if not set(numbers.dims) <= set(self.layout.dims):
            raise ValueError(
                f"{name} must have no dimensions but those of the series, {self.layout.dims}, got {numbers.dims}"
            )
        try:
            _, spread = xr.align(self.layout, numbers, join="exact")
        except ValueError as error:
            raise ValueError(f"{name} must have the labels of the series along {numbers.dims}") from error
        spread = spread.reset_coords(drop=True).broadcast_like(self.layout).transpose(*self.layout.dims)
        return np.asarray(spread.values, dtype=np.float64).reshape(-1)

    def finite_records(self) -> NDArray[np.int64]:
        """Return how many records come before the first that is not finite, (series,)."""
        broken = ~np.isfinite(self.values)
        return np.where(broken.any(axis=1), broken.argmax(axis=1), len(self.times)).astype(np.int64)


def labelled(layout: xr.DataArray, columns: dict[str, tuple[Floats | Mask, str]]) -> xr.Dataset:
    """Return named columns, each with its meaning, under the dimensions and coordinates of `layout`."""
    return xr.Dataset(
        {
            name: layout.copy(data=values.reshape(layout.shape)).assign_attrs(long_name=meaning)
            for name, (values, meaning) in columns.items()
        }
    )
