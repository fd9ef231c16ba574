"""Blocks on the workers of dask.distributed: the same bits, few in flight, whoever is lost on the way."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray
from distributed import Client, LocalCluster

import shoal
from shoal.sweep import cluster
from shoal.sweep.cluster import A_SLOT, elsewhere, pack, unpack
from shoal.sweep.plan import Block, Plan
from support import python
from test_sweep import GRID, METHOD, NETWORK, RAW, RECORDS, REDUCED, START, TASK, assert_same, swept


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    """Return the client of two workers, processes of one thread each; tests that kill them stand last."""
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0", silence_logs=50
        ) as cluster,
        Client(cluster) as made,
    ):
        yield made


def plan_of(**changed: Any) -> Plan:
    """Return the plan of the small sweep of GRID."""
    told: dict[str, Any] = {
        "network": NETWORK, "task": TASK, "init": START, "method": METHOD, "networks": 700, "record": REDUCED,
        "loss": "cross_entropy", "weight_decay": 0.0, "spectral_decoupling": 0.0, "seed": 0, "first_network": 0,
        "condense": "auto", "dtype": "float64", "over": GRID, "block": 256,
    }  # fmt: skip
    return Plan.of(**{**told, **changed})


@RECORDS
def test_workers_give_the_bits_of_this_process(tmp_path: Path, record: shoal.Record, client: Client) -> None:
    """And nothing stays on them; progress counts blocks, and grows to the whole."""
    told: list[tuple[int, int]] = []
    data = swept(tmp_path / "far", record, over=GRID, client=client, progress=lambda *done: told.append(done))
    assert_same(swept(tmp_path / "near", record, over=GRID), data)
    assert data.attrs["complete"] == 1
    assert told == sorted(told)
    assert (told[0], told[-1], len(told)) == ((0, 56_000), (56_000, 56_000), 1 + 4 * len(plan_of(record=record).ranges))
    assert not client.futures
    xarray.testing.assert_identical(swept(None, record, over=GRID, client=client), data.load())
    again: list[int] = []
    assert_same(data, swept(tmp_path / "far", record, over=GRID, client=client, progress=lambda *d: again.append(d[0])))
    assert again == [56_000]


@pytest.mark.parametrize(
    "changed",
    [
        {"method": shoal.GradientFlow(t_end=2.0), "record": shoal.Record(times=[0, 1, 2], reduce="moments")},
        {"dtype": "float32"},
        {"block": 512, "threads": 2},
    ],
    ids=["flow", "float32", "threads"],
)
def test_workers_train_whatever_can_be_swept(tmp_path: Path, client: Client, changed: dict[str, Any]) -> None:
    """A gradient flow, single precision, and several threads per block."""
    here = swept(tmp_path / "near", **changed)
    assert_same(here, swept(tmp_path / "far", client=client, **changed))


def test_an_error_in_a_block_comes_out_with_its_name(tmp_path: Path, client: Client) -> None:
    """At once, as it was raised, and the blocks that were written stay."""
    client.run(_replace_training, with_name="_fail")
    try:
        with pytest.raises(ArithmeticError, match="told to fail") as caught:
            swept(tmp_path / "s", over=GRID, client=client)
    finally:
        client.run(_replace_training, with_name="trained")
    assert caught.value.__notes__ == ["in block 1 (networks 256 to 511) at init.std=0.1, network.width=5"]
    assert not client.futures
    networks = shoal.open_sweep(tmp_path / "s").networks.sel({"init.std": 0.1, "network.width": 5})
    assert int(networks) <= 700 - 256
    assert_same(swept(tmp_path / "near", over=GRID), swept(tmp_path / "s", over=GRID, client=client))


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("told to stop")])
def test_what_progress_raises_takes_back_what_is_in_flight(
    tmp_path: Path, client: Client, error: BaseException
) -> None:
    """Ctrl-C: nothing more is sent, nothing is left on the cluster, and the sweep goes on later."""

    def progress(done: int, total: int) -> None:
        if done >= total / 4:
            raise error

    with pytest.raises(type(error)):
        swept(tmp_path / "s", RAW, over=GRID, client=client, progress=progress)
    assert not client.futures
    assert shoal.open_sweep(tmp_path / "s").attrs["complete"] == 0
    assert_same(swept(tmp_path / "near", RAW, over=GRID), swept(tmp_path / "s", RAW, over=GRID, client=client))


def test_few_blocks_are_in_flight(client: Client) -> None:
    """Two a thread of the workers, those that have come back and are not written yet among them."""
    plan = plan_of(networks=16 * 256)
    sent, most, back = [0], [0], 0

    def counted() -> Iterator[Block]:
        for block in plan.blocks(np.zeros((4, len(plan.ranges)), np.bool_)):
            sent[0] += 1
            most[0] = max(most[0], sent[0] - back)
            yield block

    with contextlib.closing(elsewhere(client, 0, 1, None)(plan, counted())) as trained:
        for _ in trained:
            back += 1
            assert len(client.futures) <= A_SLOT * 2
    assert sent[0] == back == sum(1 for _ in plan.blocks(np.zeros((4, len(plan.ranges)), np.bool_))) > 20
    assert most[0] == A_SLOT * 2


def test_an_explicit_start_sends_each_block_its_rows(tmp_path: Path, client: Client, generator: Any) -> None:
    """And not the whole with each: a block's message is no larger for more networks."""
    weights = [generator.standard_normal((700, 4, 2)), generator.standard_normal((700, 1, 4))]
    told: dict[str, Any] = {"init": shoal.Explicit(weights), "over": {"method.learning_rate": [0.1, 0.2]}}
    for record in (RAW, REDUCED):
        name = "raw" if record is RAW else "reduced"
        near = swept(tmp_path / f"near_{name}", record, **told)
        assert_same(near, swept(tmp_path / f"far_{name}", record, client=client, **told))


