"""What figures of datasets draw is what the data say; what they cannot draw they refuse."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, QuadMesh
from matplotlib.colors import LogNorm
from scipy import stats
from scipy.special import ndtr

import shoal
from plot_example import GRID, HIDDEN, KEPT, NETWORKS, ONE, RAW, REDUCED, SCALES, labels, saved, swept, trained
from shoal import plot


@pytest.fixture(params=["raw", "reduced"])
def data(request: pytest.FixtureRequest) -> xarray.Dataset:
    return RAW if request.param == "raw" else REDUCED


def mesh(axes: Axes) -> np.ma.MaskedArray[Any, Any]:
    (found,) = [one for one in axes.collections if isinstance(one, QuadMesh)]
    return np.ma.asarray(found.get_array())


def marked(axes: Axes, label: str) -> set[tuple[float, float]]:
    lines = [line for line in axes.lines if line.get_label() == label]
    return {(x, y) for line in lines for x, y in np.asarray(line.get_xydata()).tolist()}


def hatched(axes: Axes, label: str) -> set[tuple[float, float]]:
    """The conditions whose centres lie in hatched cells; what is hatched must be whole cells, and show its colour."""
    found: set[tuple[float, float]] = set()
    for cells in axes.collections:
        if cells.get_label() != label:
            continue
        assert (cells.get_hatch(), cells.get_facecolor().size) == ("////", 0)
        corners = [path.get_extents() for path in cells.get_paths()]
        inside = [{(x, float(y)) for x in SCALES for y in HIDDEN if box.contains(x, y)} for box in corners]
        assert all(len(held) == 1 for held in inside)
        found = found.union(*inside)
    return found


def test_new_figures_have_no_title_that_repeats_their_axes(data: xarray.Dataset) -> None:
    one = data.isel({"network.hidden": 0, "init.std": 0})
    for axes in (
        plot.curves(one, "loss"),
        plot.distribution(one, "loss"),
        plot.phase_diagram(data, "error > 0", **GRID),
        plot.surface(data, "loss", **GRID),
    ):
        assert axes.get_title() == ""
        assert axes.get_xlabel()
        assert axes.get_ylabel()


@pytest.mark.parametrize(("suffix", "head"), [("png", b"\x89PNG"), ("pdf", b"%PDF"), ("svg", b"<?xml")])
def test_a_figure_is_saved_in_the_format_of_its_name(suffix: str, head: bytes, tmp_path: Path) -> None:
    path = tmp_path / f"picture.{suffix}"
    assert plot.save(plot.figure(("a",))[0], path) == path
    assert path.read_bytes().startswith(head)


def test_a_phase_diagram_shows_shares_and_what_is_decided(data: xarray.Dataset, tmp_path: Path) -> None:
    axes = plot.phase_diagram(data, "error>0", **GRID)
    met = (RAW.error.isel(time=-1) > 0).sum("network").transpose("network.hidden", "init.std")
    np.testing.assert_array_equal(mesh(axes), met / NETWORKS)
    assert axes.collections[0].get_clim() == (0.0, 1.0)
    sides = np.zeros(met.shape)
    for at, count in np.ndenumerate(met.values):
        interval = stats.binomtest(int(count), NETWORKS).proportion_ci(1 - 2 * ndtr(-4.0), method="wilson")
        sides[at] = 1 if interval.low > 0.5 else -1 if interval.high < 0.5 else 0
    assert {-1, 0, 1} == set(sides.ravel())
    undecided = {(SCALES[j], float(HIDDEN[i])) for i, j in np.argwhere(sides == 0)}
    assert marked(axes, "undecided: the interval holds 1/2") == undecided
    outlines = [one for one in axes.collections if isinstance(one, LineCollection)]
    for outline, side in zip(outlines, (1, -1), strict=True):
        inside = sides == side
        changes = (inside[1:] != inside[:-1]).sum() + (inside[:, 1:] != inside[:, :-1]).sum()
        assert len(outline.get_segments()) == changes
    assert axes.get_xscale() == "log"
    assert [text.get_text() for text in axes.get_xticklabels()] == ["0.1", "0.4", "1.6", "6.4"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("init.std", "network.hidden")
    saved(axes, tmp_path)


def test_a_phase_diagram_takes_another_time_or_an_outcome(data: xarray.Dataset) -> None:
    first = (RAW.error.isel(time=0) > 0).mean("network").transpose("network.hidden", "init.std")
    np.testing.assert_allclose(mesh(plot.phase_diagram(data, "error > 0", **GRID, time=0)), first, rtol=1e-15)
    fitted = (RAW.status == 3).mean("network").transpose("network.hidden", "init.std")
    np.testing.assert_allclose(mesh(plot.phase_diagram(data, "fitted", **GRID)), fitted, rtol=1e-15)
    turned = plot.phase_diagram(data, "fitted", "network.hidden", "init.std")
    np.testing.assert_allclose(mesh(turned), fitted.T, rtol=1e-15)


def test_a_phase_diagram_needs_no_status_where_no_network_was_lost() -> None:
    assert not RAW.status.isin([1, 2]).any()
    known, unknown = (mesh(plot.phase_diagram(data, "error>0", **GRID)) for data in (RAW, RAW.drop_vars("status")))
    np.testing.assert_array_equal(known, unknown)


@pytest.mark.parametrize("statistic", ["mean", "variance", "standard_error", "min", "max", "count"])
def test_a_surface_shows_any_statistic(data: xarray.Dataset, statistic: str, tmp_path: Path) -> None:
    axes = plot.surface(data, "loss", **GRID, statistic=statistic, time=1)
    expected = REDUCED.loss.sel(statistic=statistic).isel(time=1).transpose("network.hidden", "init.std")
    np.testing.assert_allclose(mesh(axes), expected, rtol=1e-10)
    figure: Any = axes.get_figure()
    assert figure.axes[1].get_ylabel() == f"loss: {statistic.replace('_', ' ')}"
    saved(axes, tmp_path)


def test_a_share_of_which_none_was_counted_is_shown_as_its_upper_bound(data: xarray.Dataset) -> None:
    linear = plot.surface(data.isel(time=[0, 1]), "error > 0", **GRID, scale="log", time=0)
    assert isinstance(linear.collections[0].norm, LogNorm)
    status = plot.surface(data, "fitted", **GRID, scale="log")
    counts = (RAW.status == 3).sum("network").transpose("network.hidden", "init.std").values
    assert (counts == 0).any()
    bound = 16 / (NETWORKS + 16)  # Wilson's interval of none of n: up to 4^2 / (n + 4^2)
    np.testing.assert_allclose(mesh(status), np.where(counts == 0, bound, counts / NETWORKS), rtol=1e-12)
    cells = {(SCALES[j], float(HIDDEN[i])) for i, j in np.argwhere(counts == 0)}
    assert hatched(status, "none counted: colour of the upper bound") == cells
    assert not hatched(plot.surface(data, "completed", **GRID), "none counted: colour of the upper bound")


def test_numbers_that_are_not_positive_are_marked_on_a_logarithmic_scale() -> None:
    axes = plot.surface(REDUCED, "error", **GRID, statistic="min", scale="log", time=0)
    least = RAW.error.isel(time=0).min("network").transpose("network.hidden", "init.std").values
    assert 0 < (least == 0).sum() < least.size
    assert len(marked(axes, "not positive")) == (least == 0).sum()
    with pytest.raises(ValueError, match="scale='log' needs a positive number among those of 'error', got none"):
        plot.surface(REDUCED.where(REDUCED.error < 0), "error", **GRID, scale="log")


def test_cells_without_a_network_are_grey(tmp_path: Path) -> None:
    lost = swept(KEPT, method=shoal.GradientDescent(1e200, 60), networks=5)
    axes = plot.surface(lost, "loss", **GRID)
    assert mesh(axes).mask.any()
    assert axes.get_facecolor() == (0.85, 0.85, 0.85, 1.0)
    saved(axes, tmp_path)


def test_a_surface_of_stopping_steps_leaves_out_networks_that_did_not_stop(data: xarray.Dataset) -> None:
    axes = plot.surface(data, "stopped_at", **GRID)
    met = RAW.stopped_at.where(RAW.stopped_at >= 0).mean("network").transpose("network.hidden", "init.std")
    assert met.isnull().any()
    np.testing.assert_allclose(mesh(axes).filled(np.nan), met, rtol=1e-12)


def test_time_may_be_an_axis(data: xarray.Dataset) -> None:
    one = data.isel({"network.hidden": 1})
    met = (RAW.error > 0).isel({"network.hidden": 1}).mean("network").transpose("init.std", "time")
    for axes in (
        plot.phase_diagram(one, "error > 0", "time", "init.std"),
        plot.surface(one, "error > 0", "time", "init.std"),
    ):
        np.testing.assert_allclose(mesh(axes), np.where(met == 0, 16 / (NETWORKS + 16), met), rtol=1e-12)
        assert axes.get_xlabel() == "time"


def test_conditions_that_were_not_trained_are_grey(data: xarray.Dataset) -> None:
    more = data.reindex({"network.hidden": [*HIDDEN, 9]})
    for axes in (
        plot.phase_diagram(more, "error > 0", **GRID),
        plot.phase_diagram(more, "fitted", **GRID),
        plot.surface(more, "loss", **GRID),
        plot.surface(more, "fitted", **GRID),
    ):
        empty = np.ma.getmaskarray(mesh(axes))
        assert empty[-1].all()
        assert not empty[:-1].any()
        assert not any(y == 9 for line in axes.lines for y in np.asarray(line.get_ydata()))


def test_names_of_conditions_stand_on_an_axis() -> None:
    named = REDUCED.isel({"network.hidden": [0, 1]}).assign_coords({"network.hidden": ["narrow", "wide"]})
    axes = plot.surface(named, "loss", **GRID)
    assert [text.get_text() for text in axes.get_yticklabels()] == ["narrow", "wide"]
    shuffled = REDUCED.isel({"network.hidden": [1, 0, 2]})  # numbers out of order have no axis
    axes = plot.surface(shuffled, "loss", **GRID)
    assert [text.get_text() for text in axes.get_yticklabels()] == ["3", "1", "6"]
    np.testing.assert_array_equal(mesh(axes), mesh(plot.surface(REDUCED, "loss", **GRID))[[1, 0, 2]])


def test_a_distribution_has_the_density_of_the_networks(tmp_path: Path) -> None:
    raw, reduced = (trained(0.4, 3, how, networks=2000).isel(sample=0) for how in (None, KEPT))
    for data, name in ((raw, "margin"), (reduced, "margin"), (raw, "loss"), (reduced, "loss")):
        axes = plot.distribution(data, name)
        density, ends, _ = axes.patches[0].get_data()  # type: ignore[attr-defined]
        values = raw[name].isel(time=-1).values
        logarithmic = axes.get_xscale() == "log"
        widths = np.diff(np.log2(ends)) if logarithmic else np.diff(ends)
        zero = np.sum(np.abs(values) < 2.0**-32) if logarithmic else 0
        np.testing.assert_allclose(np.sum(density * widths), 1 - zero / 2000, rtol=1e-12)
        counts = np.histogram(values, ends)[0]
        np.testing.assert_allclose(density * widths * 2000, counts, rtol=1e-9, atol=1e-9)
        assert axes.get_ylabel() == ("density per octave" if logarithmic else "density")
        interval = stats.binomtest(int(counts[2]), 2000).proportion_ci(1 - 2 * ndtr(-4.0), method="wilson")
        bars = axes.collections[0].get_segments()  # type: ignore[attr-defined]
        np.testing.assert_allclose(bars[2][:, 1] * widths[2], [interval.low, interval.high], rtol=1e-9, atol=1e-12)
        saved(axes, tmp_path)


def test_a_distribution_tells_what_is_at_zero_or_beyond_the_bins() -> None:
    values = np.concatenate([np.zeros(10), np.geomspace(0.01, 100, 80), np.full(10, 1e12)])
    data = xarray.Dataset({"loss": (("network",), values)})
    axes = plot.distribution(data, "loss")
    assert axes.get_xscale() == "log"
    assert labels(axes)[0] == "100 networks\n0.1 of them at 0\n0.1 of them beyond $2^{32}$"
    density, ends, _ = axes.patches[0].get_data()  # type: ignore[attr-defined]
    np.testing.assert_allclose(np.sum(density * np.diff(np.log2(ends))), 0.8, rtol=1e-12)
    one = plot.distribution(xarray.Dataset({"loss": (("network",), np.zeros(7))}), "loss")
    assert labels(one)[0].startswith("7 networks")


def test_the_steps_at_which_networks_stopped_have_a_distribution() -> None:
    raw, reduced = trained(0.4, 6, None), trained(0.4, 6, KEPT)
    met = raw.stopped_at.values[raw.stopped_at.values >= 0]
    for data in (raw, reduced):
        axes = plot.distribution(data, "stopped_at")
        assert labels(axes)[0].startswith(f"{len(met)} networks")


def test_figures_are_drawn_where_they_are_told_to(data: xarray.Dataset) -> None:
    made, panels = plot.figure(("a", "b", "c", "d"))
    one = data.isel({"network.hidden": 0, "init.std": 0})
    assert plot.curves(one, "loss", axes=panels[0]) is panels[0]
    assert plot.phase_diagram(data, "error > 0", **GRID, axes=panels[1]) is panels[1]
    assert plot.surface(data, "loss", **GRID, axes=panels[2]) is panels[2]
    assert plot.distribution(one, "loss", axes=panels[3]) is panels[3]
    assert [axes.get_title() for axes in panels] == ["a", "b", "c", "d"]
    assert made is panels[0].get_figure()


CASES: list[tuple[Callable[[], object], type[Exception], str]] = [
    (lambda: plot.curves(5, "loss"), TypeError, "data must be an xarray.Dataset that train returned, got int"),  # type: ignore[arg-type]
    (lambda: plot.curves(ONE, "loss", axes=5), TypeError, "axes must be of matplotlib, such as figure"),  # type: ignore[arg-type]
    (lambda: plot.curves(ONE, "balance"), ValueError, "measure must be one of loss, error, margin"),
    (
        lambda: plot.curves(ONE, "margin"),
        ValueError,
        "data must have one entry along what is not drawn, got sample of 3: select one with data.isel(sample=...)",
    ),
    (
        lambda: plot.curves(REDUCED, "loss", along="init.std"),
        ValueError,
        "got network.hidden of 3: select one with data.isel({'network.hidden': ...})",
    ),
    (lambda: plot.curves(ONE, "loss", along="width"), ValueError, "along must be one of "),
    (lambda: plot.curves(ONE, "loss", theory=[1, 2]), ValueError, "theory must have the shape of the mean, (3,), or"),
    (lambda: plot.curves(ONE, "loss", quantiles=(0.9, 0.1)), ValueError, "quantiles must be two that increase within"),
    (lambda: plot.curves(ONE, "loss", quantiles=(0.5,)), ValueError, "quantiles must be two that increase"),  # type: ignore[arg-type]
    (lambda: plot.curves(ONE, "error", quantiles=(0.1, 0.9)), ValueError, "quantiles need a histogram of error: train"),
    (lambda: plot.curves([], "loss"), ValueError, "data must hold at least one dataset, got none"),
    (lambda: plot.curves([ONE, 5], "loss"), TypeError, "data must be an xarray.Dataset that train returned, got int"),  # type: ignore[list-item]
    (lambda: plot.curves([ONE], labels=("a", "b")), ValueError, "labels must be a sequence of 1, one for each dataset"),
    (lambda: plot.curves([ONE], labels=(1,)), TypeError, "labels must be texts, got 1"),  # type: ignore[arg-type]
    (lambda: plot.curves([ONE, ONE], theory=[1, 2, 3]), ValueError, "theory must be a sequence of 2, one for each"),
    (lambda: plot.curves(ONE, singles=3), ValueError, "singles must be 0 for statistics, which keep no single"),
    (lambda: plot.curves(ONE, singles=-1), ValueError, "singles must be at least 0, got -1"),
    (
        lambda: plot.phase_diagram(REDUCED, "error > 0.5", **GRID),
        ValueError,
        "event must be one that was kept, of which there are error > 0, loss > 100, got 'error > 0.5'",
    ),
    (
        lambda: plot.phase_diagram(REDUCED, "wrong", **GRID),
        ValueError,
        "event must be one of completed, diverged, exhausted",
    ),
    (lambda: plot.phase_diagram(REDUCED, "error is 0", **GRID), ValueError, "events must read 'MEASURE RELATION"),
    (lambda: plot.phase_diagram(REDUCED, "completed", "init.std", "init.std"), ValueError, "x and y must be two dim"),
    (
        lambda: plot.phase_diagram(REDUCED, "completed", "scale", "init.std"),
        ValueError,
        "x must be one of network.hidden",
    ),
    (
        lambda: plot.phase_diagram(REDUCED, "error > 0", **GRID, time=3),
        ValueError,
        "time must be between -3 and 2, got",
    ),
    (lambda: plot.phase_diagram(REDUCED, "error > 0", **GRID, time=0.5), TypeError, "time must be an integer"),  # type: ignore[arg-type]
    (lambda: plot.surface(REDUCED, "loss", **GRID, statistic="median"), ValueError, "statistic must be one of count"),
    (lambda: plot.surface(REDUCED, "loss", **GRID, scale="cubic"), ValueError, "scale must be one of linear, log"),
    (
        lambda: plot.surface(REDUCED, "loss", "sample", "init.std"),
        ValueError,
        "data must vary along sample to be drawn so, got only network.hidden, init.std",
    ),
    (lambda: plot.curves(RAW, "status"), ValueError, "measure must be one of loss, error, margin, got 'status'"),
    (lambda: plot.surface(REDUCED, "margin", **GRID), ValueError, "got sample of 3: select one"),
    (lambda: plot.surface(REDUCED, "balance", **GRID), ValueError, "variable must be one of loss, error, margin"),
    (lambda: plot.distribution(ONE, "error"), ValueError, "name must be one of loss, margin, stopped_at, got 'error'"),
    (lambda: plot.distribution(ONE, "margin"), ValueError, "got sample of 3: select one with data.isel(sample=...)"),
    (lambda: plot.distribution(ONE.where(ONE.bin_low > 1e300, 0), "loss"), ValueError, "of which none has"),
]


@pytest.mark.parametrize(("call", "kind", "message"), CASES, ids=[case[2][:50] for case in CASES])
def test_what_cannot_be_drawn_is_refused_and_leaves_no_figure(
    call: Callable[[], object], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=re.escape(message)):
        call()
    assert pyplot.get_fignums() == []
