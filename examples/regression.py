"""Fit the sine at nine points by many networks, and print targets and mean outputs beside each other."""

import numpy as np

import shoal

inputs = np.linspace(-2, 2, 9)[:, None]
task = shoal.Task.regression(inputs, np.sin(2 * inputs[:, 0]))
network, method = shoal.Network((1, 20, 1), "tanh", bias=True), shoal.GradientDescent(learning_rate=0.1, steps=4000)
record = shoal.Record(steps=[0, 4000], measure=("loss", "output"))
data = shoal.train(network, task, shoal.Gaussian(gain=1.0), method=method, loss="squared", record=record, networks=500)
print(np.column_stack([inputs, task.targets, data.output.isel(time=-1).mean("network")]).round(2))
