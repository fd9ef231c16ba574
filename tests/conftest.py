"""Fixtures and settings that all tests share."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import hypothesis
import numpy as np
import pytest

# Training takes as long as it takes on a machine that is shared; the same examples on every run.
hypothesis.settings.register_profile("shoal", max_examples=50, deadline=None, derandomize=True, print_blob=True)
hypothesis.settings.load_profile("shoal")

os.environ["MPLBACKEND"] = "Agg"  # no window opens, whatever display there is


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give slow tests an hour each, where they do not ask for another time."""
    for item in items:
        if item.get_closest_marker("slow") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(3600))


@pytest.fixture
def generator() -> np.random.Generator:
    """Random numbers, the same in every run."""
    return np.random.default_rng(20180918)


@pytest.fixture(params=("lanes", "alone"))
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each engine in turn, on which the test trains."""
    monkeypatch.setenv("SHOAL_ENGINE", request.param)
    return str(request.param)


@pytest.fixture(autouse=True)
def closed_figures() -> Iterator[None]:
    """Close the figures that a test leaves in pyplot, which warns of more than twenty."""
    yield
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is not None:
        pyplot.close("all")
