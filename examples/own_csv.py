"""Train many networks on a table of one's own, and draw their mean, its band, and some single networks."""

import matplotlib.pyplot as plt
import numpy as np

import shoal

rows = np.loadtxt("mine.csv", delimiter=",", skiprows=1)
task = shoal.Task(rows[:, :-1], rows[:, -1])
method = shoal.GradientDescent(learning_rate=0.1, steps=500)
data = shoal.train(shoal.Network((task.dimension, 16, 1)), task, shoal.Gaussian(gain=1.0), method=method, networks=500)
shoal.plot.curves(data, "loss", singles=20)
plt.show()
