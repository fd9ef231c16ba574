"""The sharpness while training: gradient descent at three learning rates, each with its edge of stability, 2 / rate."""

import matplotlib.pyplot as plt
import numpy as np

import shoal

x = np.linspace(-1, 1, 20)
network, task = shoal.Network((1, 20, 20, 1), "tanh", bias=True), shoal.Task.regression(x[:, None], 8 * x**4 - 8 * x**2)
record = shoal.Record(steps=range(0, 6001, 100), measure=("sharpness",))
for rate in (0.1, 0.15, 0.2):
    method, init = shoal.GradientDescent(rate, steps=6000), shoal.Gaussian(gain=1.0)
    data = shoal.train(network, task, init, method=method, loss="squared", record=record, networks=16)
    middle = data.sharpness.median("network")
    plt.plot(rate * data.step, middle), plt.axhline(2 / rate, ls="--")
    print(f"at rate {rate}: {middle[0]:.1f}, in the end {middle[-1]:.1f}, the edge {2 / rate:.1f}")
plt.xlabel("time (step x rate)"), plt.ylabel("sharpness: median of 16 networks"), plt.show()
