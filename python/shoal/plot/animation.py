"""Animations that a notebook shows. The one module of the plots that imports matplotlib when it is imported."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from matplotlib.animation import FuncAnimation
from matplotlib.figure import Figure


class Animation(FuncAnimation):
    """An animation that a notebook shows with controls if it is the last value of a cell."""

    def __init__(self, figure: Figure, move: Callable[[int], Any], frames: Sequence[int]) -> None:
        """Animate a figure by what draws one frame."""
        super().__init__(figure, move, frames=frames, interval=60)
        self.figure = figure

    def _repr_html_(self) -> str:
        """Return the animation as HTML; its figure leaves pyplot, so that the cell does not show that too."""
        from matplotlib import pyplot

        pyplot.close(self.figure)
        return self.to_jshtml()
