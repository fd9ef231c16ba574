"""The claim ``overfitting``: its run; the figure."""
