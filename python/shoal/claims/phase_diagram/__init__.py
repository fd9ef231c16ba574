"""The claim ``phase-diagram``: its run; the grid and its training, and the figure."""

from shoal.claims.phase_diagram.run import CLAIM

__all__ = ["CLAIM"]
