"""The claim ``lazy-rich``: its run; what is fitted, and the figure."""

from shoal.claims.lazy_rich.run import CLAIM

__all__ = ["CLAIM"]
