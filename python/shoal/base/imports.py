"""Imports of slow modules when they are first needed, safe from interrupts."""

from __future__ import annotations

import threading
from importlib import import_module
from types import ModuleType

_whole: dict[str, ModuleType] = {}


def whole(*names: str) -> list[ModuleType]:
    """Return modules, imported with all that they import when they are first used.

    Ctrl-C within a statement ``import`` leaves packages half imported, and later imports of them fail. So the main
    thread, which alone is interrupted, only waits for another thread that imports to the end.

    Examples
    --------
    >>> [module.__name__ for module in whole("json", "shoal.spec.method")]
    ['json', 'shoal.spec.method']
    """
    if not all(name in _whole for name in names):
        if threading.current_thread() is threading.main_thread():
            _elsewhere(names)
        else:
            _load(names)
    return [_whole[name] for name in names]


def sklearn_datasets(function: str) -> ModuleType:
    """Return scikit-learn's datasets for a function of shoal, or raise an ImportError that names both."""
    try:
        (module,) = whole("sklearn.datasets")
    except ImportError as error:
        raise ImportError(f"{function} needs scikit-learn, which is not installed: pip install scikit-learn") from error
    return module


def _load(names: tuple[str, ...]) -> None:
    for name in names:
        module = import_module(name)
        if name == "xarray":  # which imports dask and SciPy, if they are installed, with its first dataset
            module.Dataset({"number": ("number", [0.0])})
        _whole[name] = module


def _elsewhere(names: tuple[str, ...]) -> None:
    """Load in a thread of its own, and raise here what it raises."""
    raised: list[BaseException] = []

    def load() -> None:
        try:
            _load(names)
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=load, name="shoal imports")
    thread.start()
    thread.join()
    if raised:
        raise raised[0]
