"""Wide networks that learn a hinge from three initialisations, beside the mean field; writes a figure.

Points are means over the networks, bars their standard errors.
"""

from pathlib import Path

import numpy as np

import shoal
from shoal import plot
from shoal.theory import MeanFieldHinge, MeanFieldPopulation

inputs, nodes, samples, networks, rate = 10, 300, 1500, 8, 0.1
measured = [0.0, *np.round(np.geomspace(1.0, 60.0, 12) / rate) * rate]
times = np.concatenate([[0.0], np.geomspace(0.6, 200.0, 120)])
random = np.random.default_rng(1)


def weights(a, shift):
    """Return initial weights: output weights ``a``, and standard normal w with a mean along the teacher."""
    first = random.standard_normal((networks, nodes, inputs))
    first[:, :, 0] += shift
    return shoal.Explicit([first, a])


normal, ones = random.standard_normal((networks, 1, nodes)), np.ones((networks, 1, nodes))
starts = {
    "a, w normal (closed form)": (weights(normal, 0.0), MeanFieldPopulation.gaussian(inputs)),
    "a = +1": (weights(ones, 0.0), MeanFieldPopulation.fixed(inputs, (1.0,))),
    "w with mean -2 along the teacher": (weights(normal, -2.0), MeanFieldPopulation.gaussian(inputs, mean=(0.0, -2.0))),
}
task = shoal.tasks.separable_gaussian(samples, inputs, test_samples=4000, seed=1)
made, (left, right) = plot.figure(("Error on new inputs", "Output on the teacher's plane"))
for (name, (init, population)), colour in zip(starts.items(), plot.COLOURS, strict=False):
    flow = population.solve(times, rtol=1e-8)
    data = shoal.train(
        shoal.Network.mean_field(inputs, nodes),
        task,
        init,
        loss="hinge",
        method=shoal.GradientDescent(learning_rate=rate, steps=round(measured[-1] / rate)),
        record=shoal.Record(times=measured, measure=("test_error",)),
    )
    error = data.test_error
    bar = error.std("network") / np.sqrt(networks)
    plot.points(left, measured[1:], error.mean("network")[1:], error=bar[1:], color=colour)
    plot.theory(left, times[1:], flow.error[1:], color=colour, label=name)
    plot.theory(right, times[1:], flow.output(0.0, np.sqrt(inputs))[1:], color=colour)
    print(f"{name}: error {flow.error[-1]:.4f}, unsatisfied {flow.unsatisfied[-1]:.4f} at t = {times[-1]:g}")
finite = MeanFieldHinge(nodes, inputs).error(times[1:])
plot.theory(left, times[1:], finite, color=plot.COLOURS[0], ls="--", label=f"closed form, {nodes} nodes")
left.set(xscale="log", xlabel="time", ylabel="error", ylim=(-0.02, 0.8))
right.set(xscale="log", xlabel="time", ylabel=r"f at $x_\parallel$ = 0, |x| = $\sqrt{d}$")
plot.legend(left, loc="upper right")
plot.save(made, Path("other_initialisations.png"))
