"""The claim ``mislabelled``: its run; what is fitted."""

from shoal.claims.hinge_mean_field.mislabelled.mislabelled import CLAIM

__all__ = ["CLAIM"]
