"""How the incoming weights of the hidden units move while a network learns XOR."""

import matplotlib.pyplot as plt

import shoal

method = shoal.GradientDescent(learning_rate=0.2, steps=500)
record = shoal.Record(measure=("loss", "trajectory"))
network, init = shoal.Network((2, 12, 1)), shoal.Gaussian(std=0.1)
data = shoal.train(network, shoal.tasks.xor(), init, method=method, record=record, networks=3)
shoal.plot.trajectory(data, network=0)
plt.show()
