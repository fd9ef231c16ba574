"""A training can be watched and stopped, and leaves other Python threads running."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import shoal
from shoal import _core
from shoal.engine import merged
from support import python

# At a thousand million steps a second it would still take a quarter of an hour.
ENDLESS = shoal.GradientDescent(1e-9, 10**12)

CHILD = """
import signal
import sys
import shoal

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs are started to ignore it

def said(done, total):
    print("training", flush=True)

arguments = dict(network=shoal.Network((2, 8, 1)), task=shoal.tasks.modes((1.7, 0.9)), init=shoal.Gaussian(0.1))
try:
    shoal.train(**arguments, method=shoal.GradientDescent(1e-9, 10**12), networks=200, progress=said)
except KeyboardInterrupt:
    print("stopped", flush=True)
data = shoal.train(**arguments, method=shoal.GradientDescent(0.1, 10), networks=200)
print("usable" if int((data.status == 0).sum()) == 200 else "broken", flush=True)
"""


def arguments(**changed: Any) -> dict[str, Any]:
    return {
        "network": shoal.Network((2, 8, 1)),
        "task": shoal.tasks.modes((1.7, 0.9)),
        "init": shoal.Gaussian(0.1),
        "method": ENDLESS,
        "networks": 200,
        **changed,
    }


def test_an_interrupt_stops_a_training_and_leaves_python_usable(tmp_path: Path) -> None:
    """Measure nothing: a training that would take days ends, and the next one runs."""
    script = tmp_path / "child.py"
    script.write_text(CHILD)
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        try:
            assert child.stdout.readline() == "training\n"
            child.send_signal(signal.SIGINT)
            said, _ = child.communicate(timeout=60)
        finally:
            child.kill()
    assert said.split()[-2:] == ["stopped", "usable"]


class Enough(Exception):
    """Raised by a progress function that has seen what it wanted."""


@pytest.mark.parametrize("reduce", [None, "moments"])
def test_an_exception_of_the_progress_function_stops_the_training_and_comes_out(reduce: str | None) -> None:
    seen: list[tuple[int, int]] = []

    def progress(done: int, total: int) -> None:
        seen.append((done, total))
        if len(seen) == 3:
            raise Enough

    with pytest.raises(Enough):
        shoal.train(**arguments(record=shoal.Record(reduce=reduce)), progress=progress)
    assert len(seen) == 3
    assert {total for _, total in seen} == {200 * 10**12}
    done = [done for done, _ in seen]
    assert done == sorted(done)
    assert 0 <= done[0] <= done[-1] < 200 * 10**12


def test_progress_is_told_in_network_steps_of_the_whole_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """Statistics are trained in several calls of the core, each of which counts from 0."""
    core = _core.train

    def tells_at_the_end(**given: Any) -> Any:
        result = core(**{**given, "progress": None})
        steps = given["networks"] * given["method"]["steps"]
        given["progress"](steps, steps)
        return result

    monkeypatch.setattr(_core, "train", tells_at_the_end)
    monkeypatch.setattr(merged, "_MOST_CALL", 4)  # cells, of 256 networks
    seen: list[tuple[int, int]] = []
    record = shoal.Record(reduce="moments", measure=("loss",))
    given = arguments(networks=10_000, method=shoal.GradientDescent(0.1, 30), record=record)
    shoal.train(**given, progress=lambda done, total: seen.append((done, total)))
    assert len(seen) > 1
    assert {total for _, total in seen} == {10_000 * 30}
    done = [done for done, _ in seen]
    assert done == sorted(set(done))
    assert done[-1] == 10_000 * 30


def test_other_threads_run_while_networks_train() -> None:
    """Between two calls of progress, 50 ms apart, another thread gets many turns only when the GIL is released."""
    turns, stop = 0, threading.Event()

    def tick() -> None:
        nonlocal turns
        while not stop.is_set():
            turns += 1
            time.sleep(0.001)

    seen: list[int] = []

    def progress(done: int, total: int) -> None:
        seen.append(turns)
        most = max((b - a for a, b in pairwise(seen)), default=0)
        # Holding the GIL would allow one turn a call, while progress itself runs, and perhaps one before it.
        if most >= 10 or len(seen) == 100:
            raise Enough(most)

    ticker = threading.Thread(target=tick)
    ticker.start()
    try:
        with pytest.raises(Enough) as raised:
            shoal.train(**arguments(), threads=1, progress=progress)
    finally:
        stop.set()
        ticker.join()
    assert raised.value.args[0] >= 10


def test_trainings_in_two_threads_do_not_disturb_each_other() -> None:
    given = arguments(method=shoal.GradientDescent(0.1, 2000))
    alone = shoal.train(**given)
    results: list[Any] = [None, None]

    def run(k: int) -> None:
        results[k] = shoal.train(**given)

    workers = [threading.Thread(target=run, args=(k,)) for k in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert all(alone.identical(result) for result in results)


IMPORTING = """
import os, signal, sys, tempfile, time
import shoal

def call():
    given = dict(
        network=shoal.Network((2, 8, 1)), task=shoal.tasks.modes((1.7, 0.9)), init=shoal.Gaussian(0.1),
        method=shoal.GradientDescent(0.1, 10), networks=20,
    )
    if sys.argv[1] == "train":
        return shoal.train(**given)
    if sys.argv[1] == "theory":
        return shoal.compare_flow([0.1, 0.5], shoal.theory.Mode(1.0, 0.5, 0.1).margin([0.0, 1.0]), tolerance=1e-6)
    with tempfile.TemporaryDirectory() as folder:
        return shoal.sweep(**given, over={"init.std": [0.1, 0.2]}, store=folder + "/s").load()

def interrupted_after(seconds):
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGINT))
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        call()
        time.sleep(60)
    except KeyboardInterrupt:
        signal.setitimer(signal.ITIMER_REAL, 0)
    call()

def ended(act, *given):  # of a copy of this process, which has imported nothing but shoal
    child = os.fork()
    if child == 0:
        act(*given)
        sys.stdout.flush()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

begun = time.monotonic()
assert ended(call) == 0
seconds = time.monotonic() - begun
times = int(sys.argv[2])
print(*(ended(interrupted_after, seconds * (k + 0.5) / times) for k in range(times)))
"""


@pytest.mark.parametrize(
    ("call", "times"),
    [
        *((call, 2) for call in ("train", "sweep", "theory")),
        *(pytest.param(call, 60, marks=pytest.mark.slow) for call in ("train", "sweep", "theory")),
    ],
)
def test_an_interrupt_of_a_first_call_leaves_the_same_call_working(call: str, times: int) -> None:
    """Whatever it imports when the interrupt comes."""
    done = python(["-c", IMPORTING, call, str(times)], timeout=60 + 100 * times)
    assert done.stdout.split() == ["0"] * times, done.stderr
