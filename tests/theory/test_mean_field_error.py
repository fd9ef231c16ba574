"""What M nodes add to the mean field: noise of the output, and errors on new inputs."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from shoal.theory import MeanFieldHinge
from shoal.theory.mean_field.error import misclassified

REFERENCES = json.loads((Path(__file__).parent / "references" / "mean_field.json").read_text())


def test_errors_agree_with_mpmath():
    assert len(REFERENCES["errors"]) == 20
    for row in REFERENCES["errors"]:
        found = float(misclassified(row["inputs"], np.array([row["spread"]]))[0])
        assert found == pytest.approx(float(row["error"]), rel=1e-11, abs=0)


def test_many_inputs_make_it_an_arc_tangent():
    spread = np.array([1e-3, 0.1, 1.0, 30.0])
    gaps = [np.abs(misclassified(d, spread) / (np.arctan(spread) / math.pi) - 1).max() for d in (1000, 4000, 16000)]
    assert np.allclose(np.array(gaps[:-1]) / gaps[1:], 4.0, rtol=0.02)


def test_the_series_at_a_faint_signal_joins_the_integral():
    for d in (1, 2, 30):
        spread = math.sqrt(d) / np.array([0.99e-4, 1.01e-4])
        below, above = 0.5 - misclassified(d, spread)
        assert above / below == pytest.approx(1.01 / 0.99, rel=1e-7)


def frozen(theory, time, networks, seed):
    """Return nodes (networks, M), (networks, M, d) drawn and put on their curves, and their initialisations."""
    draw = np.random.default_rng(seed)
    a0 = draw.normal(size=(networks, theory.nodes))
    w0 = draw.normal(size=(networks, theory.nodes, theory.inputs))
    a, along = theory.trajectories(a0, w0[..., 0], time)
    w = w0.copy()
    w[..., 0] = along
    return (a, w), (a0, w0)


def outputs(theory, nodes, inputs):
    """Return f (networks, inputs) of nodes at inputs (inputs, d), or (networks, inputs, d)."""
    a, w = nodes
    hidden = np.maximum(inputs @ w.swapaxes(1, 2), 0.0) / math.sqrt(theory.inputs)
    return theory.alpha / theory.nodes * np.einsum("nsm,nm->ns", hidden, a)


@pytest.mark.parametrize("centred", [False, True])
def test_the_noise_is_that_of_random_nodes(centred):
    theory = MeanFieldHinge(100, 4, 1.7, centred=centred)
    now, start = frozen(theory, 8.0, 4000, 1)
    across = np.array([[0.0, 0.0, 2.0, 0.0]])
    f = outputs(theory, now, across) - (outputs(theory, start, across) if centred else 0.0)
    # Of a variance, the standard error is sqrt((kurtosis - 1)/n) of it; that of f over 100 nodes is 3 + O(1/100).
    assert f.std() == pytest.approx(float(theory.noise(8.0)), rel=4 * 0.5 * math.sqrt(2.2 / 4000))
    assert abs(f.mean()) < 4 * f.std() / math.sqrt(4000)


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize(("law", "inputs"), [("gaussian", 2), ("sphere", 6)])
def test_the_error_is_that_of_random_nodes(law, inputs, centred):
    theory = MeanFieldHinge(200, inputs, 0.5, distribution=law, centred=centred)
    time = float(theory.time(0.6))
    now, start = frozen(theory, time, 400, 2)
    # Inputs of its own for every network: then the mean over networks has the standard error of independent draws.
    x = np.random.default_rng(3).normal(size=(400, 100, inputs))
    x /= np.linalg.norm(x, axis=2)[..., None] if law == "sphere" else 1.0
    f = outputs(theory, now, x) - (outputs(theory, start, x) if centred else 0.0)
    wrong = (f * np.sign(x[..., 0]) < 0).mean(axis=1)
    standard_error, predicted = wrong.std() / math.sqrt(400), float(theory.error(time))
    # Corrections are of relative order 1/M: the kurtosis of a node is about 10, its variance has a part ~ x_par^2.
    allowed = 4 * standard_error + 5 / 200 * predicted
    assert abs(wrong.mean() - predicted) < allowed
    for other in (
        MeanFieldHinge(800, inputs, 0.5, distribution=law, centred=centred),
        MeanFieldHinge(200, 4 * inputs, 0.5),
    ):
        assert abs(wrong.mean() - float(other.error(other.time(0.6)))) > allowed


def test_the_numbers_of_the_design():
    """M = 400, d = 30, alpha = h = beta = 1: arctan(s)/pi is .1603 at t = 5 and .0438 at t = 20."""
    theory = MeanFieldHinge(400, 30)
    assert np.array_equal((np.arctan(theory.spread([5.0, 20.0])) / math.pi).round(4), [0.1603, 0.0438])
    angle = theory.gamma(5.0)
    spread = 2 * math.sqrt(30) * np.sqrt(np.cosh(2 * angle) / 800) / np.sinh(2 * angle)
    assert float(theory.spread(5.0)) == pytest.approx(float(spread), rel=1e-13)


def test_centring_takes_the_noise_of_the_start_away():
    theory = MeanFieldHinge(400, 30, centred=True)
    assert float(theory.noise(0.0)) == 0.0
    assert float(theory.spread(0.0)) == pytest.approx(math.sqrt(30 / 800), rel=1e-14)
    raw = MeanFieldHinge(400, 30)
    times = np.array([1e4, 1e6, 1e8])
    gaps = 1 - theory.spread(times) / raw.spread(times)
    assert (gaps > 0).all()
    assert np.allclose(gaps * np.exp(raw.gamma(times)), 1.0, rtol=0.2)


def test_the_noise_falls_like_one_over_the_root_of_the_nodes():
    few, many = MeanFieldHinge(100, 30), MeanFieldHinge(400, 30)
    times = [0.5, 20.0]
    assert np.allclose(few.noise(times), 2 * many.noise(times), rtol=1e-13)
    assert np.allclose(few.spread(times), 2 * many.spread(times), rtol=1e-13)
    sphere = MeanFieldHinge(100, 30, distribution="sphere", radius=3.0)
    same = sphere.time(few.gamma(times))
    assert np.allclose(sphere.noise(same), few.noise(times) * 3.0 / math.sqrt(30), rtol=1e-12)
    assert np.allclose(sphere.error(same), few.error(times), rtol=1e-10)
