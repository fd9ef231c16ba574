"""The claim ``failure``: its run; the part without a theory."""

from shoal.claims.failure.run import CLAIM

__all__ = ["CLAIM"]
