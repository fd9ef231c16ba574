"""Wide networks with a hinge: mean-field theory, corrected for finite nodes, finite samples and flipped labels."""
