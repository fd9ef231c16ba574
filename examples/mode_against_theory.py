"""A network learns two modes of a task; the exact margin of each stands beside it."""

import numpy as np

import shoal

norms, margin = np.array([2.0, 1.0]), 0.01
task, size = shoal.tasks.modes(norms), np.sqrt(margin / norms)
init = shoal.Explicit([[np.diag(size)], [[size * task.labels]]])
method = shoal.GradientFlow(t_end=40.0, rtol=1e-8)
data = shoal.train(shoal.Network((2, 2, 1)), task, init, method=method)
modes = [shoal.theory.Mode(norm, frequency=0.5, start_margin=margin) for norm in norms]
predicted = np.stack([mode.margin(data.time) for mode in modes], axis=-1)
print(shoal.compare_flow(data.margin, predicted, tolerance=1e-6))
