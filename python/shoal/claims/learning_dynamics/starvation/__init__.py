"""The claim ``starvation``: its run; the part on fully connected networks."""
