"""Wide networks with a hinge: the mean-field formula, what finite nodes and samples and flipped labels do to it."""
