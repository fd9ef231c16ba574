"""Features that share samples: their modes, their events, the solver."""
