"""The claim ``lazy-rich``: its run; how far networks move; what is fitted."""
