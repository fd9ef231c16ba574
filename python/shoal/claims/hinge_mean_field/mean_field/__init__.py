"""The claim ``mean-field``: its run; the paper's first figure at its own scale, and the figure."""
