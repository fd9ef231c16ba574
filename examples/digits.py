"""Handwritten digits, 3 against 8, with images that are never trained on."""

import shoal

task = shoal.tasks.digits((3, 8), test_samples=100, standardise=True)
network, init = shoal.Network((64, 32, 1)), shoal.Gaussian(gain=1.0)
method = shoal.GradientDescent(learning_rate=0.2, steps=300)
record = shoal.Record(measure=("error", "test_error"))
data = shoal.train(network, task, init, method=method, record=record, networks=50)
for name in ("error", "test_error"):
    last = data[name].isel(time=-1)
    print(f"{name}: {float(last.mean()):.4f} +- {float(last.std() / 50**0.5):.4f}")
