"""Blocks of a sweep on the workers of dask.distributed: sent a few at a time, trained there, written here.

A block needs its training, pickled, and its range. Arrays of tasks may be large and are the same for many blocks. They
are dask tasks of their own, so that each reaches a worker once, and again another worker when that one is lost.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import pickle
import uuid
from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from shoal.engine import memory, room
from shoal.engine.run import Progress, Run
from shoal.spec.encoding import digest_of
from shoal.sweep.plan import Block, Execute, Plan, Result, trained
from shoal.version import VERSION

if TYPE_CHECKING:
    from distributed import Client, Future

A_SLOT = 2
"""Blocks in flight per thread of the workers: one that is trained and one that waits."""
_LOOK = 5.0  # seconds between two looks for new workers while no block ends
_APART = 2**16  # bytes of an array from which on it is a dask task of its own


@dataclass(frozen=True)
class Worker:
    """Version and instruction set of a worker, which decide on its bits, and the bytes that it can take."""

    version: str
    isa: str
    available: int | None = None

    @classmethod
    def here(cls) -> Worker:
        """Return those of this process."""
        from shoal import _core

        return cls(VERSION, _core.isa, memory.available_bytes())

    def check(self, other: Worker, address: str) -> None:
        """Raise a ValueError if a worker may give other bits than this process."""
        if other.version != self.version:
            raise ValueError(
                f"client must have workers with shoal {self.version}, as here, got {other.version} at {address}: "
                "its bits may differ"
            )
        if other.isa != self.isa and "baseline" in (other.isa, self.isa):
            raise ValueError(
                f"client must have workers with the bits of this process, which runs {self.isa}, got {other.isa} at "
                f"{address}: without fused multiply-add bits are others"
            )


def check(client: object, plan: Plan, threads: int) -> None:
    """Raise the errors of ``sweep`` for a wrong client, and for workers that cannot train this."""
    try:
        import distributed
    except ImportError as error:
        raise ImportError("client needs dask.distributed: pip install 'shoal[cluster]'") from error
    if not isinstance(client, distributed.Client):
        raise TypeError(f"client must be a distributed.Client, got {client!r:.200} of type {type(client).__name__}")
    if client.asynchronous:
        raise TypeError("client must not be asynchronous: make it by Client(..., asynchronous=False)")
    if client.status != "running":
        raise ValueError(f"client must be connected, got one that is {client.status}")
    here, slots = Worker.here(), client.nthreads()
    for address, there in client.run(_about, on_error="return").items():
        if not isinstance(there, Worker):
            raise ValueError(f"client must have workers that can import shoal {VERSION}, got at {address}: {there!r}")
        here.check(there, address)
        if there.available is not None:
            at_once = max(1, slots.get(address, 1))  # a worker trains as many blocks as it has threads
            plan.require(threads, there.available // at_once, f"the worker {address}, {at_once} at once")


def elsewhere(client: Client, before: int, threads: int, progress: Progress | None) -> Execute:
    """Return the function that trains blocks on the workers, each on ``threads``; ``before`` is the work done already.

    Blocks come back as they end. At most ``A_SLOT`` per thread of the workers are in flight, those that have ended and
    are not written yet among them.
    """
    import distributed

    def execute(plan: Plan, blocks: Iterable[Block]) -> Generator[tuple[Block, Result], None, None]:
        sender, waiting, done = _Sender(client, plan, threads), iter(blocks), before
        sent: dict[Future[Result], Block] = {}
        if progress is not None:
            progress(done, plan.total_work)
        try:
            while True:
                most = A_SLOT * max(1, sum(client.nthreads().values()))
                sent |= {sender.send(block): block for block in itertools.islice(waiting, max(0, most - len(sent)))}
                if not sent:
                    break
                # Cancelled and failed blocks have ended, too: their results say so.
                with contextlib.suppress(distributed.TimeoutError, distributed.CancelledError):
                    distributed.wait(list(sent), timeout=_LOOK, return_when="FIRST_COMPLETED")
                for future in [future for future in sent if future.done()]:
                    block = sent.pop(future)
                    yield block, _result(future, plan.told_of(block))
                    done += plan.work(block)
                    if progress is not None:
                        progress(done, plan.total_work)
        finally:  # a block that is being trained continues to its end
            held = [*sent, *sender.apart.values()]
            if held and client.status == "running":
                client.cancel(held, force=True)

    return execute


class _Sender:
    """Sends blocks to workers, and each large array that they need once."""

    def __init__(self, client: Client, plan: Plan, threads: int) -> None:
        self.client, self.plan, self.threads = client, plan, threads
        self.apart: dict[str, Future[NDArray[Any]]] = {}
        self.condition, self.packed = -1, (b"", [""])
        self.name = f"shoal-{uuid.uuid4().hex[:12]}"

    def send(self, block: Block) -> Future[Result]:
        run = self.plan.runs[block.condition]
        if self.condition != block.condition:  # blocks come condition by condition
            self.condition, self.packed = block.condition, self._pack(run)
        pickled, names = self.packed
        part = run.training.part(block.begin, block.end)  # of given arrays a block needs its own rows only
        return self.client.submit(
            train_block,
            pickled,
            {name: getattr(part, name) for name in ("first_network", "networks", "init", "method")},
            self.threads,
            Worker.here(),
            *(self.apart[name] for name in names),
            key=f"{self.name}-block-{block.condition}-{block.number}",
            pure=False,
        )

    def _pack(self, run: Run) -> tuple[bytes, list[str]]:
        """Return a training without its large arrays, and their names; send workers those that are new."""
        import dask

        pickled, arrays = pack(run.part(0, 1))
        names = [digest_of(array) for array in arrays]
        for name, array in zip(names, arrays, strict=True):
            if name not in self.apart:
                # Not scattered: a scattered array is gone with its worker, and this one is made again.
                with dask.config.set({"distributed.admin.large-graph-warning-threshold": f"{2 * array.nbytes} B"}):
                    self.apart[name] = self.client.submit(np.asarray, array, key=f"{self.name}-{name}", pure=False)
        return pickled, names


def _result(future: Future[Result], told: str) -> Result:
    """Return the arrays of a block, which its worker no longer keeps; an error of the training has it as its note."""
    import distributed
    from distributed.scheduler import KilledWorker

    try:
        return future.result()  # type: ignore[no-any-return, unused-ignore]
    except KilledWorker as error:
        raise RuntimeError(
            f"{told}: each of the workers that trained it was lost, the last at {error.last_worker.address}; it may "
            "need more memory than they have (distributed.scheduler.allowed-failures says how many may be lost)"
        ) from error
    except distributed.CancelledError as error:
        raise RuntimeError(f"{told}: it was taken from the cluster, which was closed or begun anew") from error
    except Exception as error:
        error.add_note(f"in {told}")
        raise
    finally:
        future.release()


def train_block(
    pickled: bytes,
    own: Mapping[str, Any],
    threads: int,
    caller: Worker,
    *arrays: NDArray[Any],
) -> Result:
    """Train a block on a worker, whose networks have these fields of their ``own``, and return its arrays."""
    import distributed

    caller.check(Worker.here(), distributed.get_worker().address)  # it may have joined since the sweep began
    run = unpack(pickled, arrays)
    run = dataclasses.replace(run, training=dataclasses.replace(run.training, **own))
    room.require(run, run.training.networks, threads)
    return trained(run, 0, run.training.networks, threads, None)


def pack(run: Run) -> tuple[bytes, list[NDArray[Any]]]:
    """Return a pickled training without its large arrays, and the bytes of these."""
    arrays: list[NDArray[Any]] = []

    def stays(buffer: pickle.PickleBuffer) -> bool:
        small = buffer.raw().nbytes < _APART
        if not small:
            arrays.append(np.frombuffer(buffer.raw(), np.uint8))
        return small

    return pickle.dumps(run, protocol=5, buffer_callback=stays), arrays


def unpack(pickled: bytes, arrays: Iterable[NDArray[Any]]) -> Run:
    """Return the training of which ``pack`` returned this."""
    run: Run = pickle.loads(pickled, buffers=arrays)
    return run


def _about() -> Worker:
    return Worker.here()
