"""Claims of the papers next to those two."""
