"""The claim ``mean-field``: its run; the paper's first figure at its own scale, and the figure."""

from shoal.claims.mean_field.run import CLAIM

__all__ = ["CLAIM"]
