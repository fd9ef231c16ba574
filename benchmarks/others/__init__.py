"""Figures of other papers: the computation as their authors do it against one call of shoal, in one run."""
