"""Every example in a docstring runs and prints what it says."""

from __future__ import annotations

import doctest
import pkgutil
from importlib import import_module

import pytest

import shoal

MODULES = ["shoal", *(module.name for module in pkgutil.walk_packages(shoal.__path__, "shoal."))]


@pytest.mark.parametrize("name", [name for name in MODULES if not name.startswith("shoal._core._")])
def test_examples_of(name):
    result = doctest.testmod(import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.failed == 0


def test_the_entry_points_have_examples():
    finder = doctest.DocTestFinder()
    examples = [
        len(test.examples) for name in ("train", "info") for test in finder.find(import_module(f"shoal.{name}"))
    ]
    assert sum(examples) >= 5
