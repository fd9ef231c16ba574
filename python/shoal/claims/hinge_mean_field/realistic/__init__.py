"""The claim ``realistic``: its run; images and their networks."""
