"""Ten thousand random networks, compared with the margins that theory predicts for ten thousand others."""

import shoal

network = shoal.Network((2, 6, 1))
task = shoal.tasks.modes(norms=(1.7, 0.9), frequencies=(0.6, 0.4))
init = shoal.Separated(0.05)
data = shoal.train(network, task, init, method=shoal.GradientDescent(learning_rate=0.01, steps=6000), networks=10_000)
others = shoal.train(
    network, task, init, method=shoal.GradientDescent(learning_rate=0.01, steps=0), networks=10_000, seed=1,
    record=shoal.Record(measure=("weights",)),
)  # fmt: skip
weights = [others.weights_1, others.weights_2]
predicted = shoal.theory.separated_margins(weights, task, "cross_entropy", data.time)
print(shoal.compare_samples(data.margin, predicted))
