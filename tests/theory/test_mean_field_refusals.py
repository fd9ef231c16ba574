"""What MeanFieldHinge refuses, and how it says so."""

import math

import pytest

from shoal.theory import MeanFieldHinge


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"nodes": 0}, ValueError, "nodes must be at least 1, got 0"),
        ({"nodes": 2.0}, TypeError, "nodes must be an integer"),
        ({"inputs": 0}, ValueError, "inputs must be at least 1, got 0"),
        ({"alpha": 0.0}, ValueError, r"alpha must be positive, got 0\.0"),
        ({"alpha": math.nan}, ValueError, "alpha must be finite, got nan"),
        ({"threshold": -1}, ValueError, r"threshold must be positive, got -1\.0"),
        ({"beta": 0}, ValueError, r"beta must be positive, got 0\.0"),
        ({"beta": "1"}, TypeError, "beta must be a number"),
        ({"distribution": "cube"}, ValueError, "distribution must be one of gaussian, sphere, got 'cube'"),
        ({"distribution": 3}, TypeError, "distribution must be one of gaussian, sphere"),
        ({"distribution": "sphere", "radius": 0}, ValueError, r"radius must be positive, got 0\.0"),
        ({"radius": 2.0}, ValueError, r"radius must be 1 when distribution is 'gaussian', which has none, got 2\.0"),
        ({"centred": 1}, TypeError, "centred must be True or False, got 1"),
    ],
)
def test_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        MeanFieldHinge(**{"nodes": 10, "inputs": 5, **arguments})


@pytest.mark.parametrize(
    "name",
    ["gamma", "velocity", "boundary", "unsatisfied", "loss", "noise", "spread", "error", "early", "tail", "lazy"],
)
def test_times(name):
    function = getattr(MeanFieldHinge(10, 5), name)
    with pytest.raises(ValueError, match=r"times must not be negative or NaN, got -0\.5"):
        function([1.0, -0.5])
    with pytest.raises(ValueError, match="times must not be negative or NaN, got nan"):
        function(math.nan)
    with pytest.raises(TypeError, match="times must hold real numbers"):
        function("soon")


def test_angles_projections_and_starts():
    theory = MeanFieldHinge(10, 5, distribution="sphere", radius=2.0)
    with pytest.raises(ValueError, match=r"gamma must not be negative or NaN, got -1\.0"):
        theory.time(-1.0)
    with pytest.raises(ValueError, match=r"projections must be at most the radius 2\.0 in size, got -2\.5"):
        theory.satisfaction_time([1.0, -2.5])
    with pytest.raises(ValueError, match="projections must be finite, got nan"):
        theory.output(math.nan, 1.0)
    with pytest.raises(ValueError, match="times must be finite, got inf"):
        theory.output(1.0, math.inf)
    with pytest.raises(ValueError, match="a0 must be finite, got inf"):
        theory.trajectories([math.inf], [1.0], 1.0)
    with pytest.raises(ValueError, match=r"w0 must have the shape of a0, \(2,\), got \(3,\)"):
        theory.trajectories([1.0, 2.0], [1.0, 2.0, 3.0], 1.0)
    with pytest.raises(ValueError, match=r"times must not be negative or NaN, got -1\.0"):
        theory.trajectories([1.0], [1.0], -1.0)
