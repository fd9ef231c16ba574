"""Statistics have the same bits however the networks are cut, as long as cuts follow the tree of their indices."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import shoal
from shoal.engine import merged
from shoal.engine.merged import Cut, Merged, together
from shoal.engine.run import Run

CELL, NETWORKS = 256, 2900
EPS = float(np.finfo(np.float64).eps)


def run(**changed: Any) -> Run:
    """Return a training of eleven cells and parts of two, some networks of which stop and some diverge."""
    weights = [np.random.default_rng(7).standard_normal((NETWORKS, *shape)) for shape in ((3, 2), (1, 3))]
    weights[0][::91] *= 1e5
    given: dict[str, Any] = {
        "network": shoal.Network((2, 3, 1)),
        "task": shoal.tasks.modes((1.7, 0.9)),
        "init": shoal.Explicit(weights),
        "method": shoal.GradientDescent(0.05, 6, stop=("fitted", "dead")),
        "loss": "exponential",
        "record": shoal.Record(
            steps=[0, 6],
            measure=("loss", "error", "margin"),
            reduce=shoal.Statistics(
                covariance=(("loss", "error"),), events=("error > 0",), distribution=("margin",), resolution=1
            ),
        ),
        "networks": NETWORKS,
        "seed": 5,
        "first_network": 77,
        **changed,
    }
    return Run.of(shoal.Training(**given))


RUN = run()
WHOLE = RUN.merged(0, NETWORKS, 1, None)


def same(one: Merged, other: Merged) -> None:
    """Assert that two nodes have the same place and the same bits."""
    assert (one.first, one.level, one.pairs) == (other.first, other.level, other.pairs)
    for part in ("sums", "counts"):
        arrays, others = getattr(one, part), getattr(other, part)
        assert set(arrays) == set(others)
        for name, array in arrays.items():
            assert array.dtype == others[name].dtype, name
            assert array.shape == others[name].shape, name
            assert array.tobytes() == others[name].tobytes(), name


def test_the_run_that_is_cut_stops_and_loses_networks() -> None:
    assert RUN.cut.cell == CELL
    assert (WHOLE.counts["status"][[0, 1, 3]] > 0).all()
    assert WHOLE.counts["status"].sum() == NETWORKS
    assert WHOLE.sums["kept"][0] == NETWORKS - WHOLE.counts["status"][1]


@st.composite
def branches(draw: st.DrawFn, level: int = 4, number: int = 0) -> list[tuple[int, int]]:
    """Return ranges of networks, each a branch of the tree, that make up the whole, cut down to the run."""
    size = CELL << level
    begin, end = (min(max(size * i - RUN.training.first_network, 0), NETWORKS) for i in (number, number + 1))
    if begin == end:
        return []
    if level == 0 or not draw(st.integers(0, 3)):
        return [(begin, end)]
    return [part for half in (0, 1) for part in draw(branches(level - 1, 2 * number + half))]


@settings(max_examples=30)
@given(ranges=branches(), threads=st.sampled_from([1, 2, 5]))
def test_no_bit_depends_on_how_the_networks_are_cut(ranges: list[tuple[int, int]], threads: int) -> None:
    same(together([RUN.merged(begin, end, threads, None) for begin, end in ranges]), WHOLE)


@pytest.mark.parametrize("level", [0, 1, 2, 3])
def test_no_bit_depends_on_the_size_of_equal_blocks(level: int) -> None:
    size = CELL << level
    ends = [0, *(end for end in range(size - RUN.training.first_network, NETWORKS, size)), NETWORKS]
    same(together([RUN.merged(ends[i], ends[i + 1], 2, None) for i in range(len(ends) - 1)]), WHOLE)


def test_a_part_that_is_no_branch_of_the_tree_is_refused_beside_its_neighbour() -> None:
    """Cells 1 to 11 are merged among each other: cell 0 would have had to come between them."""
    parts = [RUN.merged(0, CELL - 77, 1, None), RUN.merged(CELL - 77, NETWORKS, 1, None)]
    with pytest.raises(ValueError, match="share no cell, got cells to 1, then from 0"):
        together(parts)


@pytest.mark.parametrize("call", [1, 2, 8])
def test_no_bit_depends_on_the_calls_of_the_core(call: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merged, "_MOST_CALL", call)
    monkeypatch.setattr(merged, "_MOST_CELLS", call)
    cut = run()
    assert cut.cut.call == call
    same(cut.merged(0, NETWORKS, 2, None), WHOLE)


def test_parts_may_be_merged_in_steps_and_come_from_elsewhere() -> None:
    ends = [0, *(4 * CELL * i - RUN.training.first_network for i in (1, 2)), NETWORKS]
    parts = [RUN.merged(ends[i], ends[i + 1], 1, None) for i in range(3)]
    travelled = [pickle.loads(pickle.dumps(part)) for part in parts]
    same(together([together(travelled[:2]), travelled[2]]), WHOLE)
    assert RUN.of_merged(together(travelled)).identical(RUN.dataset(2, None))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.usefixtures("engine")
def test_neither_engine_nor_dtype_changes_that(dtype: str) -> None:
    changed = {"init": shoal.Gaussian(0.5), "networks": 700, "dtype": dtype}
    one = run(**changed)
    whole = one.merged(0, 700, 1, None)
    parts = [one.merged(begin, end, 5, None) for begin, end in ((0, 179), (179, 435), (435, 700))]
    same(together(parts), whole)


def test_a_range_with_gaps_has_the_statistics_of_the_networks_in_it() -> None:
    ranges = [(0, 179), (CELL * 3 - 77, CELL * 4 - 77), (CELL * 8 - 77, NETWORKS)]
    found = together([RUN.merged(begin, end, 2, None) for begin, end in ranges])
    raw = run(record=shoal.Record(steps=[0, 6], measure=("loss", "error", "margin")))
    index = np.concatenate([np.arange(*ends) for ends in ranges])
    arrays = raw.arrays(0, NETWORKS, 2, None)
    kept = index[arrays["status"][index] != 1]
    assert found.sums["kept"][0] == len(kept)
    assert found.counts["status"].sum() == len(index)
    for name in ("loss", "margin"):
        mean, squares, least, most = found.sums[name][0]
        values = arrays[name][kept]
        size = float(np.abs(values).max())
        bound = 2 * len(kept) * EPS * size
        np.testing.assert_allclose(mean, values.mean(axis=0), rtol=0, atol=bound)
        direct = ((values - values.mean(axis=0)) ** 2).sum(axis=0)
        np.testing.assert_allclose(squares, direct, rtol=0, atol=4 * len(kept) * bound * size)
        np.testing.assert_array_equal(least, values.min(axis=0))
        np.testing.assert_array_equal(most, values.max(axis=0))
    np.testing.assert_array_equal(found.counts["event_0"], (~(arrays["error"][index] <= 0)).sum(axis=0))


def test_parts_that_share_a_cell_or_are_out_of_order_are_refused() -> None:
    ends = [0, CELL - 77, 2 * CELL - 77, 2 * CELL]
    one, two, three = (RUN.merged(ends[i], ends[i + 1], 1, None) for i in range(3))
    inside = RUN.merged(CELL - 77 + 5, 2 * CELL - 77, 1, None)
    for parts in ([two, one], [one, three, two], [one, two, inside], [two, two]):
        with pytest.raises(ValueError, match="parts must be branches of the tree in order, which share no cell"):
            together(parts)
    with pytest.raises(ValueError, match="parts must hold at least one, got none"):
        together([])
    same(together([one, two, three]), RUN.merged(0, 2 * CELL, 1, None))


@pytest.mark.parametrize("at", [[0], [599], [3, 300], [300, 599], [0, 300, 599]])
def test_an_infinite_test_loss_makes_an_infinite_mean_wherever_it_is(at: list[int]) -> None:
    weights = np.full((600, 1, 1), 0.5)
    weights[at] = -800.0  # exp(800)
    data = shoal.train(
        shoal.Network((1, 1)),
        shoal.Task([[1e-3]], [1], test=([[1]], [1])),  # of what is learnt the loss is finite
        shoal.Explicit([weights]),
        method=shoal.GradientDescent(0.1, 0),
        loss="exponential",
        record=shoal.Record(steps=[0], measure=("test_loss",), reduce="moments"),
    )
    assert int(data.diverged) == 0
    loss = data.test_loss.isel(time=0)
    assert loss.sel(statistic="mean") == np.inf
    assert loss.sel(statistic="max") == np.inf
    assert loss.sel(statistic="min") == np.exp(-0.5)
    assert np.isnan(loss.sel(statistic="variance"))


@given(numbers=st.integers(0, 2**40))
def test_a_cut_follows_from_how_much_is_recorded(numbers: int) -> None:
    cut = Cut.of(numbers)
    for size in (cut.cell, cut.stretch, cut.call):
        assert size >= 1
        assert size & (size - 1) == 0
    assert 16 <= cut.cell <= 256
    assert cut.cell == 16 or cut.cell * numbers <= 2**21
