"""How the hidden units of one network move: their incoming weights in a plane of input space, while it is trained."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shoal.base import checks
from shoal.plot import measured, style

if TYPE_CHECKING:
    import xarray
    from matplotlib.animation import FuncAnimation
    from matplotlib.axes import Axes
    from matplotlib.collections import LineCollection, PathCollection
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]

_POSITIVE, _NEGATIVE, _ZERO = style.COLOURS[0], style.COLOURS[1], "0.5"
_MOST_RAYS = 16
_MOST_FRAMES = 200


@overload
def trajectory(  # noqa: D418
    data: xarray.Dataset, network: int = ..., *, directions: ArrayLike | None = ..., animate: Literal[False] = ...,
    axes: Axes | None = ...,
) -> Axes:  # fmt: skip
    """Return the axes of the picture."""


@overload
def trajectory(  # noqa: D418
    data: xarray.Dataset, network: int = ..., *, directions: ArrayLike | None = ..., animate: Literal[True],
    axes: Axes | None = ...,
) -> FuncAnimation:  # fmt: skip
    """Return the animation."""


def trajectory(
    data: xarray.Dataset,
    network: int = 0,
    *,
    directions: ArrayLike | None = None,
    animate: bool = False,
    axes: Axes | None = None,
) -> Axes | FuncAnimation:
    """Draw how the incoming weights of the hidden units of one network move in a plane of two inputs.

    A line per unit leads from its initial weights (hollow) to its last finite ones (filled). Its colour shows the sign
    of the unit's output weight at each time. The inputs of the task are rays, or points if there are more than 16, in
    the colour of their label; the longest ends at the edge of the picture. Biases are not shown.

    Parameters
    ----------
    data : xarray.Dataset
        What ``train`` returned with ``Record(measure=("trajectory", ...))``, of networks with one hidden layer and one
        output.
    network : int
        Position along ``network``.
    directions : array_like of float, (2, inputs), optional
        The plane: weights and inputs are projected on these two, each divided by its norm. When left out, the axes of
        the two inputs. Networks of more inputs need them, such as the inputs of two modes, ``task.inputs[:2]``.
    animate : bool
        Return an animation in place of the picture, with at most 200 frames. A notebook shows it with controls if it
        is the last value of a cell; ``plt.show()`` plays it; ``animation.save("units.gif")`` writes a file.
    axes : Axes, optional
        Default: a new figure of pyplot, which a notebook and ``plt.show()`` show.

    Returns
    -------
    Axes or matplotlib.animation.FuncAnimation
        Keep the animation until it was shown or saved.

    Raises
    ------
    TypeError, ValueError
        Not a dataset, no trajectory in it, networks of another number of layers or outputs, a network that it does not
        have or that has no finite weights, or directions that are missing, of another shape or parallel.
    """
    checks.dataset(data)
    checks.flag("animate", animate)
    style.require_axes(axes)
    drawn = _Units.of(data, network, directions)
    axes = axes or style.panel(width=6.4, height=6.0)
    drawn.prepare(axes)
    if not animate:
        drawn.show(axes, len(drawn.times) - 1)
        return axes
    return _animation(axes, drawn)


@dataclass(frozen=True)
class _Units:
    """Projected weights (times, units, 2), output weights (times, units), projected inputs (samples, 2), labels."""

    times: Floats
    at: Floats
    output: Floats
    inputs: Floats
    labels: NDArray[np.int64]
    along: str

    @classmethod
    def of(cls, data: xarray.Dataset, network: object, directions: Any) -> _Units:
        layers = sorted(str(name) for name in data if re.fullmatch(r"trajectory_\d+", str(name)))
        if not layers:
            raise ValueError(
                "data must hold the weights at every record, from Record(measure=('trajectory', ...)), got "
                f"{', '.join(map(str, data)) or 'nothing'}"
            )
        if "network" in data.dims:
            most = data.sizes["network"] - 1
            data = data.isel(network=checks.integer("network", network, least=0, most=most))
        if len(layers) != 2 or data["trajectory_2"].sizes["unit_2"] != 1:
            raise ValueError(
                f"data must be of networks with one hidden layer and one output, got {len(layers) - 1} hidden layers "
                f"and {data[layers[-1]].shape[-2]} outputs"
            )
        weights = measured.only(data["trajectory_1"], ("time", "unit_1", "unit_0")).values.astype(np.float64)
        output = measured.only(data["trajectory_2"], ("time", "unit_2", "unit_1")).values[:, 0].astype(np.float64)
        plane = _plane(directions, weights.shape[2])
        known = np.flatnonzero(np.isfinite(weights).all(axis=(1, 2)) & np.isfinite(output).all(axis=1))
        if not len(known):
            raise ValueError(f"network must have finite weights at some record, got {network}, which has none")
        return cls(
            times=data["times" if "times" in data else "time"].values[known].astype(np.float64),
            at=weights[known] @ plane.T,
            output=output[known],
            inputs=data["inputs"].values @ plane.T,
            labels=data["labels"].values if "labels" in data else np.zeros(data.sizes["sample"], np.int64),
            along="from the {} input" if directions is None else "along the {} direction",
        )

    def prepare(self, axes: Axes) -> None:
        """Draw all that does not move."""
        reach = 1.1 * float(np.abs(self.at).max()) or 1.0
        axes.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
        axes.set_xlabel(f"weight {self.along.format('first')}")
        axes.set_ylabel(f"weight {self.along.format('second')}")
        longest = float(np.linalg.norm(self.inputs, axis=1).max()) or 1.0
        ends = 0.97 * reach * self.inputs / longest
        for label in np.unique(self.labels):
            colour = {1: _POSITIVE, -1: _NEGATIVE}.get(int(label), _ZERO)
            said = f"inputs with label {label:+d}" if label else "inputs"
            chosen = ends[self.labels == label]
            axes.plot(*chosen.T, ls="none", marker="x", ms=6.0, mew=1.5, color=colour, alpha=0.7, zorder=2, label=said)
            for end in chosen if len(ends) <= _MOST_RAYS else ():
                axes.plot([0.0, end[0]], [0.0, end[1]], lw=1.0, ls="--", color=colour, alpha=0.7, zorder=2)
        x, y = self.at[0].T
        axes.scatter(x, y, s=26, facecolors="white", edgecolors=self.colours(0), linewidths=1.2, zorder=4)
        for colour, sign in ((_POSITIVE, ">"), (_NEGATIVE, "<")):
            axes.plot([], [], lw=1.6, marker="o", ms=5.0, color=colour, label=f"units with output weight {sign} 0")
        style.legend(axes, loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=2)

    def colours(self, index: int) -> list[str]:
        """Return the colour of each unit at one record."""
        return [_POSITIVE if output > 0 else _NEGATIVE if output < 0 else _ZERO for output in self.output[index]]

    def show(self, axes: Axes, last: int) -> tuple[LineCollection, PathCollection]:
        """Draw the lines up to a record, and the units there."""
        from matplotlib.collections import LineCollection

        lines = LineCollection(self.segments(last), colors=self.line_colours(last), linewidths=1.4, zorder=3)
        axes.add_collection(lines, autolim=False)
        x, y = self.at[last].T
        return lines, axes.scatter(x, y, s=30, c=self.colours(last), zorder=5)

    def segments(self, last: int) -> list[Floats]:
        """Return the pieces of the lines up to a record, (2 ends, 2) each."""
        return list(np.stack([self.at[:last], self.at[1 : last + 1]], axis=2).reshape(-1, 2, 2))

    def line_colours(self, last: int) -> list[str]:
        """Return the colour of each of these pieces, that of its later end."""
        return [colour for i in range(1, last + 1) for colour in self.colours(i)]


def _plane(directions: Any, inputs: int) -> Floats:
    """Return the two directions of the plane, each of norm 1."""
    if directions is None:
        if inputs != 2:
            raise ValueError(
                f"directions must be given for a network of {inputs} inputs: two of them, shape (2, {inputs}), such as "
                "the inputs of two samples"
            )
        return np.eye(2)
    given = checks.real_array("directions", directions, dimensions=2, shape=f"(2, {inputs})")
    if given.shape != (2, inputs):
        raise ValueError(f"directions must have shape (2, {inputs}), got {given.shape}")
    if np.linalg.matrix_rank(given) < 2:
        raise ValueError("directions must not be parallel or zero: they span no plane")
    norms: Floats = np.linalg.norm(given, axis=1, keepdims=True)
    return given / norms


def _animation(axes: Axes, drawn: _Units) -> FuncAnimation:
    from shoal.plot.animation import Animation

    lines, dots = drawn.show(axes, 0)
    title = axes.get_title()
    last = len(drawn.times) - 1
    frames = np.unique(np.linspace(0, last, min(last + 1, _MOST_FRAMES)).astype(np.int64))

    def move(index: int) -> tuple[LineCollection, PathCollection]:
        lines.set_segments(drawn.segments(index))
        lines.set_color(drawn.line_colours(index))
        dots.set_offsets(drawn.at[index])
        dots.set_color(drawn.colours(index))
        axes.set_title(f"{title}, time {drawn.times[index]:.4g}".removeprefix(", "))
        return lines, dots

    return Animation(cast("Figure", axes.get_figure()), move, [int(i) for i in frames])
