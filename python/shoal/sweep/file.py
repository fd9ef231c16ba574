"""A sweep that a TOML file describes, read into the arguments of ``sweep``."""

from __future__ import annotations

import inspect
import re
import tomllib
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal import tasks
from shoal.base import checks, former
from shoal.spec.drawn import INITS
from shoal.spec.init import Explicit
from shoal.spec.loss import LOSSES
from shoal.spec.method import METHODS
from shoal.spec.network import Network
from shoal.spec.record import Record
from shoal.spec.statistics import Statistics
from shoal.spec.task import Task
from shoal.sweep.conditions import OBJECTS
from shoal.sweep.sweep import sweep

_NOT_OF_FILES = ("client", "progress")
_TASK_ARRAYS = ("inputs", "labels", "sample_weight", "test_inputs", "test_labels")
_REGRESSION_ARRAYS = ("inputs", "targets", "sample_weight", "test_inputs", "test_targets")
_PATHS = {"file": ("file",), "idx": ("images", "labels", "test")}

Table = dict[str, Any]
Make = Callable[..., Any]


def read(path: Path) -> dict[str, Any]:
    """Return the arguments of ``sweep`` that a TOML file holds; paths in it are relative to its folder.

    If the file names no store, ``store`` is the name of the file with the ending ``.zarr``, in the working folder: that
    of the file may be read-only, or someone's checkout.

    Raises
    ------
    TypeError, ValueError
        It is no TOML; or a key is unknown, missing, or has a wrong value: which one, by its name in the file.
    OSError
        The file cannot be read.
    """
    try:
        told = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"not a TOML file: {error}") from error
    needed = _needed(sweep) | {"networks": True, "store": False}
    _check_keys("", told, {name: held for name, held in needed.items() if name not in _NOT_OF_FILES}, sweep)
    folder, arguments = path.parent, dict(told)
    for name in OBJECTS:
        if name in told:
            arguments[name] = _built(name, name, told[name], folder)
    if "record" in told:
        arguments["record"] = _record(told["record"])
    if "over" in told:
        arguments["over"] = _over(told["over"], folder)
    if "store" not in told:
        return {**arguments, "store": Path(path.with_suffix(".zarr").name)}
    if not isinstance(told["store"], str):
        raise TypeError(f"store must be the path of a folder, got {told['store']!r}")
    return {**arguments, "store": folder / told["store"]}


def _built(where: str, owner: str, told: object, folder: Path) -> Any:
    """Return the object that a table describes; the name of a loss stays a name."""
    if owner == "loss" and isinstance(told, str):
        return checks.choice(where, told, LOSSES)
    table, kinds = dict(_table(where, told)), _KINDS[owner]
    assumed = "file" if "file" in table and "file" in kinds else owner
    if "kind" not in table and assumed not in kinds:
        raise ValueError(f"{where}.kind is missing; it must be one of {', '.join(kinds)}")
    kind = checks.choice(f"{where}.kind", table.pop("kind", assumed), kinds)
    if owner == "init" and "of" in table:
        table["of"] = _built(f"{where}.of", owner, table["of"], folder)
    for name in _PATHS.get(kind, ()):
        if name in table:
            table[name] = _path(f"{where}.{name}", table[name], folder)
    return _made(where, kinds[kind], table)


def _made(where: str, make: Make, given: Table) -> Any:
    """Return the object that ``make`` makes of a table; its errors name the keys as they are in the file."""
    _check_keys(where, given, _needed(make), make)
    try:
        return make(**given)
    except (TypeError, ValueError) as error:
        text = str(error)
        first = re.match(r"\w*", text)
        named = first is not None and first[0] in _needed(make)
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"{where}.{text}" if named else f"{where}: {text}") from error


def _needed(make: Make) -> dict[str, bool]:
    """Return the arguments of a function, and whether they have no default."""
    return {name: held.default is held.empty for name, held in inspect.signature(make).parameters.items()}


def _check_keys(where: str, table: Table, needed: Mapping[str, bool], make: Make) -> None:
    """Refuse keys that are no arguments of ``make``, and tables without one that is needed."""
    prefix = f"{where}." if where else ""
    for name in table:
        if name not in needed:
            former_names = former.KEYWORDS.get(make.__name__, {})
            if name in former_names:
                raise ValueError(f"{prefix}{name} is now {prefix}{former_names[name]}")
            if make is sweep and name in former.REMOVED:
                raise ValueError(f"{name} is no key any more: {former.REMOVED[name]}")
            raise ValueError(f"{prefix}{_key(name)} is not known here; allowed: {', '.join(needed) or 'no key'}")
    for name, must in needed.items():
        if must and name not in table:
            raise ValueError(f"{prefix}{name} is missing")


def _record(told: object) -> Record:
    table = dict(_table("record", told))
    if isinstance(table.get("reduce"), dict):
        table["reduce"] = _made("record.reduce", Statistics, table["reduce"])
    record: Record = _made("record", Record, table)
    return record


def _over(told: object, folder: Path) -> Any:
    """Return the argument ``over``: of a table a grid, of an array of tables a list of conditions."""
    if isinstance(told, list):
        return [_condition(f"over[{i}]", _table(f"over[{i}]", one), folder) for i, one in enumerate(told)]
    return _grid(_table("over", told), folder)


