"""The claim ``realistic``: its run; the figure."""
