"""Importing shoal is light, and what it names is what it says."""

from __future__ import annotations

import pytest

import shoal
from support import python

HEAVY = ("xarray", "pandas", "scipy", "sklearn", "matplotlib", "shoal._core", "shoal.theory", "shoal.claims")


def test_importing_shoal_imports_neither_the_core_nor_anything_slow() -> None:
    asked = f"import sys, shoal; print([m for m in {HEAVY} if m in sys.modules])"
    assert python(["-c", asked]).stdout == "[]\n"


def test_a_name_is_what_it_says_whatever_was_imported_before() -> None:
    for before in (
        "pass",
        "import shoal.verdicts.comparison",
        "from shoal.claims.learning_dynamics import modes",
        "shoal.quantile",
    ):
        asked = f"import shoal; {before}; print(callable(shoal.compare_flow), callable(shoal.compare_mean))"
        assert python(["-c", asked]).stdout == "True True\n", before


def test_everything_named_is_there() -> None:
    for name in shoal.__all__:
        assert getattr(shoal, name) is not None
    assert set(shoal.__all__) <= set(dir(shoal))


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'shoal' has no attribute 'trian'"):
        shoal.trian  # noqa: B018


def test_a_system_without_the_modules_of_unix_can_train_and_sweep() -> None:
    code = """
import sys
for name in ("fcntl", "resource", "grp", "pwd", "termios"):
    sys.modules[name] = None
import shoal
told = dict(task=shoal.tasks.modes((1.7, 0.9)), init=shoal.Gaussian(0.5), method=shoal.GradientDescent(0.1, 20))
told |= dict(network=shoal.Network((2, 4, 1)), networks=7)
print(shoal.train(**told).loss.shape, shoal.sweep(**told, over={"init.std": [0.1, 0.4]}).loss.shape)
"""
    done = python(["-c", code])
    assert done.stdout == "(7, 21) (2, 7, 21)\n", done.stderr
