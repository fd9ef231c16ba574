"""The mean field from other initialisations: a population of nodes in the output that it makes."""
