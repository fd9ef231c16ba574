"""Gradient flow of a deep linear network keeps the balance of each hidden unit."""

import numpy as np

import shoal

network = shoal.Network((2, 3, 3, 1), activation="linear")
record = shoal.Record(measure=("loss", "balance"))
task, init = shoal.tasks.gaussian(50, 2, separation=2.0), shoal.Gaussian(std=0.5)
data = shoal.train(network, task, init, method=shoal.GradientFlow(t_end=50.0), record=record, networks=100)
moved = np.abs(data.balance - data.balance.isel(time=0)).max()
print(f"largest change of an invariant: {float(moved):.1e}")
