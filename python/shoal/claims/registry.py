"""Where claims come from: the folders of this package, installed packages, and files of one's own."""

from __future__ import annotations

import sys
import traceback
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cache
from importlib import import_module, util
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from pkgutil import iter_modules
from types import ModuleType

from shoal.claims.claim import MADE, Claim

__all__ = ["GROUP", "ORDER", "distinct", "installed", "known", "of_file", "of_package"]

GROUP = "shoal.claims"
"""Entry points by which installed packages bring claims of their own."""

ORDER = (
    "sigmoid", "modes", "losses", "depth", "phase-diagram", "failure", "norm", "frequency", "classes", "starvation",
    "remedies", "images", "digits", "mean-field", "slowing-down", "finite-width", "lazy-rich", "overfitting",
    "mislabelled", "realistic", "linear", "linear-descent", "incremental", "max-margin", "early-alignment",
    "kernel-regime", "edge-of-stability", "dmft",
)  # fmt: skip
"""The order in which shoal's own claims run, from one mode to wide networks; those not named here follow by name."""


def known() -> dict[str, Claim]:
    """Return every claim by name, in the order in which they run; warn of packages whose claims cannot be had."""
    found = dict(of_package())
    for point in sorted(entry_points(group=GROUP), key=lambda each: (each.name, each.value)):
        try:
            claims = {one.name: one for one in installed(point)}
            if taken := [name for name in claims if name in found]:
                raise ValueError(f"the name {', '.join(taken)} is taken")
            found |= claims
        except (Exception, SystemExit) as error:
            warnings.warn(f"no claims from {_of(point)}: {_said(error)}", stacklevel=2)
    return found


@cache
def of_package() -> dict[str, Claim]:
    """Return shoal's own claims by name, of all files in its folders, in the order in which they run."""
    found = distinct(one for module in _modules() for one in _of_module(module))
    place = {name: at for at, name in enumerate(ORDER)}
    return dict(sorted(found.items(), key=lambda each: (place.get(each[0], len(ORDER)), each[0])))


def installed(point: EntryPoint) -> tuple[Claim, ...]:
    """Return the claims of an entry point, which names a claim or a module of them."""
    given = point.load()
    if isinstance(given, Claim):
        return (given,)
    if not isinstance(given, ModuleType):
        raise TypeError(f"an entry point must name a claim or a module of claims, got {type(given).__name__}")
    claims = _of_module(given)
    if not claims:
        raise ValueError(f"{given.__name__} has no claim")
    return tuple(distinct(claims).values())


def of_file(path: Path) -> tuple[Claim, ...]:
    """Return the claims that a Python file makes, in its order. The file is run like a script.

    Raises
    ------
    ValueError
        There is no such file; it raises, with the line where it did; it makes no claim, or two of one name.
    """
    if not path.is_file():
        raise ValueError(f"{path} {'is a folder; a file is needed' if path.is_dir() else 'does not exist'}")
    name = f"shoal_claims_of_{path.stem}"
    spec = util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ValueError(f"{path} must be a Python file, such as claim.py")
    module = util.module_from_spec(spec)
    folder = str(path.resolve().parent)
    if folder not in sys.path:  # modules beside the file are found, as those beside a script are
        sys.path.insert(0, folder)
    sys.modules[name] = module
    made: list[Claim] = []
    token = MADE.set(made)
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise ValueError(f"{path} raised {_said(error)}{_line(error, path)}") from error
    finally:
        MADE.reset(token)
    own = [one for one in made if one.test.__module__ == name]
    if not own:
        raise ValueError(f"{path} makes no claim: decorate a function with @shoal.claim(name, sentence, source=...)")
    return tuple(replace(one, file=path.name) for one in distinct(own).values())


def distinct(claims: Iterable[Claim]) -> dict[str, Claim]:
    """Return claims by name, each of which must have one of its own."""
    listed = list(claims)
    if twice := [name for name, count in Counter(one.name for one in listed).items() if count > 1]:
        raise ValueError(f"each claim must have a name of its own, got two that are called {', '.join(twice)}")
    return {one.name: one for one in listed}


def _modules() -> Iterator[ModuleType]:
    """Import the modules of claims: files of the folders, and of a folder in them the file of its name."""
    for paper in iter_modules([str(Path(__file__).parent)], "shoal.claims."):
        if not paper.ispkg or paper.name == "shoal.claims.shared":
            continue
        for one in iter_modules(import_module(paper.name).__path__, f"{paper.name}."):
            yield import_module(f"{one.name}.{one.name.rpartition('.')[2]}" if one.ispkg else one.name)


def _of_module(module: ModuleType) -> list[Claim]:
    """Return the claims that a module makes, in their order; not those that it imports."""
    made = [one for one in vars(module).values() if isinstance(one, Claim)]
    return [one for one in made if one.test.__module__ == module.__name__]


def _of(point: EntryPoint) -> str:
    package = point.dist.name if point.dist is not None else "an installed package"
    return f"{package} ({point.name} = {point.value})"


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}{f': {error}' if str(error) else ''}"


def _line(error: BaseException, path: Path) -> str:
    """Return in which line of a file an error was raised, if in one of its own."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename) == path]
    return f" (line {frames[-1].lineno})" if frames else ""
