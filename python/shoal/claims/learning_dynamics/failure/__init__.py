"""The claim ``failure``: its run; the part without a theory."""

from shoal.claims.learning_dynamics.failure.failure import CLAIM

__all__ = ["CLAIM"]
