"""What a notebook and a window show is in pyplot; what is only saved is not, and nothing is left behind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from matplotlib import pyplot
from matplotlib.axes import Axes

from plot_example import GRID, ONE, REDUCED
from shoal import plot
from support import python


def test_figures_that_are_only_saved_choose_no_backend_and_keep_no_state() -> None:
    asked = "import sys; from shoal import plot; plot.figure(('a',)); print('matplotlib.pyplot' in sys.modules)"
    assert python(["-c", asked]).stdout == "False\n"
    for _ in range(25):  # pyplot warns of more than twenty that it keeps
        plot.figure(("a", "b"))
    assert pyplot.get_fignums() == []


@pytest.mark.parametrize(
    "draw",
    [
        lambda: plot.curves(ONE, "loss"),
        lambda: plot.phase_diagram(REDUCED, "error > 0", **GRID),
        lambda: plot.surface(REDUCED, "loss", **GRID),
        lambda: plot.distribution(ONE, "loss"),
    ],
    ids=["curves", "phase_diagram", "surface", "distribution"],
)
def test_a_figure_of_its_own_is_the_one_that_pyplot_shows_until_it_is_closed(
    draw: Callable[[], Axes], tmp_path: Path
) -> None:
    made: Any = draw().get_figure()
    assert [pyplot.figure(number) for number in pyplot.get_fignums()] == [made]
    canvas = made.canvas
    assert plot.save(made, tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")
    assert made.canvas is canvas  # a window would be left without its figure
    pyplot.close(made)
    assert pyplot.get_fignums() == []


def test_a_backend_that_is_loaded_for_a_figure_keeps_its_settings(tmp_path: Path) -> None:
    """That of a notebook turns interactive mode on when it is loaded, without which it shows no figure."""
    backend = "from matplotlib import interactive\nfrom matplotlib.backends.backend_agg import FigureCanvas\n"
    (tmp_path / "backend_of_test.py").write_text(f"{backend}interactive(True)\n")
    asked = (
        f"import sys; sys.path.append({str(tmp_path)!r}); import matplotlib; from shoal import plot; "
        "plot.figure(('a',), pyplot=True); print(matplotlib.is_interactive(), 'backend_of_test' in sys.modules)"
    )
    told = python(["-c", asked], {"MPLBACKEND": "module://backend_of_test"})
    assert told.stdout == "True True\n"


def test_what_is_drawn_on_given_axes_leaves_pyplot_as_it_is() -> None:
    plot.curves(ONE, "loss", axes=plot.figure(("a",))[1][0])
    assert pyplot.get_fignums() == []
    made, _ = plot.figure(("a",), pyplot=True)
    assert pyplot.gcf() is made


def test_importing_shoal_and_its_plots_imports_no_pyplot() -> None:
    asked = "import sys, shoal, shoal.plot; print([name for name in sys.modules if name.startswith('matplotlib.')])"
    assert "pyplot" not in python(["-c", asked]).stdout
