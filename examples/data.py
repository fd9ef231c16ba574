"""A table of one's own for the examples that read one: ``mine.csv``, three inputs and a label of -1 or 1."""

import numpy as np

draw = np.random.default_rng(3)
inputs = draw.standard_normal((40, 3))
labels = np.sign(inputs[:, 0] + 0.5 * inputs[:, 1] * inputs[:, 2])
np.savetxt("mine.csv", np.column_stack([inputs, labels]), delimiter=",", header="a,b,c,label")
