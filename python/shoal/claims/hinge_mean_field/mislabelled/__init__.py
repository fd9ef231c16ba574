"""The claim ``mislabelled``: its run; what is fitted."""
