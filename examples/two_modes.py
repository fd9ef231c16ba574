"""One network with two modes, trained at three rates, against the exact curve of each mode."""

import numpy as np

import shoal

norms, frequencies, margin = np.array([2.0, 1.0]), np.array([0.35, 0.65]), 0.01
task = shoal.tasks.modes(norms, frequencies)
size = np.sqrt(margin / norms)  # a balanced neuron a mode, so that both modes start at the same margin
init = shoal.Explicit([[np.diag(size)], [[size * task.labels]]])
full, half, quarter = (
    shoal.train(
        shoal.Network((2, 2, 1)),
        task,
        init,
        method=shoal.GradientDescent(learning_rate=0.1 / refine, steps=400 * refine),
        record=shoal.Record(times=range(41), measure=("margin",)),
    ).margin
    for refine in (1, 2, 4)
)
modes = [shoal.theory.Mode(norm, frequency, margin) for norm, frequency in zip(norms, frequencies, strict=True)]
predicted = np.stack([mode.margin(full.time) for mode in modes], axis=-1)
print(shoal.compare_rates(full, half, quarter, predicted))
