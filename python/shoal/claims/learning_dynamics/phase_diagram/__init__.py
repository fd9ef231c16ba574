"""The claim ``phase-diagram``: its run; the grid and its training, and the figure."""

from shoal.claims.learning_dynamics.phase_diagram.phase_diagram import CLAIM

__all__ = ["CLAIM"]
