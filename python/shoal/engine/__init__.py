"""Private: from a training to its dataset. The compiled core is called, and statistics are merged over networks."""
