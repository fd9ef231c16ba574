"""Gradient starvation: of two features in every sample, the weaker grows (rho_2 / rho_1)^2 as much as the stronger."""

import shoal

task = shoal.tasks.features((2.0, 1.0), [(0, 1)], mirrored=True)
record = shoal.Record(measure=("loss", "trajectory"))
network, init = shoal.Network((2, 1)), shoal.Gaussian(std=0.01)
data = shoal.train(network, task, init, method=shoal.GradientFlow(t_end=200.0), record=record, networks=20)
strength = shoal.dynamics.strengths(data, [[2.0, 0.0], [0.0, 1.0]]).strength
grown = (strength - strength.isel(time=0)).values
print(shoal.compare_flow(grown[..., 1], (1.0 / 2.0) ** 2 * grown[..., 0], tolerance=1e-8))
