"""What every compiled module of shoal._core holds: one stub for _baseline, _avx2, _avx512 and _neon alike."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

isa: str
eigen: str
compiler: str

def cpu_features() -> list[str]: ...
def lanes(dtype: str) -> int: ...
def fma_peak(threads: int, dtype: str, seconds: float) -> float: ...
def span(inputs: NDArray[np.float64], most: int) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None: ...
def pack_bytes(widths: Sequence[int], samples: int, dtype: str, activation: str = "relu") -> int: ...
def networks_alone(
    widths: Sequence[int],
    bias: bool,
    samples: int,
    networks: int,
    threads: int,
    engine: str,
    flows: bool,
    dtype: str,
) -> int: ...
def alone_bytes(
    widths: Sequence[int],
    bias: bool,
    centred: bool,
    samples: int,
    test_samples: int,
    networks: int,
    threads: int,
    dtype: str,
    activation: str = "relu",
) -> int: ...
def pack_networks(widths: Sequence[int], dtype: str) -> int: ...
def caches() -> tuple[int, int]: ...
def fixed_shapes() -> list[tuple[int, int]]: ...
def is_fixed(widths: Sequence[int], activation: str) -> bool: ...
def train(
    *,
    widths: Sequence[int],
    activation: str,
    slope: float,
    bias: bool,
    scales: Sequence[float],
    rates: Sequence[float],
    centred: bool,
    inputs: NDArray[np.float64],
    labels: NDArray[np.int64] | None,
    targets: NDArray[np.float64] | None,
    weights: NDArray[np.float64],
    repeats: NDArray[np.float64],
    span: NDArray[np.float64],
    test: Mapping[str, NDArray[Any] | None],
    loss: str,
    threshold: float,
    weight_decay: float,
    spectral_decoupling: float,
    start: Mapping[str, Any],
    method: Mapping[str, Any],
    measures: Sequence[str],
    reduction: Mapping[str, Any],
    networks: int,
    first: int,
    seed: int,
    threads: int,
    engine: str,
    dtype: str,
    progress: Callable[[int, int], None] | None,
    tuning: tuple[int, int, bool] | None = None,
) -> dict[str, NDArray[Any] | list[NDArray[Any]]]: ...
