"""The probability of failure over the initial scale and the width, as a map."""

import matplotlib.pyplot as plt

import shoal

over = {"network.width": [2, 4, 8, 16], "init.gain": [0.25, 0.5, 1.0, 2.0]}
method = shoal.GradientDescent(learning_rate=0.5, steps=500, stop="fitted")
record = shoal.Record(steps=[500], measure=("error",), reduce=shoal.Statistics(events=("error > 0",)))
network, task, init = shoal.Network((2, 4, 1)), shoal.tasks.xor(), shoal.Gaussian(gain=1.0)
data = shoal.sweep(network, task, init, method=method, record=record, networks=512, over=over)
shoal.plot.phase_diagram(data, "error > 0", "network.width", "init.gain")
plt.show()
