"""The claim ``lazy-rich``: its run; what is fitted, and the figure."""

from shoal.claims.hinge_mean_field.lazy_rich.lazy_rich import CLAIM

__all__ = ["CLAIM"]
