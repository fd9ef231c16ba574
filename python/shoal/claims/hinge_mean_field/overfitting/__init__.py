"""The claim ``overfitting``: its run; the figure."""

from shoal.claims.hinge_mean_field.overfitting.overfitting import CLAIM

__all__ = ["CLAIM"]
