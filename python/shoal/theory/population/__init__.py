"""The mean field from other initialisations: a population of nodes, driven by its own output."""
