"""The claim ``failure``: its run; the part without a law."""

from shoal.claims.failure.run import CLAIM

__all__ = ["CLAIM"]
