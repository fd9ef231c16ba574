"""The claim ``phase-diagram``: its run and figure; the grid and its training."""
