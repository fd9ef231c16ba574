"""Curves are means over networks with their bands, of one dataset or several, with single networks under them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray
from matplotlib.collections import LineCollection

import shoal
from plot_example import KEPT, NETWORKS, RAW, REDUCED, SCALES, labels, saved, trained
from shoal import plot


@pytest.fixture(params=["raw", "reduced"])
def data(request: pytest.FixtureRequest) -> xarray.Dataset:
    return RAW if request.param == "raw" else REDUCED


def test_curves_are_means_with_bands_of_four_standard_errors(data: xarray.Dataset, tmp_path: Path) -> None:
    one = data.isel({"network.hidden": 1})
    axes = plot.curves(one, "loss", along="init.std", theory=np.exp(-one.time))
    means = RAW.loss.isel({"network.hidden": 1}).mean("network")
    errors = RAW.loss.isel({"network.hidden": 1}).std("network", ddof=1) / np.sqrt(NETWORKS)
    *lines, theory = axes.lines
    for i, line in enumerate(lines):
        np.testing.assert_array_equal(line.get_xdata(), data.time)
        np.testing.assert_allclose(line.get_ydata(), means[i], rtol=1e-12)
        (path,) = axes.collections[i].get_paths()
        ends = {(x, round(float(y), 9)) for x, y in path.vertices}
        for sign in (-4, 4):
            assert ends >= {
                (x, round(float(y), 9)) for x, y in zip(data.time.values, means[i] + sign * errors[i], strict=True)
            }
    np.testing.assert_array_equal(theory.get_ydata(), np.exp(-one.time))
    assert labels(axes) == ["0.1", "0.4", "1.6", "6.4", "theory"]
    title: Any = axes.get_legend()
    assert title.get_title().get_text() == "init.std (band: 4 standard errors)"
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("time", "loss, mean over networks")
    saved(axes, tmp_path)


def test_bands_of_quantiles_hold_those_of_the_networks(data: xarray.Dataset) -> None:
    one = data.isel({"network.hidden": 1, "init.std": 2})
    axes = plot.curves(one, "loss", quantiles=(0.25, 0.75))
    (path,) = axes.collections[0].get_paths()
    raw = RAW.loss.isel({"network.hidden": 1, "init.std": 2})
    for i, time in enumerate(data.time.values):
        ends = sorted(float(y) for x, y in path.vertices if x == time)
        for end, q in ((ends[0], 0.25), (ends[-1], 0.75)):
            near = [np.quantile(raw[:, i], q, method=how) for how in ("inverted_cdf", "higher", "lower")]
            assert min(near) * (1 - 2**-5) <= end <= max(near) * (1 + 2**-5)
    assert labels(axes) == ["trained"]


def test_curves_of_one_network_have_no_band() -> None:
    axes = plot.curves(trained(0.4, 3, None, networks=1), "loss")
    assert all(len(path.vertices) == 0 for path in axes.collections[0].get_paths())


def test_many_curves_have_colours_of_their_own() -> None:
    many = xarray.concat([trained(0.4, 3, KEPT, networks=5) for _ in range(9)], xarray.IndexVariable("seed", range(9)))
    axes = plot.curves(many, "loss", along="seed")
    assert len({tuple(np.atleast_1d(line.get_color())) for line in axes.lines}) == 9
    assert labels(axes) == [str(i) for i in range(9)]


def test_networks_that_diverged_are_left_out_of_curves_and_shares() -> None:
    given: dict[str, Any] = {"method": shoal.GradientDescent(1.0, 60), "loss": "squared"}
    raw, reduced = trained(1.6, 3, None, **given), trained(1.6, 3, KEPT, **given)
    assert 0 < int(reduced.diverged) < NETWORKS
    lines = [plot.curves(one, "loss").lines[0].get_ydata() for one in (raw, reduced)]
    np.testing.assert_allclose(lines[0], lines[1], rtol=1e-12)
    shares = [
        plot.measured.fraction_of(one, event).value.values
        for event in ("error > 0", "diverged")
        for one in (raw, reduced)
    ]
    np.testing.assert_array_equal(shares[0], shares[1])
    np.testing.assert_array_equal(shares[2], shares[3])


def test_curves_of_several_datasets_stand_in_one_picture_with_their_names(tmp_path: Path) -> None:
    given = [trained(0.4, 3, None), trained(1.6, 3, KEPT).isel(time=[0, 2])]
    axes = plot.curves(given, "loss", labels=("small", "large"), theory=[None, [1.0, 0.5]])
    *lines, theory = axes.lines
    for line, one in zip(lines, given, strict=True):
        alone = plot.curves(one, "loss").lines[0]
        np.testing.assert_array_equal(line.get_xydata(), alone.get_xydata())
    assert lines[0].get_color() != lines[1].get_color()
    np.testing.assert_array_equal(theory.get_xydata(), np.column_stack([given[1].time, [1.0, 0.5]]))
    assert labels(axes) == ["small", "large", "theory"]
    saved(axes, tmp_path)
    axes = plot.curves([RAW.isel({"network.hidden": 0})] * 2, along="init.std")
    assert labels(axes) == [f"{i}, {scale}" for i in (1, 2) for scale in SCALES]


def test_single_networks_are_thin_lines_under_their_mean() -> None:
    given: dict[str, Any] = {"method": shoal.GradientDescent(1.0, 60), "loss": "squared"}
    data = trained(1.6, 3, None, **given)
    kept = data.loss.values[data.status.values != 1]
    assert len(kept) < NETWORKS
    for asked, shown in ((7, 7), (1000, len(kept))):
        axes = plot.curves([data], singles=asked)
        (thin,) = [one for one in axes.collections if isinstance(one, LineCollection)]
        np.testing.assert_array_equal([line[:, 1] for line in thin.get_segments()], kept[:shown])
        np.testing.assert_array_equal(thin.get_segments()[0][:, 0], data.time)
        assert thin.get_linewidths()[0] < axes.lines[0].get_linewidth()
        assert thin.get_zorder() < axes.lines[0].get_zorder()
        assert axes.get_ylim()[1] >= kept[:shown].max()
    swept_axes = plot.curves(RAW.isel({"network.hidden": 1}), "loss", along="init.std", singles=2)
    thin_of = [one for one in swept_axes.collections if isinstance(one, LineCollection)]
    for i, one in enumerate(thin_of):
        expected = RAW.loss.isel({"network.hidden": 1, "init.std": i, "network": [0, 1]})
        np.testing.assert_array_equal([line[:, 1] for line in one.get_segments()], expected)
    assert len(thin_of) == len(SCALES)
    assert not [one for one in plot.curves(data).collections if isinstance(one, LineCollection)]
