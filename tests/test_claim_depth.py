"""The claim `depth`: it passes, and fails under a theory that is three percent off or of another depth."""

import numpy as np
import pytest
import xarray as xr

from shoal import theory
from shoal.claims.claim import Setting
from shoal.claims.learning_dynamics import depth
from shoal.claims.trial import Trial
from support import can_be_read_back, is_labelled, passes

SETTING = Setting(networks=3, seed=3, quick=True)


def verdicts(outcome):
    return {row.statement: row.comparison.verdict for row in outcome.rows}


@pytest.fixture(scope="module")
def outcome():
    return depth.depth.run(SETTING)


def test_it_passes(outcome):
    passes(outcome)


def test_what_is_saved_can_be_read_back_and_the_figure_is_labelled(outcome, tmp_path):
    can_be_read_back(outcome, tmp_path)
    is_labelled(outcome.figure)


def test_it_repeats_itself_bit_for_bit(outcome):
    xr.testing.assert_identical(depth.depth.run(Setting(networks=3, seed=3, quick=True, threads=1)).data, outcome.data)


def test_the_first_network_takes_the_times_of_the_theory_book(outcome):
    """From initial margin 0.01 to margin 4, by mpmath (theory book, chapter 4)."""
    times = outcome.data["cross_entropy_margin_arrival"].sel(level=4.0, layers=[1, 2, 3, 4, 6]).values[:, 0]
    assert times == pytest.approx([33.20536324, 14.52954337, 14.61092244, 15.98228073, 17.35620491], rel=1e-6)


def test_which_depth_is_first_depends_on_what_is_held_fixed(outcome):
    """One layer is first to margin 1; to margin 4 two layers from equal margins, three from equal weights."""
    data = outcome.data.isel(mode=0)
    for kind, first in (("margin", 2), ("weights", 3)):
        times = data[f"cross_entropy_{kind}_arrival"]
        assert np.argmin(times.sel(level=1.0).values) + 1 == 1
        assert np.argmin(times.sel(level=4.0).values) + 1 == first


def test_it_fails_when_norms_are_off_by_three_percent(monkeypatch):
    true_mode, true_chain = theory.Mode, theory.Chain
    monkeypatch.setattr(theory, "Mode", lambda **given: true_mode(**(given | {"norm": 1.03 * given["norm"]})))
    monkeypatch.setattr(
        theory, "Chain", lambda layers, **given: true_chain(layers, **(given | {"norm": 1.03 * given["norm"]}))
    )
    found = verdicts(depth.depth.run(SETTING))
    # Which depth is first does not change with a norm that is a little off.
    assert {statement for statement, verdict in found.items() if verdict == "PASS"} <= {
        "fraction of arrivals at which another depth than theory's is first"
    }


def test_the_order_of_depths_fails_when_theory_takes_two_depths_for_each_other():
    initial = depth.draw_margins(3, 3)["margin"]
    trained = depth.Trained.at_every_depth(Trial(SETTING), initial, "cross_entropy")
    assert depth.first({("cross_entropy", "margin"): trained}).verdict == "PASS"
    swapped = trained._replace(formula=trained.formula[..., [1, 0, 2, 3, 4, 5]])
    assert depth.first({("cross_entropy", "margin"): swapped}).verdict == "FAIL"


@pytest.mark.parametrize("layers", depth.DEPTHS)
def test_chains_have_the_margins_that_are_asked_for_and_modes_that_do_not_touch(layers, generator):
    margins = np.exp(generator.normal(-3, 1, (4, 2)))
    weights = depth.chains(depth.balanced_strengths(margins, layers), generator).weights
    hidden = depth.TASK.inputs.T[None]
    for at, weight in enumerate(weights):
        hidden = weight @ hidden
        if at < layers - 1:
            hidden = np.maximum(hidden, 0)
            active = hidden > 0
            assert active.sum() == 4 * 2 * depth.UNITS
            assert not active.all(axis=2).any()
    assert hidden[:, 0] * depth.TASK.labels == pytest.approx(margins)
