"""The claim ``realistic``: its run; the figure."""

from shoal.claims.hinge_mean_field.realistic.realistic import CLAIM

__all__ = ["CLAIM"]
