"""Plain descent, heavy-ball momentum, and momentum with a cosine schedule, at rates of equal time after all steps."""

import matplotlib.pyplot as plt

import shoal

network, task, init = shoal.Network((2, 16, 1)), shoal.tasks.xor(), shoal.Gaussian(gain=1.0)
plain = shoal.GradientDescent(learning_rate=1.0, steps=400)
heavy = shoal.GradientDescent(learning_rate=0.1, steps=400, momentum=0.9)
cosine = shoal.GradientDescent(learning_rate=0.2, steps=400, momentum=0.9, schedule="cosine")
for name, method in (("plain", plain), ("momentum 0.9", heavy), ("momentum 0.9, cosine", cosine)):
    data = shoal.train(network, task, init, method=method, networks=200)
    plt.semilogy(data.step, data.loss.mean("network"), label=name)
plt.legend(), plt.xlabel("step"), plt.ylabel("mean loss")
plt.show()
