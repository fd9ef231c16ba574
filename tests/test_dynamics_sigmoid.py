"""The logistic sigmoid closest to a recorded series, and the least squares behind it."""

import warnings

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize

from shoal.dynamics import sigmoid, sigmoid_fit
from shoal.dynamics.least_squares import least_squares
from shoal.theory import Mode

TIMES = np.linspace(0, 40, 101)
NAMES = ("offset", "amplitude", "rate", "midpoint")


def logistic(times, offset, amplitude, rate, midpoint):
    return offset + amplitude / (1 + np.exp(-rate * (times - midpoint)))


def series(values, times=TIMES):
    return xr.DataArray(np.atleast_2d(values), dims=("network", "time"), coords={"time": times})


def drawn(networks, seed, noise):
    """Return parameters, and sigmoids of them with noise."""
    generator = np.random.default_rng(seed)
    parameters = np.stack(
        [
            generator.uniform(-1, 1, networks),
            generator.choice([-1, 1], networks) * generator.uniform(0.2, 0.8, networks),
            np.exp(generator.uniform(np.log(0.2), np.log(3), networks)),
            generator.uniform(5, 35, networks),
        ]
    )
    exact = logistic(TIMES, *parameters[:, :, None])
    return parameters, exact + noise * generator.standard_normal(exact.shape)


def test_sigmoids_are_found_to_rounding():
    parameters, values = drawn(300, 0, 0.0)
    fit = sigmoid_fit(series(values))
    for name, expected in zip(NAMES, parameters, strict=True):
        np.testing.assert_allclose(fit[name], expected, rtol=1e-9, atol=1e-11)
    assert fit.converged.all()
    assert fit.residual.max() < 1e-12
    np.testing.assert_allclose(fit.r2, 1.0, atol=1e-15)


@pytest.mark.parametrize("noise", [1e-8, 1e-4, 0.02])
def test_noisy_sigmoids_get_the_parameters_that_scipy_finds(noise):
    parameters, values = drawn(40, 1, noise)
    fit = sigmoid_fit(series(values))
    assert fit.converged.all()
    for row in range(40):
        best, covariance = optimize.curve_fit(
            logistic, TIMES, values[row], parameters[:, row], xtol=1e-15, ftol=1e-15, gtol=1e-15
        )
        found = np.array([fit[name].values[row] for name in NAMES])
        # Two searches for one minimum: apart by nothing that the noise would let anybody see.
        assert (np.abs(found - best) <= 1e-3 * np.sqrt(np.diag(covariance))).all()
        residual = np.sqrt(np.mean((logistic(TIMES, *best) - values[row]) ** 2))
        assert fit.residual.values[row] == pytest.approx(residual, rel=1e-9)
        assert fit.r2.values[row] == pytest.approx(1 - residual**2 / values[row].var(), abs=1e-12)


def test_no_start_of_scipy_finds_a_closer_sigmoid_to_the_error_of_a_mode():
    times = np.linspace(0, 60, 121)
    modes = [
        Mode(norm=1.7, frequency=0.3, start_margin=1e-3),
        Mode(norm=1.0, frequency=0.4, start_margin=0.02, imbalance=0.2),
    ]
    fit = sigmoid_fit(series([mode.soft_error(times) for mode in modes], times))
    assert fit.converged.all()
    for row, mode in enumerate(modes):
        error = mode.soft_error(times)
        found = []
        for rate in (0.1, 0.5, 2.0):
            for midpoint in (5.0, 15.0, 30.0):
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    best, _ = optimize.curve_fit(logistic, times, error, (0.5, -0.5, rate, midpoint), maxfev=20_000)
                    found.append(np.sqrt(np.mean((logistic(times, *best) - error) ** 2)))
        assert fit.residual.values[row] <= min(found) * (1 + 1e-9)
        # Its tail is slower than a logistic curve's: close to a sigmoid, and not one.
        assert 0.99 < fit.r2.values[row] < 0.9999


@given(st.floats(0.01, 100), st.sampled_from([-1, 1]), st.floats(-10, 10), st.floats(0.01, 100), st.floats(-50, 50))
def test_the_fit_moves_with_the_units_of_series_and_time(factor, sign, shift, stretch, delay):
    values = Mode(norm=1.5, frequency=0.4, start_margin=0.01).soft_error(TIMES)
    plain = sigmoid_fit(series(values))
    other = sigmoid_fit(series(sign * factor * values + shift, stretch * TIMES + delay))
    assert other.amplitude.item() == pytest.approx(sign * factor * plain.amplitude.item(), rel=1e-5)
    assert other.offset.item() == pytest.approx(sign * factor * plain.offset.item() + shift, rel=1e-5, abs=1e-5)
    assert other.rate.item() == pytest.approx(plain.rate.item() / stretch, rel=1e-5)
    assert other.midpoint.item() == pytest.approx(stretch * plain.midpoint.item() + delay, rel=1e-5, abs=1e-4)
    assert other.residual.item() == pytest.approx(factor * plain.residual.item(), rel=1e-6)


