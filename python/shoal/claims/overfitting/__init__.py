"""The claim ``overfitting``: its run; the figure."""

from shoal.claims.overfitting.run import CLAIM

__all__ = ["CLAIM"]
