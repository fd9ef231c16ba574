"""The claim ``lazy-rich``: its run; what is fitted, and the figure."""
