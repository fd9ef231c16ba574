"""The claim ``realistic``: its run; the figure."""

from shoal.claims.realistic.run import CLAIM

__all__ = ["CLAIM"]
