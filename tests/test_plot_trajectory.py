"""The picture of one network's hidden units has their weights, in its plane, with the colours of their signs."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray
from matplotlib import pyplot
from matplotlib.animation import FuncAnimation, PillowWriter
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.colors import to_rgba
from PIL import Image

import shoal
from shoal import plot

POSITIVE, NEGATIVE = (to_rgba(colour) for colour in plot.COLOURS[:2])


def trained(task: shoal.Task | None = None, **changed: Any) -> xarray.Dataset:
    given: dict[str, Any] = {
        "network": shoal.Network((2, 5, 1)),
        "task": task or shoal.Task([[1, 0.2], [-0.3, 1], [-1, -0.4]], [1, -1, 1]),
        "init": shoal.Gaussian(0.5),
        "method": shoal.GradientDescent(0.2, 60),
        "record": shoal.Record(steps=tuple(range(0, 61, 5)), measure="trajectory"),
        "networks": 3,
        **changed,
    }
    return shoal.train(**given)


DATA = trained()


def lines_of(axes: Axes) -> LineCollection:
    (found,) = [one for one in axes.collections if isinstance(one, LineCollection)]
    return found


def dots_of(axes: Axes) -> list[PathCollection]:
    return [one for one in axes.collections if isinstance(one, PathCollection)]


def test_lines_lead_from_the_initial_to_the_final_weights_with_the_colour_of_the_sign(tmp_path: Path) -> None:
    axes = plot.trajectory(DATA, 1)
    weights, output = DATA.trajectory_1.values[1], DATA.trajectory_2.values[1, :, 0]
    expected = np.stack([weights[:-1], weights[1:]], axis=2)  # (times - 1, units, 2 ends, 2)
    np.testing.assert_array_equal(np.reshape(lines_of(axes).get_segments(), expected.shape), expected)
    assert {-1.0, 1.0} == set(np.sign(output).ravel())
    colours = np.reshape(lines_of(axes).get_colors(), (*output[1:].shape, 4))
    np.testing.assert_array_equal(colours, np.where(output[1:, :, None] > 0, POSITIVE, NEGATIVE))
    first, last = dots_of(axes)
    np.testing.assert_array_equal(first.get_offsets(), weights[0])
    np.testing.assert_array_equal(last.get_offsets(), weights[-1])
    assert axes.get_xlim()[1] > np.abs(weights).max()
    made: Any = axes.get_figure()
    assert pyplot.get_fignums() == [made.number]
    assert plot.save(made, tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")


def test_inputs_are_rays_in_their_directions_and_many_are_points() -> None:
    axes = plot.trajectory(DATA)
    rays = [np.asarray(line.get_xydata()) for line in axes.lines if line.get_linestyle() == "--"]
    assert len(rays) == 3
    for ray in rays:
        np.testing.assert_array_equal(ray[0], [0, 0])
    ends = {tuple(np.round(ray[1] / np.max([np.linalg.norm(ray[1]) for ray in rays]), 9)) for ray in rays}
    inputs = DATA.inputs.values
    assert ends == {tuple(np.round(one, 9)) for one in inputs / np.linalg.norm(inputs, axis=1).max()}
    many = shoal.tasks.moons(40)
    axes = plot.trajectory(trained(many))
    points = {line.get_label(): len(np.asarray(line.get_xdata())) for line in axes.lines if line.get_marker() == "x"}
    assert points == {f"inputs with label {label:+d}": int(np.sum(many.labels == label)) for label in (-1, 1)}
    assert not [line for line in axes.lines if line.get_linestyle() == "--"]


def test_more_inputs_are_projected_on_two_directions() -> None:
    task = shoal.tasks.modes((1.7, 0.9), dimension=4)
    data = trained(task, network=shoal.Network((4, 5, 1)))
    axes = plot.trajectory(data, directions=3 * task.inputs[::-1])
    np.testing.assert_allclose(dots_of(axes)[1].get_offsets(), data.trajectory_1.values[0, -1][:, [1, 0]], rtol=1e-15)
    assert axes.get_xlabel() == "weight along the first direction"


def test_a_network_that_diverged_is_drawn_as_long_as_its_weights_are_finite() -> None:
    data = trained(method=shoal.GradientDescent(9.0, 60), loss="squared", init=shoal.Gaussian(2.0))
    finite = np.isfinite(data.trajectory_1.values[0]).all(axis=(1, 2)).sum()
    assert 1 <= finite < data.sizes["time"]
    assert len(lines_of(plot.trajectory(data)).get_segments()) == 5 * (finite - 1)
    with pytest.raises(ValueError, match="network must have finite weights at some record, got 0, which has none"):
        plot.trajectory(data.isel(time=slice(finite, None)))


def test_an_animation_is_saved_with_every_record_and_ends_with_the_picture(tmp_path: Path) -> None:
    moving = plot.trajectory(DATA, animate=True)
    assert isinstance(moving, FuncAnimation)
    moving.save(tmp_path / "units.gif", writer=PillowWriter(fps=20), dpi=40)
    with Image.open(tmp_path / "units.gif") as image:
        assert image.format == "GIF"
        assert getattr(image, "n_frames", 1) == DATA.sizes["time"]
        first = np.asarray(image.convert("RGB"))
        image.seek(DATA.sizes["time"] - 1)
        assert (np.asarray(image.convert("RGB")) != first).any()
    axes = pyplot.gcf().axes[0]
    still = plot.trajectory(DATA)
    np.testing.assert_array_equal(lines_of(axes).get_segments(), lines_of(still).get_segments())
    np.testing.assert_array_equal(lines_of(axes).get_colors(), lines_of(still).get_colors())
    np.testing.assert_array_equal(dots_of(axes)[1].get_offsets(), dots_of(still)[1].get_offsets())
    assert axes.get_title() == f"time {float(DATA.time[-1]):.4g}"


def test_a_notebook_shows_an_animation_once() -> None:
    moving: Any = plot.trajectory(trained(record=shoal.Record(steps=(0, 60), measure="trajectory")), animate=True)
    assert len(pyplot.get_fignums()) == 1
    assert "<img" in moving._repr_html_()
    assert pyplot.get_fignums() == []  # which the cell would show beside it


def test_networks_with_learning_rates_of_their_own_have_times_of_their_own() -> None:
    data = trained(method=shoal.GradientDescent([0.1, 0.2, 0.3], 60))
    moving: Any = plot.trajectory(data, 2, animate=True)
    moving._repr_html_()
    assert moving.figure.axes[0].get_title().endswith(f"time {0.3 * 60:.4g}")


CASES: list[tuple[Callable[[], object], type[Exception], str]] = [
    (lambda: plot.trajectory(5), TypeError, "data must be an xarray.Dataset that train returned, got int"),  # type: ignore[call-overload]
    (lambda: plot.trajectory(DATA.drop_vars(["trajectory_1", "trajectory_2"])), ValueError, "data must hold the weigh"),
    (lambda: plot.trajectory(DATA, 3), ValueError, "network must be between 0 and 2, got 3"),
    (lambda: plot.trajectory(DATA, animate=1), TypeError, "animate must be True or False, got 1"),  # type: ignore[call-overload]
    (lambda: plot.trajectory(DATA, axes=1), TypeError, "axes must be of matplotlib"),  # type: ignore[call-overload]
    (lambda: plot.trajectory(DATA, directions=[[1, 0]]), ValueError, "directions must have shape (2, 2), got (1, 2)"),
    (lambda: plot.trajectory(DATA, directions=[[1, 2], [2, 4]]), ValueError, "directions must not be parallel or zero"),
    (
        lambda: plot.trajectory(trained(shoal.tasks.modes((1, 2, 3)), network=shoal.Network((3, 2, 1)))),
        ValueError,
        "directions must be given for a network of 3 inputs: two of them, shape (2, 3)",
    ),
    (
        lambda: plot.trajectory(trained(network=shoal.Network((2, 2, 2, 1)))),
        ValueError,
        "data must be of networks with one hidden layer and one output, got 2 hidden layers and 1 outputs",
    ),
    (
        lambda: plot.trajectory(trained(shoal.tasks.modes((1, 2), classes=3), network=shoal.Network((2, 2, 3)))),
        ValueError,
        "data must be of networks with one hidden layer and one output, got 1 hidden layers and 3 outputs",
    ),
]


@pytest.mark.parametrize(("call", "kind", "message"), CASES, ids=[case[2][:50] for case in CASES])
def test_what_cannot_be_drawn_is_refused_and_leaves_no_figure(
    call: Callable[[], object], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=re.escape(message)):
        call()
    assert pyplot.get_fignums() == []
