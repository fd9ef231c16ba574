"""What it saves to leave undone what need not be done: the same training with and without, in one run."""
