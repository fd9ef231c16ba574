"""Blocks of a sweep on the workers of dask.distributed: sent a few at a time, trained there, written here.

What a block needs is its training, pickled, and its range. Arrays of tasks may be large and are the same for many
blocks: they stand apart, in dask tasks of their own, so that each reaches a worker once and is there again for another
worker when the one that had it is lost.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import pickle
import uuid
from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from shoal.engine import memory, room
from shoal.engine.run import Progress, Run
from shoal.spec.encoding import digest_of
from shoal.spec.init import Explicit
from shoal.spec.training import Training
from shoal.sweep.plan import Block, Execute, Plan, Result, trained
from shoal.version import VERSION

if TYPE_CHECKING:
    from distributed import Client, Future

A_SLOT = 2
"""Blocks in flight for each thread of the workers: one that is trained and one that waits."""
_LOOK = 5.0  # seconds after which is looked for new workers while no block ends
_APART = 2**16  # bytes from which on an array stands apart


@dataclass(frozen=True)
class Worker:
    """What decides whether a worker gives the same bits, and the bytes that it can take."""

    version: str
    isa: str
    available: int | None = None

    @classmethod
    def here(cls) -> Worker:
        """Return what this process is."""
        from shoal import _core

        return cls(VERSION, _core.isa, memory.available_bytes())

    def check(self, other: Worker, address: str) -> None:
        """Raise a ValueError where a worker may give other bits than this process."""
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
    """Refuse what is no client, and workers that cannot train this.

    Raises
    ------
    ImportError
        ``distributed`` is not installed.
    TypeError
        Not a client, or one for coroutines.
    ValueError
        A client that is closed; a worker without shoal, with another version or without fused multiply-add; a block
        that needs more memory than a worker has.
    """
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
    """Return what trains blocks on the workers, each on ``threads`` of them; ``before`` is the work done already.

    Blocks come back as they end. No more are in flight than ``A_SLOT`` for each thread of the workers, those that have
    ended and are not written yet among them.
    """

    def execute(plan: Plan, blocks: Iterable[Block]) -> Generator[tuple[Block, Result], None, None]:
        flight = _Flight(client, plan, threads)
        waiting, done = iter(blocks), before
        if progress is not None:
            progress(done, plan.total_work)
        try:
            while flight.filled(waiting):
                for future in flight.ended():
                    block = flight.sent.pop(future)
                    yield block, _result(future, plan.told_of(block))
                    done += plan.work(block)
                    if progress is not None:
                        progress(done, plan.total_work)
        finally:
            flight.cancel()

    return execute


@dataclass
class _Flight:
    """The blocks that workers have, and what they need beside them."""

    client: Client
    plan: Plan
    threads: int
    sent: dict[Future[Result], Block] = field(default_factory=dict)
    apart: dict[str, Future[NDArray[Any]]] = field(default_factory=dict)
    packed: tuple[int, bytes, list[str]] = (-1, b"", [])
    name: str = field(default_factory=lambda: f"shoal-{uuid.uuid4().hex[:12]}")

    def filled(self, waiting: Iterable[Block]) -> bool:
        """Send as many blocks as may be in flight; return whether any are."""
        most = A_SLOT * max(1, sum(self.client.nthreads().values()))
        while len(self.sent) < most:
            block = next(iter(waiting), None)
            if block is None:
                break
            self._send(block)
        return bool(self.sent)

    def _send(self, block: Block) -> None:
        run = self.plan.runs[block.condition]
        if self.packed[0] != block.condition:  # blocks come condition by condition
            self.packed = (block.condition, *self._pack(run))
        future = self.client.submit(
            train_block,
            self.packed[1],
            _own(run.training, block),
            self.threads,
            Worker.here(),
            *(self.apart[name] for name in self.packed[2]),
            key=f"{self.name}-block-{block.condition}-{block.number}",
            pure=False,
        )
        self.sent[future] = block

    def _pack(self, run: Run) -> tuple[bytes, list[str]]:
        """Return a training without its large arrays, and their names; workers get those that they have not seen."""
        import dask

        pickled, arrays = pack(run.part(0, 1))
        for name, array in arrays.items():
            if name not in self.apart:
                # Not scattered: what is scattered is gone with the worker that has it, and this is made again.
                with dask.config.set({"distributed.admin.large-graph-warning-threshold": f"{2 * array.nbytes} B"}):
                    self.apart[name] = self.client.submit(_itself, array, key=f"{self.name}-{name}", pure=False)
        return pickled, list(arrays)

    def ended(self) -> list[Future[Result]]:
        """Return those that have ended, in the order in which they were sent, after some time at most."""
        import distributed

        # What was cancelled and what failed has ended, too: its result says so.
        with contextlib.suppress(distributed.TimeoutError, distributed.CancelledError):
            distributed.wait(list(self.sent), timeout=_LOOK, return_when="FIRST_COMPLETED")
        return [future for future in self.sent if future.done()]

    def cancel(self) -> None:
        """Take back what is in flight, and give up what workers keep; a block that is trained goes on to its end."""
        held = [*self.sent, *self.apart.values()]
        if held and self.client.status == "running":
            self.client.cancel(held, force=True)
        self.sent.clear()
        self.apart.clear()


def _result(future: Future[Result], told: str) -> Result:
    """Return what a block keeps, which its worker then no longer does.

    Raises
    ------
    RuntimeError
        Its workers were lost again and again, or the cluster was closed.
    Exception
        That of the training itself, with the block as its note.
    """
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


def _own(training: Training, block: Block) -> dict[str, Any]:
    """Return the fields of a training that are those of a block alone: of given arrays it needs its own rows."""
    own: dict[str, Any] = {"first_network": training.first_network + block.begin, "networks": block.end - block.begin}
    if isinstance(training.init, Explicit):
        own["init"] = training.init.block(block.begin, block.end)
    if training.method.rates is not None:
        own["method"] = training.method.block(block.begin, block.end)
    return own


def train_block(
    pickled: bytes,
    own: Mapping[str, Any],
    threads: int,
    caller: Worker,
    *arrays: NDArray[Any],
) -> Result:
    """Train a block on a worker, whose networks have these fields of their ``own``, and return what it keeps."""
    import distributed

    caller.check(Worker.here(), distributed.get_worker().address)  # it may have joined since the sweep began
    run = unpack(pickled, arrays)
    run = dataclasses.replace(run, training=dataclasses.replace(run.training, **own))
    room.require(run, run.training.networks, threads)
    return trained(run, 0, run.training.networks, threads, None)


def pack(run: Run) -> tuple[bytes, dict[str, NDArray[Any]]]:
    """Return a pickled training without its large arrays, and these by name."""
    file = io.BytesIO()
    packer = _Packer(file, pickle.HIGHEST_PROTOCOL)
    packer.dump(run)
    return file.getvalue(), packer.arrays


def unpack(pickled: bytes, arrays: Iterable[NDArray[Any]]) -> Run:
    """Return the training of which ``pack`` returned this, given its arrays in their order."""
    run: Run = _Unpacker(io.BytesIO(pickled), list(arrays)).load()
    return run


class _Packer(pickle.Pickler):
    def __init__(self, file: io.BytesIO, protocol: int) -> None:
        super().__init__(file, protocol)
        self.arrays: dict[str, NDArray[Any]] = {}

    def persistent_id(self, given: Any) -> int | None:
        """Return the place of a large array among those that stand apart."""
        if type(given) is not np.ndarray or given.nbytes < _APART:
            return None
        name = digest_of(given)
        self.arrays.setdefault(name, given)
        return list(self.arrays).index(name)


class _Unpacker(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, arrays: list[NDArray[Any]]) -> None:
        super().__init__(file)
        self.arrays = arrays

    def persistent_load(self, place: int) -> NDArray[Any]:
        """Return the array of a place."""
        return self.arrays[place]


def _about() -> Worker:
    return Worker.here()


def _itself(array: NDArray[Any]) -> NDArray[Any]:
    return array