def _grid(told: Table, folder: Path) -> Table:
    fields: Table = {}
    for name, values in told.items():
        where = f"over.{_key(name)}"
        if name not in OBJECTS:
            fields[name] = values
        elif isinstance(values, dict):
            # The name of an object: a table is such an object, by label; every other value is one of its fields.
            for inner, held in values.items():
                if (name, inner) == ("init", "of"):
                    fields |= _of_paired(f"{where}.of", held, folder)
                elif isinstance(held, dict) or (name == "loss" and isinstance(held, str)):
                    fields.setdefault(name, {})[inner] = _built(f"{where}.{_key(inner)}", name, held, folder)
                else:
                    fields[f"{name}.{inner}"] = held
        elif isinstance(values, list):
            fields[name] = [_built(f"{where}[{i}]", name, held, folder) for i, held in enumerate(values)]
        else:
            raise TypeError(f"{where} must be an array of tables, or a table label = table, got {values!r}")
    return fields


def _condition(where: str, told: Table, folder: Path) -> Table:
    fields: Table = {}
    for name, value in told.items():
        if name not in OBJECTS:
            fields[name] = value
        elif isinstance(value, dict) and not {"kind", "file"} & set(value):
            for inner, held in value.items():
                nested = (name, inner) == ("init", "of") and isinstance(held, dict)
                fields |= _of_paired(f"{where}.init.of", held, folder) if nested else {f"{name}.{inner}": held}
        else:
            fields[name] = _built(f"{where}.{name}", name, value, folder)
    return fields


def _of_paired(where: str, told: object, folder: Path) -> Table:
    """Return the fields that ``init.of`` sets: those of its table, or initialisations, one or an array of them."""
    if isinstance(told, list):
        return {"init.of": [_built(f"{where}[{i}]", "init", held, folder) for i, held in enumerate(told)]}
    if isinstance(told, dict) and not {"kind", "file"} & set(told):
        return {f"init.of.{inner}": held for inner, held in told.items()}
    return {"init.of": _built(where, "init", told, folder)}


def _task_of(file: Path) -> Task:
    arrays = _arrays(file)
    make, names = (Task.regression, _REGRESSION_ARRAYS) if "targets" in arrays else (Task, _TASK_ARRAYS)
    _check_names(file, arrays, names, names[:2])
    *_, weight, first, second = names
    test = [arrays[name] for name in (first, second) if name in arrays]
    if len(test) == 1:
        raise ValueError(f"file must hold both {first} and {second} or neither, got one of them in {file}")
    return make(arrays[names[0]], arrays[names[1]], arrays.get(weight), (test[0], test[1]) if test else None)


def _init_of(file: Path) -> Explicit:
    arrays = _arrays(file)
    layers = range(1, 1 + sum(name.startswith("weights_") for name in arrays))
    weights, biases = ([f"{kind}_{layer}" for layer in layers] for kind in ("weights", "biases"))
    _check_names(file, arrays, weights + biases, weights or ["weights_1"])
    if any(name in arrays for name in biases):
        _check_names(file, arrays, weights + biases, biases)
        return Explicit([arrays[name] for name in weights], [arrays[name] for name in biases])
    return Explicit([arrays[name] for name in weights])


def _arrays(file: Path) -> dict[str, NDArray[Any]]:
    try:
        with np.load(file, allow_pickle=False) as held:
            return {name: held[name] for name in held.files}
    except OSError as error:
        raise ValueError(f"file must be a .npz of NumPy, got {file}: {error.strerror or error}") from error
    except (ValueError, TypeError, AttributeError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"file must be a .npz of NumPy with arrays of numbers, got {file}") from error


def _check_names(file: Path, arrays: Mapping[str, Any], allowed: list[str] | tuple[str, ...], needed: Any) -> None:
    for name in needed:
        if name not in arrays:
            raise ValueError(f"file must hold {name}, got {', '.join(arrays) or 'nothing'} in {file}")
    for name in arrays:
        if name not in allowed:
            raise ValueError(f"file must hold {', '.join(allowed)} and nothing else, got {name} in {file}")


def _table(where: str, told: object) -> Table:
    if not isinstance(told, dict):
        raise TypeError(f"{where} must be a table, got {told!r:.200}")
    return told


def _path(where: str, told: object, folder: Path) -> Any:
    """Return a path, or a pair of them, relative to the folder of the file that names it."""
    if isinstance(told, list):
        return tuple(_path(where, one, folder) for one in told)
    if not isinstance(told, str):
        raise TypeError(f"{where} must be a path, got {told!r}")
    return folder / told


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


def _key(name: str) -> str:
    return name if re.fullmatch(r"[\w-]+", name) else f'"{name}"'


_KINDS: dict[str, dict[str, Make]] = {
    "network": {
        "network": Network,
        "standard": Network.standard,
        "ntk": Network.ntk,
        "mean_field": Network.mean_field,
    },
    "task": {
        **{name: getattr(tasks, name) for name in tasks.__all__ if name != "separated_by"},
        "task": Task,
        "regression": Task.regression,
        "file": _task_of,
    },
    "init": {**{kind.__name__.lower(): kind for kind in INITS}, "file": _init_of},
    "method": {_snake(kind.__name__): kind for kind in METHODS},
    "loss": dict(LOSSES),
}
"""What ``kind`` can be in the table of each object, and the function that makes it."""
