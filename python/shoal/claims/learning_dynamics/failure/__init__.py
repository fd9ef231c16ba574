"""The claim ``failure``: its run; the part without a theory."""
