"""Start from the weights of PyTorch modules, train, and take one network back."""

import torch

import shoal

modules = [torch.nn.Sequential(torch.nn.Linear(2, 8), torch.nn.ReLU(), torch.nn.Linear(8, 1)) for _ in range(10)]
network, init = shoal.Network((2, 8, 1), bias=True), shoal.Explicit.from_torch(modules)
method, record = shoal.GradientDescent(learning_rate=0.5, steps=500), shoal.Record(measure=("error", "weights"))
data = shoal.train(network, shoal.tasks.xor(), init, method=method, record=record)
best = int(data.error.isel(time=-1).argmin("network"))
module = shoal.to_torch(data, network=best)
outputs = module(torch.tensor(data.inputs.values)).flatten()
print(outputs.sign().tolist(), data.labels.values.tolist())