def test_records_that_crowd_at_early_times_do_not_hide_an_early_sigmoid():
    times = np.concatenate([[0], np.geomspace(1e-3, 1e3, 120)])
    values = np.array([logistic(times, 0.5, -0.4, 1 / middle, 5 * middle) for middle in (0.01, 0.3, 10.0)])
    fit = sigmoid_fit(series(values, times))
    np.testing.assert_allclose(fit.midpoint, [0.05, 1.5, 50], rtol=1e-9)
    np.testing.assert_allclose(fit.rate, [100, 1 / 0.3, 0.1], rtol=1e-9)


def test_a_midpoint_outside_the_records_is_found_where_they_bend_enough():
    values = np.array([logistic(TIMES, 0.1, 0.5, 0.15, middle) for middle in (-8.0, 48.0)])
    fit = sigmoid_fit(series(values))
    assert fit.converged.all()
    np.testing.assert_allclose(fit.midpoint, [-8, 48], rtol=1e-6)


def test_what_is_no_sigmoid_says_so():
    fit = sigmoid_fit(series([TIMES, np.sin(TIMES), np.full_like(TIMES, 0.3), np.where(TIMES > 30, np.nan, TIMES)]))
    assert not fit.converged[[0, 2, 3]].any()
    assert fit.r2[0] > 0.999
    assert fit.r2[1] < 0.2
    for name in (*NAMES, "residual", "r2"):
        assert np.isnan(fit[name][[2, 3]]).all()


def test_a_series_is_fitted_the_same_whatever_stands_beside_it(monkeypatch):
    _, values = drawn(60, 2, 0.01)
    together = sigmoid_fit(series(values))
    order = np.random.default_rng(3).permutation(60)
    xr.testing.assert_allclose(sigmoid_fit(series(values[order])), together.isel(network=order), rtol=1e-6)
    monkeypatch.setattr(sigmoid, "BLOCK", 7 * 4 * TIMES.size)
    xr.testing.assert_allclose(sigmoid_fit(series(values)), together, rtol=1e-6)


def test_dimensions_and_labels_stay():
    _, values = drawn(6, 4, 0.0)
    given = xr.DataArray(
        values.reshape(2, 3, -1).transpose(2, 0, 1),
        dims=("time", "network", "sample"),
        coords={"time": TIMES, "network": [4, 9], "labels": ("sample", [1, -1, 1])},
    )
    fit = sigmoid_fit(given)
    assert fit.rate.dims == ("network", "sample")
    assert set(fit.coords) == {"network", "labels"}
    np.testing.assert_array_equal(fit.rate.values.ravel(), sigmoid_fit(series(values)).rate)


def test_other_models_are_fitted_as_scipy_fits_them():
    generator = np.random.default_rng(5)
    start = np.array([[1.0, 0.3, 0.0]] * 20)
    targets = 2 * np.exp(-0.1 * TIMES) + 0.5 + 0.05 * generator.standard_normal((20, TIMES.size))

    def decay(parameters):
        height, rate, base = (column[:, None] for column in parameters.T)
        fallen = np.exp(-rate * TIMES)
        return height * fallen + base, np.stack([fallen, -TIMES * height * fallen, np.ones_like(fallen)], axis=-1)

    found = least_squares(decay, start, targets)
    assert found.converged.all()
    for row in range(20):
        told = optimize.least_squares(
            lambda p, row=row: decay(p[None])[0][0] - targets[row], start[row], method="lm", xtol=1e-15, ftol=1e-15
        )
        np.testing.assert_allclose(found.parameters[row], told.x, rtol=1e-6)
        assert found.squares[row] == pytest.approx(2 * told.cost, rel=1e-12)


def test_a_search_that_is_cut_short_has_not_converged():
    _, values = drawn(5, 6, 0.02)

    def flat(parameters):
        rate, middle = parameters[:, :1], parameters[:, 1:]
        share = 1 / (1 + np.exp(-rate * (TIMES - middle)))
        slope = share * (1 - share)
        return share, np.stack([slope * (TIMES - middle), -slope * rate], axis=-1)

    assert not least_squares(flat, np.array([[0.1, 20.0]] * 5), values, steps=2).converged.any()


def test_a_series_of_four_records_is_refused():
    with pytest.raises(ValueError, match="series must have at least 5 times, got 4"):
        sigmoid_fit(series(np.arange(4.0), np.arange(4.0)))
