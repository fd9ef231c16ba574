"""The claim ``phase-diagram``: its run; the grid and its training, and the figure."""
