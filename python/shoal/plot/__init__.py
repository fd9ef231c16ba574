"""Figures in the house style: measurement as points, curves with bands or colours, theory as lines.

``figure``, ``points``, ``theory``, ``band``, ``legend`` and ``save`` draw what they are given. ``curves``,
``phase_diagram``, ``surface`` and ``distribution`` read what ``train`` returned, with every network or statistics only,
one training or many with the fields that were swept as dimensions in front. ``trajectory`` shows one network.

What these return is shown once at the end of a notebook's cell, and by ``plt.show()`` in a script: pyplot keeps their
figures, until ``plt.close``, unless they draw on given ``axes``.
"""

from shoal.plot.curves import curves
from shoal.plot.distribution import distribution
from shoal.plot.phase_diagram import phase_diagram
from shoal.plot.style import COLOURS, STYLE, band, figure, legend, points, save, theory
from shoal.plot.surface import surface
from shoal.plot.trajectory import trajectory

__all__ = [
    "COLOURS",
    "STYLE",
    "band",
    "curves",
    "distribution",
    "figure",
    "legend",
    "phase_diagram",
    "points",
    "save",
    "surface",
    "theory",
    "trajectory",
]
