"""Verdicts: how measurements compare with theory, and how wrong a theory must be to be caught."""