def test_each_block_gets_its_learning_rates(tmp_path: Path, client: Client, generator: Any) -> None:
    """Those of its networks, beside the rows of given weights or without them."""
    weights = [generator.standard_normal((700, 4, 2)), generator.standard_normal((700, 1, 4))]
    rates = generator.uniform(0.01, 0.4, (2, 700))
    told: dict[str, Any] = {"method": shoal.GradientDescent(rates[0], 20, stop="fitted"), "first_network": 512}
    for record in (RAW, REDUCED):
        for init in (START, shoal.Explicit(weights)):
            near = swept(None, record, init=init, over={"method.learning_rate": rates}, **told)
            far = swept(None, record, init=init, over={"method.learning_rate": rates}, client=client, **told)
            xarray.testing.assert_identical(near, far)
            assert_same(near, far)
            alone = shoal.train(NETWORK, TASK, init, record=record, **told).drop_vars("training", errors="ignore")
            assert_same(alone, far.isel({"method.learning_rate": 0}))


def test_large_arrays_stand_apart() -> None:
    """So that they are sent once; the training is the same with them back in place."""
    task = shoal.tasks.gaussian(300, 40, separation=2.0)
    run = plan_of(network=shoal.Network((40, 4, 1)), task=task, over=None).runs[0]
    pickled, arrays = pack(run)
    assert sum(array.nbytes for array in arrays) >= task.inputs.nbytes
    assert len(pickled) < 20_000
    one, other = (run.merged(0, 256, 1, None) for run in (run, unpack(pickled, arrays)))
    for name, array in one.sums.items():
        assert array.tobytes() == other.sums[name].tobytes()


