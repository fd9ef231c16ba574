"""The claim ``mean-field``: its run; the paper's first figure at its own scale, and the figure."""

from shoal.claims.hinge_mean_field.mean_field.mean_field import CLAIM

__all__ = ["CLAIM"]
