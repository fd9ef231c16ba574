"""The claim ``mislabelled``: its run; what is fitted."""

from shoal.claims.mislabelled.run import CLAIM

__all__ = ["CLAIM"]