def test_workers_with_other_bits_are_refused(tmp_path: Path, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """By their address, before anything is made: without fused multiply-add, and of another version."""
    address = re.escape(next(iter(client.nthreads())))
    here = cluster.Worker.here()
    for there, message in (
        (dataclasses.replace(here, isa="baseline"), "runs baseline, got .* without fused multiply-add"),
        (dataclasses.replace(here, version="9.9"), r"with shoal 9.9, as here, got .* its bits may differ"),
    ):
        with monkeypatch.context() as patched:
            patched.setattr(cluster.Worker, "here", lambda there=there: there)
            with pytest.raises(ValueError, match=message) as caught:
                swept(tmp_path / "s", over=GRID, client=client)
            assert re.search(f"(at|at ){address}" if "9.9" in message else address, str(caught.value))
            # One that joins later is refused by its first block.
            with (
                pytest.raises(ValueError, match=message),
                contextlib.closing(
                    elsewhere(client, 0, 1, None)(plan := plan_of(), plan.blocks(np.zeros((4, 3), np.bool_)))
                ) as trained,
            ):
                next(trained)
    assert not list(tmp_path.iterdir())


def test_a_block_that_is_too_large_for_a_worker(
    tmp_path: Path, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Is refused before anything is made, by the worker's memory and not that of this process."""
    client.run(_set_memory, 2**20)
    try:
        with pytest.raises(
            ValueError, match=r"block=1048576 is too large for the worker tcp://.*, 1 at once: .* needs"
        ):
            swept(tmp_path / "s", RAW, networks=2**20, block=2**20, client=client)
    finally:
        client.run(_set_memory, None)
    assert not list(tmp_path.iterdir())


def test_what_is_no_client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says what is wanted, or what to install."""
    with pytest.raises(TypeError, match=r"client must be a distributed.Client, got 3 of type int"):
        swept(tmp_path / "s", client=3)
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ImportError, match=r"pip install 'shoal\[cluster\]'"):
        swept(tmp_path / "s", client=3)
    assert not list(tmp_path.iterdir())


def test_without_a_client_nothing_of_dask_is_imported(tmp_path: Path) -> None:
    """Not by shoal, and not by a sweep."""
    code = """
import sys
from pathlib import Path
import shoal, test_sweep
test_sweep.swept(Path(sys.argv[1]))
print([name for name in sys.modules if name.partition(".")[0] in ("distributed", "tornado")])
"""
    done = python(["-c", code, str(tmp_path / "s")])
    assert done.stdout == "[]\n", done.stderr


def test_a_worker_that_is_killed_loses_nothing(tmp_path: Path, client: Client) -> None:
    """SIGKILL in the middle: its blocks are trained by the other, or by the one that takes its place."""
    task = shoal.tasks.gaussian(300, 40, separation=2.0)  # whose inputs are large enough to stand apart
    told: dict[str, Any] = {"network": shoal.Network((40, 4, 1)), "task": task, "over": {"init.std": [0.1, 0.4]}}
    told |= {"networks": 4096, "block": 256, "record": shoal.Record(steps=[0, 20], reduce="moments")}
    killed: list[int] = []

    def progress(done: int, total: int) -> None:
        if done >= total / 4 and not killed:
            killed.append(next(iter(client.run(os.getpid).values())))
            os.kill(killed[0], signal.SIGKILL)

    data = swept(tmp_path / "far", client=client, progress=progress, **told)
    assert killed
    assert killed[0] not in client.run(os.getpid).values()
    assert data.attrs["complete"] == 1
    assert_same(swept(tmp_path / "near", **told), data)


def test_a_block_that_takes_its_workers_with_it(tmp_path: Path, client: Client) -> None:
    """Is given up after as many as dask allows, by its name, and not tried for ever; the sweep goes on later."""
    client.wait_for_workers(2, timeout=60)
    client.run_on_scheduler(_allow, failures=0)
    client.run(_replace_training, with_name="_die")
    with pytest.raises(RuntimeError, match=r"^block \d \(networks \d+ to \d+\) at init.std=.*: each of the workers"):
        swept(tmp_path / "s", over=GRID, client=client)
    assert shoal.open_sweep(tmp_path / "s").attrs["complete"] == 0
    assert_same(swept(tmp_path / "near", over=GRID), swept(tmp_path / "s", over=GRID))


def _replace_training(with_name: str) -> None:
    """Put another function in the place of what trains a block; on a worker."""
    import test_sweep_cluster
    from shoal.sweep import cluster, plan

    cluster.trained = plan.trained if with_name == "trained" else getattr(test_sweep_cluster, with_name)


def _fail(run: Any, begin: int, end: int, *rest: Any) -> Any:
    """Train, but for one block."""
    from shoal.sweep.plan import trained

    given = run.training
    if given.first_network == 256 and given.network.widths[1] == 5 and given.init.std == 0.1:
        raise ArithmeticError("told to fail")
    return trained(run, begin, end, *rest)


def _die(*_: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _allow(failures: int, dask_scheduler: Any) -> None:
    dask_scheduler.allowed_failures = failures


def _set_memory(available: int | None) -> None:
    """Have a worker say that it has so much memory; None for what it has."""
    from shoal.engine import memory

    if not hasattr(memory, "true_bytes"):
        memory.true_bytes = memory.available_bytes
    memory.available_bytes = memory.true_bytes if available is None else lambda: available
