"""A claim of one's own: shoal reproduce own_claim.py --quick."""

import numpy as np

import shoal


@shoal.claim("one-mode", "A balanced mode follows its exact curve.", source="arXiv:1809.06848")
def one_mode(run):
    """Compare the margins of many initialisations with the curve of each."""
    margins = np.random.default_rng(run.seed).uniform(0.01, 0.1, run.networks(full=1000, quick=100))
    init = shoal.Explicit([np.sqrt(margins)[:, None, None]] * 2)
    task, method = shoal.Task([[1.0]], [1]), shoal.GradientFlow(t_end=12.0, rtol=1e-8)
    data = run.train(shoal.Network((1, 1, 1)), task, init, method=method, networks=len(margins))
    exact = [shoal.theory.Mode(norm=1.0, frequency=1.0, start_margin=margin) for margin in margins]
    predicted = np.array([mode.margin(data.time) for mode in exact])[..., None]
    run.compare_flow("margin", data.margin, predicted)
