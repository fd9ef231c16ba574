"""Figures in the house style: measurement as points, curves with bands or colours, theory as lines.

``figure``, ``points``, ``theory``, ``band``, ``legend`` and ``save`` draw what they are given. ``curves``,
``phase_diagram``, ``surface`` and ``distribution`` read what ``train`` returned: every network or statistics only, of
one training or of many, with the swept fields as dimensions in front. ``trajectory`` shows one network.

A notebook shows their figures once at the end of the cell, and ``plt.show()`` in a script. pyplot keeps the figures
until ``plt.close``, unless they are drawn on given ``axes``.
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
