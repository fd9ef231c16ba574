"""What a figure shows, in words: for readers who do not see it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["describe"]


def describe(figure: Figure) -> str:
    """Return a sentence per panel of a figure: its title, its axes and its legend, without marks of mathematics."""
    panels = [axes for axes in figure.axes if not _is_scale(axes)]
    scales = [_plain(axes.get_ylabel() or axes.get_xlabel()) for axes in figure.axes if _is_scale(axes)]
    words = [_panel(axes) for axes in panels]
    words += [f"Colours show {scale}." for scale in scales if scale]
    if len(panels) > 1:
        words.insert(0, f"{len(panels)} panels.")
    return " ".join(part for part in words if part)


def _is_scale(axes: Axes) -> bool:
    return axes.get_label() == "<colorbar>"


def _panel(axes: Axes) -> str:
    title, across, up = (_plain(text) for text in (axes.get_title(), axes.get_xlabel(), axes.get_ylabel()))
    words = title
    if up or across:
        words += f"{': ' if words else ''}{up or 'values'} against {across or 'position'}"
    legend = axes.get_legend()
    shown = [_plain(text.get_text()) for text in legend.get_texts()] if legend is not None else []
    if any(shown):
        words += f"; shown are {', '.join(filter(None, shown))}"
    return f"{words}." if words else ""


def _plain(text: str) -> str:
    r"""Return a label in one line, without dollars, braces and the backslashes of names such as \rho."""
    text = re.sub(r"\\(?:mathrm|mathbf|mathit|text|left|right)\b", "", text)
    return " ".join(re.sub(r"[${}\\]", "", text).split())
