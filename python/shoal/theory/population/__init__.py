"""The mean field from other starts: a population of nodes in the output that it makes."""
